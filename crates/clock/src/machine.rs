//! The machine of a virtual clock. It can be suspended, and its wall clock can be stepped.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

/// Which clocks stand still while a machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The monotonic clock alone, as where the operating system suspends.
    Monotonic,
    /// The clock that should run on, too, as where a system has none.
    AllButWall,
    /// Every clock, as where a hypervisor pauses the guest, or goes on from a snapshot.
    Everything,
}

#[derive(Debug, Default)]
pub(crate) struct Machine(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    suspended: Option<(Held, Instant)>,
    /// Whom to tell when it wakes.
    waiting: Vec<Waker>,
    /// How far its clocks are behind.
    monotonic: Duration,
    running_on: Duration,
    /// How far its wall clock is off.
    wall: SignedDuration,
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn suspend(&self, held: Held, now: Instant) {
        let mut state = self.state();
        // One that is suspended already can't be suspended deeper.
        state.suspended = state.suspended.or(Some((held, now)));
    }

    pub(crate) fn wake(&self, now: Instant) {
        let mut state = self.state();
        let Some((held, since)) = state.suspended.take() else { return };
        let passed = now.saturating_duration_since(since);
        state.monotonic += passed;
        if held != Held::Monotonic {
            state.running_on += passed;
        }
        if held == Held::Everything {
            state.wall -= SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        }
        state.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn step_wall(&self, by: SignedDuration) {
        self.state().wall += by;
    }

    /// How far the clocks are behind, and the wall clock off.
    pub(crate) fn off(&self) -> (Duration, Duration, SignedDuration) {
        let state = self.state();
        (state.monotonic, state.running_on, state.wall)
    }

    /// Goes on with `future` only while the machine is awake.
    pub(crate) async fn awake<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| if self.is_suspended(context) { Poll::Pending } else { future.as_mut().poll(context) }).await
    }

    fn is_suspended(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        if state.suspended.is_some() {
            state.waiting.push(context.waker().clone());
        }
        state.suspended.is_some()
    }
}
