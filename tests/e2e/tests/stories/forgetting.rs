//! Somebody is forgotten after a broadcast: what pages held of them is gone, and everything that was proved still is.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError, Outcome, Sought, Transition};
use issei_producer::RepairError;
use issei_schema::Actor;
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

fn somebody() -> Actor {
    "an operator".parse().unwrap()
}

/// A broadcast to its end: user 42 is mailed, with an address of upper case, and user 50 is skipped.
async fn sent() -> World {
    let world = World::new(WorldOptions::default()).await;
    world.users.execute("UPDATE users SET email = 'Zoe.Quux@example.com', name = 'Zoe Quux' WHERE id = 42").await;
    world.users.execute("UPDATE users SET email = NULL WHERE id = 50").await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    world
}

/// Forgets whoever it is in every page that has them: so many entries.
async fn forget(ledger: &Ledger, id: &str, who: &str) -> Result<u64, LedgerError> {
    let broadcast = ledger.broadcast(&id.parse().unwrap()).await?;
    let (sought, found) = ledger.look_for(&broadcast, &Sought::new(who)).await?;
    let mut entries = 0;
    for page in found.pages {
        entries += ledger.forget(&broadcast.broadcast_id, page, &sought, &somebody(), "asked for it").await?;
    }
    Ok(entries)
}

/// What the certificate's part about the ledger finds wrong.
async fn against(world: &World, id: &str) -> Vec<String> {
    let (ledger, broadcast) = (world.ledger(), world.broadcast(id).await);
    let findings = issei_certificate::what_the_ledger_holds(&ledger, &broadcast, Duration::ZERO, world.now()).await;
    findings.iter().filter(|finding| !finding.holds()).map(|finding| format!("{}: {}", finding.what, finding.value)).collect()
}

/// Every page as it lies in the ledger, unpacked.
async fn pages(world: &World, broadcast: &Broadcast) -> Vec<(Vec<(String, AttributeValue)>, String)> {
    let mut all = Vec::new();
    for seq in 0..broadcast.pages {
        let item = world.clients.dynamodb.get_item().table_name("ledger").set_key(Some(page_key(broadcast, seq).into()));
        let mut item = item.consistent_read(true).call().await.unwrap().item.unwrap();
        let packed = item.remove("salted_body").or_else(|| item.remove("body")).unwrap();
        let body = zstd::stream::decode_all(packed.as_b().unwrap().as_ref()).unwrap();
        all.push((item.into_iter().collect(), String::from_utf8(body).unwrap()));
    }
    all
}

fn page_key(broadcast: &Broadcast, seq: u32) -> [(String, AttributeValue); 2] {
    let (pk, sk) = (format!("b#{}#{:02}", broadcast.broadcast_id, seq % broadcast.placed().shards.get()), format!("page#{seq:08}"));
    [("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))]
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_forgotten_is_in_no_page_and_everything_that_was_proved_still_is() {
    let world = sent().await;
    let (ledger, before) = (world.ledger(), world.broadcast("terms").await);
    let held = |pages: &[(Vec<_>, String)]| pages.iter().filter(|page| format!("{page:?}").to_lowercase().contains("quux")).count();
    assert_eq!(held(&pages(&world, &before).await), 1);
    assert_eq!(forget(&ledger, "terms", "zoe.quux@EXAMPLE.com").await.unwrap(), 1);
    let after = world.broadcast("terms").await;
    assert_eq!(held(&pages(&world, &after).await), 0);
    let no_key = pages(&world, &after).await.iter().all(|(_, body)| !body.contains(r#""key":"42""#));
    assert!(no_key, "nor is the key");
    assert_eq!((after.chain.clone(), after.totals, after.recipients, after.forgotten), (before.chain, before.totals, 99, 1));
    assert_eq!(against(&world, "terms").await, Vec::<String>::new());
    assert!(ledger.audit_trail(&after).await.unwrap().holds());
    // Everybody else is who they were, in their places.
    let outcomes = world.outcomes("terms").await;
    let accepted = outcomes.iter().filter(|it| it.outcome == Some(Outcome::Accepted)).count();
    assert_eq!((accepted, outcomes.iter().filter(|it| it.recipient.is_none()).count()), (99, 1));
    // Whoever knows the address, or the key, is told that they were forgotten.
    for who in ["Zoe.Quux@example.com", "42"] {
        let (_, found) = ledger.look_for(&after, &Sought::new(who)).await.unwrap();
        assert_eq!((found.recipients, found.forgotten.len()), (0, 1), "{who}");
    }
    let (_, found) = ledger.look_for(&after, &Sought::new("43")).await.unwrap();
    assert_eq!((found.recipients, found.forgotten.len()), (1, 0));
    // Once more changes nothing, and the skipped can be forgotten too.
    assert_eq!(forget(&ledger, "terms", "42").await.unwrap(), 0);
    assert_eq!(forget(&ledger, "terms", "50").await.unwrap(), 1);
    assert_eq!((world.broadcast("terms").await.skipped, against(&world, "terms").await), (1, vec![]));
    // What brought it to its end is told, however many are forgotten.
    for key in 1..=20 {
        assert_eq!(forget(&ledger, "terms", &key.to_string()).await.unwrap(), 1, "{key}");
    }
    let last = world.broadcast("terms").await;
    assert_eq!((last.forgotten, last.last_step().unwrap().step.as_str()), (22, "running -> complete"));
    assert!(last.decided().unwrap().reason.contains("99 accepted"), "{:?}", last.decided());
    assert_eq!(against(&world, "terms").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_forgotten_in_a_broadcast_that_may_still_send() {
    let world = crate::on_call::enqueued(WorldOptions::default()).await;
    let (ledger, id) = (world.ledger(), "terms".parse().unwrap());
    let refused = forget(&ledger, "terms", "42").await.unwrap_err().to_string();
    assert!(refused.contains("is running, and may still send") && refused.contains("`issei stop terms`"), "{refused}");
    ledger.transition(&id, Transition { to: BroadcastState::Paused, actor: &somebody(), reason: "a test" }).await.unwrap();
    assert!(matches!(forget(&ledger, "terms", "42").await, Err(LedgerError::MayStillSend { .. })));
    // Nor is a row taken out of a command that may be sent.
    assert!(matches!(ledger.forget_copied(&id).await, Err(LedgerError::MayStillSend { .. })));
    ledger.transition(&id, Transition { to: BroadcastState::Running, actor: &somebody(), reason: "a test" }).await.unwrap();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert_eq!(forget(&ledger, "terms", "42").await.unwrap(), 1);
}

/// A producer that read the page before, or SQS, brings the messages when everything is over.
#[tokio::test(flavor = "multi_thread")]
async fn messages_and_repairs_that_come_after_somebody_was_forgotten_mail_nobody() {
    let mut world = crate::on_call::enqueued(WorldOptions::default()).await;
    let (ledger, id) = (world.ledger(), "terms".parse().unwrap());
    ledger.end(&id, &somebody(), "a test").await.unwrap();
    world.later(jiff::SignedDuration::from_mins(10));
    ledger.transition(&id, Transition { to: BroadcastState::Stopped, actor: &somebody(), reason: "a test" }).await.unwrap();
    let broadcast = world.broadcast("terms").await;
    let page = ledger.page(&broadcast.placed(), 1).await.unwrap();
    let late: Vec<String> = page.messages(&broadcast, None).map(|message| message.to_body()).collect();
    let who = page.known_recipients().next().unwrap().key.as_str().to_owned();
    assert_eq!(forget(&ledger, "terms", &who).await.unwrap(), 1);
    for body in &late {
        world.queue("chunks").await.send(body, Duration::ZERO).await.unwrap();
    }
    // The page itself makes no message of the chunk any more.
    assert_eq!(ledger.page(&broadcast.placed(), 1).await.unwrap().messages(&broadcast, None).count(), late.len() - 1);
    let plan = world.repairer().await.plan(&id, world.now()).await;
    assert!(matches!(plan, Err(RepairError::Over { .. })), "{plan:?}");
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.assert_drained().await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!((world.cloud.accepted(), world.dead_letters("chunks").await), (0, vec![]));
    assert_eq!(
        against(&world, "terms").await.into_iter().filter(|it| !it.starts_with("outcomes: the")).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgetting_whose_answers_are_lost_is_done_once() {
    let world = sent().await;
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::ResetAfter).times(6));
    assert_eq!(forget(&world.ledger(), "terms", "42").await.unwrap(), 1);
    world.cloud.heal();
    let broadcast = world.broadcast("terms").await;
    let entries = broadcast.audit_trail.iter().filter(|entry| entry.forgot().is_some()).count();
    assert_eq!((broadcast.forgotten, entries, against(&world, "terms").await), (1, 1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_are_forgotten_in_one_page_at_the_same_moment_are_both_forgotten() {
    let world = sent().await;
    let ledger = world.ledger();
    let one = async |who: &'static str| forget(&ledger, "terms", who).await.unwrap();
    let (a, b, c) = tokio::join!(one("42"), one("43"), one("44"));
    assert_eq!((a, b, c, world.broadcast("terms").await.forgotten), (1, 1, 1, 3));
    assert_eq!(against(&world, "terms").await, Vec::<String>::new());
}

/// Turns the pages into those of a build whose hashes were over plain bytes, and the chain with them.
async fn as_an_older_build(world: &World, id: &str) {
    let (broadcast, db) = (world.broadcast(id).await, &world.clients.dynamodb);
    let mut previous = String::new();
    for (seq, (item, body)) in (0..).zip(pages(world, &broadcast).await) {
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body.as_object_mut().unwrap().remove("salted");
        let (place, bytes) = (body["place"].clone(), body.to_string().into_bytes());
        let hash: [u8; 32] =
            Sha256::new().chain_update(&previous).chain_update(u32::to_be_bytes(seq)).chain_update(&bytes).finalize().into();
        let hash: String =
            hash.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut older: std::collections::HashMap<String, AttributeValue> = item.into_iter().collect();
        older.extend([
            ("body".to_owned(), AttributeValue::B(Blob::new(zstd::encode_all(&bytes[..], 1).unwrap()))),
            ("page_hash".to_owned(), text(&hash)),
            ("previous_hash".to_owned(), text(&previous)),
            ("first_chunk".to_owned(), AttributeValue::N(place["first_chunk"].to_string())),
            ("last_key".to_owned(), text(place["last_key"].as_str().unwrap())),
        ]);
        db.put_item().table_name("ledger").set_item(Some(older)).call().await.unwrap();
        previous = hash;
    }
    let key = [("pk", format!("b#{id}")), ("sk", "broadcast".to_owned())].map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
    let update = db.update_item().table_name("ledger").set_key(Some(key.into())).update_expression("SET chain = :chain");
    update.expression_attribute_values(":chain", AttributeValue::S(previous)).call().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_older_build_still_reads() {
    let world = crate::on_call::enqueued(WorldOptions::default()).await;
    as_an_older_build(&world, "terms").await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert_eq!(against(&world, "terms").await, Vec::<String>::new());
    // Its hash is over plain bytes, so nobody can be forgotten there before it expires.
    let (sought, found) = world.ledger().look_for(&broadcast, &Sought::new("42")).await.unwrap();
    assert_eq!((found.recipients, found.older_pages.len()), (1, 1));
    assert!(found.older_expire.is_some_and(|at| at > world.now()));
    let refused = world.ledger().forget(&broadcast.broadcast_id, found.pages[0], &sought, &somebody(), "asked for it").await;
    assert!(matches!(refused, Err(LedgerError::Corrupt { .. })), "{refused:?}");
    assert_eq!(against(&world, "terms").await, Vec::<String>::new());
    assert_eq!(json!(world.broadcast("terms").await)["forgotten"], Value::Null);
}
