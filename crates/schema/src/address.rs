//! Mail addresses: what SES can deliver to, and nothing that could become a second header.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use email_encoding::headers::{rfc2047, writer::EmailWriter};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits::ADDRESS_BYTES_MAX;
use crate::text::check_line;

/// A mail address with an ASCII local part and its domain in ASCII (IDNA) form.
///
/// SES does not support non-ASCII local parts (developer guide, "Email format in Amazon SES").
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
    #[error("has a local part that is not ASCII, which SES can't mail")]
    LocalPartNotAscii,
    #[error("is not of the form local@domain.tld")]
    Syntax,
}

impl Address {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(' ');
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
        // Quoted local parts are legal but nobody's account; they are also where separators hide.
        if local.contains('"') {
            return Err(AddressError::Syntax);
        }
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Syntax)?;
        let ascii = format!("{local}@{domain}");
        if ascii.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
        EmailAddress::parse_with_options(&ascii, options).map_err(|_| AddressError::Syntax)?;
        Ok(Self(ascii))
    }
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

/// An address with an optional display name: `no-reply@example.com` or `Example <no-reply@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    name: Option<String>,
    address: Address,
}

impl Mailbox {
    /// The address alone.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// As SES takes it: a display name outside ASCII as RFC 2047 encoded words, any other quoted.
    #[must_use]
    pub fn to_header(&self) -> String {
        let Some(name) = &self.name else { return self.address.as_str().to_owned() };
        let mut header = String::new();
        if name.is_ascii() {
            header.push('"');
            for c in name.chars() {
                if matches!(c, '"' | '\\') {
                    header.push('\\');
                }
                header.push(c);
            }
            header.push('"');
        } else {
            {
                let mut writer = EmailWriter::new(&mut header, 0, 0, false);
                // A `String` takes every write, so this can't fail.
                let _ = rfc2047::encode(name, &mut writer);
            }
            // The writer folds long values; SES takes the value unfolded (RFC 5322 section 2.2.3).
            header = header.replace("\r\n", "");
        }
        format!("{header} <{}>", self.address.as_str())
    }
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_line(text)?;
        let of = |address: &str| {
            Address::from_str(address).map_err(|error| format!("the address {error}; write local@domain or Name <local@domain>"))
        };
        match text.trim().strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            None => Ok(Self { name: None, address: of(text.trim())? }),
            Some((name, address)) => {
                // Quotes and blanks in any order, so that what is written is read as the same mailbox.
                let name = name.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned();
                if name.len() > 200 {
                    return Err("the display name has more than 200 bytes; shorten it".to_owned());
                }
                Ok(Self { name: Some(name).filter(|name| !name.is_empty()), address: of(address)? })
            }
        }
    }
}

impl TryFrom<String> for Mailbox {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address.as_str()),
            None => f.write_str(self.address.as_str()),
        }
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

impl JsonSchema for Mailbox {
    fn schema_name() -> Cow<'static, str> {
        "Mailbox".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["no-reply@example.com", "Example <no-reply@example.com>"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mailbox_that_was_written_is_read_as_the_same() {
        for text in ["\"A \" <a@example.com>", " \" \"<a@example.com>", "A B <a@example.com>", "\"\" \"x\" <a@example.com>"] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!(mailbox.to_string().parse::<Mailbox>().unwrap().to_string(), mailbox.to_string(), "{text}");
        }
    }

    #[test]
    fn addresses_that_ses_can_mail() {
        for (text, ascii) in [
            ("ann@example.com", "ann@example.com"),
            (" ann@example.com ", "ann@example.com"),
            ("o'brien+news@mail.example.co.jp", "o'brien+news@mail.example.co.jp"),
            ("ann@例え.jp", "ann@xn--r8jz45g.jp"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().as_str(), ascii);
        }
    }

    #[test]
    fn addresses_that_it_can_not() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("   ", AddressError::Empty),
            ("ann", AddressError::Syntax),
            ("ann@", AddressError::Syntax),
            ("@example.com", AddressError::Syntax),
            ("ann@localhost", AddressError::Syntax),
            ("a..b@example.com", AddressError::Syntax),
            ("a@b@example.com", AddressError::Syntax),
            ("a@example.com,b@example.com", AddressError::Syntax),
            ("a@example.com\r\nBcc: b@example.com", AddressError::Syntax),
            ("Ann <ann@example.com>", AddressError::Syntax),
            ("\"a b\"@example.com", AddressError::Syntax),
            ("ann@[127.0.0.1]", AddressError::Syntax),
            ("søren@example.com", AddressError::LocalPartNotAscii),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), error, "{text:?}");
        }
        assert_eq!(format!("{}@example.com", "a".repeat(300)).parse::<Address>().unwrap_err(), AddressError::TooLong);
    }

    #[test]
    fn a_display_name_is_quoted_or_encoded() {
        let header = |text: &str| text.parse::<Mailbox>().unwrap().to_header();
        assert_eq!(header("a@example.com"), "a@example.com");
        assert_eq!(header("Ann, Inc. <a@example.com>"), "\"Ann, Inc.\" <a@example.com>");
        assert_eq!(header("一斉 <a@example.com>"), "=?utf-8?b?5LiA5paJ?= <a@example.com>");
        assert!("Ann\r\nBcc: b@example.com <a@example.com>".parse::<Mailbox>().is_err());
    }

    proptest! {
        #[test]
        fn no_accepted_address_holds_a_separator(text in "[ -~\r\n]{0,12}@[ -~\r\n]{0,12}\\.com") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert!(!address.as_str().contains([' ', ',', ';', '<', '>', '\r', '\n', ':', '(', ')']));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
            }
        }

        #[test]
        fn a_mailbox_header_is_one_ascii_line(name in "\\PC{0,60}") {
            if let Ok(mailbox) = format!("{name} <a@example.com>").parse::<Mailbox>() {
                let header = mailbox.to_header();
                prop_assert!(header.is_ascii() && !header.contains(['\r', '\n']), "{}", header);
                prop_assert!(header.ends_with("a@example.com") || header.ends_with("<a@example.com>"));
            }
        }
    }
}
