//! A sender who is new begins slowly: so many in the first hour in which it sends, and in each further one twice as many as
//! in the one before, until the account's rate is what bounds it.
//!
//! An hour begins with its first permit. A night, a hold or a closed window is none, so nothing is made up for after it: it
//! is what receivers get in an hour that they judge a new sender by.

use std::num::NonZeroU64;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How a broadcast begins whose sender is new to those who receive its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Recipients in the hour from the first permit on. In each further hour in which it is sent it is twice as many.
    pub first_hour: NonZeroU64,
}

/// An hour of a ramp, which its first permit began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RampHour {
    pub began: Timestamp,
    /// How many permits had been granted before it.
    pub before: u64,
    /// How often what the first hour allows is doubled in it.
    pub doublings: u32,
}

/// A ramp, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramped {
    pub ramp: Ramp,
    /// Its last hour; nothing where nothing was granted yet.
    pub hour: Option<RampHour>,
    /// How many permits were granted in all.
    pub granted: u64,
}

impl Ramp {
    /// How many may be sent to in an hour in which the first one is doubled so often.
    #[must_use]
    pub fn in_hour(self, doublings: u32) -> u64 {
        1_u64.checked_shl(doublings).map_or(u64::MAX, |times| self.first_hour.get().saturating_mul(times))
    }

    /// How many may have been granted in all by the end of an hour.
    #[must_use]
    pub fn most_in(self, hour: RampHour) -> u64 {
        hour.before.saturating_add(self.in_hour(hour.doublings))
    }

    /// How many must have been granted in all by the end of an hour, so that the next one allows more: half of what it
    /// allows, since a chunk is not cut for what is left of an hour.
    #[must_use]
    pub fn enough_in(self, hour: RampHour) -> u64 {
        hour.before.saturating_add(self.in_hour(hour.doublings).div_ceil(2))
    }
}

impl RampHour {
    /// When it is over.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.began.saturating_add(HOUR).unwrap_or(Timestamp::MAX)
    }
}

impl Ramped {
    /// The hour that a permit of this moment belongs to: the last one, or, where that is over, one that it begins.
    #[must_use]
    pub fn hour_at(&self, now: Timestamp) -> RampHour {
        match self.hour {
            Some(hour) if now < hour.ends() => hour,
            last => {
                let doublings = last.map_or(0, |hour| hour.doublings + u32::from(self.granted >= self.ramp.enough_in(hour)));
                RampHour { began: now, before: self.granted, doublings: doublings.min(u64::BITS) }
            }
        }
    }

    /// How many may be granted still until the end of its last hour, and when that is; nothing where that is over, and the
    /// next permit begins another.
    #[must_use]
    pub fn left_at(&self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let hour = self.hour.filter(|hour| now < hour.ends())?;
        Some((self.ramp.most_in(hour).saturating_sub(self.granted), hour.ends()))
    }

    /// Until when nothing moves of a broadcast to so many recipients, since no further chunk fits into its hour; nothing where
    /// everybody has a permit.
    #[must_use]
    pub fn rests_until(&self, now: Timestamp, recipients: u64, chunk_size: u32) -> Option<Timestamp> {
        let without_permit = recipients.saturating_sub(self.granted);
        let (left, until) = self.left_at(now)?;
        (left < without_permit.min(chunk_size.into())).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_in_which_it_is_sent_has_twice_as_many_as_the_one_before() {
        let ramp: Ramp = serde_json::from_str(r#"{"first_hour":500}"#).unwrap();
        assert_eq!([0, 1, 2, 10, 63, 64, 1_000].map(|hour| ramp.in_hour(hour)), [500, 1_000, 2_000, 512_000, u64::MAX, u64::MAX, u64::MAX]);
        let began: Timestamp = "2026-11-24T00:10:00Z".parse().unwrap();
        let at = |seconds: i64| began + SignedDuration::from_secs(seconds);
        let first = RampHour { began, before: 0, doublings: 0 };
        let after = |granted| Ramped { ramp, hour: Some(first), granted };
        // A clock that is behind is still in the first hour.
        assert_eq!([-5, 0, 3_599].map(|seconds| after(100).left_at(at(seconds))), [Some((400, at(3_600))); 3]);
        assert_eq!((after(500).left_at(at(3_599)), after(500).left_at(at(3_600))), (Some((0, at(3_600))), None));
        // The next one begins with its first permit, an hour later or after a night.
        let next = |granted, seconds| after(granted).hour_at(at(seconds));
        let hour = |seconds, before, doublings| RampHour { began: at(seconds), before, doublings };
        assert_eq!([next(500, 3_600), next(500, 43_200)], [hour(3_600, 500, 1), hour(43_200, 500, 1)]);
        assert_eq!(ramp.most_in(next(500, 3_600)), 1_500);
        // Of an hour that was hardly used nobody has learned to know the sender.
        assert_eq!([next(250, 3_600), next(249, 3_600)], [hour(3_600, 250, 1), hour(3_600, 249, 0)]);
        assert_eq!(Ramped { ramp, hour: None, granted: 0 }.hour_at(began), first);
        let late = Ramped { ramp, hour: Some(hour(0, 7, u64::BITS)), granted: u64::MAX };
        assert_eq!(late.hour_at(at(3_600)).doublings, u64::BITS);
        assert!(serde_json::from_str::<Ramp>(r#"{"first_hour":0}"#).is_err());
    }

    #[test]
    fn it_rests_where_no_chunk_fits_into_its_hour_and_somebody_still_has_no_permit() {
        let ramp: Ramp = serde_json::from_str(r#"{"first_hour":20}"#).unwrap();
        let began: Timestamp = "2026-11-24T00:10:00Z".parse().unwrap();
        let (now, ends) = (began + SignedDuration::from_mins(10), began + HOUR);
        let rests = |granted, recipients| {
            Ramped { ramp, hour: Some(RampHour { began, before: 0, doublings: 0 }), granted }.rests_until(now, recipients, 10)
        };
        assert_eq!([rests(20, 100), rests(15, 100), rests(18, 21)], [Some(ends); 3]);
        assert_eq!([rests(10, 100), rests(15, 19), rests(20, 20), rests(25, 20)], [None; 4], "one fits, or everybody has one");
        assert_eq!(Ramped { ramp, hour: None, granted: 0 }.rests_until(now, 100, 10), None, "its first hour has not begun");
    }
}
