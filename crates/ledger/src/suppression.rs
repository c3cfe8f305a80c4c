//! issei's own list of addresses that are not mailed: those that bounced for good, those whose owners complained or
//! unsubscribed, and those that an operator entered. Kept by digest, so that the list names nobody by itself.
//!
//! A digest is an HMAC under a key that the ledger draws for itself, over the plain SHA-256 by which builds before this
//! one kept the list. Whatever those builds wrote is heeded, and as long as one of them may read beside this one, each
//! entry is written in both forms ([decision 11](../../../docs/decisions/0011-the-ledger-keeps-the-key-of-its-list.md)).
//! An entry is never lost on the way from one form to the other.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::{StreamExt, TryStreamExt, stream};
use issei_aws::AwsCall;
use issei_schema::{Actor, Address, MessageKey};

use crate::item::{Item, Key, b, n, s};
use crate::suppressed::{CAUSE, Cause, REMOVED, Suppressed, Suppression, keyed, keyed_key, partition, plain, plain_key};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Ledger, LedgerError};

/// Calls under way at once where everybody is looked up.
const AT_ONCE: usize = 4;
/// Before the two digits of a part of the list, as an attribute of the marker: how many entries were made in it.
pub(crate) const ENTERED: &str = "entered_";

/// How the list is kept just now.
#[derive(Clone)]
pub(crate) struct List {
    /// None is drawn before there is an entry.
    pub(crate) key: Option<MessageKey>,
    /// Nobody is on it.
    pub(crate) is_empty: bool,
    /// Builds from before the key may have written, or may read: plain digests count, and are written beside.
    pub(crate) plain_since: Option<i64>,
    pub(crate) has_plain: bool,
    /// Entries that were made in each part, as far as whoever made them counts them: an older build does not.
    pub(crate) entered: BTreeMap<u8, u64>,
}

impl Ledger {
    pub(crate) async fn suppression_list(&self) -> Result<List, LedgerError> {
        let mut items = self.batch_get(vec![Key::suppressions(), Key::suppression_key()]).await?;
        let (marker, secret) = (items.remove(&Key::suppressions()), items.remove(&Key::suppression_key()));
        let plain_since = marker.as_ref().and_then(|marker| marker.get("suppressed_at")?.as_n().ok()?.parse().ok());
        // A ledger of which nobody says that it is new may have older builds on it, which read plain digests alone.
        let is_keyed_alone = secret.as_ref().is_some_and(|secret| secret.contains_key("alone_since"));
        let count = |(name, count): (&String, &AttributeValue)| {
            Some((u8::from_str_radix(name.strip_prefix(ENTERED)?, 16).ok()?, count.as_n().ok()?.parse().ok()?))
        };
        let entered = marker.iter().flatten().filter_map(count).collect();
        Ok(List {
            key: secret.as_ref().and_then(secret_of),
            is_empty: marker.is_none(),
            plain_since,
            has_plain: plain_since.is_some() || !is_keyed_alone,
            entered,
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

    pub(crate) async fn suppression_key(&self, list: &List) -> Result<MessageKey, LedgerError> {
        if let Some(key) = list.key {
            return Ok(key);
        }
        let drawn = self.dice.secret().map_err(|error| LedgerError::corrupt(Key::suppression_key().name(), error))?;
        // Of two that draw one, the first stays.
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppression_key().into_item()));
        let request = request.update_expression("SET digest_key = if_not_exists(digest_key, :drawn)").return_values(ReturnValue::AllNew);
        let request = request.expression_attribute_values(":drawn", b(&drawn));
        let item = request.call().await.map_err(LedgerError::call("UpdateItem"))?.attributes.unwrap_or_default();
        secret_of(&item).ok_or_else(|| LedgerError::corrupt(Key::suppression_key().name(), "no key of 32 bytes"))
    }

    /// Says of a table that was just made that no build has ever kept a plain digest in it.
    pub(crate) async fn keep_digests_keyed_alone(&self) -> Result<(), LedgerError> {
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppression_key().into_item()));
        let request = request.update_expression("SET alone_since = if_not_exists(alone_since, :now)");
        let request = request.expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
        request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// Which of these addresses are on the list, by their places.
    pub async fn suppressed(&self, addresses: &[&Address]) -> Result<HashMap<usize, Suppressed>, LedgerError> {
        if addresses.is_empty() {
            return Ok(HashMap::new());
        }
        self.look_up(&self.suppression_list().await?, addresses).await
    }

    /// The same of a list that was looked at before. No call where it is empty, else one for each hundred, or each fifty
    /// where plain digests count.
    pub(crate) async fn look_up(&self, list: &List, addresses: &[&Address]) -> Result<HashMap<usize, Suppressed>, LedgerError> {
        if list.is_empty {
            return Ok(HashMap::new());
        }
        let each = if list.has_plain && list.key.is_some() { 50 } else { 100 };
        // `BatchGetItem` takes a hundred keys (API reference), none twice.
        let asked: Vec<Vec<Vec<Key>>> =
            addresses.chunks(each).map(|some| some.iter().map(|address| list.keys(address)).collect()).collect();
        let look = async |keys: Vec<Vec<Key>>| {
            let mut distinct: Vec<Key> = keys.iter().flatten().cloned().collect();
            distinct.sort_by(|a, b| a.sk.cmp(&b.sk));
            distinct.dedup();
            let items = self.batch_get(distinct).await?;
            Ok::<_, LedgerError>(keys.iter().map(|keys| merged(keys, &items)).collect::<Vec<_>>())
        };
        let found: Vec<Vec<Option<Suppressed>>> = stream::iter(asked).map(look).buffered(AT_ONCE).try_collect().await?;
        let on_it = found.into_iter().flatten().enumerate();
        Ok(on_it.filter_map(|(at, entry)| Some((at, entry.filter(|entry| !entry.causes.is_empty())?))).collect())
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
            let query = query.expression_attribute_values(":part", s(partition(part)));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
            entries.extend(answer.items.unwrap_or_default().iter().map(|item| Suppressed::of(&key_of(item), item)));
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Takes an address from the list, in both of its forms; what stays says who did. It takes the causes that it has read, and
    /// leaves an entry alone that somebody has changed since, while an answer was lost.
    pub async fn unsuppress(&self, address: &Address, actor: &Actor, reason: &str) -> Result<Unsuppressed, LedgerError> {
        let keys = self.suppression_list().await?.keys(address);
        let items = self.batch_get(keys.clone()).await?;
        if merged(&keys, &items).is_none_or(|entry| entry.causes.is_empty()) {
            return Ok(Unsuppressed::NotOnIt);
        }
        let now = self.clock.wall();
        let reason = Some(cut(reason, REASON_BYTES_MAX).to_owned());
        let removed = Cause { since: now, entered_at: now, source: "an operator".to_owned(), entered_by: actor.to_string(), reason };
        let removed = serde_json::to_string(&removed).map_err(|error| LedgerError::corrupt("suppressed", error))?;
        let mut done = Unsuppressed::Done;
        for (key, item) in keys.into_iter().filter_map(|key| Some((key.clone(), items.get(&key)?))) {
            if !self.take_off(key, item, &removed).await? {
                done = Unsuppressed::ChangedSince;
            }
        }
        Ok(done)
    }

    /// Takes every cause from an entry that is as it was read. False where it is not.
    async fn take_off(&self, key: Key, read: &Item, removed: &str) -> Result<bool, LedgerError> {
        let causes = Suppression::ALL.map(|why| format!("{CAUSE}{}", why.as_str()));
        let mut request = self.db.update_item().table_name(&self.table).set_key(Some(key.clone().into_item()));
        request = request
            .update_expression(format!("SET {REMOVED} = :removed REMOVE suppression, suppressed_at, broadcast_id, {}", causes.join(", ")));
        request = request.expression_attribute_values(":removed", s(removed));
        let mut conditions = Vec::new();
        for name in causes.iter().map(String::as_str).chain(["suppression", "suppressed_at"]) {
            match read.get(name) {
                Some(value) => {
                    conditions.push(format!("{name} = :{name}"));
                    request = request.expression_attribute_values(format!(":{name}"), value.clone());
                }
                None => conditions.push(format!("attribute_not_exists({name})")),
            }
        }
        let as_read = conditions.join(" AND ");
        match request.condition_expression(as_read).call().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
                // The first answer may have been lost.
                let now = self.get(key).await?;
                Ok(now.is_some_and(|item| item.get(REMOVED).and_then(|value| value.as_s().ok()).is_some_and(|last| last == removed)))
            }
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}

/// What became of an order to take an address from the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsuppressed {
    Done,
    NotOnIt,
    /// Somebody has entered it since it was read, and that stays.
    ChangedSince,
}

impl List {
    /// Whether nothing has changed that its readers count by. When a plain digest was written last tells nothing more.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let of = |list: &Self| (list.key, list.is_empty, list.has_plain);
        of(self) == of(other) && self.entered == other.entered
    }

    /// Where entries of an address may lie.
    pub(crate) fn keys(&self, address: &Address) -> Vec<Key> {
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
