//! Which broadcast is for those whom another has missed: one, so that nobody is among the missed of two.
//!
//! What it must never do: let two be noted that may both send.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use issei_schema::BroadcastId;

use crate::item::{Key, s};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError};

impl Ledger {
    /// The broadcast that is noted for those whom this one has missed, unless that is `new`, or can never send to anybody any
    /// more.
    pub async fn resent_by_another(&self, broadcast: &Broadcast, new: &BroadcastId) -> Result<Option<BroadcastId>, LedgerError> {
        let Some(noted) = broadcast.resent_as.as_ref().filter(|noted| *noted != new) else { return Ok(None) };
        let never_sends = self
            .find_broadcast(noted)
            .await?
            .is_some_and(|noted| noted.broadcast_state == BroadcastState::Stopped && noted.granted == 0 && noted.grant_count == 0);
        Ok((!never_sends).then(|| noted.clone()))
    }

    /// Notes that `new` is for those whom this broadcast has missed, where no other is noted but the one that was seen.
    /// Says whether it is.
    pub async fn note_resend(&self, broadcast: &Broadcast, new: &BroadcastId) -> Result<bool, LedgerError> {
        let of = broadcast.registration();
        let seen = if broadcast.resent_as.is_some() { "resent_as = :seen" } else { "attribute_not_exists(resent_as)" };
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(&of.id).into_item()))
            .update_expression("SET resent_as = :new")
            .condition_expression(of.condition(&format!("({seen} OR resent_as = :new)")))
            .expression_attribute_values(":new", s(new.as_str()));
        if let Some(seen) = &broadcast.resent_as {
            request = request.expression_attribute_values(":seen", s(seen.as_str()));
        }
        for (name, value) in of.values() {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => Ok(false),
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}
