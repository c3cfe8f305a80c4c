//! Feedback items: what the provider's own events say of a chunk's recipients.
//!
//! Everything in them is a set, so that repeated, late and out-of-order events change nothing. An
//! event is evidence that the provider accepted a send; it never opens a recipient to another one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use issei_aws::AwsCall;
use issei_schema::{EventKind, limits};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::item::{Item, Key, n};
use crate::{Chunk, Ledger, LedgerError, Outcome, Placed};

/// What is known of one chunk from events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    positions: BTreeMap<EventKind, BTreeSet<u32>>,
    /// Positions with the digests of the message ids that their events named.
    message_ids: BTreeSet<(u32, String)>,
    /// Messages in full, of recipients of whom more than one was accepted.
    messages: BTreeSet<NamedMessage>,
    /// Positions of which the log of events tells: those events named the message that the chunk's answer names.
    answered: BTreeSet<u32>,
}

/// A message that the provider accepted for a recipient, by its full id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NamedMessage {
    /// The recipient's place in the chunk.
    #[serde(skip)]
    pub at: u32,
    /// When the provider accepted it, as its event says; empty where it does not.
    pub sent_at: String,
    pub message_id: String,
}

impl NamedMessage {
    /// An event's words are hostile, so only the start of an id and a time that is one are kept.
    #[must_use]
    pub fn new(at: u32, sent_at: Option<Timestamp>, message_id: &str) -> Self {
        let message_id = message_id.chars().filter(char::is_ascii_graphic).take(MESSAGE_ID_CHARS_MAX).collect();
        Self { at, sent_at: sent_at.map_or(String::new(), |at| at.to_string()), message_id }
    }
}

/// A message id of SES has 60 characters.
const MESSAGE_ID_CHARS_MAX: usize = 100;
/// So many messages of a chunk are kept in full: who forges more of them fills no item.
const MESSAGES_MAX: usize = 200;

/// What a write of feedback changed.
#[derive(Clone, Debug)]
pub struct Merged {
    pub before: Feedback,
    pub after: Feedback,
}

impl Merged {
    /// Says whether it named a message that was not known: only such a one can be a second one.
    #[must_use]
    pub fn names_new_messages(&self) -> bool {
        self.after.message_ids.len() > self.before.message_ids.len()
    }
}

/// A message id, shortened: enough to tell two apart, and a fourth of its size in the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageDigest([u8; 8]);

impl MessageDigest {
    #[must_use]
    pub fn of(message_id: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(message_id).into();
        Self(std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default()))
    }
}

fn digest(message_id: &str) -> String {
    hex::encode(MessageDigest::of(message_id).0)
}

impl Feedback {
    /// Adds an event. One for a position that no chunk can have changes nothing.
    pub fn add(&mut self, at: u32, kind: EventKind, message_id: &str) {
        if usize::try_from(at).is_ok_and(|at| at < limits::CHUNK_RECIPIENTS_MAX) {
            self.positions.entry(kind).or_default().insert(at);
            // A build that does not know these kinds must still read that the provider took it.
            if matches!(kind, EventKind::Suppressed | EventKind::Delayed) {
                self.positions.entry(EventKind::Sent).or_default().insert(at);
            }
            // An event that names no message proves that one was accepted, and never that another was.
            if !message_id.is_empty() {
                self.message_ids.insert((at, digest(message_id)));
            }
        }
    }

    /// Adds what the log of events says of a position.
    pub(crate) fn add_answered(&mut self, at: u32, kind: EventKind) {
        self.positions.entry(kind).or_default().insert(at);
        self.answered.insert(at);
    }

    /// The positions of which the log of events tells, each of a recipient whose answer named the message.
    pub fn answered(&self) -> impl Iterator<Item = usize> + '_ {
        self.answered.iter().filter_map(|at| usize::try_from(*at).ok())
    }

    /// The union of both.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (kind, positions) in &other.positions {
            self.positions.entry(*kind).or_default().extend(positions);
        }
        self.message_ids.extend(other.message_ids.iter().cloned());
        self.messages.extend(other.messages.iter().cloned());
        self.answered.extend(&other.answered);
        self
    }

    /// Says whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.message_ids.is_empty() && self.positions.values().all(BTreeSet::is_empty)
    }

    /// Says whether any event names this position, which proves that the provider accepted it.
    #[must_use]
    pub fn proves(&self, at: usize) -> bool {
        u32::try_from(at).is_ok_and(|at| self.positions.values().any(|positions| positions.contains(&at)))
    }

    /// Says whether the id of any message for this position is known from an event. In the log it is that of the answer.
    #[must_use]
    pub fn names_message(&self, at: usize) -> bool {
        self.named_positions().chain(self.answered()).any(|named| named == at)
    }

    /// The positions for which events have named a message.
    pub fn named_positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.message_ids.iter().filter_map(|(at, _)| usize::try_from(*at).ok())
    }

    /// The positions of which an event of this kind is known.
    pub fn positions(&self, kind: EventKind) -> impl Iterator<Item = usize> + '_ {
        self.positions.get(&kind).into_iter().flatten().filter_map(|at| usize::try_from(*at).ok())
    }

    /// How many positions an event of this kind is known of.
    #[must_use]
    pub fn count(&self, kind: EventKind) -> u64 {
        self.positions.get(&kind).map_or(0, |positions| positions.len() as u64)
    }

    /// How many positions any event is known of.
    #[must_use]
    pub fn proven(&self) -> u64 {
        self.positions.values().flatten().collect::<BTreeSet<_>>().len() as u64
    }

    /// The kinds of event known of one position.
    pub fn kinds(&self, at: usize) -> impl Iterator<Item = EventKind> + '_ {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.positions.iter().filter(move |(_, positions)| positions.contains(&at)).map(|(kind, _)| *kind)
    }

    /// The positions for which the provider has accepted more than one message: by the ids in events,
    /// and by those in the answers that the chunk's consumer wrote down.
    #[must_use]
    pub fn accepted_twice(&self, chunk: &Chunk) -> BTreeSet<usize> {
        let mut ids: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (at, id) in &self.message_ids {
            ids.entry(usize::try_from(*at).unwrap_or(usize::MAX)).or_default().insert(id.clone());
        }
        if let Chunk::Confirmed { message_ids, .. } = chunk {
            for (at, id) in message_ids.split_whitespace().enumerate().filter(|(_, id)| *id != "-") {
                ids.entry(at).or_default().insert(digest(id));
            }
        }
        ids.into_iter().filter(|(_, ids)| ids.len() > 1).map(|(at, _)| at).collect()
    }

    /// The messages of one recipient, in full, where more than one was accepted and their events told.
    pub fn messages(&self, at: usize) -> impl Iterator<Item = &NamedMessage> {
        self.messages.iter().filter(move |message| usize::try_from(message.at).is_ok_and(|of| of == at))
    }

    /// What a recipient's outcome is in the light of the events: doubt ends where there is evidence, and so does
    /// what was concluded from the absence of it.
    #[must_use]
    pub fn settle(&self, at: usize, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Open | Outcome::InDoubt | Outcome::Retryable if self.proves(at) => Outcome::Accepted,
            other => other,
        }
    }

    /// The positions that are to be sent to again as the chunk has it, and that events prove accepted.
    #[must_use]
    pub fn proven_since(&self, chunk: &Chunk) -> Vec<usize> {
        let retryable = chunk.outcomes().into_iter().flat_map(|outcomes| outcomes.positions(Outcome::Retryable));
        retryable.filter(|at| self.proves(*at)).collect()
    }

    /// All of it as one text, the same for the same events, by whichever way they came: of a message that the chunk's answer
    /// names the log keeps no id, and a request that hung may write one here long after its event was put into the log.
    pub(crate) fn as_text(&self, seq: u32, chunk: &Chunk) -> String {
        let answers: Vec<_> = if self.message_ids.is_empty() { Vec::new() } else { chunk.answers() };
        let answer = |at: u32| answers.get(usize::try_from(at).ok()?).copied()?.map(|digest| hex::encode(digest.0));
        self.text_of(seq, |at, id| answer(at).as_deref() != Some(id))
    }

    /// As a build before had it: with every id that is kept.
    pub(crate) fn as_older_text(&self, seq: u32) -> String {
        self.text_of(seq, |_, _| true)
    }

    fn text_of(&self, seq: u32, tells: impl Fn(u32, &str) -> bool) -> String {
        let kinds = self.positions.iter().map(|(kind, positions)| {
            let positions: Vec<String> = positions.iter().map(ToString::to_string).collect();
            format!("{} {}", kind.as_str(), positions.join(" "))
        });
        let ids = self.message_ids.iter().filter(|(at, id)| tells(*at, id)).map(|(at, id)| format!("{at} {id}"));
        std::iter::once(seq.to_string()).chain(kinds).chain(ids).collect::<Vec<_>>().join("|")
    }

    fn values(&self) -> Vec<(&'static str, AttributeValue)> {
        let mut values: Vec<_> = self
            .positions
            .iter()
            .filter(|(_, positions)| !positions.is_empty())
            .map(|(kind, positions)| (kind.as_str(), AttributeValue::Ns(positions.iter().map(ToString::to_string).collect())))
            .collect();
        // A set has a member at least (DynamoDB developer guide, "Sets").
        if !self.message_ids.is_empty() {
            let ids = self.message_ids.iter().map(|(at, id)| format!("{at} {id}")).collect();
            values.push(("message_ids", AttributeValue::Ss(ids)));
        }
        values
    }

    pub(crate) fn read(item: Option<&Item>) -> Self {
        let mut feedback = Self::default();
        let Some(item) = item else { return feedback };
        for kind in EventKind::ALL {
            if let Some(Ok(positions)) = item.get(kind.as_str()).map(AttributeValue::as_ns) {
                feedback.positions.insert(kind, positions.iter().filter_map(|at| at.parse().ok()).collect());
            }
        }
        if let Some(Ok(ids)) = item.get("message_ids").map(AttributeValue::as_ss) {
            feedback.message_ids =
                ids.iter().filter_map(|pair| pair.split_once(' ')).filter_map(|(at, id)| Some((at.parse().ok()?, id.to_owned()))).collect();
        }
        if let Some(Ok(messages)) = item.get("messages").map(AttributeValue::as_ss) {
            let parts = |text: &String| {
                let mut parts = text.splitn(3, ' ').map(str::to_owned);
                Some(NamedMessage { at: parts.next()?.parse().ok()?, sent_at: parts.next()?, message_id: parts.next()? })
            };
            feedback.messages = messages.iter().filter_map(parts).collect();
        }
        feedback
    }
}

impl Ledger {
    /// Keeps messages in full, so that whoever asks about a second acceptance sees both. `before` is what
    /// was kept of the chunk.
    pub async fn note_messages(&self, of: &Placed, chunk: u32, before: &Feedback, new: &[NamedMessage]) -> Result<(), LedgerError> {
        let new: Vec<String> = new
            .iter()
            .filter(|message| !before.messages.contains(message))
            .take(MESSAGES_MAX.saturating_sub(before.messages.len()))
            .map(|NamedMessage { at, sent_at, message_id }| format!("{at} {sent_at} {message_id}"))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::feedback(of, chunk).into_item()))
            .update_expression("SET expires_at = :expires ADD messages :messages")
            .expression_attribute_values(":expires", n(self.expires_at()))
            .expression_attribute_values(":messages", AttributeValue::Ss(new));
        request.call().await.map(|_| ()).map_err(LedgerError::call("UpdateItem"))
    }

    /// Adds what events say of one chunk: one write, however many events, safe to repeat.
    pub async fn merge_feedback(&self, of: &Placed, chunk: u32, new: &Feedback) -> Result<Merged, LedgerError> {
        if new.is_empty() {
            return Ok(Merged { before: Feedback::default(), after: Feedback::default() });
        }
        let values = new.values();
        let adds: Vec<String> = values.iter().map(|(name, _)| format!("{name} :{name}")).collect();
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::feedback(of, chunk).into_item()))
            .update_expression(format!("SET expires_at = :expires ADD {}", adds.join(", ")))
            .expression_attribute_values(":expires", n(self.expires_at()))
            .return_values(ReturnValue::AllOld);
        for (name, value) in values {
            request = request.expression_attribute_values(format!(":{name}"), value);
        }
        let answer = request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        let before = Feedback::read(answer.attributes.as_ref());
        Ok(Merged { after: before.clone().union(new), before })
    }

    /// The evidence that events give of up to a hundred chunks of one broadcast, with one call: all that whoever acts on
    /// it, or on its absence, needs. What the log of events says besides is for counting and showing.
    pub async fn feedback(&self, of: &Placed, chunks: &[u32]) -> Result<HashMap<u32, Feedback>, LedgerError> {
        let keys: Vec<(Key, u32)> = chunks.iter().map(|chunk| (Key::feedback(of, *chunk), *chunk)).collect();
        let items = self.batch_get(keys.iter().map(|(key, _)| key.clone()).collect()).await?;
        Ok(keys.into_iter().map(|(key, chunk)| (chunk, Feedback::read(items.get(&key)))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind() -> impl Strategy<Value = EventKind> {
        proptest::sample::select(EventKind::ALL.to_vec())
    }

    fn collected(events: &[(u32, EventKind, u8)]) -> Feedback {
        let mut feedback = Feedback::default();
        events.iter().for_each(|(at, kind, id)| feedback.add(*at, *kind, &format!("id-{id}")));
        feedback
    }

    proptest! {
        /// Row 26 of the catalogue: events come repeated, late and out of order.
        #[test]
        fn the_order_the_grouping_and_repeats_of_events_change_nothing(
            events in proptest::collection::vec((0u32..60, kind(), 0u8..4), 0..40),
            order in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = collected(&events);
            let mut shuffled = events.clone();
            if !shuffled.is_empty() {
                let by = order.index(shuffled.len());
                shuffled.rotate_left(by);
                let (first, second) = shuffled.split_at(cut.index(shuffled.len()));
                let merged = collected(second).union(&collected(first)).union(&collected(second));
                prop_assert_eq!(&merged, &whole);
            }
        }

        #[test]
        fn what_is_written_reads_back(events in proptest::collection::vec((0u32..50, kind(), 0u8..4), 1..40)) {
            let feedback = collected(&events);
            let item: Item = feedback.values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            prop_assert_eq!(Feedback::read(Some(&item)), feedback);
        }

        /// V16 from the events' side: they end doubt and never open anything.
        #[test]
        fn an_event_never_makes_anybody_sendable(events in proptest::collection::vec((0u32..50, kind(), 0u8..4), 0..40), at in 0usize..50) {
            let feedback = collected(&events);
            for outcome in [Outcome::Open, Outcome::InDoubt, Outcome::Accepted, Outcome::Rejected] {
                prop_assert_ne!(feedback.settle(at, outcome), Outcome::Retryable);
            }
            prop_assert_eq!(feedback.settle(at, Outcome::Retryable) == Outcome::Accepted, feedback.proves(at));
        }
    }

    /// Of two who were accepted.
    fn confirmed(ids: &str) -> Chunk {
        Chunk::Confirmed {
            page: 0,
            attempt: 1,
            claimed_at: Timestamp::UNIX_EPOCH,
            reopened_at: None,
            outcomes: Outcomes::try_from("aa".to_owned()).unwrap(),
            message_ids: ids.to_owned(),
            request: None,
            written: crate::Written::default(),
        }
    }

    #[test]
    fn a_write_that_lands_long_after_its_event_was_logged_changes_no_fingerprint() {
        let chunk = confirmed("id-1 id-2");
        let mut logged = Feedback::default();
        logged.add_answered(0, EventKind::Delivered);
        let late = logged.clone().union(&collected(&[(0, EventKind::Delivered, 1)]));
        assert_eq!(late.as_text(7, &chunk), logged.as_text(7, &chunk));
        // What names another message than the answer does is another event.
        let other = logged.clone().union(&collected(&[(0, EventKind::Delivered, 3)]));
        assert_ne!(other.as_text(7, &chunk), logged.as_text(7, &chunk));
        assert_ne!(late.as_older_text(7), logged.as_older_text(7));
    }

    #[test]
    fn two_message_ids_for_one_position_are_seen_wherever_they_stand() {
        let one = collected(&[(0, EventKind::Sent, 1), (0, EventKind::Delivered, 1), (1, EventKind::Sent, 2)]);
        assert!(one.accepted_twice(&confirmed("id-1 id-2")).is_empty());
        assert_eq!(one.accepted_twice(&confirmed("id-1 id-9")), BTreeSet::from([1]));
        assert_eq!(collected(&[(0, EventKind::Sent, 1), (0, EventKind::Sent, 2)]).accepted_twice(&Chunk::Absent), BTreeSet::from([0]));
    }

    use crate::Outcomes;
}
