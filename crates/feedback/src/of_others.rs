//! Events about no letter that this ledger knows. What a provider has signed, and what names another ledger, is that one's: the two
//! share the provider's account. It is counted and let go. Everything else is buried, for somebody to look at.
//!
//! What this must never do: let go of what nobody has signed, or of what may be about a letter that this ledger has forgotten, since
//! a restore: it tells who was mailed, and nothing else does any more.

use std::collections::BTreeMap;

use issei_ledger::{LedgerError, LetterOf, OwnNames};
use issei_provider::Event;
use issei_schema::{BroadcastId, ProviderName};

use crate::batch::{Handled, Source, set};
use crate::service::Feedback;

/// An event about no letter that this ledger knows.
pub(crate) struct Stray {
    number: usize,
    id: BroadcastId,
    /// The provider that has signed it, and the mark that its letter bears.
    signed: Option<(ProviderName, String)>,
    /// Why it is buried, unless it is let go.
    reason: String,
    /// There is a broadcast of its id, of another registration.
    is_of_another: bool,
}

impl Stray {
    pub(crate) fn new(number: usize, event: &Event, source: &Source, reason: String, is_of_another: bool) -> Self {
        let teller = match source {
            // Nobody has signed what is in a file.
            Source::Webhook(teller) => teller.as_deref(),
            // What is published signs nothing.
            Source::Publisher => None,
        };
        let signed = teller.and_then(|teller| teller.parse().ok()).zip(event.registration.clone());
        Self { number, id: event.broadcast.clone(), signed, reason, is_of_another }
    }
}

impl Feedback {
    /// Counts those that are surely another ledger's, before any of them is let go; buries the others.
    pub(crate) async fn sort_strays(&self, strays: Vec<Stray>, handled: &mut [Handled]) {
        let (signed, unsigned): (Vec<_>, Vec<_>) = strays.into_iter().partition(|stray| stray.signed.is_some());
        let mut of_others = count(unsigned.iter().filter(|stray| stray.is_of_another));
        bury(unsigned, handled);
        if !signed.is_empty() {
            let numbers: Vec<usize> = signed.iter().map(|stray| stray.number).collect();
            match self.sort_signed(signed, handled).await {
                Ok(counted) => of_others += counted,
                Err(error) => {
                    tracing::warn!(%error, "events of others can't be counted now; they come again");
                    set(handled, &numbers, &Handled::Again);
                }
            }
        }
        if of_others > 0 {
            tracing::info!(target: "issei::metrics", events_of_others = of_others);
        }
    }

    async fn sort_signed(&self, signed: Vec<Stray>, handled: &mut [Handled]) -> Result<u64, LedgerError> {
        let own = self.ledger.own_names().await?;
        let (others, kept): (Vec<_>, Vec<_>) = signed.into_iter().partition(|stray| stray.whose(&own) == LetterOf::Another);
        let mut by_teller: BTreeMap<ProviderName, u64> = BTreeMap::new();
        for (teller, _) in others.iter().filter_map(|stray| stray.signed.as_ref()) {
            *by_teller.entry(teller.clone()).or_default() += 1;
        }
        for (teller, events) in by_teller {
            self.ledger.note_events_of_others(&teller, events).await?;
        }
        let of_others = count(&others) + count(kept.iter().filter(|stray| stray.is_of_another));
        let named = |stray: Stray| match stray.whose(&own) {
            LetterOf::This => Stray { reason: forgotten(&stray.id), ..stray },
            LetterOf::Another | LetterOf::Unknown => stray,
        };
        bury(kept.into_iter().map(named).collect(), handled);
        Ok(of_others)
    }
}

impl Stray {
    fn whose(&self, own: &OwnNames) -> LetterOf {
        self.signed.as_ref().map_or(LetterOf::Unknown, |(_, mark)| own.whose(mark))
    }
}

/// How the reason begins of an event about a letter that a restore has made the ledger forget.
const FORGOTTEN: &str = "its letter was sent by this ledger, or by the one that it was restored from,";

/// Whether an event was buried for this reason, which stays: put on the queue again it would be buried again.
#[must_use]
pub fn is_of_forgotten(reason: &str) -> bool {
    reason.starts_with(FORGOTTEN)
}

fn forgotten(id: &BroadcastId) -> String {
    format!(
        "{FORGOTTEN} for a registration of `{id}` that it does not know: whoever the event names was mailed, and the ledger has forgotten it; nothing of it counts"
    )
}

fn bury(strays: Vec<Stray>, handled: &mut [Handled]) {
    strays.into_iter().for_each(|Stray { number, reason, .. }| set(handled, &[number], &Handled::Bury(reason)));
}

fn count<'a>(strays: impl IntoIterator<Item = &'a Stray>) -> u64 {
    strays.into_iter().count() as u64
}
