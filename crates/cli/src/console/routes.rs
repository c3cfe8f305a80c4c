//! The console's pages, and every way to them.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use issei_ledger::Broadcast;
use issei_schema::BroadcastId;
use serde::Deserialize;

use super::guard::{allow, enter, guard, nobody};
use super::right::Needs;
use super::{At, Console, deeds, person};
use crate::commands::{inspect::news, status::is_absent};
use crate::letters;
use crate::operator;
use crate::pages::{Bare, BroadcastPage, Evidence, Language, List, Listed, SCRIPT, STYLE, StopPage, Told, actions, grouped, subjects};

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

/// Every page and form, with what it needs. There is no other way in.
fn ways() -> Vec<(&'static str, Needs, MethodRouter<At>)> {
    vec![
        ("/", Needs::Entry, get(list)),
        ("/style.css", Needs::Entry, get(|| async { asset("text/css; charset=utf-8", STYLE) })),
        ("/console.js", Needs::Entry, get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) })),
        ("/b/{id}", Needs::Entry, get(broadcast)),
        ("/b/{id}/live", Needs::Entry, get(live)),
        ("/b/{id}/evidence", Needs::Look, get(evidence)),
        ("/b/{id}/letters", Needs::Look, get(held_letters)),
        ("/b/{id}/letter/{page}/{chunk}/{place}", Needs::Look, get(person::letter)),
        ("/who", Needs::Look, get(person::asked).post(person::found)),
        ("/stop-all", Needs::Stop, post(deeds::stop_all)),
        ("/b/{id}/stop", Needs::Stop, post(deeds::stop)),
        ("/b/{id}/pause", Needs::Steer, post(deeds::pause)),
        ("/b/{id}/resume", Needs::Steer, post(deeds::resume)),
        ("/b/{id}/approve", Needs::Steer, post(deeds::approve)),
    ]
}

/// Nothing but the doors is found by whoever does not know one.
pub(super) fn router(console: &Arc<Console>, doors: &[At]) -> Router {
    let mut router = Router::new().fallback(nobody);
    for at in doors {
        let mut behind = Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page") });
        for (path, needs, answers) in ways() {
            behind = behind.route(path, answers.route_layer(from_fn_with_state((at.door.right, needs), allow)));
        }
        let behind = behind.layer(from_fn_with_state(at.clone(), enter)).with_state(at.clone());
        router = router.nest(&format!("{}/", at.door.base), behind);
    }
    router.layer(from_fn_with_state(console.clone(), guard))
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
/// stop them all. Whoever may not look is told no reasons.
pub(super) async fn list_page(at: &At, (language, remember): (Language, bool), said: Result<Option<String>, (StatusCode, String)>) -> Page {
    let (ledger, words) = (at.console.parts.ledger(), language.words());
    let (mut broadcasts, mut known, now) = (Vec::new(), Vec::new(), at.console.parts.clock.wall());
    for id in ledger.known_broadcasts().await? {
        let broadcast = ledger.broadcast(&id).await;
        let waits = |broadcast: &Broadcast| Some(format!("{} {}", words.goes_on, broadcast.schedule().told(broadcast.waits_until(now)?)));
        let held_up =
            |broadcast: &Broadcast| waits(broadcast).or_else(|| Some(format!("{} {}", words.held_up, broadcast.held_up.as_ref()?.reason)));
        let note = broadcast.as_ref().map_or_else(|unreadable| Some(unreadable.to_string()), held_up);
        let note = note.filter(|_| at.may(Needs::Look));
        let code = broadcast
            .as_ref()
            .ok()
            .filter(|_| at.may(Needs::Look))
            .and_then(|broadcast| broadcast.reason_code(now))
            .map(|code| Told::of(code, language));
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
    let refused = if at.may(Needs::Look) { news(ledger.all_refused().await?, &known) } else { Vec::new() };
    broadcasts.sort_by_key(|one| (one.is_over, one.created_at.is_some(), std::cmp::Reverse(one.created_at)));
    let (status, message, failed) = match said {
        Ok(message) => (StatusCode::OK, message, false),
        Err((status, message)) => (status, Some(message), true),
    };
    let closing = ledger.closing().await?.map(|closing| format!("{} ({})", closing.reason, closing.closed_by));
    let closing = closing.map(|told| if at.may(Needs::Look) { told } else { String::new() });
    let template = List { frame: at.frame(), words, broadcasts, refused, closing, message, failed };
    page(at, &template, (language, remember), status)
}

async fn broadcast(State(at): Shared, Path(id): Path<String>, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    broadcast_page(&at, &parse(id)?, language(&asked, &headers), Ok(None)).await
}

/// `said` is what became of a form.
pub(super) async fn broadcast_page(
    at: &At,
    id: &BroadcastId,
    (language, remember): (Language, bool),
    said: Result<Option<String>, (StatusCode, String)>,
) -> Page {
    let words = language.words();
    if !at.may(Needs::Look) {
        return bare_page(at, id, (language, remember), said).await;
    }
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
    let mut actions = actions(words, live.status.state, waits);
    actions.retain(|action| at.may(if action.verb == "stop" { Needs::Stop } else { Needs::Steer }));
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

/// What it takes to stop it, and no more. What can't be read is no reason not to.
async fn bare_page(
    at: &At,
    id: &BroadcastId,
    (language, remember): (Language, bool),
    said: Result<Option<String>, (StatusCode, String)>,
) -> Page {
    let words = language.words();
    let bare = match at.console.live(id, language).await {
        Ok(live) => Some(Bare::of(live)),
        Err(error) if is_absent(&error) => return Err(Failed(error)),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), broadcast.id = %id, "a broadcast can't be read for whoever may only stop it");
            None
        }
    };
    let (status, message, failed) = match said {
        Ok(message) => (StatusCode::OK, message, false),
        Err((status, message)) => (status, Some(message), true),
    };
    let template = StopPage { frame: at.frame(), words, id: id.to_string(), bare, message, failed };
    page(at, &template, (language, remember), status)
}

async fn live(State(at): Shared, Path(id): Path<String>, Query(asked): Query<Asked>, headers: HeaderMap) -> Page {
    let (language, _) = language(&asked, &headers);
    Ok(Html(at.console.fragment(&parse(id)?, language, !at.may(Needs::Look)).await?).into_response())
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

pub(super) fn parse(id: String) -> Result<BroadcastId, Failed> {
    BroadcastId::try_from(id).map_err(|reason| Failed(anyhow::anyhow!("the broadcast's id {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way that is added here is to be walked, too, in `tests/e2e/tests/operating/rights.rs`.
    #[test]
    fn every_way_in_says_what_it_needs() {
        let ways: Vec<(&str, Needs)> = ways().into_iter().map(|(path, needs, _)| (path, needs)).collect();
        let (entry, look, stop, steer) = (Needs::Entry, Needs::Look, Needs::Stop, Needs::Steer);
        let expected = [
            ("/", entry),
            ("/style.css", entry),
            ("/console.js", entry),
            ("/b/{id}", entry),
            ("/b/{id}/live", entry),
            ("/b/{id}/evidence", look),
            ("/b/{id}/letters", look),
            ("/b/{id}/letter/{page}/{chunk}/{place}", look),
            ("/who", look),
            ("/stop-all", stop),
            ("/b/{id}/stop", stop),
            ("/b/{id}/pause", steer),
            ("/b/{id}/resume", steer),
            ("/b/{id}/approve", steer),
        ];
        assert_eq!(ways, expected);
    }
}
