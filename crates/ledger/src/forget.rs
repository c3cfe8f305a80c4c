//! Forgetting somebody: what pages hold of them goes, and a commitment and a tombstone stay, so that the chain of pages,
//! the counts and the certificates hold. One transaction for each page: the page, the count in the broadcast, and an
//! entry of the audit trail.
//!
//! What this must never do: forget in a broadcast that may still send. Whoever is to be sent to again is enqueued from
//! the page, and messages on their way hold what the page held.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use issei_schema::{Actor, Address, BroadcastId, Recipient, TestCopy};
use jiff::Timestamp;
use serde::Serialize;

use crate::commitment::{Commitment, Digests, Salted, of_last_key, of_recipient, of_skipped};
use crate::item::{Key, n, s};
use crate::page::{Body, Place, SALTED_BODY, UNPACKED_BYTES_MAX, packed, read_page};
use crate::salts::Salt;
use crate::step::Change;
use crate::trail::list_of;
use crate::{AuditEntry, Broadcast, Expiry, KeptPage, Ledger, LedgerError, Page, Seal, SkipReason, Skipped, Tombstone, kept_key, phrases};

/// How often a page is tried that somebody else changes meanwhile, or of which no answer comes.
const TRIES: u32 = 10;
/// Of 400 KB, with the names and the hashes beside it (DynamoDB developer guide, "Quotas").
const PACKED_BYTES_MAX: usize = 390_000;
/// An older build cut a longer key where it stands among the skipped.
const CUT_CHARS: usize = 64;
const STEP: &str = "forgot ";

/// Whom to look for: by a key of the audience, or by an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    keys: BTreeSet<String>,
    address: String,
}

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

impl Sought {
    /// However an address is written, since the ledger has one spelling of each mailbox.
    #[must_use]
    pub fn new(who: &str) -> Self {
        let address = Address::quoting_legacy(who);
        // As a recipient has it, and as a skipped row keeps it.
        Self { keys: [who.to_owned(), kept_key(who)].into(), address: address.as_ref().map_or(who, Address::as_str).to_owned() }
    }

    /// Whether it is this one: nobody has two mailboxes whose addresses differ in case alone.
    #[must_use]
    pub fn is(&self, recipient: &Recipient) -> bool {
        self.keys.contains(recipient.key.as_str()) || recipient.address.as_str().eq_ignore_ascii_case(&self.address)
    }

    /// Of a row that was skipped for the sake of somebody with the same address, too: its address is theirs.
    fn is_skipped(&self, skipped: &Skipped) -> bool {
        self.names(skipped)
            || skipped.reason != SkipReason::NoKey && skipped.mailed.as_ref().is_some_and(|mailed| self.keys.contains(mailed))
    }

    /// Whether a row was skipped that has this very key.
    pub(crate) fn names(&self, skipped: &Skipped) -> bool {
        let name = skipped.name();
        let cut = name.chars().count() >= CUT_CHARS;
        let is_it = |key: &String| key == name || (cut && key.starts_with(name));
        skipped.reason != SkipReason::NoKey && self.keys.iter().any(is_it)
    }

    /// Whether it is the address that is looked for.
    #[must_use]
    pub fn is_address(&self, address: &Address) -> bool {
        address.as_str().eq_ignore_ascii_case(&self.address)
    }

    pub(crate) fn is_row_of(&self, copy: &TestCopy, digests: &Digests<'_>) -> bool {
        copy.row_address.as_ref().is_some_and(|digest| *digest == digests.address(&self.address))
            || copy.row_key.as_ref().is_some_and(|digest| self.keys.iter().any(|key| *digest == digests.key(key)))
    }

    pub(crate) fn is_forgotten(&self, tombstone: &Tombstone, digests: &Digests<'_>) -> bool {
        tombstone.address.as_ref().is_some_and(|digest| *digest == digests.address(&self.address))
            || tombstone.key.as_ref().is_some_and(|digest| self.keys.iter().any(|key| *digest == digests.key(key)))
    }

    /// Says whether a text names them, such as a reason that somebody would write down.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let is_word = |word: &str| words(&text).any(|found| found == word);
        text.contains(&self.address.to_lowercase()) && self.address.contains('@')
            || self.keys.iter().any(|key| is_word(&key.to_lowercase()))
    }
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

/// What may be a key in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || "@._+-".contains(c)))
}

/// What is forgotten of a page.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    recipients: u64,
    skipped: u64,
}

impl Page {
    /// Where they stand whom a mail went to: the chunk, and the place in it.
    fn places_of(&self, sought: &Sought) -> impl Iterator<Item = (u32, u32)> {
        let is_it = |recipient: &Option<Recipient>| recipient.as_ref().is_some_and(|recipient| sought.is(recipient));
        self.chunks()
            .flat_map(move |(chunk, recipients)| (0..).zip(recipients).filter(move |(_, it)| is_it(it)).map(move |(at, _)| (chunk, at)))
    }
}

impl Body {
    fn count(&self, sought: &Sought) -> Count {
        Count {
            recipients: self.chunks.iter().flatten().flatten().filter(|recipient| sought.is(recipient)).count() as u64,
            skipped: self.skipped.iter().flatten().filter(|skipped| sought.is_skipped(skipped)).count() as u64,
        }
    }

    /// Replaces whoever is sought by tombstones. The key after which the next page begins is somebody's, and of no use
    /// once the audience is frozen, so it goes with the first of them.
    fn forget(&mut self, sought: &Sought, digests: &Digests<'_>, at: Timestamp) -> Result<(), &'static str> {
        let entries = self.entries();
        let (Some(place), Some(salted)) = (&mut self.place, &mut self.salted) else { return Err("it has no salts") };
        let salts = salted.salts.all(entries)?;
        let mut forgetting = Forgetting { salts, salted, next: 0, at };
        for recipient in self.chunks.iter_mut().flatten() {
            forgetting.look(
                recipient,
                |it| sought.is(it),
                of_recipient,
                |it, tombstone| {
                    (tombstone.key, tombstone.address) = (Some(digests.key(it.key.as_str())), Some(digests.address(it.address.as_str())));
                },
            )?;
        }
        for skipped in &mut self.skipped {
            forgetting.look(
                skipped,
                |it| sought.is_skipped(it),
                of_skipped,
                |it, tombstone| {
                    (tombstone.key, tombstone.rows) = (Some(digests.key(it.name())), Some(it.rows));
                },
            )?;
        }
        let Place { last_key, .. } = place;
        forgetting.look(last_key, |_| true, |salt, key| of_last_key(salt, key), |_, _| ())?;
        salted.forgotten.sort_by_key(|tombstone| tombstone.entry);
        Ok(())
    }
}

/// Going through the entries of a page in their order.
struct Forgetting<'a> {
    salts: Vec<Option<Salt>>,
    salted: &'a mut Salted,
    next: usize,
    at: Timestamp,
}

impl Forgetting<'_> {
    fn look<T>(
        &mut self,
        entry: &mut Option<T>,
        is_it: impl FnOnce(&T) -> bool,
        commit: impl FnOnce(&Salt, &T) -> Commitment,
        say: impl FnOnce(&T, &mut Tombstone),
    ) -> Result<(), &'static str> {
        let at = self.next;
        self.next += 1;
        let Some(found) = entry.take_if(|entry| is_it(entry)) else { return Ok(()) };
        let salt = self.salts.get(at).copied().flatten().ok_or("an entry has no salt")?;
        let number = u32::try_from(at).map_err(|_| "it has too many entries")?;
        let mut tombstone =
            Tombstone { entry: number, commitment: commit(&salt, &found), at: self.at, key: None, address: None, rows: None };
        say(&found, &mut tombstone);
        self.salted.salts.forget(number);
        self.salted.forgotten.push(tombstone);
        Ok(())
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

#[cfg(test)]
mod tests {
    use issei_clock::Clock;
    use issei_schema::MessageKey;
    use proptest::prelude::*;

    use super::*;
    use crate::salts::Salts;

    fn recipient(number: usize) -> Recipient {
        Recipient {
            key: number.to_string().parse().unwrap(),
            address: format!("somebody.number{number}@mail.example.com").parse().unwrap(),
            data: [("name".to_owned(), format!("Somebody Number {number}"))].into(),
        }
    }

    /// So many recipients in chunks of fifty, and one skipped row for each seventh, and for every address of somebody else.
    fn body(recipients: usize) -> Body {
        let all: Vec<Option<Recipient>> = (0..recipients).map(|number| Some(recipient(number))).collect();
        let skipped = |number: usize| Skipped {
            key: format!("s{number}"),
            reason: SkipReason::DuplicateAddress,
            rows: 1 + number as u64,
            mailed: Some(number.to_string()),
        };
        let place = Place { first_chunk: 3, last_key: Some("last".to_owned()), in_canary: false, frozen_by: "run".to_owned() };
        let mut body = Body {
            chunks: all.chunks(50).map(<[_]>::to_vec).collect(),
            skipped: (0..recipients / 7).map(|number| Some(skipped(number))).collect(),
            place: Some(place),
            salted: None,
        };
        body.salted = Some(Salted { salts: Salts::new([9; 16], body.entries()), forgotten: Vec::new(), seal: None });
        body
    }

    proptest! {
        #[test]
        fn whoever_is_forgotten_in_whatever_order_the_hash_stays_and_nothing_names_them(order in proptest::collection::vec(0usize..60, 1..20)) {
            let (mut page, key) = (body(60), MessageKey::new([1; 32]));
            let hash = page.hash("before", 7).unwrap();
            for number in &order {
                page.forget(&Sought::new(&number.to_string()), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
                prop_assert_eq!(page.hash("before", 7), Ok(hash.clone()));
            }
            let json = serde_json::to_string(&page).unwrap();
            let json = json.split_once(",\"salted\"").unwrap().0;
            for number in &order {
                prop_assert!(!json.contains(&format!("number{number}@")), "{}", json);
                let names = format!("\"{number}\"");
                prop_assert!(!json.contains(&names), "{}", json);
            }
            let forgotten = order.iter().collect::<BTreeSet<_>>().len();
            let skipped = order.iter().filter(|number| **number < 60 / 7).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(page.salted.as_ref().unwrap().forgotten.len(), forgotten + skipped + 1);
            // What stays is not what somebody else would have left.
            let mut other = page.clone();
            other.chunks[0][0] = Some(recipient(59));
            prop_assert_ne!(other.hash("before", 7), Ok(hash.clone()));
            let mut other = page.clone();
            other.salted.as_mut().unwrap().forgotten[0].commitment[0] ^= 1;
            prop_assert_ne!(other.hash("before", 7), Ok(hash));
        }
    }

    #[test]
    fn an_entry_is_there_or_forgotten_and_never_both_or_neither() {
        let (page, key) = (body(20), MessageKey::new([1; 32]));
        let mut forgotten = page.clone();
        forgotten.forget(&Sought::new("4"), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
        let salts = |body: &Body| body.salted.clone().unwrap();
        // Gone without a trace, with its salt, beside its tombstone, and a row that counts for more.
        let mut gone = page.clone();
        gone.chunks[0][4] = None;
        assert!(gone.hash("", 0).is_err());
        let mut kept = forgotten.clone();
        kept.salted.as_mut().unwrap().salts = salts(&page).salts;
        assert_eq!(kept.hash("", 0), Err("an entry was forgotten, and its salt is there"));
        let mut both = forgotten.clone();
        both.chunks[0][4] = page.chunks[0][4].clone();
        assert!(both.hash("", 0).is_err());
        let mut rows = page.clone();
        rows.forget(&Sought::new("s1"), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(rows.hash("", 0), page.hash("", 0));
        rows.salted.as_mut().unwrap().forgotten[0].rows = Some(1);
        assert_ne!(rows.hash("", 0), page.hash("", 0));
        let mut more = forgotten;
        let tombstone = salts(&more).forgotten[0].clone();
        more.salted.as_mut().unwrap().forgotten.push(tombstone);
        assert_eq!(more.hash("", 0), Err("a tombstone is of no entry"));
    }

    #[test]
    fn a_reason_that_names_whom_it_is_about_is_known() {
        let (address, key) = (Sought::new("Ann@Example.com"), Sought::new("42"));
        assert!(address.is_named_in("ann@example.com wants it") && key.is_named_in("user 42 wants it"));
        assert!(!address.is_named_in("ticket 42") && !key.is_named_in("ticket 4242, of 2042-04-20"));
    }

    /// The least of several rounds, since whoever else works on the machine only ever adds.
    fn least<T>(mut of: impl FnMut() -> T) -> u128 {
        let clock = Clock::system();
        (0..15)
            .map(|_| {
                let begun = clock.now();
                std::hint::black_box(of());
                clock.now().saturating_duration_since(begun).as_nanos()
            })
            .min()
            .unwrap()
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "what it costs is told")]
    fn a_page_costs_a_seed_more_and_what_its_hash_costs_is_told() {
        let page = body(2_500);
        let plain = Body { salted: None, ..page.clone() };
        let (json, older) = (serde_json::to_vec(&page).unwrap(), serde_json::to_vec(&plain).unwrap());
        let size = |bytes: &[u8]| packed(bytes).unwrap().as_b().unwrap().as_ref().len();
        // What a salt of its own in each entry would come to: 16 bytes that no compression makes fewer.
        let salted = page.salted.as_ref().unwrap().salts.all(page.entries()).unwrap();
        let each = [older.clone(), serde_json::to_vec(&salted.iter().flatten().map(hex::encode).collect::<Vec<_>>()).unwrap()].concat();
        let (now, before) = (least(|| page.hash("before", 7)), least(|| crate::page::plain_hash("before", 7, &older)));
        let read = least(|| serde_json::from_slice::<Body>(&json).unwrap());
        let (mut all, key) = (page.clone(), MessageKey::new([1; 32]));
        let everybody = Sought { keys: (0..2_500).map(|number| number.to_string()).collect(), address: String::new() };
        all.forget(&everybody, &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
        let all = serde_json::to_vec(&all).unwrap();
        println!("with everybody forgotten: {} bytes packed, {} of JSON", size(&all), all.len());
        assert!(size(&all) < PACKED_BYTES_MAX && (all.len() as u64) < UNPACKED_BYTES_MAX);
        println!(
            "{} entries: {} bytes packed, {} before, {} with a salt in each; hash {} us, {} us before; JSON read in {} us",
            page.entries(),
            size(&json),
            size(&older),
            size(&each),
            now / 1_000,
            before / 1_000,
            read / 1_000
        );
        assert!(size(&json) <= size(&older) + 150, "{} and {}", size(&json), size(&older));
    }
}
