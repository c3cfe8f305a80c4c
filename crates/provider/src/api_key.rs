//! What opens an account at a provider, and is shown nowhere.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use issei_schema::CarriedBy;
use ring::{hmac, pbkdf2};

use crate::Facts;

/// What marks are made for, and nothing else.
const DOMAIN: &[u8] = b"issei mark of an API key 1";

/// Whoever can read a mark may try keys against it. One that was drawn nobody guesses: a key of SendGrid's has 69 characters,
/// one of Resend's 36, each with more than 128 bits that were drawn. What is shorter, as a proxy's may be, somebody may have
/// chosen.
const DRAWN_BYTES_MIN: usize = 32;

/// So each try takes as long as so many. It is done once, when the key is read.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99_999);

/// Opens an account at a provider. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    bearer: HeaderValue,
    mark: String,
    place: Option<String>,
}

impl ApiKey {
    /// As it stands behind `Bearer` (RFC 6750 section 2.1).
    ///
    /// # Errors
    /// It is empty, or can't stand in a header.
    pub fn new(key: &str) -> Result<Self, String> {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("is no API key: it is empty, or has a character that no key has".to_owned());
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|error| error.to_string())?;
        bearer.set_sensitive(true);
        Ok(Self { bearer, mark: mark(key.as_bytes()), place: None })
    }

    /// With the place where it is kept, as [`CarriedBy`] has it.
    #[must_use]
    pub fn kept_in(self, place: Option<String>) -> Self {
        Self { place, ..self }
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// What tells it from every other key.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The account that it opens, as far as that can be said without it.
    pub(crate) fn carried_by(&self, facts: &Facts, base_url: &str) -> CarriedBy {
        CarriedBy::new(facts.kind, Some(base_url), self.place.as_deref())
    }
}

fn mark(key: &[u8]) -> String {
    if key.len() >= DRAWN_BYTES_MIN {
        return BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), DOMAIN));
    }
    let mut slow = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, DOMAIN, key, &mut slow);
    BASE64_STANDARD.encode(slow)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKey;

    #[test]
    fn a_key_is_shown_nowhere_and_breaks_no_header_open() {
        let key = ApiKey::new("SG.secret").unwrap();
        assert!(!format!("{key:?} {:?}", key.bearer()).contains("secret"));
        for bad in ["", "a b", "a\r\nX-Other: 1", "é"] {
            assert!(ApiKey::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mark_tells_keys_apart_also_short_ones_and_shows_none() {
        let mark = |key: &str| ApiKey::new(key).unwrap().mark().to_owned();
        for (one, other) in
            [("re_AbCdEfGh_0123456789abcdefghijklmn", "re_AbCdEfGh_0123456789abcdefghijklmo"), ("re_AbCdEfGh", "re_AbCdEfGi")]
        {
            assert_eq!(mark(one), mark(one));
            assert_ne!(mark(one), mark(other));
            assert!(!mark(one).contains("AbCdEfGh"));
        }
    }

    /// Consumers of other versions compare theirs with it: another would leave everybody in doubt who is so when this starts.
    /// As Python's `hmac` and `hashlib.pbkdf2_hmac` have them.
    #[test]
    fn a_mark_is_the_same_in_every_build() {
        for (key, mark) in [
            ("re_AbCdEfGh_0123456789abcdefghijklmn", "IUWl2LptmVhUex6Sfa0ZwNwBCKnvC+Fcfi11ErLSnPI="),
            ("re_AbCdEfGh", "O76P5aOfAykyLxuvj9AzOaZ6FIkyWv5lsA6wr2mClpA="),
        ] {
            assert_eq!(ApiKey::new(key).unwrap().mark(), mark);
        }
    }
}
