//! What became of a canary, in the words that whoever approves the rest reads first.

use issei_ledger::{Chunk, Outcome};

/// The canary's recipients, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Canary {
    /// Who may have got it.
    sent: usize,
    refused: usize,
    /// To whom nothing was sent, since they came on the suppression list after the audience was frozen.
    spared: usize,
}

impl Canary {
    /// Of a chunk that is settled.
    pub(crate) fn add(&mut self, chunk: &Chunk) {
        for (at, outcome) in chunk.outcomes().into_iter().flat_map(issei_ledger::Outcomes::iter).enumerate() {
            match outcome {
                _ if chunk.spared(at).is_some() => self.spared += 1,
                Outcome::Rejected => self.refused += 1,
                Outcome::Open | Outcome::Accepted | Outcome::InDoubt | Outcome::Retryable => self.sent += 1,
            }
        }
    }

    pub(crate) fn told(self) -> String {
        match self {
            Self { sent: 1.., .. } | Self { refused: 0, spared: 0, .. } => "the canary is sent; approve it, or stop".to_owned(),
            Self { refused: 0, spared, .. } => format!(
                "nobody of the canary was sent to: all {spared} came on the suppression list after the audience was frozen, so nothing shows how it arrives; approve it, or stop"
            ),
            Self { refused, spared: 0, .. } => {
                format!("nobody of the canary was accepted: the provider refused all {refused}; stop it, or approve it")
            }
            Self { refused, spared, .. } => format!(
                "nobody of the canary was accepted: the provider refused {refused}, and {spared} came on the suppression list after the audience was frozen; stop it, or approve it"
            ),
        }
    }
}
