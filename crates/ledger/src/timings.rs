//! The timeouts that a run works with, as its heartbeat tells them, and the widest of several runs.
//!
//! Whoever waits until nothing can be sent any more counts with the timeouts of those who send, and never with
//! narrower ones than its own.

use std::fmt;
use std::time::Duration;

use issei_aws::Timing;
use issei_schema::{Bilingual, both};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Heartbeat, Ledger, LedgerError, ServiceKind};

/// Whoever was seen within this could still send: AWS refuses a clock that is five minutes off, and a permit
/// that is older than a request may be. The rest is for clocks that stood still, or were set.
const COULD_SEND: SignedDuration = SignedDuration::from_hours(6);

/// The timeouts of a run, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    pub send_ms: u64,
    pub permit_life_ms: u64,
    pub lease_ms: u64,
    pub handler_ms: u64,
    pub visibility_ms: u64,
    pub ledger_ms: u64,
    pub request_lifetime_ms: u64,
}

impl From<&Timing> for Timings {
    fn from(timing: &Timing) -> Self {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            send_ms: ms(timing.send),
            permit_life_ms: ms(timing.permit_life),
            lease_ms: ms(timing.lease),
            handler_ms: ms(timing.handler),
            visibility_ms: ms(timing.visibility),
            ledger_ms: ms(timing.ledger),
            request_lifetime_ms: ms(timing.request_lifetime),
        }
    }
}

impl From<Timings> for Timing {
    fn from(timings: Timings) -> Self {
        let Timings { send_ms, permit_life_ms, lease_ms, handler_ms, visibility_ms, ledger_ms, request_lifetime_ms } = timings;
        Self {
            send: Duration::from_millis(send_ms),
            permit_life: Duration::from_millis(permit_life_ms),
            lease: Duration::from_millis(lease_ms),
            handler: Duration::from_millis(handler_ms),
            visibility: Duration::from_millis(visibility_ms),
            ledger: Duration::from_millis(ledger_ms),
            request_lifetime: Duration::from_millis(request_lifetime_ms),
        }
    }
}

impl Timings {
    /// For people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { send_ms, permit_life_ms, lease_ms, handler_ms, visibility_ms, ledger_ms, request_lifetime_ms } = self;
        both!(
            "send {send_ms}, permit {permit_life_ms}, lease {lease_ms}, handler {handler_ms}, visibility {visibility_ms}, ledger {ledger_ms}, request lifetime {request_lifetime_ms} ms",
            "送信 {send_ms}、送信許可 {permit_life_ms}、リース {lease_ms}、ハンドラー {handler_ms}、可視性 {visibility_ms}、台帳 {ledger_ms}、要求の有効期間 {request_lifetime_ms}(ミリ秒)"
        )
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().english)
    }
}

/// What a wait until nothing can be sent any more is counted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widest {
    pub timing: Timing,
    /// Those of whom nobody knows with which timeouts they send, since their build is too old to tell.
    pub untold: Vec<String>,
}

/// The widest of `own` and of what each of these runs works with that could still send.
#[must_use]
pub fn widest(runs: &[Heartbeat], own: &Timing, now: Timestamp) -> Widest {
    let mut widest = Widest { timing: *own, untold: Vec::new() };
    for run in runs.iter().filter(|run| run.could_send(now)) {
        match run.timings {
            Some(timings) => widest.timing = widest.timing.widest(&timings.into()),
            None if run.ended_at.is_none() => widest.untold.push(run.actor.clone()),
            None => {}
        }
    }
    widest
}

impl Heartbeat {
    /// Says whether it sends, and was at work so lately that something of it may be under way.
    #[must_use]
    pub fn could_send(&self, now: Timestamp) -> bool {
        self.service == ServiceKind::Consumer && now.duration_since(self.seen_at).abs() <= COULD_SEND
    }
}

impl Ledger {
    /// The widest of `own` and of what those work with that could still send. Whoever is granted anything has
    /// told of itself before, so this must be read after the last grant that it is to cover.
    pub async fn widest(&self, own: &Timing) -> Result<Widest, LedgerError> {
        let now = self.clock.wall();
        Ok(widest(&self.heartbeats(now).await?, own, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Timing = Timing {
        send: Duration::from_secs(5),
        permit_life: Duration::from_secs(8),
        lease: Duration::from_secs(20),
        handler: Duration::from_secs(30),
        visibility: Duration::from_mins(3),
        ledger: Duration::from_secs(5),
        request_lifetime: Duration::from_mins(5),
    };

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn run(service: ServiceKind, seen_ago: SignedDuration, timing: Option<Timing>) -> Heartbeat {
        let seen_at = now().checked_sub(seen_ago).unwrap();
        let text = |text: &str| text.to_owned();
        Heartbeat {
            service,
            token: text("t"),
            actor: text("issei consumer"),
            version: text("1"),
            build: text("b"),
            settings: text("s"),
            ledger_epoch: 1,
            started_at: seen_at,
            seen_at,
            ended_at: None,
            oldest_message_at: None,
            timings: timing.as_ref().map(Timings::from),
            configured: None,
            carries: None,
            keys: std::collections::BTreeMap::new(),
            in_hand: None,
            lacks: std::collections::BTreeSet::new(),
            unasked: Vec::new(),
        }
    }

    #[test]
    fn whoever_could_send_makes_each_wait_as_long_as_its_own_and_nobody_makes_it_shorter() {
        let second = SignedDuration::from_secs(1);
        let long = Timing { permit_life: Duration::from_secs(40), send: Duration::from_secs(1), ..OWN };
        let slow = Timing { ledger: Duration::from_secs(9), ..OWN };
        for (runs, permit_life_s, ledger_s) in [
            (vec![], 8, 5),
            (vec![run(ServiceKind::Consumer, second, Some(long))], 40, 5),
            (vec![run(ServiceKind::Consumer, second, Some(long)), run(ServiceKind::Consumer, second, Some(slow))], 40, 9),
            // Killed, or silent for whatever cause, and in a wall clock that is off.
            (vec![run(ServiceKind::Consumer, second * 3_600, Some(long))], 40, 5),
            (vec![run(ServiceKind::Consumer, second * -3_600, Some(long))], 40, 5),
            (vec![run(ServiceKind::Consumer, second * 100_000, Some(long))], 8, 5),
            (vec![run(ServiceKind::Producer, second, Some(long))], 8, 5),
        ] {
            let widest = widest(&runs, &OWN, now());
            assert!(widest.untold.is_empty());
            let found = (widest.timing.permit_life.as_secs(), widest.timing.ledger.as_secs(), widest.timing.send);
            assert_eq!(found, (permit_life_s, ledger_s, OWN.send), "{runs:?}");
        }
    }

    #[test]
    fn whoever_does_not_tell_is_named() {
        let ended = Heartbeat { ended_at: Some(now()), ..run(ServiceKind::Consumer, SignedDuration::ZERO, None) };
        let runs = [run(ServiceKind::Consumer, SignedDuration::ZERO, None), ended];
        assert_eq!(widest(&runs, &OWN, now()), Widest { timing: OWN, untold: vec!["issei consumer".to_owned()] });
    }
}
