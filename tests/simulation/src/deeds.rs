//! What befalls the world, and what its operator does.

use std::time::Duration;

use issei_ledger::{BroadcastState, Transition};
use issei_producer::Repairer;

use crate::judge::Stopped;
use crate::plan::{Deed, WhenHanging};
use crate::world::{World, actor, address};

impl World {
    pub(crate) async fn when_hanging(&mut self, then: WhenHanging) {
        let mut hanging = self.cloud.hanging();
        // Beyond the last call of the schedule nothing hangs, and nothing is done.
        let _ = tokio::time::timeout(Duration::from_mins(2), hanging.wait_for(|hanging| *hanging > 0)).await;
        let first = match then {
            WhenHanging::KillEverything => 0,
            WhenHanging::KillConsumers => 1 + self.plan.producers,
            WhenHanging::Stop => return self.perform(Deed::Stop).await,
        };
        for service in first..self.services.len() {
            self.perform(Deed::Crash { service, down_for: Duration::from_secs(1) }).await;
        }
        if then == WhenHanging::KillEverything {
            self.cloud.heal();
        }
    }

    pub(crate) async fn perform(&mut self, deed: Deed) {
        // A deed that fails, by a fault or since the broadcast is not so far, is one not done.
        let _ = match deed {
            Deed::Crash { service, down_for } => {
                if let Some(handle) = self.services.get_mut(service).and_then(Option::take) {
                    handle.abort();
                    let _ = handle.await;
                    self.down.push((self.clock.now() + down_for, service));
                }
                Ok(())
            }
            Deed::Pause => self.transition(BroadcastState::Paused).await,
            Deed::Resume => self.transition(BroadcastState::Running).await,
            Deed::Stop => self.transition(BroadcastState::Stopping).await,
            Deed::Repair => self.repair().await,
            Deed::Redrive => self.redrive().await,
            Deed::Purge => self.purge().await,
            Deed::ShowAll => {
                self.cloud.show_all_messages();
                Ok(())
            }
            Deed::CommandAgain => self.send_command("Terms").await,
            Deed::OtherCommand => {
                self.other_sent = true;
                self.send_command("Other terms").await
            }
            Deed::UserComes(user) => {
                self.users.put(user, Some(&address(user)));
                Ok(())
            }
            Deed::UserGoes(user) => {
                self.users.delete(user);
                Ok(())
            }
            Deed::UserMoves(user) => {
                self.users.put(user, Some(&format!("moved{user}@example.com")));
                Ok(())
            }
        };
    }

    pub(crate) async fn transition(&mut self, to: BroadcastState) -> anyhow::Result<()> {
        let (id, actor) = (Self::id()?, actor("an operator")?);
        // As the shell does it: read before the write, and nobody where it can't be.
        let (before, settled) = (self.cloud.accepted(), self.ledger().surely_settled(&id).await.unwrap_or(0));
        let stopped = self.ledger().transition(&id, Transition { to, actor: &actor, reason: "a deed" }).await?;
        if to == BroadcastState::Stopping {
            let (at, accepted, granted) = (self.clock.now(), self.cloud.accepted(), stopped.granted);
            self.stop = Some(Stopped { at, accepted, granted, before, bound: granted.saturating_sub(settled) });
        }
        Ok(())
    }

    pub(crate) async fn repair(&self) -> anyhow::Result<()> {
        let repairer = Repairer::new(self.ledger(), self.queue("commands")?, self.queue("chunks")?);
        repairer.repair(&Self::id()?, self.clock.wall(), &actor("an operator")?, "a deed").await?;
        Ok(())
    }

    pub(crate) async fn redrive(&self) -> anyhow::Result<()> {
        self.queue("chunks")?.redrive().await?;
        self.queue("feedback")?.redrive().await?;
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        let url = self.clients.sqs.get_queue_url().queue_name("chunks").send().await?.queue_url.unwrap_or_default();
        self.clients.sqs.purge_queue().queue_url(url).send().await?;
        Ok(())
    }

    pub(crate) async fn send_command(&self, subject: &str) -> anyhow::Result<()> {
        self.queue("commands")?.send(&self.command(subject)?.to_body(), Duration::ZERO).await?;
        Ok(())
    }
}
