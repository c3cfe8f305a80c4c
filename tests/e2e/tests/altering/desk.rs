//! Four broadcasts that are over, a hand that writes into their ledger, and a certifier.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::AwsCall;
use issei_certificate::{Carriers, Certifier, Wanted};
use issei_clock::{Clock, Dice};
use issei_ledger::{Broadcast, BroadcastState, RunMark, ServiceKind, Sought, Transition};
use issei_schema::Actor;
use issei_sim::{Account, Events, Fault, Rule};
use issei_test_support::{World, WorldOptions, command};
use tokio_util::sync::CancellationToken;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// How a broadcast ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Complete, with every event.
    Done,
    /// Complete, with ten recipients in doubt.
    Doubt,
    /// Stopped in its midst.
    Halted,
    /// Complete, and then the first of its second page was forgotten.
    Forgot,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Done, Self::Doubt, Self::Halted, Self::Forgot];

    fn id(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Doubt => "doubt",
            Self::Halted => "halted",
            Self::Forgot => "forgot",
        }
    }
}

/// What a hand does to items, which are named by their sort keys.
pub(crate) enum Change {
    Set(&'static str, &'static str, fn(Option<&AttributeValue>) -> AttributeValue),
    Unset(&'static str, &'static str),
    Gone(&'static str),
    /// Everything but the keys.
    Swapped(&'static str, &'static str),
    /// The second becomes what the first is.
    Copied(&'static str, &'static str),
}

pub(crate) struct Desk {
    certifier: Certifier,
    db: aws_sdk_dynamodb::Client,
    /// Chunks that items are named by: one with somebody in doubt; in the stopped one, one that was sent, and
    /// one that nobody claimed.
    named: [(&'static str, u32); 3],
    /// Of the heartbeats of who claimed the fourth chunk of the first broadcast, and who was its producer.
    runs: HashMap<&'static str, Item>,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
        let account = Account { events, ..Account::default() };
        let world = World::new(WorldOptions { account, ..WorldOptions::default() }).await;
        for (name, seconds) in [
            ("commands", 86_400),
            ("chunks", 86_400),
            ("feedback", 86_400),
            ("commands-dead", 172_800),
            ("chunks-dead", 172_800),
            ("feedback-dead", 172_800),
        ] {
            let url = world.clients.sqs.get_queue_url().queue_name(name).call().await.unwrap().queue_url.unwrap();
            let set = world.clients.sqs.set_queue_attributes().queue_url(url);
            let set = set.attributes(QueueAttributeName::MessageRetentionPeriod, seconds.to_string());
            set.attributes(QueueAttributeName::SqsManagedSseEnabled, "true").call().await.unwrap();
        }
        world.users.execute("UPDATE users SET email = NULL WHERE id = 50").await;
        for kind in Kind::ALL {
            run(&world, kind).await;
        }
        let certifier = Certifier {
            ledger: world.ledger(),
            clients: world.clients.clone(),
            carriers: Carriers { known: world.known.clone(), connected: world.providers.clone() },
            clock: Clock::system(),
            dice: Dice::system(),
            wanted: Wanted {
                table: "ledger".to_owned(),
                queues: ["commands", "chunks", "feedback"].map(str::to_owned),
                timing: world.options.timing,
                ledger_days: 90,
            },
            actor: "somebody".parse().unwrap(),
            version: "0".to_owned(),
        };
        let db = world.clients.dynamodb.clone();
        let named = [("doubt", Kind::Doubt, Some('d')), ("sent", Kind::Halted, Some('a')), ("unclaimed", Kind::Halted, None)];
        let mut desk = Self { certifier, db, named: named.map(|(name, ..)| (name, u32::MAX)), runs: HashMap::new() };
        for (place, (name, kind, letter)) in named.into_iter().enumerate() {
            for seq in 0..10 {
                let outcomes = desk.read(kind, &format!("chunk#{seq:08}"), &mut Vec::new()).await.1.remove("outcomes");
                let outcomes = outcomes.map(|outcomes| outcomes.as_s().unwrap().clone());
                let is_it = letter.map_or(outcomes.is_none(), |letter| outcomes.is_some_and(|outcomes| outcomes.contains(letter)));
                if is_it {
                    desk.named[place] = (name, seq);
                }
            }
        }
        let query = desk.db.query().table_name("ledger").key_condition_expression("pk = :users");
        let said = query.expression_attribute_values(":users", AttributeValue::S("said#users".to_owned())).call().await.unwrap();
        let is_of_done = |item: &Item| item["by"].as_l().unwrap()[0].as_m().unwrap()["broadcast_id"].as_s().unwrap() == Kind::Done.id();
        let said = said.items.unwrap().into_iter().find(is_of_done).unwrap();
        desk.runs.insert("said", ["pk", "sk"].map(|part| (part.to_owned(), said[part].clone())).into());
        let query = desk.db.query().table_name("ledger").key_condition_expression("pk = :log");
        let log = query.expression_attribute_values(":log", AttributeValue::S(format!("b#{}#events", Kind::Forgot.id())));
        let log = log.call().await.unwrap().items.unwrap().into_iter().find(|item| item.contains_key("delivered")).unwrap();
        desk.runs.insert("log", ["pk", "sk"].map(|part| (part.to_owned(), log[part].clone())).into());
        let owner = desk.read(Kind::Done, "chunk#00000003", &mut Vec::new()).await.1.remove("owner_token").unwrap();
        let claimed_by = RunMark::read(owner.as_s().unwrap()).unwrap().token;
        for run in world.ledger().heartbeats(world.now()).await.unwrap() {
            let key = |kind: &str| {
                let text = |text: String| AttributeValue::S(text);
                let day = run.seen_at.as_second().div_euclid(86_400);
                [("pk".to_owned(), text(format!("services#{day}"))), ("sk".to_owned(), text(format!("{kind}#{}", run.token)))].into()
            };
            if run.token == claimed_by {
                desk.runs.insert("run of chunk", key("consumer"));
            }
            // The longest seen stands last: the producer of the first broadcast.
            if run.service == ServiceKind::Producer {
                desk.runs.insert("run of page", key("producer"));
            }
        }
        desk
    }

    /// What stands against convergence, but for the queues, which a glance does not watch.
    pub(crate) async fn against(&self, kind: Kind) -> String {
        let certificate = match self.certifier.glance(&kind.id().parse().unwrap()).await {
            Ok(certificate) => certificate,
            Err(error) => return format!("no certificate: {error}"),
        };
        let against = certificate.against().filter(|finding| !finding.value.starts_with("not watched"));
        against.map(|finding| format!("{}: {}", finding.what, finding.value)).collect::<Vec<_>>().join("; ")
    }

    /// Applies changes, and gives the items as they were.
    pub(crate) async fn apply(&self, kind: Kind, changes: &[Change]) -> Vec<(Item, Option<Item>)> {
        let mut before = Vec::new();
        for change in changes {
            match change {
                Change::Set(name, attribute, to) => {
                    let (key, mut item) = self.read(kind, name, &mut before).await;
                    let value = to(item.get(*attribute));
                    item.insert((*attribute).to_owned(), value);
                    self.put(key, item).await;
                }
                Change::Unset(name, attribute) => {
                    let (key, mut item) = self.read(kind, name, &mut before).await;
                    assert!(item.remove(*attribute).is_some(), "{name} has no {attribute}");
                    self.put(key, item).await;
                }
                Change::Gone(name) => {
                    let (key, _) = self.read(kind, name, &mut before).await;
                    assert!(before.last().is_some_and(|(_, item)| item.is_some()), "there is no {name}");
                    self.db.delete_item().table_name("ledger").set_key(Some(key)).call().await.unwrap();
                }
                Change::Swapped(one, other) => {
                    let (one, other) = (self.read(kind, one, &mut before).await, self.read(kind, other, &mut before).await);
                    self.put(one.0, other.1).await;
                    self.put(other.0, one.1).await;
                }
                Change::Copied(from, to) => {
                    let (_, item) = self.read(kind, from, &mut before).await;
                    let (key, _) = self.read(kind, to, &mut before).await;
                    self.put(key, item).await;
                }
            }
        }
        before
    }

    pub(crate) async fn restore(&self, before: Vec<(Item, Option<Item>)>) {
        // The last first: an item that was changed twice ends as it was before the first change.
        for (key, item) in before.into_iter().rev() {
            match item {
                Some(item) => self.put(key, item).await,
                None => {
                    self.db.delete_item().table_name("ledger").set_key(Some(key)).call().await.unwrap();
                }
            }
        }
    }

    /// An item without its keys, by its name. Notes it as it was.
    async fn read(&self, kind: Kind, name: &str, before: &mut Vec<(Item, Option<Item>)>) -> (Item, Item) {
        let key = self.key(kind, name);
        let item = self.db.get_item().table_name("ledger").set_key(Some(key.clone())).call().await.unwrap().item;
        before.push((key.clone(), item.clone()));
        let mut item = item.unwrap_or_default();
        item.retain(|attribute, _| attribute != "pk" && attribute != "sk");
        (key, item)
    }

    async fn put(&self, key: Item, mut item: Item) {
        item.extend(key);
        self.db.put_item().table_name("ledger").set_item(Some(item)).call().await.unwrap();
    }

    fn key(&self, kind: Kind, name: &str) -> Item {
        if let Some(key) = self.runs.get(name) {
            return key.clone();
        }
        let id = kind.id();
        let named = name.split_once('#').and_then(|(of, name)| {
            let (_, seq) = self.named.iter().find(|(known, _)| *known == name)?;
            Some(format!("{of}#{seq:08}"))
        });
        let name = named.as_deref().unwrap_or(name);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let (pk, sk) = match name {
            "known" | "open" | "told" => (name.to_owned(), id.to_owned()),
            // Where no build looks: the broadcast's own partition, one that it has not, and another than its own.
            "astray" => (format!("b#{id}"), "chunk#00000003".to_owned()),
            "beyond" => (format!("b#{id}#07"), "chunk#00000007".to_owned()),
            "misplaced" => (format!("b#{id}#00"), "chunk#00000003".to_owned()),
            "lineage" | "closing" => ("ledger".to_owned(), name.to_owned()),
            _ => match name.rsplit_once('#').and_then(|(of, seq)| Some((of, seq.parse::<u32>().ok()?))) {
                // The hundred rows of this world lie in four partitions.
                Some(("page" | "chunk" | "feedback", seq)) => (format!("b#{id}#{:02}", seq % 4), name.to_owned()),
                _ => (format!("b#{id}"), name.to_owned()),
            },
        };
        [("pk".to_owned(), text(&pk)), ("sk".to_owned(), text(&sk))].into()
    }
}

/// Runs a broadcast to its end, and takes its events.
async fn run(world: &World, kind: Kind) {
    let id = kind.id();
    match kind {
        Kind::Done | Kind::Forgot => {}
        // It breaks before its effect: nobody can tell, and no event will. A full chunk, whichever is sent first.
        Kind::Doubt => world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetBefore).holding("user000030@").times(1)),
        Kind::Halted => world.cloud.configure(|account| account.max_send_rate = 40.0),
    }
    let before = world.cloud.accepted();
    world.post_command(&command(id, |_| {})).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    if kind == Kind::Halted {
        while world.cloud.accepted() < before + 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let actor: Actor = "an operator".parse().unwrap();
        let wanted = Transition { to: BroadcastState::Stopping, actor: &actor, reason: "a test" };
        world.ledger().transition(&id.parse().unwrap(), wanted).await.unwrap();
    }
    let ended = world.wait_until(id, |broadcast: &Broadcast| broadcast.broadcast_state.is_over()).await;
    world.assert_drained().await;
    stop.cancel();
    services.join_all().await;
    // So the events of some stand in their chunks' items, and those of one in the log.
    if kind != Kind::Forgot {
        world.as_an_older_build_registered(id).await;
    }
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    if kind == Kind::Forgot {
        let (ledger, id) = (world.ledger(), id.parse().unwrap());
        let placed = ledger.broadcast(&id).await.unwrap().placed();
        let who = ledger.page(&placed, 1).await.unwrap().known_recipients().next().unwrap().key.to_string();
        let forgotten = ledger.forget(&id, 1, &Sought::new(&who), &"an operator".parse().unwrap(), "a test").await;
        assert_eq!(forgotten.unwrap(), 1);
    }
    match (kind, ended.broadcast_state, ended.totals) {
        (Kind::Done | Kind::Forgot, BroadcastState::Complete, Some(totals)) => assert_eq!(totals.in_doubt, 0, "{totals:?}"),
        (Kind::Doubt, BroadcastState::Complete, Some(totals)) => assert_eq!(totals.in_doubt, 10, "{totals:?}"),
        (Kind::Halted, BroadcastState::Stopped, _) => assert!((20..99).contains(&(world.cloud.accepted() - before))),
        other => panic!("{other:?}"),
    }
}
