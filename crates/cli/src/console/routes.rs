//! The console's pages, and every way to them.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use http::header;
use http::{HeaderValue, StatusCode};
use issei_ledger::{Broadcast, HeldAudience, Refused};
use issei_schema::{Bilingual, BroadcastId, both};

use super::asking::{Failed, Named, Said, Tongue, Word, failure, no_page};
use super::guard::{allow, enter, guard, nobody};
use super::right::Needs;
use super::{At, Console, deeds, person, words};
use crate::commands::{inspect::news, status::is_absent};
use crate::pages::{
    Bare, BroadcastPage, Evidence, Language, List, Listed, Note, ReasonPage, SCRIPT, STYLE, StopPage, Told, actions, grouped, subjects,
};
use crate::proof::at_most;
use crate::{letters, operator, sendable};

pub(super) type Shared = State<At>;

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
        ("/b/{id}/words", Needs::Look, get(words::asked).post(words::found)),
        ("/b/{id}/letter/{page}/{chunk}/{place}", Needs::Look, get(person::letter)),
        ("/reason/{code}", Needs::Look, get(reason)),
        ("/who", Needs::Look, get(person::asked).post(person::found)),
        ("/stop-all", Needs::Stop, post(deeds::stop_all).get(to_list)),
        ("/b/{id}/stop", Needs::Stop, post(deeds::stop).get(to_broadcast)),
        ("/b/{id}/pause", Needs::Steer, post(deeds::pause).get(to_broadcast)),
        ("/b/{id}/resume", Needs::Steer, post(deeds::resume).get(to_broadcast)),
        ("/b/{id}/approve", Needs::Steer, post(deeds::approve).get(to_broadcast)),
        ("/b/{id}/copy", Needs::Steer, post(words::copy).get(to_words)),
    ]
}

/// Nothing but the doors is found by whoever does not know one.
pub(super) fn router(console: &Arc<Console>, doors: &[At]) -> Router {
    let mut router = Router::new().fallback(nobody);
    for at in doors {
        let mut behind = Router::new().fallback(|| async { no_page() });
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

pub(super) fn page(at: &At, template: &impl Template, tongue: Tongue, status: StatusCode) -> Page {
    let mut response = (status, Html(template.render()?)).into_response();
    if tongue.remember {
        response.headers_mut().insert(header::SET_COOKIE, at.door.cookie("lang", tongue.language.words().language, "")?);
    }
    Ok(response)
}

async fn reason(State(at): Shared, Path(code): Path<String>, tongue: Tongue) -> Page {
    let Some(template) = ReasonPage::of(&code, at.frame().await, tongue.language.words()) else { return Err(no_page()) };
    page(&at, &template, tongue, StatusCode::OK)
}

async fn list(State(at): Shared, tongue: Tongue, Word(said): Word) -> Page {
    let said = at.console.take_said(said.as_deref()).await;
    let message = said.message.clone();
    list_page(&at, tongue, said).await.map_err(|failed| Said::unshown(message, failed))
}

/// `said` is what became of a form. A broadcast that can't be read hides neither the others nor the way to
/// stop them all. Whoever may not look is told no reasons.
async fn list_page(at: &At, tongue: Tongue, said: Said) -> Page {
    let (ledger, language, words) = (at.console.parts.ledger(), tongue.language, tongue.language.words());
    let (mut broadcasts, mut known, now) = (Vec::new(), Vec::new(), at.console.parts.clock.wall());
    for id in ledger.known_broadcasts().await? {
        let broadcast = ledger.broadcast(&id).await;
        let waits = |broadcast: &Broadcast| {
            let until = broadcast.schedule().told(broadcast.waits_until(now)?);
            Some(Note::Ours(format!("{} {until}", words.goes_on)))
        };
        let held_up = |broadcast: &Broadcast| {
            let held_up = broadcast.held_up.as_ref()?;
            Some(Note::HeldUp(held_up.code, held_up.reason.clone()))
        };
        let standing = |broadcast: &Broadcast| waits(broadcast).or_else(|| held_up(broadcast));
        let note = broadcast.as_ref().map_or_else(|unreadable| Some(Note::Ours(words.say(&unreadable.told()).to_owned())), standing);
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
    let closing = ledger.closing().await?.map(|closing| format!("{} ({})", closing.reason, closing.closed_by));
    let closing = closing.map(|told| if at.may(Needs::Look) { told } else { String::new() });
    let Said { status, message, failed, typed } = said;
    let reason = typed.reason_of("stop-all");
    let template = List { frame: at.frame().await, words, broadcasts, refused, closing, message, failed, reason };
    page(at, &template, tongue, status)
}

/// What became of a form is said once by the page that the form belongs to, at its own address and with the status that it has:
/// whoever loads that again, or goes back, sends no form again, neither one that was done nor one that was refused.
pub(super) async fn answer(at: &At, path: &str, tongue: Tongue, said: Said) -> Response {
    let said = at.console.keep_said(said).await;
    let language = if tongue.remember { format!("lang={}&", tongue.language.words().language) } else { String::new() };
    Redirect::to(&format!("{}{path}?{language}said={said}", at.door.base)).into_response()
}

/// The page that has the form which is sent to this path, within the door.
pub(super) fn page_of(path: &str) -> Option<String> {
    match path {
        "/who" => return Some("/who".to_owned()),
        "/stop-all" => return Some("/".to_owned()),
        _ => {}
    }
    let (id, form) = path.strip_prefix("/b/")?.split_once('/')?;
    match form {
        "stop" | "pause" | "resume" | "approve" => Some(format!("/b/{id}")),
        "words" | "copy" => Some(format!("/b/{id}/words")),
        _ => None,
    }
}

/// Nothing stands at a form's own address. Whoever asks for that is shown the page that has the form.
async fn to_list(State(at): Shared, tongue: Tongue) -> Redirect {
    to_page(&at, "/", tongue)
}

async fn to_broadcast(State(at): Shared, Named(id): Named, tongue: Tongue) -> Redirect {
    to_page(&at, &format!("/b/{id}"), tongue)
}

async fn to_words(State(at): Shared, Named(id): Named, tongue: Tongue) -> Redirect {
    to_page(&at, &format!("/b/{id}/words"), tongue)
}

fn to_page(at: &At, path: &str, tongue: Tongue) -> Redirect {
    let asked = if tongue.remember { format!("?lang={}", tongue.language.words().language) } else { String::new() };
    Redirect::to(&format!("{}{path}{asked}", at.door.base))
}

async fn broadcast(State(at): Shared, Named(id): Named, tongue: Tongue, Word(said): Word) -> Page {
    let said = at.console.take_said(said.as_deref()).await;
    let message = said.message.clone();
    broadcast_page(&at, &id, tongue, said).await.map_err(|failed| Said::unshown(message, failed))
}

/// `said` is what became of a form.
async fn broadcast_page(at: &At, id: &BroadcastId, tongue: Tongue, said: Said) -> Page {
    let (language, words) = (tongue.language, tongue.language.words());
    if !at.may(Needs::Look) {
        return bare_page(at, id, tongue, said).await;
    }
    let live = match at.console.live(id, language).await {
        Err(error) if is_absent(&error) => {
            let refused = at.console.parts.ledger().refused(id).await?;
            let Some(refused) = refused else { return Err(Failed::Error(error)) };
            let (why, at) = (refused_in_both(&refused), refused.refused_at);
            let told = both!("Refused: {} ({at:.0}): {}", "受付を拒否しました: {}({at:.0})。{}", why, failure(&error));
            return Err(Failed::Asked(StatusCode::NOT_FOUND, told));
        }
        live => live?,
    };
    let waits = live.status.agreement.as_ref().is_some_and(|agreed| agreed.missing > 0);
    let mut actions = actions(words, live.status.state, waits);
    actions.retain(|action| at.may(if action.verb == "stop" { Needs::Stop } else { Needs::Steer }));
    // The page counts down to the same.
    let leak_s = at_most(&operator::widest(&at.console.parts).await?.timing).as_secs();
    // What can't be read keeps nobody from what can be done.
    let subject = at.console.parts.ledger().command(id).await.ok().as_ref().and_then(subjects);
    let unsendable = if actions.iter().any(|action| matches!(action.verb, "approve" | "resume")) { unsendable(at, id).await } else { None };
    let letters = live.status.held_audience.as_ref().map_or(0, HeldAudience::shown);
    let Said { status, message, failed, typed } = said;
    for action in &mut actions {
        action.reason = typed.reason_of(action.verb);
    }
    let template = BroadcastPage {
        frame: at.frame().await.around_standing(),
        words,
        live,
        subject,
        actions,
        unsendable,
        letters,
        leak_s,
        message,
        failed,
    };
    page(at, &template, tongue, status)
}

/// What would not be sent if it went on. That it can't be told keeps nobody from what can be done, and is said.
async fn unsendable(at: &At, id: &BroadcastId) -> Option<Bilingual> {
    let parts = &at.console.parts;
    let found = async { sendable::found(parts, &parts.ledger().broadcast(id).await?).await };
    match found.await {
        Ok(found) => found.map(|found| found.why),
        Err(error) => Some(failure(&error)),
    }
}

/// Why a command was refused. Without a code it stands in the words in which it was written down.
fn refused_in_both(refused: &Refused) -> Bilingual {
    let Some(code) = refused.code else { return Bilingual::verbatim(&refused.reason) };
    let reason = &refused.reason;
    Bilingual { english: reason.clone(), japanese: format!("{}(原文: {reason})", Told::of(code, Language::Ja).told) }
}

/// What it takes to stop it, and no more. What can't be read is no reason not to.
async fn bare_page(at: &At, id: &BroadcastId, tongue: Tongue, said: Said) -> Page {
    let words = tongue.language.words();
    let bare = match at.console.live(id, tongue.language).await {
        Ok(live) => Some(Bare::of(live)),
        Err(error) if is_absent(&error) => return Err(Failed::Error(error)),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), broadcast.id = %id, "a broadcast can't be read for whoever may only stop it");
            None
        }
    };
    let frame = at.frame().await;
    let frame = if bare.is_some() { frame.around_standing() } else { frame };
    let Said { status, message, failed, typed } = said;
    let template = StopPage { frame, words, id: id.to_string(), bare, message, failed, reason: typed.reason_of("stop") };
    page(at, &template, tongue, status)
}

async fn live(State(at): Shared, Named(id): Named, tongue: Tongue) -> Page {
    Ok(Html(at.console.fragment(&id, tongue.language, !at.may(Needs::Look)).await?).into_response())
}

async fn evidence(State(at): Shared, Named(id): Named, tongue: Tongue) -> Page {
    let certificate = operator::certifier(&at.console.parts).await?.glance(&id).await?;
    let template = Evidence { frame: at.frame().await, words: tongue.language.words(), certificate, opens: false };
    page(&at, &template, tongue, StatusCode::OK)
}

/// What the page of a letter may do: nothing but to be shown, within the console's own page.
pub(super) const LETTERS_MAY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox";

/// The same, and the console's page may see how high it is, so that it hides none of them: without an origin of its own nothing but a
/// script in there could say it. So it may have ours, and no script to use it with, no form, no other page and nothing to fetch; and each
/// letter's own HTML stands in a frame within it that may nothing at all, and has no origin.
const HELD_LETTERS_MAY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-same-origin";

/// The letters of a broadcast that holds, as they are read.
async fn held_letters(State(at): Shared, Named(id): Named, tongue: Tongue) -> Page {
    let ledger = at.console.parts.ledger();
    let broadcast = ledger.broadcast(&id).await?;
    let (command, letters) = (ledger.command(&broadcast.broadcast_id).await?, letters::of_held(&at.console.parts, &broadcast).await?);
    let mut response = Html(letters::page(tongue.language, &command, &letters)?).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(HELD_LETTERS_MAY));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_page_that_says_what_became_of_it() {
        for (path, page) in [
            ("/stop-all", "/"),
            ("/who", "/who"),
            ("/b/terms/stop", "/b/terms"),
            ("/b/terms/approve", "/b/terms"),
            ("/b/terms/copy", "/b/terms/words"),
            ("/b/terms/words", "/b/terms/words"),
        ] {
            assert_eq!(page_of(path).as_deref(), Some(page), "{path}");
        }
        for other in ["/", "/b/terms", "/b/terms/live", "/b/terms/stop/now", "/b//", "/elsewhere/stop"] {
            assert_eq!(page_of(other), None, "{other}");
        }
    }

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
            ("/b/{id}/words", look),
            ("/b/{id}/letter/{page}/{chunk}/{place}", look),
            ("/reason/{code}", look),
            ("/who", look),
            ("/stop-all", stop),
            ("/b/{id}/stop", stop),
            ("/b/{id}/pause", steer),
            ("/b/{id}/resume", steer),
            ("/b/{id}/approve", steer),
            ("/b/{id}/copy", steer),
        ];
        assert_eq!(ways, expected);
    }
}
