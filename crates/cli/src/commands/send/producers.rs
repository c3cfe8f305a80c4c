//! Those who would carry the command out, by what their heartbeats tell: whether each producer knows the audience and the
//! provider, and asks as many persons to agree as this configuration does; and whether any consumer sends by that provider.
//!
//! Any producer may take it, so what one of them lacks speaks against the send. A consumer that lacks the provider leaves it
//! to the others. One that tells nothing is of an older build, and nothing is said for it.

use std::collections::BTreeMap;

use issei_assembly::{Parts, Settings};
use issei_certificate::{Finding, Part};
use issei_ledger::{Configured, Heartbeat, ServiceKind};
use issei_producer::AudienceConfig;
use issei_schema::{BroadcastCommand, ProviderName};
use jiff::Timestamp;

use crate::checks::InEnglish;

/// What was found, and what speaks against the send.
pub(super) struct Producers {
    pub(super) findings: Vec<Finding>,
    pub(super) refused: Vec<String>,
}

pub(super) async fn look(parts: &Parts, command: &BroadcastCommand) -> Producers {
    let finding = |what: String| Finding::new(Part::Settings, what, "ledger items `services#DAY`");
    let (audience, now) = (command.audience.as_str(), parts.clock.wall());
    let knows = finding(format!("producers that know the audience {audience}"))
        .rule("all that are alive", "any of them may take the command, and who does not know its audience refuses it");
    let asks = finding("persons who must agree, by the producers".to_owned())
        .rule("as many as here, or more", "the producer decides, by its own settings, whether others must agree");
    let runs = match parts.ledger().heartbeats(now).await {
        Ok(runs) => runs,
        Err(error) => return Producers { findings: vec![knows.unreadable(&error), asks.unreadable(error)], refused: Vec::new() },
    };
    let carriers = carriers(&runs, command, now);
    let alive: Vec<&Heartbeat> = runs.iter().filter(|run| run.is_alive(now) && run.service == ServiceKind::Producer).collect();
    let told: Vec<(&str, &Configured)> = alive.iter().filter_map(|run| Some((run.actor.as_str(), run.configured.as_ref()?))).collect();
    if told.is_empty() {
        let why = if alive.is_empty() { "no producer is alive" } else { "the producers' builds do not tell" };
        let findings = [knows.unreadable(why), asks.unreadable(why)].into_iter().chain(carriers.findings).collect();
        return Producers { findings, refused: carriers.refused };
    }
    let Producers { mut findings, mut refused } = carriers;
    // A rehearsal's audience is made by issei.
    if AudienceConfig::named(audience, &BTreeMap::new()).is_none() {
        let lack: Vec<&str> = told.iter().filter(|(_, configured)| !configured.audiences.contains(audience)).map(|(who, _)| *who).collect();
        let value = if lack.is_empty() { format!("all {} that tell", told.len()) } else { format!("not {}", lack.join("; ")) };
        let mend = format!("configure [audiences.{audience}] there, as here, and start it again");
        if !lack.is_empty() {
            refused.push(format!(
                "the audience `{audience}` is not configured at {}, which would refuse the command; {mend}",
                lack.join("; ")
            ));
        }
        findings.push(knows.found(value, lack.is_empty()).mend(mend));
    }
    match fewer(&parts.settings, command, &told) {
        Ok((value, fewer)) => {
            let mend = "give them the same approvals, approvals_from and approvals_classes, and start them again";
            if !fewer.is_empty() {
                refused.push(format!("{}; so nobody need approve it, or fewer than this configuration says; {mend}", fewer.join("; ")));
            }
            findings.push(asks.found(value, fewer.is_empty()).mend(mend));
        }
        Err(error) => findings.push(asks.unreadable(error)),
    }
    Producers { findings, refused }
}

/// Who knows the provider. SES everybody does.
fn carriers(runs: &[Heartbeat], command: &BroadcastCommand, now: Timestamp) -> Producers {
    let mut all = Producers { findings: Vec::new(), refused: Vec::new() };
    let Some(provider) = command.other_provider() else { return all };
    for kind in [ServiceKind::Producer, ServiceKind::Consumer] {
        let (service, all_must) = (kind.as_str(), kind == ServiceKind::Producer);
        let (rule, why) = if all_must {
            ("all that are alive", "any of them may take the command, and who does not know its provider refuses it")
        } else {
            ("one at least", "who does not know the provider, or lacks its key, sends nothing of it")
        };
        let finding = Finding::new(Part::Settings, format!("{service}s that know the provider {provider}"), "ledger items `services#DAY`")
            .rule(rule, why);
        let alive = || runs.iter().filter(|run| run.is_alive(now) && run.service == kind);
        let told: Vec<(&str, bool)> = alive().filter_map(|run| Some((run.actor.as_str(), knows(run, provider)?))).collect();
        let lack: Vec<&str> = told.iter().filter(|(_, knows)| !knows).map(|(who, _)| *who).collect();
        // One that does not tell may know it.
        let is_all_told = told.len() == alive().count();
        all.findings.push(if told.is_empty() || (!all_must && lack.len() == told.len() && !is_all_told) {
            finding.unreadable(if told.is_empty() && is_all_told {
                format!("no {service} is alive")
            } else {
                "not all builds tell".to_owned()
            })
        } else {
            let holds = if all_must { lack.is_empty() } else { lack.len() < told.len() };
            let value = if lack.is_empty() { format!("all {} that tell", told.len()) } else { format!("not {}", lack.join("; ")) };
            let mend =
                format!("configure [providers.{provider}] there, as here, set the variable that its `key` names, and start it again");
            if !holds {
                let then = if all_must { "which would refuse the command" } else { "so nothing of it would be sent" };
                all.refused.push(format!("the provider `{provider}` is not known to the {service} {}, {then}; {mend}", lack.join("; ")));
            }
            finding.found(value, holds).mend(mend)
        });
    }
    all
}

/// Whether it is configured there, of a consumer with its key; nothing where an older build does not tell.
fn knows(run: &Heartbeat, provider: &ProviderName) -> Option<bool> {
    run.carries.as_ref().map(|carries| carries.contains_key(provider))
}

/// How many each asks for, and those who ask for fewer, or from a larger audience on only, than these settings.
fn fewer(settings: &Settings, command: &BroadcastCommand, told: &[(&str, &Configured)]) -> anyhow::Result<(String, Vec<String>)> {
    let persons = |approvals: &issei_producer::Approvals| if approvals.are_for(command) { approvals.persons } else { 1 };
    let (here, mut fewer, mut least) = (settings.approvals_wanted()?, Vec::new(), u32::MAX);
    let (wanted, from) = (persons(&here), here.from_recipients);
    for (who, configured) in told {
        let there = Settings::approvals_told(configured)?;
        let asked = persons(&there);
        least = least.min(asked);
        if asked < wanted || (wanted > 1 && there.from_recipients > from) {
            fewer.push(format!(
                "{who} asks for {asked} from {} recipients on, and this configuration for {wanted} from {from} on",
                there.from_recipients
            ));
        }
    }
    Ok((format!("{least} at least, and {wanted} here"), fewer))
}
