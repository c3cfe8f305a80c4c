//! SendGrid's v3 API, as far as `POST /v3/mail/send` and the event webhook: what its public reference says that it takes,
//! refuses and answers ("Mail Send", its page of errors, and twilio/sendgrid-oai). Requests have no key, so a repeated
//! one is another one.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};

use crate::answer::ApiError;
use crate::cloud::State;
use crate::letter_by_web::{Asked, Letter, answer, is_address, with};
use crate::store::Mail;

const BODY_BYTES_MAX: usize = 30_000_000;
const PERSONALIZATIONS_MAX: usize = 1_000;
/// Of one personalization.
const SUBSTITUTIONS_MAX: usize = 150;
const SUBSTITUTION_BYTES_MAX: usize = 10_000;
const CUSTOM_ARGS_BYTES_MAX: usize = 10_000;
/// Compared without case.
const RESERVED_HEADERS: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];
/// What a P-256 key in DER begins with (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];

/// The key pair of the event webhook, drawn anew for each account.
#[derive(Default)]
pub(crate) struct SendGrid {
    pair: Option<EcdsaKeyPair>,
    requests: u64,
    /// Letters that were asked for, by day.
    days: BTreeMap<String, u64>,
}

impl SendGrid {
    fn pair(&mut self) -> Option<&EcdsaKeyPair> {
        if self.pair.is_none() {
            let random = SystemRandom::new();
            let drawn = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).ok()?;
            self.pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, drawn.as_ref(), &random).ok();
        }
        self.pair.as_ref()
    }

    /// As SendGrid shows it.
    pub(crate) fn verification_key(&mut self) -> String {
        self.pair().map(|pair| BASE64_STANDARD.encode([SPKI.as_slice(), pair.public_key().as_ref()].concat())).unwrap_or_default()
    }

    pub(crate) fn sign(&mut self, timestamp: &str, body: &str) -> String {
        let signed = self.pair().and_then(|pair| pair.sign(&SystemRandom::new(), format!("{timestamp}{body}").as_bytes()).ok());
        signed.map(|signature| BASE64_STANDARD.encode(signature)).unwrap_or_default()
    }
}

/// A refusal, with the field that is wrong.
struct No {
    status: StatusCode,
    field: Option<String>,
    message: String,
}

impl No {
    fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, field: Some(field.into()), message: message.into() }
    }

    fn status(status: StatusCode, message: &str) -> Self {
        Self { status, field: None, message: message.to_owned() }
    }

    fn response(&self) -> Response<Bytes> {
        answer(self.status, &json!({ "errors": [{ "message": self.message, "field": self.field, "help": null }] }))
    }
}

/// What a fault makes of an answer.
pub(crate) fn failed() -> Response<Bytes> {
    No::status(StatusCode::INTERNAL_SERVER_ERROR, "internal server error").response()
}

/// The limit is reset at a moment, in seconds of the epoch.
pub(crate) fn throttled(reset: i64) -> Response<Bytes> {
    with(No::status(StatusCode::TOO_MANY_REQUESTS, "too many requests").response(), "x-ratelimit-reset", &reset.to_string())
}

/// The broadcast that the first personalization is told to carry.
pub(crate) fn broadcast_of(body: &Value) -> &str {
    body["personalizations"][0]["custom_args"]["broadcast"].as_str().unwrap_or_default()
}

impl State {
    pub(crate) fn send_by_sendgrid(&mut self, asked: &Asked<'_>) -> Result<Response<Bytes>, ApiError> {
        let letters = letters(asked.body);
        let refusal = match self.refuses_by_sendgrid(asked) {
            Some(refusal) => Some(refusal.response()),
            None if self.over_rate() => Some(throttled(self.clock.wall().as_second() + 1)),
            None => None,
        };
        if let Some(refusal) = refusal {
            self.take_letters(letters, None)?;
            return Ok(refusal);
        }
        if asked.body["mail_settings"]["sandbox_mode"]["enable"] == true {
            return Ok(answer(StatusCode::OK, &Value::Null));
        }
        self.sendgrid.requests += 1;
        let id = format!("sim{:019}", self.sendgrid.requests);
        let ids = vec![id.clone(); letters.len()];
        let today = self.clock.wall().strftime("%Y-%m-%d").to_string();
        *self.sendgrid.days.entry(today).or_default() += letters.len() as u64;
        self.take_letters(letters, Some(&ids))?;
        self.tell_by_sendgrid(asked.body, &id)?;
        let mut accepted = with(Response::new(Bytes::new()), "x-message-id", &id);
        *accepted.status_mut() = StatusCode::ACCEPTED;
        Ok(accepted)
    }

    fn refuses_key_of_sendgrid(&self, asked: &Asked<'_>, scope: &str) -> Option<No> {
        if !self.knows_key(asked) {
            return Some(No::status(StatusCode::UNAUTHORIZED, "The provided authorization grant is invalid, expired, or revoked"));
        }
        (!self.key_may(scope)).then(|| No::status(StatusCode::FORBIDDEN, "access forbidden"))
    }

    /// What is asked about the key, of which any may ask, and about what was sent.
    pub(crate) fn tell_of_sendgrid(&self, operation: &str, asked: &Asked<'_>) -> Response<Bytes> {
        if operation == "GetScopes" {
            let all = || ["mail.send", "mail.batch.create", "stats.read"].map(str::to_owned).to_vec();
            let refusal = self.refuses_key_of_sendgrid(asked, "").filter(|_| !self.knows_key(asked));
            let scopes = || answer(StatusCode::OK, &json!({ "scopes": self.account.api_scopes.clone().unwrap_or_else(all) }));
            return refusal.map_or_else(scopes, |refusal| refusal.response());
        }
        if let Some(refusal) = self.refuses_key_of_sendgrid(asked, "stats.read") {
            return refusal.response();
        }
        let field = |name: &str| asked.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let Some(first) = field("start_date") else {
            return No::field("start_date", "start_date is required").response();
        };
        let last = field("end_date").unwrap_or("9999-12-31");
        let days = self.sendgrid.days.iter().filter(|(day, _)| (first..=last).contains(&day.as_str()));
        let stats = |(day, requests): (&String, &u64)| json!({ "date": day, "stats": [{ "metrics": { "requests": requests, "processed": requests, "delivered": requests } }] });
        answer(StatusCode::OK, &days.map(stats).collect())
    }

    fn refuses_by_sendgrid(&mut self, asked: &Asked<'_>) -> Option<No> {
        if let Some(refusal) = self.refuses_key_of_sendgrid(asked, "mail.send") {
            return Some(refusal);
        }
        if asked.raw.len() > BODY_BYTES_MAX {
            return Some(No::status(StatusCode::PAYLOAD_TOO_LARGE, "content too large"));
        }
        if let Some(refusal) = refuses_shape(asked.body) {
            return Some(refusal);
        }
        let from = asked.body["from"]["email"].as_str().unwrap_or_default();
        if !self.may_send_from(from) {
            let message = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.";
            return Some(No { status: StatusCode::FORBIDDEN, ..No::field("from", message) });
        }
        let addresses: Vec<_> = addresses(asked.body).map(|(at, address)| (at, address.to_owned())).collect();
        addresses.into_iter().find_map(|(at, address)| {
            let words = self.refuses_address(&address)?;
            Some(No::field(format!("personalizations.{at}.to.0.email"), words))
        })
    }

    /// All events of one request in one call, each with its own time.
    fn tell_by_sendgrid(&mut self, body: &Value, id: &str) -> Result<(), ApiError> {
        if self.account.events.queue.is_none() {
            return Ok(());
        }
        let (now, mut events) = (self.clock.wall().as_second(), Vec::new());
        for (at, personalization) in body["personalizations"].as_array().into_iter().flatten().enumerate() {
            let address = personalization["to"][0]["email"].as_str().unwrap_or_default();
            for (number, ending) in self.endings(address).iter().enumerate() {
                let mut event = personalization["custom_args"].as_object().cloned().unwrap_or_default();
                event.extend(Map::from_iter([
                    ("email".to_owned(), json!(address)),
                    ("timestamp".to_owned(), json!(now)),
                    ("sg_event_id".to_owned(), json!(format!("{id}-{at}-{number}"))),
                    ("sg_message_id".to_owned(), json!(format!("{id}.recvd-sim-1-{at}.0"))),
                ]));
                event.extend(ended(ending, address).as_object().cloned().unwrap_or_default());
                events.push(Value::Object(event));
            }
        }
        let (body, timestamp) = (Value::Array(events).to_string(), now.to_string());
        let signature = self.sendgrid.sign(&timestamp, &body);
        self.call_webhook("sendgrid", ["", &timestamp, &signature], &body)
    }
}

/// In SendGrid's words ("Event Webhook Reference").
fn ended(ending: &str, address: &str) -> Value {
    match ending {
        "Delivery" => json!({ "event": "delivered", "response": "250 OK" }),
        "Bounce" => {
            let said = format!("550 5.1.1 <{address}>: Recipient address rejected: User unknown in local recipient table");
            json!({ "event": "bounce", "type": "bounce", "reason": said, "status": "5.1.1" })
        }
        "Bounce OnAccountSuppressionList" => json!({ "event": "dropped", "reason": "Bounced Address" }),
        "Complaint" => json!({ "event": "spamreport" }),
        "Reject" => json!({ "event": "dropped", "reason": "Invalid" }),
        "DeliveryDelay" => json!({ "event": "deferred", "response": "400 try again later", "attempt": "1" }),
        _ => json!({ "event": "processed" }),
    }
}

fn addresses(body: &Value) -> impl Iterator<Item = (usize, &str)> {
    let personalizations = body["personalizations"].as_array().into_iter().flatten().enumerate();
    personalizations
        .flat_map(|(at, one)| one["to"].as_array().into_iter().flatten().map(move |to| (at, to["email"].as_str().unwrap_or_default())))
}

/// Texts that an object holds; nothing where one is none.
fn texts(value: &Value) -> Option<BTreeMap<&str, &str>> {
    match value {
        Value::Null => Some(BTreeMap::new()),
        Value::Object(fields) => fields.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect(),
        _ => None,
    }
}

fn bytes(texts: &BTreeMap<&str, &str>) -> usize {
    texts.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// What is wrong with the form of a request, by the page of errors.
fn refuses_shape(body: &Value) -> Option<No> {
    let no = |field: &str, message: &str| Some(No::field(field, message));
    let personalizations = body["personalizations"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if personalizations.is_empty() {
        return no("personalizations", "The personalizations field is required and must have at least one personalization.");
    }
    if personalizations.len() > PERSONALIZATIONS_MAX || addresses(body).count() > PERSONALIZATIONS_MAX {
        return no("personalizations", "The personalization block is limited to 1000 personalizations per API request.");
    }
    if let Some(refusal) = personalizations.iter().enumerate().find_map(|(at, one)| refuses_personalization(at, one)) {
        return Some(refusal);
    }
    let mut seen = BTreeSet::new();
    if let Some((_, twice)) = addresses(body).find(|(_, address)| !seen.insert(address.to_lowercase())) {
        let message = format!(
            "Each unique email address in the personalizations array should only be included once. You have included [{twice}] more than once."
        );
        return no("personalizations", &message);
    }
    if !body["from"]["email"].as_str().is_some_and(is_address) {
        return no("from.email", "The from email does not contain a valid address.");
    }
    if !body["reply_to"].is_null() && !body["reply_to"]["email"].as_str().is_some_and(is_address) {
        return no("reply_to.email", "The reply_to email does not contain a valid address.");
    }
    if body["subject"].as_str().is_none_or(str::is_empty)
        && personalizations.iter().any(|one| one["subject"].as_str().is_none_or(str::is_empty))
    {
        return no("subject", "The subject is required. You can get around this requirement if you use a template with a subject defined.");
    }
    let content = body["content"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if content.is_empty() || content.iter().any(|part| part["value"].as_str().is_none_or(str::is_empty)) {
        return no("content", "The content value must be a string at least one character in length.");
    }
    let kinds: Vec<_> = content.iter().map(|part| part["type"].as_str().unwrap_or_default()).collect();
    if kinds.iter().position(|kind| *kind == "text/plain").is_some_and(|at| at > 0) {
        return no("content.0.type", "Following RFC 1341, section 7.2, text/plain needs to be first.");
    }
    let settings = &body["mail_settings"];
    let is_on = |name: &str| settings[name]["enable"] == true;
    if is_on("bypass_list_management")
        && ["bypass_spam_management", "bypass_bounce_management", "bypass_unsubscribe_management"].into_iter().any(is_on)
    {
        return no("mail_settings.bypass_list_management", "It can not be combined with other bypass filters.");
    }
    if !settings["sandbox_mode"].is_null() && !settings["sandbox_mode"]["enable"].is_boolean() {
        return no("mail_settings.sandbox_mode.enable", "The sandbox mode enable param should be a boolean value.");
    }
    if !body["asm"].is_null() && !body["asm"]["group_id"].is_u64() {
        return no("asm.group_id", "The ASM group ID must be an integer.");
    }
    None
}

fn refuses_personalization(at: usize, one: &Value) -> Option<No> {
    let no = |field: &str, message: &str| Some(No::field(format!("personalizations.{at}.{field}"), message));
    if one["to"].as_array().is_none_or(Vec::is_empty) {
        return no(
            "to",
            "The to array is required for all personalization objects, and must have at least one email object with a valid email address.",
        );
    }
    if let Some(number) = one["to"].as_array()?.iter().position(|to| !to["email"].as_str().is_some_and(is_address)) {
        return no(&format!("to.{number}.email"), "Does not contain a valid address.");
    }
    match texts(&one["substitutions"]) {
        None => {
            return no("substitutions", "The substitution values must be an object of key/value pairs, where the values are all strings.");
        }
        Some(given) if given.len() > SUBSTITUTIONS_MAX => {
            return no("substitutions", "Substitutions are limited to 150 items per personalization block.");
        }
        Some(given) if bytes(&given) > SUBSTITUTION_BYTES_MAX => {
            return no("substitutions", "Substitutions are limited to 10,000 bytes per personalization block.");
        }
        Some(_) => {}
    }
    match texts(&one["custom_args"]) {
        None => return no("custom_args", "All values of custom arguments object must be strings"),
        Some(given) if bytes(&given) > CUSTOM_ARGS_BYTES_MAX => return no("custom_args", "Custom arguments are limited to 10,000 bytes."),
        Some(_) => {}
    }
    match texts(&one["headers"]) {
        None => no("headers", "All values of the headers object must be strings."),
        Some(given) if given.keys().any(|name| RESERVED_HEADERS.contains(&name.to_lowercase().as_str())) => {
            no("headers", "Header can't be one of the reserved keys.")
        }
        Some(given) if given.keys().any(|name| !name.bytes().all(|b| b.is_ascii_graphic())) => {
            no("headers", "Header keys can't contain non-ASCII characters or empty spaces.")
        }
        Some(_) => None,
    }
}

/// The letters of a request, with each tag replaced by its value as text, escaped by nobody.
fn letters(body: &Value) -> Vec<Letter> {
    let from = &body["from"];
    let sender = match (from["name"].as_str(), from["email"].as_str().unwrap_or_default()) {
        (Some(name), email) => format!("{name} <{email}>"),
        (None, email) => email.to_owned(),
    };
    let reply_to: Vec<String> = body["reply_to"]["email"].as_str().into_iter().map(str::to_owned).collect();
    let part = |kind: &str| {
        let content = body["content"].as_array().into_iter().flatten();
        content.filter(|part| part["type"] == kind).find_map(|part| part["value"].as_str()).unwrap_or_default().to_owned()
    };
    let (text, html) = (part("text/plain"), part("text/html"));
    let letter = |one: &Value| {
        let substitutions = texts(&one["substitutions"]).unwrap_or_default();
        let put = |text: &str| substitutions.iter().fold(text.to_owned(), |text, (tag, value)| text.replace(tag, value));
        let args = texts(&one["custom_args"]).unwrap_or_default();
        let to = one["to"].as_array().into_iter().flatten().filter_map(|to| to["email"].as_str());
        Letter {
            broadcast: args.get("broadcast").copied().unwrap_or_default().to_owned(),
            mail: Mail {
                address: to.collect::<Vec<_>>().join(","),
                from: sender.clone(),
                subject: put(one["subject"].as_str().or(body["subject"].as_str()).unwrap_or_default()),
                text: put(&text),
                html: put(&html),
                tags: args.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
                headers: texts(&one["headers"])
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                reply_to: reply_to.clone(),
                message_id: String::new(),
                accepted_at: Timestamp::UNIX_EPOCH,
            },
        }
    };
    body["personalizations"].as_array().into_iter().flatten().map(letter).collect()
}
