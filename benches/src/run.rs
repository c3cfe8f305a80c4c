//! One run after another: issei, the bare loop, the usual way, and again.

use std::time::Duration;

use anyhow::Context;
use issei_clock::Clock;
use serde::Serialize;

use crate::audience::Users;
use crate::process::{Measured, Spent};
use crate::server::Used;
use crate::world::{CHUNKS, FEEDBACK, World};
use crate::{Options, Order, events, report};

/// What those who are killed at their end may still be at.
const REST: Duration = Duration::from_millis(300);

/// What one part of a run has used, for each recipient.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu_us: f64,
    pub(crate) requests: f64,
    pub(crate) sqs_requests: f64,
    pub(crate) written_units: f64,
    pub(crate) read_units: f64,
    pub(crate) recipients_a_second: f64,
    pub(crate) peak_mib: Option<f64>,
    /// By operation.
    pub(crate) calls: Vec<(String, f64)>,
}

/// One run of everything, at one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) recipients: u32,
    pub(crate) producer: Cost,
    pub(crate) consumer: Cost,
    pub(crate) feedback: Option<Cost>,
    pub(crate) bare: Cost,
    pub(crate) usual: Cost,
}

impl Cost {
    fn of(spent: Spent, used: &Used, recipients: u32, took: Duration) -> Self {
        let each = |number: f64| number / f64::from(recipients);
        Self {
            cpu_us: each(spent.cpu.as_secs_f64() * 1e6),
            requests: each(as_f64(used.all_calls())),
            sqs_requests: each(as_f64(used.sqs_calls())),
            written_units: each(as_f64(used.written_units)),
            read_units: each(as_f64(used.half_read_units) / 2.0),
            recipients_a_second: f64::from(recipients) / took.as_secs_f64().max(1e-6),
            peak_mib: spent.peak_kib.map(|kib| as_f64(kib) / 1024.0),
            calls: used.calls.iter().map(|(call, count)| (call.clone(), each(as_f64(*count)))).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above anything that is counted")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// Runs everything and prints the table.
pub(crate) async fn all(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut runs = Vec::new();
    for recipients in &options.recipients {
        let users = Users::new(options.source, directory.path(), *recipients).await?;
        let mut done = Ok(());
        for number in 1..=options.runs.max(1) {
            report::progress(&format!("{recipients} recipients, run {number} of {}", options.runs.max(1)));
            match one(options, &users, *recipients).await {
                Ok(run) => runs.push(run),
                Err(error) => {
                    done = Err(error.context(format!("{recipients} recipients, run {number}")));
                    break;
                }
            }
        }
        users.remove().await?;
        done?;
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&runs)?).with_context(|| format!("{}", path.display()))?;
    }
    report::print(options, &runs)
}

async fn one(options: &Options, users: &Users, recipients: u32) -> anyhow::Result<Run> {
    let (producer, consumer, feedback) = issei(options, users, recipients).await.context("issei")?;
    let bare = bare(options, users, recipients).await.context("the bare loop")?;
    let usual = usual(options, users).await.context("the usual way")?;
    Ok(Run { recipients, producer, consumer, feedback, bare, usual })
}

async fn issei(options: &Options, users: &Users, recipients: u32) -> anyhow::Result<(Cost, Cost, Option<Cost>)> {
    let mut world = World::new(options, users).await?;
    let (producer, froze) = enqueued(&mut world).await?;
    let consumers = (0..options.consumers).map(|_| world.start("consumer")).collect::<anyhow::Result<Vec<_>>>()?;
    let sent = accepted(&mut world, recipients).await?;
    world.until("the last deletions", async |world| world.is_empty(CHUNKS).await).await?;
    let consumed = ended(consumers)?;
    let consumer = Cost::of(consumed, &world.server.usage_of("consumer")?, recipients, sent);
    world.until("the broadcast's end", async |world| world.is_complete().await).await?;
    let producer = Cost::of(producer.end()?, &world.server.usage_of("producer")?, recipients, froze);
    if options.events == Order::None {
        return Ok((producer, consumer, None));
    }
    if options.events == Order::Random {
        events::shuffle(&world).await?;
    }
    let began = world.clock.now();
    let feedback = world.start("feedback")?;
    world.until("the last event", async |world| world.is_empty(FEEDBACK).await).await?;
    let read = since(&world.clock, began);
    let feedback = Cost::of(feedback.end()?, &world.server.usage_of("feedback")?, recipients, read);
    Ok((producer, consumer, Some(feedback)))
}

async fn bare(options: &Options, users: &Users, recipients: u32) -> anyhow::Result<Cost> {
    let mut world = World::new(options, users).await?;
    let (producer, _) = enqueued(&mut world).await?;
    producer.end()?;
    let queue = world.queue(CHUNKS).await?;
    let loops = (0..options.consumers).map(|_| world.start_part("bare", &["--queue", &queue])).collect::<anyhow::Result<Vec<_>>>()?;
    let sent = accepted(&mut world, recipients).await?;
    tokio::time::sleep(REST).await;
    Ok(Cost::of(ended(loops)?, &world.server.usage_of("bare")?, recipients, sent))
}

async fn usual(options: &Options, users: &Users) -> anyhow::Result<Cost> {
    let mut world = World::new(options, users).await?;
    let queue = world.queue(CHUNKS).await?;
    let part = world.start_part("usual", &["--queue", &queue, "--users", &options.usual.to_string()])?;
    let sent = accepted(&mut world, options.usual).await?;
    tokio::time::sleep(REST).await;
    Ok(Cost::of(part.end()?, &world.server.usage_of("usual")?, options.usual, sent))
}

/// A producer that has put every chunk on the queue, and how long that took since the command.
async fn enqueued(world: &mut World) -> anyhow::Result<(Measured, Duration)> {
    let producer = world.start("producer")?;
    let began = world.clock.now();
    world.order().await?;
    world.until("the audience on the queue", async |world| world.is_enqueued().await).await?;
    let took = since(&world.clock, began);
    Ok((producer, took))
}

/// Waits until so many were accepted. Gives the time from the first of them to the last.
async fn accepted(world: &mut World, recipients: u32) -> anyhow::Result<Duration> {
    world.until("the first recipient", async |world| Ok(world.server.accepted()? > 0)).await?;
    let began = world.clock.now();
    world.until("the last recipient", async |world| Ok(world.server.accepted()? >= u64::from(recipients))).await?;
    Ok(since(&world.clock, began))
}

fn since(clock: &Clock, began: issei_clock::Instant) -> Duration {
    clock.now().saturating_duration_since(began)
}

fn ended(processes: Vec<Measured>) -> anyhow::Result<Spent> {
    processes.into_iter().try_fold(Spent::default(), |all, process| Ok(all.and(process.end()?)))
}
