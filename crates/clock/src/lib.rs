//! The one source of time and randomness.
//!
//! Everything that waits, expires or draws a token does so through a [`Clock`] or a [`Dice`], so
//! that a test can run the real code under a virtual clock and a seed. Nothing else in the
//! workspace may ask the system for the time or for randomness (`clippy.toml` refuses it).

mod dice;

pub use dice::Dice;
pub use tokio::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Monotonic and wall time.
///
/// Deadlines that guard a send (permit, lease) are kept on the monotonic side. Wall time is only
/// written down, compared with `not_after`, and used to read other processes' leases.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Virtual { origin: Timestamp, started: Instant },
}

impl Clock {
    /// The machine's own clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Wall time that starts at `origin` and advances with tokio's clock, paused or not.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self(Source::Virtual { origin, started: Instant::now() })
    }

    /// The monotonic clock. It can be paused by tokio's test clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// The wall clock, which may jump and may differ between machines.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn wall(&self) -> Timestamp {
        match self.0 {
            Source::System => Timestamp::now(),
            Source::Virtual { origin, started } => {
                let elapsed = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
                origin.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn virtual_wall_time_follows_the_paused_clock() {
        let origin: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(origin);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.wall().to_string(), "2026-11-24T00:01:30Z");
    }
}
