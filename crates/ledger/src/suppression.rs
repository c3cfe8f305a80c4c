//! issei's own list of addresses that no broadcast mails: those that bounced for good, and those
//! whose owners complained. Kept by digest, so that the list names nobody by itself.

use std::collections::HashMap;

use issei_schema::{Address, BroadcastId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Key, n, s};
use crate::{Ledger, LedgerError};

/// Why an address is not mailed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    Bounced,
    Complained,
}

impl Suppression {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }
}

/// Nobody has two mailboxes whose addresses differ in case alone, whatever RFC 5321 lets them.
fn key(address: &Address) -> Key {
    let digest = hex::encode(Sha256::digest(address.as_str().to_ascii_lowercase()));
    Key { pk: format!("suppressed#{}", digest.get(..2).unwrap_or_default()), sk: digest }
}

impl Ledger {
    /// Puts an address on the list. It stays there for ever.
    pub async fn suppress(&self, address: &Address, why: Suppression, id: &BroadcastId) -> Result<(), LedgerError> {
        // The marker first: whoever doesn't see it doesn't look for entries.
        for key in [Key::suppressions(), key(address)] {
            let request = self
                .db
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.into_item()))
                .update_expression("SET suppression = :why, broadcast_id = :id, suppressed_at = :now")
                .expression_attribute_values(":why", s(why.as_str()))
                .expression_attribute_values(":id", s(id.as_str()))
                .expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
            request.send().await.map_err(LedgerError::call("UpdateItem"))?;
        }
        Ok(())
    }

    /// Which of these addresses are on the list, by their places. One call where the list is empty,
    /// else one more for each hundred.
    pub async fn suppressed(&self, addresses: &[&Address]) -> Result<HashMap<usize, Suppression>, LedgerError> {
        if addresses.is_empty() || self.get(Key::suppressions()).await?.is_none() {
            return Ok(HashMap::new());
        }
        let mut found = HashMap::new();
        // `BatchGetItem` takes a hundred keys (API reference), none twice.
        for (number, some) in addresses.chunks(100).enumerate() {
            let keys: Vec<Key> = some.iter().map(|address| key(address)).collect();
            let mut distinct = keys.clone();
            distinct.sort_by(|a, b| a.sk.cmp(&b.sk));
            distinct.dedup();
            let items = self.batch_get(distinct).await?;
            for (at, key) in keys.iter().enumerate() {
                let why = items.get(key).and_then(|item| item.get("suppression")?.as_s().ok());
                let why = why.map(|why| if why == "complained" { Suppression::Complained } else { Suppression::Bounced });
                if let Some(why) = why {
                    found.insert(number * 100 + at, why);
                }
            }
        }
        Ok(found)
    }
}
