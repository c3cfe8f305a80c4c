//! The feedback consumer as a long-running service.

use std::collections::BTreeMap;
use std::time::Duration;

use issei_aws::{Backoff, Message, Queue, Timing, Web};
use issei_clock::{Clock, Dice};
use issei_ledger::{Incarnation, Ledger, Telling};
use issei_provider::ses::{Signatures, SnsTrust};
use issei_provider::{Ses, WebhookKeys};
use issei_schema::AddressHash;
use tokio_util::sync::CancellationToken;

use crate::batch::Handled;
use crate::breaker::{Breaker, Limits};
use crate::evidence::Rules;

/// The longest that SQS allows.
const POLL: Duration = Duration::from_secs(20);
/// What one receive gives at most (SQS API reference, `ReceiveMessage`).
const RECEIVE_MAX: usize = 10;
/// Events merged at once, so that one write holds many of a chunk's: about 2 MB of bodies.
const BATCH_MAX: usize = 1_000;

/// How the feedback consumer works.
#[derive(Clone, Debug)]
pub struct Options {
    pub limits: Limits,
    pub rules: Rules,
    /// How long a canary is held at least before its evidence may let the broadcast go on.
    pub canary_wait: Duration,
    /// How often open broadcasts are swept.
    pub sweep_every: Duration,
    pub timing: Timing,
    pub address_hash: AddressHash,
    /// What is asked of a notification before it is believed.
    pub sns_trust: SnsTrust,
    /// By what the webhooks of other providers are known to be theirs, by the name that the configuration has for each.
    pub webhooks: BTreeMap<String, WebhookKeys>,
}

/// The feedback consumer.
pub struct Feedback {
    pub(crate) ledger: Ledger,
    pub(crate) events: Queue,
    pub(crate) chunks: Queue,
    pub(crate) ses: Ses,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) incarnation: Incarnation,
    pub(crate) options: Options,
    pub(crate) breaker: Breaker,
    pub(crate) signatures: Signatures,
    pub(crate) telling: Telling,
}

impl Feedback {
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a part made elsewhere")]
    pub fn new(
        ledger: Ledger,
        events: Queue,
        chunks: Queue,
        ses: Ses,
        web: Web,
        clock: Clock,
        dice: Dice,
        incarnation: Incarnation,
        options: Options,
    ) -> Self {
        let telling = Telling::new(ledger.clone(), &incarnation);
        let signatures = Signatures::new(options.sns_trust.clone(), web, clock.clone());
        Self { ledger, events, chunks, ses, clock, dice, incarnation, options, breaker: Breaker::default(), signatures, telling }
    }

    /// This run of the service.
    #[must_use]
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Works until `shutdown`. It may be dropped anywhere: what was received comes again, and merging
    /// it again changes nothing.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.ledger.while_whole(&self.chunks, &self.incarnation, &shutdown, |_, token| self.work(token)).await;
    }

    async fn work(&self, shutdown: CancellationToken) {
        tokio::join!(self.take_events(&shutdown), self.sweep_now_and_then(&shutdown));
    }

    async fn take_events(&self, shutdown: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20), self.dice.clone());
        while !shutdown.is_cancelled() {
            let mut batch = Vec::new();
            let mut wait = POLL;
            // The first receive waits; then what is there already is taken along.
            while batch.len() + RECEIVE_MAX <= BATCH_MAX {
                match shutdown.run_until_cancelled(self.events.receive(RECEIVE_MAX, wait)).await {
                    None => break,
                    Some(Ok(messages)) => {
                        backoff.reset();
                        let is_last = messages.len() < RECEIVE_MAX;
                        batch.extend(messages);
                        if is_last {
                            break;
                        }
                        wait = Duration::ZERO;
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "no events can be received; trying again");
                        shutdown.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                        break;
                    }
                }
            }
            if !batch.is_empty() {
                self.take(batch).await;
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
        for receipts in done.chunks(RECEIVE_MAX) {
            if let Err(error) = self.events.delete_batch(receipts.to_vec()).await {
                tracing::warn!(%error, "events can't be deleted; they come again, which is harmless");
            }
        }
    }

    /// Puts a copy on the dead-letter queue, and says whether the message may be deleted.
    async fn refuse(&self, message: &Message, reason: &str) -> bool {
        tracing::error!(message.id, reason, "event refused; it goes to the dead-letter queue");
        let copied = self.events.copy_to_dead_letters(message, reason).await;
        if let Err(error) = &copied {
            tracing::warn!(%error, message.id, "a refused event can't be moved; it comes again");
        }
        copied.is_ok()
    }

    /// Handles events that an event source has received, and gives the ids of those that must come again;
    /// the source deletes the others.
    pub async fn handle_for_source(&self, messages: &[Message]) -> Vec<String> {
        let mut again = Vec::new();
        for (message, handled) in messages.iter().zip(self.handle_batch(messages).await) {
            let is_done = match handled {
                Handled::Done => true,
                Handled::Again => false,
                Handled::Bury(reason) => self.refuse(message, &reason).await,
            };
            if !is_done {
                again.push(message.id.clone());
            }
        }
        again
    }

    async fn sweep_now_and_then(&self, shutdown: &CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(self.dice.jitter(self.options.sweep_every))).await.is_some() {
            if let Some(Err(error)) = shutdown.run_until_cancelled(self.sweep()).await {
                tracing::warn!(%error, "open broadcasts can't be swept; trying again");
            }
        }
    }
}
