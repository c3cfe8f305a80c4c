//! The permits that a consumer holds, one block for each broadcast.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Clock, Deadline, Dice, Instant, Reading};
use issei_ledger::{Block, Broadcast, BroadcastState, Granted, Holding, Incarnation, Ledger, LedgerError, Permit, Registration};
use issei_schema::{BroadcastId, Ramped};
use jiff::Timestamp;

use crate::rate::Waiting;

/// How long a consumer that finds the budget spent waits before it asks again, at first and at most.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// For how long it is believed that a ramp allows no more in this hour: permits may come back.
const BELIEVED: Duration = Duration::from_mins(1);

/// Before a consumer knows its own speed, it asks for permits for so many chunks.
const FIRST: u64 = 20;

/// What came of asking for a permit.
pub(crate) enum Permission {
    Permit(Permit),
    /// Its ramp allows no more until then.
    Later(Timestamp),
    /// The broadcast does not run, has nothing left to grant, or is another registration.
    Denied(Broadcast),
    /// The budget is spent for now, and whoever asked was not to wait.
    Spent,
}

/// A pool, and whether somebody waits in it, with the pool locked, for a budget that is spent.
#[derive(Default)]
struct Shared {
    pool: tokio::sync::Mutex<Pool>,
    is_spent: AtomicBool,
    /// Recipients of the chunks that wait for a permit.
    waiting: AtomicU64,
}

#[derive(Default)]
struct Pool {
    /// Whose permits these are. Those of an earlier registration of the id are void.
    of: Option<Registration>,
    block: Option<Stock>,
    /// The newest epoch that this consumer has heard of.
    epoch: u64,
    /// What remained after the last grant that anybody told us of.
    remaining: u64,
    /// How far the ramp of a broadcast that has one has come, as the last grant or its refusal said.
    ramped: Option<Ramped>,
    /// Until when its ramp allows no more, and for how long that is believed, since permits may come back.
    later: Option<(Timestamp, Deadline)>,
    /// When the block was granted, and how many permits have been cut from it.
    granted: Option<Instant>,
    taken: u64,
    /// How many had been cut when it was last looked at.
    taken_before: u64,
    /// Since when the budget stands still. Kept from one call of a function to the next, which are too short for
    /// the wait.
    still: Option<Still>,
}

/// A block, and for as long as it is there the word that it is.
struct Stock {
    block: Block,
    _held: Holding,
}

/// A budget that is spent, and of which nothing is granted any more.
#[derive(Clone, Copy)]
struct Still {
    /// The last grant that was seen.
    grants: u64,
    since: Reading,
    /// How long it must stand still before it is recounted, by the timeouts of whoever may have lost permits.
    longest: Option<Duration>,
}

impl Pool {
    fn take(&mut self, recipients: u64, now: Reading) -> Option<Permit> {
        let permit = self.block.as_mut()?.block.take(recipients, now)?;
        self.taken += recipients;
        Some(permit)
    }

    /// How many to ask for: what this consumer uses in a second, and at least for those who wait, never more than the
    /// rate allows, nor than a quarter of what is left, so that near the end nobody sits on permits that
    /// another needs. Where grants are slow, since many consumers ask the one item, little is used in a second: whoever
    /// asked for no more than that would ask the oftener the slower it is.
    fn wanted(&self, recipients: u64, waiting: u64, rate: f64, now: Instant) -> u64 {
        let elapsed = self.granted.map(|granted| now.saturating_duration_since(granted)).unwrap_or_default();
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let second = if self.taken == 0 { recipients * FIRST } else { self.taken.saturating_mul(1000) / ms };
        second.max(waiting).min(whole(rate)).min(self.remaining / 4).max(recipients)
    }
}

/// All blocks of a consumer.
pub(crate) struct Permits {
    ledger: Ledger,
    clock: Clock,
    dice: Dice,
    timing: Timing,
    run: Incarnation,
    pools: Mutex<HashMap<BroadcastId, Arc<Shared>>>,
}

impl Permits {
    pub(crate) fn new(ledger: Ledger, clock: Clock, dice: Dice, timing: Timing, run: Incarnation) -> Self {
        Self { ledger, clock, dice, timing, run, pools: Mutex::new(HashMap::new()) }
    }

    fn pool(&self, id: &BroadcastId) -> Arc<Shared> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone()
    }

    /// Until when a ramp allows no more, where that was told lately.
    pub(crate) fn later(&self, of: &Registration) -> Option<Timestamp> {
        let pool = self.pool(&of.id);
        // Whoever asks the ledger just now finds out.
        let pool = pool.pool.try_lock().ok().filter(|pool| pool.of.as_ref() == Some(of))?;
        let (until, believed) = pool.later?;
        let reading = self.clock.reading();
        (reading.wall() < until && !believed.is_over(reading)).then_some(until)
    }

    /// A permit for `recipients`, from the block in hand or a new one of about a second at `rate`.
    /// Waits while the budget is spent but permits may still come back; unless whoever asks only `presumes` that it needs any.
    pub(crate) async fn take(
        &self,
        of: &Registration,
        epoch: u64,
        recipients: u64,
        rate: f64,
        presumes: bool,
        ramped: Option<Ramped>,
    ) -> Result<Permission, LedgerError> {
        let id = &of.id;
        let shared = self.pool(id);
        if presumes && shared.is_spent.load(Ordering::Relaxed) {
            return Ok(Permission::Spent);
        }
        let _waiting = Waiting::enter(&shared.waiting, recipients);
        let mut pool = shared.pool.lock().await;
        if pool.of.as_ref() != Some(of) {
            *pool = Pool { of: Some(of.clone()), ..Pool::default() };
        }
        pool.epoch = pool.epoch.max(epoch);
        let mut pause = ASK_AGAIN;
        loop {
            let now = self.clock.now();
            if let Some(permit) = pool.take(recipients, self.clock.reading()) {
                return Ok(Permission::Permit(permit));
            }
            if let Some(stock) = pool.block.take() {
                self.return_unused(of, stock).await;
            }
            // Whoever proves a stop by what runs say of themselves must know of everybody who has permits.
            if !self.run.is_known(self.clock.reading()) {
                tokio::time::sleep(self.dice.jitter(pause)).await;
                pause = (pause * 2).min(ASK_AGAIN_MAX);
                continue;
            }
            let most = pool.wanted(recipients, shared.waiting.load(Ordering::Relaxed), rate, now);
            let ramped = ramped.map(|known| pool.ramped.unwrap_or(known));
            match self.ledger.grant(of, pool.epoch, (recipients, most), ramped, self.timing.permit_life).await? {
                Granted::Block(block) => {
                    shared.is_spent.store(false, Ordering::Relaxed);
                    pool.ramped = block.ramped();
                    pool.remaining = block.remaining();
                    let stock = Stock { block, _held: self.run.holding(id) };
                    (pool.block, pool.granted, pool.taken, pool.taken_before) = (Some(stock), Some(now), 0, 0);
                }
                Granted::Denied(broadcast) if broadcast.broadcast_state != BroadcastState::Running || broadcast.registration() != *of => {
                    shared.is_spent.store(false, Ordering::Relaxed);
                    return Ok(Permission::Denied(broadcast));
                }
                Granted::Denied(broadcast) if broadcast.epoch < pool.epoch => {
                    return Err(LedgerError::Restored {
                        reason: format!("broadcast `{id}` is back in epoch {}, and was in {}", broadcast.epoch, pool.epoch),
                    });
                }
                Granted::Denied(broadcast) if broadcast.epoch != pool.epoch => pool.epoch = broadcast.epoch,
                Granted::Denied(broadcast) => {
                    pool.remaining = broadcast.remaining;
                    pool.ramped = broadcast.ramped();
                    let left = pool.ramped.and_then(|ramped| ramped.left_at(self.clock.wall()));
                    if let Some((_, until)) = left.filter(|(left, _)| *left < recipients) {
                        pool.later = Some((until, Deadline::after(self.clock.reading(), BELIEVED)));
                        return Ok(Permission::Later(until));
                    }
                    if broadcast.remaining >= recipients {
                        continue;
                    }
                    shared.is_spent.store(true, Ordering::Relaxed);
                    if presumes {
                        return Ok(Permission::Spent);
                    }
                    let reading = self.clock.reading();
                    let mut still = match pool.still {
                        Some(still) if still.grants == broadcast.grant_count => still,
                        _ => Still { grants: broadcast.grant_count, since: reading, longest: None },
                    };
                    let still_for = reading.since(still.since);
                    // Read once it is time by our own, and so after the last grant.
                    if still.longest.is_none() && still_for > self.timing.recount_after() {
                        still.longest = Some(self.ledger.widest(&self.timing).await?.timing.recount_after());
                    }
                    pool.still = Some(still);
                    if still.longest.is_some_and(|longest| still_for > longest) {
                        let recounted = self.recount(&broadcast).await?;
                        if recounted.remaining < recipients {
                            return Ok(Permission::Denied(recounted));
                        }
                        pool.still = None;
                        continue;
                    }
                    tokio::time::sleep(self.dice.jitter(pause)).await;
                    pause = (pause * 2).min(ASK_AGAIN_MAX);
                }
            }
        }
    }

    /// Nobody has been granted anything for so long that every permit has expired: what the claims
    /// do not account for was lost in a crash and comes back.
    async fn recount(&self, broadcast: &Broadcast) -> Result<Broadcast, LedgerError> {
        let recounted = self.ledger.recount(broadcast).await?;
        tracing::info!(broadcast.id = %broadcast.broadcast_id, before = broadcast.remaining, after = recounted.remaining, "permits recounted from the claims");
        Ok(recounted)
    }

    /// Puts a permit back whose send never began: into the block that it was cut from, or into the ledger, where that is gone
    /// or the pool is locked. Whoever has locked it may wait for this very permit.
    pub(crate) async fn put_back(&self, of: &Registration, permit: Permit) {
        let shared = self.pool(&of.id);
        let left = match shared.pool.try_lock().ok().as_mut().and_then(|pool| pool.block.as_mut()) {
            Some(stock) => stock.block.put_back(permit).err(),
            None => Some(permit),
        };
        if let Some((epoch, permits)) = left.map(Permit::into_unused) {
            self.give_back(of, epoch, permits).await;
        }
    }

    /// Gives back the permits of sends that were surely not accepted.
    pub(crate) async fn give_back(&self, of: &Registration, epoch: u64, permits: u64) {
        if let Err(error) = self.ledger.give_back(of, epoch, permits).await {
            tracing::warn!(%error, permits, "permits can't be given back; they come back with the next recount");
        }
    }

    async fn return_unused(&self, of: &Registration, stock: Stock) {
        let (epoch, unused) = stock.block.into_unused();
        self.give_back(of, epoch, unused).await;
    }

    /// Gives back what this consumer has not used since it was last asked, so that permits don't lie
    /// here while another waits for them.
    pub(crate) async fn return_idle(&self) {
        let pools: Vec<_> = self.pools.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for pool in pools {
            // A pool that is in use right now is not idle.
            let Ok(mut pool) = pool.pool.try_lock() else { continue };
            let is_idle = pool.taken_before == pool.taken;
            pool.taken_before = pool.taken;
            let now = self.clock.reading();
            let of = pool.of.clone();
            if let Some((of, stock)) = of.zip(pool.block.take_if(|stock| is_idle || stock.block.is_over(now))) {
                self.return_unused(&of, stock).await;
            }
        }
    }

    /// Gives back what this consumer holds of one broadcast, for others need it more. Whoever has locked the pool has cut what
    /// was in it, or waits for what is given back here.
    pub(crate) async fn return_of(&self, of: &Registration) {
        let pool = self.pool(&of.id);
        let stock = pool.pool.try_lock().ok().and_then(|mut pool| pool.block.take());
        if let Some(stock) = stock {
            self.return_unused(of, stock).await;
        }
    }

    /// Gives everything back at the end of work.
    pub(crate) async fn return_all(&self) {
        let pools: Vec<_> = self.pools.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for pool in pools {
            let mut pool = pool.pool.lock().await;
            if let Some((of, stock)) = pool.of.clone().zip(pool.block.take()) {
                self.return_unused(&of, stock).await;
            }
        }
    }
}

/// A rate as a whole number of recipients, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(rate: f64) -> u64 {
    rate.clamp(1.0, 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty chunks have waited for two seconds for a grant to one of them, since a thousand consumers ask the one item.
    #[tokio::test(start_paused = true)]
    async fn whoever_waits_long_for_a_grant_asks_for_all_who_wait() {
        let clock = Clock::starting_at("2026-11-26T00:00:00Z".parse().unwrap());
        let pool = Pool { granted: Some(clock.now()), taken: 50, remaining: 1_000_000, ..Pool::default() };
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pool.wanted(50, 50, 1e5, clock.now()), 50);
        assert_eq!(pool.wanted(50, 1_000, 1e5, clock.now()), 1_000);
        assert_eq!(pool.wanted(50, 1_000, 500.0, clock.now()), 500, "no more than the rate");
        let ending = Pool { remaining: 400, ..pool };
        assert_eq!(ending.wanted(50, 1_000, 1e5, clock.now()), 100, "nor than a quarter of what is left");
    }
}
