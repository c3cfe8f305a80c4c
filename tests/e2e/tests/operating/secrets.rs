//! Keys of providers that stand in Secrets Manager, read by the real binary from an emulator that others have written.

use issei_schema::{UnsubscribeKey, UnsubscribeToken};
use issei_sim::Account;
use issei_test_support::{Carrier, Emulator, Processes, command_body, judge};
use serde_json::json;

use crate::objects::saying;

const KEY: &str = "a-key-of-a-test";

/// A world whose provider's keys are these secrets.
async fn kept_in(secret: &str, webhooks: &str) -> Processes {
    let mut world = Processes::new(20, Processes::account_with_events()).await;
    world.carried_by(Carrier::Resend, 200.0);
    world.cloud.configure(|account| account.api_key = Some(KEY.to_owned()));
    let config = world.read("issei.toml").replace("env = \"PROVIDER_KEY\"", &format!("secret = \"{secret}\""));
    _ = world.write("issei.toml", &config.replace("env = \"PROVIDER_WEBHOOK_KEY\"", &format!("secret = \"{webhooks}\"")));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_secret_carries_a_broadcast_and_stands_in_no_log() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let secret = emulator.secret(&format!(r#"{{"api_key":"{KEY}","other":"x"}}"#)).await;
    let webhooks = emulator.secret(issei_sim::RESEND_WEBHOOK_SECRET).await;
    let world = kept_in(&format!("{secret}:api_key"), &webhooks).await;
    for finding in ["its key", "the keys of its webhooks"] {
        let found = world.examined(&format!("provider resend: {finding}"), &[]).await;
        assert_eq!(found[0]["judgement"], "holds", "{found:?}");
    }
    let command = world.write("command.json", &Carrier::Resend.command("terms"));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    let loud = |service| world.start_in(service, &[("RUST_LOG", "trace")]);
    let (consumer, feedback) = (loud("consumer"), loud("feedback"));
    world.wait_for("terms", "complete").await;
    assert_eq!(judge(&world.cloud, "terms").total(), 20);
    world.carry_all_events().await;
    world.wait_until("terms", |status| status["delivered"] == 20).await;
    for (service, process) in [("producer", producer), ("consumer", consumer), ("feedback", feedback)] {
        process.end().await;
        let log = world.log(service);
        assert!(!log.contains(KEY) && !log.contains(issei_sim::RESEND_WEBHOOK_SECRET), "{service} shows a key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_or_denied_ends_the_start_with_its_arn_and_the_cause() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let none = "arn:aws:secretsmanager:us-east-1:000000000000:secret:none-AbCdEf";
    let kept = emulator.secret("re_1").await;
    let denied = saying("400 Bad", DENIED.len(), DENIED).await;
    let denying = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", Some(denied.as_str()))];
    let no_json = format!("{kept}:api_key");
    for (secret, environment, cause) in [
        (none, [].as_slice(), "ResourceNotFoundException"),
        (none, &denying, "grant secretsmanager:GetSecretValue on it"),
        (&no_json, &[], "is no JSON"),
    ] {
        let world = kept_in(secret, secret).await;
        for service in ["consumer", "feedback"] {
            let (code, output, error) = world.try_run_under(environment, &[service]).await;
            let told = output + &error;
            assert!(
                code == Some(1) && told.contains("[providers.resend]") && told.contains(secret) && told.contains(cause),
                "{code:?} {told}"
            );
            assert!(!told.contains("re_1"), "{told}");
        }
        // Whoever looks is told, and a stop needs no key.
        let (_, output, _) = world.try_run_under(environment, &["doctor"]).await;
        assert!(output.contains(secret) && output.contains(cause), "{output}");
        world.run(&["stop", "--all", "--reason", "a test"]).await;
    }
}

/// Whoever signs a link and whoever checks it have the same bytes, blanks and all.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_links_to_unsubscribe_may_be_a_secret_and_a_try_needs_none() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let kept = "a key of a test, 32 bytes or more ";
    let secret = emulator.secret(&json!({ "unsubscribe": kept }).to_string()).await;
    let world = Processes::new(5, Account { keep_mails: true, ..Account::default() }).await;
    let keys = |secret: &str| format!("\n[unsubscribe_keys]\n\"2026-11\" = {{ secret = \"{secret}\" }}\n");
    let config = world.read("issei.toml");
    _ = world.write("issei.toml", &(config.clone() + &keys(&format!("{secret}:unsubscribe"))));
    let body = command_body("terms", |command| {
        (command["version"], command["class"]) = (2.into(), "service".into());
        command["unsubscribe"] = json!({ "url": "https://app.example.com/u?t={{token}}", "key": "2026-11" });
    });
    let command = world.write("command.json", &body);
    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start_in("consumer", &[("RUST_LOG", "trace")]));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    assert!(!world.log("consumer").contains(kept), "the log shows the key");
    let mails = world.cloud.mails().unwrap();
    let tokens = mails.iter().map(|mail| {
        let (_, url) = mail.headers.iter().find(|(name, _)| name == "List-Unsubscribe").unwrap();
        url.split_once("u?t=").unwrap().1.trim_end_matches('>').to_owned()
    });
    let (tokens, own) = (tokens.collect::<Vec<_>>(), UnsubscribeKey::try_from(kept.to_owned()).unwrap());
    assert_eq!(tokens.len(), 5);
    for token in &tokens {
        UnsubscribeToken::read(token, &[("2026-11".parse().unwrap(), own.clone())].into()).unwrap();
        world.run(&["unsubscribe-token", "verify", token]).await;
    }

    let none = "arn:aws:secretsmanager:us-east-1:000000000000:secret:none-AbCdEf";
    _ = world.write("issei.toml", &(config + &keys(none)));
    for arguments in [&["consumer"][..], &["unsubscribe-token", "verify", &tokens[0]]] {
        let (code, output, error) = world.try_run(arguments).await;
        let told = output + &error;
        assert!(code == Some(1) && told.contains("[unsubscribe_keys] `2026-11`") && told.contains(none), "{arguments:?}: {told}");
    }
    // Nobody checks the links of what is simulated, so nobody asks for the key.
    let tried = world.run(&["try", &command, "--yes", "-o", "inbox"]).await;
    assert!(tried.contains("letters        5 accepted"), "{tried}");
}

const DENIED: &str = r#"{"__type":"AccessDeniedException","Message":"no identity-based policy allows it"}"#;
