//! Before the day: what is deployed is looked at, and the whole is rehearsed.

use std::time::Duration;

use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Process, Processes, command_body, judge, until, write_keys};
use serde_json::{Value, json};

fn findings(output: &str) -> Vec<(String, String)> {
    let value: Value = serde_json::from_str(output).unwrap();
    let bad = value["findings"].as_array().unwrap().iter().filter(|finding| finding["judgement"] != "holds");
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    bad.map(|finding| (text(finding, "what"), text(finding, "mend"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_names_what_is_wrong_and_the_command_that_mends_it() {
    let world = Processes::brisk(100, Processes::account_with_events()).await;
    crate::writers::keep_others_out(&world, &[]).await;
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    for service in ["producer", "consumer", "feedback"] {
        world.wait_for_heartbeat(service).await;
    }
    // The event of the probe's mail goes all the way, as SNS carries it.
    let doctor = world.try_run(&["doctor", "--audience", "users", "--from", "no-reply@example.com", "--probe", "--json"]);
    let carry = async {
        loop {
            world.carry_events().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (code, output, errors) = tokio::select! {
        ended = doctor => ended,
        () = carry => unreachable!(),
    };
    assert_eq!((code, findings(&output)), (Some(0), Vec::new()), "{errors}");
    // Whoever does not wait for the event has what was found until then.
    let before = world.cloud.accepted();
    let probing = world.start_with("doctor", &["--from", "no-reply@example.com", "--probe", "--json"]);
    until("the probe's mail is sent", async || world.cloud.accepted() > before).await;
    assert_eq!(probing.interrupt().await, Some(130), "{}", world.log("doctor"));
    let told: Value = serde_json::from_str(&world.printed("doctor")).unwrap();
    assert!(told["findings"].as_array().unwrap().len() > 10 && told.to_string().contains("interrupted before it was heard of"), "{told}");

    // A change behind its back, of each kind.
    let (sqs, url) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    let visibility = aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
    sqs.set_queue_attributes().queue_url(&url).attributes(visibility.clone(), "10").call().await.unwrap();
    world.cloud.configure(|account| {
        account.sandbox = true;
        account.events.queue = None;
        account.event_source = Some(json!({ "UUID": "1", "State": "Enabled", "FunctionArn": "arn:aws:lambda:us-east-1:0:function:old" }));
        account.max_24_hour_send = 50.0;
    });
    let (code, output, _) = world.try_run(&["doctor", "--audience", "users", "--lease-ms", "5300", "--json"]).await;
    assert_eq!(code, Some(3));
    let found = findings(&output);
    let names = |part: &str| found.iter().any(|(what, mend)| what.contains(part) && !mend.is_empty());
    for part in [
        "visibility timeout",
        "events",
        "sandbox",
        "chunks-",
        "event source",
        "quota for audience users",
        "settings of those alive",
        "timeouts of those alive",
    ] {
        assert!(names(part), "{part}: {found:?}");
    }
    // An event source is told of each of the three queues.
    assert_eq!(found.len(), 9, "{found:?}");
    for service in services {
        service.end().await;
    }
    let (_, output, _) = world.try_run(&["doctor", "--json"]).await;
    assert!(findings(&output).iter().any(|(what, mend)| what == "consumers alive" && mend == "start `issei consumer`"), "{output}");
    // A batch window keeps messages for longer than the visibility timeout allows for.
    for (window, holds) in [(0, true), (1, false)] {
        world.cloud.configure(|account| {
            account.event_source = Some(json!({
                "UUID": "1", "State": "Enabled", "FunctionArn": "arn:aws:lambda:us-east-1:0:function:consumer",
                "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": { "MaximumConcurrency": 2 },
                "MaximumBatchingWindowInSeconds": window
            }));
        });
        let (_, output, _) = world.try_run(&["doctor", "--json"]).await;
        let of_feedback = |what: &str| what.starts_with("queue feedback-") && what.ends_with("event source");
        assert_ne!(findings(&output).iter().any(|(what, _)| of_feedback(what)), holds, "window {window}: {output}");
    }
    // A timeout that breaks the chain is refused before anything is looked at.
    let (code, _, error) = world.try_run(&["doctor", "--lease-ms", "100"]).await;
    assert!(code == Some(1) && error.contains("lease_ms"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_that_the_ledger_is_closed_and_that_there_are_dead_letters() {
    let world = Processes::new(5, Processes::account_with_events()).await;
    let consumer = world.start("consumer");
    world.post("ISSEI_CHUNKS_QUEUE", "poison").await;
    world.run(&["stop", "--all", "--reason", "a drill"]).await;
    for (what, mend) in [("new broadcasts", "issei open"), ("dead letters of the chunks queue", "issei dead-letters chunks")] {
        until(format!("doctor says: {what}"), async || {
            let (_, output, _) = world.try_run(&["doctor", "--json"]).await;
            findings(&output).iter().any(|(found, how)| found.contains(what) && how.contains(mend))
        })
        .await;
    }
    world.run(&["open", "--reason", "the drill is over"]).await;
    let (_, output, _) = world.try_run(&["doctor", "--json"]).await;
    assert!(!findings(&output).iter().any(|(found, _)| found == "new broadcasts"), "{output}");
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_rehearsed_at_its_size_may_begin() {
    let account = Account { max_send_rate: 50.0, ..Processes::account_with_events() };
    let mut world = Processes::brisk(100, account).await;
    world.set("ISSEI_REQUIRE_REHEARSAL", "true");
    let (private, public) = write_keys(&world, "ours", 1);
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    for service in ["producer", "consumer", "feedback"] {
        world.wait_for_heartbeat(service).await;
    }
    // Neither from the command line, nor by an app that puts its command on the queue itself.
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let (code, _, error) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("never rehearsed") && error.contains("issei rehearse --recipients 100"), "{error}");
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("unrehearsed", |_| {})).await;
    let refused = world.wait_for("unrehearsed", "stopped").await;
    assert!(refused["reason"].as_str().unwrap().contains("never rehearsed"), "{refused}");
    assert_eq!(world.cloud.accepted(), 0);

    // With other settings than the services have it is no rehearsal.
    let rehearse = ["rehearse", "--recipients", "400", "--from", "no-reply@example.com"];
    let (code, _, error) = world.try_run(&[&rehearse[..], &["--lease-ms", "5300"]].concat()).await;
    assert!(code == Some(1) && error.contains("other settings"), "{error}");

    let arguments = [&rehearse[..], &["--signing-key", &private, "-o", "rehearsal.json"]].concat();
    let rehearsal = world.try_run(&arguments);
    let carry = async {
        loop {
            world.carry_events().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (code, output, errors) = tokio::select! {
        ended = rehearsal => ended,
        () = carry => unreachable!(),
    };
    assert_eq!(code, Some(0), "{output}{errors}");
    assert!(output.starts_with("CONVERGED") && output.contains("rehearsed with 400 recipients"), "{output}");
    let verified: Value = serde_json::from_str(&world.run(&["verify", "rehearsal.json", "--public-key", &public, "--json"]).await).unwrap();
    assert_eq!((&verified["kind"], &verified["outcomes"]["delivered"]), (&"rehearsal".into(), &400.into()), "{verified}");
    // Twice asked for, messages doubled, paused and resumed: each simulated mailbox once.
    let id = verified["broadcast_id"].as_str().unwrap();
    let judged = judge(&world.cloud, id);
    assert_eq!((judged.total(), judged.duplicates()), (400, Vec::new()));
    assert!(judged.accepted.keys().all(|address| address.ends_with("@simulator.amazonses.com")));
    let trail = world.run(&["audit", id]).await;
    assert!(trail.contains("running -> paused") && trail.contains("paused -> running"), "{trail}");

    // Now it may, up to that size, with that version and those settings.
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    let (code, _, error) =
        world.try_run(&["send", "--yes", &world.write("other.json", &command_body("other", |_| {})), "--lease-ms", "5300"]).await;
    assert!(code == Some(3) && error.contains("never rehearsed"), "{error}");
    for id in 101..=401 {
        world.users.execute(&format!("INSERT INTO users (id, email, name) VALUES ({id}, 'more{id}@example.com', 'More')")).await;
    }
    let (code, _, error) = world.try_run(&["send", "--yes", &world.write("large.json", &command_body("large", |_| {}))]).await;
    assert!(code == Some(3) && error.contains("had 400 recipients, and this broadcast has 401"), "{error}");
    for service in services {
        service.end().await;
    }
}
