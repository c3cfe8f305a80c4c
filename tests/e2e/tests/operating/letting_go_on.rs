//! Whoever lets a broadcast go on hears first what this build would not send of it, and not from its pause: a letter that an
//! earlier build took and that is refused since, a row that it froze, a template that is another by now.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::BroadcastCommand;
use issei_sim::Account;
use issei_test_support::{Processes, command_body, older};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of, lets_go_on};

fn held(id: &str, change: impl FnOnce(&mut Value)) -> String {
    command_body(id, |command| {
        (command["version"], command["class"]) = (2.into(), "service".into());
        (command["hold"], command["again"]) = (true.into(), "a test".into());
        change(command);
    })
}

fn with_link(id: &str, link: &str) -> String {
    held(id, |command| command["content"]["inline"]["html"] = format!("<p>Dear {{{{name}}}}</p><a href=\"{link}\">the terms</a>").into())
}

/// The state that a broadcast is in.
async fn state(world: &Processes, id: &str) -> Value {
    serde_json::from_str::<Value>(&world.run(&["status", id, "--json"]).await).unwrap()["state"].clone()
}

/// As if an earlier build had taken the second command and frozen what the first has.
async fn taken(world: &Processes, id: &str, first: &str, second: &str) {
    world.post("ISSEI_COMMANDS_QUEUE", first).await;
    world.wait_for(id, "holding").await;
    let (db, table) = world.table().await;
    older::took(&db, &table, &BroadcastCommand::parse(second).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_no_consumer_sends_is_neither_approved_nor_resumed_and_whoever_wants_to_is_told_why() {
    let world = Processes::simulated(20, Account::default()).await;
    let producer = world.start("producer");
    taken(&world, "terms", &with_link("terms", "https://example.com/{{name}}"), &with_link("terms", "https:{{name}}")).await;
    let says = [
        "after approve nobody would be sent to",
        "field `content.inline.html`: has `{{name}}` in a link before its host",
        "`issei stop terms`",
        "`issei resend terms --as NEW_ID`",
    ];
    for arguments in [&["approve", "terms"][..], &["approve", "terms", "--reason", "it reads well"]] {
        for json in [false, true] {
            let (code, output, error) = world.try_run(&[if json { &["--json"][..] } else { &[] }, arguments].concat()).await;
            assert!(code == Some(3) && output.is_empty() && says.iter().all(|says| error.contains(says)), "{arguments:?}: {output}{error}");
        }
    }
    let shown = world.run(&["show", "terms"]).await;
    assert!(shown.contains("\nNOT SENT: an earlier build of issei took this letter"), "{shown}");
    // So it is in the console, before anything is typed.
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/b/terms").await;
    for place in ["id=\"unsendable\"", "id=\"unsendable-approve\"", "no consumer of this one sends it"] {
        assert!(page.contains(place), "{place}: {page}");
    }
    let answer = door.post("/b/terms/approve", &format!("csrf={}&reason=well&confirm=terms", csrf_of(&page))).await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("nobody would be sent to"), "{answer}");
    assert_eq!(state(&world, "terms").await, "holding");

    // Once it is sendable, and then is not while it is paused.
    let (db, table) = world.table().await;
    older::took(&db, &table, &BroadcastCommand::parse(&with_link("terms", "https://example.com/{{name}}")).unwrap()).await;
    let page = door.get("/b/terms").await;
    assert!(!page.contains("id=\"unsendable"), "{page}");
    console.end().await;
    let (code, _, error) = world.try_run(&["approve", "terms", "--reason", "it reads well"]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    world.run(&["pause", "terms", "--reason", "lunch"]).await;
    older::took(&db, &table, &BroadcastCommand::parse(&with_link("terms", "/{{name}}")).unwrap()).await;
    let (code, _, error) = world.try_run(&["resume", "terms", "--reason", "coffee"]).await;
    assert!(code == Some(3) && error.contains("after resume nobody would be sent to") && error.contains("before its host"), "{error}");
    assert_eq!((state(&world, "terms").await, world.cloud.accepted()), (json!("paused"), 0));

    // One variant that is refused keeps all of them.
    let variants = |html: &str| {
        let words = |html: &str| json!({ "subject": "Terms", "html": html });
        let of = json!({ "User 3": words("<p>3</p>"), "others": words(html) });
        held("variants", |command| command["content"] = json!({ "variants": { "by": "name", "of": of, "fallback": "others" } }))
    };
    taken(&world, "variants", &variants("<p title=\"{{name}}\">"), &variants("<svg><set to=\"{{name}}\"/></svg>")).await;
    let (code, _, error) = world.try_run(&["approve", "variants", "--reason", "read"]).await;
    let says = ["field `content.variants.of.others.html`: has `{{name}}` in an attribute that may hold a link", "`issei stop variants`"];
    assert!(code == Some(3) && says.iter().all(|says| error.contains(says)), "{error}");
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_no_consumer_writes_to_are_counted_before_a_broadcast_goes_on() {
    let world = Processes::simulated(20, Account::default()).await;
    world.users.execute("UPDATE users SET name = CASE WHEN id IN (7, 9) THEN 'https:x' ELSE 'https://example.com/' || id END").await;
    let producer = world.start("producer");
    taken(&world, "some", &with_link("some", "https://example.com/?{{name}}"), &with_link("some", "{{name}}")).await;
    let says =
        ["2 of the 20 who are left", "the first has the key 7", "the column `name` begins a link", "`issei resend some --as NEW_ID`"];
    let (code, _, error) = world.try_run(&["approve", "some"]).await;
    assert!(code == Some(3) && error.contains("nothing was approved") && says.iter().all(|says| error.contains(says)), "{error}");
    let (code, output, error) = world.try_run(&["--json", "approve", "some", "--reason", "the others are many"]).await;
    assert!(code == Some(0) && says.iter().all(|says| error.contains(says)), "{output}{error}");
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["state"], "running");
    world.run(&["pause", "some", "--reason", "lunch"]).await;
    let (code, _, error) = world.try_run(&["resume", "some", "--reason", "coffee"]).await;
    assert!(code == Some(0) && says.iter().all(|says| error.contains(says)), "{error}");

    world.users.execute("UPDATE users SET name = 'https:x'").await;
    taken(&world, "all", &with_link("all", "https://example.com/?{{name}}"), &with_link("all", "{{name}}")).await;
    let (code, _, error) = world.try_run(&["approve", "all", "--reason", "read"]).await;
    assert!(code == Some(3) && error.contains("does not write to everybody who is left") && error.contains("nothing was done"), "{error}");
    assert_eq!(state(&world, "all").await, "holding");
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_an_earlier_build_did_not_read_and_that_is_another_by_now_is_not_approved() {
    let world = Processes::simulated(20, Account::default()).await;
    let store = |text: &str| {
        let template = json!({ "Subject": "Terms", "Text": text });
        world.cloud.configure(|account| _ = account.templates.insert("terms".to_owned(), template));
    };
    store("Dear {{name}}");
    let template = issei_schema::StoredTemplate { subject: "Terms".to_owned(), text: Some("Dear {{name}}".to_owned()), html: None };
    let content = json!({ "template": { "name": "terms", "sha256": template.hash().unwrap() } });
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &held("terms", |command| command["content"] = content)).await;
    world.wait_for("terms", "holding").await;
    let (db, table) = world.table().await;
    for (item, attribute) in [("command", "template"), ("broadcast", "template_hash")] {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = db.update_item().table_name(&table).key("pk", text("b#terms")).key("sk", text(item));
        update.update_expression(format!("REMOVE {attribute}")).call().await.unwrap();
    }
    store("Dear {{name}}, something else");
    let approve = ["approve", "terms", "--reason", "read"];
    let (code, _, error) = world.try_run(&approve).await;
    let says = ["without what its template `terms` said", "the command is for the template with the hash", "`issei stop terms`"];
    assert!(code == Some(3) && says.iter().all(|says| error.contains(says)), "{error}");
    world.cloud.configure(|account| _ = account.templates.remove("terms"));
    let (code, _, error) = world.try_run(&approve).await;
    assert!(code == Some(3) && error.contains("SES stores none of this name"), "{error}");
    assert_eq!(state(&world, "terms").await, "holding");
    // As it was, it may go on.
    store("Dear {{name}}");
    let (code, _, error) = world.try_run(&approve).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    producer.end().await;
}

/// A browser sends a form once more when its page is loaded again, and a page may be as old as the tab that has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_once_more_lets_nothing_go_on_that_its_page_has_not_shown() {
    let world = Processes::new(20, Account { max_send_rate: 20.0, ..Account::default() }).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let body = command_body("terms", |body| (body["canary"], body["audience"]) = (json!(5), json!("rehearsal-6000")));
    let command = world.write("command.json", &body);
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let before_the_canary = lets_go_on(&door.get("/b/terms").await, "terms");
    let answer = door.post("/b/terms/approve", &before_the_canary).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.wait_until("terms", |status| status["state"] == "holding" && status["accepted"] == 5).await;
    let refused = async |verb: &str, form: &str, state: &str| {
        let answer = door.post(&format!("/b/terms/{verb}"), form).await;
        assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("has gone on since what was shown"), "{answer}");
        assert_eq!(self::state(&world, "terms").await, state);
    };
    refused("approve", &before_the_canary, "holding").await;
    // Nor does a form of before the word was asked for.
    refused("approve", before_the_canary.split("&seen=").next().unwrap(), "holding").await;
    let answer = door.post("/b/terms/approve", &lets_go_on(&door.get("/b/terms").await, "terms")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A colleague pauses what was resumed.
    world.run(&["pause", "terms", "--reason", "look"]).await;
    let resume = lets_go_on(&door.get("/b/terms").await, "terms");
    let answer = door.post("/b/terms/resume", &resume).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.run(&["pause", "terms", "--reason", "the wrong text"]).await;
    refused("resume", &resume, "paused").await;
    console.end().await;
    for service in services {
        service.end().await;
    }
}
