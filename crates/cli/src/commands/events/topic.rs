//! The SNS topic of SES's events: the topic itself, who may publish to it, and its subscription to the feedback
//! queue. A policy or a filter that somebody else has put there is never replaced.

use anyhow::{Context, anyhow, bail};
use issei_assembly::Parts;
use issei_aws::{CallError, Delivery};
use issei_schema::TopicArn;
use serde_json::{Value, json};

use crate::commands::setup::Made;

/// What tells our policy from another's. The templates in `infra/` have the same.
const OURS: &str = "OnlyThisConfigurationSet";
/// The policy that SNS gives to a new topic.
const FIRST: &str = "__default_policy_ID";

/// The topic for the configuration set's events, in the account and region of the queue.
pub(super) fn beside(parts: &Parts, queue: &str) -> anyhow::Result<TopicArn> {
    let [_, partition, _, region, account] = parts_of(queue).context("SQS gave no ARN for the feedback queue")?;
    let arn = format!("arn:{partition}:sns:{region}:{account}:{}", name(parts));
    arn.parse().map_err(anyhow::Error::msg)
}

fn name(parts: &Parts) -> String {
    format!("{}-events", parts.settings.configuration_set)
}

/// The topic, and its policy.
pub(super) async fn make(parts: &Parts, topic: &TopicArn, made: &mut Vec<Made>) -> anyhow::Result<()> {
    let (sns, name) = (&parts.clients.sns, name(parts));
    // SNS does not say whether it has made a topic, so it is looked for first.
    let (there, done) = match sns.topic_attributes(topic.as_str()).await {
        Ok(there) => (there, "was there"),
        Err(error) if error.is_not_found() => {
            let arn = sns.create_topic(&name).await.map_err(explained)?;
            if arn != topic.as_str() {
                bail!(
                    "SNS made the topic {arn}, and the queue is beside {topic}; let AWS_ENDPOINT_URL_SNS lead to the queue's account and region"
                );
            }
            (sns.topic_attributes(topic.as_str()).await.map_err(explained)?, "made")
        }
        Err(error) => return Err(explained(error)),
    };
    made.push(Made { what: "events topic", name: name.clone(), done });
    let done = set_policy(parts, topic, there.get("Policy").map(String::as_str)).await?;
    made.push(Made { what: "topic policy", name, done });
    Ok(())
}

/// Lets SES publish for this configuration set, and nobody else.
pub(super) fn policy(topic: &TopicArn, set: &str) -> Value {
    let (partition, region, account) = (topic.partition(), topic.region(), topic.account());
    json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": OURS, "Effect": "Allow", "Principal": { "Service": "ses.amazonaws.com" }, "Action": "sns:Publish", "Resource": topic.as_str(),
        "Condition": {
            "StringEquals": { "AWS:SourceAccount": account },
            "ArnEquals": { "AWS:SourceArn": format!("arn:{partition}:ses:{region}:{account}:configuration-set/{set}") },
        },
    }] })
}

/// `arn`, partition, service, region and account of an ARN.
fn parts_of(arn: &str) -> Option<[&str; 5]> {
    arn.split(':').collect::<Vec<_>>().first_chunk().copied()
}

async fn set_policy(parts: &Parts, topic: &TopicArn, there: Option<&str>) -> anyhow::Result<&'static str> {
    let wanted = policy(topic, &parts.settings.configuration_set);
    let done = match there.filter(|text| !text.is_empty()).map(|text| serde_json::from_str::<Value>(text).unwrap_or_default()) {
        Some(there) if there == wanted => return Ok("was there"),
        None => "made",
        Some(there) if there["Id"] == FIRST => "made",
        Some(there) if there["Statement"][0]["Sid"] == OURS => "was there; changed to this configuration set",
        Some(_) => bail!(
            "the topic {topic} has a policy of its own, which is left alone; add to it by hand: {wanted}; then repeat this with `--events-topic {topic}`"
        ),
    };
    parts.clients.sns.set_topic_policy(topic.as_str(), &wanted.to_string()).await.map_err(explained)?;
    Ok(done)
}

/// Where there is none yet. The feedback consumer reads both kinds, unless it asks for signatures.
pub(super) async fn subscribe(parts: &Parts, topic: &TopicArn, queue: &str, dead: &str, delivery: Delivery) -> anyhow::Result<Made> {
    let sns = &parts.clients.sns;
    let made = |done| Made { what: "subscription", name: parts.settings.feedback_queue.clone(), done };
    // What is not confirmed has a word in place of its ARN.
    let there = sns.subscription(topic.as_str(), queue).await.map_err(explained)?.filter(|arn| arn.starts_with("arn:"));
    let Some(there) = there else {
        sns.subscribe(topic.as_str(), queue, dead, delivery).await.map_err(explained)?;
        return Ok(made(if delivery == Delivery::Raw { "made" } else { "made, without raw delivery" }));
    };
    let attributes = sns.subscription_attributes(&there).await.map_err(explained)?;
    if attributes.get("FilterPolicy").is_some_and(|filter| !filter.is_empty() && filter != "{}") {
        bail!(
            "the subscription {there} has a filter, so events may be missing; take it away: aws sns set-subscription-attributes --subscription-arn {there} --attribute-name FilterPolicy --attribute-value '{{}}'"
        );
    }
    let is_raw = attributes.get("RawMessageDelivery").is_some_and(|raw| raw == Delivery::Raw.as_str());
    if is_raw && delivery == Delivery::Signed {
        bail!(
            "sns_signatures is `require`, and the subscription {there} delivers raw messages, which have no signature: no event would be believed; turn that off: aws sns set-subscription-attributes --subscription-arn {there} --attribute-name RawMessageDelivery --attribute-value false"
        );
    }
    Ok(made(if is_raw { "was there" } else { "was there, without raw delivery" }))
}

/// With the next step.
fn explained(error: CallError) -> anyhow::Error {
    if error.is_denied() {
        let action = error.action();
        return anyhow!("{error}; grant {action} to whoever runs `issei setup`, or make a topic yourself and give it with --events-topic");
    }
    anyhow!("{error}; see that AWS_REGION and AWS_ENDPOINT_URL_SNS are as meant, then repeat this: it goes on where it ended")
}
