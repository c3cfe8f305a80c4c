//! One person is found in the frozen pages of a broadcast, and no more pages are read for it than are needed.

use issei_ledger::{Ledger, Whereabouts};
use issei_test_support::{World, WorldOptions, command};
use serde_json::json;

async fn look(ledger: &Ledger, world: &World, who: &str) -> Whereabouts {
    ledger.finder(who).await.unwrap().look(&world.broadcast("terms").await, |_| ()).await.unwrap()
}

/// Forty pages of five. The keys are numbers, which as text have another order than the table's.
async fn many_pages(canary: Option<serde_json::Value>) -> World {
    let world = World::new(WorldOptions { users: 200, page_size: 5, chunk_size: 2, ..WorldOptions::default() }).await;
    world.users.execute("UPDATE users SET email = NULL WHERE id = 50").await;
    let body = command("terms", |body| {
        if let Some(canary) = canary.clone() {
            (body["version"], body["class"], body["canary"]) = (json!(2), json!("service"), canary);
        }
    });
    world.post_command(&body).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_in_a_few_of_many_pages_and_an_address_in_all_of_them() {
    let world = many_pages(None).await;
    world.run_to_the_end("terms").await;
    let (ledger, pages) = (world.ledger(), world.broadcast("terms").await.pages);
    assert!(pages >= 40, "{pages}");
    for key in 1..=200 {
        let found = look(&ledger, &world, &key.to_string()).await;
        let (recipients, skipped) = if key == 50 { (0, 1) } else { (1, 0) };
        assert_eq!((found.recipients.len(), found.skipped.len()), (recipients, skipped), "{key}");
        assert!(found.read <= 6, "{key}: {} of {pages} pages", found.read);
    }
    for nobody in ["0", "201", "1000", "42x", "~"] {
        let found = look(&ledger, &world, nobody).await;
        // One more, for rows without a key that could be mailed stand first.
        assert!(found.is_nobody() && found.read <= 7, "{nobody}: {found:?}");
    }
    let found = look(&ledger, &world, " User000042@EXAMPLE.com ").await;
    assert_eq!((found.recipients.len(), found.read), (1, pages));
    assert_eq!(found.recipients[0].recipient.key.as_str(), "42");

    // A tombstone is found where the person stood, and those around them still are. With them goes the key that says
    // where a page ends.
    let (broadcast, actor) = (world.broadcast("terms").await, "an operator".parse().unwrap());
    for key in ["42", "50"] {
        let sought = issei_ledger::Sought::new(key);
        let (sought, before) = ledger.look_for(&broadcast, &sought).await.unwrap();
        for page in before.pages {
            ledger.forget(&broadcast.broadcast_id, page, &sought, &actor, "asked for it").await.unwrap();
        }
        let found = look(&ledger, &world, key).await;
        assert_eq!((found.recipients.len(), found.skipped.len(), found.forgotten.len()), (0, 0, 1), "{key}");
    }
    for key in (1..=200).filter(|key| ![42, 50].contains(key)) {
        assert_eq!(look(&ledger, &world, &key.to_string()).await.recipients.len(), 1, "{key}");
    }
    assert_eq!(look(&ledger, &world, "user000042@example.com").await.forgotten.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_whom_a_canary_chooses_are_found_though_they_are_frozen_first() {
    let world = many_pages(Some(json!({ "share": 0.3 }))).await;
    let holds = |broadcast: &issei_ledger::Broadcast| broadcast.broadcast_state == issei_ledger::BroadcastState::Holding;
    let broadcast = world.run_until("terms", 2, holds).await;
    assert!((20..100).contains(&broadcast.canary), "{}", broadcast.canary);
    for key in (1..=200).filter(|key| *key != 50) {
        let found = look(&world.ledger(), &world, &key.to_string()).await;
        assert_eq!(found.recipients.len(), 1, "{key}");
        assert!(found.read < 20, "{key}: {} pages", found.read);
    }
}
