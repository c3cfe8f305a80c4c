//! Resend's webhooks, which Svix signs: who signed one, and what its event says.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use issei_schema::{Address, EventKind, EventReason, without_values};
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

use crate::webhook::{Events, NoEvent, Unsigned, Webhook, Whose, as_text, judge_moment};
use crate::{Event, Told};

const ID: &str = "svix-id";
const TIMESTAMP: &str = "svix-timestamp";
const SIGNATURE: &str = "svix-signature";

/// What Svix's own libraries allow, both ways. A call that is tried again is signed anew.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The signing secret of a webhook, as Resend shows it: `whsec_` and Base64. It is shown nowhere.
#[derive(Clone)]
pub struct ResendSecret(hmac::Key);

impl fmt::Debug for ResendSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResendSecret")
    }
}

impl std::str::FromStr for ResendSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let key = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok().filter(|key| key.len() >= 16);
        let key = key.ok_or("is no signing secret of a webhook: `whsec_` and the Base64 of 16 bytes or more")?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }
}

impl ResendSecret {
    /// Whether one of these secrets has signed the call, at a moment near the one at which it came: HMAC-SHA256 of id, moment
    /// and raw body, with full stops between. The header holds a list, since a secret that is replaced signs beside the new
    /// one for a while (Svix, "Verifying Webhooks Manually").
    ///
    /// # Errors
    /// Says what is wrong with which.
    pub(crate) fn verify(secrets: &[Self], webhook: &Webhook, came_at: Timestamp) -> Result<(), Unsigned> {
        for (header, name) in [(&webhook.id, ID), (&webhook.signature, SIGNATURE)] {
            if header.is_empty() {
                return Err(Unsigned::Missing(name));
            }
        }
        judge_moment(&webhook.timestamp, TIMESTAMP, came_at, TOLERANCE, TOLERANCE)?;
        // Other versions may stand beside it.
        let listed = webhook.signature.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let signatures: Vec<_> = listed.filter_map(|one| BASE64_STANDARD.decode(one).ok()).collect();
        if signatures.is_empty() {
            return Err(Unsigned::Malformed(SIGNATURE));
        }
        let signed = [webhook.id.as_bytes(), b".", webhook.timestamp.as_bytes(), b".", &webhook.body].concat();
        // In constant time.
        let is_of = |secret: &Self| signatures.iter().any(|signature| hmac::verify(&secret.0, &signed, signature).is_ok());
        if secrets.iter().any(is_of) { Ok(()) } else { Err(Unsigned::Wrong(secrets.len())) }
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    /// When the event was.
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    data: Value,
}

/// What a body says once it is believed: one event.
///
/// # Errors
/// Says what the body is instead of an event.
pub(crate) fn events(body: &[u8]) -> Result<Events, NoEvent> {
    let shape = |error: serde_json::Error| NoEvent::Shape { provider: "Resend", reason: without_values(&error) };
    let body: Body = serde_json::from_slice(body).map_err(shape)?;
    Ok(vec![event(&body)])
}

/// Contacts, domains and mail that came in have events too; they carry no tags of ours. Tags are an object by name ("Webhooks",
/// each event's page), and the list that was sent in other places.
fn event(Body { kind, created_at, data }: &Body) -> Result<Told, NoEvent> {
    let tag = |name: &str| match &data["tags"] {
        Value::Array(tags) => tags.iter().find(|tag| tag["name"] == name).and_then(|tag| as_text(&tag["value"])),
        tags => as_text(&tags[name]),
    };
    let Some(whose) = Whose::of(tag)? else { return Ok(Told::NotOurs) };
    let kind = match kind.as_str() {
        "email.delivered" => EventKind::Delivered,
        "email.delivery_delayed" => EventKind::Delayed,
        "email.bounced" => bounced(&data["bounce"]),
        "email.complained" => EventKind::Complained,
        "email.suppressed" => EventKind::Suppressed,
        // Accepted by the call, and not sent: a quota, a domain, an address that is none.
        "email.failed" => EventKind::Rejected,
        // `email.sent`, opens, clicks, and what Resend learns to tell later: each is about a message that it took.
        _ => EventKind::Sent,
    };
    let addresses = data["to"].as_array().into_iter().flatten().filter_map(|address| Address::quoting_legacy(address.as_str()?).ok());
    let sent_at: Option<Timestamp> = data["created_at"].as_str().and_then(|at| at.parse().ok());
    Ok(Told::Event(Event {
        broadcast: whose.broadcast,
        chunk: whose.chunk,
        at: whose.at,
        registration: whose.registration,
        kind,
        message_id: data["email_id"].as_str().unwrap_or_default().to_owned(),
        sent_at,
        // An open or a click tells no more than that it was taken.
        happened_at: if kind == EventKind::Sent { sent_at } else { created_at.as_deref().and_then(|at| at.parse().ok()) },
        reason: reason(data, kind),
        addresses: if matches!(kind, EventKind::Bounced | EventKind::Complained) { addresses.collect() } else { Vec::new() },
        unsubscribed: false,
    }))
}

/// What `data` says of it, and in the field of which name ("Event Types", each event's page).
fn reason(data: &Value, kind: EventKind) -> Option<EventReason> {
    let of = match kind {
        EventKind::Suppressed if data["suppressed"].is_object() => &data["suppressed"],
        EventKind::Bounced | EventKind::SoftBounced | EventKind::Suppressed => &data["bounce"],
        EventKind::Rejected => &data["failed"],
        _ => return None,
    };
    let text = |name: &str| of[name].as_str().filter(|text| !text.is_empty());
    let word = [text("type"), text("subType"), text("reason")].into_iter().flatten().collect::<Vec<_>>().join("/");
    // What the mail server said stands in a list, where it stands at all.
    let said = of["diagnosticCode"][0].as_str().or_else(|| text("diagnosticCode")).or_else(|| text("message"));
    EventReason::told(&word, "", said.unwrap_or_default(), data["to"].as_array().into_iter().flatten().filter_map(Value::as_str))
}

/// `Permanent`, `Transient` or `Undetermined` ("Email Bounces"); one for the suppression list's sake is no bounce.
fn bounced(bounce: &Value) -> EventKind {
    match (bounce["type"].as_str(), bounce["subType"].as_str()) {
        (_, Some("Suppressed" | "OnAccountSuppressionList")) => EventKind::Suppressed,
        (Some("Permanent"), _) => EventKind::Bounced,
        _ => EventKind::SoftBounced,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secret(text: &str) -> ResendSecret {
        text.parse().unwrap()
    }

    fn signature(secret: &ResendSecret, webhook: &Webhook) -> String {
        let signed = [webhook.id.as_bytes(), b".", webhook.timestamp.as_bytes(), b".", &webhook.body].concat();
        format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(&secret.0, &signed)))
    }

    fn webhook(signature: &str) -> Webhook {
        Webhook {
            provider: "resend".to_owned(),
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: "1614265330".to_owned(),
            signature: signature.to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
        }
    }

    /// Secret, call and signature of Svix's own pages and tests.
    #[test]
    fn what_svix_itself_shows_as_signed_is_believed() {
        let secrets = [secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let shown = webhook("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(ResendSecret::verify(&secrets, &shown, at(1_614_265_330)), Ok(()));
        assert!(!format!("{secrets:?}").contains("MfKQ"));
    }

    #[test]
    fn a_wrong_an_old_and_a_missing_signature_are_told_apart() {
        let (old, new, stranger) = (
            secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"),
            secret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        );
        let bare = webhook("");
        let by = |secret: &ResendSecret| signature(secret, &bare);
        let (secrets, came_at) = ([old.clone(), new.clone()], at(1_614_265_330));
        let verify = |signature: &str| ResendSecret::verify(&secrets, &webhook(signature), came_at);
        assert_eq!((verify(&by(&old)), verify(&by(&new))), (Ok(()), Ok(())));
        // A secret that is being replaced: one of the list is enough, wherever it stands.
        assert_eq!(verify(&format!("v1a,xxx {} {}", by(&stranger), by(&new))), Ok(()));
        assert_eq!(verify(&by(&stranger)), Err(Unsigned::Wrong(2)));
        assert_eq!(verify(""), Err(Unsigned::Missing(SIGNATURE)));
        for text in ["v1", "v2,AAAA", "v1,?", "AAAA"] {
            assert_eq!(verify(text), Err(Unsigned::Malformed(SIGNATURE)), "{text}");
        }
        let good = webhook(&by(&new));
        let judge = |webhook: &Webhook, second| ResendSecret::verify(&secrets, webhook, at(second));
        assert_eq!(judge(&good, 1_614_265_631), Err(Unsigned::Old(301)));
        assert_eq!(judge(&good, 1_614_265_029), Err(Unsigned::Early(301)));
        assert_eq!(judge(&Webhook { id: String::new(), ..good.clone() }, 1_614_265_330), Err(Unsigned::Missing(ID)));
        assert_eq!(judge(&Webhook { id: "msg_other".to_owned(), ..good.clone() }, 1_614_265_330), Err(Unsigned::Wrong(2)));
        assert_eq!(judge(&Webhook { timestamp: "1614265331".to_owned(), ..good.clone() }, 1_614_265_330), Err(Unsigned::Wrong(2)));
        assert_eq!(judge(&Webhook { body: br#"{"test":2432232314}"#.to_vec(), ..good }, 1_614_265_330), Err(Unsigned::Wrong(2)));
    }

    #[test]
    fn what_is_no_signing_secret_is_refused_where_it_is_configured() {
        for text in ["", "whsec_", "whsec_?", "whsec_c2hvcnQ=", "re_123456789"] {
            assert!(text.parse::<ResendSecret>().is_err(), "{text}");
        }
    }

    fn told(kind: &str, change: &Value) -> (EventKind, usize) {
        let mut data = json!({
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "to": ["a@example.com"], "subject": "Terms",
            "tags": { "broadcast": "terms", "chunk": "7", "recipient": "3" },
        });
        data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let body = json!({ "type": kind, "created_at": "2026-11-22T23:41:12.126Z", "data": data });
        match events(body.to_string().as_bytes()).unwrap().as_slice() {
            [Ok(Told::Event(happened))] => {
                assert_eq!((happened.broadcast.as_str(), happened.chunk, happened.at), ("terms", 7, 3));
                assert_eq!(happened.message_id, "56761188-7520-42d8-8898-ff6fc54ce618");
                (happened.kind, happened.addresses.len())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_event_of_resends_is_of_a_kind_that_the_ledger_knows() {
        let bounce = |kind: &str, sub: &str| json!({ "bounce": { "type": kind, "subType": sub, "message": "x" } });
        for (kind, change, expected) in [
            ("email.sent", json!({}), (EventKind::Sent, 0)),
            ("email.delivered", json!({}), (EventKind::Delivered, 0)),
            ("email.delivery_delayed", json!({}), (EventKind::Delayed, 0)),
            ("email.bounced", bounce("Permanent", "General"), (EventKind::Bounced, 1)),
            ("email.bounced", bounce("Permanent", "Suppressed"), (EventKind::Suppressed, 0)),
            ("email.bounced", bounce("Transient", "MailboxFull"), (EventKind::SoftBounced, 0)),
            ("email.bounced", bounce("Undetermined", "Undetermined"), (EventKind::SoftBounced, 0)),
            ("email.complained", json!({}), (EventKind::Complained, 1)),
            ("email.suppressed", json!({}), (EventKind::Suppressed, 0)),
            ("email.failed", json!({ "failed": { "reason": "reached_daily_quota" } }), (EventKind::Rejected, 0)),
            ("email.opened", json!({}), (EventKind::Sent, 0)),
            ("email.teleported", json!({}), (EventKind::Sent, 0)),
            // As they were sent.
            (
                "email.sent",
                json!({ "tags": [{ "name": "broadcast", "value": "terms" }, { "name": "chunk", "value": "7" }, { "name": "recipient", "value": "3" }] }),
                (EventKind::Sent, 0),
            ),
        ] {
            assert_eq!(told(kind, &change), expected, "{kind} {change}");
        }
    }

    #[test]
    fn what_is_about_somebody_elses_mail_is_left_alone_and_what_is_no_event_is_named() {
        for body in [
            json!({ "type": "contact.created", "data": { "id": "1" } }),
            json!({ "type": "email.sent", "data": { "tags": { "category": "x" } } }),
            json!({ "type": "x" }),
        ] {
            assert_eq!(events(body.to_string().as_bytes()), Ok(vec![Ok(Told::NotOurs)]), "{body}");
        }
        for body in ["", "{}", "[]", "null", "{\"type\":7}"] {
            assert!(matches!(events(body.as_bytes()), Err(NoEvent::Shape { .. })), "{body}");
        }
        let body = json!({ "type": "email.sent", "data": { "tags": { "broadcast": "terms", "chunk": "x" } } });
        assert!(matches!(events(body.to_string().as_bytes()).unwrap().as_slice(), [Err(NoEvent::Tag { tag: "chunk", .. })]));
    }

    #[test]
    fn when_an_event_was_and_why_is_read() {
        let read = |kind: &str, change: &Value| {
            let mut data = json!({
                "created_at": "2026-11-22T23:41:11Z", "email_id": "x", "to": ["ann@example.com"], "tags": { "broadcast": "terms", "chunk": "7", "recipient": "3" },
            });
            data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let body = json!({ "type": kind, "created_at": "2026-11-22T23:41:12.126Z", "data": data });
            match events(body.to_string().as_bytes()).unwrap().as_slice() {
                [Ok(Told::Event(event))] => (event.happened_at.map(|at| at.to_string()), event.reason.as_ref().map(ToString::to_string)),
                other => panic!("{other:?}"),
            }
        };
        let (at, told) = (Some("2026-11-22T23:41:12.126Z".to_owned()), |text: &str| Some(text.to_owned()));
        let bounce = |said: &Value| json!({ "bounce": { "type": "Permanent", "subType": "General", "message": "it bounced", "diagnosticCode": said } });
        assert_eq!(read("email.delivered", &json!({})), (at.clone(), None));
        assert_eq!(read("email.opened", &json!({})), (told("2026-11-22T23:41:11Z"), None), "when it was taken");
        assert_eq!(
            read("email.bounced", &bounce(&json!(["smtp; 550 5.1.1 <ann@example.com> unknown"]))),
            (at.clone(), told("Permanent/General: 550 5.1.1 <(an address)> unknown"))
        );
        assert_eq!(read("email.bounced", &bounce(&Value::Null)), (at.clone(), told("Permanent/General: it bounced")));
        let suppressed = json!({ "suppressed": { "type": "OnAccountSuppressionList", "message": "ann is on the list" } });
        assert_eq!(read("email.suppressed", &suppressed), (at.clone(), told("OnAccountSuppressionList: … is on the list")));
        assert_eq!(
            read("email.failed", &json!({ "failed": { "reason": "reached_daily_quota" } })),
            (at.clone(), told("reached_daily_quota"))
        );
        assert_eq!(read("email.complained", &json!({})), (at, None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            let _ = events(&body);
            let _ = events(json!({ "type": text.clone(), "data": { "tags": { "broadcast": text.clone(), "chunk": text.clone(), "recipient": text.clone() } } }).to_string().as_bytes());
            let webhook = Webhook { provider: text.clone(), id: text.clone(), timestamp: "1".to_owned(), signature: text.clone(), body };
            prop_assert!(ResendSecret::verify(&[secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], &webhook, at(1)).is_err());
            let _ = text.parse::<ResendSecret>();
        }
    }
}
