//! Services that are called with a batch and have only so much time, as Lambda functions do.

use std::time::Duration;

use issei_aws::{Message, Queue};
use issei_ledger::{Chunk, LedgerEpoch, LedgerError, OnCall};
use issei_producer::AudienceConfig;
use issei_sim::{Account, EntryRule, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

fn first_epoch() -> LedgerEpoch {
    LedgerEpoch { epoch: 1, opened_at: Timestamp::UNIX_EPOCH }
}

async fn receive_all(queue: &Queue) -> Vec<Message> {
    let mut all = Vec::new();
    loop {
        let some = queue.receive(10, Duration::ZERO).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

/// What an event source does with a function's answer.
async fn delete_but(queue: &Queue, messages: Vec<Message>, again: &[String]) {
    let done: Vec<String> = messages.into_iter().filter(|message| !again.contains(&message.id)).map(|message| message.receipt).collect();
    for receipts in done.chunks(10) {
        queue.delete_batch(receipts.to_vec()).await.unwrap();
    }
}

pub(crate) async fn enqueued(options: WorldOptions) -> World {
    let world = World::new(options).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_longer_than_a_call_goes_on_in_the_next() {
    let world = World::new(WorldOptions { page_size: 10, max_receives: 2, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::DelayMs(300)));
    let (queue, mut slices, mut first_sent_at) = (world.queue("commands").await, 0, None);
    loop {
        let mut messages = receive_all(&queue).await;
        let Some(message) = messages.pop() else { break };
        assert_eq!((messages.len(), message.receives), (0, 1), "each slice is a fresh message");
        // However late a copy is sent, it is as old as the first.
        assert_eq!(*first_sent_at.get_or_insert(message.sent_at_ms), message.sent_at_ms);
        let frozen = world.ledger().find_broadcast(&"terms".parse().unwrap()).await.unwrap().map_or(0, |broadcast| broadcast.pages);
        let stop = CancellationToken::new();
        let producer = world.producer().await;
        let messages = vec![message];
        let slice = producer.handle_for_source(first_epoch(), &messages, &stop);
        let time = async {
            world.wait_until("terms", |broadcast| broadcast.pages > frozen || broadcast.is_enqueued()).await;
            stop.cancel();
        };
        let (again, ()) = tokio::join!(slice, time);
        assert_eq!(again, [""; 0]);
        delete_but(&queue, messages, &again).await;
        slices += 1;
    }
    assert!(slices >= 3, "{slices} slices");
    assert_eq!(world.dead_letters("commands").await, []);
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Otherwise a page that never fits a call would go round for ever, and nobody would hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_gets_nowhere_counts_as_a_receive() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let queue = world.queue("commands").await;
    let messages = receive_all(&queue).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let again = world.producer().await.handle_for_source(first_epoch(), &messages, &stop).await;
    assert_eq!(again, [messages[0].id.clone()]);
    // Whoever waits for it is told what to give the function more of.
    let held_up = world.broadcast("terms").await.held_up.unwrap().reason;
    assert!(held_up.contains("the call's time was over before everybody was read") && held_up.contains("HandlerTimeout"), "{held_up}");
}

/// SQS's own redrive says no reason, so the producer is first.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_tried_in_vain_lies_in_the_dead_letter_queue_with_the_reason() {
    let mut world = World::new(WorldOptions { max_receives: 2, ..WorldOptions::default() }).await;
    let audience = AudienceConfig { table: Some("userz".to_owned()), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let (queue, producer) = (world.queue("commands").await, world.producer().await);
    for receive in [1, 2] {
        let messages = receive_all(&queue).await;
        let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        let again = producer.handle_for_source(first_epoch(), &messages, &CancellationToken::new()).await;
        assert_eq!(again, if receive == 1 { ids } else { Vec::new() });
        delete_but(&queue, messages, &again).await;
        world.cloud.show_all_messages();
    }
    let dead = world.dead_letters("commands").await;
    assert_eq!((dead.len(), receive_all(&queue).await.len()), (1, 0));
    let reason = &dead[0].1;
    assert!(reason.contains("tried 2 times") && reason.contains("no such table: userz"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_left_over_from_before_a_restore_is_refused_as_its_first_message_would_be() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let queue = world.queue("commands").await;
    let first = receive_all(&queue).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let opened_at = world.now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    queue.send_copies(&first, Duration::ZERO).await.unwrap();
    let copies = receive_all(&queue).await;
    let epoch = LedgerEpoch { epoch: 2, opened_at };
    let again = world.producer().await.handle_for_source(epoch, &copies, &CancellationToken::new()).await;
    assert_eq!(again, [""; 0]);
    let dead = world.dead_letters("commands").await;
    assert!(dead.len() == 1 && dead[0].1.contains("older than epoch 2"), "{dead:?}");
    assert!(world.ledger().find_broadcast(&"terms".parse().unwrap()).await.unwrap().is_none());
}

/// Row 24: a function that would be killed in the middle of its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nears_its_end_claims_nothing_and_gives_everything_back() {
    let world = enqueued(WorldOptions::default()).await;
    let queue = world.queue("chunks").await;
    let messages = receive_all(&queue).await;
    let all = messages.len();
    let stop = CancellationToken::new();
    stop.cancel();
    let again = world.call(&*world.consumer().await, messages.clone(), &stop).await;
    assert_eq!(again, [""; 0]);
    delete_but(&queue, messages, &again).await;
    assert_eq!(world.cloud.accepted(), 0);
    let broadcast = world.broadcast("terms").await;
    let numbers: Vec<u32> = (0..broadcast.chunks).collect();
    assert!(world.ledger().chunks(&broadcast.placed(), &numbers).await.unwrap().values().all(|chunk| *chunk == Chunk::Absent));
    world.cloud.show_all_messages();
    let copies = receive_all(&queue).await;
    assert_eq!(copies.len(), all);
    assert!(copies.iter().all(|copy| copy.receives == 1));
    let again = world.call(&*world.consumer().await, copies, &CancellationToken::new()).await;
    assert_eq!(again, [""; 0]);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_throttled_again_and_again_spends_no_receive() {
    let throttled = EntryRule { address: "user000005".to_owned(), status: "ACCOUNT_THROTTLED".to_owned(), times: Some(5) };
    let account = Account { entry_rules: vec![throttled], keep_mails: true, ..Account::default() };
    let world = enqueued(WorldOptions { account, max_receives: 2, ..WorldOptions::default() }).await;
    let queue = world.queue("chunks").await;
    let consumer = world.consumer().await;
    let mut rounds = 0;
    loop {
        world.cloud.show_all_messages();
        let messages = receive_all(&queue).await;
        if messages.is_empty() {
            break;
        }
        assert!(messages.iter().all(|message| message.receives == 1));
        let again = world.call(&consumer, messages.clone(), &CancellationToken::new()).await;
        assert_eq!(again, [""; 0]);
        delete_but(&queue, messages, &again).await;
        rounds += 1;
    }
    assert_eq!(rounds, 6);
    assert_eq!(world.dead_letters("chunks").await, []);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_on_a_call_in_a_ledger_that_was_restored() {
    let world = World::new(WorldOptions::default()).await;
    let consumer = world.consumer().await;
    let mirror = world.queue("chunks").await;
    let stop = CancellationToken::new();
    let mut whole = OnCall::new(world.ledger(), mirror.clone(), consumer.incarnation().clone());
    assert_eq!(whole.call(&stop, async |epoch, _| epoch.epoch).await.unwrap(), 1);
    // It has ended when it is not called, so nobody waits for it.
    let beats = world.ledger().heartbeats(world.now()).await.unwrap();
    assert!(beats.len() == 1 && beats[0].ended_at.is_some(), "{beats:?}");
    // Called again, it is alive for as long as the call lasts.
    let alive = whole
        .call(&stop, async |_, _| {
            let beats = world.ledger().heartbeats(world.now()).await.unwrap();
            beats.len() == 1 && beats[0].is_alive(world.now())
        })
        .await;
    assert!(alive.unwrap());
    mirror.tag([("issei-ledger", "1.99")]).await.unwrap();
    let mut restored = OnCall::new(world.ledger(), mirror, consumer.incarnation().clone());
    let done = restored.call(&stop, async |_, _| ()).await;
    assert!(matches!(done, Err(LedgerError::Restored { .. })), "{done:?}");
}
