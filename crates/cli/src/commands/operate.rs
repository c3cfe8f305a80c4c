//! `issei pause`, `resume` and `approve`: one conditional write each, with who and why.

use anyhow::bail;
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Agreement, Approval, Broadcast, BroadcastState, Subject, Transition};
use issei_schema::{Bilingual, BroadcastId};
use jiff::Timestamp;
use serde_json::json;

use crate::args::{ApproveOptions, OperateOptions};
use crate::commands::status::shown;
use crate::commands::stop::how_long_by;
use crate::in_use::{self, Care};
use crate::letters::{of_held, print_beside};
use crate::operator;
use crate::proof::at_most;
use crate::{Ended, Refused, sendable};

pub(crate) async fn pause(settings: &Settings, options: &OperateOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Says).await?;
    let broadcast = step(&parts, options, BroadcastState::Paused).await?;
    let text = if broadcast.broadcast_state == BroadcastState::Paused {
        // It is paused, whether this can be read or not.
        let bound = match (&broadcast.provider, operator::widest(&parts).await) {
            (Some(provider), _) => format!("for {}", how_long_by(provider).english),
            (None, Ok(widest)) => format!("for {} s at most", at_most(&widest.timing).as_secs()),
            (None, Err(error)) => format!("and nobody knows for how long, since the timeouts of those who send can't be read ({error})"),
        };
        format!(
            "{} is paused. What consumers hold permits for may still be sent, {bound}; then nothing is until `issei resume`.",
            broadcast.broadcast_id
        )
    } else {
        overtaken(&broadcast, "pause")
    };
    say(&told(&broadcast, &text, parts.clock.wall(), as_json));
    Ok(Ended::Well)
}

pub(crate) async fn resume(settings: &Settings, options: &OperateOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    from(&parts, options, BroadcastState::Paused, "resume", as_json).await
}

pub(crate) async fn approve(settings: &Settings, options: &ApproveOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let broadcast = parts.ledger().broadcast(&options.id).await?;
    match broadcast.awaited() {
        Some(agreement) => agree(&parts, options, &broadcast, agreement, as_json).await,
        None if options.agreed.is_some() => {
            let (id, state) = (&options.id, broadcast.broadcast_state);
            if let Some(waits) = waits(&broadcast, parts.clock.wall()) {
                bail!(Refused(waits))
            }
            let next = if state == BroadcastState::Holding { "leave --agreed out" } else { "there is nothing to approve" };
            bail!(Refused(format!("broadcast `{id}` is {state} and waits for no agreement: {next}")))
        }
        None => {
            let id = options.id.clone();
            let Some(reason) = options.reason.clone() else {
                let first = match broadcast.broadcast_state {
                    BroadcastState::Holding => refused_before(&parts, &broadcast, "approve").await?,
                    _ => None,
                };
                let first = first.map_or(String::new(), |why| format!("; and first read this: {why}"));
                bail!(Refused(format!("nothing was approved: say why, for the audit trail: issei approve {id} --reason \"…\"{first}")))
            };
            from(&parts, &OperateOptions { id, reason }, BroadcastState::Holding, "approve", as_json).await
        }
    }
}

/// Several persons must agree to it, each to what they have seen.
async fn agree(
    parts: &Parts,
    options: &ApproveOptions,
    broadcast: &Broadcast,
    agreement: &Agreement,
    as_json: bool,
) -> anyhow::Result<Ended> {
    let (id, subject) = (&options.id, broadcast.subject());
    let Some(agreed) = &options.agreed else {
        // Whatever else holds it is approved with it, so whoever agrees must have read that, too.
        let reason = broadcast.decided().map_or("", |entry| entry.reason.as_str());
        let (terms, forecast) = (broadcast.terms(), broadcast.done_if_approved(parts.clock.wall()));
        let (letters, unsendable) = (of_held(parts, broadcast).await?, sendable::found(parts, broadcast).await?.map(|found| found.why));
        if as_json {
            let seen = json!({
                "broadcast_id": id, "agreement": agreement, "subject": subject, "reason": reason, "terms": terms, "forecast": forecast,
                "letters": letters, "unsendable": unsendable,
            });
            say(&seen.to_string());
            return Ok(Ended::Refused);
        }
        say(&format!("{id}: {agreement}\nit is {}: {reason}", broadcast.broadcast_state));
        say(&format!("{} recipients, {} skipped, of the command {}", subject.recipients, subject.skipped, subject.command_hash));
        say(&terms.to_string());
        forecast.iter().for_each(|forecast| say(&forecast.to_string()));
        print_beside(&letters, &format!("issei show {id} -o letters.html"));
        if let Some(why) = unsendable {
            say(&format!("\nNOT SENT: {}", why.english));
        }
        say(&format!(
            "\nnothing was approved: look at `issei show {id}`, and if you agree: issei approve {id} --agreed {} --reason \"…\"",
            short(&subject)
        ));
        return Ok(Ended::Refused);
    };
    if agreed.len() < SHORT && subject.digest.starts_with(agreed.as_str()) {
        bail!(Refused(format!(
            "--agreed {agreed} are {} characters of what you agree to: give {SHORT} at least, as `issei approve {id}` shows them: {}",
            agreed.len(),
            short(&subject)
        )));
    }
    if agreed.len() < SHORT || !subject.digest.starts_with(agreed.as_str()) {
        let is = short(&subject);
        bail!(Refused(format!("what you agree to is {agreed}, and broadcast `{id}` is {is}: look again at what it says and to whom")));
    }
    let first = refused_before(parts, broadcast, "approve").await?;
    warn(id, first.as_deref());
    let (actor, by) = operator::approver(parts).await?;
    let approval = Approval { by: &by, actor: &actor, reason: options.reason.as_deref().unwrap_or_default(), agreed: &subject.digest };
    let broadcast = parts.ledger().approve(id, approval).await?;
    let text = match broadcast.awaited() {
        Some(awaited) => format!("{id}: you ({by}) have approved it; {awaited}. Nothing is sent before."),
        None => went_on(&broadcast, "approve", parts.clock.wall()),
    };
    say(&told(&broadcast, &text, parts.clock.wall(), as_json));
    Ok(Ended::Well)
}

/// What is to be told before a step; refused where nobody would be sent to.
async fn refused_before(parts: &Parts, broadcast: &Broadcast, verb: &str) -> anyhow::Result<Option<String>> {
    match sendable::before(parts, broadcast, &Bilingual::verbatim(verb)).await? {
        Ok(first) => Ok(first.map(|first| first.english)),
        Err(refused) => bail!(Refused(refused.english)),
    }
}

/// Before the step and not after it, beside the document.
fn warn(id: &BroadcastId, first: Option<&str>) {
    if let Some(why) = first {
        say_warning(&format!("{id}: {why}"));
    }
}

/// As much of a digest as people type.
const SHORT: usize = 16;

/// What somebody agrees to, for people.
pub(crate) fn short(subject: &Subject) -> &str {
    subject.digest.get(..SHORT).unwrap_or_default()
}

/// `resume` is for paused broadcasts and `approve` for held ones, so that neither is done by mistake.
async fn from(parts: &Parts, options: &OperateOptions, from: BroadcastState, verb: &str, as_json: bool) -> anyhow::Result<Ended> {
    let before = parts.ledger().broadcast(&options.id).await?;
    if let Some(waits) = waits(&before, parts.clock.wall()) {
        bail!(Refused(waits));
    }
    if before.broadcast_state != from {
        bail!(Refused(format!("broadcast `{}` is {}; `issei {verb}` is for one that is {from}", options.id, before.broadcast_state)));
    }
    warn(&options.id, refused_before(parts, &before, verb).await?.as_deref());
    let actor = operator::actor(parts).await?;
    let wanted = Transition { to: BroadcastState::Running, actor: &actor, reason: &options.reason };
    let broadcast = parts.ledger().let_go_on(&options.id, before.epoch, wanted).await?;
    let now = parts.clock.wall();
    let forecast = before.done_if_approved(now).filter(|_| before.holds_before_first_send());
    let forecast = forecast.map_or_else(String::new, |forecast| format!(" {forecast}."));
    say(&told(&broadcast, &format!("{}{forecast}", went_on(&broadcast, verb, now)), now, as_json));
    Ok(Ended::Well)
}

/// Why nothing is to be done for one that only waits for its time.
fn waits(broadcast: &Broadcast, now: Timestamp) -> Option<String> {
    let until = broadcast.waits_until(now).filter(|_| broadcast.awaited().is_none())?;
    Some(format!(
        "broadcast `{}` is {}: it goes on {} by itself, and nothing is left to approve or resume",
        broadcast.broadcast_id,
        shown(broadcast, now),
        broadcast.schedule().told(until)
    ))
}

/// What it does from now on, or waits for: whoever let it go on need not look for that.
fn went_on(broadcast: &Broadcast, verb: &str, now: Timestamp) -> String {
    let Broadcast { broadcast_id: id, broadcast_state, remaining, withheld, .. } = broadcast;
    if *broadcast_state != BroadcastState::Running {
        return overtaken(broadcast, verb);
    }
    let then = if *withheld > 0 { format!(" Then it holds before the other {withheld}, until they are approved.") } else { String::new() };
    // An older build lets a broadcast run that others must agree to; it gets no permit.
    if let Some(awaited) = broadcast.awaited() {
        return format!("{id} is running, and gets no permit yet: {awaited}. `issei status {id}` shows what there is to agree to.");
    }
    match broadcast.waits_until(now) {
        Some(until) => format!(
            "{id} is waiting: nothing is sent before {}, and from then on it has {remaining} permits left to grant.{then}",
            broadcast.schedule().told(until)
        ),
        None => format!("{id} is running, with {remaining} permits left to grant. Messages put back come again within a minute.{then}"),
    }
}

/// The step was taken, its answer came late, and somebody has taken another since.
fn overtaken(broadcast: &Broadcast, verb: &str) -> String {
    let by = broadcast.decided().map_or(String::new(), |entry| format!(" by {}: {}", entry.actor, entry.reason));
    format!("{}: {verb} was done, and since then it is {}{by}", broadcast.broadcast_id, broadcast.broadcast_state)
}

async fn step(parts: &Parts, options: &OperateOptions, to: BroadcastState) -> anyhow::Result<Broadcast> {
    let actor = operator::actor(parts).await?;
    Ok(parts.ledger().transition(&options.id, Transition { to, actor: &actor, reason: &options.reason }).await?)
}

fn told(broadcast: &Broadcast, text: &str, now: Timestamp, as_json: bool) -> String {
    let Broadcast { broadcast_id, remaining, .. } = broadcast;
    // By the word that `issei status` has for it.
    let (state, until) = (shown(broadcast, now), broadcast.waits_until(now));
    let waits = until.map(|until| broadcast.schedule().told(until));
    let awaited = broadcast.awaited();
    let json = json!({
        "broadcast_id": broadcast_id, "state": state, "permits_left": remaining, "waits_until": until, "waits": waits, "agreement": awaited,
    });
    if as_json { json.to_string() } else { text.to_owned() }
}
