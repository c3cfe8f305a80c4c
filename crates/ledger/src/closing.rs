//! Closed for new broadcasts: what `stop --all` writes before it stops those that are under way, so that
//! none can begin behind its back.
//!
//! The check stands in the transaction that registers a command, so either the command is registered
//! before, and is then among the open broadcasts that are stopped, or it is refused.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use issei_aws::AwsCall;
use issei_schema::{Actor, without_addresses};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Key, OPENED, read, s};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Ledger, LedgerError};

/// Tells a closing from every other. A build before this one writes none.
const TOKEN: &str = "closing_token";

/// Who closed the ledger for new broadcasts, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    pub closed_at: Timestamp,
    pub closed_by: String,
    pub reason: String,
    /// The last who ordered the same while it was closed already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Box<ClosedAgain>>,
}

/// An order to close what was closed already. Whoever had read the closing before does not end it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAgain {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

impl Closing {
    /// When the last order came, from whom and why.
    #[must_use]
    pub fn last_order(&self) -> (Timestamp, &str, &str) {
        match self.again.as_deref() {
            Some(ClosedAgain { at, by, reason }) => (*at, by, reason),
            None => (self.closed_at, &self.closed_by, &self.reason),
        }
    }
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
    /// Somebody has closed it since it was read, and that is in force.
    ClosedSince(Closing),
}

impl Ledger {
    /// Closes the ledger for new broadcasts. Where it is closed already, the first closing stays, with this order beside it, so that
    /// an order to open that was given before this one ends nothing.
    pub async fn close(&self, actor: &Actor, reason: &str) -> Result<Closing, LedgerError> {
        let (at, by, token) = (self.clock.wall(), actor.to_string(), s(self.dice.token()));
        let closing = Closing { closed_at: at, closed_by: by.clone(), reason: reason.to_owned(), again: None };
        let mut item: Item = serde_dynamo::to_item(&closing).map_err(|error| LedgerError::corrupt("closing", error))?;
        item.insert(TOKEN.to_owned(), token.clone());
        item.extend(Key::closing().into_item());
        let again = ClosedAgain { at, by, reason: reason.to_owned() };
        let again: AttributeValue = serde_dynamo::to_attribute_value(&again).map_err(|error| LedgerError::corrupt("closing", error))?;
        loop {
            let put = self.db.put_item().table_name(&self.table).set_item(Some(item.clone()));
            let put = put.condition_expression("attribute_not_exists(pk)");
            let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match put.call().await {
                Ok(_) => return Ok(closing),
                Err(error) => match error.as_service_error() {
                    // The first answer was lost.
                    Some(PutItemError::ConditionalCheckFailedException(found))
                        if found.item.as_ref().is_some_and(|item| item.get(TOKEN) == Some(&token)) =>
                    {
                        return Ok(closing);
                    }
                    Some(PutItemError::ConditionalCheckFailedException(_)) => {}
                    _ => return Err(LedgerError::call("PutItem")(error)),
                },
            }
            let update = self.db.update_item().table_name(&self.table).set_key(Some(Key::closing().into_item()));
            // A further order makes it another closing.
            let update =
                update.update_expression("SET closing_token = :token, again = :again").condition_expression("attribute_exists(pk)");
            let update = update.expression_attribute_values(":token", token.clone()).expression_attribute_values(":again", again.clone());
            match update.return_values(ReturnValue::AllNew).call().await {
                Ok(answer) => return read(answer.attributes.unwrap_or_default()),
                // Somebody has opened it between the two.
                Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {}
                Err(error) => return Err(LedgerError::call("UpdateItem")(error)),
            }
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
                put.call().await.map_err(LedgerError::call("PutItem"))?;
                return self.opened(opening).await;
            };
            let record = Put::builder().table_name(&self.table).set_item(Some(item)).build();
            let record = record.map_err(|error| LedgerError::corrupt(key.name(), error))?;
            let writes = vec![self.ending(&found)?, TransactWriteItem::builder().put(record).build()];
            let Err(error) = self.db.transact_write_items().set_transact_items(Some(writes)).call().await else {
                return self.opened(opening).await;
            };
            // It may have been written all the same.
            if self.get(key.clone()).await?.is_some() {
                return self.opened(opening).await;
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

    /// The answer may have come late, by a repeat that did nothing: whoever has closed it meanwhile has the last word.
    async fn opened(&self, opening: Opening) -> Result<Opened, LedgerError> {
        Ok(self.closing().await?.map_or(Opened::Done(opening), Opened::ClosedSince))
    }

    /// Takes this very closing away.
    fn ending(&self, closing: &Item) -> Result<TransactWriteItem, LedgerError> {
        let delete = Delete::builder().table_name(&self.table).set_key(Some(Key::closing().into_item()));
        let at = closing.get("closed_at").cloned().unwrap_or_else(|| s(""));
        let delete = delete.expression_attribute_values(":at", at);
        let delete = match closing.get(TOKEN) {
            Some(token) => delete
                .condition_expression("closed_at = :at AND closing_token = :token")
                .expression_attribute_values(":token", token.clone()),
            None => delete.condition_expression("closed_at = :at AND attribute_not_exists(closing_token)"),
        };
        let delete = delete.build().map_err(|error| LedgerError::corrupt("closing", error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Who opened it last, if anybody did.
    pub async fn last_opening(&self) -> Result<Option<Opening>, LedgerError> {
        let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :ledger AND begins_with(sk, :opened)");
        let query = query.expression_attribute_values(":ledger", s(Key::closing().pk)).expression_attribute_values(":opened", s(OPENED));
        let answer = query.scan_index_forward(false).limit(1).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
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
