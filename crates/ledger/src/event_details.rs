//! When events were, by their provider's clock, and why a mail bounced: what is shown beside what the events prove.
//!
//! It stands in the log of events beside the places there. Times are seconds, one for each stretch of places whose events were
//! in the same second; reasons stand once for all that have the same, packed. What this must never do: be gone by where
//! anything is decided, or name whoever a mail was for.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::{EventKind, EventReason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event_log::{number, places_in, put};
use crate::item::{Item, Key};
use crate::page::{packed, unpacked};
use crate::{Broadcast, Ledger, LedgerError};

/// The attribute that holds the reasons of an item of the log.
const REASONS: &str = "reasons";
/// What names one event in it, at most.
const OF_BYTES: usize = 50;
const TRIES: u32 = 10;

/// An event of somebody: its kind, the chunk, and the place in it.
pub type EventOf = (EventKind, u32, u32);

/// When an event was, and why; as far as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDetail {
    pub at: Option<Timestamp>,
    pub reason: Option<EventReason>,
}

/// Details by the events that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDetails(BTreeMap<EventOf, EventDetail>);

impl EventDetails {
    /// Of an event that is told several times the earliest counts, and the first reason that was given.
    pub fn add(&mut self, of: EventOf, new: EventDetail) {
        if new == EventDetail::default() {
            return;
        }
        let known = self.0.entry(of).or_default();
        known.at = [known.at, new.at].into_iter().flatten().min();
        known.reason = [known.reason.take(), new.reason].into_iter().flatten().min();
    }

    #[must_use]
    pub fn of(&self, of: EventOf) -> Option<&EventDetail> {
        self.0.get(&of)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&EventOf, &EventDetail)> {
        self.0.iter()
    }

    /// The second before which none of them was.
    pub(crate) fn begin(&self) -> u64 {
        self.0.values().filter_map(|detail| u64::try_from(detail.at?.as_second()).ok()).min().unwrap_or_default()
    }

    /// What an item of the log says of those events that `wanted` asks for.
    pub(crate) fn read(&mut self, item: &Item, wanted: &impl Fn(EventOf) -> bool) -> Result<(), LedgerError> {
        for (kind, name) in
            EventKind::ALL.into_iter().flat_map(|kind| [kind.as_str().to_owned(), of_evidence(kind)].map(|name| (kind, name)))
        {
            let bytes = |name: &str| item.get(name).and_then(|value| value.as_b().ok());
            let (Some(places), Some(times)) = (bytes(&name), bytes(&times_of(&name))) else { continue };
            let both = places_in(places.as_ref()).and_then(|places| Some((Times::read(times.as_ref(), places.len())?, places)));
            let (times, places) = both.ok_or_else(|| LedgerError::corrupt("the log of events", times_of(&name)))?;
            for ((chunk, at), time) in places.into_iter().zip(times).filter(|((chunk, at), _)| wanted((kind, *chunk, *at))) {
                self.add((kind, chunk, at), EventDetail { at: time, reason: None });
            }
        }
        for (of, reason) in Reasons::read(item)?.all().filter(|(of, _)| wanted(*of)) {
            self.add(of, EventDetail { at: None, reason: Some(reason.clone()) });
        }
        Ok(())
    }
}

/// The attribute with the places of events that stand as evidence with their chunks: here they have a time alone, and count for
/// nothing.
pub(crate) fn of_evidence(kind: EventKind) -> String {
    format!("evidence_{}", kind.as_str())
}

/// The attribute with the times of the places in another.
pub(crate) fn times_of(places: &str) -> String {
    format!("{places}_at")
}

/// Seconds, each after a first one and by how many places in a row have it. 0 is of whom it is not known.
#[derive(Default)]
pub(crate) struct Times {
    bytes: Vec<u8>,
    last: Option<(u64, u64)>,
    any: bool,
}

impl Times {
    /// By how many bytes it has grown.
    pub(crate) fn push(&mut self, at: Option<Timestamp>, begin: u64) -> usize {
        let second = at.and_then(|at| u64::try_from(at.as_second()).ok()?.checked_sub(begin));
        let value = second.map_or(0, |second| second + 1);
        self.any |= value > 0;
        if let Some((_, count)) = self.last.as_mut().filter(|(last, _)| *last == value) {
            *count += 1;
            return 0;
        }
        let before = self.bytes.len();
        self.end_stretch();
        self.last = Some((value, 1));
        self.bytes.len() - before
    }

    fn end_stretch(&mut self) {
        let Some((value, count)) = self.last.take() else { return };
        put(&mut self.bytes, value << 1 | u64::from(count > 1));
        if count > 1 {
            put(&mut self.bytes, count - 2);
        }
    }

    /// Nothing where no time is known.
    pub(crate) fn finish(mut self, begin: u64) -> Option<AttributeValue> {
        self.end_stretch();
        let mut all = Vec::with_capacity(self.bytes.len() + 5);
        put(&mut all, begin);
        all.append(&mut self.bytes);
        self.any.then(|| AttributeValue::B(Blob::new(all)))
    }

    fn read(mut bytes: &[u8], places: usize) -> Option<Vec<Option<Timestamp>>> {
        let begin = number(&mut bytes)?;
        let mut times = Vec::with_capacity(places);
        while !bytes.is_empty() {
            let value = number(&mut bytes)?;
            let count = if value & 1 == 1 { number(&mut bytes)?.checked_add(2)? } else { 1 };
            let count = usize::try_from(count).ok().filter(|count| *count <= places - times.len())?;
            let time = match value >> 1 {
                0 => None,
                second => Some(Timestamp::from_second(i64::try_from(begin.checked_add(second - 1)?).ok()?).ok()?),
            };
            times.extend(std::iter::repeat_n(time, count));
        }
        (times.len() == places).then_some(times)
    }
}

/// The reasons of one item: each once, and of which events it is.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reasons {
    texts: Vec<EventReason>,
    /// Kind, chunk, place, and number of the text.
    of: Vec<(EventKind, u32, u32, usize)>,
    #[serde(skip)]
    numbers: BTreeMap<EventReason, usize>,
}

impl Reasons {
    /// How many bytes it takes more for it.
    pub(crate) fn push(&mut self, (kind, chunk, at): EventOf, reason: &EventReason) -> usize {
        let (known, next) = (self.numbers.get(reason).copied(), self.texts.len());
        self.of.push((kind, chunk, at, known.unwrap_or(next)));
        if known.is_some() {
            return OF_BYTES;
        }
        self.texts.push(reason.clone());
        self.numbers.insert(reason.clone(), next);
        // As JSON, before it is packed; each name once more.
        2 * OF_BYTES + reason.kind.len() + reason.status.len() + 2 * reason.diagnostic.len()
    }

    fn all(&self) -> impl Iterator<Item = (EventOf, &EventReason)> {
        self.of.iter().filter_map(|(kind, chunk, at, number)| Some(((*kind, *chunk, *at), self.texts.get(*number)?)))
    }

    pub(crate) fn attribute(&self) -> Result<Option<(String, AttributeValue)>, LedgerError> {
        if self.of.is_empty() {
            return Ok(None);
        }
        let json = serde_json::to_vec(self).map_err(|error| LedgerError::corrupt("the log of events", error))?;
        Ok(Some((REASONS.to_owned(), packed(&json)?)))
    }

    fn read(item: &Item) -> Result<Self, LedgerError> {
        let Some(value) = item.get(REASONS) else { return Ok(Self::default()) };
        let json = unpacked("the log of events", Some(value))?;
        serde_json::from_slice(&json).map_err(|error| LedgerError::corrupt("the log of events", error))
    }

    /// Without those of some places; nothing where there are none of them.
    fn without(&self, places: &BTreeSet<(u32, u32)>) -> Option<Self> {
        let mut left = Self::default();
        for (of, reason) in self.all().filter(|((_, chunk, at), _)| !places.contains(&(*chunk, *at))) {
            left.push(of, reason);
        }
        (left.of.len() < self.of.len()).then_some(left)
    }
}

impl Ledger {
    /// Takes out of the log why mails to these places bounced, or were not sent: a mail server may have named whoever it was
    /// about in words that nobody foresaw. Safe to repeat.
    pub(crate) async fn forget_reasons(&self, broadcast: &Broadcast, places: &BTreeSet<(u32, u32)>) -> Result<(), LedgerError> {
        let mut named = Vec::new();
        self.each_of_the_log(broadcast, |item| {
            if Reasons::read(item)?.without(places).is_some() {
                named.push(item.clone());
            }
            Ok(())
        })
        .await?;
        for item in named {
            self.take_reasons_out(item, places).await?;
        }
        Ok(())
    }

    async fn take_reasons_out(&self, item: Item, places: &BTreeSet<(u32, u32)>) -> Result<(), LedgerError> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        let (key, mut item) = (Key { pk: text("pk"), sk: text("sk") }, Some(item));
        for _ in 0..TRIES {
            let Some(kept) = item.take() else { return Ok(()) };
            let (Some(before), Some(left)) = (kept.get(REASONS).cloned(), Reasons::read(&kept)?.without(places)) else { return Ok(()) };
            let update = self.db.update_item().table_name(&self.table).set_key(Some(key.clone().into_item()));
            let update = update.condition_expression(format!("{REASONS} = :before")).expression_attribute_values(":before", before);
            let update = match left.attribute()? {
                Some((_, after)) => {
                    update.update_expression(format!("SET {REASONS} = :after")).expression_attribute_values(":after", after)
                }
                None => update.update_expression(format!("REMOVE {REASONS}")),
            };
            match update.call().await {
                Ok(_) => return Ok(()),
                // Somebody else is forgotten at the same time, or it has expired.
                Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
                    item = self.get(key.clone()).await?;
                }
                Err(error) => return Err(LedgerError::call("UpdateItem")(error)),
            }
        }
        Err(LedgerError::corrupt(key.name(), "it is changed again and again; try once more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_one_second_stand_once_and_those_that_are_not_known_read_so() {
        let begin = 1_800_000_000;
        let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
        let same = |count: usize| std::iter::repeat_n(at(1_800_000_003), count).collect::<Vec<_>>();
        for (times, bytes_max) in [(same(50), 7), (vec![at(1_800_000_000), None, at(1_800_000_060)], 8), (same(1), 6)] {
            let mut packed = Times::default();
            times.iter().for_each(|time| _ = packed.push(*time, begin));
            let packed = packed.finish(begin).unwrap();
            let bytes = packed.as_b().unwrap().as_ref();
            assert!(bytes.len() <= bytes_max, "{times:?}: {}", bytes.len());
            assert_eq!(Times::read(bytes, times.len()), Some(times.clone()));
            assert_eq!(Times::read(bytes, times.len() + 1), None);
        }
        let mut unknown = Times::default();
        unknown.push(None, begin);
        assert!(unknown.finish(begin).is_none(), "nothing is written where nothing is known");
    }

    #[test]
    fn the_earliest_time_and_one_reason_stay_in_whatever_order_they_come() {
        let detail = |second, diagnostic: &str| EventDetail {
            at: Timestamp::from_second(second).ok(),
            reason: EventReason::told("", "", diagnostic, []),
        };
        let of = (EventKind::Bounced, 3, 7);
        let added = |all: &[EventDetail]| {
            let mut details = EventDetails::default();
            all.iter().for_each(|detail| details.add(of, detail.clone()));
            details
        };
        let all = [detail(9, "b"), detail(5, ""), detail(7, "a")];
        let mut backwards = all.clone();
        backwards.reverse();
        assert_eq!(added(&all), added(&backwards));
        assert_eq!(added(&all).of(of), Some(&detail(5, "a")));
        assert_eq!(added(&[detail(5, "a"), EventDetail::default()]), added(&[detail(5, "a")]));
    }

    proptest! {
        #[test]
        fn bytes_that_no_build_wrote_make_no_more_times_than_there_are_places(bytes in proptest::collection::vec(any::<u8>(), 0..40), places in 0usize..60) {
            prop_assert!(Times::read(&bytes, places).is_none_or(|times| times.len() == places));
        }

        #[test]
        fn whoever_is_forgotten_has_no_reason_any_more_and_everybody_else_has_theirs(
            events in proptest::collection::vec((0u32..4, 0u32..4, 0usize..3), 0..20), chunk in 0u32..4, at in 0u32..4,
        ) {
            let mut all = Reasons::default();
            for (chunk, at, text) in &events {
                all.push((EventKind::Bounced, *chunk, *at), &EventReason::told("", "", &format!("text {text}"), []).unwrap());
            }
            let expected: Vec<_> = all.all().filter(|((_, of, place), _)| (*of, *place) != (chunk, at)).map(|(of, text)| (of, text.clone())).collect();
            let left = all.without(&[(chunk, at)].into());
            prop_assert_eq!(left.is_none(), expected.len() == events.len());
            if let Some(left) = left {
                prop_assert_eq!(left.all().map(|(of, text)| (of, text.clone())).collect::<Vec<_>>(), expected);
                prop_assert!(left.texts.iter().all(|text| left.all().any(|(_, of)| of == text)), "a text that is of nobody any more");
            }
        }
    }
}
