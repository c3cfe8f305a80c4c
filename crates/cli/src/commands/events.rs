//! `issei setup --events`: the way of SES's events, from the configuration set by an SNS topic to the feedback
//! queue. With a topic of one's own (`--events-topic`) what is to be done in SNS is told, and nothing done there.
//!
//! Nobody but the topic may write events then: they are believed as they come, or by the signature that SNS gives
//! them where `sns_signatures` asks for one.

mod topic;

use anyhow::{Context, bail};
use aws_sdk_sqs::types::QueueAttributeName;
use issei_assembly::Parts;
use issei_aws::{AwsCall, Delivery, Queue, chain};
use issei_provider::Ses;
use issei_provider::SnsTrust;
use issei_schema::TopicArn;
use serde_json::{Value, json};

use super::setup::{Made, arn_of, url_of};

/// What tells our policy from another's.
const OURS: &str = "OnlyTheTopic";

/// Makes what is missing, and gives what is left to be done. Without a topic of one's own, the topic is made too.
pub(crate) async fn make(parts: &Parts, own: Option<&TopicArn>, made: &mut Vec<Made>) -> anyhow::Result<Vec<String>> {
    let name = &parts.settings.feedback_queue;
    let dead = Queue::dead_letter_name(name);
    let (url, dead_url) = (url_of(parts, name).await?, url_of(parts, &dead).await?);
    let (arn, dead_arn) = (arn_of(parts, &url).await?, arn_of(parts, &dead_url).await?);
    let trust = parts.settings.sns_trust()?;
    let delivery = if matches!(trust, SnsTrust::Require(_)) { Delivery::Signed } else { Delivery::Raw };
    let topic = match own {
        Some(topic) => topic.clone(),
        None => topic::beside(parts, &arn)?,
    };
    // Before anything is made: the feedback consumer would bury whatever came by this way.
    if let SnsTrust::Require(named) = &trust
        && *named != topic
    {
        bail!(
            "sns_signatures is `require` and sns_topic {named}, so no event by the topic {topic} would be believed; name that with sns_topic"
        );
    }
    if own.is_none() {
        topic::make(parts, &topic, made).await?;
    }
    for (name, url, arn, live) in [(name, &url, &arn, None), (&dead, &dead_url, &dead_arn, Some(arn.as_str()))] {
        let done = set_policy(parts, name, url, &policy(&topic, arn, &parts.settings.configuration_set, live)).await?;
        made.push(Made { what: "queue policy", name: name.clone(), done });
    }
    let left = if own.is_some() { left_in_sns(&topic, &arn, &parts.settings.configuration_set, delivery) } else { Vec::new() };
    if own.is_none() {
        made.push(topic::subscribe(parts, &topic, &arn, &dead_arn, delivery).await?);
    }
    // SES publishes a first message when the destination is made, so whatever lets it must be there before.
    let destination = parts.ses().make_events_to(&topic).await.map_err(anyhow::Error::msg);
    let done = destination.with_context(|| match left.as_slice() {
        [] => "the topic lets SES publish, and SES does not take it; look at it in the SNS console, then repeat `issei setup --events`"
            .to_owned(),
        left => format!("let SES publish to the topic first: {}", left.join("; then ")),
    })?;
    made.push(Made { what: "event destination", name: Ses::DESTINATION.to_owned(), done });
    Ok(left)
}

/// For a topic of one's own: the commands.
fn left_in_sns(topic: &TopicArn, queue: &str, set: &str, delivery: Delivery) -> Vec<String> {
    let (arn, is_raw) = (topic.as_str(), delivery.as_str());
    vec![
        format!("aws sns set-topic-attributes --topic-arn {arn} --attribute-name Policy --attribute-value '{}'", topic::policy(topic, set)),
        format!(
            "aws sns subscribe --topic-arn {arn} --protocol sqs --notification-endpoint {queue} --attributes RawMessageDelivery={is_raw}"
        ),
    ]
}

/// Nobody may write but the topic, and by their tag the role that moves dead events back and the API of webhooks.yaml, whose
/// events are believed by their signature alone; to the dead-letter queue also
/// SQS itself, and the role of the feedback consumer, which buries what is no event (infra/state.yaml): what lies there is
/// believed once it is moved back. `live` is the queue whose dead letters they are.
fn policy(topic: &TopicArn, queue: &str, prefix: &str, live: Option<&str>) -> Value {
    let allow = json!({
        "Sid": OURS, "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": { "ArnEquals": { "aws:SourceArn": topic.as_str() } },
    });
    let roles = match live {
        None => json!([format!("{prefix}-event-redriver"), format!("{prefix}-webhooks")]),
        Some(_) => json!(format!("{prefix}-feedback")),
    };
    // A negated condition holds where its key is missing, too (IAM user guide, "Condition operators").
    let deny = json!({
        "Sid": "AndNobodyElse", "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue,
        "Condition": {
            "ArnNotEquals": { "aws:SourceArn": live.map_or_else(|| json!(topic.as_str()), |live| json!([topic.as_str(), live])) },
            "StringNotEquals": { "aws:PrincipalTag/issei-part": roles },
        },
    });
    json!({ "Version": "2012-10-17", "Statement": [allow, deny] })
}

/// Another's policy is left alone: what it allows or forbids is not ours to know.
async fn set_policy(parts: &Parts, name: &str, url: &str, policy: &Value) -> anyhow::Result<&'static str> {
    let sqs = &parts.clients.sqs;
    let asked = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::Policy).call().await;
    let answer = asked.map_err(|error| anyhow::anyhow!("SQS GetQueueAttributes of `{name}`: {}", chain(&error)))?;
    let there = answer.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::Policy)).filter(|text| !text.is_empty());
    let done = match there.map(|text| serde_json::from_str::<Value>(&text).unwrap_or_default()) {
        Some(there) if there == *policy => return Ok("was there"),
        Some(there) if there["Statement"][0]["Sid"] != OURS => {
            bail!("the queue `{name}` has a policy of its own, which is left alone; add to it by hand: {policy}")
        }
        Some(_) => "was there; changed to this topic",
        None => "made",
    };
    let request = sqs.set_queue_attributes().queue_url(url).attributes(QueueAttributeName::Policy, policy.to_string());
    request.call().await.map_err(|error| anyhow::anyhow!("SQS SetQueueAttributes of `{name}`: {}", chain(&error)))?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever runs `issei setup --events` beside the templates takes nothing away from them.
    #[test]
    fn whoever_the_template_lets_write_to_the_feedback_queue_may_write_by_this_policy_too() {
        let template = include_str!("../../../../infra/state.yaml");
        let (_, denied) = template.split_once("Sid: AndNobodyElse").unwrap();
        let (denied, _) = denied.split_once("Sid: NorAmongDeadEvents").unwrap();
        let let_in: Vec<&str> = denied.split("${Prefix}").skip(1).map(|part| part.split('"').next().unwrap()).collect();
        let topic = "arn:aws:sns:ap-northeast-1:123456789012:issei-events".parse().unwrap();
        let ours = policy(&topic, "arn:aws:sqs:ap-northeast-1:123456789012:issei-feedback", "", None);
        assert_eq!(ours["Statement"][1]["Condition"]["StringNotEquals"]["aws:PrincipalTag/issei-part"], json!(let_in));
        assert_eq!(let_in, ["-event-redriver", "-webhooks"]);
    }

    #[test]
    fn a_topic_is_known_by_its_arn() {
        assert!("arn:aws:sns:ap-northeast-1:123456789012:issei-events".parse::<TopicArn>().is_ok());
        for bad in ["issei-events", "arn:aws:sqs:us-east-1:1:q", "arn:aws:sns:us-east-1:1:", "arn:aws:sns:us-east-1:1:t:sub"] {
            assert!(bad.parse::<TopicArn>().is_err(), "{bad}");
        }
    }
}
