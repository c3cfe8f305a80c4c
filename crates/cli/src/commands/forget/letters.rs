//! Dead letters that name somebody who is to be forgotten. One of a broadcast that is over causes nothing any more, and
//! goes; another is a message that is still to be sent.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};
use issei_assembly::{Parts, say};
use issei_aws::{AwsCall, Queue, chain};
use issei_ledger::{Ledger, Sought};
use issei_schema::{BroadcastId, ChunkMessage};
use serde::Serialize;

/// How long letters are hidden while they are looked at and somebody is asked, in seconds.
const HIDDEN_S: i32 = 600;
/// SQS asks all of its servers where somebody waits (SQS developer guide, "Short and long polling").
const WAIT_S: i32 = 1;
const BATCH: usize = 10;

/// What lies in the dead-letter queue of chunks.
#[derive(Debug, Default, Serialize)]
pub(super) struct Letters {
    /// Of broadcasts that are over.
    pub(super) found: usize,
    /// Of broadcasts that may still send: not to be deleted.
    pub(super) waiting: usize,
    #[serde(skip)]
    receipts: Vec<String>,
    #[serde(skip)]
    url: String,
}

/// Looks at every letter. What names somebody else is visible again at once.
pub(super) async fn look(
    parts: &Parts,
    ledger: &Ledger,
    by_broadcast: &BTreeMap<BroadcastId, Sought>,
    sought: &Sought,
) -> anyhow::Result<Letters> {
    let (sqs, name) = (&parts.clients.sqs, Queue::dead_letter_name(&parts.settings.chunks_queue));
    let url = sqs.get_queue_url().queue_name(&name).call().await.map_err(|error| anyhow!("queue `{name}`: {}", chain(&error)))?;
    let mut letters = Letters { url: url.queue_url.unwrap_or_default(), ..Letters::default() };
    let (mut seen, mut over, mut others) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    loop {
        let asked = sqs.receive_message().queue_url(&letters.url).max_number_of_messages(10).wait_time_seconds(WAIT_S);
        let answer = asked.visibility_timeout(HIDDEN_S).call().await;
        let messages = answer.map_err(|error| anyhow!("queue `{name}`: {}", chain(&error)))?.messages.unwrap_or_default();
        let mut is_new = false;
        for message in messages {
            let (id, Some(receipt)) = (message.message_id.unwrap_or_default(), message.receipt_handle) else { continue };
            if !seen.insert(id) {
                continue;
            }
            is_new = true;
            let Ok(chunk) = ChunkMessage::parse(message.body.as_deref().unwrap_or_default()) else {
                others.push(receipt);
                continue;
            };
            let sought = by_broadcast.get(&chunk.broadcast_id).unwrap_or(sought);
            if !chunk.recipients.iter().any(|recipient| sought.is(recipient)) {
                others.push(receipt);
            } else if is_over(ledger, &chunk.broadcast_id, &mut over).await? {
                letters.found += 1;
                letters.receipts.push(receipt);
            } else {
                letters.waiting += 1;
                others.push(receipt);
            }
        }
        if !is_new {
            break;
        }
    }
    letters.show_again(parts, &others).await;
    Ok(letters)
}

/// Nothing of a broadcast that the ledger does not know is ever sent either.
async fn is_over(ledger: &Ledger, id: &BroadcastId, known: &mut BTreeMap<BroadcastId, bool>) -> anyhow::Result<bool> {
    if let Some(is_over) = known.get(id) {
        return Ok(*is_over);
    }
    let is_over = ledger.find_broadcast(id).await?.is_none_or(|broadcast| broadcast.broadcast_state.is_over());
    known.insert(id.clone(), is_over);
    Ok(is_over)
}

impl Letters {
    /// Lets others see what was looked at, and is not to be deleted.
    pub(super) async fn show(&self, parts: &Parts) {
        self.show_again(parts, &self.receipts).await;
    }

    async fn show_again(&self, parts: &Parts, receipts: &[String]) {
        for some in receipts.chunks(BATCH) {
            let entries = some.iter().enumerate().filter_map(|(number, receipt)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt);
                entry.visibility_timeout(0).build().ok()
            });
            let shown =
                parts.clients.sqs.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries.collect())).call().await;
            if let Err(error) = shown {
                tracing::warn!(error = chain(&error), "dead letters that were looked at are visible again in {HIDDEN_S} s only");
            }
        }
    }

    pub(super) fn print(&self, chunks: &str) {
        if self.found + self.waiting > 0 {
            say(&format!(
                "dead letters   {} of {} name them and are of broadcasts that are over: to be deleted; {} more may still be sent",
                self.found,
                Queue::dead_letter_name(chunks),
                self.waiting
            ));
        }
    }

    pub(super) async fn delete(&self, parts: &Parts) -> anyhow::Result<usize> {
        let mut deleted = 0;
        for some in self.receipts.chunks(BATCH) {
            let entries = some.iter().enumerate().filter_map(|(number, receipt)| {
                DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt).build().ok()
            });
            let request = parts.clients.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let answer = request.call().await.map_err(|error| anyhow!(chain(&error))).context("a dead letter can't be deleted; repeat")?;
            deleted += answer.successful.len();
            if !answer.failed.is_empty() {
                anyhow::bail!("{} dead letters can't be deleted now; repeat the command", answer.failed.len());
            }
        }
        Ok(deleted)
    }
}
