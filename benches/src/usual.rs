//! The usual way: a message for each user, and for each message a conditional put, a `SendEmail` and a deletion.

use std::sync::Arc;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue::S;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use issei_aws::Clients;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::world;

#[derive(clap::Args)]
pub(crate) struct Work {
    /// The queue's URL.
    #[arg(long)]
    queue: String,
    #[arg(long)]
    users: u32,
    /// Receives under way at once.
    #[arg(long, default_value_t = 4)]
    receivers: usize,
}

#[derive(Serialize, Deserialize)]
struct User {
    id: u32,
    email: String,
    name: String,
}

/// Enqueues everybody, and then works until it is killed.
pub(crate) async fn work(work: Work) -> anyhow::Result<()> {
    let clients = Arc::new(world::clients().await);
    let all: Vec<u32> = (1..=work.users).collect();
    for some in all.chunks(10) {
        let entry = |id: &u32| {
            let user = User { id: *id, email: format!("user{id:07}@example.com"), name: format!("Grace Hopper {id}") };
            let body = serde_json::to_string(&user)?;
            anyhow::Ok(SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(body).build()?)
        };
        let entries = some.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        clients.sqs.send_message_batch().queue_url(&work.queue).set_entries(Some(entries)).send().await?;
    }
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
            let (clients, queue) = (clients.clone(), queue.to_owned());
            handled.spawn(async move {
                send(&clients, message.body().unwrap_or_default()).await?;
                let receipt = message.receipt_handle.context("a message without a receipt")?;
                clients.sqs.delete_message().queue_url(queue).receipt_handle(receipt).send().await?;
                anyhow::Ok(())
            });
        }
        while let Some(sent) = handled.join_next().await {
            sent??;
        }
    }
}

async fn send(clients: &Clients, body: &str) -> anyhow::Result<()> {
    let user: User = serde_json::from_str(body)?;
    let put = clients.dynamodb.put_item().table_name(world::TABLE);
    let put = put.item("pk", S(format!("terms#{}", user.id))).item("sk", S("sent".to_owned()));
    put.condition_expression("attribute_not_exists(pk)").send().await?;
    let text = |text: String| Content::builder().data(text).build();
    let body = Body::builder().text(text(format!("Dear {}, new terms. ", user.name).repeat(12))?);
    let body = body.html(text(format!("<p>{}</p>", user.name).repeat(16))?).build();
    let message = Message::builder().subject(text(format!("New terms for {}", user.name))?).body(body).build();
    clients
        .ses
        .send_email()
        .from_email_address("Example <no-reply@example.com>")
        .configuration_set_name(world::CONFIGURATION_SET)
        .destination(Destination::builder().to_addresses(user.email).build())
        .content(EmailContent::builder().simple(message).build())
        .send()
        .await?;
    Ok(())
}
