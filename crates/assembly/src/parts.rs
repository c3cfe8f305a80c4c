//! The parts that commands are put together from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use issei_aws::{Account, Clients, Queue};
use issei_clock::{Clock, Dice};
use issei_consumer::Consumer;
use issei_feedback::{Feedback, Limits, Rules};
use issei_ledger::{Incarnation, Ledger, ServiceKind};
use issei_producer::{AudienceConfig, Producer};
use issei_provider::{Exported, Known, Provider, Providers, Ses, WebhookKeys};
use issei_schema::{Actor, AddressHash, ChunkVersion, ProviderName};
use sha2::{Digest, Sha256};

use crate::settings::{Fetched, KeySource, Layer, Settings};
use crate::traces;

/// Clients, clock and dice, and what is made of them.
#[derive(Clone)]
pub struct Parts {
    pub settings: Settings,
    pub clients: Clients,
    pub clock: Clock,
    pub dice: Dice,
    /// Who may carry broadcasts, beside those of the settings.
    others: Vec<(ProviderName, Arc<dyn Provider>)>,
}

impl Parts {
    /// Connected as flags and the standard AWS environment say.
    pub async fn connect(settings: &Settings) -> Self {
        let clients = issei_aws::connect(&settings.account, &settings.timing()).await;
        Self::with(settings.clone(), clients, Clock::system(), Dice::system())
    }

    #[must_use]
    pub fn with(mut settings: Settings, clients: Clients, clock: Clock, dice: Dice) -> Self {
        settings.audiences.values_mut().for_each(|audience| audience.read_by(&clients));
        Self { settings, clients, clock, dice, others: Vec::new() }
    }

    /// With a provider that no configuration names.
    #[must_use]
    pub fn with_provider(mut self, name: ProviderName, provider: Arc<dyn Provider>) -> Self {
        self.others.push((name, provider));
        self
    }

    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let keep = Duration::from_secs(self.settings.ledger_days * 86_400);
        Ledger::new(self.clients.dynamodb.clone(), self.settings.table.clone(), self.clock.clone(), self.dice.clone(), keep)
    }

    async fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        Queue::find(self.clients.sqs.clone(), name, self.dice.clone()).await.context("a queue that issei needs can't be found")
    }

    pub async fn commands_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.commands_queue).await
    }

    pub async fn chunks_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.chunks_queue).await
    }

    pub async fn feedback_queue(&self) -> anyhow::Result<Queue> {
        self.queue(&self.settings.feedback_queue).await
    }

    pub async fn feedback(&self) -> anyhow::Result<Feedback> {
        self.feedback_of(
            self.incarnation(ServiceKind::Feedback)?,
            self.settings.webhook_keys(&self.fetched(|_, webhooks| webhooks.iter().collect()).await)?,
        )
        .await
    }

    /// The feedback consumer's own code, for events that somebody brings in a file and answers for; never for the queue.
    ///
    /// # Errors
    /// A queue can't be found, or a setting has no meaning.
    pub async fn importer(&self, actor: Actor) -> anyhow::Result<Feedback> {
        let brought = |kind: Exported| (kind.facts().title.to_owned(), WebhookKeys::Brought(kind));
        self.feedback_of(self.incarnation_by(ServiceKind::Feedback, actor)?, Exported::ALL.map(brought).into()).await
    }

    async fn feedback_of(&self, incarnation: Incarnation, webhooks: BTreeMap<String, WebhookKeys>) -> anyhow::Result<Feedback> {
        let settings = &self.settings;
        let options = issei_feedback::Options {
            limits: Limits {
                bounce_rate_max: settings.bounce_rate_max,
                complaint_rate_max: settings.complaint_rate_max,
                recipients_min: settings.rate_recipients_min,
                events_min: settings.rate_events_min,
            },
            rules: Rules { wait: Duration::from_secs(settings.evidence_wait_s), neighbours_min: settings.evidence_neighbours_min },
            canary_wait: Duration::from_secs(settings.canary_wait_s),
            sweep_every: Duration::from_millis(settings.sweep_every_ms),
            timing: settings.timing(),
            address_hash: self.address_hash(),
            sns_trust: settings.sns_trust()?,
            webhooks,
        };
        let (events, chunks) = (self.feedback_queue().await?, self.chunks_queue().await?);
        let (publisher, web, clock, dice) = (Arc::new(self.ses()), self.clients.web.clone(), self.clock.clone(), self.dice.clone());
        Ok(Feedback::new(self.ledger(), events, chunks, publisher, web, clock, dice, incarnation, options))
    }

    fn address_hash(&self) -> AddressHash {
        let key = std::env::var("ISSEI_ADDRESS_HASH_KEY").unwrap_or_else(|_| self.dice.token());
        AddressHash::new(key.as_bytes())
    }

    pub async fn producer(&self) -> anyhow::Result<Producer> {
        let options = issei_producer::Options {
            audiences: self.settings.audiences.clone(),
            unsubscribe_keys: self.settings.unsubscribe_key_names(),
            providers: self.known_providers(),
            page_size: self.settings.page_size,
            rate_ceiling: self.rate_ceiling(),
            chunk_size: self.settings.chunk_size,
            timing: self.settings.timing(),
            max_receives: self.settings.max_receives,
            require_rehearsal: self.settings.require_rehearsal,
            skipped_share_max: self.settings.skipped_share_max,
            test_recipients: self.settings.test_recipients.clone(),
            approvals: self.settings.approvals_wanted()?,
            close_every: Duration::from_millis(self.settings.close_every_ms),
            traces: traces::HOOKS,
            spool_dir: self.settings.spool_directory(),
        };
        let (commands, chunks) = (self.commands_queue().await?, self.chunks_queue().await?);
        let incarnation = self.incarnation(ServiceKind::Producer)?;
        // Of the others the configuration says what a producer must know.
        let (providers, clock, dice) = (Providers::new(self.ses()), self.clock.clone(), self.dice.clone());
        Ok(Producer::new(self.ledger(), commands, chunks, providers, clock, dice, incarnation, options))
    }

    /// Recipients a second at most, where that is set.
    #[must_use]
    pub fn rate_ceiling(&self) -> Option<f64> {
        (self.settings.rate_ceiling > 0.0).then_some(self.settings.rate_ceiling)
    }

    pub async fn consumer(&self) -> anyhow::Result<Arc<Consumer>> {
        let kept = Fetched::of(&self.clients.secrets, self.settings.unsubscribe_keys.values()).await;
        let options = issei_consumer::Options {
            chunks_in_flight: self.settings.chunks_in_flight,
            rate_ceiling: self.rate_ceiling(),
            max_failures_in_a_row: self.settings.max_failures_in_a_row,
            timing: self.settings.timing(),
            address_hash: self.address_hash(),
            unsubscribe_keys: self.settings.unsubscribe_keys(&kept)?,
            reads: ChunkVersion::NEWEST,
            traces: traces::HOOKS,
        };
        let incarnation = self.incarnation(ServiceKind::Consumer)?;
        let queue = self.chunks_queue().await?;
        Ok(Consumer::new(self.ledger(), queue, &self.providers().await?, self.clock.clone(), self.dice.clone(), incarnation, options))
    }

    /// SES, as the configuration set that is configured.
    #[must_use]
    pub fn ses(&self) -> Ses {
        Ses::new(self.clients.ses.clone(), &self.settings.configuration_set)
    }

    /// Who may carry broadcasts, and whose keys are at hand.
    ///
    /// # Errors
    /// Names a variable whose value is no key, or a secret that can't be read. A service that lacks it for a moment is
    /// started again; one that went on without would let the provider's broadcasts wait until somebody looks.
    pub async fn providers(&self) -> anyhow::Result<Providers> {
        let (providers, lacking) = self.providers_at_hand().await;
        match lacking.into_values().next() {
            None => Ok(providers),
            Some(error) => Err(error),
        }
    }

    /// The same for whoever only looks: those whose keys can't be had, with the reason.
    pub async fn providers_at_hand(&self) -> (Providers, BTreeMap<ProviderName, anyhow::Error>) {
        let fetched = self.fetched(|key, _| vec![key]).await;
        let (mut providers, mut lacking) = (Providers::new(self.ses()), BTreeMap::new());
        for (name, connected) in self.settings.connected_providers(&self.clients.web, &fetched) {
            match connected {
                Ok(provider) => providers = providers.with(name, provider),
                Err(error) => _ = lacking.insert(name, error),
            }
        }
        let others = self.others.iter().cloned();
        (others.fold(providers, |all, (name, provider)| all.with(name, provider)), lacking)
    }

    /// What the secrets hold that are named as keys, of those that are wanted of each provider.
    pub async fn fetched<'a>(&'a self, wanted: impl Fn(&'a KeySource, &'a [KeySource]) -> Vec<&'a KeySource>) -> Fetched {
        let keys = self.settings.keys_of_providers().flat_map(|(_, key, webhooks)| wanted(key, webhooks));
        Fetched::of(&self.clients.secrets, keys).await
    }

    /// Who may carry a broadcast, with what must be known to prepare one.
    #[must_use]
    pub fn known_providers(&self) -> BTreeMap<ProviderName, Known> {
        let mut known = self.settings.known_providers();
        known.extend(
            self.others
                .iter()
                .map(|(name, provider)| (name.clone(), Known { facts: provider.facts(), rate: None, carried_by: provider.carried_by() })),
        );
        known
    }

    /// A token that nobody can guess.
    #[must_use]
    pub fn token(&self) -> String {
        self.dice.token()
    }

    /// This run of a service. In the audit trail: which, and on which machine.
    fn incarnation(&self, service: ServiceKind) -> anyhow::Result<Incarnation> {
        let name = format!("issei {} {VERSION} on {}, process {}", service.as_str(), host(), std::process::id());
        self.incarnation_by(service, Actor::try_from(name).map_err(anyhow::Error::msg)?)
    }

    fn incarnation_by(&self, service: ServiceKind, actor: Actor) -> anyhow::Result<Incarnation> {
        let (settings, timing) = (self.settings.digest(), self.settings.timing());
        let run = Incarnation::new(service, actor, self.dice.token(), VERSION.to_owned(), build_digest()?, settings, &timing);
        Ok(run.telling(self.settings.told()))
    }
}

impl Settings {
    /// For whoever reads audiences without the rest: with those connected that are in AWS. Where there is none,
    /// nothing is asked of AWS.
    #[must_use]
    pub async fn with_audiences(mut self) -> Self {
        if self.audiences.values().any(AudienceConfig::is_in_aws) {
            let clients = issei_aws::connect(&self.account, &self.timing()).await;
            self.audiences.values_mut().for_each(|audience| audience.read_by(&clients));
        }
        self
    }
}

/// Clients for whoever has no configuration yet.
pub async fn connected(account: &Account) -> Clients {
    issei_aws::connect(account, &Settings::of(Layer::default(), Layer::default()).timing()).await
}

/// The version that this build belongs to.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What tells this executable from every other: two runs with the same one did the same thing. The linker's
/// build id, which is a digest over what it linked; where it left none, the file's own digest, which takes
/// as long as reading it.
fn build_digest() -> anyhow::Result<String> {
    let path = std::env::current_exe().context("this executable can't be found")?;
    let digest = match build_id_of(&path) {
        Some(id) => Ok(id),
        None => digest_of(&path),
    };
    digest.with_context(|| format!("this executable, {}, can't be read", path.display()))
}

fn build_id_of(path: &Path) -> Option<String> {
    let cache = object::ReadCache::new(std::fs::File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    let id = object::Object::build_id(&file).ok().flatten().map(hex::encode);
    id.or_else(|| object::Object::mach_uuid(&file).ok().flatten().map(hex::encode))
}

fn digest_of(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (std::fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_else(|| "unknown host".to_owned())
}
