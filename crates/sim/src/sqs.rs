//! SQS: standard queues with visibility timeouts, long polls, redrive and delays.
//!
//! At-least-once for real: the same message can be handed out again on purpose, and a receipt
//! handle that is not the newest deletes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use issei_clock::Instant;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::ApiError;
use crate::cloud::State;

const BODY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Queues {
    queues: BTreeMap<String, Queue>,
    next_seq: u64,
    next_handle: u64,
    /// Messages that were handed out and stayed to be handed out once more, by `redelivery`.
    pub(crate) doubled: u64,
}

struct Queue {
    attributes: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    messages: BTreeMap<u64, Message>,
    visible: VecDeque<u64>,
    hidden: BinaryHeap<Reverse<(Instant, u64, u64)>>,
}

/// What a queue remembers of a message; its body lies in the store.
struct Message {
    sent: Instant,
    sent_ms: i64,
    /// By all queues (SQS API reference, `ReceiveMessage`, `ApproximateReceiveCount`).
    receives: u32,
    /// Nothing of an anonymous sender.
    sender: Option<Arc<str>>,
    /// The queue that a redrive has moved it from.
    moved_from: Option<String>,
    /// The newest receipt handle; 0 before the first receive.
    handle: u64,
    /// Where a hidden message stands in time; 0 while it is visible.
    hidden_as: u64,
}

impl Queue {
    fn number(&self, attribute: &str, default: u64) -> u64 {
        self.attributes.get(attribute).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn hide(&mut self, seq: u64, until: Instant, stamp: u64) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.hidden_as = stamp;
            self.hidden.push(Reverse((until, seq, stamp)));
        }
    }

    fn show(&mut self, seq: u64) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.hidden_as = 0;
            self.visible.push_back(seq);
        }
    }

    /// Makes visible what is due, and tells when the next message will be.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((until, seq, stamp))) = self.hidden.peek().copied() {
            let current = self.messages.get(&seq).is_some_and(|message| message.hidden_as == stamp);
            if current && until > now {
                return Some(until);
            }
            self.hidden.pop();
            if current {
                self.show(seq);
            }
        }
        None
    }

    fn redrive(&self) -> Option<(String, u32)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            dead_letter_target_arn: String,
            max_receive_count: Value,
        }
        let policy: Policy = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        let count = policy.max_receive_count.as_u64().or_else(|| policy.max_receive_count.as_str()?.parse().ok())?;
        Some((policy.dead_letter_target_arn.rsplit(':').next()?.to_owned(), u32::try_from(count).ok()?))
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn missing(name: &str) -> ApiError {
    ApiError::new("QueueDoesNotExist", format!("The specified queue does not exist: {name}"))
}

fn parse<T: serde::de::DeserializeOwned>(body: &Value) -> Result<T, ApiError> {
    T::deserialize(body).map_err(|error| ApiError::new("InvalidParameterValue", error.to_string()))
}

/// Messages received so far, or when to look again.
pub(crate) enum Received {
    Messages(Value),
    Wait(Option<Instant>),
}

impl State {
    fn queue(&mut self, body: &Value) -> Result<(String, &mut Queue), ApiError> {
        let url = body["QueueUrl"].as_str().unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        let queue = self.sqs.queues.get_mut(&name).ok_or_else(|| missing(&name))?;
        Ok((name, queue))
    }

    pub(crate) fn sqs(&mut self, operation: &str, body: &Value, base: &str) -> Result<Value, ApiError> {
        match operation {
            "CreateQueue" => self.create_queue(body, base),
            "GetQueueUrl" => {
                let name = body["QueueName"].as_str().unwrap_or_default();
                if self.sqs.queues.contains_key(name) {
                    Ok(json!({ "QueueUrl": format!("{base}/000000000000/{name}") }))
                } else {
                    Err(missing(name))
                }
            }
            "SetQueueAttributes" => {
                let (_, queue) = self.queue(body)?;
                queue.attributes.extend(parse::<BTreeMap<String, String>>(&body["Attributes"])?);
                Ok(json!({}))
            }
            "GetQueueAttributes" => self.queue_attributes(body),
            "SendMessage" => self.send_message(body),
            "SendMessageBatch" => self.send_batch(body),
            "DeleteMessage" => {
                let handle = body["ReceiptHandle"].as_str().unwrap_or_default().to_owned();
                self.delete(body, &handle)?;
                Ok(json!({}))
            }
            "DeleteMessageBatch" => self.each_entry(body, |state, entry| {
                state.delete(body, entry["ReceiptHandle"].as_str().unwrap_or_default())?;
                Ok(json!({}))
            }),
            "ChangeMessageVisibility" => {
                self.change_visibility(body, body)?;
                Ok(json!({}))
            }
            "ChangeMessageVisibilityBatch" => self.each_entry(body, |state, entry| {
                state.change_visibility(body, entry)?;
                Ok(json!({}))
            }),
            "PurgeQueue" => {
                let (name, queue) = self.queue(body)?;
                let seqs: Vec<u64> = queue.messages.keys().copied().collect();
                queue.messages.clear();
                queue.visible.clear();
                queue.hidden.clear();
                tracing::debug!(queue = name, messages = seqs.len(), "purged");
                seqs.into_iter().try_for_each(|seq| self.store.delete_message(seq))?;
                Ok(json!({}))
            }
            "StartMessageMoveTask" => self.move_messages(body),
            "TagQueue" => {
                let tags = parse::<BTreeMap<String, String>>(&body["Tags"])?;
                self.queue(body)?.1.tags.extend(tags);
                Ok(json!({}))
            }
            "ListQueueTags" => Ok(json!({ "Tags": self.queue(body)?.1.tags })),
            other => Err(ApiError::not_simulated(other)),
        }
    }

    /// Moves a dead-letter queue's messages back to where they came from, at once.
    fn move_messages(&mut self, body: &Value) -> Result<Value, ApiError> {
        let source = body["SourceArn"].as_str().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned();
        let redrives_here = |queue: &Queue| queue.redrive().is_some_and(|(target, _)| target == source);
        let home = self.sqs.queues.iter().find(|(_, queue)| redrives_here(queue)).map(|(name, _)| name.clone());
        let home = home.ok_or_else(|| ApiError::new("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."))?;
        let dead = self.sqs.queues.get_mut(&source).ok_or_else(|| missing(&source))?;
        let (messages, _) = (std::mem::take(&mut dead.messages), dead.visible.drain(..).count());
        let queue = self.sqs.queues.get_mut(&home).ok_or_else(|| missing(&home))?;
        for (seq, message) in messages {
            queue.messages.insert(seq, Message { receives: 0, moved_from: None, handle: 0, hidden_as: 0, ..message });
            queue.show(seq);
        }
        self.arrivals.notify_waiters();
        Ok(json!({ "TaskHandle": "dGFzaw==" }))
    }

    fn create_queue(&mut self, body: &Value, base: &str) -> Result<Value, ApiError> {
        let name = body["QueueName"].as_str().unwrap_or_default().to_owned();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 80 || !name.chars().all(fits) {
            return Err(ApiError::new("InvalidParameterValue", "a queue name has 1 to 80 letters, digits, hyphens and underscores"));
        }
        let attributes: BTreeMap<String, String> = if body["Attributes"].is_null() { BTreeMap::new() } else { parse(&body["Attributes"])? };
        if let Some(queue) = self.sqs.queues.get(&name) {
            if attributes.iter().any(|(attribute, value)| queue.attributes.get(attribute) != Some(value)) {
                return Err(ApiError::new(
                    "QueueNameExists",
                    "A queue already exists with the same name and a different value for attributes",
                ));
            }
        } else {
            let queue =
                Queue { attributes, tags: BTreeMap::new(), messages: BTreeMap::new(), visible: VecDeque::new(), hidden: BinaryHeap::new() };
            self.sqs.queues.insert(name.clone(), queue);
        }
        Ok(json!({ "QueueUrl": format!("{base}/000000000000/{name}") }))
    }

    fn queue_attributes(&mut self, body: &Value) -> Result<Value, ApiError> {
        let now = self.clock.now();
        let (name, queue) = self.queue(body)?;
        queue.advance(now);
        let delayed = queue.messages.values().filter(|message| message.hidden_as != 0 && message.receives == 0).count();
        let in_flight = queue.messages.values().filter(|message| message.hidden_as != 0 && message.receives > 0).count();
        let mut attributes = queue.attributes.clone();
        attributes.insert("QueueArn".to_owned(), arn(&name));
        attributes.insert("ApproximateNumberOfMessages".to_owned(), (queue.messages.len() - delayed - in_flight).to_string());
        attributes.insert("ApproximateNumberOfMessagesNotVisible".to_owned(), in_flight.to_string());
        attributes.insert("ApproximateNumberOfMessagesDelayed".to_owned(), delayed.to_string());
        for (attribute, default) in [("VisibilityTimeout", "30"), ("MessageRetentionPeriod", "345600"), ("DelaySeconds", "0")] {
            attributes.entry(attribute.to_owned()).or_insert_with(|| default.to_owned());
        }
        let wanted: Vec<String> = if body["AttributeNames"].is_null() { Vec::new() } else { parse(&body["AttributeNames"])? };
        attributes.retain(|attribute, _| wanted.iter().any(|wanted| wanted == "All" || wanted == attribute));
        Ok(json!({ "Attributes": attributes }))
    }

    /// A message that another service puts on a queue.
    pub(crate) fn put_on_queue(&mut self, queue: &str, body: &str, delay: u64) -> Result<(), ApiError> {
        // AWS's own services have users of their own.
        self.sender = Some("AIDA1111111111111111".into());
        self.enqueue(&json!({ "QueueUrl": queue }), &json!({ "MessageBody": body, "DelaySeconds": delay }))?;
        Ok(())
    }

    fn send_message(&mut self, message: &Value) -> Result<Value, ApiError> {
        let queue_url = message["QueueUrl"].clone();
        self.enqueue(&json!({ "QueueUrl": queue_url }), message)
    }

    fn send_batch(&mut self, body: &Value) -> Result<Value, ApiError> {
        let bytes: usize =
            body["Entries"].as_array().into_iter().flatten().filter_map(|entry| entry["MessageBody"].as_str()).map(str::len).sum();
        if bytes > BODY_BYTES_MAX {
            return Err(ApiError::new(
                "BatchRequestTooLong",
                format!("Batch requests cannot be longer than {BODY_BYTES_MAX} bytes. You have sent {bytes} bytes."),
            ));
        }
        self.each_entry(body, |state, entry| {
            if state.account.batch_entry_failure > 0.0 && state.dice.chance(state.account.batch_entry_failure) {
                return Err(ApiError::new("InternalError", "injected"));
            }
            state.enqueue(body, entry)
        })
    }

    fn enqueue(&mut self, queue: &Value, message: &Value) -> Result<Value, ApiError> {
        let body = message["MessageBody"].as_str().unwrap_or_default();
        if body.is_empty() || body.len() > BODY_BYTES_MAX {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("a message has 1 to {BODY_BYTES_MAX} bytes, this one {}", body.len()),
            ));
        }
        let refused = |c: char| !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        if body.contains(refused) {
            return Err(ApiError::new("InvalidMessageContents", "The message contains characters outside the allowed set."));
        }
        let (now, sent_ms) = (self.clock.now(), self.clock.wall().as_millisecond());
        let copies = self.account.deliveries.max(1);
        let attributes = if message["MessageAttributes"].is_null() { json!({}) } else { message["MessageAttributes"].clone() };
        self.queue(queue)?;
        let (mut id, sender) = (0, self.sender.clone());
        for _ in 0..copies {
            self.sqs.next_seq += 1;
            let seq = self.sqs.next_seq;
            if id == 0 {
                id = seq;
            }
            self.store.put_message(seq, body, &attributes.to_string())?;
            let (_, queue) = self.queue(queue)?;
            let delay = message["DelaySeconds"].as_u64().unwrap_or_else(|| queue.number("DelaySeconds", 0));
            queue.messages.insert(
                seq,
                Message { sent: now, sent_ms, receives: 0, sender: sender.clone(), moved_from: None, handle: 0, hidden_as: 0 },
            );
            if delay == 0 { queue.show(seq) } else { queue.hide(seq, now + Duration::from_secs(delay), seq) }
        }
        self.arrivals.notify_waiters();
        Ok(json!({ "MessageId": format!("{id:032x}"), "MD5OfMessageBody": hex::encode(Md5::digest(body)) }))
    }

    fn each_entry(&mut self, body: &Value, mut act: impl FnMut(&mut Self, &Value) -> Result<Value, ApiError>) -> Result<Value, ApiError> {
        let entries = body["Entries"]
            .as_array()
            .filter(|entries| !entries.is_empty())
            .ok_or_else(|| ApiError::new("EmptyBatchRequest", "There should be at least one entry"))?;
        if entries.len() > 10 {
            return Err(ApiError::new("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10."));
        }
        self.queue(body)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            match act(self, entry) {
                Ok(mut done) => {
                    done["Id"] = entry["Id"].clone();
                    successful.push(done);
                }
                Err(error) => failed
                    .push(json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": format!("{error:?}") })),
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    fn delete(&mut self, body: &Value, handle: &str) -> Result<(), ApiError> {
        let (_, queue) = self.queue(body)?;
        let Some((seq, handle)) = split_handle(handle) else {
            return Err(ApiError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid."));
        };
        if queue.messages.get(&seq).is_some_and(|message| message.handle == handle) {
            queue.messages.remove(&seq);
            self.store.delete_message(seq)?;
        }
        Ok(())
    }

    fn change_visibility(&mut self, body: &Value, entry: &Value) -> Result<(), ApiError> {
        let now = self.clock.now();
        self.sqs.next_handle += 1;
        let stamp = self.sqs.next_handle;
        let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
        if seconds > 43_200 {
            return Err(ApiError::new("InvalidParameterValue", "VisibilityTimeout is at most 43200 seconds"));
        }
        let handle = entry["ReceiptHandle"].as_str().unwrap_or_default().to_owned();
        let (_, queue) = self.queue(body)?;
        queue.advance(now);
        let (seq, handle) =
            split_handle(&handle).ok_or_else(|| ApiError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid."))?;
        let in_flight = queue.messages.get(&seq).is_some_and(|message| message.handle == handle && message.hidden_as != 0);
        if !in_flight {
            return Err(ApiError::new("MessageNotInflight", "The specified message isn't in flight."));
        }
        if seconds == 0 {
            queue.show(seq);
        } else {
            queue.hide(seq, now + Duration::from_secs(seconds), stamp);
        }
        self.arrivals.notify_waiters();
        Ok(())
    }

    /// Ends every visibility timeout and delay at once, as if that long had passed.
    pub(crate) fn show_all(&mut self) {
        for queue in self.sqs.queues.values_mut() {
            let hidden: Vec<u64> = queue.messages.iter().filter(|(_, message)| message.hidden_as != 0).map(|(seq, _)| *seq).collect();
            hidden.into_iter().for_each(|seq| queue.show(seq));
        }
        self.arrivals.notify_waiters();
    }

    /// One try at receiving; the caller waits and tries again for a long poll.
    pub(crate) fn receive(&mut self, body: &Value) -> Result<Received, ApiError> {
        let now = self.clock.now();
        let wanted = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap_or(1)).unwrap_or(1);
        if !(1..=10).contains(&wanted) {
            return Err(ApiError::new("InvalidParameterValue", "MaxNumberOfMessages is 1 to 10"));
        }
        let redelivery = self.account.redelivery;
        let asked = body["MessageSystemAttributeNames"].as_array().or_else(|| body["AttributeNames"].as_array());
        let asks_for = |name: &str| asked.is_some_and(|asked| asked.iter().any(|asked| asked == name || asked == "All"));
        let (_, queue) = self.queue(body)?;
        let next = queue.advance(now);
        let visibility = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or_else(|| queue.number("VisibilityTimeout", 30)));
        let retention = Duration::from_secs(queue.number("MessageRetentionPeriod", 345_600));
        let redrive = queue.redrive();
        let mut messages = Vec::new();
        // A message shown again during this call must wait for the next one.
        let mut to_look_at = queue.visible.len();
        while messages.len() < wanted && to_look_at > 0 {
            to_look_at -= 1;
            let (_, queue) = self.queue(body)?;
            let Some(seq) = queue.visible.pop_front() else { break };
            let Some(message) = queue.messages.get_mut(&seq).filter(|message| message.hidden_as == 0) else { continue };
            if now.saturating_duration_since(message.sent) > retention {
                queue.messages.remove(&seq);
                self.store.delete_message(seq)?;
                continue;
            }
            if let Some((target, _)) = redrive.as_ref().filter(|(_, max)| message.receives >= *max) {
                if let Some(mut moved) = queue.messages.remove(&seq) {
                    moved.moved_from = body["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).map(str::to_owned);
                    let target = self.sqs.queues.get_mut(target).ok_or_else(|| missing(target))?;
                    target.messages.insert(seq, moved);
                    target.show(seq);
                }
                continue;
            }
            self.sqs.next_handle += 1;
            let stamp = self.sqs.next_handle;
            let again = redelivery > 0.0 && self.dice.chance(redelivery);
            self.sqs.doubled += u64::from(again);
            let (text, attributes) = self.store.message(seq)?;
            let (_, queue) = self.queue(body)?;
            let Some(message) = queue.messages.get_mut(&seq) else { continue };
            message.receives += 1;
            message.handle = stamp;
            let mut system =
                json!({ "ApproximateReceiveCount": message.receives.to_string(), "SentTimestamp": message.sent_ms.to_string() });
            if asks_for("SenderId") {
                system["SenderId"] = json!(message.sender.as_deref().unwrap_or("ANONYMOUS"));
            }
            if let Some(source) = &message.moved_from {
                system["DeadLetterQueueSourceArn"] = json!(arn(source));
            }
            messages.push(json!({
                "MessageId": format!("{seq:032x}"),
                "ReceiptHandle": format!("{seq}-{stamp}"),
                "MD5OfBody": hex::encode(Md5::digest(&text)),
                "Body": text,
                "Attributes": system,
                "MessageAttributes": serde_json::from_str::<Map<String, Value>>(&attributes).unwrap_or_default(),
            }));
            // A redelivery: the message stays visible although it has just been handed out.
            queue.hide(seq, if again { now } else { now + visibility }, stamp);
        }
        if messages.is_empty() { Ok(Received::Wait(next)) } else { Ok(Received::Messages(json!({ "Messages": messages }))) }
    }
}

fn split_handle(handle: &str) -> Option<(u64, u64)> {
    let (seq, stamp) = handle.split_once('-')?;
    Some((seq.parse().ok()?, stamp.parse().ok()?))
}
