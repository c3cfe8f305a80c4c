//! Events in any order, as those of many providers' machines come.

use anyhow::Context;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use issei_aws::AwsCall;

use crate::world::{EVENTS, FEEDBACK, World};

/// What one call takes (SQS API reference).
const BATCH: usize = 10;

/// Carries all events to the feedback queue, shuffled.
pub(crate) async fn shuffle(world: &World) -> anyhow::Result<()> {
    let (sqs, from, to) = (&world.clients.sqs, world.queue(EVENTS).await?, world.queue(FEEDBACK).await?);
    let mut events = Vec::new();
    loop {
        let received = sqs.receive_message().queue_url(&from).max_number_of_messages(10).call().await?.messages.unwrap_or_default();
        if received.is_empty() {
            break;
        }
        let entries = received.iter().enumerate().filter_map(|(number, message)| {
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(message.receipt_handle()?).build().ok()
        });
        sqs.delete_message_batch().queue_url(&from).set_entries(Some(entries.collect())).call().await?;
        events.extend(received.into_iter().filter_map(|message| message.body));
    }
    fastrand::Rng::with_seed(1).shuffle(&mut events);
    for some in events.chunks(BATCH) {
        let entry = |(number, body): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body).build().context("an event without a body")
        };
        let entries = some.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        sqs.send_message_batch().queue_url(&to).set_entries(Some(entries)).call().await?;
    }
    Ok(())
}
