//! From a call to the body of `POST /emails/batch`: each recipient's letter, rendered here.
//!
//! Under one key the body must be the same to the last byte, whichever process writes it: it is made of the call alone, its
//! fields stand in one order, and its maps are sorted.

use std::collections::BTreeMap;

use http::{Method, Request, header};
use issei_schema::Mailbox;
use serde::Serialize;

use super::{LETTERS_MAX, ResendOptions, USER_AGENT};
use crate::words::Words;
use crate::{Call, Entry};

/// Characters of a key at most ("Idempotency Keys").
const KEY_CHARS_MAX: usize = 256;

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Draft {
    Ready(Request<Vec<u8>>),
    /// It can't be made, for this reason, which is nobody's among its recipients.
    Impossible(&'static str),
}

#[derive(Serialize)]
struct Email<'a> {
    from: String,
    to: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    /// An empty one keeps Resend from making one of the HTML ("Send Batch Emails", `text`).
    text: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    tags: Vec<Tag>,
}

/// Letters, digits, `_` and `-`, and 256 characters at most ("Send Batch Emails", `tags`), which a broadcast's id,
/// numbers and the mark of a registration are.
#[derive(Serialize)]
struct Tag {
    name: &'static str,
    value: String,
}

/// The request of a call.
///
/// The batch is checked as a whole and sent whole or not at all: Resend's strict mode, which is its default ("Batch
/// Validation Modes"). In the other one an answer says who was refused by their places, and who was taken by none.
pub(super) fn draft(options: &ResendOptions, call: &Call<'_>) -> Draft {
    if call.entries.is_empty() || call.entries.len() > LETTERS_MAX {
        return Draft::Impossible("a call has 1 to 100 letters");
    }
    let Some(key) = call.key.map(|key| key.0.as_str()).filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len())) else {
        return Draft::Impossible("it has no key of 1 to 256 characters, under which it may be asked about");
    };
    let Some(words) = Words::of(call.letter) else { return Draft::Impossible("its words are stored at another provider") };
    let emails: Option<Vec<_>> = call.entries.iter().map(|entry| email(call, entry, &words)).collect();
    let Some(emails) = emails else { return Draft::Impossible("a placeholder of its words has no value, or is no plain one") };
    let request = |body: Vec<u8>| {
        Request::builder()
            .method(Method::POST)
            .uri(format!("{}/emails/batch", options.base_url))
            .header(header::AUTHORIZATION, options.key.bearer())
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .header(header::USER_AGENT, USER_AGENT)
            .body(body)
    };
    match serde_json::to_vec(&emails).map(request) {
        Ok(Ok(request)) => Draft::Ready(request),
        _ => Draft::Impossible("no request can be made of it"),
    }
}

fn email<'a>(call: &Call<'_>, entry: &'a Entry, words: &Words) -> Option<Email<'a>> {
    let read = words.with(&entry.values)?;
    Some(Email {
        from: friendly(call.from),
        to: [entry.to.as_str()],
        reply_to: call.reply_to.map(friendly),
        subject: read.subject,
        html: read.html,
        text: read.text.unwrap_or_default(),
        headers: entry.headers.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        tags: call.tags(entry).into_iter().map(|(name, value)| Tag { name, value }).collect(),
    })
}

/// `Name <local@domain>`, with the name as it reads: Resend encodes it. In quotes where it has what a name may not have
/// without (RFC 5322 section 3.2.3).
fn friendly(mailbox: &Mailbox) -> String {
    let address = mailbox.address().as_str();
    match mailbox.name() {
        None => address.to_owned(),
        Some(name) if name.chars().any(|c| "()<>[]:;@\\,.\"".contains(c)) => {
            let escaped: String = name.chars().flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
            format!("\"{escaped}\" <{address}>")
        }
        Some(name) => format!("{name} <{address}>"),
    }
}

#[cfg(test)]
mod tests;
