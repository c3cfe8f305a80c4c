//! A letter that an earlier build took, and that is refused since: a value in it could choose whom its link leads to.

use issei_ledger::{Asked, Broadcast, BroadcastState, ReasonCode, Transition};
use issei_schema::BroadcastCommand;
use issei_test_support::{World, WorldOptions, command, judge, older, until};
use serde_json::json;

/// A command whose letter has this link.
fn with_link(link: &str, hold: bool) -> BroadcastCommand {
    command("terms", |command| {
        (command["version"], command["class"], command["hold"]) = (json!(2), json!("service"), json!(hold));
        command["content"]["inline"]["html"] = json!(format!("<p>Dear {{{{name}}}}</p><a href=\"{link}\">the terms</a>"));
    })
}

const GOOD: &str = "https://example.com/{{name}}";
const REFUSED: &str = "https:{{name}}";

fn small() -> WorldOptions {
    WorldOptions { users: 20, page_size: 10, chunk_size: 5, ..WorldOptions::default() }
}

async fn step(world: &World, to: BroadcastState) {
    let wanted = Transition { to, actor: &"an operator".parse().unwrap(), reason: "a test" };
    world.ledger().transition(&"terms".parse().unwrap(), wanted).await.unwrap();
    world.cloud.show_all_messages();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_an_earlier_build_took_and_that_is_refused_now_pauses_its_broadcast_and_is_in_nobodys_mail() {
    let world = World::new(small()).await;
    world.post_command(&with_link(GOOD, true)).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    older::took(&world.clients.dynamodb, "ledger", &with_link(REFUSED, true)).await;
    // Whoever resumes it finds it paused again.
    for _ in 0..2 {
        step(&world, BroadcastState::Running).await;
        let is_over = |broadcast: &Broadcast| broadcast.broadcast_state == BroadcastState::Paused || world.cloud.accepted() > 0;
        let paused = world.run_until("terms", 2, is_over).await;
        assert_eq!((paused.broadcast_state, world.cloud.accepted()), (BroadcastState::Paused, 0));
        assert_eq!(paused.reason_code(world.now()), Some(ReasonCode::PausedContent));
        let reason = &paused.last_step().unwrap().reason;
        let says = ["field `content.inline.html`: has `{{name}}` in a link before its host", "`issei stop terms`", "issei resend terms"];
        assert!(says.iter().all(|says| reason.contains(says)), "{reason}");
    }
    // Nobody is lost: with a letter that may be sent, and here it is the same broadcast, all of them get theirs.
    older::took(&world.clients.dynamodb, "ledger", &with_link(GOOD, true)).await;
    step(&world, BroadcastState::Running).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_more_is_frozen_for_it_and_whoever_waits_is_told_what_to_do() {
    let mut options = small();
    // So long nobody works on it before a producer goes on from the ledger.
    options.timing.visibility = std::time::Duration::from_secs(5);
    let world = World::new(options).await;
    let command = with_link(REFUSED, false);
    world.ledger().register(&command, 5, false, &Asked::default(), &issei_clock::Dice::system()).await.unwrap();
    let held_up = world.run_until("terms", 1, |broadcast| broadcast.held_up.is_some()).await;
    assert_eq!((held_up.broadcast_state, held_up.pages), (BroadcastState::Enumerating, 0));
    let held_up = held_up.held_up.unwrap();
    assert_eq!(held_up.code, Some(ReasonCode::HeldUpContent));
    let says = ["field `content.inline.html`: has `{{name}}` in a link before its host", "nothing was sent", "`issei stop terms`"];
    assert!(says.iter().all(|says| held_up.reason.contains(says)), "{}", held_up.reason);

    // As a new command it is refused.
    let world = World::new(small()).await;
    world.post_command(&command).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let services = world.start(&stop).await;
    until("it is refused", async || world.queue("commands").await.depths().await.unwrap()[2] == 1).await;
    stop.cancel();
    services.join_all().await;
    assert!(world.ledger().find_broadcast(&command.broadcast_id).await.unwrap().is_none());
    assert!(world.dead_letters("commands").await[0].1.contains("before its host"));
}

/// A build that took a value in a link which is none for this one has frozen the audience; a provider would leave it out.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_link_that_lacks_what_an_earlier_build_froze_for_it() {
    let world = World::new(small()).await;
    world.users.execute("UPDATE users SET name = CASE id WHEN 7 THEN 'https:x' ELSE 'https://example.com/' || id END").await;
    world.post_command(&with_link("https://example.com/?{{name}}", true)).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    older::took(&world.clients.dynamodb, "ledger", &with_link("{{name}}", true)).await;
    step(&world, BroadcastState::Running).await;
    let paused = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state != BroadcastState::Running).await;
    assert_eq!((paused.broadcast_state, paused.reason_code(world.now())), (BroadcastState::Paused, Some(ReasonCode::PausedContent)));
    let reason = &paused.last_step().unwrap().reason;
    assert!(reason.contains("the column `name` begins a link") && reason.contains("issei resend terms"), "{reason}");
    let mailed = judge(&world.cloud, "terms");
    assert!(!mailed.reached().contains(&"user000007@example.com") && mailed.duplicates().is_empty());
}
