//! The one way from in doubt back to retryable: evidence that the provider did not accept.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use issei_schema::BroadcastId;

use crate::item::{Key, n, s};
use crate::{Chunk, Ledger, LedgerError, Outcomes};

impl Ledger {
    /// Makes positions retryable of whom it is proved that they were not accepted, unless the chunk
    /// is no longer as it was `seen`. Says whether it was written.
    ///
    /// The caller has waited until no request under the old claim can still be accepted. The old
    /// owner's token goes, so that its confirmation, should it come at last, changes nothing.
    pub async fn reopen(&self, id: &BroadcastId, seq: u32, seen: &Chunk, unsent: &[usize], token: &str) -> Result<bool, LedgerError> {
        let (state, attempt, before) = match seen {
            Chunk::Absent => return Ok(false),
            Chunk::Claimed { attempt, outcomes, .. } => ("claimed", attempt, outcomes),
            Chunk::Confirmed { attempt, outcomes, .. } => ("confirmed", attempt, outcomes),
        };
        let after: Outcomes = before.disproved(unsent);
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::chunk(id, seq).into_item()))
            .update_expression("SET chunk_state = :confirmed, owner_token = :token, outcomes = :after, reopened_at = :now")
            .condition_expression("chunk_state = :state AND attempt = :attempt AND outcomes = :before")
            .expression_attribute_values(":confirmed", s("confirmed"))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":after", s(after))
            .expression_attribute_values(":now", n(self.clock.wall().as_millisecond()))
            .expression_attribute_values(":state", s(state))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":before", s(before.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    // The SDK's retry of a write whose answer was lost meets our own.
                    let item = self.refused_by(failed.item.clone(), Key::chunk(id, seq)).await?;
                    Ok(item.and_then(|item| item.get("owner_token")?.as_s().ok().map(|owner| owner == token)).unwrap_or(false))
                }
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }
}
