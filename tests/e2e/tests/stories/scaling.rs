//! The model of `issei-scale` held against the real services under virtual time: what their calls cost, and how long they take
//! where nothing but the calls takes any time. Where the services change, this says that the model has not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{AwsCall, Clients, Queue, Timing};
use issei_clock::{Clock, Dice};
use issei_consumer::Consumer;
use issei_ledger::{Asked, Broadcast, Chunk, Claimed, Granted, Incarnation, Ledger, Outcome, Registered, ServiceKind, Under};
use issei_producer::{AudienceConfig, MemoryTable, Producer};
use issei_provider::{Known, Providers, Ses};
use issei_scale::{Bound, Cpu, Latency, Setup, Table, cost};
use issei_schema::{AddressHash, BroadcastCommand, ChunkVersion, Traces, UnsubscribeKeys};
use issei_sim::{Account, Cloud, Options, StoreKind, connector};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const TIMING: Timing = Timing {
    send: Duration::from_secs(5),
    permit_life: Duration::from_secs(8),
    ledger: Duration::from_secs(5),
    lease: Duration::from_secs(20),
    handler: Duration::from_secs(30),
    visibility: Duration::from_mins(3),
    request_lifetime: Duration::from_mins(5),
};

struct World {
    cloud: Arc<Cloud>,
    clients: Clients,
    clock: Clock,
}

impl World {
    async fn new(rate: f64) -> Self {
        let clock = Clock::starting_at("2026-11-26T00:00:00Z".parse().unwrap());
        let account = Account { max_send_rate: rate, max_24_hour_send: 1e9, ..Account::default() };
        let cloud = Cloud::new(Options { clock: clock.clone(), seed: 1, store: StoreKind::Memory, account }).unwrap();
        let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &TIMING).await;
        let world = Self { cloud, clients, clock };
        world.ledger(0).ensure_table().await.unwrap();
        for name in ["commands-dead", "chunks-dead", "commands", "chunks"] {
            let create = world.clients.sqs.create_queue().queue_name(name);
            let redrive =
                json!({ "deadLetterTargetArn": format!("arn:aws:sqs:us-east-1:000000000000:{name}-dead"), "maxReceiveCount": 20 });
            let create =
                if name.ends_with("dead") { create } else { create.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string()) };
            create.attributes(QueueAttributeName::VisibilityTimeout, "180").call().await.unwrap();
        }
        world.clients.ses.create_configuration_set().configuration_set_name("issei").call().await.unwrap();
        world
    }

    fn ledger(&self, seed: u64) -> Ledger {
        Ledger::new(self.clients.dynamodb.clone(), "ledger".to_owned(), self.clock.clone(), Dice::seeded(seed), Duration::from_hours(2160))
    }

    async fn queue(&self, name: &str) -> Queue {
        Queue::find(self.clients.sqs.clone(), name, Dice::seeded(2)).await.unwrap()
    }

    fn ses(&self) -> Ses {
        Ses::new(self.clients.ses.clone(), "issei")
    }

    fn incarnation(service: ServiceKind, number: u64) -> Incarnation {
        let text = |text: &str| text.to_owned();
        let actor = format!("{} {number}", service.as_str()).parse().unwrap();
        Incarnation::new(service, actor, Dice::seeded(number).token(), text("0"), text("build"), text("settings"), &TIMING)
    }

    async fn producer(&self, users: i64, page: usize) -> Producer {
        let memory = MemoryTable::default();
        (0..users).for_each(|user| memory.put(user, Some(&format!("user{user:07}@example.com")), &["Somebody"]));
        let (key, address, columns) = ("id".to_owned(), "email".to_owned(), vec!["name".to_owned()]);
        let audience = AudienceConfig { key, address, columns, memory: Some(memory), ..AudienceConfig::default() };
        let options = issei_producer::Options {
            audiences: [("users".to_owned(), audience)].into(),
            unsubscribe_keys: BTreeSet::new(),
            providers: Known::ses(),
            page_size: page,
            rate_ceiling: None,
            chunk_size: 50,
            timing: TIMING,
            max_receives: 20,
            require_rehearsal: false,
            skipped_share_max: 0.05,
            test_recipients: String::new(),
            approvals: issei_producer::Approvals::default(),
            close_every: Duration::from_hours(1),
            traces: Traces::NONE,
            spool_dir: std::env::temp_dir(),
        };
        let (commands, chunks) = (self.queue("commands").await, self.queue("chunks").await);
        let run = Self::incarnation(ServiceKind::Producer, 1_000_000);
        Producer::new(self.ledger(3), commands, chunks, Providers::new(self.ses()), self.clock.clone(), Dice::seeded(4), run, options)
    }

    async fn consumer(&self, number: u64, in_flight: usize) -> Arc<Consumer> {
        let options = issei_consumer::Options {
            chunks_in_flight: in_flight,
            rate_ceiling: None,
            max_failures_in_a_row: 10,
            timing: TIMING,
            address_hash: AddressHash::new(b"scale"),
            unsubscribe_keys: UnsubscribeKeys::new(),
            reads: ChunkVersion::NEWEST,
            traces: Traces::NONE,
        };
        let (run, dice) = (Self::incarnation(ServiceKind::Consumer, number), Dice::seeded(number));
        Consumer::new(self.ledger(number), self.queue("chunks").await, &Providers::new(self.ses()), self.clock.clone(), dice, run, options)
    }

    fn calls(&self, service: &'static str, operation: &str) -> u64 {
        self.cloud.counts().get(&(service, operation.to_owned())).copied().unwrap_or_default()
    }

    fn written(&self) -> u64 {
        self.cloud.usage_of("test").units.written
    }
}

fn terms() -> BroadcastCommand {
    let body = json!({
        "version": 1,
        "broadcast_id": "terms",
        "audience": "users",
        "content": { "inline": { "subject": "Terms for {{name}}", "text": "Dear {{name}}, new terms.", "html": "<p>Dear {{name}}</p>" } },
        "from": "Example <no-reply@example.com>",
        "max_recipients": 1_000_000,
        "not_after": "2026-11-27T00:00:00Z",
        "requested_by": "a test",
    });
    BroadcastCommand::parse(&body.to_string()).unwrap()
}

/// How a broadcast of the real services went.
struct Went {
    frozen: f64,
    sending: f64,
    written: f64,
}

async fn went(setup: &Setup) -> Went {
    let world = World::new(setup.rate).await;
    world.queue("commands").await.send(&terms().to_body(), Duration::ZERO).await.unwrap();
    let never = CancellationToken::new();
    let (mut services, clock) = (tokio::task::JoinSet::new(), world.clock.clone());
    let producer = world.producer(i64::try_from(setup.recipients).unwrap(), usize::try_from(setup.page_recipients).unwrap()).await;
    for number in 0..setup.consumers {
        let consumer = world.consumer(u64::from(number) + 10, usize::try_from(setup.chunks_in_flight).unwrap()).await;
        services.spawn(clock.clone().awake(consumer.run(never.clone())));
    }
    // They have said that they are there, and wait for messages.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Half of it before its effect and half of it after; a millisecond less in the mean.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let latency = setup.latency.ledger_ms as u64 + 1;
    world.cloud.configure(|account| account.latency_ms = latency);
    let (before, registered) = (world.written(), world.calls("dynamodb", "TransactWriteItems") + 1);
    services.spawn(clock.clone().awake(async move { producer.run(never).await }));
    let moment = async |what: &dyn Fn() -> bool| {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        clock.now()
    };
    let began = moment(&|| world.calls("dynamodb", "TransactWriteItems") > registered).await;
    let enqueues = moment(&|| world.calls("sqs", "SendMessageBatch") > 0).await;
    let sent = moment(&|| world.cloud.accepted() >= setup.recipients).await;
    // And confirmed.
    tokio::time::sleep(Duration::from_millis(latency * 2)).await;
    Went {
        frozen: (enqueues - began).as_secs_f64(),
        sending: (sent - enqueues).as_secs_f64(),
        written: f64::from(u32::try_from(world.written() - before).unwrap()),
    }
}

fn setup(recipients: u64, consumers: u32, in_flight: u32, rate: f64) -> Setup {
    Setup {
        recipients,
        chunk_recipients: 50,
        page_recipients: 2_000,
        // The simulator lets through whatever comes, to partitions and to tables.
        shards: 100,
        consumers,
        chunks_in_flight: in_flight,
        latency: Latency::all(Duration::from_millis(20)),
        cpu: Cpu::NONE,
        rate,
        table: Table { writes: 1e9 },
    }
}

/// What each call costs is what the model says that it costs.
#[tokio::test(start_paused = true)]
async fn a_call_costs_what_the_model_says() {
    let world = World::new(1e6).await;
    let ledger = world.ledger(0);
    let registered = ledger.register(&terms(), 50, false, &Asked::default(), &Dice::seeded(7)).await.unwrap();
    assert!(matches!(registered, Registered::New(_)), "{registered:?}");
    let producer = world.producer(2_000, 2_000).await;
    world.queue("commands").await.send(&terms().to_body(), Duration::ZERO).await.unwrap();
    let before = world.written();
    let working = tokio::spawn(world.clock.clone().awake(async move { producer.run(CancellationToken::new()).await }));
    let id = terms().broadcast_id;
    let broadcast = loop {
        let broadcast = ledger.broadcast(&id).await.unwrap();
        if Broadcast::is_enqueued(&broadcast) {
            break broadcast;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let frozen = world.written() - before;
    working.abort();
    let of = broadcast.registration();
    let costs = async |what: &str, expected: f64, before: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let cost = (world.written() - before) as f64;
        assert!((cost - expected).abs() < 0.5, "{what} costs {cost}, and {expected} by the model");
    };
    let at = world.written();
    let granted = ledger.grant(&of, broadcast.epoch, (50, 50), None, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
    costs("a grant", cost::BROADCAST, at).await;
    let message = ledger.page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    let at = world.written();
    let owner = World::incarnation(ServiceKind::Consumer, 1).mark(&Dice::seeded(1).token());
    let claimed = ledger.claim(&message, &of, &Chunk::Absent, owner, TIMING.lease, &Under::default()).await.unwrap();
    let Claimed::Ours(mut claim) = claimed else { panic!("{claimed:?}") };
    costs("a claim", cost::CLAIM, at).await;
    // As SES's are: the moment, 32 digits at random, and a counter.
    let dice = Dice::seeded(50);
    for at in 0..50 {
        let random = dice.token().replace('-', "");
        let (a, rest) = random.split_at(8);
        let id = format!("0100019a1b2c3d4e-{a}-{}-{}-{}-{}-000000", &rest[..4], &rest[4..8], &rest[8..12], &rest[12..24]);
        claim.settle(at, Outcome::Accepted, Some(&id));
    }
    let at = world.written();
    ledger.confirm(&mut claim).await.unwrap();
    costs("a confirmation", cost::confirm(50), at).await;
    let (page, of_broadcast) = cost::page(2_000);
    // Rows that are all alike take less than those by which the model goes; and the steps around them are some units.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let frozen = frozen as f64;
    assert!(
        (of_broadcast + 2.0..page + of_broadcast + 10.0).contains(&frozen),
        "a page costs {frozen}, and {} by the model",
        page + of_broadcast
    );
}

/// Freezing, enqueuing and sending take as long as the model says, whatever holds them up.
#[tokio::test(start_paused = true)]
async fn a_broadcast_takes_as_long_as_the_model_says() {
    let mut wrong = Vec::new();
    for (setup, bound) in [
        (setup(40_000, 1, 20, 1e6), Some(Bound::Places)),
        (setup(40_000, 4, 20, 8_000.0), None),
        (setup(20_000, 2, 60, 1e6), Some(Bound::Places)),
    ] {
        let (real, told) = (went(&setup).await, issei_scale::run(&setup));
        let by = (setup.consumers, setup.chunks_in_flight, setup.rate);
        let mut compared = |what: &str, real: f64, model: f64, within: f64| {
            println!("{by:?} {what}: {real:.3}, by the model {model:.3}");
            if (real / model - 1.0).abs() > within {
                wrong.push(format!("{by:?} {what}: {real:.3}, and {model:.3} by the model"));
            }
        };
        compared("frozen", real.frozen, told.frozen_s, 0.15);
        // The end, when few permits are left, is a large part of so few: by the model it takes longer than it does.
        compared("sending", real.sending, told.sending_s, 0.35);
        compared("write units", real.written, told.write_units, 0.15);
        if bound.is_some_and(|bound| bound != told.bound) {
            wrong.push(format!("{by:?} held up by {:?}, and not by {bound:?}: {:?}", told.bound, told.uses));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A small version of the table of `docs/performance.md`.
#[test]
fn where_it_bends_is_told() {
    let big = |consumers| Setup {
        recipients: 1_000_000,
        shards: 20,
        consumers,
        rate: 800_000.0,
        latency: Latency::all(Duration::from_millis(20)),
        cpu: Cpu::MEASURED,
        ..setup(0, 1, 20, 0.0)
    };
    let (few, many) = (issei_scale::run(&big(2)), issei_scale::run(&big(20)));
    assert_eq!((few.bound, many.bound), (Bound::Places, Bound::Enqueuing), "{few:?} {many:?}");
    assert!(many.most_s < few.most_s / 3.0, "{many:?}");
    let new = issei_scale::run(&Setup { table: Table { writes: 1_000.0 }, ..big(20) });
    assert_eq!(new.bound, Bound::Table, "{new:?}");
    // The same in every run.
    assert!((issei_scale::run(&big(2)).sent_s - few.sent_s).abs() < f64::EPSILON);
}
