//! The first look at a broadcast: what its state means and what to do next, how much of it is done, how fast it goes, and
//! after a stop from when on nothing of it can be sent or accepted any more.
//!
//! What it must never do: call a stop proved that `proof.rs` does not.

use issei_ledger::{BroadcastState, Moment, Progress};
use jiff::{SignedDuration, Timestamp};

use super::{Words, grouped};
use crate::commands::status::{LATELY, Status, rate};
use crate::proof::StopProof;

/// What a moment of the timeline covers.
pub(super) const MOMENT: SignedDuration = SignedDuration::from_secs(10);
/// The bar is drawn so wide.
const WIDTH: u64 = 1_000;

pub(crate) struct Look {
    /// What it means, and what to do next.
    pub(super) next: &'static str,
    /// How it is to be seen: `good`, `bad`, `doubt`, or nothing of these.
    pub(super) tone: &'static str,
    /// Of all rows; nothing where there are none yet.
    pub(super) bar: Vec<Part>,
    /// Recipients a second, lately.
    pub(super) rate: Option<String>,
    /// How long the rest takes at that rate.
    pub(super) left: Option<String>,
    pub(super) proof: Option<ProvedAt>,
}

/// A part of the bar, with its name and number.
pub(crate) struct Part {
    pub(super) name: &'static str,
    /// For the style.
    pub(super) class: &'static str,
    pub(super) value: String,
    pub(super) from: u64,
    pub(super) width: u64,
}

/// From when on nothing of a stopped broadcast can be sent or accepted any more.
pub(crate) struct ProvedAt {
    pub(super) at: Timestamp,
    pub(super) is_over: bool,
    /// Counted here, and not by the clock of whoever reads it.
    pub(super) seconds_left: i64,
}

impl ProvedAt {
    fn of(proof: StopProof, now: Timestamp) -> Option<Self> {
        let (at, is_over) = match proof {
            StopProof::Since(at) => (at, true),
            StopProof::NotBefore(at) => (at, false),
            StopProof::Unsaid => return None,
        };
        Some(Self { at, is_over, seconds_left: at.duration_since(now).as_secs().max(0) })
    }
}

impl Look {
    pub(super) fn of(words: &'static Words, status: &Status, timeline: &[Moment], proof: StopProof) -> Self {
        let proof = ProvedAt::of(proof, status.at);
        let (next, tone) = next(words, status, timeline, proof.as_ref());
        let settled = status.accepted + status.rejected + status.spared + status.in_doubt;
        let waits_for = status.recipients.saturating_sub(settled);
        let rate = rate(timeline, status.at, status.decided_at()).filter(|_| status.moves());
        let seconds = rate.filter(|rate| *rate > 0).map(|rate| waits_for.div_ceil(rate));
        Self {
            next,
            tone,
            bar: bar(words, status, waits_for),
            rate: rate.map(grouped),
            // How long a ramp takes is no matter of the last minute's rate.
            left: seconds.filter(|_| waits_for > 0 && status.ramp.is_none()).map(|seconds| duration(words, seconds)),
            proof,
        }
    }
}

fn next(words: &'static Words, status: &Status, timeline: &[Moment], proof: Option<&ProvedAt>) -> (&'static str, &'static str) {
    let must_agree = status.agreement.as_ref().is_some_and(|agreed| agreed.missing > 0);
    match status.state {
        _ if status.held_up.is_some() => (words.next_held_up, "bad"),
        BroadcastState::Enumerating => (words.next_enumerating, ""),
        BroadcastState::Running if status.waits.is_some() => (words.next_waits, ""),
        BroadcastState::Running if status.falls_behind.is_some() => (words.next_late, "bad"),
        BroadcastState::Running if status.not_asked.is_some() => (words.next_not_asked, "bad"),
        BroadcastState::Running if !status.services.iter().any(|run| run.alive) => (words.next_nobody, "bad"),
        BroadcastState::Running => match matter(&Told::of(status), &lately(timeline, status.at)) {
            Some(Matter::NoAnswers) => (words.next_no_answers, "bad"),
            Some(Matter::NoneReached) => (words.next_none_reached, "bad"),
            Some(Matter::NoneAccepted) => (words.next_none_accepted, "bad"),
            None => (words.next_running, ""),
        },
        BroadcastState::Paused if proof.is_some_and(|proof| !proof.is_over) => (words.next_paused_out, "bad"),
        BroadcastState::Paused => (words.next_paused, "bad"),
        BroadcastState::Holding if must_agree => (words.next_agree, "doubt"),
        BroadcastState::Holding if status.accepted + status.in_doubt == 0 => (words.next_holding, "doubt"),
        BroadcastState::Holding => (words.next_canary, "doubt"),
        // Nothing of it is well, however well it ended.
        BroadcastState::Complete if status.accepted_twice.is_some() => (words.next_twice, "bad"),
        BroadcastState::Stopped if status.accepted_twice.is_some() && proof.is_some_and(|proof| proof.is_over) => (words.next_twice, "bad"),
        // A consumer that was killed has not told what it had under way.
        BroadcastState::Stopped if proof.is_some_and(|proof| proof.is_over) && !status.exact => (words.next_stopped_uncounted, "doubt"),
        BroadcastState::Stopped if proof.is_some_and(|proof| proof.is_over) && status.in_doubt == 0 => (words.next_stopped, "good"),
        BroadcastState::Stopped if proof.is_some_and(|proof| proof.is_over) => (words.next_stopped_in_doubt, "doubt"),
        BroadcastState::Stopped | BroadcastState::Stopping if proof.is_none() => (words.next_unproved, "doubt"),
        BroadcastState::Stopped | BroadcastState::Stopping => (words.next_stopping, "doubt"),
        // No time ends it where the provider refuses nothing for its age, and no certificate calls it over before its keys are none.
        BroadcastState::Complete if status.in_doubt > 0 && status.provider.is_some() && proof.is_none() => {
            (words.next_in_doubt_endless, "doubt")
        }
        BroadcastState::Complete if status.in_doubt > 0 => (words.next_in_doubt, "doubt"),
        BroadcastState::Complete => (words.next_complete, "good"),
    }
}

/// What is the matter with a broadcast that runs, though nobody has paused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matter {
    /// Requests are made, and nobody hears whether any was accepted.
    NoAnswers,
    /// Each is answered, and none accepted.
    NoneAccepted,
    /// All that was tried went back: nothing was asked of the provider, or it was too busy.
    NoneReached,
}

/// What is known of those who were sent to.
struct Told {
    accepted: u64,
    rejected: u64,
    in_doubt: u64,
    /// Tried, and surely not accepted. That stays, also while the next attempt is waited for, whose permits are in nobody's hands.
    went_back: u64,
}

impl Told {
    fn of(Status { accepted, rejected, in_doubt, went_back, .. }: &Status) -> Self {
        Self { accepted: *accepted, rejected: *rejected, in_doubt: *in_doubt, went_back: *went_back }
    }
}

/// Nobody was accepted in the last minute, and not for want of trying. Of a few in doubt at the end nothing is to be done.
fn matter(told: &Told, lately: &Progress) -> Option<Matter> {
    let asked = lately.in_doubt + lately.asked_again;
    if lately.accepted > 0 || (asked + lately.rejected == 0 && told.accepted > 0) {
        return None;
    }
    let is_doubted = told.in_doubt > 0 && (asked > 0 || told.in_doubt >= told.rejected);
    if is_doubted && lately.rejected <= asked {
        return Some(Matter::NoAnswers);
    }
    if told.accepted + told.rejected + told.in_doubt == 0 && told.went_back > 0 {
        return Some(Matter::NoneReached);
    }
    (told.rejected > 0 && (lately.rejected > 0 || told.accepted == 0)).then_some(Matter::NoneAccepted)
}

/// What was told in the last minute.
fn lately(timeline: &[Moment], now: Timestamp) -> Progress {
    let begins = now - LATELY;
    timeline.iter().filter(|moment| moment.at >= begins).fold(Progress::default(), |sum, moment| Progress {
        accepted: sum.accepted + moment.told.accepted,
        // Whoever was spared was refused by nobody.
        rejected: sum.rejected + moment.told.refused(),
        in_doubt: sum.in_doubt + moment.told.in_doubt,
        asked_again: sum.asked_again + moment.told.asked_again,
        ..sum
    })
}

fn bar(words: &'static Words, status: &Status, waits_for: u64) -> Vec<Part> {
    let parts = [
        (words.sent, "sent", status.accepted),
        (words.in_doubt, "in-doubt", status.in_doubt),
        (words.rejected, "rejected", status.rejected),
        // They are skipped as well, only later.
        (words.skipped, "skipped", status.skipped + status.spared),
        (words.to_come, "left", waits_for),
    ];
    let whole: u64 = parts.iter().map(|(_, _, count)| count).sum();
    let mut before = 0;
    let mut place = |count: u64| {
        let at = |count: u64| count.saturating_mul(WIDTH).checked_div(whole).unwrap_or(0);
        let from = at(before);
        before += count;
        (from, at(before) - from)
    };
    parts
        .into_iter()
        .map(|(name, class, count)| {
            let (from, width) = place(count);
            Part { name, class, value: grouped(count), from, width }
        })
        .filter(|_| whole > 0)
        .collect()
}

/// As coarse as what it was estimated from.
pub(super) fn duration(words: &Words, seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} {}", words.unit_s),
        120..7_200 => format!("{} {}", seconds.div_ceil(60), words.unit_min),
        _ => format!("{} {}", seconds.div_ceil(3_600), words.unit_h),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Language;

    #[test]
    fn a_broadcast_of_which_nothing_arrives_is_not_called_well() {
        let told = |accepted, rejected, in_doubt| Told { accepted, rejected, in_doubt, went_back: 24 };
        let untried = Told { went_back: 0, ..told(0, 0, 0) };
        let lately =
            |accepted, rejected, in_doubt, asked_again| Progress { accepted, rejected, in_doubt, asked_again, ..Progress::default() };
        for (told, lately, expected) in [
            (told(0, 0, 189), lately(0, 0, 189, 24), Some(Matter::NoAnswers)),
            // All of it stays in doubt, and nothing more is tried.
            (told(0, 0, 189), lately(0, 0, 0, 0), Some(Matter::NoAnswers)),
            // It began well, and then the network was lost.
            (told(5_000, 3, 40), lately(0, 0, 40, 8), Some(Matter::NoAnswers)),
            (told(0, 60, 0), lately(0, 60, 0, 0), Some(Matter::NoneAccepted)),
            (told(5_000, 60, 2), lately(0, 60, 0, 0), Some(Matter::NoneAccepted)),
            // A few at the end, and what is as it must be.
            (told(5_000, 3, 40), lately(0, 0, 0, 0), None),
            (told(5_000, 3, 40), lately(700, 2, 10, 4), None),
            (untried, lately(0, 0, 0, 0), None),
            // Nothing is tried just now, and nothing was ever reached.
            (told(0, 0, 0), lately(0, 0, 0, 0), Some(Matter::NoneReached)),
        ] {
            let found = matter(&told, &lately);
            assert_eq!(found, expected, "{} {} {} {lately:?}", told.accepted, told.rejected, told.in_doubt);
        }
    }

    #[test]
    fn whoever_was_spared_was_refused_by_nobody() {
        let now: Timestamp = "2026-11-26T10:10:00Z".parse().unwrap();
        let told = Progress { rejected: 60, spared: 60, ..Progress::default() };
        let lately = lately(&[Moment { at: now, told }], now);
        assert_eq!(matter(&Told { accepted: 0, rejected: told.refused(), in_doubt: 0, went_back: 0 }, &lately), None);
        // As an older build tells it.
        let told = Progress { spared: 0, ..told };
        assert_eq!(super::lately(&[Moment { at: now, told }], now).rejected, 60);
    }

    #[test]
    fn what_is_left_is_told_in_coarse_units() {
        let words = Language::En.words();
        assert_eq!([119, 120, 7_199, 7_201].map(|seconds| duration(words, seconds)), ["119 s", "2 min", "120 min", "3 h"]);
    }
}
