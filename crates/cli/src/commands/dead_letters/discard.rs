//! `issei dead-letters QUEUE --discard ID --reason …`: deletes dead letters that nobody needs any more, one by one, with a reason.
//!
//! It never deletes a chunk's message while its broadcast may still send: that is work, and `redrive` is for it.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use issei_assembly::{Parts, say};
use issei_aws::{AwsCall, chain};
use issei_ledger::{LedgerError, phrases};
use serde_json::json;

use super::{DeadLetter, Looked, name_of};
use crate::Ended;
use crate::args::{DeadLettersOptions, QueueName};
use crate::commands::serve::on_signal;
use crate::confirm::confirmed;
use crate::operator;

pub(super) async fn run(parts: &Parts, queue: QueueName, options: &DeadLettersOptions, as_json: bool) -> anyhow::Result<Ended> {
    let wanted: BTreeSet<&str> = options.discard.iter().map(String::as_str).collect();
    let reason = options.reason.as_deref().context("--discard needs --reason, which stands in the audit trail")?;
    let (name, word) = (name_of(parts, queue), queue.word());
    let shutdown = on_signal()?;
    let looked = Looked::at(parts, &name).await?;
    looked.show(parts, &BTreeSet::new()).await;
    let mut letters = Vec::new();
    for id in &wanted {
        let Some(message) = looked.found.get(*id) else {
            bail!("no dead letter {id} is in {name}, or others hide it now; `issei dead-letters {word}` lists them; nothing was deleted");
        };
        letters.push(DeadLetter::of(parts, queue, message).await?);
    }
    if !as_json {
        letters.iter().flat_map(DeadLetter::lines).for_each(|line| say(&line));
    }
    for letter in &letters {
        if let Some(id) = letter.broadcast_id.as_ref().filter(|_| letter.chunk.is_some() && queue == QueueName::Chunks)
            && let Some(broadcast) = parts.ledger().find_broadcast(id).await?.filter(|broadcast| !broadcast.broadcast_state.is_over())
        {
            bail!(
                "letter {} is still to be sent: broadcast `{id}` is {}; `issei redrive chunks` moves it back, or `issei stop {id}` ends it first; nothing was deleted",
                letter.message_id,
                broadcast.broadcast_state
            );
        }
    }
    let told = |deleted: usize, why: Option<&str>| json!({ "letters": letters, "deleted": deleted, "reason": why }).to_string();
    let counted = if letters.len() == 1 { "1 letter".to_owned() } else { format!("{} letters", letters.len()) };
    if !options.yes && (as_json || !confirmed(&format!("Delete {counted}? What goes can't be had again"), &shutdown).await?) {
        let why = "nothing was deleted; repeat with --yes to do it";
        say(&if as_json { told(0, Some(why)) } else { why.to_owned() });
        return Ok(Ended::Refused);
    }
    // The trail first: what can't be written down is not deleted.
    let actor = operator::actor(parts).await?;
    for letter in &letters {
        if let Some(id) = &letter.broadcast_id {
            let what = phrases::DISCARDED_STEP.with(&[&letter.message_id, &name]);
            match parts.ledger().audit(id, &actor, &what, reason).await {
                Ok(()) | Err(LedgerError::NoBroadcast { .. }) => {}
                Err(error) => return Err(error).context("nothing was deleted"),
            }
        }
    }
    // Whoever was asked may have taken longer than a receipt is good for.
    let again = Looked::at(parts, &name).await?;
    let mut deleted = 0;
    for message in again.found.values().filter(|message| message.message_id.as_deref().is_some_and(|id| wanted.contains(id))) {
        let request = parts.clients.sqs.delete_message().queue_url(&again.url).set_receipt_handle(message.receipt_handle.clone());
        request
            .call()
            .await
            .map_err(|error| anyhow::anyhow!("queue `{name}`: SQS DeleteMessage: {}; {deleted} were deleted", chain(&error)))?;
        deleted += 1;
    }
    again.show(parts, &wanted).await;
    say(&if as_json { told(deleted, None) } else { format!("{deleted} of {counted} deleted from {name}") });
    Ok(if deleted == letters.len() { Ended::Well } else { Ended::Refused })
}
