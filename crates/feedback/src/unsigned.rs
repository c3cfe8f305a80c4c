//! Calls to the address of the webhooks that no provider has signed. The address is public, and a stranger's call must cost nobody a
//! certificate: where nothing in it could count, were it signed, it is counted and let go. Where something could, the provider's secret
//! may be configured wrongly: then it is kept, for somebody to mend that and to move it back.
//!
//! What this must never do: let go of what names a letter of this ledger, or believe anything of what it looks into.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use issei_ledger::{Broadcast, LedgerError, LetterOf, OwnNames};
use issei_provider::{Unread, Unsigned, Webhook};
use issei_schema::{BroadcastId, ProviderName, without_addresses};

use crate::batch::{Handled, set};
use crate::service::Feedback;

/// Of so many broadcasts that a call speaks of the ledger is asked, since whoever calls chooses how many there are.
const ASKED_MAX: usize = 4;
const READS_AT_ONCE: usize = 16;

/// A call that nobody has signed.
pub(crate) struct OfNobodys {
    number: usize,
    webhook: Webhook,
    why: Unsigned,
}

/// By whom it may have been sent, and about which letters it may be.
type Claims = (OfNobodys, Vec<(BroadcastId, Option<String>)>);

impl OfNobodys {
    pub(crate) fn new(number: usize, webhook: Webhook, why: Unsigned) -> Self {
        Self { number, webhook, why }
    }

    /// Letters that it speaks of and that name no ledger, so that the ledger itself must tell whether it knows them.
    fn claims(self, own: &OwnNames) -> Claims {
        let names_none = |mark: &Option<String>| mark.as_deref().is_none_or(|mark| own.whose(mark) == LetterOf::Unknown);
        let claims = self.webhook.claims().into_iter().map(|event| (event.broadcast, event.registration));
        let claims: BTreeSet<_> = claims.filter(|(_, mark)| names_none(mark)).collect();
        (self, claims.into_iter().take(ASKED_MAX).collect())
    }
}

impl Feedback {
    /// Counts what nobody has signed, before any of it is let go; buries what may be of a letter of this ledger.
    pub(crate) async fn sort_unsigned(&self, unsigned: Vec<OfNobodys>, handled: &mut [Handled]) {
        if unsigned.is_empty() {
            return;
        }
        let numbers: Vec<usize> = unsigned.iter().map(|call| call.number).collect();
        if let Err(error) = self.sort_calls(unsigned, handled).await {
            tracing::warn!(%error, "calls that nobody has signed can't be counted now; they come again");
            set(handled, &numbers, &Handled::Again);
        }
    }

    async fn sort_calls(&self, unsigned: Vec<OfNobodys>, handled: &mut [Handled]) -> Result<(), LedgerError> {
        let own = self.ledger.own_names().await?;
        let (named, others): (Vec<_>, Vec<_>) =
            unsigned.into_iter().partition(|call| own.stand_in(&call.webhook.body).is_none_or(|is_named| is_named));
        let claims: Vec<Claims> = others.into_iter().map(|call| call.claims(&own)).collect();
        let known = self.letters_without_a_ledger(&claims).await?;
        let is_known = |(_, claims): &Claims| claims.iter().any(|(id, mark)| known.get(id).is_some_and(|known| known == mark));
        let (known, strange): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_known);
        let kept: Vec<OfNobodys> = named.into_iter().chain(known.into_iter().map(|(call, _)| call)).collect();
        let let_go: Vec<OfNobodys> = strange.into_iter().map(|(call, _)| call).collect();
        self.count_calls(&let_go, false).await?;
        self.count_calls(&kept, true).await?;
        let events_unproven = kept.len() as u64;
        if events_unproven > 0 {
            tracing::info!(target: "issei::metrics", events_unproven, events_unverified = 0_u64);
        }
        if !let_go.is_empty() {
            tracing::info!(target: "issei::metrics", calls_unsigned = let_go.len() as u64);
        }
        for OfNobodys { number, why, .. } in kept {
            set(handled, &[number], &Handled::Bury(Unread::from(why).to_string()));
        }
        Ok(())
    }

    /// How letters of these broadcasts name their registration; nothing of those that the ledger does not know, or SES carries.
    async fn letters_without_a_ledger(&self, claims: &[Claims]) -> Result<BTreeMap<BroadcastId, Option<String>>, LedgerError> {
        let ids: BTreeSet<BroadcastId> = claims.iter().flat_map(|(_, claims)| claims.iter().map(|(id, _)| id.clone())).collect();
        let mut read = stream::iter(ids).map(async |id| (self.ledger.find_broadcast(&id).await, id)).buffer_unordered(READS_AT_ONCE);
        let mut known = BTreeMap::new();
        while let Some((found, id)) = read.next().await {
            if let Some(broadcast) = found?.filter(is_told_by_webhooks) {
                known.insert(id, broadcast.letter_mark());
            }
        }
        Ok(known)
    }

    /// By the names that the configuration has, so that no stranger makes the ledger grow.
    async fn count_calls(&self, calls: &[OfNobodys], are_kept: bool) -> Result<(), LedgerError> {
        let mut by_name: BTreeMap<Option<ProviderName>, u64> = BTreeMap::new();
        for call in calls {
            let name = self.options.webhooks.contains_key(&call.webhook.provider).then(|| call.webhook.provider.parse().ok());
            *by_name.entry(name.flatten()).or_default() += 1;
        }
        for (name, calls) in by_name {
            self.ledger.note_unsigned(name.as_ref(), are_kept, calls).await?;
        }
        Ok(())
    }
}

fn is_told_by_webhooks(broadcast: &Broadcast) -> bool {
    broadcast.provider.as_ref().is_some_and(|carrier| *carrier != ProviderName::default())
}

/// Of a provider that is not configured here no key is at hand.
pub(crate) fn no_key(webhook: &Webhook) -> Unsigned {
    Unsigned::NoKey(without_addresses(&webhook.provider))
}
