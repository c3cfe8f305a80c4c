//! The real binary, over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding};
use issei_aws::AwsCall;
use issei_clock::{Clock, Dice};
use issei_sim::{Account, Cloud, Events, Listening, Options, StoreKind, listen};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::names::NameServer;
use crate::patience::{PATIENCE, until};
use crate::users::Users;
use crate::world::WorldOptions;

/// The endpoint for SQS and DynamoDB that the tests were told to use; the simulator where none.
#[must_use]
pub fn aws_url() -> Option<String> {
    std::env::var("ISSEI_TEST_AWS_URL").ok().filter(|url| !url.is_empty())
}

/// Processes of the real binary, with their own queues, table and user table.
pub struct Processes {
    /// SES, and everything else where no emulator was named.
    pub cloud: Arc<Cloud>,
    pub users: Users,
    /// What DNS tells of senders.
    pub names: NameServer,
    directory: TempDir,
    environment: BTreeMap<String, String>,
    listening: Listening,
    /// The endpoint of SQS and DynamoDB.
    aws: String,
}

/// For tests that wait for no timeout: so long that a busy machine passes none.
const STEADY: &str = "send_timeout_ms = 5000\npermit_life_ms = 8000\nledger_timeout_ms = 8000\nlease_ms = 20000\n\
                      handler_timeout_ms = 25000\nvisibility_timeout_s = 150\nrequest_lifetime_s = 1\n";
/// For tests that do: a killed process's messages come back, a certificate watches the queues.
const BRISK: &str = "send_timeout_ms = 2000\npermit_life_ms = 2600\nledger_timeout_ms = 3000\nlease_ms = 5200\n\
                     handler_timeout_ms = 5600\nvisibility_timeout_s = 34\nrequest_lifetime_s = 1\n";

/// A running process. Killed without mercy when dropped.
pub struct Process(Child);

impl Processes {
    pub async fn new(users: u32, account: Account) -> Self {
        Self::over(users, account, aws_url(), STEADY).await
    }

    /// With timeouts that a test can wait for.
    pub async fn brisk(users: u32, account: Account) -> Self {
        Self::over(users, account, aws_url(), BRISK).await
    }

    /// With the simulator for everything, whatever emulator was named: it knows who asked for what.
    pub async fn simulated(users: u32, account: Account) -> Self {
        Self::over(users, account, None, BRISK).await
    }

    async fn over(users: u32, account: Account, aws: Option<String>, timing: &str) -> Self {
        let cloud = Cloud::new(Options { clock: Clock::system(), seed: 1, store: StoreKind::Memory, account }).unwrap();
        let listening = listen(cloud.clone()).await.unwrap();
        let sqs = issei_aws::connect_to(&listening.url(), None, &WorldOptions::default().timing).await.sqs;
        sqs.create_queue().queue_name(Self::EVENTS).call().await.unwrap();
        let users = Users::new(users).await;
        let names = NameServer::start().await;
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "page_size = 30\nchunk_size = 10\n{timing}close_every_ms = 300\n\n\
             [audiences.users]\nurl = \"{}\"\ntable = \"users\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n",
            users.url()
        );
        std::fs::write(directory.path().join("issei.toml"), config).unwrap();
        let other = aws.unwrap_or_else(|| listening.url());
        // Names of their own, so that tests can share an emulator.
        let name = Dice::system().token()[..8].to_owned();
        let environment = [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_SQS", &other),
            ("AWS_ENDPOINT_URL_DYNAMODB", &other),
            ("AWS_ENDPOINT_URL_SESV2", &listening.url()),
            ("AWS_ENDPOINT_URL_STS", &listening.url()),
            ("AWS_ENDPOINT_URL_LAMBDA", &listening.url()),
            ("AWS_ENDPOINT_URL_SNS", &other),
            ("AWS_ENDPOINT_URL_S3", &other),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &other),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("ISSEI_DNS_RESOLVER", names.address()),
            ("ISSEI_TABLE", &format!("ledger-{name}")),
            ("ISSEI_COMMANDS_QUEUE", &format!("commands-{name}")),
            ("ISSEI_CHUNKS_QUEUE", &format!("chunks-{name}")),
            ("ISSEI_FEEDBACK_QUEUE", &format!("feedback-{name}")),
            ("ISSEI_CONFIGURATION_SET", &format!("set-{name}")),
        ];
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let this = Self { cloud, users, names, directory, environment, listening, aws: other };
        this.run(&["setup"]).await;
        this
    }

    /// The queue of the simulated provider's events; none where the account tells nobody.
    const EVENTS: &str = "events";

    /// An account whose provider tells what becomes of each message.
    #[must_use]
    pub fn account_with_events() -> Account {
        Account { events: Events { queue: Some(Self::EVENTS.to_owned()), ..Events::default() }, ..Account::default() }
    }

    /// Carries the provider's events to the feedback queue, as SNS does, until none is left. Gives how
    /// many there were.
    pub async fn carry_events(&self) -> u64 {
        let to = issei_aws::connect_to(&self.aws, None, &WorldOptions::default().timing).await.sqs;
        let name = self.environment.get("ISSEI_FEEDBACK_QUEUE").unwrap();
        let feedback = to.get_queue_url().queue_name(name).call().await.unwrap().queue_url.unwrap();
        self.carry_events_by(async |event| {
            to.send_message().queue_url(&feedback).message_body(event).call().await.unwrap();
        })
        .await
    }

    /// Carries the provider's events until none is left, in some way of one's own. Gives how many there were.
    pub async fn carry_events_by(&self, carry: impl AsyncFn(String)) -> u64 {
        let from = issei_aws::connect_to(&self.listening.url(), None, &WorldOptions::default().timing).await.sqs;
        let events = from.get_queue_url().queue_name(Self::EVENTS).call().await.unwrap().queue_url.unwrap();
        let mut carried = 0;
        loop {
            let received = from.receive_message().queue_url(&events).max_number_of_messages(10).call().await.unwrap();
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return carried;
            }
            for message in messages {
                carry(message.body.unwrap_or_default()).await;
                let receipt = message.receipt_handle.unwrap_or_default();
                from.delete_message().queue_url(&events).receipt_handle(receipt).call().await.unwrap();
                carried += 1;
            }
        }
    }

    /// Empties the chunks queue, as an operator's mistake does.
    pub async fn purge_chunks(&self) {
        let (sqs, url) = self.queue("ISSEI_CHUNKS_QUEUE", "").await;
        sqs.purge_queue().queue_url(url).call().await.unwrap();
    }

    /// Drops any body on the queue that this setting names.
    pub async fn post(&self, setting: &str, body: &str) {
        let (sqs, url) = self.queue(setting, "").await;
        sqs.send_message().queue_url(url).message_body(body).call().await.unwrap();
    }

    /// A message of chunk 0 comes back, long after it was deleted.
    pub async fn return_chunk(&self, broadcast: &str, recipients: &serde_json::Value) {
        let body = serde_json::json!({ "version": 1, "broadcast_id": broadcast, "page": 0, "chunk": 0, "recipients": recipients });
        self.post("ISSEI_CHUNKS_QUEUE", &body.to_string()).await;
    }

    /// Where the simulator listens, whatever emulator was named.
    #[must_use]
    pub fn simulator_url(&self) -> String {
        self.listening.url()
    }

    /// The simulated provider, asked with somebody's own credentials.
    pub async fn provider(&self) -> aws_sdk_sesv2::Client {
        issei_aws::connect_to(&self.listening.url(), None, &WorldOptions::default().timing).await.ses
    }

    /// As whoever may use SES beside issei does.
    pub async fn let_ses_send(&self) {
        let set = self.environment.get("ISSEI_CONFIGURATION_SET").unwrap();
        let switch = self.provider().await.put_configuration_set_sending_options().configuration_set_name(set).sending_enabled(true);
        switch.call().await.unwrap();
    }

    /// A sender that nobody remembers, with its own credentials, tries to send through the configuration
    /// set. Says what SES says to it.
    pub async fn forgotten_sender(&self) -> String {
        use aws_sdk_sesv2::types::{BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, Template};
        let ses = self.provider().await;
        let content = EmailTemplateContent::builder().subject("Terms").text("New terms.").build();
        let template = Template::builder().template_content(content).template_data("{}").build();
        let entry = BulkEmailEntry::builder().destination(Destination::builder().to_addresses("user000001@example.com").build()).build();
        let request = ses
            .send_bulk_email()
            .from_email_address("no-reply@example.com")
            .default_content(BulkEmailContent::builder().template(template).build())
            .configuration_set_name(self.environment.get("ISSEI_CONFIGURATION_SET").unwrap())
            .bulk_email_entries(entry);
        let status = request.call().await.unwrap().bulk_email_entry_results.first().and_then(|result| result.status.clone());
        status.unwrap().as_str().to_owned()
    }

    /// The reasons of everything in the dead-letter queue of the queue that this setting names.
    pub async fn dead_reasons(&self, setting: &str) -> Vec<String> {
        let (sqs, url) = self.queue(setting, "-dead").await;
        let mut reasons = Vec::new();
        loop {
            let receive =
                sqs.receive_message().queue_url(&url).max_number_of_messages(10).message_attribute_names("All").visibility_timeout(600);
            let messages = receive.call().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return reasons;
            }
            reasons.extend(messages.into_iter().map(|message| {
                let reason = message.message_attributes.unwrap_or_default().remove("reason");
                reason.and_then(|reason| reason.string_value).unwrap_or_default()
            }));
        }
    }

    async fn queue(&self, setting: &str, suffix: &str) -> (aws_sdk_sqs::Client, String) {
        let timing = WorldOptions::default().timing;
        let sqs = issei_aws::connect_to(&self.aws, None, &timing).await.sqs;
        let name = format!("{}{suffix}", self.environment.get(setting).unwrap());
        let url = sqs.get_queue_url().queue_name(name).call().await.unwrap().queue_url.unwrap();
        (sqs, url)
    }

    /// A client of the ledger's table, and its name: for those who change it behind issei's back.
    pub async fn table(&self) -> (aws_sdk_dynamodb::Client, String) {
        let timing = WorldOptions::default().timing;
        let clients = issei_aws::connect_to(&self.aws, None, &timing).await;
        (clients.dynamodb, self.environment.get("ISSEI_TABLE").unwrap().clone())
    }

    /// By what the letters of a broadcast name its registration.
    pub async fn letter_mark(&self, id: &str) -> String {
        let (db, table) = self.table().await;
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = db.get_item().table_name(table).key("pk", text(&format!("b#{id}"))).key("sk", text("broadcast"));
        let item = get.call().await.unwrap().item.unwrap();
        let key = item["message_key"].as_b().unwrap().as_ref().try_into().unwrap();
        let mark = issei_schema::MessageKey::new(key).letter_mark();
        item.get("letters_name").map_or_else(|| mark.clone(), |ledger| format!("{mark}-{}", ledger.as_s().unwrap()))
    }

    /// Breaks the item of a broadcast, and puts what is no broadcast into the list of open ones.
    pub async fn break_broadcast(&self, id: &str) {
        let (db, table) = self.table().await;
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = db.update_item().table_name(&table).key("pk", text(&format!("b#{id}"))).key("sk", text("broadcast"));
        let update = update.update_expression("SET in_doubt = :broken").expression_attribute_values(":broken", text("nonsense"));
        update.call().await.unwrap();
        db.put_item().table_name(&table).item("pk", text("open")).item("sk", text("no id!")).call().await.unwrap();
    }

    /// The ledger's table.
    #[must_use]
    pub fn table_name(&self) -> &str {
        self.environment.get("ISSEI_TABLE").unwrap()
    }

    /// As if the ledger had been restored to a moment before the last starts of services.
    pub async fn restore_ledger(&self) {
        let (sqs, url) = self.queue("ISSEI_CHUNKS_QUEUE", "").await;
        sqs.tag_queue().queue_url(url).tags("issei-ledger", "1.1000000").call().await.unwrap();
    }

    /// A client of SQS, and the URL of the queue that this setting names, with `suffix` at its name.
    pub async fn queue_url(&self, setting: &str, suffix: &str) -> (aws_sdk_sqs::Client, String) {
        self.queue(setting, suffix).await
    }

    /// Starts a Lambda function's executable, which fetches its calls from the runtime interface at `api`.
    #[must_use]
    pub fn start_function(&self, handler: &str, api: &str, log: &str) -> Process {
        let mut command = self.command_of("issei-lambda", &[]);
        command.env("AWS_LAMBDA_RUNTIME_API", api).env("_HANDLER", handler).env("AWS_ACCESS_KEY_ID", format!("function-{handler}"));
        let told =
            [("AWS_LAMBDA_FUNCTION_NAME", handler), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")];
        self.spawn(command.envs(told), log)
    }

    /// A zip archive with the functions' `bootstrap`: the real executable, in this world's surroundings.
    #[must_use]
    pub fn function_archive(&self) -> Vec<u8> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let aws = self.environment.iter().filter(|(name, _)| name.starts_with("AWS_"));
        let exports: Vec<String> = aws.map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        let (directory, executable) = (self.directory.path().to_str().unwrap(), binary("issei-lambda"));
        let script = format!("#!/bin/sh\n{}cd {} && exec {}\n", exports.concat(), quoted(directory), quoted(executable.to_str().unwrap()));
        std::fs::write(self.directory.path().join("bootstrap"), script).unwrap();
        let zip = ["-m", "zipfile", "-c", "functions.zip", "bootstrap"];
        let zipped = std::process::Command::new("python3").args(zip).current_dir(self.directory.path()).status().unwrap();
        assert!(zipped.success(), "{zipped}");
        std::fs::read(self.directory.path().join("functions.zip")).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of("issei", arguments)
    }

    fn command_of(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary(name));
        command.args(arguments).envs(&self.environment).current_dir(self.directory.path()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end and gives what it printed. Fails where it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.try_run(arguments).await;
        assert_eq!(code, Some(0), "issei {arguments:?}: {output}{errors}");
        output
    }

    /// Runs a command to its end, however it ends: exit code, standard output, standard error.
    pub async fn try_run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        output(&mut self.command(arguments)).await
    }

    /// Runs a command whose standard output is a file of the system's, such as a full disk: exit code, standard error.
    pub async fn try_run_into(&self, file: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        let output = self.command(arguments).stdin(Stdio::null()).stdout(file).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs a command with other variables, or without some: exit code, standard output, standard error.
    pub async fn try_run_under(&self, environment: &[(&str, Option<&str>)], arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = self.command(arguments);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        output(&mut command).await
    }

    /// Starts a service. Its log goes to a file that a failing test can be followed in.
    #[must_use]
    pub fn start(&self, service: &str) -> Process {
        self.start_with(service, &[])
    }

    /// Starts a service with credentials of its own.
    #[must_use]
    pub fn start_as(&self, key: &str, service: &str) -> Process {
        self.spawn(self.command(&[service]).env("AWS_ACCESS_KEY_ID", key), service)
    }

    /// Runs a command with credentials of its own: exit code, standard output, standard error.
    pub async fn try_run_as(&self, key: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        output(self.command(arguments).env("AWS_ACCESS_KEY_ID", key)).await
    }

    /// Starts a service that logs everything it has to say, and the SDK's own words too.
    #[must_use]
    pub fn start_loud(&self, service: &str) -> Process {
        self.spawn(self.command(&[service]).env("RUST_LOG", "trace"), service)
    }

    /// Starts a service with settings of its own.
    #[must_use]
    pub fn start_with(&self, service: &str, settings: &[&str]) -> Process {
        self.spawn(&mut self.command(&[&[service], settings].concat()), service)
    }

    /// Starts a service with more in its environment.
    #[must_use]
    pub fn start_in(&self, service: &str, environment: &[(&str, &str)]) -> Process {
        self.spawn(self.command(&[service]).envs(environment.iter().copied()), service)
    }

    /// Starts the console, and gives the address that it prints.
    pub async fn start_console(&self) -> (Process, Url) {
        let (console, addresses) = self.start_console_with(&["--port", "0"], &[], 1).await;
        (console, addresses.first().unwrap().parse().unwrap())
    }

    /// The console with these flags and variables, and the first lines that it prints.
    ///
    /// # Panics
    /// As [`start_console`](Self::start_console).
    pub async fn start_console_with(&self, flags: &[&str], variables: &[(&str, &str)], lines_wanted: usize) -> (Process, Vec<String>) {
        let log = std::fs::File::options().create(true).append(true).open(self.directory.path().join("console.log")).unwrap();
        let mut command = self.command(&[&["console"], flags].concat());
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = Vec::new();
        while addresses.len() < lines_wanted {
            addresses.push(lines.next_line().await.unwrap().unwrap_or_else(|| panic!("no address: {}", self.log("console"))));
        }
        // What it prints afterwards nobody reads, and the pipe must not be shut on it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (Process(child), addresses)
    }

    fn spawn(&self, command: &mut Command, service: &str) -> Process {
        let file = |ending: &str| {
            let path = self.directory.path().join(format!("{service}.{ending}"));
            std::fs::File::options().create(true).append(true).open(path).unwrap()
        };
        Process(command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log")).spawn().unwrap())
    }

    /// What a service has logged.
    #[must_use]
    pub fn log(&self, service: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{service}.log"))).unwrap_or_default()
    }

    /// What a process has printed that [`start_with`](Self::start_with) started.
    #[must_use]
    pub fn printed(&self, service: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{service}.out"))).unwrap_or_default()
    }

    /// Writes a file beside the configuration and gives its name.
    #[must_use]
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        name.to_owned()
    }

    /// The name of a resource of this world, by the setting that names it.
    #[must_use]
    pub fn named(&self, setting: &str) -> &str {
        self.environment.get(setting).unwrap()
    }

    /// Changes the environment of what is run from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Where a file beside the configuration lies.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Reads a file beside the configuration.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Waits until a service that has not ended has told the ledger that it lives.
    pub async fn wait_for_heartbeat(&self, service: &str) {
        let (db, table) = self.table().await;
        until(format!("a {service} has a heartbeat"), async || {
            let query = db.query().table_name(&table).key_condition_expression("pk = :services AND begins_with(sk, :service)");
            let day = Clock::system().wall().as_second() / 86_400;
            let query = query.expression_attribute_values(":services", AttributeValue::S(format!("services#{day}")));
            let query = query.expression_attribute_values(":service", AttributeValue::S(format!("{service}#")));
            let runs = query.call().await.unwrap().items.unwrap_or_default();
            runs.iter().any(|run| !run.contains_key("ended_at") || matches!(run.get("ended_at"), Some(AttributeValue::Null(true))))
        })
        .await;
    }

    /// Waits until `issei status` shows this state, and gives the whole status.
    pub async fn wait_for(&self, id: &str, state: &str) -> serde_json::Value {
        self.wait_until(id, |status| status["state"] == state).await
    }

    /// Waits until `issei status` shows that it is so, and gives the whole status.
    pub async fn wait_until(&self, id: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let (mut last, mut pause) = (String::new(), Duration::from_millis(200));
        let looks = async {
            loop {
                let (code, output, errors) = self.try_run(&["status", id, "--json"]).await;
                let status: Option<serde_json::Value> = (code == Some(0)).then(|| serde_json::from_str(&output).unwrap());
                if let Some(status) = status.filter(|status| is_so(status)) {
                    return status;
                }
                last = format!("{output}{errors}");
                tokio::time::sleep(pause).await;
                // Each look is a process of its own, and as many tests as look at once would have all of two cores.
                pause = Duration::from_secs(1).min(pause * 3 / 2);
            }
        };
        let Ok(status) = tokio::time::timeout(PATIENCE, looks).await else {
            panic!("{id} is not so after {PATIENCE:?}: {last}\n{}\n{}", self.log("producer"), self.log("consumer"));
        };
        status
    }

    /// Waits until the provider has accepted so many.
    pub async fn wait_for_accepted(&self, recipients: u64) {
        until(format!("{recipients} are accepted"), async || self.cloud.accepted() >= recipients).await;
    }

    /// Waits until nothing waits and nothing is in flight on the queue that this setting names.
    pub async fn wait_until_drained(&self, setting: &str) {
        let (sqs, url) = self.queue(setting, "").await;
        until(format!("{setting} is empty"), async || is_empty(&sqs, &url).await).await;
    }

    /// Carries the provider's events, the late ones too, and waits until all are taken.
    pub async fn carry_all_events(&self) {
        let from = issei_aws::connect_to(&self.listening.url(), None, &WorldOptions::default().timing).await.sqs;
        let url = from.get_queue_url().queue_name(Self::EVENTS).call().await.unwrap().queue_url.unwrap();
        until("no event is left", async || {
            self.carry_events().await;
            is_empty(&from, &url).await
        })
        .await;
        self.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
    }
}

async fn is_empty(sqs: &aws_sdk_sqs::Client, url: &str) -> bool {
    let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All).call().await.unwrap();
    let counts = answer.attributes.unwrap_or_default();
    let names = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesDelayed, Name::ApproximateNumberOfMessagesNotVisible];
    names.iter().all(|name| counts.get(name).is_some_and(|count| count == "0"))
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id().unwrap()).unwrap())
    }

    /// SIGSTOP: it is neither alive nor over.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// SIGKILL: nothing is finished, nothing given back.
    pub async fn kill_without_mercy(mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.0.wait().await.unwrap();
    }

    /// Ctrl-C, and how it ends.
    pub async fn interrupt(mut self) -> Option<i32> {
        kill(self.pid(), Signal::SIGINT).unwrap();
        tokio::time::timeout(PATIENCE, self.0.wait()).await.expect("it does not end").unwrap().code()
    }

    /// SIGTERM, and the wait for a clean end.
    pub async fn end(mut self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.0.wait()).await.expect("it does not end").unwrap();
        assert!(status.success(), "{status}");
    }
}

async fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Writes an Ed25519 key pair as `NAME.pem` and `NAME.pub`, and gives both names.
#[must_use]
pub fn write_keys(world: &Processes, name: &str, seed: u8) -> (String, String) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let private = world.write(&format!("{name}.pem"), &key.to_pkcs8_pem(LineEnding::LF).unwrap());
    let public = world.write(&format!("{name}.pub"), &key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap());
    (private, public)
}

/// `target/PROFILE/NAME`, beside the directory of the test binaries.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(std::path::Path::parent).unwrap().join(name);
    assert!(binary.exists(), "{} is not built; run `cargo build` first, or tests/run", binary.display());
    binary
}
