//! Freezing: producers that die, and tables that change underneath.

use std::time::Duration;

use issei_aws::AwsCall;
use issei_ledger::{BroadcastState, ReasonCode, SkipReason, Transition};
use issei_producer::LegacyLocalParts;
use issei_sim::{Account, EventRule, Events, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};

fn small() -> WorldOptions {
    WorldOptions { users: 50, page_size: 15, chunk_size: 5, ..WorldOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_meanwhile_move_nobody_into_two_chunks() {
    let world = World::new(WorldOptions { users: 600, page_size: 40, ..WorldOptions::default() }).await;
    // Every page takes a while, so that many changes fall between pages.
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::DelayMs(15)));
    world.post_command(&command("terms", |_| {})).await;
    let change = async {
        for round in 0_u32..60 {
            // Rows vanish before and behind the cursor, and others appear between and at the end.
            let (gone, new) = (round * 7 + 3, 10_000 + round);
            world.users.execute(&format!("DELETE FROM users WHERE id = {gone}")).await;
            world.users.execute(&format!("INSERT INTO users VALUES ({new}, 'new{new}@example.com', 'New')")).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ((), broadcast) = tokio::join!(change, world.run_to_the_end("terms"));
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    let judged = judge(&world.cloud, "terms");
    assert_eq!(judged.duplicates(), Vec::<&str>::new());
    let survivors: Vec<String> =
        world.users.all().await.into_iter().filter(|(id, _)| *id < 10_000).filter_map(|(_, address)| address).collect();
    assert_eq!(survivors.len(), 540);
    for survivor in survivors {
        assert_eq!(judged.accepted.get(&survivor), Some(&1), "{survivor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_mailed_are_recorded_with_their_reason() {
    // More than an operator should let pass, and here nobody asks.
    let world = World::new(WorldOptions { skipped_share_max: 1.0, ..small() }).await;
    for (id, email, name) in [
        (101, "NULL", "'x'"),
        (102, "''", "'x'"),
        (103, "'not an address'", "'x'"),
        (104, "'jürgen@example.com'", "'x'"),
        (105, "'a@example.com, b@example.com'", "'x'"),
        (106, "'ok106@example.com'", "NULL"),
        (107, "'ok107@example.com'", "char(7)"),
        (108, "'ok108@example.com'", "replace(hex(zeroblob(10000)), '00', 'xx')"),
        (109, "'a..b@docomo.example.jp'", "'x'"),
    ] {
        world.users.execute(&format!("INSERT INTO users VALUES ({id}, {email}, {name})")).await;
    }
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.recipients, broadcast.skipped, broadcast.audience_size()), (50, 9, 59));
    let mut skipped = Vec::new();
    for seq in 0..broadcast.pages {
        let page = world.ledger().page(&broadcast.placed(), seq).await.unwrap();
        skipped.extend(page.skipped().map(|skipped| (skipped.key.parse::<u32>().unwrap(), skipped.reason)));
    }
    assert_eq!(
        skipped,
        [
            (101, SkipReason::NoAddress),
            (102, SkipReason::NoAddress),
            (103, SkipReason::BadAddress),
            (104, SkipReason::AddressNotAscii),
            (105, SkipReason::BadAddress),
            (106, SkipReason::DataMissing),
            (107, SkipReason::ControlCharacter),
            (108, SkipReason::DataTooLarge),
            (109, SkipReason::LegacyLocalPart),
        ]
    );
    assert_eq!(world.cloud.accepted(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_of_which_nobody_can_be_mailed_is_stopped_with_its_reason_and_never_complete() {
    for (statement, says) in [
        (
            "UPDATE users SET email = CASE WHEN id = 1 THEN NULL ELSE 'nobody' END",
            "all 3 rows of the audience `users` were skipped, most often bad_address (2 bad_address, 1 no_address); nothing was sent",
        ),
        ("DELETE FROM users", "the audience `users` has no rows; nothing was sent"),
    ] {
        let world = World::new(WorldOptions { users: 3, ..small() }).await;
        world.users.execute(statement).await;
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.broadcast_state, BroadcastState::Stopped);
        let last = broadcast.audit_trail.last().unwrap();
        assert!(last.reason.starts_with(says) && last.reason.contains("with a new broadcast_id"), "{}", last.reason);
        assert_eq!(last.code, Some(ReasonCode::StoppedNobody));
    }
}

/// An eighth of the audience can't be mailed, whether it has a canary or not.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_skipped_rows_hold_a_broadcast_before_its_first_send_until_it_is_approved() {
    for canary in [None, Some(12)] {
        let world = World::new(small()).await;
        world.users.execute("UPDATE users SET email = NULL WHERE id % 8 = 0").await;
        world.post_command(&command("terms", |body| body["canary"] = serde_json::json!(canary))).await;
        let held = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
        assert!(held.holds_before_first_send());
        assert_eq!((held.recipients, held.remaining, held.withheld, world.cloud.accepted()), (44, 0, 44, 0));
        assert_eq!(world.queue("chunks").await.depths().await.unwrap(), [0, 0, 0], "nothing is enqueued that can't be sent");
        let reason = &held.audit_trail.last().unwrap().reason;
        let says = "6 of 50 rows of the audience `users` were skipped, 12.0 % where skipped_share_max is 5.0 %, most often no_address (6 no_address)";
        assert!(reason.starts_with(says) && reason.contains("`issei approve terms --reason \"…\"` sends to the other 44"), "{reason}");
        assert_eq!(held.reason_code(world.now()), Some(ReasonCode::HoldingSkipped));
        approve(&world).await;
        if let Some(canary) = canary {
            // What was approved is the audience, and not what its canary will show.
            let held = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
            assert_eq!((held.withheld, world.cloud.accepted(), held.holds_before_first_send()), (44 - canary, canary, false));
            assert_eq!(held.reason_code(world.now()), Some(ReasonCode::HoldingCanary));
            approve(&world).await;
        }
        world.cloud.show_all_messages();
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

/// Whoever asks can't read the audience, so the producer's own judgement is shown before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_to_hold_is_judged_by_the_producer_and_waits_for_its_approval() {
    for canary in [None, Some(12)] {
        let world = World::new(small()).await;
        world.users.execute("UPDATE users SET email = NULL WHERE id IN (7, 9)").await;
        let asked = command("terms", |body| (body["hold"], body["canary"]) = (serde_json::json!(true), serde_json::json!(canary)));
        world.post_command(&asked).await;
        let held = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
        assert!(held.holds_before_first_send());
        assert_eq!((held.recipients, held.remaining, held.withheld, world.cloud.accepted()), (48, 0, 48, 0));
        assert_eq!(held.reason_code(world.now()), Some(ReasonCode::HoldingAsked));
        let reason = &held.decided().unwrap().reason;
        for says in [
            "48 of 50 rows of the audience `users` are to be mailed",
            "skipped: 2 no_address (keys 7, 9)",
            "`issei approve terms --reason \"…\"`",
        ] {
            assert!(reason.contains(says), "{says}: {reason}");
        }
        approve(&world).await;
        if canary.is_some() {
            world.run_until("terms", 2, |broadcast| broadcast.withheld > 0 && broadcast.broadcast_state == BroadcastState::Holding).await;
            assert_eq!(world.cloud.accepted(), 12);
            approve(&world).await;
        }
        world.cloud.show_all_messages();
        assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    }
}

/// Of few rows a single one is a large share already. Several are what a person judges, as they are of many.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_skipped_row_of_a_small_audience_holds_nothing_and_several_do() {
    for (skipped, state) in [("= 2", BroadcastState::Complete), ("% 2 = 0", BroadcastState::Holding)] {
        let world = World::new(WorldOptions { users: 9, ..small() }).await;
        world.users.execute(&format!("UPDATE users SET email = NULL WHERE id {skipped}")).await;
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world
            .run_until("terms", 3, |broadcast| matches!(broadcast.broadcast_state, BroadcastState::Complete | BroadcastState::Holding))
            .await;
        assert_eq!(broadcast.broadcast_state, state, "id {skipped}");
    }
}

async fn approve(world: &World) {
    let (id, actor) = ("terms".parse().unwrap(), "an operator".parse().unwrap());
    let wanted = Transition { to: BroadcastState::Running, actor: &actor, reason: "the table is known to be so" };
    world.ledger().transition(&id, wanted).await.unwrap();
}

/// Carriers gave `a..b@` out, and an event may name it with quotes or without.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_carrier_gave_out_is_mailed_in_quotes_and_suppressed_however_it_is_written() {
    let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
    let mut world = World::new(WorldOptions { account: Account { events, ..Account::default() }, ..small() }).await;
    world.cloud.configure(|account| {
        account.events.rules = vec![EventRule { address: "a..b".to_owned(), event: "Bounce".to_owned() }];
    });
    world.users.execute("UPDATE users SET email = 'a..b@docomo.example.jp' WHERE id = 1").await;
    world.audiences.get_mut("users").unwrap().legacy_local_parts = LegacyLocalParts::Quote;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    assert_eq!(judge(&world.cloud, "terms").accepted.get("\"a..b\"@docomo.example.jp"), Some(&1));
    world.take_events().await;
    world.users.execute("UPDATE users SET email = '\"A..b\"@docomo.example.jp' WHERE id = 1").await;
    world.post_command(&command("second", |_| {})).await;
    let second = world.run_to_the_end("second").await;
    assert_eq!((second.recipients, second.skipped), (49, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_with_much_data_fit_chunks_and_pages_all_the_same() {
    let world = World::new(WorldOptions { users: 200, page_size: 200, chunk_size: 50, ..WorldOptions::default() }).await;
    // Random data, which does not compress: 200 times 12 KB is seven pages' worth.
    world.users.execute("UPDATE users SET name = hex(randomblob(6000))").await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    assert!(broadcast.pages > 5 && broadcast.chunks > 30, "{} pages, {} chunks", broadcast.pages, broadcast.chunks);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_whose_command_is_lost_is_carried_on_from_the_ledger() {
    let mut options = small();
    options.timing.visibility = Duration::from_secs(20);
    let world = World::new(options).await;
    world.post_command(&command("terms", |_| {})).await;
    world.kill_a_producer_after(3).await;
    // Somebody purges the commands queue. The frozen pages and the command are in the ledger.
    let url = world.clients.sqs.get_queue_url().queue_name("commands").call().await.unwrap().queue_url.unwrap();
    world.clients.sqs.purge_queue().queue_url(url).call().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}
