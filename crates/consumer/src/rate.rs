//! Keeping to the account's rate: the consumer's slots of it, spent evenly, and its daily quota.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use issei_clock::{Clock, Dice, Instant};
use issei_ledger::{Ledger, LedgerError, Slot, SlotRequest};
use issei_provider::{Allowance, Provider};
use issei_schema::ProviderName;
use tokio::sync::Mutex;

/// How long an allowance is believed. SES may be asked for it once a second for an account (SES developer guide,
/// "Service quotas"), and a quota moves slowly.
const QUOTA_LASTS: Duration = Duration::from_mins(1);
/// Timers are no finer than this, so a shorter wait is no wait.
const TICK: Duration = Duration::from_millis(2);
/// A slot is asked for by those who are ready to send, so what of it is used later than this was
/// held up by something else, and its time is gone.
const LATE: Duration = Duration::from_secs(1);

/// How much time a slot is for: five ledger calls a second, and shares of the rate that move
/// between consumers as fast as anybody can watch.
const SLOT: Duration = Duration::from_millis(200);
/// How far behind its pace a consumer may catch up: while it asks for its next slot, the time of that one runs.
const CATCH_UP: Duration = Duration::from_millis(50);
/// How long a consumer whose share is far below the rate uses one slot, whose time is then a small part of it.
const USE: Duration = Duration::from_secs(1);
/// A refused consumer is patient, the longer the oftener it is refused: at first so long, at most so long. As soon as half
/// of those who ask are given something the rate is used up, however many they are, and whoever asks oftener is only
/// refused oftener.
const PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_MAX: Duration = Duration::from_mins(1);

/// What came of waiting for one's turn.
pub(crate) enum Turn {
    /// It is now, at this rate.
    Now { rate: f64 },
    /// The day's quota is used up.
    QuotaSpent { quota: u64 },
}

/// The rate, as one consumer uses it.
pub(crate) struct Rate {
    ledger: Ledger,
    name: ProviderName,
    provider: Arc<dyn Provider>,
    clock: Clock,
    dice: Dice,
    /// Recipients a second at most, whatever the account allows.
    ceiling: Option<f64>,
    state: Mutex<State>,
    /// Recipients of the chunks that wait for their turn: what the next slot should hold.
    waiting: AtomicU64,
    not_before: StdMutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    quota: Option<Quota>,
    slot: Option<Slot>,
    /// When the next recipient of the slot may be sent to.
    next: Option<Instant>,
    /// How many recipients of the slot have been sent to.
    spent: u64,
    /// When the slot was asked for.
    asked: Option<Instant>,
    /// Somebody else had time given to him when this consumer asked last.
    is_shared: bool,
    patience: Duration,
}

#[derive(Clone, Copy)]
struct Quota {
    rate: f64,
    a_day: Option<u64>,
    left_today: u64,
    read_at: Instant,
}

impl Rate {
    pub(crate) fn new(
        ledger: Ledger,
        name: ProviderName,
        provider: Arc<dyn Provider>,
        clock: Clock,
        dice: Dice,
        ceiling: Option<f64>,
    ) -> Self {
        Self {
            ledger,
            name,
            provider,
            clock,
            dice,
            ceiling,
            state: Mutex::default(),
            waiting: AtomicU64::new(0),
            not_before: StdMutex::default(),
        }
    }

    /// Waits until `recipients` may be sent to.
    pub(crate) async fn turn(&self, recipients: u64) -> Result<Turn, LedgerError> {
        let _waiting = Waiting::enter(&self.waiting, recipients);
        // Whoever waits here holds the lock, so turns come one after another.
        let mut state = self.state.lock().await;
        loop {
            let quota = self.quota(&mut state).await?;
            if let Some(a_day) = quota.a_day.filter(|_| quota.left_today < recipients) {
                return Ok(Turn::QuotaSpent { quota: a_day });
            }
            let now = self.clock.now();
            let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(not_before) = not_before.filter(|not_before| *not_before > now) {
                tokio::time::sleep(not_before.saturating_duration_since(now)).await;
                continue;
            }
            if let Some(slot) = state.slot.filter(|slot| state.spent + recipients <= slot.recipients) {
                // Time that has passed unused is gone: the rate can't be saved up, but for what a call to the ledger takes.
                let at = state.next.unwrap_or(slot.starts).max(now.checked_sub(CATCH_UP).unwrap_or(now));
                if at < slot.ends + LATE {
                    state.next = Some(at + Duration::from_secs_f64(as_f64(recipients) / quota.rate));
                    state.spent += recipients;
                    if let Some(quota) = &mut state.quota {
                        quota.left_today = quota.left_today.saturating_sub(recipients);
                    }
                    if at.saturating_duration_since(now) > TICK {
                        tokio::time::sleep(at.saturating_duration_since(now)).await;
                    }
                    return Ok(Turn::Now { rate: quota.rate });
                }
            }
            let wanted = self.wanted(&state, now, quota.rate).min(whole(quota.rate)).max(recipients);
            state.asked = Some(now);
            match self.ledger.rate_slot(&self.name, wanted, quota.rate, state.is_shared).await? {
                SlotRequest::AskAgainIn(delay) => {
                    state.is_shared = true;
                    state.patience = (state.patience * 2).clamp(PATIENCE, PATIENCE_MAX);
                    tokio::time::sleep(delay.max(TICK) + self.dice.jitter(state.patience)).await;
                }
                SlotRequest::Given(slot) => {
                    // Where nobody is ahead, there is nobody to be patient for.
                    state.is_shared = slot.starts > now + TICK;
                    state.patience = if state.is_shared { state.patience / 2 } else { Duration::ZERO };
                    // The pace goes on from slot to slot: two in a row are not sent at once.
                    state.next = state.next.max(Some(slot.starts));
                    (state.slot, state.spent) = (Some(slot), 0);
                }
            }
        }
    }

    /// What the next slot should hold: those who wait, or what this consumer has lately sent within [`USE`], as far as
    /// that takes no more than [`SLOT`] of the rate. More would keep others waiting for time that is not used.
    fn wanted(&self, state: &State, now: Instant, rate: f64) -> u64 {
        let elapsed = state.asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked)).max(TICK);
        let lately = as_f64(state.spent) / elapsed.as_secs_f64() * USE.as_secs_f64();
        self.waiting.load(Ordering::Relaxed).max(whole(lately.min(rate * SLOT.as_secs_f64())))
    }

    async fn quota(&self, state: &mut State) -> Result<Quota, LedgerError> {
        let now = self.clock.now();
        if let Some(quota) = state.quota.filter(|quota| now.saturating_duration_since(quota.read_at) < QUOTA_LASTS) {
            return Ok(quota);
        }
        let allowance = self.provider.allowance().await;
        let allowance = allowance.map_err(|untold| LedgerError::Unavailable { operation: untold.operation, reason: untold.reason });
        let quota = match (allowance, state.quota) {
            (Ok(Allowance { rate, a_day, left_today }), _) => {
                Quota { rate: self.ceiling.unwrap_or(f64::INFINITY).min(rate).max(0.1), a_day, left_today, read_at: now }
            }
            // What was true a minute ago is better than stopping.
            (Err(error), Some(old)) => {
                tracing::warn!(%error, "the account's quota can't be read; going on with the last one");
                Quota { read_at: now, ..old }
            }
            (Err(error), None) => return Err(error),
        };
        state.quota = Some(quota);
        Ok(quota)
    }

    /// The provider said that it is too fast: nothing is sent before `delay` is over.
    pub(crate) fn slow_down(&self, delay: Duration) {
        let until = self.clock.now() + delay;
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = not_before.max(Some(until));
    }
}

/// Counts recipients as waiting for as long as it lives, however the wait ends.
pub(crate) struct Waiting<'a>(&'a AtomicU64, u64);

impl<'a> Waiting<'a> {
    pub(crate) fn enter(waiting: &'a AtomicU64, recipients: u64) -> Self {
        waiting.fetch_add(recipients, Ordering::Relaxed);
        Self(waiting, recipients)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn as_f64(recipients: u64) -> f64 {
    recipients as f64
}

#[cfg(test)]
mod tests;
