//! Doubt that its provider could still be asked to end, and that nobody ends: a request is made again only while its broadcast may be
//! sent. Whoever operates it is told how many are left so, until when their keys last, and what can be done meanwhile.
//!
//! What it must never do: call doubt ended, or have anybody asked. A request that is made again may be the first of its key that is
//! taken, so that made after the end it would mail somebody late.

use issei_schema::{Bilingual, BroadcastId, Opening, ProviderName, Schedule, both};
use jiff::Timestamp;
use serde::Serialize;

use crate::walk::Tally;
use crate::{Broadcast, BroadcastState};

/// Recipients in doubt of whom nobody asks, though their provider remembers their requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoubtLeft {
    provider: ProviderName,
    pub recipients: u64,
    /// Until when the last of them could be asked about.
    pub until: Timestamp,
    /// Why nobody asks.
    reason: Bilingual,
    /// What to do.
    pub next_step: Bilingual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// It has ended, or its time is over.
    Over(BroadcastState),
    /// It may be sent again only when the last key is forgotten.
    OpensTooLate(Timestamp),
    /// Somebody has to let it go on, by this moment.
    Stands(BroadcastState, Timestamp),
}

impl DoubtLeft {
    /// Nothing where nobody is left so, or where somebody asks, or will in time.
    #[must_use]
    pub fn of(broadcast: &Broadcast, tally: &Tally, now: Timestamp) -> Option<Self> {
        let (until, state) = (tally.askable_until.filter(|until| now < *until)?, broadcast.broadcast_state);
        let because = Because::of(&broadcast.schedule(), state, until, now)?;
        let (provider, recipients) = (broadcast.provider.clone().unwrap_or_default(), tally.askable_after(now));
        let (reason, next_step) = (because.reason(&provider), because.next_step(&broadcast.broadcast_id, &provider, until));
        Some(Self { provider, recipients, until, reason, next_step })
    }

    /// What is the matter, for people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { provider, recipients, until, reason, .. } = self;
        both!(
            "{recipients} in doubt whose requests {provider} remembers until {until:.0} at the latest, and {}",
            "結果不明の{recipients}件について、{provider} は遅くとも{until:.0}まで要求を覚えていますが、{}",
            reason
        )
    }
}

impl Because {
    fn of(schedule: &Schedule<'_>, state: BroadcastState, until: Timestamp, now: Timestamp) -> Option<Self> {
        match (state, schedule.at(now)) {
            (BroadcastState::Enumerating, _) => None,
            (BroadcastState::Stopping | BroadcastState::Stopped | BroadcastState::Complete, _) | (_, Opening::Over) => {
                Some(Self::Over(state))
            }
            _ if now >= schedule.not_after => Some(Self::Over(state)),
            (_, Opening::Waiting { until: opens }) if opens >= until => Some(Self::OpensTooLate(opens)),
            (BroadcastState::Running, _) => None,
            (BroadcastState::Paused | BroadcastState::Holding, _) => Some(Self::Stands(state, last_open(schedule, until, now))),
        }
    }

    fn reason(self, provider: &ProviderName) -> Bilingual {
        match self {
            Self::Over(state) => both!(
                "nobody asks any more: it is {state}, and its time or its end came first; a request made again may be the first that is taken, and would mail them late",
                "もう照会しません。状態は `{state}` で、先に期限か終了が来ました。送り直した要求が最初に受理されるものとなり、遅れて届くおそれがあるためです"
            ),
            Self::OpensTooLate(opens) => {
                both!(
                    "nobody asks before {opens:.0}, when it may be sent again, and by then {provider} has forgotten them",
                    "再び送信できる{opens:.0}まで照会せず、そのときには {provider} の記録はありません"
                )
            }
            Self::Stands(state, _) => both!("nobody asks while it is {state}", "状態が `{state}` の間は照会しません"),
        }
    }

    fn next_step(self, id: &BroadcastId, provider: &ProviderName, until: Timestamp) -> Bilingual {
        match self {
            Self::Stands(state, by) => {
                let verb = if state == BroadcastState::Holding { "approve" } else { "resume" };
                both!(
                    "issei {verb} {id} before {by:.0}, and they are asked about as soon as it may be sent",
                    "{by:.0}までに `issei {verb} {id}` を実行すると、送信できるようになり次第、照会します"
                )
            }
            Self::Over(_) | Self::OpensTooLate(_) => both!(
                "its events end what they tell of: see that the webhook's come; look the others up at {provider} (`issei export {id} --outcome in-doubt` lists them), best before {until:.0}; whoever is found nowhere stays in doubt",
                "イベントが届けば、その分は確定します。Webhookが届いているか確認してください。残りは {provider} で調べてください(`issei export {id} --outcome in-doubt` で一覧できます)。{until:.0}より前をお勧めします。どこにも見つからない分は結果不明のままです"
            ),
        }
    }
}

/// The end of the last time before `until` in which it may be sent, as seen from `now`.
fn last_open(schedule: &Schedule<'_>, until: Timestamp, now: Timestamp) -> Timestamp {
    let (mut at, mut last) = (now, until);
    while at < until {
        at = match schedule.at(at) {
            Opening::Open { until: closes } if closes > at => {
                last = closes;
                closes
            }
            Opening::Waiting { until: opens } if opens > at => opens,
            _ => break,
        };
    }
    last.min(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_schema::SendWindow;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-24T{time}:00Z").parse().unwrap()
    }

    fn by_day() -> SendWindow {
        serde_json::from_value(serde_json::json!({ "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "09:00", "to": "18:00", "time_zone": "UTC" })).unwrap()
    }

    /// What is said at `now` of a broadcast by day, from 9 to 18, whose provider remembers until `until`.
    fn said(state: BroadcastState, now: &str, until: &str, not_after: &str) -> Option<Because> {
        let window = by_day();
        let schedule = Schedule { not_before: None, window: Some(&window), not_after: at(not_after) };
        Because::of(&schedule, state, at(until), at(now))
    }

    #[test]
    fn nobody_is_told_to_let_it_go_on_where_it_would_be_sent_when_the_last_key_is_forgotten() {
        use BroadcastState::{Complete, Enumerating, Holding, Paused, Running, Stopped};
        for state in [Paused, Holding] {
            // By day, until the day or the provider's memory is over.
            assert_eq!(said(state, "10:00", "17:00", "23:00"), Some(Because::Stands(state, at("17:00"))));
            assert_eq!(said(state, "10:00", "20:00", "23:00"), Some(Because::Stands(state, at("18:00"))));
            assert_eq!(said(state, "10:00", "17:00", "12:00"), Some(Because::Stands(state, at("12:00"))));
            // Before it opens: somebody may let it go on, and they are asked about later.
            assert_eq!(said(state, "07:00", "12:00", "23:00"), Some(Because::Stands(state, at("12:00"))));
            assert_eq!(said(state, "07:00", "09:00", "23:00"), Some(Because::OpensTooLate(at("09:00"))));
            // At night, when it opens tomorrow.
            let tomorrow = at("09:00").checked_add(jiff::SignedDuration::from_hours(24)).unwrap();
            let window = by_day();
            let late = Schedule {
                not_before: None,
                window: Some(&window),
                not_after: tomorrow.checked_add(jiff::SignedDuration::from_hours(4)).unwrap(),
            };
            assert_eq!(Because::of(&late, state, at("23:00"), at("19:00")), Some(Because::OpensTooLate(tomorrow)));
            assert_eq!(said(state, "13:00", "17:00", "12:00"), Some(Because::Over(state)), "its time is over");
        }
        assert_eq!(said(Running, "10:00", "20:00", "23:00"), None, "a consumer asks");
        assert_eq!(said(Running, "07:00", "12:00", "23:00"), None, "a consumer will");
        assert_eq!(said(Running, "07:00", "09:00", "23:00"), Some(Because::OpensTooLate(at("09:00"))));
        assert_eq!(said(Running, "13:00", "17:00", "12:00"), Some(Because::Over(Running)));
        for state in [Stopped, Complete] {
            assert_eq!(said(state, "10:00", "17:00", "23:00"), Some(Because::Over(state)));
        }
        assert_eq!(said(Enumerating, "10:00", "17:00", "23:00"), None, "nobody was sent to");
    }
}
