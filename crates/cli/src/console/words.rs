//! What a broadcast says: the letters worth a look, that of any row, and a copy of it to whoever wants to see how it arrives.
//!
//! What it must never do: let a key or an address come into the address of a page, or send a copy by another way than
//! `issei test-send` does.

use axum::extract::State;
use http::StatusCode;
use issei_ledger::{Broadcast, Standing as Place};
use issei_schema::{Address, Bilingual, BroadcastId, both};
use serde::Deserialize;

use super::At;
use super::asking::{Filled, Named, Said, Tongue, Typed, Word, failure, foreign_form};
use super::person::standing_at;
use super::right::Needs;
use super::routes::{Page, Shared, answer, page};
use crate::commands::test_send::enqueue;
use crate::commands::who::in_words;
use crate::in_use::Care;
use crate::letters;
use crate::pages::{WordsPage, subjects};

/// Whose letter is wanted.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    csrf: String,
    who: String,
}

/// Where the row stands that the copy is written from, and whom the copy goes to.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    csrf: String,
    page: u32,
    chunk: u32,
    place: usize,
    to: String,
}

pub(super) async fn asked(State(at): Shared, Named(id): Named, tongue: Tongue, Word(said): Word) -> Page {
    let said = at.console.take_said(said.as_deref()).await;
    let message = said.message.clone();
    let shown = async {
        let row = match &said.typed {
            // The row of a letter whose copy was refused. One that is gone meanwhile is not shown.
            Typed::Copy(row, _) => standing_at(&at, &at.console.parts.ledger().broadcast(&id).await?, *row).await.ok(),
            _ => None,
        };
        let who = if let Typed::Who(who) = &said.typed { who.clone() } else { String::new() };
        words_page(&at, &id, tongue, (who, row.into_iter().collect()), said).await
    };
    shown.await.map_err(|failed| Said::unshown(message, failed))
}

pub(super) async fn found(State(at): Shared, Named(id): Named, tongue: Tongue, Filled(sought): Filled<Sought>) -> Page {
    let who = sought.who.trim().to_owned();
    if !at.door.has_made(&sought.csrf) {
        let refused = Said::refused(StatusCode::FORBIDDEN, foreign_form()).typed(|| Typed::who(&who));
        return Ok(answer(&at, &format!("/b/{id}/words"), tongue, refused).await);
    }
    if who.is_empty() {
        let refused = Said { status: StatusCode::UNPROCESSABLE_ENTITY, ..Said::NOTHING };
        return Ok(answer(&at, &format!("/b/{id}/words"), tongue, refused).await);
    }
    let ledger = at.console.parts.ledger();
    let found = ledger.finder(&who).await?.look(&ledger.broadcast(&id).await?, |_| ()).await?;
    let said = match (found.recipients.is_empty(), found.skipped.first(), found.forgotten.first()) {
        (false, ..) => Said::NOTHING,
        (true, Some((_, skipped)), _) => Said::refused(
            StatusCode::OK,
            both!("there is no letter: the row was skipped, {}", "文面はありません。対象外になった行です: {}", in_words(skipped)),
        ),
        (true, None, Some(forgotten)) => Said::refused(
            StatusCode::OK,
            both!(
                "there is no letter: whoever that was, was forgotten at {:.0}",
                "文面はありません。該当者の情報は{:.0}に消去されています",
                forgotten.at
            ),
        ),
        (true, None, None) => Said::refused(
            StatusCode::OK,
            both!(
                "nobody with that key or address is in the frozen audience; of rows that were skipped the key alone is kept",
                "確定した宛先に、そのキーまたはメールアドレスの該当者はいません。対象外の行はキーだけが記録されています"
            ),
        ),
    };
    words_page(&at, &id, tongue, (who, found.recipients), said).await
}

/// By the code of `issei test-send`, which judges the address and the letter, too.
pub(super) async fn copy(State(at): Shared, Named(id): Named, tongue: Tongue, Filled(wanted): Filled<Wanted>) -> Page {
    let row = (wanted.page, wanted.chunk, wanted.place);
    let said = if at.door.has_made(&wanted.csrf) {
        let broadcast = at.console.parts.ledger().broadcast(&id).await?;
        let place = standing_at(&at, &broadcast, row).await?;
        match send(&at, &broadcast, &place, wanted.to.trim()).await {
            Ok(message) => Said::done(message),
            Err(told) => Said::refused(StatusCode::UNPROCESSABLE_ENTITY, both!("nothing was sent: {}", "何も送信していません。{}", told)),
        }
    } else {
        Said::refused(StatusCode::FORBIDDEN, foreign_form())
    };
    Ok(answer(&at, &format!("/b/{id}/words"), tongue, said.typed(|| Typed::copy(row, wanted.to.trim()))).await)
}

async fn send(at: &At, broadcast: &Broadcast, place: &Place, to: &str) -> Result<Bilingual, Bilingual> {
    let parts = &at.console.parts;
    let Some(settings) = &at.console.settings else {
        return Err(both!("all of this is simulated, and no mail leaves it", "すべて模擬のため、メールは送られません"));
    };
    if let Some(against) = at.console.standing_now().await.against(Care::MustKnow) {
        return Err(against.clone());
    }
    let to: Address =
        to.parse().map_err(|_| both!("that is no address to send a copy to", "見本の送り先がメールアドレスではありません"))?;
    let sent = async {
        let command = parts.ledger().command_of(broadcast).await?;
        enqueue(parts, settings, command, place.recipient.clone(), to).await
    };
    let id = sent.await.map_err(|error: anyhow::Error| failure(&error))?;
    Ok(both!(
        "a copy is on its way as the broadcast {id}, by the services that run; the list shows what becomes of it",
        "見本を一斉送信 {id} として、稼働中のサービスで送信します。結果は一覧で確認できます"
    ))
}

/// `found` is whose letters are shown, and what was asked for.
async fn words_page(at: &At, id: &BroadcastId, tongue: Tongue, (asked, found): (String, Vec<Place>), said: Said) -> Page {
    let ledger = at.console.parts.ledger();
    let broadcast = ledger.broadcast(id).await?;
    let subject = ledger.command(id).await.ok().as_ref().and_then(subjects);
    // What can't be read keeps no row's letter from being shown.
    let letters = letters::of_held(&at.console.parts, &broadcast).await.map_or(0, |letters| letters.len());
    let may_copy = at.may(Needs::Steer) && at.console.settings.is_some();
    let Said { status, message, failed, typed } = said;
    let to = if let Typed::Copy(_, to) = typed { to } else { String::new() };
    let (frame, words) = (at.frame().await, tongue.language.words());
    let template = WordsPage { frame, words, id: id.to_string(), subject, asked, found, to, letters, may_copy, message, failed };
    page(at, &template, tongue, status)
}
