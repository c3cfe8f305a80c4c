//! Progress: counts for people to watch, as sums and by the time at which they were told.
//!
//! Each run of a service has an item of its own for each broadcast and writes into it what it has done
//! since it began, so a write may be repeated and may come late. A run that is killed loses its last
//! second. So the sums are never too large, and may be too small; but an event that SQS gives to two runs is told by
//! both. Exact counts are a tally. Only the
//! timeline is approximate both ways, since its moments are shared and added to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use issei_aws::AwsCall;
use issei_schema::{BroadcastId, EventKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Key, MOMENT, PROGRESS, n, read, s};
use crate::{EventLog, Feedback, Incarnation, Ledger, LedgerError, Merged, Outcome, Outcomes};

/// Counts since the broadcast began, as far as they have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Recipients for whom a permit was cut from a block.
    #[serde(default)]
    pub permitted: u64,
    #[serde(default)]
    pub settled_chunks: u64,
    #[serde(default)]
    pub accepted: u64,
    #[serde(default)]
    pub rejected: u64,
    /// Of those rejected, to whom nothing was sent since they came on the list of those that are not mailed: no provider has
    /// refused them. None where an older build told.
    #[serde(default)]
    pub spared: u64,
    #[serde(default)]
    pub in_doubt: u64,
    /// Sends that were surely not accepted and went back.
    #[serde(default)]
    pub retried: u64,
    /// Recipients of whom any event is known, where the provider tells what it sends: it accepted them. From here on by events.
    #[serde(default)]
    pub proven: u64,
    #[serde(default)]
    pub delivered: u64,
    #[serde(default)]
    pub bounced: u64,
    #[serde(default)]
    pub complained: u64,
    #[serde(default)]
    pub not_rendered: u64,
    #[serde(default)]
    pub suppressed: u64,
    #[serde(default)]
    pub delayed: u64,
    /// Not sent by the provider for what it found in them.
    #[serde(default)]
    pub turned_away: u64,
    /// Requests that were repeated under their keys.
    #[serde(default)]
    pub asked_again: u64,
    /// Recipients who were told in doubt, and of whom such an answer has told since that they were accepted.
    #[serde(default)]
    pub answered: u64,
}

/// What was told within ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When the ten seconds began.
    pub at: Timestamp,
    #[serde(flatten)]
    pub told: Progress,
}

/// The seconds of a moment: fine enough to see a stop, and 26,000 small items for the 72 hours that a
/// broadcast may take.
const MOMENT_SECONDS: i64 = 10;

impl Progress {
    /// Counts a confirmed chunk: what its claim has settled, and how many of these it has spared.
    pub fn add(&mut self, sent: &[usize], outcomes: &Outcomes, spared: u64) {
        let of = |outcome: Outcome| outcomes.positions(outcome).filter(|at| sent.contains(at)).count() as u64;
        self.accepted += of(Outcome::Accepted);
        self.rejected += of(Outcome::Rejected);
        self.spared += spared;
        self.in_doubt += of(Outcome::InDoubt);
        self.retried += of(Outcome::Retryable);
        self.settled_chunks += u64::from(outcomes.count(Outcome::Retryable) == 0);
    }

    /// Counts what an answer has settled of those who were asked about again. Who was told in doubt before stays so here,
    /// and is accepted besides: people are shown no more in doubt than the others leave. `spared` is how many the claim had spared
    /// of which nobody has told.
    pub fn add_answer(&mut self, asked: &[usize], outcomes: &Outcomes, was_told: bool, spared: u64) {
        let of = |outcome: Outcome| outcomes.positions(outcome).filter(|at| asked.contains(at)).count() as u64;
        self.accepted += of(Outcome::Accepted);
        self.rejected += of(Outcome::Rejected) + spared;
        self.spared += spared;
        self.in_doubt += if was_told { 0 } else { of(Outcome::InDoubt) };
        self.settled_chunks += u64::from(!was_told);
        self.asked_again += 1;
        self.answered += if was_told { of(Outcome::Accepted) + of(Outcome::Rejected) } else { 0 };
    }

    /// Counts what events have told anew of one chunk.
    pub fn add_feedback(&mut self, merged: &Merged) {
        let more = |count: fn(&Feedback) -> u64| count(&merged.after).saturating_sub(count(&merged.before));
        self.proven += more(Feedback::proven);
        self.delivered += more(|feedback| feedback.count(EventKind::Delivered));
        self.bounced += more(|feedback| feedback.count(EventKind::Bounced));
        self.complained += more(|feedback| feedback.count(EventKind::Complained));
        self.not_rendered += more(|feedback| feedback.count(EventKind::RenderFailed));
        self.suppressed += more(|feedback| feedback.count(EventKind::Suppressed));
        self.delayed += more(|feedback| feedback.count(EventKind::Delayed));
        self.turned_away += more(|feedback| feedback.count(EventKind::Rejected));
    }

    /// Counts what was logged anew. Of whom anything is known is told by the first kind of event alone, since the next may be
    /// logged by another run.
    pub fn add_logged(&mut self, fresh: &EventLog) {
        self.proven += fresh.count(EventKind::Sent);
        self.delivered += fresh.count(EventKind::Delivered);
        self.bounced += fresh.count(EventKind::Bounced);
        self.complained += fresh.count(EventKind::Complained);
        self.not_rendered += fresh.count(EventKind::RenderFailed);
        self.suppressed += fresh.count(EventKind::Suppressed);
        self.delayed += fresh.count(EventKind::Delayed);
        self.turned_away += fresh.count(EventKind::Rejected);
    }

    /// Whom the provider refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.rejected.saturating_sub(self.spared)
    }

    fn counts(&self) -> [(&'static str, u64); 17] {
        [
            ("permitted", self.permitted),
            ("settled_chunks", self.settled_chunks),
            ("accepted", self.accepted),
            ("rejected", self.rejected),
            ("spared", self.spared),
            ("in_doubt", self.in_doubt),
            ("retried", self.retried),
            ("proven", self.proven),
            ("delivered", self.delivered),
            ("bounced", self.bounced),
            ("complained", self.complained),
            ("not_rendered", self.not_rendered),
            ("suppressed", self.suppressed),
            ("delayed", self.delayed),
            ("turned_away", self.turned_away),
            ("asked_again", self.asked_again),
            ("answered", self.answered),
        ]
    }

    /// Everything of `self` that is not in `earlier`.
    fn since(self, earlier: Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    fn zip(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            permitted: with(self.permitted, other.permitted),
            settled_chunks: with(self.settled_chunks, other.settled_chunks),
            accepted: with(self.accepted, other.accepted),
            rejected: with(self.rejected, other.rejected),
            spared: with(self.spared, other.spared),
            in_doubt: with(self.in_doubt, other.in_doubt),
            retried: with(self.retried, other.retried),
            proven: with(self.proven, other.proven),
            delivered: with(self.delivered, other.delivered),
            bounced: with(self.bounced, other.bounced),
            complained: with(self.complained, other.complained),
            not_rendered: with(self.not_rendered, other.not_rendered),
            suppressed: with(self.suppressed, other.suppressed),
            delayed: with(self.delayed, other.delayed),
            turned_away: with(self.turned_away, other.turned_away),
            asked_again: with(self.asked_again, other.asked_again),
            answered: with(self.answered, other.answered),
        }
    }
}

/// What one run of a service has done for one broadcast, and how much of it was told.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    done: Progress,
    told: Progress,
    /// Grows with each telling, so that one that comes late does not undo a later one.
    tellings: u64,
}

/// Tells the ledger how far one run of a service has come. It remembers some 200 bytes for each
/// broadcast that the run has worked for.
#[derive(Debug)]
pub struct Telling {
    ledger: Ledger,
    /// The run's token.
    run: String,
    counts: Mutex<BTreeMap<BroadcastId, Counted>>,
}

impl Telling {
    #[must_use]
    pub fn new(ledger: Ledger, run: &Incarnation) -> Self {
        Self { ledger, run: run.token().to_owned(), counts: Mutex::default() }
    }

    /// Counts something that was done. It is told with the next telling.
    pub fn note(&self, id: &BroadcastId, count: impl FnOnce(&mut Progress)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().done);
    }

    /// Tells what has not been told yet. What can't be told now is told the next time.
    pub async fn tell(&self) {
        let due: Vec<(BroadcastId, Counted)> = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let due = counts.iter_mut().filter(|(_, counted)| counted.done != counted.told);
            due.map(|(id, counted)| {
                counted.tellings += 1;
                (id.clone(), *counted)
            })
            .collect()
        };
        for (id, Counted { done, told, tellings }) in due {
            match self.ledger.tell_progress(&id, &self.run, tellings, done).await {
                Ok(()) => {
                    if let Some(counted) = self.counts.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
                        counted.told = done;
                    }
                    if let Err(error) = self.ledger.add_to_timeline(&id, done.since(told)).await {
                        tracing::warn!(%error, broadcast.id = %id, "the timeline can't be written; it lacks a moment");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, broadcast.id = %id, "progress can't be told; the counts that people watch will lag, the ledger does not");
                }
            }
        }
    }
}

impl Ledger {
    /// Writes what a run has done for a broadcast since it began. A telling that was overtaken by a later
    /// one changes nothing.
    async fn tell_progress(&self, id: &BroadcastId, run: &str, telling: u64, done: Progress) -> Result<(), LedgerError> {
        let sets = done.counts().map(|(name, _)| format!("{name} = :{name}")).join(", ");
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::progress(id, run).into_item()))
            .update_expression(format!("SET telling = :telling, expires_at = :expires, {sets}"))
            .condition_expression("attribute_not_exists(telling) OR telling < :telling")
            .expression_attribute_values(":telling", n(telling))
            .expression_attribute_values(":expires", n(self.expires_at()));
        for (name, count) in done.counts() {
            request = request.expression_attribute_values(format!(":{name}"), n(count));
        }
        match request.call().await {
            Ok(_) => Ok(()),
            // This very one was written already, or a later one.
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }

    /// Adds what was done since the last telling to the moment that it is now.
    async fn add_to_timeline(&self, id: &BroadcastId, since: Progress) -> Result<(), LedgerError> {
        let Progress { permitted, accepted, delivered, bounced, complained, .. } = since;
        let rejected = since.refused();
        tracing::info!(target: "issei::metrics", permitted, accepted, rejected, delivered, bounced, complained);
        let counts: Vec<_> = since.counts().into_iter().filter(|(_, count)| *count > 0).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let second = self.clock.wall().as_second();
        let key = Key::moment(id, second - second.rem_euclid(MOMENT_SECONDS));
        let adds = counts.iter().map(|(name, _)| format!("{name} :{name}")).collect::<Vec<_>>().join(", ");
        let mut request =
            self.db.update_item().table_name(&self.table).set_key(Some(key.into_item())).update_expression(format!("ADD {adds}"));
        for (name, count) in counts {
            request = request.expression_attribute_values(format!(":{name}"), n(count));
        }
        request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// What was told and when, in order of time. About a call for each three hours of sending.
    pub async fn timeline(&self, id: &BroadcastId) -> Result<Vec<Moment>, LedgerError> {
        self.timeline_since(id, None).await
    }

    /// The same of the moments from then on: for whoever looks each second.
    pub async fn timeline_since(&self, id: &BroadcastId, since: Option<Timestamp>) -> Result<Vec<Moment>, LedgerError> {
        let from = since.map_or(MOMENT.to_owned(), |since| format!("{MOMENT}{}", since.as_second()));
        let (mut moments, mut after) = (Vec::new(), None);
        loop {
            let query = self
                .db
                .query()
                .table_name(&self.table)
                // Seconds have ten digits until 2286, so their order is that of their text; `~` comes after every digit.
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :end")
                .expression_attribute_values(":pk", s(Key::broadcast(id).pk))
                .expression_attribute_values(":from", s(&from))
                .expression_attribute_values(":end", s(format!("{MOMENT}~")));
            let answer = query.set_exclusive_start_key(after).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let second = item.get("sk").and_then(|sk| sk.as_s().ok()).and_then(|sk| sk.strip_prefix(MOMENT)?.parse().ok());
                let at = second.and_then(|second| Timestamp::from_second(second).ok());
                let at = at.ok_or_else(|| LedgerError::corrupt("timeline", "a sort key has no second"))?;
                moments.push(Moment { at, told: read(item)? });
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(moments);
            }
        }
    }

    /// The sums of what all runs have told. One call for some thousands of runs, whatever the audience.
    pub async fn progress(&self, id: &BroadcastId) -> Result<Progress, LedgerError> {
        Ok(self.tellings(id).await?.into_iter().fold(Progress::default(), |sum, (_, told)| sum.plus(told)))
    }

    /// Recipients whose permits are used up and whose requests are over, as far as is known: never too
    /// many. Whoever is in doubt is not among them, and neither is what builds before this one have told,
    /// which counted a repeated write twice.
    pub async fn surely_settled(&self, id: &BroadcastId) -> Result<u64, LedgerError> {
        let tellings = self.tellings(id).await?.into_iter();
        Ok(tellings.filter(|(sk, _)| !is_shared(sk)).map(|(_, told)| told.accepted.saturating_add(told.rejected)).sum())
    }

    async fn tellings(&self, id: &BroadcastId) -> Result<Vec<(String, Progress)>, LedgerError> {
        let (mut tellings, mut after) = (Vec::new(), None);
        loop {
            let query = self
                .db
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND begins_with(sk, :progress)")
                .expression_attribute_values(":pk", s(Key::broadcast(id).pk))
                .expression_attribute_values(":progress", s(PROGRESS));
            let answer = query.set_exclusive_start_key(after).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
                tellings.push((sk, read(item)?));
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(tellings);
            }
        }
    }
}

/// An item of an earlier build, which many runs added to: its key ends in two digits.
fn is_shared(sk: &str) -> bool {
    sk.strip_prefix(PROGRESS).is_some_and(|shard| shard.len() <= 2)
}
