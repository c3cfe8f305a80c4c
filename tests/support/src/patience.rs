//! Waiting for progress. What a test has seen decides when it goes on, never how long it took, so that it is
//! as right on a machine that is busy with something else. Only where nothing may happen is there a pause to give
//! it the chance, and a pause that is too short for a busy machine makes such a test weaker, never red.

use std::fmt::Display;
use std::time::Duration;

/// Far beyond what any load explains: what has not come by then will not.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks, most of which cost a call or a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until it is so.
pub async fn until(what: impl Display, mut is_so: impl AsyncFnMut() -> bool) {
    seen(what, async || is_so().await.then_some(())).await;
}

/// Waits until a look sees something, and gives it.
pub async fn seen<T>(what: impl Display, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looks = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looks).await.ok();
    seen.unwrap_or_else(|| panic!("not after {PATIENCE:?}: {what}"))
}
