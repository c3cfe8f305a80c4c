//! A notice that is to reach everybody before the day from which it binds: whether that can still be done.

use issei_schema::{Bilingual, Pace, Ramped, both};
use jiff::Timestamp;

use crate::Broadcast;

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
