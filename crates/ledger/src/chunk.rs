//! Chunk items, as they are read: who was claimed, and what became of them.
//!
//! What it must never do: take an unconfirmed claim for one that sent nothing, however long its lease is over.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Deserialize;

use crate::item::{Item, Key, read};
use crate::keyed::Whole;
use crate::seal::Sealed;
use crate::{Broadcast, Keyed, Ledger, LedgerError, MessageDigest, Outcome, Outcomes, Placed, Seal, Written};
use crate::{message_ids, spared};

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
    keyed_request: Option<Whole>,
    #[serde(default)]
    keyed_parts: Option<Keyed>,
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
        let of_attempt = |request: &Keyed| request.is_of(attempt);
        // An older build claims again, and leaves the parts of an earlier attempt as they stand.
        let request = self.keyed_parts.filter(of_attempt).or_else(|| self.keyed_request.map(Keyed::from).filter(of_attempt));
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

impl Ledger {
    /// Reads up to a hundred chunks with one call, strongly consistent.
    pub async fn chunks(&self, of: &Placed, wanted: &[u32]) -> Result<HashMap<u32, Chunk>, LedgerError> {
        let distinct: BTreeSet<u32> = wanted.iter().copied().collect();
        let mut items = self.batch_get(distinct.iter().map(|seq| Key::chunk(of, *seq)).collect()).await?;
        distinct.into_iter().map(|seq| Ok((seq, Chunk::read(items.remove(&Key::chunk(of, seq)))?))).collect()
    }
}
