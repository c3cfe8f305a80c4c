//! issei under the same misfortune: its producer, its feedback consumer, and workers that are its Lambda function, a message
//! each, so that it is known which request a worker is at when it dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use issei_assembly::Parts;
use issei_aws::Queue;
use issei_clock::{Clock, Dice};
use issei_consumer::Consumer;
use issei_ledger::{BroadcastState, EventLog, OnCall, Outcome};
use issei_schema::{BroadcastCommand, BroadcastId, ChunkMessage};
use issei_sim::{Account, Cloud, Events, Fault, Options, Rule, StoreKind, connector};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::misfortune::{Misfortune, Mishap};
use super::side::Side;
use crate::args::DemoProvider;
use crate::commands::demo::{command, settings, users};
use crate::commands::setup;

const WORKERS: usize = 8;
/// The app's job is retried, as its fan-out is.
const COMMANDS: usize = 5;
/// Longer without anything new than any timeout of it: something is stuck.
const STUCK: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks whether a worker has come to where it dies.
const SOON: Duration = Duration::from_millis(5);

pub(super) async fn run(clock: &Clock, misfortune: &Misfortune, bar: &ProgressBar) -> anyhow::Result<Side> {
    let directory = tempfile::tempdir().context("no temporary directory")?;
    let url = users::make(&directory.path().join("users.db"), misfortune.users, false).await?;
    let mut settings = settings(&url)?;
    // A machine that is busy must not be taken for one that has died.
    settings.send_timeout_ms = 1_000;
    settings.permit_life_ms = 1_500;
    settings.ledger_timeout_ms = 3_000;
    settings.lease_ms = 4_500;
    settings.handler_timeout_ms = 5_000;
    settings.visibility_timeout_s = 31;
    let events = Events { queue: Some(settings.feedback_queue.clone()), ..Events::default() };
    let account = Account { max_send_rate: 50_000.0, max_24_hour_send: 1e9, events, ..Account::default() };
    let cloud = Cloud::new(Options { clock: clock.clone(), seed: misfortune.seed, store: StoreKind::TemporaryFile, account })?;
    let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &settings.timing()).await;
    let parts = Parts::with(settings, clients, clock.clone(), Dice::seeded(misfortune.seed));
    setup::make(&parts).await?;
    let command = command(clock, misfortune.users, DemoProvider::default())?;
    let tries = Arc::default();
    let pipeline = Pipeline { parts, cloud, misfortune: *misfortune, id: command.broadcast_id.clone(), tries };
    pipeline.until_complete(&command, bar).await?;
    let mut side = Side::counted(&pipeline.cloud, pipeline.id.as_str(), misfortune.users)?;
    side.missed_unknown -= pipeline.missed_and_listed().await?;
    bar.finish();
    Ok(side)
}

#[derive(Clone)]
struct Pipeline {
    parts: Parts,
    cloud: Arc<Cloud>,
    misfortune: Misfortune,
    id: BroadcastId,
    /// How often each chunk's message was handled.
    tries: Arc<Mutex<BTreeMap<u32, u32>>>,
}

impl Pipeline {
    async fn until_complete(&self, command: &BroadcastCommand, bar: &ProgressBar) -> anyhow::Result<()> {
        let commands = self.parts.commands_queue().await?;
        for _ in 0..COMMANDS {
            commands.send(&command.to_body(), Duration::ZERO).await?;
        }
        let stop = CancellationToken::new();
        let mut services: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let (producer, feedback) = (self.parts.producer().await?, self.parts.feedback().await?);
        let token = stop.clone();
        services.spawn(async move {
            producer.run(token).await;
            Ok(())
        });
        let token = stop.clone();
        services.spawn(async move {
            feedback.run(token).await;
            Ok(())
        });
        for _ in 0..WORKERS {
            let (worker, token) = (self.clone(), stop.clone());
            services.spawn(async move { worker.work(&token).await });
        }
        let (ledger, clock) = (self.parts.ledger(), &self.parts.clock);
        let (chunks, events) = (self.parts.chunks_queue().await?, self.parts.feedback_queue().await?);
        let (mut last, mut moved) = ((0, 0), clock.now());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // No service ends by itself, unless it can't go on.
            if let Some(ended) = services.try_join_next() {
                ended??;
                bail!("a service has ended before the broadcast");
            }
            bar.set_position(self.cloud.accepted());
            let progress = ledger.progress(&self.id).await?;
            bar.set_message(format!("{} in doubt so far", progress.in_doubt));
            let state = ledger.find_broadcast(&self.id).await?.map(|broadcast| broadcast.broadcast_state);
            match state {
                Some(BroadcastState::Complete) if chunks.depths().await? == [0; 3] && events.depths().await? == [0; 3] => break,
                Some(BroadcastState::Paused | BroadcastState::Stopped) => bail!("the broadcast has ended as {state:?}"),
                _ => {}
            }
            if (self.cloud.accepted(), progress.proven) != last {
                (last, moved) = ((self.cloud.accepted(), progress.proven), clock.now());
            }
            if clock.now().saturating_duration_since(moved) > STUCK {
                bail!("nothing has moved for {} s: {state:?}", STUCK.as_secs());
            }
        }
        stop.cancel();
        while let Some(ended) = services.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// One worker after the other in the same place: whenever one dies, another is started.
    async fn work(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let queue = self.parts.chunks_queue().await?;
        while !stop.is_cancelled() {
            let consumer = self.parts.consumer().await?;
            let on_call = OnCall::new(self.parts.ledger(), queue.clone(), consumer.incarnation().clone());
            self.live(&queue, &consumer, on_call, stop).await?;
        }
        Ok(())
    }

    /// Until it dies, or is told to end.
    async fn live(&self, queue: &Queue, consumer: &Consumer, mut on_call: OnCall, stop: &CancellationToken) -> anyhow::Result<()> {
        while let Some(messages) = stop.run_until_cancelled(queue.receive(1, Duration::from_secs(1))).await.transpose()? {
            let Some(message) = messages.into_iter().next() else { continue };
            let chunk = ChunkMessage::parse(&message.body).context("a chunk message")?;
            let mishap = self.befalls(&chunk);
            let (receipt, id) = (message.receipt.clone(), message.id.clone());
            let handled = on_call.call(stop, async move |_, token| consumer.handle_for_source(vec![message], &token).await);
            let again = tokio::select! {
                biased;
                () = self.dies(&chunk, mishap) => return Ok(()),
                again = Box::pin(handled) => again?,
            };
            if !again.contains(&id) {
                queue.delete_batch(vec![receipt]).await?;
            }
        }
        Ok(())
    }

    /// Lets the throw for this try befall the request that it makes, if it makes one.
    fn befalls(&self, chunk: &ChunkMessage) -> Option<Mishap> {
        let tries = {
            let mut all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            let tries = all.entry(chunk.chunk).or_default();
            *tries += 1;
            *tries - 1
        };
        let first = u64::from(chunk.chunk) * u64::from(self.parts.settings.chunk_size);
        let mishap = self.misfortune.of(first, tries)?;
        let fault = match mishap {
            // Whoever is told to end waits for the answer, as long as a send may take.
            Mishap::AnswerLost | Mishap::Deploy | Mishap::CrashAfter => Fault::HangAfter,
            Mishap::CrashBefore => Fault::HangBefore,
            Mishap::Refused => Fault::Throttle,
        };
        let tag = format!("\"Name\":\"chunk\",\"Value\":\"{}\"", chunk.chunk);
        self.cloud.inject(Rule::every("SendBulkEmail", fault).holding(&tag).times(1));
        Some(mishap)
    }

    /// Comes back when the worker is where it dies; never where it does not.
    async fn dies(&self, chunk: &ChunkMessage, mishap: Option<Mishap>) {
        let after = match mishap {
            Some(Mishap::CrashAfter) => true,
            Some(Mishap::CrashBefore) => false,
            _ => return std::future::pending().await,
        };
        loop {
            tokio::time::sleep(SOON).await;
            if self.is_there(chunk, after).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Whether the chunk is claimed and, where it matters, taken by the provider.
    async fn is_there(&self, chunk: &ChunkMessage, taken: bool) -> anyhow::Result<bool> {
        let ledger = self.parts.ledger();
        let found = ledger.chunks(&ledger.broadcast(&self.id).await?.placed(), &[chunk.chunk]).await?;
        if !found.into_values().any(|found| found.claimed_at().is_some()) {
            return Ok(false);
        }
        let Some(first) = chunk.recipients.first().filter(|_| taken) else { return Ok(true) };
        Ok(self.cloud.sent_for(self.id.as_str(), first.address.as_str())?.accepted > 0)
    }

    /// How many were not mailed of those whom the ledger lists as in doubt.
    async fn missed_and_listed(&self) -> anyhow::Result<u64> {
        let (ledger, mut missed) = (self.parts.ledger(), 0);
        let broadcast = ledger.broadcast(&self.id).await?;
        for seq in 0..broadcast.pages {
            let mut listed = BTreeSet::new();
            for one in ledger.page_outcomes(&broadcast.placed(), seq, &EventLog::default()).await? {
                if matches!(one.outcome, Some(Outcome::InDoubt | Outcome::Open)) {
                    listed.extend(one.recipient.map(|recipient| recipient.address.as_str().to_owned()));
                }
            }
            for address in listed {
                missed += u64::from(self.cloud.sent_for(self.id.as_str(), &address)?.accepted == 0);
            }
        }
        Ok(missed)
    }
}
