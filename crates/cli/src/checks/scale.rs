//! How long so many recipients take on what is there now: the account's rate and quota, the table, the consumers that are
//! alive, and how long a call takes from here; by the model of `issei-scale`. Nothing is sent for it.

use issei_assembly::{Parts, Settings};
use issei_certificate::Finding;
use issei_ledger::{Heartbeat, LedgerError, ServiceKind, Throughput};
use issei_provider::ses::Quota;
use issei_scale::{Cpu, Latency, Setup, Table, Told, cost, price};
use issei_schema::limits;
use serde::Serialize;

use super::InEnglish;
use super::setting;
use crate::commands::send::{number, whole};

/// What the model was asked, and what it says.
#[derive(Serialize)]
pub(crate) struct Forecast {
    #[serde(flatten)]
    told: Told,
    setup: Setup,
    /// At list prices in us-east-1.
    dollars_provider: f64,
    dollars_aws: f64,
}

/// What was found, and where that could be told the forecast.
pub(crate) async fn duration(parts: &Parts, recipients: u64) -> (Vec<Finding>, Option<Forecast>) {
    let finding = |what: &str, from: &str| setting(&format!("{what} {recipients} recipients"), from);
    let time =
        finding("time for", "SES GetAccount, DynamoDB DescribeTable, heartbeats, the settings, and how long their calls take from here");
    let rule = format!("within {} hours", limits::NOT_AFTER_HOURS_MAX);
    let time = time.rule(rule, "a command is good for no longer");
    let (setup, said) = match looked(parts, recipients).await {
        Ok(looked) => looked,
        Err(why) => return (vec![time.unreadable(why).mend("mend what the other findings name")], None),
    };
    let Looked { quota, table, consumers } = said;
    let told = issei_scale::run(&setup);
    let hours = number(limits::NOT_AFTER_HOURS_MAX.unsigned_abs());
    let value = format!(
        "frozen after {}, sent after {}, at {:.0} a second while it is sent; {consumers} of {} chunks in flight, {table}, a call takes {:.0} ms",
        seconds(told.frozen_s),
        seconds(told.sent_s),
        told.a_second,
        setup.chunks_in_flight,
        setup.latency.ledger_ms,
    );
    let is_in_time = told.frozen_s.max(told.sent_s) <= hours * 3_600.0;
    let mut findings = vec![time.found(value, is_in_time).mend(told.bound.turn())];
    let share = told.uses.iter().find(|one| one.of == told.bound).map_or(0.0, |one| one.share);
    let bound = format!("{}, used to {:.0} %; {}", told.bound.what(), share * 100.0, told.bound.turn());
    findings
        .push(finding("what holds up", "the same").rule("told", "whatever else is turned changes nothing before it").found(bound, true));
    let left = (quota.a_day - quota.sent_in_24_hours).max(0.0);
    // SES gives -1 where there is no daily quota.
    let fits = quota.a_day < 0.0 || number(recipients) <= left;
    let value = if quota.a_day < 0.0 { "no limit".to_owned() } else { format!("{left} left of {}", quota.a_day) };
    let day =
        finding("quota of 24 hours for", "SES GetAccount").rule("as many left", "a broadcast that meets the quota is paused in the midst");
    findings.push(day.found(value, fits).mend("ask AWS for a higher quota, or send to a part of the audience each day"));
    let (dollars_provider, dollars_aws) = (price::provider(recipients), price::aws(&setup, &told));
    let value = format!("$ {dollars_provider:.2} SES, $ {dollars_aws:.2} SQS and DynamoDB");
    findings.push(
        finding("cost of", "list prices in us-east-1, and the calls of the model")
            .rule("told", "without attachments, dedicated addresses and events")
            .found(value, true),
    );
    (findings, Some(Forecast { told, setup, dollars_provider, dollars_aws }))
}

struct Looked {
    quota: Quota,
    table: String,
    consumers: String,
}

async fn looked(parts: &Parts, recipients: u64) -> Result<(Setup, Looked), String> {
    let (account, provider_ms) = timed(parts, parts.ses().account()).await;
    let quota = account?.quota.ok_or("SES did not tell what the account may send")?;
    let (table, _) = timed(parts, parts.ledger().throughput()).await;
    let (writes, table) = writes(table.map_err(|error| error.to_string())?);
    // The first call of a connection takes longer.
    let (closing, ledger_ms) = timed(parts, parts.ledger().closing()).await;
    closing.map_err(|error| error.to_string())?;
    let (closing, again_ms) = timed(parts, parts.ledger().closing()).await;
    closing.map_err(|error| error.to_string())?;
    let queue = parts.chunks_queue().await.map_err(|error| error.to_string())?;
    let (counts, both_ms) = timed(parts, queue.counts()).await;
    counts.map_err(|error| error.to_string())?;
    let alive = alive(parts).await.map_err(|error| error.to_string())?;
    let settings = &parts.settings;
    let in_flight = alive.first().and_then(in_flight_of).unwrap_or(settings.chunks_in_flight);
    let consumers = match alive.len() {
        0 => "no consumer is alive, as if one were".to_owned(),
        some => format!("{some} consumers alive"),
    };
    let ceiling = if settings.rate_ceiling > 0.0 { settings.rate_ceiling } else { f64::INFINITY };
    let setup = Setup {
        recipients,
        chunk_recipients: settings.chunk_size,
        page_recipients: u32::try_from(settings.page_size).unwrap_or(u32::MAX),
        shards: parts.ledger().shards_for(recipients).get(),
        consumers: u32::try_from(alive.len().max(1)).unwrap_or(u32::MAX),
        chunks_in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        latency: Latency { ledger_ms: ledger_ms.min(again_ms), queue_ms: both_ms / 2.0, provider_ms },
        cpu: Cpu::MEASURED,
        rate: quota.a_second.min(ceiling).max(0.1),
        table: Table { writes },
    };
    Ok((setup, Looked { quota, table, consumers }))
}

/// What was answered, and after how many milliseconds.
async fn timed<T>(parts: &Parts, asked: impl Future<Output = T>) -> (T, f64) {
    let began = parts.clock.now();
    let answer = asked.await;
    (answer, parts.clock.now().saturating_duration_since(began).as_secs_f64() * 1e3)
}

async fn alive(parts: &Parts) -> Result<Vec<Heartbeat>, LedgerError> {
    let now = parts.clock.wall();
    let runs = parts.ledger().heartbeats(now).await?;
    Ok(runs.into_iter().filter(|run| run.service == ServiceKind::Consumer && run.is_alive(now)).collect())
}

/// As its heartbeat tells, which leaves out what is at its default.
fn in_flight_of(run: &Heartbeat) -> Option<usize> {
    let default = Settings::defaults(|_| {}).ok()?.chunks_in_flight;
    let told = run.configured.as_ref()?.changed.get("chunks_in_flight");
    told.map_or(Some(default), |told| told.parse().ok())
}

fn writes(told: Throughput) -> (f64, String) {
    match told {
        Throughput::OnDemand { warm_writes: Some(writes) } => {
            (number(writes), format!("a table that takes {writes} writes a second at once"))
        }
        Throughput::OnDemand { warm_writes: None } => (
            cost::NEW_TABLE_WRITES,
            format!("a table of which AWS does not tell what it takes at once, counted as a new one ({})", cost::NEW_TABLE_WRITES),
        ),
        Throughput::Provisioned { writes } => (number(writes), format!("a table of {writes} writes a second")),
    }
}

/// For people.
fn seconds(seconds: f64) -> String {
    match whole(seconds) {
        0..60 => format!("{seconds:.1} s"),
        60..7_200 => format!("{} min {} s", whole(seconds) / 60, whole(seconds) % 60),
        some => format!("{} h {} min", some / 3_600, some % 3_600 / 60),
    }
}
