//! Repair: messages lost for good, ledgers restored from backups.

use std::time::Duration;

use issei_aws::AwsCall;
use issei_ledger::{BroadcastState, LedgerError};
use issei_producer::RepairError;
use issei_schema::Actor;
use issei_sim::{Account, Events};
use issei_test_support::{Victim, World, WorldOptions, command, judge, until};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn actor() -> Actor {
    "an operator".parse().unwrap()
}

async fn frozen(options: WorldOptions) -> World {
    let world = World::new(options).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world
}

async fn purge(world: &World, queue: &str) {
    let url = world.clients.sqs.get_queue_url().queue_name(queue).call().await.unwrap().queue_url.unwrap();
    world.clients.sqs.purge_queue().queue_url(url).call().await.unwrap();
}

/// Starts services and waits until each has looked whether the ledger is whole; and then for a second, in which
/// one that took it for whole would begin to work.
async fn start_and_look(world: &World, stop: &CancellationToken) -> JoinSet<()> {
    let before = world.calls_of("ListQueueTags");
    let services = world.start(stop).await;
    until("all three services have looked", async || world.calls_of("ListQueueTags") >= before + 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    services
}

/// Row 20 of the catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn row_20_a_purged_queue_is_filled_again_from_the_ledger() {
    let world = frozen(WorldOptions::default()).await;
    purge(&world, "chunks").await;
    let (id, repairer) = ("terms".parse().unwrap(), world.repairer().await);
    let plan = repairer.plan(&id, world.now()).await.unwrap();
    assert_eq!((plan.unclaimed_chunks, plan.unclaimed_recipients), (10, 100));
    assert_eq!(world.queue("chunks").await.depths().await.unwrap(), [0, 0, 0], "a plan does nothing");
    // Two operators at once.
    let reason = "the queue was purged by mistake";
    let actor = actor();
    let (first, second) =
        tokio::join!(repairer.repair(&id, world.now(), &actor, reason), repairer.repair(&id, world.now(), &actor, reason));
    assert_eq!((first.unwrap(), second.unwrap()), (plan.clone(), plan));
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.unwrap().accepted, 100);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(broadcast.audit_trail.iter().any(|entry| entry.step == "repair" && entry.reason.contains(reason)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_broadcast_is_repaired_without_touching_those_in_doubt() {
    let mut world = frozen(WorldOptions { chunk_size: 2, ..WorldOptions::default() }).await;
    world.cloud.inject(issei_sim::Rule::every("SendBulkEmail", issei_sim::Fault::HangAfter).after(4));
    let consumer = Victim::start(world.consumer().await.run(CancellationToken::new()));
    let mut hanging = world.cloud.hanging();
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    consumer.kill().await;
    world.cloud.heal();
    purge(&world, "chunks").await;
    world.later(jiff::SignedDuration::from_mins(10));
    let repairer = world.repairer().await;
    let done = repairer.repair(&"terms".parse().unwrap(), world.now(), &actor(), "retention expired").await.unwrap();
    assert!(done.in_doubt > 0 && done.unclaimed_chunks > 0, "{done:?}");
    world.run_to_the_end("terms").await;
    let (judged, in_doubt) = (judge(&world.cloud, "terms"), world.in_doubt("terms").await);
    assert_eq!(judged.duplicates(), Vec::<&str>::new());
    // One that was in the midst of confirming when it was killed may still have told.
    assert!(!in_doubt.is_empty() && in_doubt.len() as u64 <= done.in_doubt, "{in_doubt:?} {done:?}");
    for address in world.addresses().await {
        assert!(judged.accepted.contains_key(&address) || in_doubt.contains(&address), "{address} is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_lost_before_its_audience_was_frozen_is_sent_again_by_repair() {
    let world = World::new(WorldOptions::default()).await;
    let producer = tokio::spawn({
        let producer = world.producer().await;
        world.cloud.inject(issei_sim::Rule::every("TransactWriteItems", issei_sim::Fault::HangBefore).after(2));
        async move { producer.run(CancellationToken::new()).await }
    });
    world.post_command(&command("terms", |_| {})).await;
    let mut hanging = world.cloud.hanging();
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    producer.abort();
    let _ = producer.await;
    world.cloud.heal();
    purge(&world, "commands").await;
    let done = world.repairer().await.repair(&"terms".parse().unwrap(), world.now(), &actor(), "purged").await.unwrap();
    assert!(done.command);
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_is_over_is_not_repaired() {
    let world = frozen(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    world.run_to_the_end("terms").await;
    let refused = world.repairer().await.plan(&"terms".parse().unwrap(), world.now()).await;
    assert!(matches!(refused, Err(RepairError::Over { state: BroadcastState::Complete, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_moved_back_are_handled_as_if_they_had_never_been_away() {
    let world = frozen(WorldOptions { max_receives: 1, ..WorldOptions::default() }).await;
    let queue = world.queue("chunks").await;
    // Somebody receives everything and does nothing with it.
    while !queue.receive(10, Duration::ZERO).await.unwrap().is_empty() {}
    world.cloud.show_all_messages();
    assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(queue.depths().await.unwrap(), [0, 0, 10]);
    queue.redrive().await.unwrap();
    assert_eq!(queue.depths().await.unwrap(), [10, 0, 0]);
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Row 21 of the catalogue, and V12: a backup of before the claims comes back, and so do the messages.
#[tokio::test(flavor = "multi_thread")]
async fn row_21_a_restored_ledger_sends_nothing_until_a_new_epoch_is_opened() {
    for as_new in [true, false] {
        let world = frozen(WorldOptions { users: 20, ..WorldOptions::default() }).await;
        let backup = world.cloud.back_up("ledger").unwrap();
        world.run_to_the_end("terms").await;
        world.cloud.restore("ledger", &backup, as_new).unwrap();
        world.repairer().await.repair(&"terms".parse().unwrap(), world.now(), &actor(), "unaware of the restore").await.unwrap();
        world.post_command(&command("terms", |_| {})).await;
        world.post_command(&command("other", |_| {})).await;
        let stop = CancellationToken::new();
        let services = start_and_look(&world, &stop).await;
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
        assert_eq!(judge(&world.cloud, "other").total(), 0);
        stop.cancel();
        services.join_all().await;
        // The operator accepts it: the old broadcast is ended, an old command of a broadcast that
        // the ledger does not know is refused, and new ones go.
        let chunks = world.queue("chunks").await;
        let accepted = world.ledger().accept_restored(&chunks, &actor(), "restored after an incident").await.unwrap().unwrap();
        assert_eq!((accepted.epoch, accepted.ended.len()), (2, 1));
        // Once is enough: it is no restored ledger any more.
        assert!(world.ledger().accept_restored(&chunks, &actor(), "again").await.unwrap().is_none());
        world.post_command(&command("new", |_| {})).await;
        world.run_to_the_end("new").await;
        judge(&world.cloud, "new").assert_each_once(world.addresses().await);
        world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Stopped).await;
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
        let refused = world.dead_letters("commands").await;
        assert!(refused.iter().any(|(body, reason)| body.contains("\"other\"") && reason.contains("epoch 2")), "{refused:?}");
        assert_eq!(judge(&world.cloud, "other").total(), 0);
    }
}

/// The tag is there and the table is empty: made anew, or restored to before the first start.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_ledger_is_recognised_too() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    let empty = world.cloud.back_up("ledger").unwrap();
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.cloud.restore("ledger", &empty, false).unwrap();
    world.post_command(&command("terms", |_| {})).await;
    let stop = CancellationToken::new();
    let services = start_and_look(&world, &stop).await;
    stop.cancel();
    services.join_all().await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(matches!(world.ledger().broadcast(&"terms".parse().unwrap()).await, Err(LedgerError::NoBroadcast { .. })));
}

/// A restore in place that nothing else told of: events know more than the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn events_about_a_chunk_that_the_ledger_forgot_end_the_broadcast() {
    let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
    let world = frozen(WorldOptions { users: 20, account: Account { events, ..Account::default() }, ..WorldOptions::default() }).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    world.run_to_the_end("terms").await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping);
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("restored"), "{:?}", broadcast.audit_trail);
}

/// Messages outlived a restore, and their broadcast was registered anew, with an audience that has moved. No
/// attacker is needed for them to name the wrong people.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_outlived_a_restore_mail_nobody_of_the_new_registration() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    world.ledger().accept_restored(&world.queue("chunks").await, &actor(), "restored").await.unwrap().unwrap();
    world.users.execute("UPDATE users SET email = 'moved-' || email").await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let buried = world.dead_letters("chunks").await;
    assert_eq!(buried.len(), 2);
    assert!(buried.iter().all(|(_, reason)| reason.contains("outlived a restore")), "{buried:?}");
}
