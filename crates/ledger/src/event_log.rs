//! The log of events: what became of messages which the ledger knows from their answers.
//!
//! An event that names the very message by which the provider's answer settled its recipient proves nothing that the chunk
//! does not say: nobody is, or will be, sent to or spared on its account. It is only counted and shown. So it need not be
//! written into the chunk's feedback item, which costs a write for each chunk that a batch touches: a whole batch
//! goes into one item here, two bytes or so for each event, in whatever order the events come. What must never come
//! here is an event that could end doubt, or name a second message; that is evidence, and whoever acts on
//! evidence reads the chunk's feedback item alone.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::limits::CHUNK_RECIPIENTS_MAX;
use issei_schema::{BroadcastId, EventKind};

use crate::event_details::{EventOf, Reasons, Times, of_evidence, times_of};
use crate::inspect::{Expiry, expiry};
use crate::item::{Item, Key, n, s};
use crate::{Broadcast, EventDetails, Feedback, Ledger, LedgerError, Shards};

/// A chunk's places in the log, of which those of its recipients are used.
const PLACES: u64 = 64;
const _: () = assert!(CHUNK_RECIPIENTS_MAX <= 64, "a chunk's recipients must fit into a mask");
/// An item holds 400 KB (developer guide, "Quotas").
const ITEM_BYTES_MAX: usize = 300 * 1024;

/// What a batch of events adds to the log.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Events of which the log alone tells.
    pub answered: EventLog,
    /// Events that stand as evidence with their chunks, and here for the sake of their details alone: they count for nothing.
    pub evidence: EventLog,
    pub details: EventDetails,
}

impl EventBatch {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty() && self.evidence.is_empty()
    }

    /// As attributes, for as many items as it takes.
    fn packed(&self) -> Vec<Packed> {
        let (begin, mut items) = (self.details.begin(), vec![Packed::default()]);
        let answered = self.answered.masks.iter().map(|(kind, chunks)| (kind.as_str().to_owned(), *kind, chunks));
        let evidence = self.evidence.masks.iter().map(|(kind, chunks)| (of_evidence(*kind), *kind, chunks));
        for (name, kind, chunks) in answered.chain(evidence) {
            for (chunk, places) in chunks {
                if items.last().is_some_and(|item| item.bytes >= ITEM_BYTES_MAX) {
                    items.push(Packed::default());
                }
                if let Some(item) = items.last_mut() {
                    item.begin = begin;
                    item.add(&name, *chunk, *places);
                    item.add_details(&name, kind, *chunk, *places, &self.details);
                }
            }
        }
        items
    }
}

/// Events by kind, each as the recipients of a chunk whom it names.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    masks: BTreeMap<EventKind, BTreeMap<u32, u64>>,
    /// When DynamoDB may first delete something of it; nothing where nothing is in it.
    expires: Option<Expiry>,
}

impl EventLog {
    /// Adds an event, and says whether it was new. One for a position that no chunk can have changes nothing.
    pub fn add(&mut self, chunk: u32, at: u32, kind: EventKind) -> bool {
        if !usize::try_from(at).is_ok_and(|at| at < CHUNK_RECIPIENTS_MAX) {
            return false;
        }
        // As in a feedback item: whoever does not know these kinds must still read that the provider took it.
        if matches!(kind, EventKind::Suppressed | EventKind::Delayed) {
            self.set(chunk, 1 << at, EventKind::Sent);
        }
        self.set(chunk, 1 << at, kind)
    }

    fn set(&mut self, chunk: u32, places: u64, kind: EventKind) -> bool {
        let mask = self.masks.entry(kind).or_default().entry(chunk).or_default();
        let before = std::mem::replace(mask, *mask | places);
        *mask != before
    }

    /// Adds everything of another.
    pub fn extend(&mut self, other: &Self) {
        for (kind, chunks) in &other.masks {
            for (chunk, places) in chunks {
                self.set(*chunk, *places, *kind);
            }
        }
    }

    #[must_use]
    pub fn contains(&self, chunk: u32, at: u32, kind: EventKind) -> bool {
        let places = self.masks.get(&kind).and_then(|chunks| chunks.get(&chunk)).copied().unwrap_or_default();
        1u64.checked_shl(at).is_some_and(|place| places & place != 0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// How many recipients an event of this kind is known of.
    #[must_use]
    pub fn count(&self, kind: EventKind) -> u64 {
        self.masks.get(&kind).into_iter().flat_map(BTreeMap::values).map(|places| u64::from(places.count_ones())).sum()
    }

    /// When DynamoDB may first delete something of it, or that it never may delete some; nothing where nothing is in it.
    #[must_use]
    pub fn expires(&self) -> Option<Expiry> {
        self.expires
    }

    /// What it says of one chunk.
    #[must_use]
    pub fn of(&self, chunk: u32) -> Feedback {
        let mut feedback = Feedback::default();
        for (kind, chunks) in &self.masks {
            let places = chunks.get(&chunk).copied().unwrap_or_default();
            (0..64u32).filter(|at| places >> at & 1 == 1).for_each(|at| feedback.add_answered(at, *kind));
        }
        feedback
    }

    /// The chunks of one shard that it says anything of.
    pub(crate) fn in_shard(&self, shard: u32, shards: Shards) -> BTreeSet<u32> {
        self.masks.values().flat_map(BTreeMap::keys).copied().filter(|chunk| shards.of(*chunk) == shard).collect()
    }

    fn read(&mut self, item: &Item) -> Result<(), LedgerError> {
        for kind in EventKind::ALL {
            if let Some(Ok(bytes)) = item.get(kind.as_str()).map(AttributeValue::as_b) {
                self.unpack(kind, bytes.as_ref()).ok_or_else(|| LedgerError::corrupt("the log of events", kind.as_str()))?;
            }
        }
        self.expires = Some(match (self.expires, expiry(item)) {
            (None, expiry) => expiry,
            (Some(Expiry::At(one)), Expiry::At(other)) => Expiry::At(one.min(other)),
            (Some(_), _) => Expiry::Never,
        });
        Ok(())
    }

    fn unpack(&mut self, kind: EventKind, bytes: &[u8]) -> Option<()> {
        runs_in(bytes, |chunk, places| {
            self.set(chunk, places, kind);
        })
    }
}

/// Every run of places in an attribute, each of one chunk. Nothing where it is none that a build has written.
fn runs_in(mut bytes: &[u8], mut run_of: impl FnMut(u32, u64)) -> Option<()> {
    let mut end = 0u64;
    while !bytes.is_empty() {
        let gap = number(&mut bytes)?;
        let run = if gap & 1 == 1 { number(&mut bytes)?.checked_add(2)? } else { 1 };
        let begin = end.checked_add(gap >> 1)?;
        end = begin.checked_add(run)?;
        let (chunk, at) = (u32::try_from(begin / PLACES).ok()?, begin % PLACES);
        // Also what was written by hand is of one chunk's recipients.
        (run <= PLACES && at + run <= CHUNK_RECIPIENTS_MAX as u64).then_some(())?;
        run_of(chunk, (u64::MAX >> (PLACES - run)) << at);
    }
    Some(())
}

/// Every place in an attribute, in its order.
pub(crate) fn places_in(bytes: &[u8]) -> Option<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    runs_in(bytes, |chunk, places| all.extend(each(places).map(|at| (chunk, at))))?;
    Some(all)
}

/// The places of a mask.
fn each(places: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |at| places >> at & 1 == 1)
}

/// What one item holds: by name the runs of places, each as the gap since the one before and its length; when those events
/// were, in the order of the places; and why.
#[derive(Default)]
struct Packed {
    kinds: BTreeMap<String, (Vec<u8>, u64)>,
    times: BTreeMap<String, Times>,
    reasons: Reasons,
    /// Since when the times are counted.
    begin: u64,
    bytes: usize,
}

impl Packed {
    fn add(&mut self, name: &str, chunk: u32, mut places: u64) {
        let (bytes, end) = self.kinds.entry(name.to_owned()).or_default();
        let before = bytes.len();
        while places != 0 {
            let at = u64::from(places.trailing_zeros());
            let run = u64::from((places >> at).trailing_ones());
            let begin = u64::from(chunk) * PLACES + at;
            // Most runs are of one, which the last bit of the gap tells.
            put(bytes, (begin - *end) << 1 | u64::from(run > 1));
            if run > 1 {
                put(bytes, run - 2);
            }
            *end = begin + run;
            places &= !((u64::MAX >> (PLACES - run)) << at);
        }
        self.bytes += bytes.len() - before;
    }

    fn add_details(&mut self, name: &str, kind: EventKind, chunk: u32, places: u64, details: &EventDetails) {
        let times = self.times.entry(name.to_owned()).or_default();
        for at in each(places) {
            let detail = details.of((kind, chunk, at));
            self.bytes += times.push(detail.and_then(|detail| detail.at), self.begin);
            if let Some(reason) = detail.and_then(|detail| detail.reason.as_ref()) {
                self.bytes += self.reasons.push((kind, chunk, at), reason);
            }
        }
    }

    fn attributes(self) -> Result<Item, LedgerError> {
        let begin = self.begin;
        let times = self.times.into_iter().filter_map(|(name, times)| Some((times_of(&name), times.finish(begin)?)));
        let places = self.kinds.into_iter().map(|(name, (bytes, _))| (name, AttributeValue::B(Blob::new(bytes))));
        Ok(places.chain(times).chain(self.reasons.attribute()?).collect())
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

pub(crate) fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0u64, 0u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        (shift < 63).then_some(())?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

impl Ledger {
    /// Appends events to a broadcast's log: one write, however many chunks they are of. Safe to repeat, since everything in
    /// it is a set; `token` names the batch, and no two have the same.
    pub async fn append_events(&self, id: &BroadcastId, events: &EventBatch, token: &str) -> Result<(), LedgerError> {
        if events.is_empty() {
            return Ok(());
        }
        for (number, packed) in events.packed().into_iter().enumerate() {
            let mut item = Key::event_log(id, &format!("{token}#{number}")).into_item();
            item.extend(packed.attributes()?);
            item.insert("expires_at".to_owned(), n(self.expires_at()));
            let request = self.db.put_item().table_name(&self.table).set_item(Some(item));
            request.call().await.map_err(LedgerError::call("PutItem"))?;
        }
        Ok(())
    }

    /// A broadcast's whole log of events: a call for each mebibyte of it, which holds some 200,000 events in any order.
    pub async fn event_log(&self, broadcast: &Broadcast) -> Result<EventLog, LedgerError> {
        let mut log = EventLog::default();
        self.each_of_the_log(broadcast, |item| log.read(item)).await?;
        Ok(log)
    }

    /// The same, with when those events were that are `wanted`, and why.
    pub async fn event_log_with(
        &self,
        broadcast: &Broadcast,
        wanted: impl Fn(EventOf) -> bool,
    ) -> Result<(EventLog, EventDetails), LedgerError> {
        let (mut log, mut details) = (EventLog::default(), EventDetails::default());
        self.each_of_the_log(broadcast, |item| {
            log.read(item)?;
            details.read(item, &wanted)
        })
        .await?;
        Ok((log, details))
    }

    /// Every item of a broadcast's log, as they come.
    pub(crate) async fn each_of_the_log(
        &self,
        broadcast: &Broadcast,
        mut look: impl FnMut(&Item) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let (pk, mut after) = (Key::event_log(&broadcast.broadcast_id, "").pk, None);
        if !broadcast.logs_events {
            return Ok(());
        }
        loop {
            let query = self.db.query().table_name(&self.table).consistent_read(true).key_condition_expression("pk = :pk");
            let query = query.expression_attribute_values(":pk", s(&pk));
            let answer = query.set_exclusive_start_key(after).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                look(&item)?;
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventDetail;
    use issei_schema::EventReason;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn kind() -> impl Strategy<Value = EventKind> {
        proptest::sample::select(EventKind::ALL.to_vec())
    }

    fn logged(events: &[(u32, u32, EventKind)]) -> EventLog {
        let mut log = EventLog::default();
        events.iter().for_each(|(chunk, at, kind)| {
            log.add(*chunk, *at, *kind);
        });
        log
    }

    fn batch(log: &EventLog) -> EventBatch {
        EventBatch { answered: log.clone(), ..EventBatch::default() }
    }

    fn items_of(batch: &EventBatch) -> Vec<Item> {
        batch.packed().into_iter().map(|item| item.attributes().unwrap()).collect()
    }

    fn items(log: &EventLog) -> Vec<Item> {
        items_of(&batch(log))
    }

    fn detailed(events: &[(u32, u32, EventKind)], detail: impl Fn(u32, u32) -> EventDetail) -> EventBatch {
        let mut batch = batch(&logged(events));
        events.iter().for_each(|(chunk, at, kind)| batch.details.add((*kind, *chunk, *at), detail(*chunk, *at)));
        batch
    }

    proptest! {
        #[test]
        fn what_is_appended_reads_back_in_any_order_and_however_often(
            events in proptest::collection::vec((prop_oneof![0u32..40, any::<u32>()], 0u32..60, kind()), 0..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let (one, other) = events.split_at(if events.is_empty() { 0 } else { cut.index(events.len()) });
            let mut read = EventLog::default();
            for item in [other, one, other].iter().flat_map(|events| items(&logged(events))) {
                read.read(&item).unwrap();
            }
            prop_assert_eq!(&read.masks, &logged(&events).masks);
            for (chunk, at, kind) in events {
                prop_assert_eq!(read.of(chunk).positions(kind).any(|of| of == at as usize), at < 50);
                prop_assert_eq!(read.contains(chunk, at, kind), at < 50);
            }
        }

        #[test]
        fn bytes_that_no_build_wrote_are_refused_or_name_places_that_there_are(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut log = EventLog::default();
            let _ = log.unpack(EventKind::Sent, &bytes);
            prop_assert!(log.masks.values().flat_map(BTreeMap::values).all(|places| places >> CHUNK_RECIPIENTS_MAX == 0));
        }
    }

    /// A million recipients in random order, a thousand events at a time.
    #[test]
    fn an_event_takes_some_two_bytes_also_where_each_is_of_another_chunk() {
        let events: Vec<_> = (0..1_000u32).map(|n| (n * 20 + n % 7, n % 50, EventKind::Delivered)).collect();
        let bytes: usize = batch(&logged(&events)).packed().iter().map(|item| item.bytes).sum();
        assert!(bytes <= 2_000, "{bytes}");
    }

    /// What is billed, all names included: a unit for each KiB.
    fn bytes_of(item: &Item) -> usize {
        item.iter().map(|(name, value)| name.len() + value.as_b().map_or(0, |bytes| bytes.as_ref().len())).sum()
    }

    /// As above, with when each was: within two minutes, in no order. One in fifty bounced, in words of its own.
    #[test]
    fn when_each_event_was_takes_a_byte_or_two_more_and_a_bounce_a_few_for_its_words() {
        let kind = |n: u32| if n.is_multiple_of(50) { EventKind::Bounced } else { EventKind::Delivered };
        let events: Vec<_> = (0..1_000u32).map(|n| (n * 20 + n % 7, n % 50, kind(n))).collect();
        let detail = |chunk: u32, at: u32| {
            let words = format!("550 5.1.1 The email account that you tried to reach does not exist. {chunk}si1234567plb.{at} - gsmtp");
            EventDetail {
                at: Timestamp::from_second(1_800_000_000 + i64::from(chunk * 7_919 % 120)).ok(),
                reason: EventReason::told("Permanent/General", "5.1.1", &words, []).filter(|_| kind(at) == EventKind::Bounced),
            }
        };
        let items = items_of(&detailed(&events, detail));
        let bytes: usize = items.iter().map(bytes_of).sum();
        assert_eq!(items.len(), 1, "a write for the batch, as without");
        assert!(bytes <= 4_500, "{bytes}");
    }

    proptest! {
        #[test]
        fn details_read_back_with_their_events_and_evidence_counts_for_nothing(
            events in proptest::collection::vec((prop_oneof![0u32..40, any::<u32>()], 0u32..50, kind(), proptest::option::of(-5i64..300), 0usize..4), 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let (answered, evidence) = events.split_at(if events.is_empty() { 0 } else { cut.index(events.len()) });
            let mut expected = EventDetails::default();
            let mut batch = EventBatch::default();
            for (log, events) in [(&mut batch.answered, answered), (&mut batch.evidence, evidence)] {
                for (chunk, at, kind, second, words) in events {
                    log.add(*chunk, *at, *kind);
                    let at_second = second.and_then(|second| Timestamp::from_second(1_800_000_000 + second).ok());
                    let detail = EventDetail { at: at_second, reason: EventReason::told("", "", &"x".repeat(*words), []) };
                    batch.details.add((*kind, *chunk, *at), detail.clone());
                    expected.add((*kind, *chunk, *at), detail);
                }
            }
            let (mut log, mut details) = (EventLog::default(), EventDetails::default());
            for item in items_of(&batch) {
                log.read(&item).unwrap();
                details.read(&item, &|_| true).unwrap();
            }
            prop_assert_eq!(&log.masks, &batch.answered.masks);
            prop_assert_eq!(details, expected);
        }
    }

    /// As a webhook may tell of thousands in one call.
    #[test]
    fn many_words_go_into_several_items_of_which_none_is_too_large() {
        let events: Vec<_> = (0..3_000u32).map(|n| (n, n % 50, EventKind::Bounced)).collect();
        let words = |chunk: u32| format!("{chunk} {}", "\u{3042}\"\\".repeat(60));
        let detail = |chunk: u32, _| EventDetail { at: None, reason: EventReason::told("Permanent/General", "5.1.1", &words(chunk), []) };
        let items = items_of(&detailed(&events, detail));
        assert!(items.len() > 1 && items.iter().all(|item| bytes_of(item) < 390_000), "{}", items.len());
        let mut details = EventDetails::default();
        items.iter().for_each(|item| details.read(item, &|(kind, ..)| kind == EventKind::Bounced).unwrap());
        assert_eq!(details.iter().count(), 3_000);
        assert_eq!(details.of((EventKind::Bounced, 2_999, 49)).unwrap().reason.as_ref().unwrap().diagnostic, words(2_999));
    }

    #[test]
    fn more_than_an_item_holds_goes_into_several() {
        let events: Vec<_> = (0..200_000u32).map(|n| (n * 100, 7, EventKind::Sent)).collect();
        let log = logged(&events);
        let items = items(&log);
        assert!(items.len() > 1, "{}", items.len());
        let mut read = EventLog::default();
        items.iter().for_each(|item| read.read(item).unwrap());
        assert_eq!(read.masks, log.masks);
    }
}
