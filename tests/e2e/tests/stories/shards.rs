//! Over how many partitions a broadcast is spread: by its audience, told once, and gone by wherever a chunk is looked for.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_clock::Dice;
use issei_ledger::{Asked, Broadcast, BroadcastState, Frozen, Granted, Ledger, Reading, Registered, Shards};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::json;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn partitions(world: &World) -> BTreeSet<String> {
    let answer = world.clients.dynamodb.scan().table_name("ledger").call().await.unwrap();
    let partition =
        |item: &std::collections::HashMap<String, AttributeValue>| item["pk"].as_s().unwrap().strip_prefix("b#terms#").map(str::to_owned);
    answer.items.unwrap_or_default().iter().filter_map(partition).filter(|name| name != "events").collect()
}

async fn item(world: &World) -> std::collections::HashMap<String, AttributeValue> {
    let get = world.clients.dynamodb.get_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
    get.call().await.unwrap().item.unwrap()
}

/// How many queries it takes to count every chunk of a broadcast.
async fn queries_of_a_count(world: &World, broadcast: &Broadcast) -> u64 {
    let asked = || world.cloud.counts().iter().filter(|((_, operation), _)| operation == "Query").map(|(_, count)| count).sum::<u64>();
    let before = asked();
    assert_eq!(world.ledger().tally(broadcast).await.unwrap().chunks, u64::from(broadcast.chunks));
    asked() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_lies_in_as_many_partitions_as_it_needs() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.placed().shards.get()), (BroadcastState::Complete, 4));
    assert_eq!(partitions(&world).await, ["00", "01", "02", "03"].map(str::to_owned).into());
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// As it was for every audience, however few: of chunks and of what events say, once for each partition.
#[tokio::test(flavor = "multi_thread")]
async fn who_counts_the_chunks_of_few_asks_one_partition_and_not_as_many_as_there_are_chunks() {
    let mut world = World::new(WorldOptions::default()).await;
    world.rows_a_shard = 50_000;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((partitions(&world).await, broadcast.chunks), (["00".to_owned()].into(), 10));
    let spread = World::new(WorldOptions::default()).await;
    as_it_was(&spread).await;
    let broadcast_spread = spread.run_to_the_end("terms").await;
    // The log of events is one more.
    assert_eq!((queries_of_a_count(&world, &broadcast).await, queries_of_a_count(&spread, &broadcast_spread).await), (3, 21));
}

/// A broadcast as a build froze it that spread every audience over sixteen partitions.
async fn as_it_was(world: &World) {
    let old = world.ledger().with_rows_a_shard(world.options.users.div_ceil(16).into());
    let wanted = command("terms", |_| {});
    let registered = old.register(&wanted, 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    let Registered::New(mut broadcast) = registered else { panic!("{registered:?}") };
    let rows = u64::from(world.options.users);
    let of_sixteen = Reading { rows: 16 * u64::from(world.options.users.div_ceil(16)), ..reading("one", rows) };
    for from in (1..=rows).step_by(30) {
        let keys: Vec<u64> = (from..=rows.min(from + 29)).collect();
        broadcast = write(&old, &broadcast, &keys, &of_sixteen).await;
    }
    old.finish_enumeration(&broadcast, &reading("one", rows), &"a test".parse().unwrap(), None).await.unwrap();
    let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
    update
        .update_expression("SET chunk_size = marked_chunk_recipients REMOVE shards, marked_chunk_recipients, marks_letters")
        .call()
        .await
        .unwrap();
    // Whoever takes it once more goes on with it.
    world.post_command(&wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_an_older_build_froze_is_looked_for_where_it_lies() {
    let world = World::new(WorldOptions::default()).await;
    as_it_was(&world).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.shards, broadcast.placed().shards.get()), (BroadcastState::Complete, None, 16));
    assert_eq!(partitions(&world).await.len(), 10, "ten chunks and four pages");
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// It looks for chunks in sixteen partitions, whatever stands there, and would find none that was claimed.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_can_not_read_a_broadcast_whose_partitions_it_does_not_know() {
    let world = World::new(WorldOptions::default()).await;
    let ledger = world.ledger();
    let registered = ledger.register(&command("terms", |_| {}), 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    assert!(matches!(registered, Registered::New(_)), "{registered:?}");
    // Registered by one that knew numbers of partitions, and did not mark its letters.
    let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
    update
        .update_expression("SET chunk_size = marked_chunk_recipients REMOVE marked_chunk_recipients, marks_letters")
        .call()
        .await
        .unwrap();
    let broadcast = write(&ledger, &world.broadcast("terms").await, &[1], &reading("one", 60)).await;
    let item = item(&world).await;
    assert_eq!((broadcast.chunk_size, item.get("chunk_recipients")), (10, Some(&AttributeValue::N("10".to_owned()))));
    assert!(!item.contains_key("chunk_size"), "an older build wants it");
}

/// Its consumers would send letters whose events nobody believes, and its producers would freeze pages for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_can_not_read_a_broadcast_whose_letters_it_would_not_mark() {
    let registered = World::new(WorldOptions::default()).await;
    let found = registered.ledger().register(&command("terms", |_| {}), 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    assert!(matches!(found, Registered::New(_)), "{found:?}");
    let frozen = World::new(WorldOptions::default()).await;
    frozen.post_command(&command("terms", |_| {})).await;
    frozen.run_until("terms", 0, Broadcast::is_enqueued).await;
    for world in [registered, frozen] {
        let item = item(&world).await;
        assert_eq!(item.get("marked_chunk_recipients"), Some(&AttributeValue::N("10".to_owned())));
        assert!(!item.contains_key("chunk_size") && !item.contains_key("chunk_recipients"), "an older build wants one of them");
    }
}

/// Whoever remembers a broadcast from before its first page, or from before a restore.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_for_chunks_in_other_partitions_gets_no_permit() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let (ledger, of) = (world.ledger(), broadcast.registration());
    for shards in [None, Some(Shards::default())] {
        let elsewhere = issei_ledger::Registration { shards, ..of.clone() };
        let granted = ledger.grant(&elsewhere, broadcast.epoch, (10, 10), None, Duration::from_secs(5)).await.unwrap();
        assert!(matches!(granted, Granted::Denied(_)), "{granted:?}");
    }
    let granted = ledger.grant(&of, broadcast.epoch, (10, 10), None, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
}

fn reading(id: &str, rows: u64) -> Reading {
    Reading {
        id: id.to_owned(),
        rows,
        counted: rows,
        without_key: 0,
        repeated: 0,
        differing: None,
        trimmed: None,
        unique_addresses: None,
        section: None,
        left_out: None,
        digest: None,
        readings: 1,
    }
}

async fn write(ledger: &Ledger, broadcast: &Broadcast, keys: &[u64], reading: &Reading) -> Broadcast {
    let mut page = ledger.page_after(broadcast, false, "a test".to_owned()).unwrap();
    for key in keys {
        let recipient = json!({ "key": key.to_string(), "address": format!("user{key:06}@example.com"), "data": { "name": "Ann" } });
        page.push(serde_json::from_value(recipient).unwrap(), 100, 0, 0).unwrap();
        page.advance(key.to_string());
    }
    let frozen = ledger.freeze_page(broadcast, &page.build().pack().unwrap(), reading).await.unwrap();
    let Frozen::Written(after) = frozen else { panic!("{frozen:?}") };
    after
}

/// A producer dies after its first page, and whoever goes on finds ten times as many.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_reading_of_more_rows_leaves_the_partitions_as_they_are() {
    let world = World::new(WorldOptions::default()).await;
    let ledger = world.ledger();
    let registered = ledger.register(&command("terms", |_| {}), 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    let Registered::New(broadcast) = registered else { panic!("{registered:?}") };
    let first = write(&ledger, &broadcast, &[1], &reading("one", 60)).await;
    let second = write(&ledger, &first, &[2, 3], &reading("other", 600)).await;
    // Where the third lies, the numbers of partitions of the two readings differ.
    write(&ledger, &second, &[4, 5, 6], &reading("other", 600)).await;
    let after = world.broadcast("terms").await;
    assert_eq!((after.placed().shards.get(), after.pages, first.placed()), (2, 3, after.placed()));
    for seq in 0..3 {
        assert_eq!(ledger.page(&after.placed(), seq).await.unwrap().recipients(), 1 + usize::try_from(seq).unwrap());
    }
}
