//! What the console's forms do: each by one conditional write, after a typed confirmation.
//!
//! What it must never do: act for a form that is not from a page of the same door. What the door may is judged before
//! (`routes::ways`).

use axum::extract::{Form, Path, State};
use http::StatusCode;
use http::header::HeaderMap;
use issei_ledger::{Approval, BroadcastState, Transition};
use issei_schema::{Actor, BroadcastId};
use serde::Deserialize;

use super::At;
use super::routes::{Asked, Page, Shared, broadcast_page, language, list_page, parse};
use crate::{commands, operator};

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

#[derive(Deserialize)]
pub(super) struct Deed {
    csrf: String,
    reason: String,
    confirm: String,
    /// The digest of what the page has shown to whoever agrees to it.
    agreed: Option<String>,
}

impl Deed {
    /// Says why it may not be done. Nothing is kept from being stopped for want of a reason.
    fn check(&self, at: &At, must_be: &str, is_stop: bool) -> Result<(), (StatusCode, String)> {
        if !at.door.has_made(&self.csrf) {
            return Err((StatusCode::FORBIDDEN, "the form is from another run of the console; load the page again".to_owned()));
        }
        if self.confirm != must_be {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, format!("nothing was done: type `{must_be}` to confirm")));
        }
        if !is_stop && self.reason.trim().is_empty() {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "nothing was done: give a reason for the audit trail".to_owned()));
        }
        Ok(())
    }
}

pub(super) async fn stop(at: Shared, id: Path<String>, headers: HeaderMap, deed: Form<Deed>) -> Page {
    act(at, id, headers, deed, Verb::Stop).await
}

pub(super) async fn pause(at: Shared, id: Path<String>, headers: HeaderMap, deed: Form<Deed>) -> Page {
    act(at, id, headers, deed, Verb::Pause).await
}

pub(super) async fn resume(at: Shared, id: Path<String>, headers: HeaderMap, deed: Form<Deed>) -> Page {
    act(at, id, headers, deed, Verb::Resume).await
}

pub(super) async fn approve(at: Shared, id: Path<String>, headers: HeaderMap, deed: Form<Deed>) -> Page {
    act(at, id, headers, deed, Verb::Approve).await
}

async fn act(State(at): Shared, Path(id): Path<String>, headers: HeaderMap, Form(deed): Form<Deed>, verb: Verb) -> Page {
    let (id, asked) = (parse(id)?, Asked::default());
    let said = match deed.check(&at, id.as_str(), matches!(verb, Verb::Stop | Verb::Pause)) {
        Ok(()) => carry_out(&at, &id, verb, &deed).await,
        Err(refused) => Err(refused),
    };
    broadcast_page(&at, &id, language(&asked, &headers), said).await
}

/// One conditional write. A refusal names the state that the broadcast is in.
async fn carry_out(at: &At, id: &BroadcastId, verb: Verb, deed: &Deed) -> Result<Option<String>, (StatusCode, String)> {
    let reason = deed.reason.as_str();
    let bad = |error: anyhow::Error| (StatusCode::BAD_GATEWAY, format!("{error:#}"));
    let (ledger, actor) = (at.console.parts.ledger(), operator::actor(&at.console.parts).await.map_err(bad)?);
    if verb == Verb::Stop {
        return end_one(at, id, &actor, reason).await;
    }
    let broadcast = ledger.broadcast(id).await.map_err(|error| bad(error.into()))?;
    if verb == Verb::Approve && broadcast.awaited().is_some() {
        // In the name of whoever started the console, whoever has its address.
        let (actor, by) = operator::approver(&at.console.parts).await.map_err(bad)?;
        let approval = Approval { by: &by, actor: &actor, reason, agreed: deed.agreed.as_deref().unwrap_or_default() };
        let after = ledger.approve(id, approval).await.map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
        let waits = after.awaited().map_or(String::new(), |awaited| format!("; {awaited}"));
        return Ok(Some(format!("approve {id}: {}{waits}", after.broadcast_state)));
    }
    let from = broadcast.broadcast_state;
    let to = match (verb, from) {
        (Verb::Pause, _) => BroadcastState::Paused,
        (Verb::Resume, BroadcastState::Paused) | (Verb::Approve, BroadcastState::Holding) => BroadcastState::Running,
        _ => return Err((StatusCode::CONFLICT, format!("broadcast `{id}` is {from}; {} is not for that", verb.as_str()))),
    };
    match ledger.transition(id, Transition { to, actor: &actor, reason }).await {
        Ok(broadcast) => Ok(Some(format!("{} {id}: {}", verb.as_str(), broadcast.broadcast_state))),
        Err(error) => Err((StatusCode::CONFLICT, error.to_string())),
    }
}

async fn end_one(at: &At, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Option<String>, (StatusCode, String)> {
    let ended = commands::stop::end(&at.console.parts.ledger(), id, actor, reason, |_| false).await;
    let outstanding = ended.map_err(|error| (StatusCode::CONFLICT, error.to_string()))?.outstanding;
    // It is stopped, whether this can be read or not.
    let bound = match operator::widest(&at.console.parts).await {
        Ok(widest) => format!("for {} s at most", widest.timing.refused_after().as_secs()),
        Err(error) => format!("nobody knows for how long, since the timeouts of those who send can't be read ({error})"),
    };
    Ok(Some(format!(
        "stop {id}: at most {outstanding} recipients may still be sent to, {bound}; `issei stop {id}` waits for the proof, `issei certify {id}` signs it"
    )))
}

pub(super) async fn stop_all(State(at): Shared, headers: HeaderMap, Form(deed): Form<Deed>) -> Page {
    let language = language(&Asked::default(), &headers);
    if let Err((status, reason)) = deed.check(&at, language.0.words().confirm_all, true) {
        return list_page(&at, language, Err((status, reason))).await;
    }
    let actor = operator::actor(&at.console.parts).await?;
    let order = commands::stop::end_all(&at.console.parts.ledger(), &actor, &deed.reason).await;
    let stopped = order.stopping.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", ");
    let said = if order.failed.is_empty() {
        Ok(Some(format!("stop --all: {stopped}")))
    } else {
        let failed: Vec<String> = order.failed.iter().map(|(what, error)| format!("{what}: {error}")).collect();
        let closed = if order.closed { "new broadcasts are refused" } else { "NEW BROADCASTS ARE NOT REFUSED" };
        Err((
            StatusCode::BAD_GATEWAY,
            format!(
                "stop --all: {closed}; stopped: {stopped}; NOT STOPPED: {}; `issei stop --all --hard` forbids SES to send, whatever the ledger says",
                failed.join("; ")
            ),
        ))
    };
    list_page(&at, language, said).await
}
