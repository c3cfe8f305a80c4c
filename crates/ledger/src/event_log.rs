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
use issei_schema::limits::CHUNK_RECIPIENTS_MAX;
use issei_schema::{BroadcastId, EventKind};

use crate::inspect::{Expiry, expiry};
use crate::item::{Item, Key, n, s};
use crate::{Broadcast, Feedback, Ledger, LedgerError, Shards};

/// A chunk's places in the log, of which those of its recipients are used.
const PLACES: u64 = 64;
const _: () = assert!(CHUNK_RECIPIENTS_MAX <= 64, "a chunk's recipients must fit into a mask");
/// An item holds 400 KB (developer guide, "Quotas").
const ITEM_BYTES_MAX: usize = 300 * 1024;

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

    /// As attributes, for as many items as it takes.
    fn packed(&self) -> Vec<Packed> {
        let mut items = vec![Packed::default()];
        for (kind, chunks) in &self.masks {
            for (chunk, places) in chunks {
                if items.last().is_some_and(|item| item.bytes >= ITEM_BYTES_MAX) {
                    items.push(Packed::default());
                }
                if let Some(item) = items.last_mut() {
                    item.add(*kind, *chunk, *places);
                }
            }
        }
        items
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

    fn unpack(&mut self, kind: EventKind, mut bytes: &[u8]) -> Option<()> {
        let mut end = 0u64;
        while !bytes.is_empty() {
            let gap = number(&mut bytes)?;
            let run = if gap & 1 == 1 { number(&mut bytes)?.checked_add(2)? } else { 1 };
            let begin = end.checked_add(gap >> 1)?;
            end = begin.checked_add(run)?;
            let (chunk, at) = (u32::try_from(begin / PLACES).ok()?, begin % PLACES);
            // Also what was written by hand is of one chunk's recipients.
            (run <= PLACES && at + run <= CHUNK_RECIPIENTS_MAX as u64).then_some(())?;
            self.set(chunk, (u64::MAX >> (PLACES - run)) << at, kind);
        }
        Some(())
    }
}

/// What one item holds: by kind the runs of places, each as the gap since the one before and its length.
#[derive(Default)]
struct Packed {
    kinds: BTreeMap<EventKind, (Vec<u8>, u64)>,
    bytes: usize,
}

impl Packed {
    fn add(&mut self, kind: EventKind, chunk: u32, mut places: u64) {
        let (bytes, end) = self.kinds.entry(kind).or_default();
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
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
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
    pub async fn append_events(&self, id: &BroadcastId, events: &EventLog, token: &str) -> Result<(), LedgerError> {
        if events.is_empty() {
            return Ok(());
        }
        for (number, Packed { kinds, .. }) in events.packed().into_iter().enumerate() {
            let mut item = Key::event_log(id, &format!("{token}#{number}")).into_item();
            item.extend(kinds.into_iter().map(|(kind, (bytes, _))| (kind.as_str().to_owned(), AttributeValue::B(Blob::new(bytes)))));
            item.insert("expires_at".to_owned(), n(self.expires_at()));
            let request = self.db.put_item().table_name(&self.table).set_item(Some(item));
            request.send().await.map_err(LedgerError::call("PutItem"))?;
        }
        Ok(())
    }

    /// A broadcast's whole log of events: a call for each mebibyte of it, which holds some 400,000 events in any order.
    pub async fn event_log(&self, broadcast: &Broadcast) -> Result<EventLog, LedgerError> {
        let (mut log, mut after) = (EventLog::default(), None);
        if !broadcast.logs_events {
            return Ok(log);
        }
        let pk = Key::event_log(&broadcast.broadcast_id, "").pk;
        loop {
            let query = self.db.query().table_name(&self.table).consistent_read(true).key_condition_expression("pk = :pk");
            let query = query.expression_attribute_values(":pk", s(&pk));
            let answer = query.set_exclusive_start_key(after).send().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                log.read(&item)?;
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(log);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn items(log: &EventLog) -> Vec<Item> {
        let attribute = |(kind, (bytes, _)): (EventKind, (Vec<u8>, u64))| (kind.as_str().to_owned(), AttributeValue::B(Blob::new(bytes)));
        log.packed().into_iter().map(|item| item.kinds.into_iter().map(attribute).collect()).collect()
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
        let bytes: usize = logged(&events).packed().iter().map(|item| item.bytes).sum();
        assert!(bytes <= 2_000, "{bytes}");
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
