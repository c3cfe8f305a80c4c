//! Who had SES shut last, by force: what `stop --hard` writes before it shuts SES, so that whoever opens at the same moment learns
//! of it. A stop of one broadcast closes nothing for others, and would leave nothing to be seen.
//!
//! It is an order and no state: it stays when SES is opened, and says nothing of whether SES may send. What it must never do: keep
//! anything from being sent or stopped.

use issei_aws::AwsCall;
use issei_schema::{Actor, without_addresses};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Key, read};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Ledger, LedgerError};

/// The last order to shut SES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shut {
    pub shut_at: Timestamp,
    pub shut_by: String,
    pub reason: String,
    /// Tells it from every other.
    shut_token: String,
}

impl Ledger {
    /// Writes down that SES is to be shut. Whoever does so shuts it after that, so that an order to open that was given before finds
    /// this one, or comes before it.
    pub async fn order_to_shut(&self, actor: &Actor, reason: &str) -> Result<(), LedgerError> {
        let reason = cut(&without_addresses(reason), REASON_BYTES_MAX).to_owned();
        let order = Shut { shut_at: self.clock.wall(), shut_by: actor.to_string(), reason, shut_token: self.dice.token() };
        let mut item: Item = serde_dynamo::to_item(&order).map_err(|error| LedgerError::corrupt("shut", error))?;
        item.extend(Key::shut().into_item());
        let put = self.db.put_item().table_name(&self.table).set_item(Some(item));
        put.call().await.map_err(LedgerError::call("PutItem"))?;
        Ok(())
    }

    /// The last order to shut SES, whether or not anybody has opened it since.
    pub async fn last_shut(&self) -> Result<Option<Shut>, LedgerError> {
        self.get(Key::shut()).await?.map(read).transpose()
    }
}
