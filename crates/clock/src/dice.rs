//! Randomness that can be seeded. Secrets alone come from the operating system each time they are drawn,
//! unless the dice are seeded, as in a simulation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, RngExt, SeedableRng, TryRng};

/// A shared random generator: owner tokens, jitter, injected faults.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: Arc<Mutex<StdRng>>,
    is_seeded: bool,
}

impl Dice {
    /// Seeded by the operating system.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn system() -> Self {
        Self { rng: Arc::new(Mutex::new(rand::make_rng())), is_seeded: false }
    }

    /// The same draws for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), is_seeded: true }
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 128 random bits in hexadecimal: an owner token.
    #[must_use]
    pub fn token(&self) -> String {
        self.with(|rng| format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()))
    }

    /// A key that nobody can guess: 256 bits of the operating system, or of the seed where there is one.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn secret(&self) -> Result<[u8; 32], impl std::error::Error + use<>> {
        let mut secret = [0; 32];
        if self.is_seeded {
            self.with(|rng| rng.fill_bytes(&mut secret));
            return Ok(secret);
        }
        SysRng.try_fill_bytes(&mut secret).map(|()| secret)
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
