//! When the absence of events proves that a send was not accepted.
//!
//! Events can be late, and their whole way can be broken. So absence counts only after a wait, and
//! only while the events of others are there: of those whom the provider is known to have accepted
//! within the same minutes, almost all must have theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use issei_ledger::{Outcome, Walked};
use jiff::Timestamp;

/// What absence needs to count as proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long after the last moment at which the send could be accepted.
    pub wait: Duration,
    /// How many recipients known to be accepted within the same minutes there must be.
    pub neighbours_min: u64,
}

/// Of a thousand accepted neighbours, so many must have their events.
const PER_MILLE: u64 = 999;
/// A minute and so many before and after it are "the same minutes".
const MINUTES_AROUND: i64 = 2;

/// By minute of their claims: recipients whom the provider said that it accepted, and those of them
/// of whom an event is known. One entry for each minute that the broadcast took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours(BTreeMap<i64, (u64, u64)>);

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

impl Neighbours {
    pub(crate) fn add(&mut self, walked: &Walked) {
        let (Some(outcomes), Some(claimed_at)) = (walked.chunk.outcomes(), walked.chunk.claimed_at()) else { return };
        let (accepted, proven) = self.0.entry(minute(claimed_at)).or_default();
        // Of those whom the provider said that it accepted: whom events alone prove, they prove by being there.
        for at in outcomes.positions(Outcome::Accepted).filter(|at| walked.chunk.message_id(*at).is_some()) {
            *accepted += 1;
            *proven += u64::from(walked.feedback.proves(at));
        }
    }

    /// Says whether the absence of events about a send of `claimed_at` proves anything.
    pub(crate) fn vouch(&self, rules: &Rules, claimed_at: Timestamp) -> bool {
        let at = minute(claimed_at);
        let around = self.0.range(at - MINUTES_AROUND..=at + MINUTES_AROUND);
        let (accepted, proven) = around.fold((0, 0), |(accepted, proven), (_, (a, p))| (accepted + a, proven + p));
        accepted >= rules.neighbours_min.max(1) && proven * 1_000 >= accepted * PER_MILLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { wait: Duration::from_hours(1), neighbours_min: 100 };

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60 + 30).unwrap()
    }

    #[test]
    fn absence_proves_nothing_without_neighbours_who_are_heard_of() {
        let of = |entries: &[(i64, (u64, u64))]| Neighbours(entries.iter().copied().collect());
        assert!(!of(&[]).vouch(&RULES, at(10)));
        assert!(!of(&[(10, (99, 99))]).vouch(&RULES, at(10)));
        assert!(of(&[(10, (100, 100))]).vouch(&RULES, at(10)));
        assert!(!of(&[(10, (100, 99))]).vouch(&RULES, at(10)));
        assert!(of(&[(10, (1_000, 999))]).vouch(&RULES, at(10)));
        assert!(of(&[(8, (50, 50)), (12, (50, 50))]).vouch(&RULES, at(10)));
        // The events' way broke at minute 13, and earlier ones say nothing of that.
        assert!(!of(&[(10, (5_000, 5_000)), (13, (5_000, 0))]).vouch(&RULES, at(13)));
        assert!(!of(&[(7, (100, 100))]).vouch(&RULES, at(10)));
    }

    proptest! {
        #[test]
        fn one_more_event_never_weakens_a_proof(accepted in 1u64..5_000, proven in 0u64..5_000) {
            let proven = proven.min(accepted);
            let with = |proven| Neighbours([(0, (accepted, proven))].into()).vouch(&RULES, at(0));
            prop_assert!(!with(proven) || proven == accepted || with(proven + 1));
        }
    }
}
