//! The proof that a service of issei has put an event among the dead: under the ledger's own key, over the event and the reason for
//! which it was refused. Whoever may write to the dead-letter queue can give any message a reason, and can't prove it.
//!
//! What it must never do: prove what nobody has received from the queue of the events, since what is moved back there is believed.

use issei_schema::{MessageKey, Proof};

use crate::{Ledger, LedgerError};

/// What is proved with it, and nothing else.
const DOMAIN: &str = "issei dead event 1";

/// Proves such marks, and tells them from others.
#[derive(Clone)]
pub struct DeadEvents(MessageKey);

impl Ledger {
    /// For whoever looks at dead events; nothing where the ledger has never drawn a key, and so nobody has proved any.
    pub async fn dead_events(&self) -> Result<Option<DeadEvents>, LedgerError> {
        Ok(self.digest_key().await?.map(DeadEvents))
    }

    /// For whoever refuses events. The key is drawn where there is none.
    pub async fn dead_events_to_prove(&self) -> Result<DeadEvents, LedgerError> {
        Ok(DeadEvents(self.digest_key_or_new().await?))
    }
}

impl DeadEvents {
    /// The proof of a refusal that was made just now.
    #[must_use]
    pub fn prove(&self, body: &str, reason: &str) -> Proof {
        self.0.prover(DOMAIN).text(body).text(reason).prove()
    }

    /// Whether this very event was refused by a service, for this very reason. A build before this one proves nothing.
    #[must_use]
    pub fn is_proved(&self, body: &str, reason: &str, proof: &str) -> bool {
        Proof::try_from(proof.to_owned()).is_ok_and(|proof| self.0.prover(DOMAIN).text(body).text(reason).accepts(&proof))
    }
}
