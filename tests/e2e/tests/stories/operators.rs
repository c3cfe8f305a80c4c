//! Pausing, stopping, canaries, and permits that a crash took along.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::{AwsCall, DeadBy, Message, Redriven};
use issei_clock::Clock;
use issei_ledger::{Broadcast, BroadcastState, ReasonCode, Transition};
use issei_schema::Actor;
use issei_sim::{Account, EntryRule, EventRule, Events, Fault, Rule};
use issei_test_support::{Victim, World, WorldOptions, command, judge, until};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

async fn step(world: &World, to: BroadcastState) -> Broadcast {
    let actor: Actor = "an operator".parse().unwrap();
    world.ledger().transition(&"terms".parse().unwrap(), Transition { to, actor: &actor, reason: "a test" }).await.unwrap()
}

/// A broadcast that was stopped in its midst, with the consumer that worked on it killed: its messages are
/// in flight, and most of the others wait. Gives how many the provider had accepted.
async fn stopped_in_the_midst() -> (World, u64) {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    // Three sends go through, and the next ones hang: however late this looks, the midst is where it is.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::HangBefore).after(3));
    let consumer = Victim::start(world.consumer().await.run(CancellationToken::new()));
    let mut hanging = world.cloud.hanging();
    until("sends hang", async || *hanging.borrow_and_update() > 0 && world.cloud.accepted() >= 20).await;
    consumer.kill().await;
    world.cloud.heal();
    step(&world, BroadcastState::Stopping).await;
    step(&world, BroadcastState::Stopped).await;
    let accepted = world.cloud.accepted();
    assert!((20..100).contains(&accepted), "{accepted}");
    (world, accepted)
}

/// Everything runs until nothing is left to do, and nobody was sent to.
async fn assert_nothing_is_sent(world: &World, accepted: u64) {
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    world.assert_drained().await;
    world.assert_commands_drained().await;
    stop.cancel();
    services.join_all().await;
    assert_eq!(world.cloud.accepted(), accepted, "a stopped broadcast was sent on");
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_consumer_does_not_bring_a_stopped_broadcast_back() {
    let (world, accepted) = stopped_in_the_midst().await;
    world.cloud.show_all_messages();
    assert_nothing_is_sent(&world, accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_visibility_timeout_does_not_bring_a_stopped_broadcast_back() {
    let (world, accepted) = stopped_in_the_midst().await;
    // Again and again, while consumers are at work.
    let showing = async {
        loop {
            world.cloud.show_all_messages();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = assert_nothing_is_sent(&world, accepted) => {}
        () = showing => {}
    }
}

/// Events are believed as they come: whoever may write to their dead-letter queue alone is not believed for an operator's redrive,
/// whatever reason they give it, and whichever proof they take from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_events_leaves_what_nobody_of_the_pipeline_has_put_among_the_dead() {
    let world = World::new(WorldOptions::default()).await;
    let queue = world.queue("feedback").await;
    queue.send("no event", Duration::ZERO).await.unwrap();
    let (stop, feedback) = (CancellationToken::new(), world.feedback().await);
    tokio::join!(feedback.run(stop.clone()), async {
        until("it is refused", async || queue.counts().await.unwrap().1.all() == 1).await;
        stop.cancel();
    });
    let sqs = &world.clients.sqs;
    let url = sqs.get_queue_url().queue_name("feedback-dead").call().await.unwrap().queue_url.unwrap();
    let dead = sqs.receive_message().queue_url(&url).message_attribute_names("All").visibility_timeout(0).call().await.unwrap();
    let attributes = dead.messages.unwrap().pop().unwrap().message_attributes.unwrap();
    let (reason, proof) = (attributes["reason"].clone(), attributes["reason_proof"].clone());
    // Without a reason, with one as an older build writes it, and with that of another.
    let marks = [vec![], vec![("reason", reason.clone())], vec![("reason", reason), ("reason_proof", proof)]];
    for marks in marks {
        let marks = marks.into_iter().map(|(name, mark)| (name.to_owned(), mark)).collect();
        sqs.send_message().queue_url(&url).message_body("forged").set_message_attributes(Some(marks)).call().await.unwrap();
    }
    let known = world.ledger().dead_events().await.unwrap().unwrap();
    let is_proved = |message: &Message| match &message.dead_by {
        Some(DeadBy::Reason { reason, proof: Some(proof) }) => known.is_proved(&message.body, reason, proof),
        _ => false,
    };
    let redriven = queue.redrive_known(is_proved).await.unwrap();
    let bodies: Vec<String> = queue.receive(10, Duration::from_secs(1)).await.unwrap().into_iter().map(|message| message.body).collect();
    assert_eq!((redriven, bodies), (Redriven::Known { messages: 1, left: 3 }, vec!["no event".to_owned()]));
    assert_eq!(queue.counts().await.unwrap().1.all(), 3, "the forged ones are still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_does_not_bring_a_stopped_broadcast_back() {
    let (world, accepted) = stopped_in_the_midst().await;
    let chunks = world.queue("chunks").await;
    world.cloud.show_all_messages();
    let mut buried = 0;
    loop {
        let messages = chunks.receive(10, Duration::ZERO).await.unwrap();
        for message in &messages {
            chunks.bury(message, "a test").await.unwrap();
        }
        buried += messages.len();
        if messages.is_empty() {
            break;
        }
    }
    assert!(buried > 0);
    chunks.redrive().await.unwrap();
    assert_nothing_is_sent(&world, accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_old_command_does_not_bring_a_stopped_broadcast_back() {
    let (world, accepted) = stopped_in_the_midst().await;
    world.cloud.show_all_messages();
    let command = world.ledger().command(&"terms".parse().unwrap()).await.unwrap();
    for _ in 0..5 {
        world.post_command(&command).await;
    }
    assert_nothing_is_sent(&world, accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_messages_do_not_bring_a_stopped_broadcast_back() {
    let (mut world, accepted) = stopped_in_the_midst().await;
    world.cloud.show_all_messages();
    let broadcast = world.broadcast("terms").await;
    for seq in 0..broadcast.pages {
        for message in world.ledger().page(&broadcast.placed(), seq).await.unwrap().messages(&broadcast, None) {
            world.queue("chunks").await.send(&message.to_body(), Duration::ZERO).await.unwrap();
        }
    }
    // Hours later, when no lease and no permit of then is left.
    world.later(SignedDuration::from_hours(5));
    assert_nothing_is_sent(&world, accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_first_and_the_rest_waits_for_approval() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(17))).await;
    world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    // The first seventeen of the audience in the order of its keys, which is that of their bytes, and no others.
    let mut keys: Vec<String> = (1..=100).map(|key| key.to_string()).collect();
    keys.sort();
    let first = keys.iter().take(17).map(|key| format!("user{key:0>6}@example.com"));
    judge(&world.cloud, "terms").assert_each_once(first);
    step(&world, BroadcastState::Running).await;
    world.cloud.show_all_messages();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_went_well_lets_the_rest_go_by_itself_and_one_that_did_not_waits_for_a_person() {
    for (bounce, goes_on) in [(None, true), (Some("user000012"), false)] {
        let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
        let mut world = World::new(WorldOptions { account: Account { events, ..Account::default() }, ..WorldOptions::default() }).await;
        let rule = |address: &str| EventRule { address: address.to_owned(), event: "Bounce".to_owned() };
        world.cloud.configure(|account| account.events.rules.extend(bounce.map(rule)));
        let body = |body: &mut serde_json::Value| (body["canary"], body["canary_approval"]) = (json!(20), json!("evidence"));
        world.post_command(&command("terms", body)).await;
        world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
        // Neither without events, nor before the wait is over.
        world.later(SignedDuration::from_mins(16));
        world.feedback().await.sweep().await.unwrap();
        assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Holding);
        world.later(SignedDuration::from_mins(-16));
        world.take_events().await;
        world.feedback().await.sweep().await.unwrap();
        assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Holding);
        world.later(SignedDuration::from_mins(16));
        world.feedback().await.sweep().await.unwrap();
        let broadcast = world.broadcast("terms").await;
        if !goes_on {
            assert_eq!(broadcast.broadcast_state, BroadcastState::Holding, "1 of 20 bounced");
            assert_eq!(world.cloud.accepted(), 20);
            continue;
        }
        let entry = broadcast.audit_trail.last().unwrap();
        assert!(entry.step == "holding -> running" && entry.reason.contains("20 accepted, 20 delivered"), "{entry:?}");
        world.cloud.show_all_messages();
        assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broadcast_never_comes_back() {
    let mut world = World::new(WorldOptions::default()).await;
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    step(&world, BroadcastState::Stopping).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Stopped);
    // The job runner comes back to life, and so do messages.
    for _ in 0..5 {
        world.post_command(&command).await;
    }
    let page = world.ledger().page(&broadcast.placed(), 0).await.unwrap();
    for message in page.messages(&broadcast, None) {
        world.queue("chunks").await.send(&message.to_body(), Duration::ZERO).await.unwrap();
    }
    world.later(SignedDuration::from_mins(10));
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    let producer = world.producer().await;
    tokio::join!(producer.run(stop.clone()), async {
        world.assert_drained().await;
        world.assert_commands_drained().await;
        stop.cancel();
    });
    consumer.await.unwrap();
    assert_eq!(world.cloud.accepted(), 0);
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_broadcast_spends_no_receives_and_goes_on_where_it_was() {
    let world = World::new(WorldOptions { max_receives: 2, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    step(&world, BroadcastState::Paused).await;
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    for _ in 0..5 {
        // Once all are put back, it is as if the minute for which they stay away were over.
        until("all are put back", async || world.queue("chunks").await.depths().await.unwrap()[1] == 0).await;
        let received = world.calls_of("ReceiveMessage");
        world.cloud.show_all_messages();
        until("they are received again", async || world.calls_of("ReceiveMessage") > received).await;
    }
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(world.cloud.accepted(), 0);
    assert_eq!(world.dead_letters("chunks").await, vec![]);
    step(&world, BroadcastState::Running).await;
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_everything_pauses_the_broadcast_and_nobody_is_lost() {
    let rule = EntryRule { address: "@".to_owned(), status: "ACCOUNT_SENDING_PAUSED".to_owned(), times: None };
    let account = Account { entry_rules: vec![rule], ..Account::default() };
    let world = World::new(WorldOptions { account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("ACCOUNT_SENDING_PAUSED"));
    world.cloud.configure(|account| account.entry_rules.clear());
    step(&world, BroadcastState::Running).await;
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_every_call_rejects_nobody_for_good() {
    let rule = EntryRule { address: "@".to_owned(), status: "BAD_REQUEST".to_owned(), times: None };
    let account = Account { entry_rules: vec![rule], ..Account::default() };
    let world = World::new(WorldOptions { account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("refuses every recipient"), "{:?}", broadcast.audit_trail);
    world.cloud.configure(|account| account.entry_rules.clear());
    step(&world, BroadcastState::Running).await;
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_rejects_everybody_is_not_asked_for_long() {
    let rule = EntryRule { address: "@".to_owned(), status: "MESSAGE_REJECTED".to_owned(), times: None };
    let account = Account { entry_rules: vec![rule], ..Account::default() };
    let world = World::new(WorldOptions { users: 600, account, max_failures_in_a_row: 3, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("refuses every recipient"), "{:?}", broadcast.audit_trail);
    assert!(world.outcomes("terms").await.iter().all(|recipient| recipient.outcome != Some(issei_ledger::Outcome::Rejected)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_daily_quota_pauses_the_broadcast() {
    let account = Account { max_24_hour_send: 45.0, ..Account::default() };
    let world = World::new(WorldOptions { account, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("24 hours"), "{:?}", broadcast.audit_trail);
    assert_eq!(broadcast.reason_code(world.now()), Some(ReasonCode::PausedQuota));
    assert!(world.cloud.accepted() <= 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_reached_pauses_the_broadcast_after_a_few_chunks() {
    let world = World::new(WorldOptions { users: 400, max_failures_in_a_row: 3, ..WorldOptions::default() }).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetBefore));
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    assert!(broadcast.audit_trail.last().unwrap().reason.contains("in a row nobody was accepted"));
    assert_eq!(broadcast.reason_code(world.now()), Some(ReasonCode::PausedNobodyAccepted));
    // A person's reason stays the reason, and has no code.
    let (to, actor) = (BroadcastState::Running, "an operator".parse().unwrap());
    let resumed = Transition { to, actor: &actor, reason: "it is back" };
    let broadcast = world.ledger().transition(&broadcast.broadcast_id, resumed).await.unwrap();
    assert_eq!((broadcast.decided().unwrap().reason.as_str(), broadcast.reason_code(world.now())), ("it is back", None));
    // What was under way when it was paused is in doubt, and no more: twenty chunks of ten at most.
    assert!(world.in_doubt("terms").await.len() <= 230, "{}", world.in_doubt("terms").await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_that_died_with_a_consumer_come_back_by_a_recount() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    // A consumer takes the whole budget and dies.
    let _lost = world.ledger().grant(&broadcast.registration(), broadcast.epoch, (100, 100), None, Duration::from_secs(1)).await.unwrap();
    assert_eq!(world.broadcast("terms").await.remaining, 0);
    world.later(SignedDuration::from_mins(1));
    let clock = Clock::system();
    let began = clock.now();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    assert!(broadcast.granted <= 100);
    // Before that the dead one's permits could still have been used.
    assert!(began.elapsed() >= world.options.timing.recount_after(), "recounted after {:?}", began.elapsed());
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_given_back_after_a_recount_do_not_count_twice() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let before = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let (life, of) = (Duration::from_secs(1), before.registration());
    // One consumer holds sixty permits and has used none when somebody recounts.
    world.ledger().grant(&of, before.epoch, (60, 60), None, life).await.unwrap();
    let recounted = world.ledger().recount(&world.broadcast("terms").await).await.unwrap();
    assert_eq!(recounted.remaining, 100);
    world.ledger().grant(&of, recounted.epoch, (80, 80), None, life).await.unwrap();
    world.ledger().give_back(&of, before.epoch, 60).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.remaining, after.granted), (20, 80), "sixty permits more than there are users");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_back_more_permits_than_are_out() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let of = broadcast.registration();
    world.ledger().grant(&of, broadcast.epoch, (60, 60), None, Duration::from_secs(1)).await.unwrap();
    world.ledger().give_back(&of, broadcast.epoch, 61).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.remaining, after.granted), (40, 60), "a hundred and one permits for a hundred users");
}

/// The shell's bound: what was granted by the write, less what was told before it.
async fn stop_with_its_bound(world: &World) -> u64 {
    let id = "terms".parse().unwrap();
    let settled = world.ledger().surely_settled(&id).await.unwrap();
    let actor: Actor = "an operator".parse().unwrap();
    world.ledger().end(&id, &actor, "a test").await.unwrap().granted - settled
}

#[tokio::test(flavor = "multi_thread")]
async fn what_consumers_tell_is_never_too_much_although_its_answers_are_lost() {
    let world = World::new(WorldOptions::default()).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::ErrorAfter).holding("progress#").with_probability(0.5));
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let id = "terms".parse().unwrap();
    let progress = world.ledger().progress(&id).await.unwrap();
    assert_eq!((progress.permitted, progress.accepted, progress.settled_chunks), (100, 100, 10), "{progress:?}");
    // Builds before this one added to items that they shared. They are watched, and not built upon.
    let item = [("pk", "b#terms"), ("sk", "progress#07")].map(|(name, text)| (name.to_owned(), AttributeValue::S(text.to_owned())));
    let put = world.clients.dynamodb.put_item().table_name("ledger").set_item(Some(item.into()));
    put.item("accepted", AttributeValue::N("30".to_owned())).call().await.unwrap();
    assert_eq!(world.ledger().progress(&id).await.unwrap().accepted, 130);
    assert_eq!(world.ledger().surely_settled(&id).await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_accepted_after_a_stop_than_it_says() {
    for seed in 1..=12 {
        let account = Account { max_send_rate: 200.0, ..Account::default() };
        let world = World::new(WorldOptions { users: 300, account, seed, ..WorldOptions::default() }).await;
        world.cloud.inject(Rule::every("UpdateItem", Fault::ErrorAfter).holding("progress#").with_probability(0.5));
        world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(50)));
        world.post_command(&command("terms", |_| {})).await;
        world.run_until("terms", 0, Broadcast::is_enqueued).await;
        let stop = CancellationToken::new();
        let consumers = [world.consumer().await, world.consumer().await].map(|consumer| tokio::spawn(consumer.run(stop.clone())));
        while world.cloud.accepted() < 20 * seed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let before = world.cloud.accepted();
        let bound = stop_with_its_bound(&world).await;
        world.assert_drained().await;
        stop.cancel();
        for consumer in consumers {
            consumer.await.unwrap();
        }
        let after = world.cloud.accepted() - before;
        assert!(after <= bound, "{after} were accepted after a stop that said {bound}");
    }
}
