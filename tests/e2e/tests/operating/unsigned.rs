//! The address of webhooks is public. What a stranger posts there keeps nobody from a certificate; what may be of a letter of this
//! ledger, and is unsigned since the secret is another, does, and counts once the secret is mended.

use issei_clock::Clock;
use issei_provider::Webhook;
use issei_sim::RESEND_WEBHOOK_SECRET;
use issei_test_support::{Carrier, Processes};
use serde_json::{Value, json};

const FINDING: &str = "events: that nobody has signed";
/// Of another webhook than the one that is configured.
const ANOTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// A call to the API as it comes to the queue.
fn posted(provider: &str, body: &str) -> String {
    let timestamp = Clock::system().wall().as_second().to_string();
    let (id, signature) = ("msg_1".to_owned(), "v1,AAAA".to_owned());
    Webhook { provider: provider.to_owned(), id, timestamp, signature, body: body.as_bytes().to_vec() }.to_line()
}

async fn certified(world: &Processes, id: &str) -> (Option<i32>, Value) {
    let (code, output, errors) = world.try_run(&["certify", id, "--json"]).await;
    (code, serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}")))
}

fn finding<'a>(certificate: &'a Value, what: &str) -> &'a Value {
    let findings = certificate["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("there is no `{what}` in {certificate}"))
}

async fn sent(world: &Processes, id: &str) {
    let mut command: Value = serde_json::from_str(&Carrier::Resend.command(id)).unwrap();
    command["content"]["inline"]["subject"] = json!(id);
    let command = world.write("command.json", &command.to_string());
    world.run(&["send", "--yes", &command]).await;
    world.wait_for(id, "complete").await;
}

async fn delivered(world: &Processes, id: &str) -> Value {
    let exported: Value = serde_json::from_str(&world.run(&["status", id, "--json"]).await).unwrap();
    exported["delivered"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_post_to_the_webhooks_address_keeps_nobody_from_a_certificate_and_a_wrong_secret_does() {
    let mut world = Processes::simulated(20, Processes::account_with_events()).await;
    world.carried_by(Carrier::Resend, 200.0);
    let mut services = ["producer", "consumer", "feedback"].map(|service| world.start(service)).into_iter().collect::<Vec<_>>();
    sent(&world, "terms").await;
    world.carry_all_events().await;
    assert_eq!(world.examined(FINDING, &[]).await[0]["value"], "none");

    let about = json!({ "type": "email.bounced", "created_at": "2026-11-26T00:00:00Z", "data": {
        "email_id": "x", "to": ["user000001@example.com"], "tags": { "broadcast": "terms", "chunk": "0", "recipient": "0" } } });
    for (provider, body) in [("resend", about.to_string()), ("resend", "no JSON".to_owned()), ("sendgrid", "[]".to_owned())] {
        world.post("ISSEI_FEEDBACK_QUEUE", &posted(provider, &body)).await;
    }
    world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
    let (code, certificate) = certified(&world, "terms").await;
    assert_eq!((code, &certificate["verdict"]), (Some(0), &json!("CONVERGED")), "{certificate}");
    let told = finding(&certificate, FINDING)["value"].as_str().unwrap();
    assert!(told.contains("2 calls as resend let go, since ") && told.contains("1 call as a provider that is not configured"), "{told}");
    assert_eq!(world.examined(FINDING, &[]).await[0]["value"], told);
    assert_eq!(certificate["outcomes"]["bounced"], 0, "{certificate}");

    // The secret of the webhook was copied from another one.
    services.pop().unwrap().end().await;
    world.set("PROVIDER_WEBHOOK_KEY", ANOTHER_SECRET);
    services.push(world.start("feedback"));
    sent(&world, "trial").await;
    world.carry_all_events().await;
    let (code, certificate) = certified(&world, "trial").await;
    assert_eq!((code, &certificate["verdict"]), (Some(3), &json!("NOT_CONVERGED")), "{certificate}");
    let queue = format!("messages in {} and its dead-letter queue", world.named("ISSEI_FEEDBACK_QUEUE"));
    let (mend, told) = (finding(&certificate, &queue)["mend"].as_str().unwrap(), finding(&certificate, FINDING)["value"].as_str().unwrap());
    assert!(mend.contains("name letters of this ledger") && mend.contains("webhook_keys of [providers.resend]"), "{mend}");
    assert!(mend.contains("`issei redrive feedback`"), "{mend}");
    assert!(told.contains("kept among the dead letters: 40 that name letters of this ledger"), "{told}");
    assert!(world.examined("dead letters of the feedback queue", &[]).await[0]["mend"].as_str().unwrap().contains("webhook_keys"));
    let shown = world.run(&["dead-letters", "feedback"]).await;
    assert!(shown.contains("refused: the webhook is not its provider's: its signature is wrong"), "{shown}");
    assert_eq!(delivered(&world, "trial").await, json!(0));

    // Whoever mends it loses nothing.
    services.pop().unwrap().end().await;
    world.set("PROVIDER_WEBHOOK_KEY", RESEND_WEBHOOK_SECRET);
    services.push(world.start("feedback"));
    world.cloud.show_all_messages();
    let told = world.run(&["redrive", "feedback"]).await;
    assert!(told.contains("40 dead letters moved back") && told.contains("40 of them had no good signature"), "{told}");
    world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
    world.wait_until("trial", |status| status["delivered"] == 20).await;
    let (code, certificate) = certified(&world, "trial").await;
    assert_eq!((code, &certificate["verdict"]), (Some(0), &json!("CONVERGED")), "{certificate}");
    for service in services {
        service.end().await;
    }
}
