//! The count that proves a stop where nobody holds anything of the broadcast any more.
//!
//! It reads every chunk, and a page is looked at every second; so it is made once where nobody is in doubt, which stays so, and now and
//! then where somebody is. What it must never do: take a count for it that was made before nobody held anything. Totals may be: a
//! machine that slept when they were written has sent since, perhaps.

use std::collections::HashMap;
use std::time::Duration;

use issei_assembly::Parts;
use issei_clock::Instant;
use issei_ledger::{LedgerError, Totals};
use issei_schema::BroadcastId;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::Status;
use super::counts::Counts;

/// Of those in doubt an event may tell at any time.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// The last count of each stopped broadcast, by the moment since which nothing of it is held.
#[derive(Default)]
pub(crate) struct CountedSince(Mutex<HashMap<(BroadcastId, Timestamp), Counted>>);

#[derive(Clone, Copy)]
struct Counted {
    totals: Totals,
    settled_chunks: u64,
    at: Instant,
}

impl CountedSince {
    /// How many are in doubt. Where what is shown was not counted, or says otherwise, it is put right.
    pub(super) async fn in_doubt(
        &self,
        parts: &Parts,
        id: &BroadcastId,
        status: &mut Status,
        since: Timestamp,
    ) -> Result<u64, LedgerError> {
        let (ledger, now) = (parts.ledger(), parts.clock.now());
        // Held while it is counted, so that those who come meanwhile wait for this count.
        let mut all = self.0.lock().await;
        let key = (id.clone(), since);
        let known = all.get(&key).copied();
        let lasts = |known: &Counted| known.totals.in_doubt == 0 || now.saturating_duration_since(known.at) < COUNT_EVERY;
        let counted = if let Some(known) = known.filter(lasts) {
            known
        } else {
            let tally = ledger.tally(&ledger.broadcast(id).await?).await?;
            let counted = Counted { totals: tally.totals(), settled_chunks: tally.settled_chunks, at: now };
            all.insert(key, counted);
            counted
        };
        drop(all);
        let in_doubt = counted.totals.in_doubt;
        // Totals that agree may know of later events.
        if !status.exact || in_doubt != status.in_doubt {
            status.show(Counts::exact(counted.totals, counted.settled_chunks, &ledger.progress(id).await?));
        }
        Ok(in_doubt)
    }
}

impl Status {
    /// Shows what was counted in the place of what was told.
    fn show(&mut self, Counts { totals, settled_chunks, exact }: Counts) {
        self.settled_chunks = settled_chunks;
        self.permitted = self.permitted.max(totals.accepted + totals.rejected + totals.in_doubt);
        self.accepted = totals.accepted;
        self.rejected = totals.refused();
        self.spared = totals.spared.unwrap_or(0);
        self.retryable = exact.then_some(totals.retryable);
        self.in_doubt = totals.in_doubt;
        self.delivered = totals.delivered;
        self.bounced = totals.bounced;
        self.complained = totals.complained;
        self.not_rendered = totals.not_rendered;
        self.suppressed = totals.suppressed;
        self.delayed = totals.delayed;
        self.turned_away = totals.turned_away.unwrap_or(0);
        self.exact = exact;
    }
}
