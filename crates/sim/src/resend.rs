//! Resend's API, as far as `POST /emails`, `POST /emails/batch` and its webhooks: what its public reference says that it
//! takes, refuses and answers ("Send Batch Emails", "Idempotency Keys", "Errors"). A key is remembered for a window, by the
//! clock of the simulation; within it the same body gets the same answer and sends nothing, and another body is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use issei_clock::Instant;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

use crate::answer::ApiError;
use crate::cloud::State;
use crate::letter_by_web::{Asked, Letter, answer, bare, is_address, with};
use crate::store::Mail;

const BATCH_MAX: usize = 100;
const KEY_CHARS_MAX: usize = 256;
const RECIPIENTS_MAX: usize = 50;
const TAG_CHARS_MAX: usize = 256;

/// The signing secret of the webhook, as Resend shows it.
pub const RESEND_WEBHOOK_SECRET: &str = "whsec_c2ltdWxhdGVkLXNlY3JldC1vZi1yZXNlbmQ=";

#[derive(Default)]
pub(crate) struct Resend {
    sent: u64,
    /// By the API key that was shown, each of which opens an account of its own here, and by the request's.
    keys: BTreeMap<(String, String), Remembered>,
}

/// What a key was used for.
struct Remembered {
    since: Instant,
    body: Bytes,
    said: Value,
}

/// A refusal by its name.
struct No(StatusCode, &'static str, String);

impl No {
    fn response(&self) -> Response<Bytes> {
        let Self(status, name, message) = self;
        answer(*status, &json!({ "statusCode": status.as_u16(), "name": name, "message": message }))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as those who look for one answer")]
fn invalid(name: &'static str, message: impl Into<String>) -> Option<No> {
    Some(No(StatusCode::UNPROCESSABLE_ENTITY, name, message.into()))
}

/// What a fault makes of an answer.
pub(crate) fn failed() -> Response<Bytes> {
    No(StatusCode::INTERNAL_SERVER_ERROR, "application_error", "An unexpected error occurred.".to_owned()).response()
}

pub(crate) fn throttled() -> Response<Bytes> {
    let refusal = No(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Too many requests.".to_owned());
    with(with(refusal.response(), "retry-after", "1"), "ratelimit-reset", "1")
}

/// The emails of a request, of which a batch has many.
fn emails(body: &Value) -> &[Value] {
    body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice)
}

fn tag<'a>(email: &'a Value, name: &str) -> &'a str {
    let mut tags = email["tags"].as_array().into_iter().flatten();
    tags.find(|tag| tag["name"] == name).and_then(|tag| tag["value"].as_str()).unwrap_or_default()
}

/// The broadcast that the first email is tagged with.
pub(crate) fn broadcast_of(body: &Value) -> &str {
    emails(body).first().map_or("", |email| tag(email, "broadcast"))
}

impl State {
    pub(crate) fn send_by_resend(&mut self, asked: &Asked<'_>) -> Result<Response<Bytes>, ApiError> {
        let letters: Vec<Letter> = emails(asked.body).iter().map(letter).collect();
        let account = asked.bearer().unwrap_or_default().to_owned();
        let key = asked.header("idempotency-key").map(|key| (account, key.to_owned()));
        let refusal = match self.refuses_by_resend(asked) {
            Some(refusal) => Some(refusal.response()),
            None if self.over_rate() => Some(throttled()),
            None => None,
        };
        if let Some(refusal) = refusal {
            self.take_letters(letters, None)?;
            return Ok(refusal);
        }
        let (now, window) = (self.clock.now(), Duration::from_secs(self.account.replay_window_s));
        self.resend.keys.retain(|_, remembered| now.saturating_duration_since(remembered.since) < window);
        if let Some(remembered) = key.as_ref().and_then(|key| self.resend.keys.get(key)) {
            let said = if remembered.body == asked.raw {
                answer(StatusCode::OK, &remembered.said)
            } else {
                let message = "This idempotency key has been used with this HTTP method and endpoint within the last 24 hours, but the request body was modified.";
                No(StatusCode::CONFLICT, "invalid_idempotent_request", message.to_owned()).response()
            };
            self.take_letters(letters, None)?;
            return Ok(said);
        }
        let ids: Vec<String> = letters.iter().map(|_| self.next_id()).collect();
        self.take_letters(letters, Some(&ids))?;
        for (email, id) in emails(asked.body).iter().zip(&ids) {
            self.tell_by_resend(email, id)?;
        }
        let said = match asked.body {
            Value::Array(_) => json!({ "data": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() }),
            _ => json!({ "id": ids.first() }),
        };
        if let Some(key) = key {
            self.resend.keys.insert(key, Remembered { since: now, body: asked.raw.clone(), said: said.clone() });
        }
        Ok(answer(StatusCode::OK, &said))
    }

    /// As long as a real one.
    fn next_id(&mut self) -> String {
        self.resend.sent += 1;
        let sent = self.resend.sent;
        format!("{:08x}-5157-42d8-8898-{sent:012x}", sent % 7919)
    }

    /// Sending endpoints answer 401 to a key that is none, and all others 400 ("Errors").
    fn refuses_key_of_resend(&self, asked: &Asked<'_>, invalid: StatusCode) -> Option<No> {
        if asked.bearer().is_none() {
            return Some(No(StatusCode::UNAUTHORIZED, "missing_api_key", "Missing API key in the authorization header.".to_owned()));
        }
        (!self.knows_key(asked)).then(|| No(invalid, "validation_error", "API key is invalid".to_owned()))
    }

    pub(crate) fn domains_of_resend(&self, asked: &Asked<'_>) -> Response<Bytes> {
        if let Some(refusal) = self.refuses_key_of_resend(asked, StatusCode::BAD_REQUEST) {
            return refusal.response();
        }
        if !self.key_may("full_access") {
            let message = "This API key is restricted to only send emails.".to_owned();
            return No(StatusCode::UNAUTHORIZED, "restricted_api_key", message).response();
        }
        let names =
            self.account.identities.as_ref().map_or_else(|| vec!["example.com"], |names| names.keys().map(String::as_str).collect());
        let domains: Vec<_> = names.iter().map(|name| json!({ "name": name, "status": "verified", "region": "us-east-1" })).collect();
        answer(StatusCode::OK, &json!({ "object": "list", "has_more": false, "data": domains }))
    }

    fn refuses_by_resend(&mut self, asked: &Asked<'_>) -> Option<No> {
        if asked.header("user-agent").is_none() {
            return Some(No(StatusCode::FORBIDDEN, "1010", "a User-Agent is missing".to_owned()));
        }
        if let Some(refusal) = self.refuses_key_of_resend(asked, StatusCode::UNAUTHORIZED) {
            return Some(refusal);
        }
        if asked.header("idempotency-key").is_some_and(|key| key.is_empty() || key.len() > KEY_CHARS_MAX) {
            let message = "Idempotency keys, if present, must have between 1 and 256 characters.".to_owned();
            return Some(No(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message));
        }
        let emails = emails(asked.body);
        if emails.is_empty() || emails.len() > BATCH_MAX {
            return invalid("validation_error", "A batch has 1 to 100 emails.");
        }
        // All or none: the strict mode.
        if let Some(refusal) = emails.iter().find_map(refuses_email) {
            return Some(refusal);
        }
        let from = bare(emails.first()?["from"].as_str().unwrap_or_default());
        if !self.may_send_from(from) {
            let domain = from.rsplit('@').next().unwrap_or_default();
            let message = format!("The {domain} domain is not verified. Please, add and verify your domain.");
            return Some(No(StatusCode::FORBIDDEN, "validation_error", message));
        }
        let addresses: Vec<String> = emails.iter().flat_map(recipients).map(str::to_owned).collect();
        addresses.iter().find_map(|address| invalid("validation_error", self.refuses_address(address)?))
    }

    fn tell_by_resend(&mut self, email: &Value, id: &str) -> Result<(), ApiError> {
        if self.account.events.queue.is_none() {
            return Ok(());
        }
        let now = self.clock.wall();
        let address = recipients(email).next().unwrap_or_default().to_owned();
        let tags: BTreeMap<_, _> = email["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tag| Some((tag["name"].as_str()?, tag["value"].as_str()?)))
            .collect();
        for (number, ending) in self.endings(&address).iter().enumerate() {
            let (kind, details) = ended(ending, &address);
            let mut data = json!({
                "created_at": now.to_string(), "email_id": id, "from": email["from"], "to": [address], "subject": email["subject"], "tags": tags,
            });
            if let (Some(data), Some(details)) = (data.as_object_mut(), details.as_object()) {
                data.extend(details.clone());
            }
            let body = json!({ "type": kind, "created_at": now.to_string(), "data": data }).to_string();
            let (message, timestamp) = (format!("msg_{id}-{number}"), now.as_second().to_string());
            let signature = sign(&message, &timestamp, &body);
            self.call_webhook("resend", [&message, &timestamp, &signature], &body)?;
        }
        Ok(())
    }
}

/// As Svix signs.
fn sign(id: &str, timestamp: &str, body: &str) -> String {
    let secret = BASE64_STANDARD.decode(RESEND_WEBHOOK_SECRET.trim_start_matches("whsec_")).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes())))
}

/// In Resend's words ("Event Types").
fn ended(ending: &str, address: &str) -> (&'static str, Value) {
    let said = format!("smtp; 550 5.1.1 <{address}>: Recipient address rejected: User unknown in local recipient table");
    let bounce =
        |kind: &str, sub: &str| json!({ "bounce": { "type": kind, "subType": sub, "message": "simulated", "diagnosticCode": [said] } });
    match ending {
        "Delivery" => ("email.delivered", json!({})),
        "Bounce" => ("email.bounced", bounce("Permanent", "General")),
        "Bounce OnAccountSuppressionList" => ("email.suppressed", json!({ "suppressed": { "type": "OnAccountSuppressionList" } })),
        "Complaint" => ("email.complained", json!({})),
        "Reject" => ("email.failed", json!({ "failed": { "reason": "reached_daily_quota" } })),
        "DeliveryDelay" => ("email.delivery_delayed", json!({})),
        _ => ("email.sent", json!({})),
    }
}

/// One address, or a list of them.
fn recipients_of(field: &Value) -> impl Iterator<Item = &str> {
    field.as_str().into_iter().chain(field.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn recipients(email: &Value) -> impl Iterator<Item = &str> {
    recipients_of(&email["to"])
}

fn refuses_email(email: &Value) -> Option<No> {
    let text = |name: &str| email[name].as_str().unwrap_or_default();
    for field in ["from", "to", "subject"] {
        if email[field].is_null() || email[field] == "" {
            return invalid("missing_required_field", format!("Missing `{field}` field."));
        }
    }
    if text("html").is_empty() && text("text").is_empty() {
        return invalid("missing_required_field", "Missing `html` or `text` field.");
    }
    let wrong = |field: &str| {
        format!("Invalid `{field}` field. The email address needs to follow the `email@example.com` or `Name <email@example.com>` format.")
    };
    if !is_address(text("from")) {
        return invalid("validation_error", wrong("from"));
    }
    let to: Vec<_> = recipients(email).collect();
    if to.is_empty() || to.len() > RECIPIENTS_MAX || !to.iter().all(|address| is_address(address)) {
        return invalid("validation_error", wrong("to"));
    }
    let is_word = |value: &Value| {
        value.as_str().is_some_and(|text| {
            (1..=TAG_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        })
    };
    if email["tags"].as_array().into_iter().flatten().any(|tag| !is_word(&tag["name"]) || !is_word(&tag["value"])) {
        return invalid("validation_error", "Tags should only contain ASCII letters, numbers, underscores, or dashes.");
    }
    if !email["attachments"].is_null() {
        return invalid("validation_error", "The `attachments` field is not supported yet.");
    }
    None
}

fn letter(email: &Value) -> Letter {
    let text = |name: &str| email[name].as_str().unwrap_or_default().to_owned();
    let headers = email["headers"].as_object().into_iter().flatten();
    let tags = email["tags"].as_array().into_iter().flatten();
    Letter {
        broadcast: tag(email, "broadcast").to_owned(),
        mail: Mail {
            address: recipients(email).collect::<Vec<_>>().join(","),
            from: text("from"),
            subject: text("subject"),
            text: text("text"),
            html: text("html"),
            tags: tags
                .map(|tag| format!("{}={}", tag["name"].as_str().unwrap_or_default(), tag["value"].as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(" "),
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            reply_to: recipients_of(&email["reply_to"]).map(str::to_owned).collect(),
            message_id: String::new(),
            accepted_at: Timestamp::UNIX_EPOCH,
        },
    }
}
