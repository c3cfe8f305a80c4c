//! The settings: one list, from which come the flags, the environment variables, the keys of the
//! configuration file and `docs/configuration.md`. A flag goes before a variable, a variable before
//! the file, the file before the default.

mod file;
mod keys;
mod providers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use issei_aws::{Account, Queue, Timing};
use issei_ledger::Configured;
use issei_producer::{Approvals, AudienceConfig, REHEARSAL_PREFIX};
use issei_provider::SnsTrust;
use issei_schema::{ProviderName, UnsubscribeKey, UnsubscribeKeyId, UnsubscribeKeys};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use file::DEFAULT_FILE;
pub use keys::{Fetched, KeySource};
use providers::ProviderConfig;

/// A setting as it is here.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: &'static str,
    /// What is in force.
    pub value: Value,
    pub from: GivenBy,
    pub default: Value,
}

/// Which source has said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy {
    /// A flag, or the environment.
    Caller,
    File,
    Default,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident, $env:literal: $kind:ty = $default:expr;)+) => {
        /// Settings as one source gives them: what it does not say is left to the next.
        #[derive(Clone, Debug, Default, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields, default)]
        pub struct Layer {
            $($(#[doc = $doc])+ #[arg(long, env = $env, global = true, hide_short_help = true, hide_long_help = true, help_heading = "Settings")] $name: Option<$kind>,)+
            /// Where audiences come from. In the file only.
            #[arg(skip)]
            audiences: BTreeMap<String, AudienceConfig>,
            /// Where the keys come from that sign links to unsubscribe. In the file only.
            #[arg(skip)]
            unsubscribe_keys: BTreeMap<UnsubscribeKeyId, KeySource>,
            /// Who may carry broadcasts beside SES. In the file only.
            #[arg(skip)]
            providers: BTreeMap<ProviderName, ProviderConfig>,
        }

        /// The settings in force.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $kind,)+
            pub audiences: BTreeMap<String, AudienceConfig>,
            pub unsubscribe_keys: BTreeMap<UnsubscribeKeyId, KeySource>,
            pub providers: BTreeMap<ProviderName, ProviderConfig>,
            /// The file that they were read from; nothing where there was none.
            pub file: Option<PathBuf>,
            /// Where AWS is asked. Of whoever runs this, and so in no digest.
            pub account: Account,
        }

        impl Settings {
            /// The digest of every key with its value, the defaults included. What names a resource is a
            /// key like any other: a rehearsal in another account proves nothing about this one.
            #[must_use]
            pub fn digest(&self) -> String {
                let mut hasher = Sha256::new();
                $(hasher.update(format!("{} = {:?}\n", stringify!($name), self.$name));)+
                // With the name of each key's variable, and never with the key.
                self.providers.iter().for_each(|(name, config)| hasher.update(format!("providers.{name} = {config:?}\n")));
                hex::encode(hasher.finalize())
            }

            /// What a heartbeat tells of them: what is not at its default, and the names of the audiences.
            #[must_use]
            pub fn told(&self) -> Configured {
                let mut changed = BTreeMap::new();
                $(
                    let default: $kind = $default;
                    let (value, default) = (self.$name.to_string(), default.to_string());
                    if value != default {
                        changed.insert(stringify!($name).to_owned(), value);
                    }
                )+
                // It names persons.
                if let Some(named) = changed.get_mut("test_recipients") {
                    *named = hex::encode(Sha256::digest(named.as_bytes())).split_off(52);
                }
                Configured { changed, audiences: self.audiences.keys().cloned().collect() }
            }

            pub(crate) fn of(first: Layer, second: Layer) -> Self {
                Self {
                    $($name: first.$name.or(second.$name).unwrap_or_else(|| $default),)+
                    audiences: second.audiences,
                    unsubscribe_keys: second.unsubscribe_keys,
                    providers: second.providers,
                    file: None,
                    account: Account::default(),
                }
            }
        }

        /// Every setting as it is with `first` over `second`, in the order of the list.
        pub(super) fn listed(first: &Layer, second: &Layer) -> Vec<Listed> {
            vec![$({
                let default: $kind = $default;
                let from = match (&first.$name, &second.$name) {
                    (Some(_), _) => GivenBy::Caller,
                    (None, Some(_)) => GivenBy::File,
                    (None, None) => GivenBy::Default,
                };
                let value = first.$name.as_ref().or(second.$name.as_ref()).unwrap_or(&default);
                Listed { name: stringify!($name), value: json!(value), from, default: json!(default) }
            }),+]
        }

        /// Every key with its environment variable, type, default and meaning.
        #[cfg(test)]
        fn keys() -> Vec<(&'static str, &'static str, &'static str, String, String)> {
            vec![$((
                stringify!($name),
                $env,
                stringify!($kind),
                { let default: $kind = $default; format!("{default:?}") },
                [$($doc),+].iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            )),+]
        }
    };
}

settings! {
    /// The ledger's DynamoDB table.
    table, "ISSEI_TABLE": String = "issei-ledger".to_owned();
    /// The SQS queue of commands. Its dead-letter queue has the same name with `-dead`.
    commands_queue, "ISSEI_COMMANDS_QUEUE": String = "issei-commands".to_owned();
    /// The SQS queue of chunks. Its dead-letter queue has the same name with `-dead`.
    chunks_queue, "ISSEI_CHUNKS_QUEUE": String = "issei-chunks".to_owned();
    /// The SQS queue of SES events. Its dead-letter queue has the same name with `-dead`.
    feedback_queue, "ISSEI_FEEDBACK_QUEUE": String = "issei-feedback".to_owned();
    /// The SES configuration set that every send names.
    configuration_set, "ISSEI_CONFIGURATION_SET": String = "issei".to_owned();
    /// Rows that the producer reads and freezes at once. A page also ends at 350,000 bytes, to fit
    /// a DynamoDB item.
    page_size, "ISSEI_PAGE_SIZE": usize = 2_000;
    /// The directory in which a producer, and `issei send`, keep the audience while they read it. Empty for the
    /// system's directory of temporary files.
    spool_dir, "ISSEI_SPOOL_DIR": String = String::new();
    /// Recipients in a chunk, which is one SQS message and one provider call: 1 to 50. The account's
    /// recipients a second are an upper limit too.
    chunk_size, "ISSEI_CHUNK_SIZE": u32 = 50;
    /// Chunks that one consumer handles at once.
    chunks_in_flight, "ISSEI_CHUNKS_IN_FLIGHT": usize = 20;
    /// Recipients a second at most over all consumers, where that is less than the account's rate.
    /// 0 means the account's rate.
    rate_ceiling, "ISSEI_RATE_CEILING": f64 = 0.0;
    /// So many chunks in a row of which nobody was accepted pause the broadcast. Throttled ones don't count.
    max_failures_in_a_row, "ISSEI_MAX_FAILURES_IN_A_ROW": u32 = 10;
    /// How long one send may take, in milliseconds. When it is over, the send is in doubt.
    send_timeout_ms, "ISSEI_SEND_TIMEOUT_MS": u64 = 5_000;
    /// How long a granted permit may be used, in milliseconds. The bound on what is sent after a stop.
    permit_life_ms, "ISSEI_PERMIT_LIFE_MS": u64 = 8_000;
    /// How long a claimed chunk is its consumer's alone, in milliseconds.
    lease_ms, "ISSEI_LEASE_MS": u64 = 20_000;
    /// How long a consumer tries to confirm a chunk, in milliseconds.
    handler_timeout_ms, "ISSEI_HANDLER_TIMEOUT_MS": u64 = 30_000;
    /// How long one ledger call may take with its retries, in milliseconds.
    ledger_timeout_ms, "ISSEI_LEDGER_TIMEOUT_MS": u64 = 5_000;
    /// How long a received message stays hidden, in seconds, on both queues.
    visibility_timeout_s, "ISSEI_VISIBILITY_TIMEOUT_S": u64 = 200;
    /// How long after its lease an unconfirmed send may still arrive at the provider, in seconds. AWS
    /// refuses requests signed more than five minutes ago. A broadcast is not complete before.
    request_lifetime_s, "ISSEI_REQUEST_LIFETIME_S": u64 = 300;
    /// How often the producer looks whether running broadcasts are done, in milliseconds.
    close_every_ms, "ISSEI_CLOSE_EVERY_MS": u64 = 5_000;
    /// How long the feedback consumer waits, in seconds, before the absence of events can count as proof
    /// that a send was not accepted: 900 or more. Counted from the last moment at which the send could
    /// have been accepted.
    evidence_wait_s, "ISSEI_EVIDENCE_WAIT_S": u64 = 3_600;
    /// How many recipients known to be accepted within the same five minutes there must be for absence to
    /// count. 999 of 1,000 of them must have their events.
    evidence_neighbours_min, "ISSEI_EVIDENCE_NEIGHBOURS_MIN": u64 = 100;
    /// Permanent bounces, as a share of the recipients with events, that end a broadcast when exceeded.
    bounce_rate_max, "ISSEI_BOUNCE_RATE_MAX": f64 = 0.02;
    /// Complaints, as a share of the recipients with events, that end a broadcast when exceeded.
    complaint_rate_max, "ISSEI_COMPLAINT_RATE_MAX": f64 = 0.0005;
    /// Recipients with events before either rate counts.
    rate_recipients_min, "ISSEI_RATE_RECIPIENTS_MIN": u64 = 1_000;
    /// Bounces, or complaints, that there must be before their rate counts.
    rate_events_min, "ISSEI_RATE_EVENTS_MIN": u64 = 5;
    /// How long a canary whose command asks for approval by evidence is held at least, in seconds:
    /// complaints come late.
    canary_wait_s, "ISSEI_CANARY_WAIT_S": u64 = 900;
    /// How often the feedback consumer sweeps open broadcasts, in milliseconds. A sweep reads every chunk.
    sweep_every_ms, "ISSEI_SWEEP_EVERY_MS": u64 = 300_000;
    /// Whether the feedback consumer asks notifications of SNS for their signature: `where-present` verifies those
    /// that have one, `require` refuses whatever has none, so also raw events, and `off` verifies nothing, for an
    /// emulator. With raw message delivery, and by `EventBridge`, there is none.
    sns_signatures, "ISSEI_SNS_SIGNATURES": String = "where-present".to_owned();
    /// The ARN of the one SNS topic whose notifications are believed. Empty for any, which `require` does not allow:
    /// SNS signs for everybody's topics.
    sns_topic, "ISSEI_SNS_TOPIC": String = String::new();
    /// Refuse every broadcast that `issei rehearse` has not rehearsed, with this version, these settings
    /// and at least as many recipients.
    require_rehearsal, "ISSEI_REQUIRE_REHEARSAL": bool = false;
    /// Skipped rows, as a share of an audience, that hold a broadcast before its first send when exceeded, until `issei approve`.
    /// Of fewer than 20 rows a single one that is skipped does not, and rows of an address that another row is mailed at
    /// (`unique_by`) don't count.
    skipped_share_max, "ISSEI_SKIPPED_SHARE_MAX": f64 = 0.05;
    /// Persons who must agree to a broadcast before its first send, whoever asks for it among them: with 2 it holds until
    /// another person approves it. 0 and 1 ask for nobody else.
    approvals, "ISSEI_APPROVALS": u32 = 1;
    /// Recipients from which on `approvals` are asked for.
    approvals_from, "ISSEI_APPROVALS_FROM": u64 = 0;
    /// The classes of broadcasts for which `approvals` are asked for, with commas between them. Empty for all.
    approvals_classes, "ISSEI_APPROVALS_CLASSES": String = String::new();
    /// Addresses and domains that `issei test-send` may send copies to, beside the sender's own domain: with commas
    /// between them.
    test_recipients, "ISSEI_TEST_RECIPIENTS": String = String::new();
    /// Write metrics for `CloudWatch` to standard output, in embedded metric format.
    metrics, "ISSEI_METRICS": bool = false;
    /// The value of the metrics' one dimension, `Prefix`: the prefix of the stack.
    metrics_prefix, "ISSEI_METRICS_PREFIX": String = "issei".to_owned();
    /// An OpenTelemetry collector that takes traces by OTLP over HTTP, such as `http://127.0.0.1:4318`, in a build
    /// with the feature `otel`. Empty for none.
    otlp_endpoint, "ISSEI_OTLP_ENDPOINT": String = String::new();
    /// The DNS resolver that `issei send` and `issei doctor` ask about the sender's domain, such as `127.0.0.1:53`.
    /// Empty for the system's.
    dns_resolver, "ISSEI_DNS_RESOLVER": String = String::new();
    /// After so many receives a message goes to the dead-letter queue. Used by `setup`, and by the producer, which puts
    /// a command that it could not carry out there itself after the last, with the reason.
    max_receives, "ISSEI_MAX_RECEIVES": u32 = 10;
    /// How long messages stay in the queues, in seconds: 60 to 1,209,600. Used by `setup`.
    retention_s, "ISSEI_RETENTION_S": u64 = 345_600;
    /// How long messages stay in the dead-letter queues, in seconds. Used by `setup`.
    dead_letter_retention_s, "ISSEI_DEAD_LETTER_RETENTION_S": u64 = 1_209_600;
    /// How long pages and chunks stay in the ledger, in days: longer than both retentions and the 35
    /// days of point-in-time recovery together. Broadcast items stay for ever.
    ledger_days, "ISSEI_LEDGER_DAYS": u64 = 90;
}

impl Settings {
    /// The same, with AWS asked where flags say.
    #[must_use]
    pub fn in_account(self, account: Account) -> Self {
        Self { account, ..self }
    }

    fn checked(self) -> anyhow::Result<Self> {
        if !(1..=50).contains(&self.chunk_size) {
            bail!("chunk_size is {}; 1 to 50 are allowed, since SendBulkEmail takes 50 recipients at most", self.chunk_size);
        }
        let Self { table, commands_queue, chunks_queue, feedback_queue, configuration_set, .. } = &self;
        for (name, value) in [
            ("table", table),
            ("commands_queue", commands_queue),
            ("chunks_queue", chunks_queue),
            ("feedback_queue", feedback_queue),
            ("configuration_set", configuration_set),
        ] {
            if value.trim().is_empty() {
                bail!("{name} is empty; name it, or leave it out for the default");
            }
        }
        // The dead letters of each are in a queue whose name follows from its own.
        let queues = [("commands_queue", commands_queue), ("chunks_queue", chunks_queue), ("feedback_queue", feedback_queue)];
        for (at, (name, queue)) in queues.iter().enumerate() {
            for (other, taken) in queues.iter().skip(at + 1) {
                let dead = Queue::dead_letter_name;
                if queue == taken || **queue == dead(taken) || **taken == dead(queue) {
                    bail!(
                        "{name} is {queue} and {other} is {taken}: each service would take what another waits for; give each a queue of its own, which is not the dead-letter queue of another"
                    );
                }
            }
        }
        if self.page_size == 0 || self.chunks_in_flight == 0 || self.max_receives == 0 {
            bail!("page_size, chunks_in_flight and max_receives must be 1 or more");
        }
        if !self.dns_resolver.is_empty() && self.resolver().is_none() {
            bail!("dns_resolver is {}; give an IP address with its port, such as 127.0.0.1:53", self.dns_resolver);
        }
        if let Some(name) = self.audiences.keys().find(|name| name.starts_with(REHEARSAL_PREFIX)) {
            bail!("the audience `{name}` has a name of rehearsals ({REHEARSAL_PREFIX}…); choose another");
        }
        if self.rate_ceiling < 0.0 || !self.rate_ceiling.is_finite() {
            bail!("rate_ceiling is {}; give recipients a second, or 0 for the account's own rate", self.rate_ceiling);
        }
        for (name, rate) in [
            ("bounce_rate_max", self.bounce_rate_max),
            ("complaint_rate_max", self.complaint_rate_max),
            ("skipped_share_max", self.skipped_share_max),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                bail!("{name} is {rate}; give a share from 0 to 1, such as 0.02 for 2 %");
            }
        }
        // Clocks of two machines that AWS still talks to differ by ten minutes at most (five each way,
        // AWS general reference, "Signature Version 4"), and the wait is read from two of them.
        if self.evidence_wait_s < 900 {
            bail!("evidence_wait_s is {}; 900 or more are needed, or clocks that differ could end the wait early", self.evidence_wait_s);
        }
        self.providers.iter().try_for_each(|(name, config)| config.check(name))?;
        self.sns_trust()?;
        self.approvals_wanted()?;
        self.timing().checked()?;
        let seconds_a_day = 86_400;
        let needed = (self.retention_s + self.dead_letter_retention_s) / seconds_a_day + 35;
        if self.ledger_days <= needed {
            bail!(
                "ledger_days is {}; more than {needed} are needed: messages (retention_s, dead_letter_retention_s) and 35 days of backups must not outlive the ledger",
                self.ledger_days
            );
        }
        Ok(self)
    }

    /// What is asked of a notification of SNS before it is believed.
    pub fn sns_trust(&self) -> anyhow::Result<SnsTrust> {
        SnsTrust::parse(&self.sns_signatures, &self.sns_topic).map_err(anyhow::Error::msg)
    }

    /// Who else than whoever asks for a broadcast must agree to it.
    pub fn approvals_wanted(&self) -> anyhow::Result<Approvals> {
        let most = 10;
        if self.approvals > most {
            bail!("approvals is {}; {most} persons at most can be asked for", self.approvals);
        }
        let classes = Approvals::classes(&self.approvals_classes).map_err(anyhow::Error::msg).context("approvals_classes")?;
        Ok(Approvals { persons: self.approvals, from_recipients: self.approvals_from, classes })
    }

    /// Who else must agree where these settings are told of a producer.
    pub fn approvals_told(configured: &Configured) -> anyhow::Result<Approvals> {
        let mut of = Self::of(Layer::default(), Layer::default());
        let told = |key: &str| configured.changed.get(key);
        if let Some(persons) = told("approvals") {
            of.approvals = persons.parse().context("approvals")?;
        }
        if let Some(from) = told("approvals_from") {
            of.approvals_from = from.parse().context("approvals_from")?;
        }
        of.approvals_classes = told("approvals_classes").cloned().unwrap_or_default();
        of.approvals_wanted()
    }

    /// Where audiences are kept while they are read.
    #[must_use]
    pub fn spool_directory(&self) -> PathBuf {
        if self.spool_dir.is_empty() { std::env::temp_dir() } else { PathBuf::from(&self.spool_dir) }
    }

    /// The names of the keys that sign links to unsubscribe; what they are is for whoever signs or checks.
    #[must_use]
    pub fn unsubscribe_key_names(&self) -> BTreeSet<UnsubscribeKeyId> {
        self.unsubscribe_keys.keys().cloned().collect()
    }

    /// The keys that sign links to unsubscribe, as far as their variables are set; what needs another says so.
    ///
    /// # Errors
    /// Names a variable or a secret whose value is no key, or a secret that can't be read.
    pub fn unsubscribe_keys(&self, fetched: &Fetched) -> anyhow::Result<UnsubscribeKeys> {
        let mut keys = UnsubscribeKeys::new();
        for (id, source) in &self.unsubscribe_keys {
            let named = || format!("[unsubscribe_keys] `{id}`");
            // Byte for byte: whoever checks a token has it so.
            let Some(secret) = fetched.value(source).map_err(anyhow::Error::msg).with_context(named)? else {
                tracing::warn!(key = %id, %source, "a key of [unsubscribe_keys] is not at hand: its variable is not set");
                continue;
            };
            let key = UnsubscribeKey::try_from(secret).map_err(anyhow::Error::msg);
            keys.insert(id.clone(), key.with_context(|| format!("{}: {source}", named()))?);
        }
        Ok(keys)
    }

    /// The same where nothing else is asked of AWS: only secrets are, and only where one is named.
    ///
    /// # Errors
    /// As `unsubscribe_keys`.
    pub async fn own_unsubscribe_keys(&self) -> anyhow::Result<UnsubscribeKeys> {
        let is_kept = |source: &KeySource| matches!(source, KeySource::Secret(_));
        let fetched = if self.unsubscribe_keys.values().any(is_kept) {
            let clients = issei_aws::connect(&self.account, &self.timing()).await;
            Fetched::of(&clients.secrets, self.unsubscribe_keys.values()).await
        } else {
            Fetched::default()
        };
        self.unsubscribe_keys(&fetched)
    }

    /// The DNS resolver that is named; nothing for the system's.
    #[must_use]
    pub fn resolver(&self) -> Option<SocketAddr> {
        self.dns_resolver.parse().ok()
    }

    /// The timeouts, as the chain of inequalities sees them.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing {
            send: Duration::from_millis(self.send_timeout_ms),
            permit_life: Duration::from_millis(self.permit_life_ms),
            lease: Duration::from_millis(self.lease_ms),
            handler: Duration::from_millis(self.handler_timeout_ms),
            visibility: Duration::from_secs(self.visibility_timeout_s),
            ledger: Duration::from_millis(self.ledger_timeout_ms),
            request_lifetime: Duration::from_secs(self.request_lifetime_s),
        }
    }

    /// The defaults, changed by `change`: for the demo, which reads no file.
    pub fn defaults(change: impl FnOnce(&mut Self)) -> anyhow::Result<Self> {
        let mut settings = Self::of(Layer::default(), Layer::default());
        change(&mut settings);
        settings.checked()
    }
}

#[cfg(test)]
mod tests;
