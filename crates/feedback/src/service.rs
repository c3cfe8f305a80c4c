//! The feedback consumer as a long-running service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use issei_aws::{Message, Queue, Timing, Web};
use issei_clock::{Clock, Dice};
use issei_ledger::{DeadEvents, Incarnation, Ledger, Telling};
use issei_provider::{Notices, Provider, SnsTrust, WebhookKeys};
use issei_schema::AddressHash;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::answered::Answered;
use crate::batch::Handled;
use crate::breaker::{Breaker, Limits};
use crate::evidence::Rules;

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
    /// Whose events come to the queue by no webhook.
    pub(crate) publisher: Arc<dyn Provider>,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) incarnation: Incarnation,
    pub(crate) options: Options,
    pub(crate) breaker: Breaker,
    pub(crate) answered: Answered,
    pub(crate) notices: Notices,
    pub(crate) telling: Telling,
    /// Read at the first refusal.
    pub(crate) dead_events: Mutex<Option<DeadEvents>>,
}

impl Feedback {
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a part made elsewhere")]
    pub fn new(
        ledger: Ledger,
        events: Queue,
        chunks: Queue,
        publisher: Arc<dyn Provider>,
        web: Web,
        clock: Clock,
        dice: Dice,
        incarnation: Incarnation,
        options: Options,
    ) -> Self {
        let telling = Telling::new(ledger.clone(), &incarnation);
        let notices = Notices::new(options.sns_trust.clone(), web, clock.clone());
        let (breaker, answered, dead_events) = (Breaker::default(), Answered::default(), Mutex::default());
        Self { ledger, events, chunks, publisher, clock, dice, incarnation, options, breaker, answered, notices, telling, dead_events }
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
        // It may be another ledger, in which another epoch was opened.
        self.answered.forget();
        *self.dead_events.lock().await = None;
        tokio::join!(self.take_events(&shutdown), self.sweep_now_and_then(&shutdown));
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
