//! Who was told before the day from which a notice binds, as far as the ledger shows it.

use std::time::Duration;

use issei_ledger::{Inspected, Outcome};
use issei_schema::{EventKind, Recipient};
use jiff::{SignedDuration, Timestamp};

use crate::certificate::Notice;

/// Keys that a certificate lists. It is signed as a whole and read as a whole.
const KEYS_MAX: usize = 10_000;
/// A lease is written by a consumer's own clock, and AWS refuses requests of one that is further off (Signature Version 4).
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// Whoever has one of these was not reached, though SES took the message.
const NOT_REACHED: [EventKind; 5] =
    [EventKind::Bounced, EventKind::SoftBounced, EventKind::Rejected, EventKind::RenderFailed, EventKind::Suppressed];

/// Nobody yet.
pub(super) fn of(effective_at: Timestamp) -> Notice {
    Notice { effective_at, accepted_before: 0, others: 0, other_keys: Vec::new() }
}

/// Those of a chunk. A request that is still about may be accepted until `held` after the lease.
pub(super) fn look_at(looked: &Inspected, recipients: &[Option<Recipient>], held: Duration, told: &mut Notice) {
    let over = looked.claim.as_ref().map(|claim| claim.lease_until.saturating_add(CLOCKS).unwrap_or(Timestamp::MAX));
    let feedback = &looked.walked.feedback;
    let outcomes: Vec<Outcome> = looked.walked.chunk.outcomes().map(|outcomes| outcomes.iter().collect()).unwrap_or_default();
    for (at, recipient) in recipients.iter().enumerate() {
        let by = match (over, outcomes.get(at)) {
            (Some(over), Some(Outcome::Accepted)) => Some(over),
            (Some(over), Some(outcome)) if feedback.settle(at, *outcome) == Outcome::Accepted => {
                Some(over.saturating_add(held).unwrap_or(Timestamp::MAX))
            }
            _ => None,
        };
        let is_reached = !feedback.kinds(at).any(|kind| NOT_REACHED.contains(&kind));
        if is_reached && by.is_some_and(|by| by <= told.effective_at) {
            told.accepted_before += 1;
            continue;
        }
        told.others += 1;
        // Whoever was forgotten is counted and not named.
        let Some(recipient) = recipient else { continue };
        let key = recipient.key.as_str();
        if told.other_keys.len() < KEYS_MAX && !key.contains('@') {
            told.other_keys.push(key.to_owned());
        }
    }
}
