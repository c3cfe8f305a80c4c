//! Randomness that can be seeded. Never a source of secrets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A shared random generator: owner tokens, jitter, injected faults.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    /// Seeded by the operating system.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// The same draws for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 128 random bits in hexadecimal: an owner token.
    #[must_use]
    pub fn token(&self) -> String {
        self.with(|rng| format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()))
    }

    /// True with the given probability (0 to 1).
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        self.with(|rng| rng.random_bool(probability.clamp(0.0, 1.0)))
    }

    /// A whole number below `bound`; 0 where the bound is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.with(|rng| rng.random_range(0..bound)) }
    }

    /// Somewhere between half of `delay` and all of it, so that many waiters spread out.
    #[must_use]
    pub fn jitter(&self, delay: Duration) -> Duration {
        self.with(|rng| delay.mul_f64(rng.random_range(0.5..=1.0)))
    }
}
