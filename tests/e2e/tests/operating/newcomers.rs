//! What somebody meets who has the binary and its pages for the first time.

use issei_sim::Account;
use issei_test_support::{Processes, command_body, until};
use serde_json::{Value, json};

fn in_hours(hours: i64) -> String {
    (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(hours)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_would_be_refused_for_its_time_by_the_rule_that_refuses_it() {
    let world = Processes::simulated(3, Account::default()).await;
    for (name, hours, says) in [
        ("far.json", 100, "is the latest moment; bring it nearer; with `not_before` or `send_window`, 14 days ahead are allowed"),
        ("past.json", -1, "the command's time is over"),
        ("well.json", 24, ""),
    ] {
        let command = world.write(name, &command_body("terms", |body| body["not_after"] = in_hours(hours).into()));
        let text = world.run(&["preview", &command]).await;
        let told: Value = serde_json::from_str(&world.run(&["--json", "preview", &command]).await).unwrap();
        let (_, _, refused) = world.try_run(&["send", &command, "--dry-run"]).await;
        assert_eq!(told["refused_now"].is_null(), says.is_empty(), "{told}");
        assert_eq!(text.contains("it would be refused now"), !says.is_empty(), "{text}");
        assert!(text.contains(says) && refused.contains(says), "{text}{refused}");
        // Nobody reads parts of a second there.
        let now = told["refused_now"].as_str().unwrap_or_default().split_once(" now").map_or("", |(_, now)| now);
        assert!(!now.contains('.'), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_twice_written_or_ended_early_says_so() {
    let world = Processes::simulated(5, Account::default()).await;
    let add = |because: &'static str| ["suppress", "add", "ann@example.com", "--because", because, "--reason", "ticket 1"];
    assert!(!world.run(&add("unsubscribed")).await.contains("already"));
    let told = world.run(&add("operator")).await;
    assert!(told.contains("was on the list already (unsubscribed)"), "{told}");
    let list = world.run(&["suppress", "list", "ann@example.com"]).await;
    assert!(list.contains("since 20") && !list.split_once("since").unwrap().1.split(',').next().unwrap().contains('.'), "{list}");

    let services = ["producer", "consumer"].map(|service| world.start(service));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(2))).await;
    world.wait_for("terms", "holding").await;
    let (_, status, _) = world.try_run(&["status", "terms"]).await;
    assert!(
        status.contains("to let it go  issei approve terms --reason ") && status.contains("queue         chunks: 0 waiting"),
        "{status}"
    );
    // Whoever ends the watch has not seen the end.
    let watching = world.start_with("status", &["terms", "--watch"]);
    until("it looks", async || world.printed("status").contains("holding")).await;
    assert_eq!(watching.interrupt().await, Some(130));
    world.run(&["approve", "terms", "--reason", "it has arrived"]).await;
    world.wait_for("terms", "complete").await;

    let told = world.run(&["export", "terms", "--outcome", "accepted", "-o", "accepted.csv"]).await;
    assert!(told.starts_with("accepted.csv written, 5 rows"), "{told}");
    let told: Value =
        serde_json::from_str(&world.run(&["--json", "export", "terms", "--outcome", "accepted", "-o", "b.jsonl"]).await).unwrap();
    assert_eq!((&told["written"], &told["rows"]), (&"b.jsonl".into(), &5.into()));
    let audit = world.run(&["audit", "terms"]).await;
    assert!(audit.lines().filter(|line| line.starts_with("20")).all(|line| !line.split(' ').next().unwrap().contains('.')), "{audit}");
    let (code, text, error) = world.try_run(&["forget", "user000003@example.com", "--dry-run"]).await;
    assert!(code == Some(0) && text.contains("nothing was done: --dry-run"), "{text}{error}");
    let told = world.run(&["who", "user000003@example.com", "--time-zone", "Asia/Tokyo"]).await;
    assert!(told.contains(" JST, and our mail provider accepted it"), "{told}");
    let (code, _, error) = world.try_run(&["who", "user000003@example.com", "--time-zone", "Tokyo"]).await;
    assert!(code == Some(2) && error.contains("is no time zone"), "{error}");
    // What is not there gives no answer, whoever asks; that nobody is found is one.
    let hard = ["stop", "nope", "--hard", "--reason", "x"];
    for (arguments, code) in [
        (&["status", "nope"][..], 1),
        (&["stop", "nope", "--reason", "x"], 1),
        (&hard, 1),
        (&["audit", "nope"], 1),
        (&["certify", "nope"], 1),
        (&["forget", "nobody@example.com", "--yes"], 3),
    ] {
        let (ended, output, error) = world.try_run(arguments).await;
        assert_eq!(ended, Some(code), "{arguments:?}: {output}{error}");
    }
    for service in services {
        service.end().await;
    }
}
