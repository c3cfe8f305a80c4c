//! The certificate: given when it is over, and refused for whatever is hidden.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_test_support::{Browser, Process, Processes, command_body, seen, until, write_keys};
use serde_json::Value;

/// A world in which one broadcast is complete, every event is in, and the services still run.
async fn complete(id: &str) -> (Processes, Vec<Process>) {
    let world = Processes::brisk(100, Processes::account_with_events()).await;
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body(id, |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for(id, "complete").await;
    let carried = world.carry_events().await;
    assert_eq!(carried, 200, "sent and delivered of everybody");
    world.wait_until(id, |status| status["delivered"] == 100).await;
    (world, services)
}

/// Certifies, expects a refusal, and gives the findings that stand against it.
async fn refused(world: &Processes, id: &str) -> String {
    let (code, output, errors) = world.try_run(&["certify", id, "--json"]).await;
    assert_eq!(code, Some(3), "{output}{errors}");
    let certificate: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(certificate["verdict"], "NOT_CONVERGED");
    let findings = certificate["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["judgement"] != "holds")
        .map(|finding| format!("{}: {}", finding["what"].as_str().unwrap(), finding["value"].as_str().unwrap()))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_verifies_offline_that_it_is_over() {
    let (world, services) = complete("terms").await;
    let (private, public) = write_keys(&world, "ours", 1);
    let (_, other) = write_keys(&world, "others", 2);
    let (code, text, beside) = world.try_run(&["certify", "terms", "--signing-key", &private, "-o", "terms.cert.json"]).await;
    assert_eq!(code, Some(0), "{text}{beside}");
    // Whoever reads a log is told that it goes on, and not at every look.
    let watching: Vec<&str> = beside.lines().filter(|line| line.contains("terms: watching the queues for")).collect();
    assert!((1..4).contains(&watching.len()), "{beside}");
    assert!(text.starts_with("CONVERGED  terms\n") && text.contains("100 accepted") && text.contains("100 delivered"), "{text}");
    report(&world, &public).await;
    for service in services {
        service.end().await;
    }

    // No endpoint that anybody answers at.
    let offline = ["--public-key", &public, "--table", "none"];
    let text = world.run(&[&["verify", "terms.cert.json"], &offline[..]].concat()).await;
    assert!(text.starts_with("CONVERGED  terms\n") && text.contains("the signature is that of key"), "{text}");
    // The one that is expected, and no older.
    let (day, after) = ("2026-01-01", "2100-01-01T00:00:00Z");
    world.run(&[&["verify", "terms.cert.json", "--broadcast", "terms", "--not-before", day], &offline[..]].concat()).await;
    for (unexpected, why) in
        [(["--broadcast", "other"], "it is the certificate of `terms`"), (["--not-before", after], "must not be older than 2100")]
    {
        let (code, output, error) = world.try_run(&[&["verify", "terms.cert.json"], &unexpected[..], &offline[..]].concat()).await;
        assert!(code == Some(3) && output.is_empty() && error.contains(why), "{output}{error}");
    }
    let (code, _, error) = world.try_run(&["verify", "terms.cert.json", "--public-key", &other]).await;
    assert!(code == Some(3) && error.contains("not signed by the key"), "{error}");
    let mut signed: Value = serde_json::from_str(&world.read("terms.cert.json")).unwrap();
    let payload = signed["payload"].as_str().unwrap().replacen('0', "1", 1).replacen('I', "J", 1);
    signed["payload"] = payload.into();
    let forged = world.write("forged.json", &signed.to_string());
    let (code, _, error) = world.try_run(&["verify", &forged, "--public-key", &public]).await;
    assert!(code == Some(3) && error.contains("changed after it was signed"), "{error}");
    // That of another day, or of another broadcast, does not take its place, and nobody waits for it.
    let before = world.read("terms.cert.json");
    for id in ["terms", "another"] {
        let (code, output, error) = world.try_run(&["certify", id, "--signing-key", &private, "-o", "terms.cert.json"]).await;
        assert!(code == Some(3) && error.contains("terms.cert.json is there") && !error.contains("watching"), "{output}{error}");
        assert_eq!(world.read("terms.cert.json"), before, "{error}");
    }
    // What was cut short is given as it is, and is no verdict for a script.
    let watching = world.start_with("certify", &["terms", "--signing-key", &private, "-o", "second.json"]);
    until("it watches the queues", async || world.log("certify").contains("watching the queues")).await;
    assert_eq!(watching.interrupt().await, Some(130), "{}", world.log("certify"));
    let text = world.try_run(&["verify", "second.json", "--public-key", &public]).await.1;
    assert!(text.starts_with("NOT_CONVERGED  terms\n") && world.printed("certify").starts_with("NOT_CONVERGED"), "{text}");
    // Nobody reads parts of a second there.
    let has_parts = |text: &str| text.get(..3).is_some_and(|begin| begin.ends_with('.') && begin.starts_with(|c: char| c.is_ascii_digit()));
    assert!(text.contains("ended at 20") && !text.split(':').any(has_parts), "{text}");
}

/// The report, as whoever gets it sees it: in a browser, in both languages, on paper's width and a phone's.
async fn report(world: &Processes, public: &str) {
    for (lang, width, state) in [("en", 1_000, "complete"), ("ja", 390, "完了")] {
        let file = format!("report-{lang}.html");
        world.run(&["report", "terms", "-o", &file, "--lang", lang, "--certificate", "terms.cert.json", "--public-key", public]).await;
        let html = world.read(&file);
        assert!(!html.replace("no-reply@example.com", "").contains("@example.com"), "the report holds a recipient's address");
        assert!(!html.contains("<script") && !html.contains("src="), "the report needs something from elsewhere");
        let Some(browser) = Browser::start(width, 900).await else { return };
        browser.page.goto(&format!("file://{}", world.path(&file))).await.unwrap();
        assert_eq!(browser.text("#state").await, state);
        assert_eq!(browser.text("#count-accepted").await.trim(), "100");
        assert_eq!(browser.text("#verdict").await, "CONVERGED");
        // What was said, by whom, and how long it took.
        let said = browser.text(".said").await;
        assert!(said.contains("<no-reply@example.com>") && said.contains("Dear {{name}}, new terms."), "{said}");
        assert!(!browser.text("#took").await.is_empty());
        browser.assert_accessible(&file).await;
        assert!(browser.value("document.querySelectorAll('.plot svg polyline').length").await.as_u64().unwrap() >= 4);
        assert!(browser.value("document.querySelector('.plot').getBoundingClientRect().height").await.as_f64().unwrap() > 80.0);
        assert!(browser.value("document.querySelectorAll('#findings tbody tr').length").await.as_u64().unwrap() > 30);
        browser.assert_fits().await;
        browser.picture(&format!("report-{lang}")).await;
        browser.end().await;
    }
    let (code, _, error) =
        world.try_run(&["report", "other", "-o", "x.html", "--certificate", "terms.cert.json", "--public-key", public]).await;
    assert!(code == Some(3) && error.contains("is the certificate of `terms`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hidden_is_called_converged() {
    let (world, services) = complete("terms").await;
    for service in services {
        service.end().await;
    }

    // One message in flight, held by nobody knows whom.
    let chunk = r#"{"version":1,"broadcast_id":"terms","page":0,"chunk":0,"recipients":[{"key":"1","address":"a@example.com"}]}"#;
    world.post("ISSEI_CHUNKS_QUEUE", chunk).await;
    let (sqs, url) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    // The long poll of a consumer that has ended may still take it, and it comes back.
    let receive = sqs.receive_message().queue_url(&url).visibility_timeout(900).wait_time_seconds(20);
    let held = seen("the message is there", async || receive.clone().call().await.unwrap().messages.filter(|held| !held.is_empty())).await;
    let against = refused(&world, "terms").await;
    assert!(against.contains("chunks-") && against.contains("1 in flight"), "{against}");
    sqs.delete_message().queue_url(&url).receipt_handle(held[0].receipt_handle.as_ref().unwrap()).call().await.unwrap();

    // One in a dead-letter queue.
    let (_, dead) = world.queue_url("ISSEI_CHUNKS_QUEUE", "-dead").await;
    sqs.send_message().queue_url(&dead).message_body(chunk).call().await.unwrap();
    let against = refused(&world, "terms").await;
    assert!(against.contains("1 dead letters"), "{against}");
    let letter = sqs.receive_message().queue_url(&dead).call().await.unwrap().messages.unwrap();
    sqs.delete_message().queue_url(&dead).receipt_handle(letter[0].receipt_handle.as_ref().unwrap()).call().await.unwrap();

    // One page that is gone, and one that was altered; a chunk that was altered.
    let (db, table) = world.table().await;
    for (item, change, named) in [
        ("page#00000001", Change::Gone, "page#00000001"),
        ("page#00000002", Change::Text("page_hash", "0".repeat(64)), "page#00000002"),
        ("page#00000001", Change::Text("previous_hash", "0".repeat(64)), "page#00000001"),
        ("chunk#00000003", Change::Text("outcomes", "aaaaaaaaad".to_owned()), "chunk 3, recipient 9"),
        ("chunk#00000003", Change::Text("outcomes", "aaaaaaaaa".to_owned()), "chunk 3 has 9 outcomes"),
        ("chunk#00000003", Change::Gone, "of 100 recipients"),
    ] {
        let key = key_of("terms", item);
        let before = db.get_item().table_name(&table).set_key(Some(key.clone())).call().await.unwrap().item.unwrap();
        match change {
            Change::Gone => {
                db.delete_item().table_name(&table).set_key(Some(key)).call().await.unwrap();
            }
            Change::Text(name, value) => {
                let mut item = before.clone();
                item.insert(name.to_owned(), AttributeValue::S(value));
                db.put_item().table_name(&table).set_item(Some(item)).call().await.unwrap();
            }
        }
        let against = refused(&world, "terms").await;
        assert!(against.contains(named), "{item}: {against}");
        db.put_item().table_name(&table).set_item(Some(before)).call().await.unwrap();
    }

    // A consumer that is stuck in an epoch of the ledger before a restore.
    let consumer = world.start("consumer");
    world.wait_for_heartbeat("consumer").await;
    consumer.freeze();
    world.restore_ledger().await;
    world.run(&["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()]).await;
    let against = refused(&world, "terms").await;
    assert!(against.contains("issei consumer") && against.contains("ledger epoch 1"), "{against}");
    consumer.thaw();
    consumer.end().await;

    // What can't be read.
    let (code, output, _) = world.try_run(&["certify", "terms", "--json", "--configuration-set", "nobody-made-this"]).await;
    assert!(code == Some(3) && output.contains("\"unreadable\""), "{output}");
}

enum Change {
    Gone,
    Text(&'static str, String),
}

fn key_of(broadcast: &str, item: &str) -> HashMap<String, AttributeValue> {
    let text = |text: String| AttributeValue::S(text);
    [("pk".to_owned(), text(format!("b#{broadcast}#00"))), ("sk".to_owned(), text(item.to_owned()))].into()
}
