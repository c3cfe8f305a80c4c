//! One SQS queue with its dead-letter queue, as issei uses it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use issei_clock::Dice;

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
    /// When it was sent, in milliseconds of the epoch, as SQS says.
    pub sent_at_ms: i64,
}

/// How dead letters were moved back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// By a task of SQS, which goes on by itself.
    Task { handle: String },
    /// One by one, by this process.
    ByHand { messages: u64 },
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

    async fn url_of(client: &aws_sdk_sqs::Client, name: &str) -> Result<String, QueueError> {
        let answer = client.get_queue_url().queue_name(name).send().await.map_err(|error| QueueError {
            operation: "GetQueueUrl",
            reason: format!("queue `{name}`: {}; `issei setup` makes the queues", chain(&error)),
        })?;
        Ok(answer.queue_url.unwrap_or_default())
    }

    /// Receives up to ten messages, waiting up to `wait` (20 s at most) for the first.
    pub async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(most.clamp(1, BATCH_ENTRIES_MAX)).unwrap_or(10))
            .wait_time_seconds(i32::try_from(wait.as_secs().min(20)).unwrap_or(20))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| QueueError::of("ReceiveMessage")(&error))?;
        let messages = answer.messages.unwrap_or_default().into_iter().filter_map(|message| {
            let attribute = |name: &MessageSystemAttributeName| message.attributes.as_ref()?.get(name)?.parse::<i64>().ok();
            let receives = attribute(&MessageSystemAttributeName::ApproximateReceiveCount);
            Some(Message {
                receives: receives.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
                sent_at_ms: attribute(&MessageSystemAttributeName::SentTimestamp).unwrap_or_default(),
                id: message.message_id.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                receipt: message.receipt_handle?,
            })
        });
        Ok(messages.collect())
    }

    /// Sends one message, hidden for `delay` (15 minutes at most).
    pub async fn send(&self, body: &str, delay: Duration) -> Result<(), QueueError> {
        let seconds = i32::try_from(delay.as_secs().min(900)).unwrap_or(900);
        let request = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(seconds);
        request.send().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Sends up to ten messages with one call. What fails is tried again, entry by entry.
    pub async fn send_batch(&self, bodies: &[String]) -> Result<(), QueueError> {
        let numbers: Vec<usize> = (0..bodies.len()).collect();
        until_all_succeed("SendMessageBatch", &self.dice, numbers, async |numbers| {
            let entries = numbers.iter().filter_map(|number| {
                SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(bodies.get(*number)?).build().ok()
            });
            let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let answer = request.send().await.map_err(|error| QueueError::of("SendMessageBatch")(&error))?;
            Ok(numbers.into_iter().filter(|number| !answer.successful.iter().any(|done| done.id == number.to_string())).collect())
        })
        .await
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

    /// Moves a message to the dead-letter queue with the reason as its attribute `reason`. Sent
    /// there first and deleted after, so that a crash between leaves two and never none.
    pub async fn bury(&self, message: &Message, reason: &str) -> Result<(), QueueError> {
        // A message's attributes count towards its 1 MiB (SQS developer guide, "Quotas"); a body
        // that leaves no room goes without its reason, which then stands in the log alone.
        let fits = message.body.len() + reason.len() + 64 <= 1024 * 1024;
        let attribute = |text: &str| MessageAttributeValue::builder().data_type("String").string_value(text).build().ok();
        let request = self
            .client
            .send_message()
            .queue_url(&self.dead_letter_url)
            .message_body(&message.body)
            .set_message_attributes(attribute(reason).filter(|_| fits).map(|reason| [("reason".to_owned(), reason)].into()));
        request.send().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        self.delete_batch(vec![message.receipt.clone()]).await
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
            for message in messages {
                self.send(&message.body, Duration::ZERO).await?;
                dead.delete_batch(vec![message.receipt]).await?;
                moved += 1;
            }
        }
    }

    /// The queue's tags.
    pub async fn tags(&self) -> Result<HashMap<String, String>, QueueError> {
        let request = self.client.list_queue_tags().queue_url(&self.url);
        let answer = request.send().await.map_err(|error| QueueError::of("ListQueueTags")(&error))?;
        Ok(answer.tags.unwrap_or_default())
    }

    /// Sets one tag of the queue.
    pub async fn tag(&self, name: &str, value: &str) -> Result<(), QueueError> {
        let request = self.client.tag_queue().queue_url(&self.url).tags(name, value);
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
