//! Which events only tell what became of a message that the ledger knows from its answer, and the log that they go to.
//!
//! Whoever the chunk has as accepted, with the message that the event names, is never sent to again, and is never in doubt; so
//! such an event is no evidence that anybody needs. What must never be taken for one is an event of another message, or of
//! somebody of whom the ledger does not know the answer: those are evidence, and are written down with their chunks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use issei_ledger::{Broadcast, EventBatch, EventDetail, EventLog, Feedback as Evidence, Ledger, LedgerError, Merged, MessageDigest};
use issei_provider::Event;
use issei_schema::{BroadcastId, EventKind};

/// Chunks whose answers are remembered: 20 MB at 50 recipients each, which is two million of them. Beyond that some are
/// read again.
const CHUNKS_MAX: usize = 40_000;
/// Broadcasts of which is remembered what was logged: some 100 kB for each kind of event and million recipients.
const BROADCASTS_MAX: usize = 64;
/// Reads of a hundred chunks at once.
const READS_AT_ONCE: usize = 4;

/// An event with its digest and the number of the message that it came in.
pub(crate) struct Received {
    pub(crate) event: Event,
    pub(crate) digest: MessageDigest,
    pub(crate) number: usize,
}

impl Received {
    pub(crate) fn new(event: Event, number: usize) -> Self {
        Self { digest: MessageDigest::of(&event.message_id), event, number }
    }
}

type Answers = Box<[Option<MessageDigest>]>;

/// What one run remembers of answers, and of what it has logged. All of it is in the ledger: it saves reads, writes and
/// counting twice.
#[derive(Default)]
pub(crate) struct Answered {
    answers: Mutex<BTreeMap<(BroadcastId, u32), Answers>>,
    logged: Mutex<BTreeMap<BroadcastId, EventLog>>,
}

impl Answered {
    /// Remembers nothing: the ledger may be another one.
    pub(crate) fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn answers(&self, id: &BroadcastId, told: &Received) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(&(id.clone(), told.event.chunk)).and_then(|of| of.get(usize::try_from(told.event.at).ok()?).copied());
        // An event that names no message is none of a message that an answer named.
        !told.event.message_id.is_empty() && answer.flatten() == Some(told.digest)
    }

    fn remember(&self, id: &BroadcastId, chunk: u32, of: Vec<Option<MessageDigest>>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if of.iter().all(Option::is_none) {
            return;
        }
        answers.insert((id.clone(), chunk), of.into());
        while answers.len() > CHUNKS_MAX {
            answers.pop_first();
        }
    }

    /// Reads the answers of the chunks of which an event names a message that no remembered answer does.
    pub(crate) async fn look(&self, ledger: &Ledger, broadcast: &Broadcast, told: &[Received]) -> Result<(), LedgerError> {
        let (id, placed) = (&broadcast.broadcast_id, &broadcast.placed());
        let mut unknown: Vec<u32> = told.iter().filter(|told| !self.answers(id, told)).map(|told| told.event.chunk).collect();
        unknown.sort_unstable();
        unknown.dedup();
        // `BatchGetItem` takes a hundred keys (API reference).
        let reads: Vec<Vec<u32>> = unknown.chunks(100).map(<[u32]>::to_vec).collect();
        let mut found = stream::iter(reads).map(async |some| ledger.chunks(placed, &some).await).buffer_unordered(READS_AT_ONCE);
        while let Some(chunks) = found.next().await {
            for (seq, chunk) in chunks? {
                self.remember(id, seq, chunk.answers());
            }
        }
        Ok(())
    }

    /// Takes the events out that only tell what became of an answered message.
    pub(crate) fn split(&self, id: &BroadcastId, told: Vec<Received>) -> (Vec<Received>, Vec<Received>) {
        told.into_iter().partition(|told| self.answers(id, told))
    }

    /// Those of them that this run has not logged yet, with their details; of evidence the details alone.
    fn fresh(&self, id: &BroadcastId, told: &[Received], evidence: &[Received]) -> EventBatch {
        let logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = logged.get(id);
        let mut fresh = EventBatch::default();
        for Received { event, .. } in told {
            if !known.is_some_and(|known| known.contains(event.chunk, event.at, event.kind)) {
                fresh.answered.add(event.chunk, event.at, event.kind);
                detail(&mut fresh, event);
            }
        }
        for Received { event, .. } in evidence.iter().filter(|told| told.event.happened_at.is_some() || told.event.reason.is_some()) {
            fresh.evidence.add(event.chunk, event.at, event.kind);
            detail(&mut fresh, event);
        }
        fresh
    }

    fn has_logged(&self, id: &BroadcastId) -> bool {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn note(&self, id: &BroadcastId, fresh: &EventLog) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= BROADCASTS_MAX && !logged.contains_key(id) {
            logged.pop_first();
        }
        logged.entry(id.clone()).or_default().extend(fresh);
    }

    /// Appends to the log what this run has not logged yet, and gives that. What `evidence` tells stands with its chunks: here
    /// it is noted when it was, and why.
    pub(crate) async fn log(
        &self,
        ledger: &Ledger,
        broadcast: &Broadcast,
        told: &[Received],
        evidence: &[Received],
        token: &str,
    ) -> Result<EventLog, LedgerError> {
        let id = &broadcast.broadcast_id;
        // What another run has logged, or this one before it was restarted, is no news, and is not told of again.
        if !told.is_empty() && !self.has_logged(id) {
            self.note(id, &ledger.event_log(broadcast).await?);
        }
        let fresh = self.fresh(id, told, evidence);
        ledger.append_events(id, &fresh, token).await?;
        self.note(id, &fresh.answered);
        Ok(fresh.answered)
    }

    /// What a write of evidence changed, in the light of what this run has logged of the chunk: nobody is counted twice.
    pub(crate) fn merged(&self, id: &BroadcastId, chunk: u32, merged: Merged) -> Merged {
        let logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = logged.get(id).map_or_else(Evidence::default, |logged| logged.of(chunk));
        Merged { before: merged.before.union(&known), after: merged.after.union(&known) }
    }
}

/// When an event was, and why. One of what is not taken, or not taken yet, tells when it was accepted, too.
fn detail(batch: &mut EventBatch, event: &Event) {
    let Event { chunk, at, kind, happened_at, .. } = *event;
    batch.details.add((kind, chunk, at), EventDetail { at: happened_at, reason: event.reason.clone() });
    if matches!(kind, EventKind::Suppressed | EventKind::Delayed) {
        batch.details.add((EventKind::Sent, chunk, at), EventDetail { at: event.sent_at, reason: None });
    }
}
