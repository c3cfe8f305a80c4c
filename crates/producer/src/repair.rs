//! Repair: enqueueing again what the ledger lacks, after messages were lost for good: a purged queue,
//! retention that expired, a dead-letter queue emptied by hand.
//!
//! The queue is disposable, since what was frozen is in the ledger. To enqueue a chunk whose message
//! is still about is harmless, and so is to repair twice at once. Nobody in doubt is ever touched.

use std::time::Duration;

use issei_aws::{Queue, QueueError};
use issei_ledger::{Broadcast, BroadcastState, Chunk, Ledger, LedgerError, Outcome, phrases};
use issei_schema::{Actor, BroadcastId, ChunkMessage};
use jiff::Timestamp;
use serde::Serialize;

/// `SendMessageBatch` takes ten entries (SQS API reference).
const BATCH: usize = 10;

/// What a repair would do, or has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repair {
    pub broadcast_id: String,
    pub state: String,
    pub pages: u32,
    pub chunks: u32,
    /// Chunks that nobody has claimed, and their recipients.
    pub unclaimed_chunks: u64,
    pub unclaimed_recipients: u64,
    /// Chunks with recipients who may be sent to again, and how many those are.
    pub retryable_chunks: u64,
    pub retryable_recipients: u64,
    /// Recipients in doubt. A repair sends to none of them.
    pub in_doubt: u64,
    /// Chunks of these about whose request the provider may still be asked, so that their messages go back.
    pub askable_chunks: u64,
    /// The audience is not frozen to its end: the command itself goes back on its queue.
    pub command: bool,
}

/// Why there is nothing to repair.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("broadcast `{id}` is {state}: nothing of it is ever sent again, so there is nothing to repair")]
    Over { id: String, state: BroadcastState },
}

/// What repairs are made with.
pub struct Repairer {
    ledger: Ledger,
    commands: Queue,
    chunks: Queue,
}

impl Repairer {
    #[must_use]
    pub fn new(ledger: Ledger, commands: Queue, chunks: Queue) -> Self {
        Self { ledger, commands, chunks }
    }

    /// Compares pages with chunks as it is `now` and says what is to be enqueued.
    pub async fn plan(&self, id: &BroadcastId, now: Timestamp) -> Result<Repair, RepairError> {
        self.go(id, now, false).await
    }

    /// Does it, with who and why in the audit trail.
    pub async fn repair(&self, id: &BroadcastId, now: Timestamp, actor: &Actor, reason: &str) -> Result<Repair, RepairError> {
        let done = self.go(id, now, true).await?;
        let chunks = done.unclaimed_chunks + done.retryable_chunks + done.askable_chunks;
        self.ledger.audit(id, actor, &phrases::REPAIR_STEP.with(&[]), &phrases::ENQUEUED_AGAIN.with(&[&chunks, &reason])).await?;
        Ok(done)
    }

    async fn go(&self, id: &BroadcastId, now: Timestamp, enqueue: bool) -> Result<Repair, RepairError> {
        let broadcast = self.ledger.broadcast(id).await?;
        let state = broadcast.broadcast_state;
        if state.is_over() || state == BroadcastState::Stopping {
            return Err(RepairError::Over { id: id.to_string(), state });
        }
        let mut repair = Repair {
            broadcast_id: id.to_string(),
            state: state.to_string(),
            pages: broadcast.pages,
            chunks: broadcast.chunks,
            command: state == BroadcastState::Enumerating,
            ..Repair::default()
        };
        if repair.command {
            if enqueue {
                self.commands.send(&self.ledger.command(id).await?.to_body(), Duration::ZERO).await?;
            }
            return Ok(repair);
        }
        for seq in 0..broadcast.pages {
            let lacking = self.lacking(&broadcast, seq, now, &mut repair).await?;
            for some in lacking.chunks(BATCH).filter(|_| enqueue) {
                let bodies: Vec<String> = some.iter().map(ChunkMessage::to_body).collect();
                self.chunks.send_batch(&bodies, Duration::ZERO).await?;
            }
        }
        Ok(repair)
    }

    /// The chunks of one page that somebody is still to be sent to.
    async fn lacking(
        &self,
        broadcast: &Broadcast,
        seq: u32,
        now: Timestamp,
        repair: &mut Repair,
    ) -> Result<Vec<ChunkMessage>, RepairError> {
        let placed = broadcast.placed();
        let page = self.ledger.page(&placed, seq).await?;
        let messages: Vec<ChunkMessage> = page.messages(broadcast, None).filter(|message| broadcast.may_enqueue(message.chunk)).collect();
        let mut lacking = Vec::new();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in messages.chunks(100) {
            let numbers: Vec<_> = some.iter().map(|message| message.chunk).collect();
            let found = self.ledger.chunks(&placed, &numbers).await?;
            for message in some {
                let chunk = found.get(&message.chunk).unwrap_or(&Chunk::Absent);
                let count = |outcome| chunk.outcomes().map_or(0, |outcomes| outcomes.count(outcome)) as u64;
                if !chunk.askable(now).is_empty() {
                    repair.askable_chunks += 1;
                    lacking.push(message.clone());
                }
                match chunk {
                    Chunk::Absent => {
                        repair.unclaimed_chunks += 1;
                        repair.unclaimed_recipients += message.recipients.len() as u64;
                        lacking.push(message.clone());
                    }
                    Chunk::Claimed { lease_until, .. } if now >= *lease_until => {
                        repair.in_doubt += count(Outcome::Open) + count(Outcome::InDoubt);
                    }
                    Chunk::Claimed { .. } => {}
                    Chunk::Confirmed { .. } => {
                        repair.in_doubt += count(Outcome::InDoubt);
                        let mut retryable = count(Outcome::Retryable);
                        if retryable > 0 {
                            let heard = self.ledger.feedback(&placed, &[message.chunk]).await?;
                            retryable -= heard.values().map(|heard| heard.proven_since(chunk).len() as u64).sum::<u64>();
                        }
                        // Whoever has an event was accepted after all; the feedback consumer records that.
                        if retryable > 0 {
                            repair.retryable_chunks += 1;
                            repair.retryable_recipients += retryable;
                            lacking.push(message.clone());
                        }
                    }
                }
            }
        }
        Ok(lacking)
    }
}

impl Repair {
    /// Says whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.command && self.unclaimed_chunks == 0 && self.retryable_chunks == 0 && self.askable_chunks == 0
    }
}
