//! When a broadcast may be sent: from a moment on, and within certain hours of certain days. A pure function of the
//! command and the time, so that whoever sends, whoever waits and whoever forecasts come to the same.

use jiff::{SignedDuration, Timestamp};

use crate::{RampHour, Ramped, SendWindow};

/// When a broadcast may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule<'a> {
    pub not_before: Option<Timestamp>,
    pub window: Option<&'a SendWindow>,
    pub not_after: Timestamp,
}

/// How fast it is sent where nothing else bounds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub recipients_a_second: f64,
    /// Recipients who are sent to together or not at all.
    pub chunk: u32,
}

/// How a broadcast is sent at best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// When everybody has been sent to; nothing where that is too late.
    pub done_at: Option<Timestamp>,
    /// How many in each hour of its ramp, as long as that bounds it.
    pub hours: Vec<u64>,
}

/// What holds at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may be sent, until this moment.
    Open { until: Timestamp },
    /// It waits, and may be sent from this moment on.
    Waiting { until: Timestamp },
    /// It may not be sent any more.
    Over,
}

impl Schedule<'_> {
    /// What holds at this moment. What is open is so before its end, and not at it.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Opening {
        if now > self.not_after {
            return Opening::Over;
        }
        let from = self.not_before.map_or(now, |not_before| not_before.max(now));
        let (opens, closes) = match self.window {
            None => (from, None),
            Some(window) => match window.next(from) {
                Some((opens, closes)) => (opens.max(from), Some(closes)),
                None => return Opening::Over,
            },
        };
        if opens > self.not_after {
            return Opening::Over;
        }
        if opens > now {
            return Opening::Waiting { until: opens };
        }
        Opening::Open { until: closes.map_or(self.not_after, |closes| closes.min(self.not_after)) }
    }

    /// Whether anything is said of it but its end.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.not_before.is_some() || self.window.is_some()
    }

    /// Why it is over at this moment, where it is.
    #[must_use]
    pub fn why_over(&self, now: Timestamp) -> &'static str {
        if now > self.not_after { "its not_after is over" } else { "its send_window does not open again before its not_after" }
    }

    /// A moment for people: by the clocks of the window's place, and in UTC.
    #[must_use]
    pub fn told(&self, moment: Timestamp) -> String {
        match self.window {
            Some(window) => format!("{:.0}, {moment:.0}", window.local(moment)),
            None => format!("{moment:.0}"),
        }
    }

    /// How so many are sent to at best, beginning now and going on whenever it may, and along its ramp, as far as that has
    /// come.
    #[must_use]
    pub fn course(&self, now: Timestamp, recipients: u64, pace: Pace, ramped: Option<Ramped>) -> Course {
        let mut hours = Vec::new();
        let done_at = self.done_at(now, recipients, pace, ramped, &mut hours);
        let a_second = pace.recipients_a_second;
        let is_bound = |(hour, _): &(RampHour, u64)| ramped.is_some_and(|it| number(it.ramp.in_hour(hour.doublings)) < a_second * 3_600.0);
        Course { done_at, hours: hours.into_iter().take_while(is_bound).map(|(_, sent)| sent).collect() }
    }

    fn done_at(
        &self,
        now: Timestamp,
        recipients: u64,
        Pace { recipients_a_second: rate, chunk }: Pace,
        ramped: Option<Ramped>,
        hours: &mut Vec<(RampHour, u64)>,
    ) -> Option<Timestamp> {
        let (mut at, mut left, mut ramped) = (now, recipients, ramped);
        loop {
            let mut until = match self.at(at) {
                Opening::Over => return None,
                Opening::Waiting { until } => {
                    at = until;
                    continue;
                }
                Opening::Open { until } => until,
            };
            let mut most = u64::MAX;
            if let Some(ramped) = &mut ramped {
                let hour = ramped.hour_at(at);
                if hours.last().is_none_or(|(last, _)| *last != hour) {
                    hours.push((hour, 0));
                }
                ramped.hour = Some(hour);
                (most, until) = (ramped.ramp.most_in(hour).saturating_sub(ramped.granted), until.min(hour.ends()));
                // No chunk is cut for what is left of an hour.
                most = if most < left { most - most % u64::from(chunk.max(1)) } else { most };
            }
            let some = left.min(most).min(whole(until.duration_since(at).as_secs_f64() * rate));
            if let Some((_, sent)) = hours.last_mut() {
                *sent += some;
            }
            if some == left {
                let takes = SignedDuration::try_from_secs_f64(number(left) / rate).ok()?;
                return at.checked_add(takes).ok().filter(|done| *done <= self.not_after);
            }
            left -= some;
            if let Some(ramped) = &mut ramped {
                ramped.granted += some;
            }
            if until >= self.not_after {
                return None;
            }
            at = until;
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn number(recipients: u64) -> f64 {
    recipients as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ramp, RampHour};

    fn window(days: &str, from: &str, to: &str, zone: &str) -> SendWindow {
        let json = format!(r#"{{"days":[{days}],"from":"{from}","to":"{to}","time_zone":"{zone}"}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// From a Tuesday on, for two weeks.
    fn schedule(window: Option<&SendWindow>) -> Schedule<'_> {
        Schedule { not_before: None, window, not_after: moment("2026-12-08T00:00:00Z") }
    }

    #[test]
    fn office_hours_in_tokyo_open_and_close_by_the_clocks_there() {
        let office = window(r#""mon","tue","wed","thu","fri""#, "09:00", "18:00", "Asia/Tokyo");
        let at = |text: &str| schedule(Some(&office)).at(moment(text));
        let (open, waiting) = (|text| Opening::Open { until: moment(text) }, |text| Opening::Waiting { until: moment(text) });
        assert_eq!(at("2026-11-24T00:00:00Z"), open("2026-11-24T09:00:00Z"));
        assert_eq!(at("2026-11-24T08:59:59Z"), open("2026-11-24T09:00:00Z"));
        assert_eq!(at("2026-11-24T09:00:00Z"), waiting("2026-11-25T00:00:00Z"));
        // Over the weekend.
        assert_eq!(at("2026-11-27T09:00:00Z"), waiting("2026-11-30T00:00:00Z"));
        assert_eq!(at("2026-12-07T09:00:00Z"), waiting("2026-12-08T00:00:00Z"));
        assert_eq!(at("2026-12-08T00:00:00.000000001Z"), Opening::Over);
        assert_eq!(office.local(moment("2026-11-25T00:00:00Z")).to_string(), "2026-11-25T09:00:00+09:00[Asia/Tokyo]");
    }

    #[test]
    fn a_moment_before_which_nothing_is_sent_is_waited_for_and_then_the_window() {
        let office = window(r#""mon""#, "09:00", "24:00", "UTC");
        let not_before = Some(moment("2026-11-30T12:00:00Z"));
        let with = |window| Schedule { not_before, ..schedule(window) };
        assert_eq!(with(None).at(moment("2026-11-24T00:00:00Z")), Opening::Waiting { until: moment("2026-11-30T12:00:00Z") });
        assert_eq!(with(None).at(moment("2026-11-30T12:00:00Z")), Opening::Open { until: moment("2026-12-08T00:00:00Z") });
        assert_eq!(with(Some(&office)).at(moment("2026-11-24T00:00:00Z")), Opening::Waiting { until: moment("2026-11-30T12:00:00Z") });
        assert_eq!(with(Some(&office)).at(moment("2026-11-30T13:00:00Z")), Opening::Open { until: moment("2026-12-01T00:00:00Z") });
        let too_late = Schedule { not_before: Some(moment("2026-12-09T00:00:00Z")), ..schedule(None) };
        assert_eq!(too_late.at(moment("2026-11-24T00:00:00Z")), Opening::Over);
    }

    /// In Berlin there is no 02:30 on 29 March 2026, and 02:30 comes twice on 25 October.
    #[test]
    fn on_a_night_when_clocks_are_set_a_window_is_open_whenever_they_show_its_hours() {
        let over = |from, to| window(r#""sun""#, from, to, "Europe/Berlin");
        let until = |window, not_after| Schedule { not_before: None, window: Some(window), not_after: moment(not_after) };
        let (open, waiting) = (|text| Opening::Open { until: moment(text) }, |text| Opening::Waiting { until: moment(text) });
        // Half of its hours are not there.
        let half = over("02:30", "03:30");
        let spring = until(&half, "2026-03-31T00:00:00Z");
        assert_eq!(spring.at(moment("2026-03-28T12:00:00Z")), waiting("2026-03-29T01:00:00Z"));
        assert_eq!(spring.at(moment("2026-03-29T01:00:00Z")), open("2026-03-29T01:30:00Z"));
        // All of them are not there, and a week later they are.
        let none = over("02:15", "02:45");
        assert_eq!(until(&none, "2026-03-31T00:00:00Z").at(moment("2026-03-28T12:00:00Z")), Opening::Over);
        assert_eq!(until(&none, "2026-04-07T00:00:00Z").at(moment("2026-03-28T12:00:00Z")), waiting("2026-04-05T00:15:00Z"));
        let autumn = until(&none, "2026-10-27T00:00:00Z");
        assert_eq!(autumn.at(moment("2026-10-24T12:00:00Z")), waiting("2026-10-25T00:15:00Z"));
        assert_eq!(autumn.at(moment("2026-10-25T00:30:00Z")), open("2026-10-25T00:45:00Z"));
        assert_eq!(autumn.at(moment("2026-10-25T00:45:00Z")), waiting("2026-10-25T01:15:00Z"));
        assert_eq!(autumn.at(moment("2026-10-25T01:45:00Z")), Opening::Over);
    }

    #[test]
    fn work_goes_on_in_the_next_window_and_is_done_or_too_late() {
        let office = window(r#""mon","tue","wed","thu","fri""#, "09:00", "18:00", "Asia/Tokyo");
        let began = moment("2026-11-24T08:00:00Z");
        // One a second.
        let sent = |window, recipients, recipients_a_second, ramped| {
            schedule(window).course(began, recipients, Pace { recipients_a_second, chunk: 50 }, ramped)
        };
        let done_at = |window, recipients, rate, ramped| sent(window, recipients, rate, ramped).done_at;
        let done = |window, hours: u64| done_at(window, hours * 3_600, 1.0, None);
        assert_eq!(done(Some(&office), 1), Some(moment("2026-11-24T09:00:00Z")));
        assert_eq!(done(Some(&office), 3), Some(moment("2026-11-25T02:00:00Z")));
        assert_eq!(done(Some(&office), 30), Some(moment("2026-11-30T02:00:00Z")));
        assert_eq!(done(Some(&office), 24 * 14), None);
        assert_eq!(done(None, 24), Some(moment("2026-11-25T08:00:00Z")));
        assert_eq!(done(None, 24 * 14), None);
        // 500, 1,000, and in the third hour the last hundred of 1,600.
        let ramp: Ramp = serde_json::from_str(r#"{"first_hour":500}"#).unwrap();
        let ramped = |hour, granted| Some(Ramped { ramp, hour, granted });
        assert_eq!(done_at(None, 1_600, 10.0, ramped(None, 0)), Some(moment("2026-11-24T10:00:10Z")));
        // Of 500 in an hour that began half an hour ago 100 are used.
        let hour = RampHour { began: moment("2026-11-24T07:30:00Z"), before: 0, doublings: 0 };
        assert_eq!(done_at(None, 400, 10.0, ramped(Some(hour), 100)), Some(moment("2026-11-24T08:00:40Z")));
        assert_eq!(done_at(None, 410, 10.0, ramped(Some(hour), 100)), Some(moment("2026-11-24T08:30:01Z")));
        // The hours of a night in which nothing is sent don't count: the second begins in the morning.
        assert_eq!(done_at(Some(&office), 1_600, 10.0, ramped(None, 0)), Some(moment("2026-11-25T01:00:10Z")));
        // A rate that uses less than half of an hour's never needs more of it.
        assert_eq!(done_at(None, 720, 0.05, ramped(None, 0)), Some(moment("2026-11-24T12:00:00Z")));
        // What it sends in each hour of its ramp, the first of which the window cuts short in the evening.
        assert_eq!(sent(None, 5_000, 1.0, ramped(None, 0)).hours, [500, 1_000, 2_000]);
        let evening = moment("2026-11-24T08:58:20Z");
        let pace = Pace { recipients_a_second: 1.0, chunk: 50 };
        let course = schedule(Some(&office)).course(evening, 1_100, pace, ramped(None, 0));
        assert_eq!((course.hours, course.done_at), (vec![100, 500, 500], Some(moment("2026-11-25T01:08:20Z"))));
        // Of 70 in an hour there are 50 in one chunk, and the other 20 are none.
        let ramp: Ramp = serde_json::from_str(r#"{"first_hour":70}"#).unwrap();
        let course = sent(None, 200, 10.0, Some(Ramped { ramp, hour: None, granted: 0 }));
        assert_eq!((course.hours, course.done_at), (vec![50, 100, 50], Some(moment("2026-11-24T10:00:05Z"))));
    }
}
