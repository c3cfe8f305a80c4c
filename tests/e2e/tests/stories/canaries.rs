//! Canaries that are chosen: a share of the audience, and people whom the command names.

use std::time::Duration;

use issei_ledger::{Broadcast, BroadcastState, ReasonCode, Transition};
use issei_schema::{BroadcastCommand, CanaryApproval, Choice, Share};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::{Value, json};

fn with_canary(canary: &Value) -> BroadcastCommand {
    command("terms", |body| {
        (body["version"], body["class"], body["canary"]) = (json!(2), json!("service"), canary.clone());
    })
}

async fn approve(world: &World) {
    let (to, actor) = (BroadcastState::Running, "an operator".parse().unwrap());
    let approved = Transition { to, actor: &actor, reason: "it looks well" };
    world.ledger().transition(&"terms".parse().unwrap(), approved).await.unwrap();
    world.cloud.show_all_messages();
}

async fn held(world: &World) -> Broadcast {
    world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await
}

fn address(key: i64) -> String {
    format!("user{key:06}@example.com")
}

/// Of the staff one has left, and one has an address that can't be mailed.
#[tokio::test(flavor = "multi_thread")]
async fn the_staff_whom_a_canary_names_are_sent_to_first_and_whoever_of_them_is_not_is_told() {
    let world = World::new(WorldOptions { page_size: 3, chunk_size: 2, ..WorldOptions::default() }).await;
    world.users.execute("UPDATE users SET email = 'nobody' WHERE id = 42").await;
    world.post_command(&with_canary(&json!({ "keys": ["17", "99", "8", "999", "42", "5"] }))).await;
    let broadcast = held(&world).await;
    judge(&world.cloud, "terms").assert_each_once([5, 8, 17, 99].map(address));
    assert_eq!((broadcast.recipients, broadcast.canary, broadcast.withheld), (99, 4, 95));
    let frozen = broadcast.audit_trail.iter().find(|entry| entry.reason.starts_with("audience frozen")).unwrap();
    let told = "of the 6 keys that the canary names 1 is not in the audience (999) and 1 is skipped (42: bad_address)";
    assert!(frozen.reason.ends_with(told), "{}", frozen.reason);
    approve(&world).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once((1..=100).filter(|key| *key != 42).map(address));
    // The certificate counts the canary by the pages and the command, and not by what the item says.
    let findings = |broadcast: Broadcast| {
        let (ledger, now) = (world.ledger(), world.now());
        async move {
            let findings = issei_certificate::what_the_ledger_holds(&ledger, &broadcast, Duration::ZERO, now).await;
            findings.iter().filter(|finding| !finding.holds()).map(|finding| finding.value.clone()).collect::<Vec<_>>().join("; ")
        }
    };
    assert_eq!(findings(broadcast.clone()).await, "");
    let found = findings(Broadcast { canary: 3, ..broadcast }).await;
    assert!(found.contains("the broadcast's canary is 3, and the pages hold 4"), "{found}");
}

/// The order is the command's: whoever goes on after a producer that died, with other rows, chooses as it did.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_the_same_people_for_whoever_freezes_them_and_rows_may_come_and_go() {
    for killed_at in [0, 1, 3, 6, 12] {
        let world = World::new(WorldOptions { page_size: 5, chunk_size: 2, ..WorldOptions::default() }).await;
        let choice = Choice::Share(Share::try_from(0.2).unwrap());
        let is_chosen = |key: i64| choice.holds(&"terms".parse().unwrap(), &key.to_string());
        let posted = with_canary(&json!({ "share": 0.2 }));
        world.post_command(&posted).await;
        world.kill_a_producer_after(1 + killed_at).await;
        world.users.execute("DELETE FROM users WHERE id % 10 = 3").await;
        for id in 101..=130 {
            world.users.execute(&format!("INSERT INTO users VALUES ({id}, '{}', 'New')", address(id))).await;
        }
        world.post_command(&posted).await;
        held(&world).await;
        let first = judge(&world.cloud, "terms").accepted;
        assert!(first.len() > 5 && first.values().all(|times| *times == 1), "{first:?}");
        let keys: Vec<i64> = (1..=130).filter(|key| first.contains_key(&address(*key))).collect();
        assert!(keys.len() == first.len() && keys.iter().all(|key| is_chosen(*key)), "{keys:?}");
        let throughout: Vec<i64> = (1..=100).filter(|key| key % 10 != 3).collect();
        assert!(throughout.iter().all(|key| is_chosen(*key) == first.contains_key(&address(*key))), "{keys:?}");
        approve(&world).await;
        assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
        let judged = judge(&world.cloud, "terms");
        assert_eq!(judged.duplicates(), Vec::<&str>::new());
        assert!(throughout.iter().all(|key| judged.accepted.get(&address(*key)) == Some(&1)), "killed at page {killed_at}");
    }
}

/// Nobody whom it names is there: without its canary it would go to everybody at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_nobody_holds_a_broadcast_before_its_first_send() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&with_canary(&json!({ "keys": ["ann@example.com", "staff-7"] }))).await;
    let broadcast = held(&world).await;
    assert!(broadcast.holds_before_first_send() && world.cloud.accepted() == 0);
    let reason = &broadcast.decided().unwrap().reason;
    assert!(
        reason.starts_with("of the 2 keys that the canary names 2 are not in the audience (staff-7, …), so there is no canary"),
        "{reason}"
    );
    assert!(reason.contains("`issei approve terms --reason \"…\"` sends to all 100 at once"), "{reason}");
    assert_eq!(broadcast.reason_code(world.now()), Some(ReasonCode::HoldingNoCanary));
    approve(&world).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Nothing would be left to hold once it is sent: whoever asked to be asked would be asked by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_everybody_holds_a_broadcast_before_its_first_send() {
    let everybody: Vec<String> = (1..=100).map(|key| key.to_string()).collect();
    for canary in [json!(100), json!(250), json!({ "share": 1 }), json!({ "keys": everybody })] {
        let world = World::new(WorldOptions::default()).await;
        // Whoever can't be mailed is no more to be held than one who is not there.
        world.users.execute("UPDATE users SET email = 'nobody' WHERE id = 42").await;
        world.post_command(&with_canary(&canary)).await;
        let broadcast = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state != BroadcastState::Enumerating).await;
        assert!(broadcast.holds_before_first_send() && world.cloud.accepted() == 0, "{canary}: {}", broadcast.broadcast_state);
        let reason = &broadcast.decided().unwrap().reason;
        assert!(reason.starts_with("the canary is everybody who can be mailed (99), so nobody would be left to hold back"), "{reason}");
        assert!(reason.contains("nothing was sent; `issei approve terms --reason \"…\"` sends to all of them at once"), "{reason}");
        assert_eq!(broadcast.reason_code(world.now()).map(ReasonCode::as_str), Some("HOLDING_CANARY_IS_ALL"));
        approve(&world).await;
        assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
        judge(&world.cloud, "terms").assert_each_once((1..=100).filter(|key| *key != 42).map(address));
    }
}

/// Whoever wants the evidence to decide wants no person asked, and named those who are mailed before it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_everybody_that_the_evidence_approves_asks_nobody() {
    let world = World::new(WorldOptions::default()).await;
    let mut command = with_canary(&json!(250));
    command.canary_approval = CanaryApproval::Evidence;
    world.post_command(&command).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Whoever approves it for another reason learns that nothing is held afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_another_kind_says_that_its_canary_is_everybody() {
    let world = World::new(WorldOptions::default()).await;
    let mut command = with_canary(&json!(250));
    command.hold = true;
    world.post_command(&command).await;
    let broadcast = held(&world).await;
    assert_eq!(broadcast.reason_code(world.now()), Some(ReasonCode::HoldingAsked));
    let reason = &broadcast.decided().unwrap().reason;
    assert!(reason.ends_with("; the canary is everybody who can be mailed (100), so nobody would be left to hold back"), "{reason}");
    assert!(!broadcast.terms().to_string().contains("to the others"), "{}", broadcast.terms());
}
