//! What opens an account at a provider, and is shown nowhere.

use std::fmt;

use http::HeaderValue;

/// Opens an account at a provider. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(HeaderValue);

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
        Ok(Self(bearer))
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.0.clone()
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
}
