//! What SES itself has counted.

use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{BatchGetMetricDataQuery, Metric, MetricDimensionName, MetricNamespace};
use issei_aws::{AwsCall, chain};
use issei_schema::both;
use jiff::{SignedDuration, Timestamp};

use super::{Ses, whole};
use crate::{Counted, Span};

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Ses {
    pub(super) async fn count(&self, span: Span) -> Counted {
        // One that waited for its time has sent nothing before.
        if span.now.duration_since(span.begins_at) < DAY { self.of_the_last_day().await } else { self.of_days(span).await }
    }

    async fn of_the_last_day(&self) -> Counted {
        let told = match self.client.get_account().call().await {
            Ok(answer) => answer.send_quota.map(|quota| whole(quota.sent_last24_hours)).ok_or_else(|| "SES did not tell".to_owned()),
            Err(error) => Err(chain(&error)),
        };
        let (what, asked) = (both!("SES: sent in the last 24 hours", "SES: 直近24時間の送信数"), "SES GetAccount SentLast24Hours");
        let too_few = both!(
            "this count lags: certify again in a few minutes; where it stays too small, see whether the account and the region that are asked here are those that sent, and give the message ids of `issei export` to AWS support",
            "この数は遅れて反映されます。数分後にもう一度 `issei certify` を実行してください。少ないままの場合は、ここで確認しているアカウントとリージョンが送信したものと同じか確認し、`issei export` のメッセージIDをAWSサポートに伝えてください"
        );
        Counted { what, asked, told, mend: both!("grant ses:GetAccount", "ses:GetAccount を許可してください"), too_few }
    }

    async fn of_days(&self, span: Span) -> Counted {
        let (what, asked) = (both!("SES: sent through the configuration set", "SES: 設定セットの送信数"), "SES BatchGetMetricData SEND");
        let mend = both!(
            "turn on the Virtual Deliverability Manager, whose metrics reach back; without it, certify within 24 hours of the command, or of the moment from which it may be sent",
            "過去の指標を参照できるVirtual Deliverability Managerを有効にしてください。有効にしない場合は、指示または送信可能になった時刻から24時間以内に `issei certify` を実行してください"
        );
        let too_few = both!(
            "these metrics lag, and count only since they are on: certify again in an hour; where it stays too small, see whether the account, the region and the configuration set that are asked here are those that sent",
            "この指標は遅れて反映され、有効にした後の分だけを数えます。1時間後にもう一度 `issei certify` を実行してください。少ないままの場合は、ここで確認しているアカウント、リージョン、設定セットが送信したものと同じか確認してください"
        );
        let counted = |told| Counted { what, asked, told, mend, too_few };
        let at = |at: Timestamp| DateTime::from_secs(at.as_second());
        let query = BatchGetMetricDataQuery::builder()
            .id("sent")
            .namespace(MetricNamespace::Vdm)
            .metric(Metric::Send)
            .dimensions(MetricDimensionName::ConfigurationSet, &self.configuration_set)
            // Whole days are what these metrics are kept by (SES API reference).
            .start_date(at(span.created_at.saturating_sub(DAY).unwrap_or(span.created_at)))
            .end_date(at(span.ended_at.saturating_add(DAY).unwrap_or(span.ended_at)))
            .build();
        let query = match query {
            Ok(query) => query,
            Err(error) => return counted(Err(error.to_string())),
        };
        match self.client.batch_get_metric_data().queries(query).call().await {
            Ok(answer) => {
                let values = answer.results.unwrap_or_default().first().and_then(|result| result.values.clone());
                let sum = |values: Vec<i64>| values.into_iter().filter_map(|value| u64::try_from(value).ok()).sum();
                counted(values.map(sum).ok_or_else(|| "SES has no such metric".to_owned()))
            }
            Err(error) => counted(Err(chain(&error))),
        }
    }
}
