//! A service that is killed in its midst, as far as one process allows it: nothing of it goes on afterwards.

use tokio::runtime::Runtime;

/// A service on threads of its own. A task that is only aborted may still be at work on another thread.
pub struct Victim(Runtime);

impl Victim {
    #[must_use]
    pub fn start(service: impl Future<Output = ()> + Send + 'static) -> Self {
        let runtime = Runtime::new().unwrap();
        runtime.spawn(service);
        Self(runtime)
    }

    /// Ends it wherever it is, and waits until its threads are gone.
    pub async fn kill(self) {
        tokio::task::spawn_blocking(move || drop(self.0)).await.unwrap();
    }
}
