//! What befalls the world, and what its operator does.

use std::time::Duration;

use anyhow::Context;
use issei_aws::AwsCall;
use issei_ledger::{Approval, BroadcastState, Cause, Draining, LedgerError, Sought, Suppression, Transition};
use issei_producer::Repairer;
use serde_json::json;

use crate::judge::{Broken, Stopped, broken};
use crate::letters::Listed;
use crate::plan::{Deed, WhenHanging};
use crate::world::{self, PERSONS, World, actor, address};

/// How often consumers look who has come on the suppression list.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(10);

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
                self.crash(service, down_for).await;
                Ok(())
            }
            Deed::Pause => self.transition(BroadcastState::Paused).await,
            Deed::Resume => self.transition(BroadcastState::Running).await,
            Deed::Stop => self.transition(BroadcastState::Stopping).await,
            Deed::Approve { by } => {
                let watched = self.next();
                self.approve_of(watched, by).await
            }
            Deed::Repair => self.repair().await,
            Deed::Redrive => self.redrive().await,
            Deed::Purge => self.purge().await,
            Deed::ShowAll => {
                self.cloud.show_all_messages();
                Ok(())
            }
            Deed::CommandAgain => {
                let watched = self.next();
                self.send_command_of(watched, false).await
            }
            Deed::OtherCommand => {
                let watched = self.next();
                if let Some(watched) = self.watched.get_mut(watched) {
                    watched.other_sent = true;
                }
                self.send_command_of(watched, true).await
            }
            Deed::Another => {
                let id = format!("terms-{}", self.watched.len());
                self.ask_for(&id).await
            }
            Deed::TestCopy { user } => {
                let (first, id) = (self.next_original(), format!("copy-{}", self.watched.len()));
                self.ask_for_a_copy(first, &id, user).await
            }
            Deed::Suppress { user, why } => self.suppress(user, why).await,
            Deed::UnderAnotherId { again } => {
                let (first, id) = (self.next_original(), format!("terms-{}", self.watched.len()));
                self.ask_under_another_id(first, &id, again).await
            }
            Deed::Forged { chunk, recipient } => self.forge(chunk, recipient).await,
            Deed::BackUp => self.back_up(),
            Deed::Restore { as_new } => self.restore(as_new).await,
            Deed::UserComes(user) => {
                self.put_user(user, &address(user));
                Ok(())
            }
            Deed::UserGoes(user) => {
                self.users.delete(user);
                Ok(())
            }
            Deed::UserMoves(user) => {
                self.put_user(user, &format!("moved{user}@example.com"));
                Ok(())
            }
            Deed::Forget(user) => {
                let watched = self.next();
                self.forget_of(watched, user).await
            }
            Deed::Suspend { service, held, lasting } => {
                self.suspend(service, held, lasting);
                Ok(())
            }
            Deed::StepWall { service, by } => {
                if let Some(clock) = self.clocks.get(&service) {
                    clock.step_wall(by);
                }
                Ok(())
            }
        };
    }

    /// The broadcast that the next deed is about.
    fn next(&mut self) -> usize {
        self.turn += 1;
        (self.turn - 1) % self.watched.len().max(1)
    }

    /// The same, of those that are no copies.
    fn next_original(&mut self) -> usize {
        let next = self.next();
        if self.watched.get(next).is_some_and(|watched| watched.copy_to.is_none()) { next } else { 0 }
    }

    async fn transition(&mut self, to: BroadcastState) -> anyhow::Result<()> {
        let watched = self.next();
        self.transition_of(watched, to).await
    }

    pub(crate) async fn transition_of(&mut self, watched: usize, to: BroadcastState) -> anyhow::Result<()> {
        let (ledger, actor, now) = (self.ledger(), actor("an operator")?, self.clock.clone());
        let watched = self.watched.get_mut(watched).context("it is watched")?;
        // As the shell does it: read before the write, and nobody where it can't be. Who is accepted while that answer
        // is under way may be among the settled.
        let settled = ledger.surely_settled(&watched.id).await.unwrap_or(0);
        let before = self.cloud.accepted_of(watched.id.as_str());
        let stopped = ledger.transition(&watched.id, Transition { to, actor: &actor, reason: "a deed" }).await?;
        if to == BroadcastState::Stopping {
            let accepted = self.cloud.accepted_of(watched.id.as_str());
            let (at, granted) = (now.now(), stopped.granted);
            if self.plan.proves {
                let wall = self.clock.wall();
                watched.draining = ledger.heartbeats(wall).await.ok().map(|runs| Draining::after_stop(&runs, wall));
            }
            watched.stop = Some(Stopped { at, accepted, granted, before, bound: granted.saturating_sub(settled) });
        }
        Ok(())
    }

    /// Whoever comes after the last person approves what is not there.
    pub(crate) async fn approve_of(&mut self, watched: usize, by: usize) -> anyhow::Result<()> {
        let (ledger, actor) = (self.ledger(), actor("an operator")?);
        let watched = self.watched.get_mut(watched).context("it is watched")?;
        let digest = ledger.broadcast(&watched.id).await?.subject().digest;
        let (person, agreed) = if by < PERSONS { (by, digest) } else { (PERSONS - 1, digest.chars().rev().collect()) };
        if by < PERSONS {
            // Asked for, whatever the answer: it may have been written.
            watched.approvals.insert(person);
        }
        let approval = Approval { by: &world::person(person)?, actor: &actor, reason: "a deed", agreed: &agreed };
        ledger.approve(&watched.id, approval).await?;
        Ok(())
    }

    async fn repair(&mut self) -> anyhow::Result<()> {
        let watched = self.next();
        self.repair_of(watched).await
    }

    pub(crate) async fn repair_of(&self, watched: usize) -> anyhow::Result<()> {
        let repairer = Repairer::new(self.ledger(), self.queue("commands")?, self.queue("chunks")?);
        let id = &self.watched.get(watched).context("it is watched")?.id;
        repairer.repair(id, self.clock.wall(), &actor("an operator")?, "a deed").await?;
        Ok(())
    }

    pub(crate) async fn redrive(&self) -> anyhow::Result<()> {
        self.queue("chunks")?.redrive().await?;
        self.queue("feedback")?.redrive().await?;
        Ok(())
    }

    /// As an operator does it: refused where the broadcast may still send.
    async fn forget_of(&mut self, watched: usize, user: i64) -> anyhow::Result<()> {
        let (ledger, actor, cloud) = (self.ledger(), actor("an operator")?, self.cloud.clone());
        let watched = self.watched.get_mut(watched).filter(|watched| watched.forgotten_at.is_none()).context("the ledger knows it")?;
        let broadcast = ledger.broadcast(&watched.id).await?;
        let (sought, found) = ledger.look_for(&broadcast, &Sought::new(&user.to_string())).await?;
        for seq in found.pages {
            let page = ledger.page(&broadcast.placed(), seq).await?;
            let addresses = page.known_recipients().filter(|it| sought.is(it)).map(|it| it.address.as_str().to_owned());
            let accepted = |address: &str| cloud.sent_for(watched.id.as_str(), address).map_or(0, |sent| sent.accepted);
            let before: Vec<(String, u64)> = addresses.map(|address| (address.clone(), accepted(&address))).collect();
            if ledger.forget(&watched.id, seq, &sought, &actor, "a deed").await? > 0 {
                watched.forgotten.extend(before);
            }
        }
        Ok(())
    }

    /// Once everything is over, whoever is to be forgotten is, in every broadcast of which the ledger knows.
    pub(crate) async fn forget_all(&mut self) -> Result<(), Broken> {
        for user in self.plan.forgets.clone() {
            for watched in 0..self.watched.len() {
                let is_over = self.watched.get(watched).is_some_and(|it| it.state().is_some_and(BroadcastState::is_over));
                if let Err(error) = self.forget_of(watched, user).await
                    && is_over
                    && self.watched.get(watched).is_some_and(|it| it.forgotten_at.is_none())
                {
                    return broken("forgetting", format!("user {user} can't be forgotten though it is over: {error:#}"));
                }
            }
        }
        Ok(())
    }

    /// Once that is acknowledged, nobody who is judged mailable afterwards may be this address.
    async fn suppress(&mut self, user: i64, why: Suppression) -> anyhow::Result<()> {
        let (ledger, now, address) = (self.ledger(), self.clock.wall(), address(user));
        let by = "an operator".to_owned();
        let cause = Cause { since: now, entered_at: now, source: by.clone(), entered_by: by, reason: None };
        ledger.enter_suppressed([(address.parse().map_err(anyhow::Error::msg)?, why, cause)]).await?;
        let heeded_at = self.clock.now() + LOOKED_AT_EVERY + self.plan.timing().refused_after();
        // As near to that moment as can be. Whatever page is under way just then may have been judged before.
        self.cloud.configure(|account| account.latency_ms = 0);
        for watched in &mut self.watched {
            let from_page = match ledger.find_broadcast(&watched.id).await {
                Ok(None) => 0,
                Ok(Some(broadcast)) => broadcast.pages + 1,
                // Which pages are frozen by now nobody knows, so none is held against it. Whom it spares is known all the same.
                Err(_) => u32::MAX,
            };
            watched.listed.push(Listed { address: address.clone(), why, from_page, heeded_at, accepted: None, is_asked_about: false });
        }
        let latency = self.plan.latency_ms;
        self.cloud.configure(|account| account.latency_ms = latency);
        self.listed.push(Listed { address, why, from_page: 0, heeded_at, accepted: None, is_asked_about: false });
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        let url = self.clients.sqs.get_queue_url().queue_name("chunks").call().await?.queue_url.unwrap_or_default();
        self.clients.sqs.purge_queue().queue_url(url).call().await?;
        Ok(())
    }

    /// The command of a broadcast once more, or another under its id.
    pub(crate) async fn send_command_of(&self, watched: usize, other: bool) -> anyhow::Result<()> {
        let command = self.watched.get(watched).context("it is watched")?.command(other)?;
        self.queue("commands")?.send(&command.to_body(), Duration::ZERO).await?;
        Ok(())
    }

    /// An event that no message caused: made up, or one that names somebody else than it should.
    async fn forge(&mut self, chunk: u32, recipient: usize) -> anyhow::Result<()> {
        let watched = self.next();
        let watched = self.watched.get_mut(watched).context("it is watched")?;
        watched.forged.insert((chunk, recipient));
        let id = watched.id.clone();
        // By somebody who knows how its letters are marked; without that it is buried, and forges nothing.
        let mark = self.ledger().find_broadcast(&id).await.ok().flatten();
        let mark: Vec<String> = mark.and_then(|broadcast| broadcast.letter_mark()).into_iter().collect();
        let tags = json!({ "broadcast": [id], "chunk": [chunk.to_string()], "recipient": [recipient.to_string()], "registration": mark });
        let event = json!({ "eventType": "Delivery", "mail": { "messageId": "made-up", "tags": tags } });
        self.queue("feedback")?.send(&event.to_string(), Duration::ZERO).await?;
        Ok(())
    }

    fn back_up(&mut self) -> anyhow::Result<()> {
        self.backup = Some(self.cloud.back_up("ledger").map_err(|error| anyhow::anyhow!("{error:?}"))?);
        Ok(())
    }

    /// Puts the backup in the ledger's place, as an operator does: with every service down. A restore that
    /// nothing tells of, which is one of the limits, is not made.
    async fn restore(&mut self, as_new: bool) -> anyhow::Result<()> {
        let Some(backup) = self.backup.take() else { return Ok(()) };
        for service in 0..self.services.len() {
            self.crash(service, Duration::from_secs(1)).await;
        }
        let before = self.cloud.back_up("ledger").map_err(|error| anyhow::anyhow!("{error:?}"))?;
        self.cloud.restore("ledger", &backup, as_new).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let found = self.ledger().check_whole(&self.queue("chunks")?).await;
        if !as_new && !matches!(found, Err(LedgerError::Restored { .. })) {
            self.cloud.restore("ledger", &before, false).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            return Ok(());
        }
        let now = self.clock.now();
        for watched in &mut self.watched {
            (watched.last, watched.forgotten_at) = (None, Some(now));
        }
        self.epoch_due = true;
        Ok(())
    }

    /// Takes a restored ledger into use, and asks for a broadcast that must go as if nothing had been.
    pub(crate) async fn accept_restored(&mut self) {
        let (Ok(chunks), Ok(actor)) = (self.queue("chunks"), actor("an operator")) else { return };
        if self.ledger().accept_restored(&chunks, &actor, "a deed").await.is_ok() {
            self.epoch_due = false;
            let _ = self.ask_for("after").await;
        }
    }

    async fn crash(&mut self, service: usize, down_for: Duration) {
        if let Some(handle) = self.services.get_mut(service).and_then(Option::take) {
            handle.abort();
            let _ = handle.await;
            self.down.push((self.clock.now() + down_for, service));
        }
    }
}
