//! Two versions side by side, as in every deployment. Consumers are upgraded first: they read every version of
//! chunk messages, and an old one reads none that a new producer proves. An old build is one for which version
//! 1 or 2 is the newest, and an old registration one that has no key.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::BroadcastState;
use issei_schema::{ChunkMessage, ChunkVersion, TraceParent, Traces};
use issei_test_support::{World, WorldOptions, judge};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::on_call::enqueued;

/// A producer that traces what it does.
const TRACED: Traces = Traces {
    current: || TraceParent::try_from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()).ok(),
    follow: |_, _| {},
};

fn options(reads: ChunkVersion, traces: Traces) -> WorldOptions {
    WorldOptions { reads, traces, ..WorldOptions::default() }
}

/// The broadcast as a build registered it that knew no keys, with the messages of such a build on the queue.
async fn registered_by_an_old_build() -> World {
    let world = enqueued(options(ChunkVersion::NEWEST, Traces::NONE)).await;
    let key = [("pk", "b#terms"), ("sk", "broadcast")].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    let update = world.clients.dynamodb.update_item().table_name("ledger").set_key(Some(key.into()));
    update.update_expression("REMOVE message_key, reopenings").call().await.unwrap();
    let (queue, broadcast) = (world.queue("chunks").await, world.broadcast("terms").await);
    take_all(&world).await;
    for page in 0..broadcast.pages {
        let page = world.ledger().page(&broadcast.placed(), page).await.unwrap();
        for message in page.messages(&broadcast, None) {
            queue.send(&message.to_body(), Duration::ZERO).await.unwrap();
        }
    }
    world
}

/// Everything that lies on the chunks queue, taken off it.
async fn take_all(world: &World) -> Vec<ChunkMessage> {
    let (queue, mut all) = (world.queue("chunks").await, Vec::new());
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            return all;
        }
        all.extend(messages.iter().map(|message| ChunkMessage::parse(&message.body).unwrap()));
        queue.delete_batch(messages.into_iter().map(|message| message.receipt).collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_consumer_sends_what_an_old_producer_registered_and_enqueued() {
    let world = registered_by_an_old_build().await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, world.dead_letters("chunks").await), (BroadcastState::Complete, vec![]));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// There is no key to prove it under, so it is compared with the frozen page.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_for_an_old_registration_is_buried_too() {
    let world = registered_by_an_old_build().await;
    let queue = world.queue("chunks").await;
    for mut forged in take_all(&world).await {
        forged.recipients.iter_mut().for_each(|recipient| recipient.address = "eve@example.com".parse().unwrap());
        queue.send(&forged.to_body(), Duration::ZERO).await.unwrap();
    }
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    wait_until_drained(&world).await;
    stop.cancel();
    consumer.await.unwrap();
    let buried = world.dead_letters("chunks").await;
    assert_eq!((buried.len(), world.cloud.accepted()), (10, 0));
    assert!(buried.iter().all(|(_, reason)| reason.contains("holds no such chunk")), "{buried:?}");
    world.repairer().await.repair(&"terms".parse().unwrap(), world.now(), &"an operator".parse().unwrap(), "forged").await.unwrap();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Producers were upgraded before every consumer was. What the old one can't read it buries with the reason,
/// and after a redrive the new one sends it. Nobody gets two mails for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_consumer_cant_read_waits_for_the_upgrade() {
    let mut world = enqueued(options(ChunkVersion::V2, TRACED)).await;
    let stop = CancellationToken::new();
    let old = tokio::spawn(world.consumer().await.run(stop.clone()));
    wait_until_drained(&world).await;
    stop.cancel();
    old.await.unwrap();
    let buried = world.dead_letters("chunks").await;
    assert_eq!((buried.len(), world.cloud.accepted()), (10, 0));
    assert!(buried.iter().all(|(_, reason)| reason.contains("field `version` is 3") && reason.contains("redrive")), "{buried:?}");
    world.options.reads = ChunkVersion::NEWEST;
    world.cloud.show_all_messages();
    world.queue("chunks").await.redrive().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Half of the consumers are upgraded. Each message finds one or the other, and is sent or kept.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_consumers_at_once_lose_nothing() {
    let mut world = enqueued(options(ChunkVersion::V2, TRACED)).await;
    let stop = CancellationToken::new();
    let mut consumers = JoinSet::new();
    for reads in [ChunkVersion::V2, ChunkVersion::NEWEST] {
        world.options.reads = reads;
        consumers.spawn(world.consumer().await.run(stop.clone()));
    }
    wait_until_drained(&world).await;
    stop.cancel();
    consumers.join_all().await;
    let buried = world.dead_letters("chunks").await.len() as u64;
    assert_eq!(world.cloud.accepted() + 10 * buried, 100);
    world.cloud.show_all_messages();
    world.queue("chunks").await.redrive().await.unwrap();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// An old producer enqueued chunks of a broadcast that a new one has registered: it knows no key, and what it
/// writes proves nothing. Nothing is sent for it, and a repair enqueues it properly.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_producer_enqueued_beside_a_new_one_is_buried_and_repaired() {
    for trace in [None, (TRACED.current)()] {
        let world = enqueued(options(ChunkVersion::NEWEST, Traces::NONE)).await;
        let queue = world.queue("chunks").await;
        for message in take_all(&world).await {
            let ChunkMessage { broadcast_id, page, chunk, recipients, .. } = message;
            let old = ChunkMessage::new(None, broadcast_id, page, chunk, recipients, trace.clone());
            queue.send(&old.to_body(), Duration::ZERO).await.unwrap();
        }
        let stop = CancellationToken::new();
        let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
        wait_until_drained(&world).await;
        stop.cancel();
        consumer.await.unwrap();
        let buried = world.dead_letters("chunks").await;
        assert_eq!((buried.len(), world.cloud.accepted()), (10, 0));
        assert!(buried.iter().all(|(_, reason)| reason.contains("proves nothing") && reason.contains("issei repair")), "{buried:?}");
        let actor = "an operator".parse().unwrap();
        world.repairer().await.repair(&"terms".parse().unwrap(), world.now(), &actor, "upgraded").await.unwrap();
        world.run_to_the_end("terms").await;
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

/// Until every message has been handled, one way or the other.
async fn wait_until_drained(world: &World) {
    world.assert_drained().await;
}
