//! How many messages a queue has. They prove nothing by themselves.

use aws_sdk_sqs::types::QueueAttributeName;

use super::{Queue, QueueError};
use crate::call::AwsCall;

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

impl Queue {
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
        let answer = request.call().await.map_err(|error| QueueError::of("GetQueueAttributes")(&error))?;
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
