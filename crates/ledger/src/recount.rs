//! Recounting the budget from the claims, which brings back permits that a crash lost.

use issei_aws::AwsCall;

use crate::item::{Key, n, read, s};
use crate::transition::as_reopened;
use crate::{Broadcast, BroadcastState, Ledger, LedgerError, Tally};

impl Ledger {
    /// Sets what remains of the budget to what the claims leave of it, and gives the broadcast as
    /// it is then.
    ///
    /// The caller has seen `broadcast` unchanged for [`issei_aws::Timing::recount_after`] of the widest timeouts
    /// that anybody sends with, on its own monotonic clock, which at worst stands still and makes it wait longer.
    /// So every permit granted has expired, and no claim under one can still arrive; a grant or a reopening in between makes this do nothing. The epoch grows, so that a
    /// consumer that gives back permits of before, which are counted here already, is refused.
    pub async fn recount(&self, broadcast: &Broadcast) -> Result<Broadcast, LedgerError> {
        let id = &broadcast.broadcast_id;
        let spent = self.tally(broadcast).await?.spent();
        let allowed = broadcast.recipients.saturating_sub(broadcast.withheld);
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET remaining = :remaining, granted = :spent, grant_count = grant_count + :one, epoch = epoch + :one")
            .condition_expression(as_reopened("broadcast_state = :running AND epoch = :epoch AND grant_count = :seen"))
            .expression_attribute_values(":reopenings", n(broadcast.reopenings))
            .expression_attribute_values(":remaining", n(allowed.saturating_sub(spent)))
            .expression_attribute_values(":spent", n(spent))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":running", s(BroadcastState::Running.as_str()))
            .expression_attribute_values(":epoch", n(broadcast.epoch))
            .expression_attribute_values(":seen", n(broadcast.grant_count))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
        match request.call().await {
            Ok(answer) => read(answer.attributes.unwrap_or_default()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception) =>
            {
                self.broadcast(id).await
            }
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}

impl Tally {
    /// Recipients whose permits are used up for good: whatever is not surely unsent.
    fn spent(&self) -> u64 {
        let totals = self.totals();
        totals.accepted + totals.rejected + totals.in_doubt - self.unacknowledged
    }
}
