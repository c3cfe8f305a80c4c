//! Feedback: what the provider tells afterwards, and what it settles.

use std::collections::BTreeMap;
use std::time::Duration;

use issei_aws::AwsCall;
use issei_ledger::{BroadcastState, Outcome, ReasonCode, SkipReason};
use issei_schema::{ChunkMessage, EventKind};
use issei_sim::{Account, Envelope, EventRule, Events, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use jiff::SignedDuration;
use serde_json::json;

/// A world whose provider tells what becomes of each message.
pub(crate) fn told(change: impl FnOnce(&mut Events)) -> WorldOptions {
    let mut events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
    change(&mut events);
    WorldOptions { account: Account { events, ..Account::default() }, ..WorldOptions::default() }
}

fn rule(address: &str, event: &str) -> EventRule {
    EventRule { address: address.to_owned(), event: event.to_owned() }
}

async fn kinds(world: &World) -> BTreeMap<String, Vec<EventKind>> {
    let outcomes = world.outcomes("terms").await.into_iter();
    outcomes.map(|recipient| (recipient.recipient.unwrap().address.as_str().to_owned(), recipient.events)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_every_envelope_settle_whoever_was_in_doubt() {
    for envelope in [Envelope::Raw, Envelope::Sns, Envelope::EventBridge] {
        let world = World::new(told(|events| events.envelope = envelope)).await;
        // One chunk's answer is lost: ten recipients in doubt, all of them accepted in truth.
        world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).after(2).times(1));
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((90, 10)), "{envelope:?}");
        world.take_events().await;
        assert_eq!(world.in_doubt("terms").await, Vec::<String>::new());
        assert_eq!(world.broadcast("terms").await.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
        assert!(kinds(&world).await.values().all(|kinds| *kinds == [EventKind::Sent, EventKind::Delivered]));
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_totals_of_a_broadcast_that_is_over_follow_its_events() {
    let world = World::new(told(|events| events.rules = vec![rule("user000007", "Bounce"), rule("user000008", "Rendering Failure")])).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ErrorAfter).times(1));
    world.post_command(&command("terms", |_| {})).await;
    assert_eq!(world.run_to_the_end("terms").await.totals.unwrap().in_doubt, 10);
    let feedback = world.feedback().await;
    let queue = world.queue("feedback").await;
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            break;
        }
        feedback.handle_batch(&messages).await;
    }
    feedback.sweep().await.unwrap();
    let totals = world.broadcast("terms").await.totals.unwrap();
    assert_eq!((totals.accepted, totals.in_doubt, totals.delivered, totals.bounced, totals.not_rendered), (100, 0, 98, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_could_not_be_written_are_written_by_a_later_sweep() {
    let world = World::new(told(|events| events.rules = vec![rule("user000007", "Bounce")])).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let feedback = world.feedback().await;
    let messages = world.queue("feedback").await.receive(10, Duration::ZERO).await.unwrap();
    feedback.handle_batch(&messages).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::ErrorBefore));
    feedback.sweep().await.unwrap();
    let before = world.broadcast("terms").await.totals.unwrap().delivered;
    world.cloud.heal();
    feedback.sweep().await.unwrap();
    assert!(world.broadcast("terms").await.totals.unwrap().delivered > before);
}

/// Row 26 of the catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn row_26_events_repeated_late_and_out_of_order_change_nothing() {
    let world = World::new(told(|events| (events.repeated, events.late_s) = (0.5, 5))).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.cloud.show_all_messages();
    world.take_events().await;
    assert!(kinds(&world).await.values().all(|kinds| *kinds == [EventKind::Sent, EventKind::Delivered]));
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Complete);
    assert_eq!(world.dead_letters("feedback").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_evidence_costs_one_write_a_chunk() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.as_an_older_build_registered("terms").await;
    let queue = world.queue("feedback").await;
    let mut messages = Vec::new();
    while messages.len() < 200 {
        messages.extend(queue.receive(10, Duration::ZERO).await.unwrap());
    }
    let writes = || world.cloud.counts().get(&("dynamodb", "UpdateItem".to_owned())).copied().unwrap_or(0);
    let feedback = world.feedback().await;
    let before = writes();
    feedback.handle_batch(&messages).await;
    // 200 events of 100 recipients in chunks of 10 at most, two writes of progress (the sum, and when), and
    // one that a broadcast which is over was told about.
    let chunks = u64::from(world.broadcast("terms").await.chunks);
    assert_eq!(writes() - before, chunks + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_of_ours_is_buried_with_its_reason_and_loses_nothing_else() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let event = |tags: serde_json::Value| json!({ "eventType": "Send", "mail": { "messageId": "m", "tags": tags } }).to_string();
    let queue = world.queue("feedback").await;
    for body in [
        "no json".to_owned(),
        event(json!({ "broadcast": ["nobody"], "chunk": ["0"], "recipient": ["0"] })),
        event(world.tags("terms", 4_000_000, 0).await),
        event(world.tags("terms", 0, 99).await),
        // Of another ledger of the account, of an older build's and of this one's.
        event(json!({ "broadcast": ["terms"], "chunk": ["0"], "recipient": ["0"] })),
        event(json!({ "broadcast": ["terms"], "chunk": ["0"], "recipient": ["0"], "registration": ["0123456789abcdef0123"] })),
        // Mail of others through the same configuration set: left alone.
        event(json!({})),
    ] {
        queue.send(&body, Duration::ZERO).await.unwrap();
    }
    world.take_events().await;
    let reasons: Vec<String> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons.len(), 6, "{reasons:?}");
    for word in
        ["no SES event", "no broadcast `nobody`", "names chunk 4000000", "`recipient`", "names no registration", "another registration"]
    {
        assert!(reasons.iter().any(|reason| reason.contains(word)), "{word}: {reasons:?}");
    }
    assert!(kinds(&world).await.values().all(|kinds| kinds.contains(&EventKind::Delivered)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_accepted_message_for_one_recipient_stops_the_broadcast_and_says_why() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(10))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let forged = json!({ "eventType": "Send", "mail": { "messageId": "another", "timestamp": "2026-11-25T21:00:01.000Z", "tags": world.tags("terms", 0, 3).await } });
    world.queue("feedback").await.send(&forged.to_string(), Duration::ZERO).await.unwrap();
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping);
    let reason = &broadcast.audit_trail.last().unwrap().reason;
    assert!(reason.contains("chunk 0 more than once, first the recipient with the key 11"), "{reason}");
    // Both messages are known in full: one by the answer, and the other by its event, with its time.
    let chunk = world.ledger().chunks(&broadcast.placed(), &[0]).await.unwrap().into_values().next().unwrap();
    let feedback = world.ledger().feedback(&broadcast.placed(), &[0]).await.unwrap().remove(&0).unwrap();
    let messages: BTreeMap<String, String> = feedback.messages(3).map(|told| (told.message_id.clone(), told.sent_at.clone())).collect();
    assert!(chunk.message_id(3).is_some_and(|id| id != "another"));
    assert!(messages.get("another").is_some_and(|at| at == "2026-11-25T21:00:01Z"), "{messages:?}");
    assert_eq!(feedback.messages(2).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_names_another_message_than_the_answer_stops_the_broadcast_at_once() {
    let world = World::new(told(|events| events.lost = 1.0)).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(10))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let event = json!({ "eventType": "Send", "mail": { "messageId": "another", "tags": world.tags("terms", 0, 3).await } });
    world.queue("feedback").await.send(&event.to_string(), Duration::ZERO).await.unwrap();
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping);
    let feedback = world.ledger().feedback(&broadcast.placed(), &[0]).await.unwrap().remove(&0).unwrap();
    assert_eq!(feedback.messages(3).map(|told| told.message_id.as_str()).collect::<Vec<_>>(), ["another"]);
}

/// There is nothing left to stop, and it stands in the audit trail all the same, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_accepted_message_of_a_broadcast_that_is_complete_is_written_down() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.take_events().await;
    let forged = json!({ "eventType": "Send", "mail": { "messageId": "another", "tags": world.tags("terms", 0, 3).await } });
    for _ in 0..2 {
        world.queue("feedback").await.send(&forged.to_string(), Duration::ZERO).await.unwrap();
        world.take_events().await;
    }
    world.feedback().await.sweep().await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    let found = broadcast.accepted_twice().unwrap_or_else(|| panic!("{:?}", broadcast.audit_trail));
    assert!(found.reason.contains("chunk 0 more than once, first the recipient with the key 11"), "{found:?}");
    assert_eq!(broadcast.audit_trail.iter().filter(|entry| entry.reason == found.reason).count(), 1, "{:?}", broadcast.audit_trail);
    assert!(world.ledger().audit_trail(&broadcast).await.unwrap().holds());
}

/// SES takes every message and sends none, for what it finds in them: that is no delivery, and it ends the broadcast as bounces do.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_takes_and_does_not_send_is_counted_and_ends_the_broadcast() {
    let mut options = told(|events| events.rules = vec![rule("@", "Reject")]);
    let world = World::new(options.clone()).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    let totals = world.broadcast("terms").await.totals.unwrap();
    assert_eq!((totals.accepted, totals.rejected, totals.turned_away), (100, 0, Some(100)));

    (options.limits.recipients_min, options.limits.events_min) = (50, 1);
    let world = World::new(options).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(60))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping, "{:?}", broadcast.audit_trail);
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("did not send"), "{:?}", broadcast.audit_trail);
}

/// The answer named one message, and the only event that ever came names another.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finds_a_second_message_that_no_two_events_name() {
    let world = World::new(told(|events| events.lost = 1.0)).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(10))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let event = json!({ "eventType": "Send", "mail": { "messageId": "another", "tags": world.tags("terms", 0, 3).await } });
    world.queue("feedback").await.send(&event.to_string(), Duration::ZERO).await.unwrap();
    // The answer can't be read when the event comes.
    world.cloud.inject(Rule::every("BatchGetItem", Fault::ErrorBefore));
    world.take_events().await;
    world.cloud.heal();
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Holding);
    world.feedback().await.sweep().await.unwrap();
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Stopping);
}

/// Row 27 of the catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn row_27_too_many_bounces_or_complaints_end_the_broadcast() {
    for (event, word) in [("Bounce", "bounces"), ("Complaint", "complaints")] {
        let mut options = told(|events| events.rules = vec![rule("user00000", event)]);
        options.limits.recipients_min = 50;
        let world = World::new(options).await;
        world.post_command(&command("terms", |body| body["canary"] = json!(60))).await;
        world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
        world.take_events().await;
        let broadcast = world.broadcast("terms").await;
        assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping, "{event}");
        assert!(broadcast.audit_trail.last().unwrap().reason.contains(word), "{:?}", broadcast.audit_trail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_ses_did_not_send_to_has_not_bounced_and_who_says_no_spam_has_not_complained() {
    let mut options = told(|events| {
        events.rules = vec![
            rule("user00000", "Bounce OnAccountSuppressionList"),
            rule("user00001", "Complaint not-spam"),
            rule("user00002", "DeliveryDelay"),
        ];
    });
    options.limits.recipients_min = 50;
    let world = World::new(options).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(60))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Holding, "{:?}", broadcast.audit_trail);
    assert!(world.cloud.suppressed().is_empty(), "{:?}", world.cloud.suppressed());
    let totals = world.ledger().tally(&broadcast).await.unwrap().totals();
    assert_eq!((totals.suppressed, totals.bounced, totals.complained, totals.delayed), (6, 0, 0, 10));
    // An older build beside this one, which knows neither kind, still reads that the provider took them.
    let kinds = kinds(&world).await;
    assert_eq!(kinds["user000003@example.com"], [EventKind::Sent, EventKind::Suppressed]);
    assert_eq!(kinds["user000023@example.com"], [EventKind::Sent, EventKind::Delayed]);
    world.post_command(&command("second", |body| body["canary"] = json!(60))).await;
    let second = world.run_until("second", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    assert_eq!((second.recipients, second.skipped), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_were_told_twice_end_nothing_and_true_ones_do_at_once() {
    let mut options = told(|events| events.rules = vec![rule("user000001", "Bounce")]);
    (options.limits.recipients_min, options.limits.events_min) = (50, 1);
    let world = World::new(options).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(60))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    // As an older build does, whose writes are repeated.
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let put = world.clients.dynamodb.put_item().table_name("ledger").item("pk", text("b#terms")).item("sk", text("progress#00"));
    put.item("bounced", aws_sdk_dynamodb::types::AttributeValue::N("30".to_owned())).call().await.unwrap();
    world.take_events().await;
    // One bounced of sixty, and two are the limit's.
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Holding, "{:?}", broadcast.audit_trail);
    let chunk = world.ledger().chunks(&broadcast.placed(), &[0]).await.unwrap().into_values().next().unwrap();
    let bounce = json!({ "eventType": "Bounce", "bounce": { "bounceType": "Permanent" },
        "mail": { "messageId": chunk.message_id(5).unwrap(), "tags": world.tags("terms", 0, 5).await } });
    world.queue("feedback").await.send(&bounce.to_string(), Duration::ZERO).await.unwrap();
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopping, "{:?}", broadcast.audit_trail);
    assert!(broadcast.audit_trail.last().unwrap().reason.starts_with("2 bounces among 60"), "{:?}", broadcast.audit_trail);
    assert_eq!(broadcast.reason_code(world.now()), Some(ReasonCode::StoppedBounces));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_that_ses_publishes_is_no_dead_letter() {
    let world = World::new(told(|_| {})).await;
    let greeting = "Successfully validated SNS topic for Amazon SES event publishing.";
    let queue = world.queue("feedback").await;
    queue.send(greeting, Duration::ZERO).await.unwrap();
    queue.send(&json!({ "Type": "Notification", "Message": greeting }).to_string(), Duration::ZERO).await.unwrap();
    world.take_events().await;
    assert_eq!(world.dead_letters("feedback").await, []);
    assert_eq!(queue.depths().await.unwrap(), [0; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_bounced_or_complained_is_skipped_by_later_broadcasts_with_the_reason() {
    let world = World::new(told(|events| events.rules = vec![rule("user000003", "Bounce"), rule("user000004", "Complaint")])).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.take_events().await;
    let listed = world.cloud.suppressed();
    assert_eq!(listed.get("user000003@example.com").map(String::as_str), Some("BOUNCE"));
    assert_eq!(listed.get("user000004@example.com").map(String::as_str), Some("COMPLAINT"));
    // The list is by address, not by user, and not by the case of its letters.
    world.users.execute("UPDATE users SET email = 'User000003@Example.com' WHERE id = 90").await;
    world.post_command(&command("second", |_| {})).await;
    let second = world.run_to_the_end("second").await;
    assert_eq!((second.recipients, second.skipped), (97, 3));
    let mut skipped = Vec::new();
    for page in 0..second.pages {
        let page = world.ledger().page(&second.placed(), page).await.unwrap();
        skipped.extend(page.skipped().map(|skipped| (skipped.key.clone(), skipped.reason)));
    }
    let expected = [("3", SkipReason::Bounced), ("4", SkipReason::Complained), ("90", SkipReason::Bounced)];
    assert_eq!(skipped, expected.map(|(key, reason)| (key.to_owned(), reason)));
    let judged = judge(&world.cloud, "second");
    assert!(!judged.reached().iter().any(|address| address.to_lowercase().starts_with("user000003") || address.starts_with("user000004")));
}

/// A world in which one chunk's request never reached the provider and nobody knows, and all else is
/// accepted and told of.
pub(crate) async fn one_chunk_in_doubt(policy: &str, fault: Fault, change: impl FnOnce(&mut Events)) -> World {
    let world = World::new(told(change)).await;
    world.cloud.inject(Rule::every("SendBulkEmail", fault).after(3).times(1));
    world.post_command(&command("terms", |body| body["in_doubt"] = json!(policy))).await;
    world.run_until_counted("terms", |totals| (totals.accepted, totals.in_doubt) == (90, 10)).await;
    world
}

async fn after_the_wait(mut world: World) -> World {
    world.later(SignedDuration::from_hours(2));
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_retry_sends_again_to_those_alone_whom_the_provider_never_took() {
    let world = one_chunk_in_doubt("evidence_retry", Fault::ResetBefore, |_| {}).await;
    // Before the wait is over, nothing is concluded.
    world.take_events().await;
    world.feedback().await.sweep().await.unwrap();
    assert_eq!(world.in_doubt("terms").await.len(), 10);
    let world = after_the_wait(world).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_retry_leaves_those_whom_the_provider_did_take() {
    let world = one_chunk_in_doubt("evidence_retry", Fault::ResetAfter, |_| {}).await;
    let world = after_the_wait(world).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Evidence opened the chunk, an old copy of its message was claimed and given up, and the new one is
/// gone: the sweep sees to it that there is a message again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reopened_chunk_whose_messages_are_lost_gets_another() {
    let world = one_chunk_in_doubt("evidence_retry", Fault::ResetBefore, |_| {}).await;
    let mut world = after_the_wait(world).await;
    let ledger = world.ledger();
    let messages = world.queue("chunks").await.receive(1, Duration::ZERO).await.unwrap();
    let message = ChunkMessage::parse(&messages[0].body).unwrap();
    let of = world.broadcast("terms").await.registration();
    let seen = ledger.chunks(&of.placed(), &[message.chunk]).await.unwrap().remove(&message.chunk).unwrap();
    let claim = ledger
        .claim(&message, &of, &seen, "an old copy".to_owned(), Duration::from_mins(10), &issei_ledger::Under::default())
        .await
        .unwrap();
    let issei_ledger::Claimed::Ours(mut claim) = claim else { panic!("{claim:?}") };
    let positions: Vec<usize> = claim.positions().collect();
    positions.into_iter().for_each(|at| claim.settle(at, Outcome::Retryable, None));
    ledger.confirm(&mut claim).await.unwrap();
    world.queue("chunks").await.delete_batch(vec![messages[0].receipt.clone()]).await.unwrap();
    world.later(SignedDuration::from_mins(25));
    world.feedback().await.sweep().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_ends_a_broadcast_opens_no_doubt_in_it() {
    let world = one_chunk_in_doubt("evidence_retry", Fault::ResetBefore, |_| {}).await;
    world.take_events().await;
    // The ledger forgets a chunk of which there are events, and does not notice by itself.
    let sure = world.outcomes("terms").await.into_iter().find(|recipient| recipient.outcome == Some(Outcome::Accepted)).unwrap();
    let key = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let (partition, item) =
        (format!("b#terms#{:02}", sure.chunk % world.broadcast("terms").await.placed().shards.get()), format!("chunk#{:08}", sure.chunk));
    let delete = world.clients.dynamodb.delete_item().table_name("ledger").key("pk", key(partition)).key("sk", key(item));
    delete.call().await.unwrap();
    // By its events alone everybody of it was accepted, whatever the ledger has forgotten.
    let of_it = world.outcomes("terms").await.into_iter().filter(|recipient| recipient.chunk == sure.chunk);
    assert_eq!(of_it.filter(|recipient| recipient.outcome == Some(Outcome::Accepted)).count(), 10);
    let world = after_the_wait(world).await;
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Stopping);
    assert_eq!(world.in_doubt("terms").await.len(), 10);
}

/// The request was accepted and the events' way is broken: absence is no proof, however long it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_retry_concludes_nothing_while_the_events_of_others_are_missing() {
    let world = one_chunk_in_doubt("evidence_retry", Fault::ResetAfter, |events| events.lost = 0.5).await;
    let world = after_the_wait(world).await;
    assert!(!world.in_doubt("terms").await.is_empty());
    assert!(world.outcomes("terms").await.iter().all(|recipient| recipient.outcome != Some(Outcome::Retryable)));
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Running);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// The events are there, in our own queue, and nobody has read them.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_retry_concludes_nothing_while_events_wait_unread() {
    let mut world = one_chunk_in_doubt("evidence_retry", Fault::ResetAfter, |_| {}).await;
    world.later(SignedDuration::from_hours(2));
    world.feedback().await.sweep().await.unwrap();
    assert_eq!(world.in_doubt("terms").await.len(), 10);
    let world = after_the_wait(world).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_sends_again_without_evidence_and_two_acceptances_do_not_stop_it() {
    let world = one_chunk_in_doubt("at_least_once", Fault::ResetAfter, |events| events.late_s = 60).await;
    let mut world = world;
    world.later(SignedDuration::from_hours(2));
    world.feedback().await.sweep().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
    assert_eq!(judge(&world.cloud, "terms").duplicates().len(), 10);
    world.cloud.show_all_messages();
    world.take_events().await;
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_never_sends_again_however_clear_the_evidence() {
    let world = World::new(told(|_| {})).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetBefore).after(3).times(1));
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let world = after_the_wait(world).await;
    assert_eq!(world.in_doubt("terms").await.len(), 10);
    assert_eq!(judge(&world.cloud, "terms").total(), 90);
}

/// V16: evidence opened the chunk, and the frozen owner of the old claim wakes and reports a
/// rejection, or an acceptance. Neither changes anything.
#[tokio::test(flavor = "multi_thread")]
async fn v16_a_late_answer_of_the_old_owner_changes_nothing() {
    let mut world = World::new(WorldOptions { users: 5, page_size: 5, chunk_size: 5, ..told(|_| {}) }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let ledger = world.ledger();
    let broadcast = world.broadcast("terms").await;
    let page = ledger.page(&broadcast.placed(), 0).await.unwrap();
    let message = page.messages(&broadcast, None).next().unwrap();
    ledger.grant(&broadcast.registration(), broadcast.epoch, (5, 5), None, Duration::from_secs(5)).await.unwrap();
    let claim = ledger
        .claim(
            &message,
            &broadcast.registration(),
            &issei_ledger::Chunk::Absent,
            "old".to_owned(),
            Duration::from_millis(1),
            &issei_ledger::Under::default(),
        )
        .await;
    let Ok(issei_ledger::Claimed::Ours(mut claim)) = claim else { panic!("{claim:?}") };
    world.later(SignedDuration::from_hours(2));
    let seen = ledger.chunks(&broadcast.placed(), &[0]).await.unwrap().into_values().next().unwrap();
    assert!(world.ledger().reopen(&broadcast, 0, &seen, &[0, 1, 2], "new").await.unwrap());
    (0..5).for_each(|at| claim.settle(at, Outcome::Retryable, None));
    assert!(matches!(ledger.confirm(&mut claim).await.unwrap(), issei_ledger::Confirmed::NotOurs(_)));
    let outcomes: Vec<Option<Outcome>> = world.outcomes("terms").await.into_iter().map(|recipient| recipient.outcome).collect();
    let (again, doubt) = (Some(Outcome::Retryable), Some(Outcome::InDoubt));
    assert_eq!(outcomes, [again, again, again, doubt, doubt]);
    // Somebody else has the chunk now, and is about to send.
    let seen = world.ledger().chunks(&broadcast.placed(), &[0]).await.unwrap().into_values().next().unwrap();
    let theirs = world
        .ledger()
        .claim(&message, &broadcast.registration(), &seen, "theirs".to_owned(), Duration::from_mins(10), &issei_ledger::Under::default())
        .await
        .unwrap();
    assert!(matches!(theirs, issei_ledger::Claimed::Ours(_)), "{theirs:?}");
    assert!(matches!(ledger.confirm(&mut claim).await.unwrap(), issei_ledger::Confirmed::NotOurs(issei_ledger::Chunk::Claimed { .. })));
}
