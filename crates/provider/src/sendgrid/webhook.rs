//! SendGrid's event webhook: who signed it, and what its events say.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use issei_schema::{Address, EventKind, EventReason, without_values};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::Value;

use crate::webhook::{Events, NoEvent, Unsigned, Webhook, Whose, as_text, judge_moment};
use crate::{Event, Told};

const TIMESTAMP: &str = "X-Twilio-Email-Event-Webhook-Timestamp";
const SIGNATURE: &str = "X-Twilio-Email-Event-Webhook-Signature";

/// SendGrid posts again for 24 hours what was not taken ("Getting Started with the Event Webhook"), and whether it signs
/// anew is not documented. A call that is repeated by somebody else says only what is known: events are sets.
const OLD: SignedDuration = SignedDuration::from_hours(25);
/// For clocks that differ.
const EARLY: SignedDuration = SignedDuration::from_mins(5);

/// What a P-256 key in DER begins with (RFC 5480 section 2; SEC 1 section 2.3.3): the algorithm, the curve, and a point
/// that is not compressed.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];
/// One byte that says so, and two coordinates.
const POINT_BYTES: usize = 65;

/// The verification key of a webhook, as SendGrid shows it: public, in Base64 of DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendGridKey(Vec<u8>);

impl std::str::FromStr for SendGridKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_key = || "is no verification key of SendGrid's event webhook: P-256, in Base64 of DER, 124 characters".to_owned();
        let der = BASE64_STANDARD.decode(text.trim()).map_err(|_| no_key())?;
        let point = der.strip_prefix(&SPKI).filter(|point| point.len() == POINT_BYTES && point.first() == Some(&4));
        point.map(|point| Self(point.to_vec())).ok_or_else(no_key)
    }
}

impl SendGridKey {
    /// Whether one of these keys has signed the call, at a moment near the one at which it came: ECDSA over P-256 with
    /// SHA-256, of the moment as it stands in its header and the raw body behind it ("Getting Started with the Event
    /// Webhook Security Features").
    ///
    /// # Errors
    /// Says what is wrong with which.
    pub(crate) fn verify(keys: &[Self], webhook: &Webhook, came_at: Timestamp) -> Result<(), Unsigned> {
        if webhook.signature.is_empty() {
            return Err(Unsigned::Missing(SIGNATURE));
        }
        judge_moment(&webhook.timestamp, TIMESTAMP, came_at, OLD, EARLY)?;
        let signature = BASE64_STANDARD.decode(&webhook.signature).map_err(|_| Unsigned::Malformed(SIGNATURE))?;
        let signed = [webhook.timestamp.as_bytes(), &webhook.body].concat();
        let is_of = |key: &Self| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.0).verify(&signed, &signature).is_ok();
        if keys.iter().any(is_of) { Ok(()) } else { Err(Unsigned::Wrong(keys.len())) }
    }
}

/// What a body says once it is believed: a list of events, each by itself. One that can't be read takes no other with it.
///
/// # Errors
/// The body is no list.
pub(crate) fn events(body: &[u8]) -> Result<Events, NoEvent> {
    let shape = |reason| NoEvent::Shape { provider: "SendGrid", reason };
    let events: Vec<Value> = serde_json::from_slice(body).map_err(|error| shape(without_values(&error)))?;
    Ok(events.iter().map(event).collect())
}

/// The names of a send's custom arguments stand beside SendGrid's own ("Event Webhook Reference", unique arguments).
fn event(event: &Value) -> Result<Told, NoEvent> {
    let Some(whose) = Whose::of(|name| as_text(&event[name]))? else { return Ok(Told::NotOurs) };
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let kind = match text("event") {
        "delivered" => EventKind::Delivered,
        "deferred" => EventKind::Delayed,
        // "Indicates whether the bounce event was a hard bounce (type=bounce) or block (type=blocked)".
        "bounce" if text("type") == "blocked" => EventKind::SoftBounced,
        "bounce" => EventKind::Bounced,
        // The reasons are those of the same page. What stands on a list of SendGrid's was not tried; issei's own list
        // hears of the cause where that happens.
        "dropped" if matches!(text("reason"), "Bounced Address" | "Unsubscribed Address" | "Spam Reporting Address") => {
            EventKind::Suppressed
        }
        "dropped" => EventKind::Rejected,
        "spamreport" => EventKind::Complained,
        // `processed`, opens, clicks, and what SendGrid learns to tell later: each is about a message that it took.
        _ => EventKind::Sent,
    };
    let at = as_text(&event["timestamp"]).and_then(|second| Timestamp::from_second(second.parse().ok()?).ok());
    // What `processed` tells is when it was taken; what an open or a click tells is not.
    let happened_at = at.filter(|_| kind != EventKind::Sent || text("event") == "processed");
    let unsubscribed = matches!(text("event"), "unsubscribe" | "group_unsubscribe");
    let is_of_address = unsubscribed || matches!(kind, EventKind::Bounced | EventKind::Complained);
    Ok(Told::Event(Event {
        broadcast: whose.broadcast,
        chunk: whose.chunk,
        at: whose.at,
        registration: whose.registration,
        kind,
        message_id: request_id(text("sg_message_id")).to_owned(),
        // It tells when the event was, and not when the message was taken.
        sent_at: None,
        happened_at,
        reason: reason(event, kind),
        addresses: if is_of_address { Address::quoting_legacy(text("email")).into_iter().collect() } else { Vec::new() },
        unsubscribed,
    }))
}

/// Of a bounce its type, the status and what the mail server said; of a drop SendGrid's own word; of a deferral the mail
/// server's answer ("Event Webhook Reference", delivery events).
fn reason(event: &Value, kind: EventKind) -> Option<EventReason> {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let (word, said) = match kind {
        EventKind::Bounced | EventKind::SoftBounced => (text("type"), text("reason")),
        EventKind::Suppressed | EventKind::Rejected => (text("reason"), ""),
        EventKind::Delayed => ("", text("response")),
        EventKind::Sent | EventKind::Delivered | EventKind::Complained | EventKind::RenderFailed => return None,
    };
    EventReason::told(word, text("status"), said, [text("email")])
}

/// The id of the request that a message came by, which is all that its answer tells (`X-Message-Id`): the id of a message
/// begins with it. What follows names servers, and begins with `.filter` or `.recvd` (SendGrid's help centre, "How to
/// filter results with Activity Feed API for X-Message-ID"; sendgrid/sendgrid-nodejs #412, Equal-Vote/bettervoting #1322).
/// Older ids have dots of their own. An id that ends otherwise names no message: what is cut wrongly would pass for another
/// one, and a recipient for whom two are named has been accepted twice.
fn request_id(message_id: &str) -> &str {
    let cut = [".filter", ".recvd"].iter().filter_map(|mark| message_id.find(mark)).min();
    cut.and_then(|cut| message_id.get(..cut)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pair() -> (EcdsaKeyPair, SendGridKey) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let key = BASE64_STANDARD.encode([SPKI.as_slice(), pair.public_key().as_ref()].concat()).parse().unwrap();
        (pair, key)
    }

    fn signed(pair: &EcdsaKeyPair, timestamp: &str, body: &[u8]) -> Webhook {
        let signature = pair.sign(&SystemRandom::new(), &[timestamp.as_bytes(), body].concat()).unwrap();
        Webhook {
            provider: "sendgrid".to_owned(),
            id: String::new(),
            timestamp: timestamp.to_owned(),
            signature: BASE64_STANDARD.encode(signature),
            body: body.to_vec(),
        }
    }

    /// A key, a body and a signature that SendGrid's own library is tested with (sendgrid/sendgrid-nodejs,
    /// `packages/eventwebhook`).
    #[test]
    fn what_sendgrids_own_library_believes_is_believed() {
        let key =
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==";
        let webhook = Webhook {
            provider: "sendgrid".to_owned(),
            id: String::new(),
            timestamp: "1588788367".to_owned(),
            signature: "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0=".to_owned(),
            body: br#"{"category":"example_payload","event":"test_event","message_id":"message_id"}"#.to_vec(),
        };
        let keys = [key.parse().unwrap()];
        assert_eq!(SendGridKey::verify(&keys, &webhook, at(1_588_788_400)), Ok(()));
        let other = Webhook { body: b"payload".to_vec(), ..webhook };
        assert_eq!(SendGridKey::verify(&keys, &other, at(1_588_788_400)), Err(Unsigned::Wrong(1)));
    }

    #[test]
    fn a_wrong_an_old_and_a_missing_signature_are_told_apart() {
        let ((old, old_key), (new, new_key), (stranger, _)) = (pair(), pair(), pair());
        let keys = [old_key, new_key];
        let came_at = at(1_800_000_000);
        for pair in [&old, &new] {
            assert_eq!(SendGridKey::verify(&keys, &signed(pair, "1800000000", b"[]"), came_at), Ok(()));
        }
        let good = signed(&new, "1800000000", b"[]");
        assert_eq!(SendGridKey::verify(&keys, &signed(&stranger, "1800000000", b"[]"), came_at), Err(Unsigned::Wrong(2)));
        assert_eq!(SendGridKey::verify(&[], &good, came_at), Err(Unsigned::Wrong(0)));
        // One byte more, as whoever reads and writes JSON makes it.
        assert_eq!(SendGridKey::verify(&keys, &Webhook { body: b"[ ]".to_vec(), ..good.clone() }, came_at), Err(Unsigned::Wrong(2)));
        assert_eq!(
            SendGridKey::verify(&keys, &Webhook { timestamp: "1800000001".to_owned(), ..good.clone() }, came_at),
            Err(Unsigned::Wrong(2))
        );
        assert_eq!(SendGridKey::verify(&keys, &good, at(1_800_000_000 + 25 * 3600 + 1)), Err(Unsigned::Old(25 * 3600 + 1)));
        assert_eq!(SendGridKey::verify(&keys, &good, at(1_800_000_000 - 301)), Err(Unsigned::Early(301)));
        assert_eq!(
            SendGridKey::verify(&keys, &Webhook { signature: String::new(), ..good.clone() }, came_at),
            Err(Unsigned::Missing(SIGNATURE))
        );
        assert_eq!(
            SendGridKey::verify(&keys, &Webhook { timestamp: String::new(), ..good.clone() }, came_at),
            Err(Unsigned::Missing(TIMESTAMP))
        );
        assert_eq!(
            SendGridKey::verify(&keys, &Webhook { signature: "?".to_owned(), ..good }, came_at),
            Err(Unsigned::Malformed(SIGNATURE))
        );
    }

    #[test]
    fn what_is_no_verification_key_is_refused_where_it_is_configured() {
        let rsa = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK";
        for text in ["", "x", rsa, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC"] {
            assert!(text.parse::<SendGridKey>().is_err(), "{text}");
        }
    }

    fn told(change: &Value) -> (EventKind, usize, bool) {
        let mut event = json!({
            "email": "a@example.com", "timestamp": 1_513_299_569, "broadcast": "terms", "chunk": "7", "recipient": "3",
            "sg_event_id": "rbtnWrG1DVDGGGFHFyun0A==", "sg_message_id": "evEK_IhZSlKus235aGfxIQ.filter0361p1las1-11880-5978131E-23.0",
        });
        event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        match events(json!([event]).to_string().as_bytes()).unwrap().as_slice() {
            [Ok(Told::Event(happened))] => {
                assert_eq!((happened.broadcast.as_str(), happened.chunk, happened.at), ("terms", 7, 3));
                assert_eq!(happened.message_id, "evEK_IhZSlKus235aGfxIQ");
                (happened.kind, happened.addresses.len(), happened.unsubscribed)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_event_of_sendgrids_is_of_a_kind_that_the_ledger_knows() {
        for (event, kind, addresses, unsubscribed) in [
            (json!({ "event": "processed" }), EventKind::Sent, 0, false),
            (json!({ "event": "delivered" }), EventKind::Delivered, 0, false),
            (json!({ "event": "deferred" }), EventKind::Delayed, 0, false),
            (json!({ "event": "bounce", "type": "bounce" }), EventKind::Bounced, 1, false),
            (json!({ "event": "bounce", "type": "blocked" }), EventKind::SoftBounced, 0, false),
            (json!({ "event": "dropped", "reason": "Bounced Address" }), EventKind::Suppressed, 0, false),
            (json!({ "event": "dropped", "reason": "Spam Reporting Address" }), EventKind::Suppressed, 0, false),
            (json!({ "event": "dropped", "reason": "Unsubscribed Address" }), EventKind::Suppressed, 0, false),
            (json!({ "event": "dropped", "reason": "Invalid" }), EventKind::Rejected, 0, false),
            (json!({ "event": "dropped", "reason": "Recipient List over Package Quota" }), EventKind::Rejected, 0, false),
            (json!({ "event": "spamreport" }), EventKind::Complained, 1, false),
            (json!({ "event": "unsubscribe" }), EventKind::Sent, 1, true),
            (json!({ "event": "group_unsubscribe" }), EventKind::Sent, 1, true),
            (json!({ "event": "open" }), EventKind::Sent, 0, false),
            (json!({ "event": "teleported" }), EventKind::Sent, 0, false),
        ] {
            assert_eq!(told(&event), (kind, addresses, unsubscribed), "{event}");
        }
    }

    #[test]
    fn a_message_is_named_as_the_answer_to_its_send_named_it_or_not_at_all() {
        for (id, named) in [
            ("evEK_IhZSlKus235aGfxIQ.filter0361p1las1-11880-5978131E-23.0", "evEK_IhZSlKus235aGfxIQ"),
            ("yW5utel5TYuIBREiXJi7aA.recvd-5f9ffdf494-9kc6l-1-673C6EB0-B.0", "yW5utel5TYuIBREiXJi7aA"),
            ("14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "14c5d75ce93.dfd.64b469"),
            ("evEK_IhZSlKus235aGfxIQ", ""),
            ("evEK_IhZSlKus235aGfxIQ.other-1", ""),
            ("", ""),
        ] {
            assert_eq!(request_id(id), named, "{id}");
        }
    }

    #[test]
    fn one_event_that_cannot_be_read_takes_no_other_with_it() {
        let good = json!({ "event": "delivered", "broadcast": "terms", "chunk": "0", "recipient": 0 });
        let bad = json!({ "event": "delivered", "broadcast": "terms", "chunk": "0", "recipient": "50" });
        let told = events(json!([bad, { "event": "open" }, good, 7]).to_string().as_bytes()).unwrap();
        assert!(matches!(
            told.as_slice(),
            [Err(NoEvent::Tag { tag: "recipient", .. }), Ok(Told::NotOurs), Ok(Told::Event(_)), Ok(Told::NotOurs)]
        ));
        for body in ["", "{}", "null", "[", "[{}"] {
            assert!(matches!(events(body.as_bytes()), Err(NoEvent::Shape { .. })), "{body}");
        }
    }

    #[test]
    fn when_an_event_was_and_why_is_read() {
        let read = |change: &Value| {
            let mut event =
                json!({ "email": "ann@example.com", "timestamp": 1_795_000_000, "broadcast": "terms", "chunk": "7", "recipient": "3" });
            event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            match events(json!([event]).to_string().as_bytes()).unwrap().as_slice() {
                [Ok(Told::Event(event))] => (event.happened_at.map(Timestamp::as_second), event.reason.as_ref().map(ToString::to_string)),
                other => panic!("{other:?}"),
            }
        };
        let (at, told) = (Some(1_795_000_000), |text: &str| Some(text.to_owned()));
        for (change, expected) in [
            (json!({ "event": "delivered", "response": "250 OK" }), (at, None)),
            (json!({ "event": "processed" }), (at, None)),
            (json!({ "event": "open" }), (None, None)),
            (json!({ "event": "delivered", "timestamp": "1795000000" }), (at, None)),
            (json!({ "event": "delivered", "timestamp": [] }), (None, None)),
            (
                json!({ "event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 <ann@example.com> unknown" }),
                (at, told("bounce: 550 5.1.1 <(an address)> unknown")),
            ),
            (json!({ "event": "bounce", "type": "blocked", "reason": "421 busy" }), (at, told("blocked: 421 busy"))),
            (json!({ "event": "dropped", "reason": "Bounced Address" }), (at, told("Bounced Address"))),
            (json!({ "event": "deferred", "response": "452 4.2.2 full", "attempt": "1" }), (at, told("452 4.2.2 full"))),
            (json!({ "event": "spamreport" }), (at, None)),
        ] {
            assert_eq!(read(&change), expected, "{change}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,40}", signature in prop::collection::vec(any::<u8>(), 0..90),
        ) {
            let (_, key) = pair();
            let _ = events(&body);
            let _ = events(json!([{ "event": text.clone(), "broadcast": text.clone(), "chunk": text.clone(), "recipient": text.clone(), "sg_message_id": text.clone() }]).to_string().as_bytes());
            let webhook = Webhook { provider: text.clone(), id: text.clone(), timestamp: "1".to_owned(), signature: BASE64_STANDARD.encode(signature), body };
            prop_assert!(SendGridKey::verify(&[key], &webhook, at(1)).is_err());
            let _ = text.parse::<SendGridKey>();
        }
    }
}
