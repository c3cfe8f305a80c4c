//! Freezing: producers that die, and tables that change underneath.

use std::time::Duration;

use issei_ledger::{BroadcastState, SkipReason};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use tokio_util::sync::CancellationToken;

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
    let world = World::new(small()).await;
    for (id, email, name) in [
        (101, "NULL", "'x'"),
        (102, "''", "'x'"),
        (103, "'not an address'", "'x'"),
        (104, "'jürgen@example.com'", "'x'"),
        (105, "'a@example.com, b@example.com'", "'x'"),
        (106, "'ok106@example.com'", "NULL"),
        (107, "'ok107@example.com'", "char(7)"),
        (108, "'ok108@example.com'", "replace(hex(zeroblob(10000)), '00', 'xx')"),
    ] {
        world.users.execute(&format!("INSERT INTO users VALUES ({id}, {email}, {name})")).await;
    }
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.recipients, broadcast.skipped, broadcast.audience_size()), (50, 8, 58));
    let mut skipped = Vec::new();
    for seq in 0..broadcast.pages {
        let page = world.ledger().page(&broadcast.broadcast_id, seq).await.unwrap();
        skipped.extend(page.skipped().iter().map(|skipped| (skipped.key.parse::<u32>().unwrap(), skipped.reason)));
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
        ]
    );
    assert_eq!(world.cloud.accepted(), 50);
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
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::HangBefore).after(3).times(1));
    let producer = world.producer().await;
    let victim = tokio::spawn(async move { producer.run(CancellationToken::new()).await });
    world.cloud.hanging().wait_for(|hanging| *hanging > 0).await.unwrap();
    victim.abort();
    let _ = victim.await;
    // Somebody purges the commands queue. The frozen pages and the command are in the ledger.
    let url = world.clients.sqs.get_queue_url().queue_name("commands").send().await.unwrap().queue_url.unwrap();
    world.clients.sqs.purge_queue().queue_url(url).send().await.unwrap();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}
