//! Whose fault a refusal is.
//!
//! What the provider refuses for the sender's sake must never be charged to a recipient, since a
//! rejected recipient is never mailed again. So a refusal counts against a recipient only where
//! something shows that the sender is not to blame, and the text of the refusal alone never does:
//! the same words are said of a From address.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use issei_schema::BroadcastId;

/// A consumer sees few refusals and few broadcasts; this bounds what a bad list may take. What is
/// forgotten costs one more try, and charges nobody.
const REMEMBERED_MAX: usize = 1_000;

/// What this consumer has met of one broadcast.
#[derive(Default)]
struct Met {
    /// Chunks of which somebody was accepted.
    accepted: u64,
    /// Recipients who were refused, by chunk and position, with how many such chunks there were then.
    refused: BTreeMap<(u32, usize), u64>,
}

/// What is to become of a recipient whom the provider refused where no answer shows that the sender was not to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Rejected: others were accepted since it was first refused, and it was refused again.
    Rejected,
    /// Tried once more, since others were accepted before it, and may be after it.
    Again,
    /// Nothing shows that it is not the sender's: the broadcast must pause.
    Pause,
}

/// What this consumer remembers of refusals.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<BroadcastId, Met>>);

impl Refusals {
    fn with<T>(&self, id: &BroadcastId, change: impl FnOnce(&mut Met) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX && !all.contains_key(id) {
            all.clear();
        }
        change(all.entry(id.clone()).or_default())
    }

    /// Takes note of a chunk of which somebody was accepted.
    pub(crate) fn accepted(&self, id: &BroadcastId) {
        self.with(id, |met| met.accepted += 1);
    }

    /// Says whether this consumer has seen anybody of this broadcast accepted.
    pub(crate) fn has_accepted(&self, id: &BroadcastId) -> bool {
        self.with(id, |met| met.accepted > 0)
    }

    /// Takes note of a recipient who was refused where nobody was accepted.
    pub(crate) fn refused(&self, id: &BroadcastId, chunk: u32, at: usize) -> Charge {
        self.with(id, |met| {
            if met.refused.len() >= REMEMBERED_MAX {
                met.refused.clear();
            }
            match met.refused.insert((chunk, at), met.accepted) {
                Some(before) if met.accepted > before => Charge::Rejected,
                None if met.accepted > 0 => Charge::Again,
                _ => Charge::Pause,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_charged_only_after_others_were_accepted_between_two_refusals() {
        let (refusals, id): (_, BroadcastId) = (Refusals::default(), "terms".parse().unwrap());
        // Nobody was ever accepted: it may be the sender, however often it is tried.
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Pause);
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Pause);
        refusals.accepted(&id);
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Rejected);
        // Somebody was accepted before: once more, and then it needs another.
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Again);
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Pause);
        refusals.accepted(&id);
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Rejected);
        assert_eq!(refusals.refused(&"another".parse().unwrap(), 2, 0), Charge::Pause);
    }
}
