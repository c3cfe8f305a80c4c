//! Whom to look for: by a key of the audience, or by an address, however it is written and whatever an older build has kept of it.

use std::collections::BTreeSet;

use issei_schema::{Address, Recipient, TestCopy};

use crate::commitment::Digests;
use crate::{SkipReason, Skipped, Tombstone, kept_key};

/// An older build cut a longer key where it stands among the skipped.
const CUT_CHARS: usize = 64;

/// Whom to look for: by a key of the audience, or by an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    pub(super) keys: BTreeSet<String>,
    pub(super) address: String,
}

impl Sought {
    /// However an address is written, since the ledger has one spelling of each mailbox.
    #[must_use]
    pub fn new(who: &str) -> Self {
        let address = Address::quoting_legacy(who);
        // As a recipient has it, and as a skipped row keeps it.
        Self { keys: [who.to_owned(), kept_key(who)].into(), address: address.as_ref().map_or(who, Address::as_str).to_owned() }
    }

    /// Whether it is this one: nobody has two mailboxes whose addresses differ in case alone.
    #[must_use]
    pub fn is(&self, recipient: &Recipient) -> bool {
        self.keys.contains(recipient.key.as_str()) || recipient.address.as_str().eq_ignore_ascii_case(&self.address)
    }

    /// Of a row that was skipped for the sake of somebody with the same address, too: its address is theirs.
    pub(super) fn is_skipped(&self, skipped: &Skipped) -> bool {
        self.names(skipped)
            || skipped.reason != SkipReason::NoKey && skipped.mailed.as_ref().is_some_and(|mailed| self.keys.contains(mailed))
    }

    /// Whether a row was skipped that has this very key.
    pub(crate) fn names(&self, skipped: &Skipped) -> bool {
        let name = skipped.name();
        let cut = name.chars().count() >= CUT_CHARS;
        let is_it = |key: &String| key == name || (cut && key.starts_with(name));
        skipped.reason != SkipReason::NoKey && self.keys.iter().any(is_it)
    }

    /// Whether it is the address that is looked for.
    #[must_use]
    pub fn is_address(&self, address: &Address) -> bool {
        address.as_str().eq_ignore_ascii_case(&self.address)
    }

    pub(crate) fn is_row_of(&self, copy: &TestCopy, digests: &Digests<'_>) -> bool {
        copy.row_address.as_ref().is_some_and(|digest| *digest == digests.address(&self.address))
            || copy.row_key.as_ref().is_some_and(|digest| self.keys.iter().any(|key| *digest == digests.key(key)))
    }

    pub(crate) fn is_forgotten(&self, tombstone: &Tombstone, digests: &Digests<'_>) -> bool {
        tombstone.address.as_ref().is_some_and(|digest| *digest == digests.address(&self.address))
            || tombstone.key.as_ref().is_some_and(|digest| self.keys.iter().any(|key| *digest == digests.key(key)))
    }

    /// Says whether a text names them, such as a reason that somebody would write down.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let is_word = |word: &str| words(&text).any(|found| found == word);
        text.contains(&self.address.to_lowercase()) && self.address.contains('@')
            || self.keys.iter().any(|key| is_word(&key.to_lowercase()))
    }
}

/// What may be a key in a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || "@._+-".contains(c)))
}
