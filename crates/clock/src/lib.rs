//! The one source of time and randomness.
//!
//! Everything that waits, expires or draws a token does so through a [`Clock`] or a [`Dice`], so
//! that a test can run the real code under a virtual clock and a seed. Nothing else in the
//! workspace may ask the system for the time or for randomness (`clippy.toml` refuses it).

mod deadline;
mod dice;
mod machine;

use std::sync::Arc;
use std::time::Duration;

pub use deadline::{Deadline, Reading};
pub use dice::Dice;
pub use machine::Held;
pub use tokio::time::Instant;

use jiff::{SignedDuration, Timestamp};
use nix::time::ClockId;

use crate::machine::Machine;

/// The clock that runs on while the machine is suspended (`clock_gettime(2)`). On macOS `CLOCK_MONOTONIC`
/// does (its `clock_gettime(3)`); elsewhere it is the best there is, and may stand still: there the wall
/// clock alone tells.
#[cfg(any(target_os = "linux", target_os = "android"))]
const RUNS_ON: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const RUNS_ON: ClockId = ClockId::CLOCK_MONOTONIC;

/// Monotonic and wall time.
///
/// The monotonic clock may stand still while the machine is suspended, so it is for waits and for
/// backoff, and for observers, whom that only makes wait longer. What guards a send (permit, lease) is a
/// [`Deadline`]. Wall time alone is only written down, compared with `not_after` and the hours of a broadcast, and
/// used to read other processes' leases.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Virtual { origin: Timestamp, started: Instant, machine: Arc<Machine> },
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn instant() -> Instant {
    Instant::now()
}

impl Clock {
    /// The machine's own clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Wall time that starts at `origin` and advances with tokio's clock, paused or not, on a machine of
    /// its own: whoever has a clone of this clock is on that machine.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self(Source::Virtual { origin, started: instant(), machine: Arc::default() })
    }

    /// Whether it is a virtual one, which real threads would run ahead of.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, Source::Virtual { .. })
    }

    /// The monotonic clock. It can be paused by tokio's test clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => instant(),
            Source::Virtual { started, machine, .. } => instant().checked_sub(machine.off().0).unwrap_or(*started),
        }
    }

    /// The wall clock, which may jump and may differ between machines.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Virtual { origin, started, machine } => {
                let elapsed = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
                origin.saturating_add(elapsed.saturating_add(machine.off().2)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Every clock at once, to make a [`Deadline`] or to ask one.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let running_on = match &self.0 {
            // Where it can't be read, the other clocks tell.
            Source::System => RUNS_ON.now().map_or(Duration::ZERO, Duration::from),
            Source::Virtual { started, machine, .. } => started.elapsed().saturating_sub(machine.off().1),
        };
        Reading { monotonic: self.now(), running_on, wall: self.wall() }
    }

    /// Goes on with `future` only while a virtual clock's machine is awake. On a real one whoever is
    /// suspended does nothing, either.
    pub async fn awake<F: Future>(self, future: F) -> F::Output {
        match &self.0 {
            Source::System => future.await,
            Source::Virtual { machine, .. } => machine.awake(future).await,
        }
    }

    /// Suspends a virtual clock's machine until it is woken: what [`Clock::awake`] holds stands still, and
    /// with it the clocks that are `held`.
    pub fn suspend(&self, held: Held) {
        if let Source::Virtual { machine, .. } = &self.0 {
            machine.suspend(held, instant());
        }
    }

    /// Wakes a virtual clock's machine.
    pub fn wake(&self) {
        if let Source::Virtual { machine, .. } = &self.0 {
            machine.wake(instant());
        }
    }

    /// Steps a virtual clock's wall time, forward or back.
    pub fn step_wall(&self, by: SignedDuration) {
        if let Source::Virtual { machine, .. } = &self.0 {
            machine.step_wall(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_wall_time_follows_the_paused_clock() {
        let origin: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(origin);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.wall().to_string(), "2026-11-24T00:01:30Z");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_suspended_does_nothing_until_it_is_woken() {
        let clock = Clock::starting_at("2026-11-24T00:00:00Z".parse().unwrap());
        let (began, asleep) = (clock.now(), clock.clone());
        let work = tokio::spawn(clock.clone().awake(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            asleep.now()
        }));
        // It has begun to sleep, by a timer that is over long before it is woken.
        tokio::task::yield_now().await;
        clock.suspend(Held::Monotonic);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!work.is_finished());
        clock.wake();
        assert_eq!(work.await.unwrap(), began);
    }
}
