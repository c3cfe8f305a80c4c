//! The world of a schedule: an account, a user table, the services on them, and their clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{AwsCall, Clients, Queue, Timing};
use issei_clock::{Clock, Dice, Instant};
use issei_consumer::Consumer;
use issei_feedback::{Feedback, Limits, Rules};
use issei_ledger::{Incarnation, Ledger, OnCall, ServiceKind};
use issei_producer::{AudienceConfig, MemoryTable, Producer};
use issei_provider::{Known, Provider, Providers, Ses, SnsTrust};
use issei_schema::{Actor, AddressHash, ChunkVersion, Identity, ProviderName, Traces, UnsubscribeKeys};
use issei_sim::{Account, Backup, Cloud, Events, Options, StoreKind, connector};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::kinds::{Carriers, KEYED, KIND, Wording, kind};
use crate::letters::Listed;
use crate::machines::called;
use crate::plan::Plan;
use crate::remembering::Remembering;
use crate::run::Keyed;
use crate::watched::{ORIGIN, Rival, Watched};

/// The first broadcast, to which others may come.
const ID: &str = "terms";
/// Production's chain of timeouts, shorter: virtual time costs nothing, but the calls made in it do.
pub(crate) const TIMING: Timing = Timing {
    send: Duration::from_secs(1),
    permit_life: Duration::from_millis(1_500),
    ledger: Duration::from_millis(1_500),
    lease: Duration::from_secs(3),
    handler: Duration::from_secs(4),
    visibility: Duration::from_secs(25),
    request_lifetime: Duration::from_secs(5),
};

/// Few enough that also a small audience lies in several partitions.
const ROWS_A_SHARD: u64 = 7;

/// Persons who may approve: whoever asks for everything here, by the number 0, and three others.
pub(crate) const PERSONS: usize = 4;

pub(crate) fn person(number: usize) -> anyhow::Result<Identity> {
    let name = if number == 0 { "AIDA0000000000000000".to_owned() } else { format!("AROA0000000000000000:{number}") };
    name.parse().map_err(anyhow::Error::msg)
}

/// How long an event may be on its way: longer than evidence waits for it.
const EVENTS_AWAY_S: u64 = 1_200;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) clients: Clients,
    /// With the timeouts of those who send.
    senders: Clients,
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) users: MemoryTable,
    pub(crate) audiences: BTreeMap<String, AudienceConfig>,
    pub(crate) queues: BTreeMap<&'static str, Queue>,
    pub(crate) services: Vec<Option<JoinHandle<()>>>,
    /// Services that are down, until when.
    pub(crate) down: Vec<(Instant, usize)>,
    /// The first one is what the operator's deeds are about, in turn with the others.
    pub(crate) watched: Vec<Watched>,
    pub(crate) turn: usize,
    pub(crate) backup: Option<Backup>,
    /// A restored ledger waits for an operator to take it into use.
    pub(crate) epoch_due: bool,
    /// Who has come on the suppression list.
    pub(crate) listed: Vec<Listed>,
    pub(crate) keyed: Keyed,
    /// The clock of each service's machine.
    pub(crate) clocks: BTreeMap<usize, Clock>,
    /// Those whose machine is suspended, until when.
    pub(crate) asleep: Vec<(Instant, usize)>,
    /// Every machine always has a clock that tells how long it was suspended.
    pub(crate) time_is_seen: bool,
}

pub(crate) fn actor(name: &str) -> anyhow::Result<Actor> {
    name.parse().map_err(anyhow::Error::msg)
}

/// What the audience's columns say of a user.
fn columns_of(plan: &Plan, user: i64) -> Vec<&'static str> {
    if plan.kinds.wording == Wording::One { Vec::new() } else { vec![kind(user)] }
}

pub(crate) fn address(user: i64) -> String {
    format!("user{user}@example.com")
}

impl World {
    pub(crate) async fn new(seed: u64, plan: Plan) -> anyhow::Result<Self> {
        let origin: Timestamp = ORIGIN.parse()?;
        let clock = Clock::starting_at(origin);
        let events = Events {
            queue: Some("feedback".to_owned()),
            lost: plan.events_lost,
            repeated: plan.events_repeated,
            away: plan.events_away,
            away_s: EVENTS_AWAY_S,
            late_s: plan.events_late_s,
            ..Events::default()
        };
        let account = Account {
            events,
            latency_ms: plan.latency_ms,
            deliveries: plan.deliveries,
            redelivery: plan.redelivery,
            batch_entry_failure: plan.batch_entry_failure,
            entry_rules: plan.refuses.clone(),
            keep_mails: plan.keeps_mails(),
            signature_lifetime_s: u32::try_from(plan.timing().request_lifetime.as_secs()).ok(),
            // Claims are signed with their permits' moments, and all else by the clock of whoever runs this.
            database_looks_at: plan.keys.map(|_| "owner_token = :owner, attempt = :attempt".to_owned()),
            remembers_keys_s: plan.keys.and_then(|window| u32::try_from(window.as_secs()).ok()),
            ..Account::default()
        };
        let account = plan.max_send_rate.map_or(account.clone(), |rate| Account { max_send_rate: f64::from(rate), ..account });
        let cloud = Cloud::new(Options { clock: clock.clone(), seed, store: StoreKind::Memory, account })?;
        let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &TIMING).await;
        let senders = match &plan.senders {
            Some(timing) => issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), timing).await,
            None => clients.clone(),
        };
        let users = MemoryTable::default();
        (0..plan.users).for_each(|user| users.put(user, Some(&address(user)), &columns_of(&plan, user)));
        (0..plan.unmailable).for_each(|user| users.put(1_000 + user, None, &columns_of(&plan, user)));
        let columns = if plan.kinds.wording == Wording::One { Vec::new() } else { vec![KIND.to_owned()] };
        let (key, address, memory) = ("id".to_owned(), "email".to_owned(), Some(users.clone()));
        let audience = AudienceConfig { key, address, columns, memory, ..AudienceConfig::default() };
        let audiences = [("users".to_owned(), audience)].into();
        let services = (0..=plan.producers + plan.consumers).map(|_| None).collect();
        let dice = Dice::seeded(seed.wrapping_add(1));
        let time_is_seen = plan.time_is_seen();
        let mut world = Self {
            plan,
            cloud,
            clients,
            senders,
            dice,
            clock,
            users,
            audiences,
            queues: BTreeMap::new(),
            services,
            down: Vec::new(),
            watched: Vec::new(),
            turn: 0,
            backup: None,
            epoch_due: false,
            listed: Vec::new(),
            keyed: Keyed::default(),
            clocks: BTreeMap::new(),
            asleep: Vec::new(),
            time_is_seen,
        };
        world.set_up().await?;
        Ok(world)
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        // What is set up takes no time and meets with no fault.
        self.cloud.configure(|account| account.latency_ms = 0);
        self.ledger().ensure_table().await?;
        for name in ["commands", "chunks", "feedback"] {
            let create = self.clients.sqs.create_queue().queue_name(format!("{name}-dead"));
            create.call().await?;
            let redrive =
                json!({ "deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{name}-dead"), "maxReceiveCount": 20 });
            let create = self.clients.sqs.create_queue().queue_name(name);
            let create = create.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
            let visibility = self.plan.timing().visibility.as_secs().to_string();
            create.attributes(QueueAttributeName::VisibilityTimeout, visibility).call().await?;
            self.queues.insert(name, Queue::find(self.clients.sqs.clone(), name, self.dice.clone()).await?);
        }
        self.clients.ses.create_configuration_set().configuration_set_name("issei").call().await?;
        self.ask_for(ID).await?;
        for service in 0..self.services.len() {
            self.start(service)?;
        }
        let latency = self.plan.latency_ms;
        self.cloud.configure(|account| account.latency_ms = latency);
        for rule in std::mem::take(&mut self.plan.rules) {
            self.cloud.inject(rule);
        }
        Ok(())
    }

    /// The clock of a service, whose wall may be off.
    fn clock_of(&self, service: usize) -> Clock {
        let skew = self.plan.skews.get(service).copied().unwrap_or_default();
        Clock::starting_at(self.clock.wall().saturating_add(skew).unwrap_or(Timestamp::MAX))
    }

    /// Sends the command of another broadcast, which is watched from now on.
    pub(crate) async fn ask_for(&mut self, id: &str) -> anyhow::Result<()> {
        self.ask(Watched::new(id, self.watched.len(), &self.plan)?).await
    }

    /// Asks for what another broadcast says, too. Whichever comes first is the broadcast.
    pub(crate) async fn ask_under_another_id(&mut self, first: usize, id: &str, again: bool) -> anyhow::Result<()> {
        let number = self.watched.len();
        let first = self.watched.get_mut(first).context("it is watched")?;
        first.rival = Rival::Asked;
        let mut watched = Watched::new(id, number, &self.plan)?;
        (watched.subject, watched.again, watched.rival) = (first.subject.clone(), again.then_some("a deed"), Rival::Asked);
        self.ask(watched).await
    }

    pub(crate) async fn ask_for_a_copy(&mut self, first: usize, id: &str, user: i64) -> anyhow::Result<()> {
        let copy = self.watched.get(first).context("it is watched")?.copied(id, user, &self.plan)?;
        self.ask(copy).await
    }

    /// Adds a user, or gives one another address.
    pub(crate) fn put_user(&self, user: i64, address: &str) {
        self.users.put(user, Some(address), &columns_of(&self.plan, user));
    }

    async fn ask(&mut self, watched: Watched) -> anyhow::Result<()> {
        let body = watched.command(false)?.to_body();
        self.watched.push(watched.with_listed(&self.listed));
        self.queue("commands")?.send(&body, Duration::ZERO).await?;
        Ok(())
    }

    fn ledger_of(&self, clients: &Clients, clock: Clock) -> Ledger {
        let ledger = Ledger::new(clients.dynamodb.clone(), "ledger".to_owned(), clock, self.dice.clone(), Duration::from_hours(2160));
        ledger.with_rows_a_shard(ROWS_A_SHARD)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger_of(&self.clients, self.clock.clone())
    }

    pub(crate) fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        self.queues.get(name).cloned().context("the queues are made first")
    }

    fn incarnation(&self, service: ServiceKind) -> anyhow::Result<Incarnation> {
        let timing = if service == ServiceKind::Consumer { self.plan.senders.unwrap_or(TIMING) } else { TIMING };
        let text = |text: &str| text.to_owned();
        Ok(Incarnation::new(service, actor(service.as_str())?, self.dice.token(), text("0"), text("build"), text("settings"), &timing))
    }

    /// Starts a service: the feedback consumer first, then the producers, then the consumers.
    pub(crate) fn start(&mut self, service: usize) -> anyhow::Result<()> {
        let clock = self.clock_of(service);
        let machine = clock.clone();
        self.clocks.insert(service, clock.clone());
        let sends = service > self.plan.producers;
        let clients = if sends { &self.senders } else { &self.clients };
        let (ledger, dice, ses) = (self.ledger_of(clients, clock.clone()), self.dice.clone(), Ses::new(clients.ses.clone(), "issei"));
        let chunks = self.queue("chunks")?;
        let never = CancellationToken::new();
        let handle = if service == 0 {
            let options = issei_feedback::Options {
                limits: Limits { bounce_rate_max: 0.02, complaint_rate_max: 0.0005, recipients_min: 1_000, events_min: 5 },
                rules: Rules { wait: Duration::from_mins(5), neighbours_min: 1 },
                canary_wait: Duration::from_mins(1),
                sweep_every: Duration::from_mins(1),
                timing: TIMING,
                address_hash: AddressHash::new(b"simulation"),
                sns_trust: SnsTrust::WherePresent(None),
                webhooks: BTreeMap::new(),
            };
            let events = self.queue("feedback")?;
            let (web, incarnation) = (clients.web.clone(), self.incarnation(ServiceKind::Feedback)?);
            let feedback = Feedback::new(ledger, events, chunks, Arc::new(ses), web, clock, dice, incarnation, options);
            tokio::spawn(machine.awake(async move { feedback.run(never).await }))
        } else if service <= self.plan.producers {
            let mut known = Known::ses();
            if let (Some(window), Carriers::Both { .. }) = (self.plan.keys, self.plan.kinds.carriers) {
                let facts = Remembering::new(ses.clone(), window).facts();
                known.insert(KEYED.parse().map_err(anyhow::Error::msg)?, Known { facts, rate: None, carried_by: None });
            }
            let options = issei_producer::Options {
                audiences: self.audiences.clone(),
                unsubscribe_keys: BTreeSet::new(),
                providers: known,
                page_size: self.plan.page_size,
                rate_ceiling: None,
                chunk_size: self.plan.chunk_size,
                timing: TIMING,
                max_receives: 20,
                require_rehearsal: false,
                skipped_share_max: 0.05,
                test_recipients: String::new(),
                approvals: self.plan.approvals.clone(),
                close_every: self.plan.close_every,
                traces: Traces::NONE,
                spool_dir: std::env::temp_dir(),
            };
            let commands = self.queue("commands")?;
            let producer = Producer::new(
                ledger,
                commands,
                chunks,
                Providers::new(ses),
                clock,
                dice,
                self.incarnation(ServiceKind::Producer)?,
                options,
            );
            tokio::spawn(machine.awake(async move { producer.run(never).await }))
        } else {
            let options = issei_consumer::Options {
                chunks_in_flight: 4,
                rate_ceiling: None,
                max_failures_in_a_row: 10,
                timing: self.plan.senders.unwrap_or(TIMING),
                address_hash: AddressHash::new(b"simulation"),
                unsubscribe_keys: UnsubscribeKeys::new(),
                reads: ChunkVersion::NEWEST,
                traces: Traces::NONE,
            };
            let run = self.incarnation(ServiceKind::Consumer)?;
            let providers = match self.plan.keys {
                None => Providers::new(ses),
                Some(window) => {
                    let both = self.plan.kinds.carriers != Carriers::One;
                    let name = if both { KEYED.parse().map_err(anyhow::Error::msg)? } else { ProviderName::default() };
                    Providers::new(ses.clone()).with(name, Arc::new(Remembering::new(ses, window)))
                }
            };
            let consumer = Consumer::new(ledger.clone(), chunks.clone(), &providers, clock, dice, run.clone(), options);
            match self.plan.on_call {
                None => tokio::spawn(machine.awake(consumer.run(never))),
                Some(held) => tokio::spawn(called(consumer, OnCall::new(ledger, chunks.clone(), run), chunks, machine, held)),
            }
        };
        if let Some(place) = self.services.get_mut(service) {
            *place = Some(handle);
        }
        Ok(())
    }
}
