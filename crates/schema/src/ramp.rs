//! A sender who is new begins slowly: so many in the first hour, and in each further one twice as many as in the one
//! before, until the account's rate is what bounds it.

use std::num::NonZeroU64;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a broadcast begins whose sender is new to those who receive its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Recipients in the hour from the first permit on. In each further hour it is twice as many.
    pub first_hour: NonZeroU64,
}

/// A ramp, and when its first hour began; nothing where nothing was granted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramped {
    pub ramp: Ramp,
    pub began: Option<Timestamp>,
}

impl Ramp {
    /// How many may be sent to in an hour, the first being 0.
    #[must_use]
    pub fn in_hour(self, hour: u32) -> u64 {
        1_u64.checked_shl(hour).map_or(u64::MAX, |times| self.first_hour.get().saturating_mul(times))
    }
}

impl Ramped {
    /// How many may be sent to in all until the end of the hour of this moment, and when that is.
    #[must_use]
    pub fn allowed(&self, now: Timestamp) -> (u64, Timestamp) {
        let began = self.began.unwrap_or(now);
        let hour = u32::try_from(now.duration_since(began).as_hours()).unwrap_or(0);
        // All hours until now are one part less than the next one.
        let parts = 1_u64.checked_shl(hour.saturating_add(1)).unwrap_or(0).wrapping_sub(1);
        let most = self.ramp.first_hour.get().saturating_mul(parts);
        (most, began.saturating_add(SignedDuration::from_hours(i64::from(hour) + 1)).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_twice_as_many_as_the_one_before() {
        let ramp: Ramp = serde_json::from_str(r#"{"first_hour":500}"#).unwrap();
        assert_eq!([0, 1, 2, 10, 63, 64, 1_000].map(|hour| ramp.in_hour(hour)), [500, 1_000, 2_000, 512_000, u64::MAX, u64::MAX, u64::MAX]);
        let began: Timestamp = "2026-11-24T00:10:00Z".parse().unwrap();
        let at = |seconds: i64| Ramped { ramp, began: Some(began) }.allowed(began + SignedDuration::from_secs(seconds));
        let hour = |hours: i64| began + SignedDuration::from_hours(hours);
        assert_eq!([at(0), at(3_599), at(3_600), at(7_200)], [(500, hour(1)), (500, hour(1)), (1_500, hour(2)), (3_500, hour(3))]);
        // A clock that is behind is still in the first hour, and before the first permit it has not begun.
        assert_eq!((at(-5), Ramped { ramp, began: None }.allowed(began)), ((500, hour(1)), (500, hour(1))));
        assert_eq!(at(3_600 * 24 * 14).0, u64::MAX);
        let all = Ramped { ramp: Ramp { first_hour: NonZeroU64::MAX }, began: None };
        assert_eq!(all.allowed(began).0, u64::MAX);
        assert!(serde_json::from_str::<Ramp>(r#"{"first_hour":0}"#).is_err());
    }
}
