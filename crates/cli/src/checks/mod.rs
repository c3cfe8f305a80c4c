//! What is looked at before a send and by `doctor`, the same in both: each finding was read from the thing
//! itself, and what can't be read says so.

mod dmarc;
mod dns;
mod english;
mod providers;
mod scale;
mod sender;
mod template;
mod used;
mod writers;

use futures_util::{StreamExt, stream};
use issei_assembly::Parts;
use issei_certificate::{Finding, Part, accounts_of_senders, doubt_left, kept_unsigned, requests_not_asked, timeouts};
use issei_ledger::{Broadcast, Configured, Heartbeat, LedgerError, Opening, ServiceKind, Shut, Timings};
use jiff::SignedDuration;

use crate::commands::status::none_alive;

pub(crate) use english::InEnglish;
pub(crate) use providers::standings;
pub(crate) use scale::duration;
pub(crate) use sender::sender;
pub(crate) use template::{Stored, refused, stored};
pub(crate) use used::{instead_of_ses, not_used};
pub(crate) use writers::who_may_write_events;

fn setting(what: &str, from: &str) -> Finding {
    Finding::new(Part::Settings, what, from)
}

pub(crate) async fn may_send(parts: &Parts) -> Finding {
    let finding = setting("may be sent through the configuration set", "SES GetConfigurationSet")
        .rule("on", "`issei stop --hard` turns it off, and nothing else turns it on again");
    match parts.ses().configuration_set().await {
        Ok(set) => match set.sends {
            Some(true) => match shut_since(parts).await {
                Ok(None) => finding.found("on", true),
                Ok(Some(shut)) => {
                    let Shut { shut_at, shut_by, reason, .. } = shut;
                    let by = "and nobody has opened it here since: another ledger's `issei open` may have, or somebody at AWS";
                    finding
                        .found(format!("on, though it was shut {shut_at:.0} by {shut_by} ({reason}), {by}"), false)
                        .mend("issei stop --all --hard --reason …, or issei open --reason …; a configuration set for each ledger")
                }
                Err(error) => finding.unreadable(error),
            },
            Some(false) => finding.found("off", false).mend("issei open --reason …"),
            None => finding.unreadable("SES did not tell"),
        },
        Err(error) => finding.unreadable(error).mend("issei setup"),
    }
}

/// The last order to shut SES, where nobody has opened it by this ledger since.
async fn shut_since(parts: &Parts) -> Result<Option<Shut>, LedgerError> {
    let ledger = parts.ledger();
    let (shut, opened) = tokio::try_join!(ledger.last_shut(), ledger.last_opening())?;
    Ok(shut.filter(|shut| opened.is_none_or(|opening| opening.opened_at < shut.shut_at)))
}

/// SES keeps a message from whoever stands on its own list for a reason that the configuration set names.
pub(crate) async fn suppressed_reasons(parts: &Parts) -> Finding {
    let finding = setting("what SES suppresses by its own list", "SES GetConfigurationSet").rule(
        "BOUNCE alone",
        "a legal notice must reach whoever complained once; of complaints issei's own list decides, by the class of a broadcast",
    );
    match parts.ses().configuration_set().await {
        Ok(set) => match &set.suppresses {
            Some(reasons) => {
                let told = if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") };
                finding.found(told, set.suppresses_bounces_alone()).mend("issei setup")
            }
            None => finding.found("what the account suppresses, which is both as a rule", false).mend("issei setup"),
        },
        Err(error) => finding.unreadable(error).mend("issei setup"),
    }
}

/// `issei stop --all` closes the ledger for new broadcasts, and nothing but `issei open` opens it.
pub(crate) async fn is_open(parts: &Parts) -> Finding {
    let finding =
        setting("new broadcasts", "ledger item `closing`").rule("accepted", "while the ledger is closed, every command is refused");
    match parts.ledger().closing().await {
        Ok(None) => finding.found(accepted_since(parts).await, true),
        Ok(Some(closing)) => finding
            .found(format!("refused since {} by {}: {}", closing.closed_at, closing.closed_by, closing.reason), false)
            .mend("issei open --reason …"),
        Err(error) => finding.unreadable(error).mend("issei setup"),
    }
}

/// Who opened it last stands nowhere else. What can't be read of that is no reason to call anything broken.
async fn accepted_since(parts: &Parts) -> String {
    match parts.ledger().last_opening().await {
        Ok(Some(Opening { opened_at, opened_by, reason, .. })) => format!("accepted; opened {opened_at:.0} by {opened_by}: {reason}"),
        Ok(None) | Err(_) => "accepted".to_owned(),
    }
}

/// Services do nothing with a ledger that was restored, and refuse every command for it.
pub(crate) async fn is_whole(parts: &Parts) -> Finding {
    let finding = setting("the ledger", "ledger item `lineage`, and the tags of the chunks queue")
        .rule("not restored", "a restored ledger has forgotten sends: services do nothing with it, and refuse every command");
    let found = match parts.chunks_queue().await {
        Ok(mirror) => parts.ledger().restored(&mirror).await.map_err(|error| error.to_string()),
        Err(error) => Err(format!("{error:#}")),
    };
    match found {
        Ok(None) => finding.found("not restored", true),
        Ok(Some(reason)) => {
            finding.found(format!("restored from a backup: {reason}"), false).mend("issei accept-restored-ledger --reason …")
        }
        Err(reason) => finding.unreadable(reason).mend("issei setup"),
    }
}

/// So long a finding of a second acceptance is shown by `doctor`.
const TWICE_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Broadcasts that are read at once.
const READ_AT_ONCE: usize = 16;

/// What issei exists to prevent, and what nothing stops once a broadcast is complete.
pub(crate) async fn accepted_twice(parts: &Parts) -> Finding {
    let finding = setting("recipients of whom the provider took two messages", "audit trails of the last 30 days")
        .rule("none", "it is what issei exists to prevent: something else sends under these tags, or a machine sent what nobody let it");
    let (ledger, now) = (parts.ledger(), parts.clock.wall());
    let ids = match ledger.known_broadcasts().await {
        Ok(ids) => ids,
        Err(error) => return finding.unreadable(error),
    };
    // One that can't be read is named by `issei list`.
    let ledger = &ledger;
    let read = stream::iter(ids).map(|id| async move { ledger.broadcast(&id).await.ok() }).buffered(READ_AT_ONCE);
    let lately = |broadcast: Option<Broadcast>| {
        let broadcast = broadcast?;
        let found = broadcast.accepted_twice().filter(|entry| now.duration_since(entry.at) < TWICE_FOR)?;
        Some(format!("{}: {}", broadcast.broadcast_id, found.reason))
    };
    let found: Vec<String> = read.filter_map(|broadcast| std::future::ready(lately(broadcast))).collect().await;
    let value = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
    finding.found(value, found.is_empty()).mend("issei export ID --outcome accepted-twice, and issei why for each")
}

pub(crate) async fn dead_letters(parts: &Parts) -> Vec<Finding> {
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
            Err(error) => Err(format!("{error:#}")),
        };
        let cause = match &counts {
            Ok((_, dead)) if name == "feedback" && dead.all() > 0 => kept_since(parts).await,
            _ => None,
        };
        findings.push(match counts {
            Ok((_, dead)) => finding
                .found(dead.all(), dead.all() == 0)
                .mend(cause.unwrap_or_else(|| format!("`issei dead-letters {name}` says of each why it lies there and what is to be done with it; a redrive mends not all of them"))),
            Err(reason) => finding.unreadable(reason).mend("issei setup"),
        });
    }
    findings
}

/// What most likely has made dead letters of events; the reason of each says whether it has.
async fn kept_since(parts: &Parts) -> Option<String> {
    let causes: Vec<String> = kept_unsigned(&parts.ledger()).await.into_iter().map(|cause| cause.english).collect();
    (!causes.is_empty())
        .then(|| format!("{}; of the others `issei dead-letters feedback` says what is to be done with each", causes.join("; ")))
}

pub(crate) async fn services(parts: &Parts) -> Vec<Finding> {
    let now = parts.clock.wall();
    let from = "ledger items `services#DAY`";
    let runs = match parts.ledger().heartbeats(now).await {
        Ok(runs) => runs,
        Err(error) => {
            let finding = setting("services", from).rule("told", "nothing happens without them, and each says in the ledger that it lives");
            return vec![finding.unreadable(error).mend("issei setup")];
        }
    };
    let alive: Vec<_> = runs.iter().filter(|run| run.is_alive(now)).collect();
    let seen_by = parts.ledger().seen_by(now).await.ok().flatten();
    let mut findings = Vec::new();
    for (kind, what) in [
        (ServiceKind::Producer, "producers alive"),
        (ServiceKind::Consumer, "consumers alive"),
        (ServiceKind::Feedback, "feedback consumers alive"),
    ] {
        let count = alive.iter().filter(|run| run.service == kind).count();
        findings.push(
            setting(what, from)
                .rule("one or more", "nothing happens without it")
                .found(count, count > 0)
                .mend(seen_by.map_or_else(|| format!("start `issei {}`", kind.as_str()), |seen_by| none_alive(Some(seen_by), ""))),
        );
    }
    let (digest, here) = (parts.settings.digest(), parts.settings.told());
    let differing = |run: &&&Heartbeat| run.settings != digest;
    let others: Vec<String> = alive.iter().filter(differing).map(|run| format!("{}: {}", run.actor, difference(&here, run))).collect();
    let value = if others.is_empty() { "the same everywhere".to_owned() } else { others.join("; ") };
    findings.push(
        setting("settings of those alive", from)
            .rule("as here", "a timeout that only one of them knows breaks the chain between them")
            .found(value, others.is_empty())
            .mend("start them with the same configuration"),
    );
    findings.push(timeouts(&runs, Some(Timings::from(&parts.settings.timing())), now));
    findings
}

/// Of each broadcast that is not over: as which accounts those send who may send of it, against the one that was registered; and
/// whether anybody is in doubt of whom nobody asks.
pub(crate) async fn open_broadcasts(parts: &Parts) -> Vec<Finding> {
    let (ledger, timing, now) = (parts.ledger(), parts.settings.timing(), parts.clock.wall());
    let unreadable = |what: &str| {
        setting(what, "ledger items `open`, `broadcast` and `services#DAY`").rule("told", "what is not over may still be sent")
    };
    let open = match ledger.open_broadcasts().await {
        Ok(open) => open,
        Err(error) => return vec![unreadable("broadcasts that are not over").unreadable(error).mend("issei setup")],
    };
    let mut findings = Vec::new();
    for id in open {
        let read = async { Ok::<_, LedgerError>((ledger.broadcast(&id).await?, ledger.heartbeats(now).await?)) };
        match read.await {
            Ok((broadcast, runs)) => {
                findings.push(accounts_of_senders(&ledger, &broadcast, &timing, now).await);
                findings.push(requests_not_asked(&ledger, &broadcast, &runs, now).await);
            }
            Err(error) => findings.push(unreadable(&format!("broadcast {id}")).unreadable(error).mend(format!("issei status {id}"))),
        }
    }
    findings
}

/// Of each broadcast that is over since a day at most: whom its provider could still be asked about, as long as it can.
pub(crate) async fn left_in_doubt(parts: &Parts) -> Vec<Finding> {
    let (ledger, now) = (parts.ledger(), parts.clock.wall());
    // What can't be listed is a finding already.
    let ids = ledger.known_broadcasts().await.unwrap_or_default();
    let ledger = &ledger;
    let found = stream::iter(ids).map(|id| async move {
        let broadcast = ledger.broadcast(&id).await.ok()?;
        doubt_left(ledger, &broadcast, now).await
    });
    found.buffered(READ_AT_ONCE).filter_map(std::future::ready).collect().await
}

/// In which settings a run differs from these.
fn difference(here: &Configured, run: &Heartbeat) -> String {
    match run.configured.as_ref().map(|there| here.differences(there)) {
        Some(differences) if !differences.is_empty() => differences.join(", "),
        Some(_) => format!("its version, {}, has other settings", run.version),
        None => "other settings, and its build does not tell which".to_owned(),
    }
}
