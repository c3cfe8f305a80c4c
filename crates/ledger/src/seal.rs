//! Seals: each state that a service writes into a chunk item is bound to its claim by a MAC under the
//! broadcast's key, so that an edit by hand of any letter shows.
//!
//! Whoever may read the key can make a seal. It tells a slip and a tampering apart from what issei wrote; it
//! does not bind somebody who may read and write the ledger.

use issei_schema::{BroadcastId, MessageKey, Proof, Prover};

use crate::{Keyed, Outcomes};

/// What seals are made for, and nothing else.
const DOMAIN: &str = "issei chunk state 1";

/// What the seal of a chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// There is none: the chunk was never claimed, or an older build wrote it or registered its broadcast.
    Absent,
    /// The chunk is as a service of issei wrote it.
    Holds,
    /// Something else has changed it.
    Broken,
}

/// Under whose token a state was written, and its seal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub(crate) owner: String,
    pub(crate) seal: Option<String>,
}

/// A state of a chunk, as it is sealed.
pub(crate) struct Sealed<'a> {
    pub(crate) id: &'a BroadcastId,
    pub(crate) seq: u32,
    pub(crate) page: u32,
    pub(crate) attempt: u32,
    pub(crate) owner: &'a str,
    pub(crate) state: &'static str,
    pub(crate) outcomes: &'a Outcomes,
    pub(crate) message_ids: &'a str,
    /// Of this attempt. A state without one is sealed as builds before it sealed it.
    pub(crate) request: Option<&'a Keyed>,
}

impl Sealed<'_> {
    fn prover(&self, key: &MessageKey) -> Prover {
        let prover = key.prover(DOMAIN).text(self.id.as_str()).number(self.seq.into()).number(self.page.into());
        let prover = prover.number(self.attempt.into()).text(self.owner).text(self.state);
        let prover = prover.text(&String::from(self.outcomes.clone())).text(self.message_ids);
        match self.request {
            Some(request) => request.sealed_with(prover),
            None => prover,
        }
    }

    pub(crate) fn seal(&self, key: &MessageKey) -> String {
        self.prover(key).prove().into()
    }

    pub(crate) fn look(&self, key: &MessageKey, seal: &str) -> Seal {
        match Proof::try_from(seal.to_owned()) {
            Ok(seal) if self.prover(key).accepts(&seal) => Seal::Holds,
            _ => Seal::Broken,
        }
    }
}
