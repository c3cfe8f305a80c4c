//! What a page's hash is over: not its entries, but a commitment to each, SHA-256 of a salt of its own and of all that
//! the entry says. Without the salt a commitment tells nothing, so an entry can go and its commitment stay.

use issei_schema::{MessageKey, Proof, Prover, Recipient};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Skipped;
use crate::salts::{Salt, Salts};

/// What a commitment is made for, and nothing else.
const RECIPIENT: &str = "issei recipient 1";
const SKIPPED: &str = "issei skipped 1";
const LAST_KEY: &str = "issei last key 1";
/// What the digests and the seal of tombstones are made for.
const ADDRESS: &str = "issei forgotten address 1";
const KEY: &str = "issei forgotten key 1";
const SEAL: &str = "issei tombstones 1";
/// Of a digest: 128 bits tell people apart (RFC 2104 section 5 allows half of it).
const DIGEST_CHARS: usize = 32;

pub(crate) type Commitment = [u8; 32];

/// What makes the entries of a page forgettable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Salted {
    pub(crate) salts: Salts,
    /// In the order of their entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forgotten: Vec<Tombstone>,
    /// Over the tombstones, under the ledger's key; nothing where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<Proof>,
}

/// What stays of an entry that was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Its number in the page: recipients first, then skipped rows, then the last key.
    pub(crate) entry: u32,
    #[serde(with = "crate::in_hex")]
    pub(crate) commitment: Commitment,
    pub at: Timestamp,
    /// Under the ledger's key, so that whoever knows the key or the address can ask, and nobody reads them from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Of a recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// Of a skipped row, how many rows it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

/// Takes in a text after its length, so that no two lists of texts read the same.
fn text(digest: &mut Sha256, text: &str) {
    number(digest, text.len());
    digest.update(text);
}

fn number(digest: &mut Sha256, number: usize) {
    digest.update(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn begun(domain: &str, salt: &Salt) -> Sha256 {
    Sha256::new().chain_update(domain).chain_update(salt)
}

pub(crate) fn of_recipient(salt: &Salt, recipient: &Recipient) -> Commitment {
    let mut digest = begun(RECIPIENT, salt);
    text(&mut digest, recipient.key.as_str());
    text(&mut digest, recipient.address.as_str());
    number(&mut digest, recipient.data.len());
    for (name, value) in &recipient.data {
        text(&mut digest, name);
        text(&mut digest, value);
    }
    digest.finalize().into()
}

/// How many rows it stands for is no part of it: that is counted whoever is forgotten.
pub(crate) fn of_skipped(salt: &Salt, skipped: &Skipped) -> Commitment {
    let mut digest = begun(SKIPPED, salt);
    text(&mut digest, &skipped.key);
    text(&mut digest, &skipped.reason.to_string());
    number(&mut digest, usize::from(skipped.mailed.is_some()));
    text(&mut digest, skipped.mailed.as_deref().unwrap_or_default());
    digest.finalize().into()
}

pub(crate) fn of_last_key(salt: &Salt, key: &str) -> Commitment {
    let mut digest = begun(LAST_KEY, salt);
    text(&mut digest, key);
    digest.finalize().into()
}

/// Digests of somebody who is forgotten, or asked for.
pub(crate) struct Digests<'a>(pub(crate) &'a MessageKey);

impl Digests<'_> {
    fn of(&self, domain: &str, text: &str) -> String {
        let mut digest = String::from(self.0.prover(domain).text(text).prove());
        digest.truncate(DIGEST_CHARS);
        digest
    }

    /// Nobody has two mailboxes whose addresses differ in case alone, as in the list of suppressed addresses.
    pub(crate) fn address(&self, address: &str) -> String {
        self.of(ADDRESS, &address.to_ascii_lowercase())
    }

    pub(crate) fn key(&self, key: &str) -> String {
        self.of(KEY, key)
    }

    /// Over all that tombstones say, and which page they stand in.
    pub(crate) fn seal(&self, page_hash: &str, tombstones: &[Tombstone]) -> Prover {
        let mut prover = self.0.prover(SEAL).text(page_hash).number(tombstones.len() as u64);
        for Tombstone { entry, commitment, at, key, address, rows } in tombstones {
            prover = prover.number((*entry).into()).text(&hex::encode(commitment)).text(&at.to_string());
            prover = prover.text(key.as_deref().unwrap_or_default()).text(address.as_deref().unwrap_or_default());
            prover = prover.number(rows.unwrap_or_default());
        }
        prover
    }
}
