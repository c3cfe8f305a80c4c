//! Where somebody stands in the frozen pages of one broadcast: as a recipient, as a row that was skipped, or as a tombstone.
//!
//! By a key few pages are read: pages follow each other in the order of their keys, so they are halved. An address has no
//! order, and is looked for in every page, several at once. What this must never do: pass over a page because of an order that
//! the pages do not keep. Where one does not, all of them are read.

use std::cmp::Ordering;
use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use issei_schema::{Address, EventKind, MessageKey, Recipient};

use crate::commitment::Digests;
use crate::item::Key;
use crate::page::read_page;
use crate::{Broadcast, Chunk, EventDetail, EventOf, Feedback, Forgotten, Ledger, LedgerError, Page, RecipientOutcome, Skipped, Sought};

/// What the key of a row begins with, in the order of a page, that has none which could be mailed: no good key holds a control
/// character. The producer gives it.
const NO_KEY: char = '\u{1}';
/// Pages that are read at once. One takes a megabyte at most once it is unpacked.
const SIDE_BY_SIDE: usize = 8;

/// What the pages of one broadcast have of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Several where an address stands under several keys.
    pub recipients: Vec<Standing>,
    /// Each with its page.
    pub skipped: Vec<(u32, Skipped)>,
    pub forgotten: Vec<Forgotten>,
    /// Pages that were read.
    pub read: u32,
    /// Pages that have expired, and with them whoever stood in them.
    pub expired: u32,
}

/// A recipient where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub page: u32,
    pub chunk: u32,
    /// The place in the chunk.
    pub at: usize,
    pub recipient: Recipient,
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct Fate {
    pub chunk: Chunk,
    pub feedback: Feedback,
    pub outcome: RecipientOutcome,
    /// When their events were, and why, as far as that was told, in the order in which the events are.
    pub details: Vec<(EventKind, EventDetail)>,
}

/// Looks for one person in one broadcast after the other.
pub struct Finder {
    ledger: Ledger,
    who: String,
    sought: Sought,
    /// Whether it may be an address, too.
    is_address: bool,
    /// Of the digests in tombstones; nothing where nobody was ever forgotten.
    secret: Option<MessageKey>,
}

impl Whereabouts {
    /// Whether nothing of them is there.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.recipients.is_empty() && self.skipped.is_empty() && self.forgotten.is_empty()
    }

    /// Takes in what one page has; false where that is nothing.
    fn note(&mut self, page: &Page, sought: &Sought, secret: Option<&MessageKey>) -> bool {
        let seq = page.seq;
        let before = (self.recipients.len(), self.skipped.len(), self.forgotten.len());
        self.read += 1;
        for (chunk, recipients) in page.chunks() {
            let places = recipients.iter().enumerate().filter_map(|(at, recipient)| Some((at, recipient.as_ref()?)));
            let here = places.filter(|(_, recipient)| sought.is(recipient));
            self.recipients.extend(here.map(|(at, recipient)| Standing { page: seq, chunk, at, recipient: recipient.clone() }));
        }
        self.skipped.extend(page.skipped().filter(|skipped| sought.names(skipped)).map(|skipped| (seq, skipped.clone())));
        let tombstones = secret.into_iter().flat_map(|key| page.tombstones().iter().filter(|it| sought.is_forgotten(it, &Digests(key))));
        self.forgotten.extend(tombstones.map(|it| Forgotten { page: seq, at: it.at, chunk: page.chunk_of(it) }));
        before != (self.recipients.len(), self.skipped.len(), self.forgotten.len())
    }
}

impl Page {
    /// On which side of this page a key stands, or whether it stands in it. Nothing where that can't be told: a page of an
    /// older build may be in the order of its database, and one of which everybody was forgotten has no key.
    fn side_of(&self, key: &str) -> Option<Ordering> {
        self.body.salted.as_ref()?;
        let keys = || self.known_recipients().map(|recipient| recipient.key.as_str());
        let (first, last) = (keys().min(), keys().max());
        let is_after = match (&self.last_key, last) {
            (Some(end), Some(last)) if last > end.as_str() => return None,
            (Some(end), _) => key > end.as_str(),
            (None, Some(last)) => key > last,
            (None, None) => return None,
        };
        Some(match first {
            _ if is_after => Ordering::Greater,
            Some(first) if key >= first => Ordering::Equal,
            _ => Ordering::Less,
        })
    }
}

impl Ledger {
    /// What became of a recipient: the chunk's item, its events, and the outcome in their light, with one call beside those
    /// that the log of events takes.
    pub async fn fate(&self, broadcast: &Broadcast, standing: &Standing) -> Result<Fate, LedgerError> {
        let Standing { chunk, at, recipient, .. } = standing;
        let is_theirs = |(_, seq, place): EventOf| seq == *chunk && usize::try_from(place).is_ok_and(|place| place == *at);
        let (of, (log, details)) = (&broadcast.placed(), self.event_log_with(broadcast, is_theirs).await?);
        let (key, told) = (Key::chunk(of, *chunk), Key::feedback(of, *chunk));
        let mut items = self.batch_get(vec![key.clone(), told.clone()]).await?;
        let (item, feedback) = (Chunk::read(items.remove(&key))?, Feedback::read(items.get(&told)).union(&log.of(*chunk)));
        let twice = feedback.accepted_twice(&item);
        let outcome = RecipientOutcome::of(Some(recipient.clone()), (*chunk, *at), &item, &feedback, &twice);
        let details = details.iter().map(|((kind, ..), detail)| (*kind, detail.clone())).filter(|(kind, _)| outcome.events.contains(kind));
        Ok(Fate { details: details.collect(), chunk: item, feedback, outcome })
    }

    /// For whoever has this key, or this address.
    pub async fn finder(&self, who: &str) -> Result<Finder, LedgerError> {
        let (sought, is_address) = (Sought::new(who), Address::quoting_legacy(who).is_ok());
        Ok(Finder { ledger: self.clone(), who: who.to_owned(), sought, is_address, secret: self.digest_key().await? })
    }

    /// For whoever has this key, though it be an address.
    pub async fn finder_by_key(&self, key: &str) -> Result<Finder, LedgerError> {
        Ok(Finder { is_address: false, ..self.finder(key).await? })
    }
}

impl Finder {
    /// Whether it looks for an address, and so reads every page.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        self.is_address
    }

    /// The pages of one broadcast. `looked` is told of each that was read, or need not be, by how many these are.
    pub async fn look(&self, broadcast: &Broadcast, looked: impl Fn(u32)) -> Result<Whereabouts, LedgerError> {
        let pages = broadcast.pages;
        if !self.is_address {
            let mut found = Whereabouts::default();
            if self.halve(broadcast, &mut found).await? {
                looked(pages);
                return Ok(found);
            }
        }
        let mut found = Whereabouts::default();
        let mut read = stream::iter(0..pages).map(|seq| self.page(broadcast, seq)).buffered(SIDE_BY_SIDE);
        while let Some(page) = read.try_next().await? {
            match page {
                Some(page) => _ = found.note(&page, &self.sought, self.secret.as_ref()),
                None => found.expired += 1,
            }
            looked(1);
        }
        Ok(found)
    }

    /// Whom a canary chooses is frozen first, in an order of its own. False where the order can't be relied on.
    async fn halve(&self, broadcast: &Broadcast, found: &mut Whereabouts) -> Result<bool, LedgerError> {
        let pages = broadcast.pages;
        let canary = if broadcast.canary_chunks > 0 || broadcast.in_canary { self.canary_pages(broadcast).await? } else { Some(0) };
        let Some(canary) = canary else { return Ok(false) };
        for part in [0..canary, canary..pages] {
            if !self.halve_part(broadcast, part.clone(), found).await? || !self.walk_without_key(broadcast, part, found).await? {
                return Ok(false);
            }
            if !found.is_nobody() {
                break;
            }
        }
        Ok(true)
    }

    /// So many pages are of those whom the canary chooses; nothing where a page is not there.
    async fn canary_pages(&self, broadcast: &Broadcast) -> Result<Option<u32>, LedgerError> {
        let mut part = 0..broadcast.pages;
        // The first alone tells most broadcasts, which have none such.
        let mut seq = 0;
        while !part.is_empty() {
            let Some(page) = self.page(broadcast, seq).await? else { return Ok(None) };
            if page.is_in_canary() {
                part.start = seq + 1;
            } else {
                part.end = seq;
            }
            seq = middle(&part);
        }
        Ok(Some(part.start))
    }

    async fn halve_part(&self, broadcast: &Broadcast, mut part: Range<u32>, found: &mut Whereabouts) -> Result<bool, LedgerError> {
        while !part.is_empty() {
            let seq = middle(&part);
            let Some(page) = self.page(broadcast, seq).await? else { return Ok(false) };
            if found.note(&page, &self.sought, self.secret.as_ref()) {
                break;
            }
            match page.side_of(&self.who) {
                Some(Ordering::Less) => part.end = seq,
                Some(Ordering::Greater) => part.start = seq + 1,
                Some(Ordering::Equal) => break,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Rows without a key that could be mailed, such as lines that can't be read, stand before all others, whatever they are
    /// called where they are told of.
    async fn walk_without_key(&self, broadcast: &Broadcast, part: Range<u32>, found: &mut Whereabouts) -> Result<bool, LedgerError> {
        for seq in part {
            if !found.is_nobody() {
                break;
            }
            let Some(page) = self.page(broadcast, seq).await? else { return Ok(false) };
            found.note(&page, &self.sought, self.secret.as_ref());
            // Where the key that it ends with was forgotten, nobody knows.
            if page.last_key.as_deref().is_some_and(|last| !last.starts_with(NO_KEY)) {
                break;
            }
        }
        Ok(true)
    }

    /// A page; nothing where it has expired.
    async fn page(&self, broadcast: &Broadcast, seq: u32) -> Result<Option<Page>, LedgerError> {
        let key = Key::page(&broadcast.placed(), seq);
        match self.ledger.get(key.clone()).await? {
            Some(item) => Ok(Some(read_page(&key.name(), seq, &item)?.page)),
            None if broadcast.broadcast_state.is_over() => Ok(None),
            None => Err(LedgerError::corrupt(key.name(), "it is not there")),
        }
    }
}

fn middle(part: &Range<u32>) -> u32 {
    part.start + (part.end - part.start) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commitment::Salted;
    use crate::page::Body;
    use crate::salts::Salts;

    fn page(keys: &[&str], last_key: Option<&str>) -> Page {
        let recipient = |key: &&str| {
            let address = "ann@example.com".parse().unwrap();
            Some(Recipient { key: key.parse().unwrap(), address, data: std::collections::BTreeMap::new() })
        };
        let salted = Some(Salted { salts: Salts::new([9; 16], keys.len() + 1), forgotten: Vec::new(), seal: None });
        let body = Body { chunks: vec![keys.iter().map(recipient).collect()], salted, ..Body::default() };
        Page { seq: 0, previous: String::new(), first_chunk: 0, body, last_key: last_key.map(str::to_owned) }
    }

    #[test]
    fn a_key_stands_before_a_page_in_it_or_after_and_an_order_that_it_does_not_keep_is_not_believed() {
        let ordered = page(&["10", "11", "2"], Some("29"));
        let sides = ["1", "10", "150", "2", "29", "3"].map(|key| ordered.side_of(key));
        let [less, equal, greater] = [Ordering::Less, Ordering::Equal, Ordering::Greater].map(Some);
        assert_eq!(sides, [less, equal, equal, equal, equal, greater]);
        // The key that says where it ends goes with the first who is forgotten, and so may every other.
        let forgotten = page(&["10", "11"], None);
        assert_eq!(["1", "11", "12"].map(|key| forgotten.side_of(key)), [less, equal, greater]);
        assert_eq!(page(&[], None).side_of("1"), None);
        // As a database orders numbers, and a page of an older build.
        assert_eq!(page(&["8", "9", "10"], Some("10")).side_of("9"), None);
        let mut older = ordered;
        older.body.salted = None;
        assert_eq!(older.side_of("10"), None);
    }
}
