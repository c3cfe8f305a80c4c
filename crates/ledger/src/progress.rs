//! Progress: counts for people to watch, as sums and by the time at which they were told. Cheap and
//! approximate: a crash loses the last second of them, a repeated write counts twice. Nothing may be
//! decided by them; exact counts are a tally.

use issei_schema::BroadcastId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Key, MOMENT, SHARDS, n, read, s};
use crate::{EventKind, Feedback, Ledger, LedgerError, Merged, Outcome, Outcomes};

/// Approximate counts since the broadcast began.
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
    #[serde(default)]
    pub in_doubt: u64,
    /// Sends that were surely not accepted and went back.
    #[serde(default)]
    pub retried: u64,
    /// Recipients of whom any event is known: the provider accepted them. From here on by events.
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
    /// Counts a confirmed chunk; `before` is how many of each it had before this claim.
    pub fn add(&mut self, sent: &[usize], outcomes: &Outcomes) {
        let of = |outcome: Outcome| outcomes.positions(outcome).filter(|at| sent.contains(at)).count() as u64;
        self.accepted += of(Outcome::Accepted);
        self.rejected += of(Outcome::Rejected);
        self.in_doubt += of(Outcome::InDoubt);
        self.retried += of(Outcome::Retryable);
        self.settled_chunks += u64::from(outcomes.count(Outcome::Retryable) == 0);
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
    }

    fn counts(&self) -> [(&'static str, u64); 13] {
        [
            ("permitted", self.permitted),
            ("settled_chunks", self.settled_chunks),
            ("accepted", self.accepted),
            ("rejected", self.rejected),
            ("in_doubt", self.in_doubt),
            ("retried", self.retried),
            ("proven", self.proven),
            ("delivered", self.delivered),
            ("bounced", self.bounced),
            ("complained", self.complained),
            ("not_rendered", self.not_rendered),
            ("suppressed", self.suppressed),
            ("delayed", self.delayed),
        ]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            permitted: self.permitted + other.permitted,
            settled_chunks: self.settled_chunks + other.settled_chunks,
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            in_doubt: self.in_doubt + other.in_doubt,
            retried: self.retried + other.retried,
            proven: self.proven + other.proven,
            delivered: self.delivered + other.delivered,
            bounced: self.bounced + other.bounced,
            complained: self.complained + other.complained,
            not_rendered: self.not_rendered + other.not_rendered,
            suppressed: self.suppressed + other.suppressed,
            delayed: self.delayed + other.delayed,
        }
    }
}

impl Ledger {
    /// Adds what a service has done since it last told. `shard` spreads services over items.
    pub async fn add_progress(&self, id: &BroadcastId, shard: u32, progress: Progress) -> Result<(), LedgerError> {
        let Progress { permitted, accepted, rejected, delivered, bounced, complained, .. } = progress;
        tracing::info!(target: "issei::metrics", permitted, accepted, rejected, delivered, bounced, complained);
        let second = self.clock.wall().as_second();
        self.add_counts(Key::progress(id, shard % SHARDS), progress).await?;
        self.add_counts(Key::moment(id, second - second.rem_euclid(MOMENT_SECONDS)), progress).await
    }

    async fn add_counts(&self, key: Key, progress: Progress) -> Result<(), LedgerError> {
        let counts: Vec<_> = progress.counts().into_iter().filter(|(_, count)| *count > 0).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let adds = counts.iter().map(|(name, _)| format!("{name} :{name}")).collect::<Vec<_>>().join(", ");
        let mut request =
            self.db.update_item().table_name(&self.table).set_key(Some(key.into_item())).update_expression(format!("ADD {adds}"));
        for (name, count) in counts {
            request = request.expression_attribute_values(format!(":{name}"), n(count));
        }
        request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// What was told and when, in order of time. About a call for each three hours of sending.
    pub async fn timeline(&self, id: &BroadcastId) -> Result<Vec<Moment>, LedgerError> {
        let (mut moments, mut after) = (Vec::new(), None);
        loop {
            let query = self
                .db
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND begins_with(sk, :moment)")
                .expression_attribute_values(":pk", s(Key::broadcast(id).pk))
                .expression_attribute_values(":moment", s(MOMENT));
            let answer = query.set_exclusive_start_key(after).send().await.map_err(LedgerError::call("Query"))?;
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
