//! Receiving: several receives side by side while there is something to receive, gathered into batches so that one
//! write holds many events. A message is deleted after its event was written down, and never before.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use issei_aws::{Backoff, Message, Poll};
use issei_ledger::DeadEvents;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::Handled;
use crate::service::Feedback;

/// The longest that SQS allows.
const POLL: Duration = Duration::from_secs(20);
/// What one receive gives at most, and one deletion takes (SQS API reference).
const RECEIVE_MAX: usize = 10;
const RECEIVES_AT_ONCE: usize = 8;
const DELETES_AT_ONCE: usize = 8;
/// How long a batch is gathered for from its first receive on: far below any visibility timeout, and soon enough for whoever
/// waits for a bounce to stop the rest.
const GATHER: Duration = Duration::from_secs(1);
/// Messages of a batch, and bytes of their bodies; while one is written down, the next is gathered.
const BATCH_MAX: usize = 3_000;
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Feedback {
    pub(crate) async fn take_events(&self, shutdown: &CancellationToken) {
        let (received, mut receives) = mpsc::channel(RECEIVES_AT_ONCE);
        let is_busy = watch::Sender::new(false);
        let poll = Poll::new(self.events.clone(), RECEIVE_MAX, self.options.timing.visibility);
        let receiving = async {
            let received = received;
            join_all((0..RECEIVES_AT_ONCE).map(|number| self.receive_on(number > 0, (&poll, &is_busy), &received, shutdown))).await;
        };
        let working = async {
            let mut next = gathered(&mut receives).await;
            while let Some(batch) = next.take() {
                let (gathered, ()) = tokio::join!(gathered(&mut receives), self.take(batch));
                next = gathered;
            }
        };
        tokio::join!(receiving, working);
    }

    /// Receives again and again. Whoever only helps does so while receives are full: an idle consumer polls once at a time.
    async fn receive_on(
        &self,
        helps: bool,
        (poll, is_busy): (&Poll, &watch::Sender<bool>),
        received: &mpsc::Sender<Vec<Message>>,
        shutdown: &CancellationToken,
    ) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20), self.dice.clone());
        let mut busy = is_busy.subscribe();
        let mut had_some = false;
        loop {
            if helps && shutdown.run_until_cancelled(busy.wait_for(|is_busy| *is_busy)).await.is_none() {
                return;
            }
            let wait = match (helps, had_some) {
                (true, _) => Duration::ZERO,
                (false, true) => Poll::SHORT,
                (false, false) => POLL,
            };
            match poll.next(wait, shutdown).await {
                None => return,
                Some(Ok(messages)) => {
                    backoff.reset();
                    is_busy.send_replace(messages.len() == RECEIVE_MAX);
                    had_some = !messages.is_empty();
                    // Whoever gathers outlives every receive.
                    if !messages.is_empty() && received.send(messages).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "no events can be received; trying again");
                    shutdown.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                }
            }
        }
    }

    async fn take(&self, messages: Vec<Message>) {
        let handled = self.handle_batch(&messages).await;
        let mut done = Vec::new();
        for (message, handled) in messages.into_iter().zip(handled) {
            match handled {
                Handled::Done => done.push(message.receipt),
                Handled::Again => {}
                Handled::Bury(reason) => {
                    if self.refuse(&message, &reason).await {
                        done.push(message.receipt);
                    }
                }
            }
        }
        let deletions = done.chunks(RECEIVE_MAX).map(<[String]>::to_vec).collect::<Vec<_>>();
        let deletions = stream::iter(deletions).map(async |receipts| self.events.delete_batch(receipts).await);
        let mut deleted = deletions.buffer_unordered(DELETES_AT_ONCE);
        while let Some(deleted) = deleted.next().await {
            if let Err(error) = deleted {
                tracing::warn!(%error, "events can't be deleted; they come again, which is harmless");
            }
        }
    }

    /// Puts a copy on the dead-letter queue, and says whether the message may be deleted.
    pub(crate) async fn refuse(&self, message: &Message, reason: &str) -> bool {
        tracing::error!(message.id, reason, "event refused; it goes to the dead-letter queue");
        let proof = self.dead_events().await.map(|marks| marks.prove(&message.body, reason));
        let copied = self.events.copy_to_dead_letters(message, reason, proof).await;
        if let Err(error) = &copied {
            tracing::warn!(%error, message.id, "a refused event can't be moved; it comes again");
        }
        copied.is_ok()
    }

    /// By what it is proved that this service has refused an event. Where it can't be read the event is buried all the same, and a
    /// redrive leaves it to a person.
    async fn dead_events(&self) -> Option<DeadEvents> {
        let mut held = self.dead_events.lock().await;
        if held.is_none() {
            match self.ledger.dead_events_to_prove().await {
                Ok(marks) => *held = Some(marks),
                Err(error) => tracing::warn!(%error, "the ledger's key can't be read; what is refused bears no proof of that"),
            }
        }
        held.clone()
    }
}

/// What is received within a while, as far as it is to be held at once; nothing when nobody receives any more.
async fn gathered(receives: &mut mpsc::Receiver<Vec<Message>>) -> Option<Vec<Message>> {
    let mut batch = receives.recv().await?;
    let mut bytes: usize = batch.iter().map(|message| message.body.len()).sum();
    let mut over = std::pin::pin!(tokio::time::sleep(GATHER));
    while batch.len() + RECEIVE_MAX <= BATCH_MAX && bytes < BATCH_BYTES_MAX {
        let more = tokio::select! {
            biased;
            more = receives.recv() => more,
            () = &mut over => None,
        };
        let Some(more) = more else { break };
        bytes += more.iter().map(|message| message.body.len()).sum::<usize>();
        batch.extend(more);
    }
    Some(batch)
}
