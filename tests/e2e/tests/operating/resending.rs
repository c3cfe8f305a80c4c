//! `issei resend`: those whom a broadcast has missed, and nobody else.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::BroadcastCommand;
use issei_sim::{Account, EventRule, Events};
use issei_test_support::{Process, Processes, command_body, judge, older, until};
use serde_json::{Value, json};

/// Puts what `resend` has told into the configuration, and sends its command, which holds before its first send.
async fn asked_for(world: &Processes, told: &Value, id: &str) -> Process {
    let configuration = world.read("issei.toml") + "\n" + told["audience"].as_str().unwrap();
    assert_eq!(world.write("issei.toml", &configuration), "issei.toml");
    let producer = world.start("producer");
    world.run(&["send", &format!("{id}.json"), "--yes"]).await;
    world.wait_for(id, "holding").await;
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_stopped_broadcast_has_missed_is_mailed_by_a_second_one_and_nobody_twice() {
    let world = Processes::brisk(30, Account { keep_mails: true, ..Account::default() }).await;
    world.users.execute("UPDATE users SET email = 'broken', name = 'Seven, \"the\n7th\"' WHERE id = 7").await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;

    // What goes on is nobody's to send again.
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && error.contains("holding") && error.contains("may still send to"), "{error}");
    world.run(&["stop", "terms", "--reason", "a test"]).await;
    world.users.execute("UPDATE users SET email = 'user000007@example.com' WHERE id = 7").await;
    // Somebody whom it has missed does not want such mail any more, and says so by the address that they have now.
    world.users.execute("UPDATE users SET email = 'thirty@example.org' WHERE id = 30").await;
    world.run(&["suppress", "add", "thirty@example.org", "--because", "unsubscribed", "--reason", "asked for it"]).await;
    // Somebody new is not of this broadcast.
    world.users.execute("INSERT INTO users VALUES (31, 'new@example.com', 'New')").await;
    until("what was under way at the stop is over", async || {
        let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
        assert!(code == Some(0) || error.contains("repeat this in"), "{error}");
        code == Some(0)
    })
    .await;
    let command: Value = serde_json::from_str(&world.read("rest.json")).unwrap();
    assert_eq!((&command["broadcast_id"], &command["audience"], &command["max_recipients"]), (&json!("rest"), &json!("rest"), &json!(19)));
    let again = command["again"].as_str().unwrap();
    assert!(again.starts_with("for those whom terms has missed (look ") && again.len() < 100, "{again}");
    let rows: Vec<Value> = world.read("rest.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 19);
    assert!(rows.iter().any(|row| row["key"] == "7" && row["name"] == "Seven, \"the\n7th\""), "{rows:?}");

    // Nothing is overwritten; elsewhere it says the same again, with its proof.
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(
        code == Some(3) && error.contains("are the whole files of an earlier `issei resend terms --as rest`, for 19 recipients"),
        "{error}"
    );
    let whole = world.read("rest.json");
    let _ = world.write("rest.json", "");
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && error.contains("nothing is overwritten: there is no whole command beside it (./rest.json)"), "{error}");
    let _ = world.write("rest.json", &whole);
    std::fs::rename(world.path("rest.jsonl"), world.path("moved.jsonl")).unwrap();
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && error.contains("rest.json is there already") && error.contains("rest.jsonl is gone"), "{error}");
    std::fs::rename(world.path("moved.jsonl"), world.path("rest.jsonl")).unwrap();
    // An audience that takes long to read, and somebody who does not wait for it.
    let own = world.read("issei.toml");
    let endless =
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 'x' AS email, 'x' AS name FROM n WHERE id < 0";
    let lines = own.lines().map(|line| if line.starts_with("table = ") { format!("query = \"{endless}\"") } else { line.to_owned() });
    _ = world.write("issei.toml", &lines.collect::<Vec<_>>().join("\n"));
    std::fs::create_dir(world.path("left")).unwrap();
    let waiting = world.start_with("resend", &["terms", "--as", "rest", "--output", "left"]);
    until("its files are there", async || std::fs::read_dir(world.path("left")).unwrap().count() == 2).await;
    assert_eq!(waiting.interrupt().await, Some(130));
    assert!(world.log("resend").contains("nothing is kept"), "{}", world.log("resend"));
    assert_eq!(std::fs::read_dir(world.path("left")).unwrap().count(), 0);
    _ = world.write("issei.toml", &own);
    assert_eq!(world.write("other.json", "somebody's own"), "other.json");
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "other"]).await;
    assert!(code == Some(3) && error.contains("other.json is there already, and nothing is overwritten: it is not of"), "{error}");
    assert_eq!(world.read("other.json"), "somebody's own");
    assert!(!std::path::Path::new(&world.path("other.jsonl")).exists(), "addresses are left behind");
    // A second operator, who has not heard of the first, would mail everybody of them once more.
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "second"]).await;
    assert!(code == Some(3) && error.contains("`rest` was made for those whom `terms` has missed"), "{error}");
    assert!(!std::path::Path::new(&world.path("second.jsonl")).exists());
    std::fs::create_dir(world.path("again")).unwrap();
    let told: Value = serde_json::from_str(&world.run(&["resend", "terms", "--as", "rest", "--output", "again", "--json"]).await).unwrap();
    let proof = json!({
        "accepted": 10, "rejected": 0, "in_doubt": 0, "missing": 18, "skipped": 1, "spared": 0, "forgotten": 0, "unwanted": 1, "elsewhere": 0, "corrected": 1,
        "resent": 19, "overlap": 0,
    });
    assert_eq!(told["proof"], proof, "{told}");
    // Those of before are void from then on.
    let _ = world.write("rest.json", &world.read("again/rest.json"));

    producer.end().await;
    let producer = asked_for(&world, &told, "rest").await;
    world.run(&["approve", "rest", "--reason", "a test"]).await;
    world.wait_for("rest", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mut mails: BTreeMap<String, u64> = BTreeMap::new();
    for broadcast in ["terms", "rest"] {
        for address in judge(&world.cloud, broadcast).reached() {
            *mails.entry(address.to_owned()).or_default() += 1;
        }
        assert_eq!(judge(&world.cloud, broadcast).duplicates(), Vec::<&str>::new());
    }
    assert_eq!(mails.len(), 29, "{mails:?}");
    assert!(mails.values().all(|count| *count == 1) && !mails.contains_key("new@example.com"), "{mails:?}");

    // Of the second nobody is missing.
    let (code, output, _) = world.try_run(&["resend", "rest", "--as", "third"]).await;
    assert!(code == Some(3) && output.contains("19 accepted") && output.contains("nobody"), "{output}");
    assert!(!std::path::Path::new(&world.path("third.jsonl")).exists());
}

/// The list is a file, and whoever edits it can put somebody into it who has the letter: by their key, or where an address is a user
/// by their address under another key.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_put_into_the_list_of_a_resend_by_hand_and_has_the_letter_is_not_mailed_again() {
    let world = Processes::brisk(12, Account { keep_mails: true, ..Account::default() }).await;
    let configured = world.read("issei.toml").replace("columns = [\"name\"]", "columns = [\"name\"]\nunique_by = \"address\"");
    let _ = world.write("issei.toml", &configured);
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(5))).await;
    world.wait_for("terms", "holding").await;
    world.run(&["stop", "terms", "--reason", "a test"]).await;
    producer.end().await;
    until("what was under way at the stop is over", async || world.try_run(&["resend", "terms", "--as", "rest"]).await.0 == Some(0)).await;
    std::fs::create_dir(world.path("again")).unwrap();
    let told: Value = serde_json::from_str(&world.run(&["resend", "terms", "--as", "rest", "--output", "again", "--json"]).await).unwrap();
    let _ = world.write("rest.json", &world.read("again/rest.json"));
    let list = world.read("again/rest.jsonl");
    assert_eq!(list.lines().count(), 7);
    let _ = world.write("issei.toml", &(configured + "\n" + told["audience"].as_str().unwrap()));

    // In place of one who was missed, so that the budget says nothing.
    let with = |key: &str, address: &str| {
        let rest = list.lines().skip(1).collect::<Vec<_>>().join("\n");
        format!("{}\n{rest}\n", json!({ "key": key, "address": address, "name": "One" }))
    };
    for (key, address) in [("1", "moved@example.org"), ("101", "user000001@example.com")] {
        let _ = world.write("again/rest.jsonl", &with(key, address));
        let (code, _, error) = world.try_run(&["send", "rest.json", "--yes"]).await;
        let says =
            format!("1 rows of this audience are of users whom `terms`, for whose missed it is, has accepted or in doubt (keys {key})");
        assert!(code == Some(3) && error.contains(&says), "{error}");
    }
    // Nor where nobody has asked before.
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("rest.json")).await;
    let producer = world.start("producer");
    let status = world.wait_until("rest", |status| !status["held_up"].is_null()).await;
    let why = status["held_up"]["reason"].as_str().unwrap();
    assert!(why.contains("1 of its rows are of users whom `terms`") && !why.contains('@'), "{status}");
    let _ = world.write("again/rest.jsonl", &list);
    world.wait_for("rest", "holding").await;
    world.run(&["approve", "rest", "--reason", "a test"]).await;
    world.wait_for("rest", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mails: Vec<String> = ["terms", "rest"]
        .iter()
        .flat_map(|id| judge(&world.cloud, id).reached().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!((mails.len(), mails.iter().collect::<BTreeSet<_>>().len()), (12, 12), "{mails:?}");
}

/// Whoever asks has lost the line that says so, or never had it. Each address was one user when it was sent to.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_user_was_decided_by_the_broadcast_and_not_by_the_configuration_of_whoever_sends_again() {
    let world = Processes::brisk(6, Account { keep_mails: true, ..Account::default() }).await;
    for id in 1..=5 {
        world.users.execute(&format!("UPDATE users SET email = 'orders@{}' WHERE id = {id}", ["example.com", "EXAMPLE.com"][id % 2])).await;
    }
    world.users.execute("INSERT INTO users VALUES (7, 'broken', 'Seven')").await;
    let without = world.read("issei.toml");
    let unique = without.replace("columns = [\"name\"]", "columns = [\"name\"]\nunique_by = \"address\"");
    let _ = world.write("issei.toml", &format!("skipped_share_max = 1.0\n{unique}"));
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    assert_eq!(judge(&world.cloud, "terms").reached().len(), 2);

    let _ = world.write("issei.toml", &without);
    let (code, output, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && output.contains("resent         nobody"), "{output}{error}");
    // Who has been corrected since is sent to, and no second time whoever has another address by then that is mailed already.
    world.users.execute("UPDATE users SET email = 'seven@example.com' WHERE id = 7").await;
    let told: Value = serde_json::from_str(&world.run(&["resend", "terms", "--as", "rest", "--json"]).await).unwrap();
    let (proof, audience) = (&told["proof"], told["audience"].as_str().unwrap());
    assert_eq!((&proof["corrected"], &proof["resent"], &proof["overlap"]), (&json!(1), &json!(1), &json!(0)), "{told}");
    assert!(audience.contains("unique_by = \"address\""), "{audience}");
    let rows = world.read("rest.jsonl");
    assert!(rows.lines().count() == 1 && rows.contains("seven@example.com"), "{rows}");

    // What an older build froze does not say so; whom it skipped does.
    let (db, table) = world.table().await;
    let key = |item: &std::collections::HashMap<String, AttributeValue>| {
        ["pk", "sk"].map(|name| (name.to_owned(), item[name].clone())).into_iter().collect::<std::collections::HashMap<_, _>>()
    };
    let items = db.scan().table_name(&table).consistent_read(true).call().await.unwrap().items.unwrap();
    let item = items.iter().find(|item| item.contains_key("reading")).unwrap();
    let asked = db.update_item().table_name(&table).set_key(Some(key(item)));
    asked.update_expression("REMOVE reading.unique_addresses").call().await.unwrap();
    std::fs::create_dir(world.path("again")).unwrap();
    let told: Value = serde_json::from_str(&world.run(&["resend", "terms", "--as", "rest", "--output", "again", "--json"]).await).unwrap();
    assert_eq!(told["proof"]["resent"], 1, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_bounced_or_complained_is_called_so() {
    let rule = |address: &str, event: &str| EventRule { address: address.to_owned(), event: event.to_owned() };
    let account = Processes::account_with_events();
    let rules = vec![rule("user000001", "Bounce"), rule("user000002", "Complaint")];
    let world = Processes::new(5, Account { events: Events { rules, ..account.events }, ..account }).await;
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    world.wait_for("terms", "complete").await;
    world.carry_all_events().await;
    world.wait_until("terms", |status| status["bounced"] == 1 && status["complained"] == 1).await;
    for (key, word) in [("1", "bounced"), ("2", "complained")] {
        let csv = world.run(&["export", "terms", "--outcome", word]).await;
        let line = csv.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("{key},")) && line.contains(&format!(",{word},")), "{csv}");
        let why = world.run(&["why", "terms", key]).await;
        assert!(why.lines().any(|line| line.starts_with("outcome   accepted") && line.contains(word)), "{why}");
        let why: Value = serde_json::from_str(&world.run(&["why", "terms", key, "--json"]).await).unwrap();
        assert!(why["listed_as"].as_array().unwrap().contains(&json!(word)), "{why}");
    }
    for service in services {
        service.end().await;
    }
}

/// Whoever asks has a shorter timeout than those who send. What may still be accepted goes by theirs, where one was killed that
/// can't say any more what it holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_resend_waits_for_as_long_as_those_who_sent_may_still_be_heard() {
    let world = Processes::new(30, Account::default()).await;
    let (producer, consumer) = (world.start("producer"), world.start_with("consumer", &["--request-lifetime-s", "300"]));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;
    consumer.kill_without_mercy().await;
    world.run(&["stop", "terms", "--hard", "--reason", "a test"]).await;
    let (code, _, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    let seconds = error.rsplit_once("repeat this in ").and_then(|(_, rest)| rest.split_once(" s")?.0.parse::<u64>().ok());
    assert!(code == Some(3) && seconds.is_some_and(|seconds| seconds > 270), "{error}");
    producer.end().await;
}

/// Every consumer has said that it holds nothing, and every request has its answer: there is nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_has_proved_can_be_sent_again_at_once() {
    let world = Processes::new(30, Account::default()).await;
    let (producer, consumer) = (world.start("producer"), world.start_with("consumer", &["--request-lifetime-s", "300"]));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;
    let told = world.run(&["stop", "terms", "--reason", "a test"]).await;
    assert!(told.contains("nothing of it can be sent or accepted any more"), "{told}");
    world.run(&["resend", "terms", "--as", "rest"]).await;
    producer.end().await;
    consumer.end().await;
}

/// All rows of it were frozen as skipped: those that were corrected since can be mailed, and a day that has passed binds nobody.
#[tokio::test(flavor = "multi_thread")]
async fn whom_nothing_could_be_mailed_to_are_mailed_once_they_are_corrected_and_a_day_that_is_past_is_left_out() {
    let world = Processes::new(5, Account::default()).await;
    world.users.execute("UPDATE users SET email = NULL").await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let command = command_body("terms", |body| {
        (body["version"], body["class"], body["effective_at"]) = (2.into(), "legal_notice".into(), "2020-01-01T00:00:00Z".into());
    });
    world.post("ISSEI_COMMANDS_QUEUE", &command).await;
    let status = world.wait_for("terms", "stopped").await;
    assert_eq!(status["reason_code"], "STOPPED_NOBODY", "{status}");
    let (code, output, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && output.contains("resent         nobody"), "{output}{error}");
    let (code, output, error) = world.try_run(&["show", "terms", "--as", "2"]).await;
    let says = "2 was skipped as no_address when page 0 was frozen, so there is no letter";
    assert!(code == Some(3) && error.contains(says), "{output}{error}");
    world.users.execute("UPDATE users SET email = 'user' || id || '@example.com' WHERE id < 4").await;
    let told = world.run(&["resend", "terms", "--as", "rest"]).await;
    assert!(told.contains("resent         3 in the new audience, read back: 0 missing, 3 corrected"), "{told}");
    let rest: Value = serde_json::from_str(&world.read("rest.json")).unwrap();
    assert_eq!((rest.get("effective_at"), &rest["broadcast_id"]), (None, &json!("rest")), "{rest}");
    // What is over can't be steered, and that is an answer and no failure.
    for verb in ["pause", "resume", "approve"] {
        let (code, _, error) = world.try_run(&[verb, "terms", "--reason", "a test"]).await;
        assert!(code == Some(3) && error.contains("stopped"), "{verb}: {error}");
    }
    producer.end().await;
    consumer.end().await;
}

/// On the list by mistake while it was held: whoever is taken from it again gets the second one, and nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_spared_and_is_on_the_list_no_more_is_mailed_by_a_second_one() {
    let world = Processes::new(5, Account::default()).await;
    let producer = world.start("producer");
    let command = command_body("terms", |body| (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into()));
    world.post("ISSEI_COMMANDS_QUEUE", &command).await;
    world.wait_for("terms", "holding").await;
    for user in [2, 4] {
        let added = world
            .run(&["suppress", "add", &format!("user{user:06}@example.com"), "--because", "unsubscribed", "--reason", "a letter"])
            .await;
        assert!(added.contains("what is under way spares it in ten seconds"), "{added}");
    }
    world.run(&["approve", "terms", "--reason", "it reads well"]).await;
    let consumer = world.start("consumer");
    world.wait_for("terms", "complete").await;
    let spared = world.run(&["export", "terms", "--outcome", "spared"]).await;
    assert_eq!(spared.lines().count(), 3, "{spared}");
    assert!(spared.lines().all(|line| line.contains("reason") || line.contains("unsubscribed")), "{spared}");
    assert!(world.run(&["who", "2"]).await.contains("you had unsubscribed"));
    let (code, output, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(
        code == Some(3) && output.contains("spared         2 recipients") && output.contains("resent         nobody"),
        "{output}{error}"
    );
    world.run(&["suppress", "remove", "user000004@example.com", "--reason", "a mistake"]).await;
    let told = world.run(&["resend", "terms", "--as", "rest"]).await;
    assert!(told.contains("resent         1 in the new audience, read back: 0 missing, 1 corrected"), "{told}");
    producer.end().await;
    consumer.end().await;
}

/// Under the names that the audience's own configuration has for them, so that nothing need be edited.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_same_audience_again_under_its_own_configuration() {
    let world = Processes::new(12, Account::default()).await;
    world.users.execute("UPDATE users SET name = 'Ann, \"the\n3rd\"' WHERE id = 3").await;
    world.users.execute("ALTER TABLE users ADD COLUMN plan TEXT").await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let notice = |id: &str| {
        command_body(id, |body| {
            (body["version"], body["class"], body["effective_at"]) = (2.into(), "legal_notice".into(), "2020-01-01T00:00:00Z".into());
        })
    };
    world.post("ISSEI_COMMANDS_QUEUE", &notice("terms")).await;
    world.wait_for("terms", "complete").await;
    // None was told before a day long past.
    let late = world.run(&["export", "terms", "--outcome", "not-in-time"]).await;
    assert!(late.starts_with("id,email,outcome,name\n1,user000001@example.com,accepted,") && late.contains("12,user000012"), "{late}");
    let out = world.run(&["export", "terms", "--outcome", "accepted", "-o", "x.csv"]).await;
    assert!(out.starts_with("x.csv written, 12 rows") && world.read("x.csv").starts_with("id,email,outcome,name\n"), "{out}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path("x.csv")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The same section, with the file in the place of the table.
    let own = world.read("issei.toml");
    let section = |file: &str| {
        let lines = own.lines().filter(|line| !line.starts_with("table = "));
        let line = |line: &str| if line.starts_with("url = ") { format!("file = \"{file}\"\n") } else { format!("{line}\n") };
        lines.map(line).collect::<String>()
    };
    _ = world.write("again.toml", &section("x.csv"));
    let again: Value = serde_json::from_str(&notice("again")).unwrap();
    _ = world.write("again.json", &again.to_string());
    let run = ["--config", "again.toml", "--json", "send", "--dry-run", "--again", "a test", "again.json"];
    let (code, told, error) = world.try_run(&run).await;
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{code:?} {error}"));
    assert_eq!((&told["forecast"]["rows"], &told["forecast"]["mailable"]), (&json!(12), &json!(12)), "{told}");
    let third = world.run(&["--config", "again.toml", "preview", "again.json", "--as", "3"]).await;
    assert!(third.contains("Ann, \"the"), "{third}");
    // Nothing is written over: it may be the audience's own file.
    let (code, _, error) = world.try_run(&["export", "terms", "--outcome", "accepted", "-o", "x.csv"]).await;
    assert!(code == Some(3) && error.contains("x.csv is there and not empty"), "{error}");
    assert!(world.read("x.csv").contains("user000012"));
    // A column that the content does not name was not frozen: it is not there, and that is said.
    _ = world.write("more.toml", &own.replace("columns = [\"name\"]", "columns = [\"name\", \"plan\"]"));
    let (code, rows, told) = world.try_run(&["--config", "more.toml", "export", "terms", "--outcome", "accepted"]).await;
    assert!(code == Some(0) && rows.starts_with("id,email,outcome,name\n") && told.contains("the content names no plan"), "{rows}{told}");
    // Where the configuration is not at hand.
    let bare = world.run(&["--config", "/dev/null", "export", "terms", "--outcome", "accepted"]).await;
    assert!(bare.starts_with("key,address,outcome,name\n"), "{bare}");
    producer.end().await;
    consumer.end().await;
}

/// The app tries again under another id, before or after its operator has made a broadcast for those who were missed.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_missed_has_it_from_a_resend_or_from_a_retry_under_another_id_and_not_from_both() {
    let world = Processes::brisk(12, Account::default()).await;
    let body = |id: &str, subject: &str| {
        command_body(id, |body| {
            (body["version"], body["class"]) = (json!(2), json!("service"));
            body["content"]["inline"]["subject"] = json!(subject);
        })
    };
    let held = |id: &str, subject: &str| {
        let mut held: Value = serde_json::from_str(&body(id, subject)).unwrap();
        held["hold"] = json!(true);
        held.to_string()
    };
    let producer = world.start("producer");
    for (id, subject) in [("first", "one"), ("second", "two")] {
        world.post("ISSEI_COMMANDS_QUEUE", &held(id, subject)).await;
        world.wait_for(id, "holding").await;
        world.run(&["stop", id, "--reason", "wrong day"]).await;
    }
    world.run(&["resend", "first", "--as", "rest"]).await;
    let retry = world.write("retry.json", &body("retry", "one"));
    let (code, output, error) = world.try_run(&["send", "--yes", &retry]).await;
    let told = format!("{output}{error}");
    assert!(code == Some(3) && told.contains("`rest` was made for those whom it had missed"), "{told}");

    world.post("ISSEI_COMMANDS_QUEUE", &body("again", "two")).await;
    world.wait_for("again", "running").await;
    let (code, output, error) = world.try_run(&["resend", "second", "--as", "others"]).await;
    let why = "the broadcast `again`, which says the same to the audience of `second`, is running";
    assert!(code == Some(3) && error.contains(why) && error.contains("would be mailed twice"), "{output}{error}");
    assert!(!std::path::Path::new(&world.path("others.jsonl")).exists());
    // Once it can mail nobody, it is in nobody's way.
    world.run(&["stop", "again", "--reason", "wrong day, too"]).await;
    world.run(&["resend", "second", "--as", "others"]).await;
    producer.end().await;
}

/// An offer goes again to whoever was missed and still wants it, each with their own way out, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_sent_again_to_whoever_still_wants_it_with_their_own_way_out() {
    let world = Processes::new(30, Account { keep_mails: true, ..Account::default() }).await;
    world.users.execute("ALTER TABLE users ADD COLUMN way_out TEXT").await;
    world.users.execute("ALTER TABLE users ADD COLUMN newsletter INTEGER").await;
    world.users.execute("UPDATE users SET newsletter = 1, way_out = 'https://app.example.com/u/' || id").await;
    world.users.execute("UPDATE users SET newsletter = 0 WHERE id = 30").await;
    let wants = "columns = [\"name\", \"way_out\"]\nmarketing_filter = \"newsletter = 1\"";
    let _ = world.write("issei.toml", &world.read("issei.toml").replace("columns = [\"name\"]", wants));
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let command = command_body("terms", |body| {
        (body["version"], body["class"], body["canary"]) = (2.into(), "marketing".into(), 10.into());
        body["unsubscribe"] = json!({ "column": "way_out" });
        body["content"]["inline"]["text"] = "Dear {{name}}, an offer. No more of it: {{unsubscribe_url}}".into();
    });
    world.post("ISSEI_COMMANDS_QUEUE", &command).await;
    world.wait_for("terms", "holding").await;
    world.run(&["stop", "terms", "--reason", "a test"]).await;
    // What was frozen is the same audience again, with the ways out.
    let accepted = world.run(&["export", "terms", "--outcome", "accepted"]).await;
    assert!(accepted.starts_with("id,email,outcome,name,way_out\n") && accepted.contains("https://app.example.com/u/1\n"), "{accepted}");
    // One of those missed wants no more offers, one is no user any more, and one who wanted none does now: they were not asked.
    world.users.execute("UPDATE users SET newsletter = 0 WHERE id = 9").await;
    world.users.execute("DELETE FROM users WHERE id = 8").await;
    world.users.execute("UPDATE users SET newsletter = 1 WHERE id = 30").await;
    // Whoever has no such audience at hand can't ask who wants it.
    let (code, _, error) = world.try_run(&["--config", "/dev/null", "resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && error.contains("is marketing") && error.contains("has no audience `users`"), "{error}");
    let told: Value = serde_json::from_str(&world.run(&["resend", "terms", "--as", "rest", "--json"]).await).unwrap();
    let proof = &told["proof"];
    assert_eq!(
        (&proof["missing"], &proof["unwanted"], &proof["resent"], &proof["overlap"]),
        (&json!(17), &json!(2), &json!(17), &json!(0))
    );
    producer.end().await;
    let producer = asked_for(&world, &told, "rest").await;
    world.run(&["approve", "rest", "--reason", "a test"]).await;
    world.wait_for("rest", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mails = world.cloud.mails().unwrap();
    let addresses: BTreeSet<&str> = mails.iter().map(|mail| mail.address.as_str()).collect();
    assert_eq!((mails.len(), addresses.len()), (27, 27), "{addresses:?}");
    for mail in &mails {
        let id = mail.address.trim_start_matches("user").split('@').next().unwrap().trim_start_matches('0');
        assert!(!["8", "9", "30"].contains(&id), "{id}");
        assert_eq!(mail.headers[0], ("List-Unsubscribe".to_owned(), format!("<https://app.example.com/u/{id}>")));
        assert!(mail.text.ends_with(&format!("No more of it: https://app.example.com/u/{id}")), "{}", mail.text);
    }
}

/// Neither the first nor the one for whom it had missed has mailed anybody, so the app may try again; then nobody is left to whom the
/// second could be sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_since_the_first_of_a_line_of_resends_leaves_nobody_to_its_last() {
    let world = Processes::brisk(12, Account::default()).await;
    let body = |id: &str, hold: bool| {
        command_body(id, |body| {
            (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(hold));
            body["content"]["inline"]["subject"] = json!("New terms");
        })
    };
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &body("first", true)).await;
    world.wait_for("first", "holding").await;
    world.run(&["stop", "first", "--reason", "wrong day"]).await;
    producer.end().await;
    let told: Value = serde_json::from_str(&world.run(&["resend", "first", "--as", "rest", "--json"]).await).unwrap();
    let producer = asked_for(&world, &told, "rest").await;
    world.run(&["stop", "rest", "--reason", "wrong day, too"]).await;
    let consumer = world.start("consumer");
    world.post("ISSEI_COMMANDS_QUEUE", &body("retry", false)).await;
    world.wait_for("retry", "complete").await;
    let (code, output, error) = world.try_run(&["resend", "rest", "--as", "last"]).await;
    assert!(code == Some(3) && output.contains("elsewhere      12 missing recipients"), "{output}{error}");
    assert_eq!(judge(&world.cloud, "retry").reached().len(), 12);
    for process in [producer, consumer] {
        process.end().await;
    }
}

/// Whoever asks reads what was sent by an earlier build, which had fewer rules, and whoever that has missed gets a mended letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_whose_letter_is_refused_now_is_read_as_before_and_whoever_it_missed_gets_a_mended_one() {
    let world = Processes::brisk(6, Account { keep_mails: true, ..Account::default() }).await;
    // Of whoever has such a name nothing is seen, which is no subject any more.
    world.users.execute("UPDATE users SET name = char(0x200b) WHERE id = 6").await;
    let with = |subject: &str, link: &str| {
        command_body("terms", |body| {
            (body["version"], body["class"], body["canary"]) = (2.into(), "service".into(), 2.into());
            body["content"]["inline"]["subject"] = json!(subject);
            body["content"]["inline"]["html"] = json!(format!("<a href=\"{link}\">the terms</a>"));
        })
    };
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &with("For {{name}}", "https://example.com/{{name}}")).await;
    world.wait_for("terms", "holding").await;
    consumer.end().await;
    // An older `issei`, which does not look, may approve it too.
    world.run(&["approve", "terms", "--reason", "a test"]).await;
    let (db, table) = world.table().await;
    older::took(&db, &table, &BroadcastCommand::parse(&with("{{name}}", "https:{{name}}")).unwrap()).await;
    let consumer = world.start("consumer");
    let status = world.wait_for("terms", "paused").await;
    assert_eq!(status["reason_code"], "PAUSED_CONTENT", "{status}");
    assert!(world.run(&["status", "terms"]).await.contains("in a link before its host"));
    world.run(&["stop", "terms", "--reason", "a test"]).await;

    let who = world.run(&["who", "user000001@example.com"]).await;
    assert!(who.contains("User 1"), "{who}");
    let shown: Value = serde_json::from_str(&world.run(&["show", "terms", "--as", "1", "--json"]).await).unwrap();
    assert_eq!(shown["letters"][0]["rendered"]["html"], "<a href=\"https:User%201\">the terms</a>", "{shown}");
    world.run(&["why", "terms", "1"]).await;
    world.run(&["report", "terms", "-o", "report.html"]).await;
    let missing = world.run(&["export", "terms", "--outcome", "missing"]).await;
    assert_eq!(missing.lines().count(), 5, "{missing}");

    let mut told = Value::Null;
    until("what was under way at the stop is over", async || {
        let (code, output, error) = world.try_run(&["resend", "terms", "--as", "rest", "--json"]).await;
        assert!(code == Some(0) || error.contains("repeat this in"), "{error}");
        told = serde_json::from_str(&output).unwrap_or_default();
        code == Some(0)
    })
    .await;
    assert_eq!(
        (&told["proof"]["missing"], &told["proof"]["resent"], &told["unwritable"]),
        (&json!(4), &json!(3), &json!({ "data_missing": 1 }))
    );
    assert!(told["refused"].as_str().unwrap().contains("in a link before its host"), "{told}");
    std::fs::create_dir(world.path("again")).unwrap();
    let again = world.run(&["resend", "terms", "--as", "rest", "--output", "again"]).await;
    assert!(again.contains("1 more rows stand there and can't be written to"), "{again}");
    assert!(again.contains("Mend it in again/rest.json: nothing is sent before."), "{again}");
    assert!(again.contains("Files that were made for `rest` before this are void"), "{again}");
    let _ = world.write("rest.json", &world.read("again/rest.json"));
    let configuration = world.read("issei.toml") + "\n" + told["audience"].as_str().unwrap();
    _ = world.write("issei.toml", &configuration);
    let (code, _, error) = world.try_run(&["send", "rest.json", "--yes"]).await;
    assert!(code == Some(3) && error.contains("in a link before its host"), "{error}");
    let mended =
        world.read("rest.json").replace("https:{{name}}", "https://example.com/{{name}}").replace("\"{{name}}\"", "\"For {{name}}\"");
    _ = world.write("rest.json", &mended);
    producer.end().await;
    let producer = world.start("producer");
    world.run(&["send", "rest.json", "--yes"]).await;
    world.wait_for("rest", "holding").await;
    world.run(&["approve", "rest", "--reason", "a test"]).await;
    world.wait_for("rest", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mut reached: Vec<String> = Vec::new();
    for broadcast in ["terms", "rest"] {
        reached.extend(judge(&world.cloud, broadcast).reached().into_iter().map(str::to_owned));
    }
    assert_eq!((reached.len(), reached.iter().collect::<BTreeSet<_>>().len()), (6, 6), "{reached:?}");
}

/// Of each pair the second would mail those whom the first has mailed, by whatever way both came about.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_same_from_elsewhere_is_in_no_resend_however_that_came_about() {
    let world = Processes::brisk(12, Account::default()).await;
    let body = |id: &str, subject: &str, change: fn(&mut Value)| {
        command_body(id, |body| {
            (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(true));
            body["content"]["inline"]["subject"] = json!(subject);
            change(body);
        })
    };
    let consumer = world.start("consumer");
    let held = async |body: String, id: &str| {
        let producer = world.start("producer");
        world.post("ISSEI_COMMANDS_QUEUE", &body).await;
        world.wait_for(id, "holding").await;
        producer.end().await;
    };
    let stopped = async |id: &str| _ = world.run(&["stop", id, "--reason", "wrong day"]).await;
    let sent = async |id: &str| {
        let producer = world.start("producer");
        world.run(&["approve", id, "--reason", "a test"]).await;
        world.wait_for(id, "complete").await;
        producer.end().await;
    };
    let resent = async |of: &str, id: &str| {
        let told: Value = serde_json::from_str(&world.run(&["resend", of, "--as", id, "--json"]).await).unwrap();
        asked_for(&world, &told, id).await.end().await;
    };
    let has_it_from_elsewhere = async |id: &str, new: &str| {
        let (code, output, error) = world.try_run(&["resend", id, "--as", new]).await;
        assert!(code == Some(3) && output.contains("elsewhere      12 missing recipients"), "{id}: {output}{error}");
    };
    // A line that forks: the second of it goes on, and the first is asked for once more.
    held(body("fork", "one", |_| {}), "fork").await;
    stopped("fork").await;
    resent("fork", "fork-2").await;
    stopped("fork-2").await;
    resent("fork-2", "fork-3").await;
    sent("fork-3").await;
    has_it_from_elsewhere("fork", "fork-4").await;
    let retry = world.write("retry.json", &body("retry", "one", |_| {}));
    let (code, output, error) = world.try_run(&["send", "--yes", &retry]).await;
    assert!(code == Some(3) && format!("{output}{error}").contains("by the broadcast `fork-3` of "), "{output}{error}");

    // A mended letter under another subject is of the same line.
    held(body("mended", "four", |_| {}), "mended").await;
    stopped("mended").await;
    let told: Value = serde_json::from_str(&world.run(&["resend", "mended", "--as", "mended-2", "--json"]).await).unwrap();
    let _ = world.write("mended-2.json", &world.read("mended-2.json").replace("\"four\"", "\"four, mended\""));
    asked_for(&world, &told, "mended-2").await.end().await;
    stopped("mended-2").await;
    resent("mended-2", "mended-3").await;
    let (code, _, error) = world.try_run(&["resend", "mended", "--as", "mended-4"]).await;
    assert!(code == Some(3) && error.contains("the broadcast `mended-3`, which says the same to"), "{error}");
    sent("mended-3").await;
    has_it_from_elsewhere("mended", "mended-4").await;

    // A letter that is corrected and sent under another id.
    held(body("typo", "two", |_| {}), "typo").await;
    stopped("typo").await;
    held(body("correct", "two", |body| body["content"]["inline"]["text"] = json!("Without a typo.")), "correct").await;
    sent("correct").await;
    has_it_from_elsewhere("typo", "typo-2").await;

    // One that was registered before, and sent after.
    held(body("early", "three", |_| {}), "early").await;
    held(body("late", "three", |body| body["again"] = json!("a colleague has not seen the first")), "late").await;
    stopped("late").await;
    let (code, _, error) = world.try_run(&["resend", "late", "--as", "late-2"]).await;
    assert!(code == Some(3) && error.contains("the broadcast `early`, which says the same"), "{error}");
    sent("early").await;
    has_it_from_elsewhere("late", "late-2").await;
    consumer.end().await;
    for id in ["fork-3", "mended-3", "correct", "early"] {
        assert_eq!(judge(&world.cloud, id).reached().len(), 12, "{id}");
    }
    assert_eq!(world.cloud.accepted(), 48);
    // The name of an audience that is there would be that of the new one.
    let (code, _, error) = world.try_run(&["resend", "fork-2", "--as", "users"]).await;
    assert!(code == Some(3) && error.contains("has an audience `users` already"), "{error}");
}

/// The backup is of before its first send. Whom it mailed since then the ledger has forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_restored_ledger_nobody_is_said_to_have_been_missed() {
    let world = Processes::brisk(12, Account::default()).await;
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["hold"] = json!(true))).await;
    world.wait_for("terms", "holding").await;
    let (db, table) = world.table().await;
    let items = async || db.scan().table_name(&table).consistent_read(true).call().await.unwrap().items.unwrap();
    let backup = items().await;
    let consumer = world.start("consumer");
    world.run(&["approve", "terms", "--reason", "a test"]).await;
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    for item in items().await {
        let key = ["pk", "sk"].map(|name| (name.to_owned(), item[name].clone()));
        db.delete_item().table_name(&table).set_key(Some(key.into_iter().collect())).call().await.unwrap();
    }
    for item in backup {
        db.put_item().table_name(&table).set_item(Some(item)).call().await.unwrap();
    }
    world.restore_ledger().await;
    // Until it is in use whoever goes on with another table sends on, and a stop here proves nothing of them.
    let (code, output, _) = world.try_run(&["stop", "terms", "--reason", "a wrong text"]).await;
    assert!(code == Some(3) && output.contains("Nothing of this stop will be proved: this ledger was restored"), "{output}");
    assert!(!output.contains("recipients may still be sent to") && output.contains("terms is stopping: 0 accepted"), "{output}");
    world.run(&["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()]).await;
    let (code, output, error) = world.try_run(&["resend", "terms", "--as", "rest"]).await;
    assert!(code == Some(3) && error.contains("whom `terms` has missed nobody knows: the ledger was restored"), "{output}{error}");
    let who = world.run(&["who", "user000003@example.com"]).await;
    assert!(who.contains("has forgotten what was sent between the backup and") && who.contains("was sent to you is not known"), "{who}");
    assert!(!who.contains("nothing was sent"), "{who}");
    assert!(!std::path::Path::new(&world.path("rest.jsonl")).exists());
    // Of what is asked for since it knows everything.
    let producer = world.start("producer");
    let since = command_body("since", |body| {
        (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(true));
        body["content"]["inline"]["subject"] = json!("Asked for since");
    });
    world.post("ISSEI_COMMANDS_QUEUE", &since).await;
    world.wait_for("since", "holding").await;
    world.run(&["stop", "since", "--reason", "a test"]).await;
    producer.end().await;
    let told: Value = serde_json::from_str(&world.run(&["resend", "since", "--as", "rest", "--json"]).await).unwrap();
    assert_eq!(told["proof"]["missing"], 12, "{told}");
}
