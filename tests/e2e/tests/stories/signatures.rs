//! Notifications of SNS: believed by their signature, where they have one.

use std::time::Duration;

use issei_ledger::BroadcastState;
use issei_provider::ses::SnsTrust;
use issei_sim::{Fault, Rule};
use issei_test_support::sns::{FakeWeb, Signer, TOPIC, VERSION_1, certificate, notification};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::{Value, json};

use crate::feedback::told;

/// A broadcast of which one chunk's ten recipients are in doubt and were accepted in truth, and the events of all,
/// taken off the queue.
async fn ten_in_doubt(trust: SnsTrust) -> (World, Vec<String>) {
    let mut world = World::new(WorldOptions { sns_trust: trust, ..told(|_| {}) }).await;
    world.clients.web = FakeWeb::with_certificates().client(&world.options.timing).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).after(2).times(1));
    world.post_command(&command("terms", |_| {})).await;
    let totals = world.run_to_the_end("terms").await.totals;
    assert_eq!(totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((90, 10)));
    let (queue, mut events) = (world.queue("feedback").await, Vec::new());
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            return (world, events);
        }
        queue.delete_batch(messages.iter().map(|message| message.receipt.clone()).collect()).await.unwrap();
        events.extend(messages.into_iter().map(|message| message.body));
    }
}

async fn put(world: &World, bodies: impl IntoIterator<Item = Value>) {
    let queue = world.queue("feedback").await;
    for body in bodies {
        queue.send(&body.to_string(), Duration::ZERO).await.unwrap();
    }
}

/// As SNS publishes it.
fn signed(event: &str) -> Value {
    notification(event, TOPIC, Signer::Sns, &certificate("0123"))
}

fn topic() -> issei_schema::TopicArn {
    TOPIC.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_that_sns_has_signed_settle_whoever_was_in_doubt_by_one_look_at_its_certificate() {
    let (mut world, events) = ten_in_doubt(SnsTrust::Require(topic())).await;
    let web = FakeWeb::with_certificates();
    world.clients.web = web.client(&world.options.timing).await;
    put(&world, events.iter().map(|event| signed(event)).chain([serde_json::from_str(VERSION_1).unwrap()])).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, Vec::<String>::new());
    assert_eq!(world.dead_letters("feedback").await, []);
    assert_eq!(world.queue("feedback").await.depths().await.unwrap(), [0; 3]);
    assert_eq!(web.asked(), [(certificate("0123"), 1)].into());
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// A delivery for each of those in doubt is forged in each of these ways.
fn forgeries(events: &[String]) -> Vec<(Value, &'static str)> {
    let with = |name: &str, value: &str| {
        let mut envelope = signed(&events[0]);
        envelope[name] = value.into();
        envelope
    };
    let without = |name: &str| {
        let mut envelope = signed(&events[0]);
        envelope.as_object_mut().unwrap().remove(name);
        envelope
    };
    let by = |signer, url: &str| notification(&events[0], TOPIC, signer, url);
    let at_evil = "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-0123.pem";
    vec![
        (with("Message", &events[1]), "its signature is not SNS's"),
        (with("Timestamp", "2026-11-25T00:00:00.000Z"), "its signature is not SNS's"),
        (with("Subject", "added"), "its signature is not SNS's"),
        (with("TopicArn", "arn:aws:sns:us-east-1:123456789012:another"), "its signature is not SNS's"),
        (with("Signature", "AAAA"), "its signature is not SNS's"),
        (with("Signature", "no base64"), "its Signature is no Base64"),
        (with("SignatureVersion", "3"), "its SignatureVersion"),
        (with("SignatureVersion", "1"), "its signature is not SNS's"),
        (without("Signature"), "it has no Signature"),
        (without("SigningCertURL"), "it has no SigningCertURL"),
        (without("SignatureVersion"), "it has no SignatureVersion"),
        (by(Signer::SomebodyElse, &certificate("0123")), "its signature is not SNS's"),
        (by(Signer::SomebodyElse, at_evil), "its SigningCertURL is none of SNS"),
        (by(Signer::Sns, "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"), "its SigningCertURL is none of SNS"),
        (by(Signer::Sns, &certificate("0124")), "is not valid at this time"),
        (by(Signer::Sns, &certificate("0125")), "is not for SNS"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_notification_settles_nobody_and_stands_in_the_dead_letters_with_its_reason() {
    let (mut world, events) = ten_in_doubt(SnsTrust::WherePresent(None)).await;
    let web = FakeWeb::with_certificates();
    world.clients.web = web.client(&world.options.timing).await;
    let doubtful = world.in_doubt("terms").await;
    let about: Vec<String> = events.into_iter().filter(|event| doubtful.iter().any(|address| event.contains(address))).collect();
    let forged = forgeries(&about);
    put(&world, forged.iter().map(|(envelope, _)| envelope.clone())).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, doubtful);
    let letters = world.dead_letters("feedback").await;
    assert_eq!(letters.len(), forged.len(), "{letters:?}");
    for (envelope, reason) in forged {
        let letter = letters.iter().find(|(body, _)| serde_json::from_str(body).is_ok_and(|body: Value| body == envelope)).unwrap();
        assert!(letter.1.contains(reason), "{reason}: {}", letter.1);
    }
    assert!(web.asked().keys().all(|url| url.starts_with("https://sns.us-east-1.amazonaws.com/")), "{:?}", web.asked());
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_has_signed_for_anothers_topic_is_refused_where_ours_is_named() {
    let (world, events) = ten_in_doubt(SnsTrust::WherePresent(Some(topic()))).await;
    let doubtful = world.in_doubt("terms").await;
    put(&world, events.iter().map(|event| notification(event, "arn:aws:sns:us-east-1:666:mine", Signer::Sns, &certificate("0123")))).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, doubtful);
    let letters = world.dead_letters("feedback").await;
    assert!(letters.len() == events.len() && letters.iter().all(|(_, reason)| reason.contains("its topic is another")), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_signatures_are_required_nothing_is_believed_that_has_none() {
    let (world, events) = ten_in_doubt(SnsTrust::Require(topic())).await;
    let doubtful = world.in_doubt("terms").await;
    let event: Value = serde_json::from_str(&events[0]).unwrap();
    let bare = json!({ "Type": "Notification", "TopicArn": TOPIC, "Message": events[0] });
    put(&world, [event.clone(), json!({ "detail-type": "Email Delivered", "detail": event }), bare]).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, doubtful);
    assert_eq!(world.dead_letters("feedback").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_certificate_cannot_be_fetched_its_notifications_wait_and_are_believed_once_it_can() {
    let (mut world, events) = ten_in_doubt(SnsTrust::WherePresent(None)).await;
    world.clients.web = FakeWeb::default().client(&world.options.timing).await;
    let doubtful = world.in_doubt("terms").await;
    put(&world, events.iter().map(|event| signed(event))).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, doubtful);
    assert_eq!(world.dead_letters("feedback").await, []);
    let [_, in_flight, _] = world.queue("feedback").await.depths().await.unwrap();
    assert_eq!(in_flight, events.len() as u64);
    world.cloud.show_all_messages();
    world.clients.web = FakeWeb::with_certificates().client(&world.options.timing).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, Vec::<String>::new());
    assert_eq!(world.dead_letters("feedback").await, []);
}
