//! Telling the ledger, once a second, how far this consumer has come.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use issei_ledger::{Ledger, Outcomes, Progress};
use issei_schema::BroadcastId;

/// Often enough for people who watch, and a small share of the requests.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(1);

/// What has been done and not told yet.
pub(crate) struct Untold {
    ledger: Ledger,
    /// Which of the progress items this consumer writes to.
    shard: u32,
    counts: Mutex<HashMap<BroadcastId, Progress>>,
}

impl Untold {
    pub(crate) fn new(ledger: Ledger, shard: u32) -> Self {
        Self { ledger, shard, counts: Mutex::default() }
    }

    /// Counts a confirmed chunk, of which the positions `sent` were sent by this consumer.
    pub(crate) fn add(&self, id: &BroadcastId, sent: &[usize], outcomes: &Outcomes) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().add(sent, outcomes);
    }

    /// Counts recipients for whom a permit is in hand.
    pub(crate) fn add_permitted(&self, id: &BroadcastId, recipients: u64) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().permitted += recipients;
    }

    pub(crate) async fn tell(&self) {
        let counts: Vec<_> = self.counts.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        for (id, progress) in counts {
            if let Err(error) = self.ledger.add_progress(&id, self.shard, progress).await {
                tracing::warn!(%error, broadcast.id = %id, "progress can't be told; the counts that people watch will lag, the ledger does not");
            }
        }
    }
}
