//! The key of a registration, and what is proved under it. It is drawn when a broadcast is registered, lies
//! in the ledger alone, and never in a message, a log or a report.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;

/// 80 bits.
const LETTER_MARK_DIGITS: usize = 20;

/// The key of one registration of a broadcast. The same id registered anew has another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageKey([u8; 32]);

/// A message authentication code under a [`MessageKey`]: HMAC-SHA256 (RFC 2104), in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proof([u8; 32]);

/// Takes in what is to be proved, part by part. Each part says how long it is, so that no two lists of
/// parts read the same.
#[derive(Clone)]
pub struct Prover(Hmac<Sha256>);

impl MessageKey {
    /// 256 bits that nobody can guess.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The key's bytes, for the ledger.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// By which each letter of the registration names it to its provider, so that events about letters of another ledger, or of
    /// another registration of the id, are told apart: nobody who lacks the key can make it up. Hexadecimal, which every provider
    /// takes in a tag.
    #[must_use]
    pub fn letter_mark(&self) -> String {
        let mut mark = String::from(self.prover("issei letters 1").prove());
        mark.truncate(LETTER_MARK_DIGITS);
        mark
    }

    /// Begins a proof. What is proved in one domain proves nothing in another.
    #[must_use]
    pub fn prover(&self, domain: &str) -> Prover {
        // A key of 32 bytes fits the block, as any key does once it is hashed (RFC 2104).
        let mac = Hmac::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        Prover(mac).text(domain)
    }
}

impl Prover {
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
        self
    }

    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_be_bytes());
        self
    }

    #[must_use]
    pub fn prove(self) -> Proof {
        Proof(self.0.finalize().into_bytes().into())
    }

    /// Says whether this is the proof, in a time that does not tell where they differ.
    #[must_use]
    pub fn accepts(self, proof: &Proof) -> bool {
        self.0.verify_slice(&proof.0).is_ok()
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(…)")
    }
}

impl<'de> Deserialize<'de> for MessageKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = MessageKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key of 32 bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<MessageKey, E> {
                <[u8; 32]>::try_from(bytes).map(MessageKey).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

impl TryFrom<String> for Proof {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        // One text for each proof, so that a message that was read is written as it was.
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(&text, &mut bytes) {
            Ok(()) if is_lower => Ok(Self(bytes)),
            _ => Err("is not 64 lowercase hexadecimal digits".to_owned()),
        }
    }
}

impl From<Proof> for String {
    fn from(proof: Proof) -> Self {
        hex::encode(proof.0)
    }
}

impl JsonSchema for Proof {
    fn schema_name() -> Cow<'static, str> {
        "Proof".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "HMAC-SHA256 under the key of the broadcast's registration.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_domains_and_keys_don_t_run_into_each_other() {
        let key = MessageKey::new([7; 32]);
        let proof = key.prover("one").text("ab").text("c").number(1).prove();
        assert!(key.prover("one").text("ab").text("c").number(1).accepts(&proof));
        assert!(!key.prover("one").text("a").text("bc").number(1).accepts(&proof));
        assert!(!key.prover("two").text("ab").text("c").number(1).accepts(&proof));
        assert!(!MessageKey::new([8; 32]).prover("one").text("ab").text("c").number(1).accepts(&proof));
    }

    #[test]
    fn a_letter_names_its_registration_and_tells_nothing_of_the_key() {
        let mark = |byte: u8| MessageKey::new([byte; 32]).letter_mark();
        assert!(mark(7).len() == 20 && mark(7).bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", mark(7));
        assert!(mark(7) == mark(7) && mark(7) != mark(8) && !mark(7).contains("0707"));
    }

    #[test]
    fn a_key_is_shown_to_nobody() {
        assert_eq!(format!("{:?}", MessageKey::new([7; 32])), "MessageKey(…)");
    }

    #[test]
    fn a_proof_has_one_text() {
        let text = String::from(MessageKey::new([7; 32]).prover("one").prove());
        assert_eq!(Proof::try_from(text.clone()).map(String::from), Ok(text.clone()));
        for bad in [text.to_uppercase(), text[1..].to_owned(), format!("{text}0"), "g".repeat(64), String::new()] {
            assert!(Proof::try_from(bad.clone()).is_err(), "{bad}");
        }
    }
}
