use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::ApiKey;
use crate::sample::Sample;

fn options() -> SendGridOptions {
    SendGridOptions {
        base_url: "https://api.sendgrid.com".to_owned(),
        key: ApiKey::new("SG.x").unwrap(),
        rate: 100.0,
        timeout: Duration::from_secs(10),
        service_group: Some(11),
        marketing_group: Some(12),
    }
}

fn content() -> Value {
    json!({ "subject": "Terms for {{name}}", "text": "Dear {{name}}", "html": "<p title=\"{{name}}\">Dear {{name}}</p>" })
}

fn body(options: &SendGridOptions, sample: &Sample) -> Value {
    match draft(options, &sample.call()) {
        Draft::Ready(request) => {
            assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://api.sendgrid.com/v3/mail/send"));
            assert_eq!(request.headers()["authorization"], "Bearer SG.x");
            serde_json::from_slice(request.body()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// As SendGrid replaces tags, in every part.
fn read(body: &Value, at: usize) -> [String; 3] {
    let substitutions = body["personalizations"][at]["substitutions"].as_object().cloned().unwrap_or_default();
    let put = |text: &Value| {
        substitutions.iter().fold(text.as_str().unwrap().to_owned(), |text, (tag, value)| text.replace(tag, value.as_str().unwrap()))
    };
    [put(&body["subject"]), put(&body["content"][0]["value"]), put(&body["content"][1]["value"])]
}

#[test]
fn each_recipient_reads_a_letter_of_his_own_and_any_event_about_it_tells_whose_it_is() {
    let mut sample = Sample::new(&content(), &["Ann <3", "Bo & Co", "{{l0}} -issei0t1."]);
    sample.from = "例え <no-reply@example.com>".parse().unwrap();
    sample.reply_to = Some("help@example.com".parse().unwrap());
    sample.entries[1].headers = vec![
        ("List-Unsubscribe", "<https://example.com/u>".to_owned()),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
    ];
    let marked = {
        sample.registration = Some("0123456789abcdef0123".to_owned());
        let marked = body(&options(), &sample);
        sample.registration = None;
        marked
    };
    let body = body(&options(), &sample);
    for (at, (name, escaped)) in
        [("Ann <3", "Ann &lt;3"), ("Bo & Co", "Bo &amp; Co"), ("{{l0}} -issei0t1.", "{{l0}} -issei0t1.")].into_iter().enumerate()
    {
        let expected = [format!("Terms for {name}"), format!("Dear {name}"), format!("<p title=\"{escaped}\">Dear {escaped}</p>")];
        assert_eq!(read(&body, at), expected);
        assert_eq!(body["personalizations"][at]["to"], json!([{ "email": format!("u{at}@example.com") }]));
        let whose = json!({ "broadcast": "terms-2026", "chunk": "7", "recipient": (10 + at).to_string() });
        assert_eq!(body["personalizations"][at]["custom_args"], whose);
        assert_eq!(marked["personalizations"][at]["custom_args"]["registration"], "0123456789abcdef0123");
    }
    assert_eq!(body["from"], json!({ "email": "no-reply@example.com", "name": "例え" }));
    assert_eq!(body["reply_to"], json!({ "email": "help@example.com" }));
    assert_eq!(body["personalizations"][0].get("headers"), None);
    assert_eq!(body["personalizations"][1]["headers"]["List-Unsubscribe"], "<https://example.com/u>");
    assert_eq!(
        body["content"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["text/plain", "text/html"]
    );
}

#[test]
fn a_letter_is_what_was_shown_whatever_the_account_adds_to_others() {
    let body = body(&options(), &Sample::new(&content(), &["Ann"]));
    for (setting, switch) in [
        ("click_tracking", "enable"),
        ("click_tracking", "enable_text"),
        ("open_tracking", "enable"),
        ("subscription_tracking", "enable"),
        ("ganalytics", "enable"),
    ] {
        assert_eq!(body["tracking_settings"][setting][switch], false, "{setting}");
    }
    assert_eq!(body["mail_settings"]["footer"]["enable"], false);
    assert_eq!(body["mail_settings"]["sandbox_mode"]["enable"], false);
}

/// One real address among them, and it is no rehearsal.
#[test]
fn only_what_goes_to_nobody_at_all_is_sent_in_sandbox_mode() {
    let mut sample = Sample::new(&content(), &["Ann", "Bob"]);
    for (number, entry) in (1..).zip(&mut sample.entries) {
        entry.to = super::super::FACTS.rehearsed.address(number).parse().unwrap();
    }
    let is_on = |sample: &Sample| body(&options(), sample)["mail_settings"]["sandbox_mode"]["enable"].clone();
    assert_eq!(is_on(&sample), true);
    for real in ["ann@example.com", "ann@sandbox.invalid.example.com", "sandbox.invalid@example.com"] {
        sample.entries[1].to = real.parse().unwrap();
        assert_eq!(is_on(&sample), false, "{real}");
    }
}

#[test]
fn a_legal_notice_goes_past_objections_and_not_past_bounces_and_others_go_by_their_group() {
    let mut sample = Sample::new(&content(), &["Ann"]);
    for (class, group) in [(Class::LegalNotice, Value::Null), (Class::Service, json!(11)), (Class::Marketing, json!(12))] {
        sample.class = class;
        let body = body(&options(), &sample);
        assert_eq!(body["asm"]["group_id"], group, "{class}");
        let settings = &body["mail_settings"];
        for bypass in ["bypass_spam_management", "bypass_unsubscribe_management"] {
            assert_eq!(settings[bypass]["enable"].as_bool(), (class == Class::LegalNotice).then_some(true), "{class}");
        }
        assert_eq!((settings.get("bypass_list_management"), settings.get("bypass_bounce_management")), (None, None));
    }
    // A link of our own is the one that counts.
    sample.entries[0].headers = vec![("List-Unsubscribe", "<https://example.com/u>".to_owned())];
    assert_eq!(body(&options(), &sample).get("asm"), None);
}

#[test]
fn values_that_sendgrid_would_not_substitute_are_divided_until_one_stands_alone_with_words_of_his_own() {
    let long = "x".repeat(10_000);
    let sample = Sample::new(&content(), &["Ann", &long]);
    assert!(matches!(draft(&options(), &sample.call()), Draft::Divide));
    let alone = Sample::new(&content(), &[&long]);
    let body = body(&options(), &alone);
    assert_eq!(body["personalizations"][0].get("substitutions"), None);
    assert_eq!(read(&body, 0)[1], format!("Dear {long}"));
}

#[test]
fn what_has_no_value_for_a_slot_or_too_many_recipients_is_not_sent() {
    let mut sample = Sample::new(&content(), &["Ann", "Bo"]);
    sample.entries[1].values.clear();
    assert!(matches!(draft(&options(), &sample.call()), Draft::Impossible(_)));
    sample.entries.clear();
    assert!(matches!(draft(&options(), &sample.call()), Draft::Impossible(_)));
    let many: Vec<&str> = std::iter::repeat_n("Ann", 1_001).collect();
    assert!(matches!(draft(&options(), &Sample::new(&content(), &many).call()), Draft::Impossible(_)));
}
