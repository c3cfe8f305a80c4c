//! Who carries a broadcast: one provider, from its first mail to its last, and nobody else.

use std::sync::Arc;

use issei_ledger::{BroadcastState, ServiceKind, Suppression};
use issei_producer::LegacyLocalParts;
use issei_provider::{ApiKey, Known, Provider, Providers, Resend, ResendOptions, SendGrid, SendGridOptions, Ses};
use issei_schema::{BroadcastCommand, ProviderName};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, until};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn small() -> WorldOptions {
    WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..WorldOptions::default() }
}

fn second() -> ProviderName {
    "second".parse().unwrap()
}

fn by(id: &str, provider: &str) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = provider.into();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_nobody_has_configured_is_refused_with_field_cause_and_what_to_do() {
    let world = World::new(small()).await;
    world.post_command(&by("terms", "resend")).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    world.assert_commands_drained().await;
    stop.cancel();
    services.join_all().await;
    let letters = world.dead_letters("commands").await;
    let (_, reason) = letters.last().unwrap();
    assert!(reason.starts_with("field `provider`: the producer's configuration has no provider `resend`; it has `ses`"), "{reason}");
    assert!(reason.contains("add it under [providers]"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
    assert!(world.ledger().find_broadcast(&"terms".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_lacks_the_provider_sends_nothing_by_another_and_says_so_until_one_comes_that_has_it() {
    let mut world = World::new(small()).await;
    let ses = Known::ses().remove(&ProviderName::default()).unwrap();
    world.known.insert(second(), ses);
    world.post_command(&by("terms", "second")).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let stop = CancellationToken::new();
    let consumer = world.consumer().await;
    let running = tokio::spawn(consumer.run(stop.clone()));
    until("the consumer has said what it lacks", async || {
        let runs = world.ledger().heartbeats(world.now()).await.unwrap();
        runs.iter().any(|run| run.service == ServiceKind::Consumer && run.lacks.contains(&second()))
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!((world.cloud.accepted(), broadcast.granted, broadcast.broadcast_state), (0, 0, BroadcastState::Running));
    // Nothing of it is lost, and none of its messages is buried.
    assert_eq!(world.dead_letters("chunks").await.len(), 0);
    world.providers = Providers::new(world.ses()).with(second(), Arc::new(Ses::new(world.clients.ses.clone(), "issei")));
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// A world whose broadcasts are carried by another provider, at the simulator's own of its API.
async fn carried_by(name: &str) -> World {
    let mut world = World::new(small()).await;
    let (web, key) = (world.clients.web.clone(), ApiKey::new("a-key-of-a-test").unwrap());
    let (base_url, rate, timeout) = ("http://simulator".to_owned(), 1_000.0, world.options.timing.send);
    let provider: Arc<dyn Provider> = if name == "resend" {
        Arc::new(Resend::new(web, ResendOptions { base_url, key, rate, timeout }))
    } else {
        let (service_group, marketing_group) = (None, None);
        Arc::new(SendGrid::new(web, SendGridOptions { base_url, key, rate, timeout, service_group, marketing_group }))
    };
    let name: ProviderName = name.parse().unwrap();
    world.known.insert(name.clone(), Known { facts: provider.facts(), rate: Some(rate), carried_by: provider.carried_by() });
    world.providers = Providers::new(world.ses()).with(name, provider);
    world
}

/// Nobody was mailed twice, and whoever was not mailed is listed.
async fn assert_nobody_twice_and_nobody_missing(world: &World) {
    let in_doubt = world.in_doubt("terms").await;
    for address in world.addresses().await {
        let sent = world.cloud.sent_for("terms", &address).unwrap();
        assert!(sent.accepted == 1 || (sent.accepted == 0 && in_doubt.contains(&address)), "{address}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_by_resend_whose_consumer_is_killed_in_the_midst_of_a_send_mails_nobody_twice() {
    for (name, call) in [("resend", "SendBatchEmails"), ("sendgrid", "MailSend")] {
        let world = carried_by(name).await;
        world.cloud.inject(Rule::every(call, Fault::HangAfter).after(2).times(1));
        world.post_command(&by("terms", name)).await;
        world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
        let victim = tokio::spawn(world.consumer().await.run(CancellationToken::new()));
        world.cloud.hanging().wait_for(|hanging| *hanging > 0).await.unwrap();
        victim.abort();
        // What it had in hand comes back at once.
        world.cloud.show_all_messages();
        let over = world.run_to_the_end("terms").await;
        assert_eq!(over.broadcast_state, BroadcastState::Complete);
        assert_nobody_twice_and_nobody_missing(&world).await;
        assert!(world.calls_of(call) > 2 && world.calls_of("SendBulkEmail") == 0, "{name} alone carried it");
    }
}

/// RFC 5321 allows a blank in quotes, and whoever has such an address has had it for long.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_carries_it_a_local_part_with_a_blank_is_mailed_in_its_quotes_where_the_audience_says_so() {
    let address = "\"john smith\"@example.com";
    for name in ["ses", "resend", "sendgrid"] {
        let mut world = if name == "ses" { World::new(small()).await } else { carried_by(name).await };
        world.users.execute(&format!("UPDATE users SET email = '{address}' WHERE id = 7")).await;
        world.post_command(&by("skipped", name)).await;
        let over = world.run_to_the_end("skipped").await;
        assert_eq!((over.recipients, over.skipped_by.get("legacy_local_part")), (39, Some(&1)), "{name}");
        world.audiences.get_mut("users").unwrap().legacy_local_parts = LegacyLocalParts::Quote;
        world.post_command(&by("terms", name)).await;
        let over = world.run_to_the_end("terms").await;
        assert_eq!((over.broadcast_state, over.recipients, over.skipped), (BroadcastState::Complete, 40, 0), "{name}");
        assert_eq!(judge(&world.cloud, "terms").accepted.get(address), Some(&1), "{name}");
        // Who is on the list is found by what the address is, and not by how it is written.
        let (written, test) = (" \"john smith\"@Example.COM".parse().unwrap(), "a test".parse().unwrap());
        world.ledger().suppress(&written, Suppression::Operator, &"older".parse().unwrap(), &test).await.unwrap();
        world.post_command(&by("after", name)).await;
        let over = world.run_to_the_end("after").await;
        assert_eq!((over.recipients, over.skipped_by.get("suppressed")), (39, Some(&1)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_carries_it_the_letter_reads_the_same() {
    let mut read = Vec::new();
    for name in ["ses", "resend", "sendgrid"] {
        let world = if name == "ses" { World::new(small()).await } else { carried_by(name).await };
        world.post_command(&by("terms", name)).await;
        world.run_to_the_end("terms").await;
        judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
        let mut mails: Vec<_> =
            world.cloud.mails().unwrap().into_iter().map(|mail| (mail.address, mail.subject, mail.text, mail.html)).collect();
        mails.sort();
        assert_eq!(mails.len(), 40);
        read.push(mails);
    }
    assert_eq!(read[0], read[1]);
    assert_eq!(read[0], read[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_lacks_is_refused_before_anybody_is_mailed() {
    let world = carried_by("resend").await;
    for (id, change, says) in [
        ("a", json!({ "content": { "template": { "name": "terms" } } }), "field `content.template`: Resend stores no templates"),
        ("b", json!({ "in_doubt": "evidence_retry" }), "field `in_doubt`: is `evidence_retry`, and Resend refuses no request for its age"),
    ] {
        let mut body: Value = serde_json::from_str(&by(id, "resend").to_body()).unwrap();
        change.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        world.post(&body.to_string()).await;
        let stop = CancellationToken::new();
        let services = world.start(&stop).await;
        world.assert_commands_drained().await;
        stop.cancel();
        services.join_all().await;
        let letters = world.dead_letters("commands").await;
        let (_, reason) = letters.last().unwrap();
        assert!(reason.starts_with(says), "{reason}");
    }
    assert_eq!(world.calls_of("SendBatchEmails"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_of_commands_did_not_know_is_refused_in_it() {
    let mut body: Value = serde_json::from_str(&by("terms", "ses").to_body()).unwrap();
    body["version"] = 1.into();
    body.as_object_mut().unwrap().remove("class");
    let refused = BroadcastCommand::parse(&body.to_string()).unwrap_err().to_string();
    assert!(refused.contains("`provider`") && refused.contains("version 2"), "{refused}");
}

/// The finding about the provider's own count: what was asked, what it said, and whether that is enough.
async fn counted(world: &World) -> (String, String, String) {
    let certificate = crate::scheduled::certifier(world).glance(&"terms".parse().unwrap()).await.unwrap();
    let about = |what: &str| what.contains("its own count") || what.starts_with("SendGrid:") || what.starts_with("SES:");
    let found: Vec<_> = certificate.findings.iter().filter(|finding| about(&finding.what)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    // SendGrid names the request, and not each message of it: that is no sign of an altered chunk.
    let chunks = certificate.findings.iter().find(|finding| finding.what == "chunks: as they were frozen and confirmed").unwrap();
    assert!(chunks.holds(), "{chunks:?}");
    (found[0].read_from.clone(), found[0].value.clone(), format!("{:?}", found[0].judgement))
}

/// An account of SES that is in the sandbox, and has no events, is held against what SES carried, and against nothing else.
async fn assert_judged_by_whoever_carried_it(world: &World, name: &str) {
    world.cloud.configure(|account| account.sandbox = true);
    let certificate = crate::scheduled::certifier(world).glance(&"terms".parse().unwrap()).await.unwrap();
    world.cloud.configure(|account| account.sandbox = false);
    let about = |what: &str| certificate.findings.iter().filter(|finding| finding.what.starts_with(what)).collect::<Vec<_>>();
    let (of_ses, of_key) = ([about("SES account"), about("configuration set")].concat(), about(&format!("provider {name}: its key")));
    if name == "ses" {
        assert!(of_ses.iter().any(|finding| finding.value == "false" && !finding.holds()) && of_ses.len() == 4, "{of_ses:?}");
        return;
    }
    assert!(of_ses.is_empty(), "{name}: {of_ses:?}");
    let (asked, says) = if name == "sendgrid" {
        ("SendGrid GET /v3/scopes", "may send: the key has mail.send")
    } else {
        ("Resend GET /domains", "may send: the key has full access")
    };
    assert!(of_key.len() == 1 && of_key[0].holds() && of_key[0].read_from == asked && of_key[0].value.starts_with(says), "{of_key:?}");
    for what in ["its account", "its events"] {
        let found = about(&format!("provider {name}: {what}"));
        assert!(found.len() == 1 && found[0].holds(), "{name}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_what_the_provider_was_asked_and_what_its_answer_proves() {
    let told = |read: &str, value: &str, judgement: &str| (read.to_owned(), value.to_owned(), judgement.to_owned());
    for name in ["ses", "sendgrid", "resend"] {
        let mut world = if name == "ses" { World::new(small()).await } else { carried_by(name).await };
        world.post_command(&by("terms", name)).await;
        world.run_to_the_end("terms").await;
        let asked = match name {
            "ses" => ("SES GetAccount SentLast24Hours", "40", "Holds"),
            "sendgrid" => ("SendGrid GET /v3/stats, requests", "40", "Holds"),
            _ => ("nothing is asked of it", "Resend documents no count of what it sent", "Holds"),
        };
        assert_eq!(counted(&world).await, told(asked.0, asked.1, asked.2), "{name}");
        assert_judged_by_whoever_carried_it(&world, name).await;
        if name == "sendgrid" {
            // A key that may not ask proves nothing, and neither does one that is not at hand; nor do fewer than were accepted.
            world.cloud.configure(|account| account.api_scopes = Some(vec!["mail.send".to_owned()]));
            assert_eq!(counted(&world).await, told(asked.0, "403: access forbidden", "Unreadable"));
            world.cloud.configure(|account| account.api_scopes = None);
            world.providers = Providers::new(world.ses());
            assert_eq!(counted(&world).await, told("nothing was asked", "its key is not at hand here", "Unreadable"));
        }
        world.known = Known::ses();
        let (_, _, judgement) = counted(&world).await;
        assert_eq!(judgement, if name == "ses" { "Holds" } else { "Unreadable" }, "{name}: it is not configured");
    }
}

/// The finding about requests that may still be accepted, of a broadcast that was stopped while every answer was lost.
async fn certified_in_doubt(name: &str) -> (issei_certificate::Finding, u64) {
    let world = if name == "ses" { World::new(small()).await } else { carried_by(name).await };
    let call = match name {
        "ses" => "SendBulkEmail",
        "resend" => "SendBatchEmails",
        _ => "MailSend",
    };
    world.cloud.inject(Rule::every(call, Fault::ResetAfter));
    world.post_command(&by("terms", name)).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    until("all of it is in doubt", async || {
        let found = world.ledger().find_broadcast(&"terms".parse().unwrap()).await.unwrap();
        match found.filter(issei_ledger::Broadcast::is_enqueued) {
            Some(broadcast) => world.ledger().tally(&broadcast).await.unwrap().totals().in_doubt == 40,
            None => false,
        }
    })
    .await;
    let (ledger, id) = (world.ledger(), "terms".parse().unwrap());
    let actor = "an operator".parse().unwrap();
    // SES's may be complete by then, with all of it in doubt.
    let _ = ledger.end(&id, &actor, "a wrong text").await;
    stop.cancel();
    services.join_all().await;
    let later = std::time::Duration::from_hours(1);
    let certifier =
        issei_certificate::Certifier { clock: issei_clock::Clock::starting_at(world.now() + later), ..crate::scheduled::certifier(&world) };
    let certificate = certifier.glance(&id).await.unwrap();
    let finding = certificate.findings.into_iter().find(|finding| finding.what == "claims: open ones").unwrap();
    (finding, certificate.outcomes.in_doubt)
}

/// What `issei stop` calls not proved, no certificate may call over.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_calls_no_request_over_that_its_provider_may_accept_however_late() {
    for name in ["sendgrid", "resend"] {
        let (finding, in_doubt) = certified_in_doubt(name).await;
        assert!(!finding.holds() && in_doubt == 40, "{name}: {finding:?}");
        assert!(
            finding.value.starts_with("40 recipients in doubt: ") && finding.value.contains("refuses no request for its age"),
            "{finding:?}"
        );
        assert!(finding.mend.as_deref().is_some_and(|mend| mend.contains("--key-revoked")), "{finding:?}");
    }
    // SES refuses what is older than five minutes, and an hour has passed.
    let (finding, in_doubt) = certified_in_doubt("ses").await;
    assert!(finding.holds() && in_doubt == 40, "{finding:?}");
}
