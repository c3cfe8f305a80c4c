//! Deadlines that guard a send. They must never stand still with a machine that is suspended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// One look at a machine's clocks, to make a [`Deadline`] and to ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Stands still while the machine is suspended, where its system makes a difference.
    pub(crate) monotonic: Instant,
    /// Runs on meanwhile, as far as the system has such a clock. Counted from some moment before.
    pub(crate) running_on: Duration,
    /// May be stepped by anybody, forward and back.
    pub(crate) wall: Timestamp,
}

impl Reading {
    /// How long ago `earlier` was, at least: the wall clock does not count, and the others never hurry. For
    /// observers, whom a machine that was suspended makes wait longer at worst.
    #[must_use]
    pub fn since(&self, earlier: Reading) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic.max(self.running_on.saturating_sub(earlier.running_on))
    }

    /// What the wall clock said.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.wall
    }
}

/// A moment after which something must not be done any more, counted by three clocks at once: it is over
/// as soon as one of them says so. So neither a suspended machine nor a wall clock that is stepped back
/// lengthens it. A clock that stands before the moment at which the deadline was made tells nothing of
/// how long ago that was, and then it is over, too.
///
/// What it can't see is a machine whose every clock was held at once: a hypervisor's pause, a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    made: Reading,
    life: Duration,
}

impl Deadline {
    /// So long after `made`.
    #[must_use]
    pub fn after(made: Reading, life: Duration) -> Self {
        Self { made, life }
    }

    /// How much of it is left.
    #[must_use]
    pub fn left(&self, now: Reading) -> Duration {
        let monotonic = now.monotonic.checked_duration_since(self.made.monotonic);
        let running_on = now.running_on.checked_sub(self.made.running_on);
        let wall = Duration::try_from(now.wall.duration_since(self.made.wall)).ok();
        let left = |passed: Option<Duration>| passed.map_or(Duration::ZERO, |passed| self.life.saturating_sub(passed));
        left(monotonic).min(left(running_on)).min(left(wall))
    }

    /// Says whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Reading) -> bool {
        self.left(now).is_zero()
    }

    /// The wall clock's moment at which it ends, for others to read.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.made.wall.saturating_add(SignedDuration::try_from(self.life).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Held};

    const LIFE: Duration = Duration::from_secs(8);

    fn clock() -> Clock {
        Clock::starting_at("2026-11-24T00:00:00Z".parse().unwrap())
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_over_when_its_time_is() {
        let clock = clock();
        let deadline = Deadline::after(clock.reading(), LIFE);
        pass(7).await;
        assert_eq!(deadline.left(clock.reading()), Duration::from_secs(1));
        pass(1).await;
        assert!(deadline.is_over(clock.reading()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_machine_lengthens_no_deadline_while_one_of_its_clocks_runs_on() {
        for (held, is_over) in [(Held::Monotonic, true), (Held::AllButWall, true), (Held::Everything, false)] {
            let clock = clock();
            let deadline = Deadline::after(clock.reading(), LIFE);
            clock.suspend(held);
            pass(3_600).await;
            clock.wake();
            assert_eq!(deadline.is_over(clock.reading()), is_over, "{held:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_stepped_lengthens_no_deadline() {
        for step_s in [-3_600, -9, -5, 5, 3_600] {
            let clock = clock();
            let deadline = Deadline::after(clock.reading(), LIFE);
            pass(6).await;
            clock.step_wall(SignedDuration::from_secs(step_s));
            // Back to before it was made, or past its end. In between the other clocks go on counting.
            assert_eq!(deadline.is_over(clock.reading()), step_s != -5, "{step_s}");
            pass(2).await;
            assert!(deadline.is_over(clock.reading()), "{step_s}");
        }
    }

    #[test]
    fn the_machines_own_clocks_can_be_read() {
        let (clock, before) = (Clock::system(), Clock::system().reading());
        std::thread::sleep(Duration::from_millis(2));
        let left = Deadline::after(before, LIFE).left(clock.reading());
        assert!(left < LIFE && !left.is_zero(), "{left:?}");
    }
}
