//! SES events: raw, or as an `EventBridge` event (SES developer guide, "Contents of event data that Amazon SES
//! publishes"). What SNS wraps them in is taken off by `sns.rs` before.
//!
//! A body is hostile until parsed. An event is ours by its tags alone; nothing else in it decides.

use std::borrow::Cow;
use std::collections::BTreeMap;

use issei_schema::{Address, EventKind, EventReason, PROBE_TAG, limits, without_values};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::call::REGISTRATION;
use crate::{Event, Told};

/// The whole text of it. Not documented; ope-tech/laravel-ses #10 quotes it, and anymail and moto know it.
const GREETING: &str = "Successfully validated SNS topic for Amazon SES event publishing.";

/// What the reason of a notification begins with that SNS has not signed.
pub const UNSIGNED_BY_SNS: &str = "SNS has not signed this notification";

/// Why a body is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the body is no SES event: {0}; check what else writes to the feedback queue")]
    Shape(String),
    #[error("SNS asks to confirm a subscription; confirm it, with raw message delivery or without, and delete this message")]
    Subscription,
    /// It says to be from SNS.
    #[error("{UNSIGNED_BY_SNS}: {0}")]
    Unproven(Cow<'static, str>),
    #[error("the event has the tag `broadcast` and its tag `{tag}` is not one of issei's: {reason}")]
    Tag { tag: &'static str, reason: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    event_type: String,
    mail: Mail,
    #[serde(default)]
    bounce: Option<Bounce>,
    #[serde(default)]
    complaint: Option<Complaint>,
    #[serde(default)]
    delivery: Value,
    #[serde(default)]
    delivery_delay: Value,
    #[serde(default)]
    reject: Value,
    #[serde(default)]
    failure: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    message_id: String,
    #[serde(default)]
    timestamp: String,
    /// From here on what is only shown may be of any shape: no event is lost for it.
    #[serde(default)]
    destination: Value,
    #[serde(default)]
    tags: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    #[serde(default)]
    bounce_type: String,
    #[serde(default)]
    bounce_sub_type: Option<String>,
    #[serde(default)]
    bounced_recipients: Vec<Recipient>,
    #[serde(default)]
    timestamp: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(default)]
    complaint_sub_type: Option<String>,
    #[serde(default)]
    complaint_feedback_type: Option<String>,
    #[serde(default)]
    complained_recipients: Vec<Recipient>,
    #[serde(default)]
    timestamp: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    #[serde(default)]
    email_address: String,
    /// What the mail server said: a status (RFC 3463) and its words.
    #[serde(default)]
    status: Value,
    #[serde(default)]
    diagnostic_code: Value,
}

/// What an event says beside whom it is about.
struct Details {
    kind: EventKind,
    /// Whose address bounced or complained.
    named: Vec<Recipient>,
    happened_at: Option<Timestamp>,
    reason: Option<EventReason>,
}

/// Not sent, for the address is on the account's list, or on that of all accounts (SES developer guide,
/// "Contents of event data that Amazon SES publishes", bounce types and complaint object).
fn is_suppressed(sub_type: Option<&str>) -> bool {
    matches!(sub_type, Some("OnAccountSuppressionList" | "Suppressed"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn time(value: &Value) -> Option<Timestamp> {
    text(value).parse().ok()
}

/// Texts of SES's with a stroke between, as far as there are any.
fn joined(one: &str, other: Option<&str>) -> String {
    [Some(one), other].into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("/")
}

impl Bounce {
    fn details(self, mail: &Mail) -> Details {
        let kind = match self.bounce_type.as_str() {
            _ if is_suppressed(self.bounce_sub_type.as_deref()) => EventKind::Suppressed,
            "Permanent" => EventKind::Bounced,
            _ => EventKind::SoftBounced,
        };
        let told = joined(&self.bounce_type, self.bounce_sub_type.as_deref());
        let first = self.bounced_recipients.first();
        let said = |of: fn(&Recipient) -> &Value| first.map_or("", |first| text(of(first)));
        let reason = mail.reason(&told, said(|it| &it.status), said(|it| &it.diagnostic_code));
        let named = if kind == EventKind::Suppressed { Vec::new() } else { self.bounced_recipients };
        Details { kind, named, happened_at: time(&self.timestamp), reason }
    }
}

impl Complaint {
    fn details(self, mail: &Mail) -> Details {
        let reason =
            mail.reason(&joined(self.complaint_feedback_type.as_deref().unwrap_or_default(), self.complaint_sub_type.as_deref()), "", "");
        let happened_at = time(&self.timestamp);
        if is_suppressed(self.complaint_sub_type.as_deref()) {
            Details { kind: EventKind::Suppressed, named: Vec::new(), happened_at, reason }
        } else if self.complaint_feedback_type.as_deref() == Some("not-spam") {
            // The owner says that it is no spam (RFC 6430): it proves that it was taken.
            mail.sent()
        } else {
            Details { kind: EventKind::Complained, named: self.complained_recipients, happened_at, reason }
        }
    }
}

impl Mail {
    fn sent_at(&self) -> Option<Timestamp> {
        self.timestamp.parse().ok()
    }

    fn reason(&self, kind: &str, status: &str, diagnostic: &str) -> Option<EventReason> {
        EventReason::told(kind, status, diagnostic, self.destination.as_array().into_iter().flatten().map(text))
    }

    /// That it was accepted, and nothing more.
    fn sent(&self) -> Details {
        Details { kind: EventKind::Sent, named: Vec::new(), happened_at: self.sent_at(), reason: None }
    }
}

impl Body {
    fn details(&mut self) -> Details {
        let mail = &self.mail;
        let about = |kind, happened_at, reason| Details { kind, named: Vec::new(), happened_at, reason };
        match self.event_type.as_str() {
            "Delivery" => about(EventKind::Delivered, time(&self.delivery["timestamp"]), None),
            "Bounce" => self.bounce.take().unwrap_or_default().details(mail),
            "Complaint" => self.complaint.take().unwrap_or_default().details(mail),
            "DeliveryDelay" => {
                let (delay, who) = (&self.delivery_delay, &self.delivery_delay["delayedRecipients"][0]);
                let reason = mail.reason(text(&delay["delayType"]), text(&who["status"]), text(&who["diagnosticCode"]));
                about(EventKind::Delayed, time(&delay["timestamp"]), reason)
            }
            // Of these two SES does not say when they were; it is when it took the message, or soon after.
            "Reject" => about(EventKind::Rejected, None, mail.reason(text(&self.reject["reason"]), "", "")),
            "Rendering Failure" => about(EventKind::RenderFailed, None, mail.reason("", "", text(&self.failure["errorMessage"]))),
            // Send, Open, Click, Subscription, and what SES learns to tell later: each
            // is about a message that it took.
            _ => mail.sent(),
        }
    }
}

/// Reads what a message body says, once that is believed.
///
/// # Errors
/// Says what the body is instead of an event.
pub fn parse_event(body: &str) -> Result<Told, EventError> {
    let shape = |error: serde_json::Error| EventError::Shape(without_values(&error));
    if body.trim() == GREETING {
        return Ok(Told::Greeting);
    }
    // Most bodies are the event itself: EventBridge alone wraps it, and has no `eventType` beside it.
    if let Ok(body) = serde_json::from_str(body) {
        return of(body);
    }
    let mut value: Value = serde_json::from_str(body).map_err(shape)?;
    if value["detail-type"].is_string() {
        value = value["detail"].take();
    }
    of(Body::deserialize(value).map_err(shape)?)
}

fn of(mut body: Body) -> Result<Told, EventError> {
    let tag = |name: &str| body.mail.tags.get(name).and_then(|values| values.first()).map(String::as_str);
    if let Some(token) = tag(PROBE_TAG) {
        let token = token.to_owned().try_into().map_err(|reason| EventError::Tag { tag: PROBE_TAG, reason })?;
        return Ok(Told::Probe(token));
    }
    let Some(broadcast) = tag("broadcast") else { return Ok(Told::NotOurs) };
    let broadcast = broadcast.parse().map_err(|reason| EventError::Tag { tag: "broadcast", reason })?;
    let number = |name: &'static str| {
        let text = tag(name).ok_or_else(|| EventError::Tag { tag: name, reason: "it is missing".to_owned() })?;
        text.parse::<u32>().map_err(|error| EventError::Tag { tag: name, reason: error.to_string() })
    };
    let (chunk, at) = (number("chunk")?, number("recipient")?);
    if usize::try_from(at).is_ok_and(|at| at >= limits::CHUNK_RECIPIENTS_MAX) {
        return Err(EventError::Tag {
            tag: "recipient",
            reason: format!("{at}, and a chunk has {} at most", limits::CHUNK_RECIPIENTS_MAX),
        });
    }
    let registration = tag(REGISTRATION).map(str::to_owned);
    let Details { kind, named, happened_at, reason } = body.details();
    let addresses = named.iter().filter_map(|recipient| Address::quoting_legacy(&recipient.email_address).ok()).collect();
    Ok(Told::Event(Event {
        broadcast,
        chunk,
        at,
        registration,
        kind,
        sent_at: body.mail.sent_at(),
        happened_at,
        reason,
        message_id: body.mail.message_id,
        addresses,
        unsubscribed: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(kind: &str, tags: &Value) -> Value {
        json!({
            "eventType": kind,
            "mail": { "timestamp": "2026-11-24T00:00:00.000Z", "messageId": "0100-1", "destination": ["a@example.com"], "tags": tags },
            "bounce": { "bounceType": "Permanent", "bouncedRecipients": [{ "emailAddress": "a@example.com", "action": "failed" }] },
        })
    }

    fn tags() -> Value {
        json!({ "broadcast": ["terms"], "chunk": ["7"], "recipient": ["3"], "ses:configuration-set": ["issei"] })
    }

    #[test]
    fn both_envelopes_hold_the_same_event() {
        let raw = event("Bounce", &tags());
        let bridge = json!({ "version": "0", "detail-type": "Email Bounced", "source": "aws.ses", "detail": raw });
        let told = parse_event(&raw.to_string()).unwrap();
        let Told::Event(parsed) = &told else { panic!("{told:?}") };
        assert_eq!((parsed.chunk, parsed.at, parsed.kind, parsed.addresses.len()), (7, 3, EventKind::Bounced, 1));
        assert_eq!(parse_event(&bridge.to_string()).unwrap(), told);
        assert_eq!(parsed.registration, None);
        let mut marked = tags();
        marked["registration"] = json!(["0123456789abcdef0123"]);
        let told = parse_event(&event("Bounce", &marked).to_string()).unwrap();
        assert!(matches!(&told, Told::Event(event) if event.registration.as_deref() == Some("0123456789abcdef0123")), "{told:?}");
    }

    #[test]
    fn mail_of_others_through_the_same_configuration_set_is_left_alone() {
        assert_eq!(parse_event(&event("Send", &json!({})).to_string()), Ok(Told::NotOurs));
        let told = parse_event(&event("Send", &json!({ "issei-probe": ["0123456789abcdef"] })).to_string());
        assert!(matches!(told, Ok(Told::Probe(_))), "{told:?}");
        let told = parse_event(&event("Send", &json!({ "issei-probe": ["a b"] })).to_string());
        assert!(matches!(told, Err(EventError::Tag { .. })), "{told:?}");
    }

    #[test]
    fn what_is_no_event_is_named() {
        for body in ["", "{}", "[]", "null", "{\"Type\":\"Notification\"}", "{\"detail-type\":\"x\"}"] {
            assert!(matches!(parse_event(body), Err(EventError::Shape(_))), "{body}");
        }
        for tags in [
            json!({ "broadcast": ["a b"], "chunk": ["1"], "recipient": ["1"] }),
            json!({ "broadcast": ["a"], "recipient": ["1"] }),
            json!({ "broadcast": ["a"], "chunk": ["-1"], "recipient": ["1"] }),
            json!({ "broadcast": ["a"], "chunk": ["1"], "recipient": ["50"] }),
        ] {
            assert!(matches!(parse_event(&event("Send", &tags).to_string()), Err(EventError::Tag { .. })), "{tags}");
        }
    }

    #[test]
    fn every_event_of_a_message_proves_that_it_was_accepted_also_one_of_a_kind_unknown_today() {
        for kind in ["Send", "Open", "Click", "Subscription", "Teleported"] {
            let told = parse_event(&event(kind, &tags()).to_string());
            assert!(matches!(told, Ok(Told::Event(Event { kind: EventKind::Sent, .. }))), "{kind}: {told:?}");
        }
    }

    #[test]
    fn what_ses_did_not_send_is_suppressed_and_what_is_no_spam_is_no_complaint() {
        let kind = |name: &str, of: &str, details: &Value| {
            let mut event = event(name, &tags());
            event[of] = details.clone();
            match parse_event(&event.to_string()) {
                Ok(Told::Event(event)) => (event.kind, event.addresses.len()),
                told => panic!("{told:?}"),
            }
        };
        let who = json!([{ "emailAddress": "a@example.com" }]);
        let bounce =
            |sub: &str| kind("Bounce", "bounce", &json!({ "bounceType": "Permanent", "bounceSubType": sub, "bouncedRecipients": who }));
        assert_eq!(bounce("OnAccountSuppressionList"), (EventKind::Suppressed, 0));
        assert_eq!(bounce("Suppressed"), (EventKind::Suppressed, 0));
        assert_eq!(bounce("General"), (EventKind::Bounced, 1));
        let complaint = |sub: Value, feedback: Value| {
            kind(
                "Complaint",
                "complaint",
                &json!({ "complaintSubType": sub, "complaintFeedbackType": feedback, "complainedRecipients": who }),
            )
        };
        assert_eq!(complaint(json!("OnAccountSuppressionList"), Value::Null), (EventKind::Suppressed, 0));
        assert_eq!(complaint(Value::Null, json!("not-spam")), (EventKind::Sent, 0));
        assert_eq!(complaint(Value::Null, json!("abuse")), (EventKind::Complained, 1));
        assert_eq!(complaint(Value::Null, Value::Null), (EventKind::Complained, 1));
        assert_eq!(kind("DeliveryDelay", "deliveryDelay", &json!({ "delayType": "MailboxFull" })), (EventKind::Delayed, 0));
    }

    #[test]
    fn when_an_event_was_and_why_is_read_and_whatever_shape_that_has_no_event_is_lost_for_it() {
        let read = |kind: &str, of: &str, details: &Value| {
            let mut event = event(kind, &tags());
            event[of] = details.clone();
            let Ok(Told::Event(event)) = parse_event(&event.to_string()) else { panic!("{event}") };
            (event.happened_at.map(|at| at.to_string()), event.reason.map(|reason| reason.to_string()))
        };
        let (at, told) = ("2026-11-24T00:00:07Z", |text: &str| Some(text.to_owned()));
        let said = "smtp; 550 5.1.1 <a@example.com>: no such user";
        let who = json!([{ "emailAddress": "a@example.com", "status": "5.1.1", "diagnosticCode": said }]);
        let bounce = json!({ "bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": who, "timestamp": at });
        assert_eq!(read("Bounce", "bounce", &bounce), (told(at), told("Permanent/General: 550 5.1.1 <(an address)>: no such user")));
        assert_eq!(read("Delivery", "delivery", &json!({ "timestamp": at, "smtpResponse": "250 ok" })), (told(at), None));
        let complaint = json!({ "complaintFeedbackType": "abuse", "timestamp": at });
        assert_eq!(read("Complaint", "complaint", &complaint), (told(at), told("abuse")));
        let delayed = json!([{ "emailAddress": "a@example.com", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 full" }]);
        let delay = json!({ "delayType": "MailboxFull", "delayedRecipients": delayed, "timestamp": at });
        assert_eq!(read("DeliveryDelay", "deliveryDelay", &delay), (told(at), told("MailboxFull: 452 4.2.2 full")));
        assert_eq!(read("Reject", "reject", &json!({ "reason": "Bad content" })), (None, told("Bad content")));
        let failure = json!({ "errorMessage": "Attribute 'name' is not present", "templateName": "t" });
        assert_eq!(read("Rendering Failure", "failure", &failure), (None, told("Attribute 'name' is not present")));
        // What only proves that it was accepted tells when that was.
        assert_eq!(read("Open", "open", &json!({ "timestamp": at })), (told("2026-11-24T00:00:00Z"), None));
        for odd in [json!(null), json!(7), json!("x"), json!([1]), json!({ "timestamp": 7, "delayedRecipients": 7, "reason": [] })] {
            for (kind, of) in
                [("Delivery", "delivery"), ("DeliveryDelay", "deliveryDelay"), ("Reject", "reject"), ("Rendering Failure", "failure")]
            {
                assert_eq!(read(kind, of, &odd), (None, None), "{kind} {odd}");
            }
        }
        let odd = json!({ "bounceType": "Permanent", "bouncedRecipients": [{ "status": 7, "diagnosticCode": null }], "timestamp": 7 });
        assert_eq!(read("Bounce", "bounce", &odd), (None, told("Permanent")));
    }

    #[test]
    fn the_first_message_that_ses_ever_publishes_is_no_event_and_no_fault() {
        assert_eq!(parse_event(GREETING), Ok(Told::Greeting));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in ".{0,200}", kind in "[A-Za-z ]{0,20}", value in ".{0,80}") {
            let _ = parse_event(&body);
            let _ = parse_event(&event(&kind, &json!({ "broadcast": [value.clone()], "chunk": [value.clone()], "recipient": [value] })).to_string());
        }
    }
}
