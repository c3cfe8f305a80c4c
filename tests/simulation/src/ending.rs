//! Looking at a schedule while it runs, bringing it to its end, and the judgement.

use std::time::Duration;

use issei_ledger::{BroadcastState, LedgerError};
use issei_schema::InDoubtPolicy;
use jiff::{SignedDuration, Timestamp};

use crate::judge::{self, Broken, broken};
use crate::world::{TIMING, World};

/// How long, without faults, until everything must be over.
const PATIENCE: Duration = Duration::from_mins(30);
/// Doubt that evidence has not ended by then stays.
const DOUBT_STAYS: Duration = Duration::from_mins(10);
/// An operator who sees nothing move for so long repairs.
const STUCK_AFTER: Duration = Duration::from_secs(90);

impl World {
    /// Starts what is due, and checks what must hold at any moment.
    pub(crate) async fn look(&mut self) -> Result<(), Broken> {
        let now = self.clock.now();
        let due: Vec<usize> = self.down.iter().filter(|(until, _)| *until <= now).map(|(_, service)| *service).collect();
        self.down.retain(|(until, _)| *until > now);
        for service in due {
            // Nothing is called here, and the parts are there, so it can't fail.
            let _ = self.start(service);
        }
        let found = match Self::id() {
            Ok(id) => self.ledger().find_broadcast(&id).await,
            Err(_) => Ok(None),
        };
        match found {
            Ok(Some(broadcast)) => {
                judge::during(&broadcast, &self.cloud)?;
                let was_over = self.last.as_ref().is_some_and(|last| last.broadcast_state.is_over());
                if was_over && !broadcast.broadcast_state.is_over() {
                    return broken("I7", format!("it was over, and is {}", broadcast.broadcast_state));
                }
                if broadcast.broadcast_state == BroadcastState::Complete && self.complete_at.is_none() {
                    self.complete_at = Some(self.cloud.accepted());
                }
                self.last = Some(broadcast);
                Ok(())
            }
            Err(error @ LedgerError::Corrupt { .. }) => broken("I6", error.to_string()),
            _ => Ok(()),
        }
    }

    /// Nothing goes wrong any more, and the operator does what operators do until it is over.
    pub(crate) async fn come_to_an_end(&mut self) -> Result<(), Broken> {
        let ends = self.clock.now() + PATIENCE;
        let mut moved = self.clock.now();
        let (mut before, mut repaired) = (None, moved);
        loop {
            tokio::time::sleep(Duration::from_secs(6)).await;
            self.look().await?;
            let now = self.clock.now();
            let state = self.last.as_ref().map(|broadcast| broadcast.broadcast_state);
            if state.is_some_and(BroadcastState::is_over) {
                break;
            }
            let sight = (state, self.cloud.accepted(), self.last.as_ref().map(|broadcast| broadcast.pages));
            if before != Some(sight) {
                (before, moved, repaired) = (Some(sight), now, now);
            }
            match state {
                Some(BroadcastState::Paused | BroadcastState::Holding) => {
                    let _ = self.transition(BroadcastState::Running).await;
                }
                // In doubt for good: nobody who was accepted is there to vouch for the events.
                Some(BroadcastState::Running) if now.saturating_duration_since(moved) > DOUBT_STAYS && self.waits_for_evidence().await => {
                    break;
                }
                _ if !self.plan.unattended && now.saturating_duration_since(repaired) > STUCK_AFTER => {
                    repaired = now;
                    let _ = self.redrive().await;
                    if self.repair().await.is_err() && state.is_none() {
                        // The first command's message is lost to nobody; it only waits.
                        let _ = self.send_command("Terms").await;
                    }
                }
                _ => {}
            }
            if now > ends {
                return broken("I2", format!("not over {PATIENCE:?} after the last fault: {:?}", self.last));
            }
        }
        // Whatever may still be about has its chance, and every event and command is read.
        for _ in 0..20 {
            self.cloud.show_all_messages();
            tokio::time::sleep(Duration::from_secs(12)).await;
            if self.is_drained().await {
                break;
            }
        }
        match self.complete_at {
            Some(accepted) if self.cloud.accepted() != accepted => {
                broken("I7", format!("{} were accepted after it was complete", self.cloud.accepted() - accepted))
            }
            _ => Ok(()),
        }
    }

    /// Nothing waits or is in flight on any queue.
    async fn is_drained(&self) -> bool {
        for queue in self.queues.values() {
            if !queue.depths().await.is_ok_and(|[waiting, in_flight, _]| waiting + in_flight == 0) {
                return false;
            }
        }
        true
    }

    async fn waits_for_evidence(&self) -> bool {
        if self.plan.policy != InDoubtPolicy::EvidenceRetry {
            return false;
        }
        let Some(broadcast) = &self.last else { return false };
        let tally = self.ledger().tally(broadcast).await;
        tally.is_ok_and(|tally| {
            let totals = tally.totals();
            totals.in_doubt > 0 && totals.retryable == 0 && totals.accepted + totals.rejected + totals.in_doubt == broadcast.recipients
        })
    }

    pub(crate) async fn judge(&mut self) -> Result<(), Broken> {
        self.look().await?;
        let Some(broadcast) = self.last.clone() else { return broken("I2", "the command was never registered") };
        if let Some(stop) = &self.stop {
            judge::stopped(stop, &self.cloud, TIMING.permit_life)?;
        }
        if self.other_sent {
            let dead = match self.queue("commands") {
                Ok(queue) => queue.depths().await.map_or(0, |[_, _, dead]| dead),
                Err(_) => 0,
            };
            if dead == 0 && broadcast.broadcast_state != BroadcastState::Enumerating {
                return broken("I3", "another command under the same id was not refused");
            }
        }
        let all_events = self.plan.events_lost <= 0.0;
        judge::at_the_end(&self.ledger(), &self.cloud, &broadcast, all_events).await?;
        // By then every lease is over, whatever clock it was written by.
        let later = self.clock.wall().saturating_add(SignedDuration::from_hours(6)).unwrap_or(Timestamp::MAX);
        judge::certified(&self.ledger(), &broadcast, later).await
    }
}
