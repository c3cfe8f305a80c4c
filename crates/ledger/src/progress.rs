//! Progress: counts for people to watch. Cheap and approximate: a crash loses the last second of
//! them, a repeated write counts twice. Nothing may be decided by them; exact counts are a tally.

use issei_schema::BroadcastId;
use serde::{Deserialize, Serialize};

use crate::item::{Key, SHARDS, n, read, s};
use crate::{Ledger, LedgerError, Outcome, Outcomes};

/// Approximate counts since the broadcast began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub settled_chunks: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub in_doubt: u64,
    /// Sends that were surely not accepted and went back.
    pub retried: u64,
}

impl Progress {
    /// Counts a confirmed chunk; `before` is how many of each it had before this claim.
    pub fn add(&mut self, sent: &[usize], outcomes: &Outcomes) {
        let of = |outcome: Outcome| outcomes.positions(outcome).filter(|at| sent.contains(at)).count() as u64;
        self.accepted += of(Outcome::Accepted);
        self.rejected += of(Outcome::Rejected);
        self.in_doubt += of(Outcome::InDoubt);
        self.retried += of(Outcome::Retryable);
        self.settled_chunks += u64::from(outcomes.count(Outcome::Retryable) == 0);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            settled_chunks: self.settled_chunks + other.settled_chunks,
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            in_doubt: self.in_doubt + other.in_doubt,
            retried: self.retried + other.retried,
        }
    }
}

impl Ledger {
    /// Adds what a consumer has done since it last told. `shard` spreads consumers over items.
    pub async fn add_progress(&self, id: &BroadcastId, shard: u32, progress: Progress) -> Result<(), LedgerError> {
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::progress(id, shard % SHARDS).into_item()))
            .update_expression(
                "ADD settled_chunks :settled_chunks, accepted :accepted, rejected :rejected, in_doubt :in_doubt, retried :retried",
            )
            .expression_attribute_values(":settled_chunks", n(progress.settled_chunks))
            .expression_attribute_values(":accepted", n(progress.accepted))
            .expression_attribute_values(":rejected", n(progress.rejected))
            .expression_attribute_values(":in_doubt", n(progress.in_doubt))
            .expression_attribute_values(":retried", n(progress.retried));
        request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// The approximate counts. One call, whatever the audience's size.
    pub async fn progress(&self, id: &BroadcastId) -> Result<Progress, LedgerError> {
        let query = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :progress)")
            .expression_attribute_values(":pk", s(Key::broadcast(id).pk))
            .expression_attribute_values(":progress", s("progress#"));
        let answer = query.send().await.map_err(LedgerError::call("Query"))?;
        answer.items.unwrap_or_default().into_iter().try_fold(Progress::default(), |sum, item| Ok(sum.plus(read(item)?)))
    }
}
