//! One entry of the list of addresses that are not mailed: why, since when, by whom; and under which digest it lies.

use std::collections::BTreeMap;

use issei_schema::{Address, Class, MessageKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Item, Key};

/// What a digest of the list is made for, and nothing else.
pub(crate) const DOMAIN: &str = "issei suppression 1";
/// Before the name of a cause, as an attribute.
pub(crate) const CAUSE: &str = "cause_";
/// The attribute that tells of the last removal.
pub(crate) const REMOVED: &str = "last_removal";
/// What the sort key of a keyed entry begins with. A plain one is its digest alone.
const KEYED: &str = "hmac#";

/// Why an address is not mailed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    Bounced,
    Complained,
    Unsubscribed,
    /// Somebody entered it by hand.
    Operator,
}

impl Suppression {
    pub const ALL: [Self; 4] = [Self::Bounced, Self::Complained, Self::Unsubscribed, Self::Operator];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Unsubscribed => "unsubscribed",
            Self::Operator => "operator",
        }
    }

    /// Whether it keeps a broadcast of this class from the address. What can't arrive is never sent; a wish not to be
    /// mailed does not hold against a legal notice.
    #[must_use]
    pub fn binds(self, class: Class) -> bool {
        self == Self::Bounced || class.heeds_objections()
    }
}

/// When, from where and by whom a cause came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// When it happened, as far as that is known.
    pub since: Timestamp,
    pub entered_at: Timestamp,
    /// `broadcast ID`, `import of FILE`, `an operator`; nothing of a build that did not write it.
    pub source: String,
    pub entered_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An address on the list, or one that was taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// In the form that this entry is kept by.
    pub digest: String,
    /// By the ledger's key; a build before this one wrote the others.
    pub keyed: bool,
    pub causes: BTreeMap<Suppression, Cause>,
    /// The last time that somebody took it from the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Cause>,
}

impl Suppressed {
    /// The first cause that keeps a broadcast of this class from the address.
    #[must_use]
    pub fn binds(&self, class: Class) -> Option<Suppression> {
        self.causes.keys().copied().find(|cause| cause.binds(class))
    }

    /// The first wish that keeps a broadcast of this class from whoever has the address, at whatever other address too. A
    /// bounce is none.
    #[must_use]
    pub fn wish(&self, class: Class) -> Option<Suppression> {
        self.causes.keys().copied().find(|cause| *cause != Suppression::Bounced && cause.binds(class))
    }

    pub(crate) fn of(key: &Key, item: &Item) -> Self {
        let keyed = key.sk.strip_prefix(KEYED);
        let mut causes: BTreeMap<Suppression, Cause> =
            Suppression::ALL.iter().filter_map(|why| Some((*why, cause(item, &format!("{CAUSE}{}", why.as_str()))?))).collect();
        // What builds before this one read and write. An unknown word of a newer one keeps everything away.
        if let Some(why) = item.get("suppression").and_then(|why| why.as_s().ok()) {
            let why = Suppression::ALL.into_iter().find(|known| known.as_str() == why).unwrap_or(Suppression::Bounced);
            let source = item.get("broadcast_id").and_then(|id| id.as_s().ok()).map_or_else(String::new, |id| format!("broadcast {id}"));
            let at = item.get("suppressed_at").and_then(|at| at.as_n().ok()?.parse().ok());
            let since = at.and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default();
            causes.entry(why).or_insert(Cause { since, entered_at: since, source, entered_by: String::new(), reason: None });
        }
        let digest = keyed.unwrap_or(&key.sk).to_owned();
        Self { digest, keyed: keyed.is_some(), causes, removed: cause(item, REMOVED) }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (why, cause) in other.causes {
            self.causes.entry(why).or_insert(cause);
        }
        self.removed = self.removed.take().or(other.removed);
    }
}

fn cause(item: &Item, attribute: &str) -> Option<Cause> {
    serde_json::from_str(item.get(attribute)?.as_s().ok()?).ok()
}

/// Nobody has two mailboxes whose addresses differ in case alone, whatever RFC 5321 lets them.
pub(crate) fn plain(address: &Address) -> String {
    hex::encode(Sha256::digest(address.as_str().to_ascii_lowercase()))
}

pub(crate) fn keyed(key: &MessageKey, plain: &str) -> String {
    String::from(key.prover(DOMAIN).text(plain).prove())
}

pub(crate) fn plain_key(digest: &str) -> Key {
    Key { pk: lies(digest), sk: digest.to_owned() }
}

pub(crate) fn keyed_key(digest: &str) -> Key {
    Key { pk: lies(digest), sk: format!("{KEYED}{digest}") }
}

fn lies(digest: &str) -> String {
    format!("suppressed#{}", digest.get(..2).unwrap_or_default())
}

/// Where a part of the list lies, of which a digest's first two digits are the number.
pub(crate) fn partition(part: u8) -> String {
    format!("suppressed#{part:02x}")
}

fn digest_of(sk: &str) -> &str {
    sk.strip_prefix(KEYED).unwrap_or(sk)
}

pub(crate) fn part_of(sk: &str) -> Option<u8> {
    u8::from_str_radix(digest_of(sk).get(..2)?, 16).ok()
}

/// 64 bits of a digest, and whether it is a plain one.
pub(crate) fn shortened(sk: &str) -> Option<(u64, bool)> {
    Some((u64::from_str_radix(digest_of(sk).get(..16)?, 16).ok()?, !sk.starts_with(KEYED)))
}
