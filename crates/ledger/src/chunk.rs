//! Chunk items: the claim before a send and its confirmation after.
//!
//! A claim is never taken over. One whose lease is over reads as in doubt, since an expired lease
//! is no evidence that nothing was sent: the provider knows nothing of leases.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use issei_clock::Instant;
use issei_schema::BroadcastId;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::item::{Item, Key, n, read, s};
use crate::{Ledger, LedgerError, Outcome, Outcomes};

/// A chunk as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Nobody has claimed it yet.
    Absent,
    /// Somebody has claimed it and not confirmed.
    Claimed { lease_until: Timestamp, outcomes: Outcomes },
    /// Confirmed. It can be claimed again for those who are retryable, and only for them.
    Confirmed { attempt: u32, outcomes: Outcomes, message_ids: String },
}

/// A claim that is ours: the permission of the ledger, to be followed at once by the send.
#[must_use = "a claim that is not confirmed reads as in doubt"]
#[derive(Debug)]
pub struct Claim {
    id: BroadcastId,
    seq: u32,
    owner: String,
    outcomes: Outcomes,
    message_ids: Vec<String>,
    lease_ends: Instant,
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
    attempt: u32,
    #[serde(default)]
    lease_until: i64,
    outcomes: Outcomes,
    #[serde(default)]
    message_ids: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChunkState {
    Claimed,
    Confirmed,
}

impl ChunkItem {
    fn into_chunk(self) -> Result<Chunk, LedgerError> {
        Ok(match self.chunk_state {
            ChunkState::Claimed => Chunk::Claimed {
                lease_until: Timestamp::from_millisecond(self.lease_until).map_err(|error| LedgerError::corrupt("chunk", error))?,
                outcomes: self.outcomes,
            },
            ChunkState::Confirmed => Chunk::Confirmed { attempt: self.attempt, outcomes: self.outcomes, message_ids: self.message_ids },
        })
    }
}

impl Chunk {
    pub(crate) fn read(item: Option<Item>) -> Result<Self, LedgerError> {
        item.filter(|item| !item.is_empty()).map_or(Ok(Self::Absent), |item| read::<ChunkItem>(item)?.into_chunk())
    }

    /// The outcomes recorded so far; none where nobody has claimed it.
    #[must_use]
    pub fn outcomes(&self) -> Option<&Outcomes> {
        match self {
            Self::Absent => None,
            Self::Claimed { outcomes, .. } | Self::Confirmed { outcomes, .. } => Some(outcomes),
        }
    }

    /// Says whether nobody will send to any of its recipients again without new evidence.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        match self {
            Self::Absent => false,
            Self::Claimed { lease_until, .. } => now >= *lease_until,
            Self::Confirmed { outcomes, .. } => outcomes.count(Outcome::Retryable) == 0,
        }
    }
}

impl Claim {
    /// The positions that this claim is for.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.outcomes.positions(Outcome::Open)
    }

    /// When the lease is over, on this process's monotonic clock. Nothing may be sent after it.
    #[must_use]
    pub fn lease_ends(&self) -> Instant {
        self.lease_ends
    }

    /// Records what became of one recipient.
    pub fn settle(&mut self, at: usize, outcome: Outcome, message_id: Option<&str>) {
        self.outcomes.settle(at, outcome);
        if let (Some(place), Some(id)) = (self.message_ids.get_mut(at), message_id) {
            // Ids are joined by spaces in the ledger, and `-` stands for none.
            *place = id.replace(' ', "");
        }
    }

    /// A rejection that comes too late may meet somebody who has already read the claim as in doubt
    /// and let the message go; re-opening it would then lose the recipient (counterexample V16).
    fn retryable_is_in_doubt(&mut self) {
        let late: Vec<usize> = self.outcomes.positions(Outcome::Retryable).collect();
        let mut outcomes = self.outcomes.reopened();
        late.into_iter().for_each(|at| outcomes.settle(at, Outcome::InDoubt));
        self.outcomes = outcomes;
    }
}

impl Ledger {
    /// Reads up to a hundred chunks with one call, strongly consistent.
    pub async fn chunks(&self, wanted: &[(BroadcastId, u32)]) -> Result<HashMap<(BroadcastId, u32), Chunk>, LedgerError> {
        let mut found: HashMap<_, _> = wanted.iter().map(|key| (key.clone(), Chunk::Absent)).collect();
        let keys: HashMap<(String, String), (BroadcastId, u32)> = found
            .keys()
            .map(|(id, seq)| {
                let key = Key::chunk(id, *seq);
                ((key.pk, key.sk), (id.clone(), *seq))
            })
            .collect();
        let mut request = KeysAndAttributes::builder().consistent_read(true);
        for (pk, sk) in keys.keys() {
            request = request.keys(Key { pk: pk.clone(), sk: sk.clone() }.into_item());
        }
        let mut pending = if keys.is_empty() { None } else { request.build().ok() };
        while let Some(request) = pending.take() {
            let answer =
                self.db.batch_get_item().request_items(&self.table, request).send().await.map_err(LedgerError::call("BatchGetItem"))?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
                if let Some(key) = keys.get(&(text("pk"), text("sk"))) {
                    found.insert(key.clone(), Chunk::read(Some(item))?);
                }
            }
            // What DynamoDB left undone is asked for again (API reference, `BatchGetItem`).
            pending = answer.unprocessed_keys.unwrap_or_default().into_values().find(|keys| !keys.keys.is_empty());
            if pending.is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(found)
    }

    /// Claims a chunk of `recipients` that was read as `seen`, under a fresh owner token.
    pub async fn claim(
        &self,
        id: &BroadcastId,
        seq: u32,
        seen: &Chunk,
        recipients: usize,
        owner: String,
        lease: Duration,
    ) -> Result<Claimed, LedgerError> {
        let (attempt, outcomes, message_ids, condition) = match seen {
            Chunk::Absent => (1, Outcomes::open(recipients), String::new(), "attribute_not_exists(pk)"),
            Chunk::Confirmed { attempt, outcomes, message_ids } if outcomes.count(Outcome::Retryable) > 0 => {
                (attempt + 1, outcomes.reopened(), message_ids.clone(), "chunk_state = :confirmed AND attempt = :seen")
            }
            _ => return Ok(Claimed::Refused(seen.clone())),
        };
        // Both ends of the lease are taken before the write, so that ours is never the later one.
        let lease_ends = self.clock.now() + lease;
        let lease_until =
            self.clock.wall().saturating_add(SignedDuration::try_from(lease).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
        let key = Key::chunk(id, seq);
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_item()))
            .update_expression(
                "SET chunk_state = :claimed, owner_token = :owner, attempt = :attempt, lease_until = :until, outcomes = :outcomes, expires_at = :expires",
            )
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":owner", s(&owner))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":until", n(lease_until.as_millisecond()))
            .expression_attribute_values(":outcomes", s(outcomes.clone()))
            .expression_attribute_values(":expires", n(self.expires_at()));
        if attempt > 1 {
            request =
                request.expression_attribute_values(":confirmed", s("confirmed")).expression_attribute_values(":seen", n(attempt - 1));
        }
        let ours = |owner: String| {
            let mut message_ids: Vec<String> = message_ids.split_whitespace().map(str::to_owned).collect();
            message_ids.resize(outcomes.len(), "-".to_owned());
            Claimed::Ours(Claim { id: id.clone(), seq, owner, outcomes: outcomes.clone(), message_ids, lease_ends })
        };
        match request.send().await {
            Ok(_) => Ok(ours(owner)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let item = self.refused_by(failed.item.clone(), key).await?;
                    // The SDK's retry of a write whose answer was lost meets our own row.
                    let token = item.as_ref().and_then(|item| item.get("owner_token")).and_then(|token| token.as_s().ok());
                    if token == Some(&owner) { Ok(ours(owner)) } else { Ok(Claimed::Refused(Chunk::read(item)?)) }
                }
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }

    /// Writes down what became of a claim. Safe to repeat until it succeeds.
    pub async fn confirm(&self, claim: &mut Claim) -> Result<Confirmed, LedgerError> {
        if self.clock.now() >= claim.lease_ends {
            claim.retryable_is_in_doubt();
        }
        let key = Key::chunk(&claim.id, claim.seq);
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_item()))
            .update_expression("SET chunk_state = :confirmed, outcomes = :outcomes, message_ids = :ids")
            .condition_expression("owner_token = :owner AND chunk_state = :claimed")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":confirmed", s("confirmed"))
            .expression_attribute_values(":claimed", s("claimed"))
            .expression_attribute_values(":owner", s(&claim.owner))
            .expression_attribute_values(":outcomes", s(claim.outcomes.clone()))
            .expression_attribute_values(":ids", s(claim.message_ids.join(" ")));
        match request.send().await {
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
