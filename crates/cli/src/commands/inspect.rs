//! `issei list`, `audit` and `why`: reading the ledger for people.
//!
//! The last prints addresses, since that is what it is asked for. Nothing here writes anything.

use anyhow::bail;
use clap::ValueEnum;
use issei_assembly::{Parts, Settings, say, say_error};
use issei_ledger::{Broadcast, Forgotten, Ledger, LedgerError, NamedMessage, Outcome, RecipientOutcome, Refused, Sought};
use issei_schema::{Address, BroadcastId, EventKind};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::Ended;
use crate::args::{AuditOptions, ListOptions, Wanted, WhyOptions};
use crate::commands::status::shown;

/// Whether it is known, by the counts that services tell, that some will be told too late. One call, for a broadcast
/// that has a day from which it binds.
pub(crate) async fn falls_behind(ledger: &Ledger, broadcast: &Broadcast, now: Timestamp) -> Result<Option<String>, LedgerError> {
    if broadcast.effective_at.is_none() || broadcast.broadcast_state.is_over() {
        return Ok(None);
    }
    let progress = ledger.progress(&broadcast.broadcast_id).await?;
    Ok(broadcast.falls_behind(now, progress.accepted + progress.rejected + progress.in_doubt, None))
}

pub(crate) async fn list(settings: &Settings, options: &ListOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
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
        say(&format!("Closed for new broadcasts since {} by {}: {}", closing.closed_at, closing.closed_by, closing.reason));
    }
    let now = parts.clock.wall();
    for broadcast in &broadcasts {
        let falls_behind = falls_behind(&ledger, broadcast, now).await;
        let falls_behind = falls_behind.unwrap_or_else(|error| Some(format!("whether it will be in time can't be read: {error}")));
        let Broadcast { broadcast_id, created_at, recipients, skipped, .. } = broadcast;
        let (state, waits_until) = (shown(broadcast, now), broadcast.waits_until(now));
        let reason = broadcast.decided().map_or("", |entry| entry.reason.as_str());
        let reason = broadcast.held_up.as_ref().map_or(reason, |held_up| held_up.reason.as_str());
        say(&if as_json {
            let id = broadcast_id;
            json!({ "broadcast_id": id, "state": state, "waits_until": waits_until, "falls_behind": falls_behind, "created_at": created_at, "recipients": recipients, "skipped": skipped, "reason": reason }).to_string()
        } else {
            let late = falls_behind.map(|why| format!("TOO LATE: {why}; ")).unwrap_or_default();
            let waits = waits_until.map(|until| format!("goes on {}; ", broadcast.schedule().told(until))).unwrap_or_default();
            format!("{broadcast_id:<32} {state:<12} {created_at:.0}  {recipients:>9} recipients  {late}{waits}{reason}")
        });
    }
    let refused = if options.open { Vec::new() } else { news(ledger.all_refused().await?, &broadcasts) };
    for Refused { broadcast_id, refused_at, reason, .. } in &refused {
        say(&if as_json {
            json!({ "broadcast_id": broadcast_id, "state": "refused", "refused_at": refused_at, "reason": reason }).to_string()
        } else {
            format!("{broadcast_id:<32} {:<12} {refused_at:.0}  {:>9} recipients  {reason}", "refused", "no")
        });
    }
    if ids.is_empty() && refused.is_empty() && !as_json {
        say("no broadcasts");
    }
    for (id, error) in &unreadable {
        say_error(&format!("broadcast `{id}` can't be read: {error}"));
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
    let parts = Parts::connect(settings).await;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    let trail = ledger.audit_trail(&broadcast).await?;
    let ended = if trail.holds() { Ended::Well } else { Ended::Refused };
    if as_json {
        say(&json!({ "broadcast_id": broadcast.broadcast_id, "audit_trail": trail.entries, "broken": trail.broken }).to_string());
        return Ok(ended);
    }
    for entry in &trail.entries {
        say(&format!("{}  {}", entry.at, entry.step));
        say(&format!("    by {}: {}", entry.actor, entry.reason));
    }
    match (trail.holds(), broadcast.audit_count) {
        (true, 0) => say("No step was taken since a build that chains the entries, so they vouch for nothing."),
        (true, chained) => say(&format!("The chain of its entries holds, {chained} of {}.", trail.entries.len())),
        (false, _) => trail.broken.iter().for_each(|reason| say(&format!("BROKEN: {reason}"))),
    }
    Ok(ended)
}

/// Everything known of one recipient, in the order in which it came about.
#[derive(Serialize)]
struct Why {
    broadcast_id: BroadcastId,
    key: String,
    address: String,
    page: u32,
    chunk: u32,
    /// The place in the chunk, which is the SES tag `recipient`.
    recipient: usize,
    /// How often the chunk was claimed.
    attempts: u32,
    /// How often the request of the last claim was made again under its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_again: Option<u32>,
    claimed_at: Option<String>,
    reopened_at: Option<String>,
    outcome: Option<Outcome>,
    message_id: Option<String>,
    /// Where more than one message was accepted: those that events told of, in full.
    messages: Vec<NamedMessage>,
    events: Vec<EventKind>,
    /// The words of `issei export --outcome` that list this recipient.
    listed_as: Vec<&'static str>,
}

pub(crate) async fn why(settings: &Settings, options: &WhyOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    let mut found = Vec::new();
    // However it is written, since the ledger has one spelling of each mailbox.
    let address = Address::quoting_legacy(&options.recipient);
    let wanted = address.as_ref().map_or(options.recipient.as_str(), Address::as_str);
    for seq in 0..broadcast.pages {
        let page = ledger.page(&options.id, seq).await?;
        let is_wanted = |key: &str, address: &str| key == options.recipient || address.eq_ignore_ascii_case(wanted);
        for (chunk, recipients) in page.chunks() {
            for (at, recipient) in recipients.iter().enumerate() {
                if recipient.as_ref().is_some_and(|recipient| is_wanted(recipient.key.as_str(), recipient.address.as_str())) {
                    found.push((seq, chunk, at));
                }
            }
        }
        if let Some(skipped) = page.skipped().find(|skipped| skipped.key == options.recipient) {
            let reason = skipped.reason;
            let mailed = skipped.mailed.as_deref();
            say(&if as_json {
                json!({ "broadcast_id": options.id, "key": skipped.key, "page": seq, "skipped": reason, "mailed": mailed }).to_string()
            } else {
                let instead = mailed.map_or(String::new(), |key| format!("; the address is mailed under the key {key}"));
                format!("{} was skipped when page {seq} was frozen: {reason}{instead}", skipped.key)
            });
            return Ok(Ended::Well);
        }
    }
    if found.is_empty() {
        let forgotten = ledger.look_for(&broadcast, &Sought::new(&options.recipient)).await?.1.forgotten;
        for Forgotten { page, at, chunk } in &forgotten {
            say(&if as_json {
                json!({ "broadcast_id": options.id, "forgotten_at": at, "page": page, "chunk": chunk }).to_string()
            } else {
                let chunk = chunk.map_or_else(|| "as a skipped row".to_owned(), |chunk| format!("in chunk {chunk}"));
                format!(
                    "whoever has that key or address was forgotten at {at:.0}: they stood in page {page}, {chunk}; `issei audit` says who did it"
                )
            });
        }
        if !forgotten.is_empty() {
            return Ok(Ended::Well);
        }
        bail!(
            "nobody with that key or address is in the frozen audience of `{}` ({} recipients in {} pages)",
            options.id,
            broadcast.recipients,
            broadcast.pages
        );
    }
    for (page, chunk, at) in found {
        let why = everything(&ledger, &options.id, page, chunk, at).await?;
        if as_json {
            say(&serde_json::to_string(&why)?);
        } else {
            print(&why);
        }
    }
    Ok(Ended::Well)
}

async fn everything(ledger: &Ledger, id: &BroadcastId, page: u32, chunk: u32, at: usize) -> anyhow::Result<Why> {
    let mut of_chunk = ledger.page_outcomes(id, page).await?;
    of_chunk.retain(|recipient| recipient.chunk == chunk);
    let Some(found) = of_chunk.into_iter().nth(at) else {
        bail!("chunk {chunk} of page {page} has changed while it was read; repeat the command")
    };
    let listed_as =
        Wanted::value_variants().iter().filter(|wanted| wanted.is_of(&found)).filter_map(|wanted| wanted.word(&found)).collect();
    let RecipientOutcome { recipient: Some(recipient), outcome, events, .. } = found else {
        bail!("page {page} has changed while it was read; repeat the command")
    };
    let item = ledger.chunks(&[(id.clone(), chunk)]).await?.into_values().next();
    let item = item.as_ref();
    let feedback = ledger.feedback(id, &[chunk]).await?.remove(&chunk).unwrap_or_default();
    Ok(Why {
        broadcast_id: id.clone(),
        key: recipient.key.as_str().to_owned(),
        address: recipient.address.as_str().to_owned(),
        page,
        chunk,
        recipient: at,
        attempts: item.map_or(0, issei_ledger::Chunk::attempts),
        asked_again: item.and_then(issei_ledger::Chunk::request).map(issei_ledger::Keyed::asked_again).filter(|asked| *asked > 0),
        claimed_at: item.and_then(issei_ledger::Chunk::claimed_at).map(|at| at.to_string()),
        reopened_at: item.and_then(issei_ledger::Chunk::reopened_since).map(|at| at.to_string()),
        outcome,
        message_id: item.and_then(|chunk| chunk.message_id(at)).map(str::to_owned),
        messages: feedback.messages(at).cloned().collect(),
        events,
        listed_as,
    })
}

fn print(why: &Why) {
    let Why { key, address, page, chunk, recipient, .. } = why;
    say(&format!("{key} <{address}>"));
    say(&format!(
        "frozen    in page {page}, chunk {chunk}, place {recipient} (SES tags broadcast={}, chunk={chunk}, recipient={recipient})",
        why.broadcast_id
    ));
    match &why.claimed_at {
        None => say("claimed   never: nothing was sent"),
        Some(at) => say(&format!("claimed   {} times, last at {at}", why.attempts)),
    }
    if let Some(times) = why.asked_again {
        say(&format!("asked     again {times} times under its key, which is no second mail"));
    }
    if let Some(at) = &why.reopened_at {
        say(&format!("reopened  at {at}, by evidence that the provider did not take it; waits to be sent again"));
    }
    say(&format!("outcome   {}", if why.outcome.is_some() { why.listed_as.join(", ") } else { "none yet".to_owned() }));
    if let Some(id) = &why.message_id {
        say(&format!("accepted  by SES as message {id}, answered to the claim above"));
    }
    for NamedMessage { sent_at, message_id, .. } in &why.messages {
        let at = if sent_at.is_empty() { "a time that is not told" } else { sent_at.as_str() };
        say(&format!("accepted  by SES as message {message_id} at {at}, told by an event"));
    }
    let events: Vec<String> = why.events.iter().filter_map(|kind| Some(serde_json::to_value(kind).ok()?.as_str()?.to_owned())).collect();
    say(&format!("events    {}", if events.is_empty() { "none".to_owned() } else { events.join(", ") }));
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
