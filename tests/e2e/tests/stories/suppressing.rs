//! The list of addresses that are not mailed: whoever wrote it, whoever reads it, nobody is lost from it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::{AwsCall, Timing};
use issei_ledger::{Cause, Migrated, SkipReason, Suppression, Unsuppressed};
use issei_producer::{AudienceConfig, Progress, UniqueBy, survey};
use issei_schema::{Actor, Address};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

/// `printf user00000N@example.com | sha256sum`.
const DIGESTS: [(u32, &str); 3] = [
    (5, "ae2eb5c75be6f4779013ff5443a749cd1478b59e50c1c924655e17fb4ca357e4"),
    (6, "b426d8017a06b409183715f3440a52020e573f8f5e4a82f6ecfa45f1f158d372"),
    (7, "1efa6223eb9fbdcd99ea9208799e38fc455e499705ea053e6115f6b673c747ae"),
];

async fn of_twenty() -> World {
    World::new(WorldOptions { users: 20, page_size: 20, chunk_size: 5, skipped_share_max: 1.0, ..WorldOptions::default() }).await
}

fn user(id: u32) -> Address {
    format!("user{id:06}@example.com").parse().unwrap()
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn plain(id: u32) -> [(&'static str, String); 2] {
    let digest = DIGESTS.iter().find(|(of, _)| *of == id).unwrap().1;
    [("pk", format!("suppressed#{}", &digest[..2])), ("sk", digest.to_owned())]
}

/// As a build from before the key enters somebody: the marker, and an entry under the plain digest.
async fn entered_by_an_older_build(world: &World, id: u32, why: &str) {
    let marker = [("pk", "suppressed".to_owned()), ("sk", "any".to_owned())];
    for key in [marker, plain(id)] {
        let update = world.clients.dynamodb.update_item().table_name("ledger");
        let update = key.into_iter().fold(update, |update, (name, value)| update.key(name, text(&value)));
        let update = update.update_expression("SET suppression = :why, broadcast_id = :id, suppressed_at = :now");
        let update = update.expression_attribute_values(":why", text(why)).expression_attribute_values(":id", text("older"));
        let now = AttributeValue::N(world.now().as_millisecond().to_string());
        update.expression_attribute_values(":now", now).call().await.unwrap();
    }
}

/// What a build from before the key reads of somebody.
async fn read_by_an_older_build(world: &World, id: u32) -> Option<String> {
    let get = world.clients.dynamodb.get_item().table_name("ledger");
    let get = plain(id).into_iter().fold(get, |get, (name, value)| get.key(name, text(&value)));
    get.call().await.unwrap().item?.get("suppression")?.as_s().ok().cloned()
}

/// As a ledger that older builds have worked on.
async fn of_an_older_ledger(world: &World) {
    let delete = world.clients.dynamodb.delete_item().table_name("ledger");
    delete.key("pk", text("suppressed")).key("sk", text("key")).call().await.unwrap();
}

async fn enter(world: &World, id: u32, why: Suppression) {
    let (since, source, entered_by) = (world.now(), "an operator".to_owned(), "Kim".to_owned());
    let cause = Cause { since, entered_at: since, source, entered_by, reason: Some("asked for it".to_owned()) };
    world.ledger().enter_suppressed([(user(id), why, cause)]).await.unwrap();
}

async fn skipped(world: &World, id: &str, class: &str) -> BTreeMap<String, String> {
    world
        .post_command(&command(id, |command| {
            command["version"] = 2.into();
            command["class"] = class.into();
        }))
        .await;
    let done = world.run_to_the_end(id).await;
    let skipped = world.ledger().skipped_by_reason(&done).await.unwrap();
    skipped.into_iter().map(|(reason, rows): (SkipReason, _)| (rows.examples.join(" "), reason.to_string())).collect()
}

fn map<const N: usize>(skipped: [(&str, &str); N]) -> BTreeMap<String, String> {
    skipped.map(|(keys, reason)| (keys.to_owned(), reason.to_owned())).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_before_and_after_the_key_of_the_list_heed_each_other_until_all_are_upgraded() {
    let mut world = of_twenty().await;
    of_an_older_ledger(&world).await;
    entered_by_an_older_build(&world, 5, "bounced").await;
    assert_eq!(skipped(&world, "one", "service").await, map([("5", "bounced")]));
    enter(&world, 6, Suppression::Complained).await;
    enter(&world, 7, Suppression::Unsubscribed).await;
    let all = map([("5", "bounced"), ("6", "complained"), ("7", "unsubscribed")]);
    assert_eq!(skipped(&world, "two", "service").await, all);
    // What it does not know it takes for a bounce.
    assert_eq!(read_by_an_older_build(&world, 6).await.as_deref(), Some("complained"));
    assert_eq!(read_by_an_older_build(&world, 7).await.as_deref(), Some("unsubscribed"));

    // Somebody has just written; ten minutes later nobody has.
    assert!(matches!(world.ledger().migrate_suppressions().await.unwrap(), Migrated::TooSoon { .. }));
    world.later(SignedDuration::from_hours(1));
    assert_eq!(world.ledger().migrate_suppressions().await.unwrap(), Migrated::Done { entries: 3 });
    for id in [5, 6, 7] {
        assert_eq!(read_by_an_older_build(&world, id).await, None);
    }
    assert_eq!(skipped(&world, "three", "service").await, all);
    enter(&world, 8, Suppression::Operator).await;
    let mut entries = Vec::new();
    for part in 0..=u8::MAX {
        entries.extend(world.ledger().suppressed_part(part).await.unwrap());
    }
    assert!(entries.len() == 4 && entries.iter().all(|entry| entry.keyed), "{entries:?}");
    assert!(entries.iter().all(|entry| DIGESTS.iter().all(|(_, digest)| entry.digest != *digest)));
    let bounced = world.ledger().suppression_of(&user(5)).await.unwrap().unwrap();
    assert_eq!(bounced.causes[&Suppression::Bounced].source, "broadcast older");

    // One was not upgraded after all.
    entered_by_an_older_build(&world, 6, "bounced").await;
    let expected = map([("5 6", "bounced"), ("7", "unsubscribed"), ("8", "suppressed")]);
    assert_eq!(skipped(&world, "four", "service").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_holds_against_all_but_a_legal_notice_and_a_dead_address_against_all() {
    let world = of_twenty().await;
    for (id, why) in [(5, Suppression::Complained), (6, Suppression::Operator), (7, Suppression::Unsubscribed), (8, Suppression::Bounced)] {
        enter(&world, id, why).await;
    }
    // A complaint that comes after a bounce takes nothing of it away, nor does a bounce of a complaint.
    enter(&world, 8, Suppression::Complained).await;
    enter(&world, 5, Suppression::Complained).await;
    let all = map([("8", "bounced"), ("5", "complained"), ("7", "unsubscribed"), ("6", "suppressed")]);
    assert_eq!(skipped(&world, "news", "service").await, all);
    assert_eq!(skipped(&world, "terms", "legal_notice").await, map([("8", "bounced")]));
    // A new table never had a plain digest.
    assert_eq!(read_by_an_older_build(&world, 5).await, None);

    let kim = "Kim".parse().unwrap();
    assert_eq!(world.ledger().unsuppress(&user(8), &kim, "a new mailbox").await.unwrap(), Unsuppressed::Done);
    assert_eq!(world.ledger().unsuppress(&user(8), &kim, "again").await.unwrap(), Unsuppressed::NotOnIt);
    let removed = world.ledger().suppression_of(&user(8)).await.unwrap().unwrap();
    assert!(removed.causes.is_empty() && removed.removed.unwrap().reason.as_deref() == Some("a new mailbox"));
    assert_eq!(skipped(&world, "more", "legal_notice").await, map([]));
    enter(&world, 8, Suppression::Bounced).await;
    assert_eq!(skipped(&world, "last", "legal_notice").await, map([("8", "bounced")]));
}

/// An order that takes long, or that the SDK repeats, takes nothing from the list that somebody has entered since.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_entered_while_somebody_takes_them_from_the_list_stays_on_it() {
    // The SDK repeats what has no answer after a third of it: time for whoever enters them.
    let options = WorldOptions::default();
    let timing = Timing { ledger: Duration::from_secs(12), ..options.timing };
    let world = World::new(WorldOptions { timing, ..options }).await;
    let kim: Actor = "Kim".parse().unwrap();
    enter(&world, 8, Suppression::Unsubscribed).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::HangBefore).holding("last_removal = :removed").times(1));
    let mut hanging = world.cloud.hanging();
    let (ledger, late_kim) = (world.ledger(), kim.clone());
    let late = tokio::spawn(async move { ledger.unsuppress(&user(8), &late_kim, "asked for it").await });
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    assert_eq!(world.ledger().unsuppress(&user(8), &kim, "asked for it").await.unwrap(), Unsuppressed::Done);
    enter(&world, 8, Suppression::Complained).await;
    let late = late.await.unwrap().unwrap();
    let causes: Vec<Suppression> = world.ledger().suppression_of(&user(8)).await.unwrap().unwrap().causes.into_keys().collect();
    assert_eq!((causes, late), (vec![Suppression::Complained], Unsuppressed::ChangedSince));
    // One whose answer is lost is done once.
    world.cloud.inject(Rule::every("UpdateItem", Fault::ResetAfter).holding("last_removal = :removed").times(1));
    assert_eq!(world.ledger().unsuppress(&user(8), &kim, "a mistake").await.unwrap(), Unsuppressed::Done);
}

/// A wish is somebody's, and a bounce an address's alone.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_said_a_wish_by_one_of_their_addresses_is_mailed_by_none_of_them() {
    let address = |name: &str| format!("{name}@example.com");
    let mut lines: Vec<String> = [
        // Of each the row that would be mailed is the first in the order of bytes.
        ("1", "a1 plain"),
        ("1", "b1 unsubscribed"),
        ("2", "a2 unsubscribed"),
        ("2", "b2 plain"),
        ("3", "a3 plain"),
        ("3", "b3 complained"),
        ("4", "a4 plain"),
        ("4", "b4 operator"),
        ("5", "a5 bounced"),
        ("5", "b5 plain"),
        ("6", "a6 plain"),
        ("6", "b6 bounced"),
        ("7", "a7 bounced"),
        ("7", "b7 plain"),
        ("7", "c7 unsubscribed"),
    ]
    .map(|(key, row)| format!("{key},{},N", address(row.split(' ').next().unwrap())))
    .into();
    // Its wish stands behind more rows than are read at once, all but one of which differ in their column alone.
    lines.extend((0..2_500).map(|row| format!("8,{},{row}", address("a8"))));
    lines.push(format!("8,{},N", address("b8")));
    // The same address under another key is another user's: of that nobody has said anything.
    lines.push(format!("9,{},N", address("a1")));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    for (number, unique_by) in [None, Some(UniqueBy::Address), None].into_iter().enumerate() {
        lines.reverse();
        std::fs::write(&file, format!("id,email,name\n{}\n", lines.join("\n"))).unwrap();
        let mut world = of_twenty().await;
        // The third time it is said of so many others, too, that the list is larger than the audience, and is not read.
        let others = (0..if number == 2 { 3_000 } else { 0 }).map(|other| (format!("o{other}"), Suppression::Bounced));
        let said = [("b1", Suppression::Unsubscribed), ("a2", Suppression::Unsubscribed), ("b3", Suppression::Complained)].into_iter();
        let said = said.chain([("b4", Suppression::Operator), ("a5", Suppression::Bounced), ("b6", Suppression::Bounced)]);
        let said = said.chain([("a7", Suppression::Bounced), ("c7", Suppression::Unsubscribed), ("b8", Suppression::Unsubscribed)]);
        let entries = said.map(|(name, why)| (name.to_owned(), why)).chain(others).map(|(name, why)| {
            let (since, source, entered_by) = (world.now(), "an operator".to_owned(), "Kim".to_owned());
            (address(&name).parse().unwrap(), why, Cause { since, entered_at: since, source, entered_by, reason: None })
        });
        world.ledger().enter_suppressed(entries.collect::<Vec<_>>()).await.unwrap();
        let file = Some(file.display().to_string());
        let audience = AudienceConfig { file, url: None, table: None, unique_by, ..world.users.audience() };
        let of_service = command("news", |_| {});
        let forecast = survey(&of_service, &audience, &world.ledger(), &std::env::temp_dir(), &Progress::default()).await.unwrap();
        world.audiences.insert("users".to_owned(), audience);
        let wishes = [("3", "complained"), ("1 2 7", "unsubscribed"), ("4", "suppressed"), ("5 6", "duplicate_key")];
        assert_eq!(skipped(&world, "news", "service").await, map(wishes), "{unique_by:?}");
        assert_eq!((forecast.mailable, forecast.rows), (3, 2_517), "{unique_by:?}");
        assert_eq!(forecast.skipped[&SkipReason::Unsubscribed].rows, 2 + 2 + 3 + 2_501, "{unique_by:?}");
        let mailed: Vec<String> =
            world.outcomes("news").await.into_iter().map(|outcome| outcome.recipient.unwrap().address.as_str().to_owned()).collect();
        assert_eq!(mailed, ["b5", "a6", "a1"].map(address), "{unique_by:?}");
        // The law wants it told to everybody; where each address is mailed once, the ninth is the first.
        let told = skipped(&world, "terms", "legal_notice").await;
        let twice = if unique_by.is_some() { Some("duplicate_address".to_owned()) } else { None };
        assert_eq!((told.get("1 2 3"), told.get("9").cloned()), (Some(&"duplicate_key".to_owned()), twice));
    }
}

/// So many that the list is read once, and not asked about each.
async fn of_three_thousand() -> World {
    let timing = Timing { ledger: Duration::from_secs(15), ..WorldOptions::default().timing };
    World::new(WorldOptions { users: 3_000, page_size: 500, chunk_size: 50, timing, ..WorldOptions::default() }).await
}

fn calls(world: &World, operation: &str) -> u64 {
    world.cloud.counts().into_iter().filter(|((_, name), _)| name == operation).map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_smaller_than_the_audience_is_read_once_and_not_for_each_page() {
    let world = of_three_thousand().await;
    of_an_older_ledger(&world).await;
    entered_by_an_older_build(&world, 5, "bounced").await;
    enter(&world, 6, Suppression::Complained).await;
    let before = (calls(&world, "BatchGetItem"), calls(&world, "Query"));
    world.post_command(&command("terms", |_| {})).await;
    let frozen = world.run_until("terms", 0, |broadcast| broadcast.pages == 6).await;
    let skipped = world.ledger().skipped_by_reason(&frozen).await.unwrap();
    let skipped = skipped.into_iter().map(|(reason, rows)| (rows.examples.join(" "), reason.to_string())).collect::<BTreeMap<_, _>>();
    assert_eq!(skipped, map([("5", "bounced"), ("6", "complained")]));
    let (looked_up, read) = (calls(&world, "BatchGetItem") - before.0, calls(&world, "Query") - before.1);
    // One look for each page, and one look-up for each of the two that were found.
    assert!(looked_up <= 12, "{looked_up}");
    assert!((256..300).contains(&read), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_entered_while_an_audience_is_frozen_is_in_none_of_the_pages_to_come() {
    let world = of_three_thousand().await;
    enter(&world, 8, Suppression::Bounced).await;
    // The write of the second page hangs until it is tried again. The third is judged before.
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::HangBefore).holding("salted_body").after(1).times(1));
    let mut hanging = world.cloud.hanging();
    world.post_command(&command("terms", |_| {})).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    hanging.wait_for(|calls| *calls > 0).await.unwrap();
    // In the order of bytes they are in the first page, in the third and in the last.
    for id in [1, 2079, 999] {
        enter(&world, id, Suppression::Bounced).await;
    }
    let frozen = world.wait_until("terms", |broadcast| broadcast.pages == 6).await;
    stop.cancel();
    services.join_all().await;
    let skipped = world.ledger().skipped_by_reason(&frozen).await.unwrap();
    assert_eq!(skipped[&SkipReason::Bounced].examples, ["2079", "8", "999"]);
    assert_eq!(frozen.reading.unwrap().readings, 1);
}

#[tokio::test]
async fn what_an_older_build_enters_is_seen_when_the_list_is_read_anew() {
    let world = of_three_thousand().await;
    enter(&world, 6, Suppression::Complained).await;
    let mut list = world.ledger().suppressions(3_000);
    assert!(!list.look().await.unwrap());
    assert!(list.sieve().may_hold(&user(6)) && !list.sieve().may_hold(&user(5)));
    // Nobody was entered since.
    assert!(list.look().await.unwrap());
    entered_by_an_older_build(&world, 5, "bounced").await;
    enter(&world, 7, Suppression::Operator).await;
    assert!(!list.look().await.unwrap());
    assert!(list.sieve().may_hold(&user(7)) && list.sieve().may_hold(&user(6)));
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(5)).await;
    tokio::time::resume();
    assert!(!list.look().await.unwrap());
    assert!(list.sieve().may_hold(&user(5)) && list.sieve().may_hold(&user(7)));
    assert_eq!(list.suppressed(&[&user(5), &user(8), &user(7)]).await.unwrap().into_keys().max(), Some(2));
}
