//! Mail addresses: what SES can deliver to, and nothing that could become a second header.

use std::borrow::Cow;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits::ADDRESS_BYTES_MAX;

/// A mail address with an ASCII local part and its domain in ASCII (IDNA) form.
///
/// SES does not support non-ASCII local parts (developer guide, "Email format in Amazon SES"), and of the others no document says that
/// they do. A local part
/// stands in quotes only where RFC 5321 allows it in no other way (section 4.1.2), so that one mailbox has one
/// spelling here; of what only quotes allow it may have blanks and any dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// Why a text is no address that can be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("is empty")]
    Empty,
    #[error("has more than {ADDRESS_BYTES_MAX} bytes")]
    TooLong,
    #[error("has a local part that is not ASCII, which issei asks no provider to mail")]
    LocalPartNotAscii,
    /// Carriers in Japan gave such addresses out until 2009, and they work.
    #[error("has a local part with two dots in a row or one at its end, which is legal in quotes only")]
    LegacyLocalPart,
    #[error("is not a name, one `@` and a domain with a dot")]
    Syntax,
}

impl Address {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its local part is legal in quotes only.
    #[must_use]
    pub fn is_quoted(&self) -> bool {
        self.0.starts_with('"')
    }

    /// Reads an address as people write it, and puts a local part into quotes that is legal only there.
    ///
    /// # Errors
    /// Says why it can't be mailed.
    pub fn quoting_legacy(text: &str) -> Result<Self, AddressError> {
        let (address, _) = read(text)?;
        Ok(address)
    }

    /// Whether something is left out around the address in this text that nobody sees.
    #[must_use]
    pub fn is_trimmed(text: &str) -> bool {
        let trimmed = text.trim_matches(is_invisible);
        !trimmed.is_empty() && trimmed.len() < text.len()
    }

    /// What two addresses of one mailbox have in common: a domain is the same in any case, and what stands
    /// before it is its owner's business (RFC 5321 section 2.4).
    #[must_use]
    pub fn identity(&self) -> String {
        match self.0.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
            None => self.0.clone(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match read(text)? {
            (address, Spelling::Legal) => Ok(address),
            (_, Spelling::Legacy) => Err(AddressError::LegacyLocalPart),
        }
    }
}

/// How a local part was written.
#[derive(Debug, PartialEq, Eq)]
enum Spelling {
    Legal,
    /// With dots where RFC 5321 has none, and without the quotes that would allow them.
    Legacy,
}

fn read(text: &str) -> Result<(Address, Spelling), AddressError> {
    if is_plain(text) { Ok((Address(text.to_owned()), Spelling::Legal)) } else { read_any(text) }
}

/// Nearly every address is of letters, digits and a few signs, and its domain of lower-case labels: by every rule of
/// [`read_any`], which takes far longer to say so, it is what it will be.
fn is_plain(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let Some((_, top)) = domain.rsplit_once('.') else { return false };
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_');
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        let ends = [label.as_bytes().first(), label.as_bytes().last()];
        // What has two hyphens there may be punycode.
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric)) && label.get(2..4) != Some("--") && label.len() <= 63
    };
    text.len() <= ADDRESS_BYTES_MAX
        && local.len() <= 64
        && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_sign))
        && domain.split('.').all(|label| label.bytes().all(is_letter) && is_label(label))
        && top.len() > 1
        && top.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn read_any(text: &str) -> Result<(Address, Spelling), AddressError> {
    let text = text.trim_matches(is_invisible);
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(AddressError::TooLong);
    }
    let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Syntax)?;
    if !local.is_ascii() {
        return Err(AddressError::LocalPartNotAscii);
    }
    let unquoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let atoms = unquoted.unwrap_or(local);
    // Within quotes RFC 5321 allows separators and quotes, too. Those are nobody's account, and where
    // a second recipient would hide. A blank without quotes stands between two things.
    let is_blank = |c: char| c == ' ' && unquoted.is_some();
    if !atoms.chars().all(|c| c == '.' || is_atom(c) || is_blank(c)) || atoms.chars().all(|c| c == '.' || c == ' ') {
        return Err(AddressError::Syntax);
    }
    let needs_quotes = atoms.contains(' ') || atoms.split('.').any(str::is_empty);
    let local = if needs_quotes { format!("\"{atoms}\"") } else { atoms.to_owned() };
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Syntax)?;
    let ascii = format!("{local}@{domain}");
    if ascii.len() > ADDRESS_BYTES_MAX {
        return Err(AddressError::TooLong);
    }
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    EmailAddress::parse_with_options(&ascii, options).map_err(|_| AddressError::Syntax)?;
    let spelling = if needs_quotes && unquoted.is_none() { Spelling::Legacy } else { Spelling::Legal };
    Ok((Address(ascii), spelling))
}

/// `atext` of RFC 5322, section 3.2.3.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// What nobody sees, and no address begins or ends with (RFC 5321 section 4.1.2): white space of every
/// kind, and the characters without width that come along when text is copied.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "idn-email", "maxLength": 254 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_that_ses_can_mail() {
        for (text, ascii) in [
            ("ann@example.com", "ann@example.com"),
            (" ann@example.com ", "ann@example.com"),
            ("o'brien+news@mail.example.co.jp", "o'brien+news@mail.example.co.jp"),
            ("ann@例え.jp", "ann@xn--r8jz45g.jp"),
            ("\"ann\"@example.com", "ann@example.com"),
            ("\"a..b\"@docomo.example.jp", "\"a..b\"@docomo.example.jp"),
            ("\"john smith\"@Example.com ", "\"john smith\"@example.com"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().as_str(), ascii);
        }
        let plain =
            ["ann@example.com", "ann.lee+news@mail.example.co.jp", "\"ann\"@example.com", "ann@Example.com", "ann@a-.com", "ann@xn--a.jp"];
        assert_eq!(plain.map(is_plain), [true, true, false, false, false, false]);
    }

    #[test]
    fn what_nobody_sees_around_an_address_is_not_part_of_it() {
        for unseen in ["\t", "\r\n", "\u{a0}", "\u{3000}", "\u{200b}", "\u{200d}", "\u{feff}", "\u{202a}", "\u{2060}", " \u{3000}\t"] {
            for text in [format!("ann@example.com{unseen}"), format!("{unseen}ann@example.com{unseen}")] {
                assert_eq!(text.parse::<Address>().map(String::from), Ok("ann@example.com".to_owned()), "{text:?}");
            }
            assert_eq!(unseen.parse::<Address>(), Err(AddressError::Empty), "{unseen:?}");
        }
        assert_eq!("ann\u{200b}x@example.com".parse::<Address>(), Err(AddressError::LocalPartNotAscii));
    }

    #[test]
    fn an_address_that_a_carrier_gave_out_has_one_spelling() {
        for text in ["a..b@docomo.example.jp", "abc.@docomo.example.jp", ".abc@docomo.example.jp", "a...@docomo.example.jp"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::LegacyLocalPart), "{text}");
            let (local, domain) = text.split_once('@').unwrap();
            let quoted: Address = format!("\"{local}\"@{domain}").parse().unwrap();
            assert!(quoted.is_quoted());
            assert_eq!(Address::quoting_legacy(text), Ok(quoted), "{text}");
        }
        assert_eq!(Address::quoting_legacy("ann@example.com"), "ann@example.com".parse());
        assert_eq!(Address::quoting_legacy("a..b@nowhere"), Err(AddressError::Syntax));
    }

    #[test]
    fn addresses_that_it_can_not() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("   ", AddressError::Empty),
            ("ann", AddressError::Syntax),
            ("ann@", AddressError::Syntax),
            ("@example.com", AddressError::Syntax),
            ("..@example.com", AddressError::Syntax),
            ("ann@localhost", AddressError::Syntax),
            ("a..b@example.com", AddressError::LegacyLocalPart),
            ("a@b@example.com", AddressError::Syntax),
            ("a@example.com,b@example.com", AddressError::Syntax),
            ("a@example.com\r\nBcc: b@example.com", AddressError::Syntax),
            ("Ann <ann@example.com>", AddressError::Syntax),
            ("a b@example.com", AddressError::Syntax),
            ("\"a b@example.com", AddressError::Syntax),
            ("\"a\tb\"@example.com", AddressError::Syntax),
            ("\" . \"@example.com", AddressError::Syntax),
            ("\"a\\\" b\"@example.com", AddressError::Syntax),
            ("\"a\" \"b\"@example.com", AddressError::Syntax),
            ("\"a b\" <ann@example.com>", AddressError::Syntax),
            ("\"a,b@example.com\"@example.com", AddressError::Syntax),
            ("\"@example.com", AddressError::Syntax),
            ("\"\"@example.com", AddressError::Syntax),
            ("ann@[127.0.0.1]", AddressError::Syntax),
            ("søren@example.com", AddressError::LocalPartNotAscii),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), error, "{text:?}");
        }
        assert_eq!(format!("{}@example.com", "a".repeat(300)).parse::<Address>().unwrap_err(), AddressError::TooLong);
    }

    proptest! {
        #[test]
        fn what_is_read_the_short_way_is_read_so_the_long_way(
            text in "([a-zA-Z0-9.+_-]{1,6}|[a-z]{60,66})@(([a-z0-9-]{1,5}|xn--[a-z0-9]{1,4}|[a-z]{60,66})\\.){1,4}[a-zA-Z0-9-]{1,4}\\.?",
        ) {
            if is_plain(&text) {
                prop_assert_eq!(read_any(&text), Ok((Address(text), Spelling::Legal)));
            }
        }

        #[test]
        fn no_accepted_address_holds_a_separator(text in "[ -~\r\n]{0,12}@[ -~\r\n]{0,12}\\.com") {
            if let Ok(address) = Address::quoting_legacy(&text) {
                prop_assert!(!address.as_str().contains([',', ';', '<', '>', '\r', '\n', '\t', '\\', ':', '(', ')']));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
                let (local, domain) = address.as_str().split_once('@').unwrap();
                prop_assert!(!domain.contains(' ') && (!local.contains(' ') || local.starts_with('"') && local.ends_with('"')));
                prop_assert_eq!(local.trim_matches('"').matches('"').count(), 0);
            }
        }

        #[test]
        fn an_address_that_was_written_is_read_as_the_same(local in "\"?[a-c.+ ]{1,6}\"?") {
            if let Ok(address) = Address::quoting_legacy(&format!("{local}@example.com")) {
                prop_assert_eq!(address.as_str().parse::<Address>(), Ok(address.clone()));
                prop_assert_eq!(Address::quoting_legacy(address.as_str()), Ok(address));
            }
        }
    }
}
