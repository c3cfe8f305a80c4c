//! From a call to the body of `POST /v3/mail/send`.

use std::collections::BTreeMap;

use http::{Method, Request, header};
use issei_schema::{Class, Mailbox};
use serde::Serialize;

use super::{PERSONALIZATIONS_MAX, SendGridOptions, is_rehearsal};
use crate::sendgrid::tags::Tags;
use crate::words::Words;
use crate::{Call, Entry};

/// Bytes of one recipient's substitutions, names and values together. The OpenAPI description of `mail/send`
/// (twilio/sendgrid-oai, `personalizations.substitutions`) says so; the page of errors says 50,000.
const SUBSTITUTION_BYTES_MAX: usize = 10_000;
/// Substitutions of one recipient ("Errors" of the mail send reference, `personalizations.substitutions`).
const SUBSTITUTIONS_MAX: usize = 150;
/// What JSON adds to a name and a value: quotes, colon, comma.
const PAIR_BYTES: usize = 6;

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Draft {
    Ready(Request<Vec<u8>>),
    /// It can't be made as one, and its halves may: somebody's values are more than SendGrid substitutes. Who stands
    /// alone gets words that are rendered already.
    Divide,
    /// It can't be made, for this reason, which is nobody's among its recipients.
    Impossible(&'static str),
}

#[derive(Serialize)]
struct Body<'a> {
    personalizations: Vec<Personalization<'a>>,
    from: Party<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Party<'a>>,
    subject: String,
    content: Vec<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asm: Option<Asm>,
    mail_settings: MailSettings,
    tracking_settings: TrackingSettings,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: [Party<'a>; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    substitutions: BTreeMap<&'a str, &'a str>,
    custom_args: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Party<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Content {
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Asm {
    group_id: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Switch {
    enable: bool,
}

const ON: Switch = Switch { enable: true };
const OFF: Switch = Switch { enable: false };

#[derive(Serialize)]
struct MailSettings {
    sandbox_mode: Switch,
    /// Whoever called something spam, or unsubscribed from everything, gets what the law wants told; whose address
    /// bounced does not. The filter for all lists would also mail these ("Bypass suppressions" of SendGrid's overview
    /// of suppressions).
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_spam_management: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_unsubscribe_management: Option<Switch>,
    footer: Switch,
}

/// All off: a letter is what was shown beforehand, without a pixel, other links, or a line below it, whatever the
/// account's settings are ("Tracking settings" of SendGrid's user guide; those of a call go before the account's).
#[derive(Serialize)]
struct TrackingSettings {
    click_tracking: ClickTracking,
    open_tracking: Switch,
    subscription_tracking: Switch,
    ganalytics: Switch,
}

#[derive(Serialize)]
struct ClickTracking {
    enable: bool,
    enable_text: bool,
}

impl<'a> Party<'a> {
    fn of(mailbox: &'a Mailbox) -> Self {
        Self { email: mailbox.address().as_str(), name: mailbox.name() }
    }
}

/// The request of a call.
pub(super) fn draft(options: &SendGridOptions, call: &Call<'_>) -> Draft {
    if call.entries.is_empty() || call.entries.len() > PERSONALIZATIONS_MAX {
        return Draft::Impossible("a call has 1 to 1,000 recipients");
    }
    let Some(words) = Words::of(call.letter) else { return Draft::Impossible("its words are stored at another provider") };
    let Some(read) = call.entries.iter().map(|entry| words.with(&entry.values)).collect::<Option<Vec<_>>>() else {
        return Draft::Impossible("a placeholder of its words has no value, or is no plain one");
    };
    // One alone needs no substitution, and has no bound on its values.
    let tags = match read.as_slice() {
        [_] => None,
        _ => Some(Tags::of(&words, &read)),
    };
    let shown = match (&tags, read.into_iter().next()) {
        (Some(tags), _) => tags.put_into(&words),
        (None, alone) => alone,
    };
    let Some(shown) = shown else { return Draft::Impossible("its words can't be tagged") };
    let mut personalizations = Vec::with_capacity(call.entries.len());
    for entry in call.entries {
        let Some(personalization) = personalization(call, entry, tags.as_ref()) else { return Draft::Divide };
        personalizations.push(personalization);
    }
    let body = body(options, call, personalizations, shown);
    match serde_json::to_vec(&body).map(|body| post(options, "/v3/mail/send", body)) {
        Ok(Ok(request)) => Draft::Ready(request),
        _ => Draft::Impossible("no request can be made of it"),
    }
}

fn body<'a>(options: &SendGridOptions, call: &Call<'a>, personalizations: Vec<Personalization<'a>>, shown: Words) -> Body<'a> {
    let is_notice = !call.class.heeds_objections();
    let has_way_out = call.entries.iter().any(|entry| entry.headers.iter().any(|(name, _)| *name == "List-Unsubscribe"));
    // A text part stands first (RFC 1341 section 7.2, as the page of errors asks), and an empty part is refused.
    let part = |kind, value: Option<String>| value.filter(|value| !value.is_empty()).map(|value| Content { kind, value });
    Body {
        personalizations,
        from: Party::of(call.from),
        reply_to: call.reply_to.map(Party::of),
        subject: shown.subject,
        content: [part("text/plain", shown.text), part("text/html", shown.html)].into_iter().flatten().collect(),
        // A link of our own is the one that counts; a group's would put a second one into the header.
        asm: options.group(call.class).filter(|_| !has_way_out).map(|group_id| Asm { group_id }),
        mail_settings: MailSettings {
            sandbox_mode: Switch { enable: is_rehearsal(call) },
            bypass_spam_management: is_notice.then_some(ON),
            bypass_unsubscribe_management: is_notice.then_some(ON),
            footer: OFF,
        },
        tracking_settings: TrackingSettings {
            click_tracking: ClickTracking { enable: false, enable_text: false },
            open_tracking: OFF,
            subscription_tracking: OFF,
            ganalytics: OFF,
        },
    }
}

/// Nothing where the recipient's values are more than SendGrid substitutes.
fn personalization<'a>(call: &Call<'_>, entry: &'a Entry, tags: Option<&'a Tags>) -> Option<Personalization<'a>> {
    let substitutions = tags.map_or(Some(BTreeMap::new()), |tags| tags.values(&entry.values))?;
    let bytes: usize = substitutions.iter().map(|(tag, value)| tag.len() + value.len() + PAIR_BYTES).sum();
    (substitutions.len() <= SUBSTITUTIONS_MAX && bytes <= SUBSTITUTION_BYTES_MAX).then(|| Personalization {
        to: [Party { email: entry.to.as_str(), name: None }],
        headers: entry.headers.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        substitutions,
        custom_args: call.tags(entry).into_iter().collect(),
    })
}

/// A request to SendGrid with this body.
fn post(options: &SendGridOptions, path: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, http::Error> {
    asked(options, Method::POST, path, body)
}

/// A request to SendGrid.
pub(super) fn asked(options: &SendGridOptions, method: Method, path: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, http::Error> {
    Request::builder()
        .method(method)
        .uri(format!("{}{path}", options.base_url))
        .header(header::AUTHORIZATION, options.key.bearer())
        .header(header::CONTENT_TYPE, "application/json")
        // 406 without it ("Errors" of SendGrid's "How to use the v3 API").
        .header(header::ACCEPT, "application/json")
        .body(body)
}

impl SendGridOptions {
    /// The unsubscribe group of a class. A notice has none: a group's list would keep it from whoever is on it.
    fn group(&self, class: Class) -> Option<u64> {
        match class {
            Class::LegalNotice => None,
            Class::Service => self.service_group,
            Class::Marketing => self.marketing_group,
        }
    }
}

#[cfg(test)]
mod tests;
