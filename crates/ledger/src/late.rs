//! A notice that is to reach everybody before the day from which it binds: whether that can still be done.

use issei_schema::{Bilingual, Pace, Ramped, both};
use jiff::{SignedDuration, Timestamp};

use crate::{Broadcast, BroadcastState, Ledger, LedgerError, Moment};

/// How far back it is looked how fast a broadcast is sent.
const LATELY: SignedDuration = SignedDuration::from_mins(1);
/// A burst of less is no speed.
const LEAST_S: i64 = 10;
/// One that stands still is not as fast as one in an hour.
const SLOWEST: f64 = 1.0 / 3_600.0;

/// Recipients a second by what was told since then; nothing where that is too short a time.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn speed(moments: &[Moment], since: Timestamp, now: Timestamp) -> Option<f64> {
    let since = moments.iter().map(|moment| moment.at).find(|at| *at >= since).unwrap_or(since);
    let seconds = now.duration_since(since).as_secs();
    let settled = |moment: &Moment| moment.told.accepted + moment.told.rejected + moment.told.in_doubt;
    let told: u64 = moments.iter().filter(|moment| moment.at >= since).map(settled).sum();
    (seconds >= LEAST_S).then(|| (told as f64 / seconds as f64).max(SLOWEST))
}

impl Ledger {
    /// How many recipients a second a broadcast is sent to at most: the least of what is `allowed` (to the account, or by the
    /// provider; by a ceiling), and of its speed over the last minute where it runs. Nothing where nobody knows any. Whoever
    /// says that one falls behind goes by this.
    pub async fn recipients_a_second(
        &self,
        broadcast: &Broadcast,
        now: Timestamp,
        allowed: [Option<f64>; 2],
    ) -> Result<Option<f64>, LedgerError> {
        let is_on = broadcast.broadcast_state == BroadcastState::Running && broadcast.waits_until(now).is_none();
        // Of an hour of its ramp that is used up what was sent tells no speed.
        let goes_on = is_on && broadcast.grant_count > 0 && broadcast.rests_until(now).is_none();
        // Before somebody let it go on it was held.
        let since = broadcast.decided().map_or(now - LATELY, |entry| entry.at.max(now - LATELY));
        let speed = if goes_on && broadcast.effective_at.is_some() {
            speed(&self.timeline_since(&broadcast.broadcast_id, Some(since)).await?, since, now)
        } else {
            None
        };
        let known = allowed.into_iter().chain([speed]).flatten().filter(|rate| *rate > 0.0);
        Ok(known.min_by(f64::total_cmp))
    }
}

impl Broadcast {
    /// Why some will be told after the day from which it binds; nothing where everybody may still be told before, and
    /// where it is over. So many have been `settled`, and so many a second are sent to at most, where that is known.
    #[must_use]
    pub fn falls_behind(&self, now: Timestamp, settled: u64, recipients_a_second: Option<f64>) -> Option<Bilingual> {
        let effective_at = self.effective_at.filter(|_| !self.broadcast_state.is_over())?;
        let left = self.recipients.saturating_sub(settled);
        if left == 0 {
            return None;
        }
        if now >= effective_at {
            return Some(both!(
                "effective_at ({effective_at}) has passed, and {left} of {} are not settled",
                "effective_at({effective_at})を過ぎましたが、{}件のうち{left}件が未確定です",
                self.recipients
            ));
        }
        let rate = recipients_a_second.filter(|rate| *rate > 0.0)?;
        let pace = Pace { recipients_a_second: rate, chunk: self.chunk_size };
        // Whoever has a permit waits for no further hour, though nobody has told yet what became of them.
        let ramped = self.ramped().map(|ramped| Ramped { granted: settled.min(ramped.granted), ..ramped });
        let done = self.schedule().course(now, left, pace, ramped).done_at;
        if done.is_some_and(|done| done <= effective_at) {
            return None;
        }
        let done = match done.map(|done| self.schedule().told(done)) {
            None => both!("not before its not_after", "not_afterまでに終わりません"),
            Some(done) => both!("at {done} at the earliest", "早くて{done}に終わります"),
        };
        Some(both!(
            "{left} are left, at {rate:.2} a second at most: done {}, and effective_at is {effective_at}",
            "残り{left}件、最大で毎秒{rate:.2}件: {}(effective_atは{effective_at})",
            done
        ))
    }
}

#[cfg(test)]
mod tests {
    use issei_schema::{BroadcastCommand, MessageKey};
    use serde_json::json;

    use super::*;
    use crate::{Asked, BroadcastState};

    fn moment(text: &str) -> Timestamp {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    /// One of 1,500 with a ramp, whose first hour began at nine, with so many permits granted, which binds from then on.
    fn ramped(granted: u64, effective_at: &str) -> Broadcast {
        let command = json!({
            "version": 2, "broadcast_id": "b", "audience": "users", "content": { "inline": { "subject": "Hi", "text": "." } },
            "class": "legal_notice", "from": "a@example.com", "max_recipients": 1_500, "not_after": "2026-11-25T00:00:00Z",
            "effective_at": moment(effective_at), "ramp": { "first_hour": 500 }, "requested_by": "test",
        });
        let command = BroadcastCommand::parse(&command.to_string()).unwrap();
        let asked = Asked::default();
        let broadcast = Broadcast::of(&command, 50, &asked, MessageKey::new([1; 32]), moment("08:00:00"), String::new());
        let (ramp_hour_began, ramp_hour_before, ramp_doublings) = (Some(moment("09:00:00")), Some(0), Some(0));
        let broadcast_state = BroadcastState::Running;
        Broadcast { broadcast_state, recipients: 1_500, granted, ramp_hour_began, ramp_hour_before, ramp_doublings, ..broadcast }
    }

    #[test]
    fn a_speed_is_of_the_time_in_which_it_was_sent_and_never_of_a_burst() {
        let now = moment("09:10:00");
        let told = |seconds: i64, accepted| Moment {
            at: now - SignedDuration::from_secs(seconds),
            told: crate::Progress { accepted, ..crate::Progress::default() },
        };
        let of = |moments: &[Moment]| speed(moments, now - LATELY, now);
        assert_eq!((of(&[told(9, 260)]), of(&[told(20, 300)])), (None, Some(15.0)));
        assert_eq!((of(&[told(60, 60), told(30, 60)]), of(&[])), (Some(2.0), Some(SLOWEST)));
        assert_eq!(speed(&[], now - SignedDuration::from_secs(5), now), None);
    }

    #[test]
    fn a_ramp_is_too_late_only_where_its_hours_are() {
        let behind = |granted, settled, effective_at| ramped(granted, effective_at).falls_behind(moment("09:30:00"), settled, Some(10.0));
        // 500 until ten, and the other 1,000 within two minutes of the next hour.
        assert_eq!(behind(500, 500, "10:02:00"), None);
        let late = behind(500, 500, "10:01:00").unwrap().english;
        assert!(late.starts_with("1000 are left, at 10.00 a second at most: done at 2026-11-24T10:01:40Z"), "{late}");
        // The last hundred of an hour are on their way.
        assert_eq!(behind(500, 400, "10:02:00"), None);
        assert_eq!(behind(500, 0, "10:02:00"), None);
        // Before its first permit there is a whole hour to come.
        let first = Broadcast { granted: 0, ramp_hour_began: None, ramp_hour_before: None, ramp_doublings: None, ..ramped(0, "10:35:00") };
        assert_eq!(first.falls_behind(moment("09:30:00"), 0, Some(10.0)), None);
        // Without a rate nobody knows, until the day is there.
        assert_eq!(ramped(500, "10:01:00").falls_behind(moment("09:30:00"), 500, None), None);
        assert!(
            ramped(500, "09:30:00").falls_behind(moment("09:30:00"), 500, None).unwrap().english.contains("has passed, and 1000 of 1500")
        );
    }
}
