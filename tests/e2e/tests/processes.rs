//! The real binary as its users run it, over HTTP: killed, ended, and asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Collector, Process, Processes, Span, command_body, judge, until};
use serde_json::{Value, json};

async fn world(users: u32) -> Processes {
    Processes::new(users, Account { keep_mails: true, ..Account::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_between_claim_send_and_confirm_never_sends_twice() {
    let world = Processes::brisk(60, Account { keep_mails: true, ..Account::default() }).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    let mut hanging = world.cloud.hanging();
    for (round, fault) in (1..).zip([Fault::HangBefore, Fault::HangAfter]) {
        // The claim is made and the send is out: before the provider takes it, and after.
        world.cloud.inject(Rule::every("SendBulkEmail", fault).times(1));
        let victim = world.start("consumer");
        hanging.wait_for(|hanging| *hanging >= round).await.unwrap();
        victim.kill_without_mercy().await;
    }
    let consumer = world.start("consumer");
    let status = world.wait_for("terms", "complete").await;
    consumer.end().await;
    producer.end().await;
    let judged = judge(&world.cloud, "terms");
    assert_eq!(judged.duplicates(), Vec::<&str>::new());
    assert_eq!(status["accepted"].as_u64().unwrap() + status["in_doubt"].as_u64().unwrap(), 60, "{status}");
    let missing = 60 - judged.reached().len() as u64;
    assert!(missing <= status["in_doubt"].as_u64().unwrap(), "{missing} lost: {status}");
    // The chunk of the first kill never reached the provider, so somebody is missing and listed.
    assert!(status["in_doubt"].as_u64().unwrap() >= 10 && missing >= 10, "{missing}: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_told_to_end_leave_nothing_in_doubt() {
    let world = world(300).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(300)));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let producer = world.start("producer");
    world.run(&["send", "--yes", &command]).await;
    // A quick machine may have nothing left for the last of them.
    while world.cloud.accepted() < 200 {
        let before = world.cloud.accepted();
        let consumer = world.start("consumer");
        world.wait_for_accepted(before + 1).await;
        consumer.end().await;
    }
    let consumer = world.start("consumer");
    let status = world.wait_for("terms", "complete").await;
    consumer.end().await;
    producer.end().await;
    assert_eq!((status["accepted"].as_u64(), status["in_doubt"].as_u64()), (Some(300), Some(0)), "{status}");
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
}

#[tokio::test(flavor = "multi_thread")]
async fn send_says_what_will_happen_and_a_dry_run_stops_there() {
    let world = world(60).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let text = world.run(&["send", "--dry-run", &command]).await;
    for word in ["60 rows", "to be mailed   60", "1000000 recipients at most", "USD", "nothing was sent"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let told: Value = serde_json::from_str(&world.run(&["send", "--dry-run", "--json", &command]).await).unwrap();
    assert_eq!((&told["forecast"]["rows"], &told["enqueued"]), (&json!(60), &json!(false)), "{told}");
    let (code, _, error) = world.try_run(&["status", "terms"]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("no broadcast `terms`"), "{error}");

    let over = world.write("over.json", &command_body("terms", |body| body["max_recipients"] = json!(59)));
    let (code, _, error) = world.try_run(&["send", "--yes", &over]).await;
    assert!(code == Some(3) && error.contains("60 rows that can be mailed, more than max_recipients (59)"), "{error}");
    let bad = world.write("bad.json", &command_body("terms", |body| body["from"] = json!("nobody")));
    let (code, _, error) = world.try_run(&["send", "--yes", &bad]).await;
    assert!(code == Some(3) && error.contains("bad.json") && error.contains("`from`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_of_the_same_words_under_another_id_asks_for_a_reason() {
    let world = world(20).await;
    let same = |id: &str| command_body(id, |body| body["content"]["inline"]["subject"] = json!("The terms"));
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let one = world.write("one.json", &same("one"));
    world.run(&["send", "--yes", &one]).await;
    world.wait_for("one", "complete").await;
    let again = world.run(&["send", "--yes", &one]).await;
    assert!(again.contains("the broadcast one is complete already, for ever; nothing was sent to the queue"), "{again}");
    let other = world.write("other.json", &same("other"));
    let (code, _, error) = world.try_run(&["send", "--yes", &other]).await;
    assert!(code == Some(3) && error.contains("`one`") && error.contains("20 of 20") && error.contains("--again"), "{error}");
    world.run(&["send", "--yes", &other, "--again", "the link was broken"]).await;
    world.wait_for("other", "complete").await;
    consumer.end().await;
    producer.end().await;
    assert_eq!(["one", "other"].map(|id| judge(&world.cloud, id).total()), [20, 20]);
    assert!(world.run(&["audit", "other"]).await.contains("the link was broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toml_command_goes_all_the_way_and_setup_may_be_repeated() {
    let world = world(25).await;
    let again = world.run(&["setup"]).await;
    assert_eq!(again.lines().count(), 8, "{again}");
    assert!(again.lines().all(|line| line.contains("was there")), "{again}");
    let body: Value = serde_json::from_str(&command_body("terms", |_| {})).unwrap();
    let toml = format!(
        "version = 1\nbroadcast_id = \"terms\"\naudience = \"users\"\nfrom = \"Example <no-reply@example.com>\"\nmax_recipients = 100\n\
         not_after = {}\nrequested_by = \"a test\"\n[content.inline]\nsubject = \"Terms\"\ntext = \"Dear {{{{name}}}}\"\n",
        body["not_after"]
    );
    let command = world.write("command.toml", &toml);
    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    assert!(world.cloud.mails().unwrap().iter().any(|mail| mail.text == "Dear User 7"));
    let status = world.run(&["status", "terms", "--exact"]).await;
    assert!(status.contains("complete") && status.contains("25 [####################] (counted)"), "{status}");
    for service in ["producer", "consumer"] {
        assert!(!world.log(service).contains("@example.com"), "addresses in the log of the {service}");
        assert!(world.log(service).lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", world.log(service));
    }
}

/// Whatever the environment gives to threads: one that runs out of its stack is killed in the midst of a send.
#[tokio::test(flavor = "multi_thread")]
async fn services_send_although_their_environment_gives_threads_a_small_stack() {
    let mut world = world(120).await;
    world.set("RUST_MIN_STACK", "262144");
    let services = ["producer", "consumer"].map(|service| world.start(service));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    world.wait_for("terms", "complete").await;
    for service in services {
        service.end().await;
    }
    assert_eq!(judge(&world.cloud, "terms").total(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_stops_a_broadcast_for_ever() {
    let world = world(40).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let producer = world.start("producer");
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    let text = world.run(&["stop", "terms", "--reason", "wrong text"]).await;
    assert!(text.contains("is stopped"), "{text}");
    let consumer = world.start("consumer");
    let status = world.wait_for("terms", "stopped").await;
    // What a person said stays the reason; what followed by itself stands beside it.
    assert!(status["reason"].as_str().unwrap().starts_with("wrong text (arn:"), "{status}");
    assert!(status["since"].as_str().unwrap().starts_with("no permit of it was ever granted"), "{status}");
    let screen = world.run(&["status", "terms"]).await;
    assert!(screen.contains("stopped: wrong text") && screen.contains("\nsince then    no permit of it"), "{screen}");
    assert!(world.run(&["list"]).await.trim_end().ends_with("wrong text"));
    assert!(world.run(&["audit", "terms"]).await.contains("The chain of its entries holds, 4 of 4."));
    let (code, output, _) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && output.contains("the broadcast terms is stopped already, for ever; nothing was sent"), "{output}");
    // The app sends it once more all the same.
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("command.json")).await;
    let (code, _, error) = world.try_run(&["resume", "terms", "--reason", "sorry"]).await;
    assert!(code == Some(3) && error.contains("is stopped"), "{error}");
    world.wait_until_drained("ISSEI_CHUNKS_QUEUE").await;
    consumer.end().await;
    producer.end().await;
    assert_eq!((world.cloud.accepted(), &status["accepted"]), (0, &json!(0)));
}

/// From the crash to the end of the doubt: what the killed consumer had on its way was accepted, and
/// the provider's events say so.
#[tokio::test(flavor = "multi_thread")]
async fn events_end_the_doubt_that_a_killed_consumer_left() {
    let world = Processes::brisk(60, Processes::account_with_events()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::HangAfter).times(2));
    // One chunk at a time: a second one could be claimed and not yet sent when the kill comes, and
    // that doubt no event ends.
    let victim = world.start_with("consumer", &["--chunks-in-flight", "1"]);
    let mut hanging = world.cloud.hanging();
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    victim.kill_without_mercy().await;
    let consumer = world.start("consumer");
    let status = world.wait_for("terms", "complete").await;
    assert!(status["in_doubt"].as_u64().unwrap() >= 10, "{status}");
    consumer.end().await;
    assert!(world.carry_events().await >= 120);
    // Killed in the midst of its work, too; what it had in hand comes again.
    let feedback = world.start("feedback");
    world.wait_until("terms", |status| status["delivered"].as_u64() > Some(0)).await;
    feedback.kill_without_mercy().await;
    let feedback = world.start("feedback");
    let status = world.wait_until("terms", |status| status["in_doubt"] == 0 && status["delivered"].as_u64() >= Some(60)).await;
    feedback.end().await;
    producer.end().await;
    assert_eq!((status["accepted"].as_u64(), status["in_doubt"].as_u64()), (Some(60), Some(0)), "{status}\n{}", world.log("feedback"));
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_shows_what_it_would_do_and_does_it_when_told_so() {
    let world = world(60).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    world.wait_until("terms", |status| status["waiting_messages"] == 6).await;
    world.purge_chunks().await;
    let (code, output, errors) = world.try_run(&["repair", "terms", "--reason", "purged by mistake"]).await;
    assert!(code == Some(3) && output.contains("6 chunks with 60 recipients") && output.contains("--yes"), "{output}{errors}");
    let done: Value =
        serde_json::from_str(&world.run(&["repair", "terms", "--reason", "purged by mistake", "--yes", "--json"]).await).unwrap();
    assert_eq!((&done["done"], &done["repair"]["unclaimed_chunks"]), (&json!(true), &json!(6)), "{done}");
    let consumer = world.start("consumer");
    world.wait_for("terms", "complete").await;
    consumer.end().await;
    producer.end().await;
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    let (code, _, error) = world.try_run(&["repair", "terms", "--reason", "again"]).await;
    assert!(code == Some(3) && error.contains("complete"), "{error}");
    world.run(&["redrive", "chunks"]).await;
    // Nothing was restored: nothing is ended, and no trail tells of a restore that never was.
    let accept = ["accept-restored-ledger", "--reason", "a drill", "--table-name", world.table_name()];
    let (code, output, errors) = world.try_run(&accept).await;
    assert!(code == Some(3) && output.contains("was not restored"), "{output}{errors}");
    // The name of the table must be typed, and be the right one.
    world.restore_ledger().await;
    for name in ["ledger", ""] {
        let (code, output, errors) = world.try_run(&["accept-restored-ledger", "--reason", "a drill", "--table-name", name]).await;
        let why = if name.is_empty() { "was not given" } else { "`ledger` was given, and the table is" };
        assert!(code == Some(3) && output.contains("Nothing was done") && output.contains(why), "{output}{errors}");
    }
    // Services do nothing for such a ledger, so a command for it is for nobody.
    let (_, doctor, _) = world.try_run(&["doctor"]).await;
    assert!(doctor.contains("restored from a backup") && doctor.contains("issei accept-restored-ledger"), "{doctor}");
    let command = world.write("next.json", &command_body("next", |body| body["again"] = json!("a test")));
    let (code, output, errors) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && errors.contains("nothing was done: THIS LEDGER WAS RESTORED from a backup"), "{output}{errors}");
    let (code, output, errors) = world.try_run(&["accept-restored-ledger", "--reason", "a drill"]).await;
    assert!(output.contains("ends for ever none: nothing is under way"), "{output}");
    assert!(code == Some(3) && output.contains("say 1.1000000") && output.contains("Nothing was done"), "{output}{errors}");
    let accepted: Value = serde_json::from_str(&world.run(&[&accept[..], &["--json"]].concat()).await).unwrap();
    assert_eq!(accepted, json!({ "done": true, "epoch": 2, "ended": [], "silenced": null }));
}

/// From the command to the end, and the end of the services.
async fn broadcast(world: &Processes) {
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    for service in services {
        service.end().await;
    }
}

/// From the command to each send, over two kinds of processes, and nothing in it that is anybody's own.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_command_to_every_send() {
    let collector = Collector::start().await;
    let mut world = Processes::new(100, Account::default()).await;
    world.set("ISSEI_OTLP_ENDPOINT", collector.url());
    broadcast(&world).await;
    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let ids = |spans: &[&Span]| spans.iter().map(|span| span.span_id.clone()).collect::<BTreeSet<_>>();
    let (broadcast, pages, chunks, sends) = (named("broadcast"), named("page"), named("chunk"), named("send"));
    assert_eq!((broadcast.len(), pages.len(), chunks.len(), sends.len()), (1, 4, 10, 10));
    for (below, above) in [(&pages, &broadcast), (&chunks, &pages), (&sends, &chunks)] {
        let above = ids(above);
        assert!(below.iter().all(|span| above.contains(&span.parent_span_id)), "{below:?}");
    }
    assert!(spans.iter().all(|span| span.trace_id == broadcast[0].trace_id));
    let told = collector.bodies().concat();
    for (_, address) in world.users.all().await {
        let address = address.unwrap();
        assert!(!told.windows(address.len()).any(|part| part == address.as_bytes()), "{address} is in a trace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_nothing_and_is_told_of_while_it_is() {
    let mut world = Processes::new(20, Account::default()).await;
    world.set("ISSEI_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    // Nothing is left for whoever ends to find.
    until("it is told that spans are lost", async || world.log("consumer").contains("spans are lost")).await;
    producer.end().await;
    consumer.end().await;
}
