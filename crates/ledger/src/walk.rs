//! Reading many chunks: a walk over all of a broadcast's, exact counts, and the outcome of every
//! recipient page by page. A walk holds one answer of DynamoDB at a time, and of the log of events a bit for each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use issei_aws::AwsCall;
use issei_schema::{EventKind, Recipient};
use jiff::Timestamp;

use crate::item::{Item, Key, s, shard};
use crate::{
    Broadcast, Chunk, EventLog, Feedback, Fingerprint, Keyed, Ledger, LedgerError, Outcome, Outcomes, Placed, Shards, Suppression, Totals,
};

/// Partitions that are looked into at once.
const LOOKED_AT_ONCE: usize = 16;

/// A chunk as a walk finds it, with what events say of it.
#[derive(Clone, Debug)]
pub struct Walked {
    pub seq: u32,
    /// Absent where events name a chunk that nobody has claimed.
    pub chunk: Chunk,
    pub feedback: Feedback,
}

/// Exact counts over all chunks that anybody has claimed, in the light of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chunks that have been claimed at least once.
    pub chunks: u64,
    /// Chunks whose claims are not confirmed.
    pub open_claims: u64,
    /// Chunks that are confirmed, with nobody to be sent to again.
    pub settled_chunks: u64,
    /// Recipients of claims that are not confirmed, and of whom no event is known. Open or in doubt,
    /// as their leases say.
    pub open: u64,
    /// Recipients who read as accepted by their events, while their chunk still has them to be sent to again:
    /// their permits remain until [`Ledger::acknowledge`] takes them.
    pub unacknowledged: u64,
    /// Recipients who read as accepted by their events, while nobody has claimed their chunk as far as the ledger knows.
    pub unclaimed: u64,
    /// Until when the provider may still be asked about somebody in doubt; nothing where there is nobody.
    pub askable_until: Option<Timestamp>,
    /// Of those rejected, to whom nothing was sent since they came on the list of those that are not mailed.
    pub spared: u64,
    /// How many are in doubt by the moment until which their provider may be asked.
    askable: BTreeMap<Timestamp, u64>,
    confirmed: Totals,
    turned_away: u64,
    events: Fingerprint,
    /// The same as a build before has counted it.
    older_events: Fingerprint,
    fingerprint: Fingerprint,
}

/// A recipient and what became of them; no outcome where their chunk was never claimed.
#[derive(Clone, Debug)]
pub struct RecipientOutcome {
    /// Nobody where they were forgotten.
    pub recipient: Option<Recipient>,
    pub chunk: u32,
    /// The place in the chunk.
    pub at: usize,
    pub outcome: Option<Outcome>,
    /// What the provider's events say.
    pub events: Vec<EventKind>,
    /// More than one message of theirs is known to be accepted.
    pub accepted_twice: bool,
    /// Why nothing was sent to them, where they came on the list of those that are not mailed after they were frozen.
    pub spared: Option<Suppression>,
}

impl Tally {
    /// The totals, with unconfirmed claims as in doubt, which is how they read once their leases
    /// are over.
    #[must_use]
    pub fn totals(&self) -> Totals {
        // A claim that is open may yet be confirmed, so then the chunks have none that would stay.
        let (events_fingerprint, chunks_fingerprint) = (Some(self.events), (self.open_claims == 0).then_some(self.fingerprint));
        let (in_doubt, turned_away) = (self.confirmed.in_doubt + self.open, Some(self.turned_away));
        Totals { in_doubt, turned_away, spared: Some(self.spared), events_fingerprint, chunks_fingerprint, ..self.confirmed }
    }

    /// Says whether `own` is the fingerprint of these very events, as this build counts it or one before.
    #[must_use]
    pub fn has_events(&self, own: Fingerprint) -> bool {
        own == self.events || own == self.older_events
    }

    /// Says whether nothing is left to do in a broadcast of `chunks`: each claimed, none retryable
    /// nor unacknowledged, and no claim open, unless `open_are_over`: the caller knows that their leases are over, and
    /// that no request that their owners may still have out can be accepted.
    #[must_use]
    pub fn is_settled(&self, chunks: u32, open_are_over: bool) -> bool {
        self.chunks == u64::from(chunks) && self.confirmed.retryable + self.unacknowledged == 0 && (self.open_claims == 0 || open_are_over)
    }

    /// How many are in doubt of whom their provider may still be asked after this moment.
    pub(crate) fn askable_after(&self, now: Timestamp) -> u64 {
        self.askable.range((Bound::Excluded(now), Bound::Unbounded)).map(|(_, recipients)| recipients).sum()
    }

    /// Counts one chunk.
    pub fn add(&mut self, Walked { seq, chunk, feedback }: &Walked) {
        let Some(outcomes) = chunk.outcomes() else {
            self.add_unclaimed(feedback);
            return;
        };
        self.chunks += 1;
        self.unacknowledged += feedback.proven_since(chunk).len() as u64;
        for part in chunk.request().map(Keyed::parts).unwrap_or_default() {
            let asked_about = part.members().filter(|at| in_doubt(feedback, outcomes, *at)).count() as u64;
            if asked_about > 0 {
                self.askable_until = self.askable_until.max(Some(part.until()));
                *self.askable.entry(part.until()).or_default() += asked_about;
            }
        }
        for (at, outcome) in outcomes.iter().enumerate() {
            self.spared += u64::from(chunk.spared(at).is_some());
            match feedback.settle(at, outcome) {
                Outcome::Open => self.open += 1,
                Outcome::Accepted => self.confirmed.accepted += 1,
                Outcome::Rejected => self.confirmed.rejected += 1,
                Outcome::Retryable => self.confirmed.retryable += 1,
                Outcome::InDoubt => self.confirmed.in_doubt += 1,
            }
        }
        if !feedback.is_empty() {
            self.events.add(&feedback.as_text(*seq, chunk));
            self.older_events.add(&feedback.as_older_text(*seq));
        }
        if let Some(text) = chunk.as_text(*seq) {
            self.fingerprint.add(&text);
        }
        self.add_events(feedback);
        self.open_claims += u64::from(matches!(chunk, Chunk::Claimed { .. }));
        self.settled_chunks += u64::from(chunk.is_settled(false));
    }

    /// Events name a chunk that nobody has claimed, as far as the ledger knows: a restore has made it forget the claim. Whoever they
    /// prove accepted counts so, as whoever looks for them is told.
    fn add_unclaimed(&mut self, feedback: &Feedback) {
        let proven = feedback.proven();
        self.unclaimed += proven;
        self.confirmed.accepted += proven;
        self.add_events(feedback);
    }

    fn add_events(&mut self, feedback: &Feedback) {
        self.confirmed.delivered += feedback.count(EventKind::Delivered);
        self.confirmed.bounced += feedback.count(EventKind::Bounced);
        self.confirmed.complained += feedback.count(EventKind::Complained);
        self.confirmed.not_rendered += feedback.count(EventKind::RenderFailed);
        self.confirmed.suppressed += feedback.count(EventKind::Suppressed);
        self.confirmed.delayed += feedback.count(EventKind::Delayed);
        self.turned_away += feedback.count(EventKind::Rejected);
    }
}

impl RecipientOutcome {
    /// Of whoever has this place in a chunk; `twice` are the places of which more than one message was accepted.
    pub(crate) fn of(
        recipient: Option<Recipient>,
        (chunk, at): (u32, usize),
        item: &Chunk,
        feedback: &Feedback,
        twice: &BTreeSet<usize>,
    ) -> Self {
        let known = item.outcomes().and_then(|outcomes| outcomes.iter().nth(at));
        // Of a claim that a restore has made the ledger forget events may tell: then it is what they prove.
        let outcome = known.map(|outcome| feedback.settle(at, outcome)).or_else(|| feedback.proves(at).then_some(Outcome::Accepted));
        Self {
            recipient,
            chunk,
            at,
            outcome,
            events: feedback.kinds(at).collect(),
            accepted_twice: twice.contains(&at),
            spared: item.spared(at),
        }
    }

    /// Whether they have the letter, or may have. Who was spared has not: they read as rejected.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Accepted | Outcome::InDoubt | Outcome::Open))
    }
}

/// Open counts: the claim may be over, and then it is doubt.
fn in_doubt(feedback: &Feedback, outcomes: &Outcomes, at: usize) -> bool {
    let settled = outcomes.iter().nth(at).map(|outcome| feedback.settle(at, outcome));
    matches!(settled, Some(Outcome::Open | Outcome::InDoubt))
}

/// The items of one kind in one shard, answer by answer.
struct Cursor {
    prefix: &'static str,
    items: VecDeque<(u32, Item)>,
    after: Option<Item>,
    is_over: bool,
}

impl Cursor {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, items: VecDeque::new(), after: None, is_over: false }
    }

    /// The number of the next item, read where it is not at hand.
    async fn peek(&mut self, ledger: &Ledger, pk: &str) -> Result<Option<u32>, LedgerError> {
        while self.items.is_empty() && !self.is_over {
            let query = ledger
                .db
                .query()
                .table_name(&ledger.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", s(pk))
                .expression_attribute_values(":prefix", s(self.prefix));
            let answer = query.set_exclusive_start_key(self.after.take()).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let sk = item.get("sk").and_then(|sk: &AttributeValue| sk.as_s().ok()).cloned().unwrap_or_default();
                let seq = sk.strip_prefix(self.prefix).and_then(|seq| seq.parse().ok());
                self.items.push_back((seq.ok_or_else(|| LedgerError::corrupt(sk, "its sort key has no number"))?, item));
            }
            self.after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            self.is_over = self.after.is_none();
        }
        Ok(self.items.front().map(|(seq, _)| *seq))
    }

    fn take(&mut self, seq: u32) -> Option<Item> {
        self.items.front().is_some_and(|(next, _)| *next == seq).then(|| self.items.pop_front())?.map(|(_, item)| item)
    }
}

/// A walk over every chunk of a broadcast that was claimed, or of which events tell.
pub struct Walk<'a> {
    ledger: &'a Ledger,
    broadcast: &'a Broadcast,
    /// Read at the beginning; a bit for each event.
    log: Option<EventLog>,
    /// The chunks of this shard that the log tells of, and that were not come to yet.
    logged: BTreeSet<u32>,
    shard: u32,
    /// A small broadcast has chunks in the first of the shards only.
    shards: u32,
    /// The first shard in which nothing should lie: whether something does is asked once, and not for each kind.
    unexpected: u32,
    chunks: Cursor,
    feedback: Cursor,
}

impl Walk<'_> {
    /// The next chunk; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Walked>, LedgerError> {
        let of = self.broadcast.placed().shards;
        if self.log.is_none() {
            let log = self.ledger.event_log(self.broadcast).await?;
            self.logged = log.in_shard(self.shard, of);
            self.log = Some(log);
        }
        let Some(log) = &self.log else { return Ok(None) };
        while self.shard < self.shards {
            let pk = shard(&self.broadcast.broadcast_id, self.shard);
            let asks = self.shard >= self.unexpected && self.logged.is_empty();
            if !asks || self.ledger.has_chunks(&pk).await? {
                self.unexpected = self.unexpected.max(self.shard + 1);
                let chunk = self.chunks.peek(self.ledger, &pk).await?;
                let feedback = self.feedback.peek(self.ledger, &pk).await?;
                if let Some(seq) = chunk.into_iter().chain(feedback).chain(self.logged.first().copied()).min() {
                    self.logged.remove(&seq);
                    let chunk = Chunk::read(self.chunks.take(seq))?;
                    let feedback = Feedback::read(self.feedback.take(seq).as_ref()).union(&log.of(seq));
                    return Ok(Some(Walked { seq, chunk, feedback }));
                }
            }
            self.shard += 1;
            self.logged = log.in_shard(self.shard, of);
            (self.chunks, self.feedback) = (Cursor::new("chunk#"), Cursor::new("feedback#"));
        }
        Ok(None)
    }
}

impl Ledger {
    /// Walks over every chunk of a broadcast: about one call for each 300 full chunks, some for what events say of them,
    /// and before all the log of events, of which it keeps a bit for each.
    #[must_use]
    pub fn walk<'a>(&'a self, broadcast: &'a Broadcast) -> Walk<'a> {
        let shards = broadcast.chunks.min(broadcast.placed().shards.get());
        Walk {
            ledger: self,
            broadcast,
            log: None,
            logged: BTreeSet::new(),
            shard: 0,
            shards,
            unexpected: shards,
            chunks: Cursor::new("chunk#"),
            feedback: Cursor::new("feedback#"),
        }
    }

    /// The same, in every place where a chunk of this broadcast could lie, also beyond those that it has.
    #[must_use]
    pub fn walk_everywhere<'a>(&'a self, broadcast: &'a Broadcast) -> Walk<'a> {
        Walk { shards: broadcast.placed().shards.get(), ..self.walk(broadcast) }
    }

    /// Whether there is any chunk in a shard, or anything that events say of one.
    async fn has_chunks(&self, pk: &str) -> Result<bool, LedgerError> {
        self.has_any(pk, "chunk#", "feedback#~").await
    }

    async fn has_any(&self, pk: &str, first: &str, last: &str) -> Result<bool, LedgerError> {
        let query = self.db.query().table_name(&self.table).consistent_read(true).limit(1);
        let query = query
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", s(pk))
            .expression_attribute_values(":first", s(first))
            .expression_attribute_values(":last", s(last));
        let answer = query.call().await.map_err(LedgerError::call("Query"))?;
        Ok(answer.items.is_some_and(|items| !items.is_empty()))
    }

    /// A partition with pages, chunks or events in which no build looks for any of this broadcast: its own items lie there, or
    /// there are fewer partitions than that. Nothing where there is none.
    pub async fn elsewhere(&self, broadcast: &Broadcast) -> Result<Option<String>, LedgerError> {
        let id = &broadcast.broadcast_id;
        let own = Key::broadcast(id).pk;
        for kind in ["chunk", "feedback", "page"] {
            if self.has_any(&own, &format!("{kind}#"), &format!("{kind}#~")).await? {
                return Ok(Some(own));
            }
        }
        let beyond = (broadcast.placed().shards.get()..Shards::MOST).map(|number| shard(id, number));
        let looked = stream::iter(beyond).map(|pk| async { Ok::<_, LedgerError>(self.has_any(&pk, "!", "~").await?.then_some(pk)) });
        let found: Vec<Option<String>> = looked.buffered(LOOKED_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().next())
    }

    /// Counts every chunk.
    pub async fn tally(&self, broadcast: &Broadcast) -> Result<Tally, LedgerError> {
        let (mut tally, mut walk) = (Tally::default(), self.walk(broadcast));
        while let Some(walked) = walk.next().await? {
            tally.add(&walked);
        }
        Ok(tally)
    }

    /// Every recipient of one page with their outcome, in the page's order. `log` is what the broadcast's log of events says.
    pub async fn page_outcomes(&self, of: &Placed, seq: u32, log: &EventLog) -> Result<Vec<RecipientOutcome>, LedgerError> {
        let page = self.page(of, seq).await?;
        let chunks: Vec<_> = page.chunks().collect();
        let mut outcomes = Vec::with_capacity(page.recipients());
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in chunks.chunks(100) {
            let numbers: Vec<u32> = some.iter().map(|(chunk, _)| *chunk).collect();
            let (found, feedback) = (self.chunks(of, &numbers).await?, self.feedback(of, &numbers).await?);
            for (chunk, recipients) in some {
                let feedback = feedback.get(chunk).cloned().unwrap_or_default().union(&log.of(*chunk));
                let item = found.get(chunk).unwrap_or(&Chunk::Absent);
                let twice = feedback.accepted_twice(item);
                let places = recipients.iter().enumerate();
                outcomes
                    .extend(places.map(|(at, recipient)| RecipientOutcome::of(recipient.clone(), (*chunk, at), item, &feedback, &twice)));
            }
        }
        Ok(outcomes)
    }
}
