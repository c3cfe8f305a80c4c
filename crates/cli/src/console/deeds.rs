//! What the console's forms do: each by one conditional write, after a typed confirmation.
//!
//! What it must never do: act for a form that is not from a page of the same door. What the door may is judged before
//! (`routes::ways`).

use axum::extract::State;
use http::StatusCode;
use issei_ledger::{Approval, Broadcast, BroadcastState, LedgerError, NEVER_GRANTED, Transition};
use issei_schema::{Actor, Bilingual, BroadcastId, both};
use serde::Deserialize;

use super::asking::{Filled, Named, Said, Tongue, Typed, failure, foreign_form};
use super::routes::{Page, Shared, answer};
use super::{At, EVERYTHING};
use crate::commands::stop::{for_at_most, not_by_ses};
use crate::in_use::Care;
use crate::pages::in_both;
use crate::proof::at_most;
use crate::{commands, operator, sendable};

/// What can be done to one broadcast.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Pause,
    Resume,
    Approve,
}

impl Verb {
    fn name(self) -> Bilingual {
        match self {
            Self::Stop => both!("stop", "停止"),
            Self::Pause => both!("pause", "一時停止"),
            Self::Resume => both!("resume", "再開"),
            Self::Approve => both!("approve", "承認"),
        }
    }

    /// As its form is named.
    fn form(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
        }
    }

    /// What is said once it was done.
    fn done(self, id: &BroadcastId, stands: &Bilingual) -> Bilingual {
        both!("{} {id}: {}", "{}を受け付けました({id})。現在の状態: {}", self.name(), *stands)
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
    /// The epoch in which the page has shown it, for whoever lets it go on.
    seen: Option<u64>,
}

impl Deed {
    /// Says why it may not be done. Nothing is kept from being stopped for want of a reason.
    fn check(&self, at: &At, must_be: &str, is_stop: bool) -> Result<(), Said> {
        if !at.door.has_made(&self.csrf) {
            return Err(Said::refused(StatusCode::FORBIDDEN, foreign_form()));
        }
        // An id is another where its letters are large; the word for everything is the same.
        let typed = self.confirm.trim();
        if typed != must_be && !(must_be == EVERYTHING && typed.eq_ignore_ascii_case(EVERYTHING)) {
            let told =
                both!("nothing was done: type `{must_be}` to confirm", "何も実行していません。確認のため `{must_be}` と入力してください");
            return Err(Said::refused(StatusCode::UNPROCESSABLE_ENTITY, told));
        }
        if !is_stop && self.reason.trim().is_empty() {
            let told =
                both!("nothing was done: give a reason for the audit trail", "何も実行していません。監査証跡に残す理由を入力してください");
            return Err(Said::refused(StatusCode::UNPROCESSABLE_ENTITY, told));
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
    let said = said.typed(|| Typed::reason(verb.form(), &deed.reason));
    Ok(answer(&at, &format!("/b/{id}"), tongue, said).await)
}

/// One conditional write. A refusal names the state that the broadcast is in.
async fn carry_out(at: &At, id: &BroadcastId, verb: Verb, deed: &Deed) -> Result<Said, Said> {
    let reason = deed.reason.as_str();
    let bad = |error: anyhow::Error| Said::refused(StatusCode::BAD_GATEWAY, failure(&error));
    let conflict = |error: LedgerError| Said::refused(StatusCode::CONFLICT, error.told());
    let (ledger, actor) = (at.console.parts.ledger(), operator::actor(&at.console.parts).await.map_err(bad)?);
    if verb == Verb::Stop {
        return end_one(at, id, &actor, reason).await;
    }
    let standing = at.console.standing_now().await;
    if let Some(against) = standing.against(if verb == Verb::Pause { Care::Says } else { Care::MustKnow }) {
        let told = both!("nothing was done: {}", "何も実行していません。{}", *against);
        return Err(Said::refused(StatusCode::CONFLICT, told));
    }
    let broadcast = ledger.broadcast(id).await.map_err(|error| bad(error.into()))?;
    if matches!((verb, broadcast.broadcast_state), (Verb::Resume, BroadcastState::Paused) | (Verb::Approve, BroadcastState::Holding)) {
        let first = sendable::before(&at.console.parts, &broadcast, &verb.name()).await.map_err(bad)?;
        first.map_err(|told| Said::refused(StatusCode::CONFLICT, told))?;
    }
    if verb == Verb::Approve && broadcast.awaited().is_some() {
        // In the name of whoever started the console, whoever has its address.
        let (actor, by) = operator::approver(&at.console.parts).await.map_err(bad)?;
        let approval = Approval { by: &by, actor: &actor, reason, agreed: deed.agreed.as_deref().unwrap_or_default() };
        let after = ledger.approve(id, approval).await.map_err(conflict)?;
        let waits = after.awaited().map_or_else(Bilingual::default, |awaited| both!("; {}", "。{}", awaited.told()));
        return Ok(Said::done(both!("{}{}", "{}{}", verb.done(id, &stands(at, &after)), waits)));
    }
    let from = broadcast.broadcast_state;
    let to = match (verb, from) {
        (Verb::Pause, _) => BroadcastState::Paused,
        (Verb::Resume, BroadcastState::Paused) | (Verb::Approve, BroadcastState::Holding) => BroadcastState::Running,
        _ => {
            let told = both!(
                "broadcast `{id}` is {}; {} is not for that",
                "一斉送信 `{id}` の状態は「{}」です。この状態では「{}」はできません",
                in_both(|words| words.state(from)),
                verb.name()
            );
            return Err(Said::refused(StatusCode::CONFLICT, told));
        }
    };
    let wanted = Transition { to, actor: &actor, reason };
    let after = match (to, deed.seen) {
        // A page that is old, or sent once more, lets nothing go on that it has not shown.
        (BroadcastState::Running, Some(seen)) => ledger.let_go_on(id, seen, wanted).await,
        (BroadcastState::Running, None) => Err(LedgerError::WentOn { id: id.to_string(), state: from }),
        _ => ledger.transition(id, wanted).await,
    };
    let after = after.map_err(conflict)?;
    Ok(Said::done(verb.done(id, &stands(at, &after))))
}

/// The state that it has now, by the word of the page, and until when it waits.
fn stands(at: &At, broadcast: &Broadcast) -> Bilingual {
    let now = at.console.parts.clock.wall();
    match broadcast.waits_until(now).map(|until| broadcast.schedule().told(until)) {
        Some(until) => both!("{} until {until}", "{}({until}まで)", in_both(|words| words.waits)),
        None => in_both(|words| words.state(broadcast.broadcast_state)),
    }
}

/// Why nothing that is stopped here is proved; nothing where that is as ever.
async fn unproved(at: &At) -> Option<Bilingual> {
    commands::prove::unproved(&at.console.standing_now().await)
}

async fn end_one(at: &At, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Said, Said> {
    let ended = commands::stop::end(&at.console.parts.ledger(), id, actor, reason, |_| false).await;
    let stopping = ended.map_err(|unstopped| Said::refused(StatusCode::CONFLICT, unstopped.reason))?;
    if !commands::prove::end_never_granted(&at.console.parts, actor, std::slice::from_ref(&stopping)).await.is_empty() {
        return Ok(Said::done(both!(
            "stop {id}: {NEVER_GRANTED}; nothing of it can be sent or accepted any more",
            "{id} を停止しました。送信許可は一度も出ていないため、これ以上、送信も受理もされません"
        )));
    }
    // Whom a restored ledger does not know nobody has stopped, and no bound holds of them.
    if let Some(unproved) = unproved(at).await {
        return Ok(Said::done(both!(
            "stop {id}: it is stopped in this ledger, and nothing of that is proved: {}",
            "{id} をこの台帳で停止しましたが、何も証明されません。{}",
            unproved
        )));
    }
    // It is stopped, whether this can be read or not.
    let bound = match operator::widest(&at.console.parts).await {
        Ok(widest) => for_at_most(at_most(&widest.timing).as_secs()),
        Err(error) => both!(
            "nobody knows for how long, since the timeouts of those who send can't be read ({})",
            "(送信側のタイムアウトを読み取れないため、いつまでかは分かりません: {})",
            error.told()
        ),
    };
    Ok(Said::done(both!(
        "stop {}; `issei stop {id}` waits for the proof, `issei certify {id}` signs it",
        "停止しました。{}。`issei stop {id}` は証明できるまで待ち、`issei certify {id}` は署名付きの証明書を発行します",
        stopping.told(&bound)
    )))
}

pub(super) async fn stop_all(State(at): Shared, tongue: Tongue, Filled(deed): Filled<Deed>) -> Page {
    if let Err(refused) = deed.check(&at, EVERYTHING, true) {
        return Ok(answer(&at, "/", tongue, refused.typed(|| Typed::reason("stop-all", &deed.reason))).await);
    }
    let actor = operator::actor(&at.console.parts).await?;
    let order = commands::stop::end_all(&at.console.parts.ledger(), &actor, &deed.reason).await;
    commands::prove::end_never_granted(&at.console.parts, &actor, &order.stopping).await;
    let stopped = order.stopping.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", ");
    let said = if order.failed.is_empty() {
        let unproved = unproved(&at)
            .await
            .map_or_else(Bilingual::default, |why| both!("; nothing of that is proved: {}", "。何も証明されません。{}", why));
        Said::done(both!("stop --all: {stopped}{}", "すべて停止しました。停止した一斉送信: {stopped}{}", unproved))
    } else {
        let failed = order.failed.iter().map(|failed| both!("{}: {}", "{}: {}", failed.what, failed.reason));
        let failed = Bilingual::join(failed, ("; ", "。"));
        let closed = if order.closed {
            both!("new broadcasts are refused", "新規の一斉送信は受け付けません")
        } else {
            both!("NEW BROADCASTS ARE NOT REFUSED", "新規の一斉送信の受け付けは止まっていません")
        };
        Said::refused(
            StatusCode::BAD_GATEWAY,
            both!(
                "stop --all: {}; stopped: {stopped}; NOT STOPPED: {}; `issei stop --all --hard` forbids SES to send, whatever the ledger says; {}",
                "すべて停止: {}。停止したもの: {stopped}。停止できなかったもの: {}。`issei stop --all --hard` は、台帳の状態にかかわらずSESの送信を止めます。{}",
                closed,
                failed,
                not_by_ses()
            ),
        )
    };
    Ok(answer(&at, "/", tongue, said.typed(|| Typed::reason("stop-all", &deed.reason))).await)
}
