//! A broadcast that was taken, and whose audience is configured otherwise by the time it is to be frozen: what keeps it is
//! told as what it is, and once that is put back it goes on.

use issei_clock::Dice;
use issei_ledger::{Asked, BroadcastState, ReasonCode};
use issei_producer::AudienceConfig;
use issei_schema::BroadcastCommand;
use issei_test_support::{World, WorldOptions, command, judge, until};
use serde_json::{Value, json};

fn taken(id: &str, change: impl FnOnce(&mut Value)) -> BroadcastCommand {
    command(id, |command| {
        (command["version"], command["class"], command["again"]) = (json!(2), json!("service"), json!("a test"));
        change(command);
    })
}

/// What is configured when the command comes, what later, the command, and what is said then.
struct Case {
    id: &'static str,
    good: AudienceConfig,
    later: Option<AudienceConfig>,
    command: BroadcastCommand,
    says: (ReasonCode, &'static str),
}

fn cases(users: &AudienceConfig) -> Vec<Case> {
    let with = |columns: &[&str]| AudienceConfig { columns: columns.iter().copied().map(str::to_owned).collect(), ..users.clone() };
    let variants = json!({ "variants": { "by": "kind", "of": { "a": { "subject": "Terms", "text": "Dear {{name}}" } } } });
    let way_out = |command: &mut Value, unsubscribe: Value| {
        command["unsubscribe"] = unsubscribe;
        command["content"]["inline"]["text"] = json!("Dear {{name}}, {{unsubscribe_url}}");
    };
    let changed = ReasonCode::HeldUpAudienceChanged;
    vec![
        Case {
            id: "gone",
            good: with(&["name"]),
            later: None,
            command: taken("gone", |_| {}),
            says: (ReasonCode::HeldUpNotConfigured, "the audience `users` is no longer in the producer's configuration"),
        },
        Case {
            id: "column",
            good: with(&["name", "kind"]),
            later: Some(with(&["kind"])),
            command: taken("column", |_| {}),
            says: (changed, "it has no column `name`, which the content needs (it has `kind`); put that back into its `columns`"),
        },
        Case {
            id: "variants",
            good: with(&["name", "kind"]),
            later: Some(with(&["name"])),
            command: taken("variants", |command| command["content"] = variants),
            says: (changed, "it has no column `kind`, whose value chooses the words; put that back into its `columns`"),
        },
        Case {
            id: "way-out",
            good: with(&["name", "way"]),
            later: Some(with(&["name"])),
            command: taken("way-out", |command| command["unsubscribe"] = json!({ "column": "way" })),
            says: (changed, "it has no column `way`, in which the command has the URLs to unsubscribe"),
        },
        Case {
            id: "reserved",
            good: with(&["name", "way"]),
            later: Some(with(&["name", "way", "unsubscribe_url"])),
            command: taken("reserved", |command| way_out(command, json!({ "column": "way" }))),
            says: (changed, "it has a column `unsubscribe_url`, which is also the name by which the content has the URL"),
        },
        Case {
            id: "marketing",
            good: AudienceConfig { marketing_filter: Some("kind = 'a'".to_owned()), ..with(&["name", "way"]) },
            later: Some(with(&["name", "way"])),
            command: taken("marketing", |command| {
                command["class"] = json!("marketing");
                command["unsubscribe"] = json!({ "column": "way" });
            }),
            says: (changed, "it does not say who wants marketing, and the command is `marketing`; put its `marketing_filter` back"),
        },
    ]
}

fn small() -> WorldOptions {
    WorldOptions { users: 20, page_size: 10, chunk_size: 5, max_receives: 100, ..WorldOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_for_the_id_of_a_broadcast_that_is_held_up_is_refused_and_changes_nothing() {
    let mut world = World::new(small()).await;
    let (ours, other) = (taken("terms", |_| {}), taken("terms", |command| command["content"]["inline"]["subject"] = json!("Other words")));
    world.ledger().register(&ours, 5, false, &Asked::default(), &Dice::system()).await.unwrap();
    let good = std::mem::take(&mut world.audiences);
    world.post_command(&other).await;
    let refused = async |world: &World| world.queue("commands").await.depths().await.unwrap()[2] == 1;
    let stop = tokio_util::sync::CancellationToken::new();
    let services = world.start(&stop).await;
    until("it is refused", async || refused(&world).await).await;
    stop.cancel();
    services.join_all().await;
    assert!(world.ledger().refused(&other.broadcast_id).await.unwrap().unwrap().reason.contains("no audience `users`"));
    world.audiences = good;
    world.post_command(&ours).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    assert!(world.cloud.mails().unwrap().iter().all(|mail| mail.subject.starts_with("Terms for ")));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_configured_otherwise_since_a_command_was_taken_is_told_as_what_it_is_and_put_back_it_goes_on() {
    let mut world = World::new(small()).await;
    for column in ["kind TEXT DEFAULT 'a'", "way TEXT DEFAULT 'https://app.example.com/u/1'", "unsubscribe_url TEXT DEFAULT 'x'"] {
        world.users.execute(&format!("ALTER TABLE users ADD COLUMN {column}")).await;
    }
    for Case { id, good, later, command, says: (code, words) } in cases(&world.users.audience()) {
        // The producer that has taken it has died since, and its message comes again.
        world.ledger().register(&command, 5, false, &Asked::default(), &Dice::system()).await.unwrap();
        world.audiences = later.map(|later| ("users".to_owned(), later)).into_iter().collect();
        world.post_command(&command).await;
        let broadcast = world.run_until(id, 1, |broadcast| broadcast.held_up.is_some()).await;
        assert_eq!(
            (broadcast.broadcast_state, broadcast.pages, judge(&world.cloud, id).total()),
            (BroadcastState::Enumerating, 0, 0),
            "{id}"
        );
        let held_up = broadcast.held_up.unwrap();
        assert_eq!(held_up.code, Some(code), "{id}: {}", held_up.reason);
        let next = format!("start the producer again, or `issei stop {id}`");
        assert!(held_up.reason.contains(words) && held_up.reason.contains(&next), "{id}: {}", held_up.reason);
        // It is this very command: none that was refused stands in the ledger, and none lies among the dead.
        assert!(world.ledger().refused(&command.broadcast_id).await.unwrap().is_none(), "{id}");
        assert_eq!(world.queue("commands").await.depths().await.unwrap()[2], 0, "{id}");

        world.audiences = [("users".to_owned(), good)].into();
        world.cloud.show_all_messages();
        let broadcast = world.run_to_the_end(id).await;
        assert_eq!((broadcast.broadcast_state, broadcast.held_up), (BroadcastState::Complete, None), "{id}");
        judge(&world.cloud, id).assert_each_once(world.addresses().await);
    }
}
