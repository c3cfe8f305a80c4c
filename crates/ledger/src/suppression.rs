//! issei's own list of addresses that are not mailed: those that bounced for good, those whose owners complained or
//! unsubscribed, and those that an operator entered. Kept by digest, so that the list names nobody by itself.
//!
//! A digest is an HMAC under a key that the ledger draws for itself, over the plain SHA-256 by which builds before this
//! one kept the list. Whatever those builds wrote is heeded, and as long as one of them may read beside this one, each
//! entry is written in both forms ([decision 11](../../../docs/decisions/0011-the-ledger-keeps-the-key-of-its-list.md)).
//! An entry is never lost on the way from one form to the other.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use issei_schema::{Actor, Address, BroadcastId, MessageKey};
use serde::Serialize;

use crate::item::{Item, Key, b, n, s};
use crate::suppressed::{CAUSE, Cause, REMOVED, Suppressed, Suppression, keyed, keyed_key, plain, plain_key};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Ledger, LedgerError};

/// How the list is kept just now.
struct List {
    /// None is drawn before there is an entry.
    key: Option<MessageKey>,
    /// Nobody is on it.
    is_empty: bool,
    /// Builds from before the key may have written, or may read: plain digests count, and are written beside.
    plain_since: Option<i64>,
    has_plain: bool,
}

/// Puts addresses on the list.
pub struct Suppressing {
    ledger: Ledger,
    key: MessageKey,
    writes_plain: bool,
}

impl Suppressing {
    /// Puts an address on the list. It stays there until somebody takes it away; a cause that is known keeps its date.
    pub async fn enter(&self, address: &Address, why: Suppression, cause: &Cause) -> Result<(), LedgerError> {
        let digest = plain(address);
        let mut keys = vec![keyed_key(&keyed(&self.key, &digest))];
        if self.writes_plain {
            keys.push(plain_key(&digest));
        }
        for key in keys {
            let record = serde_json::to_string(cause).map_err(|error| LedgerError::corrupt(key.name(), error))?;
            // For builds that read one word: a bounce, which keeps everything away, is never overwritten.
            let word = if why == Suppression::Bounced { ":why" } else { "if_not_exists(suppression, :why)" };
            let update = format!("SET {CAUSE}{0} = if_not_exists({CAUSE}{0}, :cause), suppression = {word} REMOVE {REMOVED}", why.as_str());
            let request = self.ledger.db.update_item().table_name(&self.ledger.table).set_key(Some(key.into_item()));
            let request = request.update_expression(update).expression_attribute_values(":why", s(why.as_str()));
            let request = request.expression_attribute_values(":cause", s(record));
            request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        }
        Ok(())
    }
}

/// What a migration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Migrated {
    /// So many entries are kept by the ledger's key now, and no plain digest is left.
    Done { entries: u64 },
    /// A plain entry was written so many seconds ago, or meanwhile: who wrote it may not be done.
    TooSoon { seconds: i64 },
}

/// So long nobody may have written a plain digest before they are taken away: a writer has made its mark by then, and
/// its entry too.
const QUIET_S: i64 = 600;

impl Ledger {
    async fn suppression_list(&self) -> Result<List, LedgerError> {
        let mut items = self.batch_get(vec![Key::suppressions(), Key::suppression_key()]).await?;
        let (marker, secret) = (items.remove(&Key::suppressions()), items.remove(&Key::suppression_key()));
        let plain_since = marker.as_ref().and_then(|marker| marker.get("suppressed_at")?.as_n().ok()?.parse().ok());
        // A ledger of which nobody says that it is new may have older builds on it, which read plain digests alone.
        let is_keyed_alone = secret.as_ref().is_some_and(|secret| secret.contains_key("alone_since"));
        Ok(List {
            key: secret.as_ref().and_then(secret_of),
            is_empty: marker.is_none(),
            plain_since,
            has_plain: plain_since.is_some() || !is_keyed_alone,
        })
    }

    /// The ledger's key for digests; nothing where none was ever made.
    pub(crate) async fn digest_key(&self) -> Result<Option<MessageKey>, LedgerError> {
        Ok(self.get(Key::suppression_key()).await?.as_ref().and_then(secret_of))
    }

    /// The same, drawn where there is none.
    pub(crate) async fn digest_key_or_new(&self) -> Result<MessageKey, LedgerError> {
        self.suppression_key(&self.suppression_list().await?).await
    }

    async fn suppression_key(&self, list: &List) -> Result<MessageKey, LedgerError> {
        if let Some(key) = list.key {
            return Ok(key);
        }
        let drawn = self.dice.secret().map_err(|error| LedgerError::corrupt(Key::suppression_key().name(), error))?;
        // Of two that draw one, the first stays.
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppression_key().into_item()));
        let request = request.update_expression("SET digest_key = if_not_exists(digest_key, :drawn)").return_values(ReturnValue::AllNew);
        let request = request.expression_attribute_values(":drawn", b(&drawn));
        let item = request.send().await.map_err(LedgerError::call("UpdateItem"))?.attributes.unwrap_or_default();
        secret_of(&item).ok_or_else(|| LedgerError::corrupt(Key::suppression_key().name(), "no key of 32 bytes"))
    }

    /// Says of a table that was just made that no build has ever kept a plain digest in it.
    pub(crate) async fn keep_digests_keyed_alone(&self) -> Result<(), LedgerError> {
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppression_key().into_item()));
        let request = request.update_expression("SET alone_since = if_not_exists(alone_since, :now)");
        let request = request.expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
        request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// Makes ready to put addresses on the list.
    pub async fn suppressing(&self) -> Result<Suppressing, LedgerError> {
        let list = self.suppression_list().await?;
        let key = self.suppression_key(&list).await?;
        // The marker before any entry: whoever doesn't see it doesn't look for entries.
        let now = n(self.clock.wall().as_millisecond());
        let update = if list.has_plain {
            "SET suppressed_at = :now, keyed_since = if_not_exists(keyed_since, :now)"
        } else {
            "SET keyed_since = if_not_exists(keyed_since, :now)"
        };
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppressions().into_item()));
        let request = request.update_expression(update).expression_attribute_values(":now", now);
        request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(Suppressing { ledger: self.clone(), key, writes_plain: list.has_plain })
    }

    /// Puts an address on the list for what an event about a broadcast told.
    pub async fn suppress(&self, address: &Address, why: Suppression, id: &BroadcastId, actor: &Actor) -> Result<(), LedgerError> {
        let now = self.clock.wall();
        let (source, entered_by) = (format!("broadcast {id}"), actor.to_string());
        let cause = Cause { since: now, entered_at: now, source, entered_by, reason: None };
        self.suppressing().await?.enter(address, why, &cause).await
    }

    /// Which of these addresses are on the list, by their places. One call where the list is empty,
    /// else one more for each hundred, or each fifty where plain digests count.
    pub async fn suppressed(&self, addresses: &[&Address]) -> Result<HashMap<usize, Suppressed>, LedgerError> {
        let mut found = HashMap::new();
        if addresses.is_empty() {
            return Ok(found);
        }
        let list = self.suppression_list().await?;
        if list.is_empty {
            return Ok(found);
        }
        let each = if list.has_plain && list.key.is_some() { 50 } else { 100 };
        // `BatchGetItem` takes a hundred keys (API reference), none twice.
        for (number, some) in addresses.chunks(each).enumerate() {
            let keys: Vec<Vec<Key>> = some.iter().map(|address| list.keys(address)).collect();
            let mut distinct: Vec<Key> = keys.iter().flatten().cloned().collect();
            distinct.sort_by(|a, b| a.sk.cmp(&b.sk));
            distinct.dedup();
            let items = self.batch_get(distinct).await?;
            for (at, keys) in keys.iter().enumerate() {
                if let Some(entry) = merged(keys, &items).filter(|entry| !entry.causes.is_empty()) {
                    found.insert(number * each + at, entry);
                }
            }
        }
        Ok(found)
    }

    /// What the list says of one address, taken from it or not.
    pub async fn suppression_of(&self, address: &Address) -> Result<Option<Suppressed>, LedgerError> {
        let keys = self.suppression_list().await?.keys(address);
        let items = self.batch_get(keys.clone()).await?;
        Ok(merged(&keys, &items))
    }

    /// A 256th part of the list, `part` from 0 to 255, in no order that says anything.
    pub async fn suppressed_part(&self, part: u8) -> Result<Vec<Suppressed>, LedgerError> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :part");
            let query = query.expression_attribute_values(":part", s(format!("suppressed#{part:02x}")));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).send().await.map_err(LedgerError::call("Query"))?;
            entries.extend(answer.items.unwrap_or_default().iter().map(|item| Suppressed::of(&key_of(item), item)));
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Takes an address from the list, in both of its forms; what stays says who did. False where it was not on it.
    pub async fn unsuppress(&self, address: &Address, actor: &Actor, reason: &str) -> Result<bool, LedgerError> {
        let keys = self.suppression_list().await?.keys(address);
        let items = self.batch_get(keys.clone()).await?;
        let is_on_it = merged(&keys, &items).is_some_and(|entry| !entry.causes.is_empty());
        let now = self.clock.wall();
        let reason = Some(cut(reason, REASON_BYTES_MAX).to_owned());
        let removed = Cause { since: now, entered_at: now, source: "an operator".to_owned(), entered_by: actor.to_string(), reason };
        let removed = serde_json::to_string(&removed).map_err(|error| LedgerError::corrupt("suppressed", error))?;
        let causes = Suppression::ALL.map(|why| format!("{CAUSE}{}", why.as_str())).join(", ");
        for key in keys.into_iter().filter(|key| is_on_it && items.contains_key(key)) {
            let request = self.db.update_item().table_name(&self.table).set_key(Some(key.into_item()));
            let request =
                request.update_expression(format!("SET {REMOVED} = :removed REMOVE suppression, suppressed_at, broadcast_id, {causes}"));
            let request = request.expression_attribute_values(":removed", s(removed.clone()));
            request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        }
        Ok(is_on_it)
    }

    /// Rewrites plain entries under the ledger's key, and takes the plain ones away. Only where no build from before the
    /// key runs any more: one that reads plain digests alone would find nobody. One that writes them all the same is
    /// heeded again.
    pub async fn migrate_suppressions(&self) -> Result<Migrated, LedgerError> {
        let list = self.suppression_list().await?;
        let key = self.suppression_key(&list).await?;
        let now = self.clock.wall().as_second();
        if let Some(seconds) = list.plain_since.map(|at| now - at / 1_000).filter(|seconds| *seconds < QUIET_S) {
            return Ok(Migrated::TooSoon { seconds });
        }
        let mut entries = 0;
        for part in 0..=u8::MAX {
            for entry in self.suppressed_part(part).await?.into_iter().filter(|entry| !entry.keyed) {
                self.rewrite(&key, entry).await?;
                entries += 1;
            }
        }
        if !list.is_empty {
            let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppressions().into_item()));
            let request = request.update_expression("SET keyed_since = if_not_exists(keyed_since, :now) REMOVE suppressed_at");
            let request = request.expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
            let request = match list.plain_since {
                Some(seen) => request.condition_expression("suppressed_at = :seen").expression_attribute_values(":seen", n(seen)),
                None => request.condition_expression("attribute_not_exists(suppressed_at)"),
            };
            if let Err(error) = request.send().await {
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) {
                    return Ok(Migrated::TooSoon { seconds: 0 });
                }
                return Err(LedgerError::call("UpdateItem")(error));
            }
        }
        self.keep_digests_keyed_alone().await?;
        Ok(Migrated::Done { entries })
    }

    /// The keyed entry first: whoever is interrupted here has both.
    async fn rewrite(&self, key: &MessageKey, entry: Suppressed) -> Result<(), LedgerError> {
        let suppressing = Suppressing { ledger: self.clone(), key: *key, writes_plain: false };
        suppressing.copy(&entry).await?;
        let delete = self.db.delete_item().table_name(&self.table).set_key(Some(plain_key(&entry.digest).into_item()));
        delete.send().await.map_err(LedgerError::call("DeleteItem"))?;
        Ok(())
    }
}

impl Suppressing {
    /// Gives the keyed entry every cause that the plain one has.
    async fn copy(&self, plain: &Suppressed) -> Result<(), LedgerError> {
        let key = keyed_key(&keyed(&self.key, &plain.digest));
        for (why, cause) in &plain.causes {
            let record = serde_json::to_string(cause).map_err(|error| LedgerError::corrupt(key.name(), error))?;
            let update = format!("SET {CAUSE}{0} = if_not_exists({CAUSE}{0}, :cause)", why.as_str());
            let request = self.ledger.db.update_item().table_name(&self.ledger.table).set_key(Some(key.clone().into_item()));
            let request = request.update_expression(update).expression_attribute_values(":cause", s(record));
            request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        }
        Ok(())
    }
}

impl List {
    /// Where entries of an address may lie.
    fn keys(&self, address: &Address) -> Vec<Key> {
        let digest = plain(address);
        let keyed = self.key.map(|key| keyed_key(&keyed(&key, &digest)));
        keyed.into_iter().chain(self.has_plain.then(|| plain_key(&digest))).collect()
    }
}

fn merged(keys: &[Key], items: &HashMap<Key, Item>) -> Option<Suppressed> {
    let mut found = keys.iter().filter_map(|key| Some(Suppressed::of(key, items.get(key)?)));
    let mut first = found.next()?;
    found.for_each(|other| first.merge(other));
    Some(first)
}

fn secret_of(item: &Item) -> Option<MessageKey> {
    let bytes = item.get("digest_key").and_then(|key| key.as_b().ok()).map(Blob::as_ref)?;
    Some(MessageKey::new(bytes.try_into().ok()?))
}

fn key_of(item: &Item) -> Key {
    let text = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned().unwrap_or_default();
    Key { pk: text("pk"), sk: text("sk") }
}
