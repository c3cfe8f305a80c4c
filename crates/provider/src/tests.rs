//! What issei sends by SendGrid and by Resend, against fakes that know of their documents and nothing of issei.

use std::sync::Arc;
use std::time::Duration;

use issei_aws::{AwsCall, Clients, Timing};
use issei_clock::Clock;
use issei_schema::EventKind;
use issei_sim::{Account, Cloud, EntryRule, EventRule, Events, Fault, Options, RESEND_WEBHOOK_SECRET, Rule, StoreKind, connector};
use serde_json::{Value, json};

use crate::sample::Sample;
use crate::{
    ApiKey, Cause, Event, Provider, Refusal, ReplayKey, Resend, ResendOptions, Said, SendGrid, SendGridOptions, Told, Unread, Unsigned,
    Verdict, Webhook, WebhookKeys,
};

/// An account at both, with the one key that they take.
struct Accounts {
    cloud: Arc<Cloud>,
    clients: Clients,
    sendgrid: SendGrid,
    resend: Resend,
}

impl Accounts {
    async fn new(account: Account) -> Self {
        let account = Account { api_key: Some("the.key".to_owned()), keep_mails: true, ..account };
        let cloud = Cloud::new(Options { clock: Clock::system(), seed: 1, store: StoreKind::Memory, account }).unwrap();
        let timing = Timing {
            send: Duration::from_secs(20),
            permit_life: Duration::from_secs(30),
            ledger: Duration::from_secs(20),
            lease: Duration::from_mins(1),
            handler: Duration::from_secs(70),
            visibility: Duration::from_secs(500),
            request_lifetime: Duration::ZERO,
        };
        let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &timing).await;
        let options = sendgrid_options("the.key");
        let sendgrid = SendGrid::new(clients.web.clone(), options);
        let resend = Resend::new(
            clients.web.clone(),
            ResendOptions {
                base_url: "https://api.resend.com".to_owned(),
                key: ApiKey::new("the.key").unwrap(),
                rate: 100.0,
                timeout: Duration::from_millis(200),
            },
        );
        Self { cloud, clients, sendgrid, resend }
    }

    fn both(&self) -> [&dyn Provider; 2] {
        [&self.sendgrid, &self.resend]
    }

    /// How often each of the first recipients was accepted.
    fn accepted(&self) -> Vec<u64> {
        (0..3).map(|at| self.cloud.sent_for("terms-2026", &format!("u{at}@example.com")).unwrap().accepted).collect()
    }
}

fn sendgrid_options(key: &str) -> SendGridOptions {
    SendGridOptions {
        base_url: "https://api.sendgrid.com".to_owned(),
        key: ApiKey::new(key).unwrap(),
        rate: 100.0,
        timeout: Duration::from_millis(200),
        service_group: None,
        marketing_group: None,
    }
}

fn content() -> Value {
    json!({ "subject": "Terms for {{name}}", "text": "Dear {{name}}", "html": "<p>Dear {{name}}</p>" })
}

fn sample() -> Sample {
    Sample::new(&content(), &["Ann <3", "Bo", "-issei0t0. {{l0}}"])
}

fn ids(verdict: &Verdict) -> Vec<&str> {
    verdict.entries.iter().filter_map(|said| if let Said::Accepted(id) = said { id.as_deref() } else { None }).collect()
}

#[tokio::test]
async fn a_letter_is_taken_once_by_either_provider_and_reads_as_it_was_shown() {
    let accounts = Accounts::new(Account::default()).await;
    for (at, provider) in accounts.both().into_iter().enumerate() {
        let sample = sample();
        let verdict = provider.send(sample.call()).await;
        assert_eq!(ids(&verdict).len(), 3, "{verdict:?}");
        let mails = accounts.cloud.mails().unwrap().split_off(3 * at);
        for (mail, (name, escaped)) in mails.iter().zip([("Ann <3", "Ann &lt;3"), ("Bo", "Bo"), ("-issei0t0. {{l0}}", "-issei0t0. {{l0}}")])
        {
            let title = provider.facts().title;
            assert_eq!(
                (mail.subject.as_str(), mail.text.as_str()),
                (format!("Terms for {name}").as_str(), format!("Dear {name}").as_str()),
                "{title}"
            );
            assert_eq!(
                (mail.html.as_str(), mail.from.as_str()),
                (format!("<p>Dear {escaped}</p>").as_str(), "Example <no-reply@example.com>"),
                "{title}"
            );
        }
        assert_eq!(mails[1].tags, "broadcast=terms-2026 chunk=7 recipient=11");
        assert_eq!(accounts.accepted(), vec![at as u64 + 1; 3]);
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_doubt_and_only_a_key_that_is_remembered_ends_it_without_a_second_mail() {
    let replaced = [400, 401, 403, 404, 422, 429, 502].map(Fault::ReplacedAfter);
    for fault in [Fault::ResetAfter, Fault::HangAfter, Fault::ErrorAfter, Fault::TruncateAfter].into_iter().chain(replaced) {
        let accounts = Accounts::new(Account::default()).await;
        let sample = sample();
        accounts.cloud.inject(Rule::every("SendBatchEmails", fault).times(1));
        let lost = accounts.resend.send(sample.call()).await;
        assert_eq!(
            (lost.entries.as_slice(), accounts.accepted()),
            ([Said::InDoubt, Said::InDoubt, Said::InDoubt].as_slice(), vec![1; 3]),
            "{fault:?}"
        );
        let asked = accounts.resend.send(sample.call()).await;
        assert_eq!((ids(&asked).len(), accounts.accepted()), (3, vec![1; 3]), "{fault:?}");
        assert_eq!(ids(&accounts.resend.send(sample.call()).await), ids(&asked), "the same answer each time");
    }
    // An answer of SendGrid's has no body that could be cut.
    for fault in [Fault::ResetAfter, Fault::HangAfter, Fault::ErrorAfter].into_iter().chain(replaced) {
        let accounts = Accounts::new(Account::default()).await;
        let sample = sample();
        accounts.cloud.inject(Rule::every("MailSend", fault).times(1));
        let lost = accounts.sendgrid.send(sample.call()).await;
        assert_eq!(
            (lost.entries.as_slice(), accounts.accepted()),
            ([Said::InDoubt, Said::InDoubt, Said::InDoubt].as_slice(), vec![1; 3]),
            "{fault:?}"
        );
        accounts.sendgrid.send(sample.call()).await;
        assert_eq!(accounts.accepted(), vec![2; 3], "which is why a repeat is not made");
    }
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_window_and_never_serves_for_other_words_or_another_send() {
    let accounts = Accounts::new(Account::default()).await;
    let first = sample();
    assert_eq!(ids(&accounts.resend.send(first.call()).await).len(), 3);
    let other = Sample::new(&content(), &["Ann", "Bo", "Cy"]);
    let verdict = accounts.resend.send(other.call()).await;
    assert_eq!(verdict.entries, vec![Said::InDoubt; 3]);
    assert!(verdict.pause.unwrap().starts_with("409 invalid_idempotent_request"));
    assert_eq!(accounts.accepted(), vec![1; 3]);
    let mut second = sample();
    second.key = Some(ReplayKey("issei/terms-2026/7/2".to_owned()));
    accounts.resend.send(second.call()).await;
    assert_eq!(accounts.accepted(), vec![2; 3]);
    accounts.cloud.configure(|account| account.replay_window_s = 0);
    accounts.resend.send(first.call()).await;
    assert_eq!(accounts.accepted(), vec![3; 3], "a repeat after the window is a second mail");
}

#[tokio::test]
async fn what_either_provider_refuses_was_mailed_to_nobody() {
    let rule = EntryRule { address: "u1@".to_owned(), status: "BAD_REQUEST: Invalid `to` field.".to_owned(), times: None };
    let accounts = Accounts::new(Account { entry_rules: vec![rule], ..Account::default() }).await;
    let is_address = |said: &Said| matches!(said, Said::Refused(Refusal { cause: Cause::Address, .. }));
    let sample = sample();
    let verdict = accounts.sendgrid.send(sample.call()).await;
    assert!(verdict.split && is_address(&verdict.entries[1]) && verdict.entries[0] == Said::Retryable, "{verdict:?}");
    let verdict = accounts.resend.send(sample.call()).await;
    assert!(verdict.split && verdict.entries.iter().all(is_address), "{verdict:?}");
    accounts.cloud.configure(|account| account.entry_rules.clear());
    for operation in ["MailSend", "SendBatchEmails"] {
        accounts.cloud.inject(Rule::every(operation, Fault::Throttle).times(1));
    }
    for provider in accounts.both() {
        let verdict = provider.send(sample.call()).await;
        assert!(verdict.slow_down.is_some() && verdict.entries == vec![Said::Retryable; 3], "{verdict:?}");
    }
    // Another account's key, a domain that is not verified, and one address twice.
    let stranger = SendGrid::new(accounts.clients.web.clone(), sendgrid_options("another.key"));
    assert!(stranger.send(sample.call()).await.pause.unwrap().starts_with("401"));
    accounts.cloud.configure(|account| account.identities = Some([("example.org".to_owned(), json!({}))].into()));
    for provider in accounts.both() {
        assert!(provider.send(sample.call()).await.pause.unwrap().starts_with("403"));
    }
    accounts.cloud.configure(|account| account.identities = None);
    let mut twice = self::sample();
    twice.entries[2].to = twice.entries[0].to.clone();
    assert!(accounts.sendgrid.send(twice.call()).await.split);
    let mut rehearsed = self::sample();
    for (number, entry) in (1..).zip(&mut rehearsed.entries) {
        entry.to = SendGrid::FACTS.rehearsed.address(number).parse().unwrap();
    }
    assert_eq!(accounts.sendgrid.send(rehearsed.call()).await.entries, vec![Said::Accepted(Some("sandbox-mode".to_owned())); 3]);
    assert_eq!((accounts.accepted(), accounts.cloud.mails().unwrap().len()), (vec![0; 3], 0));
}

/// All that came of one queue, read as the feedback consumer reads it.
async fn webhooks(accounts: &Accounts, url: &str) -> Vec<Webhook> {
    let mut webhooks = Vec::new();
    loop {
        let received = accounts.clients.sqs.receive_message().queue_url(url).max_number_of_messages(10).call().await.unwrap();
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return webhooks;
        }
        webhooks.extend(messages.iter().map(|message| Webhook::read(message.body().unwrap()).unwrap().unwrap()));
    }
}

#[tokio::test]
async fn what_becomes_of_a_letter_is_told_by_a_webhook_that_its_provider_has_signed() {
    let ends = [("u0@", "Bounce"), ("u1@", "Complaint")]
        .map(|(address, event)| EventRule { address: address.to_owned(), event: event.to_owned() });
    let events = Events { queue: Some("feedback".to_owned()), rules: ends.into(), ..Events::default() };
    let accounts = Accounts::new(Account { events, ..Account::default() }).await;
    let url = accounts.clients.sqs.create_queue().queue_name("feedback").call().await.unwrap().queue_url.unwrap();
    let keys = WebhookKeys::SendGrid(vec![accounts.cloud.sendgrid_webhook_key().parse().unwrap()]);
    let secrets = WebhookKeys::Resend(vec![RESEND_WEBHOOK_SECRET.parse().unwrap()]);
    let now = Clock::system().wall();
    for provider in accounts.both() {
        let sample = sample();
        let verdict = provider.send(sample.call()).await;
        let ids = ids(&verdict);
        let mut told = Vec::new();
        for webhook in webhooks(&accounts, &url).await {
            let keys = if webhook.provider == "sendgrid" { &keys } else { &secrets };
            let forged = Webhook { body: [webhook.body.as_slice(), b" "].concat(), ..webhook.clone() };
            assert_eq!(keys.read(&forged, now), Err(Unread::Unsigned(Unsigned::Wrong(1))));
            for event in keys.read(&webhook, now).unwrap() {
                let Ok(Told::Event(Event { broadcast, chunk, at, kind, message_id, addresses, .. })) = event else { panic!("{event:?}") };
                assert_eq!((broadcast.as_str(), chunk), ("terms-2026", 7));
                let place = usize::try_from(at).unwrap() - 10;
                assert_eq!(message_id, ids[place], "by the id that the answer told");
                told.push((place, kind, addresses.iter().map(|address| address.as_str().to_owned()).collect::<Vec<_>>()));
            }
        }
        told.sort_by_key(|(place, kind, _)| (*place, *kind));
        let expected = [
            (0, EventKind::Sent, vec![]),
            (0, EventKind::Bounced, vec!["u0@example.com".to_owned()]),
            (1, EventKind::Sent, vec![]),
            (1, EventKind::Complained, vec!["u1@example.com".to_owned()]),
            (2, EventKind::Sent, vec![]),
            (2, EventKind::Delivered, vec![]),
        ];
        assert_eq!(told, expected, "{}", provider.facts().title);
    }
}
