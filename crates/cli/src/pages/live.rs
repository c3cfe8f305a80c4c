//! How a broadcast stands, as the part of a page that is replaced while it moves: for whoever may look, and for whoever may only stop.
//!
//! What this must never do: show whoever may only stop what somebody else has written.

use askama::Template;
use issei_ledger::{AuditTrail, BroadcastState, Moment, ReasonCode};
use issei_schema::Bilingual;
use jiff::Timestamp;

use super::numbers::share;
use super::{Look, Told, Words, actions, grouped, plot, terms};
use crate::commands::status::Status;
use crate::proof::StopProof;

/// A count with its name and its share of the recipients.
pub(crate) struct Count {
    name: &'static str,
    /// For the style, and for those who test.
    id: &'static str,
    value: String,
    share: Option<String>,
}

/// How a broadcast stands, as a part of a page that can be replaced.
#[derive(Template)]
#[template(path = "live.html", blocks = ["standing", "counted"])]
pub(crate) struct Live {
    pub(crate) words: &'static Words,
    pub(crate) status: Status,
    pub(crate) counts: Vec<Count>,
    pub(crate) trail: AuditTrail,
    pub(crate) look: Look,
    /// Made by us of numbers alone, for a desk and for a phone.
    pub(crate) plots: Vec<(&'static str, String)>,
    /// The day on which they begin, in UTC.
    pub(crate) plotted_from: String,
    pub(crate) refreshes: bool,
}

impl Live {
    /// `proof` is how it stands with the proof of its stop.
    pub(crate) fn of(
        words: &'static Words,
        mut status: Status,
        trail: AuditTrail,
        timeline: &[Moment],
        proof: StopProof,
        refreshes: bool,
    ) -> Self {
        // However many entries came after it.
        if let Some(twice) = trail.accepted_twice() {
            status.accepted_twice = Some(twice.reason.clone());
            status.reason_code = status.reason_code.or(twice.code).or(Some(ReasonCode::AcceptedTwice));
        }
        let share = |count: u64| Some(share(count, status.recipients));
        let count =
            |name: &'static str, id: &'static str, value: u64, share: Option<String>| Count { name, id, value: grouped(value), share };
        let mut counts = vec![
            count(words.audience, "audience", status.audience, None),
            count(words.skipped, "skipped", status.skipped, None),
            count(words.permitted, "permitted", status.permitted, share(status.permitted)),
            count(words.accepted, "accepted", status.accepted, share(status.accepted)),
            count(words.delivered, "delivered", status.delivered, share(status.delivered)),
            count(words.bounced, "bounced", status.bounced, share(status.bounced)),
            count(words.suppressed, "suppressed", status.suppressed, share(status.suppressed)),
            count(words.delayed_mail, "delayed", status.delayed, share(status.delayed)),
            count(words.complained, "complained", status.complained, share(status.complained)),
            count(words.rejected, "rejected", status.rejected, share(status.rejected)),
            count(words.spared, "spared", status.spared, share(status.spared)),
            count(words.in_doubt, "in-doubt", status.in_doubt, share(status.in_doubt)),
        ];
        if status.forgotten > 0 {
            counts.insert(2, count(words.forgotten, "forgotten", status.forgotten, None));
        }
        if let Some(left_out) = status.left_out {
            counts.insert(1, count(words.left_out, "left-out", left_out, None));
        }
        let look = Look::of(words, &status, timeline, proof);
        let plots = plot::timelines(words, timeline, &trail, &status);
        let begins = trail.entries.first().map(|entry| entry.at).or(timeline.first().map(|moment| moment.at));
        let plotted_from = begins.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string());
        Self { words, status, counts, trail, look, plots, plotted_from, refreshes }
    }

    /// Why it stands there, in short, where issei itself has brought it there.
    pub(super) fn code(&self) -> Option<Told> {
        self.status.reason_code.map(|code| Told::of(code, self.words.of()))
    }

    /// What was found of recipients of whom more than one message was accepted, where that is not the reason itself.
    pub(super) fn found_twice(&self) -> Option<&str> {
        let is_the_reason = self.status.decided.as_ref().is_some_and(|entry| entry.code == Some(ReasonCode::StoppedDuplicate));
        self.status.accepted_twice.as_deref().filter(|_| !is_the_reason)
    }

    /// When it would be done if it were approved now.
    pub(super) fn if_approved(&self) -> Option<String> {
        self.status.if_approved.as_ref().map(|told| terms::if_approved(self.words.of(), told))
    }

    /// As commands name it.
    pub(super) fn carrier(&self) -> String {
        self.status.provider.clone().unwrap_or_default().to_string()
    }

    pub(super) fn state(&self) -> &'static str {
        if self.status.waits.is_some() { self.words.waits } else { self.words.state(self.status.state) }
    }
}

/// What whoever may only stop is shown of a broadcast: numbers and our own words, and nothing that somebody has written.
#[derive(Template)]
#[template(path = "bare.html")]
pub(crate) struct Bare {
    words: &'static Words,
    state: &'static str,
    pub(super) is_over: bool,
    look: Look,
    at: Timestamp,
    ledger_told: Option<Bilingual>,
}

impl Bare {
    pub(crate) fn of(live: Live) -> Self {
        let is_over = actions(live.words, live.status.state, false).is_empty();
        let (words, state) = (live.words, live.state());
        // Here are neither letters nor a reason, and nothing but a way to stop it.
        let next = match live.status.state {
            BroadcastState::Holding => words.bare_holding,
            BroadcastState::Paused if live.look.proof.is_some() => words.bare_paused_out,
            BroadcastState::Paused => words.bare_paused,
            _ => live.look.next,
        };
        Self { words, state, is_over, at: live.status.at, ledger_told: live.status.ledger_told, look: Look { next, ..live.look } }
    }
}
