//! `issei demo`: a whole broadcast in one process, with crashes and lost answers, judged by what
//! the simulated provider counted.
//!
//! Producer, consumers, queues, ledger and SDK are the ones of production. Only AWS is simulated,
//! and time runs faster: leases and visibility timeouts are seconds, so that a crash is over soon.

mod judge;
mod report;
mod users;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use issei_assembly::{Parts, Settings};
use issei_clock::{Clock, Dice, Instant};
use issei_producer::AudienceConfig;
use issei_schema::{BroadcastCommand, BroadcastId};
use issei_sim::{Account, Cloud, Fault, Options, Rule, StoreKind, connector};
use jiff::SignedDuration;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Ended;
use crate::args::DemoOptions;
use crate::commands::serve::on_signal;
use crate::commands::setup;
use report::Report;

const BROADCAST: &str = "terms-2026";
const CONSUMERS: usize = 3;
/// The app's job is retried, as it was on the day of the disaster.
const COMMANDS: usize = 5;
/// Longer without anything new than any timeout of the demo: something is stuck.
const STUCK: Duration = Duration::from_secs(90);

pub(crate) async fn run(options: &DemoOptions, as_json: bool) -> anyhow::Result<Ended> {
    let clock = Clock::system();
    let started = clock.now();
    let directory = tempfile::tempdir().context("no temporary directory")?;
    let url = users::make(&directory.path().join("users.db"), options.recipients, !options.calm).await?;
    let cloud = Cloud::new(Options {
        clock: clock.clone(),
        seed: options.seed,
        store: StoreKind::TemporaryFile,
        account: Account { max_send_rate: 50_000.0, max_24_hour_send: 1e9, ..Account::default() },
    })?;
    let settings = settings(&url)?;
    let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &settings.timing()).await;
    let parts = Parts::with(settings, clients, clock.clone(), Dice::seeded(options.seed));
    setup::make(&parts).await?;
    let before = cloud.counts();
    let shutdown = on_signal()?;
    if !options.calm {
        misbehave(&cloud);
    }
    let command = command(&clock, options.recipients)?;
    let commands = parts.commands_queue().await?;
    for _ in 0..COMMANDS {
        commands.send(&command.to_body(), Duration::ZERO).await?;
    }
    let work = Work { parts: &parts, cloud: &cloud, options, shutdown: &shutdown, id: &command.broadcast_id };
    work.until_complete(as_json).await?;
    if shutdown.is_cancelled() {
        bail!("interrupted before the end");
    }
    let requests = report::requests(&before, &cloud.counts());
    let judged = judge::judge(&parts, &cloud, &command.broadcast_id, &url).await?;
    let [waiting, in_flight, dead] = parts.chunks_queue().await?.depths().await?;
    let report = Report::of(judged, cloud.accepted(), requests, waiting + in_flight + dead, clock.now().saturating_duration_since(started));
    report.print(as_json);
    Ok(if report.is_good() { Ended::Well } else { Ended::Refused })
}

fn settings(url: &str) -> anyhow::Result<Settings> {
    let users = AudienceConfig {
        url: Some(url.to_owned()),
        table: Some("users".to_owned()),
        key: "id".to_owned(),
        address: "email".to_owned(),
        columns: vec!["name".to_owned()],
        ..AudienceConfig::default()
    };
    Settings::defaults(|settings| {
        settings.send_timeout_ms = 500;
        settings.permit_life_ms = 1_000;
        settings.ledger_timeout_ms = 1_000;
        settings.lease_ms = 2_000;
        settings.handler_timeout_ms = 2_500;
        settings.visibility_timeout_s = 15;
        settings.close_every_ms = 500;
        // A consumer that is killed here is gone at once, with everything that it had on the wire.
        settings.request_lifetime_s = 0;
        settings.audiences.insert("users".to_owned(), users);
    })
}

fn command(clock: &Clock, recipients: u64) -> anyhow::Result<BroadcastCommand> {
    let not_after = clock.wall().saturating_add(SignedDuration::from_hours(24))?;
    let body = json!({
        "version": 1,
        "broadcast_id": BROADCAST,
        "audience": "users",
        "content": { "inline": {
            "subject": "{{name}}, our terms of service change",
            "text": "Dear {{name}},\nfrom 1 January 2027 new terms apply.",
            "html": "<p>Dear {{name}},</p><p>from 1 January 2027 new terms apply.</p>",
        } },
        "from": "Example <no-reply@example.com>",
        "max_recipients": recipients,
        "not_after": not_after.to_string(),
        "requested_by": "issei demo",
    });
    Ok(BroadcastCommand::parse(&body.to_string())?)
}

/// What goes wrong: sends are accepted and their answers lost or turned into errors, sends are
/// throttled, messages are handed out again, entries of batches fail.
fn misbehave(cloud: &Cloud) {
    cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).with_probability(0.002));
    cloud.inject(Rule::every("SendBulkEmail", Fault::ErrorAfter).with_probability(0.001));
    cloud.inject(Rule::every("SendBulkEmail", Fault::Throttle).with_probability(0.002));
    cloud.inject(Rule::every("UpdateItem", Fault::ResetAfter).with_probability(0.002));
    cloud.configure(|account| {
        account.redelivery = 0.02;
        account.batch_entry_failure = 0.01;
    });
}

/// The services at work.
struct Work<'a> {
    parts: &'a Parts,
    cloud: &'a Arc<Cloud>,
    options: &'a DemoOptions,
    shutdown: &'a CancellationToken,
    id: &'a BroadcastId,
}

impl Work<'_> {
    async fn until_complete(&self, as_json: bool) -> anyhow::Result<()> {
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
        let mut victim = consumers.pop().filter(|_| !self.options.calm);
        let bar = bar(self.options.recipients, as_json);
        let clock = &self.parts.clock;
        let (mut last, mut moved): (u64, Instant) = (0, clock.now());
        let mut looked = clock.now();
        while self.shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await.is_some() {
            let accepted = self.cloud.accepted();
            bar.set_position(accepted);
            if accepted != last {
                (last, moved) = (accepted, clock.now());
            }
            // A quarter of the way, one consumer dies in the midst of its sends; another is started.
            if accepted >= self.options.recipients / 4
                && let Some(victim) = victim.take()
            {
                victim.abort();
                let (consumer, token) = (self.parts.consumer().await?, stop.clone());
                services.spawn(consumer.run(token));
                bar.println("a consumer was killed in the midst of its work, and another started");
            }
            if clock.now().saturating_duration_since(looked) >= Duration::from_secs(1) {
                looked = clock.now();
                let in_doubt = self.parts.ledger().progress(self.id).await?.in_doubt;
                // The visibility timeout of what the killed consumer had in hand must pass first.
                let waits = !self.options.calm && clock.now().saturating_duration_since(moved) > Duration::from_secs(2);
                let note = if waits { ", waiting for the messages of the killed consumer to come back" } else { "" };
                bar.set_message(format!("{in_doubt} in doubt{note}"));
                let broadcast = self.parts.ledger().find_broadcast(self.id).await?;
                if let Some(over) = broadcast.filter(|broadcast| broadcast.broadcast_state.is_over()) {
                    if over.totals.is_none() {
                        bail!("the broadcast ended as {}: {:?}", over.broadcast_state, over.audit_trail.last());
                    }
                    break;
                }
            }
            if clock.now().saturating_duration_since(moved) > STUCK {
                bail!("nothing has moved for {} s: {:?}", STUCK.as_secs(), self.parts.ledger().find_broadcast(self.id).await?);
            }
        }
        // What was handed out twice is still on its way; it finds its chunk settled and goes.
        self.until_drained().await?;
        bar.finish_and_clear();
        stop.cancel();
        while services.join_next().await.is_some() {}
        Ok(())
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

fn bar(recipients: u64, as_json: bool) -> ProgressBar {
    if as_json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(recipients);
    // The template is a constant, so it is always good.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} accepted  {rate}  {eta} left  {msg}") {
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // A bar that can't be written to is not seen either.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
    }
    bar
}
