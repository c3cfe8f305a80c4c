//! The services at work in a simulated AWS that misbehaves: one broadcast, from its command to its end.
//!
//! It must never reach anything but the simulation: its clients are the ones of the parts that it is given.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use issei_assembly::{Parts, Settings};
use issei_clock::Instant;
use issei_ledger::{BroadcastState, Transition, phrases};
use issei_schema::BroadcastCommand;
use issei_sim::{Cloud, Fault, Rule};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::time_left::with_left;

const CONSUMERS: usize = 3;
/// The app's job is retried, as it was on the day of the disaster.
const COMMANDS: usize = 5;
/// Longer without anything new than any timeout of the demo: something is stuck.
const STUCK: Duration = Duration::from_secs(90);

/// What goes wrong: sends are accepted and their answers lost or turned into errors, sends are
/// throttled, messages are handed out again, entries of batches fail.
pub(in crate::commands) fn misbehave(cloud: &Cloud, send: &str) {
    cloud.inject(Rule::every(send, Fault::ResetAfter).with_probability(0.002));
    cloud.inject(Rule::every(send, Fault::ErrorAfter).with_probability(0.001));
    cloud.inject(Rule::every(send, Fault::Throttle).with_probability(0.002));
    cloud.inject(Rule::every("UpdateItem", Fault::ResetAfter).with_probability(0.002));
    cloud.configure(|account| {
        account.redelivery = 0.02;
        account.batch_entry_failure = 0.01;
    });
}

/// How a broadcast has ended.
pub(in crate::commands) enum Ending {
    Complete,
    /// By whoever looks on: who, and why.
    Stopped(String),
}

/// In a broadcast of a few calls chance may spare all of them: then one answer is lost, and one call throttled, for sure.
pub(super) fn misbehave_at_least(cloud: &Cloud, send: &str) {
    cloud.inject(Rule::every(send, Fault::Throttle).after(1).times(1));
    cloud.inject(Rule::every(send, Fault::ResetAfter).after(2).times(1));
}

/// Where a broadcast is.
enum Stands {
    Going,
    /// By whoever looks on, for this reason.
    Paused(String),
    Over(Ending),
}

/// The services at work.
pub(in crate::commands) struct Work<'a> {
    pub(in crate::commands) parts: &'a Parts,
    pub(in crate::commands) cloud: &'a Arc<Cloud>,
    /// So many are to be mailed, about.
    pub(in crate::commands) recipients: u64,
    /// Nobody is killed.
    pub(in crate::commands) calm: bool,
    /// Somebody looks on, who may pause it, let it go on and stop it.
    pub(in crate::commands) attended: bool,
    pub(in crate::commands) shutdown: &'a CancellationToken,
    pub(in crate::commands) command: &'a BroadcastCommand,
    /// How many consumers were killed in the midst of their work.
    pub(in crate::commands) killed: AtomicU64,
}

impl Work<'_> {
    /// Asks for the broadcast and carries it out to its end. Where nobody but a person would let it go on, it goes on.
    pub(in crate::commands) async fn until_over(&self, as_json: bool) -> anyhow::Result<Ending> {
        let (ledger, id) = (self.parts.ledger(), &self.command.broadcast_id);
        let commands = self.parts.commands_queue().await?;
        for _ in 0..COMMANDS {
            commands.send(&self.command.to_body(), Duration::ZERO).await?;
        }
        let stop = self.shutdown.child_token();
        let mut services = JoinSet::new();
        let producer = self.parts.producer().await?;
        let token = stop.clone();
        services.spawn(async move { producer.run(token).await });
        let mut consumers = Vec::new();
        for _ in 0..CONSUMERS {
            let (consumer, token) = (self.parts.consumer().await?, stop.clone());
            consumers.push(services.spawn(consumer.run(token)));
        }
        let mut victim = consumers.pop().filter(|_| !self.calm);
        let bar = bar(self.recipients, as_json);
        let clock = &self.parts.clock;
        let (mut last, mut moved): (u64, Instant) = (0, clock.now());
        let (mut looked, mut ending) = (clock.now(), Ending::Complete);
        while self.shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await.is_some() {
            let accepted = self.cloud.accepted();
            bar.set_position(accepted);
            if accepted != last {
                (last, moved) = (accepted, clock.now());
            }
            // A quarter of the way, one consumer dies in the midst of its sends; another is started.
            if accepted >= (self.recipients / 4).max(1)
                && let Some(victim) = victim.take()
            {
                victim.abort();
                self.killed.fetch_add(1, Ordering::Relaxed);
                let (consumer, token) = (self.parts.consumer().await?, stop.clone());
                services.spawn(consumer.run(token));
                bar.println("a consumer was killed in the midst of its work, and another started");
            }
            if clock.now().saturating_duration_since(looked) >= Duration::from_secs(1) {
                looked = clock.now();
                let in_doubt = ledger.progress(id).await?.in_doubt;
                // The visibility timeout of what the killed consumer had in hand must pass first.
                let waits = !self.calm && clock.now().saturating_duration_since(moved) > Duration::from_secs(2);
                let note = if waits { ", waiting for the messages of the killed consumer to come back" } else { "" };
                bar.set_message(format!("{in_doubt} in doubt{note}"));
                match self.stands().await? {
                    Stands::Over(how) => {
                        ending = how;
                        break;
                    }
                    Stands::Paused(why) => {
                        moved = clock.now();
                        bar.set_message(format!("paused: {why}"));
                    }
                    Stands::Going => {}
                }
            }
            if clock.now().saturating_duration_since(moved) > STUCK {
                bail!("nothing has moved for {} s: {:?}", STUCK.as_secs(), ledger.find_broadcast(id).await?);
            }
        }
        // What was handed out twice is still on its way; it finds its chunk settled and goes.
        self.until_drained().await?;
        bar.finish_and_clear();
        stop.cancel();
        while services.join_next().await.is_some() {}
        Ok(ending)
    }

    async fn stands(&self) -> anyhow::Result<Stands> {
        let (ledger, id) = (self.parts.ledger(), &self.command.broadcast_id);
        let Some(broadcast) = ledger.find_broadcast(id).await? else {
            return match ledger.refused(id).await? {
                Some(refused) => bail!("the producer refuses the broadcast: {}", refused.reason),
                None => Ok(Stands::Going),
            };
        };
        let state = broadcast.broadcast_state;
        let why = broadcast.decided().map_or("nobody said why", |entry| entry.reason.as_str());
        match state {
            BroadcastState::Complete => Ok(Stands::Over(Ending::Complete)),
            BroadcastState::Holding => {
                let (actor, reason) = (&self.command.requested_by, phrases::APPROVED_AT_ONCE.with(&[]));
                // It holds again after its canary.
                ledger.transition(id, Transition { to: BroadcastState::Running, actor, reason: &reason }).await?;
                Ok(Stands::Going)
            }
            BroadcastState::Paused if self.attended => Ok(Stands::Paused(why.to_owned())),
            BroadcastState::Stopped if self.attended => {
                let who = broadcast.decided().map_or_else(String::new, |entry| format!("by {}: ", entry.actor));
                Ok(Stands::Over(Ending::Stopped(format!("{who}{why}"))))
            }
            BroadcastState::Paused | BroadcastState::Stopped => bail!("the broadcast is {state}: {why}"),
            BroadcastState::Enumerating | BroadcastState::Running | BroadcastState::Stopping => Ok(Stands::Going),
        }
    }

    async fn until_drained(&self) -> anyhow::Result<()> {
        let queue = self.parts.chunks_queue().await?;
        let visibility = self.parts.settings.timing().visibility;
        let patience = self.parts.clock.now() + visibility * 2;
        while !self.shutdown.is_cancelled() && self.parts.clock.now() < patience {
            if queue.depths().await?[..2] == [0, 0] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }
}

/// Timeouts with which a crash is over within seconds.
pub(in crate::commands) fn hasten(settings: &mut Settings) {
    settings.send_timeout_ms = 500;
    settings.permit_life_ms = 1_000;
    settings.ledger_timeout_ms = 1_000;
    settings.lease_ms = 2_000;
    settings.handler_timeout_ms = 2_500;
    settings.visibility_timeout_s = 15;
    settings.close_every_ms = 500;
    // A consumer that is killed here is gone at once, with everything that it had on the wire.
    settings.request_lifetime_s = 0;
}

fn bar(recipients: u64, as_json: bool) -> ProgressBar {
    if as_json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(recipients);
    // The template is a constant, so it is always good.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} accepted  {rate}{left}  {msg}") {
        bar.set_style(with_left(style).with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // A bar that can't be written to is not seen either.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
    }
    bar
}
