//! When a broadcast may be sent: from a moment on, and within certain hours of certain days. A pure function of the
//! command and the time, so that whoever sends, whoever waits and whoever forecasts come to the same.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan, ZonedDateTime};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{RampHour, Ramped};

/// How far it is looked ahead for the next time that a window opens: a week may have one, and where clocks are put
/// forward, that one may be within the hour that there is not.
const AHEAD: SignedDuration = SignedDuration::from_hours(15 * 24);
const MINUTES_OF_DAY: u16 = 24 * 60;

/// Hours of certain days in which a broadcast is sent: whenever the clocks of that place show them, so also twice where
/// an hour comes twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendWindow {
    /// The days on which it opens.
    pub days: Days,
    /// When it opens, `HH:MM`.
    pub from: TimeOfDay,
    /// When it closes, `HH:MM` up to `24:00`, on the same day.
    pub to: TimeOfDay,
    pub time_zone: ZoneName,
}

/// Days of the week, each once, Monday first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Day>", into = "Vec<Day>")]
pub struct Days(Vec<Day>);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A minute of a day, the last of which is the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

/// A time zone by its name in the IANA time zone database, with its rules.
///
/// They are those that this build was made with, and not the machine's: whoever sends and whoever forecasts must agree,
/// and a container need not bring a database along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

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

impl SendWindow {
    /// What is wrong with it, and the field; nothing where it opens at some time.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.to <= self.from {
            let Self { from, to, .. } = self;
            return Err((
                "send_window.to",
                format!(
                    "is {to}, not after `from` ({from}), so the window never opens; a window ends on the day on which it begins, at 24:00 at the latest"
                ),
            ));
        }
        Ok(())
    }

    /// The first stretch of time from this moment on in which the clocks of its place show its hours, and are not set.
    fn next(&self, moment: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let zone = &self.time_zone.zone;
        let end = moment.saturating_add(AHEAD).ok()?;
        let mut at = moment;
        while at < end {
            // Between two moments at which clocks are set a place is so far from UTC.
            let set = zone.following(at).map(|set| set.timestamp()).find(|set| *set > at).unwrap_or(Timestamp::MAX);
            let offset = zone.to_offset(at);
            let (first, last) = (offset.to_datetime(at).date(), offset.to_datetime(end.min(set)).date());
            for date in first.series(1.day()).take_while(|date| *date <= last).filter(|date| self.days.0.contains(&Day::of(date.weekday())))
            {
                let moment = |time: TimeOfDay| offset.to_timestamp(time.on(date)?).ok();
                let (opens, closes) = (moment(self.from)?.max(at), moment(self.to)?.min(set));
                if opens < closes {
                    return Some((opens, closes));
                }
            }
            at = set;
        }
        None
    }

    /// A moment by the clocks of its place.
    fn local(&self, moment: Timestamp) -> ZonedDateTime {
        moment.to_zoned_datetime(self.time_zone.zone.clone())
    }
}

impl fmt::Display for SendWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, from, to, time_zone } = self;
        let days: Vec<&str> = days.0.iter().copied().map(Day::word).collect();
        write!(f, "{} {from}–{to} {}", days.join(", "), time_zone.name)
    }
}

impl Day {
    fn word(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

impl TryFrom<Vec<Day>> for Days {
    type Error = &'static str;

    fn try_from(mut days: Vec<Day>) -> Result<Self, &'static str> {
        days.sort();
        days.dedup();
        if days.is_empty() { Err("names no day, so the window never opens; name one, such as `mon`") } else { Ok(Self(days)) }
    }
}

impl From<Days> for Vec<Day> {
    fn from(days: Days) -> Self {
        days.0
    }
}

impl TimeOfDay {
    /// What clocks show at this minute of a date.
    fn on(self, date: Date) -> Option<DateTime> {
        let (date, minute) = if self.0 == MINUTES_OF_DAY { (date.tomorrow().ok()?, 0) } else { (date, self.0) };
        let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        Some(date.to_datetime(time))
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let two =
            |part: &str| (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u16>().ok()).flatten();
        let parts = text.split_once(':').and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)));
        match parts.filter(|(_, minutes)| *minutes < 60).map(|(hours, minutes)| hours * 60 + minutes) {
            Some(minute) if minute <= MINUTES_OF_DAY => Ok(Self(minute)),
            _ => Err("is no time of day; write hours and minutes as in `09:00`, from 00:00 to 24:00"),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for ZoneName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match TimeZoneDatabase::bundled().get(&name) {
            // jiff knows a zone that stands for none.
            Ok(zone) if !zone.is_unknown() => Ok(Self { name, zone }),
            Ok(_) | Err(_) => {
                let told: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                Err(format!("`{told}` is no time zone; name one of the IANA time zone database, such as `Asia/Tokyo` or `UTC`"))
            }
        }
    }
}

impl From<ZoneName> for String {
    fn from(zone: ZoneName) -> Self {
        zone.name
    }
}

impl JsonSchema for Days {
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let day = generator.subschema_for::<Day>();
        json_schema!({ "type": "array", "items": day, "minItems": 1, "description": "Days of the week." })
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", "description": "Hours and minutes." })
    }
}

impl JsonSchema for ZoneName {
    fn schema_name() -> Cow<'static, str> {
        "ZoneName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A time zone of the IANA time zone database, such as `Asia/Tokyo`." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ramp, RampHour};
    use proptest::prelude::*;

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

    #[test]
    fn what_never_opens_and_what_is_no_place_is_refused() {
        for (json, says) in [
            (r#"{"days":[],"from":"09:00","to":"18:00","time_zone":"UTC"}"#, "names no day"),
            (r#"{"days":["monday"],"from":"09:00","to":"18:00","time_zone":"UTC"}"#, "unknown variant"),
            (r#"{"days":["mon"],"from":"9:00","to":"18:00","time_zone":"UTC"}"#, "no time of day"),
            (r#"{"days":["mon"],"from":"09:60","to":"18:00","time_zone":"UTC"}"#, "no time of day"),
            (r#"{"days":["mon"],"from":"09:00","to":"24:01","time_zone":"UTC"}"#, "no time of day"),
            (r#"{"days":["mon"],"from":"09:00","to":"18:00","time_zone":"Asia/Tokio"}"#, "is no time zone"),
            (r#"{"days":["mon"],"from":"09:00","to":"18:00","time_zone":"Etc/Unknown"}"#, "is no time zone"),
            (r#"{"days":["mon"],"from":"09:00","to":"18:00","time_zone":"../../etc/localtime"}"#, "is no time zone"),
        ] {
            let error = serde_json::from_str::<SendWindow>(json).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        for (from, to) in [("18:00", "09:00"), ("09:00", "09:00"), ("22:00", "06:00")] {
            let (field, why) = window(r#""mon""#, from, to, "UTC").check().unwrap_err();
            assert!(field == "send_window.to" && why.contains("never opens"), "{why}");
        }
    }

    proptest! {
        /// Whatever is said of a moment, the clocks of the place say the same.
        #[test]
        fn it_is_open_while_the_clocks_there_show_its_hours_and_at_no_other_moment(
            days in prop::collection::vec(0_usize..7, 1..7), from in 0_u16..1440, long in 1_u16..1440,
            zone in prop::sample::select(vec!["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]),
            second in 0_i64..366 * 86_400, between in 0_i64..1_000,
        ) {
            let all = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
            let days = Days::try_from(days.into_iter().map(|day| all[day]).collect::<Vec<_>>()).unwrap();
            let to = TimeOfDay((from + long).min(MINUTES_OF_DAY));
            let window = SendWindow { days, from: TimeOfDay(from), to, time_zone: ZoneName::try_from(zone.to_owned()).unwrap() };
            let shows = |at: Timestamp| {
                let local = window.local(at);
                let minute = u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).unwrap();
                window.days.0.contains(&Day::of(local.weekday())) && window.from.0 <= minute && minute < window.to.0
            };
            let now = moment("2026-01-01T00:00:00Z") + SignedDuration::from_secs(second);
            let schedule = Schedule { not_before: None, window: Some(&window), not_after: now + SignedDuration::from_hours(24 * 14) };
            let (until, is_open) = match schedule.at(now) {
                Opening::Open { until } => (until, true),
                Opening::Waiting { until } => (until, false),
                // The one of a week may have been swallowed, and that of the week after next is no more in time.
                Opening::Over => (schedule.not_after, false),
            };
            prop_assert!(until > now);
            prop_assert_eq!(shows(now), is_open);
            let length = i64::try_from(until.duration_since(now).as_nanos()).unwrap();
            let within = now + SignedDuration::from_nanos(length / 1_000 * between);
            prop_assert_eq!(shows(within), is_open, "at {}, of {} until {}", within, now, until);
            prop_assert_eq!(shows(until - SignedDuration::from_nanos(1)), is_open);
            if let Opening::Waiting { .. } = schedule.at(now) {
                prop_assert!(shows(until));
            }
        }
    }
}
