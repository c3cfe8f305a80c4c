//! What opens an account at a provider, and is shown nowhere.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use issei_schema::CarriedBy;
use ring::hmac;

use crate::Facts;

/// What marks are made for, and nothing else.
const DOMAIN: &[u8] = b"issei mark of an API key 1";

/// Whoever can read a mark may try keys against it, so only one that nobody can guess has a mark. A key of SendGrid's has
/// 69 characters, one of Resend's 36, each with more than 128 bits that were drawn.
const MARKED_BYTES_MIN: usize = 32;

/// Opens an account at a provider. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    bearer: HeaderValue,
    mark: Option<String>,
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
        let mark = (key.len() >= MARKED_BYTES_MIN).then(|| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
            BASE64_STANDARD.encode(hmac::sign(&key, DOMAIN))
        });
        Ok(Self { bearer, mark, place: None })
    }

    /// With the place where it is kept, in words.
    #[must_use]
    pub fn kept_in(self, place: String) -> Self {
        Self { place: Some(place), ..self }
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// What tells it from every other key. Nothing for one that might be guessed by it.
    pub(crate) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// The account that it opens, as far as that can be said without it.
    pub(crate) fn carried_by(&self, facts: &Facts, base_url: &str) -> CarriedBy {
        CarriedBy { provider: facts.title.to_owned(), base_url: Some(base_url.to_owned()), account: self.place.clone() }
    }
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
    fn a_mark_tells_keys_apart_and_one_that_could_be_guessed_has_none() {
        let mark = |key: &str| ApiKey::new(key).unwrap().mark().map(str::to_owned);
        let (one, other) = ("re_AbCdEfGh_0123456789abcdefghijklmn", "re_AbCdEfGh_0123456789abcdefghijklmo");
        assert_eq!(mark(one), mark(one));
        assert_ne!(mark(one), mark(other));
        assert!(!mark(one).unwrap().contains("AbCdEfGh"));
        assert_eq!(mark("re_secret"), None);
    }
}
