//! Words for each kind of recipient, and what a letter says where a row lacks something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use issei_certificate::Judgement;
use issei_ledger::BroadcastState;
use issei_producer::AudienceConfig;
use issei_schema::BroadcastCommand;
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::{Value, json};

use crate::again::refused;

fn small() -> WorldOptions {
    WorldOptions { users: 120, page_size: 60, chunk_size: 10, ..WorldOptions::default() }
}

fn saying(id: &str, content: &Value) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "legal_notice".into();
        command["content"] = content.clone();
    })
}

/// A world whose users have a role and a language: a third are mechanics, and half read Japanese.
async fn workshop(options: WorldOptions) -> World {
    let mut world = World::new(options).await;
    for statement in [
        "ALTER TABLE users ADD COLUMN role TEXT",
        "ALTER TABLE users ADD COLUMN locale TEXT",
        "ALTER TABLE users ADD COLUMN car TEXT",
        "UPDATE users SET role = CASE id % 3 WHEN 0 THEN 'mechanic' ELSE 'customer' END",
        "UPDATE users SET locale = CASE id % 2 WHEN 0 THEN 'ja' ELSE 'en' END",
        "UPDATE users SET car = 'Mini' WHERE id % 5 = 0",
    ] {
        world.users.execute(statement).await;
    }
    let query = "SELECT id, email, name, car, role || '-' || locale AS kind FROM users";
    let columns = ["name", "kind", "car"].map(str::to_owned).to_vec();
    world
        .audiences
        .insert("users".to_owned(), AudienceConfig { table: None, query: Some(query.to_owned()), columns, ..world.users.audience() });
    world
}

fn of_the_workshop() -> Value {
    let words = |subject: &str, text: &str| json!({ "subject": subject, "text": text });
    json!({ "variants": { "by": "kind", "of": {
        "customer-ja": words("規約の変更", "{{name}}様{{#if car}}、お車は{{car}}です{{/if}}"),
        "customer-en": words("Our terms change", "Dear {{name}}{{#if car}}, you drive a {{car}}{{/if}}"),
        "mechanic-ja": words("整備士の皆様へ", "{{name | \"整備士\"}}様"),
        "mechanic-en": words("To our mechanics", "Dear {{name | \"mechanic\"}}"),
    } } })
}

/// What a certificate finds wrong with the ledger.
async fn odd(world: &World, id: &str) -> Vec<String> {
    let (ledger, broadcast) = (world.ledger(), world.broadcast(id).await);
    let findings = issei_certificate::what_the_ledger_holds(&ledger, &broadcast, Duration::ZERO, world.now()).await;
    findings
        .into_iter()
        .filter(|finding| finding.judgement != Judgement::Holds)
        .map(|finding| format!("{}: {}", finding.what, finding.value))
        .collect()
}

/// The story of the terms that were for two kinds of users.
#[tokio::test(flavor = "multi_thread")]
async fn customers_and_mechanics_get_their_own_words_in_their_own_language_in_one_broadcast() {
    let world = workshop(small()).await;
    world.users.execute("UPDATE users SET name = NULL WHERE role = 'mechanic' AND id > 100").await;
    world.post_command(&saying("terms", &of_the_workshop())).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.recipients, broadcast.skipped), (BroadcastState::Complete, 120, 0));
    assert_eq!(odd(&world, "terms").await, Vec::<String>::new());
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    for mail in world.cloud.mails().unwrap() {
        let id: u32 = mail.address.trim_start_matches("user").split('@').next().unwrap().parse().unwrap();
        let (name, car) = (format!("User {id}"), id.is_multiple_of(5));
        let expected = match (id.is_multiple_of(3), id.is_multiple_of(2)) {
            (false, true) => ("規約の変更", format!("{name}様{}", if car { "、お車はMiniです" } else { "" })),
            (false, false) => ("Our terms change", format!("Dear {name}{}", if car { ", you drive a Mini" } else { "" })),
            (true, true) => ("整備士の皆様へ", format!("{}様", if id > 100 { "整備士" } else { &name })),
            (true, false) => ("To our mechanics", format!("Dear {}", if id > 100 { "mechanic" } else { &name })),
        };
        assert_eq!((mail.subject.as_str(), mail.text), (expected.0, expected.1));
    }
}

/// A call to the provider carries one content, so whoever is in one chunk gets the same words.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_has_one_kind_of_recipients_and_the_canary_is_the_first_of_the_audience() {
    let world = workshop(small()).await;
    let mut command = saying("terms", &of_the_workshop());
    command.canary = std::num::NonZeroU64::new(7).map(issei_schema::Canary::First);
    world.post_command(&command).await;
    let holding = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let sent: BTreeSet<String> = world.cloud.mails().unwrap().into_iter().map(|mail| mail.address).collect();
    let first: BTreeSet<String> = [1, 10, 100, 101, 102, 103, 104].map(|id| format!("user{id:06}@example.com")).into();
    assert_eq!(sent, first, "in the order of the bytes of their keys");
    let mut chunks = 0;
    for seq in 0..holding.pages {
        for (_, recipients) in world.ledger().page(&holding.placed(), seq).await.unwrap().chunks() {
            let kinds: BTreeMap<&str, usize> = recipients.iter().flatten().map(|recipient| (recipient.data["kind"].as_str(), 0)).collect();
            assert_eq!(kinds.len(), 1, "{kinds:?}");
            chunks += 1;
        }
    }
    // 113 recipients in chunks of ten, of four kinds in two pages, and the canary's own.
    assert!(chunks <= 4 + 12 + 2 * 4, "{chunks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_words_or_no_safe_link_is_skipped_before_the_first_send_with_that_reason() {
    let world = workshop(WorldOptions { skipped_share_max: 1.0, ..small() }).await;
    world.users.execute("UPDATE users SET locale = 'fr' WHERE id = 1").await;
    world.users.execute("UPDATE users SET locale = NULL WHERE id = 2").await;
    world.users.execute("UPDATE users SET car = 'javascript:alert(1)' WHERE id <> 4").await;
    world.users.execute("UPDATE users SET car = 'https://example.com/4' WHERE id = 4").await;
    let words = |html: &str| json!({ "subject": "x", "html": html });
    let of = json!({
        "customer-ja": words("<a href=\"{{car}}\">{{name}}</a>"), "customer-en": words("<p>{{name}}</p>"),
        "mechanic-ja": words("<p>{{name}}</p>"), "mechanic-en": words("<p>{{name}}</p>"),
    });
    world.post_command(&saying("terms", &json!({ "variants": { "by": "kind", "of": of } }))).await;
    let done = world.run_to_the_end("terms").await;
    let skipped = world.ledger().skipped_by_reason(&done).await.unwrap();
    let skipped: Vec<_> = skipped.into_iter().map(|(reason, rows)| (reason.to_string(), rows.rows)).collect();
    // Of the 40 customers who read Japanese one has no language, and one a link.
    assert_eq!(skipped, [("unsafe_link".to_owned(), 38), ("no_variant".to_owned(), 2)]);
    let linked = world.cloud.mails().unwrap().into_iter().find(|mail| mail.html.contains("href")).unwrap();
    assert_eq!(linked.html, "<a href=\"https://example.com/4\">User 4</a>");
}

/// A flag of SQLite is 0 or 1, and whoever has none is told nothing of a plan; whoever would see nothing at all is not mailed.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_none_for_a_condition_and_a_blank_part_is_nobodys_letter() {
    let world = workshop(WorldOptions { skipped_share_max: 1.0, ..small() }).await;
    world.users.execute("UPDATE users SET car = '0' WHERE id <= 40").await;
    world.users.execute("UPDATE users SET car = '1' WHERE id > 40").await;
    let says = json!({ "inline": { "subject": "x", "text": "{{#if car}}Your plan{{else}}No plan{{/if}}" } });
    world.post_command(&saying("plans", &says)).await;
    world.run_to_the_end("plans").await;
    let of = |text: &str| world.cloud.mails().unwrap().iter().filter(|mail| mail.text == text).count();
    assert_eq!((of("Your plan"), of("No plan")), (80, 40));

    let blank =
        json!({ "inline": { "subject": "y", "text": "Terms", "html": "<html><body>{{#if car}}<p>Your plan</p>{{/if}}</body></html>" } });
    world.post_command(&saying("blank", &blank)).await;
    let done = world.run_to_the_end("blank").await;
    let skipped = world.ledger().skipped_by_reason(&done).await.unwrap();
    assert_eq!(
        skipped.into_iter().map(|(reason, rows)| (reason.to_string(), rows.rows)).collect::<Vec<_>>(),
        [("data_missing".to_owned(), 40)]
    );
    let nothing = json!({ "inline": { "subject": "z", "text": "Terms", "html": "<p>&nbsp;</p>" } });
    let why = refused(&world, &saying("nothing", &nothing)).await;
    assert!(why.contains("field `content.inline.html`: has no text that is seen, and no picture"), "{why}");
}

/// What can't be written safely is refused before anybody is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_a_script_refuses_the_command_with_its_part() {
    let world = workshop(small()).await;
    let command = saying("terms", &json!({ "inline": { "subject": "x", "html": "<script>f('{{name}}')</script>" } }));
    let reason = refused(&world, &command).await;
    assert!(reason.starts_with("field `content.inline.html`: has `{{name}}` in a script or a style"), "{reason}");
}

/// The commands queue orders mail to the audiences, and by a copy to nobody else but the sender's own people.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_to_a_stranger_is_refused_by_the_producer_and_one_to_a_tester_is_sent() {
    let world = World::new(small()).await;
    let copy = |id: &str, to: &str| {
        command(id, |command| {
            command["version"] = 2.into();
            command["class"] = "service".into();
            command["max_recipients"] = 1.into();
            command["test_copy"] = json!({ "to": to, "data": { "name": "Ann" } });
        })
    };
    let reason = refused(&world, &copy("copy-1", "stranger@example.net")).await;
    assert!(reason.starts_with("field `test_copy.to`: the address is neither in the sender's domain"), "{reason}");
    for (id, to) in [("copy-2", "ann@tester.example.org"), ("copy-3", "ann@EXAMPLE.com")] {
        world.post_command(&copy(id, to)).await;
        let done = world.run_to_the_end(id).await;
        assert_eq!((done.recipients, done.broadcast_state), (1, BroadcastState::Complete));
    }
    let sent: Vec<_> = world.cloud.mails().unwrap().into_iter().map(|mail| (mail.address, mail.subject)).collect();
    assert_eq!(sent[0], ("ann@tester.example.org".to_owned(), "[Test] Terms of copy-2 for Ann".to_owned()));
    assert_eq!(sent.len(), 2);
}
