//! What the command line says of a broadcast is what is so: what it waits for, what holds it, and whether it was refused.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use issei_clock::Clock;
use issei_sim::Account;
use issei_test_support::{Processes, command_body};
use jiff::SignedDuration;
use serde_json::{Value, json};

fn in_hours(hours: i64) -> String {
    Clock::system().wall().saturating_add(SignedDuration::from_hours(hours)).unwrap().to_string()
}

/// A command of version 2, which has a class.
fn told(id: &str, change: impl FnOnce(&mut Value)) -> String {
    command_body(id, |command| {
        (command["version"], command["class"]) = (2.into(), "service".into());
        change(command);
    })
}

/// By the table of exit codes in docs/commands.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_refused_ends_with_its_own_code_and_what_failed_with_another() {
    let world = Processes::simulated(50, Account { max_send_rate: 0.0001, ..Account::default() }).await;
    _ = world.write("first.json", &told("first", |command| command["not_after"] = in_hours(47).into()));
    // It can't be done in time, so that it goes past `issei send`.
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("first.json")).await;
    world.wait_until("first", |status| status["recipients"] == 50).await;

    let send = |change: fn(&mut Value), says: &'static str| (["send", "--dry-run", "command.json"].to_vec(), change, 3, says);
    let same_content = |command: &mut Value| {
        command["content"]["inline"]["subject"] = "Terms of first for {{name}}".into();
    };
    let copy = ["test-send", "command.json", "--to", "me@elsewhere.example.net", "--as", "7"].to_vec();
    let tried = ["try", "command.json", "--yes"].to_vec();
    for (arguments, change, code, says) in [
        send(|command| command["audience"] = "usres".into(), "has no audience `usres`"),
        send(|command| command["not_after"] = "2020-01-01T00:00:00Z".into(), "the command's time is over"),
        send(|command| command["not_after"] = in_hours(24 * 300).into(), "bring it nearer"),
        send(|_| {}, "50 recipients take 500000 s"),
        send(same_content, "`first`"),
        send(|command| command["broadcast_id"] = "first".into(), "belongs to another command"),
        send(|command| command["content"]["inline"]["text"] = "{{nobody}}".into(), "no column of the audience"),
        send(|command| command["class"] = "marketing".into(), "field `class`: is `marketing`"),
        send(|command| command["provider"] = "resend".into(), "has no provider `resend`"),
        send(|command| command["max_recipients"] = 0.into(), "max_recipients"),
        (copy, |_| {}, 3, "field `test_copy.to`"),
        (tried.clone(), |command| command["audience"] = "usres".into(), 3, "has no audience `usres`"),
        (tried, |command| command["provider"] = "resend".into(), 3, "field `provider`"),
        // What failed is no answer.
        (["send", "--dry-run", "nowhere.json"].to_vec(), |_| {}, 1, "can't be read"),
        (["status", "nowhere"].to_vec(), |_| {}, 1, "no broadcast `nowhere`"),
    ] {
        _ = world.write("command.json", &told("terms", change));
        let (found, output, error) = world.try_run(&arguments).await;
        assert!(found == Some(code) && error.contains(says), "{arguments:?} ends with {found:?}: {output}{error}");
        let (found, _, error) = world.try_run(&[&["--json"], arguments.as_slice()].concat()).await;
        assert_eq!(found, Some(code), "{arguments:?} --json: {error}");
    }
    assert_eq!(world.cloud.accepted(), 0);
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lets_a_broadcast_go_on_is_told_what_it_waits_for() {
    let world = Processes::simulated(20, Account::default()).await;
    let producer = world.start("producer");
    let body = told("terms", |command| {
        (command["hold"], command["canary"]) = (true.into(), 5.into());
        (command["not_before"], command["not_after"]) = (in_hours(24).into(), in_hours(72).into());
    });
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    world.wait_for("terms", "holding").await;
    let approved = world.run(&["approve", "terms", "--reason", "read"]).await;
    assert!(approved.starts_with("terms is waiting: nothing is sent before 20") && !approved.contains("is running"), "{approved}");
    assert!(approved.contains("5 permits left") && approved.contains("holds before the other 15"), "{approved}");
    world.run(&["pause", "terms", "--reason", "not yet"]).await;
    let resumed: Value = serde_json::from_str(&world.run(&["--json", "resume", "terms", "--reason", "well"]).await).unwrap();
    assert_eq!((&resumed["state"], resumed["waits_until"].is_string()), (&json!("waiting"), true), "{resumed}");
    let status: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!((&status["state"], &status["waits_until"]), (&resumed["state"], &resumed["waits_until"]));
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_holds_a_broadcast_is_named_and_how_each_of_it_is_approved() {
    let mut world = Processes::simulated(40, Account::default()).await;
    world.set("ISSEI_APPROVALS", "2");
    world.users.execute("UPDATE users SET email = 'nobody' WHERE id <= 10").await;
    let producer = world.start("producer");
    let body = told("terms", |command| command["hold"] = true.into());
    _ = world.write("command.json", &body);
    let (code, shown, error) = world.try_run_as("ann", &["send", "--yes", "command.json"]).await;
    assert_eq!(code, Some(0), "{shown}{error}");
    let status = world.wait_for("terms", "holding").await;
    assert_eq!(status["reason_code"], "HOLDING_SKIPPED", "{status}");
    let reason = status["reason"].as_str().unwrap();
    for words in ["2 persons must agree", "the command is to hold", "10 of 40 rows", "issei approve terms --agreed DIGEST"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    // Nobody's word alone is enough, so no reason says that it is.
    assert!(!reason.contains("approve terms --reason"), "{reason}");
    let (code, shown, _) = world.try_run_as("ben", &["approve", "terms", "--reason", "read"]).await;
    let words = ["nothing was approved", "it is holding: ", "10 of 40 rows", "the command is to hold", "1 other person must approve it"];
    assert!(code == Some(3) && words.iter().all(|words| shown.contains(words)), "{shown}");

    // A newcomer is told before, by those who simulate it.
    let tried = world.run(&["try", "command.json", "--yes", "-o", "inbox"]).await;
    for words in ["skipped rows: 10 of 40 rows are skipped, 25.0 %", "hold: really it waits", "approvals: really 2 persons"] {
        assert!(tried.contains(words), "{words}: {tried}");
    }
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_that_is_broken_says_whether_it_forbids_the_send() {
    let world = Processes::simulated(10, Account { identities: Some(BTreeMap::new()), ..Account::default() }).await;
    _ = world.write("command.json", &told("terms", |_| {}));
    let (code, shown, error) = world.try_run(&["send", "--dry-run", "command.json"]).await;
    assert!(code == Some(3) && error.contains("refused: "), "{shown}{error}");
    // The sender is not verified; and that nobody consumes, which may be remedied yet, forbids nothing.
    let broken: Vec<&str> = shown.split("\n  B").filter(|finding| finding.starts_with("ROKEN")).collect();
    assert!(broken.iter().all(|finding| finding.contains("send: refused for this") || finding.contains("send: not refused")), "{shown}");
    assert!(broken.iter().any(|finding| finding.contains("send: refused for this")), "{shown}");
    assert!(broken.iter().any(|finding| finding.contains("send: not refused for this")), "{shown}");
    let (_, told, _) = world.try_run(&["--json", "send", "--dry-run", "command.json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let findings = told["forecast"]["findings"].as_array().unwrap();
    let forbidding = findings.iter().filter(|finding| finding["forbids_send"] == true).count();
    assert!(forbidding > 0 && findings.iter().all(|finding| finding["forbids_send"] != true || finding["judgement"] == "broken"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_under_two_keys_shows_both_letters_in_a_page_for_oneself() {
    let world = Processes::simulated(20, Account::default()).await;
    world.users.execute("UPDATE users SET email = 'ann@example.com' WHERE id IN (7, 8)").await;
    let producer = world.start("producer");
    _ = world.write("command.json", &told("terms", |command| command["hold"] = true.into()));
    world.run(&["send", "--yes", "command.json"]).await;
    world.wait_for("terms", "holding").await;
    // There before, and open to everybody.
    _ = world.write("page.html", "");
    std::fs::set_permissions(world.path("page.html"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = world.run(&["show", "terms", "--as", "ann@example.com", "-o", "page.html"]).await;
    assert!(shown.contains("key 7\n") && shown.contains("key 8\n") && shown.contains("Dear User 8"), "{shown}");
    world.run(&["preview", "command.json", "-o", "preview.html"]).await;
    for file in ["page.html", "preview.html"] {
        let mode = std::fs::metadata(world.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        assert!(world.read(file).contains("Dear User"), "{file}");
    }
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_empty_names_no_configuration() {
    let world = Processes::simulated(5, Account::default()).await;
    let (code, output, error) = world.try_run_under(&[("ISSEI_CONFIG", Some(""))], &["list"]).await;
    assert!(code == Some(0) && output.contains("no broadcasts"), "{output}{error}");
    let (code, _, error) = world.try_run(&["--config", "", "list"]).await;
    assert!(code == Some(1) && error.contains("--config is empty; name the file"), "{error}");
}

/// Forty rows and the fifty of the README: what the forecast says of the canary is what comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_everybody_is_told_before_it_holds() {
    let world = Processes::simulated(40, Account::default()).await;
    _ = world.write("command.json", &told("terms", |command| command["canary"] = 50.into()));
    let shown = world.run(&["send", "--dry-run", "command.json"]).await;
    let words = "the canary is everybody who can be mailed (40), so nobody would be left to hold back: the broadcast will hold before its first send, until `issei approve terms --reason \"…\"`, which sends to all at once";
    assert!(shown.contains(words) && !shown.contains("50 of them first"), "{shown}");
    let shown: Value = serde_json::from_str(&world.run(&["--json", "send", "--dry-run", "command.json"]).await).unwrap();
    assert_eq!(shown["forecast"]["canary"], 40, "{shown}");
    let tried = world.run(&["try", "command.json", "--yes", "-o", "inbox"]).await;
    assert!(tried.contains("canary: it is everybody who can be mailed (40), so really it waits for `issei approve`"), "{tried}");
    // By evidence nobody is asked, and that is said, too.
    _ = world.write(
        "evidence.json",
        &told("others", |command| {
            (command["canary"], command["canary_approval"]) = (json!({ "share": 1 }), "evidence".into());
        }),
    );
    let shown = world.run(&["send", "--dry-run", "evidence.json"]).await;
    assert!(shown.contains("so all are sent to at once, and its evidence holds nobody back") && !shown.contains("will hold"), "{shown}");
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.run(&["send", "--yes", "command.json"]).await;
    let status = world.wait_for("terms", "holding").await;
    assert_eq!((&status["reason_code"], world.cloud.accepted()), (&json!("HOLDING_CANARY_IS_ALL"), 0), "{status}");
    let approved = world.run(&["approve", "terms", "--reason", "all forty are meant"]).await;
    assert!(approved.contains("40 permits left to grant") && !approved.contains("Then it holds"), "{approved}");
    world.wait_for("terms", "complete").await;
    assert_eq!(world.cloud.accepted(), 40);
    producer.end().await;
    consumer.end().await;
}

/// By the word that `status` has for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_approves_or_resumes_what_waits_is_told_that_it_waits() {
    let world = Processes::simulated(20, Account::default()).await;
    let producer = world.start("producer");
    let body = told("terms", |command| (command["not_before"], command["not_after"]) = (in_hours(24).into(), in_hours(72).into()));
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    world.wait_for("terms", "waiting").await;
    for arguments in [
        &["approve", "terms", "--reason", "read"][..],
        &["resume", "terms", "--reason", "read"],
        &["approve", "terms", "--agreed", "0123456789abcdef", "--reason", "read"],
    ] {
        let (code, _, error) = world.try_run(arguments).await;
        assert!(code == Some(3) && error.contains("broadcast `terms` is waiting") && !error.contains("is running"), "{code:?} {error}");
        assert!(error.contains("it goes on 20") && error.contains("nothing is left to approve or resume"), "{error}");
    }
    producer.end().await;
}

/// CSV knows no null: a cell that is empty is text, and the letter has a hole.
#[tokio::test(flavor = "multi_thread")]
async fn letters_in_which_a_value_is_blank_are_counted_by_column_and_one_is_shown() {
    let world = Processes::simulated(1, Account::default()).await;
    let row = |key: u32| {
        let (name, plan) = (if key % 10 == 3 { " " } else { "Ann" }, if key == 7 { "" } else { "x" });
        format!("{key},user{key}@example.com,{name},{plan}\n")
    };
    let rows = (1..=30).map(row).collect::<Vec<_>>().concat();
    _ = world.write("users.csv", &format!("id,email,name,plan\n{rows}"));
    let config = world.read("issei.toml");
    let (before, _) = config.split_once("[audiences.users]").unwrap();
    let file = world.path("users.csv");
    _ = world.write(
        "issei.toml",
        &format!("{before}[audiences.users]\nfile = \"{file}\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\", \"plan\"]\n"),
    );
    // What has a default, or a condition of its own, leaves no hole.
    let body = |text: &str| {
        let content = json!({ "inline": { "subject": "Terms", "text": text } });
        told("terms", |command| command["content"] = content)
    };
    _ = world
        .write("filled.json", &body("Dear {{name | \"Customer\"}}, {{#if plan}}your plan is {{plan}}.{{else}}you have no plan.{{/if}}"));
    let shown: Value = serde_json::from_str(&world.run(&["--json", "send", "--dry-run", "filled.json"]).await).unwrap();
    assert_eq!(shown["forecast"]["blank"], json!(null), "{shown}");
    _ = world.write("command.json", &body("Dear {{name}}, your plan is {{plan}}."));
    let shown = world.run(&["send", "--dry-run", "command.json"]).await;
    assert!(shown.contains("blank          3 of those to be mailed have nothing in name, with the keys 13, 23, 3"), "{shown}");
    assert!(
        shown.contains("1 of those to be mailed has nothing in plan, with the keys 7") && shown.contains("{{name | \"Customer\"}}"),
        "{shown}"
    );
    assert!(shown.contains("to be mailed   30") && shown.contains("Dear  , your plan is x."), "{shown}");
    let shown: Value = serde_json::from_str(&world.run(&["--json", "send", "--dry-run", "command.json"]).await).unwrap();
    let blank = &shown["forecast"]["blank"];
    assert_eq!((&blank[0]["column"], &blank[0]["rows"], &blank[1]["examples"]), (&json!("name"), &json!(3), &json!(["7"])), "{shown}");
    let letters = shown["forecast"]["letters"].as_array().unwrap();
    assert!(letters.iter().any(|letter| letter["of"].to_string().contains("name is blank")), "{letters:?}");
    let tried = world.run(&["try", "command.json", "--yes", "-o", "inbox"]).await;
    assert!(tried.contains("3 of those to be mailed have nothing in name"), "{tried}");
}

/// Who it is from, and who gets the answers, is read before it goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_sender_and_whoever_gets_the_answers_are_shown_and_what_is_no_sender_is_refused() {
    let world = Processes::simulated(5, Account::default()).await;
    let with = |field: &'static str, value: &'static str| told("terms", move |command| command[field] = value.into());
    _ = world.write(
        "command.json",
        &told("terms", |command| {
            (command["from"], command["reply_to"]) = ("\"Example, Inc.\" <no-reply@example.com>".into(), "一斉 <help@example.com>".into());
        }),
    );
    for arguments in [["send", "--dry-run", "command.json"].as_slice(), &["preview", "command.json"]] {
        let shown = world.run(arguments).await;
        assert!(shown.contains("from           \"Example, Inc.\" <no-reply@example.com>"), "{shown}");
        assert!(shown.contains("reply to       一斉 <help@example.com>"), "{shown}");
    }
    for (field, value, says) in [
        ("from", "Example <no-reply@example.com>, Legal <legal@example.org>", "one address alone"),
        ("reply_to", "{{agent}}@example.com", "no placeholder"),
        ("from", "{{name}} <no-reply@example.com>", "no placeholder"),
        ("from", "\"Example <no-reply@example.com>", "quote"),
    ] {
        _ = world.write("wrong.json", &with(field, value));
        let (code, _, error) = world.try_run(&["send", "--dry-run", "wrong.json"]).await;
        assert!(code == Some(3) && error.contains(&format!("field `{field}`")) && error.contains(says), "{value}: {code:?} {error}");
    }
}

/// By the account's rate all would be told within a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_a_ceiling_makes_too_late_is_foreseen_by_status_and_list() {
    let mut world = Processes::brisk(400, Account::default()).await;
    world.set("ISSEI_RATE_CEILING", "1");
    let services = [world.start("producer"), world.start("consumer")];
    let effective_at = Clock::system().wall() + SignedDuration::from_mins(3);
    let body = command_body("terms", |body| {
        (body["version"], body["class"], body["canary"]) = (json!(2), json!("legal_notice"), json!(5));
        body["effective_at"] = json!(effective_at.to_string());
    });
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    let status = world.wait_for("terms", "holding").await;
    assert!(status["falls_behind"].to_string().contains("at 1.00 a second at most"), "{status}");
    let listed = world.run(&["list"]).await;
    assert!(listed.contains("TOO LATE: ") && listed.contains("at 1.00 a second at most"), "{listed}");
    for service in services {
        service.end().await;
    }
}
