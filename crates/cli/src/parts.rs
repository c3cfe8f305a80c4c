//! The parts that commands are put together from.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use issei_aws::{Clients, Queue};
use issei_clock::{Clock, Dice};
use issei_consumer::{AddressHash, Consumer};
use issei_feedback::{Feedback, Limits, Rules};
use issei_ledger::Ledger;
use issei_producer::Producer;
use issei_schema::Actor;

use crate::settings::Settings;

/// Clients, clock and dice, and what is made of them.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    pub(crate) clock: Clock,
    dice: Dice,
}

impl Parts {
    /// Connected as the standard AWS environment says.
    pub(crate) async fn connect(settings: &Settings) -> Self {
        let clients = issei_aws::connect(&settings.timing()).await;
        Self::with(settings.clone(), clients, Clock::system(), Dice::system())
    }

    pub(crate) fn with(settings: Settings, clients: Clients, clock: Clock, dice: Dice) -> Self {
        Self { settings, clients, clock, dice }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let keep = Duration::from_secs(self.settings.ledger_days * 86_400);
        Ledger::new(self.clients.dynamodb.clone(), self.settings.table.clone(), self.clock.clone(), keep)
    }

    async fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        Queue::find(self.clients.sqs.clone(), name, self.dice.clone()).await.context("a queue that issei needs can't be found")
    }

    pub(crate) async fn commands_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.commands_queue).await
    }

    pub(crate) async fn chunks_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.chunks_queue).await
    }

    pub(crate) async fn feedback_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.feedback_queue).await
    }

    pub(crate) async fn feedback(&self) -> anyhow::Result<Feedback> {
        let settings = &self.settings;
        let options = issei_feedback::Options {
            limits: Limits {
                bounce_rate_max: settings.bounce_rate_max,
                complaint_rate_max: settings.complaint_rate_max,
                recipients_min: settings.rate_recipients_min,
                events_min: settings.rate_events_min,
            },
            rules: Rules { wait: Duration::from_secs(settings.evidence_wait_s), neighbours_min: settings.evidence_neighbours_min },
            sweep_every: Duration::from_millis(settings.sweep_every_ms),
            timing: settings.timing(),
        };
        let (events, chunks, actor) = (self.feedback_queue().await?, self.chunks_queue().await?, service_actor("feedback")?);
        let (ses, clock, dice) = (self.clients.ses.clone(), self.clock.clone(), self.dice.clone());
        Ok(Feedback::new(self.ledger(), events, chunks, ses, clock, dice, actor, options))
    }

    pub(crate) async fn producer(&self) -> anyhow::Result<Producer> {
        let options = issei_producer::Options {
            audiences: self.settings.audiences.clone(),
            page_size: self.settings.page_size,
            chunk_size: self.settings.chunk_size,
            timing: self.settings.timing(),
            close_every: Duration::from_millis(self.settings.close_every_ms),
        };
        let (commands, chunks) = (self.commands_queue().await?, self.chunks_queue().await?);
        let actor = service_actor("producer")?;
        Ok(Producer::new(self.ledger(), commands, chunks, self.clients.ses.clone(), self.clock.clone(), self.dice.clone(), actor, options))
    }

    pub(crate) async fn consumer(&self) -> anyhow::Result<Arc<Consumer>> {
        let key = std::env::var("ISSEI_ADDRESS_HASH_KEY").unwrap_or_else(|_| self.dice.token());
        let options = issei_consumer::Options {
            configuration_set: self.settings.configuration_set.clone(),
            chunks_in_flight: self.settings.chunks_in_flight,
            rate_ceiling: (self.settings.rate_ceiling > 0.0).then_some(self.settings.rate_ceiling),
            max_failures_in_a_row: self.settings.max_failures_in_a_row,
            timing: self.settings.timing(),
            address_hash: AddressHash::new(key.as_bytes()),
        };
        let actor = service_actor("consumer")?;
        let queue = self.chunks_queue().await?;
        Ok(Consumer::new(self.ledger(), queue, self.clients.ses.clone(), self.clock.clone(), self.dice.clone(), actor, options))
    }

    /// Who runs this command, for the audit trail: whom the credentials belong to. Where STS does not
    /// tell, whom the machine takes them for.
    pub(crate) async fn operator(&self) -> anyhow::Result<Actor> {
        let name = match self.clients.caller().await {
            Ok(arn) => arn,
            Err(error) => {
                tracing::warn!(error, "STS does not say who you are; the audit trail names the user of this machine");
                let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown user".to_owned());
                format!("{user} on {}", host())
            }
        };
        Actor::try_from(name).map_err(anyhow::Error::msg)
    }
}

/// The name of a service in the audit trail: which, and on which machine.
fn service_actor(service: &str) -> anyhow::Result<Actor> {
    let version = env!("CARGO_PKG_VERSION");
    Actor::try_from(format!("issei {service} {version} on {}, process {}", host(), std::process::id())).map_err(anyhow::Error::msg)
}

fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_else(|| "unknown host".to_owned())
}
