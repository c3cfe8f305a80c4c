//! The settings part: what is deployed, against what issei needs. `doctor` shows the same findings.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{BillingMode, PointInTimeRecoveryStatus, TimeToLiveStatus};
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{Clients, Queue, Timing, chain};
use issei_provider::Ses;
use issei_provider::ses::EventsTo;

use crate::finding::{Finding, Part};

/// Fewer receives would bury good messages that met with a passing fault (Lambda developer guide, "Using
/// Lambda with SQS", advises five).
const RECEIVES_MIN: u64 = 5;
/// What `PutItem` and point-in-time recovery can bring back (DynamoDB developer guide).
pub(crate) const RECOVERY_DAYS: u64 = 35;
const SECONDS_A_DAY: u64 = 86_400;

/// What the settings in force say, by which the deployment is judged.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub table: String,
    pub queues: [String; 3],
    pub configuration_set: String,
    pub timing: Timing,
    pub ledger_days: u64,
}

/// What is deployed.
pub struct Deployed {
    pub findings: Vec<Finding>,
    /// The longest visibility timeout of the queues, where it could be read.
    pub visibility_s: Option<u64>,
}

/// Reads everything that is deployed for whichever provider carries. What can't be read is a finding, too.
impl Deployed {
    pub async fn read(clients: &Clients, wanted: &Wanted) -> Self {
        let (mut findings, mut visibility_s) = (Vec::new(), None);
        for name in &wanted.queues {
            let (more, visibility) = queue(clients, name, wanted).await;
            findings.extend(more);
            visibility_s = visibility_s.max(visibility);
        }
        findings.extend(table(clients, wanted).await);
        Self { findings, visibility_s }
    }

    /// What is deployed at SES: for whom it carries.
    pub async fn at_ses(clients: &Clients, wanted: &Wanted) -> Vec<Finding> {
        let ses = Ses::new(clients.ses.clone(), &wanted.configuration_set);
        let mut findings = configuration_set(&ses, &wanted.configuration_set).await;
        findings.extend(account(&ses).await);
        findings
    }
}

pub(crate) fn setting(what: impl Into<String>, from: impl Into<String>) -> Finding {
    Finding::new(Part::Settings, what, from)
}

type Attributes = HashMap<QueueAttributeName, String>;

async fn attributes(clients: &Clients, name: &str) -> Result<Attributes, String> {
    let url = clients.sqs.get_queue_url().queue_name(name).send().await.map_err(|error| chain(&error))?.queue_url.unwrap_or_default();
    let request = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    Ok(request.send().await.map_err(|error| chain(&error))?.attributes.unwrap_or_default())
}

async fn queue(clients: &Clients, name: &str, wanted: &Wanted) -> (Vec<Finding>, Option<u64>) {
    let dead_name = Queue::dead_letter_name(name);
    let from = |name: &str| format!("SQS GetQueueAttributes of {name}");
    let unreadable = |name: &str, error: String| {
        let finding = setting(format!("queue {name}"), from(name)).rule("there", "commands, chunks and events come by queues alone");
        (vec![finding.unreadable(error).mend("issei setup")], None)
    };
    let (live, dead) = match (attributes(clients, name).await, attributes(clients, &dead_name).await) {
        (Ok(live), Ok(dead)) => (live, dead),
        (Err(error), _) => return unreadable(name, error),
        (_, Err(error)) => return unreadable(&dead_name, error),
    };
    let number = |of: &Attributes, attribute: QueueAttributeName| of.get(&attribute).and_then(|value| value.parse::<u64>().ok());
    let or_none = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());

    let hidden = wanted.timing.handler * 6;
    let visibility = number(&live, QueueAttributeName::VisibilityTimeout);
    let mut findings = vec![
        setting(format!("queue {name}: visibility timeout, seconds"), from(name))
            .rule(
                format!("6 x handler timeout or more: {} s", hidden.as_secs_f64()),
                "a message must not come back while it is handled (Lambda developer guide)",
            )
            .found(or_none(visibility), visibility.is_some_and(|visibility| Duration::from_secs(visibility) >= hidden))
            .mend("issei setup, or correct VisibilityTimeout in the stack"),
    ];

    let redrive = live.get(&QueueAttributeName::RedrivePolicy).and_then(|policy| serde_json::from_str::<serde_json::Value>(policy).ok());
    let target = redrive.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str()).unwrap_or("none").to_owned();
    let receives = redrive.as_ref().map(|policy| &policy["maxReceiveCount"]).and_then(|receives| {
        // SQS gives a number or a text, as it was put.
        receives.as_u64().or_else(|| receives.as_str()?.parse().ok())
    });
    findings.push(
        setting(format!("queue {name}: dead-letter queue"), from(name))
            .rule(&dead_name, "a message that can't be handled must be kept where somebody looks")
            .found(&target, target.rsplit(':').next() == Some(dead_name.as_str()))
            .mend("issei setup, or correct RedrivePolicy in the stack"),
    );
    findings.push(
        setting(format!("queue {name}: receives before the dead-letter queue"), from(name))
            .rule(format!("{RECEIVES_MIN} or more"), "a passing fault must not bury good messages")
            .found(or_none(receives), receives.is_some_and(|receives| receives >= RECEIVES_MIN))
            .mend("set max_receives, then issei setup"),
    );
    let arn = live.get(&QueueAttributeName::QueueArn).map_or("", String::as_str);
    findings
        .push(event_source(clients, name, arn, visibility.map(|visibility| Duration::from_secs(visibility).saturating_sub(hidden))).await);
    findings.push(retention(name, &dead_name, &live, &dead, wanted, from(&dead_name)));
    for (name, of) in [(name, &live), (dead_name.as_str(), &dead)] {
        let key = of.get(&QueueAttributeName::KmsMasterKeyId).filter(|key| !key.is_empty());
        let own = of.get(&QueueAttributeName::SqsManagedSseEnabled).is_some_and(|on| on == "true");
        let value = key.map_or_else(|| if own { "SQS's own key".to_owned() } else { "off".to_owned() }, |key| format!("KMS key {key}"));
        findings.push(
            setting(format!("queue {name}: encryption"), from(name))
                .rule("on", "messages hold mail addresses")
                .found(value, own || key.is_some())
                .mend("issei setup, or SqsManagedSseEnabled in the stack"),
        );
    }
    (findings, visibility)
}

/// Nothing that a queue, a dead-letter queue or a backup can bring back may outlive the ledger.
fn retention(name: &str, dead_name: &str, live: &Attributes, dead: &Attributes, wanted: &Wanted, from: String) -> Finding {
    let seconds = |of: &Attributes| of.get(&QueueAttributeName::MessageRetentionPeriod).and_then(|value| value.parse::<u64>().ok());
    let finding = setting(format!("queues {name} and {dead_name}: retention, seconds"), from).rule(
        format!(
            "{dead_name} keeps longer than {name}, and both together with {RECOVERY_DAYS} days of backups less than the ledger's {} days",
            wanted.ledger_days
        ),
        "a message that outlives the ledger's memory would be sent again; a dead letter keeps the age that it had (SQS developer guide)",
    );
    let Some((live, dead)) = seconds(live).zip(seconds(dead)) else { return finding.unreadable("no MessageRetentionPeriod") };
    let fits = live + dead + RECOVERY_DAYS * SECONDS_A_DAY < wanted.ledger_days * SECONDS_A_DAY;
    finding
        .found(format!("{live} and {dead}"), live < dead && fits)
        .mend("correct retention_s and dead_letter_retention_s, then issei setup")
}

/// What Lambda polls the queue with, where it does. Processes poll by themselves. `spare` is what
/// the queue's visibility timeout has beyond six handlers.
async fn event_source(clients: &Clients, name: &str, arn: &str, spare: Option<Duration>) -> Finding {
    let finding = setting(format!("queue {name}: event source"), format!("Lambda ListEventSourceMappings of {name}")).rule(
        "none; or enabled, with ReportBatchItemFailures, a maximum concurrency, and a batch window that fits into the visibility timeout beside 6 x handler timeout",
        "a batch that fails as a whole repeats what was done, and an event source that is throttled burns receives (Lambda developer guide)",
    );
    let mappings = match clients.lambda.event_sources(arn).await {
        Ok(mappings) => mappings,
        Err(error) => {
            // Whoever was not reached has denied nothing.
            let mend = if error.code().is_some() {
                "grant lambda:ListEventSourceMappings"
            } else {
                "see that Lambda's endpoint can be reached from here (network, DNS, AWS_ENDPOINT_URL_LAMBDA), and look again"
            };
            return finding.unreadable(error).mend(mend);
        }
    };
    let mut holds = true;
    let told: Vec<String> = mappings
        .iter()
        .map(|mapping| {
            let state = mapping.state.as_deref().unwrap_or("not told");
            let (partial, concurrency, window) = (mapping.reports_item_failures(), mapping.concurrency_max(), mapping.window_s());
            let fits = spare.is_none_or(|spare| spare >= Duration::from_secs(window));
            holds &= state == "Enabled" && partial && concurrency.is_some() && fits;
            let function = mapping.function_arn.as_deref().and_then(|arn| arn.rsplit(':').next()).unwrap_or("not told");
            format!("{function} {state}, partial failures {partial}, concurrency {concurrency:?}, batch window {window} s")
        })
        .collect();
    let value = if told.is_empty() { "none: processes poll".to_owned() } else { told.join("; ") };
    finding.found(value, holds).mend("correct the event source mapping")
}

async fn table(clients: &Clients, wanted: &Wanted) -> Vec<Finding> {
    let name = &wanted.table;
    let from = |call: &str| format!("DynamoDB {call} of {name}");
    let mut findings = Vec::new();
    match clients.dynamodb.describe_table().table_name(name).send().await {
        Ok(answer) => {
            let table = answer.table;
            let protected = table.as_ref().and_then(|table| table.deletion_protection_enabled);
            findings.push(
                setting(format!("table {name}: deletion protection"), from("DescribeTable"))
                    .rule("on", "a ledger that is gone has forgotten who was sent to")
                    .found(protected.map_or("not told".to_owned(), |on| on.to_string()), protected == Some(true))
                    .mend(format!("aws dynamodb update-table --table-name {name} --deletion-protection-enabled")),
            );
            let billing = table.and_then(|table| table.billing_mode_summary).and_then(|summary| summary.billing_mode);
            findings.push(
                setting(format!("table {name}: billing mode"), from("DescribeTable"))
                    .rule("PAY_PER_REQUEST", "a broadcast is a burst; provisioned capacity would throttle its claims")
                    .found(billing.as_ref().map_or("not told", BillingMode::as_str), billing == Some(BillingMode::PayPerRequest))
                    .mend(format!("aws dynamodb update-table --table-name {name} --billing-mode PAY_PER_REQUEST")),
            );
        }
        Err(error) => findings.push(
            setting(format!("table {name}"), from("DescribeTable"))
                .rule("there", "what may be sent is decided in it alone")
                .unreadable(chain(&error))
                .mend("issei setup"),
        ),
    }
    let finding = setting(format!("table {name}: time to live"), from("DescribeTimeToLive"))
        .rule("on, by expires_at", "pages and chunks hold mail addresses, and go when nothing can bring a message back");
    findings.push(match clients.dynamodb.describe_time_to_live().table_name(name).send().await {
        Ok(answer) => {
            let description = answer.time_to_live_description;
            let attribute = description.as_ref().and_then(|description| description.attribute_name.as_deref()).unwrap_or_default();
            let status = description.as_ref().and_then(|description| description.time_to_live_status.as_ref());
            let holds = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) && attribute == "expires_at";
            finding.found(format!("{} {attribute}", status.map_or("not told", TimeToLiveStatus::as_str)), holds).mend("issei setup")
        }
        Err(error) => finding.unreadable(chain(&error)),
    });
    let finding = setting(format!("table {name}: point-in-time recovery"), from("DescribeContinuousBackups"))
        .rule("on", "the ledger is the only proof of who was sent to");
    findings.push(match clients.dynamodb.describe_continuous_backups().table_name(name).send().await {
        Ok(answer) => {
            let recovery = answer.continuous_backups_description.and_then(|backups| backups.point_in_time_recovery_description);
            let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
            let holds = status == Some(PointInTimeRecoveryStatus::Enabled);
            finding.found(status.as_ref().map_or("not told", PointInTimeRecoveryStatus::as_str), holds).mend("issei setup")
        }
        Err(error) => finding.unreadable(chain(&error)),
    });
    findings
}

async fn configuration_set(ses: &Ses, name: &str) -> Vec<Finding> {
    let sending = setting(format!("configuration set {name}: sending"), format!("SES GetConfigurationSet of {name}"))
        .rule("told", "whether it is on says what a sender that nobody knows of could do");
    let sending = match ses.configuration_set().await {
        // On or off: both are sound states, and the certificate says which.
        Ok(set) => match set.sends {
            Some(on) => sending.found(if on { "on" } else { "off" }, true),
            None => sending.unreadable("SES did not tell"),
        },
        Err(error) => sending.unreadable(error).mend("issei setup"),
    };
    vec![sending, event_destination(ses, name).await]
}

/// Whether what becomes of messages is told.
pub async fn event_destination(ses: &Ses, name: &str) -> Finding {
    let events = setting(format!("configuration set {name}: events"), format!("SES GetConfigurationSetEventDestinations of {name}")).rule(
        format!("one enabled destination with {}", EventsTo::needed().collect::<Vec<_>>().join(", ")),
        "what becomes of a message, and the end of doubt, comes by events alone",
    );
    match ses.events_to().await {
        Ok(destinations) => {
            let told: Vec<String> = destinations
                .iter()
                .map(|EventsTo { name, enabled, events, .. }| {
                    format!("{name} ({}): {}", if *enabled { "on" } else { "off" }, events.join(", "))
                })
                .collect();
            let value = if told.is_empty() { "none".to_owned() } else { told.join("; ") };
            events.found(value, destinations.iter().any(EventsTo::is_whole)).mend("deploy the event destination: infra/README.md")
        }
        Err(error) => events.unreadable(error).mend("issei setup"),
    }
}

/// Whether the account may send to anybody.
pub async fn account(ses: &Ses) -> Vec<Finding> {
    let from = "SES GetAccount";
    let account = match ses.account().await {
        Ok(account) => account,
        Err(error) => {
            let finding = setting("SES account", from).rule("told", "an account that may not send carries nothing");
            return vec![finding.unreadable(error).mend("grant ses:GetAccount")];
        }
    };
    let status = account.standing.unwrap_or_else(|| "not told".to_owned());
    vec![
        setting("SES account: out of the sandbox", from)
            .rule("true", "in the sandbox SES takes verified addresses only, and 200 a day (SES developer guide)")
            .found(account.out_of_sandbox, account.out_of_sandbox)
            .mend("ask for production access in the SES console"),
        setting("SES account: standing", from)
            .rule("HEALTHY", "AWS pauses an account under probation when it gets worse")
            .found(&status, status == "HEALTHY")
            .mend("read the case in the SES console before you send more"),
    ]
}
