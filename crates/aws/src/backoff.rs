//! Growing delays between tries. The only user of the `backoff` crate, which is unmaintained
//! (RUSTSEC-2025-0012): to replace it, change this file.

use std::time::Duration;

use ::backoff::ExponentialBackoff;
use ::backoff::backoff::Backoff as _;
use issei_clock::Dice;

/// Delays that double from try to try, up to a longest one, spread by jitter.
pub struct Backoff {
    inner: ExponentialBackoff,
    dice: Dice,
}

impl Backoff {
    #[must_use]
    pub fn new(first: Duration, longest: Duration, dice: Dice) -> Self {
        let inner = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            // The jitter comes from our own dice, so that a seed decides it.
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { inner, dice }
    }

    /// The delay before the next try, which will be longer than the one before.
    pub fn next_delay(&mut self) -> Duration {
        let longest = self.inner.max_interval;
        self.dice.jitter(self.inner.next_backoff().unwrap_or(longest))
    }

    /// The delay before try number `tries` (from 1), for those who only remember a count.
    #[must_use]
    pub fn delay_after(mut self, tries: u32) -> Duration {
        for _ in 1..tries.min(32) {
            self.inner.next_backoff();
        }
        self.next_delay()
    }

    /// After a success: the next delay is the first again.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), Dice::seeded(1));
        let mut bound = Duration::from_millis(100);
        for _ in 0..8 {
            let delay = backoff.next_delay();
            assert!(delay >= bound / 2 && delay <= bound, "{delay:?} against {bound:?}");
            bound = (bound * 2).min(Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn a_count_of_tries_gives_the_same_delay_as_having_made_them() {
        let delay = Backoff::new(Duration::from_secs(1), Duration::from_mins(1), Dice::seeded(1)).delay_after(4);
        assert!(delay >= Duration::from_secs(4) && delay <= Duration::from_secs(8), "{delay:?}");
    }
}
