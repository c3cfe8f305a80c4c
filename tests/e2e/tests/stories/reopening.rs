//! What evidence opens, and evidence that comes later: nobody is opened in a broadcast that is over, nobody is
//! sent to again of whom an event has come, and every state of a chunk is sealed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{BroadcastState, Seal, Transition};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, command, judge};
use jiff::SignedDuration;

use crate::feedback::{one_chunk_in_doubt, told};

/// Far later than the sweep waits for its answer, so that the broadcast is over first on a busy machine, too.
const LATE_MS: u64 = 30_000;

/// What evidence opens lands late, when events have ended the doubt and the broadcast is over: or an operator
/// has stopped it. Then it does not land at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_reopening_that_lands_after_the_end_opens_nobody() {
    tokio::join!(lands_after_the_end(false), lands_after_the_end(true));
}

async fn lands_after_the_end(is_stopped: bool) {
    let mut world = one_chunk_in_doubt("evidence_retry", Fault::ResetAfter, |_| {}).await;
    world.later(SignedDuration::from_hours(2));
    let late = take_events_but_of(&world, 10).await;
    for operation in ["UpdateItem", "TransactWriteItems"] {
        world.cloud.inject(Rule::every(operation, Fault::LateMs(LATE_MS)).holding("reopened_at = :now"));
    }
    let reopens = || world.cloud.counts().get(&("dynamodb", "TransactWriteItems".to_owned())).copied().unwrap_or(0);
    let before = reopens();
    let _ = world.feedback().await.sweep().await;
    assert!(reopens() > before, "evidence opened nobody");
    let end = if is_stopped { BroadcastState::Stopped } else { BroadcastState::Complete };
    if is_stopped {
        step(&world, BroadcastState::Stopping).await;
    } else {
        for body in &late {
            world.queue("feedback").await.send(body, Duration::ZERO).await.unwrap();
        }
        world.take_events().await;
    }
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == end).await;
    // Every try of the write could land by now.
    tokio::time::sleep(Duration::from_millis(LATE_MS)).await;
    let broadcast = world.broadcast("terms").await;
    let totals = world.ledger().tally(&broadcast).await.unwrap().totals();
    let expected = if is_stopped { (90, 10) } else { (100, 0) };
    assert_eq!(((totals.accepted, totals.in_doubt), totals.retryable), (expected, 0));
    assert_eq!((broadcast.granted, broadcast.remaining, broadcast.reopenings), (100, 0, 0));
}

/// Absence counted as proof and was none. The events came while the broadcast was paused, before anybody was
/// sent to again, and whoever sends again looks first.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_once_evidence_opened_a_chunk_end_its_second_send() {
    for by_sweep in [false, true] {
        let mut world = one_chunk_in_doubt("evidence_retry", Fault::ResetAfter, |_| {}).await;
        world.later(SignedDuration::from_hours(2));
        let late = take_events_but_of(&world, 10).await;
        world.feedback().await.sweep().await.unwrap();
        let broadcast = world.broadcast("terms").await;
        assert_eq!((broadcast.granted, broadcast.remaining, broadcast.reopenings), (90, 10, 1));
        assert!(seals(&world).await.iter().all(|seal| *seal == Seal::Holds));
        step(&world, BroadcastState::Paused).await;
        for body in &late {
            world.queue("feedback").await.send(body, Duration::ZERO).await.unwrap();
        }
        world.take_events().await;
        let tally = world.ledger().tally(&broadcast).await.unwrap();
        assert_eq!((tally.totals().accepted, tally.unacknowledged), (100, 10));
        assert_eq!(world.repairer().await.plan(&broadcast.broadcast_id, world.now()).await.unwrap().retryable_chunks, 0);
        if by_sweep {
            world.feedback().await.sweep().await.unwrap();
            assert_eq!(world.ledger().tally(&broadcast).await.unwrap().unacknowledged, 0);
        }
        step(&world, BroadcastState::Running).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
        // Their permits were taken back once, and nothing of it raises an alarm.
        assert_eq!((broadcast.granted, broadcast.remaining), (100, 0));
        assert!(seals(&world).await.iter().all(|seal| *seal == Seal::Holds));
        let findings = issei_certificate::what_the_ledger_holds(&world.ledger(), &broadcast, Duration::ZERO, world.now()).await;
        // The sweep was called by hand, by a run that has no heartbeat; the certificate says so, and rightly.
        let broken: Vec<_> = findings.iter().filter(|finding| !finding.holds() && !finding.what.starts_with("runs: ")).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

async fn step(world: &World, to: BroadcastState) {
    let (id, actor) = ("terms".parse().unwrap(), "an operator".parse().unwrap());
    world.ledger().transition(&id, Transition { to, actor: &actor, reason: "a test" }).await.unwrap();
}

/// The seals of all chunks.
async fn seals(world: &World) -> Vec<Seal> {
    let (ledger, broadcast) = (world.ledger(), world.broadcast("terms").await);
    let (mut walk, mut seals) = (ledger.walk(&broadcast), Vec::new());
    while let Some(walked) = walk.next().await.unwrap() {
        seals.push(walked.chunk.seal(&broadcast, walked.seq));
    }
    seals
}

/// Each state that a service writes is sealed under the broadcast's key, and any letter that somebody changes
/// by hand breaks that: in doubt made rejected, one owner's claim made another's, an attempt that never was.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_changed_by_hand_shows_it() {
    let world = World::new(told(|_| {})).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).after(3).times(1));
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::Throttle).times(1));
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    assert_eq!(seals(&world).await, [Seal::Holds; 10]);
    let broadcast = world.broadcast("terms").await;
    let number = 3;
    let key = [("pk", format!("b#terms#{:02}", number % broadcast.placed().shards.get())), ("sk", format!("chunk#{number:08}"))];
    let key: HashMap<_, _> = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))).into();
    let table = || world.clients.dynamodb.put_item().table_name("ledger");
    let whole = world.clients.dynamodb.get_item().table_name("ledger").set_key(Some(key)).call().await.unwrap().item.unwrap();
    let letters = whole["outcomes"].as_s().unwrap().clone();
    let others = if letters.contains('d') { letters.replacen('d', "r", 1) } else { letters.replacen('a', "d", 1) };
    for (name, value) in [
        ("outcomes", AttributeValue::S(others)),
        ("owner_token", AttributeValue::S("0".repeat(32))),
        ("attempt", AttributeValue::N("9".to_owned())),
        ("page", AttributeValue::N("9".to_owned())),
        ("chunk_state", AttributeValue::S("claimed".to_owned())),
        ("message_ids", AttributeValue::S(["x"; 10].join(" "))),
        ("seal", AttributeValue::S("no seal".to_owned())),
    ] {
        let mut changed = whole.clone();
        changed.insert(name.to_owned(), value);
        table().set_item(Some(changed)).call().await.unwrap();
        let chunk = world.ledger().chunks(&broadcast.placed(), &[number]).await.unwrap().into_values().next().unwrap();
        assert_eq!(chunk.seal(&broadcast, number), Seal::Broken, "{name}");
        // Nor does the seal of one chunk hold for another, or under another registration's key.
        assert_eq!(chunk.seal(&broadcast, number + 1), Seal::Broken);
    }
    let mut unsealed = whole.clone();
    unsealed.remove("seal");
    table().set_item(Some(unsealed)).call().await.unwrap();
    assert_eq!(seals(&world).await.iter().filter(|seal| **seal == Seal::Absent).count(), 1);
}

/// Takes every event off the queue and hands it in, but for those about so many of a chunk that is in doubt.
async fn take_events_but_of(world: &World, recipients: usize) -> Vec<String> {
    let in_doubt = world.in_doubt("terms").await;
    assert_eq!(in_doubt.len(), recipients);
    let (feedback, queue, mut kept) = (world.feedback().await, world.queue("feedback").await, Vec::new());
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            return kept;
        }
        let is_late = |body: &str| in_doubt.iter().any(|address| body.contains(address));
        let (late, now): (Vec<_>, Vec<_>) = messages.iter().cloned().partition(|message| is_late(&message.body));
        kept.extend(late.into_iter().map(|message| message.body));
        feedback.handle_batch(&now).await;
        queue.delete_batch(messages.into_iter().map(|message| message.receipt).collect()).await.unwrap();
    }
}
