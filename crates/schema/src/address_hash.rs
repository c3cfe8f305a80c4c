//! Addresses in logs: a keyed hash, so that two lines about one person can be matched and nobody
//! can tell from a line who it is.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::RecipientKey;
use crate::text::may_be_address;

/// Hashes addresses for logs.
#[derive(Clone)]
pub struct AddressHash(Vec<u8>);

/// Without the key.
impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressHash")
    }
}

impl AddressHash {
    /// With one key for all services, their lines can be matched with each other.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(key.to_vec())
    }

    /// Twelve hexadecimal digits: enough to tell people apart, and no address.
    #[must_use]
    pub fn of(&self, address: &str) -> String {
        // HMAC takes keys of any length (RFC 2104), so there is always a hash.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(address.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..6])
    }

    /// A recipient's key as it may stand in a reason: itself, or its hash where it may be an address.
    #[must_use]
    pub fn key(&self, key: &RecipientKey) -> String {
        let key = key.as_str();
        if may_be_address(key) { format!("with the address hash {}", self.of(key)) } else { format!("with the key {key}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_key_and_shows_nothing() {
        let (one, two) = (AddressHash::new(b"one"), AddressHash::new(b"two"));
        assert_eq!(one.of("ann@example.com"), one.of("ann@example.com"));
        assert_ne!(one.of("ann@example.com"), two.of("ann@example.com"));
        assert!(!one.of("ann@example.com").contains("ann"));
    }

    #[test]
    fn a_key_stands_in_a_reason_unless_it_may_be_an_address() {
        let (hash, key) = (AddressHash::new(b"one"), |key: &str| RecipientKey::try_from(key.to_owned()).unwrap());
        assert_eq!(hash.key(&key("17")), "with the key 17");
        assert_eq!(hash.key(&key("ann@example.com")), format!("with the address hash {}", hash.of("ann@example.com")));
    }
}
