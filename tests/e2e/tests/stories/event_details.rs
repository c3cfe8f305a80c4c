//! When a mail was delivered, or when it bounced and why: kept beside the events, shown, and gone with whoever is forgotten.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{EventDetail, Fate, Outcome, Sought};
use issei_schema::EventKind;
use issei_sim::{EventRule, Fault, Rule};
use issei_test_support::{World, command};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::feedback::told;

/// What is known of the one who has this key.
async fn fate(world: &World, key: &str) -> Fate {
    let (ledger, broadcast) = (world.ledger(), world.broadcast("terms").await);
    let found = ledger.finder(key).await.unwrap().look(&broadcast, |_| ()).await.unwrap();
    ledger.fate(&broadcast, &found.recipients[0]).await.unwrap()
}

fn of(fate: &Fate, kind: EventKind) -> Option<&EventDetail> {
    fate.details.iter().find(|(of, _)| *of == kind).map(|(_, detail)| detail)
}

/// That user 7 has bounced, in the provider's `word` for it, and user 8 was delivered to.
pub(crate) async fn assert_delivered_and_bounced(world: &World, began: Timestamp, word: &str) {
    let (bounced, delivered) = (fate(world, "7").await, fate(world, "8").await);
    let second = SignedDuration::from_secs(1);
    let is_now =
        |detail: Option<&EventDetail>| detail.and_then(|detail| detail.at).is_some_and(|at| at >= began - second && at <= world.now());
    assert!(is_now(of(&delivered, EventKind::Sent)) && is_now(of(&delivered, EventKind::Delivered)), "{:?}", delivered.details);
    assert!(is_now(of(&bounced, EventKind::Bounced)), "{:?}", bounced.details);
    let reason = of(&bounced, EventKind::Bounced).unwrap().reason.clone().unwrap();
    assert_eq!((reason.kind.as_str(), reason.status.as_str()), (word, "5.1.1"));
    assert!(reason.diagnostic.starts_with("550 5.1.1 <") && reason.diagnostic.contains("User unknown"), "{reason}");
    assert!(!reason.to_string().contains("user000007"), "{reason}");
    assert_eq!(of(&delivered, EventKind::Delivered).unwrap().reason, None);
}

/// Every item of the log, as it lies in the table, with the reasons unpacked.
async fn items(world: &World) -> Vec<(Vec<String>, String)> {
    let query = world.clients.dynamodb.query().table_name("ledger").key_condition_expression("pk = :pk");
    let answer = query.expression_attribute_values(":pk", AttributeValue::S("b#terms#events".to_owned())).call().await.unwrap();
    let unpacked = |value: &AttributeValue| String::from_utf8(zstd::stream::decode_all(value.as_b().unwrap().as_ref()).unwrap()).unwrap();
    let of = |item: std::collections::HashMap<String, AttributeValue>| {
        let reasons = item.get("reasons").map(unpacked).unwrap_or_default();
        (item.into_keys().collect(), reasons)
    };
    answer.items.unwrap_or_default().into_iter().map(of).collect()
}

fn bounces(address: &str) -> EventRule {
    EventRule { address: address.to_owned(), event: "Bounce".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn ses_tells_when_it_was_delivered_and_why_it_bounced() {
    let world = World::new(told(|events| events.rules = vec![bounces("user000007")])).await;
    let began = world.now();
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world.take_events().await;
    assert_delivered_and_bounced(&world, began, "Permanent/General").await;
}

/// The claim's answer was lost, so that the events are evidence, and end the doubt.
#[tokio::test(flavor = "multi_thread")]
async fn of_whom_the_event_alone_tells_it_is_known_when_and_why_too() {
    let world = World::new(told(|events| events.rules = vec![bounces("user0")])).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).times(1));
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let doubted = world.outcomes("terms").await.into_iter().find(|it| it.outcome == Some(Outcome::InDoubt)).unwrap();
    let key = doubted.recipient.unwrap().key.as_str().to_owned();
    world.take_events().await;
    let found = fate(&world, &key).await;
    assert_eq!(found.outcome.outcome, Some(Outcome::Accepted));
    assert!(found.feedback.answered().next().is_none(), "its events stand with its chunk");
    let bounced = of(&found, EventKind::Bounced).unwrap();
    assert!(bounced.at.is_some() && bounced.reason.as_ref().unwrap().status == "5.1.1", "{bounced:?}");
    // What stands in the log for its details counts for nothing there.
    let broadcast = world.broadcast("terms").await;
    let log = world.ledger().event_log(&broadcast).await.unwrap();
    assert_eq!(log.count(EventKind::Bounced), 90);
}

/// A mail server that names whoever it is about by a name that issei can't know, which is gone with everything else of them.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_forgotten_is_in_no_mail_servers_words_any_more() {
    let world = World::new(told(|_| {})).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let (broadcast, queue) = (world.broadcast("terms").await, world.queue("feedback").await);
    for (key, said) in [("42", "552 5.2.2 The mailbox of Zoe Quux is full"), ("43", "550 5.1.1 nobody of that name")] {
        let place = &world.ledger().finder(key).await.unwrap().look(&broadcast, |_| ()).await.unwrap().recipients[0];
        let chunk = world.ledger().chunks(&broadcast.placed(), &[place.chunk]).await.unwrap().into_values().next().unwrap();
        let tags = world.tags("terms", place.chunk, place.at).await;
        let who = json!([{ "emailAddress": place.recipient.address.as_str(), "diagnosticCode": format!("smtp; {said}") }]);
        let bounce: Value = json!({ "bounceType": "Transient", "bouncedRecipients": who, "timestamp": "2026-11-26T09:05:00Z" });
        let mail = json!({ "messageId": chunk.message_id(place.at).unwrap(), "tags": tags });
        queue.send(&json!({ "eventType": "Bounce", "bounce": bounce, "mail": mail }).to_string(), Duration::ZERO).await.unwrap();
    }
    world.take_events().await;
    let words = async || items(&world).await.into_iter().map(|(_, reasons)| reasons).collect::<String>();
    let before = words().await;
    assert!(before.contains("Zoe Quux") && before.contains("nobody of that name"), "{before}");

    let ledger = world.ledger();
    let (sought, found) = ledger.look_for(&broadcast, &Sought::new("42")).await.unwrap();
    // A hand that is killed before the page is changed has taken out the words already, and does it again.
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::ErrorBefore).times(100));
    let somebody = "an operator".parse().unwrap();
    ledger.forget(&broadcast.broadcast_id, found.pages[0], &sought, &somebody, "ticket 1").await.unwrap_err();
    world.cloud.heal();
    assert!(!words().await.contains("Quux"));
    assert_eq!(ledger.forget(&broadcast.broadcast_id, found.pages[0], &sought, &somebody, "ticket 1").await.unwrap(), 1);
    let after = words().await;
    assert!(!after.contains("Quux") && after.contains("nobody of that name"), "{after}");
    // Everybody else's are as they were, and nothing that counts has changed.
    let other = fate(&world, "43").await;
    let detail = of(&other, EventKind::SoftBounced).unwrap();
    assert_eq!(detail.reason.as_ref().unwrap().diagnostic, "550 5.1.1 nobody of that name");
    assert_eq!(detail.at.unwrap().to_string(), "2026-11-26T09:05:00Z");
    let findings = issei_certificate::what_the_ledger_holds(&ledger, &world.broadcast("terms").await, Duration::ZERO, world.now()).await;
    let against: Vec<_> = findings.iter().filter(|finding| !finding.holds()).map(|finding| finding.what.clone()).collect();
    assert_eq!(against, Vec::<String>::new());
}

/// Items of a build that kept no times, and a broadcast that such a build registered.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_an_older_build_wrote_down_read_as_before_and_have_no_time() {
    for registered_by_an_older_build in [false, true] {
        let world = World::new(told(|events| events.rules = vec![bounces("user000007")])).await;
        world.post_command(&command("terms", |_| {})).await;
        world.run_to_the_end("terms").await;
        if registered_by_an_older_build {
            world.as_an_older_build_registered("terms").await;
        }
        world.take_events().await;
        for (names, _) in items(&world).await {
            assert!(!registered_by_an_older_build, "nobody would read it: {names:?}");
            assert!(names.iter().any(|name| name.ends_with("_at")), "{names:?}");
        }
        let query = world.clients.dynamodb.query().table_name("ledger").key_condition_expression("pk = :pk");
        let answer = query.expression_attribute_values(":pk", AttributeValue::S("b#terms#events".to_owned())).call().await.unwrap();
        for mut item in answer.items.unwrap_or_default() {
            item.retain(|name, _| name == "expires_at" || !(name.ends_with("_at") || name == "reasons"));
            world.clients.dynamodb.put_item().table_name("ledger").set_item(Some(item)).call().await.unwrap();
        }
        let bounced = fate(&world, "7").await;
        assert_eq!((bounced.outcome.events.contains(&EventKind::Bounced), bounced.details), (true, Vec::new()));
    }
}
