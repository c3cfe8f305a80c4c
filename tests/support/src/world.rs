//! Everything in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{AwsCall, Clients, Message, Queue, Timing};
use issei_clock::{Clock, Dice};
use issei_consumer::Consumer;
use issei_feedback::{Feedback, Handled, Limits, Rules};
use issei_ledger::{Broadcast, Incarnation, Ledger, OnCall, Outcome, RecipientOutcome, ServiceKind, Totals};
use issei_producer::{Approvals, AudienceConfig, Producer, Repairer};
use issei_provider::{Known, Providers, Ses, SnsTrust, WebhookKeys};
use issei_schema::{AddressHash, BroadcastCommand, BroadcastId, ChunkVersion, ProviderName, Traces, UnsubscribeKeys};
use issei_sim::{Account, Cloud, Fault, Options, Rule, StoreKind, connector};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::patience::{seen, until};
use crate::users::Users;

/// Few enough that also a small audience lies in several partitions.
const ROWS_A_SHARD: u64 = 30;

/// How a world is made.
#[derive(Clone)]
pub struct WorldOptions {
    pub users: u32,
    pub page_size: usize,
    pub chunk_size: u32,
    pub account: Account,
    pub max_receives: u32,
    pub seed: u64,
    pub max_failures_in_a_row: u32,
    pub skipped_share_max: f64,
    /// Who else must agree, by the producer's configuration.
    pub approvals: Approvals,
    pub timing: Timing,
    pub limits: Limits,
    pub rules: Rules,
    pub sns_trust: SnsTrust,
    pub webhooks: BTreeMap<String, WebhookKeys>,
    /// The newest version of chunk messages that its consumers read.
    pub reads: ChunkVersion,
    pub traces: Traces,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            users: 100,
            page_size: 30,
            chunk_size: 10,
            account: Account { keep_mails: true, ..Account::default() },
            max_receives: 10,
            seed: 1,
            max_failures_in_a_row: 10,
            skipped_share_max: 0.05,
            approvals: Approvals::default(),
            limits: Limits { bounce_rate_max: 0.02, complaint_rate_max: 0.0005, recipients_min: 1_000, events_min: 5 },
            rules: Rules { wait: Duration::from_hours(1), neighbours_min: 20 },
            sns_trust: SnsTrust::WherePresent(None),
            webhooks: BTreeMap::new(),
            reads: ChunkVersion::NEWEST,
            traces: Traces::NONE,
            // Real time passes in these tests, so the timeouts that they wait for are short, but none so short
            // that a busy machine passes it. None decides an outcome: where one must be over, a test says so
            // to the clock.
            timing: Timing {
                send: Duration::from_secs(4),
                permit_life: Duration::from_secs(6),
                ledger: Duration::from_secs(4),
                lease: Duration::from_secs(12),
                handler: Duration::from_secs(13),
                visibility: Duration::from_secs(78),
                request_lifetime: Duration::ZERO,
            },
        }
    }
}

/// A simulated account, a user table, and what is needed to run services on them.
pub struct World {
    pub cloud: Arc<Cloud>,
    pub clients: Clients,
    pub users: Users,
    pub audiences: BTreeMap<String, AudienceConfig>,
    pub unsubscribe_keys: UnsubscribeKeys,
    /// What its consumers send by.
    pub providers: Providers,
    /// What its producers know of.
    pub known: BTreeMap<ProviderName, Known>,
    pub options: WorldOptions,
    /// Rows of an audience for each of the ledger's partitions.
    pub rows_a_shard: u64,
    clock: Clock,
    /// By which AWS dates its answers.
    aws: Clock,
}

impl World {
    pub async fn new(options: WorldOptions) -> Self {
        let users = Users::new(options.users).await;
        let audiences = [("users".to_owned(), users.audience())].into();
        let aws = Clock::starting_at(Clock::system().wall());
        let cloud =
            Cloud::new(Options { clock: aws.clone(), seed: options.seed, store: StoreKind::Memory, account: options.account.clone() })
                .unwrap();
        let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &options.timing).await;
        let world = Self {
            cloud,
            providers: Providers::new(Ses::new(clients.ses.clone(), "issei")),
            known: Known::ses(),
            clients,
            users,
            audiences,
            unsubscribe_keys: UnsubscribeKeys::new(),
            options,
            rows_a_shard: ROWS_A_SHARD,
            clock: Clock::system(),
            aws,
        };
        world.set_up().await;
        world
    }

    async fn set_up(&self) {
        self.ledger().ensure_table().await.unwrap();
        for name in ["commands", "chunks", "feedback"] {
            let dead = self.clients.sqs.create_queue().queue_name(format!("{name}-dead")).call().await.unwrap().queue_url.unwrap();
            let arn = self
                .clients
                .sqs
                .get_queue_attributes()
                .queue_url(&dead)
                .attribute_names(QueueAttributeName::QueueArn)
                .call()
                .await
                .unwrap();
            let arn = arn.attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
            let redrive = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": self.options.max_receives }).to_string();
            let create = self.clients.sqs.create_queue().queue_name(name);
            let create = create.attributes(QueueAttributeName::RedrivePolicy, redrive);
            let visibility = self.options.timing.visibility.as_secs().to_string();
            create.attributes(QueueAttributeName::VisibilityTimeout, visibility).call().await.unwrap();
        }
        self.clients.ses.create_configuration_set().configuration_set_name("issei").call().await.unwrap();
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// What is started from now on believes that it is so much later.
    pub fn later(&mut self, by: SignedDuration) {
        self.clock = Clock::starting_at(self.clock.wall().saturating_add(by).unwrap());
    }

    /// It is so much later, for AWS too.
    pub fn pass(&mut self, by: SignedDuration) {
        self.aws.step_wall(by);
        self.later(by);
    }

    /// Somebody sets the wall clock of the machine that all of this runs on, which has one since [`World::later`].
    pub fn step_wall(&self, by: SignedDuration) {
        self.clock.step_wall(by);
    }

    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger_in("ledger").with_rows_a_shard(self.rows_a_shard)
    }

    /// A ledger in another table.
    #[must_use]
    pub fn ledger_in(&self, table: &str) -> Ledger {
        Ledger::new(self.clients.dynamodb.clone(), table.to_owned(), self.clock.clone(), Dice::system(), Duration::from_hours(2160))
    }

    /// A table that somebody else has made.
    pub async fn create_table(&self, name: &str) {
        let mut create = self.clients.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            create = create.attribute_definitions(attribute.build().unwrap());
            create = create.key_schema(KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap());
        }
        create.call().await.unwrap();
    }

    pub async fn queue(&self, name: &str) -> Queue {
        Queue::find(self.clients.sqs.clone(), name, Dice::seeded(self.options.seed)).await.unwrap()
    }

    #[must_use]
    pub fn ses(&self) -> Ses {
        Ses::new(self.clients.ses.clone(), "issei")
    }

    pub async fn producer(&self) -> Producer {
        let options = issei_producer::Options {
            audiences: self.audiences.clone(),
            unsubscribe_keys: self.unsubscribe_keys.keys().cloned().collect(),
            providers: self.known.clone(),
            page_size: self.options.page_size,
            rate_ceiling: None,
            chunk_size: self.options.chunk_size,
            timing: self.options.timing,
            max_receives: self.options.max_receives,
            require_rehearsal: false,
            skipped_share_max: self.options.skipped_share_max,
            test_recipients: "tester.example.org".to_owned(),
            approvals: self.options.approvals.clone(),
            close_every: Duration::from_millis(50),
            traces: self.options.traces,
            spool_dir: std::env::temp_dir(),
        };
        let (commands, chunks) = (self.queue("commands").await, self.queue("chunks").await);
        Producer::new(
            self.ledger(),
            commands,
            chunks,
            Providers::new(self.ses()),
            self.clock.clone(),
            Dice::system(),
            self.incarnation(ServiceKind::Producer),
            options,
        )
    }

    pub async fn consumer(&self) -> Arc<Consumer> {
        let options = issei_consumer::Options {
            chunks_in_flight: 20,
            rate_ceiling: None,
            max_failures_in_a_row: self.options.max_failures_in_a_row,
            timing: self.options.timing,
            address_hash: AddressHash::new(b"test"),
            unsubscribe_keys: self.unsubscribe_keys.clone(),
            reads: self.options.reads,
            traces: self.options.traces,
        };
        let queue = self.queue("chunks").await;
        Consumer::new(
            self.ledger(),
            queue,
            &self.providers,
            self.clock.clone(),
            Dice::system(),
            self.incarnation(ServiceKind::Consumer),
            options,
        )
    }

    /// Calls a consumer with messages, as a function is called: the ledger hears of it first. Gives the ids of those
    /// that must come again.
    pub async fn call(&self, consumer: &Consumer, messages: Vec<Message>, stop: &CancellationToken) -> Vec<String> {
        let mut on_call = OnCall::new(self.ledger(), self.queue("chunks").await, consumer.incarnation().clone());
        on_call.call(stop, async |_, token| consumer.handle_for_source(messages, &token).await).await.unwrap()
    }

    pub async fn feedback(&self) -> Feedback {
        let options = issei_feedback::Options {
            limits: self.options.limits,
            rules: self.options.rules,
            canary_wait: Duration::from_mins(15),
            sweep_every: Duration::from_millis(200),
            timing: self.options.timing,
            address_hash: AddressHash::new(b"test"),
            sns_trust: self.options.sns_trust.clone(),
            webhooks: self.options.webhooks.clone(),
        };
        let (events, chunks) = (self.queue("feedback").await, self.queue("chunks").await);
        Feedback::new(
            self.ledger(),
            events,
            chunks,
            Arc::new(self.ses()),
            self.clients.web.clone(),
            self.clock.clone(),
            Dice::system(),
            self.incarnation(ServiceKind::Feedback),
            options,
        )
    }

    fn incarnation(&self, service: ServiceKind) -> Incarnation {
        let (actor, text) = ("a service in a test".parse().unwrap(), str::to_owned);
        Incarnation::new(service, actor, Dice::system().token(), text("0"), text("build"), text("settings"), &self.options.timing)
    }

    /// Takes from a broadcast what an older build, which knows no log of events and no packed message ids, does not write when it registers one.
    pub async fn as_an_older_build_registered(&self, id: &str) {
        let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
        let update = self.clients.dynamodb.update_item().table_name("ledger").key("pk", text(format!("b#{id}")));
        update.key("sk", text("broadcast".to_owned())).update_expression("REMOVE logs_events, packs_message_ids").call().await.unwrap();
    }

    /// What SES says of a letter to whoever is at this place of a chunk, by which it tells whose an event is.
    pub async fn tags(&self, id: &str, chunk: u32, at: usize) -> serde_json::Value {
        let registration: Vec<String> = self.broadcast(id).await.letter_mark().into_iter().collect();
        serde_json::json!({ "broadcast": [id], "chunk": [chunk.to_string()], "recipient": [at.to_string()], "registration": registration })
    }

    /// Takes every event that waits, as one batch of the feedback consumer after another.
    pub async fn take_events(&self) {
        let (feedback, queue) = (self.feedback().await, self.queue("feedback").await);
        loop {
            let messages = queue.receive(10, Duration::ZERO).await.unwrap();
            if messages.is_empty() {
                return;
            }
            let handled = feedback.handle_batch(&messages).await;
            for (message, handled) in messages.iter().zip(handled) {
                match handled {
                    Handled::Done => queue.delete_batch(vec![message.receipt.clone()]).await.unwrap(),
                    Handled::Bury(reason) => queue.bury(message, &reason).await.unwrap(),
                    Handled::Again => {}
                }
            }
        }
    }

    pub async fn repairer(&self) -> Repairer {
        Repairer::new(self.ledger(), self.queue("commands").await, self.queue("chunks").await)
    }

    /// Drops a command, or anything else, on the commands queue.
    pub async fn post(&self, body: &str) {
        self.queue("commands").await.send(body, Duration::ZERO).await.unwrap();
    }

    pub async fn post_command(&self, command: &BroadcastCommand) {
        self.post(&command.to_body()).await;
    }

    /// Runs a producer and `consumers` consumers until `is_over` says so of the broadcast.
    pub async fn run_until(&self, id: &str, consumers: usize, is_over: impl Fn(&Broadcast) -> bool) -> Broadcast {
        let stop = CancellationToken::new();
        let services = self.start_some(&stop, consumers).await;
        let broadcast = self.wait_until(id, is_over).await;
        stop.cancel();
        services.join_all().await;
        broadcast
    }

    /// Runs a producer and two consumers until the exact counts are so.
    pub async fn run_until_counted(&self, id: &str, is_so: impl Fn(Totals) -> bool) {
        let stop = CancellationToken::new();
        let services = self.start(&stop).await;
        let id: BroadcastId = id.parse().unwrap();
        until(format!("the counts of {id} are so"), async || {
            let broadcast = self.ledger().find_broadcast(&id).await.unwrap();
            let Some(broadcast) = broadcast else { return false };
            self.ledger().tally(&broadcast).await.is_ok_and(|tally| is_so(tally.totals()))
        })
        .await;
        stop.cancel();
        services.join_all().await;
    }

    /// Runs a producer and kills it in the midst of the transaction after so many: the first registers a broadcast, and each further
    /// one freezes a page.
    pub async fn kill_a_producer_after(&self, transactions: u64) {
        self.cloud.inject(Rule::every("TransactWriteItems", Fault::HangBefore).after(transactions).times(1));
        let producer = self.producer().await;
        let victim = tokio::spawn(async move { producer.run(CancellationToken::new()).await });
        self.cloud.hanging().wait_for(|hanging| *hanging > 0).await.unwrap();
        victim.abort();
        let _ = victim.await;
    }

    /// Starts a producer and two consumers.
    pub async fn start(&self, stop: &CancellationToken) -> JoinSet<()> {
        self.start_some(stop, 2).await
    }

    async fn start_some(&self, stop: &CancellationToken, consumers: usize) -> JoinSet<()> {
        let mut services = JoinSet::new();
        let (producer, token) = (self.producer().await, stop.clone());
        services.spawn(async move { producer.run(token).await });
        for _ in 0..consumers {
            services.spawn(self.consumer().await.run(stop.clone()));
        }
        services
    }

    /// Runs everything until the broadcast is complete or stopped.
    pub async fn run_to_the_end(&self, id: &str) -> Broadcast {
        self.run_until(id, 2, |broadcast| broadcast.broadcast_state.is_over()).await
    }

    /// Waits for a state of the broadcast that others bring about.
    pub async fn wait_until(&self, id: &str, is_so: impl Fn(&Broadcast) -> bool) -> Broadcast {
        let id: BroadcastId = id.parse().unwrap();
        seen(format!("{id} is so"), async || self.ledger().find_broadcast(&id).await.ok().flatten().filter(|broadcast| is_so(broadcast)))
            .await
    }

    pub async fn broadcast(&self, id: &str) -> Broadcast {
        self.ledger().broadcast(&id.parse().unwrap()).await.unwrap()
    }

    /// Every recipient with their outcome, as the ledger lists them.
    pub async fn outcomes(&self, id: &str) -> Vec<RecipientOutcome> {
        let broadcast = self.broadcast(id).await;
        let (mut outcomes, log) = (Vec::new(), self.ledger().event_log(&broadcast).await.unwrap());
        for seq in 0..broadcast.pages {
            outcomes.extend(self.ledger().page_outcomes(&broadcast.placed(), seq, &log).await.unwrap());
        }
        outcomes
    }

    /// The addresses whom the ledger lists as in doubt.
    pub async fn in_doubt(&self, id: &str) -> Vec<String> {
        let outcomes = self.outcomes(id).await.into_iter();
        let in_doubt = outcomes.filter(|recipient| matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open)));
        in_doubt.filter_map(|recipient| Some(recipient.recipient?.address.as_str().to_owned())).collect()
    }

    /// What lies in a dead-letter queue: bodies with their reasons.
    pub async fn dead_letters(&self, queue: &str) -> Vec<(String, String)> {
        let url = self.clients.sqs.get_queue_url().queue_name(format!("{queue}-dead")).call().await.unwrap().queue_url.unwrap();
        let mut letters = Vec::new();
        loop {
            let receive = self
                .clients
                .sqs
                .receive_message()
                .queue_url(&url)
                .max_number_of_messages(10)
                .message_attribute_names("All")
                .visibility_timeout(600);
            let messages = receive.call().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return letters;
            }
            letters.extend(messages.into_iter().map(|message| {
                let reason = message.message_attributes.unwrap_or_default().remove("reason").and_then(|reason| reason.string_value);
                (message.body.unwrap_or_default(), reason.unwrap_or_default())
            }));
        }
    }

    /// No message waits or is in flight in the commands queue.
    pub async fn assert_commands_drained(&self) {
        until("no command is left", async || self.queue("commands").await.depths().await.unwrap()[..2] == [0, 0]).await;
    }

    /// How often one operation has been called so far.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> u64 {
        self.cloud.counts().iter().filter(|((_, called), _)| called == operation).map(|(_, calls)| calls).sum()
    }

    /// How many calls AWS has got so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.cloud.counts().values().sum()
    }

    /// Every user's address.
    pub async fn addresses(&self) -> Vec<String> {
        self.users.all().await.into_iter().filter_map(|(_, address)| address).collect()
    }

    /// No message waits or is in flight in the chunks queue.
    pub async fn assert_drained(&self) {
        until("no message is left", async || self.queue("chunks").await.depths().await.unwrap()[..2] == [0, 0]).await;
    }
}
