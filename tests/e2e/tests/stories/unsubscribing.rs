//! Unsubscribing with one click: the way out is each recipient's own, and nobody is mailed without it.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use issei_aws::AwsCall;
use issei_ledger::{BroadcastState, Transition};
use issei_producer::{AudienceConfig, Progress, UniqueBy, survey};
use issei_schema::{BroadcastCommand, Class, UnsubscribeKey, UnsubscribeKeys, UnsubscribeToken};
use issei_test_support::{World, WorldOptions, command, judge, until};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::databases::server;

fn small() -> WorldOptions {
    WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..WorldOptions::default() }
}

fn keys() -> UnsubscribeKeys {
    [("2026-11".parse().unwrap(), UnsubscribeKey::try_from("a key of a test, 32 bytes or more".to_owned()).unwrap())].into()
}

fn with(id: &str, unsubscribe: &Value) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["unsubscribe"] = unsubscribe.clone();
        command["content"]["inline"]["text"] = format!("{id}: dear {{{{name}}}}, unsubscribe at {{{{unsubscribe_url}}}}").into();
    })
}

fn link() -> Value {
    json!({ "url": "https://app.example.com/u?t={{token}}&from=mail", "key": "2026-11" })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mail_has_a_way_out_with_one_click_that_is_its_own_recipients() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    world.post_command(&with("terms", &link())).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let users = world.users.all().await;
    let mails = world.cloud.mails().unwrap();
    assert_eq!(mails.len(), 40);
    for mail in mails {
        let [(name, url), post] = <[_; 2]>::try_from(mail.headers).unwrap();
        assert_eq!(
            (name.as_str(), post),
            ("List-Unsubscribe", ("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()))
        );
        let url = url.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
        let token = url.strip_prefix("https://app.example.com/u?t=").unwrap().strip_suffix("&from=mail").unwrap();
        let said = UnsubscribeToken::read(token, &keys()).unwrap();
        let user = users.iter().find(|(_, address)| address.as_ref() == Some(&mail.address)).unwrap();
        assert_eq!(
            (said.recipient.as_str(), said.broadcast_id.as_str(), said.class),
            (user.0.to_string().as_str(), "terms", Class::Service)
        );
        assert!(mail.text.ends_with(&format!("unsubscribe at {url}")), "{}", mail.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_https_url_to_unsubscribe_by_is_skipped_with_that_reason() {
    let mut world = World::new(WorldOptions { skipped_share_max: 1.0, ..small() }).await;
    world.users.execute("ALTER TABLE users ADD COLUMN out TEXT").await;
    world.users.execute("UPDATE users SET out = 'https://app.example.com/u/' || id WHERE id > 3").await;
    world.users.execute("UPDATE users SET out = 'http://app.example.com/u/2' WHERE id = 2").await;
    world.users.execute("UPDATE users SET out = 'https://app.example.com/u>, <https://evil.example.com/' WHERE id = 3").await;
    let columns = vec!["name".to_owned(), "out".to_owned()];
    world.audiences.insert("users".to_owned(), AudienceConfig { columns, ..world.users.audience() });
    world.post_command(&with("terms", &json!({ "column": "out" }))).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.recipients, broadcast.skipped), (37, 3));
    let skipped = world.ledger().skipped_by_reason(&broadcast).await.unwrap();
    let skipped: Vec<_> = skipped.into_iter().map(|(reason, rows)| (reason.to_string(), rows.examples)).collect();
    assert_eq!(skipped, [("no_unsubscribe_url".to_owned(), ["1", "2", "3"].map(str::to_owned).to_vec())]);
    for mail in world.cloud.mails().unwrap() {
        let id = mail.address.trim_start_matches("user").split('@').next().unwrap().trim_start_matches('0');
        assert_eq!(mail.headers[0], ("List-Unsubscribe".to_owned(), format!("<https://app.example.com/u/{id}>")));
        assert!(mail.text.ends_with(&format!("unsubscribe at https://app.example.com/u/{id}")), "{}", mail.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_the_key_sends_nothing_without_the_way_out_and_pauses_with_the_reason() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    world.post_command(&with("terms", &link())).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    // As where a consumer's variable is not set.
    let keys = std::mem::take(&mut world.unsubscribe_keys);
    let paused = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    let reason = &paused.audit_trail.last().unwrap().reason;
    assert!(reason.contains("key `2026-11`") && reason.contains("[unsubscribe_keys]"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
    world.unsubscribe_keys = keys;
    let resumed = Transition { to: BroadcastState::Running, actor: &"a test".parse().unwrap(), reason: "the key is there" };
    world.ledger().transition(&"terms".parse().unwrap(), resumed).await.unwrap();
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(world.cloud.mails().unwrap().iter().all(|mail| mail.headers.len() == 2));
}

/// Whoever writes a letter with a way out wants to see it as it will be.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_way_out_of_its_letter() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    for (id, unsubscribe, data) in [
        ("by-url", link(), json!({ "name": "Ann" })),
        ("by-column", json!({ "column": "way_out" }), json!({ "name": "Ann", "way_out": "https://app.example.com/u/ann" })),
        (
            "by-its-name",
            json!({ "column": "unsubscribe_url" }),
            json!({ "name": "Ann", "unsubscribe_url": "https://app.example.com/u/ann" }),
        ),
    ] {
        let mut copy = serde_json::to_value(with(id, &unsubscribe)).unwrap();
        (copy["max_recipients"], copy["test_copy"]) = (1.into(), json!({ "to": "ann@example.com", "data": data }));
        world.post_command(&BroadcastCommand::parse(&copy.to_string()).unwrap()).await;
        assert_eq!(world.run_to_the_end(id).await.broadcast_state, BroadcastState::Complete, "{id}");
        let mail = world.cloud.mails().unwrap().pop().unwrap();
        let url = mail.headers[0].1.trim_matches(['<', '>']).to_owned();
        assert!(
            url.starts_with("https://app.example.com/u") && mail.text.ends_with(&format!("{id}: dear Ann, unsubscribe at {url}")),
            "{mail:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_settled_chunk_pauses_nothing_at_a_consumer_without_the_key() {
    let mut world = World::new(WorldOptions { users: 5, ..small() }).await;
    world.unsubscribe_keys = keys();
    world.post_command(&with("terms", &link())).await;
    let broadcast = world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let queue = world.queue("chunks").await;
    // Nobody looks whether it is complete.
    let sends = async |world: &World| {
        let stop = CancellationToken::new();
        let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
        until("no message is left, or it is paused", async || {
            queue.depths().await.unwrap()[..2] == [0, 0] || world.broadcast("terms").await.broadcast_state == BroadcastState::Paused
        })
        .await;
        stop.cancel();
        consumer.await.unwrap();
    };
    sends(&world).await;
    assert_eq!(world.cloud.accepted(), 5);
    world.unsubscribe_keys = UnsubscribeKeys::new();
    let copy = world.ledger().page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    queue.send(&copy.to_body(), Duration::ZERO).await.unwrap();
    sends(&world).await;
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Running, "its chunk needs no letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_out_that_the_configuration_lacks_is_refused_with_what_to_do() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    let columns = vec!["name".to_owned(), "unsubscribe_url".to_owned()];
    world.audiences.insert("with_urls".to_owned(), AudienceConfig { columns, ..world.users.audience() });
    for (id, audience, unsubscribe, field, says) in [
        ("a", "users", json!({ "url": "https://app.example.com/{{token}}", "key": "2025" }), "unsubscribe.key", "no key `2025`"),
        ("b", "users", json!({ "column": "out" }), "unsubscribe.column", "`out` is no column of the audience `users`"),
        ("c", "with_urls", link(), "unsubscribe", "has a column `unsubscribe_url`"),
    ] {
        let mut body: Value = serde_json::from_str(&with(id, &unsubscribe).to_body()).unwrap();
        body["audience"] = audience.into();
        world.post(&body.to_string()).await;
        let stop = CancellationToken::new();
        let services = world.start(&stop).await;
        world.assert_commands_drained().await;
        stop.cancel();
        services.join_all().await;
        let refused = world.dead_letters("commands").await;
        let (_, reason) = refused.last().unwrap();
        assert!(reason.starts_with(&format!("field `{field}`")) && reason.contains(says), "{reason}");
    }
    // Where the column is the way out, the two are one.
    let mut body: Value = serde_json::from_str(&with("d", &json!({ "column": "unsubscribe_url" })).to_body()).unwrap();
    body["audience"] = "with_urls".into();
    world.users.execute("ALTER TABLE users ADD COLUMN unsubscribe_url TEXT").await;
    world.users.execute("UPDATE users SET unsubscribe_url = 'https://app.example.com/u/' || id").await;
    world.post(&body.to_string()).await;
    assert_eq!(world.run_to_the_end("d").await.broadcast_state, BroadcastState::Complete);
}

fn offer(id: &str) -> BroadcastCommand {
    let mut body: Value = serde_json::from_str(&with(id, &link()).to_body()).unwrap();
    body["class"] = "marketing".into();
    BroadcastCommand::parse(&body.to_string()).unwrap()
}

async fn mailed(world: &World, id: &str) -> Vec<String> {
    world.post_command(&offer(id)).await;
    let broadcast = world.run_to_the_end(id).await;
    assert_eq!((broadcast.broadcast_state, broadcast.skipped), (BroadcastState::Complete, 0), "{:?}", broadcast.audit_trail);
    let tag = format!("broadcast={id} ");
    let mut mailed: Vec<String> =
        world.cloud.mails().unwrap().into_iter().filter(|mail| mail.tags.contains(&tag)).map(|mail| mail.address).collect();
    mailed.sort();
    mailed
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_reaches_only_whoever_wants_it_and_a_notice_everybody() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    world.users.execute("ALTER TABLE users ADD COLUMN newsletter INTEGER").await;
    world.users.execute("UPDATE users SET newsletter = 1 WHERE id IN (3, 5, 8)").await;
    world.users.execute("UPDATE users SET newsletter = 0 WHERE id > 20").await;
    let asked = |filter: Option<&str>, marketing: &str| AudienceConfig {
        filter: filter.map(str::to_owned),
        marketing_filter: Some(marketing.to_owned()),
        ..world.users.audience()
    };
    let user = |id: u32| format!("user{id:06}@example.com");
    let left_out = async |world: &World, command: &BroadcastCommand| {
        let forecast = survey(command, &world.audiences["users"], &world.ledger(), &std::env::temp_dir(), &Progress::default()).await;
        let forecast = forecast.unwrap();
        (forecast.rows, forecast.left_out)
    };
    world.audiences.insert("users".to_owned(), asked(None, "newsletter"));
    assert_eq!(left_out(&world, &offer("all")).await, (3, Some(37)));
    assert_eq!(mailed(&world, "all").await, [3, 5, 8].map(user));
    assert_eq!(world.broadcast("all").await.reading.unwrap().left_out, Some(37));
    // Neither an OR nor a comment of one filter lets anybody pass the other.
    world.audiences.insert("users".to_owned(), asked(Some("id < 5 OR id > 30 -- the new ones"), "newsletter = 1 OR 1 = 0 -- agreed"));
    assert_eq!(left_out(&world, &offer("some")).await, (1, Some(13)));
    assert_eq!(mailed(&world, "some").await, [user(3)]);
    // A condition that fails on a row that nobody reads: how many there are is not known then, and nobody is held up.
    world.users.execute("UPDATE users SET name = '{}' WHERE id = 3").await;
    world.audiences.insert("users".to_owned(), asked(Some("json(name) IS NOT NULL"), "id = 3"));
    assert_eq!(left_out(&world, &offer("one")).await, (1, None));
    world.audiences.insert("users".to_owned(), asked(Some("id < 8"), "newsletter = 7"));
    world.post_command(&offer("nobody")).await;
    let stopped = world.run_to_the_end("nobody").await;
    let reason = &stopped.decided().unwrap().reason;
    assert!(reason.starts_with("all 7 rows of the audience `users` are left out, since they are of those who want no"), "{reason}");
    world.audiences.insert("users".to_owned(), asked(None, "newsletter"));
    assert_eq!(left_out(&world, &with("terms", &link())).await, (40, None));
    world.post_command(&with("terms", &link())).await;
    assert_eq!(world.run_to_the_end("terms").await.recipients, 40);
}

/// Each database counts those who want no marketing in the snapshot in which it gives the others.
#[tokio::test(flavor = "multi_thread")]
async fn every_database_says_how_many_want_no_offer() {
    let of = |id: u32, wants: &str| format!("SELECT {id} AS id, 'user{id}@example.com' AS email, 'N' AS name, {wants} AS wants");
    let rows = [of(1, "1"), of(2, "0"), of(3, "NULL"), of(4, "0")].join(" UNION ALL ");
    for variable in ["ISSEI_TEST_POSTGRES_URL", "ISSEI_TEST_MYSQL_URL"] {
        let Some(url) = server(variable) else { continue };
        let world = World::new(small()).await;
        let audience = AudienceConfig {
            url: Some(url),
            table: None,
            query: Some(rows.clone()),
            filter: Some("id < 4 -- the old ones".to_owned()),
            marketing_filter: Some("wants = 1".to_owned()),
            ..world.users.audience()
        };
        let forecast = survey(&offer("offer"), &audience, &world.ledger(), &std::env::temp_dir(), &Progress::default()).await.unwrap();
        assert_eq!((forecast.rows, forecast.left_out), (1, Some(2)), "{variable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_an_offer_reaches_only_whoever_has_clearly_said_yes() {
    let directory = tempfile::tempdir().unwrap();
    let answers = ["true", "YES", "1", "", "false", "0", "no", "yes please", "null"];
    let csv = answers.iter().enumerate().map(|(at, answer)| format!("{at},user{at}@example.com,N,{answer}\n")).collect::<Vec<_>>().concat();
    let json = |at: usize, answer: &str| format!("{{\"id\":{at},\"email\":\"user{at}@example.com\",\"name\":\"N\"{answer}}}\n");
    let jsonl = [",\"wants\":true", ",\"wants\":1", ",\"wants\":\"yes\"", "", ",\"wants\":null", ",\"wants\":false", ",\"wants\":[true]"];
    let jsonl = jsonl.iter().enumerate().map(|(at, answer)| json(at, answer)).collect::<String>();
    for (name, text) in [("a.csv", format!("id,email,name,wants\n{csv}")), ("a.jsonl", jsonl)] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut world = World::new(small()).await;
        world.unsubscribe_keys = keys();
        let audience = AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
        world.audiences.insert("users".to_owned(), AudienceConfig { consent_column: Some("wants".to_owned()), ..audience });
        assert_eq!(mailed(&world, "offer").await, [0, 1, 2].map(|at| format!("user{at}@example.com")), "{name}");
        let reading = world.broadcast("offer").await.reading.unwrap();
        assert_eq!((reading.rows, reading.left_out), (3, Some(if name == "a.csv" { 6 } else { 4 })), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_agreed_by_one_of_their_rows_gets_no_offer_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    let rows = [
        ("1", "a1", "yes"),
        ("1", "b1", "no"),
        ("2", "a2", "yes"),
        ("2", "b2", "yes"),
        ("3", "a3", ""),
        ("3", "b3", "yes"),
        ("4", "a4", "no"),
    ];
    let rows = rows.map(|(key, address, wants)| format!("{key},{address}@example.com,N,{wants}\n"));
    std::fs::write(&file, format!("id,email,name,wants\n{}", rows.concat())).unwrap();
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    let audience = AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
    world.audiences.insert("users".to_owned(), AudienceConfig { consent_column: Some("wants".to_owned()), ..audience });
    world.options.skipped_share_max = 1.0;
    world.post_command(&offer("offer")).await;
    let broadcast = world.run_to_the_end("offer").await;
    let mailed: Vec<String> = world.cloud.mails().unwrap().into_iter().map(|mail| mail.address).collect();
    assert_eq!((mailed, broadcast.recipients), (vec!["a2@example.com".to_owned()], 1));
    // Who has agreed by no row is no part of it; who has by one, and not by another, is listed.
    let reading = broadcast.reading.as_ref().unwrap();
    assert_eq!((reading.rows, reading.counted), (4, 4));
    assert_eq!(broadcast.skipped_by, [("no_consent".to_owned(), 2), ("duplicate_key".to_owned(), 1)].into());
    // Of what is no offer nobody was asked.
    world.post_command(&with("terms", &link())).await;
    assert_eq!(world.run_to_the_end("terms").await.recipients, 4);
}

/// A table of orders, in which somebody has several: the address is the user, and a no by one order is a no by all of them.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_agreed_by_one_key_gets_no_offer_by_another_where_the_address_is_the_user() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    let rows = [
        "1,ann@example.com,Ann,yes",
        "2,bob@example.com,Bob,yes",
        "3,ann@Example.com,Ann,no",
        "4,carl@example.com,Carl,no",
        "5,carl@example.com,Carl,yes",
        // Without a key it is an answer all the same; and one that can't be read is none that agrees.
        ",dora@example.com,Dora,no",
        "6,dora@example.com,Dora,yes",
        "7,eve@example.com,Eve",
        "8,eve@example.com,Eve,yes",
    ];
    std::fs::write(&file, format!("id,email,name,wants\n{}\n", rows.join("\n"))).unwrap();
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    let audience = AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
    let audience = AudienceConfig {
        consent_column: Some("wants".to_owned()),
        unique_by: Some(UniqueBy::Address),
        allow_broken_rows: true,
        ..audience
    };
    world.audiences.insert("users".to_owned(), audience);
    world.options.skipped_share_max = 1.0;
    world.post_command(&offer("offer")).await;
    let broadcast = world.run_to_the_end("offer").await;
    let mailed: Vec<String> = world.cloud.mails().unwrap().into_iter().map(|mail| mail.address).collect();
    assert_eq!(mailed, ["bob@example.com"]);
    assert_eq!(broadcast.skipped_by, [("no_consent".to_owned(), 4), ("broken_row".to_owned(), 1)].into());
}

/// Nobody knows what it answers. Whoever it is of may have said no there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_a_no_for_every_other_row_of_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    let rows = [
        "1,a1@example.com,N,yes",
        // A comma that is not in quotes.
        "1,b1@example.com,N, the other,no",
        "2,a2@example.com,N,yes",
        "3,a3@example.com,N,yes",
        "3,b3@example.com",
        // Whose this is nobody can say.
        "\"4,b4@example.com,N,no",
        "4,a4@example.com,N,yes",
    ];
    std::fs::write(&file, format!("id,email,name,wants\n{}\n", rows.join("\n"))).unwrap();
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    let audience = AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
    let audience = AudienceConfig { consent_column: Some("wants".to_owned()), allow_broken_rows: true, ..audience };
    world.audiences.insert("users".to_owned(), audience);
    world.options.skipped_share_max = 1.0;
    world.post_command(&offer("offer")).await;
    let broadcast = world.run_to_the_end("offer").await;
    let mut mailed: Vec<String> = world.cloud.mails().unwrap().into_iter().map(|mail| mail.address).collect();
    mailed.sort();
    assert_eq!(mailed, ["a2@example.com", "a4@example.com"]);
    assert_eq!(broadcast.skipped_by, [("broken_row".to_owned(), 3), ("no_consent".to_owned(), 2)].into());
    // What is no offer goes to whoever can be read.
    world.post_command(&with("terms", &link())).await;
    assert_eq!(world.run_to_the_end("terms").await.recipients, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_of_dynamodb_an_offer_reaches_only_whoever_has_clearly_said_yes() {
    let Some(url) = server("ISSEI_TEST_AWS_URL") else { return };
    let db = issei_aws::connect_to(&url, None, &WorldOptions::default().timing).await.dynamodb;
    let table = format!("users-{}", issei_clock::Dice::system().token());
    let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::N).build().unwrap();
    let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let create = db.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(key).key_schema(schema).call().await.unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let [yes, no] = [true, false].map(AttributeValue::Bool);
    let [one, none] = ["1", "0"].map(|number| AttributeValue::N(number.to_owned()));
    let answers = [yes.clone(), text("YES"), one, no, none, text("no"), AttributeValue::L(vec![yes])];
    for (id, answer) in answers.into_iter().map(Some).chain([None]).enumerate() {
        let put = db.put_item().table_name(&table).item("id", AttributeValue::N(id.to_string())).item("name", text("N"));
        let put = put.item("email", text(&format!("user{id}@example.com")));
        answer.into_iter().fold(put, |put, answer| put.item("wants", answer)).call().await.unwrap();
    }
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    let audience = AudienceConfig {
        url: None,
        table: None,
        dynamodb_table: Some(table.clone()),
        dynamodb: Some(db.clone()),
        consent_column: Some("wants".to_owned()),
        ..world.users.audience()
    };
    world.audiences.insert("users".to_owned(), audience);
    assert_eq!(mailed(&world, "offer").await, [0, 1, 2].map(|id| format!("user{id}@example.com")));
    assert_eq!(world.broadcast("offer").await.reading.unwrap().left_out, Some(5));
    db.delete_table().table_name(&table).call().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_to_an_audience_that_does_not_say_who_wants_it_is_refused() {
    let mut world = World::new(small()).await;
    world.unsubscribe_keys = keys();
    // What is said of a file says nothing of a table.
    for (id, consent_column) in [("one", None), ("two", Some("newsletter".to_owned()))] {
        world.audiences.insert("users".to_owned(), AudienceConfig { consent_column, ..world.users.audience() });
        world.post_command(&offer(id)).await;
        let stop = CancellationToken::new();
        let services = world.start(&stop).await;
        world.assert_commands_drained().await;
        stop.cancel();
        services.join_all().await;
        let refused = world.dead_letters("commands").await;
        let (_, reason) = refused.last().unwrap();
        assert!(reason.starts_with("field `class`: is `marketing`") && reason.contains("marketing_filter"), "{reason}");
    }
    assert_eq!(world.cloud.accepted(), 0);
}
