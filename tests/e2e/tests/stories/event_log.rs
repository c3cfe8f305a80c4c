//! What becomes of messages that the ledger knows stands in a log; evidence stands with its chunk.

use std::time::Duration;

use issei_aws::Message;
use issei_ledger::{BroadcastState, EventLog, Outcome};
use issei_schema::EventKind;
use issei_sim::{EventRule, Fault, Rule};
use issei_test_support::{World, command, judge};
use serde_json::json;

use crate::feedback::told;

/// Everything in the feedback queue, received once.
async fn received(world: &World, events: usize) -> Vec<Message> {
    let (queue, mut messages) = (world.queue("feedback").await, Vec::new());
    while messages.len() < events {
        messages.extend(queue.receive(10, Duration::ZERO).await.unwrap());
    }
    messages
}

async fn log(world: &World) -> EventLog {
    world.ledger().event_log(&world.broadcast("terms").await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_events_in_any_order_costs_one_write_for_all_and_again_costs_none() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let mut messages = received(&world, 200).await;
    // As far from the order of their chunks as can be.
    messages.sort_by_key(|message| message.id.chars().rev().collect::<String>());
    let writes = || {
        let counts = world.cloud.counts();
        ["PutItem", "UpdateItem"].map(|operation| counts.get(&("dynamodb", operation.to_owned())).copied().unwrap_or(0))
    };
    let feedback = world.feedback().await;
    let before = writes();
    feedback.handle_batch(&messages).await;
    // Two of progress (the sum, and when), and one that a broadcast which is over was told about.
    assert_eq!((writes()[0] - before[0], writes()[1] - before[1]), (1, 3));
    let all = log(&world).await;
    assert_eq!([EventKind::Sent, EventKind::Delivered].map(|kind| all.count(kind)), [100, 100]);
    let before = writes();
    feedback.handle_batch(&messages).await;
    assert_eq!(writes()[0] - before[0], 0);
    // Another run logs it once more, and nobody is counted twice.
    world.feedback().await.handle_batch(&messages).await;
    feedback.sweep().await.unwrap();
    assert_eq!(world.broadcast("terms").await.totals.map(|totals| (totals.accepted, totals.delivered)), Some((100, 100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_goes_to_its_chunk_and_what_only_tells_of_a_known_message_to_the_log() {
    let world = World::new(told(|_| {})).await;
    // One chunk's answer is lost: ten recipients in doubt, all of them accepted in truth.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).after(2).times(1));
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let doubt = world.outcomes("terms").await.into_iter().find(|recipient| recipient.outcome == Some(Outcome::InDoubt)).unwrap().chunk;
    // One that names another message than the answer, one that names none, and one that bounced.
    let sure = (doubt + 1) % 10;
    let chunk = world.ledger().chunks(&world.broadcast("terms").await.placed(), &[sure]).await.unwrap().into_values().next().unwrap();
    let queue = world.queue("feedback").await;
    for (kind, message, at) in [("Delivery", "another", 1), ("Delivery", "", 2), ("Bounce", chunk.message_id(3).unwrap(), 3)] {
        let tags = world.tags("terms", sure, at).await;
        let event = json!({ "eventType": kind, "bounce": { "bounceType": "Permanent" }, "mail": { "messageId": message, "tags": tags } });
        queue.send(&event.to_string(), Duration::ZERO).await.unwrap();
    }
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    let evidence = world.ledger().feedback(&broadcast.placed(), &(0..10).collect::<Vec<_>>()).await.unwrap();
    let proven = |chunk: u32| (0..10).filter(|at| evidence[&chunk].proves(*at)).collect::<Vec<_>>();
    for chunk in 0..10 {
        let expected: Vec<usize> = if chunk == doubt {
            (0..10).collect()
        } else if chunk == sure {
            vec![1, 2]
        } else {
            Vec::new()
        };
        assert_eq!(proven(chunk), expected, "chunk {chunk}, of which {doubt} is in doubt");
    }
    let log = log(&world).await;
    assert_eq!([EventKind::Sent, EventKind::Delivered, EventKind::Bounced].map(|kind| log.count(kind)), [90, 90, 1]);
    // It is not over: the second message is what stops a broadcast that can be stopped.
    assert_eq!(world.in_doubt("terms").await, Vec::<String>::new());
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
}

/// It was logged, and whoever logged it was killed before the messages were deleted; so they come again, to another.
/// A provider's event that names no message, or in a form that nobody knows, still says that somebody was mailed.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_name_no_message_are_kept_all_the_same() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let (ledger, placed) = (world.ledger(), world.broadcast("terms").await.placed());
    let mut told = issei_ledger::Feedback::default();
    told.add(2, EventKind::Delivered, "");
    ledger.merge_feedback(&placed, 0, &told).await.unwrap();
    let kept = ledger.feedback(&placed, &[0]).await.unwrap();
    assert_eq!(kept[&0], told);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_between_the_log_and_the_deletions_loses_nothing_and_counts_nobody_twice() {
    let bounce = EventRule { address: "user000007".to_owned(), event: "Bounce".to_owned() };
    let world = World::new(told(|events| events.rules = vec![bounce])).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let messages = received(&world, 200).await;
    world.feedback().await.handle_batch(&messages).await;
    world.cloud.show_all_messages();
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    let totals = world.broadcast("terms").await.totals.unwrap();
    assert_eq!((totals.accepted, totals.delivered, totals.bounced), (100, 99, 1));
    let kinds = world.outcomes("terms").await.into_iter().map(|recipient| recipient.events);
    assert!(kinds.into_iter().all(|kinds| kinds.len() == 2));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_can_not_be_written_keeps_its_messages_in_the_queue() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let messages = received(&world, 200).await;
    world.cloud.inject(Rule::every("PutItem", Fault::ErrorBefore));
    let handled = world.feedback().await.handle_batch(&messages).await;
    assert!(handled.iter().all(|handled| format!("{handled:?}") == "Again"), "{handled:?}");
    world.cloud.heal();
    assert!(log(&world).await.is_empty());
}

/// An older build, which reads chunks' items alone, shares the work of a broadcast that one of its kind registered.
#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_broadcast_that_an_older_build_registered_stand_with_their_chunks() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.as_an_older_build_registered("terms").await;
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    let evidence = world.ledger().feedback(&broadcast.placed(), &(0..10).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(evidence.values().map(|feedback| feedback.count(EventKind::Delivered)).sum::<u64>(), 100);
}
