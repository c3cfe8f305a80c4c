//! Who was told before the day from which a notice binds, as far as the ledger shows it.

use std::time::Duration;

use issei_ledger::{Inspected, Outcome};
use issei_schema::{BroadcastId, EventKind, Recipient};
use jiff::{SignedDuration, Timestamp};

use crate::certificate::Notice;

/// Keys that a certificate lists. It is signed as a whole and read as a whole.
const KEYS_MAX: usize = 10_000;
/// A lease is written by a consumer's own clock, and AWS refuses requests of one that is further off (Signature Version 4).
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// Whoever has one of these was not reached, though SES took the message.
const NOT_REACHED: [EventKind; 5] =
    [EventKind::Bounced, EventKind::SoftBounced, EventKind::Rejected, EventKind::RenderFailed, EventKind::Suppressed];

/// With where all of them stand, where the certificate names some of them alone.
pub(super) fn listed(notice: Notice, id: &BroadcastId) -> Notice {
    let is_whole = notice.other_keys.len() as u64 == notice.others;
    Notice { all_listed_by: (!is_whole).then(|| format!("issei export {id} --outcome not-in-time")), ..notice }
}

/// Nobody yet.
pub(super) fn of(effective_at: Timestamp) -> Notice {
    Notice { effective_at, accepted_before: 0, others: 0, other_keys: Vec::new(), all_listed_by: None }
}

/// Whether each recipient of a chunk was told before that day, for sure. A request that is still about may be accepted
/// until `held` after the lease.
#[must_use]
pub fn told_in_time(looked: &Inspected, recipients: usize, held: Duration, effective_at: Timestamp) -> Vec<bool> {
    let over = looked.claim.as_ref().map(|claim| claim.lease_until.saturating_add(CLOCKS).unwrap_or(Timestamp::MAX));
    let feedback = &looked.walked.feedback;
    let outcomes: Vec<Outcome> = looked.walked.chunk.outcomes().map(|outcomes| outcomes.iter().collect()).unwrap_or_default();
    let is_told = |at: usize| {
        let by = match (over, outcomes.get(at)) {
            (Some(over), Some(Outcome::Accepted)) => Some(over),
            (Some(over), Some(outcome)) if feedback.settle(at, *outcome) == Outcome::Accepted => {
                Some(over.saturating_add(held).unwrap_or(Timestamp::MAX))
            }
            _ => None,
        };
        let is_reached = !feedback.kinds(at).any(|kind| NOT_REACHED.contains(&kind));
        is_reached && by.is_some_and(|by| by <= effective_at)
    };
    (0..recipients).map(is_told).collect()
}

/// Those of a chunk.
pub(super) fn look_at(looked: &Inspected, recipients: &[Option<Recipient>], held: Duration, told: &mut Notice) {
    let in_time = told_in_time(looked, recipients.len(), held, told.effective_at);
    for (recipient, is_told) in recipients.iter().zip(in_time) {
        if is_told {
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
