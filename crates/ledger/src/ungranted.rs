//! That nothing of a broadcast can ever be sent, since no permit of it was ever granted.
//!
//! What this must never do: believe that of a ledger that has forgotten grants. One that was restored may have.

use issei_aws::Queue;
use jiff::{SignedDuration, Timestamp};

use crate::{Broadcast, BroadcastState, Ledger, LedgerEpoch, LedgerError};

/// How far the clocks of whoever registered a broadcast and of whoever opened an epoch of the ledger may be apart. They are gone by
/// only where an older build registered it.
pub const CLOCKS: SignedDuration = SignedDuration::from_hours(6);

impl Broadcast {
    /// Whether no permit of it was ever granted, in this ledger, and none ever will be: it is on its way to its end, and each grant
    /// is on the condition that it runs.
    #[must_use]
    pub fn is_never_granted(&self) -> bool {
        let ends = matches!(self.broadcast_state, BroadcastState::Stopping | BroadcastState::Stopped);
        ends && self.granted == 0 && self.grant_count == 0
    }

    /// Whether it was surely registered after this epoch of the ledger, the last, was opened.
    pub(crate) fn is_of_epoch(&self, opened: LedgerEpoch) -> bool {
        match self.ledger_epoch {
            Some(registered_in) => registered_in == opened.epoch,
            // An older build has noted none.
            None => opened.opened_at.saturating_add(CLOCKS).is_ok_and(|surely_after| self.created_at > surely_after),
        }
    }
}

impl Ledger {
    /// When the ledger was taken into use after a restore that may have made it forget whom this broadcast has mailed; nothing where
    /// there was none.
    pub async fn may_have_forgotten(&self, broadcast: &Broadcast) -> Result<Option<Timestamp>, LedgerError> {
        let opened = self.opened_after_restore().await?;
        Ok(opened.filter(|opened| !broadcast.is_of_epoch(*opened)).map(|opened| opened.opened_at))
    }

    /// Whether no permit of it was ever granted in any ledger that there was before this one was restored, either. `broadcast` is
    /// as the write left it that ended it, or as it was read since.
    pub async fn was_never_granted(&self, mirror: &Queue, broadcast: &Broadcast) -> Result<bool, LedgerError> {
        if !broadcast.is_never_granted() || self.restored(mirror).await?.is_some() {
            return Ok(false);
        }
        // Taking a restored ledger into use ends what was open in it, and nobody knows what of that was granted since the backup.
        Ok(self.may_have_forgotten(broadcast).await?.is_none())
    }
}
