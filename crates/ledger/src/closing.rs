//! Closed for new broadcasts: what `stop --all` writes before it stops those that are under way, so that
//! none can begin behind its back.
//!
//! The check stands in the transaction that registers a command, so either the command is registered
//! before, and is then among the open broadcasts that are stopped, or it is refused.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};
use issei_schema::Actor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Key, read};
use crate::{Ledger, LedgerError};

/// Who closed the ledger for new broadcasts, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    pub closed_at: Timestamp,
    pub closed_by: String,
    pub reason: String,
}

impl Ledger {
    /// Closes the ledger for new broadcasts. Where it is closed already, the first closing stays.
    pub async fn close(&self, actor: &Actor, reason: &str) -> Result<Closing, LedgerError> {
        let closing = Closing { closed_at: self.clock.wall(), closed_by: actor.to_string(), reason: reason.to_owned() };
        let mut item: Item = serde_dynamo::to_item(&closing).map_err(|error| LedgerError::corrupt("closing", error))?;
        item.extend(Key::closing().into_item());
        let put = self.db.put_item().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => Ok(closing),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                self.closing().await?.ok_or_else(|| LedgerError::call("PutItem")(error))
            }
            Err(error) => Err(LedgerError::call("PutItem")(error)),
        }
    }

    /// Opens it again. Gives the closing that it ended.
    pub async fn open(&self) -> Result<Option<Closing>, LedgerError> {
        let closing = self.closing().await?;
        let delete = self.db.delete_item().table_name(&self.table).set_key(Some(Key::closing().into_item()));
        delete.send().await.map_err(LedgerError::call("DeleteItem"))?;
        Ok(closing)
    }

    /// The closing in force.
    pub async fn closing(&self) -> Result<Option<Closing>, LedgerError> {
        self.get(Key::closing()).await?.map(read).transpose()
    }

    /// For a transaction that must not go through while the ledger is closed.
    pub(crate) fn unless_closed(&self) -> Result<TransactWriteItem, LedgerError> {
        let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(Key::closing().into_item()));
        let check = check.condition_expression("attribute_not_exists(pk)").build();
        check
            .map(|check| TransactWriteItem::builder().condition_check(check).build())
            .map_err(|error| LedgerError::corrupt("closing", error))
    }
}
