//! SES v2: the account, its configuration sets, and how many it accepted how fast.

mod bulk;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use http::{Method, StatusCode};
use issei_clock::Instant;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use self::bulk::Bulk;
use crate::answer::ApiError;
use crate::cloud::State;

pub use self::bulk::KEY_HEADER;

#[derive(Default)]
pub(crate) struct Ses {
    configuration_sets: BTreeMap<String, bool>,
    /// What each suppresses by the account's list, where it says so itself.
    suppressed_reasons: BTreeMap<String, Value>,
    /// By configuration set and name. Nothing is sent there; the account's own queue has the events.
    event_destinations: BTreeMap<String, BTreeMap<String, Value>>,
    /// Addresses on the account's suppression list, with the reason.
    pub(crate) suppressed: BTreeMap<String, String>,
    sent: u64,
    recent: VecDeque<(Instant, u64)>,
    in_last_second: u64,
    pub(crate) peak_in_a_second: u64,
    pub(crate) accepted: u64,
    /// The same by the broadcast's tag.
    pub(crate) accepted_of: BTreeMap<String, u64>,
    pub(crate) last_accepted_of: BTreeMap<String, Instant>,
    /// What was accepted under a key: the body, the answer and when.
    remembered: BTreeMap<String, (Value, Value, Instant)>,
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new("BadRequestException", message)
}

fn not_found(what: &str) -> ApiError {
    ApiError::new("NotFoundException", format!("{what} does not exist.")).status(StatusCode::NOT_FOUND)
}

/// The last part of a path. An address in it is written with `%40`.
fn last_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().replace("%40", "@")
}

pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static str> {
    match (method, path) {
        (&Method::GET, "/v2/email/account") => Some("GetAccount"),
        (&Method::POST, "/v2/email/outbound-bulk-emails") => Some("SendBulkEmail"),
        (&Method::POST, "/v2/email/outbound-emails") => Some("SendEmail"),
        (&Method::POST, "/v2/email/configuration-sets") => Some("CreateConfigurationSet"),
        (&Method::POST, path) if path.starts_with("/v2/email/configuration-sets/") && path.ends_with("/event-destinations") => {
            Some("CreateConfigurationSetEventDestination")
        }
        (&Method::PUT, "/v2/email/suppression/addresses") => Some("PutSuppressedDestination"),
        (&Method::GET, path) if path.starts_with("/v2/email/configuration-sets/") && path.ends_with("/event-destinations") => {
            Some("GetConfigurationSetEventDestinations")
        }
        (&Method::GET, path) if path.starts_with("/v2/email/configuration-sets/") => Some("GetConfigurationSet"),
        (&Method::GET, path) if path.starts_with("/v2/email/identities/") => Some("GetEmailIdentity"),
        (&Method::GET, path) if path.starts_with("/v2/email/templates/") => Some("GetEmailTemplate"),
        (&Method::PUT, path) if path.starts_with("/v2/email/configuration-sets/") && path.ends_with("/sending") => {
            Some("PutConfigurationSetSendingOptions")
        }
        (&Method::PUT, path) if path.starts_with("/v2/email/configuration-sets/") && path.ends_with("/suppression-options") => {
            Some("PutConfigurationSetSuppressionOptions")
        }
        _ => None,
    }
}

impl State {
    pub(crate) fn ses(&mut self, operation: &str, path: &str, body: &Value, signed_at: Option<Timestamp>) -> Result<Value, ApiError> {
        match operation {
            "GetAccount" => Ok(json!({
                "ProductionAccessEnabled": !self.account.sandbox,
                "SendingEnabled": true,
                "EnforcementStatus": "HEALTHY",
                "SendQuota": { "Max24HourSend": self.account.max_24_hour_send, "MaxSendRate": self.account.max_send_rate, "SentLast24Hours": self.ses.accepted },
            })),
            "CreateConfigurationSet" => {
                let name = body["ConfigurationSetName"].as_str().unwrap_or_default().to_owned();
                if self.ses.configuration_sets.contains_key(&name) {
                    return Err(ApiError::new("AlreadyExistsException", "the configuration set exists"));
                }
                if let Some(reasons) = body["SuppressionOptions"].get("SuppressedReasons") {
                    self.ses.suppressed_reasons.insert(name.clone(), reasons.clone());
                }
                self.ses.configuration_sets.insert(name, true);
                Ok(json!({}))
            }
            "GetConfigurationSet" => {
                let name = path.rsplit('/').next().unwrap_or_default();
                let enabled = *self.configuration_set(name)?;
                let mut told = json!({ "ConfigurationSetName": name, "SendingOptions": { "SendingEnabled": enabled } });
                if let Some(reasons) = self.ses.suppressed_reasons.get(name) {
                    told["SuppressionOptions"] = json!({ "SuppressedReasons": reasons });
                }
                Ok(told)
            }
            "GetConfigurationSetEventDestinations" => {
                let name = path.trim_end_matches("/event-destinations").rsplit('/').next().unwrap_or_default();
                self.configuration_set(name)?;
                let types = ["SEND", "DELIVERY", "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY_DELAY"];
                // Where the account tells nobody, there is no destination.
                let destination = self.account.events.queue.as_ref().map(|queue| {
                    json!({ "Name": "feedback", "Enabled": true, "MatchingEventTypes": types,
                        "SnsDestination": { "TopicArn": format!("arn:aws:sns:us-east-1:000000000000:{queue}") } })
                });
                let made = self.ses.event_destinations.get(name).into_iter().flat_map(BTreeMap::values).cloned();
                Ok(json!({ "EventDestinations": destination.into_iter().chain(made).collect::<Vec<_>>() }))
            }
            "CreateConfigurationSetEventDestination" => {
                let set = path.trim_end_matches("/event-destinations").rsplit('/').next().unwrap_or_default();
                self.configuration_set(set)?;
                let name = body["EventDestinationName"].as_str().unwrap_or_default();
                let mut destination = body["EventDestination"].clone();
                destination["Name"] = json!(name);
                let made = self.ses.event_destinations.entry(set.to_owned()).or_default();
                if made.insert(name.to_owned(), destination).is_some() {
                    return Err(ApiError::new("AlreadyExistsException", "the event destination exists"));
                }
                Ok(json!({}))
            }
            "GetEmailIdentity" => match &self.account.identities {
                None => Ok(json!({
                    "IdentityType": "DOMAIN",
                    "VerifiedForSendingStatus": true,
                    "DkimAttributes": { "SigningEnabled": true, "Status": "SUCCESS", "Tokens": ["one", "two", "three"] },
                })),
                Some(identities) => identities.get(&last_of(path)).cloned().ok_or_else(|| not_found("Email identity")),
            },
            "GetEmailTemplate" => {
                let name = last_of(path);
                let content = self.account.templates.get(&name).ok_or_else(|| not_found("Template"))?;
                Ok(json!({ "TemplateName": name, "TemplateContent": content }))
            }
            "PutConfigurationSetSendingOptions" => {
                let name = path.trim_end_matches("/sending").rsplit('/').next().unwrap_or_default();
                *self.configuration_set(name)? = body["SendingEnabled"].as_bool().unwrap_or(false);
                Ok(json!({}))
            }
            "PutConfigurationSetSuppressionOptions" => {
                let name = path.trim_end_matches("/suppression-options").rsplit('/').next().unwrap_or_default();
                self.configuration_set(name)?;
                self.ses.suppressed_reasons.insert(name.to_owned(), body["SuppressedReasons"].clone());
                Ok(json!({}))
            }
            "PutSuppressedDestination" => {
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                self.ses.suppressed.insert(text("EmailAddress"), text("Reason"));
                Ok(json!({}))
            }
            "SendBulkEmail" => {
                self.check_age(signed_at)?;
                let bulk = Bulk::deserialize(body).map_err(|error| bad(error.to_string()))?;
                let key = self.account.remembers_keys_s.and_then(|window_s| Some((bulk.key()?.to_owned(), window_s)));
                if let Some((key, window_s)) = &key
                    && let Some((before, answer, at)) = self.ses.remembered.get(key)
                    && self.clock.now().saturating_duration_since(*at) < Duration::from_secs((*window_s).into())
                {
                    let other = || ApiError::new("ConflictException", "another body came under this key").status(StatusCode::CONFLICT);
                    return if before == body { Ok(answer.clone()) } else { Err(other()) };
                }
                self.store.begin()?;
                let result = self.send_bulk(&bulk);
                self.store.commit()?;
                if let (Some((key, _)), Ok(answer)) = (key, &result) {
                    self.ses.remembered.insert(key, (body.clone(), answer.clone(), self.clock.now()));
                }
                result
            }
            "SendEmail" => {
                self.check_age(signed_at)?;
                self.send_email(body)
            }
            other => Err(ApiError::not_simulated(other)),
        }
    }

    /// As AWS does before a service sees the request (IAM user guide, "Elements of an AWS API request
    /// signature").
    pub(crate) fn check_age(&self, signed_at: Option<Timestamp>) -> Result<(), ApiError> {
        let (Some(lifetime_s), Some(signed_at)) = (self.account.signature_lifetime_s, signed_at) else { return Ok(()) };
        let (now, lifetime) = (self.clock.wall(), SignedDuration::from_secs(lifetime_s.into()));
        let age = now.duration_since(signed_at);
        let words = match () {
            () if age > lifetime => format!("Signature expired: {signed_at} is now earlier than {now} less {lifetime_s} s"),
            () if age < -lifetime => format!("Signature not yet current: {signed_at} is still later than {now} and {lifetime_s} s"),
            () => return Ok(()),
        };
        Err(ApiError::new("InvalidSignatureException", words).status(StatusCode::FORBIDDEN))
    }

    /// Whether a configuration set may send.
    fn configuration_set(&mut self, name: &str) -> Result<&mut bool, ApiError> {
        let missing =
            || ApiError::new("NotFoundException", format!("Configuration set <{name}> does not exist.")).status(StatusCode::NOT_FOUND);
        self.ses.configuration_sets.get_mut(name).ok_or_else(missing)
    }

    pub(crate) fn over_rate(&mut self) -> bool {
        self.forget_older_than_a_second();
        self.account.enforce_rate && u32::try_from(self.ses.in_last_second).is_ok_and(|sent| f64::from(sent) >= self.account.max_send_rate)
    }

    fn forget_older_than_a_second(&mut self) {
        let now = self.clock.now();
        while let Some((at, n)) = self.ses.recent.front().copied() {
            if now.saturating_duration_since(at) < Duration::from_secs(1) {
                break;
            }
            self.ses.in_last_second -= n;
            self.ses.recent.pop_front();
        }
    }

    /// Whoever the provider is: the account's counts are of all of them.
    pub(crate) fn count_accepted_of(&mut self, broadcast: &str) {
        let now = self.clock.now();
        *self.ses.accepted_of.entry(broadcast.to_owned()).or_default() += 1;
        self.ses.last_accepted_of.insert(broadcast.to_owned(), now);
        self.forget_older_than_a_second();
        match self.ses.recent.back_mut() {
            Some((at, n)) if *at == now => *n += 1,
            _ => self.ses.recent.push_back((now, 1)),
        }
        self.ses.in_last_second += 1;
        self.ses.accepted += 1;
        self.ses.peak_in_a_second = self.ses.peak_in_a_second.max(self.ses.in_last_second);
    }
}
