//! What the fakes of providers with an HTTP API of their own share: a request, an answer, the record of one letter, and
//! the call by which such a provider tells what became of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::Value;

use crate::answer::ApiError;
use crate::cloud::State;
use crate::store::Mail;

/// A request as it came.
pub(crate) struct Asked<'a> {
    pub(crate) body: &'a Value,
    pub(crate) raw: &'a Bytes,
    pub(crate) headers: &'a HeaderMap,
    /// Behind the question mark.
    pub(crate) query: &'a str,
}

impl Asked<'_> {
    /// The key behind `Bearer`; nothing where there is none.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").filter(|key| !key.is_empty())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer in JSON.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// With a header; one that can't be written is left out.
pub(crate) fn with(mut response: Response<Bytes>, name: &'static str, value: &str) -> Response<Bytes> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// Whether a provider reads it as an address. What exactly they take is not documented.
pub(crate) fn is_address(text: &str) -> bool {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    let parts = address.rsplit_once('@');
    // A blank stands in quotes alone (RFC 5321 section 4.1.2).
    let is_quoted = |local: &str| local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    parts.is_some_and(|(local, domain)| {
        let is_whole = !domain.contains(' ') && (!local.contains(' ') || is_quoted(local));
        !local.is_empty() && domain.contains('.') && !address.contains([',', '\n']) && is_whole
    })
}

/// The bare address of `Name <local@domain>`.
pub(crate) fn bare(text: &str) -> &str {
    text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).trim()
}

/// One letter that was accepted, or refused.
pub(crate) struct Letter {
    pub(crate) broadcast: String,
    pub(crate) mail: Mail,
}

impl State {
    /// The account's own rules: whether somebody's address is one that the provider refuses, and with which words.
    pub(crate) fn refuses_address(&mut self, address: &str) -> Option<String> {
        let rule = self.account.entry_rules.iter_mut().find(|rule| rule.times != Some(0) && address.contains(&rule.address))?;
        rule.times = rule.times.map(|times| times - 1);
        Some(rule.parts().1.to_owned())
    }

    /// Whether the API key that was shown is the account's.
    pub(crate) fn knows_key(&self, asked: &Asked<'_>) -> bool {
        asked.bearer().is_some_and(|key| self.account.api_key.as_deref().is_none_or(|known| known == key))
    }

    /// Whether it may do this.
    pub(crate) fn key_may(&self, scope: &str) -> bool {
        self.account.api_scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|one| one == scope))
    }

    /// Whether the account may send from an address: itself or its domain is verified.
    pub(crate) fn may_send_from(&self, address: &str) -> bool {
        let Some(identities) = &self.account.identities else { return true };
        let domain = address.rsplit('@').next().unwrap_or_default();
        identities.contains_key(address) || identities.contains_key(domain)
    }

    /// Counts that letters were asked for. Those that were accepted have an id each, and are kept where the account keeps
    /// mails.
    pub(crate) fn take_letters(&mut self, letters: Vec<Letter>, accepted: Option<&[String]>) -> Result<(), ApiError> {
        self.store.begin()?;
        let now = self.clock.wall();
        let result = letters.into_iter().enumerate().try_for_each(|(at, Letter { broadcast, mail })| {
            self.store.count_send(&mail.address, &broadcast, accepted.is_some())?;
            let Some(message_id) = accepted.map(|ids| ids.get(at).cloned().unwrap_or_default()) else { return Ok(()) };
            self.count_accepted_of(&broadcast);
            if self.account.keep_mails && self.account.mails_max.is_none_or(|most| self.ses.accepted <= most) {
                self.store.keep_mail(&Mail { message_id, accepted_at: now, ..mail })?;
            }
            Ok::<_, ApiError>(())
        });
        self.store.commit()?;
        result
    }

    /// What becomes of a letter, as events of SES are called: that it was sent, and how that ended.
    pub(crate) fn endings(&self, address: &str) -> Vec<String> {
        let rule = self.account.events.rules.iter().find(|rule| address.contains(&rule.address));
        let end = rule.map_or("Delivery", |rule| rule.event.as_str());
        ["Send", end].into_iter().take(if end == "Send" { 1 } else { 2 }).map(str::to_owned).collect()
    }

    /// Makes a provider's call to the account's API, which puts it on the queue as `infra/webhooks.yaml` has it.
    pub(crate) fn call_webhook(&mut self, provider: &str, [id, timestamp, signature]: [&str; 3], body: &str) -> Result<(), ApiError> {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let headers = [id, timestamp, signature].map(encoded).join("~");
        self.tell_line(&format!("webhook~{provider}~{headers}~{}", encoded(body)))
    }
}

/// What a request asks for, where its host is another provider than AWS.
pub(crate) fn operation(request: &Request<Bytes>) -> Option<(&'static str, &'static str)> {
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/v3/mail/send") => Some(("sendgrid", "MailSend")),
        ("GET", "/v3/scopes") => Some(("sendgrid", "GetScopes")),
        ("GET", "/v3/stats") => Some(("sendgrid", "GetStats")),
        ("GET", "/domains") => Some(("resend", "ListDomains")),
        ("POST", "/emails") => Some(("resend", "SendEmail")),
        ("POST", "/emails/batch") => Some(("resend", "SendBatchEmails")),
        _ => None,
    }
}
