//! The way into the console: an address that nobody can guess, and a cookie that goes nowhere else.
//!
//! What it must never do: let a cookie be sent to anybody but the console. A browser sends cookies to every server of a host,
//! whatever its port, but to those pages alone that lie under the cookie's path; and this path is known to nobody
//! (decision 15).

use http::header::{self, HeaderMap, HeaderValue, InvalidHeaderValue};
use issei_clock::Dice;

const COOKIE: &str = "issei_console";

pub(super) struct Door {
    /// What every page's path begins with, without a slash at its end.
    pub(super) base: String,
    /// Whoever has it may come in.
    token: String,
    /// Every form carries it; no other site can know it.
    csrf: String,
}

impl Door {
    pub(super) fn new(dice: &Dice) -> Self {
        Self { base: format!("/s/{}", dice.token()), token: dice.token(), csrf: dice.token() }
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
    pub(super) fn pass(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        self.cookie(COOKIE, &self.token, "; HttpOnly")
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
}
