//! The provider's own count of what it sent, against what the ledger calls accepted.

use aws_sdk_sesv2::types::{BatchGetMetricDataQuery, Metric, MetricDimensionName, MetricNamespace};
use issei_aws::{Clients, chain};
use issei_ledger::Broadcast;
use jiff::{SignedDuration, Timestamp};

use crate::data::data;
use crate::finding::Finding;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What the provider itself has counted. Others may send through the account too, so it can only be too much.
pub(crate) async fn provider_count(
    clients: &Clients,
    configuration_set: &str,
    broadcast: &Broadcast,
    accepted: u64,
    now: Timestamp,
) -> Finding {
    if let Some(provider) = &broadcast.provider {
        let why = "what the ledger calls accepted rests on the provider's answers and events alone";
        let finding = data(&format!("{provider}: its own count"), "nothing is asked of it");
        return finding.rule("none", why).found("no such count is known of this provider", true);
    }
    let why = "what the ledger calls accepted, SES must have counted";
    let rule = format!("{accepted} (accepted) or more");
    // One that waited for its time has sent nothing before.
    if now.duration_since(broadcast.begins_at()) < DAY {
        let finding = data("SES: sent in the last 24 hours", "SES GetAccount SentLast24Hours").rule(rule, why);
        return match clients.ses.get_account().send().await {
            Ok(answer) => match answer.send_quota.map(|quota| quota.sent_last24_hours) {
                Some(sent) => finding.found(sent, sent >= as_f64(accepted)),
                None => finding.unreadable("SES did not tell"),
            },
            Err(error) => finding.unreadable(chain(&error)).mend("grant ses:GetAccount"),
        };
    }
    let ended = broadcast.last_step().map_or(now, |entry| entry.at);
    let finding = data("SES: sent through the configuration set", "SES BatchGetMetricData SEND").rule(rule, why);
    let mend = "turn on the Virtual Deliverability Manager, whose metrics reach back; without it, certify within 24 hours of the command, or of the moment from which it may be sent";
    let at = |at: Timestamp| aws_sdk_sesv2::primitives::DateTime::from_secs(at.as_second());
    let query = BatchGetMetricDataQuery::builder()
        .id("sent")
        .namespace(MetricNamespace::Vdm)
        .metric(Metric::Send)
        .dimensions(MetricDimensionName::ConfigurationSet, configuration_set)
        // Whole days are what these metrics are kept by (SES API reference).
        .start_date(at(broadcast.created_at.saturating_sub(DAY).unwrap_or(broadcast.created_at)))
        .end_date(at(ended.saturating_add(DAY).unwrap_or(ended)))
        .build();
    let query = match query {
        Ok(query) => query,
        Err(error) => return finding.unreadable(error),
    };
    match clients.ses.batch_get_metric_data().queries(query).send().await {
        Ok(answer) => match answer.results.unwrap_or_default().first().and_then(|result| result.values.clone()) {
            Some(values) => {
                let sent = values.into_iter().filter_map(|value| u64::try_from(value).ok()).sum::<u64>();
                finding.found(sent, sent >= accepted)
            }
            None => finding.unreadable("SES has no such metric").mend(mend),
        },
        Err(error) => finding.unreadable(chain(&error)).mend(mend),
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn as_f64(recipients: u64) -> f64 {
    recipients as f64
}
