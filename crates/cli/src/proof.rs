//! When a stop is proved: one rule for `issei stop`, the console, the report and `issei resend`.
//!
//! Two things must be over. Nobody may begin to send: so it is once every consumer has said that it holds nothing, or once AWS
//! refuses whatever was granted before. And what had begun must have its answer, or be too old to be accepted; where nobody is in
//! doubt, everything has its answer. Both are over, too, where another provider than SES knows none of the keys any more, which a
//! person says.
//!
//! What it must never do: call a stop proved by the time alone where the provider refuses nothing for its age, or where somebody
//! sends with timeouts that nobody knows.

use std::time::Duration;

use issei_assembly::Parts;
use issei_aws::Timing;
use issei_ledger::{AuditEntry, AuditTrail, BroadcastState, LedgerError, Widest, key_revoked, nothing_held_since};
use issei_schema::ProviderName;
use jiff::{SignedDuration, Timestamp};

use crate::operator::widest;

/// What may still be under way of a broadcast that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnderWay {
    /// Permits may be in somebody's hands.
    Permits,
    /// Nobody begins to send any more. Requests may have no answer yet, or nobody has counted whether any has none.
    Requests,
    /// Everything that began has its answer.
    Nothing,
}

impl UnderWay {
    /// `in_doubt` as it was counted; nothing where it was not.
    pub(crate) fn of(nobody_sends: bool, in_doubt: Option<u64>) -> Self {
        match (nobody_sends, in_doubt) {
            (true, Some(0)) => Self::Nothing,
            (true, _) => Self::Requests,
            (false, _) => Self::Permits,
        }
    }

    /// How long after its stop was decided nothing of it can be accepted any more, whatever befell whoever sends. It may be
    /// known sooner.
    pub(crate) fn over_after(self, timing: &Timing) -> Duration {
        match self {
            Self::Permits => timing.refused_after().max(timing.claims_over_after()),
            Self::Requests => timing.claims_over_after(),
            Self::Nothing => Duration::ZERO,
        }
    }
}

/// The one number of seconds that whoever stops or pauses is told: after them nothing that was granted before can be sent or
/// accepted any more, whatever befell whoever sends. A stop may be proved sooner, and is never proved by the time later.
pub(crate) fn at_most(timing: &Timing) -> Duration {
    UnderWay::Permits.over_after(timing)
}

/// How it stands with the proof of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopProof {
    /// Nothing can be sent or accepted any more, since this moment.
    Since(Timestamp),
    /// Not before this moment, unless it is known sooner.
    NotBefore(Timestamp),
    /// It can't be said by the time.
    Unsaid,
}

/// What a proof is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Stopped<'a> {
    pub(crate) state: BroadcastState,
    /// Who carries it, where that is not SES.
    pub(crate) provider: Option<&'a ProviderName>,
    pub(crate) trail: &'a AuditTrail,
    /// As it was counted, and after nobody held anything where that is known: who was counted before may have sent since. Nothing where
    /// it was not.
    pub(crate) in_doubt: Option<u64>,
}

impl Stopped<'_> {
    /// By the widest timeouts of those who could send.
    pub(crate) async fn proof(&self, parts: &Parts, now: Timestamp) -> Result<StopProof, LedgerError> {
        Ok(self.judged(&widest(parts).await?, now))
    }

    /// Whether nobody begins to send any more, whatever SES is let do: a stop that was written by force says nothing of that.
    pub(crate) fn nobody_begins(&self, Widest { timing, untold }: &Widest, now: Timestamp) -> bool {
        let Some(Moments { decided, is_said, .. }) = Moments::of(self.state, self.trail) else { return false };
        if self.state != BroadcastState::Stopped {
            return false;
        }
        let is_refused = SignedDuration::try_from(timing.refused_after()).is_ok_and(|wait| now.duration_since(decided) >= wait);
        is_said || (self.provider.is_none() && untold.is_empty() && is_refused)
    }

    /// Since when it is known that nobody holds anything of it; nothing where that is not known, or it is not stopped.
    pub(crate) fn nothing_held_since(&self) -> Option<Timestamp> {
        nothing_held_since(&self.trail.entries).filter(|_| self.state == BroadcastState::Stopped)
    }

    /// How long ago its stop was decided. Of one that is stopping, and was ended unread, no entry tells that: the last is of long before.
    pub(crate) fn decided_ago(&self, now: Timestamp) -> Duration {
        let is_told = self.state == BroadcastState::Stopped || self.trail.entries.iter().any(is_decision);
        let decided = Moments::of(self.state, self.trail).filter(|_| is_told).map(|moments| now.duration_since(moments.decided));
        decided.and_then(|ago| Duration::try_from(ago).ok()).unwrap_or_default()
    }

    /// The same by timeouts that are known, where whoever is in doubt was counted after `now`: what nobody begins any more has its
    /// answer then, also where the stop was written by force, long before.
    pub(crate) fn judged_by_a_later_count(&self, widest: &Widest, now: Timestamp) -> StopProof {
        let is_over = self.in_doubt == Some(0) && self.nobody_begins(widest, now);
        match self.judged(widest, now) {
            StopProof::NotBefore(_) if is_over => StopProof::Since(now),
            judged => judged,
        }
    }

    /// The same by timeouts that are known.
    pub(crate) fn judged(&self, Widest { timing, untold }: &Widest, now: Timestamp) -> StopProof {
        let revoked = self.provider.filter(|_| self.state.is_over()).and_then(|_| revoked(self.trail));
        let by_key = revoked.map_or(StopProof::Unsaid, StopProof::Since);
        let Some(Moments { decided, stopped, is_said }) = Moments::of(self.state, self.trail) else { return by_key };
        let is_stopped = self.state == BroadcastState::Stopped;
        // Whatever the provider, and whoever sends: each has said it, and no request is without its answer.
        if is_stopped && is_said && self.in_doubt == Some(0) {
            return StopProof::Since(stopped);
        }
        if self.provider.is_some() {
            return by_key;
        }
        if !untold.is_empty() {
            return StopProof::Unsaid;
        }
        let after = |wait: Duration| SignedDuration::try_from(wait).ok().and_then(|wait| decided.checked_add(wait).ok());
        let is_refused = after(timing.refused_after()).is_some_and(|at| stopped >= at);
        let under_way = UnderWay::of(is_stopped && (is_said || is_refused), self.in_doubt);
        match after(under_way.over_after(timing)) {
            Some(_) if under_way == UnderWay::Nothing => StopProof::Since(stopped),
            Some(at) if is_stopped && now >= at => StopProof::Since(at),
            Some(at) => StopProof::NotBefore(at),
            None => StopProof::Unsaid,
        }
    }
}

/// Until when what was granted before a pause may still be accepted by SES, at most. Nothing where that is over, or where somebody
/// sends with timeouts that nobody knows.
pub(crate) fn after_pause(trail: &AuditTrail, Widest { timing, untold }: &Widest, now: Timestamp) -> StopProof {
    if !untold.is_empty() {
        return StopProof::Unsaid;
    }
    let paused = trail.entries.iter().rfind(|entry| entry.step.ends_with(" -> paused"));
    let wait = SignedDuration::try_from(at_most(timing)).ok();
    let until = paused.zip(wait).and_then(|(entry, wait)| entry.at.checked_add(wait).ok());
    until.filter(|until| *until > now).map_or(StopProof::Unsaid, StopProof::NotBefore)
}

/// When somebody said last, after the last step, that each key by which another provider than SES was asked for it is revoked: it
/// accepts nothing more, whoever asks. No service says it, so it is as true as that person's word. A certificate goes by the same
/// entry.
pub(crate) fn revoked(trail: &AuditTrail) -> Option<Timestamp> {
    key_revoked(&trail.entries).map(|entry| entry.at)
}

/// Whether it is the step of a stop, after which nothing was granted.
fn is_decision(entry: &AuditEntry) -> bool {
    entry.step.ends_with(" -> stopping")
}

struct Moments {
    /// When its stop was decided, after which nothing was granted.
    decided: Timestamp,
    /// When it was stopped, as far as it is.
    stopped: Timestamp,
    /// Every consumer had said by then that it holds nothing, or nothing had ever been granted.
    is_said: bool,
}

impl Moments {
    fn of(state: BroadcastState, trail: &AuditTrail) -> Option<Self> {
        if !matches!(state, BroadcastState::Stopping | BroadcastState::Stopped) {
            return None;
        }
        let last = trail.entries.iter().rfind(|entry| entry.is_step())?;
        let decided = trail.entries.iter().rfind(|entry| is_decision(entry)).map_or(last.at, |entry| entry.at);
        let said = nothing_held_since(&trail.entries);
        Some(Self { decided, stopped: said.unwrap_or(last.at), is_said: said.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_ledger::{KEY_REVOKED, NEVER_GRANTED, NOTHING_HELD, SAID};

    const TIMING: Timing = Timing {
        send: Duration::from_secs(5),
        permit_life: Duration::from_secs(8),
        lease: Duration::from_secs(20),
        handler: Duration::from_secs(30),
        visibility: Duration::from_mins(3),
        ledger: Duration::from_secs(5),
        request_lifetime: Duration::from_mins(5),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn trail(steps: &[(i64, &str, &str)]) -> AuditTrail {
        let entry = |(second, step, reason): &(i64, &str, &str)| -> AuditEntry {
            serde_json::from_value(serde_json::json!({ "at": at(*second), "actor": "a test", "step": step, "reason": reason })).unwrap()
        };
        AuditTrail { entries: steps.iter().map(entry).collect(), broken: Vec::new() }
    }

    fn stopped(second: i64, reason: &str) -> AuditTrail {
        let stop = [(0, "enumerating -> running", "frozen"), (100, "running -> stopping", "a wrong text")];
        trail(&[&stop[..], &[(second, "stopping -> stopped", reason), (second + 1, "forgot 1 of page 0", "ticket 1")]].concat())
    }

    #[test]
    fn whoever_records_after_the_last_step_that_a_key_is_revoked_proves_what_another_provider_than_ses_carries() {
        use BroadcastState::{Complete, Stopped as Over, Stopping};
        let lapsed = (420, "stopping -> stopped", "every permit granted before the stop has expired");
        let begun = [(0, "enumerating -> running", "frozen"), (100, "running -> stopping", "a wrong text")];
        let said = |second| (second, KEY_REVOKED, "deleted in the dashboard");
        let after = trail(&[&begun[..], &[lapsed, said(500), (510, "forgot 1 of page 0", "ticket 1")]].concat());
        let twice = trail(&[&begun[..], &[lapsed, said(500), said(600)]].concat());
        let before = trail(&[&begun[..], &[said(200), lapsed]].concat());
        let complete = trail(&[begun[0], (100, "running -> complete", "all is sent"), said(500)]);
        let (resend, untold) = ("resend".parse().unwrap(), vec!["an older build".to_owned()]);
        let judged = |trail: &AuditTrail, state, provider, in_doubt| {
            let widest = Widest { timing: TIMING, untold: untold.clone() };
            Stopped { state, provider, trail, in_doubt }.judged(&widest, at(10_000))
        };
        for in_doubt in [Some(3), Some(0), None] {
            assert_eq!(judged(&after, Over, Some(&resend), in_doubt), StopProof::Since(at(500)));
            assert_eq!(judged(&twice, Over, Some(&resend), in_doubt), StopProof::Since(at(600)), "as a certificate has it");
            assert_eq!(
                judged(&before, Over, Some(&resend), in_doubt),
                StopProof::Unsaid,
                "it was asked after that, and may have been since"
            );
            assert_eq!(judged(&trail(&[&begun[..], &[said(200)]].concat()), Stopping, Some(&resend), in_doubt), StopProof::Unsaid);
            assert_eq!(judged(&after, Over, None, in_doubt), StopProof::Unsaid, "SES has no key, and an older build may sign anew");
            assert_eq!(judged(&complete, Complete, Some(&resend), in_doubt), StopProof::Since(at(500)));
            assert_eq!(judged(&complete, Complete, None, in_doubt), StopProof::Unsaid);
        }
    }

    #[test]
    fn what_was_granted_before_a_pause_may_be_accepted_until_the_longest_wait_is_over() {
        let paused =
            trail(&[(0, "enumerating -> running", "frozen"), (100, "running -> paused", "wait"), (120, "forgot 1 of page 0", "t")]);
        let widest = |untold| Widest { timing: TIMING, untold };
        let until = at(100 + i64::try_from(at_most(&TIMING).as_secs()).unwrap());
        assert_eq!(after_pause(&paused, &widest(Vec::new()), at(130)), StopProof::NotBefore(until));
        assert_eq!(after_pause(&paused, &widest(Vec::new()), until), StopProof::Unsaid, "nothing is out any more");
        assert_eq!(after_pause(&paused, &widest(vec!["an older build".to_owned()]), at(130)), StopProof::Unsaid);
    }

    #[test]
    fn how_long_ago_a_stop_was_decided_is_told_by_its_own_entry_and_by_none_before_it() {
        use BroadcastState::{Stopped as Over, Stopping};
        let ago = |trail: &AuditTrail, state| Stopped { state, provider: None, trail, in_doubt: None }.decided_ago(at(200)).as_secs();
        let begun = (0, "enumerating -> running", "frozen");
        assert_eq!(ago(&trail(&[begun, (100, "running -> stopping", "a wrong text")]), Stopping), 100);
        assert_eq!(ago(&trail(&[begun]), Stopping), 0, "its item could not be read when it was ended, and that is no step");
        assert_eq!(ago(&trail(&[begun, (150, "stopping -> stopped", "over")]), Over), 50);
    }

    #[test]
    fn a_stop_is_proved_at_once_where_everything_has_its_answer_and_by_the_time_where_not() {
        use BroadcastState::{Stopped as Over, Stopping};
        let known = Widest { timing: TIMING, untold: Vec::new() };
        let (refused, longest) = (305, 333);
        assert_eq!([TIMING.refused_after(), TIMING.claims_over_after()].map(|wait| wait.as_secs()), [refused, longest]);
        let (refused, longest) = (100 + 305, 100 + 333);
        let judged =
            |trail: &AuditTrail, state, in_doubt, second| Stopped { state, provider: None, trail, in_doubt }.judged(&known, at(second));
        let said = stopped(120, SAID);
        assert_eq!(judged(&said, Over, Some(0), 121), StopProof::Since(at(120)));
        assert_eq!(judged(&said, Over, Some(1), 121), StopProof::NotBefore(at(longest)));
        assert_eq!(judged(&said, Over, None, 121), StopProof::NotBefore(at(longest)), "nobody has counted");
        assert_eq!(judged(&said, Over, Some(1), longest), StopProof::Since(at(longest)));
        // With --hard it is stopped sooner than AWS refuses what is held, and SES may be let send again.
        let hard = stopped(120, "SES may not send");
        assert_eq!(judged(&hard, Over, Some(0), 121), StopProof::NotBefore(at(longest)));
        assert_eq!(judged(&hard, Over, Some(0), longest), StopProof::Since(at(longest)));
        let begins =
            |trail: &AuditTrail, second| !Stopped { state: Over, provider: None, trail, in_doubt: None }.nobody_begins(&known, at(second));
        assert!(begins(&hard, 121) && begins(&hard, refused - 1) && !begins(&hard, refused), "SES may be let send again");
        assert!(!begins(&said, 121), "each has said it");
        let counted = |trail: &AuditTrail, in_doubt, second| {
            Stopped { state: Over, provider: None, trail, in_doubt }.judged_by_a_later_count(&known, at(second))
        };
        assert_eq!(counted(&hard, Some(0), refused), StopProof::Since(at(refused)), "nobody begins, and everything has its answer");
        for (in_doubt, second) in [(Some(0), refused - 1), (Some(1), refused), (None, refused)] {
            assert_eq!(counted(&hard, in_doubt, second), StopProof::NotBefore(at(longest)));
        }
        let words = "every permit granted before the stop has expired";
        let lapsed = stopped(refused, words);
        let lapsed_steps =
            [(0, "enumerating -> running", "frozen"), (100, "running -> stopping", SAID), (refused, "stopping -> stopped", words)];
        assert_eq!(judged(&lapsed, Over, Some(0), refused), StopProof::Since(at(refused)));
        // As long as permits may be in somebody's hands nothing is proved, however long that is and whatever is counted.
        let stopping = trail(&[(0, "enumerating -> running", "frozen"), (100, "running -> stopping", "a wrong text")]);
        for (in_doubt, second) in [(Some(0), 101), (Some(0), 10_000), (None, 10_000)] {
            assert_eq!(judged(&stopping, Stopping, in_doubt, second), StopProof::NotBefore(at(longest)));
        }
        // What is said beforehand is what is counted down to.
        assert_eq!(at_most(&TIMING).as_secs(), 333);
        assert_eq!(100 + i64::try_from(at_most(&TIMING).as_secs()).unwrap(), longest);
        let at_once = trail(&[(0, "enumerating", "registered"), (5, "enumerating -> stopped", "a wrong text")]);
        assert_eq!(judged(&at_once, Over, Some(0), 6), StopProof::Since(at(5)));
        let never = stopped(101, NEVER_GRANTED);
        assert_eq!(judged(&never, Over, Some(0), 102), StopProof::Since(at(101)), "there is nobody to say anything");
        assert_eq!(judged(&said, BroadcastState::Complete, Some(0), 10_000), StopProof::Unsaid);
        // Each has said it since, and somebody has asked them.
        let since = |step: &str, reason: &str| trail(&[&lapsed_steps[..], &[(900, step, reason)]].concat());
        assert_eq!(judged(&since(NOTHING_HELD, SAID), Over, Some(0), 901), StopProof::Since(at(900)));
        for (step, reason) in [(NOTHING_HELD, "so they say"), ("forgot 1 of page 0", SAID)] {
            assert_ne!(judged(&since(step, reason), Over, Some(0), 901), StopProof::Since(at(900)), "{step}: {reason}");
        }
        // Nobody but SES refuses a request for its age, and of an older build nobody knows for how long it sends.
        let provider = "sendgrid".parse().unwrap();
        let others = Stopped { state: Over, provider: Some(&provider), trail: &said, in_doubt: Some(0) };
        assert_eq!(others.judged(&known, at(121)), StopProof::Since(at(120)), "it is said, and everything has its answer");
        assert_eq!(Stopped { trail: &never, ..others }.judged(&known, at(102)), StopProof::Since(at(101)));
        assert_eq!(Stopped { in_doubt: Some(1), ..others }.judged(&known, at(10_000)), StopProof::Unsaid);
        assert_eq!(Stopped { trail: &lapsed, ..others }.judged(&known, at(10_000)), StopProof::Unsaid);
        let untold = Widest { timing: TIMING, untold: vec!["an older build".to_owned()] };
        assert_eq!(Stopped { provider: None, trail: &lapsed, ..others }.judged(&untold, at(10_000)), StopProof::Unsaid);
    }
}
