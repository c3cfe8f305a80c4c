use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::sample::Sample;
use crate::{ApiKey, ReplayKey};

fn options() -> ResendOptions {
    ResendOptions {
        base_url: "https://api.resend.com".to_owned(),
        key: ApiKey::new("re_x").unwrap(),
        rate: 100.0,
        timeout: Duration::from_secs(10),
    }
}

fn content() -> Value {
    json!({ "subject": "Terms for {{name}}", "html": "<p>Dear {{name}}</p>" })
}

fn request(sample: &Sample) -> Request<Vec<u8>> {
    match draft(&options(), &sample.call()) {
        Draft::Ready(request) => request,
        Draft::Impossible(why) => panic!("{why}"),
    }
}

#[test]
fn a_batch_holds_letters_that_are_rendered_already_with_tags_that_tell_whose_each_is() {
    let mut sample = Sample::new(&content(), &["Ann <3", "{{h0}}"]);
    sample.entries[1].headers = vec![("List-Unsubscribe", "<https://example.com/u>".to_owned())];
    let request = request(&sample);
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://api.resend.com/emails/batch"));
    assert_eq!(request.headers()["authorization"], "Bearer re_x");
    assert_eq!(request.headers()["idempotency-key"], "issei/terms-2026/7/1");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let tags = |recipient: &str| json!([{ "name": "broadcast", "value": "terms-2026" }, { "name": "chunk", "value": "7" }, { "name": "recipient", "value": recipient }]);
    let expected = json!([
        {
            "from": "Example <no-reply@example.com>", "to": ["u0@example.com"], "subject": "Terms for Ann <3",
            "html": "<p>Dear Ann &lt;3</p>", "text": "", "tags": tags("10"),
        },
        {
            "from": "Example <no-reply@example.com>", "to": ["u1@example.com"], "subject": "Terms for {{h0}}",
            "html": "<p>Dear {{h0}}</p>", "text": "", "headers": { "List-Unsubscribe": "<https://example.com/u>" }, "tags": tags("11"),
        },
    ]);
    assert_eq!(body, expected);
}

#[test]
fn the_same_call_is_the_same_to_the_last_byte() {
    let of = || request(&Sample::new(&content(), &["Ann", "Bo"]));
    assert_eq!(of().body(), of().body());
    // Field by field, so that a new field is noticed: whoever asks again after an upgrade is refused by its digest.
    let text = String::from_utf8(request(&Sample::new(&content(), &["Ann"])).into_body()).unwrap();
    assert_eq!(
        text,
        r#"[{"from":"Example <no-reply@example.com>","to":["u0@example.com"],"subject":"Terms for Ann","html":"<p>Dear Ann</p>","text":"","tags":[{"name":"broadcast","value":"terms-2026"},{"name":"chunk","value":"7"},{"name":"recipient","value":"10"}]}]"#
    );
}

#[test]
fn a_letter_names_its_registration_and_one_of_an_older_builds_broadcast_is_as_that_build_wrote_it() {
    let (older, mut sample) = (Sample::new(&content(), &["Ann"]), Sample::new(&content(), &["Ann"]));
    sample.registration = Some("0123456789abcdef0123".to_owned());
    let body: Value = serde_json::from_slice(request(&sample).body()).unwrap();
    assert_eq!(body[0]["tags"][3], json!({ "name": "registration", "value": "0123456789abcdef0123" }));
    assert_ne!(sample.call().digest(None), older.call().digest(None), "another body");
    // As that build has noted it with a request that may be repeated.
    let text = format!(
        "{:?}",
        (
            older.call().broadcast,
            7_u32,
            older.class,
            older.from.to_string(),
            None::<String>,
            older.call().letter,
            [(10_usize, "u0@example.com", &older.entries[0].values, &older.entries[0].headers)]
        )
    );
    assert_eq!(older.call().digest(None), BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes())));
}

#[test]
fn nothing_is_sent_without_a_key_and_nothing_that_has_no_value_for_a_slot() {
    let mut sample = Sample::new(&content(), &["Ann"]);
    for key in [None, Some(ReplayKey(String::new())), Some(ReplayKey("x".repeat(257)))] {
        sample.key = key;
        assert!(matches!(draft(&options(), &sample.call()), Draft::Impossible(_)));
    }
    let mut sample = Sample::new(&content(), &["Ann"]);
    sample.entries[0].values.clear();
    assert!(matches!(draft(&options(), &sample.call()), Draft::Impossible(_)));
    let many: Vec<&str> = std::iter::repeat_n("Ann", 101).collect();
    assert!(matches!(draft(&options(), &Sample::new(&content(), &many).call()), Draft::Impossible(_)));
}

#[test]
fn a_sender_keeps_his_name_whatever_stands_in_it() {
    for (mailbox, shown) in [
        ("a@example.com", "a@example.com"),
        ("Example <a@example.com>", "Example <a@example.com>"),
        ("例え <a@example.com>", "例え <a@example.com>"),
        ("\"Example, Inc.\" <a@example.com>", "\"Example, Inc.\" <a@example.com>"),
        ("=?UTF-8?B?5L6L44GI?= <a@example.com>", "例え <a@example.com>"),
    ] {
        assert_eq!(friendly(&mailbox.parse().unwrap()), shown, "{mailbox}");
    }
}
