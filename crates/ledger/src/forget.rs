//! Forgetting somebody: what pages hold of them goes, and a commitment and a tombstone stay, so that the chain of pages,
//! the counts and the certificates hold. One transaction for each page: the page, the count in the broadcast, and an
//! entry of the audit trail.
//!
//! What this must never do: forget in a broadcast that may still send. Whoever is to be sent to again is enqueued from
//! the page, and messages on their way hold what the page held.

mod of_page;
mod sought;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use issei_schema::{Actor, BroadcastId, TestCopy};
use jiff::Timestamp;
use serde::Serialize;

use self::of_page::Count;
pub use self::sought::Sought;
use self::sought::words;
use crate::commitment::Digests;
use crate::item::{Key, n, s};
use crate::page::{SALTED_BODY, UNPACKED_BYTES_MAX, packed, read_page};
use crate::step::Change;
use crate::trail::list_of;
use crate::{AuditEntry, Broadcast, Expiry, KeptPage, Ledger, LedgerError, Seal, Tombstone, phrases};

/// How often a page is tried that somebody else changes meanwhile, or of which no answer comes.
const TRIES: u32 = 10;
/// Of 400 KB, with the names and the hashes beside it (DynamoDB developer guide, "Quotas").
const PACKED_BYTES_MAX: usize = 390_000;
const STEP: &str = "forgot ";

/// What the pages of one broadcast hold of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub recipients: u64,
    pub skipped: u64,
    /// Where that is.
    pub pages: Vec<u32>,
    /// Of these, those that an older build froze: nobody can be forgotten there before the page expires.
    pub older_pages: Vec<u32>,
    /// When the last of them may be deleted.
    pub older_expire: Option<Timestamp>,
    /// Those who were forgotten under this key or address already, by the page.
    pub forgotten: Vec<Forgotten>,
    /// Digests of the keys under which they stood.
    #[serde(skip)]
    keys: BTreeSet<String>,
}

/// Somebody who was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    pub page: u32,
    pub at: Timestamp,
    /// Of a recipient; a skipped row has none.
    pub chunk: Option<u32>,
}

impl AuditEntry {
    /// Says whether somebody gave the reason: those of services have counts in them, which read like keys.
    #[must_use]
    pub fn is_of_a_person(&self) -> bool {
        let by_services = ["enumerating -> running", "running -> complete", "stopping -> stopped"];
        // Evidence that approves a canary has its own words, too.
        self.code.is_none() && !by_services.contains(&self.step.as_str()) && !self.reason.starts_with("the canary went well: ")
    }

    /// How many were forgotten of which page, where it says so.
    #[must_use]
    pub fn forgot(&self) -> Option<(u64, u32)> {
        let (count, page) = self.step.strip_prefix(STEP)?.split_once(" of page ")?;
        Some((count.parse().ok()?, page.parse().ok()?))
    }
}

impl Ledger {
    /// Looks for somebody in every page of a broadcast: by an address, and then by the keys under which it was found
    /// too; of a copy by the row that it was written from. Gives whom to forget, which is somebody of this broadcast alone:
    /// another audience may have the same keys.
    pub async fn look_for(&self, broadcast: &Broadcast, sought: &Sought) -> Result<(Sought, Found), LedgerError> {
        let (mut all, mut found) = (sought.clone(), self.look(broadcast, sought).await?);
        // A copy is one mail, so no other's command is read.
        if broadcast.max_recipients == 1 && self.is_copied_from(&self.command(&broadcast.broadcast_id).await?, sought).await? {
            all.keys.insert(TestCopy::KEY.to_owned());
        }
        for seq in found.pages.clone() {
            let page = self.page(&broadcast.placed(), seq).await?;
            all.keys.extend(page.known_recipients().filter(|it| sought.is(it)).map(|it| it.key.as_str().to_owned()));
        }
        if all != *sought {
            found = self.look(broadcast, &all).await?;
        }
        Ok((all, found))
    }

    /// Says whether one of these keys is theirs, by what pages have of them, or by what tombstones have kept.
    pub async fn names<'a>(&self, sought: &Sought, found: &Found, keys: impl IntoIterator<Item = &'a str>) -> Result<bool, LedgerError> {
        let secret = if found.keys.is_empty() { None } else { self.digest_key().await? };
        let was_theirs = |key: &str| secret.as_ref().is_some_and(|secret| found.keys.contains(&Digests(secret).key(key)));
        Ok(keys.into_iter().any(|key| sought.keys.contains(key) || was_theirs(key)))
    }

    /// Says whether a text names them, by what tombstones have kept, too.
    pub async fn is_named_in(&self, sought: &Sought, found: &Found, text: &str) -> Result<bool, LedgerError> {
        Ok(sought.is_named_in(text) || self.names(sought, found, words(text)).await?)
    }

    async fn look(&self, broadcast: &Broadcast, sought: &Sought) -> Result<Found, LedgerError> {
        let (key, mut found) = (self.digest_key().await?, Found::default());
        for seq in 0..broadcast.pages {
            let page = Key::page(&broadcast.placed(), seq);
            let kept = match self.get(page.clone()).await? {
                Some(item) => read_page(&page.name(), seq, &item)?,
                // It has expired, and nobody is in it any more.
                None if broadcast.broadcast_state.is_over() => continue,
                None => return Err(LedgerError::corrupt(page.name(), "it is not there")),
            };
            let count = kept.page.body.count(sought);
            if count != Count::default() {
                found.recipients += count.recipients;
                found.skipped += count.skipped;
                found.pages.push(seq);
                if kept.page.body.salted.is_none() {
                    found.older_pages.push(seq);
                    let Expiry::At(at) = kept.expires else { continue };
                    found.older_expire = found.older_expire.max(Some(at));
                }
            }
            let Some(key) = &key else { continue };
            let is_it = |tombstone: &&Tombstone| sought.is_forgotten(tombstone, &Digests(key));
            let forgotten = kept.page.tombstones().iter().filter(is_it);
            found.keys.extend(forgotten.clone().filter_map(|tombstone| tombstone.key.clone()));
            found.forgotten.extend(forgotten.map(|tombstone| Forgotten {
                page: seq,
                at: tombstone.at,
                chunk: kept.page.chunk_of(tombstone),
            }));
        }
        Ok(found)
    }

    /// Forgets somebody in one page of a broadcast that is over, and gives how many entries that were: none where they
    /// were forgotten already. Done once, however often it is asked for on the way.
    pub async fn forget(&self, id: &BroadcastId, seq: u32, sought: &Sought, actor: &Actor, reason: &str) -> Result<u64, LedgerError> {
        let (secret, token) = (self.digest_key_or_new().await?, self.dice.token());
        let (key, mut failed) = (Key::page(&self.broadcast(id).await?.placed(), seq), None);
        let name = key.name();
        let corrupt = |reason: &str| LedgerError::corrupt(&name, reason);
        for _ in 0..TRIES {
            let broadcast = self.broadcast(id).await?;
            if !broadcast.broadcast_state.is_over() {
                return Err(LedgerError::MayStillSend { id: id.to_string(), state: broadcast.broadcast_state });
            }
            let item = self.get(key.clone()).await?.ok_or_else(|| corrupt("it is not there"))?;
            let kept = read_page(&name, seq, &item)?;
            let places: BTreeSet<(u32, u32)> = kept.page.places_of(sought).collect();
            let (mut body, before) = (kept.page.body, kept.hash);
            let count = body.count(sought);
            let entries = count.recipients + count.skipped;
            if entries == 0 {
                // Perhaps by our own write, of which no answer came.
                return Ok(broadcast
                    .audit_trail
                    .iter()
                    .find(|entry| entry.token() == Some(&token))
                    .and_then(AuditEntry::forgot)
                    .map_or(0, |(count, _)| count));
            }
            let tombstones = body.salted.as_ref().map_or(0, |salted| salted.forgotten.len());
            self.forget_reasons(&broadcast, &places).await?;
            let digests = Digests(&secret);
            body.forget(sought, &digests, self.clock.wall()).map_err(corrupt)?;
            // What stays must still be what the chain goes by.
            if body.hash(&kept.page.previous, seq).map_err(corrupt)? != before {
                return Err(corrupt("its hash would be another once somebody is forgotten"));
            }
            let Some(salted) = &mut body.salted else { return Err(corrupt("it has no salts")) };
            salted.seal = Some(digests.seal(&before, &salted.forgotten).prove());
            let after = salted.forgotten.len();
            let json = serde_json::to_vec(&body).map_err(|error| LedgerError::corrupt(&name, error))?;
            let packed = packed(&json)?;
            let bytes = packed.as_b().map_or(0, |blob| blob.as_ref().len());
            if json.len() as u64 >= UNPACKED_BYTES_MAX || bytes > PACKED_BYTES_MAX {
                return Err(LedgerError::PageIsFull { item: name, tombstones });
            }
            let was = if tombstones == 0 { "attribute_not_exists(forgotten)" } else { "forgotten = :before" };
            let mut update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key.clone().into_item()))
                .update_expression(format!("SET {SALTED_BODY} = :body, forgotten = :after"))
                .condition_expression(format!("page_hash = :hash AND {was}"))
                .expression_attribute_values(":body", packed)
                .expression_attribute_values(":after", n(after))
                .expression_attribute_values(":hash", s(before));
            if tombstones > 0 {
                update = update.expression_attribute_values(":before", n(tombstones));
            }
            let update = update.build().map_err(|error| LedgerError::corrupt(&name, error))?;
            let entry = AuditEntry::new(self.clock.wall(), actor, phrases::FORGOT_STEP.with(&[&entries, &seq]), reason);
            let change = Change {
                sets: "ending = if_not_exists(ending, :ending) ADD forgotten :entries".to_owned(),
                conditions: "broadcast_state = :over".to_owned(),
                values: vec![
                    (":entries", n(entries)),
                    (":ending", list_of(&broadcast.ending_entries())?),
                    (":over", s(broadcast.broadcast_state.as_str())),
                ],
                beside: Some(TransactWriteItem::builder().update(update).build()),
            };
            match self.append(&broadcast, entry, &token, &change).await {
                Ok(Ok(_)) => return Ok(entries),
                // Somebody else was first, in the page or in the trail.
                Ok(Err(_)) => {}
                Err(error @ LedgerError::Unavailable { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| LedgerError::Unavailable {
            operation: "TransactWriteItems",
            reason: format!("page {seq} of `{id}` was changed by others {TRIES} times; repeat the command"),
        }))
    }

    /// Says whether a page's tombstones are as they were written.
    pub async fn tombstones(&self, page: &KeptPage) -> Result<Seal, LedgerError> {
        let Some(salted) = page.page.body.salted.as_ref().filter(|salted| !salted.forgotten.is_empty()) else { return Ok(Seal::Absent) };
        let (Some(key), Some(seal)) = (self.digest_key().await?, &salted.seal) else { return Ok(Seal::Broken) };
        let holds = Digests(&key).seal(&page.hash, &salted.forgotten).accepts(seal);
        Ok(if holds { Seal::Holds } else { Seal::Broken })
    }
}
