//! Commands: repeated, rival, refused.

use issei_ledger::{BroadcastState, ReasonCode};
use issei_schema::limits;
use issei_test_support::{World, WorldOptions, command, command_body, judge, seen};
use jiff::SignedDuration;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_five_times_is_one_broadcast() {
    let world = World::new(WorldOptions::default()).await;
    let command = command("terms", |_| {});
    for _ in 0..5 {
        world.post_command(&command).await;
    }
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    assert_eq!(broadcast.totals.unwrap().accepted, 100);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    world.assert_drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_again_after_the_end_changes_nothing() {
    let world = World::new(WorldOptions::default()).await;
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.run_to_the_end("terms").await;
    world.users.execute("INSERT INTO users VALUES (1000, 'late@example.com', 'Late')").await;
    world.post_command(&command).await;
    let stop = CancellationToken::new();
    let producer = world.producer().await;
    tokio::join!(producer.run(stop.clone()), async {
        world.assert_commands_drained().await;
        stop.cancel();
    });
    assert_eq!(judge(&world.cloud, "terms").total(), 100);
    assert_eq!(world.queue("chunks").await.depths().await.unwrap(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_producers_at_once_freeze_one_audience() {
    let world = World::new(WorldOptions { users: 500, page_size: 20, ..WorldOptions::default() }).await;
    let command = command("terms", |_| {});
    for _ in 0..3 {
        world.post_command(&command).await;
    }
    let (stop, mut rivals) = (CancellationToken::new(), JoinSet::new());
    for _ in 0..2 {
        let (producer, token) = (world.producer().await, stop.clone());
        rivals.spawn(async move { producer.run(token).await });
    }
    let broadcast = world.run_to_the_end("terms").await;
    stop.cancel();
    while rivals.join_next().await.is_some() {}
    assert_eq!((broadcast.recipients, broadcast.totals.unwrap().accepted), (500, 500));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_content_is_refused_and_the_first_goes_on() {
    let world = World::new(WorldOptions::default()).await;
    let first = command("terms", |_| {});
    world.post_command(&first).await;
    world.post(&command_body("terms", |body| body["content"]["inline"]["subject"] = json!("Something else"))).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(world.cloud.mails().unwrap().iter().all(|mail| mail.subject.starts_with("Terms for")));
    let mut letters = Vec::new();
    // Whichever came first is the broadcast; the other is in the dead-letter queue, with its reason.
    while letters.is_empty() {
        letters = world.dead_letters("commands").await;
    }
    let (body, reason) = &letters[0];
    assert!(body.contains("Something else") && reason.contains("broadcast_id") && reason.contains("choose a new id"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_over_the_budget_is_stopped_before_the_first_send() {
    let world = World::new(WorldOptions { users: 101, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |body| body["max_recipients"] = json!(100))).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopped);
    let reason = &broadcast.audit_trail.last().unwrap().reason;
    assert!(reason.contains("101 rows") && reason.contains("max_recipients (100)"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_just_fits_is_no_refusal() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |body| body["max_recipients"] = json!(100))).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    assert_eq!(world.cloud.accepted(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_of_nobody_is_stopped_at_once() {
    let world = World::new(WorldOptions { users: 0, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_too_late_is_refused() {
    let mut world = World::new(WorldOptions::default()).await;
    world.later(SignedDuration::from_hours(49));
    world.post_command(&command("terms", |_| {})).await;
    let reason = refused(&world).await;
    assert!(reason.contains("not_after") && reason.contains("time is over"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_whose_time_is_over_sends_nothing_more() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    // Frozen and enqueued, but no consumer.
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world.later(SignedDuration::from_hours(49));
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopped);
    assert!(broadcast.audit_trail.iter().any(|entry| entry.reason.contains("not_after")));
    assert_eq!(world.cloud.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_command_is_refused_with_its_reason_and_the_good_one_goes() {
    let long = "x".repeat(limits::COMMAND_BYTES_MAX);
    let bad: Vec<(String, &str)> = vec![
        ("not JSON".to_owned(), "not JSON"),
        ("[]".to_owned(), "not JSON"),
        ("{}".to_owned(), "`version` is missing"),
        (command_body("a", |body| body["version"] = json!(3)), "`version` is 3"),
        (command_body("a", |body| body["version"] = json!(2)), "`class`"),
        (command_body("a b", |_| {}), "`broadcast_id`"),
        (command_body("a", |body| body["surprise"] = json!(1)), "surprise"),
        (command_body("a", |body| body["max_recipients"] = json!(0)), "`max_recipients`"),
        (command_body("a", |body| body["max_recipients"] = json!(-1)), "`max_recipients`"),
        (command_body("a", |body| body["audience"] = json!("everybody")), "no audience `everybody`"),
        (command_body("a", |body| body["audience"] = json!("users; DROP TABLE users")), "`audience`"),
        (command_body("a", |body| body["content"]["inline"]["text"] = json!("{{nmae}}")), "{{nmae}}"),
        (command_body("a", |body| body["content"]["inline"]["text"] = json!("{{#each x}}")), "is no placeholder"),
        (command_body("a", |body| body["not_after"] = json!("2099-01-01T00:00:00Z")), "`not_after`"),
        (command_body("a", |body| body["not_after"] = json!("soon")), "`not_after`"),
        (command_body("a", |body| body["from"] = json!("nobody")), "`from`"),
        (command_body("a", |body| body["canary"] = json!(2_000_000)), "`canary`"),
        (command_body("a", |body| body["content"]["inline"]["text"] = json!(long)), "bytes"),
    ];
    let world = World::new(WorldOptions::default()).await;
    for (body, _) in &bad {
        world.post(body).await;
    }
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let letters = world.dead_letters("commands").await;
    assert_eq!(letters.len(), bad.len());
    for (body, word) in &bad {
        let (_, reason) = letters.iter().find(|(letter, _)| letter == body).unwrap();
        assert!(reason.contains(word), "{word}: {reason}");
        assert!(reason.len() < 600, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_is_found_by_its_id_and_stands_in_the_way_of_no_broadcast() {
    let world = World::new(WorldOptions::default()).await;
    let refused_as = async |id: &str| world.ledger().refused(&id.parse().unwrap()).await.unwrap();
    // One whose audience nobody knows, one that can't be parsed though its id can, and one without an id.
    world.post(&command_body("terms", |body| body["audience"] = json!("everybody"))).await;
    assert!(refused(&world).await.contains("no audience `everybody`"));
    let noted = refused_as("terms").await.unwrap();
    assert!(noted.reason.contains("no audience `everybody`; it has `users`"), "{noted:?}");
    assert_eq!(noted.code, Some(ReasonCode::RefusedAudience));
    assert!(noted.refused_by == "a service in a test" && noted.is_news(None), "{noted:?}");
    world.post(&format!("\u{feff}{}", command_body("other", |body| body["surprise"] = json!("x".repeat(5_000))))).await;
    refused(&world).await;
    let noted = refused_as("other").await.unwrap();
    assert!(noted.reason.contains("surprise") && noted.code == Some(ReasonCode::RefusedCommand), "{noted:?}");
    world.post("{\"broadcast_id\": 7}").await;
    refused(&world).await;
    assert_eq!(world.ledger().all_refused().await.unwrap().len(), 2);

    // Corrected and sent under the same id it goes, and the refusal of before is no news any more.
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(!refused_as("terms").await.unwrap().is_news(Some(&broadcast)));

    // Other content under its id is refused, noted, and changes nothing of it.
    let before = serde_json::to_value(world.broadcast("terms").await).unwrap();
    world.post(&command_body("terms", |body| body["content"]["inline"]["subject"] = json!("Something else"))).await;
    refused(&world).await;
    let noted = refused_as("terms").await.unwrap();
    assert!(noted.reason.contains("choose a new id") && noted.is_news(Some(&broadcast)), "{noted:?}");
    assert_eq!(noted.code, Some(ReasonCode::RefusedOtherContent));
    assert_eq!(serde_json::to_value(world.broadcast("terms").await).unwrap(), before);
    assert_eq!(world.ledger().known_broadcasts().await.unwrap().len(), 1);
}

/// Runs a producer until it has refused the one command there is, and gives the reason.
async fn refused(world: &World) -> String {
    let stop = CancellationToken::new();
    let producer = world.producer().await;
    let run = producer.run(stop.clone());
    let look = async {
        let (_, reason) = seen("it is refused", async || world.dead_letters("commands").await.pop()).await;
        stop.cancel();
        reason
    };
    tokio::join!(run, look).1
}
