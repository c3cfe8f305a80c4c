//! The mark that a run leaves in what it writes: its token, and a digest of what its heartbeat says of it.
//! So a claim by a run that the ledger does not know shows, and so does a heartbeat that was altered since.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::ServiceKind;

/// Which run, and as what it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunMark {
    pub token: String,
    digest: String,
}

impl RunMark {
    /// `about` is what the heartbeat says of the run for as long as it lives.
    pub(crate) fn new(service: ServiceKind, token: &str, about: [&str; 4]) -> Self {
        let parts = [service.as_str(), token].into_iter().chain(about);
        let digest = parts.fold(Sha256::new(), |digest, part| digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
        Self { token: token.to_owned(), digest: hex::encode(digest.finalize().get(..8).unwrap_or_default()) }
    }

    /// What begins a token of this run's own.
    pub(crate) fn with(&self, rest: &str) -> String {
        format!("{self}.{rest}")
    }

    /// The mark in a token, or alone; nothing in those of builds before it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (token, digest) = (parts.next()?, parts.next()?);
        Some(Self { token: token.to_owned(), digest: digest.to_owned() })
    }
}

impl fmt::Display for RunMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.token, self.digest)
    }
}
