//! What only computes goes to a thread of its own, so that calls that wait go on meanwhile. In a simulation it is done at
//! once: threads would bring real time into it.

use issei_clock::Clock;

/// The process ends, or the work has panicked, which is told where it did.
#[derive(Debug, thiserror::Error)]
#[error("a thread ended before its work was done")]
pub struct Ended;

/// Where computing is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aside {
    Threads,
    Here,
}

impl Aside {
    /// By a clock: a virtual one knows no threads.
    pub(crate) fn of(clock: &Clock) -> Self {
        if clock.is_virtual() { Self::Here } else { Self::Threads }
    }

    pub(crate) async fn compute<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await.map_err(|_| Ended),
            Self::Here => Ok(work()),
        }
    }
}
