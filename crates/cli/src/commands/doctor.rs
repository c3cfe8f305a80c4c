//! `issei doctor`: what is deployed, against what issei needs, with the command that mends it.

use std::time::Duration;

use aws_sdk_sesv2::types::{BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageTag, Template};
use issei_assembly::{Parts, Settings, say};
use issei_aws::chain;
use issei_certificate::{Deployed, Finding, Part, timeouts};
use issei_ledger::{PROBE_TAG, ProbeToken, ServiceKind, Timings};
use issei_producer::count_rows;
use issei_schema::{Mailbox, limits};
use serde_json::json;

use crate::Ended;
use crate::args::DoctorOptions;
use crate::commands::certify::show;
use crate::commands::send::number;
use crate::operator;

/// The mailbox that accepts everything (SES developer guide, "Using the mailbox simulator").
const SIMULATOR: &str = "success@simulator.amazonses.com";
/// Events come within seconds, as a rule.
const PROBE_WAIT: Duration = Duration::from_mins(1);

pub(crate) async fn run(settings: &Settings, options: &DoctorOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let mut findings = vec![chain_of_timeouts(settings), caller(&parts).await];
    findings.extend(Deployed::read(&parts.clients, &operator::wanted(&parts.settings)).await.findings);
    findings.push(may_send(&parts).await);
    findings.push(is_open(&parts).await);
    findings.extend(dead_letters(&parts).await);
    findings.extend(services(&parts).await);
    if let Some(audience) = &options.audience {
        findings.push(quota(&parts, audience).await);
    }
    if let Some(from) = &options.from {
        findings.push(identity(&parts, from).await);
        if options.probe {
            findings.push(probe(&parts, from).await);
        }
    }
    let bad = findings.iter().filter(|finding| !finding.holds()).count();
    if as_json {
        say(&json!({ "sound": bad == 0, "findings": findings }).to_string());
    } else {
        findings.iter().for_each(show);
        say(&if bad == 0 { format!("\nall {} sound", findings.len()) } else { format!("\n{bad} of {} to be mended", findings.len()) });
    }
    Ok(if bad == 0 { Ended::Well } else { Ended::Refused })
}

fn setting(what: &str, from: &str) -> Finding {
    Finding::new(Part::Settings, what, from)
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
        Ok(arn) => finding.found(arn, true),
        Err(error) => finding.unreadable(error).mend("set AWS_PROFILE, or log in"),
    }
}

async fn may_send(parts: &Parts) -> Finding {
    let set = &parts.settings.configuration_set;
    let finding = setting("may be sent through the configuration set", "SES GetConfigurationSet")
        .rule("on", "`issei stop --hard` turns it off, and nothing else turns it on again");
    match parts.clients.ses.get_configuration_set().configuration_set_name(set).send().await {
        Ok(answer) => match answer.sending_options.map(|options| options.sending_enabled) {
            Some(on) => finding.found(if on { "on" } else { "off" }, on).mend("issei open --reason …"),
            None => finding.unreadable("SES did not tell"),
        },
        Err(error) => finding.unreadable(chain(&error)).mend("issei setup"),
    }
}

/// `issei stop --all` closes the ledger for new broadcasts, and nothing but `issei open` opens it.
async fn is_open(parts: &Parts) -> Finding {
    let finding =
        setting("new broadcasts", "ledger item `closing`").rule("accepted", "while the ledger is closed, every command is refused");
    match parts.ledger().closing().await {
        Ok(None) => finding.found("accepted", true),
        Ok(Some(closing)) => finding
            .found(format!("refused since {} by {}: {}", closing.closed_at, closing.closed_by, closing.reason), false)
            .mend("issei open --reason …"),
        Err(error) => finding.unreadable(error).mend("issei setup"),
    }
}

async fn dead_letters(parts: &Parts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, queue) in
        [("commands", parts.commands_queue().await), ("chunks", parts.chunks_queue().await), ("feedback", parts.feedback_queue().await)]
    {
        let finding = setting(&format!("dead letters of the {name} queue"), "SQS GetQueueAttributes").rule(
            "none",
            "each is a command, a chunk or an event that somebody must look at, and no certificate is given while one lies there",
        );
        let counts = match queue {
            Ok(queue) => queue.counts().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        findings.push(match counts {
            Ok((_, dead)) => finding
                .found(dead.all(), dead.all() == 0)
                .mend(format!("read the attribute `reason` of each, mend its cause, then issei redrive {name}")),
            Err(reason) => finding.unreadable(reason).mend("issei setup"),
        });
    }
    findings
}

async fn services(parts: &Parts) -> Vec<Finding> {
    let now = parts.clock.wall();
    let from = "ledger items `services#DAY`";
    let runs = match parts.ledger().heartbeats(now).await {
        Ok(runs) => runs,
        Err(error) => return vec![setting("services", from).unreadable(error).mend("issei setup")],
    };
    let alive: Vec<_> = runs.iter().filter(|run| run.is_alive(now)).collect();
    let mut findings = Vec::new();
    for kind in [ServiceKind::Producer, ServiceKind::Consumer, ServiceKind::Feedback] {
        let count = alive.iter().filter(|run| run.service == kind).count();
        findings.push(
            setting(&format!("{}s alive", kind.as_str()), from)
                .rule("one or more", "nothing happens without it")
                .found(count, count > 0)
                .mend(format!("start `issei {}`", kind.as_str())),
        );
    }
    let digest = parts.settings.digest();
    let others: Vec<&str> = alive.iter().filter(|run| run.settings != digest).map(|run| run.actor.as_str()).collect();
    let value = if others.is_empty() { "the same everywhere".to_owned() } else { format!("other in {}", others.join("; ")) };
    findings.push(
        setting("settings of those alive", from)
            .rule("as here", "a timeout that only one of them knows breaks the chain between them")
            .found(value, others.is_empty())
            .mend("start them with the same configuration"),
    );
    findings.push(timeouts(&runs, Some(Timings::from(&parts.settings.timing())), now));
    findings
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
    match parts.clients.ses.get_account().send().await.map(|account| account.send_quota) {
        Ok(Some(quota)) => {
            let left = (quota.max24_hour_send - quota.sent_last24_hours).max(0.0);
            let rows_f64 = number(rows);
            let seconds = rows_f64 / quota.max_send_rate.max(0.001);
            // SES gives -1 where there is no daily quota.
            let fits =
                (quota.max24_hour_send < 0.0 || rows_f64 <= left) && seconds <= number(limits::NOT_AFTER_HOURS_MAX.unsigned_abs()) * 3600.0;
            let value = format!("{rows} rows, {left} left in 24 hours, {seconds:.0} s at {} a second", quota.max_send_rate);
            finding.found(value, fits).mend("ask AWS for a higher quota, or send to a part of the audience")
        }
        Ok(None) => finding.unreadable("SES did not tell"),
        Err(error) => finding.unreadable(chain(&error)),
    }
}

async fn identity(parts: &Parts, from: &Mailbox) -> Finding {
    let address = from.address().as_str();
    let domain = address.rsplit('@').next().unwrap_or_default();
    let finding = setting(&format!("identity of {domain}"), "SES GetEmailIdentity").rule("verified", "SES sends for verified senders only");
    let mut last = String::new();
    // The domain, or else the one address.
    for name in [domain, address] {
        match parts.clients.ses.get_email_identity().email_identity(name).send().await {
            Ok(answer) => {
                let verified = answer.verified_for_sending_status;
                return finding.found(if verified { "verified" } else { "not verified" }, verified).mend("verify it in the SES console");
            }
            Err(error) => last = chain(&error),
        }
    }
    finding.unreadable(last).mend("verify it in the SES console")
}

/// One mail to the mailbox simulator, and its event all the way into the ledger.
async fn probe(parts: &Parts, from: &Mailbox) -> Finding {
    let finding = setting("events, tried", "a mail to the mailbox simulator, and ledger item `probe`").rule(
        format!("heard of within {} s", PROBE_WAIT.as_secs()),
        "SES, the event destination, the queue and the feedback consumer must all do their part",
    );
    let token = match ProbeToken::try_from(parts.token()) {
        Ok(token) => token,
        Err(reason) => return finding.unreadable(reason),
    };
    let sent = async {
        let content = EmailTemplateContent::builder().subject("issei doctor").text("A probe.").build();
        let template = Template::builder().template_content(content).template_data("{}").build();
        let tag = MessageTag::builder().name(PROBE_TAG).value(token.as_str()).build().map_err(|error| error.to_string())?;
        let to = Destination::builder().to_addresses(SIMULATOR).build();
        let entry = BulkEmailEntry::builder().destination(to).replacement_tags(tag).build();
        let request = parts
            .clients
            .ses
            .send_bulk_email()
            .from_email_address(from.to_header())
            .default_content(BulkEmailContent::builder().template(template).build())
            .configuration_set_name(&parts.settings.configuration_set)
            .bulk_email_entries(entry);
        let answer = request.send().await.map_err(|error| chain(&error))?;
        match answer.bulk_email_entry_results.first() {
            Some(result) if result.message_id.is_some() => Ok(()),
            Some(result) => Err(format!("SES refused it: {:?} {}", result.status, result.error.as_deref().unwrap_or_default())),
            None => Err("SES told nothing of it".to_owned()),
        }
    };
    if let Err(reason) = sent.await {
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
            Ok(false) => tokio::time::sleep(Duration::from_millis(500)).await,
            Err(error) => return finding.unreadable(error),
        }
    }
}
