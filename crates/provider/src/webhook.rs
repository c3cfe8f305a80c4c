//! Webhooks: how a provider's own HTTP call comes to the feedback queue, and what is asked of it there.
//!
//! API Gateway puts the call on the queue as it came, by its own integration with SQS (`infra/webhooks.yaml`). Nothing in
//! between is believed: who signed the body is found out where its events are read, and by nobody before.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use issei_schema::{BroadcastId, limits};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::call::REGISTRATION;
use crate::{Event, Exported, ResendSecret, SendGridKey, Told, resend, sendgrid};

/// A call as it came, with whatever its provider signs.
///
/// On the queue it is one line: `webhook`, the provider's name in the configuration, and the Base64 (RFC 4648 section 4) of
/// the headers with an id, a moment and the signature, and of the body, with a tilde between. The body is signed byte by
/// byte, and SQS takes only the characters of XML 1.0 (API reference, `SendMessage`): Base64 keeps every byte, and holds
/// neither a tilde nor anything that a mapping template would have to escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub provider: String,
    /// Empty where the provider's calls have none.
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: Vec<u8>,
}

/// What a call's line begins with.
const BEGINS: &str = "webhook~";

/// Why a line that begins as a call's is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body begins as a webhook's does and is none: {0}; check the mapping template of the API against infra/webhooks.yaml")]
pub struct NoWebhook(String);

impl Webhook {
    /// Nothing where the text is something else.
    ///
    /// # Errors
    /// Says what is wrong with a line that begins as a call's.
    #[must_use]
    pub fn read(text: &str) -> Option<Result<Self, NoWebhook>> {
        let fields: Vec<&str> = text.strip_prefix(BEGINS)?.split('~').collect();
        let [provider, id, timestamp, signature, body] = fields.as_slice() else {
            return Some(Err(NoWebhook(format!("it has {} fields, and a call has 5", fields.len()))));
        };
        let bytes = |name: &str, field: &str| BASE64_STANDARD.decode(field).map_err(|_| NoWebhook(format!("its {name} is no Base64")));
        // Whoever calls writes the headers; what is no text has signed nothing, and must not make a line that nobody can read.
        let text = |name: &str, field: &str| Ok::<_, NoWebhook>(String::from_utf8_lossy(&bytes(name, field)?).into_owned());
        let read = || {
            Ok(Self {
                provider: (*provider).to_owned(),
                id: text("id", id)?,
                timestamp: text("moment", timestamp)?,
                signature: text("signature", signature)?,
                body: bytes("body", body)?,
            })
        };
        Some(read())
    }

    /// What it would tell if it were believed, by whichever provider. For whoever looks what there is to lose, and for nothing
    /// else: anybody may have written it.
    #[must_use]
    pub fn claims(&self) -> Vec<Event> {
        let read = |shape| WebhookKeys::Brought(shape).read(self, Timestamp::UNIX_EPOCH).unwrap_or_default();
        let told = Exported::ALL.into_iter().flat_map(read);
        told.filter_map(|told| if let Ok(Told::Event(event)) = told { Some(event) } else { None }).collect()
    }

    /// As API Gateway puts it on the queue.
    #[must_use]
    pub fn to_line(&self) -> String {
        let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let headers = [&self.id, &self.timestamp, &self.signature].map(|header| encoded(header.as_bytes()));
        format!("{BEGINS}{}~{}~{}", self.provider, headers.join("~"), encoded(&self.body))
    }
}

/// What the reason of a call begins with that is not believed.
pub const UNSIGNED: &str = "the webhook is not its provider's";

/// Why a call is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("it has no header `{0}`; turn on signatures for this webhook at the provider")]
    Missing(&'static str),
    #[error("its header `{0}` can't be read")]
    Malformed(&'static str),
    #[error("its signature is old: it was signed {0} seconds before it came")]
    Old(i64),
    #[error("its signature is of a moment {0} seconds after it came")]
    Early(i64),
    #[error("its signature is wrong: none of the {0} keys that are configured has signed it")]
    Wrong(usize),
    #[error("no key of `{0}` is configured here")]
    NoKey(String),
}

impl Unsigned {
    /// Whether another key may let a call be believed that was buried for this reason: it bears a signature of its time.
    #[must_use]
    pub fn is_mended_by_a_key(reason: &str) -> bool {
        let why = reason.strip_prefix(UNSIGNED).and_then(|why| why.strip_prefix(": ")).unwrap_or(reason);
        why.starts_with("its signature is wrong: ") || why.starts_with("no key of ")
    }
}

/// The moment of a signature, in whole seconds, held against the moment at which the call came.
pub(crate) fn judge_moment(
    text: &str,
    name: &'static str,
    came_at: Timestamp,
    old: SignedDuration,
    early: SignedDuration,
) -> Result<(), Unsigned> {
    if text.is_empty() {
        return Err(Unsigned::Missing(name));
    }
    let signed_at = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(Unsigned::Malformed(name))?;
    let age = came_at.duration_since(signed_at);
    if age > old {
        return Err(Unsigned::Old(age.as_secs()));
    }
    if -age > early {
        return Err(Unsigned::Early(-age.as_secs()));
    }
    Ok(())
}

/// Why an event can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    #[error("the body is no event of {provider}: {reason}")]
    Shape { provider: &'static str, reason: String },
    #[error("the event has `broadcast` and its `{tag}` is not one of issei's: {reason}")]
    Tag { tag: &'static str, reason: String },
}

/// What one call told, each event by itself: one that can't be read takes no other with it.
pub type Events = Vec<Result<Told, NoEvent>>;

/// By what a provider's calls are known to be its own. More than one where a key is being replaced.
#[derive(Clone, Debug)]
pub enum WebhookKeys {
    SendGrid(Vec<SendGridKey>),
    Resend(Vec<ResendSecret>),
    /// By nothing: somebody brings them in a file. Only where nothing comes from elsewhere.
    Brought(Exported),
}

/// Why nothing of a call is believed, or can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("{}: {}", UNSIGNED, .0)]
    Unsigned(#[from] Unsigned),
    #[error(transparent)]
    NoEvent(#[from] NoEvent),
}

impl WebhookKeys {
    /// What a call says, once it is believed.
    ///
    /// # Errors
    /// Says why it is not, or what its body is instead.
    pub fn read(&self, webhook: &Webhook, came_at: Timestamp) -> Result<Events, Unread> {
        match self {
            Self::SendGrid(keys) => {
                SendGridKey::verify(keys, webhook, came_at)?;
                Ok(sendgrid::events(&webhook.body)?)
            }
            Self::Resend(secrets) => {
                ResendSecret::verify(secrets, webhook, came_at)?;
                Ok(resend::events(&webhook.body)?)
            }
            Self::Brought(Exported::SendGrid) => Ok(sendgrid::events(&webhook.body)?),
            Self::Brought(Exported::Resend) => Ok(resend::events(&webhook.body)?),
        }
    }
}

/// Whose an event is, by what the send carried along under these names.
pub(crate) struct Whose {
    pub(crate) broadcast: BroadcastId,
    pub(crate) chunk: u32,
    pub(crate) at: u32,
    pub(crate) registration: Option<String>,
}

impl Whose {
    /// Nothing for an event about other mail.
    pub(crate) fn of(tag: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, NoEvent> {
        let Some(broadcast) = tag("broadcast") else { return Ok(None) };
        let broadcast = broadcast.parse().map_err(|reason| NoEvent::Tag { tag: "broadcast", reason })?;
        let number = |name: &'static str| {
            let text = tag(name).ok_or_else(|| NoEvent::Tag { tag: name, reason: "it is missing".to_owned() })?;
            text.parse::<u32>().map_err(|error| NoEvent::Tag { tag: name, reason: error.to_string() })
        };
        let (chunk, at) = (number("chunk")?, number("recipient")?);
        if usize::try_from(at).is_ok_and(|at| at >= limits::CHUNK_RECIPIENTS_MAX) {
            let reason = format!("{at}, and a chunk has {} at most", limits::CHUNK_RECIPIENTS_MAX);
            return Err(NoEvent::Tag { tag: "recipient", reason });
        }
        Ok(Some(Self { broadcast, chunk, at, registration: tag(REGISTRATION) }))
    }
}

/// A text, or a number as text.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_call_is_left_to_others_and_what_is_a_broken_one_is_named() {
        for text in ["", "{}", "{\"eventType\":\"Send\"}", "webhook", "Webhook~a~~~~"] {
            assert_eq!(Webhook::read(text), None, "{text}");
        }
        for (text, why) in [
            ("webhook~a", "it has 1 fields"),
            ("webhook~a~~~~~", "it has 6 fields"),
            ("webhook~a~*~~~", "its id is no Base64"),
            ("webhook~a~~~~e30", "its body is no Base64"),
        ] {
            let error = Webhook::read(text).unwrap().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn another_key_mends_what_bears_a_signature_of_its_time_and_nothing_else() {
        for why in [
            Unsigned::Missing("svix-id"),
            Unsigned::Malformed("svix-id"),
            Unsigned::Old(400),
            Unsigned::Early(400),
            Unsigned::Wrong(2),
            Unsigned::NoKey("resend".to_owned()),
        ] {
            let mended = match why {
                Unsigned::Wrong(_) | Unsigned::NoKey(_) => true,
                Unsigned::Missing(_) | Unsigned::Malformed(_) | Unsigned::Old(_) | Unsigned::Early(_) => false,
            };
            let reason = Unread::from(why).to_string();
            assert!(reason.starts_with(UNSIGNED) && Unsigned::is_mended_by_a_key(&reason) == mended, "{reason}");
        }
    }

    #[test]
    fn a_header_that_is_no_text_makes_a_call_that_nobody_has_signed_and_no_broken_line() {
        let webhook = Webhook::read("webhook~a~~/w==~~").unwrap().unwrap();
        assert_eq!(webhook.timestamp, "\u{fffd}");
        let keys = WebhookKeys::SendGrid(Vec::new());
        assert!(matches!(keys.read(&webhook, Timestamp::UNIX_EPOCH), Err(Unread::Unsigned(_))));
    }

    #[test]
    fn a_signature_is_held_against_the_moment_at_which_it_came_and_not_against_the_one_at_which_it_is_read() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let judge =
            |text: &str| judge_moment(text, "svix-timestamp", at(1_000), SignedDuration::from_secs(300), SignedDuration::from_secs(60));
        assert_eq!((judge("700"), judge("1060")), (Ok(()), Ok(())));
        assert_eq!(judge("699"), Err(Unsigned::Old(301)));
        assert_eq!(judge("1061"), Err(Unsigned::Early(61)));
        assert_eq!(judge(""), Err(Unsigned::Missing("svix-timestamp")));
        for text in ["x", "1e3", " 1000", "9999999999999999"] {
            assert_eq!(judge(text), Err(Unsigned::Malformed("svix-timestamp")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_of_a_call_comes_through_the_queue(
            provider in "[a-z0-9-]{1,20}", id in ".{0,20}", timestamp in ".{0,20}", signature in ".{0,80}",
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let webhook = Webhook { provider, id, timestamp, signature, body };
            let line = webhook.to_line();
            prop_assert!(line.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(Webhook::read(&line), Some(Ok(webhook)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = Webhook::read(&text);
            let _ = Webhook::read(&format!("webhook~{text}"));
            let _ = judge_moment(&text, "x", Timestamp::MAX, SignedDuration::ZERO, SignedDuration::ZERO);
            let _ = judge_moment(&text, "x", Timestamp::MIN, SignedDuration::ZERO, SignedDuration::ZERO);
        }
    }
}
