//! Sending: consumers that die, answers that are lost, a provider with moods.

use std::time::Duration;

use issei_ledger::{BroadcastState, Chunk, Claimed, Outcome, Transition};
use issei_sim::{Account, EntryRule, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, until};
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn small() -> WorldOptions {
    WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..WorldOptions::default() }
}

fn with_account(change: impl FnOnce(&mut Account)) -> WorldOptions {
    let mut options = WorldOptions::default();
    change(&mut options.account);
    options
}

async fn frozen(options: WorldOptions) -> World {
    let world = World::new(options).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_delivered_five_times_is_sent_once() {
    let world = World::new(with_account(|account| {
        account.deliveries = 5;
        account.redelivery = 0.3;
    }))
    .await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    // The copies that are still hidden find their chunks settled, and go.
    world.cloud.configure(|account| account.redelivery = 0.0);
    world.cloud.show_all_messages();
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.assert_drained().await;
    stop.cancel();
    consumer.await.unwrap();
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_send_whose_answer_is_lost_is_in_doubt_and_never_sent_again() {
    for fault in [Fault::ResetAfter, Fault::ErrorAfter, Fault::HangAfter, Fault::TruncateAfter, Fault::ReplacedAfter(403)] {
        let world = World::new(small()).await;
        world.cloud.inject(Rule::every("SendBulkEmail", fault).after(1).times(1));
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((35, 5)), "{fault:?}");
        assert_eq!(world.in_doubt("terms").await.len(), 5);
        // The provider did take them, once.
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_broke_before_its_effect_is_in_doubt_too_since_nobody_can_tell() {
    for fault in [Fault::ResetBefore, Fault::ErrorBefore, Fault::HangBefore] {
        let world = World::new(small()).await;
        world.cloud.inject(Rule::every("SendBulkEmail", fault).times(1));
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((35, 5)), "{fault:?}");
        assert_eq!(judge(&world.cloud, "terms").total(), 35);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_sends_are_sent_again_and_their_permits_come_back() {
    let world = World::new(with_account(|account| {
        account.entry_rules.push(EntryRule { address: "user00001".to_owned(), status: "ACCOUNT_THROTTLED".to_owned(), times: Some(4) });
    }))
    .await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::Throttle).times(3));
    world.post_command(&command("terms", |body| body["max_recipients"] = json!(100))).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.unwrap().accepted, 100);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_batch_that_fail_are_enqueued_again() {
    let world = World::new(with_account(|account| account.batch_entry_failure = 0.3)).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_may_be_throttled_and_lose_answers() {
    let world = World::new(WorldOptions { seed: 7, ..WorldOptions::default() }).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::ResetAfter).with_probability(0.1));
    world.cloud.inject(Rule::every("UpdateItem", Fault::Throttle).with_probability(0.1));
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::ResetAfter).with_probability(0.3));
    world.cloud.inject(Rule::every("BatchGetItem", Fault::ErrorBefore).with_probability(0.1));
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((100, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// The SDK gives up after four tries. The claim stands, and only its owner knows that nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_every_answer_is_lost_is_still_ours() {
    let world = frozen(small()).await;
    let broadcast = world.broadcast("terms").await;
    let page = world.ledger().page(&broadcast.placed(), 0).await.unwrap();
    let message = page.messages(&broadcast, None).next().unwrap();
    world.cloud.inject(Rule::every("UpdateItem", Fault::ResetAfter).times(6));
    let claimed = world
        .ledger()
        .claim(
            &message,
            &broadcast.registration(),
            &Chunk::Absent,
            "mine".to_owned(),
            world.options.timing.lease,
            &issei_ledger::Under::default(),
        )
        .await
        .unwrap();
    assert!(matches!(claimed, Claimed::Ours(_)), "{claimed:?}");
    let claimed = world
        .ledger()
        .claim(
            &message,
            &broadcast.registration(),
            &Chunk::Absent,
            "theirs".to_owned(),
            world.options.timing.lease,
            &issei_ledger::Under::default(),
        )
        .await
        .unwrap();
    assert!(matches!(claimed, Claimed::Refused(Chunk::Claimed { .. })), "{claimed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_whom_the_provider_refuses_does_not_hold_up_the_others() {
    for status in ["MESSAGE_REJECTED", "INVALID_PARAMETER", "BAD_REQUEST"] {
        let world = World::new(with_account(|account| {
            account.entry_rules.push(EntryRule { address: "user000042".to_owned(), status: status.to_owned(), times: None });
        }))
        .await;
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((99, 1)), "{status}");
        let judged = judge(&world.cloud, "terms");
        assert_eq!((judged.total(), judged.reached().len()), (99, 99));
        let rejected = world.outcomes("terms").await.into_iter().find(|recipient| recipient.outcome == Some(Outcome::Rejected));
        assert_eq!(rejected.unwrap().recipient.as_ref().unwrap().key.as_str(), "42");
    }
}

async fn resume(world: &World, reason: &str) {
    let actor = "an operator".parse().unwrap();
    let wanted = Transition { to: BroadcastState::Running, actor: &actor, reason };
    world.ledger().transition(&"terms".parse().unwrap(), wanted).await.unwrap();
    world.cloud.show_all_messages();
}

async fn rejected(world: &World) -> Vec<String> {
    let outcomes = world.outcomes("terms").await.into_iter();
    outcomes.filter(|who| who.outcome == Some(Outcome::Rejected)).map(|who| who.recipient.unwrap().key.to_string()).collect()
}

/// A sandbox names the recipients in its refusal, and it is still the account that may not send to them.
const UNVERIFIED: &str =
    "Email address is not verified. The following identities failed the check in region US-EAST-1: user000012@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_the_senders_sake_is_charged_to_nobody_however_small_the_chunk() {
    for (users, chunk_size, canary, whom, words) in [
        // Every chunk has one recipient, as an account in the sandbox makes them.
        (12, 1, None, "@", format!("CALL_REJECTED: {UNVERIFIED}")),
        (12, 1, None, "@", format!("MESSAGE_REJECTED: {UNVERIFIED}")),
        (12, 1, None, "@", "BAD_REQUEST: Illegal address".to_owned()),
        (12, 1, None, "@", "MESSAGE_REJECTED: something that nobody knows".to_owned()),
        // Each entry is refused in an answer that is well.
        (12, 12, None, "@", format!("MESSAGE_REJECTED: {UNVERIFIED}")),
        (12, 12, None, "@", "INVALID_PARAMETER: something that nobody knows".to_owned()),
        // The last of 51, after the others were accepted.
        (51, 50, None, "user000009", format!("CALL_REJECTED: {UNVERIFIED}")),
        (51, 50, None, "user000009", "BAD_REQUEST: something that nobody knows".to_owned()),
        // A canary of one.
        (12, 5, Some(1), "@", format!("MESSAGE_REJECTED: {UNVERIFIED}")),
        (12, 5, Some(1), "@", "BAD_REQUEST: something that nobody knows".to_owned()),
    ] {
        let account =
            Account { entry_rules: vec![EntryRule { address: whom.to_owned(), status: words.clone(), times: None }], ..Account::default() };
        let world = World::new(WorldOptions { users, page_size: 60, chunk_size, account, ..WorldOptions::default() }).await;
        world.post_command(&command("terms", |body| body["canary"] = json!(canary))).await;
        let told = words.split_once(": ").unwrap().1.split(':').next().unwrap();
        let broadcast = world
            .run_until("terms", 1, |broadcast| !matches!(broadcast.broadcast_state, BroadcastState::Enumerating | BroadcastState::Running))
            .await;
        let last = broadcast.audit_trail.last().unwrap();
        assert_eq!(broadcast.broadcast_state, BroadcastState::Paused, "{words}: {last:?}");
        assert!(last.reason.contains(told) && !last.reason.contains("@example.com"), "{last:?}");
        assert_eq!(rejected(&world).await, Vec::<String>::new(), "{words} with chunks of {chunk_size}");
        world.cloud.configure(|account| account.entry_rules.clear());
        resume(&world, "the sender is verified").await;
        if canary.is_some() {
            world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
            resume(&world, "the canary went well").await;
        }
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((u64::from(users), 0)), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_ses_cannot_read_is_rejected_also_alone_once_others_were_accepted() {
    let bad = EntryRule { address: "user000012".to_owned(), status: "BAD_REQUEST: Illegal address".to_owned(), times: None };
    let account = Account { entry_rules: vec![bad], ..Account::default() };
    let world = World::new(WorldOptions { users: 12, page_size: 60, chunk_size: 1, account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(6))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    resume(&world, "the canary went well").await;
    // These consumers are others, and find in the ledger that somebody was accepted.
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state != BroadcastState::Running).await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((11, 1)), "{:?}", broadcast.audit_trail);
    assert_eq!(rejected(&world).await, ["12"]);
}

/// Two of a chunk are left, since SES was too busy for them, and are then refused for the sake of their addresses: that nobody
/// else is in their call says nothing of the sender.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_left_of_a_chunk_are_rejected_for_their_own_sake_and_pause_nothing() {
    let rule = |address: &str, status: &str, times| EntryRule { address: address.to_owned(), status: status.to_owned(), times };
    let left = ["user000011", "user000012"];
    let busy = left.map(|address| rule(address, "ACCOUNT_THROTTLED", Some(1)));
    let bad = left.map(|address| rule(address, "BAD_REQUEST: Illegal address", None));
    let account = Account { entry_rules: busy.into_iter().chain(bad).collect(), ..Account::default() };
    let world = World::new(WorldOptions { users: 12, page_size: 60, chunk_size: 12, account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world
        .run_until("terms", 1, |broadcast| {
            broadcast.broadcast_state == BroadcastState::Complete || broadcast.broadcast_state == BroadcastState::Paused
        })
        .await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((10, 2)), "{:?}", broadcast.audit_trail);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await.into_iter().take(10));
}

/// All of a chunk have addresses that SES can't read. An operator looks at that, finds nothing to mend, and resumes: it is not the
/// sender's fault then, and the broadcast does not pause for the same once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_of_bad_addresses_pauses_once_and_is_rejected_after_the_resume() {
    // The last chunk, by the order of the keys' bytes.
    let bad = ["user000008", "user000009"];
    let rule = |address: &str| EntryRule { address: address.to_owned(), status: "BAD_REQUEST: Illegal address".to_owned(), times: None };
    let account = Account { entry_rules: bad.map(rule).into(), ..Account::default() };
    let world = World::new(WorldOptions { users: 12, page_size: 60, chunk_size: 5, account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(5))).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    resume(&world, "the canary went well").await;
    let operator = async {
        until("it pauses", async || world.broadcast("terms").await.broadcast_state == BroadcastState::Paused).await;
        resume(&world, "nothing is wrong with the sender").await;
    };
    let (broadcast, ()) = tokio::join!(world.run_to_the_end("terms"), operator);
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((10, 2)), "{:?}", broadcast.audit_trail);
    let pauses = broadcast.audit_trail.iter().filter(|entry| entry.step.ends_with("-> paused")).count();
    assert_eq!(pauses, 1, "{:?}", broadcast.audit_trail);
    judge(&world.cloud, "terms")
        .assert_each_once(world.addresses().await.into_iter().filter(|it| !bad.iter().any(|bad| it.starts_with(bad))));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_say_nothing_certain_are_in_doubt() {
    for status in ["TRANSIENT_FAILURE", "FAILED", "SOMETHING_NEW"] {
        let world = World::new(with_account(|account| {
            account.entry_rules.push(EntryRule { address: "user000042".to_owned(), status: status.to_owned(), times: None });
        }))
        .await;
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((99, 1)), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_rate_makes_small_chunks() {
    let world =
        frozen(WorldOptions { users: 40, account: Account { max_send_rate: 3.0, ..Account::default() }, ..WorldOptions::default() }).await;
    assert_eq!(world.broadcast("terms").await.chunk_size, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_template_gets_every_column_plain_and_escaped() {
    let world = World::new(small()).await;
    let template = json!({ "Subject": "Terms for {{name}}", "Html": "<p>{{html_name}}</p>" });
    world.cloud.configure(|account| _ = account.templates.insert("terms-2026".to_owned(), template));
    world.users.execute("UPDATE users SET name = 'A & B'").await;
    world.post_command(&command("terms", |body| body["content"] = json!({ "template": { "name": "terms-2026" } }))).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let mails = world.cloud.mails().unwrap();
    assert!(mails.iter().all(|mail| (mail.subject.as_str(), mail.html.as_str()) == ("Terms for A & B", "<p>A &amp; B</p>")));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_chunks_go_to_the_dead_letter_queue_and_hold_up_nobody() {
    let world = frozen(small()).await;
    let chunk =
        json!({ "version": 1, "broadcast_id": "terms", "page": 0, "chunk": 0, "recipients": [{ "key": "1", "address": "x@example.com" }] });
    let with = |name: &str, value: serde_json::Value| {
        let mut chunk = chunk.clone();
        chunk[name] = value;
        chunk.to_string()
    };
    let bad = [
        ("poison".to_owned(), "not JSON"),
        (with("version", json!(9)), "`version` is 9"),
        (with("broadcast_id", json!("nobody-knows")), "there is no broadcast `nobody-knows`"),
        (with("recipients", json!([])), "`recipients`"),
        (with("recipients", json!([{ "key": "1", "address": "a@example.com\r\nBcc: b@example.com" }])), "recipients[0].address"),
        (with("padding", json!("x".repeat(70_000))), "at most 65536"),
    ];
    for (body, _) in &bad {
        world.queue("chunks").await.send(body, Duration::ZERO).await.unwrap();
    }
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let letters = world.dead_letters("chunks").await;
    for (body, word) in &bad {
        let (_, reason) = letters.iter().find(|(letter, _)| letter == body).unwrap_or_else(|| panic!("{word} is not there"));
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(letters.len(), bad.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_the_frozen_chunk_is_refused_once_the_chunk_is_claimed() {
    let world = frozen(small()).await;
    let stop = CancellationToken::new();
    // Without a producer nobody ends the broadcast, so it is still running.
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.assert_drained().await;
    let forged =
        json!({ "version": 1, "broadcast_id": "terms", "page": 0, "chunk": 0, "recipients": [{ "key": "1", "address": "x@example.com" }] });
    world.queue("chunks").await.send(&forged.to_string(), Duration::ZERO).await.unwrap();
    world.assert_drained().await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(judge(&world.cloud, "terms").total(), 40);
    let (_, reason) = world.dead_letters("chunks").await.pop().unwrap();
    assert!(reason.contains("proves nothing"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_hidden_for_as_long_as_it_is_handled() {
    let mut options = WorldOptions { users: 5, ..WorldOptions::default() };
    options.timing.visibility = Duration::from_secs(8);
    options.timing.send = Duration::from_mins(1);
    options.timing.permit_life = Duration::from_secs(61);
    options.timing.lease = Duration::from_secs(70);
    options.timing.handler = Duration::from_secs(80);
    let world = World::new(options).await;
    // One send takes more than twice the visibility timeout, and a second consumer waits for work.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(20_000)).times(1));
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.unwrap().accepted, 5);
    // Each batch of messages that anybody received was looked up once, and so was, by the producer, the list of those
    // who are not mailed.
    let looked = world.cloud.counts().into_iter().filter(|((_, operation), _)| operation == "BatchGetItem").map(|(_, calls)| calls);
    assert_eq!(looked.sum::<u64>(), 2, "the message was handed out again");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_keep_failing_end_in_the_dead_letter_queue() {
    let world = frozen(WorldOptions { max_receives: 2, ..small() }).await;
    // Neither can a chunk be read, nor claimed.
    world.cloud.inject(Rule::every("BatchGetItem", Fault::ErrorBefore));
    world.cloud.inject(Rule::every("UpdateItem", Fault::ErrorBefore).holding("chunk#"));
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    let mut letters = Vec::new();
    until("all eight chunks are dead letters", async || {
        world.cloud.show_all_messages();
        letters.extend(world.dead_letters("chunks").await);
        letters.len() >= 8
    })
    .await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(world.cloud.accepted(), 0);
}
