//! Recipients to whom nothing was sent since they came on the list of those that are not mailed after they were frozen. Their
//! outcome is `rejected`, so that builds before this one count them and send them nothing; and in the place of the message's id,
//! under the same seal, stands why.
//!
//! What this must never do: spare anybody of whom a request may be out. A claim that was never confirmed leaves them settled.

use crate::suppressed::Suppression;
use crate::{Chunk, Outcome, Outcomes};

/// What stands in the place of an id where there is none.
pub(crate) const NONE: &str = "-";

/// No provider's id begins so in the ledger.
const MARK: char = '!';

/// A provider's id as it stands in the ledger: ids are joined by spaces there, `-` stands for none, and a mark for the reason why
/// there is none.
pub(crate) fn in_the_ledger(message_id: &str) -> String {
    message_id.replace(' ', "").trim_start_matches(MARK).to_owned()
}

/// Whether it is an id, and nothing that stands in the place of one.
pub(crate) fn is_id(word: &str) -> bool {
    word != NONE && !word.starts_with(MARK)
}

/// Settles those of a claim who are spared, and gives the ids with their reasons.
pub(crate) fn settle(spared: &[(usize, Suppression)], outcomes: &mut Outcomes, mut message_ids: Vec<String>) -> String {
    let open: Vec<usize> = outcomes.positions(Outcome::Open).collect();
    for (at, why) in spared.iter().filter(|(at, _)| open.contains(at)) {
        if let Some(place) = message_ids.get_mut(*at) {
            outcomes.settle(*at, Outcome::Rejected);
            *place = format!("{MARK}{}", why.as_str());
        }
    }
    message_ids.join(" ")
}

/// How many of these places a claim has spared.
pub(crate) fn count(message_ids: &[String], positions: &[usize]) -> u64 {
    positions.iter().filter(|at| message_ids.get(**at).is_some_and(|word| word.starts_with(MARK))).count() as u64
}

impl Chunk {
    /// Whether what stands in a recipient's place is taken for a message's id: whatever is neither none nor a reason for which
    /// this very recipient was spared.
    #[must_use]
    pub fn has_for_id(&self, at: usize, word: &str) -> bool {
        word != NONE && self.spared(at).is_none()
    }

    /// How many its claim has spared of which nobody can have told, since whoever claimed it never confirmed it. Of a further claim that
    /// can't be said: an earlier one may have spared them, and told.
    #[must_use]
    pub fn spared_untold(&self) -> u64 {
        let Self::Claimed { attempt: 1, outcomes, .. } = self else { return 0 };
        (0..outcomes.len()).filter(|at| self.spared(*at).is_some()).count() as u64
    }

    /// Why nothing was sent to this recipient, who came on the list after the audience was frozen; nothing of anybody else.
    #[must_use]
    pub fn spared(&self, at: usize) -> Option<Suppression> {
        let (Self::Claimed { outcomes, message_ids, .. } | Self::Confirmed { outcomes, message_ids, .. }) = self else { return None };
        let word = message_ids.split_whitespace().nth(at)?.strip_prefix(MARK)?;
        let is_rejected = outcomes.iter().nth(at) == Some(Outcome::Rejected);
        Suppression::ALL.into_iter().find(|why| is_rejected && why.as_str() == word)
    }
}
