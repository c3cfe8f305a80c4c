//! Whether a provider had another key while somebody sent who does not tell with which.
//!
//! A consumer of an older build claims without a mark of its key, and whoever asks about its request with another mails everybody of
//! it a second time. What keys there were the consumers of this build tell with their beats. So it is not known of a key that only older
//! consumers had: one that was replaced in the very moment of the upgrade looks as if it had always been this one.
//!
//! What it must never do: say no where the ledger has forgotten who was there.

use issei_schema::ProviderName;
use jiff::Timestamp;

use crate::drained::CLOCKS;
use crate::{Broadcast, Heartbeat, Ledger, LedgerError, ServiceKind};

impl Ledger {
    /// Whether any consumer that was there with those who tell no key, or after them, had another key than this of the broadcast's
    /// provider.
    pub async fn may_have_had_another_key(&self, broadcast: &Broadcast, key: &str) -> Result<bool, LedgerError> {
        let earlier = |at: Timestamp| at.saturating_sub(CLOCKS).unwrap_or(Timestamp::MIN);
        let (provider, registered) = (broadcast.provider.clone().unwrap_or_default(), broadcast.created_at);
        // Who was there before its registration counts too, so it does not help that this may have been after the restore.
        if self.restored_at().await?.is_some_and(|restored| restored >= earlier(registered)) {
            return Ok(true);
        }
        let mut runs = self.heartbeats(earlier(registered)).await?;
        // Whoever was started before kept the key of then.
        if let Some(started) = silent(&runs, &provider).map(|run| run.started_at).min().filter(|started| *started < registered) {
            runs = self.heartbeats(earlier(started)).await?;
        }
        Ok(runs.iter().any(|run| is_other(run, &provider, key)))
    }
}

/// The consumers that do not tell with which key they ask.
fn silent<'a>(runs: &'a [Heartbeat], provider: &'a ProviderName) -> impl Iterator<Item = &'a Heartbeat> {
    runs.iter().filter(move |run| run.service == ServiceKind::Consumer && !run.keys.contains_key(provider))
}

fn is_other(run: &Heartbeat, provider: &ProviderName, key: &str) -> bool {
    run.service == ServiceKind::Consumer && run.keys.get(provider).is_some_and(|told| told != key)
}
