//! The permits that a consumer holds, one block for each broadcast.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Clock, Dice, Instant};
use issei_ledger::{Block, Broadcast, BroadcastState, Granted, Ledger, LedgerError, Permit};
use issei_schema::{Actor, BroadcastId};

/// How long a consumer that finds the budget spent waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What came of asking for a permit.
pub(crate) enum Permission {
    Permit(Permit),
    /// The broadcast does not run, or has nothing left to grant.
    Denied(Broadcast),
}

#[derive(Default)]
struct Pool {
    block: Option<Block>,
    /// What remained after the last grant that anybody told us of.
    remaining: u64,
}

/// All blocks of a consumer.
pub(crate) struct Permits {
    ledger: Ledger,
    clock: Clock,
    dice: Dice,
    timing: Timing,
    actor: Actor,
    pools: Mutex<HashMap<BroadcastId, Arc<tokio::sync::Mutex<Pool>>>>,
}

impl Permits {
    pub(crate) fn new(ledger: Ledger, clock: Clock, dice: Dice, timing: Timing, actor: Actor) -> Self {
        Self { ledger, clock, dice, timing, actor, pools: Mutex::new(HashMap::new()) }
    }

    fn pool(&self, id: &BroadcastId) -> Arc<tokio::sync::Mutex<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone()
    }

    /// A permit for `recipients`, from the block in hand or a new one of about a second at `rate`.
    /// Waits while the budget is spent but permits may still come back.
    pub(crate) async fn take(&self, id: &BroadcastId, mut epoch: u64, recipients: u64, rate: f64) -> Result<Permission, LedgerError> {
        let pool = self.pool(id);
        let mut pool = pool.lock().await;
        let mut still: Option<(u64, Instant)> = None;
        loop {
            let now = self.clock.now();
            if let Some(permit) = pool.block.as_mut().and_then(|block| block.take(recipients, now)) {
                return Ok(Permission::Permit(permit));
            }
            if let Some(block) = pool.block.take() {
                self.return_unused(id, block).await;
            }
            // A second's worth, but never more than a quarter of what is left, so that near the end
            // no consumer sits on permits that another needs.
            let second = whole(rate);
            let most = second.min(pool.remaining / 4).max(recipients);
            match self.ledger.grant(id, epoch, recipients, most, self.timing.permit_life).await? {
                Granted::Block(block) => {
                    pool.remaining = block.remaining();
                    pool.block = Some(block);
                }
                Granted::Denied(broadcast) if broadcast.broadcast_state != BroadcastState::Running => return Ok(Permission::Denied(broadcast)),
                Granted::Denied(broadcast) if broadcast.epoch != epoch => epoch = broadcast.epoch,
                Granted::Denied(broadcast) => {
                    pool.remaining = broadcast.remaining;
                    if broadcast.remaining >= recipients {
                        continue;
                    }
                    let since = match still {
                        Some((count, since)) if count == broadcast.grant_count => since,
                        _ => now,
                    };
                    still = Some((broadcast.grant_count, since));
                    if now.saturating_duration_since(since) > self.timing.recount_after() {
                        let recounted = self.recount(broadcast).await?;
                        if recounted.remaining < recipients {
                            return Ok(Permission::Denied(recounted));
                        }
                        still = None;
                        continue;
                    }
                    tokio::time::sleep(self.dice.jitter(ASK_AGAIN)).await;
                }
            }
        }
    }

    /// Nobody has been granted anything for so long that every permit has expired: what the claims
    /// do not account for was lost in a crash and comes back. If nothing comes back and a canary is
    /// out, it is the operator's turn.
    async fn recount(&self, broadcast: Broadcast) -> Result<Broadcast, LedgerError> {
        let recounted = self.ledger.recount(&broadcast).await?;
        tracing::info!(broadcast.id = %broadcast.broadcast_id, before = broadcast.remaining, after = recounted.remaining, "permits recounted from the claims");
        if recounted.remaining == 0 && recounted.withheld > 0 && recounted.broadcast_state == BroadcastState::Running {
            return self.ledger.hold_after_canary(&recounted, &self.actor).await;
        }
        Ok(recounted)
    }

    /// Puts a permit back whose send never began.
    pub(crate) async fn put_back(&self, id: &BroadcastId, permit: Permit) {
        let pool = self.pool(id);
        let mut pool = pool.lock().await;
        if let Some(block) = pool.block.as_mut() {
            block.put_back(permit);
        }
    }

    /// Gives back the permits of sends that were surely not accepted.
    pub(crate) async fn give_back(&self, id: &BroadcastId, epoch: u64, permits: u64) {
        if let Err(error) = self.ledger.give_back(id, epoch, permits).await {
            tracing::warn!(%error, permits, "permits can't be given back; they come back with the next recount");
        }
    }

    async fn return_unused(&self, id: &BroadcastId, block: Block) {
        let (epoch, unused) = block.into_unused();
        self.give_back(id, epoch, unused).await;
    }

    /// Gives everything back at the end of work.
    pub(crate) async fn return_all(&self) {
        let pools: Vec<_> = self.pools.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        for (id, pool) in pools {
            let block = pool.lock().await.block.take();
            if let Some(block) = block {
                self.return_unused(&id, block).await;
            }
        }
    }
}

/// A rate as a whole number of recipients, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(rate: f64) -> u64 {
    rate.clamp(1.0, 1e9) as u64
}
