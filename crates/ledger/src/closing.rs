//! Closed for new broadcasts: what `stop --all` writes before it stops those that are under way, so that
//! none can begin behind its back.
//!
//! The check stands in the transaction that registers a command, so either the command is registered
//! before, and is then among the open broadcasts that are stopped, or it is refused.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use issei_schema::{Actor, without_addresses};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Key, OPENED, read, s};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Ledger, LedgerError};

/// Tells a closing from every other. A build before this one writes none.
const TOKEN: &str = "closing_token";
/// That closing, and no other.
const AS_READ: &str = "closed_at = :at AND closing_token = :token";
const AS_READ_WITHOUT_TOKEN: &str = "closed_at = :at AND attribute_not_exists(closing_token)";

/// Who closed the ledger for new broadcasts, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    pub closed_at: Timestamp,
    pub closed_by: String,
    pub reason: String,
}

/// Who opened it again, when and why; kept for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub opened_at: Timestamp,
    pub opened_by: String,
    pub reason: String,
    /// The closing that it ended; nothing where it was open already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Closing>,
}

/// What became of an order to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open, and was closed so before.
    Done(Opening),
    /// Somebody has closed it since it was read. Nothing was done.
    ClosedSince(Closing),
}

impl Ledger {
    /// Closes the ledger for new broadcasts. Where it is closed already, the first closing stays.
    pub async fn close(&self, actor: &Actor, reason: &str) -> Result<Closing, LedgerError> {
        let closing = Closing { closed_at: self.clock.wall(), closed_by: actor.to_string(), reason: reason.to_owned() };
        let mut item: Item = serde_dynamo::to_item(&closing).map_err(|error| LedgerError::corrupt("closing", error))?;
        item.insert(TOKEN.to_owned(), s(self.dice.token()));
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

    /// Opens it again, and writes down who did and why. It ends the closing that it has read: one that somebody has made since,
    /// while an answer was lost, stays.
    pub async fn open(&self, actor: &Actor, reason: &str) -> Result<Opened, LedgerError> {
        let (opened_at, token) = (self.clock.wall(), self.dice.token());
        let key = Key::opened(opened_at, &token);
        let reason = cut(&without_addresses(reason), REASON_BYTES_MAX).to_owned();
        loop {
            let found = self.get(Key::closing()).await?;
            let ended = found.clone().map(read::<Closing>).transpose()?;
            let opening = Opening { opened_at, opened_by: actor.to_string(), reason: reason.clone(), ended: ended.clone() };
            let mut item: Item = serde_dynamo::to_item(&opening).map_err(|error| LedgerError::corrupt(key.name(), error))?;
            item.extend(key.clone().into_item());
            let Some(found) = found else {
                let put = self.db.put_item().table_name(&self.table).set_item(Some(item));
                put.send().await.map_err(LedgerError::call("PutItem"))?;
                let since = self.closing().await?;
                return Ok(since.map_or(Opened::Done(opening), Opened::ClosedSince));
            };
            let record = Put::builder().table_name(&self.table).set_item(Some(item)).build();
            let record = record.map_err(|error| LedgerError::corrupt(key.name(), error))?;
            let writes = vec![self.ending(&found)?, TransactWriteItem::builder().put(record).build()];
            let Err(error) = self.db.transact_write_items().set_transact_items(Some(writes)).send().await else {
                return Ok(Opened::Done(opening));
            };
            // It may have been written all the same.
            if self.get(key.clone()).await?.is_some() {
                return Ok(Opened::Done(opening));
            }
            if !matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionCanceledException(_))) {
                return Err(LedgerError::call("TransactWriteItems")(error));
            }
            match self.closing().await? {
                // Nobody has closed it: something else was in the way.
                now if now == ended => return Err(LedgerError::call("TransactWriteItems")(error)),
                Some(since) => return Ok(Opened::ClosedSince(since)),
                // Somebody else has opened it, and that is written down too.
                None => {}
            }
        }
    }

    /// Takes this very closing away.
    fn ending(&self, closing: &Item) -> Result<TransactWriteItem, LedgerError> {
        let delete = Delete::builder().table_name(&self.table).set_key(Some(Key::closing().into_item()));
        let at = closing.get("closed_at").cloned().unwrap_or_else(|| s(""));
        let delete = delete.expression_attribute_values(":at", at);
        let delete = match closing.get(TOKEN) {
            Some(token) => delete.condition_expression(AS_READ).expression_attribute_values(":token", token.clone()),
            None => delete.condition_expression(AS_READ_WITHOUT_TOKEN),
        };
        let delete = delete.build().map_err(|error| LedgerError::corrupt("closing", error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Who opened it last, if anybody did.
    pub async fn last_opening(&self) -> Result<Option<Opening>, LedgerError> {
        let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :ledger AND begins_with(sk, :opened)");
        let query = query.expression_attribute_values(":ledger", s(Key::closing().pk)).expression_attribute_values(":opened", s(OPENED));
        let answer = query.scan_index_forward(false).limit(1).consistent_read(true).send().await.map_err(LedgerError::call("Query"))?;
        answer.items.unwrap_or_default().pop().map(read).transpose()
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
