//! `issei list`, `audit` and `why`: reading the ledger for people.
//!
//! The last prints addresses, since that is what it is asked for. Nothing here writes anything.

use anyhow::bail;
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Broadcast, Forgotten, LedgerError, Outcome, Refused, Skipped, Whereabouts};
use issei_schema::{Address, Bilingual};
use jiff::Timestamp;
use serde_json::json;

use crate::Ended;
use crate::args::{AuditOptions, ListOptions, WhyOptions};
use crate::commands::person::Why;
use crate::commands::status::{Quota, quota, recipients_a_second, shown};
use crate::commands::who::by_key_alone;
use crate::in_use::{self, Care};
use crate::shortened::shortened;

/// Whether it is known, by the counts that services tell, that some will be told too late. A few calls, for a broadcast
/// that has a day from which it binds.
async fn falls_behind(
    parts: &Parts,
    broadcast: &Broadcast,
    now: Timestamp,
    account: Option<&Quota>,
) -> Result<Option<Bilingual>, LedgerError> {
    if !may_be_late(broadcast) {
        return Ok(None);
    }
    let progress = parts.ledger().progress(&broadcast.broadcast_id).await?;
    let rate = recipients_a_second(parts, broadcast, now, account).await?;
    Ok(broadcast.falls_behind(now, progress.accepted + progress.rejected + progress.in_doubt, rate))
}

fn may_be_late(broadcast: &Broadcast) -> bool {
    broadcast.effective_at.is_some() && !broadcast.broadcast_state.is_over()
}

pub(crate) async fn list(settings: &Settings, options: &ListOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Says).await?;
    let ledger = parts.ledger();
    let ids = if options.open { ledger.open_broadcasts().await? } else { ledger.known_broadcasts().await? };
    let (mut broadcasts, mut unreadable) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in &ids {
        // One that can't be read must not hide the others.
        match ledger.broadcast(id).await {
            Ok(broadcast) => broadcasts.push(broadcast),
            Err(error) => unreadable.push((id, error)),
        }
    }
    broadcasts.sort_by_key(|broadcast| (broadcast.broadcast_state.is_over(), std::cmp::Reverse(broadcast.created_at)));
    if let Some(closing) = ledger.closing().await?.filter(|_| !as_json) {
        say(&format!("Closed for new broadcasts since {:.0} by {}: {}", closing.closed_at, closing.closed_by, shortened(&closing.reason)));
    }
    let now = parts.clock.wall();
    let asks_account = broadcasts.iter().any(|broadcast| may_be_late(broadcast) && broadcast.provider.is_none());
    let account = if asks_account { quota(&parts).await } else { None };
    for broadcast in &broadcasts {
        let falls_behind = falls_behind(&parts, broadcast, now, account.as_ref()).await;
        let falls_behind = falls_behind.map(|why| why.map(|why| why.english));
        let falls_behind = falls_behind.unwrap_or_else(|error| Some(format!("whether it will be in time can't be read: {error}")));
        let Broadcast { broadcast_id, created_at, recipients, skipped, .. } = broadcast;
        let (state, waits_until) = (shown(broadcast, now), broadcast.waits_until(now));
        let reason = broadcast.decided().map_or("", |entry| entry.reason.as_str());
        let reason = broadcast.held_up.as_ref().map_or(reason, |held_up| held_up.reason.as_str());
        let code = broadcast.reason_code(now);
        if as_json {
            let id = broadcast_id;
            let told = json!({ "broadcast_id": id, "state": state, "waits_until": waits_until, "falls_behind": falls_behind, "created_at": created_at, "recipients": recipients, "skipped": skipped, "reason": reason, "reason_code": code });
            in_use::say_document(told)?;
        } else {
            let late = falls_behind.map(|why| format!("TOO LATE: {why}; ")).unwrap_or_default();
            let waits = waits_until.map(|until| format!("goes on {}; ", broadcast.schedule().told(until))).unwrap_or_default();
            let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
            say(&format!(
                "{broadcast_id:<32} {state:<12} {created_at:.0}  {recipients:>9} recipients  {late}{waits}{code}{}",
                shortened(reason)
            ));
        }
    }
    let refused = if options.open { Vec::new() } else { news(ledger.all_refused().await?, &broadcasts) };
    for Refused { broadcast_id, refused_at, reason, code, .. } in &refused {
        if as_json {
            let told = json!({ "broadcast_id": broadcast_id, "state": "refused", "refused_at": refused_at, "reason": reason, "reason_code": code });
            in_use::say_document(told)?;
        } else {
            let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
            say(&format!("{broadcast_id:<32} {:<12} {refused_at:.0}  {:>9} recipients  {code}{}", "refused", "no", shortened(reason)));
        }
    }
    match (ids.is_empty() && refused.is_empty(), as_json) {
        (true, true) => in_use::say_of_no_rows()?,
        (true, false) => say("no broadcasts"),
        (false, _) => {}
    }
    for (id, error) in &unreadable {
        say_warning(&format!("broadcast `{id}` can't be read: {error}"));
    }
    if let [(id, _), ..] = unreadable.as_slice() {
        bail!("{} of {} broadcasts can't be read, first `{id}`", unreadable.len(), ids.len());
    }
    Ok(Ended::Well)
}

/// The refusals that those who know these broadcasts do not know, the newest first.
pub(crate) fn news(mut refused: Vec<Refused>, broadcasts: &[Broadcast]) -> Vec<Refused> {
    refused.retain(|refused| refused.is_news(broadcasts.iter().find(|broadcast| broadcast.broadcast_id == refused.broadcast_id)));
    refused.sort_by_key(|refused| std::cmp::Reverse(refused.refused_at));
    refused
}

pub(crate) async fn audit(settings: &Settings, options: &AuditOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Says).await?;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    let trail = ledger.audit_trail(&broadcast).await?;
    let ended = if trail.holds() { Ended::Well } else { Ended::Refused };
    if as_json {
        in_use::say_document(json!({ "broadcast_id": broadcast.broadcast_id, "audit_trail": trail.entries, "broken": trail.broken }))?;
        return Ok(ended);
    }
    for entry in &trail.entries {
        say(&format!("{:.0}  {}", entry.at, entry.step));
        let code = entry.code.map(|code| format!("{code}: ")).unwrap_or_default();
        say(&format!("    by {}: {code}{}", entry.actor, shortened(&entry.reason)));
    }
    match (trail.holds(), broadcast.audit_count) {
        (true, 0) => say("No step was taken since a build that chains the entries, so they vouch for nothing."),
        (true, chained) => say(&format!("The chain of its entries holds, {chained} of {}.", trail.entries.len())),
        (false, _) => trail.broken.iter().for_each(|reason| say(&format!("BROKEN: {reason}"))),
    }
    Ok(ended)
}

pub(crate) async fn why(settings: &Settings, options: &WhyOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Says).await?;
    let (ledger, id) = (parts.ledger(), &options.id);
    let broadcast = ledger.broadcast(id).await?;
    let found = ledger.finder(&options.recipient).await?.look(&broadcast, |_| ()).await?;
    for standing in &found.recipients {
        let why = Why::read(&ledger, &broadcast, standing, in_use::is_found_not_in_use()).await?;
        if as_json {
            in_use::say_document(&why)?;
        } else {
            why.lines().iter().for_each(|line| say(line));
        }
    }
    for (page, skipped) in &found.skipped {
        let (key, detail, Skipped { reason, mailed, .. }) = (skipped.name(), skipped.detail(), skipped);
        if as_json {
            let told = json!({ "broadcast_id": id, "key": key, "page": page, "skipped": reason, "detail": detail, "mailed": mailed });
            in_use::say_document(told)?;
        } else {
            let detail = detail.map_or(String::new(), |detail| format!(", {detail}"));
            let instead = mailed.as_ref().map_or(String::new(), |key| format!("; the address is mailed under the key {key}"));
            say(&format!("{key} was skipped when page {page} was frozen: {reason}{detail}{instead}"));
        }
    }
    if found.recipients.is_empty() && found.skipped.is_empty() {
        for Forgotten { page, at, chunk } in &found.forgotten {
            if as_json {
                in_use::say_document(json!({ "broadcast_id": id, "forgotten_at": at, "page": page, "chunk": chunk }))?;
            } else {
                let chunk = chunk.map_or_else(|| "as a skipped row".to_owned(), |chunk| format!("in chunk {chunk}"));
                say(&format!(
                    "whoever has that key or address was forgotten at {at:.0}: they stood in page {page}, {chunk}; `issei audit` says who did it"
                ));
            }
        }
    }
    if found.is_nobody() {
        return Err(nobody(&broadcast, &found, &options.recipient));
    }
    Ok(Ended::Well)
}

/// That nobody of a frozen audience is sought.
pub(super) fn nobody(broadcast: &Broadcast, found: &Whereabouts, who: &str) -> anyhow::Error {
    let Broadcast { broadcast_id: id, recipients, skipped, pages, .. } = broadcast;
    let expired = if found.expired > 0 { format!(", of which {} have expired", found.expired) } else { String::new() };
    let is_address = Address::quoting_legacy(who).is_ok();
    let alone = if *skipped > 0 && is_address { format!("; {}", by_key_alone(*skipped)) } else { String::new() };
    anyhow::anyhow!(
        "nobody with that key or address is in the frozen audience of `{id}` ({recipients} recipients in {pages} pages{expired}){alone}"
    )
}

/// An outcome by its word in the docs.
pub(super) fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "open",
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
        Outcome::Retryable => "retryable",
        Outcome::InDoubt => "in_doubt",
    }
}
