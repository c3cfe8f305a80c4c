//! The five parts, and what each does with a call.

use std::sync::Arc;

use anyhow::bail;
use issei_assembly::Parts;
use issei_aws::{Message, Queue};
use issei_consumer::Consumer;
use issei_feedback::Feedback;
use issei_ledger::{Incarnation, LedgerEpoch};
use issei_producer::Producer;
use tokio_util::sync::CancellationToken;

/// What one function does.
pub(crate) enum Part {
    Producer(Producer),
    Closer(Producer),
    Consumer(Arc<Consumer>),
    Feedback(Feedback),
    Sweeper(Feedback),
}

impl Part {
    pub(crate) async fn named(handler: &str, parts: &Parts) -> anyhow::Result<Self> {
        Ok(match handler {
            "producer" => Self::Producer(parts.producer().await?),
            "closer" => Self::Closer(parts.producer().await?),
            "consumer" => Self::Consumer(parts.consumer().await?),
            "feedback" => Self::Feedback(parts.feedback().await?),
            "sweeper" => Self::Sweeper(parts.feedback().await?),
            other => bail!("the handler is `{other}`; it must be producer, closer, consumer, feedback or sweeper"),
        })
    }

    pub(crate) fn incarnation(&self) -> &Incarnation {
        match self {
            Self::Producer(producer) | Self::Closer(producer) => producer.incarnation(),
            Self::Consumer(consumer) => consumer.incarnation(),
            Self::Feedback(feedback) | Self::Sweeper(feedback) => feedback.incarnation(),
        }
    }

    /// The queue whose messages it is called with.
    pub(crate) async fn source(&self, parts: &Parts) -> anyhow::Result<Option<Queue>> {
        Ok(match self {
            Self::Producer(_) => Some(parts.commands_queue().await?),
            Self::Consumer(_) => Some(parts.chunks_queue().await?),
            Self::Feedback(_) => Some(parts.feedback_queue().await?),
            Self::Closer(_) | Self::Sweeper(_) => None,
        })
    }

    /// Whether it may be cut off anywhere. Whoever sends may not.
    pub(crate) fn may_be_cut_off(&self) -> bool {
        !matches!(self, Self::Consumer(_))
    }

    /// Handles messages, and gives the ids of those that must come again. Each part's work is boxed, for
    /// nested as it is its type would be too deep for the compiler.
    pub(crate) async fn handle(&self, epoch: LedgerEpoch, messages: Vec<Message>, stop: &CancellationToken) -> Vec<String> {
        match self {
            Self::Producer(producer) => Box::pin(producer.handle_for_source(epoch, &messages, stop)).await,
            Self::Consumer(consumer) => Box::pin(consumer.handle_for_source(messages, stop)).await,
            Self::Feedback(feedback) => Box::pin(feedback.handle_for_source(&messages)).await,
            // They have no event source, so whatever called them keeps its messages.
            Self::Closer(_) | Self::Sweeper(_) => messages.into_iter().map(|message| message.id).collect(),
        }
    }

    /// Does what a schedule calls for.
    pub(crate) async fn tick(&self, stop: &CancellationToken) -> Result<(), String> {
        match self {
            Self::Closer(producer) => {
                Box::pin(producer.look_after_until(stop)).await;
                Ok(())
            }
            Self::Sweeper(feedback) => match stop.run_until_cancelled(Box::pin(feedback.sweep())).await {
                Some(swept) => swept.map_err(|error| error.to_string()),
                None => Err("the sweep took longer than the function may; give it more time".to_owned()),
            },
            Self::Producer(_) | Self::Consumer(_) | Self::Feedback(_) => {
                Err("this function is called by its queue, and not by a schedule".to_owned())
            }
        }
    }
}
