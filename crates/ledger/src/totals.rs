//! The exact counts of a broadcast that is over.
//!
//! What is known of one that is not over is progress, and is never written here.

use issei_aws::AwsCall;
use issei_schema::BroadcastId;
use serde::{Deserialize, Serialize};

use crate::item::{Key, s};
use crate::{BroadcastState, Fingerprint, Ledger, LedgerError, Tally};

/// Exact counts of recipients by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub accepted: u64,
    pub rejected: u64,
    pub retryable: u64,
    pub in_doubt: u64,
    /// From here on by the provider's events, as far as they have come.
    #[serde(default)]
    pub delivered: u64,
    #[serde(default)]
    pub bounced: u64,
    #[serde(default)]
    pub complained: u64,
    /// Accepted calls whose template could not be rendered: nothing was sent.
    #[serde(default)]
    pub not_rendered: u64,
    /// Accepted, and not sent by SES since the address is on its suppression list.
    #[serde(default)]
    pub suppressed: u64,
    /// Whose mail server did not take it at once.
    #[serde(default)]
    pub delayed: u64,
    /// Accepted, and not sent by the provider all the same, for what it found in them (SES's `Reject`). Nothing where an older build
    /// counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<u64>,
    /// Of those rejected, to whom nothing was sent since they came on the list of those that are not mailed. Nothing where an older
    /// build counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spared: Option<u64>,
    /// Of all events. Nothing where an older build counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_fingerprint: Option<Fingerprint>,
    /// Of all chunks, where none was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks_fingerprint: Option<Fingerprint>,
}

impl Totals {
    /// Whom the provider refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.rejected.saturating_sub(self.spared.unwrap_or(0))
    }
}

impl Ledger {
    /// Writes the totals of a broadcast that is over anew, after events have told more.
    pub async fn retotal(&self, id: &BroadcastId, tally: &Tally) -> Result<(), LedgerError> {
        let totals = serde_dynamo::to_attribute_value(tally.totals()).map_err(|error| LedgerError::corrupt("totals", error))?;
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET totals = :totals")
            .condition_expression("broadcast_state = :complete OR broadcast_state = :stopped")
            .expression_attribute_values(":totals", totals)
            .expression_attribute_values(":complete", s(BroadcastState::Complete.as_str()))
            .expression_attribute_values(":stopped", s(BroadcastState::Stopped.as_str()));
        match request.call().await {
            Ok(_) => Ok(()),
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
