//! One schedule, from an empty account to the judgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{Clients, Queue, Timing};
use issei_clock::{Clock, Dice, Instant};
use issei_consumer::{AddressHash, Consumer};
use issei_feedback::{Feedback, Limits, Rules};
use issei_ledger::{Broadcast, BroadcastState, Incarnation, Ledger, LedgerError, ServiceKind, Transition};
use issei_producer::{AudienceConfig, MemoryTable, Producer, Repairer};
use issei_schema::{Actor, BroadcastCommand, BroadcastId, ChunkVersion, InDoubtPolicy, Traces};
use issei_sim::{Account, Cloud, Events, Fault, Options, Rule, StoreKind, connector};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::judge::{self, Broken, Stopped, broken};
use crate::plan::{Deed, Plan, WhenHanging};

const ID: &str = "terms";
/// Production's chain of timeouts, shorter: virtual time costs nothing, but the calls made in it do.
const TIMING: Timing = Timing {
    send: Duration::from_secs(1),
    permit_life: Duration::from_millis(1_500),
    ledger: Duration::from_millis(1_500),
    lease: Duration::from_secs(3),
    handler: Duration::from_secs(4),
    visibility: Duration::from_secs(25),
    request_lifetime: Duration::from_secs(5),
};
/// How long, without faults, until everything must be over.
const PATIENCE: Duration = Duration::from_mins(30);
/// Doubt that evidence has not ended by then stays.
const DOUBT_STAYS: Duration = Duration::from_mins(10);
/// An operator who sees nothing move for so long repairs.
const STUCK_AFTER: Duration = Duration::from_secs(90);

/// A schedule that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Over every call, its moment and its fault.
    pub digest: u64,
    pub calls: u64,
    /// Which operations were called.
    pub operations: Vec<String>,
    pub accepted: u64,
    pub state: String,
    pub broken: Option<Broken>,
}

/// Runs one schedule in virtual time.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn run(seed: u64) -> anyhow::Result<Ran> {
    run_plan(seed, Plan::of(seed))
}

/// Runs a schedule in which nothing goes wrong but this: one call hangs, before or after its effect,
/// every service is killed in that moment, and all are started again.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn run_killed_at(call: u64, fault: Fault) -> anyhow::Result<Ran> {
    let mut plan = Plan::calm();
    plan.rules.push(Rule::every("*", fault).after(call).times(1));
    plan.when_hanging = Some(WhenHanging::KillEverything);
    run_plan(call, plan)
}

pub(crate) fn run_plan(seed: u64, plan: Plan) -> anyhow::Result<Ran> {
    // The SDK's jitter comes from this generator of the thread.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let mut world = World::new(seed, plan).await?;
        let broken = world.live().await.err();
        Ok(Ran {
            digest: world.cloud.digest(),
            calls: world.cloud.counts().values().sum(),
            operations: world.cloud.counts().into_keys().map(|(_, operation)| operation).collect(),
            accepted: world.cloud.accepted(),
            state: world.last.as_ref().map_or_else(|| "never registered".to_owned(), |broadcast| broadcast.broadcast_state.to_string()),
            broken,
        })
    })
}

struct World {
    plan: Plan,
    cloud: Arc<Cloud>,
    clients: Clients,
    dice: Dice,
    clock: Clock,
    users: MemoryTable,
    audiences: BTreeMap<String, AudienceConfig>,
    queues: BTreeMap<&'static str, Queue>,
    services: Vec<Option<JoinHandle<()>>>,
    /// Services that are down, until when.
    down: Vec<(Instant, usize)>,
    stop: Option<Stopped>,
    last: Option<Broadcast>,
    /// How many were accepted when it was first seen complete.
    complete_at: Option<u64>,
    other_sent: bool,
}

fn actor(name: &str) -> anyhow::Result<Actor> {
    name.parse().map_err(anyhow::Error::msg)
}

fn address(user: i64) -> String {
    format!("user{user}@example.com")
}

impl World {
    async fn new(seed: u64, plan: Plan) -> anyhow::Result<Self> {
        let origin: Timestamp = "2026-11-24T00:00:00Z".parse()?;
        let clock = Clock::starting_at(origin);
        let events = Events {
            queue: Some("feedback".to_owned()),
            lost: plan.events_lost,
            repeated: plan.events_repeated,
            late_s: plan.events_late_s,
            ..Events::default()
        };
        let account = Account {
            events,
            latency_ms: plan.latency_ms,
            deliveries: plan.deliveries,
            redelivery: plan.redelivery,
            batch_entry_failure: plan.batch_entry_failure,
            ..Account::default()
        };
        let cloud = Cloud::new(Options { clock: clock.clone(), seed, store: StoreKind::Memory, account })?;
        let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &TIMING).await;
        let users = MemoryTable::default();
        (0..plan.users).for_each(|user| users.put(user, Some(&address(user))));
        let audience =
            AudienceConfig { key: "id".to_owned(), address: "email".to_owned(), memory: Some(users.clone()), ..AudienceConfig::default() };
        let audiences = [("users".to_owned(), audience)].into();
        let services = (0..=plan.producers + plan.consumers).map(|_| None).collect();
        let dice = Dice::seeded(seed.wrapping_add(1));
        let mut world = Self {
            plan,
            cloud,
            clients,
            dice,
            clock,
            users,
            audiences,
            queues: BTreeMap::new(),
            services,
            down: Vec::new(),
            stop: None,
            last: None,
            complete_at: None,
            other_sent: false,
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
            create.send().await?;
            let redrive =
                json!({ "deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{name}-dead"), "maxReceiveCount": 20 });
            let create = self.clients.sqs.create_queue().queue_name(name);
            let create = create.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
            let visibility = TIMING.visibility.as_secs().to_string();
            create.attributes(QueueAttributeName::VisibilityTimeout, visibility).send().await?;
            self.queues.insert(name, Queue::find(self.clients.sqs.clone(), name, self.dice.clone()).await?);
        }
        self.clients.ses.create_configuration_set().configuration_set_name("issei").send().await?;
        self.queue("commands")?.send(&self.command("Terms")?.to_body(), Duration::ZERO).await?;
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

    fn command(&self, subject: &str) -> anyhow::Result<BroadcastCommand> {
        let body = json!({
            "version": 1,
            "broadcast_id": ID,
            "audience": "users",
            "content": { "inline": { "subject": subject, "text": "New terms." } },
            "from": "no-reply@example.com",
            "max_recipients": 1_000,
            "not_after": "2026-11-25T12:00:00Z",
            "canary": self.plan.canary,
            "in_doubt": self.plan.policy,
            "requested_by": "a simulation",
        });
        Ok(BroadcastCommand::parse(&body.to_string())?)
    }

    fn id() -> anyhow::Result<BroadcastId> {
        ID.parse().map_err(anyhow::Error::msg)
    }

    /// The clock of a service, whose wall may be off.
    fn clock_of(&self, service: usize) -> Clock {
        let skew = self.plan.skews.get(service).copied().unwrap_or_default();
        Clock::starting_at(self.clock.wall().saturating_add(skew).unwrap_or(Timestamp::MAX))
    }

    fn ledger_of(&self, clock: Clock) -> Ledger {
        Ledger::new(self.clients.dynamodb.clone(), "ledger".to_owned(), clock, Duration::from_hours(2160))
    }

    fn ledger(&self) -> Ledger {
        self.ledger_of(self.clock.clone())
    }

    fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        self.queues.get(name).cloned().context("the queues are made first")
    }

    fn incarnation(&self, service: ServiceKind) -> anyhow::Result<Incarnation> {
        let text = |text: &str| text.to_owned();
        Ok(Incarnation::new(service, actor(service.as_str())?, self.dice.token(), text("0"), text("build"), text("settings")))
    }

    /// Starts a service: the feedback consumer first, then the producers, then the consumers.
    fn start(&mut self, service: usize) -> anyhow::Result<()> {
        let clock = self.clock_of(service);
        let (ledger, dice, ses) = (self.ledger_of(clock.clone()), self.dice.clone(), self.clients.ses.clone());
        let chunks = self.queue("chunks")?;
        let never = CancellationToken::new();
        let handle = if service == 0 {
            let options = issei_feedback::Options {
                limits: Limits { bounce_rate_max: 0.02, complaint_rate_max: 0.0005, recipients_min: 1_000, events_min: 5 },
                rules: Rules { wait: Duration::from_mins(5), neighbours_min: 1 },
                canary_wait: Duration::from_mins(1),
                sweep_every: Duration::from_mins(1),
                timing: TIMING,
            };
            let events = self.queue("feedback")?;
            let feedback = Feedback::new(ledger, events, chunks, ses, clock, dice, self.incarnation(ServiceKind::Feedback)?, options);
            tokio::spawn(async move { feedback.run(never).await })
        } else if service <= self.plan.producers {
            let options = issei_producer::Options {
                audiences: self.audiences.clone(),
                page_size: self.plan.page_size,
                chunk_size: self.plan.chunk_size,
                timing: TIMING,
                require_rehearsal: false,
                close_every: self.plan.close_every,
                traces: Traces::NONE,
            };
            let commands = self.queue("commands")?;
            let producer = Producer::new(ledger, commands, chunks, ses, clock, dice, self.incarnation(ServiceKind::Producer)?, options);
            tokio::spawn(async move { producer.run(never).await })
        } else {
            let options = issei_consumer::Options {
                configuration_set: "issei".to_owned(),
                chunks_in_flight: 4,
                rate_ceiling: None,
                max_failures_in_a_row: 10,
                timing: TIMING,
                address_hash: AddressHash::new(b"simulation"),
                reads: ChunkVersion::NEWEST,
                traces: Traces::NONE,
            };
            let consumer = Consumer::new(ledger, chunks, ses, clock, dice, self.incarnation(ServiceKind::Consumer)?, options);
            tokio::spawn(consumer.run(never))
        };
        if let Some(place) = self.services.get_mut(service) {
            *place = Some(handle);
        }
        Ok(())
    }

    /// Lives through the plan and to the end.
    async fn live(&mut self) -> Result<(), Broken> {
        if let Some(then) = self.plan.when_hanging {
            self.when_hanging(then).await;
        }
        let (began, every) = (self.clock.now(), self.plan.look_every);
        let mut deeds = std::mem::take(&mut self.plan.deeds).into_iter().peekable();
        while self.clock.now() < began + self.plan.calm_after {
            let now = self.clock.now();
            while let Some((_, deed)) = deeds.next_if(|(at, _)| began + *at <= now) {
                self.perform(deed).await;
            }
            self.look().await?;
            let next = deeds.peek().map_or(every, |(at, _)| (began + *at).saturating_duration_since(now)).min(every);
            tokio::time::sleep(next.max(Duration::from_millis(1))).await;
        }
        self.cloud.heal();
        self.cloud.configure(|account| {
            (account.redelivery, account.batch_entry_failure, account.latency_ms) = (0.0, 0.0, 0);
        });
        self.come_to_an_end().await?;
        self.judge().await
    }

    async fn when_hanging(&mut self, then: WhenHanging) {
        let mut hanging = self.cloud.hanging();
        // Beyond the last call of the schedule nothing hangs, and nothing is done.
        let _ = tokio::time::timeout(Duration::from_mins(2), hanging.wait_for(|hanging| *hanging > 0)).await;
        let first = match then {
            WhenHanging::KillEverything => 0,
            WhenHanging::KillConsumers => 1 + self.plan.producers,
            WhenHanging::Stop => return self.perform(Deed::Stop).await,
        };
        for service in first..self.services.len() {
            self.perform(Deed::Crash { service, down_for: Duration::from_secs(1) }).await;
        }
        if then == WhenHanging::KillEverything {
            self.cloud.heal();
        }
    }

    async fn perform(&mut self, deed: Deed) {
        // A deed that fails, by a fault or since the broadcast is not so far, is one not done.
        let _ = match deed {
            Deed::Crash { service, down_for } => {
                if let Some(handle) = self.services.get_mut(service).and_then(Option::take) {
                    handle.abort();
                    let _ = handle.await;
                    self.down.push((self.clock.now() + down_for, service));
                }
                Ok(())
            }
            Deed::Pause => self.transition(BroadcastState::Paused).await,
            Deed::Resume => self.transition(BroadcastState::Running).await,
            Deed::Stop => self.transition(BroadcastState::Stopping).await,
            Deed::Repair => self.repair().await,
            Deed::Redrive => self.redrive().await,
            Deed::Purge => self.purge().await,
            Deed::ShowAll => {
                self.cloud.show_all_messages();
                Ok(())
            }
            Deed::CommandAgain => self.send_command("Terms").await,
            Deed::OtherCommand => {
                self.other_sent = true;
                self.send_command("Other terms").await
            }
            Deed::UserComes(user) => {
                self.users.put(user, Some(&address(user)));
                Ok(())
            }
            Deed::UserGoes(user) => {
                self.users.delete(user);
                Ok(())
            }
            Deed::UserMoves(user) => {
                self.users.put(user, Some(&format!("moved{user}@example.com")));
                Ok(())
            }
        };
    }

    async fn transition(&mut self, to: BroadcastState) -> anyhow::Result<()> {
        let (id, actor) = (Self::id()?, actor("an operator")?);
        let stopped = self.ledger().transition(&id, Transition { to, actor: &actor, reason: "a deed" }).await?;
        if to == BroadcastState::Stopping {
            self.stop = Some(Stopped { at: self.clock.now(), accepted: self.cloud.accepted(), granted: stopped.granted });
        }
        Ok(())
    }

    async fn repair(&self) -> anyhow::Result<()> {
        let repairer = Repairer::new(self.ledger(), self.queue("commands")?, self.queue("chunks")?);
        repairer.repair(&Self::id()?, self.clock.wall(), &actor("an operator")?, "a deed").await?;
        Ok(())
    }

    async fn redrive(&self) -> anyhow::Result<()> {
        self.queue("chunks")?.redrive().await?;
        self.queue("feedback")?.redrive().await?;
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        let url = self.clients.sqs.get_queue_url().queue_name("chunks").send().await?.queue_url.unwrap_or_default();
        self.clients.sqs.purge_queue().queue_url(url).send().await?;
        Ok(())
    }

    async fn send_command(&self, subject: &str) -> anyhow::Result<()> {
        self.queue("commands")?.send(&self.command(subject)?.to_body(), Duration::ZERO).await?;
        Ok(())
    }

    /// Starts what is due, and checks what must hold at any moment.
    async fn look(&mut self) -> Result<(), Broken> {
        let now = self.clock.now();
        let due: Vec<usize> = self.down.iter().filter(|(until, _)| *until <= now).map(|(_, service)| *service).collect();
        self.down.retain(|(until, _)| *until > now);
        for service in due {
            // Nothing is called here, and the parts are there, so it can't fail.
            let _ = self.start(service);
        }
        let found = match Self::id() {
            Ok(id) => self.ledger().find_broadcast(&id).await,
            Err(_) => Ok(None),
        };
        match found {
            Ok(Some(broadcast)) => {
                judge::during(&broadcast, &self.cloud)?;
                let was_over = self.last.as_ref().is_some_and(|last| last.broadcast_state.is_over());
                if was_over && !broadcast.broadcast_state.is_over() {
                    return broken("I7", format!("it was over, and is {}", broadcast.broadcast_state));
                }
                if broadcast.broadcast_state == BroadcastState::Complete && self.complete_at.is_none() {
                    self.complete_at = Some(self.cloud.accepted());
                }
                self.last = Some(broadcast);
                Ok(())
            }
            Err(error @ LedgerError::Corrupt { .. }) => broken("I6", error.to_string()),
            _ => Ok(()),
        }
    }

    /// Nothing goes wrong any more, and the operator does what operators do until it is over.
    async fn come_to_an_end(&mut self) -> Result<(), Broken> {
        let ends = self.clock.now() + PATIENCE;
        let mut moved = self.clock.now();
        let (mut before, mut repaired) = (None, moved);
        loop {
            tokio::time::sleep(Duration::from_secs(6)).await;
            self.look().await?;
            let now = self.clock.now();
            let state = self.last.as_ref().map(|broadcast| broadcast.broadcast_state);
            if state.is_some_and(BroadcastState::is_over) {
                break;
            }
            let sight = (state, self.cloud.accepted(), self.last.as_ref().map(|broadcast| broadcast.pages));
            if before != Some(sight) {
                (before, moved, repaired) = (Some(sight), now, now);
            }
            match state {
                Some(BroadcastState::Paused | BroadcastState::Holding) => {
                    let _ = self.transition(BroadcastState::Running).await;
                }
                // In doubt for good: nobody who was accepted is there to vouch for the events.
                Some(BroadcastState::Running) if now.saturating_duration_since(moved) > DOUBT_STAYS && self.waits_for_evidence().await => {
                    break;
                }
                _ if !self.plan.unattended && now.saturating_duration_since(repaired) > STUCK_AFTER => {
                    repaired = now;
                    let _ = self.redrive().await;
                    if self.repair().await.is_err() && state.is_none() {
                        // The first command's message is lost to nobody; it only waits.
                        let _ = self.send_command("Terms").await;
                    }
                }
                _ => {}
            }
            if now > ends {
                return broken("I2", format!("not over {PATIENCE:?} after the last fault: {:?}", self.last));
            }
        }
        // Whatever may still be about has its chance, and every event and command is read.
        for _ in 0..20 {
            self.cloud.show_all_messages();
            tokio::time::sleep(Duration::from_secs(12)).await;
            if self.is_drained().await {
                break;
            }
        }
        match self.complete_at {
            Some(accepted) if self.cloud.accepted() != accepted => {
                broken("I7", format!("{} were accepted after it was complete", self.cloud.accepted() - accepted))
            }
            _ => Ok(()),
        }
    }

    /// Nothing waits or is in flight on any queue.
    async fn is_drained(&self) -> bool {
        for queue in self.queues.values() {
            if !queue.depths().await.is_ok_and(|[waiting, in_flight, _]| waiting + in_flight == 0) {
                return false;
            }
        }
        true
    }

    async fn waits_for_evidence(&self) -> bool {
        if self.plan.policy != InDoubtPolicy::EvidenceRetry {
            return false;
        }
        let Some(broadcast) = &self.last else { return false };
        let tally = self.ledger().tally(broadcast).await;
        tally.is_ok_and(|tally| {
            let totals = tally.totals();
            totals.in_doubt > 0 && totals.retryable == 0 && totals.accepted + totals.rejected + totals.in_doubt == broadcast.recipients
        })
    }

    async fn judge(&mut self) -> Result<(), Broken> {
        self.look().await?;
        let Some(broadcast) = self.last.clone() else { return broken("I2", "the command was never registered") };
        if let Some(stop) = &self.stop {
            judge::stopped(stop, &self.cloud, TIMING.permit_life)?;
        }
        if self.other_sent {
            let dead = match self.queue("commands") {
                Ok(queue) => queue.depths().await.map_or(0, |[_, _, dead]| dead),
                Err(_) => 0,
            };
            if dead == 0 && broadcast.broadcast_state != BroadcastState::Enumerating {
                return broken("I3", "another command under the same id was not refused");
            }
        }
        let all_events = self.plan.events_lost <= 0.0;
        judge::at_the_end(&self.ledger(), &self.cloud, &broadcast, all_events).await?;
        // By then every lease is over, whatever clock it was written by.
        let later = self.clock.wall().saturating_add(SignedDuration::from_hours(6)).unwrap_or(Timestamp::MAX);
        judge::certified(&self.ledger(), &broadcast, later).await
    }
}
