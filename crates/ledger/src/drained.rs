//! The early proof that nobody sends any more after a stop: what each run of a consumer says that it holds.
//!
//! Nothing is granted after the stop's write. So whoever held nothing at one moment after it never sends any more,
//! whatever befalls its machine; and whoever does not say so is waited for until AWS refuses what it may hold. No
//! wall clocks are compared. It must never take a beat that was made before the stop for one that was made after it.

use issei_schema::BroadcastId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Heartbeat;

/// What a run says with a beat that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHand {
    /// The number of this beat, and of the last one that the ledger had acknowledged when this one was made: none
    /// is 0. The first is higher than that of every beat that was tried before.
    pub beat: u64,
    pub acknowledged: u64,
    /// Of these it has permits, a claim or a send under way, or it is asking for permits.
    pub broadcasts: Vec<BroadcastId>,
}

/// The runs that could have held something when a broadcast was stopped.
#[derive(Clone, Debug)]
pub struct Draining {
    at_stop: Vec<Heartbeat>,
}

impl Draining {
    /// `runs` were read after the stop was acknowledged. One that has ended by then holds nothing: it says that it
    /// is at work again before it works.
    #[must_use]
    pub fn after_stop(runs: &[Heartbeat], now: Timestamp) -> Self {
        Self { at_stop: runs.iter().filter(|run| run.could_send(now) && run.ended_at.is_none()).cloned().collect() }
    }

    /// Those of whom it is not proved yet that they hold nothing of these broadcasts, by what they say now.
    #[must_use]
    pub fn waits_for<'a>(&'a self, ids: &[&BroadcastId], now: &[Heartbeat]) -> Vec<&'a Heartbeat> {
        let is_proved = |then: &Heartbeat| {
            let Some(now) = now.iter().find(|run| run.token == then.token) else { return false };
            if now.ended_at.is_some() {
                return true;
            }
            let Some((before, in_hand)) = then.in_hand.as_ref().zip(now.in_hand.as_ref()) else { return false };
            // The acknowledged one landed after those runs were read, and so after the stop, and this one was made
            // when its answer had come. A beat that is only later than theirs may have been made before the stop,
            // and have landed since.
            in_hand.acknowledged > before.beat && !ids.iter().any(|id| in_hand.broadcasts.contains(id))
        };
        self.at_stop.iter().filter(|run| !is_proved(run)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServiceKind;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn id() -> BroadcastId {
        "terms".parse().unwrap()
    }

    fn run(beat: u64, acknowledged: u64, holds: bool) -> Heartbeat {
        let broadcasts = if holds { vec![id()] } else { vec!["others".parse().unwrap()] };
        let text = |text: &str| text.to_owned();
        Heartbeat {
            service: ServiceKind::Consumer,
            token: text("t"),
            actor: text("issei consumer"),
            version: text("1"),
            build: text("b"),
            settings: text("s"),
            ledger_epoch: 1,
            started_at: now(),
            seen_at: now(),
            ended_at: None,
            oldest_message_at: None,
            timings: None,
            configured: None,
            carries: None,
            in_hand: Some(InHand { beat, acknowledged, broadcasts }),
            lacks: std::collections::BTreeSet::new(),
            unasked: Vec::new(),
        }
    }

    fn is_proved(then: &Heartbeat, now_says: &[Heartbeat]) -> bool {
        Draining::after_stop(std::slice::from_ref(then), now()).waits_for(&[&id()], now_says).is_empty()
    }

    #[test]
    fn only_a_beat_that_was_surely_made_after_the_stop_proves_anything() {
        let then = run(7, 6, true);
        for (beat, acknowledged, holds, proved) in [
            (7, 6, false, false),
            // Made before the stop, perhaps, and landed since: whatever was tried in between may have failed.
            (8, 6, false, false),
            (12, 7, false, false),
            (9, 8, false, true),
            (12, 8, false, true),
            (12, 11, true, false),
        ] {
            let found = is_proved(&then, &[run(beat, acknowledged, holds)]);
            assert_eq!(found, proved, "beat {beat}, {acknowledged} acknowledged, holds: {holds}");
        }
    }

    #[test]
    fn whoever_has_ended_holds_nothing_and_whoever_is_gone_or_silent_proves_nothing() {
        let then = run(7, 6, true);
        let ended = |run: Heartbeat| Heartbeat { ended_at: Some(now()), ..run };
        assert!(is_proved(&then, &[ended(run(8, 7, false))]));
        assert!(is_proved(&ended(then.clone()), &[]), "it had ended before");
        assert!(!is_proved(&then, &[]) && !is_proved(&then, std::slice::from_ref(&then)));
    }

    #[test]
    fn an_older_build_which_does_not_say_what_it_holds_proves_nothing_but_its_end() {
        let older = Heartbeat { in_hand: None, ..run(0, 0, false) };
        assert!(!is_proved(&older, std::slice::from_ref(&older)) && !is_proved(&older, &[run(9, 8, false)]));
        assert!(is_proved(&older, &[Heartbeat { ended_at: Some(now()), ..older.clone() }]));
    }
}
