//! The bare loop: the SDK calls that sending takes, at the same batch sizes and over the same messages, and nothing
//! else. It receives ten messages, and for each of them claims by a conditional write, sends to fifty and
//! confirms by another; it deletes the ten. It looks at no state, no rate, no permit and no proof.

use std::sync::Arc;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageTag, ReplacementEmailContent, ReplacementTemplate, Template,
};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use issei_aws::Clients;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::world;

#[derive(clap::Args)]
pub(crate) struct Work {
    /// The queue's URL.
    #[arg(long)]
    queue: String,
    /// Receives under way at once.
    #[arg(long, default_value_t = 4)]
    receivers: usize,
}

#[derive(Deserialize)]
struct Chunk {
    broadcast_id: String,
    chunk: u32,
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    address: String,
    data: std::collections::BTreeMap<String, String>,
}

/// Works until it is killed.
pub(crate) async fn work(work: Work) -> anyhow::Result<()> {
    let clients = Arc::new(world::clients().await);
    let mut receivers = JoinSet::new();
    for _ in 0..work.receivers {
        let (clients, queue) = (clients.clone(), work.queue.clone());
        receivers.spawn(async move { receive(&clients, &queue).await });
    }
    while let Some(ended) = receivers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn receive(clients: &Arc<Clients>, queue: &str) -> anyhow::Result<()> {
    loop {
        let receive = clients.sqs.receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(20);
        let messages = receive.send().await?.messages.unwrap_or_default();
        let mut handled = JoinSet::new();
        for message in messages {
            let clients = clients.clone();
            handled.spawn(async move {
                send(&clients, message.body().unwrap_or_default()).await?;
                message.receipt_handle.context("a message without a receipt")
            });
        }
        let mut entries = Vec::new();
        while let Some(receipt) = handled.join_next().await {
            entries.push(DeleteMessageBatchRequestEntry::builder().id(entries.len().to_string()).receipt_handle(receipt??).build()?);
        }
        if !entries.is_empty() {
            clients.sqs.delete_message_batch().queue_url(queue).set_entries(Some(entries)).send().await?;
        }
    }
}

async fn send(clients: &Clients, body: &str) -> anyhow::Result<()> {
    let chunk: Chunk = serde_json::from_str(body)?;
    let key = |request: aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder| {
        let pk = format!("b#{}#{:02}", chunk.broadcast_id, chunk.chunk % 16);
        request.table_name(world::TABLE).key("pk", S(pk)).key("sk", S(format!("bare#{:08}", chunk.chunk)))
    };
    key(clients.dynamodb.update_item())
        .update_expression("SET chunk_state = :claimed, owner_token = :owner, attempt = :attempt, outcomes = :outcomes")
        .condition_expression("attribute_not_exists(pk)")
        .expression_attribute_values(":claimed", S("claimed".to_owned()))
        .expression_attribute_values(":owner", S("0123456789abcdef0123456789abcdef".to_owned()))
        .expression_attribute_values(":attempt", N("1".to_owned()))
        .expression_attribute_values(":outcomes", S("o".repeat(chunk.recipients.len())))
        .send()
        .await?;
    let entries = chunk.recipients.iter().enumerate().map(|(at, recipient)| entry(&chunk, at, recipient)).collect::<Result<Vec<_>, _>>()?;
    let words = EmailTemplateContent::builder()
        .subject("New terms for {{name}}")
        .text("Dear {{name}}, on {{plan}}. ".repeat(12))
        .html("<p>{{name}}, {{plan}}</p>".repeat(16));
    let template = Template::builder().template_data("{}").template_content(words.build()).build();
    let sent = clients
        .ses
        .send_bulk_email()
        .from_email_address("Example <no-reply@example.com>")
        .configuration_set_name(world::CONFIGURATION_SET)
        .default_content(BulkEmailContent::builder().template(template).build())
        .set_bulk_email_entries(Some(entries))
        .send()
        .await?;
    let ids: Vec<&str> = sent.bulk_email_entry_results().iter().map(|result| result.message_id().unwrap_or("-")).collect();
    key(clients.dynamodb.update_item())
        .update_expression("SET chunk_state = :confirmed, outcomes = :outcomes, message_ids = :ids")
        .condition_expression("owner_token = :owner AND chunk_state = :claimed")
        .expression_attribute_values(":confirmed", S("confirmed".to_owned()))
        .expression_attribute_values(":claimed", S("claimed".to_owned()))
        .expression_attribute_values(":owner", S("0123456789abcdef0123456789abcdef".to_owned()))
        .expression_attribute_values(":outcomes", S("a".repeat(ids.len())))
        .expression_attribute_values(":ids", S(ids.join(" ")))
        .send()
        .await?;
    Ok(())
}

fn entry(chunk: &Chunk, at: usize, recipient: &Recipient) -> anyhow::Result<BulkEmailEntry> {
    let data = ReplacementTemplate::builder().replacement_template_data(serde_json::to_string(&recipient.data)?).build();
    let tag = |name: &str, value: String| MessageTag::builder().name(name).value(value).build();
    let tags = [
        tag("broadcast", chunk.broadcast_id.clone())?,
        tag("chunk", chunk.chunk.to_string())?,
        tag("recipient", at.to_string())?,
        tag("registration", "0123456789abcdef0123".to_owned())?,
    ];
    Ok(BulkEmailEntry::builder()
        .destination(Destination::builder().to_addresses(&recipient.address).build())
        .replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build())
        .set_replacement_tags(Some(tags.into()))
        .build())
}
