//! How a service polls a queue, so that it may end at any time.
//!
//! A receive that is dropped goes on at SQS: what it is handed then nobody has, and it is hidden for as long as the
//! queue hides what is received. So a long poll, which brings nothing most of the time, asks for a short while, and
//! what it brings is hidden for the whole time by a call of its own; and a short one is waited for, and gives back.
//!
//! What this must never do: make an idle service call more often, or keep one that is told to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::queue::{Message, Queue, QueueError};

/// For how long what a long poll brings is hidden at first: longer than the call takes that hides it for longer.
const LENT: Duration = Duration::from_secs(10);

/// A queue as one service polls it.
#[derive(Debug)]
pub struct Poll {
    queue: Queue,
    most: usize,
    /// For how long a received message is to be hidden.
    visibility: Duration,
    /// Nobody who may not hide for longer asks for less.
    lends: AtomicBool,
}

impl Poll {
    /// The longest wait for which a receive is waited for when its service is told to end.
    pub const SHORT: Duration = Duration::from_secs(1);

    /// `most` messages are received at once, ten at most.
    #[must_use]
    pub fn new(queue: Queue, most: usize, visibility: Duration) -> Self {
        Self { queue, most, visibility, lends: AtomicBool::new(visibility > LENT) }
    }

    /// Receives, waiting up to `wait` for the first message. Nothing once `shutdown` is cancelled.
    pub async fn next(&self, wait: Duration, shutdown: &CancellationToken) -> Option<Result<Vec<Message>, QueueError>> {
        if shutdown.is_cancelled() {
            return None;
        }
        let is_short = wait <= Self::SHORT;
        let lends = !is_short && self.lends.load(Ordering::Relaxed);
        let receiving = self.queue.receive_hidden(self.most, wait, lends.then_some(LENT));
        tokio::pin!(receiving);
        let Some(received) = shutdown.run_until_cancelled(receiving.as_mut()).await else {
            if is_short && let Ok(Ok(messages)) = tokio::time::timeout(Self::SHORT * 3, receiving).await {
                self.give_back(&messages).await;
            }
            return None;
        };
        if lends && let Ok(messages) = &received {
            self.keep(messages).await;
        }
        Some(received)
    }

    /// Hides what was lent for as long as everything else.
    async fn keep(&self, messages: &[Message]) {
        if let Err(error) = self.hide(messages, self.visibility).await {
            tracing::warn!(%error, "received messages can't be hidden for longer, so that they may come twice, which is harmless; from now on each is hidden for as long as its queue says");
            self.lends.store(false, Ordering::Relaxed);
        }
    }

    async fn give_back(&self, messages: &[Message]) {
        if let Err(error) = self.hide(messages, Duration::ZERO).await {
            tracing::warn!(%error, messages = messages.len(), "what was received at the end can't be given back; it comes again when its queue shows it");
        }
    }

    async fn hide(&self, messages: &[Message], timeout: Duration) -> Result<(), QueueError> {
        let receipts: Vec<String> = messages.iter().map(|message| message.receipt.clone()).collect();
        self.queue.hide_batch(&receipts, timeout).await
    }
}
