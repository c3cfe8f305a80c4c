//! Who carries broadcasts here: a provider of the configuration, and what this consumer has met with at its hands.
//!
//! What this must never do: let a broadcast be carried by another account than it was registered for. What one has accepted
//! no other knows, so to ask another again is to mail everybody a second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use issei_ledger::ReasonCode;
use issei_provider::Provider;
use issei_schema::{BroadcastId, CarriedBy, ProviderName};

use crate::broadcasts::Known;
use crate::envelope::Envelope;
use crate::rate::Rate;
use crate::service::Consumer;

/// A provider, and what this consumer has met with at its hands.
pub(crate) struct Carrier {
    pub(crate) provider: Arc<dyn Provider>,
    /// Which account it is, as far as that can be said.
    carried_by: Option<CarriedBy>,
    pub(crate) rate: Rate,
    pub(crate) failures: Failures,
}

/// How many chunks in a row were sent in vain, of each broadcast: of one nobody may be accepted for its words' sake, while others
/// go well. Those of a broadcast that is over, and had such a row, are few.
#[derive(Default)]
pub(crate) struct Failures(Mutex<HashMap<BroadcastId, u32>>);

impl Failures {
    /// What is neither, since the provider was just too busy or nobody was asked for, says nothing.
    pub(crate) fn count(&self, id: &BroadcastId, in_vain: bool, accepted: bool) -> u32 {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted {
            rows.remove(id);
        } else if in_vain {
            *rows.entry(id.clone()).or_default() += 1;
        }
        rows.get(id).copied().unwrap_or_default()
    }
}

impl Carrier {
    /// `aws_account` is the one of the queue that chunks come from: by SES a consumer sends as the same.
    pub(crate) fn new(provider: Arc<dyn Provider>, rate: Rate, aws_account: Option<&str>) -> Self {
        let carried_by = provider.carried_by().map(|carried_by| carried_by.or_in(aws_account));
        Self { provider, carried_by, rate, failures: Failures::default() }
    }

    /// Which account it is, for whoever asks who sent: what kind of provider at least.
    pub(crate) fn account(&self) -> CarriedBy {
        self.carried_by.clone().unwrap_or_else(|| CarriedBy::new(self.provider.facts().kind, None, None))
    }

    /// Why it is not the one that a broadcast was registered for; nothing where it is, as far as both tell.
    fn objection(&self, name: &ProviderName, registered: Option<&CarriedBy>) -> Option<String> {
        let (here, registered) = (self.carried_by.as_ref()?, registered?);
        let reason = format!(
            "`{name}` is {here} in a consumer's configuration, and the broadcast was registered for {registered}: what one account has accepted no other knows, so nothing is sent or asked; configure the consumers as the producer was and resume, or stop it and send the rest with `issei resend`"
        );
        here.is_another_than(registered).then_some(reason)
    }

    /// What tells its key from another in what a request is known by, whoever registered the broadcast.
    pub(crate) fn key_mark(&self) -> Option<&str> {
        self.provider.key_mark()
    }

    /// What the ledger may have of the key, so that it is known from another.
    pub(crate) fn key_told(&self) -> Option<String> {
        // As many bits as nobody meets by accident; the whole mark is in each request's digest.
        self.key_mark().map(|mark| mark.chars().take(16).collect())
    }

    /// Whether it would make the request of this digest once more, and with the key that it was first made with. An older
    /// consumer claims without a mark: such a request may count where an older producer registered no account either, so that
    /// nothing was ever told apart.
    pub(crate) fn made(&self, known: &Known, request: &str, digest: impl Fn(Option<&str>) -> String) -> Made {
        if digest(self.key_mark()) == request {
            Made::WithThisKey
        } else if known.carried_by.is_none() && digest(None) == request {
            Made::WithAnyKey
        } else {
            Made::Otherwise
        }
    }
}

/// With which key a request was first made, as far as its digest tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    WithThisKey,
    /// An older consumer made it, and did not say.
    WithAnyKey,
    /// With another, or another build wrote it otherwise.
    Otherwise,
}

/// What this consumer would send of a broadcast, and by whom.
pub(crate) enum Carrying<'a> {
    By(Arc<Envelope>, &'a Carrier),
    /// By nobody whom it knows; another consumer may.
    Elsewhere,
    /// Nothing. The broadcast should be paused, for this reason.
    Not(ReasonCode, String),
}

impl Consumer {
    /// What is to be sent of the broadcast, and who carries it. Where this consumer does not know the provider, another may; by
    /// another provider it must not go, for one carries a broadcast from its beginning to its end.
    pub(crate) fn carrying(&self, id: &BroadcastId, known: &Known) -> Carrying<'_> {
        let envelope = match &known.envelope {
            Ok(envelope) => envelope.clone(),
            Err(unsendable) => {
                let (code, reason) = unsendable.told();
                return Carrying::Not(code, reason);
            }
        };
        let provider = &envelope.provider;
        let Some(carrier) = self.carriers.get(provider) else {
            self.incarnation.note_lack(provider);
            tracing::error!(broadcast.id = %id, %provider, "this consumer is not configured for the broadcast's provider, or lacks its key: add it under [providers], and set the key that it names");
            return Carrying::Elsewhere;
        };
        match carrier.objection(provider, known.carried_by.as_deref()) {
            Some(objection) => Carrying::Not(ReasonCode::PausedOtherAccount, objection),
            None => Carrying::By(envelope, carrier),
        }
    }
}
