//! The audit trail: it holds whatever is written about a broadcast, it keeps nobody from stopping one, and a
//! step is taken once.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{AuditTrail, Broadcast, BroadcastState, Granted, LedgerError, Transition};
use issei_schema::{Actor, BroadcastId};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command};

fn id() -> BroadcastId {
    "terms".parse().unwrap()
}

fn actor(name: &str) -> Actor {
    name.parse().unwrap()
}

async fn enqueued() -> World {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    world
}

async fn step(world: &World, who: &str, to: BroadcastState, reason: &str) -> Result<Broadcast, LedgerError> {
    world.ledger().transition(&id(), Transition { to, actor: &actor(who), reason }).await
}

async fn stop(world: &World) -> Broadcast {
    let stopped = world.ledger().end(&id(), &actor("an operator"), "wrong text").await.unwrap();
    assert_eq!(stopped.broadcast_state, BroadcastState::Stopping);
    stopped
}

async fn trail(world: &World) -> AuditTrail {
    world.ledger().audit_trail(&world.broadcast("terms").await).await.unwrap()
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Changes the broadcast's item behind issei's back.
async fn change(world: &World, expression: &str, value: Option<AttributeValue>) {
    let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", text("b#terms")).key("sk", text("broadcast"));
    let update = update.update_expression(expression);
    let update = if let Some(value) = value { update.expression_attribute_values(":value", value) } else { update };
    update.call().await.unwrap();
}

/// The list of entries in the broadcast's item.
async fn listed(world: &World) -> Vec<AttributeValue> {
    let get = world.clients.dynamodb.get_item().table_name("ledger").key("pk", text("b#terms")).key("sk", text("broadcast"));
    get.call().await.unwrap().item.unwrap().remove("audit_trail").unwrap().as_l().unwrap().clone()
}

/// Repairs, erasures and findings write entries, too, and the list in the item keeps the most recent ones.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_broadcast_stands_as_it_does_is_known_whatever_was_written_since() {
    let (world, repairs) = (enqueued().await, 40);
    let write_much = async || {
        for number in 0..repairs {
            world.ledger().audit(&id(), &actor("an operator"), "repair", &format!("messages {number}")).await.unwrap();
        }
        world.broadcast("terms").await
    };
    let told = |broadcast: &Broadcast| {
        let told = |entry: Option<&issei_ledger::AuditEntry>| entry.map(|entry| (entry.reason.clone(), entry.step.clone())).unwrap();
        (told(broadcast.decided()).0, told(broadcast.last_step()).1)
    };
    step(&world, "an operator", BroadcastState::Paused, "wrong text").await.unwrap();
    assert_eq!(told(&write_much().await), ("wrong text".to_owned(), "running -> paused".to_owned()));
    step(&world, "an operator", BroadcastState::Running, "it is right").await.unwrap();
    assert_eq!(told(&world.broadcast("terms").await), ("it is right".to_owned(), "paused -> running".to_owned()));
    assert_eq!(told(&write_much().await), ("it is right".to_owned(), "paused -> running".to_owned()));
    world.ledger().end(&id(), &actor("an operator"), "wrong after all").await.unwrap();
    write_much().await;
    step(&world, "a sweep", BroadcastState::Stopped, "every permit has expired").await.unwrap();
    world.ledger().note_accepted_twice(&id(), &actor("a sweep"), "1 recipient").await.unwrap();
    let broadcast = write_much().await;
    assert_eq!(broadcast.accepted_twice().map(|entry| entry.reason.as_str()), Some("1 recipient"));
    assert_eq!(told(&broadcast), ("wrong after all".to_owned(), "stopping -> stopped".to_owned()));
    let trail = world.ledger().audit_trail(&broadcast).await.unwrap();
    assert!(trail.holds() && trail.entries.len() > 4 * repairs, "{:?}", trail.broken);
    // A build before this one takes a step, and leaves what tells of the one before.
    change(&world, "SET broadcast_state = :value", Some(text("paused"))).await;
    assert_eq!(world.broadcast("terms").await.decided(), None);
}

/// The one write by which a broadcast is ended whose item can't be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_stopped_unread() {
    let (world, id, actor) = (enqueued().await, id(), actor("an operator"));
    change(&world, "SET broadcast_state = :value, recipients = :value", Some(text("complete"))).await;
    assert!(world.ledger().broadcast(&id).await.is_err());
    let unread = world.ledger().end_unread(&id, &actor, "wrong text").await.unwrap();
    assert_eq!((unread.state.as_deref(), unread.is_ending()), (Some("complete"), false));
    // What is frozen still is sent once that is done; of a newer build's state nobody knows what comes of it.
    for state in ["running", "paused", "holding", "enumerating", "resting"] {
        change(&world, "SET broadcast_state = :value", Some(text(state))).await;
        let unread = world.ledger().end_unread(&id, &actor, "wrong text").await.unwrap();
        assert!(unread.is_ending() && unread.provider.is_some_and(|provider| provider.as_str() == "ses"), "{state}");
    }
}

fn without(entry: &AttributeValue, name: &str) -> AttributeValue {
    let mut entry = entry.as_m().unwrap().clone();
    entry.remove(name);
    AttributeValue::M(entry)
}

fn with(entry: &AttributeValue, name: &str, value: &str) -> AttributeValue {
    let mut entry = entry.as_m().unwrap().clone();
    entry.insert(name.to_owned(), text(value));
    AttributeValue::M(entry)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_long_reasons_keep_nobody_from_pausing_and_stopping() {
    let world = enqueued().await;
    // Four bytes a character, and two of them a line break and a bell.
    let reason = format!("\u{7}{}\n", "\u{1f4e8}".repeat(5_000));
    for _ in 0..2_000 {
        world.ledger().audit(&id(), &actor("a job that runs wild"), "note", &reason).await.unwrap();
    }
    step(&world, "an operator", BroadcastState::Paused, "what is this").await.unwrap();
    step(&world, "an operator", BroadcastState::Running, "").await.unwrap();
    stop(&world).await;
    let trail = trail(&world).await;
    assert_eq!((trail.entries.len(), trail.broken), (2_005, vec![]));
    assert!(trail.entries.iter().all(|entry| !entry.reason.is_empty() && entry.reason.len() <= 1_000 && !entry.reason.contains('\u{7}')));
    assert_eq!(trail.entries[2_003].reason, "no reason given");
    // What was moved reads like what stays.
    let numbers: Vec<u64> = trail.entries.iter().filter_map(|entry| Some(entry.link.as_ref()?.seq)).collect();
    assert_eq!(numbers, (1..=2_005).collect::<Vec<_>>());
    let bytes: usize = listed(&world).await.iter().map(|entry| format!("{entry:?}").len()).sum();
    assert!(bytes < 60_000, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_goes_through_although_older_entries_cannot_be_moved() {
    let world = enqueued().await;
    world.cloud.inject(Rule::every("PutItem", Fault::ErrorBefore).holding("audit#"));
    for _ in 0..24 {
        world.ledger().audit(&id(), &actor("a job"), "note", &"a long reason ".repeat(100)).await.unwrap();
    }
    stop(&world).await;
    assert_eq!(trail(&world).await.broken, Vec::<String>::new());
    world.cloud.heal();
    step(&world, "an operator", BroadcastState::Stopped, "it is over").await.unwrap();
    let trail = trail(&world).await;
    assert_eq!((trail.entries.len(), trail.broken), (28, vec![]));
    assert!(listed(&world).await.len() <= 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_somebody_has_filled_is_paused_and_stopped_all_the_same() {
    let world = enqueued().await;
    let mut size = 409_600;
    // As much as there is room for.
    loop {
        let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", text("b#terms")).key("sk", text("broadcast"));
        let update = update.update_expression("SET junk = :junk").expression_attribute_values(":junk", text("x".repeat(size)));
        if update.call().await.is_ok() {
            break;
        }
        size -= 10;
    }
    step(&world, "an operator", BroadcastState::Paused, "what is this").await.unwrap();
    let stopped = stop(&world).await;
    let trail = world.ledger().audit_trail(&stopped).await.unwrap();
    let steps: Vec<&str> = trail.entries.iter().map(|entry| entry.step.as_str()).collect();
    assert_eq!(steps, ["enumerating", "enumerating -> running", "running -> paused", "paused -> stopping"]);
    assert_eq!(trail.broken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_is_missing_or_cannot_be_read_keeps_nobody_from_stopping() {
    for (expression, value) in [
        ("REMOVE audit_trail", None),
        ("SET audit_trail = :value", Some(text("nonsense"))),
        ("SET audit_trail = :value", Some(AttributeValue::N("7".to_owned()))),
        ("SET audit_trail = :value", Some(AttributeValue::L(vec![text("nonsense"), AttributeValue::N("7".to_owned())]))),
        ("SET audit_head = :value", Some(text("nonsense"))),
    ] {
        let world = enqueued().await;
        change(&world, expression, value).await;
        stop(&world).await;
        let trail = trail(&world).await;
        assert!(trail.entries.last().is_some_and(|entry| entry.reason == "wrong text"), "{expression}: {trail:?}");
        assert!(!trail.holds(), "{expression}: {trail:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_build_writes_is_read_and_chained_with_the_next_step() {
    let world = enqueued().await;
    // As it was before entries were chained.
    let bare: Vec<AttributeValue> = listed(&world).await.iter().map(|entry| without(entry, "link")).collect();
    change(&world, "SET audit_trail = :value REMOVE audit_count, audit_head", Some(AttributeValue::L(bare.clone()))).await;
    assert_eq!(trail(&world).await.broken, Vec::<String>::new());
    step(&world, "an operator", BroadcastState::Paused, "what is this").await.unwrap();
    // And one that such a build adds beside this one.
    let by_old = with(&with(&bare[1], "step", "repair"), "reason", "by an older build");
    change(&world, "SET audit_trail = list_append(audit_trail, :value)", Some(AttributeValue::L(vec![by_old]))).await;
    stop(&world).await;
    let trail = trail(&world).await;
    assert_eq!((trail.entries.len(), trail.broken), (5, vec![]));
    assert!(trail.entries.iter().all(|entry| entry.link.is_some()), "{:?}", trail.entries);
    assert_eq!(trail.entries[3].reason, "by an older build");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_was_changed_by_hand_does_not_hold() {
    let world = enqueued().await;
    step(&world, "an operator", BroadcastState::Paused, "what is this").await.unwrap();
    stop(&world).await;
    let entries = listed(&world).await;
    let altered = |at: usize, entry: AttributeValue| {
        let mut entries = entries.clone();
        entries[at] = entry;
        entries
    };
    let swapped = [entries[0].clone(), entries[2].clone(), entries[1].clone(), entries[3].clone()].to_vec();
    for changed in [
        altered(2, with(&entries[2], "reason", "it was Ann")),
        altered(3, with(&entries[3], "actor", "somebody else")),
        altered(3, with(&entries[3], "at", "2026-01-01T00:00:00Z")),
        altered(2, without(&entries[2], "link")),
        entries[..3].to_vec(),
        entries[1..].to_vec(),
        swapped,
    ] {
        change(&world, "SET audit_trail = :value", Some(AttributeValue::L(changed.clone()))).await;
        assert!(!trail(&world).await.holds(), "{changed:?}");
    }
    change(&world, "SET audit_trail = :value", Some(AttributeValue::L(entries))).await;
    assert!(trail(&world).await.holds());
    // A stop that is undone by hand leads to a state that no step led to.
    change(&world, "SET broadcast_state = :value", Some(text("running"))).await;
    assert!(!trail(&world).await.holds());
}

/// Its answer is lost, and before it is repeated a colleague pauses, once or many times over.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_whose_answer_was_lost_does_not_undo_a_colleagues_later_pause() {
    for later in [1, 30] {
        let world = enqueued().await;
        step(&world, "an operator", BroadcastState::Paused, "let me look").await.unwrap();
        world.cloud.inject(Rule::every("UpdateItem", Fault::HangAfter).holding("paused -> running").times(1));
        let mut hanging = world.cloud.hanging();
        let resume = step(&world, "an operator", BroadcastState::Running, "all is well");
        let colleague = async {
            hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
            for round in 1..=later {
                if round > 1 {
                    step(&world, "a colleague", BroadcastState::Running, "or is it").await.unwrap();
                }
                step(&world, "a colleague", BroadcastState::Paused, "nothing is well").await.unwrap();
            }
        };
        let (resumed, ()) = tokio::join!(resume, colleague);
        // It was done, once; and where it stands by then is the colleague's doing.
        let resumed = resumed.unwrap();
        assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Paused);
        let trail = world.ledger().audit_trail(&world.broadcast("terms").await).await.unwrap();
        assert_eq!(trail.entries.iter().filter(|entry| entry.reason == "all is well").count(), 1, "{:?}", trail.entries);
        assert!(trail.holds(), "{:?}", trail.broken);
        assert!(later > 1 || resumed.decided().unwrap().reason == "nothing is well", "{resumed:?}");
    }
}

/// A page of the console that is old, or a form that is sent once more, names the epoch of what it has shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_lets_no_later_pause_go_on() {
    let world = enqueued().await;
    let (ledger, shown) = (world.ledger(), step(&world, "a colleague", BroadcastState::Paused, "let me look").await.unwrap());
    let who = actor("an operator");
    let resume =
        || ledger.let_go_on(&shown.broadcast_id, shown.epoch, Transition { to: BroadcastState::Running, actor: &who, reason: "well" });
    assert_eq!(resume().await.unwrap().broadcast_state, BroadcastState::Running);
    step(&world, "a colleague", BroadcastState::Paused, "the wrong text").await.unwrap();
    let refused = resume().await.unwrap_err();
    assert!(matches!(refused, LedgerError::WentOn { state: BroadcastState::Paused, .. }), "{refused}");
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_somebody_else_keeps_neither_a_grant_nor_a_stop_from_being_written() {
    let world = enqueued().await;
    let broadcast = world.broadcast("terms").await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::Conflict).times(3));
    let granted = world.ledger().grant(&broadcast.registration(), broadcast.epoch, (1, 5), None, Duration::from_secs(1)).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
    world.cloud.inject(Rule::every("UpdateItem", Fault::Conflict).times(3));
    assert_eq!(stop(&world).await.granted, 5);
    assert!(trail(&world).await.holds());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_stop_stays_the_reason_when_it_is_over() {
    let world = enqueued().await;
    stop(&world).await;
    step(&world, "issei producer", BroadcastState::Stopped, "every permit granted before the stop has expired").await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!(broadcast.decided().unwrap().reason, "wrong text");
    let since: Vec<&str> = broadcast.since_decided().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(since, ["every permit granted before the stop has expired"]);
}
