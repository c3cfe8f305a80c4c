//! A claim's request as a provider knows it that remembers keys: under which key, until when, and with which body
//! it may be made again, to learn what became of the first ([`ask_again`](crate::ask_again)).
//!
//! What this must never do: let the request be repeated in the name of another attempt, or for longer than was
//! written with the claim, whatever is configured since.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_schema::{BroadcastId, MessageKey, Prover};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Chunk, LedgerError, Outcome, Outcomes, Suppression};

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

/// A claim's request, under its key. In the ledger as the attribute `keyed_request` of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    /// The attempt that it is of. An older build claims again and leaves this as it stands.
    attempt: u32,
    key: String,
    /// When the first request may have begun at the earliest, in milliseconds of the epoch: when its permit was granted.
    first_at: i64,
    /// Until when it may be repeated, by AWS's clock.
    until: i64,
    body: String,
    /// Whom it is for: `1` or `0` for each recipient of the chunk.
    positions: String,
    /// How often it was made again.
    #[serde(default)]
    asked_again: u32,
}

impl Keyed {
    /// Of a broadcast without a key, which an older build registered, there is none.
    pub(crate) fn new(
        id: &BroadcastId,
        seq: u32,
        attempt: u32,
        outcomes: &Outcomes,
        key: Option<&MessageKey>,
        under: &Under,
    ) -> Option<Self> {
        let (key, first_at, repeatable) = (key?, under.granted_at?, under.repeatable.as_ref()?);
        let until = first_at.checked_add(SignedDuration::try_from(repeatable.lasting).ok()?).ok()?;
        Some(Self {
            attempt,
            key: key.prover(DOMAIN).text(id.as_str()).number(seq.into()).number(attempt.into()).prove().into(),
            first_at: first_at.as_millisecond(),
            until: until.as_millisecond(),
            body: repeatable.body.clone(),
            positions: outcomes.iter().map(|outcome| if outcome == Outcome::Open { '1' } else { '0' }).collect(),
            asked_again: 0,
        })
    }

    /// What the provider knows it by: 64 hexadecimal digits.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The digest of its body. Another body under the same key is not asked with.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whom it is for, all of whom a repeat names too.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions.bytes().enumerate().filter(|(_, letter)| *letter == b'1').map(|(at, _)| at)
    }

    /// How often it was made again.
    #[must_use]
    pub fn asked_again(&self) -> u32 {
        self.asked_again
    }

    /// Until when it may be made again, by AWS's clock.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        Timestamp::from_millisecond(self.until).unwrap_or(Timestamp::MIN)
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

    pub(crate) fn to_attribute(&self) -> Result<AttributeValue, LedgerError> {
        serde_dynamo::to_attribute_value(self).map_err(|error| LedgerError::corrupt("chunk", error))
    }

    pub(crate) fn sealed_with(&self, prover: Prover) -> Prover {
        let time = |ms: i64| u64::try_from(ms).unwrap_or(0);
        let prover = prover.text("request").text(&self.key).number(time(self.first_at)).number(time(self.until));
        prover.text(&self.body).text(&self.positions).number(self.asked_again.into())
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

    /// The request that may be made again at `now` to learn what became of those of it who are in doubt; nothing where
    /// nobody is, a claim is not over, evidence has opened any of them, or its time is over.
    #[must_use]
    pub fn askable(&self, now: Timestamp) -> Option<&Keyed> {
        let request = self.request().filter(|request| now < request.until())?;
        let outcomes = self.outcomes()?;
        let is = |wanted: &[Outcome]| request.positions().any(|at| outcomes.iter().nth(at).is_some_and(|found| wanted.contains(&found)));
        let is_over = !matches!(self, Self::Claimed { lease_until, .. } if now < *lease_until);
        (is_over && is(&[Outcome::Open, Outcome::InDoubt]) && !is(&[Outcome::Retryable])).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Written;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn keyed(attempt: u32, letters: &str) -> Keyed {
        let under = Under {
            granted_at: Some(at(1_000)),
            repeatable: Some(Repeatable { lasting: Duration::from_secs(100), body: "b".to_owned() }),
            ..Under::default()
        };
        let outcomes = Outcomes::try_from(letters.to_owned()).unwrap();
        Keyed::new(&"terms".parse().unwrap(), 3, attempt, &outcomes, Some(&MessageKey::new([7; 32])), &under).unwrap()
    }

    fn confirmed(letters: &str, request: Keyed) -> Chunk {
        Chunk::Confirmed {
            page: 0,
            attempt: 1,
            claimed_at: at(1_000),
            outcomes: Outcomes::try_from(letters.to_owned()).unwrap(),
            message_ids: String::new(),
            reopened_at: None,
            request: Some(request),
            written: Written::default(),
        }
    }

    #[test]
    fn each_attempt_has_a_key_of_its_own_and_always_the_same() {
        assert_eq!(keyed(1, "..").key(), keyed(1, "..").key());
        assert_ne!(keyed(1, "..").key(), keyed(2, "..").key());
        assert_eq!(keyed(1, "..").key().len(), 64);
    }

    #[test]
    fn whoever_is_in_doubt_may_be_asked_about_until_the_time_that_was_written_with_the_claim() {
        let chunk = confirmed("ad", keyed(1, ".."));
        assert_eq!(chunk.askable(at(1_099)).map(|request| request.positions().collect::<Vec<_>>()), Some(vec![0, 1]));
        assert_eq!(chunk.askable(at(1_100)), None);
    }

    #[test]
    fn nobody_is_asked_about_who_is_settled_opened_by_evidence_or_of_another_request() {
        assert_eq!(confirmed("aa", keyed(1, "..")).askable(at(1_001)), None);
        assert_eq!(confirmed("dt", keyed(1, "..")).askable(at(1_001)), None);
        assert_eq!(confirmed("da", keyed(1, "d.")).askable(at(1_001)), None);
    }

    #[test]
    fn a_claim_is_asked_about_when_its_lease_is_over_and_no_sooner() {
        let chunk = Chunk::Claimed {
            page: 0,
            attempt: 1,
            claimed_at: at(1_000),
            lease_until: at(1_020),
            outcomes: Outcomes::try_from("..".to_owned()).unwrap(),
            message_ids: String::new(),
            request: Some(keyed(1, "..")),
            written: Written::default(),
        };
        assert_eq!(chunk.askable(at(1_019)), None);
        assert!(chunk.askable(at(1_020)).is_some());
    }
}
