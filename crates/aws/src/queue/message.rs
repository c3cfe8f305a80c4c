//! A message as it was received: how old, from whom, and of a dead letter how it says that it came there.
//!
//! Attributes anybody may have written. What they must never do: make a message younger, or hide who sent it.

use aws_sdk_sqs::types::MessageAttributeValue;
use issei_schema::Identity;

use super::BATCH_ENTRIES_MAX;

/// A received message. Its body is hostile until parsed.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: String,
    pub receipt: String,
    /// How often SQS has handed it out, this time included.
    pub receives: u32,
    /// When it was sent, in milliseconds of the epoch, as SQS says; of a copy, when the first was.
    pub sent_at_ms: i64,
    /// Who has put it on the queue.
    pub senders: Senders,
    /// Of a dead letter: how it says that it came there.
    pub dead_by: Option<DeadBy>,
}

/// How a dead letter came where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadBy {
    /// SQS says that it has moved it there from the queue with this ARN. Whoever may make queues can let it do so from one of
    /// their own.
    Sqs { from: String },
    /// It bears a reason, as what a service of issei refuses does; anybody may have written it, unless it is proved.
    Reason { reason: String, proof: Option<String> },
}

/// Who has put a message on a queue: whom SQS names, and of a copy also whom the first was from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    pub known: Vec<Identity>,
    /// Somebody else has, whom nobody names: an anonymous sender, or an endpoint that tells of none.
    pub unknown: bool,
}

/// The attribute of a copy that says when the first message was sent: a copy of an old order must not
/// pass for a new one.
pub const SENT_AT: &str = "sent_at_ms";

/// The attribute of a copy that says who sent the first message, of `issei send` who runs it: words with a space
/// between them.
pub const SENDERS: &str = "senders";
/// The attribute of a dead letter that says why a service of issei has refused it.
pub(super) const REASON: &str = "reason";
/// The attribute that proves it, where whoever refused it has proved that.
pub const REASON_PROOF: &str = "reason_proof";
/// As many are kept of what anybody may have written.
const SENDERS_MAX: usize = 4;
/// What stands in the attribute for somebody who is not known.
const UNKNOWN: &str = "unknown";

impl Senders {
    /// `sender_id` is SQS's own word, and `also` the attribute [`SENDERS`], which anybody may have written: it can only
    /// add somebody.
    fn of(sender_id: Option<&str>, also: Option<&str>) -> Self {
        let mut senders = Self::default();
        for name in std::iter::once(sender_id.unwrap_or(UNKNOWN)).chain(also.unwrap_or_default().split(' ').filter(|name| !name.is_empty()))
        {
            match name.parse::<Identity>() {
                Ok(known) if senders.known.contains(&known) => {}
                Ok(known) if senders.known.len() < SENDERS_MAX => senders.known.push(known),
                Ok(_) | Err(_) => senders.unknown = true,
            }
        }
        senders
    }

    pub(super) fn attribute(&self) -> Option<MessageAttributeValue> {
        let known = self.known.iter().map(Identity::as_str);
        let all: Vec<&str> = known.chain(self.unknown.then_some(UNKNOWN)).collect();
        text_attribute("String", &all.join(" "))
    }
}

impl Message {
    /// Says who sent it, by the system attribute `SenderId` and the attribute [`SENDERS`].
    #[must_use]
    pub fn sent_by(self, sender_id: Option<&str>, also: Option<&str>) -> Self {
        Self { senders: Senders::of(sender_id, also), ..self }
    }

    /// `sent_at_ms` is SQS's own word, and `first_sent_at` the attribute [`SENT_AT`], which anybody may have
    /// written: it can only make a message older.
    #[must_use]
    pub fn new(id: String, body: String, receipt: String, receives: u32, sent_at_ms: i64, first_sent_at: Option<&str>) -> Self {
        let first = first_sent_at.and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
        Self { id, body, receipt, receives, sent_at_ms: sent_at_ms.min(first), senders: Senders::default(), dead_by: None }
    }
}

/// What one message with its attributes takes beside its body.
pub(super) const OVERHEAD: usize = 1_024;
/// What a message, and a batch, may hold (SQS developer guide, "Quotas").
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// Cuts messages into batches that one call may hold, in their number and in bytes.
pub(super) fn batches(mut messages: &[Message]) -> Vec<&[Message]> {
    let mut batches = Vec::new();
    while !messages.is_empty() {
        let mut bytes = 0;
        let fits = messages.iter().take(BATCH_ENTRIES_MAX).take_while(|message| {
            bytes += message.body.len() + OVERHEAD;
            bytes <= BYTES_MAX
        });
        let (batch, rest) = messages.split_at(fits.count().max(1));
        batches.push(batch);
        messages = rest;
    }
    batches
}

pub(super) fn text_attribute(kind: &str, text: &str) -> Option<MessageAttributeValue> {
    MessageAttributeValue::builder().data_type(kind).string_value(text).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::new("id".to_owned(), "x".repeat(bytes), "receipt".to_owned(), 1, 5, None)
    }

    #[test]
    fn a_batch_holds_ten_messages_and_a_mebibyte() {
        let sizes = |messages: &[Message]| batches(messages).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![message(10); 23]), [10, 10, 3]);
        assert_eq!(sizes(&vec![message(320 * 1024); 4]), [3, 1]);
        // One that is too large by itself goes alone, and SQS says so.
        assert_eq!(sizes(&[message(1024 * 1024), message(1)]), [1, 1]);
    }

    #[test]
    fn a_copy_names_who_sent_the_first_and_an_attribute_can_only_add_somebody() {
        let (ann, role) = ("AIDACKCEVSQ6C2EXAMPLE", "AROADBQP57FF2AEXAMPLE:producer");
        let of = |sender, also| {
            let senders = Senders::of(sender, also);
            (senders.known.iter().map(Identity::as_str).collect::<Vec<_>>().join(" "), senders.unknown)
        };
        assert_eq!(of(Some(ann), None), (ann.to_owned(), false));
        assert_eq!(of(Some(role), Some(ann)), (format!("{role} {ann}"), false));
        assert_eq!(of(Some(ann), Some(ann)), (ann.to_owned(), false));
        for (sender, also) in [(None, None), (Some("ANONYMOUS"), Some("")), (None, Some("unknown"))] {
            assert_eq!(of(sender, also), (String::new(), true));
        }
        assert_eq!(of(Some(role), Some("unknown")), (role.to_owned(), true), "a copy of a message that nobody sent");
        let many: Vec<String> = (0..20).map(|n| format!("{ann}:{n}")).collect();
        let senders = Senders::of(Some(role), Some(&many.join(" ")));
        assert_eq!((senders.known.len(), senders.unknown), (SENDERS_MAX, true));
        let written = senders.attribute().unwrap().string_value.unwrap();
        assert_eq!(Senders::of(Some(role), Some(&written)), senders);
        let longest = format!("A{}:{}", "X".repeat(127), "x".repeat(64));
        assert!(SENDERS_MAX * (longest.len() + 1) + UNKNOWN.len() + 128 <= OVERHEAD && longest.parse::<Identity>().is_ok());
    }

    #[test]
    fn a_copy_is_as_old_as_the_first_and_nobody_can_make_it_younger() {
        let sent_at = |attribute| Message::new(String::new(), String::new(), String::new(), 1, 1_000, attribute).sent_at_ms;
        assert_eq!([None, Some("400"), Some("2000"), Some("x"), Some("")].map(sent_at), [1_000, 400, 1_000, 1_000, 1_000]);
    }
}
