//! What a producer says of the source that it froze an audience from: how far it has got, what it read,
//! and what keeps it from going on. None of it may hold an address or another value of a row.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::BroadcastId;
use jiff::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::item::{Key, s};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError, ReasonCode};

/// The key after which enumeration goes on.
///
/// It stands in the item as binary, and only while the audience is being frozen. A build that pages by the
/// order of the customer's database wants text there and can't read the item, so it can't go on in its
/// own order from where this one stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastKey {
    InBytes(String),
    /// Written by such a build: what comes after it only that database's rules say.
    InDatabase,
}

impl Serialize for LastKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::InBytes(key) => serializer.serialize_bytes(key.as_bytes()),
            Self::InDatabase => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for LastKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = LastKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<LastKey, E> {
                String::from_utf8(bytes.to_vec()).map(LastKey::InBytes).map_err(|_| E::custom("the last key is not UTF-8"))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<LastKey, E> {
                Ok(LastKey::InDatabase)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// What one reading of the source came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Tells one reading from the next.
    pub id: String,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that the source itself counted in the same snapshot.
    pub counted: u64,
    /// Rows whose key is null.
    pub without_key: u64,
    /// Rows whose key another row had before them.
    pub repeated: u64,
    /// Keys whose rows do not all say the same: of each the least row that can be mailed is; nothing where an older build
    /// read, which took the row that came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differing: Option<u64>,
    /// Rows with a key whose address had invisible white space around it, which is left out; nothing where an older
    /// build read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trimmed: Option<u64>,
    /// Whether each address is mailed once, under the first of its keys; nothing where an older build read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_addresses: Option<bool>,
    /// The settings of the audience that decide whose rows are read and what becomes of them, each with a digest; nothing where
    /// an older build read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<BTreeMap<String, String>>,
    /// Rows of those who were asked whether they want marketing and do not, which are none of the audience's; nothing where nobody
    /// was asked, that is not known, or an older build read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// Of the file that was read; nothing where it was no file, or an older build read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many readings pages were frozen from: more than one where a producer died, or had a rival.
    pub readings: u64,
}

impl Reading {
    /// This reading, as one of those that the broadcast's pages come from.
    pub(crate) fn following(&self, broadcast: &Broadcast) -> Self {
        let readings = match &broadcast.reading {
            None => 1,
            Some(last) if last.id == self.id => last.readings,
            Some(last) => last.readings + 1,
        };
        // Once addresses were the users they are, whatever a later reader's configuration says.
        let before = broadcast.reading.as_ref().and_then(|last| last.unique_addresses);
        let unique_addresses = if before == Some(true) { before } else { self.unique_addresses };
        Self { unique_addresses, readings, ..self.clone() }
    }

    /// The value of the reading that found the end of the audience, which may have no page of its own.
    pub(crate) fn last_of(&self, broadcast: &Broadcast) -> Result<AttributeValue, LedgerError> {
        serde_dynamo::to_attribute_value(self.following(broadcast)).map_err(|error| LedgerError::corrupt("reading", error))
    }
}

/// Why the audience of a broadcast is not frozen yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUp {
    pub since: Timestamp,
    pub reason: String,
    /// Nothing where an older build noted it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ReasonCode::leniently")]
    pub code: Option<ReasonCode>,
}

impl Ledger {
    /// Notes why the audience can't be frozen for now. It is there until a page is frozen, or enumeration
    /// ends. The reason must name no value of a row.
    pub async fn hold_up(&self, broadcast: &Broadcast, code: ReasonCode, reason: &str) -> Result<(), LedgerError> {
        if broadcast.held_up.as_ref().is_some_and(|held_up| held_up.reason == reason) {
            return Ok(());
        }
        let held_up = HeldUp { since: self.clock.wall(), reason: reason.to_owned(), code: Some(code) };
        let value: AttributeValue = serde_dynamo::to_attribute_value(held_up).map_err(|error| LedgerError::corrupt("held_up", error))?;
        self.set_held_up(&broadcast.broadcast_id, value).await
    }

    async fn set_held_up(&self, id: &BroadcastId, value: AttributeValue) -> Result<(), LedgerError> {
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET held_up = :held_up")
            .condition_expression("broadcast_state = :enumerating")
            .expression_attribute_values(":held_up", value)
            .expression_attribute_values(":enumerating", s(BroadcastState::Enumerating.as_str()));
        match request.call().await {
            Ok(_) => Ok(()),
            // It enumerates no longer, so nothing holds it up.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Item {
        #[serde(default)]
        last_key: Option<LastKey>,
    }

    #[derive(Debug, Deserialize)]
    struct OlderItem {
        #[expect(dead_code, reason = "that it can't be read is what counts")]
        last_key: Option<String>,
    }

    #[test]
    fn a_key_in_bytes_is_read_as_it_was_written_and_not_by_an_older_build() {
        for last_key in [None, Some(LastKey::InBytes("10\u{1f600}".to_owned())), Some(LastKey::InBytes(String::new()))] {
            let item: crate::item::Item = serde_dynamo::to_item(Item { last_key: last_key.clone() }).unwrap();
            assert_eq!(serde_dynamo::from_item::<_, Item>(item.clone()).unwrap().last_key, last_key);
            assert_eq!(serde_dynamo::from_item::<_, OlderItem>(item).is_err(), last_key.is_some());
        }
    }

    #[test]
    fn a_key_in_the_order_of_a_database_is_known_for_what_it_is() {
        let item: crate::item::Item = [("last_key".to_owned(), s("user5"))].into();
        assert_eq!(serde_dynamo::from_item::<_, Item>(item).unwrap().last_key, Some(LastKey::InDatabase));
    }
}
