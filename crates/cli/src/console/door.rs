//! The way into the console: an address that nobody can guess, and a cookie that goes nowhere else.
//!
//! What it must never do: let a cookie be sent to anybody but the console. A browser sends cookies to every server of a host,
//! whatever its port, but to those pages alone that lie under the cookie's path; and this path is known to nobody
//! (decision 15).

use anyhow::bail;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{self, HeaderMap, HeaderValue, InvalidHeaderValue};
use issei_clock::Dice;
use sha2::Sha256;

use super::right::Right;

const COOKIE: &str = "issei_console";
/// The variable that holds a key from which the addresses follow, so that they are the same in each run.
pub(super) const KEY: &str = "ISSEI_CONSOLE_KEY";
const KEY_BYTES_MIN: usize = 32;

/// Whoever has it can make every address.
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(text: &str) -> anyhow::Result<Self> {
        if text.len() < KEY_BYTES_MIN {
            bail!("{KEY} has {} bytes; {KEY_BYTES_MIN} or more are needed (`openssl rand -base64 32`)", text.len());
        }
        Hmac::new_from_slice(text.as_bytes()).map(Self).map_err(|_| anyhow::anyhow!("{KEY} is no key"))
    }

    /// 128 bits that follow from the key and from what they are for.
    fn derive(&self, what: &str, right: Right) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("issei console {what} {}", right.as_str()).as_bytes());
        let bytes = mac.finalize().into_bytes();
        hex::encode(bytes.get(..16).unwrap_or_default())
    }
}

pub(super) struct Door {
    /// What whoever comes by it may do.
    pub(super) right: Right,
    /// What every page's path begins with, without a slash at its end.
    pub(super) base: String,
    /// Whoever has it may come in.
    token: String,
    /// Every form carries it; no other site can know it.
    csrf: String,
}

impl Door {
    /// New in each run, where no key says otherwise.
    pub(super) fn new(right: Right, key: Option<&Key>, dice: &Dice) -> Self {
        let secret = |what| key.map_or_else(|| dice.token(), |key| key.derive(what, right));
        Self { right, base: format!("/s/{}", secret("path")), token: secret("token"), csrf: dice.token() }
    }

    /// The path and query that open it.
    pub(super) fn way_in(&self) -> String {
        format!("{}/?token={}", self.base, self.token)
    }

    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form is from a page of this door.
    pub(super) fn has_made(&self, csrf: &str) -> bool {
        is_same(csrf, &self.csrf)
    }

    /// Whether somebody comes by the printed address.
    pub(super) fn is_opened_by(&self, query: Option<&str>) -> bool {
        query.and_then(|query| query.strip_prefix("token=")).is_some_and(|token| is_same(token, &self.token))
    }

    /// Whether somebody has come in before.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE && is_same(value, &self.token))
    }

    /// By which they are known from now on. `Strict` would keep it back from whoever follows a link in a mail or a chat, all
    /// along the redirect; what changes anything asks for more than a cookie.
    pub(super) fn pass(&self, is_secure: bool) -> Result<HeaderValue, InvalidHeaderValue> {
        self.cookie(COOKIE, &self.token, if is_secure { "; HttpOnly; Secure" } else { "; HttpOnly" })
    }

    /// A cookie for the pages behind this door alone.
    pub(super) fn cookie(&self, name: &str, value: &str, also: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        HeaderValue::from_str(&format!("{name}={value}; SameSite=Lax; Path={}/{also}", self.base))
    }
}

/// Takes as long for a wrong token as for the right one.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_only_as_itself() {
        assert!(is_same("abc", "abc"));
        assert!(!is_same("abc", "abd") && !is_same("abc", "ab") && !is_same("", "a"));
    }

    #[test]
    fn a_key_makes_the_same_addresses_again_and_no_two_alike() {
        let (dice, key) = (Dice::system(), Key::new("0123456789abcdef0123456789abcdef").unwrap());
        let of = |right| Door::new(right, Some(&key), &dice);
        assert_eq!(of(Right::Stop).way_in(), of(Right::Stop).way_in());
        assert_ne!(of(Right::Stop).csrf(), of(Right::Stop).csrf());
        let other = Key::new("1123456789abcdef0123456789abcdef").unwrap();
        let ways = [
            of(Right::Stop),
            of(Right::Look),
            of(Right::Everything),
            Door::new(Right::Stop, Some(&other), &dice),
            Door::new(Right::Stop, None, &dice),
            Door::new(Right::Stop, None, &dice),
        ];
        let secrets: std::collections::BTreeSet<_> =
            ways.iter().flat_map(|door| [door.base.clone(), format!("/s/{}", door.token)]).collect();
        assert_eq!(secrets.len(), 12);
        assert!(Key::new("0123456789abcdef0123456789abcde").is_err());
    }
}
