//! Asking again: the one repeat of a request that there is, under the key of the first, so that the provider's answer
//! ends a doubt and nobody is sent to a second time.
//!
//! What this must never do: let a request be repeated in a broadcast that does not run, of a chunk that is not as it
//! was seen, or under another key. It is claim and permission in one, and takes no permit: those who are asked about
//! have theirs spent.

use std::time::Duration;

use aws_sdk_dynamodb::types::Update;
use issei_aws::AnsweredAt;
use issei_clock::Deadline;
use issei_schema::ChunkMessage;

use crate::item::{Key, n, s};
use crate::seal::Sealed;
use crate::{BroadcastState, Chunk, Claim, Ledger, LedgerError, Permit, Registration};

/// What is wanted of whoever asks.
pub struct AskAgain<'a> {
    pub of: &'a Registration,
    pub epoch: u64,
    pub message: &'a ChunkMessage,
    /// The chunk as it was read.
    pub seen: &'a Chunk,
    /// The fresh token of whoever asks.
    pub owner: String,
    pub lease: Duration,
    /// How long the permission lasts.
    pub life: Duration,
}

/// What became of a wish to ask again.
#[derive(Debug)]
pub enum AskedAgain {
    /// The request may be made again at once. Of its claim those are open who are in doubt; the others keep what they
    /// have, whatever the answer says of them.
    Ours(Claim, Permit),
    /// The time of its key is over, by AWS's clock. The claim is to be confirmed as it was.
    TooLate(Claim),
    /// The chunk is not as it was seen, or the broadcast does not run, or not in this epoch.
    Refused,
}

impl Ledger {
    /// Takes a chunk for a repeat of its last request. The caller has seen that it [may be](Chunk::askable).
    pub async fn ask_again(&self, wanted: AskAgain<'_>) -> Result<AskedAgain, LedgerError> {
        let AskAgain { of, epoch, message, seen, owner, lease, life } = wanted;
        let (id, seq) = (&of.id, message.chunk);
        let (state, page, attempt, before, message_ids, written) = match seen {
            Chunk::Absent => return Ok(AskedAgain::Refused),
            Chunk::Claimed { page, attempt, outcomes, message_ids, written, .. } => {
                ("claimed", *page, *attempt, outcomes, message_ids, written)
            }
            Chunk::Confirmed { page, attempt, outcomes, message_ids, written, .. } => {
                ("confirmed", *page, *attempt, outcomes, message_ids, written)
            }
        };
        let Some(request) = seen.request().map(crate::Keyed::once_more) else { return Ok(AskedAgain::Refused) };
        let outcomes = before.asked_about(&seen.asked_with().into_iter().flat_map(crate::Part::members).collect::<Vec<_>>());
        let (there, beside, value) = request.stored()?;
        let asked = self.clock.reading();
        let (deadline, expires, answered) = (Deadline::after(asked, lease), Deadline::after(asked, life), AnsweredAt::default());
        let key = Key::chunk(&of.placed(), seq);
        let sealed =
            Sealed { id, seq, page, attempt, owner: &owner, state: "claimed", outcomes: &outcomes, message_ids, request: Some(&request) };
        let set = format!(
            "SET chunk_state = :claimed, owner_token = :owner, claimed_at = :at, lease_until = :until, outcomes = :outcomes, {there} = :request"
        );
        let unset = format!("REMOVE {beside}");
        let mut chunk = Update::builder().set_key(Some(key.clone().into_item()));
        chunk = match &of.key {
            Some(key) => {
                let set = format!("{set}, seal = :seal {unset}");
                chunk.update_expression(set).expression_attribute_values(":seal", s(sealed.seal(key)))
            }
            None => chunk.update_expression(format!("{set} {unset}")),
        };
        let chunk = chunk
            .condition_expression("chunk_state = :state AND attempt = :attempt AND outcomes = :before AND owner_token = :theirs")
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":owner", s(&owner))
            .expression_attribute_values(":at", n(asked.wall().as_millisecond()))
            .expression_attribute_values(":until", n(deadline.wall().as_millisecond()))
            .expression_attribute_values(":outcomes", s(outcomes.clone()))
            .expression_attribute_values(":request", value)
            .expression_attribute_values(":state", s(state))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":before", s(before.clone()))
            .expression_attribute_values(":theirs", s(&written.owner));
        // It counts as a grant, so that whoever has counted the chunks before neither completes nor recounts.
        let mut broadcast = Update::builder()
            .set_key(Some(Key::broadcast(id).into_item()))
            .update_expression("SET grant_count = grant_count + :one ADD asked_again :one")
            .condition_expression(of.condition("broadcast_state = :running AND epoch = :epoch AND attribute_not_exists(awaits_agreement)"))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":running", s(BroadcastState::Running.as_str()))
            .expression_attribute_values(":epoch", n(epoch));
        for (name, value) in of.values() {
            broadcast = broadcast.expression_attribute_values(name, value);
        }
        if !self.write_both_at([chunk, broadcast], &self.dice.token(), &answered).await? {
            // An endpoint that remembers no tokens meets our own write when an answer was lost.
            let item = self.get(key).await?;
            if item.and_then(|item| item.get("owner_token")?.as_s().ok().map(|theirs| *theirs == owner)) != Some(true) {
                return Ok(AskedAgain::Refused);
            }
        }
        let granted_at = answered.get().unwrap_or_else(|| asked.wall());
        let is_too_late = granted_at >= request.until();
        let keyed = (request.attempt(), Some(request));
        let claim = Claim::standing(message, of, owner, (outcomes, message_ids), (deadline, lease, answered.get()), keyed);
        if is_too_late {
            return Ok(AskedAgain::TooLate(claim));
        }
        Ok(AskedAgain::Ours(claim, Permit::to_ask(epoch, expires, granted_at)))
    }
}
