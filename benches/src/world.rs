//! What one run has to itself: a server, a directory with a configuration, clients for whoever looks on.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use issei_aws::{AwsCall, Clients, Timing};
use issei_clock::{Clock, Dice};
use issei_ledger::{Broadcast, BroadcastState, Ledger};
use issei_schema::BroadcastId;
use jiff::SignedDuration;
use serde_json::json;
use tempfile::TempDir;

use crate::audience::Users;
use crate::process::Measured;
use crate::server::Server;
use crate::{Options, Order};

pub(crate) const CHUNKS: &str = "issei-chunks";
pub(crate) const FEEDBACK: &str = "issei-feedback";
/// Where events lie until they are put into another order.
pub(crate) const EVENTS: &str = "events";
pub(crate) const TABLE: &str = "issei-ledger";
pub(crate) const CONFIGURATION_SET: &str = "issei";
const BROADCAST: &str = "terms-2026-11";
/// How often is looked whether something is over.
const LOOK: Duration = Duration::from_millis(10);
/// Longer than anything takes, at any size.
const STUCK: Duration = Duration::from_mins(20);

/// As issei's own defaults.
const TIMING: Timing = Timing {
    send: Duration::from_secs(5),
    permit_life: Duration::from_secs(8),
    lease: Duration::from_secs(20),
    handler: Duration::from_secs(30),
    visibility: Duration::from_secs(200),
    ledger: Duration::from_secs(5),
    request_lifetime: Duration::from_mins(5),
};

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) clients: Clients,
    pub(crate) clock: Clock,
    issei: PathBuf,
    this: PathBuf,
    directory: TempDir,
    ledger: Ledger,
}

/// Clients of a process that is measured: as the environment says.
pub(crate) async fn clients() -> Clients {
    issei_aws::connect(&issei_aws::Account::default(), &TIMING).await
}

impl World {
    /// A fresh account with issei's queues and ledger, and a configuration that names the users.
    pub(crate) async fn new(options: &Options, users: &Users) -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let issei = match &options.issei {
            Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
            None => this.with_file_name("issei"),
        };
        let events = match options.events {
            Order::AsSent => Some(FEEDBACK),
            Order::Random => Some(EVENTS),
            Order::None => None,
        };
        let server = Server::start(&this, options.latency, options.rate, events)?;
        let clients = issei_aws::connect_to(&server.url, None, &TIMING).await;
        clients.sqs.create_queue().queue_name(EVENTS).call().await?;
        let clock = Clock::system();
        let ledger = Ledger::new(clients.dynamodb.clone(), TABLE.to_owned(), clock.clone(), Dice::system(), Duration::from_hours(24));
        let directory = tempfile::tempdir()?;
        let (settings, Users { url, table, .. }) = (options.setting.join("\n"), users);
        let config = format!(
            "table = \"{TABLE}\"\nchunks_queue = \"{CHUNKS}\"\nfeedback_queue = \"{FEEDBACK}\"\nconfiguration_set = \"{CONFIGURATION_SET}\"\n\
             close_every_ms = 1000\n{settings}\n\n[audiences.users]\nurl = \"{url}\"\ntable = \"{table}\"\nkey = \"id\"\naddress = \"email\"\n\
             columns = [\"name\", \"plan\"]\n"
        );
        std::fs::write(directory.path().join("issei.toml"), config)?;
        let world = Self { server, clients, clock, issei, this, directory, ledger };
        let setup = world.surrounded(Command::new(&world.issei).arg("setup"), "setup").stdout(Stdio::null()).status()?;
        if !setup.success() {
            bail!("`{} setup` failed", world.issei.display());
        }
        Ok(world)
    }

    fn surrounded<'a>(&self, command: &'a mut Command, key: &str) -> &'a mut Command {
        command
            .current_dir(self.directory.path())
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.server.url)
    }

    /// Starts a service of issei, under its own name as access key.
    pub(crate) fn start(&self, service: &str) -> anyhow::Result<Measured> {
        let log = std::fs::File::create(self.directory.path().join(format!("{service}.log")))?;
        Measured::start(self.surrounded(Command::new(&self.issei).arg(service), service).stderr(log))
    }

    /// Starts another part of the benchmark.
    pub(crate) fn start_part(&self, part: &str, arguments: &[&str]) -> anyhow::Result<Measured> {
        Measured::start(self.surrounded(Command::new(&self.this).arg(part).args(arguments), part))
    }

    /// The URL of a queue.
    pub(crate) async fn queue(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.clients.sqs.get_queue_url().queue_name(name).call().await?.queue_url.unwrap_or_default())
    }

    /// Drops the command.
    pub(crate) async fn order(&self) -> anyhow::Result<()> {
        let not_after = self.clock.wall().saturating_add(SignedDuration::from_hours(24))?;
        let text = "Dear {{name}},\n\nour terms change on 1 December. On your plan, {{plan}}, nothing else does.\n".repeat(4);
        let html = "<p>Dear {{name}},</p><p>our terms change on 1 December. On your plan, {{plan}}, nothing else does.</p>".repeat(4);
        let command = json!({
            "version": 1, "broadcast_id": BROADCAST, "audience": "users", "from": "Example <no-reply@example.com>",
            "content": { "inline": { "subject": "New terms for {{name}}", "text": text, "html": html } },
            "max_recipients": 10_000_000, "not_after": not_after.to_string(), "requested_by": "the benchmark",
        });
        let queue = self.queue("issei-commands").await?;
        self.clients.sqs.send_message().queue_url(queue).message_body(command.to_string()).call().await?;
        Ok(())
    }

    /// Looks until it is so.
    pub(crate) async fn until(&mut self, what: &str, is: impl AsyncFn(&mut Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let began = self.clock.now();
        while !is(self).await? {
            if self.clock.now().saturating_duration_since(began) > STUCK {
                bail!("{what}: not within {} minutes", STUCK.as_secs() / 60);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn broadcast(&self) -> anyhow::Result<Option<Broadcast>> {
        let id: BroadcastId = BROADCAST.parse().map_err(anyhow::Error::msg)?;
        Ok(self.ledger.find_broadcast(&id).await?)
    }

    /// Says whether every chunk of a frozen audience is on the queue.
    pub(crate) async fn is_enqueued(&self) -> anyhow::Result<bool> {
        let is_enqueued =
            |broadcast: &Broadcast| broadcast.broadcast_state == BroadcastState::Running && broadcast.enqueued_pages == broadcast.pages;
        Ok(self.broadcast().await?.is_some_and(|broadcast| is_enqueued(&broadcast)))
    }

    pub(crate) async fn is_complete(&self) -> anyhow::Result<bool> {
        Ok(self.broadcast().await?.is_some_and(|broadcast| broadcast.broadcast_state == BroadcastState::Complete))
    }

    /// Says whether a queue has nothing left, neither visible nor in hand.
    pub(crate) async fn is_empty(&self, queue: &str) -> anyhow::Result<bool> {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let names =
            [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible, Name::ApproximateNumberOfMessagesDelayed];
        let url = self.queue(queue).await?;
        let answer = self.clients.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec())).call().await?;
        Ok(answer.attributes.unwrap_or_default().values().all(|count| count == "0"))
    }
}
