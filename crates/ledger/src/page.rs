//! Pages: the audience, frozen. A page is written once, in one transaction that also checks that
//! the broadcast may still enumerate and that this page comes next, and each page's hash covers the
//! one before it. What is enqueued comes from here, never from the user table again.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update};
use issei_schema::{BroadcastId, ChunkMessage, Recipient, TraceParent, limits};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inspect::{Expiry, expiry};
use crate::item::{Item, Key, n, read, s};
use crate::{Broadcast, BroadcastState, LastKey, Ledger, LedgerError, Reading};

/// JSON in one page before compression. An item has 400 KB at most (DynamoDB developer guide,
/// "Quotas"), and data that does not compress must fit too.
const PAGE_BYTES_MAX: usize = 350_000;
/// What a page can unpack to: its own limit and what is around it.
const UNPACKED_BYTES_MAX: u64 = 1_000_000;
/// Of the levels, the one beyond which our data got no smaller for the time it took: JSON of
/// recipients shrinks about fourfold at 1 and a few per cent more at 3.
const ZSTD_LEVEL: i32 = 1;
/// Keys that are shown for each reason.
const EXAMPLES: usize = 3;

/// Why somebody in the audience can't be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The key column is null.
    NoKey,
    /// The key has more than 256 bytes, or a control character.
    BadKey,
    /// The key stands in the audience twice.
    DuplicateKey,
    /// The address column is null or empty.
    NoAddress,
    /// The address is not of the form local@domain.tld.
    BadAddress,
    /// The address has a local part that is legal in quotes only, and the audience does not ask for those.
    LegacyLocalPart,
    /// SES can't mail a local part that is not ASCII.
    AddressNotAscii,
    /// A column that the content needs is null.
    DataMissing,
    /// A column holds a control character.
    ControlCharacter,
    /// The recipient with its data is larger than 16 KiB.
    DataTooLarge,
    /// The address bounced for good in an earlier broadcast.
    Bounced,
    /// Whose address it is complained about an earlier broadcast.
    Complained,
    /// A column that is needed holds bytes that are no text in its encoding.
    NotText,
    /// Another row with this address is mailed, and the audience mails each address once.
    DuplicateAddress,
    /// The line of the file can't be read.
    BrokenRow,
    /// The column with the recipient's URL to unsubscribe has none, or one that is not https or fits no header.
    NoUnsubscribeUrl,
    /// A column that begins a link in the content holds none that may stand there, such as `https://…`.
    UnsafeLink,
    /// The content has no words for the value of the column that chooses them.
    NoVariant,
    /// Whose address it is has unsubscribed, as an import or an operator says.
    Unsubscribed,
    /// An operator put the address on the list of those that are not mailed.
    Suppressed,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the word that stands in the ledger.
        self.serialize(f)
    }
}

/// Somebody in the audience who can't be mailed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub key: String,
    pub reason: SkipReason,
    /// How many rows; more than one where they have no key to tell them apart.
    pub rows: u64,
    /// Of a duplicate address, the key that is mailed instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailed: Option<String>,
}

/// Those of a frozen audience who are skipped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedRows {
    pub rows: u64,
    /// The first three keys; none where the rows have none.
    pub examples: Vec<String>,
}

/// One page of a frozen audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub seq: u32,
    /// The hash of the page before it; empty for the first.
    pub previous: String,
    pub first_chunk: u32,
    body: Body,
    /// The key after which the next page begins.
    pub last_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    chunks: Vec<Vec<Recipient>>,
    skipped: Vec<Skipped>,
    /// Nothing in a page of an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// Where the page stands, under its hash: the attributes of the same names are for other builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    first_chunk: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_key: Option<String>,
    /// Whether it is of those whom the canary chooses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_canary: bool,
    /// The mark of the run that froze it.
    frozen_by: String,
}

/// A page as it lies in the ledger.
#[derive(Debug)]
pub struct KeptPage {
    pub page: Page,
    /// Of its content; the next page must name it.
    pub hash: String,
    pub expires: Expiry,
}

/// What became of a try at freezing a page.
#[derive(Debug)]
pub enum Frozen {
    /// The page is in the ledger.
    Written(Broadcast),
    /// Another producer was first, or the broadcast was stopped. Go on from here.
    Changed(Broadcast),
}

impl Page {
    /// The messages of the page's chunks, proved under the broadcast's key, which belong to this trace.
    pub fn messages(&self, broadcast: &Broadcast, trace: Option<&TraceParent>) -> impl Iterator<Item = ChunkMessage> {
        let (id, key) = (&broadcast.broadcast_id, broadcast.message_key.as_ref());
        self.chunks()
            .map(move |(chunk, recipients)| ChunkMessage::new(key, id.clone(), self.seq, chunk, recipients.to_vec(), trace.cloned()))
    }

    /// The page's chunks with their numbers.
    pub fn chunks(&self) -> impl Iterator<Item = (u32, &[Recipient])> {
        (self.first_chunk..).zip(self.body.chunks.iter().map(Vec::as_slice))
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

    /// Those who are skipped.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.body.skipped
    }

    /// How many recipients the page has.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.body.chunks.iter().map(Vec::len).sum()
    }

    /// How many rows are skipped.
    #[must_use]
    pub fn skipped_rows(&self) -> u64 {
        self.body.skipped.iter().map(|skipped| skipped.rows).sum()
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

/// Fills a page row by row and cuts it into chunks.
pub struct PageBuilder {
    page: Page,
    chunk_size: usize,
    /// Recipients before this page, for the chunk that ends with the canary.
    before: u64,
    canary: u64,
    bytes: usize,
    in_canary: bool,
    /// The chunk that is being filled for each letter, by its number: its place in the page, and its bytes.
    open: BTreeMap<usize, (usize, usize)>,
    frozen_by: String,
}

impl PageBuilder {
    /// A page that goes on where the broadcast's last one ended, or with the first whom the canary does not choose.
    /// `frozen_by` is the mark of the run that does it.
    #[must_use]
    pub fn after(broadcast: &Broadcast, in_canary: bool, frozen_by: String) -> Self {
        let page = Page {
            seq: broadcast.pages,
            previous: broadcast.chain.clone(),
            first_chunk: broadcast.chunks,
            body: Body::default(),
            last_key: match &broadcast.last_key {
                Some(LastKey::InBytes(key)) => Some(key.clone()),
                Some(LastKey::InDatabase) | None => None,
            },
        };
        let chunk_size = usize::try_from(broadcast.chunk_size).unwrap_or(1).clamp(1, limits::CHUNK_RECIPIENTS_MAX);
        Self {
            page,
            chunk_size,
            before: broadcast.recipients,
            canary: broadcast.canary,
            bytes: 0,
            open: BTreeMap::new(),
            in_canary,
            frozen_by,
        }
    }

    /// Takes a recipient whose message size is `bytes`, who gets the letter of this number, and records that its
    /// key stands in `repeats` further rows; false where the page is full without it. A chunk has one letter,
    /// since a call to the provider has one.
    pub fn push(&mut self, recipient: Recipient, bytes: usize, repeats: u64, letter: usize) -> bool {
        let repeated = recipient.key.as_str().chars().take(64).collect::<String>();
        let room = bytes + if repeats == 0 { 0 } else { skipped_bytes(&repeated) };
        if self.bytes + room > PAGE_BYTES_MAX {
            return false;
        }
        if repeats > 0 {
            self.skip(repeated, SkipReason::DuplicateKey, repeats);
        }
        // No chunk goes on beyond the canary, whose chunks are the first.
        if self.canary > 0 && self.before + self.page.recipients() as u64 == self.canary {
            self.open.clear();
        }
        let chunks = &mut self.page.body.chunks;
        let open = self.open.get(&letter).copied().filter(|(place, chunk_bytes)| {
            // The chunk's own JSON around its recipients takes less than a kilobyte.
            chunks.get(*place).is_some_and(|chunk| chunk.len() < self.chunk_size) && chunk_bytes + bytes + 1024 <= limits::CHUNK_BYTES_MAX
        });
        let (place, chunk_bytes) = open.unwrap_or_else(|| {
            chunks.push(Vec::with_capacity(self.chunk_size));
            (chunks.len() - 1, 0)
        });
        if let Some(chunk) = chunks.get_mut(place) {
            chunk.push(recipient);
        }
        self.open.insert(letter, (place, chunk_bytes + bytes + 1));
        self.bytes += bytes + 1;
        true
    }

    /// Records somebody who can't be mailed; false where the page is full without them.
    pub fn skip(&mut self, key: String, reason: SkipReason, rows: u64) -> bool {
        let bytes = skipped_bytes(&key);
        if self.bytes + bytes > PAGE_BYTES_MAX {
            return false;
        }
        self.page.body.skipped.push(Skipped { key, reason, rows, mailed: None });
        self.bytes += bytes;
        true
    }

    /// Records a key whose address is mailed under the key `mailed`; false where the page is full without it.
    pub fn skip_address(&mut self, key: String, mailed: String, rows: u64) -> bool {
        let bytes = skipped_bytes(&key) + skipped_bytes(&mailed);
        if self.bytes + bytes > PAGE_BYTES_MAX {
            return false;
        }
        self.page.body.skipped.push(Skipped { key, reason: SkipReason::DuplicateAddress, rows, mailed: Some(mailed) });
        self.bytes += bytes;
        true
    }

    /// Moves the cursor: the next page begins after this key.
    pub fn advance(&mut self, key: String) {
        self.page.last_key = Some(key);
    }

    /// The page as it is now.
    #[must_use]
    pub fn build(mut self) -> Page {
        let Page { first_chunk, last_key, .. } = &self.page;
        let (in_canary, frozen_by) = (self.in_canary, self.frozen_by);
        self.page.body.place = Some(Place { first_chunk: *first_chunk, last_key: last_key.clone(), in_canary, frozen_by });
        self.page
    }
}

/// The most JSON that an entry for a skipped row takes: every character of a key may be escaped.
fn skipped_bytes(key: &str) -> usize {
    key.len() * 2 + 80
}

/// The chained hash: over the page before, the number, and everything that the page says.
fn hash(previous: &str, seq: u32, body: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(previous).chain_update(seq.to_be_bytes()).chain_update(body).finalize())
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

impl Ledger {
    /// Writes a page that was built after `broadcast` from `reading`, unless that is no longer the state of things.
    pub async fn freeze_page(&self, broadcast: &Broadcast, page: &Page, reading: &Reading) -> Result<Frozen, LedgerError> {
        let (reading, read_value) = (reading.following(broadcast), reading.last_of(broadcast)?);
        let id = &broadcast.broadcast_id;
        let body = serde_json::to_vec(&page.body).map_err(|error| LedgerError::corrupt("page", error))?;
        let page_hash = hash(&page.previous, page.seq, &body);
        let chosen = if page.is_in_canary() { page.recipients() as u64 } else { 0 };
        let canary_chunks = page.canary_chunks(broadcast.recipients, broadcast.canary + chosen);
        let key = Key::page(id, page.seq);
        let mut item: Item = key.clone().into_item();
        item.extend([
            ("body".to_owned(), packed(&body)?),
            ("page_hash".to_owned(), s(&page_hash)),
            ("previous_hash".to_owned(), s(&page.previous)),
            ("first_chunk".to_owned(), n(page.first_chunk)),
            ("expires_at".to_owned(), n(self.expires_at())),
        ]);
        if let Some(last_key) = &page.last_key {
            item.insert("last_key".to_owned(), s(last_key));
        }
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .condition_expression("broadcast_state = :enumerating AND pages = :seq AND chain = :previous")
            .expression_attribute_values(":enumerating", s(BroadcastState::Enumerating.as_str()))
            .expression_attribute_values(":seq", n(page.seq))
            .expression_attribute_values(":previous", s(&page.previous))
            .expression_attribute_values(":pages", n(page.seq + 1))
            .expression_attribute_values(":hash", s(&page_hash))
            .expression_attribute_values(":chunks", n(page.body.chunks.len()))
            .expression_attribute_values(":canary_chunks", n(canary_chunks))
            .expression_attribute_values(":recipients", n(page.recipients()))
            .expression_attribute_values(":skipped", n(page.skipped_rows()))
            .expression_attribute_values(":reading", read_value);
        let mut set = "SET pages = :pages, chain = :hash, chunks = chunks + :chunks, recipients = recipients + :recipients, skipped = skipped + :skipped, canary_chunks = canary_chunks + :canary_chunks, reading = :reading"
            .to_owned();
        if let Some(last_key) = &page.last_key {
            set.push_str(", last_key = :last_key");
            update = update.expression_attribute_values(":last_key", AttributeValue::B(Blob::new(last_key.as_bytes())));
        }
        let mut skipped_by = broadcast.skipped_by.clone();
        for skipped in &page.body.skipped {
            *skipped_by.entry(skipped.reason.to_string()).or_default() += skipped.rows;
        }
        if !page.body.skipped.is_empty() {
            // Whole: the page follows the state that this was added to, or is not written.
            let value = serde_dynamo::to_attribute_value(&skipped_by).map_err(|error| LedgerError::corrupt("skipped_by", error))?;
            set.push_str(", skipped_by = :skipped_by");
            update = update.expression_attribute_values(":skipped_by", value);
        }
        if page.is_in_canary() {
            set.push_str(", canary = canary + :chosen REMOVE held_up");
            update = update.expression_attribute_values(":chosen", n(chosen));
        } else {
            set.push_str(" REMOVE held_up, in_canary");
        }
        let built = put.build().and_then(|put| Ok((put, update.update_expression(set).build()?)));
        let (put, update) = built.map_err(|error| LedgerError::corrupt(key.name(), error))?;
        let writes = [TransactWriteItem::builder().put(put).build(), TransactWriteItem::builder().update(update).build()];
        match self.db.transact_write_items().set_transact_items(Some(writes.to_vec())).send().await {
            Ok(_) => {
                let mut after = broadcast.clone();
                after.pages = page.seq + 1;
                after.chain = page_hash;
                after.chunks += u32::try_from(page.body.chunks.len()).unwrap_or(u32::MAX);
                after.canary += chosen;
                after.canary_chunks += canary_chunks;
                after.in_canary = page.is_in_canary();
                after.recipients += page.recipients() as u64;
                after.skipped += page.skipped_rows();
                after.skipped_by = skipped_by;
                after.last_key = page.last_key.clone().map(LastKey::InBytes);
                after.reading = Some(reading);
                after.held_up = None;
                Ok(Frozen::Written(after))
            }
            Err(error) if matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionCanceledException(_))) => {
                let now = self.broadcast(id).await?;
                // Where the chain has not moved, another transaction was only in the way.
                if now.pages == page.seq && now.broadcast_state == BroadcastState::Enumerating {
                    return Err(LedgerError::call("TransactWriteItems")(error));
                }
                Ok(Frozen::Changed(now))
            }
            Err(error) => Err(LedgerError::call("TransactWriteItems")(error)),
        }
    }

    /// Reads a frozen page and checks its hash.
    pub async fn page(&self, id: &BroadcastId, seq: u32) -> Result<Page, LedgerError> {
        Ok(self.kept_page(id, seq).await?.page)
    }

    /// Reads a frozen page, checks its hash, and gives that too, with what else its item says.
    pub async fn kept_page(&self, id: &BroadcastId, seq: u32) -> Result<KeptPage, LedgerError> {
        let key = Key::page(id, seq);
        let name = key.name();
        let item = self.get(key).await?.ok_or_else(|| LedgerError::corrupt(&name, "it is not there"))?;
        let text = |attribute: &str| item.get(attribute).and_then(|value| value.as_s().ok()).cloned();
        let bytes = unpacked(&name, item.get("body"))?;
        let previous = text("previous_hash").unwrap_or_default();
        let page_hash = hash(&previous, seq, &bytes);
        if text("page_hash").as_deref() != Some(page_hash.as_str()) {
            return Err(LedgerError::corrupt(name, "its hash is not that of its content"));
        }
        let first_chunk = item.get("first_chunk").and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok());
        let first_chunk = first_chunk.ok_or_else(|| LedgerError::corrupt(&name, "it has no first_chunk"))?;
        let body: Body = serde_json::from_slice(&bytes).map_err(|error| LedgerError::corrupt(&name, error))?;
        let last_key = text("last_key");
        if let Some(place) = &body.place {
            for (attribute, is_as_hashed) in [("first_chunk", place.first_chunk == first_chunk), ("last_key", place.last_key == last_key)] {
                if !is_as_hashed {
                    return Err(LedgerError::corrupt(name, format!("its {attribute} is not the one under its hash")));
                }
            }
        }
        Ok(KeptPage { page: Page { seq, previous, first_chunk, body, last_key }, hash: page_hash, expires: expiry(&item) })
    }

    /// Skipped rows by reason. Reads every page that is frozen.
    pub async fn skipped_by_reason(&self, broadcast: &Broadcast) -> Result<BTreeMap<SkipReason, SkippedRows>, LedgerError> {
        let mut found: BTreeMap<SkipReason, SkippedRows> = BTreeMap::new();
        for seq in 0..broadcast.pages {
            for skipped in self.page(&broadcast.broadcast_id, seq).await?.skipped() {
                let of_reason = found.entry(skipped.reason).or_default();
                of_reason.rows += skipped.rows;
                if of_reason.examples.len() < EXAMPLES && skipped.reason != SkipReason::NoKey {
                    of_reason.examples.push(skipped.key.clone());
                }
            }
        }
        Ok(found)
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
        match request.send().await {
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
