//! A request that the provider has refused as a whole, divided: written down before any of its parts leaves, so that whoever
//! comes later asks about each under the same key.
//!
//! What this must never do: let a part leave that the ledger does not name, write for a claim that is somebody else's by now, or
//! leave the chunk as somebody has read it who would ask about the whole.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{Claim, with_seal};
use crate::item::{Key, s};
use crate::{Divide, Ledger, LedgerError, message_ids};

impl Ledger {
    /// Divides the part of this key, while the claim is ours, and gives the keys of what may leave then. `owner` is a fresh token,
    /// `body` gives the digest of the body for some of its recipients. Where it can't be written, and the error says so, nothing of
    /// it may leave.
    pub async fn divide(
        &self,
        claim: &mut Claim,
        owner: String,
        of: &str,
        how: Divide,
        body: impl Fn(&[usize]) -> String,
    ) -> Result<Vec<String>, LedgerError> {
        let (Some(request), Some(key)) = (&claim.request, claim.key) else { return Ok(Vec::new()) };
        let (divided, next) = request.divided(of, how, &key, &body);
        let (there, beside, value) = divided.stored()?;
        // It may stand there though the answer is lost; what is written last says which it is.
        claim.rewrites_request = true;
        let before = std::mem::replace(&mut claim.owner, owner);
        let (outcomes, message_ids) = &claim.standing;
        let (set_seal, seal) = with_seal(&claim.sealed("claimed", outcomes, message_ids, Some(&divided)), Some(&key));
        let item_key = Key::chunk(&claim.of, claim.seq);
        let mut update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item_key.clone().into_item()))
            .update_expression(format!("SET owner_token = :owner, message_ids = :ids, {there} = :request{set_seal} REMOVE {beside}"))
            .condition_expression("owner_token = :before AND chunk_state = :claimed")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":owner", s(&claim.owner))
            .expression_attribute_values(":before", s(&before))
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":ids", message_ids::attribute(message_ids, claim.of.packs_message_ids)?)
            .expression_attribute_values(":request", value);
        if let Some(seal) = seal {
            update = update.expression_attribute_values(":seal", seal);
        }
        if let Err(error) = update.send().await {
            // The SDK's retry of a write whose answer was lost meets our own token.
            let there = match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => self.refused_by(failed.item.clone(), item_key).await,
                _ => self.get(item_key).await,
            };
            let is_ours = |item: crate::item::Item| item.get("owner_token").and_then(|token| token.as_s().ok()) == Some(&claim.owner);
            if !there.ok().flatten().is_some_and(is_ours) {
                claim.owner = before;
                return Err(LedgerError::call("UpdateItem")(error));
            }
        }
        claim.request = Some(divided);
        Ok(next)
    }
}
