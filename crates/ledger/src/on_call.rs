//! A run of a service that works when it is called and lies still in between, as a Lambda function does.
//!
//! It obeys what a service obeys that runs all the time: nothing is done in a ledger that was restored,
//! and nothing by a run that the ledger does not know to be at work. Between two calls it says that it
//! has ended, since a process that is frozen could not say so later.

use issei_aws::Queue;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::heartbeat::Heartbeat;
use crate::lineage::LOOK_EVERY;
use crate::{Incarnation, Ledger, LedgerEpoch, LedgerError};

/// The run, from its first call to its last.
pub struct OnCall {
    ledger: Ledger,
    mirror: Queue,
    run: Incarnation,
    begun: Option<Begun>,
}

struct Begun {
    epoch: LedgerEpoch,
    heartbeat: Heartbeat,
    /// By the wall clock: the other one may have stood still with the process.
    looked_at: Timestamp,
}

impl OnCall {
    #[must_use]
    pub fn new(ledger: Ledger, mirror: Queue, run: Incarnation) -> Self {
        Self { ledger, mirror, run, begun: None }
    }

    /// Does one call's work. The token that it gets is cancelled with `stop`, and where the ledger is
    /// found to be restored meanwhile.
    ///
    /// # Errors
    /// Nothing was done: the ledger was restored, or can't be asked.
    pub async fn call<T>(
        &mut self,
        stop: &CancellationToken,
        work: impl AsyncFnOnce(LedgerEpoch, CancellationToken) -> T,
    ) -> Result<T, LedgerError> {
        let mut begun = self.begin().await?;
        let token = stop.child_token();
        let done = tokio::select! {
            biased;
            done = work(begun.epoch, token.clone()) => done,
            never = self.ledger.keep_watch(&self.mirror, &self.run, &mut begun.heartbeat, &token) => match never {},
        };
        if let Err(error) = self.ledger.end_heartbeat(&self.run, &mut begun.heartbeat).await {
            tracing::warn!(%error, "the ledger can't be told that this call has ended; it counts as silent");
        }
        self.begun = Some(begun);
        Ok(done)
    }

    /// The first call counts as a start. A later one looks whether the ledger is still the one that it
    /// began with, if that is not known from just now.
    async fn begin(&mut self) -> Result<Begun, LedgerError> {
        let now = self.ledger.clock.wall();
        if let Some(mut begun) = self.begun.take() {
            let since = now.duration_since(begun.looked_at);
            let is_fresh = !since.is_negative() && since < SignedDuration::try_from(LOOK_EVERY).unwrap_or(SignedDuration::ZERO);
            let epoch = if is_fresh { begun.epoch } else { self.ledger.check_in(&self.mirror, false).await? };
            if epoch == begun.epoch {
                begun.looked_at = if is_fresh { begun.looked_at } else { now };
                self.ledger.resume_heartbeat(&self.run, &mut begun.heartbeat).await?;
                return Ok(begun);
            }
        }
        let (epoch, heartbeat) = self.ledger.start(&self.mirror, &self.run).await?;
        Ok(Begun { epoch, heartbeat, looked_at: now })
    }
}
