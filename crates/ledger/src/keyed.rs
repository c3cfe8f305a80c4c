//! A claim's request as a provider knows it that remembers keys: under which key, until when, and with which body
//! it may be made again, to learn what became of the first ([`ask_again`](crate::ask_again)); and where the provider has
//! refused it as a whole, the [parts](Part) that it was divided into.
//!
//! What this must never do: let the request be repeated in the name of another attempt, or for longer than was
//! written with the claim, whatever is configured since; or let a build ask about the whole that can't read its parts.

mod part;

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_schema::{BroadcastId, MessageKey, Prover};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Chunk, LedgerError, Outcome, Outcomes, Suppression};

pub use self::part::{Divide, Part};

/// What keys are made for, and nothing else.
const DOMAIN: &str = "issei request key 1";

/// What a claim is made under.
#[derive(Clone, Debug, Default)]
pub struct Under {
    /// When its permit was granted, by AWS's own clock. The claim is signed with that moment, and refused by AWS
    /// once that is long ago: by then a recount may have given the permit to others.
    pub granted_at: Option<Timestamp>,
    /// How its request may be repeated; nothing where the provider remembers none.
    pub repeatable: Option<Repeatable>,
    /// Whom it must not be sent to, by place, since they came on the list of those that are not mailed.
    pub spared: Vec<(usize, Suppression)>,
}

/// How a request may be repeated.
#[derive(Clone, Debug)]
pub struct Repeatable {
    /// For so long after its permit was granted: the provider's window less a margin.
    pub lasting: Duration,
    /// The SHA-256 of its body, or of whatever the body is made from, as text.
    pub body: String,
}

/// What a claim's recipients may be asked about with, under its keys. In the ledger as the attribute `keyed_request` of the chunk
/// where it is one request, which builds before this one ask with too, and else as `keyed_parts`, which they can't read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    /// The attempt that it is of. An older build claims again and leaves this as it stands.
    attempt: u32,
    /// How often it was asked again.
    #[serde(default)]
    asked_again: u32,
    /// No recipient is in two of them.
    parts: Vec<Part>,
}

/// The same as one request.
#[derive(Serialize, Deserialize)]
pub(crate) struct Whole {
    attempt: u32,
    key: String,
    first_at: i64,
    until: i64,
    body: String,
    positions: String,
    #[serde(default)]
    asked_again: u32,
}

impl From<Whole> for Keyed {
    fn from(whole: Whole) -> Self {
        let Whole { attempt, key, first_at, until, body, positions, asked_again } = whole;
        Self { attempt, asked_again, parts: vec![Part { key, first_at, until, body, positions, behind: Vec::new() }] }
    }
}

impl Keyed {
    /// Of a broadcast without a key, which an older build registered, there is none. Whoever is in doubt since an earlier attempt
    /// goes on being asked about under the keys of that one, as the chunk was `seen`.
    pub(crate) fn new(
        id: &BroadcastId,
        seq: u32,
        attempt: u32,
        outcomes: &Outcomes,
        key: Option<&MessageKey>,
        under: &Under,
        seen: &Chunk,
    ) -> Option<Self> {
        let request = || {
            let (key, first_at, repeatable) = (key?, under.granted_at?, under.repeatable.as_ref()?);
            let until = first_at.checked_add(SignedDuration::try_from(repeatable.lasting).ok()?).ok()?;
            Some(Part {
                key: key.prover(DOMAIN).text(id.as_str()).number(seq.into()).number(attempt.into()).prove().into(),
                first_at: first_at.as_millisecond(),
                until: until.as_millisecond(),
                body: repeatable.body.clone(),
                positions: outcomes.iter().map(|outcome| if outcome == Outcome::Open { '1' } else { '0' }).collect(),
                behind: Vec::new(),
            })
        };
        let parts: Vec<Part> = seen.asked_with().into_iter().cloned().chain(request()).collect();
        (!parts.is_empty()).then_some(Self { attempt, asked_again: 0, parts })
    }

    /// What it was divided into; itself where it was not.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that has this key.
    #[must_use]
    pub fn part(&self, key: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.key == key)
    }

    /// How often it was asked again.
    #[must_use]
    pub fn asked_again(&self) -> u32 {
        self.asked_again
    }

    /// Until when the last of it may be made again, by AWS's clock.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.parts.iter().map(Part::until).max().unwrap_or(Timestamp::MIN)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn is_of(&self, attempt: u32) -> bool {
        self.attempt == attempt
    }

    pub(crate) fn once_more(&self) -> Self {
        Self { asked_again: self.asked_again.saturating_add(1), ..self.clone() }
    }

    /// Nothing where it was the only part.
    pub(crate) fn without(mut self, key: &str) -> Option<Self> {
        self.parts.retain(|part| part.key != key);
        (!self.parts.is_empty()).then_some(self)
    }

    /// The attribute that it stands in, the one that must not stand beside it, and its value.
    pub(crate) fn stored(&self) -> Result<(&'static str, &'static str, AttributeValue), LedgerError> {
        let corrupt = |error| LedgerError::corrupt("chunk", error);
        match self.parts.as_slice() {
            [part] if part.behind.is_empty() => {
                let Part { key, first_at, until, body, positions, .. } = part.clone();
                let whole = Whole { attempt: self.attempt, key, first_at, until, body, positions, asked_again: self.asked_again };
                Ok(("keyed_request", "keyed_parts", serde_dynamo::to_attribute_value(whole).map_err(corrupt)?))
            }
            _ => Ok(("keyed_parts", "keyed_request", serde_dynamo::to_attribute_value(self).map_err(corrupt)?)),
        }
    }

    pub(crate) fn sealed_with(&self, prover: Prover) -> Prover {
        match self.parts.as_slice() {
            // As builds before this one seal it.
            [part] if part.behind.is_empty() => part.sealed_with(prover.text("request")).number(self.asked_again.into()),
            parts => {
                let prover = prover.text("parts").number(parts.len() as u64).number(self.asked_again.into());
                parts.iter().fold(prover, |prover, part| part.sealed_behind(part.sealed_with(prover)))
            }
        }
    }
}

impl Chunk {
    /// The request of its last claim, where it has a key.
    #[must_use]
    pub fn request(&self) -> Option<&Keyed> {
        match self {
            Self::Absent => None,
            Self::Claimed { request, .. } | Self::Confirmed { request, .. } => request.as_ref(),
        }
    }

    /// The parts of its request by which it may be learned, at any time, what became of those of them who are in doubt. None of
    /// which evidence, or a refusal, has opened any recipient.
    #[must_use]
    pub fn asked_with(&self) -> Vec<&Part> {
        let (Some(request), Some(outcomes)) = (self.request(), self.outcomes()) else { return Vec::new() };
        let is =
            |part: &Part, wanted: &[Outcome]| part.members().any(|at| outcomes.iter().nth(at).is_some_and(|found| wanted.contains(&found)));
        let tells = |part: &&Part| is(part, &[Outcome::Open, Outcome::InDoubt]) && !is(part, &[Outcome::Retryable]);
        request.parts.iter().filter(tells).collect()
    }

    /// The same of those that may be made again at `now`: none where a claim is not over, or the time of all of them is.
    #[must_use]
    pub fn askable(&self, now: Timestamp) -> Vec<&Part> {
        let is_over = !matches!(self, Self::Claimed { lease_until, .. } if now < *lease_until);
        self.asked_with().into_iter().filter(|part| is_over && now < part.until()).collect()
    }
}

#[cfg(test)]
mod tests;
