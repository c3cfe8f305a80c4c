//! How long a broadcast was sent.
//!
//! What it must never do: count the days in which events came that tell of it.

use issei_ledger::{Moment, Progress};
use jiff::Timestamp;

use super::Words;
use super::look::{MOMENT, duration};

/// How long it was sent, and until when events came, where that was later.
pub(crate) struct Took {
    pub(super) for_so_long: String,
    pub(super) events_until: Option<Timestamp>,
}

impl Took {
    /// From the first permit to the last answer of the provider.
    pub(crate) fn of(words: &Words, timeline: &[Moment]) -> Option<Self> {
        let (first, last) = (timeline.iter().find(|moment| is_sent(&moment.told))?, timeline.iter().rfind(|moment| is_sent(&moment.told))?);
        let seconds = last.at.duration_since(first.at).as_secs() + MOMENT.as_secs();
        let for_so_long = duration(words, u64::try_from(seconds).ok()?);
        let events_until = timeline.last().map(|moment| moment.at).filter(|at| *at > last.at).map(|at| at + MOMENT);
        Some(Self { for_so_long, events_until })
    }
}

/// Whether a consumer has told of anything.
fn is_sent(told: &Progress) -> bool {
    let Progress { permitted, settled_chunks, accepted, rejected, in_doubt, retried, asked_again, answered, .. } = told;
    [permitted, settled_chunks, accepted, rejected, in_doubt, retried, asked_again, answered].into_iter().any(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Language;
    use jiff::SignedDuration;

    #[test]
    fn what_is_told_of_a_mail_days_later_does_not_make_its_sending_longer() {
        let began: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let moment = |second, told| Moment { at: began + SignedDuration::from_secs(second), told };
        let sent = |accepted| Progress { accepted, permitted: accepted, ..Progress::default() };
        let events = Progress { delivered: 3, proven: 3, ..Progress::default() };
        let words = Language::En.words();
        let took = |moments: &[Moment]| Took::of(words, moments).map(|took| (took.for_so_long, took.events_until));
        assert_eq!(took(&[]), None);
        assert_eq!(took(&[moment(0, events)]), None);
        let both = [moment(0, sent(5)), moment(20, sent(1))];
        assert_eq!(took(&both), Some(("30 s".to_owned(), None)));
        let [first, last] = both;
        let late = [first, last, moment(259_200, events)];
        assert_eq!(took(&late), Some(("30 s".to_owned(), Some(began + SignedDuration::from_secs(259_210)))));
    }
}
