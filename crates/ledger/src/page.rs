//! Pages: the audience, frozen. A page is written once ([`crate::freezing`]), and each page's hash covers the
//! one before it. What is enqueued comes from here, never from the user table again.
//!
//! The hash is over commitments to the page's entries ([`crate::commitment`]), so that somebody can be forgotten and the
//! chain holds; in a page of an older build it is over its bytes.

use std::io::Read;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use issei_aws::AwsCall;
use issei_schema::{BroadcastId, ChunkMessage, Recipient, TraceParent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::commitment::{Commitment, Salted, of_last_key, of_recipient, of_skipped};
use crate::inspect::{Expiry, expiry};
use crate::item::{Item, Key, n, read};
use crate::{Broadcast, Ledger, LedgerError, Placed, Skipped, Tombstone};

/// What a page can unpack to: its own limit and what is around it.
pub(crate) const UNPACKED_BYTES_MAX: u64 = 1_000_000;
/// Of the levels, the one beyond which our data got no smaller for the time it took: JSON of
/// recipients shrinks about fourfold at 1 and a few per cent more at 3.
const ZSTD_LEVEL: i32 = 1;
/// What the hash of a page is made for, and nothing else.
const DOMAIN: &str = "issei page 2";
/// The attribute that holds a page. Builds before this one look for `body`, and say that it is not there.
pub(crate) const SALTED_BODY: &str = "salted_body";

/// One page of a frozen audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub seq: u32,
    /// The hash of the page before it; empty for the first.
    pub previous: String,
    pub first_chunk: u32,
    pub(crate) body: Body,
    /// The key after which the next page begins; nothing where its owner was forgotten.
    pub last_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// Nobody in the place of somebody who was forgotten.
    pub(crate) chunks: Vec<Vec<Option<Recipient>>>,
    pub(crate) skipped: Vec<Option<Skipped>>,
    /// Nothing in a page of an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
    /// Nothing in a page of an older build, of which nobody can be forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) salted: Option<Salted>,
}

/// Where the page stands, under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) first_chunk: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_key: Option<String>,
    /// Whether it is of those whom the canary chooses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_canary: bool,
    /// The mark of the run that froze it.
    pub(crate) frozen_by: String,
}

/// A page as it lies in the ledger.
#[derive(Debug)]
pub struct KeptPage {
    pub page: Page,
    /// Of its content; the next page must name it.
    pub hash: String,
    pub expires: Expiry,
}

/// A page that nobody has unpacked yet.
pub struct UnreadPage {
    name: String,
    seq: u32,
    item: Item,
}

impl UnreadPage {
    /// Unpacks it and checks its hash, which takes computing and nothing else.
    pub fn read(self) -> Result<KeptPage, LedgerError> {
        read_page(&self.name, self.seq, &self.item)
    }
}

impl Page {
    /// The messages of the page's chunks, proved under the broadcast's key, which belong to this trace. A chunk of
    /// which somebody was forgotten has none: its broadcast is over.
    pub fn messages(&self, broadcast: &Broadcast, trace: Option<&TraceParent>) -> impl Iterator<Item = ChunkMessage> {
        let (id, key) = (&broadcast.broadcast_id, broadcast.message_key.as_ref());
        self.chunks().filter_map(move |(chunk, recipients)| {
            let recipients = recipients.iter().cloned().collect::<Option<Vec<_>>>()?;
            Some(ChunkMessage::new(key, id.clone(), self.seq, chunk, recipients, trace.cloned()))
        })
    }

    /// The page's chunks with their numbers; nobody in the place of somebody who was forgotten.
    pub fn chunks(&self) -> impl Iterator<Item = (u32, &[Option<Recipient>])> {
        (self.first_chunk..).zip(self.body.chunks.iter().map(Vec::as_slice))
    }

    /// The recipients who were not forgotten.
    pub fn known_recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.body.chunks.iter().flatten().flatten()
    }

    /// What stays of whoever was forgotten.
    #[must_use]
    pub fn tombstones(&self) -> &[Tombstone] {
        self.body.salted.as_ref().map_or(&[], |salted| &salted.forgotten)
    }

    /// The mark of the run that froze it; nothing in a page of an older build.
    #[must_use]
    pub fn frozen_by(&self) -> Option<&str> {
        self.body.place.as_ref().map(|place| place.frozen_by.as_str())
    }

    /// Says whether it is of those whom the canary chooses, all of it.
    #[must_use]
    pub fn is_in_canary(&self) -> bool {
        self.body.place.as_ref().is_some_and(|place| place.in_canary)
    }

    /// Those who are skipped and were not forgotten.
    pub fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.body.skipped.iter().flatten()
    }

    /// How many recipients the page has, forgotten or not.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.body.chunks.iter().map(Vec::len).sum()
    }

    /// The chunk in which a tombstone stands; nothing where it is of no recipient.
    #[must_use]
    pub fn chunk_of(&self, tombstone: &Tombstone) -> Option<u32> {
        let mut before = 0;
        let entry = usize::try_from(tombstone.entry).ok()?;
        self.chunks().find_map(|(chunk, recipients)| {
            before += recipients.len();
            (entry < before).then_some(chunk)
        })
    }

    /// How many rows are skipped, forgotten or not.
    #[must_use]
    pub fn skipped_rows(&self) -> u64 {
        self.skipped().map(|skipped| skipped.rows).sum::<u64>() + self.forgotten_rows()
    }

    /// How many recipients and skipped entries were forgotten.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        let of_last_key = self.body.entries() - 1;
        self.tombstones().iter().filter(|tombstone| usize::try_from(tombstone.entry) != Ok(of_last_key)).count() as u64
    }

    /// How many of the skipped rows are forgotten.
    #[must_use]
    pub fn forgotten_rows(&self) -> u64 {
        self.tombstones().iter().filter_map(|tombstone| tombstone.rows).sum()
    }

    /// How many of the page's chunks lie within the first `canary` recipients of the broadcast, of
    /// whom `before` stand in earlier pages. A chunk ends where the canary does, and with those whom it chooses
    /// so does a page.
    #[must_use]
    pub fn canary_chunks(&self, before: u64, canary: u64) -> u32 {
        let mut begins = before;
        let within = self.body.chunks.iter().take_while(|chunk| {
            let is_within = begins < canary;
            begins += chunk.len() as u64;
            is_within
        });
        u32::try_from(within.count()).unwrap_or(u32::MAX)
    }

    /// Nobody, mailable or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.chunks.is_empty() && self.body.skipped.is_empty()
    }
}

/// The chained hash of a page of an older build: over the page before, the number, and everything that the page says.
pub(crate) fn plain_hash(previous: &str, seq: u32, body: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(previous).chain_update(seq.to_be_bytes()).chain_update(body).finalize())
}

/// Gives the commitments of a page's entries, one after the other: to what is there, or what stays of who was forgotten.
struct Commitments<'a> {
    salts: Vec<Option<crate::salts::Salt>>,
    tombstones: std::iter::Peekable<std::slice::Iter<'a, Tombstone>>,
    next: usize,
}

impl Commitments<'_> {
    /// Of the next entry; nothing where there is neither the entry nor a tombstone.
    fn next(&mut self, entry: Option<impl FnOnce(&crate::salts::Salt) -> Commitment>) -> Result<Option<Commitment>, &'static str> {
        let (salt, at) = (self.salts.get(self.next).copied().flatten(), self.next);
        self.next += 1;
        let tombstone = self.tombstones.next_if(|tombstone| usize::try_from(tombstone.entry) == Ok(at));
        match (entry, salt, tombstone) {
            (Some(commit), Some(salt), None) => Ok(Some(commit(&salt))),
            (None, None, Some(tombstone)) => Ok(Some(tombstone.commitment)),
            (None, Some(_), None) => Ok(None),
            (Some(_), None, None) => Err("an entry has no salt"),
            (None, None, None) => Err("an entry is gone without a tombstone"),
            (Some(_), _, Some(_)) => Err("an entry was forgotten, and is there"),
            (None, Some(_), Some(_)) => Err("an entry was forgotten, and its salt is there"),
        }
    }
}

impl Body {
    /// Recipients, skipped rows, and the last key, whether there is one or not.
    pub(crate) fn entries(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum::<usize>() + self.skipped.len() + 1
    }

    /// The chained hash: over the page before, the number, and a commitment to each entry. Says what is wrong where what
    /// is forgotten and what is there don't fit together.
    pub(crate) fn hash(&self, previous: &str, seq: u32) -> Result<String, &'static str> {
        let (Some(place), Some(salted)) = (&self.place, &self.salted) else { return Err("it has no place or no salts") };
        let salts = salted.salts.all(self.entries())?;
        let mut commitments = Commitments { salts, tombstones: salted.forgotten.iter().peekable(), next: 0 };
        let gone = "an entry is gone without a tombstone";
        let mut digest = Sha256::new().chain_update(DOMAIN).chain_update(previous).chain_update(seq.to_be_bytes());
        digest.update(place.first_chunk.to_be_bytes());
        digest.update([u8::from(place.in_canary)]);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes();
        digest.update(count(place.frozen_by.len()));
        digest.update(&place.frozen_by);
        digest.update(count(self.chunks.len()));
        for chunk in &self.chunks {
            digest.update(count(chunk.len()));
            for recipient in chunk {
                let recipient = recipient.as_ref().map(|recipient| |salt: &_| of_recipient(salt, recipient));
                digest.update(commitments.next(recipient)?.ok_or(gone)?);
            }
        }
        digest.update(count(self.skipped.len()));
        for skipped in &self.skipped {
            let rows = match skipped {
                Some(skipped) => skipped.rows,
                None => commitments.tombstones.peek().and_then(|tombstone| tombstone.rows).ok_or(gone)?,
            };
            digest.update(rows.to_be_bytes());
            let skipped = skipped.as_ref().map(|skipped| |salt: &_| of_skipped(salt, skipped));
            digest.update(commitments.next(skipped)?.ok_or(gone)?);
        }
        let last_key = place.last_key.as_ref().map(|key| |salt: &_| of_last_key(salt, key));
        if let Some(commitment) = commitments.next(last_key)? {
            digest.update(commitment);
        }
        if commitments.tombstones.next().is_some() {
            return Err("a tombstone is of no entry");
        }
        Ok(hex::encode(digest.finalize()))
    }
}

pub(crate) fn packed(bytes: &[u8]) -> Result<AttributeValue, LedgerError> {
    let packed = zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(|error| LedgerError::corrupt("body", error))?;
    Ok(AttributeValue::B(Blob::new(packed)))
}

pub(crate) fn unpacked(name: &str, value: Option<&AttributeValue>) -> Result<Vec<u8>, LedgerError> {
    let blob = value.and_then(|value| value.as_b().ok()).ok_or_else(|| LedgerError::corrupt(name, "it has no body"))?;
    let reader = zstd::stream::read::Decoder::new(blob.as_ref()).map_err(|error| LedgerError::corrupt(name, error))?;
    let mut bytes = Vec::new();
    reader.take(UNPACKED_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| LedgerError::corrupt(name, error))?;
    Ok(bytes)
}

/// Reads a page of this build, or of one before it, and checks that it is what its hash says.
pub(crate) fn read_page(name: &str, seq: u32, item: &Item) -> Result<KeptPage, LedgerError> {
    let text = |attribute: &str| item.get(attribute).and_then(|value| value.as_s().ok()).cloned();
    let previous = text("previous_hash").unwrap_or_default();
    let is_salted = item.contains_key(SALTED_BODY);
    let bytes = unpacked(name, item.get(if is_salted { SALTED_BODY } else { "body" }))?;
    let body: Body = serde_json::from_slice(&bytes).map_err(|error| LedgerError::corrupt(name, error))?;
    let hash = if is_salted {
        body.hash(&previous, seq).map_err(|reason| LedgerError::corrupt(name, reason))?
    } else {
        plain_hash(&previous, seq, &bytes)
    };
    if text("page_hash").as_deref() != Some(hash.as_str()) {
        return Err(LedgerError::corrupt(name, "its hash is not that of its content"));
    }
    let counted = item.get("forgotten").map_or(Some(0), |count| count.as_n().ok()?.parse().ok());
    if counted != Some(body.salted.as_ref().map_or(0, |salted| salted.forgotten.len())) {
        return Err(LedgerError::corrupt(name, "its count of tombstones (forgotten) is not that of its content"));
    }
    let (first_chunk, last_key) = match &body.place {
        Some(place) if is_salted => (place.first_chunk, place.last_key.clone()),
        place => {
            // What such a build knows of nobody being forgotten is in its bytes, which are hashed.
            if body.salted.is_some() || body.chunks.iter().flatten().any(Option::is_none) || body.skipped.iter().any(Option::is_none) {
                return Err(LedgerError::corrupt(name, "it has entries that are none"));
            }
            let first_chunk = item.get("first_chunk").and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok());
            let (first_chunk, last_key) =
                (first_chunk.ok_or_else(|| LedgerError::corrupt(name, "it has no first_chunk"))?, text("last_key"));
            if let Some(place) = place {
                let attributes = [("first_chunk", place.first_chunk == first_chunk), ("last_key", place.last_key == last_key)];
                if let Some((attribute, _)) = attributes.into_iter().find(|(_, is_as_hashed)| !is_as_hashed) {
                    return Err(LedgerError::corrupt(name, format!("its {attribute} is not the one under its hash")));
                }
            }
            (first_chunk, last_key)
        }
    };
    Ok(KeptPage { page: Page { seq, previous, first_chunk, body, last_key }, hash, expires: expiry(item) })
}

impl Ledger {
    /// Reads a frozen page and checks its hash.
    pub async fn page(&self, of: &Placed, seq: u32) -> Result<Page, LedgerError> {
        Ok(self.kept_page(of, seq).await?.page)
    }

    /// Reads a frozen page, checks its hash, and gives that too, with what else its item says.
    pub async fn kept_page(&self, of: &Placed, seq: u32) -> Result<KeptPage, LedgerError> {
        self.unread_page(of, seq).await?.read()
    }

    /// A frozen page as it lies in the ledger, for whoever reads it on another thread.
    pub async fn unread_page(&self, of: &Placed, seq: u32) -> Result<UnreadPage, LedgerError> {
        let key = Key::page(of, seq);
        let name = key.name();
        let item = self.get(key).await?.ok_or_else(|| LedgerError::corrupt(&name, "it is not there"))?;
        Ok(UnreadPage { name, seq, item })
    }

    /// Records that the chunks of page `seq` are on the queue, and gives the broadcast as it is
    /// then. Never moves the cursor backwards.
    pub async fn enqueued(&self, id: &BroadcastId, seq: u32) -> Result<Broadcast, LedgerError> {
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET enqueued_pages = :next")
            .condition_expression("enqueued_pages < :next")
            .expression_attribute_values(":next", n(seq + 1))
            .return_values(ReturnValue::AllNew);
        match request.call().await {
            Ok(answer) => read(answer.attributes.unwrap_or_default()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception) =>
            {
                self.broadcast(id).await
            }
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}
