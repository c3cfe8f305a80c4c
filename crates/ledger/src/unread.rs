//! Stopping a broadcast whose item can't be read: the one write that needs nothing of it but the name of its state.
//!
//! What it must never do: write over a state from which nothing is granted any more, or call anything proved.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::AwsCall;
use issei_schema::{Actor, BroadcastId, ProviderName, without_addresses};

use crate::item::{Item, Key, s};
use crate::{BroadcastState, Ledger, LedgerError};

/// As much of a reason as an entry of this kind keeps.
const REASON_CHARACTERS: usize = 1_000;

/// What is known of a broadcast whose item can't be read, after it was to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The name of its state, whatever that says; nothing where it has none.
    pub state: Option<String>,
    /// Who carries it; nothing where that can't be read either.
    pub provider: Option<ProviderName>,
}

impl Unread {
    fn of(item: &Item) -> Self {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        let provider = match item.get("provider") {
            None => Some(ProviderName::default()),
            Some(_) => text("provider").and_then(|name| name.parse().ok()),
        };
        Self { state: text("broadcast_state").map(|state| without_addresses(state)), provider }
    }

    /// Says whether nothing is granted of it any more. It may be `stopping` since before.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.state.as_deref() == Some(BroadcastState::Stopping.as_str())
    }
}

impl Ledger {
    /// Ends a broadcast whose item can't be read, as far as that goes: nothing of it is granted from then on. Its audit trail
    /// can't be added to; who did it and why stands beside it, for whoever mends the item.
    pub async fn end_unread(&self, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Unread, LedgerError> {
        let reason: String = reason.chars().take(REASON_CHARACTERS).collect();
        let by = format!("{:.0} by {actor}: {reason}", self.clock.wall());
        let mut update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression(
                "SET broadcast_state = :stopping, stopped_unread = :by, stopped_unread_from = if_not_exists(broadcast_state, :none)",
            )
            // Every state but those from which nothing is ever granted: what is frozen still is sent once that is done, what is paused
            // or holds once somebody says so, and of a word that this build does not know nobody knows.
            .condition_expression(
                "attribute_exists(pk) AND broadcast_state <> :stopping AND broadcast_state <> :stopped AND broadcast_state <> :complete",
            )
            .expression_attribute_values(":by", s(by))
            .expression_attribute_values(":none", s("none"))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for state in [BroadcastState::Stopping, BroadcastState::Stopped, BroadcastState::Complete] {
            update = update.expression_attribute_values(format!(":{state}"), s(state.as_str()));
        }
        match update.call().await {
            Ok(answer) => Ok(Unread::of(&answer.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let Some(item) = &refused.item else {
                        return Err(LedgerError::NoBroadcast { id: id.to_string(), table: self.table.clone() });
                    };
                    Ok(Unread::of(item))
                }
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }
}
