//! Looking at a schedule while it runs, bringing it to its end, and the judgement.

use std::time::Duration;

use issei_ledger::BroadcastState;
use issei_schema::InDoubtPolicy;
use jiff::{SignedDuration, Timestamp};

use crate::judge::{self, Broken, Told, broken};
use crate::letters;
use crate::remembering::WINDOW;
use crate::watched::{Rival, Watched};
use crate::world::{World, actor};

/// How long, without faults, until everything must be over.
const PATIENCE: Duration = Duration::from_mins(30);
/// With a ramp, whose hours it takes.
const PATIENCE_RAMPED: Duration = Duration::from_hours(4);
/// Doubt that evidence has not ended by then stays.
const DOUBT_STAYS: Duration = Duration::from_mins(8);
/// An operator who sees nothing move for so long repairs.
const STUCK_AFTER: Duration = Duration::from_secs(90);

/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_secs(10);
/// And where nothing can come of it before the hour of a ramp is over.
const LOOK_AT_RESTING: Duration = Duration::from_mins(2);

impl World {
    /// Whether all that is left waits for the next hour of a ramp, which no operator repairs.
    fn rests(&self) -> bool {
        let wall = self.clock.wall();
        let mut open = self.watched.iter().filter(|watched| !watched.is_over()).peekable();
        open.peek().is_some() && open.all(|watched| watched.last.as_ref().is_some_and(|broadcast| broadcast.rests_until(wall).is_some()))
    }

    /// Starts what is due, and checks what must hold at any moment.
    pub(crate) async fn look(&mut self) -> Result<(), Broken> {
        let now = self.clock.now();
        self.wake(now);
        let due: Vec<usize> = self.down.iter().filter(|(until, _)| *until <= now).map(|(_, service)| *service).collect();
        self.down.retain(|(until, _)| *until > now);
        for service in due {
            // Nothing is called here, and the parts are there, so it can't fail.
            let _ = self.start(service);
        }
        let (ledger, wall) = (self.ledger(), self.clock.wall());
        for watched in &mut self.watched {
            if let Ok(actor) = actor("an operator") {
                watched.drain(&ledger, self.clock.now(), wall, &actor).await;
            }
            watched.look(&ledger, &self.cloud, self.clock.now()).await?;
            watched.in_its_time(&self.cloud, self.clock.now(), self.clock.wall(), &self.plan)?;
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and the operator does what operators do until it is over.
    pub(crate) async fn come_to_an_end(&mut self) -> Result<(), Broken> {
        self.until_all_are_awake().await;
        let patience = if self.plan.first_hour.is_some() { PATIENCE_RAMPED } else { PATIENCE };
        let ends = self.clock.now() + patience;
        let mut moved = self.clock.now();
        let (mut before, mut repaired) = (None, moved);
        loop {
            // Seldom enough for the looks to be few of the calls, since most of this time is waiting.
            let rests = self.rests();
            tokio::time::sleep(if rests { LOOK_AT_RESTING } else { LOOK }).await;
            if self.epoch_due {
                self.accept_restored().await;
            }
            self.look().await?;
            let now = self.clock.now();
            let sight = (self.cloud.accepted(), self.watched.iter().map(Watched::sight).collect::<Vec<_>>());
            if before.as_ref() != Some(&sight) {
                (before, moved, repaired) = (Some(sight), now, now);
            }
            let is_still_for = |long| now.saturating_duration_since(moved) > long;
            let is_to_repair = !self.plan.unattended && !rests && now.saturating_duration_since(repaired) > STUCK_AFTER;
            let mut is_over = !self.epoch_due;
            for at in 0..self.watched.len() {
                let Some(watched) = self.watched.get(at) else { continue };
                if watched.is_over() {
                    continue;
                }
                let awaited = watched.last.as_ref().and_then(|broadcast| Some(broadcast.awaited()?.approved_by.len()));
                match watched.state() {
                    // Whoever asked tries first, then one after the other.
                    Some(BroadcastState::Holding) if let Some(approved) = awaited => {
                        for by in [0, approved, approved + 1] {
                            let _ = self.approve_of(at, by).await;
                        }
                    }
                    Some(BroadcastState::Paused | BroadcastState::Holding) => {
                        let _ = self.transition_of(at, BroadcastState::Running).await;
                    }
                    // In doubt for good: nobody who was accepted is there to vouch for the events.
                    Some(BroadcastState::Running) if is_still_for(DOUBT_STAYS) && watched.waits_for_evidence(&self.ledger()).await => {
                        continue;
                    }
                    state if is_to_repair => {
                        repaired = now;
                        let _ = self.redrive().await;
                        if self.repair_of(at).await.is_err() && state.is_none() {
                            // The first command's message is lost to nobody; it only waits.
                            let _ = self.send_command_of(at, false).await;
                        }
                    }
                    _ => {}
                }
                is_over = false;
            }
            if is_over {
                break;
            }
            if now > ends {
                let open: Vec<_> = self.watched.iter().filter(|watched| !watched.is_over()).map(|watched| &watched.last).collect();
                return broken("I2", format!("not over {patience:?} after the last fault: {open:?}"));
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
        Ok(())
    }

    /// Nothing waits or is in flight on any queue, and no totals are to be counted again.
    async fn is_drained(&self) -> bool {
        for queue in self.queues.values() {
            if !queue.depths().await.is_ok_and(|[waiting, in_flight, _]| waiting + in_flight == 0) {
                return false;
            }
        }
        // Totals are written anew by the sweep after the last events.
        self.ledger().told().await.is_ok_and(|told| told.is_empty())
    }

    pub(crate) async fn judge(&mut self) -> Result<(), Broken> {
        self.look().await?;
        let ledger = self.ledger();
        // By then every lease is over, whatever clock it was written by.
        let later = self.clock.wall().saturating_add(SignedDuration::from_hours(6)).unwrap_or(Timestamp::MAX);
        if let Some(rate) = self.plan.max_send_rate {
            // At a change of slots a second may hold one chunk more.
            judge::rate(self.cloud.peak_in_a_second(), u64::from(rate) + u64::from(self.plan.chunk_size))?;
        }
        if self.plan.keeps_mails() || self.watched.iter().any(|watched| watched.copy_to.is_some()) {
            let mails = self.cloud.mails().map_err(|error| Broken { invariant: "letters", how: error.to_string() })?;
            letters::say_what_they_should(&mails, &self.watched)?;
        }
        let (mut refused, mut said) = (0, Vec::new());
        for watched in &self.watched {
            watched.ended(&self.cloud, &self.plan.timing(), self.time_is_seen)?;
            if watched.forgotten_at.is_some() {
                // The record of the provider is all that there is.
                judge::nobody_twice(&self.cloud, &watched.id)?;
                continue;
            }
            let Some(broadcast) = &watched.last else {
                if watched.rival != Rival::None || watched.too_late {
                    refused += 1;
                    continue;
                }
                return broken("I2", "the command was never registered");
            };
            // A copy says the same once more.
            if watched.copy_to.is_none() {
                said.push((ledger.command(&watched.id).await, self.cloud.accepted_of(watched.id.as_str())));
            }
            refused += u64::from(watched.other_sent && broadcast.broadcast_state != BroadcastState::Enumerating);
            // The provider goes on telling of those whose events are still away.
            let all = self.plan.events_lost <= 0.0 && self.cloud.events_away() == 0;
            let by_keys = watched.keys == Some(WINDOW);
            let told = Told {
                all,
                in_time: watched.in_time,
                by_keys,
                forged: &watched.forged,
                refuses: &self.plan.refuses,
                listed: &watched.listed,
            };
            let in_doubt = judge::at_the_end(&ledger, &self.cloud, broadcast, told).await?;
            letters::heed_the_list(&ledger, &self.cloud, broadcast, watched).await?;
            if by_keys && broadcast.broadcast_state == BroadcastState::Complete {
                self.keyed.note(broadcast, in_doubt);
            }
            let events_are_true = watched.forged.is_empty() && (watched.in_time || broadcast.in_doubt == InDoubtPolicy::Hold);
            judge::certified(&ledger, broadcast, later, events_are_true).await?;
        }
        judge::said_once(&said)?;
        let dead = match self.queue("commands") {
            Ok(queue) => queue.depths().await.map_or(0, |[_, _, dead]| dead),
            Err(_) => 0,
        };
        if dead < refused.min(1) {
            return broken("I3", "a command that was not carried out was not refused");
        }
        Ok(())
    }
}
