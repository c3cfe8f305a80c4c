//! The claim of a chunk, before its send.
//!
//! A claim is never taken over. One whose lease is over reads as in doubt, since an expired lease
//! is no evidence that nothing was sent: the provider knows nothing of leases.

mod confirm;
mod divide;

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::{AnsweredAt, written_at};
use issei_clock::Deadline;
use issei_schema::{ChunkMessage, MessageKey};
use jiff::Timestamp;

use crate::item::{Key, n, s};
use crate::seal::Sealed;
use crate::{Chunk, Keyed, Ledger, LedgerError, Outcome, Outcomes, Placed, Registration, Under};
use crate::{message_ids, spared};

pub use self::confirm::Confirmed;

/// The pause after a claim call that failed with all of its SDK retries.
const CLAIM_AGAIN: Duration = Duration::from_millis(100);

/// A claim that is ours: the permission of the ledger, to be followed at once by the send.
#[must_use = "a claim that is not confirmed reads as in doubt"]
#[derive(Debug)]
pub struct Claim {
    of: Placed,
    seq: u32,
    page: u32,
    attempt: u32,
    key: Option<MessageKey>,
    owner: String,
    outcomes: Outcomes,
    message_ids: Vec<String>,
    lease: Deadline,
    life: Duration,
    /// When AWS answered the claim, by its own clock.
    answered_at: Option<Timestamp>,
    request: Option<Keyed>,
    /// The ledger may have another one.
    rewrites_request: bool,
    /// The letters, and the ids, as they stand in the ledger while it is open.
    standing: (Outcomes, String),
}

/// What became of a try at claiming.
#[derive(Debug)]
pub enum Claimed {
    Ours(Claim),
    /// Not ours; this is what stands there.
    Refused(Chunk),
}

impl Claim {
    /// The one that stands in the ledger now, about what `message` names. `lease` is when it ends, how long it lasts, and when AWS
    /// answered; `asked` the attempt, and what is asked of the provider by key.
    pub(crate) fn standing(
        message: &ChunkMessage,
        of: &Registration,
        owner: String,
        (outcomes, message_ids): (Outcomes, &str),
        (lease, life, answered_at): (Deadline, Duration, Option<Timestamp>),
        (attempt, request): (u32, Option<Keyed>),
    ) -> Self {
        let message_ids = by_place(message_ids, outcomes.len());
        Self {
            of: of.placed(),
            seq: message.chunk,
            page: message.page,
            attempt,
            key: of.key,
            owner,
            standing: (outcomes.clone(), message_ids.join(" ")),
            outcomes,
            message_ids,
            lease,
            life,
            answered_at,
            request,
            rewrites_request: false,
        }
    }

    /// The broadcast that it is of, and where that lies.
    #[must_use]
    pub fn placed(&self) -> &Placed {
        &self.of
    }

    /// What is asked of the provider, where it knows it by keys.
    #[must_use]
    pub fn request(&self) -> Option<&Keyed> {
        self.request.as_ref()
    }

    /// Nobody may ask about it any more.
    pub fn forget_request(&mut self) {
        self.request = None;
    }

    /// Nobody may ask about the part of this key any more.
    pub fn forget_part(&mut self, key: &str) {
        self.request = self.request.take().and_then(|request| request.without(key));
        self.rewrites_request = true;
    }

    /// The positions that this claim is for.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.outcomes.positions(Outcome::Open)
    }

    /// Whether somebody of the chunk is known to be accepted.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.outcomes.count(Outcome::Accepted) > 0
    }

    /// How many of these this claim spares, and sends nothing to.
    #[must_use]
    pub fn spared(&self, positions: &[usize]) -> u64 {
        spared::count(&self.message_ids, positions)
    }

    /// The end of the lease. Nothing may be sent after it.
    #[must_use]
    pub fn lease(&self) -> Deadline {
        self.lease
    }

    /// Records what became of one recipient.
    pub fn settle(&mut self, at: usize, outcome: Outcome, message_id: Option<&str>) {
        self.outcomes.settle(at, outcome);
        if let (Some(place), Some(id)) = (self.message_ids.get_mut(at), message_id) {
            *place = spared::in_the_ledger(id);
        }
    }

    fn sealed<'a>(&'a self, state: &'static str, outcomes: &'a Outcomes, message_ids: &'a str, request: Option<&'a Keyed>) -> Sealed<'a> {
        let Self { of, seq, page, attempt, owner, .. } = self;
        Sealed { id: &of.id, seq: *seq, page: *page, attempt: *attempt, owner, state, outcomes, message_ids, request }
    }
}

/// The provider's ids, with a sign where there is none.
fn by_place(message_ids: &str, recipients: usize) -> Vec<String> {
    let mut message_ids: Vec<String> = message_ids.split_whitespace().map(str::to_owned).collect();
    message_ids.resize(recipients, spared::NONE.to_owned());
    message_ids
}

/// The seal of a state, as a further part of the update that writes it; nothing without a key.
fn with_seal(sealed: &Sealed<'_>, key: Option<&MessageKey>) -> (&'static str, Option<AttributeValue>) {
    key.map_or(("", None), |key| (", seal = :seal", Some(s(sealed.seal(key)))))
}

impl Ledger {
    /// Claims the chunk of a message, which was read as `seen`, under a fresh owner token and a permit. `of` is the
    /// registration that the permit was granted for, whose key seals it.
    pub async fn claim(
        &self,
        message: &ChunkMessage,
        of: &Registration,
        seen: &Chunk,
        owner: String,
        lease: Duration,
        under: &Under,
    ) -> Result<Claimed, LedgerError> {
        let (id, seq, recipients, key, placed) = (&of.id, message.chunk, message.recipients.len(), of.key, of.placed());
        let (attempt, mut outcomes, mut message_ids, condition) = match seen {
            Chunk::Absent => (1, Outcomes::open(recipients), String::new(), "attribute_not_exists(pk)"),
            Chunk::Confirmed { attempt, outcomes, message_ids, .. } if outcomes.count(Outcome::Retryable) > 0 => (
                attempt + 1,
                outcomes.reopened(),
                message_ids.clone(),
                "chunk_state = :confirmed AND attempt = :seen AND outcomes = :before",
            ),
            _ => return Ok(Claimed::Refused(seen.clone())),
        };
        let mut set_ids = "";
        if !under.spared.is_empty() {
            message_ids = spared::settle(&under.spared, &mut outcomes, by_place(&message_ids, recipients));
            set_ids = ", message_ids = :ids";
        }
        // Both ends of the lease are taken before the write, so that ours is never the later one.
        let asked = self.clock.reading();
        let (deadline, answered) = (Deadline::after(asked, lease), AnsweredAt::default());
        let (claimed_at, lease_until) = (asked.wall(), deadline.wall());
        let item_key = Key::chunk(&placed, seq);
        let keyed = Keyed::new(id, seq, attempt, &outcomes, key.as_ref(), under, seen);
        let sealed = Sealed {
            id,
            seq,
            page: message.page,
            attempt,
            owner: &owner,
            state: "claimed",
            outcomes: &outcomes,
            message_ids: &message_ids,
            request: keyed.as_ref(),
        };
        let (set_seal, seal) = with_seal(&sealed, key.as_ref());
        let stored = keyed.as_ref().map(Keyed::stored).transpose()?;
        let set_request = match &stored {
            Some((there, beside, _)) => format!(", {there} = :request REMOVE {beside}"),
            None => " REMOVE keyed_request, keyed_parts".to_owned(),
        };
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item_key.clone().into_item()))
            .update_expression(format!(
                "SET chunk_state = :claimed, owner_token = :owner, attempt = :attempt, claimed_at = :at, lease_until = :until, outcomes = :outcomes, page = :page, expires_at = :expires{set_ids}{set_seal}{set_request}",
            ))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":owner", s(&owner))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":page", n(message.page))
            .expression_attribute_values(":at", n(claimed_at.as_millisecond()))
            .expression_attribute_values(":until", n(lease_until.as_millisecond()))
            .expression_attribute_values(":outcomes", s(outcomes.clone()))
            .expression_attribute_values(":expires", n(self.expires_at()));
        if !set_ids.is_empty() {
            request = request.expression_attribute_values(":ids", message_ids::attribute(&message_ids, placed.packs_message_ids)?);
        }
        if let Some(seal) = seal {
            request = request.expression_attribute_values(":seal", seal);
        }
        if let Some((_, _, keyed)) = stored {
            request = request.expression_attribute_values(":request", keyed);
        }
        // The letters too: evidence changes them without a claim.
        if let Some(before) = seen.outcomes() {
            request = request
                .expression_attribute_values(":confirmed", s("confirmed"))
                .expression_attribute_values(":seen", n(attempt - 1))
                .expression_attribute_values(":before", s(before.clone()));
        }
        let ours = |owner: String| {
            let lease = (deadline, lease, answered.get());
            Claimed::Ours(Claim::standing(message, of, owner, (outcomes.clone(), &message_ids), lease, (attempt, keyed.clone())))
        };
        // A claim whose answer is lost may stand, and would read as in doubt though nothing was sent.
        // Whoever asked knows that nothing was, so it asks again under the same token while the
        // lease lasts: what comes of it is either ours or somebody else's.
        loop {
            let mut call = request.clone().customize().interceptor(answered.clone());
            if let Some(granted_at) = under.granted_at {
                call = call.config_override(written_at(granted_at));
            }
            let Err(error) = call.send().await else { return Ok(ours(owner)) };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let item = self.refused_by(failed.item.clone(), item_key).await?;
                    // The SDK's retry of a write whose answer was lost meets our own row.
                    let token = item.as_ref().and_then(|item| item.get("owner_token")).and_then(|token| token.as_s().ok());
                    return if token == Some(&owner) { Ok(ours(owner)) } else { Ok(Claimed::Refused(Chunk::read(item)?)) };
                }
                _ if deadline.is_over(self.clock.reading()) => return Err(LedgerError::call("UpdateItem")(error)),
                _ => tokio::time::sleep(CLAIM_AGAIN).await,
            }
        }
    }
}
