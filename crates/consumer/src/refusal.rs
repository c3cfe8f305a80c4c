//! Whose fault a refusal is.
//!
//! What the provider refuses for the sender's sake must never be charged to a recipient, since a
//! rejected recipient is never mailed again. So a refusal counts against a recipient only where
//! something shows that the sender is not to blame, and the text of the refusal alone never does:
//! the same words are said of a From address.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use issei_schema::BroadcastId;

/// What a refusal's own words point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The sender, the account or the configuration: the same for every recipient.
    Sender,
    /// The form of an address. The recipient's, where the same sender's mail to others was accepted.
    Address,
    /// The words tell nothing that is known.
    Unknown,
}

/// Words of SES about the sender and the account (developer guide, "Amazon SES email sending errors",
/// and API reference v2, `BulkEmailEntryResult` and the errors of `SendBulkEmail`). In the sandbox they
/// name recipients, too, and it is still the account that may not send to them.
const SENDER: [&str; 14] = [
    "not verified",
    "failed the check",
    "sandbox",
    "suspended",
    "shut down",
    "paused",
    "sending disabled",
    "configuration set",
    "template",
    "mail from domain",
    "sending pool",
    "not authorized",
    "quota exceeded",
    "sending rate exceeded",
];

/// Words of SES about the form of an address. The last is in the developer guide's list of sending
/// errors; the others are undocumented, and reported by those who met them (awsdocs/aws-doc-sdk-examples
/// #5191, openstax/accounts #253, hcengineering/platform #7864, monde-sistemas/delphi-aws-ses #22,
/// mozilla/fx-private-relay #1887, brave/accounts #35).
const ADDRESS: [&str; 9] = [
    "illegal address",
    "invalid email address",
    "local address contains",
    "domain contains",
    "domain starts with dot",
    "domain ends with dot",
    "missing final '@domain'",
    "missing domain",
    "non-ascii characters in the email address",
];

impl Cause {
    pub(crate) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&SENDER) {
            Self::Sender
        } else if says(&ADDRESS) {
            Self::Address
        } else {
            Self::Unknown
        }
    }
}

/// A consumer sees few refusals and few broadcasts; this bounds what a bad list may take. What is
/// forgotten costs one more try, and charges nobody.
const REMEMBERED_MAX: usize = 1_000;

/// What this consumer has met of one broadcast.
#[derive(Default)]
struct Met {
    /// Chunks of which somebody was accepted.
    accepted: u64,
    /// Recipients who were refused, by chunk and position, with how many such chunks there were then.
    refused: BTreeMap<(u32, usize), u64>,
}

/// What is to become of a recipient whom the provider refused in a claim of which nobody was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Rejected: others were accepted since it was first refused, and it was refused again.
    Rejected,
    /// Tried once more, since others were accepted before it, and may be after it.
    Again,
    /// Nothing shows that it is not the sender's: the broadcast must pause.
    Pause,
}

/// What this consumer remembers of refusals.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<BroadcastId, Met>>);

impl Refusals {
    fn with<T>(&self, id: &BroadcastId, change: impl FnOnce(&mut Met) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX && !all.contains_key(id) {
            all.clear();
        }
        change(all.entry(id.clone()).or_default())
    }

    /// Takes note of a chunk of which somebody was accepted.
    pub(crate) fn accepted(&self, id: &BroadcastId) {
        self.with(id, |met| met.accepted += 1);
    }

    /// Says whether this consumer has seen anybody of this broadcast accepted.
    pub(crate) fn has_accepted(&self, id: &BroadcastId) -> bool {
        self.with(id, |met| met.accepted > 0)
    }

    /// Takes note of a recipient who was refused where nobody was accepted.
    pub(crate) fn refused(&self, id: &BroadcastId, chunk: u32, at: usize) -> Charge {
        self.with(id, |met| {
            if met.refused.len() >= REMEMBERED_MAX {
                met.refused.clear();
            }
            match met.refused.insert((chunk, at), met.accepted) {
                Some(before) if met.accepted > before => Charge::Rejected,
                None if met.accepted > 0 => Charge::Again,
                _ => Charge::Pause,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ses_tell_the_sender_from_an_address() {
        for (text, cause) in [
            ("Email address is not verified. The following identities failed the check in region EU-WEST-1: u7@example.com", Cause::Sender),
            ("Sending suspended for this account", Cause::Sender),
            ("Account is paused", Cause::Sender),
            ("Email sending was disabled: sending disabled", Cause::Sender),
            ("Configuration set <issei> does not exist.", Cause::Sender),
            ("Template terms does not exist", Cause::Sender),
            ("Illegal address", Cause::Address),
            ("Local address contains control or whitespace", Cause::Address),
            ("Missing final '@domain'", Cause::Address),
            ("There are non-ASCII characters in the email address", Cause::Address),
            ("Bad content", Cause::Unknown),
            ("", Cause::Unknown),
        ] {
            assert_eq!(Cause::of(text), cause, "{text}");
        }
    }

    #[test]
    fn a_recipient_is_charged_only_after_others_were_accepted_between_two_refusals() {
        let (refusals, id): (_, BroadcastId) = (Refusals::default(), "terms".parse().unwrap());
        // Nobody was ever accepted: it may be the sender, however often it is tried.
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Pause);
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Pause);
        refusals.accepted(&id);
        assert_eq!(refusals.refused(&id, 1, 0), Charge::Rejected);
        // Somebody was accepted before: once more, and then it needs another.
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Again);
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Pause);
        refusals.accepted(&id);
        assert_eq!(refusals.refused(&id, 2, 0), Charge::Rejected);
        assert_eq!(refusals.refused(&"another".parse().unwrap(), 2, 0), Charge::Pause);
    }
}
