//! Two versions side by side, as in every deployment: chunk messages of version 1 and of version 2, whose
//! producers tell which trace they belong to. An old build is one for which version 1 is the newest.

use std::time::Duration;

use issei_ledger::BroadcastState;
use issei_schema::{ChunkVersion, TraceParent, Traces};
use issei_test_support::{World, WorldOptions, judge};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::on_call::enqueued;

/// A producer that traces what it does, and so writes version 2.
const TRACED: Traces = Traces {
    current: || TraceParent::try_from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()).ok(),
    follow: |_, _| {},
};

fn options(reads: ChunkVersion, traces: Traces) -> WorldOptions {
    WorldOptions { reads, traces, ..WorldOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_consumer_reads_what_a_new_producer_writes() {
    let world = enqueued(options(ChunkVersion::V1, Traces::NONE)).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, world.dead_letters("chunks").await), (BroadcastState::Complete, vec![]));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// What an old producer wrote, byte for byte: without a trace nothing is new in a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_consumer_reads_what_an_old_producer_wrote() {
    let world = enqueued(options(ChunkVersion::V2, Traces::NONE)).await;
    let messages = world.queue("chunks").await.receive(10, Duration::ZERO).await.unwrap();
    assert!(messages.len() == 10 && messages.iter().all(|message| message.body.starts_with(r#"{"version":1,"#)));
    world.queue("chunks").await.send_copies(&messages, Duration::ZERO).await.unwrap();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Traces were turned on before every consumer was upgraded. What the old one can't read it buries with the
/// reason, and after a redrive the new one sends it. Nobody gets two mails for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_consumer_cant_read_waits_for_the_upgrade() {
    let mut world = enqueued(options(ChunkVersion::V1, TRACED)).await;
    let stop = CancellationToken::new();
    let old = tokio::spawn(world.consumer().await.run(stop.clone()));
    wait_until_drained(&world).await;
    stop.cancel();
    old.await.unwrap();
    let buried = world.dead_letters("chunks").await;
    assert_eq!((buried.len(), world.cloud.accepted()), (10, 0));
    assert!(buried.iter().all(|(_, reason)| reason.contains("field `version` is 2") && reason.contains("redrive")), "{buried:?}");
    world.options.reads = ChunkVersion::V2;
    world.cloud.show_all_messages();
    world.queue("chunks").await.redrive().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Half of the consumers are upgraded. Each message finds one or the other, and is sent or kept.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_consumers_at_once_lose_nothing() {
    let mut world = enqueued(options(ChunkVersion::V1, TRACED)).await;
    let stop = CancellationToken::new();
    let mut consumers = JoinSet::new();
    for reads in [ChunkVersion::V1, ChunkVersion::V2] {
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

/// Until every message has been handled, one way or the other.
async fn wait_until_drained(world: &World) {
    world.assert_drained().await;
}
