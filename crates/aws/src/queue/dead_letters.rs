//! The dead-letter queue: what is put there, and what is moved back.
//!
//! A copy is sent before the message is deleted, so that a crash in between leaves two of it and never none.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use issei_schema::Proof;

use super::message::{BYTES_MAX, OVERHEAD, REASON, text_attribute};
use super::{BATCH_ENTRIES_MAX, DeadBy, Message, Queue, QueueError, REASON_PROOF, SENDERS, SENT_AT};
use crate::call::AwsCall;

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
        request.call().await.map_err(|error| QueueError::of("SendMessage")(&error))?;
        Ok(())
    }

    /// Moves the dead letters back to the queue: by SQS's own task, or one by one where the endpoint
    /// has none (most emulators).
    pub async fn redrive(&self) -> Result<Redriven, QueueError> {
        let request = self.client.get_queue_attributes().queue_url(&self.dead_letter_url).attribute_names(QueueAttributeName::QueueArn);
        let answer = request.call().await.map_err(|error| QueueError::of("GetQueueAttributes")(&error))?;
        let arn = answer.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn)).unwrap_or_default();
        match self.client.start_message_move_task().source_arn(arn).call().await {
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
}
