//! Broadcasts that have their time: a moment before which nothing is sent, and hours outside of which they wait. Time is
//! told to the services, and never waited for.

use std::time::Duration;

use issei_certificate::{Carriers, Certifier, Wanted};
use issei_clock::{Clock, Dice};
use issei_ledger::{BroadcastState, Feedback, Transition};
use issei_schema::{BroadcastCommand, EventKind};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, until};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) fn certifier(world: &World) -> Certifier {
    let wanted = Wanted {
        table: "ledger".to_owned(),
        queues: ["commands", "chunks", "feedback"].map(str::to_owned),
        timing: world.options.timing,
        ledger_days: 90,
    };
    let (ledger, clients, clock) = (world.ledger(), world.clients.clone(), Clock::starting_at(world.now()));
    let carriers = Carriers { known: world.known.clone(), connected: world.providers.clone() };
    let (actor, version) = ("somebody".parse().unwrap(), "0".to_owned());
    Certifier { ledger, clients, carriers, clock, dice: Dice::system(), wanted, actor, version }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn scheduled(change: impl FnOnce(&mut Value)) -> BroadcastCommand {
    command("terms", |body| {
        (body["version"], body["class"]) = (json!(2), json!("legal_notice"));
        change(body);
    })
}

/// A window of three hours each day, in UTC, which has been open for one.
fn window_around(now: Timestamp) -> Value {
    let time = |by: i64| (now + HOUR * i32::try_from(by).unwrap()).to_zoned_datetime(jiff::tz::TimeZone::UTC).strftime("%H:%M").to_string();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    json!({ "days": days, "from": time(-1), "to": time(2), "time_zone": "UTC" })
}

/// At noon, so that no window goes over midnight.
async fn at_noon() -> World {
    let mut world = World::new(WorldOptions::default()).await;
    let midnight = world.now().to_zoned_datetime(jiff::tz::TimeZone::UTC).round(Unit::Day).unwrap().timestamp();
    let noon = midnight + HOUR * 36;
    world.pass(noon.duration_since(world.now()));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_frozen_at_once_and_sent_from_its_moment_on() {
    let mut world = at_noon().await;
    let not_before = world.now() + HOUR * 30;
    let not_after = world.now() + HOUR * 24 * 9;
    world
        .post_command(&scheduled(|body| {
            (body["not_before"], body["not_after"]) = (json!(not_before.to_string()), json!(not_after.to_string()));
        }))
        .await;
    let frozen = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    assert_eq!((frozen.recipients, frozen.waits_until(world.now())), (100, Some(not_before)));
    for hours in [1, 28] {
        world.pass(HOUR * hours);
        // A new run of each service has looked at it.
        let looks = world.calls_of("Query");
        let stop = CancellationToken::new();
        let services = world.start(&stop).await;
        until("they have looked", async || world.calls_of("Query") > looks + 5).await;
        stop.cancel();
        services.join_all().await;
        let broadcast = world.broadcast("terms").await;
        assert_eq!((broadcast.broadcast_state, broadcast.grant_count, broadcast.enqueued_pages), (BroadcastState::Running, 0, 0));
        assert_eq!(world.queue("chunks").await.depths().await.unwrap(), [0, 0, 0], "nothing is enqueued that can't be sent");
    }
    // Somebody enqueues it all the same: the messages are put away, and nothing is sent.
    world.repairer().await.repair(&frozen.broadcast_id, world.now(), &"an operator".parse().unwrap(), "a test").await.unwrap();
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    until("the messages are put away", async || world.queue("chunks").await.counts().await.unwrap().0.delayed == 10).await;
    stop.cancel();
    services.join_all().await;
    assert_eq!(world.cloud.accepted(), 0);
    world.pass(HOUR * 2);
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_closes_in_the_midst_leaves_the_rest_for_the_next_day() {
    let mut world = at_noon().await;
    let (window, not_after) = (window_around(world.now()), world.now() + HOUR * 24 * 4);
    world.post_command(&scheduled(|body| (body["send_window"], body["not_after"]) = (window, json!(not_after.to_string())))).await;
    // The provider takes three chunks, and is too busy for the others.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::Throttle).after(3));
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    until("some are sent", async || world.cloud.accepted() >= 30 && world.calls_of("SendBulkEmail") > 6).await;
    stop.cancel();
    services.join_all().await;
    world.cloud.heal();
    let sent = world.cloud.accepted();
    assert_eq!(sent, 30);
    // An hour after it has closed, with every message there once more.
    world.pass(HOUR * 3);
    world.cloud.show_all_messages();
    let grants = world.broadcast("terms").await.grant_count;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    until("the messages are put away", async || {
        let counts = world.queue("chunks").await.counts().await.unwrap().0;
        counts.visible + counts.in_flight == 0 && counts.delayed > 0
    })
    .await;
    stop.cancel();
    services.join_all().await;
    let broadcast = world.broadcast("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.grant_count, world.cloud.accepted()), (BroadcastState::Running, grants, sent));
    assert_eq!(world.dead_letters("chunks").await, []);
    let opens = broadcast.waits_until(world.now()).unwrap();
    assert!(opens.duration_since(world.now()) > HOUR * 19, "{opens}");
    world.pass(opens.duration_since(world.now()));
    world.cloud.show_all_messages();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let findings = issei_certificate::what_the_ledger_holds(&world.ledger(), &broadcast, Duration::ZERO, world.now()).await;
    assert!(findings.iter().all(issei_certificate::Finding::holds), "{findings:?}");
}

/// On what is left of a Friday nothing more can be done before Monday, and its time is over on Sunday.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_whose_window_does_not_open_again_is_stopped_and_one_whose_window_never_opens_is_refused() {
    let mut world = at_noon().await;
    let (window, not_after) = (window_around(world.now()), world.now() + HOUR * 20);
    let posted = scheduled(|body| (body["send_window"], body["not_after"]) = (window, json!(not_after.to_string())));
    world.post_command(&posted).await;
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    world.pass(HOUR * 3);
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, world.cloud.accepted()), (BroadcastState::Stopped, 0));
    let why = "its send_window does not open again before its not_after";
    assert!(broadcast.audit_trail.iter().any(|entry| entry.reason == why), "{:?}", broadcast.audit_trail);
    world.post_command(&BroadcastCommand { broadcast_id: "again".parse().unwrap(), ..posted }).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    let mut refused = Vec::new();
    until("it is refused", async || {
        refused.extend(world.dead_letters("commands").await);
        !refused.is_empty()
    })
    .await;
    stop.cancel();
    services.join_all().await;
    let (_, reason) = refused.remove(0);
    assert!(reason.starts_with("field `send_window`: it does not open from now") && reason.contains("set a later not_after"), "{reason}");
}

/// A machine whose clock is eleven hours ahead, and a function that is called with what waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_clock_is_wrong_sends_nothing_before_its_time_and_a_function_spends_no_receive() {
    let mut world = at_noon().await;
    let not_before = world.now() + HOUR * 10;
    let not_after = world.now() + HOUR * 48;
    let body = |body: &mut Value| (body["not_before"], body["not_after"]) = (json!(not_before.to_string()), json!(not_after.to_string()));
    world.post_command(&scheduled(body)).await;
    let frozen = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    world.repairer().await.repair(&frozen.broadcast_id, world.now(), &"an operator".parse().unwrap(), "a test").await.unwrap();
    let queue = world.queue("chunks").await;
    let called = async |world: &World| {
        let mut messages = Vec::new();
        until("every message is there", async || {
            messages.extend(queue.receive(10, Duration::ZERO).await.unwrap());
            messages.len() == 10
        })
        .await;
        assert!(messages.iter().all(|message| message.receives == 1));
        let receipts = messages.iter().map(|message| message.receipt.clone()).collect();
        assert_eq!(world.call(&*world.consumer().await, messages, &CancellationToken::new()).await, [""; 0]);
        queue.delete_batch(receipts).await.unwrap();
        world.cloud.accepted()
    };
    assert_eq!(called(&world).await, 0);
    world.later(HOUR * 11);
    world.cloud.show_all_messages();
    assert_eq!(called(&world).await, 0, "by its own clock it is time, and by that of AWS it is not");
    let broadcast = world.broadcast("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.waits_until(world.now())), (BroadcastState::Running, None));
    // Ten hours later it is time by both. An answer is dated in whole seconds.
    world.pass(HOUR * 10 + SignedDuration::from_secs(1));
    world.cloud.show_all_messages();
    assert_eq!(called(&world).await, 100);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// The visibility timeout, after which a producer looks whether anybody enqueues it, is longer than this test.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_is_paused_when_its_time_comes_goes_on_as_soon_as_it_is_resumed_and_one_that_waits_can_be_stopped() {
    let timing = issei_aws::Timing { visibility: Duration::from_hours(3), ..WorldOptions::default().timing };
    let mut world = World::new(WorldOptions { timing, ..WorldOptions::default() }).await;
    let not_before = world.now() + HOUR * 10;
    let not_after = world.now() + HOUR * 48;
    let ask = |id: &'static str| {
        scheduled(move |body| {
            body["broadcast_id"] = json!(id);
            body["content"]["inline"]["subject"] = json!(format!("About {id}"));
            (body["not_before"], body["not_after"]) = (json!(not_before.to_string()), json!(not_after.to_string()));
        })
    };
    world.post_command(&ask("terms")).await;
    world.post_command(&ask("prices")).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    for id in ["terms", "prices"] {
        world.wait_until(id, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    }
    let actor = "an operator".parse().unwrap();
    let change = async |world: &World, to| {
        world.ledger().transition(&"terms".parse().unwrap(), Transition { to, actor: &actor, reason: "a test" }).await.unwrap()
    };
    change(&world, BroadcastState::Paused).await;
    world.ledger().end(&"prices".parse().unwrap(), &actor, "a test").await.unwrap();
    world.wait_until("prices", |broadcast| broadcast.broadcast_state == BroadcastState::Stopped).await;
    stop.cancel();
    services.join_all().await;
    world.pass(HOUR * 11);
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    let looks = world.calls_of("Query");
    until("they have looked", async || world.calls_of("Query") > looks + 5).await;
    let paused = world.broadcast("terms").await;
    assert_eq!((paused.broadcast_state, paused.enqueued_pages, paused.waits_until(world.now())), (BroadcastState::Paused, 0, None));
    change(&world, BroadcastState::Running).await;
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Complete).await;
    stop.cancel();
    services.join_all().await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert_eq!(world.cloud.accepted_of("prices"), 0);
}

/// Half of them are told a day before it binds, and the others two days after.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_falls_behind_says_so_and_its_certificate_lists_whom_it_reached_too_late() {
    let mut world = at_noon().await;
    let effective_at = world.now() + HOUR * 24;
    world
        .post_command(&scheduled(|body| {
            (body["effective_at"], body["canary"]) = (json!(effective_at.to_string()), json!(50));
            body["not_after"] = json!((world.now() + HOUR * 72).to_string());
        }))
        .await;
    let held = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let behind = |hours: i32, rate: f64| held.falls_behind(effective_at - HOUR * hours, 50, Some(rate));
    assert_eq!((behind(1, 50.0 / 3_600.0), held.falls_behind(effective_at, 100, None)), (None, None));
    let told = behind(1, 0.01).unwrap().english;
    assert!(told.starts_with("50 are left, at 0.01 a second at most: done at ") && told.contains("effective_at is"), "{told}");
    let told = held.falls_behind(effective_at, 50, None).unwrap().english;
    assert!(told.ends_with("has passed, and 50 of 100 are not settled"), "{told}");
    world.pass(HOUR * 48);
    let (to, actor) = (BroadcastState::Running, "an operator".parse().unwrap());
    world.ledger().transition(&held.broadcast_id, Transition { to, actor: &actor, reason: "at last" }).await.unwrap();
    world.cloud.show_all_messages();
    let over = world.run_to_the_end("terms").await;
    assert_eq!((over.broadcast_state, over.falls_behind(world.now(), 100, None)), (BroadcastState::Complete, None));
    let certificate = certifier(&world).glance(&over.broadcast_id).await.unwrap();
    let notice = certificate.notice.unwrap();
    assert_eq!((notice.effective_at, notice.accepted_before, notice.others), (effective_at, 50, 50));
    let first: Vec<String> =
        world.outcomes("terms").await.into_iter().take(50).map(|one| one.recipient.unwrap().key.as_str().to_owned()).collect();
    assert!(notice.other_keys.len() == 50 && !notice.other_keys.iter().any(|key| first.contains(key)), "{:?}", notice.other_keys);
    // One of the first it did not reach after all.
    let mut bounced = Feedback::default();
    bounced.add(0, EventKind::Bounced, "a message");
    world.ledger().merge_feedback(&over.placed(), 0, &bounced).await.unwrap();
    let notice = certifier(&world).glance(&over.broadcast_id).await.unwrap().notice.unwrap();
    assert_eq!((notice.accepted_before, notice.others, notice.other_keys.contains(&first[0])), (49, 51, true));
}

/// Of a hundred, twenty in the first hour and forty in the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_sender_begins_with_so_many_and_doubles_them_each_hour() {
    let mut world = ramped(20).await;
    assert_eq!([accepted_in_an_hour(&mut world).await, accepted_in_an_hour(&mut world).await], [20, 60]);
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// A night after the first hour gives nobody who receives mail time to know its sender: the next hour is the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_night_in_which_nothing_is_sent_is_no_hour_of_a_ramp() {
    let mut world = ramped(20).await;
    assert_eq!(accepted_in_an_hour(&mut world).await, 20);
    world.later(HOUR * 9);
    world.cloud.show_all_messages();
    assert_eq!(accepted_in_an_hour(&mut world).await, 60);
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// A hundred in chunks of ten.
async fn ramped(first_hour: u64) -> World {
    let world = at_noon().await;
    world
        .post_command(&scheduled(|body| {
            (body["ramp"], body["not_after"]) = (json!({ "first_hour": first_hour }), json!((world.now() + HOUR * 48).to_string()));
        }))
        .await;
    world
}

/// How many are accepted in all once the services have sent what this hour allows. The next one is there afterwards.
async fn accepted_in_an_hour(world: &mut World) -> u64 {
    let stop = CancellationToken::new();
    let (producer, consumer, token) = (world.producer().await, world.consumer().await, stop.clone());
    let services = (tokio::spawn(async move { producer.run(token).await }), tokio::spawn(consumer.run(stop.clone())));
    until("the rest is put away", async || {
        let counts = world.queue("chunks").await.counts().await.unwrap().0;
        counts.visible + counts.in_flight == 0 && counts.delayed > 0 && counts.delayed == 10 - world.cloud.accepted() / 10
    })
    .await;
    stop.cancel();
    let ended = tokio::join!(services.0, services.1);
    assert!(ended.0.is_ok() && ended.1.is_ok());
    let broadcast = world.broadcast("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.granted), (BroadcastState::Running, world.cloud.accepted()));
    world.later(HOUR);
    world.cloud.show_all_messages();
    world.cloud.accepted()
}
