//! `issei setup`: queues, table and configuration set, made where they are missing.

use anyhow::Context;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use issei_assembly::{Parts, Settings, say};
use issei_aws::{AwsCall, Queue, chain, is_no_queue};
use serde::Serialize;
use serde_json::json;

use super::events;
use crate::Ended;
use crate::args::SetupOptions;
use crate::in_use::{self, Care};

/// One thing that `setup` looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) done: &'static str,
}

pub(crate) async fn run(settings: &Settings, options: &SetupOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Itself).await?;
    let mut made = Vec::new();
    let left = make_all(&parts, options, &mut made).await;
    if as_json {
        say(&json!({ "setup": made, "left": left.as_deref().unwrap_or_default(), "complete": left.is_ok() }).to_string());
        return left.map(|_| Ended::Well);
    }
    made.iter().for_each(|made| say(&format!("{:<20} {:<28} {}", made.what, made.name, made.done)));
    // What was made is there, whatever could not be.
    let left = left.context("not everything was made; mend this, and the same command again makes the rest")?;
    if !left.is_empty() {
        say("\nThe topic is yours, and issei does not look at its policy and its subscription. Where they are missing:");
        left.iter().for_each(|command| say(&format!("  {command}")));
    }
    Ok(Ended::Well)
}

/// Also the way of events, where that is wanted. Gives what is left to whoever owns the topic.
async fn make_all(parts: &Parts, options: &SetupOptions, made: &mut Vec<Made>) -> anyhow::Result<Vec<String>> {
    make_into(parts, made).await?;
    if options.events || options.events_topic.is_some() {
        events::make(parts, options.events_topic.as_ref(), made).await
    } else {
        Ok(Vec::new())
    }
}

/// Makes everything. Safe to repeat, and to run beside another.
pub(crate) async fn make(parts: &Parts) -> anyhow::Result<Vec<Made>> {
    let mut made = Vec::new();
    make_into(parts, &mut made).await?;
    Ok(made)
}

async fn make_into(parts: &Parts, made: &mut Vec<Made>) -> anyhow::Result<()> {
    let settings = &parts.settings;
    // Before anything is changed. Where there is no queue yet, it is nobody's.
    if let Ok(chunks) = parts.chunks_queue().await {
        parts.ledger().check_queues(&chunks).await?;
    }
    for name in [&settings.commands_queue, &settings.chunks_queue, &settings.feedback_queue] {
        make_queue(parts, name, made).await?;
    }
    let table = parts.ledger().ensure_table().await?;
    let done = match (table.created, table.time_to_live_turned_on || table.recovery_turned_on) {
        (true, _) => "made: on demand, point-in-time recovery, TTL",
        (false, true) => "was there; recovery or TTL turned on",
        (false, false) => "was there",
    };
    made.push(Made { what: "table", name: settings.table.clone(), done });
    made.push(make_configuration_set(parts).await?);
    Ok(())
}

async fn make_queue(parts: &Parts, name: &str, made: &mut Vec<Made>) -> anyhow::Result<()> {
    let settings = &parts.settings;
    let dead_letter_name = Queue::dead_letter_name(name);
    let dead = [(QueueAttributeName::MessageRetentionPeriod, settings.dead_letter_retention_s.to_string())];
    let (dead_letter_url, done) = ensure(parts, &dead_letter_name, &dead).await?;
    made.push(Made { what: "dead-letter queue", name: dead_letter_name, done });
    let arn = arn_of(parts, &dead_letter_url).await?;
    let live = [
        (QueueAttributeName::VisibilityTimeout, settings.visibility_timeout_s.to_string()),
        (QueueAttributeName::MessageRetentionPeriod, settings.retention_s.to_string()),
        (
            QueueAttributeName::RedrivePolicy,
            json!({ "deadLetterTargetArn": arn, "maxReceiveCount": settings.max_receives.to_string() }).to_string(),
        ),
    ];
    let (_, done) = ensure(parts, name, &live).await?;
    made.push(Made { what: "queue", name: name.to_owned(), done });
    Ok(())
}

pub(super) async fn url_of(parts: &Parts, name: &str) -> anyhow::Result<String> {
    let found = parts.clients.sqs.get_queue_url().queue_name(name).call().await;
    let found = found.map_err(|error| anyhow::anyhow!("SQS GetQueueUrl of `{name}`: {}", chain(&error)))?;
    found.queue_url.context("SQS gave no URL for a queue")
}

pub(super) async fn arn_of(parts: &Parts, url: &str) -> anyhow::Result<String> {
    let request = parts.clients.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn);
    let answer = request.call().await.map_err(|error| anyhow::anyhow!("SQS GetQueueAttributes: {}", chain(&error)))?;
    let arn = answer.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn));
    arn.context("SQS gave no ARN for a queue")
}

/// Finds or makes a queue and sets its attributes. Encryption with SQS's own keys is on for all.
async fn ensure(parts: &Parts, name: &str, attributes: &[(QueueAttributeName, String)]) -> anyhow::Result<(String, &'static str)> {
    let sqs = &parts.clients.sqs;
    let mut attributes: std::collections::HashMap<_, _> = attributes.iter().cloned().collect();
    attributes.insert(QueueAttributeName::SqsManagedSseEnabled, "true".to_owned());
    match sqs.get_queue_url().queue_name(name).call().await {
        Ok(found) => {
            let url = found.queue_url.unwrap_or_default();
            let request = sqs.set_queue_attributes().queue_url(&url).set_attributes(Some(attributes));
            request.call().await.map_err(|error| anyhow::anyhow!("SetQueueAttributes of `{name}`: {}", chain(&error)))?;
            Ok((url, "was there; attributes set"))
        }
        Err(error) if is_no_queue(error.code()) => {
            let request = sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
            let answer = request.call().await.map_err(|error| anyhow::anyhow!("CreateQueue of `{name}`: {}", chain(&error)))?;
            Ok((answer.queue_url.context("SQS gave no URL for the new queue")?, "made"))
        }
        Err(error) => Err(anyhow::anyhow!("SQS GetQueueUrl of `{name}`: {}", chain(&error))),
    }
}

async fn make_configuration_set(parts: &Parts) -> anyhow::Result<Made> {
    let name = parts.settings.configuration_set.clone();
    let done = parts.ses().make_configuration_set().await.map_err(anyhow::Error::msg)?;
    Ok(Made { what: "configuration set", name, done })
}
