//! Hours of certain days in which a broadcast is sent, by the clocks of a place.
//!
//! The rules of time zones are those that the build was made with: whoever sends and whoever forecasts must never come to
//! different hours.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan, ZonedDateTime};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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
    pub(crate) fn next(&self, moment: Timestamp) -> Option<(Timestamp, Timestamp)> {
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
    pub(crate) fn local(&self, moment: Timestamp) -> ZonedDateTime {
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

impl ZoneName {
    /// The name, as the database has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clocks show there.
    #[must_use]
    pub fn clocks(&self, moment: Timestamp) -> ZonedDateTime {
        moment.to_zoned_datetime(self.zone.clone())
    }
}

impl Default for ZoneName {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
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
    use crate::{Opening, Schedule};
    use proptest::prelude::*;

    fn window(days: &str, from: &str, to: &str, zone: &str) -> SendWindow {
        let json = format!(r#"{{"days":[{days}],"from":"{from}","to":"{to}","time_zone":"{zone}"}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
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
