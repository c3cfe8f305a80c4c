//! The console's pages and forms.

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use issei_ledger::{Approval, Broadcast, BroadcastState, Transition};
use issei_schema::{Actor, BroadcastId};
use serde::Deserialize;

use super::guard::{enter, guard, nobody};
use super::{At, person};
use crate::commands::{inspect::news, status::is_absent, stop};
use crate::letters;
use crate::operator;
use crate::pages::{BroadcastPage, Evidence, Language, List, Listed, SCRIPT, STYLE, Told, actions, grouped, subjects};

pub(super) type Shared = State<At>;

/// An error as a page.
pub(super) struct Failed(pub(super) anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let is_missing = is_absent(&self.0);
        let status = if is_missing { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
        tracing::warn!(error = format!("{:#}", self.0), "a page of the console can't be shown");
        (status, format!("{:#}", self.0)).into_response()
    }
}

pub(super) type Page = Result<Response, Failed>;

/// Nothing but the door is found by whoever does not know it.
pub(super) fn router(at: At) -> Router {
    let (console, base) = (at.console.clone(), format!("{}/", at.door.base));
    let behind = Router::new()
        .route("/", get(list))
        .route("/stop-all", post(stop_all))
        .route("/b/{id}", get(broadcast))
        .route("/b/{id}/live", get(live))
        .route("/b/{id}/evidence", get(evidence))
        .route("/b/{id}/letters", get(held_letters))
        .route("/b/{id}/letter/{page}/{chunk}/{place}", get(person::letter))
        .route("/who", get(person::asked).post(person::found))
        .route("/b/{id}/{verb}", post(act))
        .route("/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/console.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page") })
        .layer(from_fn_with_state(at.clone(), enter))
        .with_state(at);
    Router::new().nest(&base, behind).fallback(nobody).layer(from_fn_with_state(console, guard))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[derive(Default, Deserialize)]
pub(super) struct Asked {
    lang: Option<String>,
}

/// The language that was asked for, or chosen before, or that the browser prefers; and whether to
/// remember it.
pub(super) fn language(asked: &Asked, headers: &HeaderMap) -> (Language, bool) {
    let of = |text: &str| match text {
        "ja" => Some(Language::Ja),
        "en" => Some(Language::En),
        _ => None,
    };
    if let Some(language) = asked.lang.as_deref().and_then(of) {
        return (language, true);
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let chosen = text(header::COOKIE).split(';').find_map(|pair| of(pair.trim().strip_prefix("lang=")?));
    let preferred = || text(header::ACCEPT_LANGUAGE).split(',').find_map(|part| of(part.trim().get(..2)?));
    (chosen.or_else(preferred).unwrap_or_default(), false)
}

pub(super) fn page(at: &At, template: &impl Template, (language, remember): (Language, bool), status: StatusCode) -> Page {
    let mut response = (status, Html(template.render()?)).into_response();
    if remember {
        response.headers_mut().insert(header::SET_COOKIE, at.door.cookie("lang", language.words().language, "")?);
    }
    Ok(response)
}

async fn list(State(at): Shared, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    list_page(&at, language(&asked, &headers), Ok(None)).await
}

/// `said` is what became of a form. A broadcast that can't be read hides neither the others nor the way to
/// stop them all.
async fn list_page(at: &At, (language, remember): (Language, bool), said: Result<Option<String>, (StatusCode, String)>) -> Page {
    let (ledger, words) = (at.console.parts.ledger(), language.words());
    let (mut broadcasts, mut known, now) = (Vec::new(), Vec::new(), at.console.parts.clock.wall());
    for id in ledger.known_broadcasts().await? {
        let broadcast = ledger.broadcast(&id).await;
        let waits = |broadcast: &Broadcast| Some(format!("{} {}", words.goes_on, broadcast.schedule().told(broadcast.waits_until(now)?)));
        let held_up =
            |broadcast: &Broadcast| waits(broadcast).or_else(|| Some(format!("{} {}", words.held_up, broadcast.held_up.as_ref()?.reason)));
        let note = broadcast.as_ref().map_or_else(|unreadable| Some(unreadable.to_string()), held_up);
        let code = broadcast.as_ref().ok().and_then(|broadcast| broadcast.reason_code(now)).map(|code| Told::of(code, language));
        let broadcast = broadcast.ok();
        broadcasts.push(Listed {
            id: id.to_string(),
            state: broadcast.as_ref().map_or(words.unreadable, |broadcast| {
                if broadcast.waits_until(now).is_some() { words.waits } else { words.state(broadcast.broadcast_state) }
            }),
            is_over: broadcast.as_ref().is_some_and(|broadcast| broadcast.broadcast_state.is_over()),
            created_at: broadcast.as_ref().map(|broadcast| broadcast.created_at),
            recipients: broadcast.as_ref().map_or(String::new(), |broadcast| grouped(broadcast.recipients)),
            code,
            note,
        });
        known.extend(broadcast);
    }
    let refused = news(ledger.all_refused().await?, &known);
    broadcasts.sort_by_key(|one| (one.is_over, one.created_at.is_some(), std::cmp::Reverse(one.created_at)));
    let (status, message, failed) = match said {
        Ok(message) => (StatusCode::OK, message, false),
        Err((status, message)) => (status, Some(message), true),
    };
    let closing = ledger.closing().await?.map(|closing| format!("{} ({})", closing.reason, closing.closed_by));
    let template = List { frame: at.frame(), words, broadcasts, refused, closing, message, failed };
    page(at, &template, (language, remember), status)
}

async fn broadcast(State(at): Shared, Path(id): Path<String>, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    broadcast_page(&at, &parse(id)?, language(&asked, &headers), Ok(None)).await
}

/// `said` is what became of a form.
async fn broadcast_page(
    at: &At,
    id: &BroadcastId,
    (language, remember): (Language, bool),
    said: Result<Option<String>, (StatusCode, String)>,
) -> Page {
    let words = language.words();
    let live = match at.console.live(id, language).await {
        Err(error) if is_absent(&error) => {
            let refused = at.console.parts.ledger().refused(id).await?;
            let told = refused.map(|refused| format!("{}: {} ({:.0})", words.refused, refused.reason, refused.refused_at));
            return Err(Failed(match told {
                Some(told) => error.context(told),
                None => error,
            }));
        }
        live => live?,
    };
    let waits = live.status.agreement.as_ref().is_some_and(|agreed| agreed.missing > 0);
    let actions = actions(words, live.status.state, waits);
    // As long as the proof of a stop takes at most.
    let leak_s = operator::widest(&at.console.parts).await?.timing.refused_after().as_secs();
    let (status, message, failed) = match said {
        Ok(message) => (StatusCode::OK, message, false),
        Err((status, message)) => (status, Some(message), true),
    };
    // What can't be read keeps nobody from what can be done.
    let subject = at.console.parts.ledger().command(id).await.ok().as_ref().and_then(subjects);
    let template = BroadcastPage { frame: at.frame(), words, live, subject, actions, leak_s, message, failed };
    page(at, &template, (language, remember), status)
}

async fn live(State(at): Shared, Path(id): Path<String>, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    let (language, _) = language(&asked, &headers);
    Ok(Html(at.console.fragment(&parse(id)?, language).await?).into_response())
}

async fn evidence(State(at): Shared, Path(id): Path<String>, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    let (language, remember) = language(&asked, &headers);
    let certificate = operator::certifier(&at.console.parts).await?.glance(&parse(id)?).await?;
    // A glance watches no queue, which speaks for nothing and against nothing.
    let against = certificate.findings.iter().filter(|finding| !finding.holds() && !finding.is_not_watched()).count();
    let template = Evidence { frame: at.frame(), words: language.words(), certificate, against, opens: false };
    page(&at, &template, (language, remember), StatusCode::OK)
}

/// What the page of a letter may do: nothing but to be shown, within the console's own page.
pub(super) const LETTERS_MAY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox";

/// The letters of whoever is to agree, as they will be read.
async fn held_letters(State(at): Shared, Path(id): Path<String>) -> Page {
    let ledger = at.console.parts.ledger();
    let broadcast = ledger.broadcast(&parse(id)?).await?;
    let (command, letters) = (ledger.command(&broadcast.broadcast_id).await?, letters::of_held(&at.console.parts, &broadcast).await?);
    let mut response = Html(letters::page(&command, &letters)?).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(LETTERS_MAY));
    Ok(response)
}

#[derive(Deserialize)]
struct Deed {
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

async fn act(State(at): Shared, Path((id, verb)): Path<(String, String)>, headers: HeaderMap, Form(deed): Form<Deed>) -> Page {
    let (id, asked) = (parse(id)?, Asked::default());
    let said = match deed.check(&at, id.as_str(), matches!(verb.as_str(), "stop" | "pause")) {
        Ok(()) => carry_out(&at, &id, &verb, &deed).await,
        Err(refused) => Err(refused),
    };
    broadcast_page(&at, &id, language(&asked, &headers), said).await
}

/// One conditional write. A refusal names the state that the broadcast is in.
async fn carry_out(at: &At, id: &BroadcastId, verb: &str, deed: &Deed) -> Result<Option<String>, (StatusCode, String)> {
    let reason = deed.reason.as_str();
    let bad = |error: anyhow::Error| (StatusCode::BAD_GATEWAY, format!("{error:#}"));
    let (ledger, actor) = (at.console.parts.ledger(), operator::actor(&at.console.parts).await.map_err(bad)?);
    if verb == "stop" {
        return end_one(at, id, &actor, reason).await;
    }
    let broadcast = ledger.broadcast(id).await.map_err(|error| bad(error.into()))?;
    if verb == "approve" && broadcast.awaited().is_some() {
        // In the name of whoever started the console, whoever has its address.
        let (actor, by) = operator::approver(&at.console.parts).await.map_err(bad)?;
        let approval = Approval { by: &by, actor: &actor, reason, agreed: deed.agreed.as_deref().unwrap_or_default() };
        let after = ledger.approve(id, approval).await.map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
        let waits = after.awaited().map_or(String::new(), |awaited| format!("; {awaited}"));
        return Ok(Some(format!("approve {id}: {}{waits}", after.broadcast_state)));
    }
    let from = broadcast.broadcast_state;
    let to = match (verb, from) {
        ("pause", _) => BroadcastState::Paused,
        ("resume", BroadcastState::Paused) | ("approve", BroadcastState::Holding) => BroadcastState::Running,
        ("resume" | "approve", _) => return Err((StatusCode::CONFLICT, format!("broadcast `{id}` is {from}; {verb} is not for that"))),
        _ => return Err((StatusCode::NOT_FOUND, format!("there is no such action: {verb}"))),
    };
    match ledger.transition(id, Transition { to, actor: &actor, reason }).await {
        Ok(broadcast) => Ok(Some(format!("{verb} {id}: {}", broadcast.broadcast_state))),
        Err(error) => Err((StatusCode::CONFLICT, error.to_string())),
    }
}

async fn end_one(at: &At, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Option<String>, (StatusCode, String)> {
    let ended = stop::end(&at.console.parts.ledger(), id, actor, reason, |_| false).await;
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

async fn stop_all(State(at): Shared, headers: HeaderMap, Form(deed): Form<Deed>) -> Page {
    let language = language(&Asked::default(), &headers);
    if let Err((status, reason)) = deed.check(&at, language.0.words().confirm_all, true) {
        return list_page(&at, language, Err((status, reason))).await;
    }
    let actor = operator::actor(&at.console.parts).await?;
    let order = stop::end_all(&at.console.parts.ledger(), &actor, &deed.reason).await;
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

pub(super) fn parse(id: String) -> Result<BroadcastId, Failed> {
    BroadcastId::try_from(id).map_err(|reason| Failed(anyhow::anyhow!("the broadcast's id {reason}")))
}
