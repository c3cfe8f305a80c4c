//! The early proof that nobody sends any more after a stop: what each run of a consumer says that it holds.
//!
//! Nothing is granted after the stop's write. So whoever held nothing at one moment after it never sends any more,
//! whatever befalls its machine; and whoever does not say so is waited for until AWS refuses what it may hold. No
//! wall clocks are compared. It must never take a beat that was made before the stop for one that was made after it.

use issei_schema::BroadcastId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Broadcast, Heartbeat, Ledger, LedgerError, ServiceKind};

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

/// How far the clocks of a run and of whoever registered a broadcast may be apart.
pub(crate) const CLOCKS: SignedDuration = SignedDuration::from_hours(6);

/// A broadcast that was stopped, for the question who may hold anything of it.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub id: BroadcastId,
    held: MayHold,
}

/// Of whom it is to be known that they hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MayHold {
    /// Of whoever could send when it was stopped: SES refuses whatever is held by others.
    Lately,
    /// Of whoever was ever seen since it was registered, then: what its provider takes is never too old.
    Since(Timestamp),
    /// Of some the ledger has forgotten that they were there.
    Forgotten,
}

impl Awaited {
    fn is_of(&self, run: &Heartbeat, stopped: Timestamp) -> bool {
        match self.held {
            MayHold::Lately => run.could_send(stopped),
            MayHold::Since(registered) => run.seen_at.saturating_add(CLOCKS).is_ok_and(|seen| seen >= registered),
            MayHold::Forgotten => true,
        }
    }
}

/// The runs that could have held something when a broadcast was stopped.
#[derive(Clone, Debug)]
pub struct Draining {
    at_stop: Vec<Heartbeat>,
    stopped: Timestamp,
}

impl Draining {
    /// `runs` were read after the stop was acknowledged. One that has ended by then holds nothing: it says that it
    /// is at work again before it works.
    #[must_use]
    pub fn after_stop(runs: &[Heartbeat], now: Timestamp) -> Self {
        let could_hold = |run: &&Heartbeat| run.service == ServiceKind::Consumer && run.ended_at.is_none();
        Self { at_stop: runs.iter().filter(could_hold).cloned().collect(), stopped: now }
    }

    /// Whether it is proved that nobody holds anything of this broadcast, by what they say now.
    #[must_use]
    pub fn is_over(&self, of: &Awaited, now: &[Heartbeat]) -> bool {
        of.held != MayHold::Forgotten && self.waits_for(of, now).is_empty()
    }

    /// Those of whom it is not proved yet that they hold nothing of this broadcast, by what they say now.
    #[must_use]
    pub fn waits_for<'a>(&'a self, of: &Awaited, now: &[Heartbeat]) -> Vec<&'a Heartbeat> {
        let is_proved = |then: &Heartbeat| {
            let Some(now) = now.iter().find(|run| run.token == then.token) else { return false };
            if now.ended_at.is_some() {
                return true;
            }
            let Some((before, in_hand)) = then.in_hand.as_ref().zip(now.in_hand.as_ref()) else { return false };
            // The acknowledged one landed after those runs were read, and so after the stop, and this one was made
            // when its answer had come. A beat that is only later than theirs may have been made before the stop,
            // and have landed since.
            in_hand.acknowledged > before.beat && !in_hand.broadcasts.contains(&of.id)
        };
        self.at_stop.iter().filter(|run| of.is_of(run, self.stopped) && !is_proved(run)).collect()
    }

    /// Whether these were silent for so long when it was stopped that nobody waits for their answer.
    #[must_use]
    pub fn are_lost(&self, runs: &[&Heartbeat]) -> bool {
        !runs.iter().any(|run| run.could_send(self.stopped))
    }
}

impl Ledger {
    /// For the question who may hold anything of a broadcast that was stopped. SES refuses what was granted long ago, whoever was
    /// silent until then; no other provider does, so that no age of a heartbeat proves anything there.
    pub async fn awaited(&self, broadcast: &Broadcast) -> Result<Awaited, LedgerError> {
        let (id, registered) = (broadcast.broadcast_id.clone(), broadcast.created_at);
        if broadcast.provider.is_none() {
            // Services of the table that it was restored from were granted permits until they saw that it was taken into use, and have no
            // heartbeat here.
            let is_forgotten = self.may_have_forgotten(broadcast).await?.is_some();
            return Ok(Awaited { id, held: if is_forgotten { MayHold::Forgotten } else { MayHold::Lately } });
        }
        // Heartbeats are deleted in time, and a ledger that was restored lacks those that were made since the backup. Those of the hours
        // before its registration are asked for too, so here it is not enough that it was registered after the restore.
        let kept = SignedDuration::try_from(self.keep).unwrap_or(SignedDuration::MAX);
        let is_forgotten = self.clock.wall().duration_since(registered) >= kept
            || self.restored_at().await?.is_some_and(|at| at.saturating_add(CLOCKS).is_ok_and(|surely_after| registered <= surely_after));
        Ok(Awaited { id, held: if is_forgotten { MayHold::Forgotten } else { MayHold::Since(registered) } })
    }

    /// Every run that may hold anything of these broadcasts, and each that was seen lately.
    pub async fn who_may_hold(&self, of: &[Awaited], now: Timestamp) -> Result<Vec<Heartbeat>, LedgerError> {
        let registered = of.iter().filter_map(|awaited| match awaited.held {
            MayHold::Since(registered) => Some(registered.saturating_sub(CLOCKS).unwrap_or(Timestamp::MIN)),
            MayHold::Lately | MayHold::Forgotten => None,
        });
        self.heartbeats(registered.min().map_or(now, |registered| registered.min(now))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            keys: std::collections::BTreeMap::new(),
            in_hand: Some(InHand { beat, acknowledged, broadcasts }),
            lacks: std::collections::BTreeSet::new(),
            unasked: Vec::new(),
        }
    }

    fn awaited(held: MayHold) -> Awaited {
        Awaited { id: id(), held }
    }

    fn is_proved(then: &Heartbeat, now_says: &[Heartbeat]) -> bool {
        Draining::after_stop(std::slice::from_ref(then), now()).is_over(&awaited(MayHold::Lately), now_says)
    }

    #[test]
    fn no_age_of_a_heartbeat_proves_anything_where_no_request_is_too_old() {
        let ago = |hours| now().checked_sub(SignedDuration::from_hours(hours)).unwrap();
        let killed = Heartbeat { seen_at: ago(7), ..run(7, 6, true) };
        let draining = Draining::after_stop(std::slice::from_ref(&killed), now());
        for (held, is_over) in [
            (MayHold::Lately, true),
            (MayHold::Since(ago(8)), false),
            (MayHold::Since(ago(2)), false),
            // It was registered when this one was silent already, whatever their clocks said.
            (MayHold::Since(now()), true),
            (MayHold::Forgotten, false),
        ] {
            assert_eq!(draining.is_over(&awaited(held), std::slice::from_ref(&killed)), is_over, "{held:?}");
            assert_eq!(draining.is_over(&awaited(held), &[]), is_over, "{held:?}: it is not among those who were seen today");
        }
        assert!(draining.are_lost(&[&killed]) && !draining.are_lost(&[&killed, &run(7, 6, true)]));
        assert!(!Draining::after_stop(&[], now()).is_over(&awaited(MayHold::Forgotten), &[]), "nobody knows who was there");
        // It wakes, and says that it holds nothing.
        let since = awaited(MayHold::Since(ago(8)));
        assert!(draining.is_over(&since, &[run(9, 8, false)]) && !draining.is_over(&since, &[run(9, 8, true)]));
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
