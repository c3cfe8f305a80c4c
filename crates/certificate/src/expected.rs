//! What whoever verifies expects of a certificate beside its signature: which broadcast it is about, and how
//! old it may be. A signature alone lets a good certificate of another broadcast, or of before a restore,
//! stand for this one.

use std::str::FromStr;

use issei_schema::BroadcastId;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::Certificate;

/// What is expected. Nothing is expected of what is not given.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub broadcast: Option<BroadcastId>,
    pub not_before: Option<NotBefore>,
}

/// The oldest moment at which a certificate may have been issued: a time, or a day that begins in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBefore(Timestamp);

impl FromStr for NotBefore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self(at));
        }
        let begins = text.parse::<Date>().and_then(|day| format!("{day}T00:00:00Z").parse());
        begins.map(Self).map_err(|_| {
            "it is neither a day (2026-11-26, which begins at 00:00 UTC) nor a time (2026-11-26T09:00:00Z, RFC 3339)".to_owned()
        })
    }
}

impl Certificate {
    /// Says why this is not the certificate that is expected, where it is not.
    #[must_use]
    pub fn differs_from(&self, expected: &Expected) -> Option<String> {
        if let Some(wanted) = expected.broadcast.as_ref().filter(|wanted| **wanted != self.broadcast_id) {
            return Some(format!("it is the certificate of `{}`, and that of `{wanted}` is expected", self.broadcast_id));
        }
        let NotBefore(oldest) = expected.not_before.filter(|NotBefore(oldest)| self.issued_at < *oldest)?;
        Some(format!("it was issued at {}, and must not be older than {oldest}; certify again", self.issued_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_moment_is_a_time_or_a_day() {
        let at = |text: &str| text.parse::<NotBefore>().map(|NotBefore(at)| at.to_string());
        assert_eq!(at("2026-11-26").unwrap(), "2026-11-26T00:00:00Z");
        assert_eq!(at("2026-11-26T09:00:00+09:00").unwrap(), "2026-11-26T00:00:00Z");
        for wrong in ["yesterday", "26.11.2026", "2026-11-31", ""] {
            assert!(at(wrong).unwrap_err().contains("RFC 3339"), "{wrong}");
        }
    }
}
