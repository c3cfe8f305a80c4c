//! `issei demo`: a whole broadcast in one process, with crashes and lost answers, judged by what
//! the simulated provider counted.
//!
//! Producer, consumers, queues, ledger and SDK are the ones of production. Only AWS is simulated,
//! and time runs faster: leases and visibility timeouts are seconds, so that a crash is over soon.

mod carriers;
mod compare;
mod judge;
mod report;
mod users;
mod work;

use std::sync::atomic::AtomicU64;

use anyhow::{Context, bail};
use issei_assembly::{Parts, Settings};
use issei_clock::{Clock, Dice};
use issei_producer::AudienceConfig;
use issei_schema::BroadcastCommand;
use issei_sim::{Account, Cloud, Options, StoreKind, connector};
use jiff::SignedDuration;
use serde_json::json;

use crate::args::{DemoOptions, DemoProvider};
use crate::commands::serve::on_signal;
use crate::commands::setup;
use crate::{Ended, Interrupted};
use report::Report;
pub(super) use work::{Ending, Work, hasten, misbehave};

const BROADCAST: &str = "terms-2026";
const USERS: u64 = 100_000;
/// With fewer, chance may spare every call.
const FEW: u64 = 10_000;

pub(crate) async fn run(options: &DemoOptions, as_json: bool) -> anyhow::Result<Ended> {
    if options.compare {
        return compare::run(options, as_json).await;
    }
    let (clock, recipients) = (Clock::system(), options.recipients.unwrap_or(USERS));
    let started = clock.now();
    let directory = tempfile::tempdir().context("no temporary directory")?;
    let url = users::make(&directory.path().join("users.db"), recipients, !options.calm).await?;
    let cloud = Cloud::new(Options {
        clock: clock.clone(),
        seed: options.seed,
        store: StoreKind::TemporaryFile,
        account: Account { max_send_rate: 50_000.0, max_24_hour_send: 1e9, ..Account::default() },
    })?;
    let settings = settings(&url)?;
    let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &settings.timing()).await;
    let mut parts = Parts::with(settings, clients, clock.clone(), Dice::seeded(options.seed));
    if let Some(name) = options.provider.name()? {
        parts = options.provider.join(parts, name)?;
    }
    setup::make(&parts).await?;
    let before = cloud.counts();
    let shutdown = on_signal()?;
    if !options.calm {
        if recipients < FEW {
            work::misbehave_at_least(&cloud, options.provider.operation());
        }
        misbehave(&cloud, options.provider.operation());
    }
    let command = command(&clock, recipients, options.provider)?;
    let calm = options.calm;
    let (shutdown, command, killed) = (&shutdown, &command, AtomicU64::new(0));
    let work = Work { parts: &parts, cloud: &cloud, recipients, calm, attended: false, shutdown, command, killed };
    work.until_over(as_json).await?;
    if shutdown.is_cancelled() {
        bail!(Interrupted("interrupted before the end".to_owned()));
    }
    let requests = report::requests(&before, &cloud.counts());
    let judged = judge::judge(&parts, &cloud, &command.broadcast_id, &url).await?;
    let [waiting, in_flight, dead] = parts.chunks_queue().await?.depths().await?;
    let asked_again = parts.ledger().broadcast(&command.broadcast_id).await?.asked_again;
    let faults = report::Faults::of(&cloud, options.provider.operation(), asked_again, work.killed.into_inner());
    let elapsed = clock.now().saturating_duration_since(started);
    let report = Report::of(judged, cloud.accepted(), requests, faults, waiting + in_flight + dead, elapsed);
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
        hasten(settings);
        settings.audiences.insert("users".to_owned(), users);
    })
}

fn command(clock: &Clock, recipients: u64, by: DemoProvider) -> anyhow::Result<BroadcastCommand> {
    let not_after = clock.wall().saturating_add(SignedDuration::from_hours(24))?;
    let mut body = json!({
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
    if let Some(provider) = by.name()? {
        (body["version"], body["class"], body["provider"]) = (2.into(), "legal_notice".into(), provider.as_str().into());
    }
    Ok(BroadcastCommand::parse(&body.to_string())?)
}
