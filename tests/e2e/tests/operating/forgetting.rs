//! Somebody asks to be forgotten, in an operator's hands.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Process, Processes, command_body, until, write_keys};
use serde_json::{Value, json};

/// All that an attribute says, also what is packed in it.
fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::B(bytes) => {
            let unpacked = zstd::stream::decode_all(bytes.as_ref()).unwrap_or_default();
            format!("{} {}", String::from_utf8_lossy(bytes.as_ref()), String::from_utf8_lossy(&unpacked))
        }
        other => format!("{other:?}"),
    }
}

/// Where the ledger, or a message on any queue, has one of these words: names of items and queues.
async fn places(world: &Processes, words: &[&str]) -> Vec<String> {
    let (db, table) = world.table().await;
    let (mut places, mut after, mut items) = (Vec::new(), None, 0);
    loop {
        let answer = db.scan().table_name(&table).consistent_read(true).set_exclusive_start_key(after).call().await.unwrap();
        for item in answer.items.unwrap() {
            let all: Vec<String> = item.values().map(|value| text(value).to_lowercase()).collect();
            if words.iter().any(|word| all.iter().any(|text| text.contains(word))) {
                places.push(item["sk"].as_s().unwrap().clone());
            }
            items += 1;
        }
        after = answer.last_evaluated_key.filter(|key| !key.is_empty());
        if after.is_none() {
            break;
        }
    }
    assert!(items > 20, "the whole table was looked at");
    for setting in ["ISSEI_COMMANDS_QUEUE", "ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE"] {
        for suffix in ["", "-dead"] {
            let (sqs, url) = world.queue_url(setting, suffix).await;
            for _ in 0..5 {
                let asked = sqs.receive_message().queue_url(&url).max_number_of_messages(10).visibility_timeout(0);
                let messages = asked.call().await.unwrap().messages.unwrap_or_default();
                if messages.iter().any(|message| words.iter().any(|word| message.body().unwrap_or_default().to_lowercase().contains(word)))
                {
                    places.push(format!("{setting}{suffix}"));
                    break;
                }
            }
        }
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_forgotten_is_nowhere_in_the_table_and_the_certificate_still_verifies() {
    let world = Processes::brisk(100, Processes::account_with_events()).await;
    world.users.execute("UPDATE users SET id = 7777042, email = 'Zoe.Quux@example.com', name = 'Zoe Quux' WHERE id = 42").await;
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    world.run(&["send", "--yes", &world.write("command.json", &command_body("terms", |_| {}))]).await;
    world.wait_for("terms", "complete").await;
    world.carry_events().await;
    world.wait_until("terms", |status| status["delivered"] == 100).await;
    let (code, _, error) = world.try_run(&["forget", "7777042", "--audience", "usres", "--yes"]).await;
    assert!(
        code == Some(3) && error.contains("no broadcast in the ledger is to an audience `usres`; there are broadcasts to `users`"),
        "{error}"
    );
    let (private, public) = write_keys(&world, "ours", 1);
    let certify = async |file: &str| -> Value {
        world.run(&["certify", "terms", "--signing-key", &private, "-o", file]).await;
        serde_json::from_str(&world.run(&["verify", file, "--public-key", &public, "--json"]).await).unwrap()
    };
    let first = certify("before.json").await;
    // A message that was refused once, and one of somebody else.
    let (sqs, dead) = world.queue_url("ISSEI_CHUNKS_QUEUE", "-dead").await;
    let message = |key: &str, address: &str| {
        json!({ "version": 1, "broadcast_id": "terms", "page": 1, "chunk": 4, "recipients": [{ "key": key, "address": address }] })
            .to_string()
    };
    for (key, address) in [("7777042", "zoe.quux@example.com"), ("9", "user000009@example.com")] {
        sqs.send_message().queue_url(&dead).message_body(message(key, address)).call().await.unwrap();
    }
    let words = ["quux", "7777042"];
    let before = places(&world, &words).await;
    assert_eq!((before.len(), before[0].starts_with("page#"), before[1].as_str()), (2, true, "ISSEI_CHUNKS_QUEUE-dead"), "{before:?}");

    // It shows first, and does nothing unless it is told to.
    let (code, shown, _) = world.try_run(&["forget", "zoe.quux@example.com", "--dry-run"]).await;
    assert!(code == Some(0) && shown.contains("1 recipients, 0 skipped, in 1 pages") && shown.contains("1 of chunks-"), "{shown}");
    let (code, shown, _) = world.try_run(&["forget", "zoe.quux@example.com", "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown["done"], &shown["broadcasts"][0]["recipients"]), (Some(3), &json!(false), &json!(1)), "{shown}");
    let (code, _, error) = world.try_run(&["forget", "7777042", "--yes", "--reason", "user 7777042 asked"]).await;
    assert!(code == Some(3) && error.contains("names whom it is about"), "{error}");
    assert_eq!(places(&world, &words).await, before);
    let done = world.run(&["forget", "zoe.quux@example.com", "--yes", "--reason", "ticket 9"]).await;
    assert!(done.contains("1 entries forgotten, 1 dead letters deleted"), "{done}");
    assert!(!done.to_lowercase().contains("quux"), "{done}");

    assert_eq!(places(&world, &words).await, Vec::<String>::new());
    assert_eq!(places(&world, &["user000009@"]).await.last().map(String::as_str), Some("ISSEI_CHUNKS_QUEUE-dead"), "somebody else's stays");
    sqs.purge_queue().queue_url(&dead).call().await.unwrap();
    assert!(world.run(&["forget", "7777042"]).await.contains("nothing is left to forget"));
    for who in ["Zoe.Quux@example.com", "7777042"] {
        let why = world.run(&["why", "terms", who]).await;
        assert!(why.contains("was forgotten at 20") && !why.contains("quux"), "{why}");
        let (code, _, error) = world.try_run(&["show", "terms", "--as", who]).await;
        assert!(code == Some(1) && error.contains("was forgotten at 20"), "{error}");
    }
    let (code, _, error) = world.try_run(&["why", "terms", "somebody@example.com"]).await;
    assert!(code == Some(1) && error.contains("nobody with that key or address"), "{error}");
    let (_, rows, told) = world.try_run(&["export", "terms", "--outcome", "accepted"]).await;
    assert_eq!((rows.lines().count(), rows.contains("Quux")), (100, false), "99 and the header");
    assert!(told.contains("1 more were forgotten"), "{told}");
    let audit = world.run(&["audit", "terms"]).await;
    assert!(audit.contains("forgot 1 of page") && audit.contains("ticket 9") && audit.contains("chain of its entries holds"), "{audit}");
    let status: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!((&status["forgotten"], &status["accepted"], &status["recipients"]), (&json!(1), &json!(100), &json!(100)));
    // The same audience by the same hash, with the same outcomes, in the certificate of before and in that of now.
    let last = certify("after.json").await;
    assert_eq!(last["verdict"], "CONVERGED");
    assert_eq!((&last["audience_hash"], &last["outcomes"]), (&first["audience_hash"], &first["outcomes"]));
    for file in ["before.json", "after.json"] {
        assert!(world.run(&["verify", file, "--public-key", &public]).await.starts_with("CONVERGED  terms\n"), "{file}");
    }
    world.run(&["report", "terms", "-o", "report.html", "--certificate", "after.json", "--public-key", &public]).await;
    let report = world.read("report.html");
    assert!(report.contains("Forgotten since") && report.contains("who was forgotten"), "the report says it");
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_forgotten_while_they_may_be_mailed_and_nobody_is_mailed_afterwards() {
    let world = Processes::brisk(30, Account { keep_mails: true, ..Account::default() }).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;
    let (code, text, _) = world.try_run(&["forget", "user000025@example.com", "--yes"]).await;
    assert!(code == Some(3) && text.contains("it may still send") && text.contains("`issei stop terms`"), "{text}");
    assert!(world.run(&["why", "terms", "25"]).await.contains("user000025@example.com"), "nothing was done");
    world.run(&["stop", "terms", "--reason", "a test"]).await;
    until("the stop is over", async || world.try_run(&["forget", "25", "--yes"]).await.0 == Some(0)).await;
    until("what was under way at the stop is over", async || {
        let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
        assert!(code == Some(0) || error.contains("repeat this in"), "{error}");
        code == Some(0)
    })
    .await;
    let rows: Vec<Value> = world.read("rest.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), rows.iter().any(|row| row["key"] == "25")), (19, false), "{rows:?}");
    producer.end().await;
    consumer.end().await;
}

/// A customer and a mechanic may both be number 17.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_in_two_audiences_is_forgotten_in_the_one_that_is_meant() {
    let world = Processes::simulated(20, Account::default()).await;
    let configuration = world.read("issei.toml").replace("[audiences.users]", "[audiences.mechanics]");
    let section = configuration.split_once("[audiences.mechanics]").unwrap().1.to_owned();
    let _ = world.write("issei.toml", &format!("{}\n[audiences.mechanics]{section}", world.read("issei.toml")));
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    for (id, audience) in [("customers", "users"), ("mechanics", "mechanics")] {
        world.post("ISSEI_COMMANDS_QUEUE", &command_body(id, |body| body["audience"] = json!(audience))).await;
        world.wait_for(id, "complete").await;
    }
    let (code, text, _) = world.try_run(&["forget", "17", "--yes"]).await;
    assert!(code == Some(3) && text.contains("the audiences `mechanics`, `users`") && text.contains("--audience"), "{text}");
    assert!(world.run(&["forget", "17", "--audience", "mechanics", "--yes"]).await.contains("1 entries forgotten"));
    assert!(world.run(&["why", "mechanics", "17"]).await.contains("was forgotten"));
    assert!(world.run(&["why", "customers", "17"]).await.contains("user000017@example.com"));
    // An address is the same person's everywhere.
    assert!(world.run(&["forget", "user000018@example.com", "--yes"]).await.contains("2 entries forgotten"));
    for service in services {
        service.end().await;
    }
}

/// The row of a copy is somebody else's than whom it went to.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_copy_was_written_from_goes_out_of_its_page_and_its_command() {
    let world = Processes::brisk(20, Account::default()).await;
    world.users.execute("UPDATE users SET id = 7777042, email = 'zoe.quux@example.com', name = 'Zoe Quux' WHERE id = 12").await;
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let copy = async || -> String {
        let told = world.run(&["--json", "test-send", &command, "--to", "me@example.com", "--as", "7777042"]).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        told["broadcast_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (copy().await, copy().await);
    for id in [&first, &second] {
        world.wait_for(id, "complete").await;
    }
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    let words = ["quux", "7777042"];
    assert_eq!(places(&world, &words).await.len(), 5, "two copies with a page and a command each, and the broadcast's page");
    let told = world.run(&["forget", "7777042", "--dry-run"]).await;
    assert!(told.contains(&first) && told.contains(&second) && told.contains("that this copy was written from"), "{told}");
    // By the address of the row, as by its key.
    let done = world.run(&["forget", "zoe.quux@example.com", "--broadcast", &first, "--yes"]).await;
    assert!(done.contains("2 entries forgotten"), "{done}");
    assert_eq!(places(&world, &words).await.len(), 3);
    let done = world.run(&["forget", "7777042", "--yes"]).await;
    assert!(done.contains("3 entries forgotten"), "{done}");
    assert_eq!(places(&world, &words).await, Vec::<String>::new());
    assert!(world.run(&["forget", "7777042"]).await.contains("nothing is left to forget"));
    let (code, shown, error) = world.try_run(&["show", &first, "--as", "me@example.com"]).await;
    assert!(code == Some(1) && error.contains("was forgotten at 20") && !shown.contains("Quux"), "{shown}{error}");
    // The broadcast that follows is as it was, and so is what can be said of the copy.
    let (private, public) = write_keys(&world, "ours", 1);
    for id in ["terms", &first] {
        let file = format!("{id}.json");
        let (_, told, error) = world.try_run(&["certify", id, "--signing-key", &private, "-o", &file]).await;
        let verified: Value = serde_json::from_str(&world.try_run(&["verify", &file, "--public-key", &public, "--json"]).await.1).unwrap();
        assert!(verified["verdict"] != "BROKEN", "{told}{error}{verified}");
    }
    // One of a build that did not say whose row it was: it is named, and whoever it went to empties it.
    let id = "terms-test-older";
    let older = command_body(id, |body| {
        (body["version"], body["class"], body["max_recipients"]) = (json!(2), json!("service"), json!(1));
        body["test_copy"] = json!({ "to": "me@example.com", "data": { "name": "Ann Other" } });
    });
    world.post("ISSEI_COMMANDS_QUEUE", &older).await;
    world.wait_for(id, "complete").await;
    let (_, told, error) = world.try_run(&["forget", "7", "--dry-run"]).await;
    assert!(told.contains("which row it was written from, perhaps theirs") && told.contains(&format!("--broadcast {id}")), "{told}{error}");
    world.run(&["forget", "me@example.com", "--broadcast", id, "--yes"]).await;
    assert_eq!(places(&world, &["ann other"]).await, Vec::<String>::new());
    for service in services {
        service.end().await;
    }
}

/// Whoever asks writes from an address; what the command says of them stands there under their key.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_says_of_a_key_is_told_to_whoever_gives_the_address() {
    let world = Processes::brisk(20, Account::default()).await;
    world.users.execute("UPDATE users SET id = 7777042, email = 'zoe.quux@example.com' WHERE id = 12").await;
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    let body = command_body("terms", |body| {
        (body["version"], body["class"]) = (json!(2), json!("service"));
        (body["canary"], body["again"]) = (json!({ "keys": ["7777042"] }), json!("since 7777042 wrote that nothing came"));
    });
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    world.wait_for("terms", "holding").await;
    world.run(&["approve", "terms", "--reason", "7777042 has it"]).await;
    world.wait_for("terms", "complete").await;
    let stays = async |who: &str, arguments: &[&str]| -> (String, bool) {
        let (_, told, error) = world.try_run(&[&["--json", "forget", who][..], arguments].concat()).await;
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"));
        (told["broadcasts"][0]["stays"].to_string(), told["done"] == true)
    };
    for who in ["zoe.quux@example.com", "7777042"] {
        let (told, _) = stays(who, &["--dry-run"]).await;
        for words in ["names their key in its canary", "`again` names them", "a reason in its audit trail names them"] {
            assert!(told.contains(words), "{who}: {told}");
        }
        assert!(!told.contains("7777042") && !told.contains("quux"), "{told}");
    }
    // A reason is not taken that names the key which the page has beside the address.
    let (code, _, error) = world.try_run(&["forget", "zoe.quux@example.com", "--yes", "--reason", "user 7777042 asked"]).await;
    assert!(code == Some(3) && error.contains("names whom it is about") && !error.contains("7777042"), "{error}");
    let (told, done) = stays("zoe.quux@example.com", &["--yes", "--reason", "ticket 9"]).await;
    assert!(done && told.contains("in its canary"), "{told}");
    // Nor is it forgotten that it stays once the page has no key any more.
    let (told, _) = stays("zoe.quux@example.com", &["--dry-run"]).await;
    assert!(told.contains("in its canary"), "{told}");
    for service in services {
        service.end().await;
    }
}
