//! The one way from in doubt back to retryable: evidence that the provider did not accept.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use issei_aws::AnsweredAt;

use crate::item::{Key, n, s};
use crate::seal::Sealed;
use crate::{Broadcast, BroadcastState, Chunk, Ledger, LedgerError, Outcomes};

/// How often a transaction that met another is tried, and the first pause.
const CONFLICTS_MAX: u32 = 6;
const AFTER_A_CONFLICT: Duration = Duration::from_millis(50);

impl Ledger {
    /// Makes positions retryable of whom it is proved that they were not accepted, and gives their permits
    /// back, unless the chunk is no longer as it was `seen` or the broadcast no longer runs in this epoch.
    /// Says whether it was written: both at once or neither, however late it lands, so that nothing is opened
    /// in a broadcast that is over.
    ///
    /// The caller has waited until no request under the old claim can still be accepted. The old
    /// owner's token goes, so that its confirmation, should it come at last, changes nothing.
    pub async fn reopen(&self, broadcast: &Broadcast, seq: u32, seen: &Chunk, unsent: &[usize], token: &str) -> Result<bool, LedgerError> {
        let (id, key) = (&broadcast.broadcast_id, Key::chunk(&broadcast.placed(), seq));
        let (state, page, attempt, before, message_ids) = match seen {
            Chunk::Absent => return Ok(false),
            Chunk::Claimed { page, attempt, outcomes, message_ids, .. } => ("claimed", *page, *attempt, outcomes, message_ids),
            Chunk::Confirmed { page, attempt, outcomes, message_ids, .. } => ("confirmed", *page, *attempt, outcomes, message_ids),
        };
        let after: Outcomes = before.disproved(unsent);
        let sealed = Sealed { id, seq, page, attempt, owner: token, state: "confirmed", outcomes: &after, message_ids, request: None };
        let mut chunk = Update::builder().set_key(Some(key.clone().into_item()));
        let set = "SET chunk_state = :confirmed, owner_token = :token, outcomes = :after, reopened_at = :now";
        // What evidence has opened is sent to again, and nobody asks about it any more.
        chunk = match &broadcast.message_key {
            Some(key) => {
                let set = format!("{set}, seal = :seal REMOVE keyed_request, keyed_parts");
                chunk.update_expression(set).expression_attribute_values(":seal", s(sealed.seal(key)))
            }
            None => chunk.update_expression(set),
        };
        let chunk = chunk
            .condition_expression("chunk_state = :state AND attempt = :attempt AND outcomes = :before")
            .expression_attribute_values(":confirmed", s("confirmed"))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":after", s(after.clone()))
            .expression_attribute_values(":now", n(self.clock.wall().as_millisecond()))
            .expression_attribute_values(":state", s(state))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":before", s(before.clone()));
        let permits = Update::builder()
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET remaining = remaining + :n, granted = granted - :n ADD reopenings :one")
            .condition_expression("broadcast_state = :running AND epoch = :epoch AND granted >= :n")
            .expression_attribute_values(":n", n(unsent.len()))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":running", s(BroadcastState::Running.as_str()))
            .expression_attribute_values(":epoch", n(broadcast.epoch));
        if self.write_both([chunk, permits], token).await? {
            return Ok(true);
        }
        // An endpoint that remembers no tokens meets our own write when an answer was lost.
        let item = self.get(key).await?;
        Ok(item.and_then(|item| item.get("owner_token")?.as_s().ok().map(|owner| owner == token)).unwrap_or(false))
    }

    /// Writes two items, or neither where one's condition does not hold, and says which. The same token is the
    /// same write, once (API reference, `ClientRequestToken`).
    pub(crate) async fn write_both(&self, updates: [UpdateBuilder; 2], token: &str) -> Result<bool, LedgerError> {
        self.write_both_at(updates, token, &AnsweredAt::default()).await
    }

    /// The same, and notes when AWS answered.
    pub(crate) async fn write_both_at(&self, updates: [UpdateBuilder; 2], token: &str, answered: &AnsweredAt) -> Result<bool, LedgerError> {
        let writes =
            updates.map(|update| update.table_name(&self.table).build().map(|update| TransactWriteItem::builder().update(update).build()));
        let writes = writes.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| LedgerError::corrupt("chunk", error))?;
        let request = self.db.transact_write_items().set_transact_items(Some(writes)).client_request_token(token);
        let mut conflicts = 0;
        loop {
            let Err(error) = request.clone().customize().interceptor(answered.clone()).send().await else { return Ok(true) };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
                return Err(LedgerError::call("TransactWriteItems")(error));
            };
            if cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                return Ok(false);
            }
            // Somebody else wrote to one of them in the same moment (API reference, `TransactionConflict`).
            conflicts += 1;
            if conflicts == CONFLICTS_MAX {
                return Err(LedgerError::call("TransactWriteItems")(error));
            }
            tokio::time::sleep(AFTER_A_CONFLICT * conflicts).await;
        }
    }
}
