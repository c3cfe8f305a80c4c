//! `SendGrid`'s and Resend's own clients, from `PyPI` and npm, against the simulator's fakes of their APIs: what they send is
//! taken, what they read of an answer is there, and what they verify of a webhook is signed as a real one is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use issei_aws::AwsCall;
use issei_clock::Clock;
use issei_provider::Webhook;
use issei_sim::{Account, Cloud, EntryRule, Events, Fault, Listening, Options, RESEND_WEBHOOK_SECRET, Rule, StoreKind, listen};
use issei_test_support::WorldOptions;
use serde_json::{Value, json};

const KEY: &str = "SG.re_the_key";

/// An account at both, on loopback, and the clients.
struct Clients {
    cloud: Arc<Cloud>,
    listening: Listening,
    installed: PathBuf,
}

impl Clients {
    /// Nothing where the clients are not installed, which is said.
    async fn new(account: Account) -> Option<Self> {
        let Some(installed) = std::env::var_os("ISSEI_TEST_PROVIDER_CLIENTS").map(PathBuf::from) else {
            println!("SKIPPED: ISSEI_TEST_PROVIDER_CLIENTS names no clients of SendGrid and Resend; tests/run installs them");
            return None;
        };
        let account = Account { api_key: Some(KEY.to_owned()), keep_mails: true, ..account };
        let cloud = Cloud::new(Options { clock: Clock::system(), seed: 1, store: StoreKind::Memory, account }).unwrap();
        let listening = listen(cloud.clone()).await.unwrap();
        Some(Self { cloud, listening, installed })
    }

    /// What a client tells after it has done one thing.
    fn ask(&self, language: &str, client: &str, more: &Value) -> Value {
        let mut asked = json!({ "client": client, "url": self.listening.url(), "key": KEY, "broadcast": "terms", "to": ["a@example.com", "b@example.com"] });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("provider_clients");
        let (program, script) = match language {
            "python" => (self.installed.join("venv/bin/python"), scripts.join("clients.py")),
            _ => (PathBuf::from("node"), scripts.join("clients.mjs")),
        };
        let mut command = Command::new(program);
        command.arg(script).env("ISSEI_TEST_PROVIDER_CLIENTS", &self.installed);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{language} {client}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.stdout)))
    }

    fn accepted(&self) -> u64 {
        self.cloud.accepted_of("terms")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sendgrids_own_clients_find_at_its_fake_what_they_know_of_sendgrid() {
    let Some(clients) = Clients::new(Account::default()).await else { return };
    for (at, language) in ["python", "node"].into_iter().enumerate() {
        let told = clients.ask(language, "sendgrid", &json!({}));
        assert_eq!(told["status"], 202, "{language}: {told}");
        assert!(told["id"].as_str().is_some_and(|id| !id.is_empty()), "{language}: {told}");
        let mut mails = clients.cloud.mails().unwrap().split_off(2 * at);
        // Both came in one call, in the order that the client has put them in.
        mails.sort_by(|one, other| one.address.cmp(&other.address));
        assert_eq!(mails.iter().map(|mail| mail.address.as_str()).collect::<Vec<_>>(), ["a@example.com", "b@example.com"]);
        assert_eq!(
            (mails[1].subject.as_str(), mails[1].text.as_str(), mails[1].html.as_str()),
            ("Terms for user 1", "Dear user 1", "<p>Dear user 1</p>")
        );
        assert_eq!(
            (mails[1].from.as_str(), mails[1].tags.as_str()),
            ("Example <no-reply@example.com>", "broadcast=terms chunk=0 recipient=1")
        );
        let told = clients.ask(language, "sendgrid", &json!({ "key": "SG.another" }));
        assert_eq!(told["status"], 401, "{language}: {told}");
        // The client for Python lets nobody through who has no `@`, and puts the last personalization first.
        if language == "node" {
            let told = clients.ask(language, "sendgrid", &json!({ "to": ["a@example.com", "nobody"] }));
            assert_eq!(
                (&told["status"], &told["body"]["errors"][0]["field"]),
                (&json!(400), &json!("personalizations.1.to.0.email")),
                "{told}"
            );
        }
        let told = clients.ask(language, "sendgrid", &json!({ "to": ["a@example.com", "A@example.com"] }));
        assert_eq!((&told["status"], &told["body"]["errors"][0]["field"]), (&json!(400), &json!("personalizations")), "{language}: {told}");
        for (fault, status) in [(Fault::Throttle, 429), (Fault::ErrorBefore, 500)] {
            clients.cloud.inject(Rule::every("MailSend", fault).times(1));
            assert_eq!(clients.ask(language, "sendgrid", &json!({}))["status"], status, "{language}");
        }
        assert_eq!(clients.accepted(), 2 * (at as u64 + 1), "{language}: what was refused went to nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resends_own_clients_find_at_its_fake_what_they_know_of_resend() {
    let rule = EntryRule { address: "bad@".to_owned(), status: "BAD_REQUEST: Invalid `to` field.".to_owned(), times: None };
    let Some(clients) = Clients::new(Account { entry_rules: vec![rule], ..Account::default() }).await else { return };
    for (at, language) in ["python", "node"].into_iter().enumerate() {
        let of = |idempotency: &str| json!({ "idempotency": format!("{language}/{idempotency}") });
        let first = clients.ask(language, "resend", &of("1"));
        assert_eq!(first["data"].as_array().map(Vec::len), Some(2), "{language}: {first}");
        let before = clients.accepted();
        assert_eq!(clients.ask(language, "resend", &of("1"))["data"], first["data"], "{language}: the same answer");
        let mut other = of("1");
        other["subject"] = json!("Other");
        let told = clients.ask(language, "resend", &other);
        assert_eq!(told["type"], "invalid_idempotent_request", "{language}: {told}");
        let told = clients.ask(language, "resend", &json!({ "key": "re_another" }));
        assert_eq!(told["type"], "validation_error", "{language}: {told}");
        let told = clients.ask(language, "resend", &json!({ "to": ["a@example.com", "bad@example.com"] }));
        assert_eq!(told["type"], "validation_error", "{language}: {told}");
        clients.cloud.inject(Rule::every("SendBatchEmails", Fault::Throttle).times(1));
        let told = clients.ask(language, "resend", &of("2"));
        assert_eq!(told["type"], "rate_limit_exceeded", "{language}: {told}");
        assert_eq!((before, clients.accepted()), (2 * (at as u64 + 1), before), "{language}: no repeat and no refusal mailed anybody");
    }
}

/// By what `issei doctor` and `issei certify` ask of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_and_what_was_sent_the_fakes_tell_as_the_providers_own_clients_ask() {
    let Some(clients) = Clients::new(Account::default()).await else { return };
    clients.ask("python", "sendgrid", &json!({}));
    let day = Clock::system().wall().strftime("%Y-%m-%d").to_string();
    let asked = json!({ "day": day });
    let told = clients.ask("python", "sendgrid-standing", &asked);
    assert!(told["scopes"].as_array().unwrap().contains(&json!("mail.send")), "{told}");
    assert_eq!(told["requests"], json!([2]), "{told}");
    assert_eq!(clients.ask("node", "resend-domains", &json!({}))["domains"], json!([["example.com", "verified"]]));
    clients.cloud.configure(|account| account.api_scopes = Some(vec!["mail.send".to_owned()]));
    assert_eq!(clients.ask("python", "sendgrid-standing", &asked)["status"], 403);
    let restricted = clients.ask("node", "resend-domains", &json!({}));
    assert_eq!((&restricted["code"], &restricted["type"]), (&json!(401), &json!("restricted_api_key")));
    for (language, client) in [("python", "sendgrid-standing"), ("node", "resend-domains")] {
        let mut another = asked.clone();
        another["key"] = json!("SG.re_another");
        let told = clients.ask(language, client, &another);
        assert!(told["status"] == 401 || told["type"] == "validation_error", "{client}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_the_fakes_are_signed_as_the_providers_own_clients_verify() {
    let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
    let Some(clients) = Clients::new(Account { events, ..Account::default() }).await else { return };
    let sqs = issei_aws::connect_to(&clients.listening.url(), None, &WorldOptions::default().timing).await.sqs;
    let url = sqs.create_queue().queue_name("feedback").call().await.unwrap().queue_url.unwrap();
    clients.ask("python", "sendgrid", &json!({}));
    clients.ask("python", "resend", &json!({}));
    let mut verified = Vec::new();
    loop {
        let received = sqs.receive_message().queue_url(&url).max_number_of_messages(10).call().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            break;
        }
        for message in received {
            let line = message.body.unwrap();
            let fields: Vec<_> = line.split('~').collect();
            let Webhook { provider, id, timestamp, signature, .. } = Webhook::read(&line).unwrap().unwrap();
            let key = if provider == "sendgrid" { clients.cloud.sendgrid_webhook_key() } else { RESEND_WEBHOOK_SECRET.to_owned() };
            let mut asked = json!({ "key": key, "id": id, "timestamp": timestamp, "signature": signature, "body": fields[5] });
            let languages: &[&str] = if provider == "sendgrid" { &["python", "node"] } else { &["node"] };
            for language in languages {
                let client = format!("{provider}-webhook");
                assert_eq!(clients.ask(language, &client, &asked)["good"], true, "{language} {provider}");
                asked["timestamp"] = json!("1800000000");
                assert_eq!(clients.ask(language, &client, &asked)["good"], false, "{language} {provider}");
                asked["timestamp"] = json!(timestamp);
            }
            verified.push(provider);
        }
    }
    verified.sort();
    // One call with all events of a request, and one for each event.
    assert_eq!(verified, ["resend", "resend", "resend", "resend", "sendgrid"]);
}
