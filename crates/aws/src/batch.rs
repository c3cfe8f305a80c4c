//! Batch calls of SQS, which can fail entry by entry. An entry that failed is tried again; one
//! that keeps failing is an error. None is ever taken for done.

use std::time::Duration;

use issei_clock::Dice;

use crate::{Backoff, QueueError};

/// How often an entry is tried. Beyond that the queue is down rather than busy.
const TRIES_MAX: u32 = 8;

/// Runs `call` over `entries` until each has succeeded. `call` gives back the entries that failed.
pub(crate) async fn until_all_succeed<T, F, Fut>(
    operation: &'static str,
    dice: &Dice,
    mut entries: Vec<T>,
    mut call: F,
) -> Result<(), QueueError>
where
    F: FnMut(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<T>, QueueError>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2), dice.clone());
    for _ in 0..TRIES_MAX {
        entries = call(entries).await?;
        if entries.is_empty() {
            return Ok(());
        }
        tracing::warn!(operation, failed = entries.len(), "part of a batch failed, trying it again");
        tokio::time::sleep(backoff.next_delay()).await;
    }
    Err(QueueError { operation, reason: format!("{} entries still fail after {TRIES_MAX} tries", entries.len()) })
}
