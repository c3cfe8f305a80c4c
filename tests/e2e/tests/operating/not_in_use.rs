//! A ledger that was restored from a backup, and that nobody has taken into use: what it does not know, and what is not to be done
//! by it.

use aws_sdk_dynamodb::types::BillingMode;
use aws_sdk_sqs::types::MessageAttributeValue;
use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Processes, command_body, until};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of, status};

const RESTORED: &str = "THIS LEDGER WAS RESTORED from a backup and is not in use yet";

/// A broadcast that holds, one that was stopped, and a ledger that has gone back behind a start of a service.
async fn restored() -> Processes {
    let world = Processes::brisk(12, Account::default()).await;
    let producer = world.start("producer");
    let hold = |id: &str, subject: &str| {
        command_body(id, |body| {
            (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(true));
            body["content"]["inline"]["subject"] = json!(subject);
        })
    };
    world.post("ISSEI_COMMANDS_QUEUE", &hold("terms", "The new terms")).await;
    world.post("ISSEI_COMMANDS_QUEUE", &hold("prices", "The new prices")).await;
    world.wait_for("terms", "holding").await;
    world.wait_for("prices", "holding").await;
    world.run(&["stop", "prices", "--reason", "wrong prices"]).await;
    world.wait_for("prices", "stopped").await;
    producer.end().await;
    world.restore_ledger().await;
    world
}

/// Of whoever has it since the backup such a ledger would say that they got nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_restored_ledger_shows_says_that_it_is_not_in_use() {
    let world = restored().await;
    // What goes beside a document is one, too, and a list that has no row says it all the same.
    let (_, output, errors) = world.try_run(&["suppress", "list", "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    assert!(output.lines().count() == 1 && told["ledger"]["in_use"] == false && told.as_object().unwrap().len() == 1, "{output}");
    let warned: Value = serde_json::from_str(&errors).unwrap();
    assert!(errors.lines().count() == 1 && warned["warning"].as_str().unwrap().starts_with(RESTORED), "{errors}");
    let who = "user000003@example.com";
    for asked in [
        &["status", "terms"][..],
        &["list"],
        &["audit", "terms"],
        &["why", "prices", who],
        &["who", who],
        &["show", "terms"],
        &["report", "terms", "-o", "report.html"],
        &["export", "prices", "--outcome", "missing"],
        &["dead-letters"],
        &["suppress", "list", "--json"],
        &["suppress", "add", who, "--reason", "they called"],
        &["pause", "terms", "--reason", "a look"],
    ] {
        let (_, output, errors) = world.try_run(asked).await;
        assert!(errors.contains(RESTORED) && errors.contains("say 1.1000000"), "{asked:?}: {output}{errors}");
    }
    let found = world.run(&["who", who]).await;
    assert!(found.contains("“The new prices” was sent to you is not known") && !found.contains("nothing was sent"), "{found}");
    assert!(found.contains("“The new terms” was sent to you is not known") && !found.contains("has not been sent to you"), "{found}");
    assert!(world.read("report.html").contains(RESTORED));
    for asked in [&["status", "terms"][..], &["audit", "terms"], &["why", "prices", who], &["who", who], &["show", "terms"]] {
        let told: Value = serde_json::from_str(&world.run(&[asked, &["--json"]].concat()).await).unwrap();
        assert_eq!(told["ledger"]["in_use"], false, "{asked:?}: {told}");
        assert!(told["ledger"]["told"].as_str().unwrap().starts_with(RESTORED), "{asked:?}: {told}");
    }
    let listed = world.run(&["list", "--json"]).await;
    assert!(listed.lines().count() == 2 && listed.lines().all(|line| line.contains("\"in_use\":false")), "{listed}");
    // Once it is in use nothing of that is said.
    world.run(&["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()]).await;
    let (code, output, errors) = world.try_run(&["list", "--json"]).await;
    assert!(code == Some(0) && errors.is_empty() && !output.contains("in_use"), "{output}{errors}");
    assert!(!world.run(&["suppress", "list", "--json"]).await.contains("in_use"));
    // Services that are there may not have seen it yet.
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("next", |body| body["content"]["inline"]["subject"] = json!("Next"))).await;
    let (code, _, errors) = world.try_run(&["status", "next"]).await;
    let looks = "of producers none has shown itself since the ledger was taken into use: those that run look again within 60 s";
    assert!(code == Some(1) && errors.contains(looks) && !errors.contains("no producer is alive"), "{errors}");
    let found = world.examined("producers alive", &[]).await;
    assert!(found[0]["mend"].as_str().unwrap().contains("those that run look again within 60 s of that"), "{found:?}");
    // What it has forgotten nobody calls over.
    let reason = "the ledger was restored, and has forgotten what was granted and sent of it";
    let stopping = world.start_with("stop", &["terms", "--reason", "a test"]);
    until("it waits", async || world.printed("stop").contains("Waiting for ")).await;
    assert_eq!(stopping.interrupt().await, Some(3));
    let told = world.printed("stop");
    assert!(told.contains("no permit that is known is out") && told.matches(reason).count() == 2, "{told}");
    assert!(told.contains("not proved: the wait was ended before its time") && !told.contains("nothing of it is out"), "{told}");
    assert!(told.contains("until nothing is held by: whoever a restored ledger has forgotten"), "{told}");
    // But for whom it has forgotten.
    let (code, output, _) = world.try_run(&["who", "nobody@example.com"]).await;
    assert!(code == Some(5) && output.contains("nobody is to be told that they got nothing then"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_restored_ledger_nothing_is_let_go_on_and_whatever_stops_is_done() {
    let world = restored().await;
    let before = world.run(&["audit", "terms"]).await;
    let command = world.write("next.json", &command_body("next", |body| body["again"] = json!("a test")));
    let reason = ["--reason", "a test"];
    for asked in [
        &["resend", "prices", "--as", "rest"][..],
        &[&["approve", "terms"], &reason[..]].concat(),
        &[&["resume", "terms"], &reason[..]].concat(),
        &[&["repair", "terms", "--yes"], &reason[..]].concat(),
        &["redrive", "chunks"],
        &["redrive", "feedback"],
        &[&["forget", "user000003@example.com", "--yes"], &reason[..]].concat(),
        &["send", "--yes", &command],
        &[&["open"], &reason[..]].concat(),
        &[&["suppress", "remove", "user000003@example.com"], &reason[..]].concat(),
    ] {
        let (code, output, errors) = world.try_run(asked).await;
        assert!(code == Some(3) && errors.contains("nothing was done: THIS LEDGER WAS RESTORED"), "{asked:?}: {output}{errors}");
        assert!(errors.contains("`issei accept-restored-ledger` takes it into use"), "{asked:?}: {errors}");
    }
    assert_eq!(world.run(&["audit", "terms"]).await, before);
    let (code, output, _) = world.try_run(&["pause", "terms", "--reason", "a look"]).await;
    assert!(code == Some(0) || output.is_empty(), "{output}");
    let (code, output, _) = world.try_run(&[&["stop", "terms"], &reason[..]].concat()).await;
    assert!(code == Some(3) && output.contains("Nothing of this stop will be proved: this ledger was restored"), "{output}");
    assert_eq!(world.wait_until("terms", |_| true).await["state"], "stopping");
    // What the ledger has forgotten may be under way all the same.
    let (code, output, errors) = world.try_run(&[&["stop", "forgotten"], &reason[..]].concat()).await;
    assert!(code == Some(1) && errors.contains("it may be under way by another table") && errors.contains(RESTORED), "{output}{errors}");
    assert!(!errors.contains("there is nothing of it to stop"), "{errors}");
    let (code, output, _) = world.try_run(&[&["stop", "--all", "--json"], &reason[..]].concat()).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &told["ledger"]["in_use"]), (Some(3), &json!(false)), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_of_a_restored_ledger_says_so_and_stops_without_a_bound() {
    let world = restored().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    for (language, told) in [("en", RESTORED), ("ja", "この台帳はバックアップから復元されたもので")] {
        for path in ["/", "/b/terms", "/b/terms/live", "/b/terms/evidence", "/who"] {
            let page = door.get(&format!("{path}?lang={language}")).await;
            assert_eq!((status(&page), page.matches("id=\"not-in-use\"").count()), ("200", 1), "{path}: {page}");
            assert!(page.contains(told), "{path}: {page}");
        }
    }
    let csrf = csrf_of(&door.get("/b/terms?lang=en").await);
    let found = door.post("/who?lang=en", &format!("csrf={csrf}&who=user000003%40example.com")).await;
    assert!(found.contains("was sent to you is not known") && !found.contains("has not been sent to you"), "{found}");
    let form = format!("csrf={csrf}&reason=a+test&confirm=terms");
    for verb in ["approve", "resume"] {
        let page = door.post(&format!("/b/terms/{verb}?lang=en"), &form).await;
        assert!(status(&page) == "409" && page.contains("nothing was done: THIS LEDGER WAS RESTORED"), "{verb}: {page}");
    }
    let page = door.post("/b/terms/stop?lang=en", &form).await;
    assert!(status(&page) == "200" && page.contains("it is stopped in this ledger, and nothing of that is proved"), "{page}");
    assert!(!page.contains("recipients may still be sent to"), "{page}");
    console.end().await;
}

/// What a form has found, the page after it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_console_looks_afresh_at_each_form_that_is_sent() {
    let world = restored().await;
    let accept = ["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()];
    world.run(&accept).await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/?lang=en").await;
    assert!(status(&page) == "200" && !page.contains("id=\"not-in-use\""), "{page}");
    let (sqs, chunks) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    sqs.tag_queue().queue_url(chunks).tags("issei-ledger", "9.1").call().await.unwrap();
    let form = format!("csrf={}&reason=a+test&confirm=terms", csrf_of(&page));
    let refused = door.post("/b/terms/approve?lang=en", &form).await;
    assert!(refused.contains("nothing was done: THIS LEDGER WAS RESTORED"), "{refused}");
    let page = door.get("/b/terms?lang=en").await;
    assert_eq!(page.matches("id=\"not-in-use\"").count(), 1, "{page}");
    console.end().await;
}

/// A copy that is taken into use makes the original a restored one, and the other way round: whom that silences is said first.
#[tokio::test(flavor = "multi_thread")]
async fn taking_a_ledger_into_use_names_whom_it_silences() {
    let world = restored().await;
    let (db, original) = world.table().await;
    let copy = format!("{original}-copy");
    let described = db.describe_table().table_name(&original).call().await.unwrap().table.unwrap();
    let made = db.create_table().table_name(&copy).set_key_schema(described.key_schema);
    let made = made.set_attribute_definitions(described.attribute_definitions).billing_mode(BillingMode::PayPerRequest);
    made.call().await.unwrap();
    for item in db.scan().table_name(&original).call().await.unwrap().items.unwrap() {
        db.put_item().table_name(&copy).set_item(Some(item)).call().await.unwrap();
    }
    let accept = async |table: &str, more: &[&str]| {
        world.try_run(&[&["accept-restored-ledger", "--table", table, "--reason", "a drill"], more].concat()).await
    };
    let (code, output, errors) = accept(&copy, &[]).await;
    assert!(code == Some(3) && output.contains(&format!("the queues are used with table `{original}` now")), "{output}{errors}");
    let (code, output, errors) = accept(&copy, &["--table-name", &copy]).await;
    assert!(code == Some(0) && output.contains("Services see it within 60 s"), "{output}{errors}");
    let producer = world.start_with("producer", &["--table", &copy]);
    until("it is named", async || {
        let (code, output, _) = accept(&original, &[]).await;
        code == Some(3) && output.contains(&format!("the queues are used with table `{copy}` now: producer "))
    })
    .await;
    let (_, output, _) = accept(&original, &[]).await;
    assert!(output.contains("will send nothing more, within 60 s, and call that table restored"), "{output}");
    assert!(output.contains(&format!("services that are configured with table `{original}` begin to work within 60 s")), "{output}");
    let (code, output, errors) = accept(&original, &["--table-name", &original, "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    assert!(code == Some(0) && told["silenced"]["table"] == copy.as_str(), "{output}{errors}");
    assert!(told["silenced"]["services"][0].as_str().unwrap().starts_with("producer "), "{output}");
    producer.end().await;
}

/// No right to look, or no queue, is no proof that nothing was restored.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_tell_whether_the_ledger_was_restored_no_stop_is_proved_and_nothing_is_resent() {
    let world = Processes::brisk(12, Account::default()).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = world.write("command.json", &command_body("terms", |body| body["canary"] = json!(2)));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "holding").await;
    // No producer ends it meanwhile.
    for service in services {
        service.end().await;
    }
    let elsewhere = ["--chunks-queue", "nowhere"];
    let stop = [&["stop", "terms", "--reason", "a wrong text", "--json"], &elsewhere[..]].concat();
    let (code, output, errors) = world.try_run(&stop).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    let stopped = &told["stopped"][0];
    assert!(code == Some(3) && stopped["proved"] == false, "{output}{errors}");
    assert!(stopped["reason"].as_str().unwrap().contains("sqs:ListQueueTags"), "{output}");
    let (code, _, errors) = world.try_run(&[&["resend", "terms", "--as", "rest"], &elsewhere[..]].concat()).await;
    assert!(code == Some(3) && errors.contains("nothing was done: whether this ledger was restored"), "{errors}");
    let (code, output, errors) = world.try_run(&[&["list"], &elsewhere[..]].concat()).await;
    assert!(code == Some(0) && output.contains("stopping"), "{output}{errors}");
    assert!(errors.contains("whether this ledger was restored from a backup can't be told"), "{errors}");
    // Whoever can look goes on from there.
    let output = world.run(&["stop", "terms", "--reason", "a wrong text"]).await;
    assert!(output.contains("nothing of it can be sent or accepted any more"), "{output}");
}

/// Once it is in use everything works, and what it has forgotten it says.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_send_by_hand_needs_a_reason_and_events_of_what_was_forgotten_stay_where_they_are() {
    let world = restored().await;
    world.run(&["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()]).await;
    let command = world.write("next.json", &command_body("next", |body| body["content"]["inline"]["subject"] = json!("Next")));
    let held = world.write(
        "held.json",
        &command_body("held", |body| {
            (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(true));
            body["content"]["inline"]["subject"] = json!("Held");
        }),
    );
    for file in [&command, &held] {
        let (code, output, errors) = world.try_run(&["send", "--yes", file]).await;
        assert!(
            code == Some(3) && errors.contains("which broadcasts there were between the backup and then it has forgotten"),
            "{output}{errors}"
        );
        assert!(errors.contains("issei dead-letters commands") && errors.contains("issei send --again REASON"), "{errors}");
    }
    world.run(&["send", "--yes", &command, "--again", "it was never sent, by SES's records"]).await;
    // A copy for oneself is nobody's second letter, and a rehearsal reaches nobody.
    let rehearsal = world.write("rehearsal.json", &command_body("rehearsal", |body| body["audience"] = json!("rehearsal-10")));
    world.run(&["send", "--yes", &rehearsal]).await;
    let (sqs, dead) = world.queue_url("ISSEI_FEEDBACK_QUEUE", "-dead").await;
    let reason = "its letter was sent by this ledger, or by the one that it was restored from, for a registration of `terms` that it does not know: whoever the event names was mailed, and the ledger has forgotten it; nothing of it counts";
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(reason).build().unwrap();
    let body = json!({ "event": "delivered" }).to_string();
    sqs.send_message().queue_url(dead).message_body(body).message_attributes("reason", attribute).call().await.unwrap();
    let (code, output, errors) = world.try_run(&["redrive", "feedback"]).await;
    assert!(
        code == Some(3) && output.contains("0 dead letters moved back") && output.contains("they would be refused again"),
        "{output}{errors}"
    );
    assert!(!output.contains("neither SQS says"), "{output}");
}

/// A redrive mends a part of what lies there, and each says whether it is one of that part.
#[tokio::test(flavor = "multi_thread")]
async fn each_dead_letter_is_told_the_next_step_that_fits_its_own_reason() {
    let world = restored().await;
    let body = |id: &str| command_body(id, |body| body["content"]["inline"]["subject"] = json!(id));
    for lies in [body("of-before"), "no command".to_owned(), json!({ "version": 99, "broadcast_id": "newer" }).to_string()] {
        world.post("ISSEI_COMMANDS_QUEUE", &lies).await;
    }
    world.run(&["accept-restored-ledger", "--reason", "restored from a backup", "--table-name", world.table_name()]).await;
    let services = ["producer", "feedback"].map(|service| world.start(service));
    world.post("ISSEI_FEEDBACK_QUEUE", "ann@example.com is no event").await;
    let other = command_body("prices", |body| body["audience"] = json!("everybody"));
    world.post("ISSEI_COMMANDS_QUEUE", &other).await;
    until("all lie among the dead", async || {
        let counted = async |queue| world.examined(&format!("dead letters of the {queue} queue"), &[]).await[0]["value"].clone();
        counted("commands").await == "4" && counted("feedback").await == "1"
    })
    .await;
    let found = world.examined("dead letters of the commands queue", &[]).await;
    assert!(found[0]["mend"].as_str().unwrap().starts_with("`issei dead-letters commands` says of each why it lies there"), "{found:?}");
    let told: Value = serde_json::from_str(&world.run(&["dead-letters", "--json"]).await).unwrap();
    let letters = |queue: usize| told["dead_letters"][queue]["letters"].as_array().unwrap();
    for (id, cause, next) in [
        (json!("of-before"), "older_than_restore", "send the command again with `\"again\": \"REASON\"`"),
        (json!(null), "malformed", "correct what writes it, and send the command again"),
        (json!("newer"), "newer_version", "upgrade whoever reads commands, then `issei redrive commands` moves it back"),
        (json!("prices"), "refused_as_configured", "mend it wherever a producer runs, then `issei redrive commands` moves it back"),
    ] {
        let letter = letters(0).iter().find(|letter| letter["broadcast_id"] == id).unwrap_or_else(|| panic!("{id}: {told}"));
        assert!(letter["cause"] == cause && letter["next"].as_str().unwrap().contains(next), "{letter}");
    }
    assert!(letters(2)[0]["next"].as_str().unwrap().starts_with("moved back it would be refused again: no event"), "{told}");
    let told = world.run(&["dead-letters"]).await;
    assert!(told.contains("`issei redrive commands` is of use for 2 of these") && !told.contains("redrive feedback"), "{told}");
    for service in services {
        service.end().await;
    }
}
