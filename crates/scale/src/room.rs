//! What has a limit lets so many units through a second, one caller after another.
//!
//! A caller that finds no room waits for its turn and is then let through. The real one is refused and tries again, by the
//! SDK's backoff, which at best comes to the same. What DynamoDB lets through beyond a limit for a while (burst and adaptive
//! capacity) it does not promise, and is not counted on.

/// Microseconds since the command was taken.
pub(crate) type Time = u64;

pub(crate) const SECOND: f64 = 1_000_000.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// How long a unit takes, in microseconds.
    unit: f64,
    free_at: f64,
    /// How long it was in use.
    used: f64,
}

impl Room {
    pub(crate) fn new(units_a_second: f64) -> Self {
        Self { unit: SECOND / units_a_second.max(1e-6), free_at: 0.0, used: 0.0 }
    }

    /// When so many units that come now are through.
    pub(crate) fn pass(&mut self, now: Time, units: f64) -> Time {
        let begins = self.free_at.max(float(now));
        let takes = self.unit * units;
        self.free_at = begins + takes;
        self.used += takes;
        whole(begins)
    }

    /// Its use since, as a share of so long a time.
    pub(crate) fn share(&self, span: f64) -> f64 {
        if span > 0.0 { self.used / span } else { 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, which is 285 years in microseconds")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
pub(crate) fn whole(number: f64) -> u64 {
    number.clamp(0.0, 9e15) as u64
}
