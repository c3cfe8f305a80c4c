//! Stopping everything, and asking what happened.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_clock::{Clock, Dice};
use issei_ledger::Ledger;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Carrier, Process, Processes, command_body, judge, seen, until};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::console::{Door, csrf_of};
use crate::proving::{self, Shown};

#[tokio::test(flavor = "multi_thread")]
async fn stop_all_ends_everything_and_nothing_begins_until_it_is_opened() {
    // Slow enough for minutes of work to be left, however long the stop takes to begin.
    let world = Processes::new(2_000, Account { max_send_rate: 10.0, ..Account::default() }).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(50)));
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    for id in ["terms", "privacy"] {
        let command = world.write(&format!("{id}.json"), &command_body(id, |_| {}));
        world.run(&["send", "--yes", &command]).await;
    }
    // What is not frozen yet is stopped in another way.
    world.wait_for("privacy", "running").await;
    world.wait_for_accepted(20).await;
    let stopped = world.run(&["stop", "--all", "--hard", "--reason", "wrong text", "--json"]).await;
    let after = world.cloud.accepted();
    let stopped: Value = serde_json::from_str(&stopped).unwrap();
    let all = stopped["stopped"].as_array().unwrap();
    assert!(all.len() == 2 && all.iter().all(|one| one["proved"] == true && one["state"] == "stopped"), "{stopped}");
    assert!(after < 2_000, "{after} accepted");
    // Not even somebody with the credentials and no idea of any ledger can send through the set.
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
    let command = world.write("next.json", &command_body("next", |_| {}));
    let (code, _, error) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("refused: new broadcasts: refused since") && error.contains("wrong text"), "{error}");
    // An app asks nobody first.
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("next.json")).await;
    let reason = seen("it is refused", async || world.dead_reasons("ISSEI_COMMANDS_QUEUE").await.pop()).await;
    assert!(reason.contains("wrong text") && reason.contains("issei open"), "{reason}");
    until("the refusal is told", async || world.try_run(&["status", "next"]).await.0 == Some(3)).await;
    let (_, text, _) = world.try_run(&["status", "next"]).await;
    assert!(text.contains("refused") && text.contains("wrong text"), "{text}");
    assert_eq!(world.cloud.accepted(), after, "sent after the stop was proved");

    let opened = world.run(&["open", "--reason", "the text is right now"]).await;
    assert!(opened.contains("wrong text"), "{opened}");
    assert_eq!(world.forgotten_sender().await, "SUCCESS");
    world.cloud.configure(|account| account.max_send_rate = 10_000.0);
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("next", "complete").await;
    assert_eq!(world.wait_for("terms", "stopped").await["state"], "stopped");
    let list: Vec<String> =
        world.run(&["list"]).await.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(list, ["next complete", "privacy stopped", "terms stopped"]);
    let trail = world.run(&["audit", "terms"]).await;
    assert!(trail.contains("by arn:aws:iam::000000000000:user/operator: wrong text"), "{trail}");
    for service in services {
        service.end().await;
    }
    judge(&world.cloud, "next").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
}

/// Three broadcasts whose audiences are frozen, and one of whose items somebody has broken; and what is no
/// broadcast in the list of those that are open.
async fn three_of_which_one_cannot_be_read() -> Processes {
    let world = Processes::new(30, Account::default()).await;
    let producer = world.start("producer");
    for id in ["prices", "privacy", "terms"] {
        let command = world.write(&format!("{id}.json"), &command_body(id, |_| {}));
        world.run(&["send", "--yes", &command]).await;
        world.wait_for(id, "running").await;
    }
    producer.end().await;
    world.break_broadcast("privacy").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_all_goes_on_after_a_broadcast_that_cannot_be_read_and_names_it() {
    let world = three_of_which_one_cannot_be_read().await;
    let (code, output, error) = world.try_run(&["stop", "--all", "--reason", "wrong text", "--json"]).await;
    assert_eq!(code, Some(1), "{output}{error}");
    let told: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    let stopped: Vec<&str> = told["stopped"].as_array().unwrap().iter().filter_map(|one| one["broadcast_id"].as_str()).collect();
    assert_eq!((stopped, &told["closed"]), (vec!["prices", "terms"], &json!(true)), "{told}");
    let failed: Vec<&str> = told["failed"].as_array().unwrap().iter().filter_map(|one| one["what"].as_str()).collect();
    assert_eq!(failed, ["an entry of the list of open broadcasts", "broadcast `privacy`"], "{told}");
    // What to do about the one that may go on.
    assert!(error.contains("privacy") && error.contains("--hard") && error.contains("revoke that provider's key"), "{error}");
    for id in ["prices", "terms"] {
        world.wait_for(id, "stopped").await;
    }
    let (code, list, error) = world.try_run(&["list"]).await;
    assert!(code == Some(1) && list.lines().count() == 3 && error.contains("privacy"), "{list}{error}");
    // And --hard takes care of it.
    let (code, output, error) = world.try_run(&["stop", "--all", "--hard", "--reason", "wrong text"]).await;
    assert!(code == Some(1) && error.contains("privacy"), "{output}{error}");
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
}

/// Whose item is broken is kept from being sent all the same, and SES is not shut for what another carries.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_cannot_be_read_is_granted_nothing_any_more_once_somebody_stops_it() {
    let world = Processes::new(30, Account::default()).await;
    let producer = world.start("producer");
    let command = world.write("terms.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    producer.end().await;
    let (db, table) = world.table().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = db.update_item().table_name(&table).key("pk", text("b#terms")).key("sk", text("broadcast"));
    let update = update.update_expression("SET recipients = :broken, provider = :resend");
    update
        .expression_attribute_values(":broken", text("many"))
        .expression_attribute_values(":resend", text("resend"))
        .call()
        .await
        .unwrap();
    let (code, output, error) = world.try_run(&["stop", "terms", "--hard", "--reason", "wrong text"]).await;
    assert!(code == Some(1) && output.contains("Revoke the key of resend"), "{output}{error}");
    assert!(error.contains("all the same it is `stopping` now") && error.contains("what resend carries nothing here stops"), "{error}");
    assert!(!error.contains("SES"), "{error}");
    assert_ne!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED", "SES was shut for everybody");
    let item = db.get_item().table_name(&table).key("pk", text("b#terms")).key("sk", text("broadcast")).call().await.unwrap().item.unwrap();
    assert_eq!(item["broadcast_state"], text("stopping"));
    assert!(item["stopped_unread"].as_s().unwrap().ends_with(": wrong text"), "{item:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_provider_that_does_not_answer() {
    let world = Processes::new(30, Account::default()).await;
    let producer = world.start("producer");
    for id in ["privacy", "terms"] {
        let command = world.write(&format!("{id}.json"), &command_body(id, |_| {}));
        world.run(&["send", "--yes", &command]).await;
        world.wait_for(id, "running").await;
    }
    producer.end().await;
    world.cloud.inject(Rule::every("PutConfigurationSetSendingOptions", Fault::HangBefore));
    let (code, output, error) = world.try_run(&["stop", "terms", "--hard", "--reason", "wrong text", "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    assert_eq!((code, &told["stopped"][0]["state"], &told["sending_off"]), (Some(1), &json!("stopped"), &json!(false)), "{told}");
    assert!(error.contains("the provider") && error.contains("can't be switched"), "{error}");
    // It is stopped, so nothing is said of what is not.
    assert!(error.contains("nothing more is granted") && !error.contains("may go on sending"), "{error}");
    let (code, output, error) = world.try_run(&["stop", "--all", "--hard", "--reason", "wrong text"]).await;
    assert!(code == Some(1) && output.contains("privacy is stopped"), "{output}{error}");
    assert!(output.contains("New broadcasts are refused"), "{output}");
    // It answers again.
    world.cloud.heal();
    world.run(&["stop", "terms", "--hard", "--reason", "wrong text"]).await;
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
    // Somebody at AWS, or another ledger with the same configuration set, lets it send.
    world.let_ses_send().await;
    let (_, output, error) = world.try_run(&["doctor"]).await;
    assert!(
        output.contains("on, though it was shut ") && output.contains("(wrong text), and nobody has opened it here since"),
        "{output}{error}"
    );
}

/// An order to let SES send is on its way when a colleague stops `what` by force, and leaves SES shut.
async fn shut_while_it_is_opened(world: &Processes, what: &str) {
    world.cloud.inject(Rule::every("PutConfigurationSetSendingOptions", Fault::LateMs(4_000)).times(1));
    let mut hanging = world.cloud.hanging();
    let open = ["open", "--reason", "it is right now"];
    let (opened, ()) = tokio::join!(world.try_run(&open), async {
        hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
        world.run(&["stop", what, "--hard", "--reason", "another wrong text"]).await;
    });
    let (code, output, error) = opened;
    assert!(code == Some(3) && output.contains("SES was shut again") && output.contains("another wrong text"), "{output}{error}");
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
}

/// Their order to let SES send was on its way when a colleague ended everything: whoever stops by force has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_open_that_takes_long_leaves_ses_shut_where_a_colleague_has_stopped_all_by_force_since() {
    let world = Processes::new(5, Account::default()).await;
    world.run(&["stop", "--all", "--hard", "--reason", "wrong text"]).await;
    shut_while_it_is_opened(&world, "--all").await;
    let told: Value = serde_json::from_str(&world.run(&["open", "--reason", "it is right now", "--json"]).await).unwrap();
    assert_eq!((&told["opened"], &told["ended"]["reason"]), (&json!(true), &json!("another wrong text")), "{told}");
    assert_eq!(world.forgotten_sender().await, "SUCCESS");
}

/// A stop of one broadcast closes nothing for others, and binds whoever is opening all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_open_that_is_under_way_leaves_ses_shut_where_a_colleague_has_stopped_one_broadcast_by_force_since() {
    let world = Processes::new(5, Account::default()).await;
    let producer = world.start("producer");
    let command = world.write("terms.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    producer.end().await;
    world.run(&["stop", "--all", "--hard", "--reason", "wrong text"]).await;
    shut_while_it_is_opened(&world, "terms").await;
    // Whoever repeats it knows of the other's order.
    let told: Value = serde_json::from_str(&world.run(&["open", "--reason", "it is right now", "--json"]).await).unwrap();
    assert_eq!(told["opened"], true, "{told}");
    assert_eq!(world.forgotten_sender().await, "SUCCESS");
}

/// A slip of the pen in an id costs nobody else anything. What does not answer says nothing of what there is, and SES is shut.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_ledger_does_not_know_shuts_ses_for_nobody_and_a_ledger_that_does_not_answer_does() {
    let mut world = Processes::new(5, Account::default()).await;
    let producer = world.start("producer");
    let command = world.write("terms.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    producer.end().await;
    let (code, output, error) = world.try_run(&["stop", "term", "--hard", "--reason", "wrong text"]).await;
    assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
    for part in ["there is no broadcast `term`", "nothing was stopped", "issei list", "issei stop --all --hard"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(world.forgotten_sender().await, "SUCCESS", "SES was shut for everybody");
    world.wait_for("terms", "running").await;

    world.set("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9");
    let (code, output, error) = world.try_run(&["stop", "term", "--hard", "--reason", "wrong text"]).await;
    assert!(code == Some(1) && output.contains("may not send until `issei open`"), "{code:?} {output}{error}");
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
}

/// It waits for an approval, and a consumer that was killed can't say that it holds nothing. There is nothing that it could hold.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_granted_a_permit_is_proved_at_once_whoever_is_silent() {
    for carrier in [None, Some(Carrier::Resend)] {
        let mut world = Processes::simulated(20, Account::default()).await;
        if let Some(carrier) = carrier {
            world.carried_by(carrier, 100.0);
        }
        let (producer, consumer) = (world.start("producer"), world.start("consumer"));
        world.wait_for_heartbeat("consumer").await;
        consumer.kill_without_mercy().await;
        for id in ["terms", "privacy"] {
            let body = command_body(id, |body| {
                (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into());
                if let Some(carrier) = carrier {
                    body["provider"] = carrier.name().into();
                }
            });
            world.post("ISSEI_COMMANDS_QUEUE", &body).await;
            world.wait_for(id, "holding").await;
        }
        producer.end().await;
        let told = world.run(&["stop", "terms", "--reason", "wrong text"]).await;
        assert!(told.contains("terms: no permit of it was ever granted.") && !told.contains("Waiting for"), "{told}");
        let trail = world.run(&["audit", "terms"]).await;
        assert!(trail.contains("stopping -> stopped") && trail.contains("no permit of it was ever granted"), "{trail}");
        let told: Value = serde_json::from_str(&world.run(&["stop", "privacy", "--reason", "wrong text", "--json"]).await).unwrap();
        let stopped = &told["stopped"][0];
        let by = carrier.map_or("ses", Carrier::name);
        assert_eq!((&stopped["proved"], &stopped["reason"], &stopped["provider"]), (&json!(true), &json!(null), &json!(by)), "{told}");
    }
}

/// The same in the console, whose form threatens with nothing that can't come; and nobody is told to wait for a letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_console_of_what_was_never_granted_a_permit_is_proved_at_once() {
    let world = Processes::simulated(20, Account::default()).await;
    let producer = world.start("producer");
    for id in ["terms", "privacy"] {
        let body = command_body(id, |body| (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into()));
        world.post("ISSEI_COMMANDS_QUEUE", &body).await;
        world.wait_for(id, "holding").await;
    }
    producer.end().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/b/terms").await;
    assert!(page.contains("No permit of it was ever granted.") && !page.contains("for this many seconds"), "{page}");
    let csrf = csrf_of(&page);
    let stopped = door.post("/b/terms/stop", &format!("csrf={csrf}&reason=wrong&confirm=terms")).await;
    for part in ["no permit of it was ever granted; nothing of it can be sent or accepted any more", "id=\"proved\""] {
        assert!(stopped.contains(part), "{part}: {stopped}");
    }
    assert!(world.run(&["audit", "terms"]).await.contains("stopping -> stopped"));
    console.end().await;
    // Of one whose end nobody has written yet, nothing comes either.
    let (dynamodb, table) = world.table().await;
    let ledger = Ledger::new(dynamodb, table, Clock::system(), Dice::system(), Duration::from_hours(1));
    ledger.end(&"privacy".parse().unwrap(), &"an operator".parse().unwrap(), "wrong").await.unwrap();
    let told = world.run(&["who", "1", "--broadcast", "privacy"]).await;
    assert!(told.contains("was not sent to you.") && !told.contains("sent to you yet"), "{told}");
}

/// Whoever automates a stop learns from it why it is not proved, by whom it may come, and what ends that: the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_why_a_stop_is_not_proved_and_who_carries_it() {
    let mut world = Processes::simulated(300, Account::default()).await;
    world.carried_by(Carrier::Resend, 10.0);
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &Carrier::Resend.command("terms")).await;
    world.wait_for_accepted(10).await;
    consumer.kill_without_mercy().await;
    let (code, output, error) = world.try_run(&["stop", "terms", "--reason", "wrong text", "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    let stopped = &told["stopped"][0];
    assert_eq!((code, &stopped["proved"], &stopped["provider"]), (Some(3), &json!(false), &json!("resend")), "{told}");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("its provider refuses no request for its age") && reason.contains("issei repair terms --key-revoked --reason"),
        "{told}"
    );
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/b/terms").await;
    assert!(page.contains("No new request begins.") && !page.contains("id=\"proved\""), "{page}");

    let of_requests = async || {
        let (_, certificate, errors) = world.try_run(&["certify", "terms", "--json"]).await;
        let certificate: Value = serde_json::from_str(&certificate).unwrap_or_else(|error| panic!("{error}: {errors}"));
        let finding = certificate["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "claims: open ones").cloned();
        finding.unwrap()
    };
    let finding = of_requests().await;
    assert!(finding["judgement"] == "broken", "a certificate calls over what the stop does not: {finding}");

    world.run(&["repair", "terms", "--key-revoked", "--yes", "--reason", "deleted in the dashboard, ticket 12"]).await;
    assert_eq!(of_requests().await["judgement"], "holds");
    let told: Value = serde_json::from_str(&world.run(&["stop", "terms", "--reason", "wrong text", "--json"]).await).unwrap();
    assert_eq!((&told["stopped"][0]["proved"], &told["stopped"][0]["reason"]), (&json!(true), &json!(null)), "{told}");
    // At once, and nobody who is silent is waited for.
    let told = world.run(&["stop", "terms", "--reason", "wrong text"]).await;
    assert!(told.contains("nothing of it can be sent or accepted any more.") && !told.contains("Waiting"), "{told}");
    until("the console says so", async || door.get("/b/terms").await.contains("id=\"proved\"")).await;
    console.end().await;
    producer.end().await;
}

/// No time proves the stop of what another provider than SES carries, nor does it take the proof away that everybody gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_everybody_has_said_is_proved_again_however_long_ago_it_was() {
    let mut world = Processes::simulated(300, Account::default()).await;
    world.carried_by(Carrier::Resend, 10.0);
    // So long that each can say it first.
    let (producer, consumer) = (world.start("producer"), world.start_with("consumer", &["--request-lifetime-s", "40"]));
    world.post("ISSEI_COMMANDS_QUEUE", &Carrier::Resend.command("terms")).await;
    world.wait_for_accepted(10).await;
    let stop = ["stop", "terms", "--reason", "wrong text", "--json"];
    let first: Value = serde_json::from_str(&world.run(&stop).await).unwrap();
    assert_eq!(first["stopped"][0]["proved"], true, "{first}");
    // Longer than SES would take a request.
    tokio::time::sleep(Duration::from_secs(45)).await;
    let (_, again, error) = world.try_run(&stop).await;
    let again: Value = serde_json::from_str(&again).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!(again["stopped"][0]["proved"], true, "{again}");
    producer.end().await;
    consumer.end().await;
}

/// Whoever approves the rest sees what is sent, as before a first send; and whoever stops it with nothing out is told no number of
/// seconds for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_canarys_hold_shows_the_letter_and_a_stop_says_that_nothing_is_out() {
    let world = Processes::simulated(30, Account::default()).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["in_doubt"] == 0 && status["accepted"] == 10).await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/b/terms").await;
    assert!(page.contains("id=\"form-approve\"") && page.contains("<iframe id=\"letters\""), "{page}");
    let letters = door.get("/b/terms/letters").await;
    assert!(letters.contains("the first: key 1") && letters.contains("Terms for User 1"), "{letters}");
    let told = world.run(&["stop", "terms", "--reason", "wrong text"]).await;
    assert!(
        told.contains("terms: nothing of it is out: each recipient who had a permit has an outcome.") && !told.contains("at most 0"),
        "{told}"
    );
    console.end().await;
    producer.end().await;
    consumer.end().await;
}

/// Holds before it is sent to more than a few, carried by Resend, and no consumer has anything to do.
async fn holding_at_resend() -> (Processes, Process, Process) {
    let mut world = Processes::simulated(30, Account::default()).await;
    world.carried_by(Carrier::Resend, 100.0);
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let mut body: Value = serde_json::from_str(&Carrier::Resend.command("terms")).unwrap();
    body["canary"] = json!(10);
    world.post("ISSEI_COMMANDS_QUEUE", &body.to_string()).await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["in_doubt"] == 0 && status["accepted"] == 10).await;
    (world, producer, consumer)
}

/// A consumer that slept through the stop says when it wakes that it holds nothing. That is written down, once, and holds for the
/// certificate, too, whatever becomes of the consumer.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_consumer_says_that_was_asleep_when_it_was_stopped_is_written_down_by_the_next_stop() {
    let (mut world, producer, consumer) = holding_at_resend().await;
    // Nobody counts: that would be the feedback consumer.
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let noted = async |world: &Processes| world.run(&["audit", "terms"]).await.matches("nothing held").count();
    consumer.freeze();
    let stop = ["stop", "terms", "--reason", "wrong text"];
    let (code, told, error) = world.try_run(&stop).await;
    assert!(code == Some(3) && told.contains("not proved: its provider refuses no request for its age"), "{told}{error}");
    assert_eq!(noted(&world).await, 0);
    assert_eq!(proving::shown(&door).await, Shown::Unproved);
    let open_claims = async |world: &Processes| {
        let (_, certificate, errors) = world.try_run(&["certify", "terms", "--json"]).await;
        let certificate: Value = serde_json::from_str(&certificate).unwrap_or_else(|error| panic!("{error}: {errors}"));
        certificate["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "claims: open ones").unwrap().clone()
    };
    let found = open_claims(&world).await;
    assert!(found["judgement"] == "broken" && found["value"].as_str().unwrap().contains("while a consumer was silent"), "{found}");
    let record = ["repair", "terms", "--key-revoked", "--reason", "deleted in the dashboard"];
    let (code, shown, _) = world.try_run(&record).await;
    assert!(code == Some(3) && shown.contains("stop          not proved, since a consumer that is silent"), "{shown}");

    consumer.thaw();
    assert_eq!(proving::shown(&door).await, Shown::Unproved, "nobody has asked it");
    // So long that it can say it.
    world.set("ISSEI_REQUEST_LIFETIME_S", "40");
    world.run(&stop).await;
    assert_eq!(noted(&world).await, 1);
    until("the console calls it proved, too", async || proving::shown(&door).await == Shown::Proved).await;
    let found = open_claims(&world).await;
    assert_eq!(found["judgement"], "holds", "{found}");
    let shown = world.run(&record).await;
    assert!(shown.contains("nobody is in doubt, and its stop is proved, so there is nothing to record"), "{shown}");
    // Nobody can say it a second time, and nobody has to.
    consumer.kill_without_mercy().await;
    let told = world.run(&stop).await;
    assert!(told.contains("nothing of it can be sent or accepted any more.") && !told.contains("Waiting"), "{told}");
    assert_eq!(noted(&world).await, 1, "it is written down once");
    assert_eq!(proving::shown(&door).await, Shown::Proved);
    console.end().await;
    producer.end().await;
}

/// Nobody but SES refuses what is old. So nobody calls over what a consumer may hold because it was silent for hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_silent_for_hours_is_waited_for_where_its_provider_takes_what_is_old() {
    let (world, producer, consumer) = holding_at_resend().await;
    consumer.kill_without_mercy().await;
    producer.end().await;
    // It was all this morning.
    let (db, table) = world.table().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let now = Clock::system().wall();
    let ago = |hours| text(&now.checked_sub(SignedDuration::from_hours(hours)).unwrap().to_string());
    let set = async |key: [AttributeValue; 2], name: &str, at: AttributeValue| {
        let [pk, sk] = key;
        let update = db.update_item().table_name(&table).key("pk", pk).key("sk", sk).update_expression("SET #name = :at");
        update.expression_attribute_names("#name", name).expression_attribute_values(":at", at).call().await.unwrap();
    };
    set([text("b#terms"), text("broadcast")], "created_at", ago(9)).await;
    for run in db.scan().table_name(&table).call().await.unwrap().items.unwrap() {
        if run["pk"].as_s().unwrap().starts_with("services#") && run["sk"].as_s().unwrap().starts_with("consumer#") {
            set([run["pk"].clone(), run["sk"].clone()], "seen_at", ago(8)).await;
        }
    }
    let stop = ["stop", "terms", "--reason", "wrong text"];
    for _ in 0..2 {
        let (code, told, error) = world.try_run(&stop).await;
        assert!(code == Some(3) && told.contains("not proved: its provider refuses no request for its age"), "{told}{error}");
    }
    let trail = world.run(&["audit", "terms"]).await;
    assert!(!trail.contains("nothing held") && !trail.contains("every consumer has said"), "{trail}");
    world.run(&["repair", "terms", "--key-revoked", "--yes", "--reason", "deleted in the dashboard"]).await;
    assert!(world.run(&stop).await.contains("nothing of it can be sent or accepted any more."));
}

/// Whoever stopped it first has not waited to the end: what is over of the wait is not waited for again, and whoever is waited for
/// is named, with how long they have said nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_repeated_waits_for_what_is_left_and_names_who_is_silent() {
    let mut world = Processes::simulated(30, Account::default()).await;
    world.set("ISSEI_REQUEST_LIFETIME_S", "40");
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["in_doubt"] == 0 && status["accepted"] == 10).await;
    consumer.kill_without_mercy().await;
    producer.end().await;
    let (db, table) = world.table().await;
    let seen = Clock::system().wall().checked_sub(SignedDuration::from_mins(9)).unwrap();
    for run in db.scan().table_name(&table).call().await.unwrap().items.unwrap() {
        if run["pk"].as_s().unwrap().starts_with("services#") && run["sk"].as_s().unwrap().starts_with("consumer#") {
            let update = db.update_item().table_name(&table).key("pk", run["pk"].clone()).key("sk", run["sk"].clone());
            let update =
                update.update_expression("SET seen_at = :at").expression_attribute_values(":at", AttributeValue::S(seen.to_string()));
            update.call().await.unwrap();
        }
    }
    // It was stopped 40 s ago, of the 45 s after which SES takes nothing any more, by somebody who has left.
    let clock = Clock::starting_at(Clock::system().wall().checked_sub(SignedDuration::from_secs(40)).unwrap());
    let ledger = Ledger::new(db, table, clock, Dice::system(), Duration::from_hours(1));
    ledger.end(&"terms".parse().unwrap(), &"an operator".parse().unwrap(), "wrong").await.unwrap();

    let stop = ["stop", "terms", "--reason", "wrong text"];
    let told = world.run(&stop).await;
    let number = |before: &str| -> u64 {
        let (_, after) = told.split_once(before).unwrap_or_else(|| panic!("{before}: {told}"));
        after.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{before}: {told}"))
    };
    assert!(told.contains("nothing of it is out") && number("Waiting for ") <= 5, "{told}");
    assert!(told.contains("(silent for 9 min)"), "{told}");
    assert!(told.contains("nothing of it can be sent or accepted any more."), "{told}");
    // There is nothing left, and nothing is threatened with.
    let told = world.run(&stop).await;
    assert!(told.contains("nothing of it can be sent or accepted any more."), "{told}");
    assert!(!told.contains("may still be sent to") && !told.contains("Waiting"), "{told}");
}

/// Somebody lets SES send, in AWS's own console, while whoever stopped by force waits for the permits to expire.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_force_is_not_proved_where_somebody_lets_ses_send_before_its_end() {
    let world = Processes::new(30, Account::default()).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;
    consumer.kill_without_mercy().await;
    let stop = ["stop", "terms", "--hard", "--reason", "wrong text", "--json"];
    let ((code, told, error), ()) = tokio::join!(world.try_run(&stop), async {
        until("SES is shut", async || world.forgotten_sender().await == "CONFIGURATION_SET_SENDING_PAUSED").await;
        let set = world.named("ISSEI_CONFIGURATION_SET");
        let open = world.provider().await.put_configuration_set_sending_options().configuration_set_name(set).sending_enabled(true);
        open.call().await.unwrap();
    });
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"));
    let stopped = &told["stopped"][0];
    assert_eq!((code, &stopped["proved"], &stopped["only_while_shut"]), (Some(3), &json!(false), &json!(false)), "{told}");
    assert!(stopped["reason"].as_str().unwrap().starts_with("SES was shut, and by now it may send again"), "{told}");
    producer.end().await;
}

/// A colleague's order came before this one had got as far as SES: then SES need not send for a moment, either.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_open_that_finds_a_stop_by_force_before_it_reaches_ses_never_lets_it_send() {
    const SWITCH: &str = "PutConfigurationSetSendingOptions";
    let world = Processes::simulated(5, Account::default()).await;
    let producer = world.start("producer");
    let command = world.write("terms.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    producer.end().await;
    let slow = Fault::DelayMs(3_000);
    world.cloud.inject(Rule::every("PutItem", slow).holding("opened_by").times(1));
    world.cloud.inject(Rule::every(SWITCH, Fault::DelayMs(1)));
    let ((code, told, error), ()) = tokio::join!(world.try_run(&["open", "--reason", "it is right now"]), async {
        until("the order to open is on its way", async || world.cloud.befallen("PutItem", slow) > 0).await;
        world.run(&["stop", "terms", "--hard", "--reason", "another wrong text"]).await;
    });
    assert!(code == Some(3) && told.contains("SES was left as it is") && told.contains("another wrong text"), "{told}{error}");
    assert_eq!(world.cloud.befallen(SWITCH, Fault::DelayMs(1)), 1, "SES was switched by whoever stopped alone");
    assert_eq!(world.forgotten_sender().await, "CONFIGURATION_SET_SENDING_PAUSED");
}

/// By force it is stopped while somebody may hold permits: SES alone keeps these from being sent, until it is opened again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_force_is_proved_while_ses_is_shut_and_after_that_by_the_same_rule_as_every_other() {
    const PROVED: &str = "nothing of it can be sent or accepted any more";
    let world = Processes::new(30, Account::default()).await;
    let (producer, consumer) = (world.start("producer"), world.start_with("consumer", &["--request-lifetime-s", "40"]));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["canary"] = json!(10))).await;
    world.wait_for("terms", "holding").await;
    // It does not say any more what it holds, as one whose machine is suspended.
    consumer.kill_without_mercy().await;
    let stop = ["stop", "terms", "--reason", "wrong text"];
    let hard = world.run(&[&stop[..], &["--hard"]].concat()).await;
    assert!(hard.contains(&format!("{PROVED} as long as the configuration set may not send")), "{hard}");
    let opened = world.run(&["open", "--reason", "for user9@example.com and others"]).await;
    assert!(opened.contains("NOT PROVED    terms was stopped") && opened.contains("`issei stop terms` waits"), "{opened}");
    let again = world.run(&stop).await;
    assert!(again.contains("Waiting for ") && again.contains(&format!("{PROVED}.")), "{again}");
    // Now it is, by the time.
    assert_eq!(world.run(&stop).await.matches("Waiting for ").count(), 0);
    let opened: Value = serde_json::from_str(&world.run(&["open", "--reason", "once more", "--json"]).await).unwrap();
    assert_eq!((&opened["opened"], &opened["unproved"]), (&json!(true), &json!([])), "{opened}");
    let doctor = world.try_run(&["doctor"]).await.1;
    assert!(doctor.contains("by arn:aws:iam::000000000000:user/operator: once more"), "{doctor}");
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_stops_everything_that_can_be_and_names_what_cannot() {
    let world = three_of_which_one_cannot_be_read().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/").await;
    assert!(page.contains("prices") && page.contains("can&#39;t be read") && page.contains("/stop-all"), "{page}");
    let answer = door.post("/stop-all", &format!("csrf={}&reason=wrong+text&confirm=STOP+ALL", csrf_of(&page))).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        answer.contains("stopped: prices, terms; NOT STOPPED: ") && answer.contains("privacy") && answer.contains("--hard"),
        "{answer}"
    );
    for id in ["prices", "terms"] {
        let status: Value = serde_json::from_str(&world.run(&["status", id, "--json"]).await).unwrap();
        // Of neither was anybody granted a permit.
        assert_eq!((&status["state"], &status["permits_granted"]), (&json!("stopped"), &json!(0)), "{status}");
    }
    console.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_what_happened_to_everybody() {
    let world = Processes::new(60, Processes::account_with_events()).await;
    world.users.execute("UPDATE users SET email = 'nobody' WHERE id = 7").await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetBefore).holding("user000001").times(1));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    world.wait_for("terms", "complete").await;
    world.carry_events().await;
    let delivered = ["export", "terms", "--outcome", "delivered"];
    until("everybody's events are in", async || world.run(&delivered).await.lines().count() == 50).await;
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let delivered = lines(world.run(&["export", "terms", "--outcome", "delivered"]).await);
    assert_eq!((delivered[0].as_str(), delivered.len()), ("id,email,outcome,event_at,event_reason,name", 50), "{delivered:?}");
    let doubt = lines(world.run(&["export", "terms", "--outcome", "in-doubt", "--format", "jsonl"]).await);
    let doubt: Vec<Value> = doubt.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(doubt.len() == 10 && doubt.iter().all(|row| row["outcome"] == "in_doubt"), "{doubt:?}");
    assert_eq!(lines(world.run(&["export", "terms", "--outcome", "missing"]).await).len(), 1);

    // One who got it, one in doubt, one skipped, and one who was never there.
    let address = delivered[1].split(',').nth(1).unwrap();
    let why: Value = serde_json::from_str(&world.run(&["why", "terms", address, "--json"]).await).unwrap();
    assert_eq!(
        (&why["outcome"], &why["attempts"], &why["events"]),
        (&json!("accepted"), &json!(1), &json!(["sent", "delivered"])),
        "{why}"
    );
    assert!(why["message_id"].as_str().is_some_and(|id| id.starts_with("0100")), "{why}");
    let key = doubt[0]["id"].as_str().unwrap();
    let text = world.run(&["why", "terms", key]).await;
    assert!(text.contains("in_doubt") && text.contains("claimed   1 times") && text.contains("events    none"), "{text}");
    let text = world.run(&["why", "terms", "7"]).await;
    assert!(text.contains("skipped") && text.contains("bad_address"), "{text}");
    let (code, _, error) = world.try_run(&["why", "terms", "4711"]).await;
    // Whom somebody asks for may be an address, so it is not said again.
    assert!(code == Some(1) && error.contains("in the frozen audience of `terms`"), "{error}");

    let trail: Value = serde_json::from_str(&world.run(&["audit", "terms", "--json"]).await).unwrap();
    let steps: Vec<&str> = trail["audit_trail"].as_array().unwrap().iter().map(|entry| entry["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["enumerating", "enumerating -> running", "running -> complete"]);
    assert!(world.run(&["audit", "terms"]).await.contains("by issei producer"));
    // The screen that everybody looks at on the day.
    let screen = world.run(&["status", "terms", "--watch"]).await;
    for part in [
        "state         complete: ",
        "audience      60 (59 recipients, 1 skipped: 1 bad_address)",
        "delivered     49 [",
        "in doubt      10",
        "queue         chunks: 0 waiting",
        "consumer      alive, seen ",
        "feedback      alive, seen ",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    // Consumers that were killed have told of no moment: nobody takes that for a broadcast of which nothing was sent.
    let (db, table) = world.table().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let query = db.query().table_name(&table).key_condition_expression("pk = :pk AND begins_with(sk, :moment)");
    let query = query.expression_attribute_values(":pk", text("b#terms")).expression_attribute_values(":moment", text("timeline#"));
    for moment in query.call().await.unwrap().items.unwrap() {
        let delete = db.delete_item().table_name(&table).key("pk", moment["pk"].clone()).key("sk", moment["sk"].clone());
        delete.call().await.unwrap();
    }
    let report = world.run(&["report", "terms", "-o", "-"]).await;
    assert!(report.contains("No service has told when it sent.") && !report.contains("Nothing has been sent yet."), "{report}");
    for service in services {
        service.end().await;
    }
}
