//! What the console's forms do: each by one conditional write, after a typed confirmation.
//!
//! What it must never do: act for a form that is not from a page of the same door. What the door may is judged before
//! (`routes::ways`).

use axum::extract::State;
use http::StatusCode;
use issei_ledger::{Approval, Broadcast, BroadcastState, LedgerError, NEVER_GRANTED, Transition};
use issei_schema::{Actor, BroadcastId};
use serde::Deserialize;

use super::At;
use super::asking::{Filled, Named, Said, Tongue};
use super::routes::{Page, Shared, broadcast_page, list_page};
use crate::commands::stop::NOT_BY_SES;
use crate::proof::at_most;
use crate::{Refused, commands, operator, sendable};

/// What can be done to one broadcast.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Pause,
    Resume,
    Approve,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
        }
    }
}

/// What is not there is empty, and refused for what it is.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Deed {
    csrf: String,
    reason: String,
    confirm: String,
    /// The digest of what the page has shown to whoever agrees to it.
    agreed: Option<String>,
}

impl Deed {
    /// Says why it may not be done. Nothing is kept from being stopped for want of a reason.
    fn check(&self, at: &At, must_be: &str, is_stop: bool) -> Result<(), Said> {
        if !at.door.has_made(&self.csrf) {
            return Err(Said::refused(StatusCode::FORBIDDEN, "the form is from another run of the console; load the page again"));
        }
        if self.confirm != must_be {
            return Err(Said::refused(StatusCode::UNPROCESSABLE_ENTITY, format!("nothing was done: type `{must_be}` to confirm")));
        }
        if !is_stop && self.reason.trim().is_empty() {
            return Err(Said::refused(StatusCode::UNPROCESSABLE_ENTITY, "nothing was done: give a reason for the audit trail"));
        }
        Ok(())
    }
}

pub(super) async fn stop(at: Shared, id: Named, tongue: Tongue, deed: Filled<Deed>) -> Page {
    act(at, id, tongue, deed, Verb::Stop).await
}

pub(super) async fn pause(at: Shared, id: Named, tongue: Tongue, deed: Filled<Deed>) -> Page {
    act(at, id, tongue, deed, Verb::Pause).await
}

pub(super) async fn resume(at: Shared, id: Named, tongue: Tongue, deed: Filled<Deed>) -> Page {
    act(at, id, tongue, deed, Verb::Resume).await
}

pub(super) async fn approve(at: Shared, id: Named, tongue: Tongue, deed: Filled<Deed>) -> Page {
    act(at, id, tongue, deed, Verb::Approve).await
}

async fn act(State(at): Shared, Named(id): Named, tongue: Tongue, Filled(deed): Filled<Deed>, verb: Verb) -> Page {
    let said = match deed.check(&at, id.as_str(), verb == Verb::Stop) {
        Ok(()) => carry_out(&at, &id, verb, &deed).await.unwrap_or_else(|refused| refused),
        Err(refused) => refused,
    };
    broadcast_page(&at, &id, tongue, said).await
}

/// One conditional write. A refusal names the state that the broadcast is in.
async fn carry_out(at: &At, id: &BroadcastId, verb: Verb, deed: &Deed) -> Result<Said, Said> {
    let reason = deed.reason.as_str();
    let bad = |error: anyhow::Error| Said::refused(StatusCode::BAD_GATEWAY, format!("{error:#}"));
    let conflict = |error: LedgerError| Said::refused(StatusCode::CONFLICT, error.to_string());
    let (ledger, actor) = (at.console.parts.ledger(), operator::actor(&at.console.parts).await.map_err(bad)?);
    if verb == Verb::Stop {
        return end_one(at, id, &actor, reason).await;
    }
    let broadcast = ledger.broadcast(id).await.map_err(|error| bad(error.into()))?;
    if matches!((verb, broadcast.broadcast_state), (Verb::Resume, BroadcastState::Paused) | (Verb::Approve, BroadcastState::Holding)) {
        let first = sendable::before(&at.console.parts, &broadcast, verb.as_str()).await;
        first.map_err(|error| {
            let status = if error.is::<Refused>() { StatusCode::CONFLICT } else { StatusCode::BAD_GATEWAY };
            Said::refused(status, format!("{error:#}"))
        })?;
    }
    if verb == Verb::Approve && broadcast.awaited().is_some() {
        // In the name of whoever started the console, whoever has its address.
        let (actor, by) = operator::approver(&at.console.parts).await.map_err(bad)?;
        let approval = Approval { by: &by, actor: &actor, reason, agreed: deed.agreed.as_deref().unwrap_or_default() };
        let after = ledger.approve(id, approval).await.map_err(conflict)?;
        let waits = after.awaited().map_or(String::new(), |awaited| format!("; {awaited}"));
        return Ok(Said::done(format!("approve {id}: {}{waits}", stands(at, &after))));
    }
    let from = broadcast.broadcast_state;
    let to = match (verb, from) {
        (Verb::Pause, _) => BroadcastState::Paused,
        (Verb::Resume, BroadcastState::Paused) | (Verb::Approve, BroadcastState::Holding) => BroadcastState::Running,
        _ => return Err(Said::refused(StatusCode::CONFLICT, format!("broadcast `{id}` is {from}; {} is not for that", verb.as_str()))),
    };
    let after = ledger.transition(id, Transition { to, actor: &actor, reason }).await.map_err(conflict)?;
    Ok(Said::done(format!("{} {id}: {}", verb.as_str(), stands(at, &after))))
}

/// The state that it has now, by the word of the page, and until when it waits.
fn stands(at: &At, broadcast: &Broadcast) -> String {
    let now = at.console.parts.clock.wall();
    let waits = broadcast.waits_until(now).map(|until| format!(" until {}", broadcast.schedule().told(until))).unwrap_or_default();
    format!("{}{waits}", commands::status::shown(broadcast, now))
}

async fn end_one(at: &At, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Said, Said> {
    let ended = commands::stop::end(&at.console.parts.ledger(), id, actor, reason, |_| false).await;
    let stopping = ended.map_err(|unstopped| Said::refused(StatusCode::CONFLICT, unstopped.reason))?;
    if !commands::prove::end_never_granted(&at.console.parts, actor, std::slice::from_ref(&stopping)).await.is_empty() {
        return Ok(Said::done(format!("stop {id}: {NEVER_GRANTED}; nothing of it can be sent or accepted any more")));
    }
    // It is stopped, whether this can be read or not.
    let bound = match operator::widest(&at.console.parts).await {
        Ok(widest) => format!("for {} s at most", at_most(&widest.timing).as_secs()),
        Err(error) => format!("nobody knows for how long, since the timeouts of those who send can't be read ({error})"),
    };
    Ok(Said::done(format!("stop {}; `issei stop {id}` waits for the proof, `issei certify {id}` signs it", stopping.told(&bound))))
}

pub(super) async fn stop_all(State(at): Shared, tongue: Tongue, Filled(deed): Filled<Deed>) -> Page {
    if let Err(refused) = deed.check(&at, tongue.language.words().confirm_all, true) {
        return list_page(&at, tongue, refused).await;
    }
    let actor = operator::actor(&at.console.parts).await?;
    let order = commands::stop::end_all(&at.console.parts.ledger(), &actor, &deed.reason).await;
    commands::prove::end_never_granted(&at.console.parts, &actor, &order.stopping).await;
    let stopped = order.stopping.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", ");
    let said = if order.failed.is_empty() {
        Said::done(format!("stop --all: {stopped}"))
    } else {
        let failed: Vec<String> = order.failed.iter().map(|failed| format!("{}: {}", failed.what, failed.reason)).collect();
        let closed = if order.closed { "new broadcasts are refused" } else { "NEW BROADCASTS ARE NOT REFUSED" };
        Said::refused(
            StatusCode::BAD_GATEWAY,
            format!(
                "stop --all: {closed}; stopped: {stopped}; NOT STOPPED: {}; `issei stop --all --hard` forbids SES to send, whatever the ledger says; {NOT_BY_SES}",
                failed.join("; ")
            ),
        )
    };
    list_page(&at, tongue, said).await
}
