//! What the report and the console show, in English and Japanese. Everything that comes from outside is
//! escaped by the templates; nothing is fetched from anywhere.

pub(crate) mod bounces;
mod cause;
mod evidence;
mod live;
mod look;
mod numbers;
mod outside;
mod plot;
mod reason_page;
mod reasons;
pub(crate) mod sentence;
mod terms;
mod took;
mod trail;
mod words;

use askama::Template;
use http::StatusCode;
use issei_certificate::Certificate;
use issei_ledger::{Agreement, BroadcastState, Outcome, ReasonCode, Refused, SkipReason, Standing, Suppression};
use issei_schema::{Bilingual, BroadcastCommand, Content};
use jiff::Timestamp;

use crate::commands::person::Why;
use crate::commands::who::Who;

pub(crate) use bounces::Bounces;
pub(crate) use evidence::Evidence;
use evidence::{against, class_of, found, holding, mark_of, so_far};
pub(crate) use live::{Bare, Live};
pub(crate) use look::Look;
pub(crate) use numbers::grouped;
pub(crate) use outside::Page;
use outside::{as_written, dated, folded, outside, timed};
pub(crate) use reason_page::ReasonPage;
pub(crate) use reasons::Told;
pub(crate) use took::Took;
use trail::{coded, reason, said as said_by, step};
pub(crate) use words::{Language, Words, in_both};

pub(crate) const STYLE: &str = include_str!("../../templates/style.css");
pub(crate) const SCRIPT: &str = include_str!("../../templates/console.js");

/// A letter with its text and its HTML at both widths, where there is room for two beside one another.
const LETTER_HEIGHT: usize = 1_200;

/// A page of its own, with its style in it.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Report {
    pub(crate) words: &'static Words,
    pub(crate) style: &'static str,
    pub(crate) live: Live,
    /// From whom, and what it said, by the name of each part.
    pub(crate) from: String,
    pub(crate) said: Vec<(String, String)>,
    pub(crate) took: Option<Took>,
    pub(crate) bounces: Bounces,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) opens: bool,
    /// The key that has signed it, where it was verified.
    pub(crate) signed_by: Option<String>,
    pub(crate) made_at: Timestamp,
    pub(crate) version: &'static str,
}

/// Of so many letters in pixels, for a browser that runs no script: enough for most, and what is longer can be scrolled.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
fn letters_height(letters: &usize) -> usize {
    LETTER_HEIGHT * (*letters).max(1)
}

/// What every page of the console has.
pub(crate) struct Frame {
    /// What the paths of its pages begin with.
    pub(crate) base: String,
    /// What its forms carry.
    pub(crate) csrf: String,
    /// All that it shows is simulated.
    pub(crate) is_simulated: bool,
    pub(crate) may_look: bool,
    pub(crate) may_stop: bool,
    /// What is to be known of the ledger before anything of this is believed, where it is not in use.
    pub(crate) ledger_told: Option<Bilingual>,
}

impl Frame {
    /// Of a page in which what is replaced says that of the ledger.
    pub(crate) fn around_standing(self) -> Self {
        Self { ledger_told: None, ..self }
    }
}

/// Every broadcast.
#[derive(Template)]
#[template(path = "list.html")]
pub(crate) struct List {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) broadcasts: Vec<Listed>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) closing: Option<String>,
    pub(crate) message: Option<Bilingual>,
    pub(crate) failed: bool,
    /// What stood in the form that was refused.
    pub(crate) reason: String,
}

pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) is_over: bool,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) recipients: String,
    /// Why it stands there, in short.
    pub(crate) code: Option<Told>,
    /// Why it can't be read, when it goes on, or what keeps its audience from being frozen.
    pub(crate) note: Option<Note>,
}

pub(crate) enum Note {
    /// In the words of the page.
    Ours(String),
    /// As it was written down.
    HeldUp(Option<ReasonCode>, String),
}

impl Note {
    fn told(&self, words: &Words) -> String {
        match self {
            Self::Ours(told) => dated(told),
            Self::HeldUp(code, why) => format!("{} {}", words.held_up, reason(words, code, why)),
        }
    }
}

/// One broadcast, with what can be done to it.
#[derive(Template)]
#[template(path = "broadcast.html")]
pub(crate) struct BroadcastPage {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) live: Live,
    /// Of each variant, with what stands between braces; nothing where the command can't be read.
    pub(crate) subject: Option<String>,
    pub(crate) actions: Vec<Action>,
    /// What would not be sent if it went on, and what to do.
    pub(crate) unsendable: Option<Bilingual>,
    /// How many letters there are to be read, where it is known.
    pub(crate) letters: usize,
    pub(crate) leak_s: u64,
    pub(crate) message: Option<Bilingual>,
    pub(crate) failed: bool,
}

impl BroadcastPage {
    /// What whoever approves it agrees to; nothing where it was agreed to before.
    fn terms(&self) -> Vec<String> {
        self.live.status.terms.as_ref().map(|all| terms::told(self.words.of(), all)).unwrap_or_default()
    }

    /// Whether others must agree to it still.
    fn waits_for_others(&self) -> bool {
        self.live.status.agreement.as_ref().is_some_and(|agreed| agreed.missing > 0)
    }

    /// Whether it is to be read before it is approved.
    fn shows_letters(&self) -> bool {
        self.live.status.state == BroadcastState::Holding || self.waits_for_others()
    }
}

/// One broadcast, with the way to stop it.
#[derive(Template)]
#[template(path = "stop.html")]
pub(crate) struct StopPage {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) id: String,
    /// Nothing where it can't be read.
    pub(crate) bare: Option<Bare>,
    pub(crate) message: Option<Bilingual>,
    pub(crate) failed: bool,
    /// What stood in the form that was refused.
    pub(crate) reason: String,
}

impl StopPage {
    /// What can't be read may not be over.
    fn may_be_stopped(&self) -> bool {
        self.bare.as_ref().is_none_or(|bare| !bare.is_over)
    }
}

/// One person in all broadcasts.
#[derive(Template)]
#[template(path = "who.html")]
pub(crate) struct WhoPage {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) asked: String,
    /// Nothing before anybody was asked for.
    pub(crate) who: Option<Who>,
    pub(crate) message: Option<Bilingual>,
}

/// What a broadcast says, and to whom.
#[derive(Template)]
#[template(path = "words.html")]
pub(crate) struct WordsPage {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) id: String,
    pub(crate) subject: Option<String>,
    pub(crate) asked: String,
    /// Whose letters were asked for, and where they stand.
    pub(crate) found: Vec<Standing>,
    /// Whom the copy that was refused was to go to.
    pub(crate) to: String,
    /// How many letters are worth a look, where that is known.
    pub(crate) letters: usize,
    pub(crate) may_copy: bool,
    pub(crate) message: Option<Bilingual>,
    pub(crate) failed: bool,
}

/// What is said where a page would stand.
#[derive(Template)]
#[template(path = "failed.html")]
pub(crate) struct FailedPage {
    frame: Frame,
    words: &'static Words,
    heading: &'static str,
    told: Bilingual,
}

impl FailedPage {
    pub(crate) fn of(frame: Frame, words: &'static Words, status: StatusCode, told: Bilingual) -> Self {
        let heading = match status {
            StatusCode::NOT_FOUND => words.failed_absent,
            StatusCode::FORBIDDEN => words.failed_right,
            status if status.is_server_error() => words.failed_unread,
            _ => words.failed_form,
        };
        Self { frame, words, heading, told }
    }
}

/// The same for whoever has not come in: nothing of the console's own is theirs, not even its style.
#[derive(Template)]
#[template(path = "closed.html")]
pub(crate) struct ClosedPage {
    pub(crate) words: &'static Words,
    pub(crate) told: Bilingual,
}

/// What an operator may do now.
pub(crate) struct Action {
    pub(crate) verb: &'static str,
    pub(crate) name: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) dangerous: bool,
    /// What stood in its form, where that was refused.
    pub(crate) reason: String,
}

impl Action {
    fn of(verb: &'static str, name: &'static str, hint: &'static str) -> Self {
        Self { verb, name, hint, dangerous: verb == "stop", reason: String::new() }
    }
}

/// What can be done in this state; `waits` is whether others must agree to it still. The ledger judges again.
pub(crate) fn actions(words: &'static Words, state: BroadcastState, waits: bool) -> Vec<Action> {
    let stop = Action::of("stop", words.stop, words.stop_hint);
    let pause = Action::of("pause", words.pause, words.pause_hint);
    let resume = Action::of("resume", words.resume, words.resume_hint);
    let hint = if waits { words.agree_hint } else { words.approve_hint };
    let approve = Action::of("approve", words.approve, hint);
    match state {
        BroadcastState::Enumerating => vec![stop],
        BroadcastState::Running if waits => vec![approve, pause, stop],
        BroadcastState::Running => vec![pause, stop],
        BroadcastState::Paused => vec![resume, stop],
        BroadcastState::Holding => vec![approve, stop],
        BroadcastState::Stopping | BroadcastState::Stopped | BroadcastState::Complete => Vec::new(),
    }
}

/// What a command says, by the name of each part. HTML is named where there is no text.
pub(crate) fn said(words: &Words, command: &BroadcastCommand) -> Vec<(String, String)> {
    let name = |part: &str, of: Option<&str>| {
        let part = match part {
            "subject" => words.subject,
            "text" => words.text,
            _ => "HTML",
        };
        of.map_or_else(|| part.to_owned(), |of| format!("{part} ({of})"))
    };
    if let Some(template) = command.content.frozen() {
        return template.parts().map(|(part, text)| (name(part, None), text.to_owned())).collect();
    }
    let mut said = Vec::new();
    for (place, content) in command.content.words() {
        let of = matches!(command.content, Content::Variants(_)).then(|| place.rsplit('.').next()).flatten();
        let parts = content.parts().filter(|(part, _)| *part != "html" || content.text.is_none());
        said.extend(parts.map(|(part, text)| (name(part, of), text.as_str().to_owned())));
    }
    said
}

/// The subjects alone.
pub(crate) fn subjects(command: &BroadcastCommand) -> Option<String> {
    let of_template = command.content.frozen().and_then(|template| template.parts().find(|(part, _)| *part == "subject"));
    let of_template = of_template.map(|(_, text)| text.to_owned());
    let own = command.content.words().into_iter().map(|(_, content)| content.subject.as_str().to_owned()).collect::<Vec<_>>();
    of_template.or_else(|| (!own.is_empty()).then(|| own.join(" / ")))
}

/// Who else must agree, or had to.
fn agreement(words: &Words, agreement: &Agreement) -> String {
    outside(words.say(&agreement.told()))
}

/// As HTML: in Japanese with the words by which exports have it.
fn outcome(words: &Words, why: &Why) -> String {
    let told = why.outcome_told();
    let outcome = why.outcome.filter(|_| words.of() == Language::Ja).map(|outcome| match outcome {
        Outcome::Accepted => words.accepted,
        Outcome::Rejected => words.rejected,
        Outcome::InDoubt | Outcome::Open => words.in_doubt,
        Outcome::Retryable => words.to_come,
    });
    match outcome {
        Some(outcome) => format!("{outcome} <code>{}</code>", told.english),
        None => outside(words.say(&told)),
    }
}

/// Before the code of why rows are skipped, in Japanese what it means.
fn skipped_for(words: &Words, reason: &str) -> String {
    let told = SkipReason::of(reason).filter(|_| words.of() == Language::Ja);
    told.map_or_else(String::new, |reason| format!("{} ", reason.in_japanese()))
}

/// Why an address is on the list of those that are not mailed.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
fn cause_of(words: &Words, why: &Suppression) -> String {
    match words.of() {
        Language::En => why.as_str().to_owned(),
        Language::Ja => format!("{} <code>{}</code>", SkipReason::from(*why).in_japanese(), why.as_str()),
    }
}

/// What became of somebody's mail: each event in words, when it was, and why.
fn events_of(words: &Words, why: &Why) -> Vec<(&'static str, Option<Timestamp>, Option<String>)> {
    let told = |kind| why.told_of(kind).map(|told| (told.at, told.reason.as_ref().map(ToString::to_string))).unwrap_or_default();
    why.events.iter().map(|kind| (words.event(*kind), told(*kind))).map(|(event, (at, reason))| (event, at, reason)).collect()
}

/// To the second, which is enough for people.
fn to_second(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
