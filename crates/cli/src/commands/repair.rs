//! `issei repair` and `redrive`: putting right what was lost outside issei.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_aws::{DeadBy, Queue, QueueError, Redriven};
use issei_feedback::is_of_forgotten;
use issei_ledger::{BroadcastState, DeadEvents, KEY_REVOKED, key_revoked, nothing_held_since};
use issei_producer::{Repair, Repairer};
use issei_provider::UNSIGNED;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{QueueName, RedriveOptions, RepairOptions};
use crate::confirm::confirmed;
use crate::in_use::{self, Care};
use crate::operator;
use crate::{Ended, Refused};

pub(crate) async fn repair(settings: &Settings, options: &RepairOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    if options.key_revoked {
        return record_revoked(&parts, options, as_json).await;
    }
    let (commands, chunks) = (parts.commands_queue().await?, parts.chunks_queue().await?);
    let [waiting, in_flight, dead] = chunks.depths().await?;
    let repairer = Repairer::new(parts.ledger(), commands, chunks);
    let plan = repairer.plan(&options.id, parts.clock.wall()).await?;
    if !as_json {
        print(&plan);
        say(&format!("chunks queue  {waiting} waiting, {in_flight} in flight, {dead} dead letters (all broadcasts)"));
        if waiting + in_flight > 0 {
            say("              what waits there is enqueued twice then, which is harmless");
        }
    }
    let is_wanted =
        !plan.is_empty() && (options.yes || (!as_json && confirmed("Enqueue these chunks again?", &CancellationToken::new()).await?));
    if !is_wanted {
        let why = if plan.is_empty() { "nothing to repair" } else { "nothing was done; repeat with --yes to do it" };
        say(&if as_json { json!({ "repair": plan, "done": false, "reason": why }).to_string() } else { why.to_owned() });
        return Ok(if plan.is_empty() { Ended::Well } else { Ended::Refused });
    }
    let done = repairer.repair(&options.id, parts.clock.wall(), &operator::actor(&parts).await?, &options.reason).await?;
    say(&if as_json {
        json!({ "repair": done, "done": true }).to_string()
    } else if done.command {
        "the command is on its queue again".to_owned()
    } else {
        format!("{} chunks enqueued again", done.unclaimed_chunks + done.retryable_chunks + done.askable_chunks)
    });
    Ok(Ended::Well)
}

/// Whoever revokes a key does so at the provider, of which issei knows nothing: so a person says it, and it stands under their
/// name in the audit trail.
async fn record_revoked(parts: &Parts, options: &RepairOptions, as_json: bool) -> anyhow::Result<Ended> {
    let (ledger, id) = (parts.ledger(), &options.id);
    let broadcast = ledger.broadcast(id).await?;
    let Some(provider) = &broadcast.provider else {
        bail!(Refused(format!(
            "broadcast `{id}` is carried by SES, which refuses requests for their age: there is no key to revoke, and `issei certify {id}` says once they are over"
        )));
    };
    let state = broadcast.broadcast_state;
    if !state.is_over() {
        bail!(Refused(format!(
            "broadcast `{id}` is {state}, so that a consumer may ask {provider} with another key: `issei stop {id}` first"
        )));
    }
    let in_doubt = ledger.tally(&broadcast).await?.totals().in_doubt;
    let told = |done: bool| json!({ "broadcast_id": id, "provider": provider, "in_doubt": in_doubt, "done": done });
    // What was stopped while somebody was silent may be sent yet by whoever that was, though nobody is in doubt.
    let may_be_held = state == BroadcastState::Stopped && {
        let trail = ledger.audit_trail(&broadcast).await?.entries;
        nothing_held_since(&trail).is_none() && key_revoked(&trail).is_none()
    };
    if in_doubt == 0 && !may_be_held {
        let why = if state == BroadcastState::Stopped { "nobody is in doubt, and its stop is proved" } else { "nobody is in doubt" };
        say(&if as_json { told(false).to_string() } else { format!("{why}, so there is nothing to record") });
        return Ok(Ended::Well);
    }
    if !as_json {
        say(&format!("broadcast     {id} ({state}), carried by {provider}"));
        if in_doubt > 0 {
            say(&format!(
                "in doubt      {in_doubt} recipients, and they stay so: certificates say that nothing more of theirs is accepted"
            ));
        }
        if may_be_held {
            say("stop          not proved, since a consumer that is silent may hold permits of it: it is, once this is recorded");
        }
    }
    let question = format!("Is each key of {provider} revoked with which this was sent?");
    if !(options.yes || (!as_json && confirmed(&question, &CancellationToken::new()).await?)) {
        say(&if as_json { told(false).to_string() } else { "nothing was recorded; repeat with --yes to do it".to_owned() });
        return Ok(Ended::Refused);
    }
    ledger.audit(id, &operator::actor(parts).await?, KEY_REVOKED, &options.reason).await?;
    say(&if as_json {
        told(true).to_string()
    } else {
        format!("recorded; `issei certify {id}`, `issei stop {id}` and the console go by it")
    });
    Ok(Ended::Well)
}

fn print(plan: &Repair) {
    say(&format!("broadcast     {} ({})", plan.broadcast_id, plan.state));
    say(&format!("frozen        {} pages, {} chunks", plan.pages, plan.chunks));
    if plan.command {
        say("to do         the audience is not frozen to its end: the command goes back on its queue");
        return;
    }
    say(&format!("never claimed {} chunks with {} recipients: to be enqueued again", plan.unclaimed_chunks, plan.unclaimed_recipients));
    say(&format!("retryable     {} chunks with {} recipients: to be enqueued again", plan.retryable_chunks, plan.retryable_recipients));
    if plan.askable_chunks > 0 {
        say(&format!(
            "to ask about  {} chunks with recipients in doubt: to be enqueued again, to ask the provider under their keys",
            plan.askable_chunks
        ));
    }
    say(&format!("in doubt      {} recipients: left alone", plan.in_doubt));
}

pub(crate) async fn redrive(settings: &Settings, options: &RedriveOptions, as_json: bool) -> anyhow::Result<Ended> {
    // Whoever moves events alone may have no right to look.
    let parts = in_use::open(settings, Care::Refuses).await?;
    let queue = match options.queue {
        QueueName::Commands => parts.commands_queue().await?,
        QueueName::Chunks => parts.chunks_queue().await?,
        QueueName::Feedback => parts.feedback_queue().await?,
    };
    let [_, _, dead] = queue.depths().await?;
    // Events are believed as they come, so not whatever somebody has put among the dead ones is moved back.
    let (redriven, Beside { of_no_use, unsigned }) = if options.queue == QueueName::Feedback && !options.unknown_origin {
        redrive_known(&parts, &queue).await?
    } else {
        (queue.redrive().await?, Beside::default())
    };
    let (left, hidden) = match redriven {
        Redriven::Known { messages, left } => (left, dead.saturating_sub(messages + left)),
        Redriven::Task { .. } | Redriven::ByHand { .. } => (0, 0),
    };
    say(&match (as_json, redriven) {
        (true, Redriven::Task { handle }) => json!({ "dead_letters": dead, "task": handle }).to_string(),
        (true, Redriven::ByHand { messages }) => json!({ "dead_letters": dead, "moved": messages }).to_string(),
        (true, Redriven::Known { messages, left }) => {
            json!({ "dead_letters": dead, "moved": messages, "left": left, "of_no_use": of_no_use, "unsigned": unsigned }).to_string()
        }
        (false, Redriven::Known { messages, left: 0 }) => format!("{messages} dead letters moved back one by one"),
        (false, Redriven::Known { messages, left }) if left == of_no_use => format!("{messages} dead letters moved back one by one"),
        (false, Redriven::Known { messages, left }) => format!(
            "{messages} dead letters moved back one by one; {} left where they are: neither SQS says that it has moved them there nor is it proved that a service of issei has (a build before this one proves nothing), and events are believed. `issei dead-letters feedback` shows them; `--discard` deletes one, and `issei redrive feedback --unknown-origin` moves them, too",
            left - of_no_use
        ),
        (false, Redriven::Task { .. }) => format!("SQS moves {dead} dead letters back, by a task of its own"),
        (false, Redriven::ByHand { messages }) => format!("this endpoint has no move task: {messages} dead letters moved back one by one"),
    });
    if unsigned > 0 && !as_json {
        say(&format!(
            "{unsigned} of them had no good signature: unless webhook_keys was mended wherever a feedback consumer runs, they come back here"
        ));
    }
    if of_no_use > 0 && !as_json {
        say(&format!(
            "{of_no_use} left where they are, since moved back they would be refused again: they are about letters of registrations that a restore has made the ledger forget, and say who was mailed then; `issei dead-letters feedback` shows them"
        ));
    }
    if hidden > 0 {
        say_warning(&format!(
            "{hidden} more lie there and are hidden just now, since somebody has looked at them; repeat this in a minute"
        ));
    }
    Ok(if left + hidden == 0 { Ended::Well } else { Ended::Refused })
}

/// What is told beside of a redrive of events.
#[derive(Default)]
struct Beside {
    /// Left where they are, since they would be refused again.
    of_no_use: u64,
    /// Moved back, and signed by no key that was configured then.
    unsigned: u64,
}

/// Where the ledger's key can't be read, nothing is proved, and what SQS has moved goes back alone.
async fn redrive_known(parts: &Parts, queue: &Queue) -> Result<(Redriven, Beside), QueueError> {
    let (of_no_use, unsigned) = (Mutex::new(BTreeSet::new()), AtomicU64::new(0));
    let marks = parts.ledger().dead_events().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the ledger's key can't be read, so of no event it is proved that a service of issei has refused it");
        None
    });
    let redriven = queue
        .redrive_known(|message| match (&marks, &message.dead_by) {
            (_, Some(DeadBy::Reason { reason, .. })) if is_of_forgotten(reason) => {
                of_no_use.lock().unwrap_or_else(PoisonError::into_inner).insert(message.id.clone());
                false
            }
            (Some(marks), Some(DeadBy::Reason { reason, proof: Some(proof) })) => {
                let is_proved = DeadEvents::is_proved(marks, &message.body, reason, proof);
                if is_proved && reason.starts_with(UNSIGNED) {
                    unsigned.fetch_add(1, Ordering::Relaxed);
                }
                is_proved
            }
            _ => false,
        })
        .await?;
    let of_no_use = of_no_use.into_inner().unwrap_or_else(PoisonError::into_inner).len() as u64;
    Ok((redriven, Beside { of_no_use, unsigned: unsigned.into_inner() }))
}
