//! The confirmation of a claim, after its send: what became of each recipient.
//!
//! What it must never do: write into a chunk that is not in this claim's name, or re-open a recipient so late that somebody may have
//! read the claim as in doubt.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use issei_aws::AnsweredAt;
use jiff::Timestamp;

use super::{Claim, with_seal};
use crate::item::{Key, s};
use crate::{Chunk, Keyed, Ledger, LedgerError, Outcome, Outcomes, message_ids};

/// What became of a confirmation.
#[derive(Debug)]
pub enum Confirmed {
    /// The outcomes are in the ledger.
    Written(Outcomes),
    /// The chunk is not in our name. No code path leads here; it is reported and nothing is sent.
    NotOurs(Chunk),
}

impl Claim {
    /// A rejection that comes too late may meet somebody who has already read the claim as in doubt
    /// and let the message go; re-opening it would then lose the recipient (counterexample V16).
    fn retryable_is_in_doubt(&mut self) {
        let late: Vec<usize> = self.outcomes.positions(Outcome::Retryable).collect();
        let mut outcomes = self.outcomes.reopened();
        late.into_iter().for_each(|at| outcomes.settle(at, Outcome::InDoubt));
        self.outcomes = outcomes;
    }

    /// Says whether the lease was over when AWS answered at `now`, by its own clock. That tells where every
    /// clock of this machine was held for a while.
    fn was_over(&self, now: Option<Timestamp>) -> bool {
        let passed = now.zip(self.answered_at).and_then(|(now, then)| Duration::try_from(now.duration_since(then)).ok());
        passed.is_some_and(|passed| passed >= self.life)
    }
}

impl Ledger {
    /// Writes down what became of a claim. Safe to repeat until it succeeds.
    pub async fn confirm(&self, claim: &mut Claim) -> Result<Confirmed, LedgerError> {
        if claim.lease.is_over(self.clock.reading()) {
            claim.retryable_is_in_doubt();
        }
        let answered = AnsweredAt::default();
        let written = match self.write_confirmation(claim, "claimed", &answered).await? {
            Confirmed::Written(outcomes) => outcomes,
            other @ Confirmed::NotOurs(_) => return Ok(other),
        };
        if claim.was_over(answered.get()) {
            claim.retryable_is_in_doubt();
        }
        if written.count(Outcome::Retryable) == 0 || claim.outcomes.count(Outcome::Retryable) > 0 {
            return Ok(Confirmed::Written(written));
        }
        // The answer tells that it came too late. Where somebody has claimed it again meanwhile, those who
        // were called retryable are that one's.
        self.write_confirmation(claim, "confirmed", &answered).await?;
        Ok(Confirmed::Written(claim.outcomes.clone()))
    }

    /// The confirmation, of a chunk that stands in this state under the claim's token.
    async fn write_confirmation(&self, claim: &Claim, state: &str, answered: &AnsweredAt) -> Result<Confirmed, LedgerError> {
        let key = Key::chunk(&claim.of, claim.seq);
        let message_ids = claim.message_ids.join(" ");
        let kept = claim.request.as_ref();
        let (set_seal, seal) = with_seal(&claim.sealed("confirmed", &claim.outcomes, &message_ids, kept), claim.key.as_ref());
        let stored = kept.filter(|_| claim.rewrites_request).map(Keyed::stored).transpose()?;
        let set_request = match &stored {
            Some((there, beside, _)) => format!(", {there} = :request REMOVE {beside}"),
            None if kept.is_some() => String::new(),
            None => " REMOVE keyed_request, keyed_parts".to_owned(),
        };
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_item()))
            .update_expression(format!("SET chunk_state = :confirmed, outcomes = :outcomes, message_ids = :ids{set_seal}{set_request}"))
            .condition_expression("owner_token = :owner AND chunk_state = :state")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":confirmed", s("confirmed"))
            .expression_attribute_values(":state", s(state))
            .expression_attribute_values(":owner", s(&claim.owner))
            .expression_attribute_values(":outcomes", s(claim.outcomes.clone()))
            .expression_attribute_values(":ids", message_ids::attribute(&message_ids, claim.of.packs_message_ids)?);
        if let Some(seal) = seal {
            request = request.expression_attribute_values(":seal", seal);
        }
        if let Some((_, _, kept)) = stored {
            request = request.expression_attribute_values(":request", kept);
        }
        match request.customize().interceptor(answered.clone()).send().await {
            Ok(_) => Ok(Confirmed::Written(claim.outcomes.clone())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let item = self.refused_by(failed.item.clone(), key).await?;
                    let token = item.as_ref().and_then(|item| item.get("owner_token")).and_then(|token| token.as_s().ok()).cloned();
                    match Chunk::read(item)? {
                        Chunk::Confirmed { outcomes, .. } if token.as_ref() == Some(&claim.owner) => Ok(Confirmed::Written(outcomes)),
                        other => Ok(Confirmed::NotOurs(other)),
                    }
                }
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }
}
