//! What became of each recipient of a chunk, one letter each.

use serde::{Deserialize, Serialize};

/// What became of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In a claim that has not been confirmed. Once its lease is over it reads as in doubt.
    Open,
    /// The provider took it.
    Accepted,
    /// The provider refused it for good.
    Rejected,
    /// Surely not accepted; may be sent again.
    Retryable,
    /// Nobody knows whether the provider took it. Not sent again.
    InDoubt,
}

impl Outcome {
    fn letter(self) -> char {
        match self {
            Self::Open => '.',
            Self::Accepted => 'a',
            Self::Rejected => 'r',
            Self::Retryable => 't',
            Self::InDoubt => 'd',
        }
    }

    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            '.' => Self::Open,
            'a' => Self::Accepted,
            'r' => Self::Rejected,
            't' => Self::Retryable,
            'd' => Self::InDoubt,
            _ => return None,
        })
    }
}

/// The outcomes of a chunk's recipients, in the chunk's order. In the ledger: one letter each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Outcomes(Vec<Outcome>);

impl Outcomes {
    pub(crate) fn open(recipients: usize) -> Self {
        Self(vec![Outcome::Open; recipients])
    }

    /// How many recipients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A chunk always has recipients; this is for completeness of the pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The outcomes in order.
    pub fn iter(&self) -> impl Iterator<Item = Outcome> + '_ {
        self.0.iter().copied()
    }

    /// The positions with this outcome.
    pub fn positions(&self, outcome: Outcome) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(move |(_, found)| **found == outcome).map(|(at, _)| at)
    }

    /// How many have this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.positions(outcome).count()
    }

    /// Records what became of an open position. A position that is settled keeps its outcome.
    pub fn settle(&mut self, at: usize, outcome: Outcome) {
        if let Some(place) = self.0.get_mut(at).filter(|place| **place == Outcome::Open) {
            *place = outcome;
        }
    }

    /// The retryable positions, opened for another claim.
    pub(crate) fn reopened(&self) -> Self {
        Self(self.0.iter().map(|outcome| if *outcome == Outcome::Retryable { Outcome::Open } else { *outcome }).collect())
    }
}

impl Outcomes {
    /// The outcomes after it was proved that these positions were not accepted. Only what is in
    /// doubt or open can be proved so; what else is open then is in doubt.
    pub(crate) fn disproved(&self, unsent: &[usize]) -> Self {
        let after = |(at, outcome): (usize, &Outcome)| match outcome {
            Outcome::Open | Outcome::InDoubt if unsent.contains(&at) => Outcome::Retryable,
            Outcome::Open => Outcome::InDoubt,
            other => *other,
        };
        Self(self.0.iter().enumerate().map(after).collect())
    }
}

impl Outcomes {
    /// The outcomes once it is asked again about these positions: those of them who are in doubt are open.
    pub(crate) fn asked_about(&self, asked: &[usize]) -> Self {
        let after = |(at, outcome): (usize, &Outcome)| match outcome {
            Outcome::InDoubt if asked.contains(&at) => Outcome::Open,
            other => *other,
        };
        Self(self.0.iter().enumerate().map(after).collect())
    }

    /// The outcomes after events proved that these positions, which were to be sent to again, were accepted.
    pub(crate) fn proved(&self, accepted: &[usize]) -> Self {
        let after = |(at, outcome): (usize, &Outcome)| match outcome {
            Outcome::Retryable if accepted.contains(&at) => Outcome::Accepted,
            other => *other,
        };
        Self(self.0.iter().enumerate().map(after).collect())
    }
}

impl TryFrom<String> for Outcomes {
    type Error = String;

    fn try_from(letters: String) -> Result<Self, String> {
        letters
            .chars()
            .map(|letter| Outcome::of(letter).ok_or_else(|| format!("unknown outcome letter {letter:?}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<Outcomes> for String {
    fn from(outcomes: Outcomes) -> Self {
        outcomes.0.into_iter().map(Outcome::letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_settled_recipient_is_never_opened_again(letters in "[.ardt]{1,50}", at in 0usize..50, to in "[ard]") {
            let before = Outcomes::try_from(letters.clone()).unwrap();
            let mut after = before.reopened();
            after.settle(at, Outcome::of(to.chars().next().unwrap()).unwrap());
            for (before, after) in before.iter().zip(after.iter()) {
                if matches!(before, Outcome::Accepted | Outcome::Rejected | Outcome::InDoubt) {
                    prop_assert_eq!(before, after);
                }
            }
        }

        #[test]
        fn only_what_is_in_doubt_can_be_disproved(letters in "[.ardt]{1,50}", unsent in proptest::collection::vec(0usize..50, 0..10)) {
            let before = Outcomes::try_from(letters).unwrap();
            for (before, after) in before.iter().zip(before.disproved(&unsent).iter()) {
                match before {
                    Outcome::Open | Outcome::InDoubt => prop_assert!(matches!(after, Outcome::InDoubt | Outcome::Retryable)),
                    settled => prop_assert_eq!(settled, after),
                }
            }
        }

        #[test]
        fn letters_read_back(letters in "[.ardt]{0,50}") {
            prop_assert_eq!(String::from(Outcomes::try_from(letters.clone()).unwrap()), letters);
        }
    }
}
