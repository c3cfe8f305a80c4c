//! References to characters (`&#47;`, `&amp;`) that a text begins and does not end, so that a value right behind them says which
//! character is meant (HTML, section 13.2.5.72).

use html5gum::{Token, Tokenizer};

/// Who reads the text, by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Between tags.
    Text,
    /// In an attribute in which no character leads anywhere else.
    Attribute,
    /// In a link whose host may not be the author's alone yet, as in `/&{{a}}`.
    Host,
}

/// The reference that a text has begun at its end, and not ended.
pub(crate) fn begun(text: &str) -> Option<&str> {
    let begun = &text[text.rfind('&')?..];
    let name = begun.get(1..)?;
    name.strip_prefix('#').unwrap_or(name).bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(begun)
}

/// Whether what follows may make another character of it. A name that stands for nothing without its `;` is text where no link is
/// told by it: `?a=1&b{{c}}`.
pub(crate) fn may_change(begun: &str, reads: Reads) -> bool {
    let is_read = || match reads {
        Reads::Host => true,
        Reads::Attribute => attribute(begun) != begun,
        Reads::Text => text(begun) != begun,
    };
    begun.starts_with("&#") || is_read()
}

fn text(html: &str) -> String {
    let tokens = Tokenizer::new(html).filter_map(|Ok(token)| if let Token::String(text) = token { Some(text) } else { None });
    tokens.map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
}

fn attribute(value: &str) -> String {
    let html = format!("<a b=\"{value}\">");
    let tags = Tokenizer::new(&html).filter_map(|Ok(token)| if let Token::StartTag(tag) = token { Some(tag) } else { None });
    let values = tags.flat_map(|tag| tag.attributes).map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_begun_until_its_end() {
        for (text, expected) in [
            ("a&#47", Some("&#47")),
            ("a&#x2F", Some("&#x2F")),
            ("a&", Some("&")),
            ("a&b &copy", Some("&copy")),
            ("a&#47;", None),
            ("a&b=", None),
            ("a& b", None),
            ("", None),
        ] {
            assert_eq!(begun(text), expected, "{text}");
        }
        for (begun, expected) in [
            ("&#47", [true; 3]),
            ("&#", [true; 3]),
            ("&copy", [true; 3]),
            ("&notify", [true, false, true]),
            ("&b", [false, false, true]),
            ("&", [false, false, true]),
        ] {
            assert_eq!([Reads::Text, Reads::Attribute, Reads::Host].map(|reads| may_change(begun, reads)), expected, "{begun}");
        }
    }
}
