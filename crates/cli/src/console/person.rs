//! "Did they get it?": one box over all broadcasts, by key or by address.
//!
//! What it must never do: let an address or a key come into the address of a page or a log, where histories keep it. Who is
//! asked for comes as a form, and a letter is named by its place.

use axum::extract::State;
use axum::response::{Html, IntoResponse};
use http::header;
use http::{HeaderValue, StatusCode};
use indicatif::ProgressBar;
use issei_ledger::{Broadcast, Standing};
use issei_schema::{ZoneName, both};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::At;
use super::asking::{Failed, Filled, LetterAt, Said, Tongue, Typed, Word, foreign_form};
use super::routes::{LETTERS_MAY, Page, Shared, answer, page};
use crate::commands::show::letter_of;
use crate::commands::who::{Scope, look};
use crate::letters;
use crate::pages::WhoPage;

pub(super) async fn asked(State(at): Shared, tongue: Tongue, Word(said): Word) -> Page {
    let Said { status, message, typed, .. } = at.console.take_said(said.as_deref()).await;
    let asked = if let Typed::Who(who) = typed { who } else { String::new() };
    let template = WhoPage { frame: at.frame().await, words: tongue.language.words(), asked, who: None, message };
    page(&at, &template, tongue, status)
}

fn nobody() -> Failed {
    Failed::Asked(StatusCode::NOT_FOUND, both!("nobody stands there, or they were forgotten", "該当者がいないか、消去されています"))
}

/// Who is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    csrf: String,
    who: String,
}

/// Where the browser goes away meanwhile, the search ends with it.
pub(super) async fn found(State(at): Shared, tongue: Tongue, Filled(sought): Filled<Sought>) -> Page {
    let (words, asked) = (tongue.language.words(), sought.who.trim().to_owned());
    if !at.door.has_made(&sought.csrf) {
        let refused = Said::refused(StatusCode::FORBIDDEN, foreign_form()).typed(|| Typed::who(&asked));
        return Ok(answer(&at, "/who", tongue, refused).await);
    }
    if asked.is_empty() {
        let refused = Said { status: StatusCode::UNPROCESSABLE_ENTITY, ..Said::NOTHING };
        return Ok(answer(&at, "/who", tongue, refused).await);
    }
    let parts = &at.console.parts;
    let ids = parts.ledger().known_broadcasts().await?;
    let is_not_in_use = at.console.standing().await.is_not_in_use();
    let scope = Scope { ids, audience: None, since: None, language: tongue.language, zone: ZoneName::default(), is_not_in_use };
    let who = look(parts, scope, &asked, &ProgressBar::hidden(), &CancellationToken::new()).await?;
    let template = WhoPage { frame: at.frame().await, words, asked, who: Some(who), message: None };
    page(&at, &template, tongue, StatusCode::OK)
}

/// Whoever stands there.
pub(super) async fn standing_at(at: &At, broadcast: &Broadcast, (seq, chunk, place): (u32, u32, usize)) -> Result<Standing, Failed> {
    if seq >= broadcast.pages {
        return Err(nobody());
    }
    let frozen = at.console.parts.ledger().page(&broadcast.placed(), seq).await?;
    let recipient = frozen.chunks().find(|(number, _)| *number == chunk).and_then(|(_, recipients)| recipients.get(place)?.clone());
    Ok(Standing { page: seq, chunk, at: place, recipient: recipient.ok_or_else(nobody)? })
}

/// The letter of whoever stands there, as it was rendered.
pub(super) async fn letter(State(at): Shared, LetterAt(id, seq, chunk, place): LetterAt, tongue: Tongue) -> Page {
    let ledger = at.console.parts.ledger();
    let broadcast = ledger.broadcast(&id).await?;
    let standing = standing_at(&at, &broadcast, (seq, chunk, place)).await?;
    let command = ledger.command_of(&broadcast).await?;
    let letter = letter_of(&command, &standing.recipient)?;
    let mut response = Html(letters::page(tongue.language, &command, letter.as_slice())?).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(LETTERS_MAY));
    Ok(response)
}
