//! A sender or a reply-to: an address with a display name, in whatever way people and apps write one.
//!
//! It is kept as it was written, since a command's hash covers it, and read for what it means when it is
//! used. A name can never become a second header.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Address;
use crate::text::check_line;

/// The most bytes that a display name has.
const NAME_BYTES_MAX: usize = 200;
/// What a name has in quotes alone.
const SPECIAL: [char; 4] = ['<', '>', ',', '"'];
/// The same name as it is written, where that is in encoded-words.
const WRITTEN_BYTES_MAX: usize = 1_000;

/// An address with an optional display name: `no-reply@example.com` or `Example <no-reply@example.com>`.
///
/// The name may come as encoded-words (RFC 2047), which is how SES itself wants one with other characters
/// than ASCII, and with `\"` for a quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// The name as it was written, less the quotes around it.
    written: Option<String>,
    address: Address,
    /// It stood in quotes, and means something else without them.
    is_quoted: bool,
    /// What a new command is refused for, and an older build took.
    flaw: Option<Flaw>,
}

/// Why a name is no name of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// A separator out of quotes: what stands before it may be another sender.
    Separator(char),
    /// A quote that does not close, or stands in the midst of the name.
    Quote,
}

impl Flaw {
    /// Of a name with its quotes. A quote after a backslash is one of the name's own, out of quotes too: it may have stood within.
    fn of(name: &str) -> Option<Self> {
        let (mut within, mut chars) = (false, name.char_indices().peekable());
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match c {
                '\\' if matches!(next, Some('"' | '\\')) => _ = chars.next(),
                '"' if at == 0 => within = true,
                '"' if within && next.is_none() => within = false,
                '"' => return Some(Self::Quote),
                '<' | '>' | ',' if !within => return Some(Self::Separator(c)),
                _ => {}
            }
        }
        within.then_some(Self::Quote)
    }

    fn told(self) -> String {
        match self {
            Self::Separator(c) => format!(
                "has `{c}` in its name, where another sender would begin, and takes one address alone; leave the others out, or put a name that has it into double quotes, as in \"Example, Inc.\" <ADDRESS>"
            ),
            Self::Quote => "has a double quote in its name that does not close, or stands in the midst of it; put the whole name into double quotes, and one within it as \\\"".to_owned(),
        }
    }
}

impl Mailbox {
    /// The address alone.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The display name as it reads, for whoever encodes it himself; nothing where there is none.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let written = self.written.as_ref()?;
        // Only a command from before encoded-words were read can hold one that means nothing.
        Some(meaning(written).unwrap_or_else(|_| written.clone())).filter(|name| !name.is_empty())
    }

    /// As SES takes it: a display name outside ASCII as RFC 2047 encoded words, any other quoted.
    #[must_use]
    pub fn to_header(&self) -> String {
        let Some(name) = self.name() else { return self.address.as_str().to_owned() };
        let mut header = String::new();
        // What looks like an encoded-word and is none would be read as one, in quotes or not.
        if name.is_ascii() && !name.contains("=?") {
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
                let _ = rfc2047::encode(&name, &mut writer);
            }
            // The writer folds long values; SES takes the value unfolded (RFC 5322 section 2.2.3).
            header = header.replace("\r\n", "");
        }
        format!("{header} <{}>", self.address.as_str())
    }

    /// For people: the name as it reads, in quotes where it needs them.
    #[must_use]
    pub fn shown(&self) -> String {
        let address = self.address.as_str();
        match self.name() {
            Some(name) if name.contains(SPECIAL) => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
            Some(name) => format!("{name} <{address}>"),
            None => address.to_owned(),
        }
    }

    /// With the quotes that an older build left out where it wrote a command down.
    pub(crate) fn in_quotes(self) -> Self {
        match self.flaw {
            Some(Flaw::Separator(',')) if !self.written.as_ref().is_some_and(|name| name.contains(['<', '>', '@'])) => {
                Self { is_quoted: true, flaw: None, ..self }
            }
            _ => self,
        }
    }

    /// As earlier builds wrote it, over which a command's hash has always been.
    pub(crate) fn as_hashed(&self) -> Option<Self> {
        self.is_quoted.then(|| Self { is_quoted: false, ..self.clone() })
    }

    /// Says what is wrong with the name, or nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.address.as_str().contains("{{") || self.written.as_ref().is_some_and(|name| name.contains("{{")) {
            return Err(
                "holds `{{`, and takes no placeholder, since all recipients have the same; write the name and the address themselves"
                    .to_owned(),
            );
        }
        if let Some(flaw) = self.flaw {
            return Err(flaw.told());
        }
        let Some(written) = &self.written else { return Ok(()) };
        let name = meaning(written)?;
        // An encoded-word can hold what its own text can't.
        check_line(&name)?;
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("the display name has more than {NAME_BYTES_MAX} bytes; shorten it"));
        }
        Ok(())
    }

    fn read(text: &str) -> Result<Self, String> {
        check_line(text)?;
        let of = |address: &str| {
            Address::from_str(address)
                .map_err(|error| format!("the address {error}; write an address alone, or a name and then the address in angle brackets"))
        };
        match text.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            None => Ok(Self { written: None, address: of(text.trim())?, is_quoted: false, flaw: None }),
            Some((name, address)) => {
                let flaw = Flaw::of(name.trim());
                let in_quotes = flaw.is_none() && name.trim_start().starts_with('"');
                // Quotes and blanks in any order, so that what is written is read as the same mailbox.
                let name = name.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned();
                if name.len() > WRITTEN_BYTES_MAX {
                    return Err(format!("the display name has more than {WRITTEN_BYTES_MAX} bytes; shorten it"));
                }
                let is_quoted = in_quotes && name.contains(SPECIAL);
                Ok(Self { written: Some(name).filter(|name| !name.is_empty()), address: of(address)?, is_quoted, flaw })
            }
        }
    }
}

/// The name that was meant.
fn meaning(written: &str) -> Result<String, String> {
    let name = unescaped(written);
    if !holds_encoded_word(&name) {
        return Ok(name.trim().to_owned());
    }
    let header = format!("From: {name}");
    let decoded = mailparse::parse_header(header.as_bytes()).ok().and_then(|(header, _)| header.get_value_utf8().ok());
    // The decoder leaves what it can't read as it is, and puts U+FFFD for what its charset does not have.
    match decoded.filter(|decoded| !holds_encoded_word(decoded) && !decoded.contains('\u{fffd}')) {
        Some(decoded) => Ok(decoded.trim().to_owned()),
        None => Err("the display name holds an encoded-word (RFC 2047, `=?charset?B?...?=`) that can't be decoded, so it would be shown raw; write the name itself, issei encodes it".to_owned()),
    }
}

/// Whether it ends with a backslash that belongs to no character.
fn is_cut(written: &str) -> bool {
    let rest = written.trim_end_matches('\\');
    (written.len() - rest.len()) % 2 == 1
}

/// Without the backslashes of a quoted string. The quotes around it are gone already, and with them that of
/// an escaped quote at the end, of which the backslash is left.
fn unescaped(written: &str) -> String {
    let mut name = String::with_capacity(written.len());
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('"' | '\\')) => name.extend(chars.next()),
            ('\\', None) => name.push('"'),
            _ => name.push(c),
        }
    }
    name
}

/// Whether a mail program would see an encoded-word: `=?charset?encoding?text?=`.
fn holds_encoded_word(text: &str) -> bool {
    text.match_indices("=?").any(|(at, marker)| {
        let mut parts = text.get(at + marker.len()..).unwrap_or_default().splitn(3, '?');
        let is_token = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic()));
        is_token(parts.next()) && is_token(parts.next()) && parts.next().is_some_and(|text| text.contains("?="))
    })
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mailbox = Self::read(text)?;
        mailbox.check()?;
        Ok(mailbox)
    }
}

/// Without the check of the name, which is the command's: a ledger holds names that were taken before.
impl TryFrom<String> for Mailbox {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.written {
            // The last quote of the name's own went with those around it, and left its backslash.
            Some(name) if self.is_quoted && is_cut(name) => write!(f, "\"{name}\"\" <{}>", self.address.as_str()),
            Some(name) if self.is_quoted => write!(f, "\"{name}\" <{}>", self.address.as_str()),
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

    fn header(text: &str) -> String {
        text.parse::<Mailbox>().unwrap().to_header()
    }

    #[test]
    fn a_mailbox_that_was_written_is_read_as_the_same() {
        for text in [
            "\"A \" <a@example.com>",
            " \" \"<a@example.com>",
            "A B <a@example.com>",
            "\"Ann \\\"Nan\\\"\" <a@example.com>",
            "\"\\\"\" <a@example.com>",
            "\"Ann, Inc. \\\\\" <a@example.com>",
            "\"I <3 U\" <a@example.com>",
        ] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!(mailbox.to_string().parse::<Mailbox>().unwrap(), mailbox, "{text}");
        }
        let quoted: Mailbox = "\"Ann, Inc.\" <a@example.com>".parse().unwrap();
        assert_eq!(
            (quoted.to_string().as_str(), quoted.shown().as_str()),
            ("\"Ann, Inc.\" <a@example.com>", "\"Ann, Inc.\" <a@example.com>")
        );
        // Without them in the hash of a command, which is that of every build.
        assert_eq!(quoted.as_hashed().unwrap().to_string(), "Ann, Inc. <a@example.com>");
        assert_eq!("\"Ann\" <a@example.com>".parse::<Mailbox>().unwrap().to_string(), "Ann <a@example.com>");
    }

    #[test]
    fn what_is_more_than_one_sender_or_none_is_refused_and_read_where_an_older_build_took_it() {
        for (text, says) in [
            ("Example <no-reply@example.com>, Legal <legal@example.org>", "one address alone"),
            ("a@example.com, Legal <legal@example.org>", "one address alone"),
            ("Ann, Inc. <a@example.com>", "into double quotes, as in \"Example, Inc.\" <ADDRESS>"),
            ("A > B <a@example.com>", "has `>` in its name"),
            ("\"E <a@example.com>", "a double quote in its name that does not close"),
            ("E\" <a@example.com>", "a double quote"),
            ("Ann \"Nan\" Lee <a@example.com>", "stands in the midst of it"),
            ("{{name}} <a@example.com>", "takes no placeholder"),
            ("{{agent}}@example.com", "takes no placeholder"),
            ("\"{{name}}\" <a@example.com>", "takes no placeholder"),
        ] {
            let error = text.parse::<Mailbox>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            let read = Mailbox::try_from(text.to_owned()).unwrap();
            assert_eq!(Mailbox::try_from(read.to_string()).unwrap().to_header(), read.to_header(), "{text}");
        }
        // What an older build wrote down without its quotes has them again in what is made of it.
        let older = Mailbox::try_from("Ann, Inc. <a@example.com>".to_owned()).unwrap().in_quotes();
        assert_eq!(older.to_string(), "\"Ann, Inc.\" <a@example.com>");
        assert!(Mailbox::try_from("A <b@example.com>, C <a@example.com>".to_owned()).unwrap().in_quotes().check().is_err());
    }

    #[test]
    fn a_display_name_is_quoted_or_encoded() {
        assert_eq!(header("a@example.com"), "a@example.com");
        assert_eq!(header("\"Ann, Inc.\" <a@example.com>"), "\"Ann, Inc.\" <a@example.com>");
        assert_eq!(header("一斉 <a@example.com>"), "=?utf-8?b?5LiA5paJ?= <a@example.com>");
        assert!("Ann\r\nBcc: b@example.com <a@example.com>".parse::<Mailbox>().is_err());
    }

    #[test]
    fn a_name_that_an_app_encoded_for_ses_is_shown_as_the_name() {
        for (text, shown) in [
            ("=?UTF-8?B?5LiA5paJ?= <a@example.com>", "=?utf-8?b?5LiA5paJ?= <a@example.com>"),
            ("\"=?UTF-8?B?5LiA5paJ?=\" <a@example.com>", "=?utf-8?b?5LiA5paJ?= <a@example.com>"),
            ("=?ISO-2022-JP?B?GyRCMGxARhsoQg==?= <a@example.com>", "=?utf-8?b?5LiA5paJ?= <a@example.com>"),
            ("=?utf-8?q?Ann_=22Nan=22?= =?utf-8?q?_Lee?= <a@example.com>", "\"Ann \\\"Nan\\\" Lee\" <a@example.com>"),
            ("Team =?UTF-8?B?5LiA5paJ?= <a@example.com>", "=?utf-8?b?VGVhbSDkuIDmlok=?= <a@example.com>"),
        ] {
            assert_eq!(header(text), shown, "{text}");
        }
    }

    #[test]
    fn escaped_quotes_in_a_name_are_quotes() {
        assert_eq!(header(r#""Ann \"Nan\" Lee" <a@example.com>"#), r#""Ann \"Nan\" Lee" <a@example.com>"#);
        assert_eq!(header(r#""Ann \"Nan\"" <a@example.com>"#), r#""Ann \"Nan\"" <a@example.com>"#);
        assert_eq!(header(r#""\"Nan\" Lee" <a@example.com>"#), r#""\"Nan\" Lee" <a@example.com>"#);
        assert_eq!(header(r#""Ann \\ Lee" <a@example.com>"#), r#""Ann \\ Lee" <a@example.com>"#);
    }

    #[test]
    fn an_encoded_word_that_nobody_can_decode_is_refused() {
        for name in
            ["=?UTF-8?B?!!!?=", "=?no-such-charset?B?5LiA?=", "=?UTF-8?X?abc?=", "=?UTF-8?B?5Lg=?=", "=?UTF-8?B?PT9VVEYtOD9CPzVMaUE/PQ==?="]
        {
            let error = format!("{name} <a@example.com>").parse::<Mailbox>().unwrap_err();
            assert!(error.contains("encoded-word") && error.contains("write the name itself"), "{name}: {error}");
        }
        let error = "=?UTF-8?Q?Ann=0D=0ABcc:_b=40example.com?= <a@example.com>".parse::<Mailbox>().unwrap_err();
        assert!(error.contains("control character"), "{error}");
        // Nothing of the kind, only its beginning.
        assert_eq!(header("What =? Inc <a@example.com>"), "=?utf-8?b?V2hhdCA9PyBJbmM=?= <a@example.com>");
    }

    proptest! {
        #[test]
        fn a_mailbox_header_is_one_ascii_line(name in "\\PC{0,60}") {
            if let Ok(mailbox) = format!("{name} <a@example.com>").parse::<Mailbox>() {
                let header = mailbox.to_header();
                prop_assert!(header.is_ascii() && !header.contains(['\r', '\n']), "{}", header);
                prop_assert!(header.ends_with("a@example.com") || header.ends_with("<a@example.com>"));
            }
        }

        /// What goes to SES is read, here as by any mail program, as the name that was meant.
        #[test]
        fn a_header_is_read_as_the_name_it_was_made_from(name in "([a-zA-Z \"\\\\<>=?@,.]|\\PC){0,60}") {
            // Encoded, it can't be told from what a decoder puts for bytes that are no text.
            prop_assume!(!name.contains('\u{fffd}'));
            if let Ok(mailbox) = format!("{name} <a@example.com>").parse::<Mailbox>() {
                let header = mailbox.to_header();
                let again: Mailbox = header.parse().map_err(|error| TestCaseError::fail(format!("{header}: {error}")))?;
                prop_assert_eq!(again.written.map(|written| meaning(&written)), mailbox.written.map(|written| meaning(&written)).filter(|name| name != &Ok(String::new())), "{}", header);
                prop_assert_eq!(again.address, mailbox.address);
            }
        }
    }
}
