//! One SQS queue with its dead-letter queue, as issei uses it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use issei_clock::Dice;
use issei_schema::{Identity, Proof};

use crate::batch::until_all_succeed;
use crate::evidence::chain;

/// Entries that one batch call takes (SQS API reference).
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;

/// A call to SQS that failed for good, retries included. The caller may try again later; the
/// messages are still in the queue.
#[derive(Debug, thiserror::Error)]
#[error("SQS {operation}: {reason}")]
pub struct QueueError {
    pub(crate) operation: &'static str,
    pub(crate) reason: String,
}

impl QueueError {
    fn of(operation: &'static str) -> impl Fn(&(dyn std::error::Error + 'static)) -> Self {
        move |error| Self { operation, reason: chain(error) }
    }
}

/// A received message. Its body is hostile until parsed.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: String,
    pub receipt: String,
    /// How often SQS has handed it out, this time included.
    pub receives: u32,
    /// When it was sent, in milliseconds of the epoch, as SQS says; of a copy, when the first was.
    pub sent_at_ms: i64,
    /// Who has put it on the queue.
    pub senders: Senders,
    /// Of a dead letter: how it says that it came there.
    pub dead_by: Option<DeadBy>,
}

/// How a dead letter came where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadBy {
    /// SQS says that it has moved it there from the queue with this ARN. Whoever may make queues can let it do so from one of
    /// their own.
    Sqs { from: String },
    /// It bears a reason, as what a service of issei refuses does; anybody may have written it, unless it is proved.
    Reason { reason: String, proof: Option<String> },
}

/// Who has put a message on a queue: whom SQS names, and of a copy also whom the first was from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    pub known: Vec<Identity>,
    /// Somebody else has, whom nobody names: an anonymous sender, or an endpoint that tells of none.
    pub unknown: bool,
}

/// The attribute of a copy that says when the first message was sent: a copy of an old order must not
/// pass for a new one.
pub const SENT_AT: &str = "sent_at_ms";

/// The attribute of a copy that says who sent the first message, of `issei send` who runs it: words with a space
/// between them.
pub const SENDERS: &str = "senders";
/// The attribute of a dead letter that says why a service of issei has refused it.
const REASON: &str = "reason";
/// The attribute that proves it, where whoever refused it has proved that.
pub const REASON_PROOF: &str = "reason_proof";
/// As many are kept of what anybody may have written.
const SENDERS_MAX: usize = 4;
/// What stands in the attribute for somebody who is not known.
const UNKNOWN: &str = "unknown";

impl Senders {
    /// `sender_id` is SQS's own word, and `also` the attribute [`SENDERS`], which anybody may have written: it can only
    /// add somebody.
    fn of(sender_id: Option<&str>, also: Option<&str>) -> Self {
        let mut senders = Self::default();
        for name in std::iter::once(sender_id.unwrap_or(UNKNOWN)).chain(also.unwrap_or_default().split(' ').filter(|name| !name.is_empty()))
        {
            match name.parse::<Identity>() {
                Ok(known) if senders.known.contains(&known) => {}
                Ok(known) if senders.known.len() < SENDERS_MAX => senders.known.push(known),
                Ok(_) | Err(_) => senders.unknown = true,
            }
        }
        senders
    }

    fn attribute(&self) -> Option<MessageAttributeValue> {
        let known = self.known.iter().map(Identity::as_str);
        let all: Vec<&str> = known.chain(self.unknown.then_some(UNKNOWN)).collect();
        text_attribute("String", &all.join(" "))
    }
}

impl Message {
    /// Says who sent it, by the system attribute `SenderId` and the attribute [`SENDERS`].
    #[must_use]
    pub fn sent_by(self, sender_id: Option<&str>, also: Option<&str>) -> Self {
        Self { senders: Senders::of(sender_id, also), ..self }
    }

    /// `sent_at_ms` is SQS's own word, and `first_sent_at` the attribute [`SENT_AT`], which anybody may have
    /// written: it can only make a message older.
    #[must_use]
    pub fn new(id: String, body: String, receipt: String, receives: u32, sent_at_ms: i64, first_sent_at: Option<&str>) -> Self {
        let first = first_sent_at.and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        Self { id, body, receipt, receives, sent_at_ms: sent_at_ms.min(first), senders: Senders::default(), dead_by: None }
    }
}

/// How dead letters were moved back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// By a task of SQS, which goes on by itself.
    Task { handle: String },
    /// One by one, by this process.
    ByHand { messages: u64 },
    /// The same, but for those of which nobody knows who put them there.
    Known { messages: u64, left: u64 },
}

/// How many messages a queue has, as SQS says. It calls these counts approximate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// A queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    dead_letter_url: String,
    dice: Dice,
}

/// What endpoints say to an operation that they don't have.
fn is_unknown(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "UnsupportedOperation"
                | "AWS.SimpleQueueService.UnsupportedOperation"
                | "UnknownOperationException"
                | "InvalidAction"
                | "NotImplemented"
        )
    )
}

/// Says whether SQS has no such queue. Its two protocols have a code each, and not every emulator sends the
/// older one.
#[must_use]
pub fn is_no_queue(code: Option<&str>) -> bool {
    matches!(code, Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist"))
}

/// What one message with its attributes takes beside its body.
const OVERHEAD: usize = 1_024;
/// What a message, and a batch, may hold (SQS developer guide, "Quotas").
const BYTES_MAX: usize = 1024 * 1024;

/// Cuts messages into batches that one call may hold, in their number and in bytes.
fn batches(mut messages: &[Message]) -> Vec<&[Message]> {
    let mut batches = Vec::new();
    while !messages.is_empty() {
        let mut bytes = 0;
        let fits = messages.iter().take(BATCH_ENTRIES_MAX).take_while(|message| {
            bytes += message.body.len() + OVERHEAD;
            bytes <= BYTES_MAX
        });
        let (batch, rest) = messages.split_at(fits.count().max(1));
        batches.push(batch);
        messages = rest;
    }
    batches
}

fn text_attribute(kind: &str, text: &str) -> Option<MessageAttributeValue> {
    MessageAttributeValue::builder().data_type(kind).string_value(text).build().ok()
}

/// A delay as SQS takes it: 15 minutes at most (SQS API reference, `SendMessage`).
fn seconds_of(delay: Duration) -> i32 {
    i32::try_from(delay.as_secs().min(900)).unwrap_or(900)
}

impl Queue {
    /// Finds the queue `name` and its dead-letter queue `name-dead`.
    pub async fn find(client: aws_sdk_sqs::Client, name: &str, dice: Dice) -> Result<Self, QueueError> {
        let url = Self::url_of(&client, name).await?;
        let dead_letter_url = Self::url_of(&client, &Self::dead_letter_name(name)).await?;
        Ok(Self { client, url, dead_letter_url, dice })
    }

    /// The name of a queue's dead-letter queue.
    #[must_use]
    pub fn dead_letter_name(name: &str) -> String {
        format!("{name}-dead")
    }

    /// The AWS account that it is in, by its URL (`https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`); nothing where that tells none.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let account = self.url.rsplit('/').nth(1)?;
        (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())).then_some(account)
    }

    /// Whether this is its ARN, as far as its URL tells: account and name.
    #[must_use]
    pub fn has_arn(&self, arn: &str) -> bool {
        let mut parts = self.url.rsplit('/');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        arn.rsplit(':').take(2).eq([name, account])
    }

    async fn url_of(client: &aws_sdk_sqs::Client, name: &str) -> Result<String, QueueError> {
        let answer = client.get_queue_url().queue_name(name).send().await.map_err(|error| {
            let reason = if is_no_queue(error.code()) {
                format!("queue `{name}` does not exist; `issei setup` makes the queues")
            } else {
                format!("queue `{name}`: {}", chain(&error))
            };
            QueueError { operation: "GetQueueUrl", reason }
        })?;
        Ok(answer.queue_url.unwrap_or_default())
    }

    /// Receives up to ten messages, waiting up to `wait` (20 s at most) for the first.
    pub async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        self.receive_hidden(most, wait, None).await
    }

    /// The same, hidden for so long instead of for as long as the queue says.
    pub(crate) async fn receive_hidden(&self, most: usize, wait: Duration, hidden: Option<Duration>) -> Result<Vec<Message>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(most.clamp(1, BATCH_ENTRIES_MAX)).unwrap_or(10))
            .wait_time_seconds(i32::try_from(wait.as_secs().min(20)).unwrap_or(20))
            .set_visibility_timeout(hidden.map(seconds_of))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_system_attribute_names(MessageSystemAttributeName::SenderId)
            .message_system_attribute_names(MessageSystemAttributeName::DeadLetterQueueSourceArn)
            .message_attribute_names(SENT_AT)
            .message_attribute_names(SENDERS)
            .message_attribute_names(REASON)
            .message_attribute_names(REASON_PROOF)
            .send()
            .await
            .map_err(|error| QueueError::of("ReceiveMessage")(&error))?;
        let messages = answer.messages.unwrap_or_default().into_iter().filter_map(|message| {
            let text = |name: &MessageSystemAttributeName| Some(message.attributes.as_ref()?.get(name)?.as_str());
            let number = |name: &MessageSystemAttributeName| text(name)?.parse::<i64>().ok();
            let written = |name: &str| message.message_attributes.as_ref()?.get(name)?.string_value();
            let receives = number(&MessageSystemAttributeName::ApproximateReceiveCount);
            let received = Message::new(
                message.message_id.clone().unwrap_or_default(),
                message.body.clone().unwrap_or_default(),
                message.receipt_handle.clone()?,
                receives.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
                number(&MessageSystemAttributeName::SentTimestamp).unwrap_or_default(),
                written(SENT_AT),
            );
            let said = || {
                let proof = written(REASON_PROOF).map(str::to_owned);
                Some(DeadBy::Reason { reason: written(REASON)?.to_owned(), proof })
            };
            let by_sqs = text(&MessageSystemAttributeName::DeadLetterQueueSourceArn).map(|from| DeadBy::Sqs { from: from.to_owned() });
            let received = Message { dead_by: by_sqs.or_else(said), ..received };
            Some(received.sent_by(text(&MessageSystemAttributeName::SenderId), written(SENDERS)))
        });
        Ok(messages.collect())
    }

    /// Sends one message, hidden for `delay` (15 minutes at most).
    pub async fn send(&self, body: &str, delay: Duration) -> Result<(), QueueError> {
        let request = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(seconds_of(delay));
        request.send().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Sends one message that names who sends it, beside what SQS says of that.
    pub async fn send_as(&self, body: &str, sender: Option<&Identity>) -> Result<(), QueueError> {
        let named = sender.and_then(|sender| text_attribute("String", sender.as_str())).map(|sender| [(SENDERS.to_owned(), sender)].into());
        let request = self.client.send_message().queue_url(&self.url).message_body(body).set_message_attributes(named);
        request.send().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Sends up to ten messages with one call, hidden for `delay` (15 minutes at most). What fails is
    /// tried again, entry by entry.
    pub async fn send_batch(&self, bodies: &[String], delay: Duration) -> Result<(), QueueError> {
        let numbers: Vec<usize> = (0..bodies.len()).collect();
        self.send_entries(numbers, |number| {
            let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(bodies.get(number)?);
            entry.delay_seconds(seconds_of(delay)).build().ok()
        })
        .await
    }

    async fn send_entries(
        &self,
        numbers: Vec<usize>,
        entry: impl Fn(usize) -> Option<SendMessageBatchRequestEntry>,
    ) -> Result<(), QueueError> {
        until_all_succeed("SendMessageBatch", &self.dice, numbers, async |numbers| {
            let entries = numbers.iter().filter_map(|number| entry(*number));
            let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let answer = request.send().await.map_err(|error| QueueError::of("SendMessageBatch")(&error))?;
            Ok(numbers.into_iter().filter(|number| !answer.successful.iter().any(|done| done.id == number.to_string())).collect())
        })
        .await
    }

    /// Sends copies of messages, hidden for `delay` (15 minutes at most), up to ten with one call. Whoever has
    /// them deletes the messages afterwards, so that a crash in between leaves two of each and never none.
    pub async fn send_copies(&self, messages: &[Message], delay: Duration) -> Result<(), QueueError> {
        for messages in batches(messages) {
            let numbers: Vec<usize> = (0..messages.len()).collect();
            self.send_entries(numbers, |number| {
                let message = messages.get(number)?;
                let sent_at = text_attribute("Number", &message.sent_at_ms.to_string())?;
                let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(&message.body);
                let entry = entry.message_attributes(SENDERS, message.senders.attribute()?);
                entry.message_attributes(SENT_AT, sent_at).delay_seconds(seconds_of(delay)).build().ok()
            })
            .await?;
        }
        Ok(())
    }

    /// Deletes up to ten messages with one call.
    pub async fn delete_batch(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        until_all_succeed("DeleteMessageBatch", &self.dice, receipts, async |receipts| {
            let entries = receipts.iter().enumerate().filter_map(|(number, receipt)| {
                DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt).build().ok()
            });
            let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let answer = request.send().await.map_err(|error| QueueError::of("DeleteMessageBatch")(&error))?;
            Ok(receipts
                .into_iter()
                .enumerate()
                .filter(|(number, _)| !answer.successful.iter().any(|done| done.id == number.to_string()))
                .map(|(_, receipt)| receipt)
                .collect())
        })
        .await
    }

    /// Hides messages for `timeout` from now. A message that is gone or has been handed to somebody
    /// else needs no hiding, so failed entries are not tried again.
    pub async fn hide_batch(&self, receipts: &[String], timeout: Duration) -> Result<(), QueueError> {
        let seconds = i32::try_from(timeout.as_secs().min(43_200)).unwrap_or(43_200);
        for receipts in receipts.chunks(BATCH_ENTRIES_MAX) {
            let entries = receipts.iter().enumerate().filter_map(|(number, receipt)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(seconds)
                    .build()
                    .ok()
            });
            let request = self.client.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            request.send().await.map_err(|error| QueueError::of("ChangeMessageVisibilityBatch")(&error))?;
        }
        Ok(())
    }

    /// Moves a message to the dead-letter queue. Sent there first and deleted after, so that a crash
    /// between leaves two and never none.
    pub async fn bury(&self, message: &Message, reason: &str) -> Result<(), QueueError> {
        self.copy_to_dead_letters(message, reason, None).await?;
        self.delete_batch(vec![message.receipt.clone()]).await
    }

    /// Puts a copy on the dead-letter queue with the reason as its attribute `reason`, and what proves it beside. Whoever has
    /// the message deletes it afterwards.
    pub async fn copy_to_dead_letters(&self, message: &Message, reason: &str, proof: Option<Proof>) -> Result<(), QueueError> {
        // A message's attributes count towards its bytes; a body that leaves no room goes without its
        // reason, which then stands in the log alone.
        let fits = message.body.len() + reason.len() + OVERHEAD <= BYTES_MAX;
        let mut request = self.client.send_message().queue_url(&self.dead_letter_url).message_body(&message.body);
        if fits {
            let reason = text_attribute("String", reason).map(|reason| (REASON.to_owned(), reason));
            let sent_at = text_attribute("Number", &message.sent_at_ms.to_string()).map(|sent_at| (SENT_AT.to_owned(), sent_at));
            let senders = message.senders.attribute().map(|senders| (SENDERS.to_owned(), senders));
            let proof =
                proof.and_then(|proof| text_attribute("String", &String::from(proof))).map(|proof| (REASON_PROOF.to_owned(), proof));
            let all = reason.into_iter().chain(sent_at).chain(senders).chain(proof);
            request = request.set_message_attributes(Some(all.collect()));
        }
        request.send().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Moves the dead letters back to the queue: by SQS's own task, or one by one where the endpoint
    /// has none (most emulators).
    pub async fn redrive(&self) -> Result<Redriven, QueueError> {
        let request = self.client.get_queue_attributes().queue_url(&self.dead_letter_url).attribute_names(QueueAttributeName::QueueArn);
        let answer = request.send().await.map_err(|error| QueueError::of("GetQueueAttributes")(&error))?;
        let arn = answer.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn)).unwrap_or_default();
        match self.client.start_message_move_task().source_arn(arn).send().await {
            Ok(started) => Ok(Redriven::Task { handle: started.task_handle.unwrap_or_default() }),
            Err(error) if is_unknown(error.code()) => self.redrive_by_hand().await,
            Err(error) => Err(QueueError::of("StartMessageMoveTask")(&error)),
        }
    }

    /// Sent first and deleted after, so that a crash between leaves two and never none.
    async fn redrive_by_hand(&self) -> Result<Redriven, QueueError> {
        let dead = Self { url: self.dead_letter_url.clone(), ..self.clone() };
        let mut moved = 0;
        loop {
            let messages = dead.receive(BATCH_ENTRIES_MAX, Duration::ZERO).await?;
            if messages.is_empty() {
                return Ok(Redriven::ByHand { messages: moved });
            }
            moved += messages.len() as u64;
            self.send_copies(&messages, Duration::ZERO).await?;
            dead.delete_batch(messages.into_iter().map(|message| message.receipt).collect()).await?;
        }
    }

    /// Moves the dead letters back that SQS has put there, or of whose reasons `is_proved` says that a service of issei wrote them,
    /// and leaves the others: whoever may write to the dead-letter queue alone must not be believed for somebody's moving it.
    pub async fn redrive_known(&self, is_proved: impl Fn(&Message) -> bool) -> Result<Redriven, QueueError> {
        let dead = Self { url: self.dead_letter_url.clone(), ..self.clone() };
        let (mut moved, mut left) = (0, BTreeMap::new());
        loop {
            let (known, others): (Vec<Message>, Vec<Message>) =
                dead.receive(BATCH_ENTRIES_MAX, Duration::ZERO).await?.into_iter().partition(|message| {
                    matches!(&message.dead_by, Some(DeadBy::Sqs { from }) if self.has_arn(from)) || is_proved(message)
                });
            let before = left.len();
            left.extend(others.into_iter().map(|message| (message.id, message.receipt)));
            // Whatever else shows was looked at, or there is nothing.
            if known.is_empty() && left.len() == before {
                let messages = left.len() as u64;
                // They show again at once, to whoever looks at them next.
                dead.hide_batch(&left.into_values().collect::<Vec<_>>(), Duration::ZERO).await?;
                return Ok(Redriven::Known { messages: moved, left: messages });
            }
            // SQS takes no empty batch.
            if known.is_empty() {
                continue;
            }
            moved += known.len() as u64;
            self.send_copies(&known, Duration::ZERO).await?;
            dead.delete_batch(known.into_iter().map(|message| message.receipt).collect()).await?;
        }
    }

    /// The queue's tags.
    pub async fn tags(&self) -> Result<HashMap<String, String>, QueueError> {
        let request = self.client.list_queue_tags().queue_url(&self.url);
        let answer = request.send().await.map_err(|error| QueueError::of("ListQueueTags")(&error))?;
        Ok(answer.tags.unwrap_or_default())
    }

    /// Sets tags of the queue, and leaves others as they are.
    pub async fn tag<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), QueueError> {
        let request = self.client.tag_queue().queue_url(&self.url);
        let request = tags.into_iter().fold(request, |request, (name, value)| request.tags(name, value));
        request.send().await.map_err(|error| QueueError::of("TagQueue")(&error))?;
        Ok(())
    }

    /// Messages that wait, are in flight, and lie in the dead-letter queue. They prove nothing by
    /// themselves.
    pub async fn depths(&self) -> Result<[u64; 3], QueueError> {
        let (live, dead) = self.counts().await?;
        Ok([live.visible + live.delayed, live.in_flight, dead.all()])
    }

    /// The messages in the queue, and those in its dead-letter queue.
    pub async fn counts(&self) -> Result<(Counts, Counts), QueueError> {
        Ok((self.count(&self.url).await?, self.count(&self.dead_letter_url).await?))
    }

    /// The messages that wait for a receiver.
    pub async fn visible(&self) -> Result<u64, QueueError> {
        Ok(self.count(&self.url).await?.visible)
    }

    async fn count(&self, url: &str) -> Result<Counts, QueueError> {
        let request = self.client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let answer = request.send().await.map_err(|error| QueueError::of("GetQueueAttributes")(&error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name: QueueAttributeName| {
            let value = attributes.get(&name).and_then(|value| value.parse::<u64>().ok());
            // What is not told is not nothing.
            value.ok_or_else(|| QueueError { operation: "GetQueueAttributes", reason: format!("{} is not told", name.as_str()) })
        };
        Ok(Counts {
            visible: number(QueueAttributeName::ApproximateNumberOfMessages)?,
            in_flight: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?,
            delayed: number(QueueAttributeName::ApproximateNumberOfMessagesDelayed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::new("id".to_owned(), "x".repeat(bytes), "receipt".to_owned(), 1, 5, None)
    }

    #[test]
    fn a_batch_holds_ten_messages_and_a_mebibyte() {
        let sizes = |messages: &[Message]| batches(messages).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![message(10); 23]), [10, 10, 3]);
        assert_eq!(sizes(&vec![message(320 * 1024); 4]), [3, 1]);
        // One that is too large by itself goes alone, and SQS says so.
        assert_eq!(sizes(&[message(1024 * 1024), message(1)]), [1, 1]);
    }

    #[test]
    fn a_copy_names_who_sent_the_first_and_an_attribute_can_only_add_somebody() {
        let (ann, role) = ("AIDACKCEVSQ6C2EXAMPLE", "AROADBQP57FF2AEXAMPLE:producer");
        let of = |sender, also| {
            let senders = Senders::of(sender, also);
            (senders.known.iter().map(Identity::as_str).collect::<Vec<_>>().join(" "), senders.unknown)
        };
        assert_eq!(of(Some(ann), None), (ann.to_owned(), false));
        assert_eq!(of(Some(role), Some(ann)), (format!("{role} {ann}"), false));
        assert_eq!(of(Some(ann), Some(ann)), (ann.to_owned(), false));
        for (sender, also) in [(None, None), (Some("ANONYMOUS"), Some("")), (None, Some("unknown"))] {
            assert_eq!(of(sender, also), (String::new(), true));
        }
        assert_eq!(of(Some(role), Some("unknown")), (role.to_owned(), true), "a copy of a message that nobody sent");
        let many: Vec<String> = (0..20).map(|n| format!("{ann}:{n}")).collect();
        let senders = Senders::of(Some(role), Some(&many.join(" ")));
        assert_eq!((senders.known.len(), senders.unknown), (SENDERS_MAX, true));
        let written = senders.attribute().unwrap().string_value.unwrap();
        assert_eq!(Senders::of(Some(role), Some(&written)), senders);
        let longest = format!("A{}:{}", "X".repeat(127), "x".repeat(64));
        assert!(SENDERS_MAX * (longest.len() + 1) + UNKNOWN.len() + 128 <= OVERHEAD && longest.parse::<Identity>().is_ok());
    }

    #[test]
    fn a_copy_is_as_old_as_the_first_and_nobody_can_make_it_younger() {
        let sent_at = |attribute| Message::new(String::new(), String::new(), String::new(), 1, 1_000, attribute).sent_at_ms;
        assert_eq!([None, Some("400"), Some("2000"), Some("x"), Some("")].map(sent_at), [1_000, 400, 1_000, 1_000, 1_000]);
    }
}
