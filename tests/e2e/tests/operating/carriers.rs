//! Other providers than SES, before the day: whether their keys may send, and a rehearsal that reaches nobody.

use std::time::Duration;

use issei_sim::{Account, Fault, RESEND_WEBHOOK_SECRET, Rule};
use issei_test_support::{Carrier, Process, Processes, judge, until};
use serde_json::{Value, json};

/// The one finding about a provider's key: its judgement, its value and what to do.
async fn key_of(world: &Processes, carrier: Carrier) -> (String, String, String) {
    let found = world.examined(&format!("provider {}: its key", carrier.name()), &["--from", "no-reply@example.com"]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let text = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
    (text("judgement"), text("value"), text("mend"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_asks_each_provider_what_its_key_may_and_says_what_is_lacking() {
    for (carrier, may_not, says) in [
        (Carrier::SendGrid, "alerts.read", "the key lacks mail.send"),
        (Carrier::Resend, "sending_access", "the key may send and nothing else"),
    ] {
        let mut world = Processes::simulated(5, Processes::account_with_events()).await;
        world.carried_by(carrier, 100.0);
        world.cloud.configure(|account| account.api_key = Some("a-key-of-a-test".to_owned()));
        let (judgement, value, _) = key_of(&world, carrier).await;
        assert_eq!(judgement, "holds", "{value}");
        let webhooks = world.examined(&format!("provider {}: the keys of its webhooks", carrier.name()), &[]).await;
        assert_eq!(webhooks[0]["judgement"], "holds", "{webhooks:?}");
        assert_eq!(world.examined("provider ses: its key", &[]).await[0]["judgement"], "holds");

        // A key with other rights.
        world.cloud.configure(|account| account.api_scopes = Some(vec![may_not.to_owned()]));
        let (judgement, value, mend) = key_of(&world, carrier).await;
        assert!(value.contains(says), "{value}");
        // Resend's may send all the same, and that is all that it says.
        assert_eq!((judgement == "holds", mend.is_empty()), (carrier == Carrier::Resend, carrier == Carrier::Resend), "{value}: {mend}");
        world.cloud.configure(|account| account.api_scopes = None);
        if carrier == Carrier::Resend {
            world.cloud.configure(|account| account.identities = Some([("example.org".to_owned(), json!({}))].into()));
            let (judgement, value, mend) = key_of(&world, carrier).await;
            assert_eq!((judgement.as_str(), value.contains("example.org"), mend.contains("verify example.com")), ("broken", true, true));
            world.cloud.configure(|account| account.identities = None);
        }

        // One that is none, and none at all.
        world.set("PROVIDER_KEY", "revoked");
        let (judgement, value, mend) = key_of(&world, carrier).await;
        assert!(
            judgement == "broken" && value.contains("invalid") && mend.contains("make a key") && !value.contains("revoked-"),
            "{value}: {mend}"
        );
        for (variable, what) in [("PROVIDER_KEY", "its key"), ("PROVIDER_WEBHOOK_KEY", "the keys of its webhooks")] {
            let (code, output, _) = world.try_run_under(&[(variable, None)], &["doctor", "--json"]).await;
            let told: Value = serde_json::from_str(&output).unwrap();
            let name = format!("provider {}: {what}", carrier.name());
            let finding = told["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == name).unwrap();
            assert_eq!((code, &finding["judgement"]), (Some(3), &json!("unreadable")), "{finding}");
            assert!(finding["value"].as_str().unwrap().contains(variable), "{finding}");
        }

        // A webhook's key that was cut when it was copied: the feedback consumer does not start with it, and says why.
        let whole = match carrier {
            Carrier::SendGrid => world.cloud.sendgrid_webhook_key(),
            Carrier::Resend => RESEND_WEBHOOK_SECRET.to_owned(),
        };
        let (code, output, errors) = world.try_run_under(&[("PROVIDER_WEBHOOK_KEY", Some(&whole[..12]))], &["doctor", "--json"]).await;
        let told: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {errors}"));
        let name = format!("provider {}: the keys of its webhooks", carrier.name());
        let finding = told["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == name).unwrap();
        assert_eq!((code, &finding["judgement"]), (Some(3), &json!("broken")), "{finding}");
        let (value, mend) = (finding["value"].as_str().unwrap(), finding["mend"].as_str().unwrap());
        assert!(value.starts_with("the environment variable PROVIDER_WEBHOOK_KEY: is no ") && mend.contains("once more"), "{finding}");
        let (code, _, errors) = world.try_run_under(&[("PROVIDER_WEBHOOK_KEY", Some(&whole[..12]))], &["feedback"]).await;
        assert!(code == Some(1) && errors.contains(value), "{errors}");
        assert!(!output.contains(&whole[..12]) && !errors.contains(&whole[..12]), "{errors}");
        assert_eq!(world.cloud.accepted(), 0, "nothing is sent for it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_by_another_provider_reaches_nobody_and_counts_for_that_provider_alone() {
    for carrier in [Carrier::SendGrid, Carrier::Resend] {
        let mut world = Processes::simulated(20, Processes::account_with_events()).await;
        world.carried_by(carrier, 50.0);
        world.set("ISSEI_REQUIRE_REHEARSAL", "true");
        let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
        for service in ["producer", "consumer", "feedback"] {
            world.wait_for_heartbeat(service).await;
        }
        let command = world.write("command.json", &carrier.command("terms"));
        let (code, _, error) = world.try_run(&["send", "--yes", &command]).await;
        let lacks = format!("never rehearsed by {0}; run `issei rehearse --recipients 20 --provider {0}`", carrier.name());
        assert!(code == Some(3) && error.contains(&lacks), "{error}");

        let rehearsal = ["rehearse", "--recipients", "60", "--from", "no-reply@example.com", "--provider", carrier.name(), "--json"];
        let carry = async {
            loop {
                world.carry_events().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let (code, output, errors) = tokio::select! {
            ended = world.try_run(&rehearsal) => ended,
            () = carry => unreachable!(),
        };
        assert_eq!(code, Some(0), "{output}{errors}");
        let certificate: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((&certificate["verdict"], &certificate["outcomes"]["accepted"]), (&json!("CONVERGED"), &json!(60)), "{output}");
        let events = certificate["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "rehearsal: delivered").unwrap();
        let judged = judge(&world.cloud, certificate["broadcast_id"].as_str().unwrap());
        assert_eq!(judged.duplicates(), Vec::<&str>::new());
        match carrier {
            // It looks at what is sent in sandbox mode, and takes none of it.
            Carrier::SendGrid => {
                assert_eq!((judged.total(), world.cloud.accepted()), (0, 0));
                assert!(events["value"].as_str().unwrap().starts_with("not tried: SendGrid's sandbox mode"), "{events}");
            }
            Carrier::Resend => {
                assert_eq!((judged.total(), &events["value"]), (60, &json!("60")));
                assert!(judged.accepted.keys().all(|address| address.starts_with("delivered+") && address.ends_with("@resend.dev")));
            }
        }
        // Now it may, and for real; by SES it still may not.
        world.run(&["send", "--yes", &command]).await;
        world.wait_for("terms", "complete").await;
        judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
        // Whoever looks is told who carries it.
        let status = world.run(&["status", "terms"]).await;
        assert!(status.contains(&format!("\nprovider      {}", carrier.name())), "{status}");
        let (console, url) = world.start_console().await;
        let page = crate::console::Door::at(url.as_str()).get("/b/terms").await;
        assert!(page.contains(&format!("Carried by {}", carrier.name())), "{page}");
        console.end().await;
        let by_ses = world.write("by_ses.json", &issei_test_support::command_body("other", |_| {}));
        let (code, _, error) = world.try_run(&["send", "--yes", &by_ses]).await;
        assert!(code == Some(3) && error.contains("never rehearsed; run `issei rehearse --recipients 20`"), "{error}");
        for service in services {
            service.end().await;
        }
    }
}

/// SES refuses what is too old, so a stop there has a bound in seconds. Nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_another_provider_prints_no_bound_that_nobody_can_prove() {
    for carrier in [Carrier::SendGrid, Carrier::Resend] {
        let mut world = Processes::simulated(300, Processes::account_with_events()).await;
        world.carried_by(carrier, 10.0);
        let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
        let command = world.write("command.json", &carrier.command("terms"));
        world.run(&["send", "--yes", &command]).await;
        world.wait_for_accepted(10).await;
        let (console, url) = world.start_console().await;
        let page = crate::console::Door::at(url.as_str()).get("/b/terms").await;
        assert!(page.contains("no number of seconds ends that") && !page.contains("for this many seconds at most"), "{page}");
        console.end().await;
        let paused = world.run(&["pause", "terms", "--reason", "a look"]).await;
        let says = format!("may still be sent, for how long no time tells, since {} refuses no request for its age;", carrier.name());
        assert!(paused.contains(&says) && !paused.contains(" s at most"), "{paused}");
        // Since the pause every request may have had its answer, of which the stop says that nothing is out. From here on one has none
        // at every moment: each second brings another, and takes longer.
        world.cloud.inject(Rule::every(carrier.call(), Fault::DelayMs(1_500)));
        world.run(&["resume", "terms", "--reason", "it is looked at"]).await;
        world.wait_for_accepted(world.cloud.accepted() + 1).await;
        let (code, stopped, _) = world.try_run(&["stop", "terms", "--reason", "wrong text"]).await;
        let after = world.cloud.accepted();
        let says = format!("For how long no time tells, since {} refuses no request for its age", carrier.name());
        assert!(stopped.contains(&says) && !stopped.contains(" s at most:"), "{stopped}");
        // Nor while it is waited for what the consumer says, whose stop is not that of SES.
        assert!(!stopped.contains(" s more") && stopped.contains("Waiting until nothing is held by: "), "{stopped}");
        // With the short timeouts of a test it is waited for no longer than a consumer takes to say it twice, or it is.
        let proof =
            if code == Some(0) { "nothing of it can be sent or accepted any more" } else { "not proved: its provider refuses no request" };
        assert!(stopped.contains(proof) && matches!(code, Some(0 | 3)), "{code:?} {stopped}");
        assert!((10..300).contains(&after), "{after}");
        // What SES is told keeps others from sending, and not this.
        let (code, hard, errors) = world.try_run(&["stop", "terms", "--hard", "--reason", "wrong text"]).await;
        assert!(code == Some(3) && hard.contains(&format!("Revoke the key of {}", carrier.name())), "{code:?} {hard}{errors}");
        let why = world.run(&["why", "terms", "user000001@example.com"]).await;
        assert!(why.contains(&format!("(tags at {}: broadcast=terms, chunk=0, recipient=0)", carrier.name())), "{why}");
        for service in services {
            service.end().await;
        }
        assert_eq!(world.cloud.accepted(), after, "sent after the stop was proved");
        assert_eq!(world.forgotten_sender().await, "SUCCESS", "SES was shut for everybody");
    }
}

/// Somebody replaces the key of a provider while requests are without an answer, as the provider's dashboard advises. Nobody but
/// whoever has the first key can ask what became of them, and each who looks is told so while it can be done.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_replaces_a_providers_key_is_told_who_stays_in_doubt_and_what_to_do_in_time() {
    let mut world = Processes::simulated(20, Processes::account_with_events()).await;
    world.carried_by(Carrier::Resend, 200.0);
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter));
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let command = world.write("command.json", &Carrier::Resend.command("terms"));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for_accepted(20).await;
    world.wait_until("terms", |status| status["in_doubt"] == 20).await;
    consumer.end().await;
    world.cloud.heal();
    let finding = "broadcast terms: requests in doubt";
    assert_eq!(world.examined(finding, &[]).await[0]["judgement"], "holds", "nobody has met with them yet");

    world.set("PROVIDER_KEY", "another-key-of-a-test");
    let consumer = world.start("consumer");
    world.cloud.show_all_messages();
    let status = world.wait_until("terms", |status| status["not_asked"]["requests"] == 2).await;
    assert_eq!((&status["state"], &status["in_doubt"]), (&json!("running"), &json!(20)), "{status}");
    let screen = world.run(&["status", "terms"]).await;
    let says = "NOT ASKED     2 requests whose answer was lost were made with another key of resend than is configured now";
    let until_when = status["not_asked"]["until"].as_str().unwrap().split('.').next().unwrap().trim_end_matches('Z').to_owned();
    assert!(screen.contains(says) && screen.contains(&format!("resend can be asked until {until_when}")), "{screen}");
    assert!(screen.contains("next step     start a consumer with the key that they were made with"), "{screen}");
    assert!(screen.contains("`issei export terms --outcome in-doubt` lists them"), "{screen}");
    let found = world.examined(finding, &[]).await;
    assert!(found[0]["judgement"] == "broken" && found[0]["value"].as_str().unwrap().starts_with("2 requests"), "{found:?}");
    assert!(found[0]["mend"].as_str().unwrap().contains("[providers.resend]"), "{found:?}");
    let (console, url) = world.start_console().await;
    let door = crate::console::Door::at(url.as_str());
    for (language, says) in [("en", "was replaced"), ("ja", "差し替えられている")] {
        let page = door.get(&format!("/b/terms?lang={language}")).await;
        assert!(page.contains("id=\"not-asked\"") && page.contains(says), "{page}");
    }
    let evidence = door.get("/b/terms/evidence").await;
    assert!(evidence.contains("claims: in doubt, and asked about") && evidence.contains("2 requests whose answer was lost"), "{evidence}");
    console.end().await;
    consumer.end().await;

    // It is still said when whoever met with them has ended, and no more once somebody with the first key has asked.
    assert!(world.run(&["status", "terms"]).await.contains(says));
    world.set("PROVIDER_KEY", "a-key-of-a-test");
    let consumer = world.start("consumer");
    world.cloud.show_all_messages();
    until("the doubt has its end", async || {
        world.cloud.show_all_messages();
        world.run(&["status", "terms"]).await.contains("state         complete")
    })
    .await;
    assert!(!world.run(&["status", "terms"]).await.contains("NOT ASKED"));
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    consumer.end().await;
    producer.end().await;
}

/// A stop came before anybody had asked what became of them. For a day the provider knows it still, and a person can ask it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_while_answers_are_lost_is_told_whom_the_provider_remembers_and_until_when() {
    let mut world = Processes::simulated(20, Processes::account_with_events()).await;
    world.carried_by(Carrier::Resend, 200.0);
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter));
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = world.write("command.json", &Carrier::Resend.command("terms"));
    world.run(&["send", "--yes", &command]).await;
    world.wait_until("terms", |status| status["in_doubt"] == 20).await;
    for service in services {
        service.end().await;
    }
    assert!(!world.run(&["status", "terms"]).await.contains("STILL KNOWN"), "a consumer that is started asks");
    world.try_run(&["stop", "terms", "--reason", "wrong text"]).await;
    let screen = world.run(&["status", "terms"]).await;
    assert!(screen.contains("STILL KNOWN   20 in doubt whose requests resend remembers until "), "{screen}");
    assert!(screen.contains("look the others up at resend (`issei export terms --outcome in-doubt` lists them)"), "{screen}");
    let told: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    let left = &told["doubt_left"];
    assert_eq!((&left["recipients"], &left["provider"]), (&json!(20), &json!("resend")), "{told}");
    assert!(left["reason"].as_str().unwrap().starts_with("nobody asks any more: it is stopped"), "{told}");
    assert!(left["next_step"].as_str().unwrap().contains("look the others up at resend"), "{told}");
    let found = world.examined("broadcast terms: requests in doubt", &[]).await;
    assert!(found[0]["judgement"] == "broken" && found[0]["value"].as_str().unwrap().starts_with("20 in doubt"), "{found:?}");
    let (_, certificate, _) = world.try_run(&["certify", "terms", "--json"]).await;
    assert!(certificate.contains("20 in doubt whose requests resend remembers until "), "{certificate}");
    // Every consumer has said that it holds nothing: that it is not proved lies with those in doubt alone.
    let record = ["repair", "terms", "--key-revoked", "--reason", "deleted in the dashboard, ticket 12"];
    let (code, shown, _) = world.try_run(&record).await;
    assert!(code == Some(3) && shown.contains("in doubt      20 recipients") && !shown.contains("stop          not proved"), "{shown}");
    // Whoever has revoked the key has done what there was to do, and a doctor has nothing to say.
    world.run(&[&record[..], &["--yes"]].concat()).await;
    let found = world.examined("broadcast terms: requests in doubt", &[]).await;
    assert!(found.is_empty(), "{found:?}");
}

/// Staging sends through the same account. What becomes of its letters is told here too, and nobody has to clear it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_given_beside_another_ledger_that_shares_the_account_and_says_how_much_was_told_of_that() {
    let mut staging = Processes::simulated(20, Processes::account_with_events()).await;
    let mut production = Processes::simulated(20, Processes::account_with_events()).await;
    for world in [&mut staging, &mut production] {
        world.carried_by(Carrier::Resend, 200.0);
    }
    let send = async |world: &Processes, ids: &[&str], services: &[&str]| {
        let mut running = Vec::new();
        for service in services {
            running.push(world.start(service));
        }
        for id in ids {
            let mut command: Value = serde_json::from_str(&Carrier::Resend.command(id)).unwrap();
            command["content"]["inline"]["subject"] = json!(id);
            let command = world.write("command.json", &command.to_string());
            world.run(&["send", "--yes", &command]).await;
            world.wait_for(id, "complete").await;
        }
        running
    };
    for service in send(&staging, &["terms", "trial"], &["producer", "consumer"]).await {
        service.end().await;
    }
    let services = send(&production, &["terms"], &["producer", "consumer", "feedback"]).await;
    let finding = "events: of other ledgers";
    let found = production.examined(finding, &[]).await;
    assert_eq!((&found[0]["judgement"], &found[0]["value"]), (&json!("holds"), &json!("none")), "{found:?}");
    let foreign = staging.carry_events_by(async |event| production.post("ISSEI_FEEDBACK_QUEUE", &event).await).await;
    assert!(foreign >= 40, "{foreign}");
    let says = format!("{foreign} events of others, signed by resend, since ");
    until("all are counted", async || production.examined(finding, &[]).await[0]["value"].as_str().unwrap().starts_with(&says)).await;
    let found = production.examined(finding, &[]).await;
    assert_eq!(found[0]["judgement"], "holds", "{found:?}");
    let (code, certificate, errors) = production.try_run(&["certify", "terms", "--json"]).await;
    let certificate: Value = serde_json::from_str(&certificate).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!((code, &certificate["verdict"]), (Some(0), &json!("CONVERGED")), "{certificate}");
    let told = certificate["findings"].as_array().unwrap().iter().find(|told| told["what"] == finding).unwrap();
    assert!(told["value"].as_str().unwrap().starts_with(&says) && told["judgement"] == "holds", "{told}");
    for service in services {
        service.end().await;
    }
}

/// A producer would refuse it, so nobody is shown how it would read.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_sess_is_not_shown_as_a_letter_of_another_provider() {
    let mut world = Processes::simulated(5, Processes::account_with_events()).await;
    world.carried_by(Carrier::Resend, 10.0);
    let mut command: Value = serde_json::from_str(&Carrier::Resend.command("terms")).unwrap();
    command["content"] = json!({ "template": { "name": "terms" } });
    let command = world.write("command.json", &command.to_string());
    let (code, output, error) = world.try_run(&["preview", &command]).await;
    assert_eq!((code, output.as_str()), (Some(3), ""), "{error}");
    assert!(error.contains("field `content.template`: Resend stores no templates that issei could send; write the content"), "{error}");
}

/// Enqueued it would be refused by whoever takes it, or lie there.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_by_a_provider_that_nobody_who_works_knows_is_refused_before_it_is_enqueued() {
    let mut world = Processes::simulated(5, Processes::account_with_events()).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    for service in ["producer", "consumer"] {
        world.wait_for_heartbeat(service).await;
    }
    world.carried_by(Carrier::Resend, 50.0);
    let command = world.write("command.json", &Carrier::Resend.command("terms"));
    for how in [&["send", "--dry-run"][..], &["send", "--yes"], &["send", "--yes", "--hold"]] {
        let (code, _, error) = world.try_run(&[how, &[&command]].concat()).await;
        assert_eq!(code, Some(3), "{how:?}: {error}");
        for says in
            ["refused: the provider `resend` is not known to the producer ", "refused: the provider `resend` is not known to the consumer "]
        {
            assert!(error.contains(says) && error.contains("configure [providers.resend] there"), "{how:?}: {error}");
        }
    }
    for service in services {
        service.end().await;
    }
    let services = ["producer", "consumer"].map(|service| world.start(service));
    for service in ["producer", "consumer"] {
        world.wait_for_heartbeat(service).await;
    }
    let told = world.run(&["send", "--yes", &command]).await;
    assert!(told.contains("producers that know the provider resend: all 1 that tell"), "{told}");
    world.wait_for("terms", "complete").await;
    for service in services {
        service.end().await;
    }
}

/// No time ends what `SendGrid` may still accept, and events tell of nobody who was not. So a person ends it, by the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_doubt_that_no_time_ends_is_final_once_it_is_recorded_that_the_key_is_revoked() {
    let mut world = Processes::brisk(20, Processes::account_with_events()).await;
    world.carried_by(Carrier::SendGrid, 200.0);
    world.cloud.inject(Rule::every("MailSend", Fault::ResetAfter));
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    let command = world.write("command.json", &Carrier::SendGrid.command("terms"));
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    let record = ["repair", "terms", "--key-revoked", "--reason", "deleted in the dashboard, ticket 12"];
    let (code, _, error) = world.try_run(&[&record[..], &["--yes"]].concat()).await;
    assert!(code == Some(3) && error.contains("broadcast `terms` is holding") && error.contains("`issei stop terms` first"), "{error}");
    world.run(&["approve", "terms", "--reason", "it reads well"]).await;
    world.wait_until("terms", |status| status["in_doubt"] == 20 && status["state"] == "complete").await;

    let certified = async || {
        let (code, output, errors) = world.try_run(&["certify", "terms", "--json"]).await;
        let certificate: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}"));
        let broken: Vec<Value> =
            certificate["findings"].as_array().unwrap().iter().filter(|finding| finding["judgement"] != "holds").cloned().collect();
        (code, certificate["verdict"].clone(), broken)
    };
    let (code, verdict, broken) = certified().await;
    assert_eq!((code, &verdict), (Some(3), &json!("NOT_CONVERGED")), "{broken:?}");
    // While one does not hold the queues are not watched, which is told of each.
    let (queues, broken): (Vec<Value>, Vec<Value>) = broken.into_iter().partition(|finding| finding["judgement"] == "unreadable");
    assert_eq!((queues.len(), broken.len(), &broken[0]["what"]), (3, 1, &json!("claims: open ones")), "{broken:?}");
    assert!(broken[0]["mend"].as_str().unwrap().contains("`issei repair terms --key-revoked --reason …`"), "{broken:?}");

    let (console, url) = world.start_console().await;
    let door = crate::console::Door::at(url.as_str());
    for (language, says, not) in
        [("en", "so it may be taken yet", "It is over."), ("ja", "これから受理されることもあります", "完了しました。")]
    {
        let page = door.get(&format!("/b/terms?lang={language}")).await;
        assert!(page.contains(says) && !page.contains(not), "{page}");
    }

    // Without a terminal it is shown what would be recorded, and nothing is.
    let (code, output, _) = world.try_run(&record).await;
    assert!(code == Some(3) && output.contains("20 recipients, and they stay so") && output.contains("repeat with --yes"), "{output}");
    assert_eq!(certified().await.0, Some(3));
    world.run(&[&record[..], &["--yes"]].concat()).await;
    let trail = world.run(&["audit", "terms"]).await;
    assert!(trail.contains("key revoked") && trail.contains("deleted in the dashboard, ticket 12"), "{trail}");
    let (code, verdict, broken) = certified().await;
    assert_eq!((code, verdict, broken), (Some(4), json!("IN_DOUBT"), Vec::new()));
    until("the console calls it over, too", async || door.get("/b/terms?lang=en").await.contains("It is over.")).await;
    console.end().await;
    for service in services {
        service.end().await;
    }
}

/// SES refuses what is too old: there is no key, and nothing for anybody to confirm.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_broadcast_by_ses_nobody_records_that_a_key_is_revoked() {
    let world = Processes::simulated(5, Processes::account_with_events()).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = world.write("command.json", &issei_test_support::command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    let (code, _, error) = world.try_run(&["repair", "terms", "--key-revoked", "--yes", "--reason", "to be sure"]).await;
    assert!(code == Some(3) && error.contains("SES, which refuses requests for their age"), "{error}");
    assert!(!world.run(&["audit", "terms"]).await.contains("key revoked"));
    for service in services {
        service.end().await;
    }
}

/// Who sends by Resend alone has neither an identity nor a configuration set at SES, and nothing of that is to be mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_asks_nothing_of_ses_where_nothing_goes_by_it_and_says_so() {
    let mut world = Processes::simulated(5, Account { sandbox: true, ..Processes::account_with_events() }).await;
    world.carried_by(Carrier::Resend, 100.0);
    let doctor = async |variables: &[(&str, Option<&str>)]| {
        let arguments = ["doctor", "--json", "--from", "no-reply@example.com", "--audience", "users", "--for", "1000"];
        let (_, output, errors) = world.try_run_under(variables, &arguments).await;
        let told: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}"));
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let of = |finding: &Value| [text(finding, "what"), text(finding, "judgement"), text(finding, "value")];
        told["findings"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let named = |told: &[[String; 3]], what: &str| told.iter().find(|[name, ..]| name == what).cloned();
    let unset = [("ISSEI_CONFIGURATION_SET", None)];
    let sandbox = "SES account: out of the sandbox";

    let told = doctor(&unset).await;
    let [_, judgement, value] = named(&told, "SES").unwrap();
    assert!(
        judgement == "holds"
            && value.starts_with("not used yet, and so not asked: ")
            && value.contains("`resend` is configured; a command that names no `provider` goes by it"),
        "{value}"
    );
    let speaks_of_it =
        |what: &str| ["SES", "configuration set", "provider ses", "identity of", "quota"].iter().any(|word| what.contains(word));
    let others: Vec<_> = told.iter().filter(|[what, ..]| what != "SES" && speaks_of_it(what)).collect();
    assert!(others.is_empty(), "{others:?}");
    for what in ["queue", "provider resend"] {
        let broken: Vec<_> = told.iter().filter(|[name, judgement, _]| name.starts_with(what) && judgement != "holds").collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
    for (what, says) in
        [("rate for audience users by resend", "5 recipients, "), ("time for 1000 recipients by resend", "1000 recipients, 10 s")]
    {
        let [_, judgement, value] = named(&told, what).unwrap();
        assert!(judgement == "holds" && value.starts_with(says), "{what}: {value}");
    }

    // Where its configuration set is named it is asked, and where the ledger knows a broadcast by it.
    let told = doctor(&[]).await;
    assert_eq!((named(&told, sandbox).unwrap()[1].as_str(), named(&told, "SES")), ("broken", None));
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &issei_test_support::command_body("terms", |_| {})).await;
    until("the broadcast is known", async || world.try_run(&["status", "terms", "--json"]).await.0 == Some(0)).await;
    let told = doctor(&unset).await;
    assert_eq!((named(&told, sandbox).unwrap()[1].as_str(), named(&told, "SES")), ("broken", None));
    producer.end().await;
}
