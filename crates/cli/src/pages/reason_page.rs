//! A reason's code in the console: what it means and what to do about it, as the docs have it, with the step of the runbook in the
//! language of whoever looks.

use askama::Template;
use issei_ledger::ReasonCode;
use pulldown_cmark::{Event, Parser, Tag, TagEnd, html};

use super::reasons::{Text, step, texts};
use super::{Frame, Language, Told, Words};

/// What we have written ourselves, as HTML. Its links lead into the book, which a console does not have.
fn as_html(text: &str) -> String {
    let is_link = |event: &Event<'_>| matches!(event, Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link));
    let mut page = String::new();
    html::push_html(&mut page, Parser::new(text).filter(|event| !is_link(event)));
    page
}

/// What a code means and what is to be done, as the docs have it.
#[derive(Template)]
#[template(path = "reason.html")]
pub(crate) struct ReasonPage {
    frame: Frame,
    words: &'static Words,
    told: Told,
    /// What is to be done, of the runbook of this language: its heading, and its text as HTML.
    heading: &'static str,
    runbook: String,
    /// The page of the docs, each part with its heading, as HTML. It is English alone.
    parts: Vec<(&'static str, String)>,
}

impl ReasonPage {
    /// Nothing where there is no such code.
    pub(crate) fn of(code: &str, frame: Frame, words: &'static Words) -> Option<Self> {
        let code = ReasonCode::ALL.iter().copied().find(|known| known.as_str() == code)?;
        let Text { means, done, now, over, step: address } = texts().ok()?.remove(code.as_str())?;
        let [english, japanese] = step(&address)?;
        let (heading, runbook) = match words.of() {
            Language::En => english,
            Language::Ja => japanese,
        };
        let parts = [("", means), ("What issei has done", done), ("What to do now", now), ("How to see that it is over", over)];
        let parts = parts.into_iter().map(|(heading, text)| (heading, as_html(&text))).collect();
        Some(Self { frame, words, told: Told::of(code, words.of()), heading, runbook: as_html(runbook), parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_has_every_page_in_both_languages_with_the_step_of_the_runbook_and_no_link_into_the_book() {
        let frame = || Frame {
            base: "/s/x".to_owned(),
            csrf: String::new(),
            is_simulated: false,
            may_look: true,
            may_stop: true,
            ledger_told: None,
        };
        for code in ReasonCode::ALL {
            for (language, done) in [(Language::En, "What issei has done"), (Language::Ja, "手順")] {
                let page = ReasonPage::of(code.as_str(), frame(), language.words()).unwrap_or_else(|| panic!("{code}")).render().unwrap();
                assert!(page.contains(&Told::of(*code, language).told.replace('\'', "&#39;")) && page.contains(done), "{page}");
                assert!(!page.contains(".md") && !page.contains("href=\"http") && !page.contains('`'), "{page}");
            }
        }
        assert!(ReasonPage::of("PAUSED", frame(), Language::En.words()).is_none());
    }
}
