//! Keys, and reading and writing of items.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use issei_aws::AwsCall;
use issei_schema::{AudienceName, BroadcastId, ProviderName};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{Ledger, LedgerError, Placed};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Where an item lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) fn broadcast(id: &BroadcastId) -> Self {
        Self { pk: format!("b#{id}"), sk: "broadcast".to_owned() }
    }

    pub(crate) fn command(id: &BroadcastId) -> Self {
        Self { pk: format!("b#{id}"), sk: "command".to_owned() }
    }

    /// `run` is the token of one run of a service.
    pub(crate) fn progress(id: &BroadcastId, run: &str) -> Self {
        Self { pk: format!("b#{id}"), sk: format!("{PROGRESS}{run}") }
    }

    /// Seconds of the epoch have ten digits until the year 2286, so they sort as text.
    pub(crate) fn moment(id: &BroadcastId, second: i64) -> Self {
        Self { pk: format!("b#{id}"), sk: format!("{MOMENT}{second:010}") }
    }

    /// An entry of the audit trail that the broadcast item has no room for any more.
    pub(crate) fn audit(id: &BroadcastId, seq: u64) -> Self {
        Self { pk: format!("b#{id}"), sk: format!("{AUDIT}{seq:08}") }
    }

    pub(crate) fn page(of: &Placed, seq: u32) -> Self {
        Self { pk: shard(&of.id, of.shards.of(seq)), sk: format!("page#{seq:08}") }
    }

    pub(crate) fn chunk(of: &Placed, seq: u32) -> Self {
        Self { pk: shard(&of.id, of.shards.of(seq)), sk: format!("chunk#{seq:08}") }
    }

    pub(crate) fn feedback(of: &Placed, seq: u32) -> Self {
        Self { pk: shard(&of.id, of.shards.of(seq)), sk: format!("feedback#{seq:08}") }
    }

    /// In a partition of its own, which a batch writes to once. No two batches have the same token.
    pub(crate) fn event_log(id: &BroadcastId, token: &str) -> Self {
        Self { pk: format!("b#{id}#events"), sk: format!("events#{token}") }
    }

    pub(crate) fn open(id: &BroadcastId) -> Self {
        Self { pk: OPEN.to_owned(), sk: id.to_string() }
    }

    /// For as long as the broadcast item: for ever.
    pub(crate) fn known(id: &BroadcastId) -> Self {
        Self { pk: KNOWN.to_owned(), sk: id.to_string() }
    }

    /// What is said to an audience. No audience has a `#` in its name.
    pub(crate) fn said(audience: &AudienceName, what: &str) -> Self {
        Self { pk: format!("said#{audience}"), sk: what.to_owned() }
    }

    /// For as long as pages: by then nothing more is told.
    pub(crate) fn told(id: &BroadcastId) -> Self {
        Self { pk: TOLD.to_owned(), sk: id.to_string() }
    }

    /// For as long as pages: its dead letter does not last longer.
    pub(crate) fn refused(id: &BroadcastId) -> Self {
        Self { pk: REFUSED.to_owned(), sk: id.to_string() }
    }

    /// What a provider has told of letters of other ledgers, by the name that the configuration has for it.
    pub(crate) fn of_others(provider: &ProviderName) -> Self {
        Self { pk: OTHERS.to_owned(), sk: provider.to_string() }
    }

    /// Calls that no provider has signed, by the name that the configuration has for the one that they speak for; all others are one.
    pub(crate) fn unsigned(provider: Option<&ProviderName>) -> Self {
        Self { pk: UNSIGNED.to_owned(), sk: provider.map_or_else(|| "?".to_owned(), ToString::to_string) }
    }

    pub(crate) fn lineage() -> Self {
        Self { pk: "ledger".to_owned(), sk: "lineage".to_owned() }
    }

    /// There while the ledger is closed for new broadcasts.
    pub(crate) fn closing() -> Self {
        Self { pk: "ledger".to_owned(), sk: "closing".to_owned() }
    }

    /// The last order to shut SES by force.
    pub(crate) fn shut() -> Self {
        Self { pk: "ledger".to_owned(), sk: "shut".to_owned() }
    }

    /// Who opened it again. Milliseconds of the epoch have thirteen digits until the year 2286, so they sort as text.
    pub(crate) fn opened(at: Timestamp, token: &str) -> Self {
        Self { pk: "ledger".to_owned(), sk: format!("{OPENED}{:013}#{token}", at.as_millisecond()) }
    }

    /// There once there is any suppressed address.
    pub(crate) fn suppressions() -> Self {
        Self { pk: "suppressed".to_owned(), sk: "any".to_owned() }
    }

    /// The key of the digests on the list.
    pub(crate) fn suppression_key() -> Self {
        Self { pk: "suppressed".to_owned(), sk: "key".to_owned() }
    }

    /// A batch of entries in the list. Milliseconds of the epoch have thirteen digits until the year 2286, so they sort as text.
    pub(crate) fn entered(at: Timestamp, token: &str) -> Self {
        Self { pk: Self::entered_in(Self::month(at)), sk: format!("{:013}#{token}", at.as_millisecond()) }
    }

    /// The partition of a month's entries.
    pub(crate) fn entered_in(month: i64) -> String {
        format!("entered#{month}")
    }

    /// Of 32 days each, counted from the epoch.
    pub(crate) fn month(at: Timestamp) -> i64 {
        Self::day(at).div_euclid(32)
    }

    /// Counted from the epoch.
    pub(crate) fn day(at: Timestamp) -> i64 {
        at.as_second().div_euclid(24 * 60 * 60)
    }

    /// `day` is counted from the epoch.
    pub(crate) fn service(day: i64, kind: &str, token: &str) -> Self {
        Self { pk: Self::services(day), sk: format!("{kind}#{token}") }
    }

    /// The partition of a day's heartbeats.
    pub(crate) fn services(day: i64) -> String {
        format!("services#{day}")
    }

    pub(crate) fn probe(token: &str) -> Self {
        Self { pk: "probe".to_owned(), sk: token.to_owned() }
    }

    /// By the version and the settings that were rehearsed.
    pub(crate) fn rehearsal(version: &str, settings: &str) -> Self {
        Self { pk: "rehearsal".to_owned(), sk: format!("{version}#{settings}") }
    }

    /// The account of SES has the name that it had before there were others.
    pub(crate) fn rate(provider: &ProviderName) -> Self {
        let sk = if *provider == ProviderName::default() { "rate".to_owned() } else { format!("rate#{provider}") };
        Self { pk: "account".to_owned(), sk }
    }

    pub(crate) fn into_item(self) -> Item {
        [("pk".to_owned(), s(self.pk)), ("sk".to_owned(), s(self.sk))].into()
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.pk, self.sk)
    }
}

/// The partitions that list broadcasts: those that are not over, all, those that were told about after they
/// were over, and the commands that were refused.
pub(crate) const OPEN: &str = "open";
pub(crate) const KNOWN: &str = "known";
pub(crate) const TOLD: &str = "told";
pub(crate) const REFUSED: &str = "refused";
/// The partition of what was told of letters of other ledgers.
pub(crate) const OTHERS: &str = "others";
/// The partition of calls that nobody has signed.
pub(crate) const UNSIGNED: &str = "unsigned";
/// What the sort keys of those begin with who opened the ledger again.
pub(crate) const OPENED: &str = "opened#";
/// What the sort keys of a broadcast's older audit entries begin with, those of its progress, and those of
/// its timeline.
pub(crate) const AUDIT: &str = "audit#";
pub(crate) const PROGRESS: &str = "progress#";
pub(crate) const MOMENT: &str = "timeline#";

pub(crate) fn shard(id: &BroadcastId, shard: u32) -> String {
    format!("b#{id}#{shard:02}")
}

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// Reads an item as `T`, leaving its keys aside.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, LedgerError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let name = format!("{} {}", text("pk"), text("sk"));
    serde_dynamo::from_item(item).map_err(|error| LedgerError::corrupt(name, error))
}

impl Ledger {
    /// A strongly consistent read.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, LedgerError> {
        let request = self.db.get_item().table_name(&self.table).set_key(Some(key.into_item())).consistent_read(true);
        Ok(request.call().await.map_err(LedgerError::call("GetItem"))?.item)
    }

    /// All of a partition that has a handful of items, strongly consistent.
    pub(crate) async fn few<T: DeserializeOwned>(&self, partition: &str) -> Result<Vec<T>, LedgerError> {
        let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :list");
        let query = query.expression_attribute_values(":list", s(partition)).consistent_read(true);
        let answer = query.call().await.map_err(LedgerError::call("Query"))?;
        answer.items.unwrap_or_default().into_iter().map(read).collect()
    }

    /// Reads up to a hundred items with one call, strongly consistent.
    pub(crate) async fn batch_get(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, LedgerError> {
        let mut found = HashMap::new();
        let mut request = KeysAndAttributes::builder().consistent_read(true);
        let is_empty = keys.is_empty();
        for key in keys {
            request = request.keys(key.into_item());
        }
        let mut pending = if is_empty { None } else { request.build().ok() };
        while let Some(request) = pending.take() {
            let answer =
                self.db.batch_get_item().request_items(&self.table, request).call().await.map_err(LedgerError::call("BatchGetItem"))?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
                found.insert(Key { pk: text("pk"), sk: text("sk") }, item);
            }
            // What DynamoDB left undone is asked for again (API reference, `BatchGetItem`).
            pending = answer.unprocessed_keys.unwrap_or_default().into_values().find(|keys| !keys.keys.is_empty());
            if pending.is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(found)
    }

    /// The item that a failed condition was checked against. Some endpoints leave it out of the
    /// answer; then it is read.
    pub(crate) async fn refused_by(&self, old: Option<Item>, key: Key) -> Result<Option<Item>, LedgerError> {
        match old {
            Some(item) if !item.is_empty() => Ok(Some(item)),
            _ => self.get(key).await,
        }
    }
}
