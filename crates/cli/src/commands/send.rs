//! `issei send`: checks a command, says what will happen, and enqueues it.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use issei_assembly::{Parts, Settings, VERSION, say};
use issei_producer::{AudienceConfig, Survey, UniqueBy, check_command, survey};
use issei_schema::BroadcastCommand;
use serde::Serialize;
use serde_json::json;

use crate::Ended;
use crate::args::SendOptions;

/// US dollars for a thousand recipients (SES pricing, outbound mail, November 2026). Attachments and
/// dedicated addresses cost more.
const DOLLARS_PER_THOUSAND: f64 = 0.10;

/// What will happen.
#[derive(Debug, Serialize)]
struct Forecast {
    broadcast_id: String,
    audience: String,
    rows: u64,
    /// Rows whose key is null: they are skipped.
    without_key: u64,
    /// Rows whose key another row has, too: they are skipped.
    repeated_keys: u64,
    /// Addresses that stand under several keys.
    repeated_addresses: u64,
    /// Each of them is mailed once, and not under each of its keys.
    unique_addresses: bool,
    max_recipients: u64,
    recipients_a_second: f64,
    quota_left_today: Option<u64>,
    seconds_at_least: u64,
    cost_usd: f64,
    known_already: bool,
}

pub(crate) async fn run(settings: &Settings, options: &SendOptions, as_json: bool) -> anyhow::Result<Ended> {
    let command = BroadcastCommand::parse(&read(&options.file)?).with_context(|| format!("command {}", options.file.display()))?;
    let parts = Parts::connect(settings).await;
    check_command(&command, &settings.audiences, parts.clock.wall()).with_context(|| format!("command {}", options.file.display()))?;
    let known = parts.ledger().find_broadcast(&command.broadcast_id).await?;
    if let Some(known) = known.as_ref().filter(|known| known.command_hash != command.hash().as_str()) {
        bail!(
            "`broadcast_id` {} belongs to another command, which is {}; choose a new id for new content",
            command.broadcast_id,
            known.broadcast_state
        );
    }
    let forecast = forecast(&parts, &command, known.is_some()).await?;
    print(&forecast, as_json);
    if forecast.rows > forecast.max_recipients {
        bail!(
            "the audience `{}` has {} rows, more than max_recipients ({}); the producer would refuse it before the first send; raise max_recipients if all of them are meant",
            forecast.audience,
            forecast.rows,
            forecast.max_recipients
        );
    }
    if settings.require_rehearsal
        && let Some(why) = parts.ledger().lacks_rehearsal(VERSION, &settings.digest(), forecast.rows).await?
    {
        bail!("require_rehearsal is on, and the producer would refuse this: {why}");
    }
    if options.dry_run {
        say(&line(as_json, "dry run: nothing was sent to the queue", json!({ "enqueued": false })));
        return Ok(Ended::Well);
    }
    parts.commands_queue().await?.send(&command.to_body(), Duration::ZERO).await?;
    say(&line(as_json, &format!("enqueued; watch it with `issei status {} --watch`", command.broadcast_id), json!({ "enqueued": true })));
    Ok(Ended::Well)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
        return Ok(without_mark(text));
    }
    text = std::fs::read_to_string(file).with_context(|| format!("command {} can't be read", file.display()))?;
    text = without_mark(text);
    if file.extension().is_some_and(|extension| extension == "toml") {
        let value: serde_json::Value = toml::from_str(&text).with_context(|| format!("command {}", file.display()))?;
        text = value.to_string();
    }
    Ok(without_mark(text))
}

/// Editors put a byte order mark before a text, which is no part of it (RFC 8259 section 8.1).
fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

async fn forecast(parts: &Parts, command: &BroadcastCommand, known_already: bool) -> anyhow::Result<Forecast> {
    let name = command.audience.as_str();
    let config = AudienceConfig::named(name, &parts.settings.audiences).context("the audience is not configured")?;
    let Survey { rows, without_key, repeated_keys, repeated_addresses } = survey(name, &config, &parts.settings.spool_directory()).await?;
    let account =
        parts.clients.ses.get_account().send().await.map_err(|error| anyhow::anyhow!("SES GetAccount: {}", issei_aws::chain(&error)))?;
    let quota = account.send_quota;
    let mut rate = quota.as_ref().map_or(0.0, |quota| quota.max_send_rate);
    if parts.settings.rate_ceiling > 0.0 {
        rate = rate.min(parts.settings.rate_ceiling);
    }
    let left = quota.filter(|quota| quota.max24_hour_send >= 0.0).map(|quota| whole(quota.max24_hour_send - quota.sent_last24_hours));
    Ok(Forecast {
        broadcast_id: command.broadcast_id.to_string(),
        audience: name.to_owned(),
        rows,
        without_key,
        repeated_keys,
        repeated_addresses,
        unique_addresses: config.unique_by == Some(UniqueBy::Address),
        max_recipients: command.max_recipients.get(),
        recipients_a_second: rate,
        quota_left_today: left,
        seconds_at_least: whole((number(rows) / rate.max(0.001)).ceil()),
        cost_usd: number(rows) / 1000.0 * DOLLARS_PER_THOUSAND,
        known_already,
    })
}

fn print(forecast: &Forecast, as_json: bool) {
    if as_json {
        say(&json!({ "forecast": forecast }).to_string());
        return;
    }
    let quota = forecast.quota_left_today.map_or("unlimited".to_owned(), |left| left.to_string());
    say(&format!("broadcast      {}", forecast.broadcast_id));
    say(&format!("audience       {} ({} rows now)", forecast.audience, forecast.rows));
    if forecast.without_key > 0 || forecast.repeated_keys > 0 {
        say(&format!(
            "               of them {} without a key and {} with a key that another row has: skipped",
            forecast.without_key, forecast.repeated_keys
        ));
    }
    if forecast.repeated_addresses > 0 {
        let then = if forecast.unique_addresses {
            "each is mailed once"
        } else {
            "each key is mailed; unique_by = \"address\" in the audience mails each address once"
        };
        say(&format!("               {} addresses stand under several keys: {then}", forecast.repeated_addresses));
    }
    say(&format!("budget         {} recipients at most", forecast.max_recipients));
    say(&format!("time           {} s at least, at {} recipients a second", forecast.seconds_at_least, forecast.recipients_a_second));
    say(&format!("quota today    {quota}"));
    say(&format!("cost           about {:.2} USD", forecast.cost_usd));
    if forecast.known_already {
        say("note           this command has been sent before: sending it again changes nothing");
    }
    if forecast.quota_left_today.is_some_and(|left| left < forecast.rows) {
        say("warning        today's quota is less than the audience: the broadcast will pause when it is used up");
    }
}

fn line(as_json: bool, text: &str, json: serde_json::Value) -> String {
    if as_json { json.to_string() } else { text.to_owned() }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
pub(crate) fn number(rows: u64) -> f64 {
    rows as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}
