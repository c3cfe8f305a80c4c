//! The settings part: what is deployed, against what issei needs. `doctor` shows the same findings.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{BillingMode, PointInTimeRecoveryStatus, TimeToLiveStatus};
use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::{AwsCall, Clients, Queue, Timing, chain};
use issei_provider::{Stated, Unsaid};
use issei_schema::{Bilingual, both};

use crate::data::none;
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
}

/// What stands at a provider, as it tells.
#[must_use]
pub fn stated(Stated { what, asked, rule, why, told, mend }: Stated) -> Finding {
    let finding = setting(what, asked).must(rule, why);
    let finding = match told {
        Ok((value, holds)) => finding.is(value, holds),
        Err(Unsaid::Failed(error)) => finding.failed(error),
        Err(Unsaid::Silent(why)) => finding.not_read(why),
    };
    match mend {
        Some(mend) => finding.mended_by(mend),
        None => finding,
    }
}

pub(crate) fn setting(what: Bilingual, from: Bilingual) -> Finding {
    Finding::of(Part::Settings, what, from)
}

type Attributes = HashMap<QueueAttributeName, String>;

async fn attributes(clients: &Clients, name: &str) -> Result<Attributes, String> {
    let url = clients.sqs.get_queue_url().queue_name(name).call().await.map_err(|error| chain(&error))?.queue_url.unwrap_or_default();
    let request = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    Ok(request.call().await.map_err(|error| chain(&error))?.attributes.unwrap_or_default())
}

async fn queue(clients: &Clients, name: &str, wanted: &Wanted) -> (Vec<Finding>, Option<u64>) {
    let dead_name = Queue::dead_letter_name(name);
    let from = |name: &str| both!("SQS GetQueueAttributes of {name}", "SQS GetQueueAttributes({name})");
    let unreadable = |name: &str, error: String| {
        let finding = setting(both!("queue {name}", "キュー {name}"), from(name));
        let finding = finding.must(both!("there", "存在する"), "commands, chunks and events come by queues alone");
        (vec![finding.failed(error).mended_by(setup())], None)
    };
    let (live, dead) = match (attributes(clients, name).await, attributes(clients, &dead_name).await) {
        (Ok(live), Ok(dead)) => (live, dead),
        (Err(error), _) => return unreadable(name, error),
        (_, Err(error)) => return unreadable(&dead_name, error),
    };
    let number = |of: &Attributes, attribute: QueueAttributeName| of.get(&attribute).and_then(|value| value.parse::<u64>().ok());
    let or_none = |value: Option<u64>| value.map_or_else(none, Bilingual::verbatim);

    let hidden = wanted.timing.handler * 6;
    let visibility = number(&live, QueueAttributeName::VisibilityTimeout);
    let mut findings = vec![
        setting(both!("queue {name}: visibility timeout, seconds", "キュー {name}: 可視性タイムアウト(秒)"), from(name))
            .must(
                both!("6 x handler timeout or more: {} s", "ハンドラーのタイムアウトの6倍以上: {}秒", hidden.as_secs_f64()),
                "a message must not come back while it is handled (Lambda developer guide)",
            )
            .is(or_none(visibility), visibility.is_some_and(|visibility| Duration::from_secs(visibility) >= hidden))
            .mended_by(setup_or("VisibilityTimeout")),
    ];

    let redrive = live.get(&QueueAttributeName::RedrivePolicy).and_then(|policy| serde_json::from_str::<serde_json::Value>(policy).ok());
    let target = redrive.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str()).map(str::to_owned);
    let receives = redrive.as_ref().map(|policy| &policy["maxReceiveCount"]).and_then(|receives| {
        // SQS gives a number or a text, as it was put.
        receives.as_u64().or_else(|| receives.as_str()?.parse().ok())
    });
    findings.push(
        setting(both!("queue {name}: dead-letter queue", "キュー {name}: デッドレターキュー"), from(name))
            .must(Bilingual::verbatim(&dead_name), "a message that can't be handled must be kept where somebody looks")
            .is(
                target.as_ref().map_or_else(none, Bilingual::verbatim),
                target.as_ref().and_then(|target| target.rsplit(':').next()) == Some(dead_name.as_str()),
            )
            .mended_by(setup_or("RedrivePolicy")),
    );
    findings.push(
        setting(
            both!("queue {name}: receives before the dead-letter queue", "キュー {name}: デッドレターキューまでの受信回数"),
            from(name),
        )
        .must(both!("{RECEIVES_MIN} or more", "{RECEIVES_MIN}以上"), "a passing fault must not bury good messages")
        .is(or_none(receives), receives.is_some_and(|receives| receives >= RECEIVES_MIN))
        .mended_by(both!("set max_receives, then issei setup", "max_receives を設定してから `issei setup` を実行してください")),
    );
    let arn = live.get(&QueueAttributeName::QueueArn).map_or("", String::as_str);
    findings
        .push(event_source(clients, name, arn, visibility.map(|visibility| Duration::from_secs(visibility).saturating_sub(hidden))).await);
    findings.push(retention(name, &dead_name, &live, &dead, wanted, from(&dead_name)));
    for (name, of) in [(name, &live), (dead_name.as_str(), &dead)] {
        let key = of.get(&QueueAttributeName::KmsMasterKeyId).filter(|key| !key.is_empty());
        let own = of.get(&QueueAttributeName::SqsManagedSseEnabled).is_some_and(|on| on == "true");
        let value = match key {
            Some(key) => both!("KMS key {key}", "KMSキー {key}"),
            None if own => both!("SQS's own key", "SQS管理のキー"),
            None => off(),
        };
        findings.push(
            setting(both!("queue {name}: encryption", "キュー {name}: 暗号化"), from(name))
                .must(on(), "messages hold mail addresses")
                .is(value, own || key.is_some())
                .mended_by(both!(
                    "issei setup, or SqsManagedSseEnabled in the stack",
                    "`issei setup` を実行するか、スタックの SqsManagedSseEnabled を設定してください"
                )),
        );
    }
    (findings, visibility)
}

/// Nothing that a queue, a dead-letter queue or a backup can bring back may outlive the ledger.
fn retention(name: &str, dead_name: &str, live: &Attributes, dead: &Attributes, wanted: &Wanted, from: Bilingual) -> Finding {
    let seconds = |of: &Attributes| of.get(&QueueAttributeName::MessageRetentionPeriod).and_then(|value| value.parse::<u64>().ok());
    let what = both!("queues {name} and {dead_name}: retention, seconds", "キュー {name} と {dead_name}: 保持期間(秒)");
    let finding = setting(what, from).must(
        both!(
            "{dead_name} keeps longer than {name}, and both together with {RECOVERY_DAYS} days of backups less than the ledger's {} days",
            "{dead_name} は {name} より長く保持し、両方とバックアップ{RECOVERY_DAYS}日の合計が台帳の{}日より短い",
            wanted.ledger_days
        ),
        "a message that outlives the ledger's memory would be sent again; a dead letter keeps the age that it had (SQS developer guide)",
    );
    let Some((live, dead)) = seconds(live).zip(seconds(dead)) else { return finding.failed("no MessageRetentionPeriod") };
    let fits = live + dead + RECOVERY_DAYS * SECONDS_A_DAY < wanted.ledger_days * SECONDS_A_DAY;
    finding.is(both!("{live} and {dead}", "{live} と {dead}"), live < dead && fits).mended_by(both!(
        "correct retention_s and dead_letter_retention_s, then issei setup",
        "retention_s と dead_letter_retention_s を直してから `issei setup` を実行してください"
    ))
}

/// What Lambda polls the queue with, where it does. Processes poll by themselves. `spare` is what
/// the queue's visibility timeout has beyond six handlers.
async fn event_source(clients: &Clients, name: &str, arn: &str, spare: Option<Duration>) -> Finding {
    let what = both!("queue {name}: event source", "キュー {name}: イベントソース");
    let from = both!("Lambda ListEventSourceMappings of {name}", "Lambda ListEventSourceMappings({name})");
    let finding = setting(what, from).must(
        both!(
            "none; or enabled, with ReportBatchItemFailures, a maximum concurrency, and a batch window that fits into the visibility timeout beside 6 x handler timeout",
            "なし。または有効で、ReportBatchItemFailures と最大同時実行数があり、バッチウィンドウがハンドラーのタイムアウト6倍とともに可視性タイムアウトに収まる"
        ),
        "a batch that fails as a whole repeats what was done, and an event source that is throttled burns receives (Lambda developer guide)",
    );
    let mappings = match clients.lambda.event_sources(arn).await {
        Ok(mappings) => mappings,
        Err(error) => {
            // Whoever was not reached has denied nothing.
            let mend = if error.code().is_some() {
                both!("grant lambda:ListEventSourceMappings", "lambda:ListEventSourceMappings を許可してください")
            } else {
                both!(
                    "see that Lambda's endpoint can be reached from here (network, DNS, AWS_ENDPOINT_URL_LAMBDA), and look again",
                    "Lambdaのエンドポイントに接続できるか(ネットワーク、DNS、AWS_ENDPOINT_URL_LAMBDA)を確認して、もう一度試してください"
                )
            };
            return finding.failed(error).mended_by(mend);
        }
    };
    let mut holds = true;
    let told: Vec<Bilingual> = mappings
        .iter()
        .map(|mapping| {
            let state = mapping.state.as_deref();
            let (partial, concurrency, window) = (mapping.reports_item_failures(), mapping.concurrency_max(), mapping.window_s());
            let fits = spare.is_none_or(|spare| spare >= Duration::from_secs(window));
            holds &= state == Some("Enabled") && partial && concurrency.is_some() && fits;
            let function = mapping.function_arn.as_deref().and_then(|arn| arn.rsplit(':').next());
            both!(
                "{} {}, partial failures {partial}, concurrency {concurrency:?}, batch window {window} s",
                "{} {}、部分的な失敗の報告 {partial}、同時実行数 {concurrency:?}、バッチウィンドウ {window}秒",
                or_untold(function),
                or_untold(state)
            )
        })
        .collect();
    let value = if told.is_empty() {
        both!("none: processes poll", "なし: プロセスが取得します")
    } else {
        Bilingual::join(told, ("; ", "。"))
    };
    finding.is(value, holds).mended_by(both!("correct the event source mapping", "イベントソースマッピングを直してください"))
}

async fn table(clients: &Clients, wanted: &Wanted) -> Vec<Finding> {
    let name = &wanted.table;
    let from = |call: &str| both!("DynamoDB {call} of {name}", "DynamoDB {call}({name})");
    let mut findings = Vec::new();
    match clients.dynamodb.describe_table().table_name(name).call().await {
        Ok(answer) => {
            let table = answer.table;
            let protected = table.as_ref().and_then(|table| table.deletion_protection_enabled);
            findings.push(
                setting(both!("table {name}: deletion protection", "テーブル {name}: 削除保護"), from("DescribeTable"))
                    .must(on(), "a ledger that is gone has forgotten who was sent to")
                    .is(or_untold(protected), protected == Some(true))
                    .mended_by(Bilingual::verbatim(format!("aws dynamodb update-table --table-name {name} --deletion-protection-enabled"))),
            );
            let billing = table.and_then(|table| table.billing_mode_summary).and_then(|summary| summary.billing_mode);
            findings.push(
                setting(both!("table {name}: billing mode", "テーブル {name}: 課金モード"), from("DescribeTable"))
                    .must(Bilingual::verbatim("PAY_PER_REQUEST"), "a broadcast is a burst; provisioned capacity would throttle its claims")
                    .is(or_untold(billing.as_ref().map(BillingMode::as_str)), billing == Some(BillingMode::PayPerRequest))
                    .mended_by(Bilingual::verbatim(format!(
                        "aws dynamodb update-table --table-name {name} --billing-mode PAY_PER_REQUEST"
                    ))),
            );
        }
        Err(error) => findings.push(
            setting(both!("table {name}", "テーブル {name}"), from("DescribeTable"))
                .must(both!("there", "存在する"), "what may be sent is decided in it alone")
                .failed(chain(&error))
                .mended_by(setup()),
        ),
    }
    let finding = setting(both!("table {name}: time to live", "テーブル {name}: 有効期限(TTL)"), from("DescribeTimeToLive")).must(
        both!("on, by expires_at", "expires_at により有効"),
        "pages and chunks hold mail addresses, and go when nothing can bring a message back",
    );
    findings.push(match clients.dynamodb.describe_time_to_live().table_name(name).call().await {
        Ok(answer) => {
            let description = answer.time_to_live_description;
            let attribute = description.as_ref().and_then(|description| description.attribute_name.as_deref()).unwrap_or_default();
            let status = description.as_ref().and_then(|description| description.time_to_live_status.as_ref());
            let holds = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) && attribute == "expires_at";
            let status = or_untold(status.map(TimeToLiveStatus::as_str));
            finding.is(both!("{} {attribute}", "{} {attribute}", status), holds).mended_by(setup())
        }
        Err(error) => finding.failed(chain(&error)),
    });
    let what = both!("table {name}: point-in-time recovery", "テーブル {name}: ポイントインタイムリカバリ");
    let finding = setting(what, from("DescribeContinuousBackups")).must(on(), "the ledger is the only proof of who was sent to");
    findings.push(match clients.dynamodb.describe_continuous_backups().table_name(name).call().await {
        Ok(answer) => {
            let recovery = answer.continuous_backups_description.and_then(|backups| backups.point_in_time_recovery_description);
            let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
            let holds = status == Some(PointInTimeRecoveryStatus::Enabled);
            finding.is(or_untold(status.as_ref().map(PointInTimeRecoveryStatus::as_str)), holds).mended_by(setup())
        }
        Err(error) => finding.failed(chain(&error)),
    });
    findings
}

fn on() -> Bilingual {
    both!("on", "有効")
}

fn off() -> Bilingual {
    both!("off", "無効")
}

fn or_untold(told: Option<impl ToString>) -> Bilingual {
    told.map_or_else(|| both!("not told", "回答なし"), Bilingual::verbatim)
}

fn setup() -> Bilingual {
    Bilingual::verbatim("issei setup")
}

fn setup_or(property: &str) -> Bilingual {
    both!("issei setup, or correct {property} in the stack", "`issei setup` を実行するか、スタックの {property} を直してください")
}
