//! Whether SES is used here at all. Who sends by another provider alone has no identity, no configuration set and an account in its
//! sandbox there, and none of that is to be mended.
//!
//! What it must never do: leave SES out where a broadcast goes by it, or where that can't be read.

use futures_util::{StreamExt, stream};
use issei_assembly::Parts;
use issei_certificate::Finding;
use issei_ledger::Ledger;
use issei_schema::ProviderName;

use super::InEnglish;
use super::{READ_AT_ONCE, setting};

/// Who else carries, by their names. Nothing where SES may carry something: no other is configured, a configuration set is named, or the
/// ledger knows a broadcast by it.
pub(crate) async fn instead_of_ses(parts: &Parts) -> Option<Vec<ProviderName>> {
    let names: Vec<ProviderName> = parts.settings.keys_of_providers().map(|(name, ..)| name.clone()).collect();
    let is_named = parts.settings.told().changed.contains_key("configuration_set");
    if names.is_empty() || is_named || has_carried(&parts.ledger()).await {
        return None;
    }
    Some(names)
}

/// What can't be read may be by SES.
async fn has_carried(ledger: &Ledger) -> bool {
    let Ok(ids) = ledger.known_broadcasts().await else { return true };
    let read = stream::iter(ids).map(|id| async move { ledger.broadcast(&id).await }).buffer_unordered(READ_AT_ONCE);
    let by_ses = |provider: Option<ProviderName>| provider.is_none_or(|name| name == ProviderName::default());
    read.any(|broadcast| std::future::ready(broadcast.map_or(true, |broadcast| by_ses(broadcast.provider)))).await
}

/// What is said in the place of all that would be asked of SES.
pub(crate) fn not_used(names: &[ProviderName]) -> Finding {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let value = format!(
        "not used yet, and so not asked: no broadcast by it is known here, configuration_set is at its default, and {} is configured; a command that names no `provider` goes by it all the same: name configuration_set before the first one, and it is asked",
        names.join(", ")
    );
    setting("SES", "the configuration, and the broadcasts that the ledger knows")
        .rule(
            "asked where it is used",
            "who sends by another provider alone has nothing to mend there; name the configuration set, and it is asked",
        )
        .found(value, true)
}
