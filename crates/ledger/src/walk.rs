//! Reading many chunks: exact counts, and the outcome of every recipient page by page.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_schema::{BroadcastId, Recipient};
use jiff::{SignedDuration, Timestamp};

use crate::item::{SHARDS, s, shard};
use crate::{Chunk, Ledger, LedgerError, Outcome, Totals};

/// Exact counts over all chunks that anybody has claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chunks that have been claimed at least once.
    pub chunks: u64,
    /// Recipients of claims that are not confirmed. Open or in doubt, as their leases say.
    pub open: u64,
    /// When the last of the leases of unconfirmed claims is over.
    pub open_until: Option<Timestamp>,
    confirmed: Totals,
}

/// A recipient and what became of them; no outcome where their chunk was never claimed.
#[derive(Clone, Debug)]
pub struct RecipientOutcome {
    pub recipient: Recipient,
    pub chunk: u32,
    pub outcome: Option<Outcome>,
}

impl Tally {
    /// The totals, with unconfirmed claims as in doubt, which is how they read once their leases
    /// are over.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { in_doubt: self.confirmed.in_doubt + self.open, ..self.confirmed }
    }

    /// Says whether nothing is left to do in a broadcast of `chunks`: each claimed, none retryable,
    /// and none open, or all open ones for `quiet` past their leases. After that long no request
    /// that their owners may still have out can be accepted.
    #[must_use]
    pub fn is_settled(&self, chunks: u32, now: Timestamp, quiet: SignedDuration) -> bool {
        let over = self.open_until.is_none_or(|until| until.saturating_add(quiet).is_ok_and(|until| now >= until));
        self.chunks == u64::from(chunks) && self.confirmed.retryable == 0 && over
    }

    fn add(&mut self, chunk: &Chunk) {
        self.chunks += 1;
        for outcome in chunk.outcomes().into_iter().flat_map(crate::Outcomes::iter) {
            match outcome {
                Outcome::Open => self.open += 1,
                Outcome::Accepted => self.confirmed.accepted += 1,
                Outcome::Rejected => self.confirmed.rejected += 1,
                Outcome::Retryable => self.confirmed.retryable += 1,
                Outcome::InDoubt => self.confirmed.in_doubt += 1,
            }
        }
        if let Chunk::Claimed { lease_until, .. } = chunk {
            self.open_until = self.open_until.max(Some(*lease_until));
        }
    }
}

impl Ledger {
    /// Counts every chunk. Reads the whole broadcast: about one call for each 300 full chunks.
    pub async fn tally(&self, id: &BroadcastId) -> Result<Tally, LedgerError> {
        let mut tally = Tally::default();
        for number in 0..SHARDS {
            let mut after = None;
            loop {
                let query = self
                    .db
                    .query()
                    .table_name(&self.table)
                    .consistent_read(true)
                    .key_condition_expression("pk = :pk AND begins_with(sk, :chunk)")
                    .projection_expression("chunk_state, owner_token, attempt, lease_until, outcomes")
                    .expression_attribute_values(":pk", s(shard(id, number)))
                    .expression_attribute_values(":chunk", AttributeValue::S("chunk#".to_owned()));
                let answer = query.set_exclusive_start_key(after).send().await.map_err(LedgerError::call("Query"))?;
                for item in answer.items.unwrap_or_default() {
                    tally.add(&Chunk::read(Some(item))?);
                }
                after = answer.last_evaluated_key.filter(|key| !key.is_empty());
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(tally)
    }

    /// Every recipient of one page with their outcome, in the page's order.
    pub async fn page_outcomes(&self, id: &BroadcastId, seq: u32) -> Result<Vec<RecipientOutcome>, LedgerError> {
        let page = self.page(id, seq).await?;
        let chunks: Vec<_> = page.chunks().collect();
        let mut outcomes = Vec::with_capacity(page.recipients());
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in chunks.chunks(100) {
            let wanted: Vec<_> = some.iter().map(|(chunk, _)| (id.clone(), *chunk)).collect();
            let found = self.chunks(&wanted).await?;
            for (chunk, recipients) in some {
                let known: Vec<Outcome> =
                    found.get(&(id.clone(), *chunk)).and_then(Chunk::outcomes).into_iter().flat_map(crate::Outcomes::iter).collect();
                outcomes.extend(recipients.iter().enumerate().map(|(at, recipient)| RecipientOutcome {
                    recipient: recipient.clone(),
                    chunk: *chunk,
                    outcome: known.get(at).copied(),
                }));
            }
        }
        Ok(outcomes)
    }
}
