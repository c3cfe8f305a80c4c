//! `issei doctor`: what is deployed, against what issei needs, with the command that mends it.

use std::time::Duration;

use issei_assembly::{Parts, Settings, say};
use issei_certificate::{Deployed, Finding, Part, stated};
use issei_producer::count_rows;
use issei_provider::Provider as _;
use issei_schema::{Mailbox, ProbeToken, ProviderName, limits};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Ended;
use crate::args::DoctorOptions;
use crate::checks;
use crate::checks::InEnglish;
use crate::commands::certify::show;
use crate::commands::send::number;
use crate::commands::serve::on_signal;
use crate::in_use::{self, Care};
use crate::operator;

/// Events come within seconds, as a rule.
const PROBE_WAIT: Duration = Duration::from_mins(1);

pub(crate) async fn run(settings: &Settings, options: &DoctorOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Itself).await?;
    let mut findings = vec![file(settings), chain_of_timeouts(settings), caller(&parts).await];
    let wanted = operator::wanted(&parts.settings);
    findings.extend(Deployed::read(&parts.clients, &wanted).await.findings);
    // A probe is a mail by SES.
    let instead = if options.probe { None } else { checks::instead_of_ses(&parts).await };
    let uses_ses = instead.is_none();
    match &instead {
        Some(names) => findings.push(checks::not_used(names)),
        None => findings.extend(parts.ses().deployed().await.into_iter().map(stated)),
    }
    findings.extend(checks::who_may_write_events(&parts, uses_ses).await);
    findings.extend(checks::standings(&parts, options.from.as_ref(), uses_ses).await);
    if uses_ses {
        findings.push(checks::may_send(&parts).await);
        findings.push(checks::suppressed_reasons(&parts).await);
    }
    findings.push(checks::is_whole(&parts).await);
    findings.push(checks::is_open(&parts).await);
    findings.extend(checks::dead_letters(&parts).await);
    findings.push(checks::accepted_twice(&parts).await);
    findings.extend(checks::services(&parts).await);
    findings.extend(checks::open_broadcasts(&parts).await);
    findings.extend(checks::left_in_doubt(&parts).await);
    if let Some(audience) = &options.audience {
        findings.extend(quotas(&parts, audience, instead.as_deref()).await);
    }
    let mut forecast = None;
    if let Some(recipients) = options.recipients {
        if let Some(names) = &instead {
            findings
                .extend(names.iter().filter_map(|name| by_rate(&parts, name, &format!("time for {recipients} recipients"), recipients)));
        } else {
            let (found, told) = checks::duration(&parts, recipients).await;
            findings.extend(found);
            forecast = told;
        }
    }
    let mut is_interrupted = false;
    if let Some(from) = &options.from {
        if uses_ses {
            findings.extend(checks::sender(&parts, &parts.ses(), from).await);
        }
        if options.probe {
            let shutdown = on_signal()?;
            findings.push(probe(&parts, from, &shutdown).await);
            is_interrupted = shutdown.is_cancelled();
        }
    }
    // Whoever reads what a shell prints reads English, and half of these say nothing else.
    findings.iter_mut().for_each(|finding| finding.japanese = None);
    let bad = findings.iter().filter(|finding| !finding.holds()).count();
    if as_json {
        let mut told = json!({ "sound": bad == 0, "findings": findings });
        if let Some(forecast) = forecast {
            told["for"] = json!(forecast);
        }
        say(&told.to_string());
    } else {
        findings.iter().for_each(show);
        say(&if bad == 0 { format!("\nall {} sound", findings.len()) } else { format!("\n{bad} of {} to be mended", findings.len()) });
    }
    Ok(match bad {
        _ if is_interrupted => Ended::Interrupted,
        0 => Ended::Well,
        _ => Ended::Refused,
    })
}

fn setting(what: &str, from: &str) -> Finding {
    Finding::new(Part::Settings, what, from)
}

fn file(settings: &Settings) -> Finding {
    let finding = setting("configuration file", "--config, ISSEI_CONFIG, or the nearest issei.toml upwards")
        .rule("the one that is meant", "audiences and providers stand nowhere else");
    match &settings.file {
        Some(file) => finding.found(file.display(), true),
        None => finding.found("none: everything is at its default, or in the environment", true),
    }
}

/// Settings that break the chain are refused before anything runs, so here it only says what it is.
fn chain_of_timeouts(settings: &Settings) -> Finding {
    let timing = settings.timing();
    let value = format!(
        "send {} ms, permit {} ms, lease {} ms, handler {} ms, visibility {} s",
        timing.send.as_millis(),
        timing.permit_life.as_millis(),
        timing.lease.as_millis(),
        timing.handler.as_millis(),
        timing.visibility.as_secs()
    );
    setting("timeouts", "the settings in force")
        .rule("send < permit < lease < handler, and visibility >= 6 x handler", "a timeout that ends before what it waits for, repeats it")
        .found(value, timing.checked().is_ok())
}

async fn caller(parts: &Parts) -> Finding {
    let finding = setting("you", "STS GetCallerIdentity").rule("known", "the audit trail names who did what");
    match parts.clients.caller().await {
        Ok(caller) => finding.found(caller.arn, true),
        Err(error) => finding.unreadable(error).mend("set AWS_PROFILE, or log in"),
    }
}

/// Of whoever carries: SES tells what the account may send, of the others the configuration says how fast.
async fn quotas(parts: &Parts, audience: &str, instead: Option<&[ProviderName]>) -> Vec<Finding> {
    let Some(names) = instead else { return vec![quota(parts, audience).await] };
    let what = format!("rate for audience {audience}");
    let counted = match parts.settings.audiences.get(audience) {
        Some(config) => count_rows(audience, config).await.map_err(|error| error.to_string()),
        None => Err(format!("there is no [audiences.{audience}] in the configuration")),
    };
    match counted {
        Ok(rows) => names.iter().filter_map(|name| by_rate(parts, name, &what, rows)).collect(),
        Err(error) => vec![setting(&what, "the audience counted").unreadable(error).mend("correct --audience, or what it is read from")],
    }
}

/// Whether so many are sent to within the life of a command, by the rate that is configured for a provider. What else its account allows
/// nobody tells beforehand.
fn by_rate(parts: &Parts, name: &ProviderName, what: &str, recipients: u64) -> Option<Finding> {
    let known = parts.known_providers().remove(name)?;
    let hours = limits::NOT_AFTER_HOURS_MAX;
    let finding = setting(&format!("{what} by {name}"), "`rate` of the provider, and how many there are")
        .rule(format!("within {hours} hours"), "a command is good for no longer");
    let rate = known.rate?;
    let seconds = number(recipients) / rate.max(0.001);
    let value = format!("{recipients} recipients, {seconds:.0} s at {rate} a second; what else {} allows was not asked", known.facts.title);
    Some(
        finding
            .found(value, seconds <= number(hours.unsigned_abs()) * 3600.0)
            .mend("ask the provider for a higher rate, or send to a part of the audience"),
    )
}

/// Enough for everybody in the audience, today and within the life of a command.
async fn quota(parts: &Parts, audience: &str) -> Finding {
    let finding = setting(&format!("quota for audience {audience}"), "SES GetAccount, and the audience counted").rule(
        format!("the audience within what is left of 24 hours, and within {} hours at the account's rate", limits::NOT_AFTER_HOURS_MAX),
        "a broadcast that meets the quota is paused in the midst",
    );
    let Some(config) = parts.settings.audiences.get(audience) else {
        return finding.unreadable(format!("there is no [audiences.{audience}] in the configuration")).mend("correct --audience");
    };
    let rows = match count_rows(audience, config).await {
        Ok(rows) => rows,
        Err(error) => return finding.unreadable(error),
    };
    match parts.ses().account().await.map(|account| account.quota) {
        Ok(Some(quota)) => {
            let left = (quota.a_day - quota.sent_in_24_hours).max(0.0);
            let rows_f64 = number(rows);
            let seconds = rows_f64 / quota.a_second.max(0.001);
            // SES gives -1 where there is no daily quota.
            let fits = (quota.a_day < 0.0 || rows_f64 <= left) && seconds <= number(limits::NOT_AFTER_HOURS_MAX.unsigned_abs()) * 3600.0;
            let value = format!("{rows} rows, {left} left in 24 hours, {seconds:.0} s at {} a second", quota.a_second);
            finding.found(value, fits).mend("ask AWS for a higher quota, or send to a part of the audience")
        }
        Ok(None) => finding.unreadable("SES did not tell"),
        Err(error) => finding.unreadable(error),
    }
}

/// One mail to the mailbox simulator, and its event all the way into the ledger.
async fn probe(parts: &Parts, from: &Mailbox, shutdown: &CancellationToken) -> Finding {
    let finding = setting("events, tried", "a mail to the mailbox simulator, and ledger item `probe`").rule(
        format!("heard of within {} s", PROBE_WAIT.as_secs()),
        "SES, the event destination, the queue and the feedback consumer must all do their part",
    );
    let token = match ProbeToken::try_from(parts.token()) {
        Ok(token) => token,
        Err(reason) => return finding.unreadable(reason),
    };
    if let Err(reason) = parts.ses().probe(from, &token).await {
        return finding.found(reason, false).mend("correct --from, and what else the findings name");
    }
    let began = parts.clock.now();
    loop {
        let passed = parts.clock.now().saturating_duration_since(began);
        match parts.ledger().has_heard_of(&token).await {
            Ok(true) => return finding.found(format!("after {} ms", passed.as_millis()), true),
            Ok(false) if passed > PROBE_WAIT => {
                let mend =
                    "look whether the event destination is there, its topic has the feedback queue subscribed, and `issei feedback` runs";
                return finding.found("never", false).mend(mend);
            }
            Ok(false) => {
                if shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await.is_none() {
                    return finding.unreadable("interrupted before it was heard of");
                }
            }
            Err(error) => return finding.unreadable(error),
        }
    }
}
