//! `issei dead-letters`: what lies in the dead-letter queues, who moved it there and why, and what the ledger knows
//! of it.
//!
//! It only looks, but for `--discard`: a letter is hidden while it is looked at, and shown again. Bodies hold addresses, and of them
//! nothing is told but broadcast and chunk.

mod cause;
mod discard;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute};
use issei_assembly::{Parts, Settings, say};
use issei_aws::{AwsCall, Queue, REASON_PROOF, chain};
use issei_ledger::{Broadcast, DeadEvents, EventLog, HeldUp, Refused, Tally};
use issei_provider::{Event, Told, Webhook, ses};
use issei_schema::{BroadcastId, ChunkMessage, broadcast_id_in};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use self::cause::{Cause, Letter};
use crate::Ended;
use crate::args::{DeadLettersOptions, QueueName};
use crate::in_use::{self, Care};

/// So many of a queue are told, and how long they are hidden meanwhile, in seconds.
const TOLD_MAX: usize = 100;
const HIDDEN_S: i32 = 60;
/// SQS asks all of its servers where somebody waits (SQS developer guide, "Short and long polling").
const WAIT_S: i32 = 1;
const BATCH: usize = 10;
/// Whoever may write to the queue writes the reason.
const REASON_CHARS: usize = 1_000;

#[derive(Debug, Serialize)]
struct DeadLetters {
    queue: String,
    letters: Vec<DeadLetter>,
    /// There are more than are told.
    more: bool,
    /// Why they can't be told.
    unreadable: Option<String>,
}

#[derive(Debug, Serialize)]
struct DeadLetter {
    message_id: String,
    sent_at: Option<Timestamp>,
    moved_by: MovedBy,
    /// By all queues, this look included (SQS API reference, `ReceiveMessage`, `ApproximateReceiveCount`).
    receives: u32,
    reason: Option<String>,
    broadcast_id: Option<BroadcastId>,
    chunk: Option<u32>,
    /// What the ledger knows of it.
    ledger: Vec<String>,
    cause: Cause,
    /// What is to be done with it.
    next: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum MovedBy {
    /// By its own redrive, which says no reason: it was received too often.
    Sqs,
    /// A service of issei refused it, and said why.
    Issei,
    /// It bears a reason, and nothing proves that a service of issei wrote it. Events are believed once they are moved back.
    Unproved,
    /// Neither says so.
    Unknown,
}

pub(crate) async fn run(settings: &Settings, options: &DeadLettersOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, if options.discard.is_empty() { Care::Says } else { Care::MustKnow }).await?;
    if let Some(queue) = options.queue.filter(|_| !options.discard.is_empty()) {
        return discard::run(&parts, queue, options, as_json).await;
    }
    let all = [QueueName::Commands, QueueName::Chunks, QueueName::Feedback];
    let mut told = Vec::new();
    for queue in all.into_iter().filter(|queue| options.queue.is_none_or(|wanted| wanted == *queue)) {
        let name = name_of(&parts, queue);
        // Whoever may not read one queue is told of the others.
        let (messages, more, unreadable) = match Looked::at(&parts, &name).await {
            Ok(looked) => {
                looked.show(&parts, &BTreeSet::new()).await;
                (looked.found.into_values().collect(), looked.more, None)
            }
            Err(error) => (Vec::new(), false, Some(format!("{error:#}"))),
        };
        let mut letters = Vec::new();
        for message in messages {
            letters.push(DeadLetter::of(&parts, queue, &message).await?);
        }
        letters.sort_by_key(|letter| letter.sent_at);
        let dead = DeadLetters { queue: name, letters, more, unreadable };
        if !as_json {
            dead.print(queue.word());
        }
        told.push(dead);
    }
    if as_json {
        in_use::say_document(json!({ "dead_letters": told }))?;
    }
    let failed: Vec<&str> = told.iter().filter_map(|dead| dead.unreadable.as_deref()).collect();
    if failed.is_empty() { Ok(Ended::Well) } else { bail!("{}", failed.join("; ")) }
}

/// What lies among the dead commands, for whoever waits for one of them.
#[derive(Debug, Serialize)]
pub(crate) struct DeadCommands {
    /// Why each of this id lies there.
    pub(crate) of_it: Vec<String>,
    /// What is to be done with each.
    pub(crate) next: Vec<String>,
    /// Whose id can't be read, any of which may be the one.
    pub(crate) of_none: usize,
}

impl DeadCommands {
    pub(crate) async fn of(parts: &Parts, id: &BroadcastId) -> anyhow::Result<Self> {
        let name = name_of(parts, QueueName::Commands);
        let looked = Looked::at(parts, &name).await?;
        looked.show(parts, &BTreeSet::new()).await;
        let mut dead = Self { of_it: Vec::new(), next: Vec::new(), of_none: 0 };
        for message in looked.found.values() {
            match broadcast_id_in(message.body.as_deref().unwrap_or_default()) {
                Some(of) if of == *id => {
                    let letter = DeadLetter::of(parts, QueueName::Commands, message).await?;
                    dead.of_it.push(letter.why());
                    dead.next.push(letter.next);
                }
                Some(_) => {}
                None => dead.of_none += 1,
            }
        }
        Ok(dead)
    }
}

/// The name of a queue's dead-letter queue.
fn name_of(parts: &Parts, queue: QueueName) -> String {
    let settings = &parts.settings;
    Queue::dead_letter_name(match queue {
        QueueName::Commands => &settings.commands_queue,
        QueueName::Chunks => &settings.chunks_queue,
        QueueName::Feedback => &settings.feedback_queue,
    })
}

/// The messages of a dead-letter queue, each once, hidden from others for now.
struct Looked {
    name: String,
    url: String,
    found: BTreeMap<String, Message>,
    /// There are more.
    more: bool,
}

impl Looked {
    async fn at(parts: &Parts, name: &str) -> anyhow::Result<Self> {
        let sqs = &parts.clients.sqs;
        let url = sqs.get_queue_url().queue_name(name).call().await;
        let url = url.map_err(|error| anyhow::anyhow!("queue `{name}`: {}", chain(&error)))?.queue_url.unwrap_or_default();
        let mut looked = Self { name: name.to_owned(), url, found: BTreeMap::new(), more: false };
        loop {
            let asked = sqs.receive_message().queue_url(&looked.url).max_number_of_messages(10);
            let asked = asked.wait_time_seconds(WAIT_S).visibility_timeout(HIDDEN_S).message_attribute_names("reason");
            let asked = asked.message_attribute_names(REASON_PROOF);
            let wanted = [Attribute::ApproximateReceiveCount, Attribute::SentTimestamp, Attribute::DeadLetterQueueSourceArn];
            match asked.set_message_system_attribute_names(Some(wanted.to_vec())).call().await {
                Err(error) => {
                    looked.show(parts, &BTreeSet::new()).await;
                    bail!("queue `{name}`: SQS ReceiveMessage: {}", chain(&error));
                }
                Ok(answer) => {
                    let messages = answer.messages.unwrap_or_default();
                    if messages.is_empty() {
                        return Ok(looked);
                    }
                    looked.found.extend(messages.into_iter().map(|message| (message.message_id.clone().unwrap_or_default(), message)));
                    if looked.found.len() >= TOLD_MAX {
                        looked.more = true;
                        return Ok(looked);
                    }
                }
            }
        }
    }

    /// Lets others see them again, but for those that are gone.
    async fn show(&self, parts: &Parts, gone: &BTreeSet<&str>) {
        let left: Vec<&Message> = self.found.iter().filter(|(id, _)| !gone.contains(id.as_str())).map(|(_, message)| message).collect();
        for messages in left.chunks(BATCH) {
            let entries = messages.iter().enumerate().filter_map(|(number, message)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(message.receipt_handle.clone()?).visibility_timeout(0).build().ok()
            });
            let request = parts.clients.sqs.change_message_visibility_batch().queue_url(&self.url);
            if let Err(error) = request.set_entries(Some(entries.collect())).call().await {
                let queue = &self.name;
                tracing::warn!(error = chain(&error), queue, "dead letters that were looked at are visible again in {HIDDEN_S} s only");
            }
        }
    }
}

impl DeadLetter {
    async fn of(parts: &Parts, queue: QueueName, message: &Message) -> anyhow::Result<Self> {
        let attribute = |name: &Attribute| message.attributes.as_ref()?.get(name);
        let written = |name: &str| message.message_attributes.as_ref()?.get(name)?.string_value();
        let reason = written("reason");
        let body = message.body.as_deref().unwrap_or_default();
        // A letter that was moved back and came again has both, and its reason is of the first time.
        let moved_by = match (attribute(&Attribute::DeadLetterQueueSourceArn), reason) {
            (Some(from), _) if queue != QueueName::Feedback || parts.feedback_queue().await?.has_arn(from) => MovedBy::Sqs,
            // What is not believed for it when it is moved back needs no proof.
            (_, Some(_)) if queue != QueueName::Feedback => MovedBy::Issei,
            (_, Some(reason)) => match (parts.ledger().dead_events().await?, written(REASON_PROOF)) {
                (Some(marks), Some(proof)) if DeadEvents::is_proved(&marks, body, reason, proof) => MovedBy::Issei,
                _ => MovedBy::Unproved,
            },
            (_, None) => MovedBy::Unknown,
        };
        let (broadcast_id, chunk) = about(queue, body);
        let (broadcast, refused) = match &broadcast_id {
            Some(id) => (parts.ledger().find_broadcast(id).await?, parts.ledger().refused(id).await?),
            None => (None, None),
        };
        let (broadcast, refused) = (broadcast.as_ref(), refused.as_ref());
        let cause = Letter { queue, moved_by, reason, body, broadcast, refused }.cause();
        let is_over = broadcast.is_some_and(|broadcast| broadcast.broadcast_state.is_over());
        Ok(Self {
            message_id: message.message_id.clone().unwrap_or_default(),
            sent_at: attribute(&Attribute::SentTimestamp).and_then(|ms| Timestamp::from_millisecond(ms.parse().ok()?).ok()),
            moved_by,
            receives: attribute(&Attribute::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or_default(),
            reason: reason.map(|reason| reason.chars().take(REASON_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()),
            ledger: if broadcast_id.is_some() { known(parts, broadcast, refused, chunk).await? } else { Vec::new() },
            broadcast_id,
            chunk,
            cause,
            next: cause.next(queue, is_over),
        })
    }

    /// Who moved it there, and why.
    fn why(&self) -> String {
        let Self { moved_by, receives, reason, .. } = self;
        let earlier = reason.as_ref().map_or(String::new(), |reason| format!("; an earlier time it was refused: {reason}"));
        match (moved_by, reason) {
            (MovedBy::Issei, Some(reason)) => format!("refused: {reason}"),
            (MovedBy::Sqs, _) => format!(
                "moved by SQS itself, since it was received too often ({receives} times by now) and nobody was done with it or said why not{earlier}"
            ),
            (MovedBy::Unproved, Some(reason)) => {
                format!("NOT PROVED: it says that it was refused, and not by whom (a service of this build proves it): {reason}")
            }
            (MovedBy::Issei | MovedBy::Unproved | MovedBy::Unknown, _) => {
                "put there by neither issei nor SQS's own redrive, without a reason".to_owned()
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let Self { message_id, sent_at, broadcast_id, chunk, ledger, next, .. } = self;
        let about = match (broadcast_id, chunk) {
            (Some(id), Some(chunk)) => format!("{id}, chunk {chunk} (message {message_id})"),
            (Some(id), None) => format!("{id} (message {message_id})"),
            (None, _) => format!("of no broadcast that can be read (message {message_id})"),
        };
        let sent_at = sent_at.map_or(String::new(), |at| format!("{at:.0}  "));
        let mut lines = vec![format!("{sent_at}{about}"), format!("    {}", self.why())];
        lines.extend(ledger.iter().map(|known| format!("    {known}")));
        lines.push(format!("    next step: {next}"));
        lines
    }
}

/// What a body is about.
fn about(queue: QueueName, body: &str) -> (Option<BroadcastId>, Option<u32>) {
    match queue {
        QueueName::Commands => (broadcast_id_in(body), None),
        QueueName::Chunks => match ChunkMessage::parse(body) {
            Ok(chunk) => (Some(chunk.broadcast_id), Some(chunk.chunk)),
            Err(_) => (broadcast_id_in(body), None),
        },
        QueueName::Feedback => events_in(body).into_iter().next().map_or((None, None), |event| (Some(event.broadcast), Some(event.chunk))),
    }
}

/// What an event says, or a call of a provider claims that nobody has signed: whoever deletes it knows whose trail that belongs in.
fn events_in(body: &str) -> Vec<Event> {
    match Webhook::read(body) {
        Some(webhook) => webhook.map(|webhook| webhook.claims()).unwrap_or_default(),
        None => match ses::parse_event(body) {
            Ok(Told::Event(event)) => vec![event],
            Ok(Told::NotOurs | Told::Greeting | Told::Probe(_)) | Err(_) => Vec::new(),
        },
    }
}

/// What the ledger has of it, in sentences.
async fn known(parts: &Parts, broadcast: Option<&Broadcast>, refused: Option<&Refused>, chunk: Option<u32>) -> anyhow::Result<Vec<String>> {
    let mut known = Vec::new();
    if let Some(refused) = refused.filter(|refused| refused.is_news(broadcast)) {
        known.push(format!("a command for this id was refused at {:.0}: {}", refused.refused_at, refused.reason));
    }
    let Some(broadcast) = broadcast else {
        known.push("the ledger has no broadcast of this id".to_owned());
        return Ok(known);
    };
    let reason = broadcast.decided().map(|entry| format!(": {} ({})", entry.reason, entry.actor)).unwrap_or_default();
    known.push(format!("the broadcast is {}{reason}", broadcast.broadcast_state));
    if let Some(HeldUp { since, reason, .. }) = &broadcast.held_up {
        known.push(format!("held up since {since:.0}: {reason}"));
    }
    if let Some(seq) = chunk {
        known.push(of_chunk(parts, broadcast, seq).await?);
    }
    Ok(known)
}

async fn of_chunk(parts: &Parts, broadcast: &Broadcast, seq: u32) -> anyhow::Result<String> {
    let Some(found) =
        parts.ledger().inspect(&broadcast.placed(), &[seq], &EventLog::default()).await?.pop().filter(|_| seq < broadcast.chunks)
    else {
        return Ok(format!("the broadcast has no chunk {seq}"));
    };
    if found.claim.is_none() {
        return Ok(format!("chunk {seq} was never claimed: nobody of it was sent to"));
    }
    let mut tally = Tally::default();
    tally.add(&found.walked);
    let totals = tally.totals();
    Ok(format!(
        "chunk {seq}: {} accepted, {} rejected, {} to be sent to again, {} in doubt",
        totals.accepted, totals.rejected, totals.retryable, totals.in_doubt
    ))
}

impl DeadLetters {
    fn print(&self, word: &str) {
        let Self { queue, letters, more, unreadable } = self;
        if unreadable.is_some() {
            return;
        }
        let count = if *more { format!("more than {TOLD_MAX}, of which {} follow", letters.len()) } else { letters.len().to_string() };
        say(&format!("{queue}: {count}"));
        letters.iter().flat_map(DeadLetter::lines).for_each(|line| say(&format!("  {line}")));
        match letters.iter().filter(|letter| letter.cause.is_redriven()).count() {
            0 => {}
            all if all == letters.len() && !more => {
                say(&format!("  `issei redrive {word}` moves them back, once the cause of each is gone"));
            }
            some => say(&format!(
                "  `issei redrive {word}` is of use for {some} of these, once the cause of each is gone; the others would come here again"
            )),
        }
    }
}
