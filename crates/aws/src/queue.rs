//! One SQS queue with its dead-letter queue, as issei uses it.

mod counts;
mod dead_letters;
mod message;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use issei_clock::Dice;
use issei_schema::Identity;

use self::message::{REASON, batches, text_attribute};
use crate::batch::until_all_succeed;
use crate::call::AwsCall;
use crate::evidence::chain;

pub use self::counts::Counts;
pub use self::dead_letters::Redriven;
pub use self::message::{DeadBy, Message, REASON_PROOF, SENDERS, SENT_AT, Senders};

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

/// A queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    dead_letter_url: String,
    dice: Dice,
}

/// Says whether SQS has no such queue. Its two protocols have a code each, and not every emulator sends the
/// older one.
#[must_use]
pub fn is_no_queue(code: Option<&str>) -> bool {
    matches!(code, Some("AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist"))
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
        let answer = client.get_queue_url().queue_name(name).call().await.map_err(|error| {
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
            .call()
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
        request.call().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Sends one message that names who sends it, beside what SQS says of that.
    pub async fn send_as(&self, body: &str, sender: Option<&Identity>) -> Result<(), QueueError> {
        let named = sender.and_then(|sender| text_attribute("String", sender.as_str())).map(|sender| [(SENDERS.to_owned(), sender)].into());
        let request = self.client.send_message().queue_url(&self.url).message_body(body).set_message_attributes(named);
        request.call().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
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
            let answer = request.call().await.map_err(|error| QueueError::of("SendMessageBatch")(&error))?;
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
            let answer = request.call().await.map_err(|error| QueueError::of("DeleteMessageBatch")(&error))?;
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
            request.call().await.map_err(|error| QueueError::of("ChangeMessageVisibilityBatch")(&error))?;
        }
        Ok(())
    }

    /// The queue's tags.
    pub async fn tags(&self) -> Result<HashMap<String, String>, QueueError> {
        let request = self.client.list_queue_tags().queue_url(&self.url);
        let answer = request.call().await.map_err(|error| QueueError::of("ListQueueTags")(&error))?;
        Ok(answer.tags.unwrap_or_default())
    }

    /// Sets tags of the queue, and leaves others as they are.
    pub async fn tag<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), QueueError> {
        let request = self.client.tag_queue().queue_url(&self.url);
        let request = tags.into_iter().fold(request, |request, (name, value)| request.tags(name, value));
        request.call().await.map_err(|error| QueueError::of("TagQueue")(&error))?;
        Ok(())
    }
}
