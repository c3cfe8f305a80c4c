//! Chunk items: the claim before a send and its confirmation after.
//!
//! A claim is never taken over. One whose lease is over reads as in doubt, since an expired lease
//! is no evidence that nothing was sent: the provider knows nothing of leases.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::{AnsweredAt, written_at};
use issei_clock::Deadline;
use issei_schema::{ChunkMessage, MessageKey};
use jiff::Timestamp;
use serde::Deserialize;

use crate::item::{Item, Key, n, read, s};
use crate::seal::Sealed;
use crate::{Broadcast, Keyed, Ledger, LedgerError, MessageDigest, Outcome, Outcomes, Placed, Registration, Seal, Under, Written};
use crate::{message_ids, spared};

/// The pause after a claim call that failed with all of its SDK retries.
const CLAIM_AGAIN: Duration = Duration::from_millis(100);

/// A chunk as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Nobody has claimed it yet.
    Absent,
    /// Somebody has claimed it and not confirmed.
    Claimed {
        page: u32,
        attempt: u32,
        claimed_at: Timestamp,
        lease_until: Timestamp,
        outcomes: Outcomes,
        /// Of earlier attempts.
        message_ids: String,
        request: Option<Keyed>,
        written: Written,
    },
    /// Confirmed. It can be claimed again for those who are retryable, and only for them.
    Confirmed {
        page: u32,
        attempt: u32,
        claimed_at: Timestamp,
        outcomes: Outcomes,
        message_ids: String,
        /// When evidence last made some of its recipients retryable.
        reopened_at: Option<Timestamp>,
        request: Option<Keyed>,
        written: Written,
    },
}

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
}

/// What became of a try at claiming.
#[derive(Debug)]
pub enum Claimed {
    Ours(Claim),
    /// Not ours; this is what stands there.
    Refused(Chunk),
}

/// What became of a confirmation.
#[derive(Debug)]
pub enum Confirmed {
    /// The outcomes are in the ledger.
    Written(Outcomes),
    /// The chunk is not in our name. No code path leads here; it is reported and nothing is sent.
    NotOurs(Chunk),
}

#[derive(Deserialize)]
struct ChunkItem {
    chunk_state: ChunkState,
    page: u32,
    attempt: u32,
    claimed_at: i64,
    lease_until: i64,
    outcomes: Outcomes,
    #[serde(default, deserialize_with = "message_ids::read")]
    message_ids: String,
    #[serde(default)]
    reopened_at: Option<i64>,
    #[serde(default)]
    owner_token: String,
    #[serde(default)]
    seal: Option<String>,
    #[serde(default)]
    keyed_request: Option<Keyed>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChunkState {
    Claimed,
    Confirmed,
}

impl ChunkItem {
    fn into_chunk(self) -> Result<Chunk, LedgerError> {
        let time = |ms| Timestamp::from_millisecond(ms).map_err(|error| LedgerError::corrupt("chunk", error));
        let (page, attempt, claimed_at, outcomes) = (self.page, self.attempt, time(self.claimed_at)?, self.outcomes);
        let request = self.keyed_request.filter(|request| request.is_of(attempt));
        let (message_ids, written) = (self.message_ids, Written { owner: self.owner_token, seal: self.seal });
        Ok(match self.chunk_state {
            ChunkState::Claimed => {
                Chunk::Claimed { page, attempt, claimed_at, lease_until: time(self.lease_until)?, outcomes, message_ids, request, written }
            }
            ChunkState::Confirmed => Chunk::Confirmed {
                page,
                attempt,
                claimed_at,
                outcomes,
                message_ids,
                reopened_at: self.reopened_at.map(time).transpose()?,
                request,
                written,
            },
        })
    }
}

impl Chunk {
    pub(crate) fn read(item: Option<Item>) -> Result<Self, LedgerError> {
        item.filter(|item| !item.is_empty()).map_or(Ok(Self::Absent), |item| read::<ChunkItem>(item)?.into_chunk())
    }

    /// What was confirmed as one text; nothing where nothing was.
    pub(crate) fn as_text(&self, seq: u32) -> Option<String> {
        let Self::Confirmed { page, attempt, claimed_at, outcomes, message_ids, .. } = self else { return None };
        let outcomes = String::from(outcomes.clone());
        Some(format!("{seq}|{page}|{attempt}|{}|{outcomes}|{message_ids}", claimed_at.as_millisecond()))
    }

    /// The outcomes recorded so far; none where nobody has claimed it.
    #[must_use]
    pub fn outcomes(&self) -> Option<&Outcomes> {
        match self {
            Self::Absent => None,
            Self::Claimed { outcomes, .. } | Self::Confirmed { outcomes, .. } => Some(outcomes),
        }
    }

    /// The page that it belongs to.
    #[must_use]
    pub fn page(&self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Claimed { page, .. } | Self::Confirmed { page, .. } => Some(*page),
        }
    }

    /// Since when recipients whom evidence made retryable wait for a message; nothing where none does.
    #[must_use]
    pub fn reopened_since(&self) -> Option<Timestamp> {
        match self {
            Self::Confirmed { reopened_at, claimed_at, outcomes, .. } if outcomes.count(Outcome::Retryable) > 0 => {
                reopened_at.map(|at| at.max(*claimed_at))
            }
            Self::Absent | Self::Claimed { .. } | Self::Confirmed { .. } => None,
        }
    }

    /// How often it was claimed.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Absent => 0,
            Self::Claimed { attempt, .. } | Self::Confirmed { attempt, .. } => *attempt,
        }
    }

    /// The provider's id of the message that it accepted for one recipient.
    #[must_use]
    pub fn message_id(&self, at: usize) -> Option<&str> {
        match self {
            Self::Confirmed { message_ids, .. } => message_ids.split_whitespace().nth(at).filter(|id| spared::is_id(id)),
            Self::Absent | Self::Claimed { .. } => None,
        }
    }

    /// Of a confirmed chunk, by place: the message that the provider's answer named of whoever it accepted. Nobody is sent to
    /// again once that stands there.
    #[must_use]
    pub fn answers(&self) -> Vec<Option<MessageDigest>> {
        let Self::Confirmed { outcomes, message_ids, .. } = self else { return Vec::new() };
        let answer = |(outcome, id)| (outcome == Outcome::Accepted && spared::is_id(id)).then(|| MessageDigest::of(id));
        outcomes.iter().zip(message_ids.split_whitespace()).map(answer).collect()
    }

    /// Says whether this state of the broadcast's chunk `seq` is as a service of issei wrote it.
    #[must_use]
    pub fn seal(&self, broadcast: &Broadcast, seq: u32) -> Seal {
        let (state, page, attempt, outcomes, message_ids, written) = match self {
            Self::Absent => return Seal::Absent,
            Self::Claimed { page, attempt, outcomes, message_ids, written, .. } => {
                ("claimed", page, attempt, outcomes, message_ids, written)
            }
            Self::Confirmed { page, attempt, outcomes, message_ids, written, .. } => {
                ("confirmed", page, attempt, outcomes, message_ids, written)
            }
        };
        let (Some(key), Some(seal)) = (&broadcast.message_key, &written.seal) else { return Seal::Absent };
        let (id, page, attempt, owner, request) = (&broadcast.broadcast_id, *page, *attempt, &written.owner, self.request());
        Sealed { id, seq, page, attempt, owner, state, outcomes, message_ids, request }.look(key, seal)
    }

    /// When it was last claimed.
    #[must_use]
    pub fn claimed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Absent => None,
            Self::Claimed { claimed_at, .. } | Self::Confirmed { claimed_at, .. } => Some(*claimed_at),
        }
    }

    /// Says whether nobody will send to any of its recipients again without new evidence. Of a claim
    /// that is not confirmed the caller must know, by its own clock, whether it is over.
    #[must_use]
    pub fn is_settled(&self, open_are_over: bool) -> bool {
        match self {
            Self::Absent => false,
            Self::Claimed { .. } => open_are_over,
            Self::Confirmed { outcomes, .. } => outcomes.count(Outcome::Retryable) == 0,
        }
    }
}

impl Claim {
    /// One that asks again about what `message` names. `lease` is when it ends, how long it lasts, and when AWS answered.
    pub(crate) fn asking(
        message: &ChunkMessage,
        of: &Registration,
        owner: String,
        outcomes: Outcomes,
        message_ids: &str,
        lease: (Deadline, Duration, Option<Timestamp>),
        request: Keyed,
    ) -> Self {
        let (of, key, message_ids) = (of.placed(), of.key, by_place(message_ids, outcomes.len()));
        let (seq, page) = (message.chunk, message.page);
        let (attempt, (lease, life, answered_at)) = (request.attempt(), lease);
        Self { of, seq, page, attempt, key, owner, outcomes, message_ids, lease, life, answered_at, request: Some(request) }
    }

    /// The broadcast that it is of, and where that lies.
    #[must_use]
    pub fn placed(&self) -> &Placed {
        &self.of
    }

    /// Its request, where the provider knows it by a key.
    #[must_use]
    pub fn request(&self) -> Option<&Keyed> {
        self.request.as_ref()
    }

    /// Nobody may ask about it any more.
    pub fn forget_request(&mut self) {
        self.request = None;
    }

    /// The positions that this claim is for.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.outcomes.positions(Outcome::Open)
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

    fn sealed<'a>(&'a self, state: &'static str, message_ids: &'a str) -> Sealed<'a> {
        let Self { of, seq, page, attempt, owner, outcomes, request, .. } = self;
        Sealed { id: &of.id, seq: *seq, page: *page, attempt: *attempt, owner, state, outcomes, message_ids, request: request.as_ref() }
    }

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
    /// Reads up to a hundred chunks with one call, strongly consistent.
    pub async fn chunks(&self, of: &Placed, wanted: &[u32]) -> Result<HashMap<u32, Chunk>, LedgerError> {
        let distinct: BTreeSet<u32> = wanted.iter().copied().collect();
        let mut items = self.batch_get(distinct.iter().map(|seq| Key::chunk(of, *seq)).collect()).await?;
        distinct.into_iter().map(|seq| Ok((seq, Chunk::read(items.remove(&Key::chunk(of, seq)))?))).collect()
    }

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
        let keyed = Keyed::new(id, seq, attempt, &outcomes, key.as_ref(), under);
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
        let set_request = if keyed.is_some() { ", keyed_request = :request" } else { " REMOVE keyed_request" };
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
        if let Some(keyed) = &keyed {
            request = request.expression_attribute_values(":request", keyed.to_attribute()?);
        }
        // The letters too: evidence changes them without a claim.
        if let Some(before) = seen.outcomes() {
            request = request
                .expression_attribute_values(":confirmed", s("confirmed"))
                .expression_attribute_values(":seen", n(attempt - 1))
                .expression_attribute_values(":before", s(before.clone()));
        }
        let ours = |owner: String| {
            let message_ids = by_place(&message_ids, outcomes.len());
            let (page, outcomes) = (message.page, outcomes.clone());
            let (answered_at, request) = (answered.get(), keyed.clone());
            let (lease, life) = (deadline, lease);
            Claimed::Ours(Claim {
                of: placed.clone(),
                seq,
                page,
                attempt,
                key,
                owner,
                outcomes,
                message_ids,
                lease,
                life,
                answered_at,
                request,
            })
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

    /// Writes down that nobody may ask about a claim's request any more, while it is ours. Else nothing is written, and
    /// the error says so.
    pub async fn give_up_request(&self, claim: &mut Claim) -> Result<(), LedgerError> {
        claim.request = None;
        let message_ids = claim.message_ids.join(" ");
        let (set_seal, seal) = with_seal(&claim.sealed("claimed", &message_ids), claim.key.as_ref());
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::chunk(&claim.of, claim.seq).into_item()))
            .update_expression(format!("SET message_ids = :ids{set_seal} REMOVE keyed_request"))
            .expression_attribute_values(":ids", message_ids::attribute(&message_ids, claim.of.packs_message_ids)?)
            .condition_expression("owner_token = :owner AND chunk_state = :claimed")
            .expression_attribute_values(":owner", s(&claim.owner))
            .expression_attribute_values(":claimed", s("claimed"));
        if let Some(seal) = seal {
            request = request.expression_attribute_values(":seal", seal);
        }
        request.send().await.map_err(LedgerError::call("UpdateItem")).map(|_| ())
    }

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
        let (set_seal, seal) = with_seal(&claim.sealed("confirmed", &message_ids), claim.key.as_ref());
        let unset_request = if claim.request.is_some() { "" } else { " REMOVE keyed_request" };
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_item()))
            .update_expression(format!("SET chunk_state = :confirmed, outcomes = :outcomes, message_ids = :ids{set_seal}{unset_request}"))
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
