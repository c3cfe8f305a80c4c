//! What text may carry, and how a value is made safe for the place where it will stand.

use std::borrow::Cow;

/// The first character that a message, a header or SQS can't carry, with its byte offset.
///
/// SQS refuses bodies with anything outside XML 1.0's characters (API reference, `SendMessage`);
/// of the control characters only tab, line feed and carriage return are among them.
fn refused_char(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, c)| matches!(c, '\u{fffe}' | '\u{ffff}') || (c.is_control() && !matches!(c, '\t' | '\n' | '\r')))
}

/// Says whether nobody would see anything of `text`: white space of every kind, the characters that Unicode calls ignorable by
/// default (`Default_Ignorable_Code_Point`, assigned or not), and the blank pattern of Braille.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || matches!(
                c,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                    | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
                    | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
                    | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            )
    })
}

/// Says whether `text` is how a database or a file writes a no: `false`, in whatever case, or a zero, such as `0` or `0.00`.
#[must_use]
pub fn is_no(text: &str) -> bool {
    let text = text.trim();
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    text.eq_ignore_ascii_case("false") || whole == "0" && !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0')
}

/// Says whether `text` holds nothing but characters that a message body can carry.
#[must_use]
pub fn carries_only_text(text: &str) -> bool {
    refused_char(text).is_none()
}

/// What is wrong with a body, without the value that is wrong: it may be somebody's address, and this
/// is logged and kept as a reason.
#[must_use]
pub fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // serde says `invalid type: string "VALUE", expected ...`, with the value escaped as Rust does it.
    match (text.find("string \""), text.rfind("\", expected")) {
        (Some(from), Some(to)) if from < to => in_words(&without_addresses(&format!("{}a string{}", &text[..from], &text[to + 1..]))),
        _ => in_words(&without_addresses(&text)),
    }
}

/// What was found and what is wanted, in the words of JSON: serde has those of Rust.
fn in_words(text: &str) -> String {
    let Some((before, found)) = text.split_once("invalid type: ").or_else(|| text.split_once("invalid value: ")) else {
        return text.to_owned();
    };
    let Some((found, wanted)) = found.split_once(", expected ") else { return text.to_owned() };
    let (wanted, at) = wanted.split_at(wanted.find(" at line ").unwrap_or(wanted.len()));
    let found = match found.split_once(" `") {
        Some(("integer" | "floating point", number)) => format!("the number {}", number.trim_end_matches('`')),
        Some(("boolean", value)) => format!("`{value}"),
        _ => match found {
            "map" => "an object".to_owned(),
            "sequence" => "a list".to_owned(),
            other => other.to_owned(),
        },
    };
    let wanted = match wanted {
        "a map" => "an object",
        "a sequence" => "a list",
        "a boolean" => "`true` or `false`",
        "variant identifier" => "a string",
        "string or map" => "a string or an object",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        other if other.starts_with("a nonzero ") => "a whole number from 1 on",
        other if other.starts_with("struct ") || other.contains("enum ") => "an object",
        other if other.starts_with("tuple ") => "a list",
        other => other,
    };
    format!("{before}it is {found}, and {wanted} is wanted{at}")
}

/// A text of somebody else's, such as a provider's or a database's words, with every address in it taken
/// out, so that it can be logged and kept as a reason.
#[must_use]
pub fn without_addresses(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || c.is_control() || ",;:=<>()[]{}\"`".contains(c);
    let text = joined(text);
    let mut told = String::with_capacity(text.len());
    for part in text.split_inclusive(ends) {
        let word = part.trim_end_matches(ends);
        told.push_str(if may_be_address(word) { "(an address)" } else { word });
        told.push_str(&part[word.len()..]);
    }
    told
}

/// The text with nothing between an `@` and what belongs to it: blanks, the quotes of a local part, the bracket of a literal. And
/// with an `@` where HTML writes it otherwise.
fn joined(text: &str) -> Cow<'_, str> {
    const IN_HTML: [&str; 3] = ["&#64;", "&#x40;", "&commat;"];
    if !text.contains('@') && IN_HTML.iter().all(|at| !text.contains(at)) {
        return Cow::Borrowed(text);
    }
    let text = IN_HTML.iter().fold(text.to_owned(), |text, at| text.replace(at, "@"));
    let parts = |c: char| c.is_whitespace() || c == '[';
    let mut joined = String::with_capacity(text.len());
    for (number, piece) in text.split('@').enumerate() {
        if number > 0 {
            let kept = joined.trim_end_matches(parts);
            // Blanks within its quotes are its own.
            let local = kept.strip_suffix('"').and_then(|before| Some(before.rfind('"')? + 1..before.len()));
            let local = local.map(|local| kept[local].replace(|c: char| !c.is_alphanumeric(), "."));
            let from = kept.strip_suffix('"').and_then(|before| before.rfind('"')).unwrap_or(kept.len());
            joined.truncate(from);
            joined.extend(local);
            joined.push('@');
        }
        joined.push_str(if number > 0 { piece.trim_start_matches(parts) } else { piece });
    }
    Cow::Owned(joined)
}

/// Says whether a text may hold an address, also one that no mail server would take: an `@` of any
/// width, plain or percent-encoded, with a letter or digit before and after it.
pub(crate) fn may_be_address(text: &str) -> bool {
    ["@", "\u{ff20}", "\u{fe6b}", "%40"].iter().any(|at| {
        let is_named = |part: &str| part.chars().any(char::is_alphanumeric);
        text.match_indices(at).any(|(from, at)| is_named(&text[..from]) && is_named(&text[from + at.len()..]))
    })
}

/// The first character that a single-line field (a header) can't carry.
pub(crate) fn refused_in_line(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, c)| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}'))
}

/// Says what is wrong with a single-line text, or nothing.
pub(crate) fn check_line(text: &str) -> Result<(), String> {
    match refused_in_line(text) {
        None => Ok(()),
        Some((at, c)) => {
            Err(format!("holds the control character U+{:04X} at byte {at}; a header can't carry it, remove it", u32::from(c)))
        }
    }
}

/// Says what is wrong with a body text, or nothing.
pub(crate) fn check_body(text: &str) -> Result<(), String> {
    match refused_char(text) {
        None => Ok(()),
        Some((at, c)) => Err(format!("holds the character U+{:04X} at byte {at}, which a message can't carry; remove it", u32::from(c))),
    }
}

/// A value as it may stand in a header: every control character becomes a space.
#[must_use]
pub fn on_one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// A value as it may stand in HTML, in text and in quoted attributes alike.
///
/// SES does not escape what it renders into the HTML part, so this has to
/// (SES developer guide, "Using templates to send personalized email").
#[must_use]
pub fn html_escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '`' => escaped.push_str("&#96;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_no_is_false_or_a_zero_and_nothing_that_begins_like_one() {
        assert!(["false", "False", "FALSE", " 0 ", "0", "0.0", "0.00", "-0"].into_iter().all(is_no));
        assert!(!["", " ", "00", "0.", ".0", "0.01", "01", "no", "falsehood", "true", "0x0", "１"].into_iter().any(is_no));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let error = serde_json::from_str::<Vec<u8>>(r#""ann \", expected \"@example.com""#).unwrap_err();
        assert_eq!(without_values(&error), "it is a string, and a list is wanted at line 1 column 33");
        let error = serde_json::from_str::<u8>("nul").unwrap_err();
        assert_eq!(without_values(&error), error.to_string());
    }

    #[test]
    fn a_text_of_others_is_told_without_the_addresses_in_it() {
        for (text, told) in [
            (
                "failed the check in region EU-WEST-1: u7@example.com, <o'brien@x.jp>",
                "failed the check in region EU-WEST-1: (an address), <(an address)>",
            ),
            ("Missing final '@domain'", "Missing final '@domain'"),
            ("invalid input \"ann\u{ff20}example.com\" for column", "invalid input \"(an address)\" for column"),
            ("email=ann%40example.com", "email=(an address)"),
            ("refused: user9&#64;example.com, user8&commat;x.jp", "refused: (an address), (an address)"),
            ("refused: user3 @example.com, user4@ example.com", "refused: (an address), (an address)"),
            ("refused: user7@[127.0.0.1]", "refused: (an address)]"),
            ("refused: \"a b\"@example.com and \"c\"", "refused: (an address) and \"c\""),
            ("", ""),
        ] {
            assert_eq!(without_addresses(text), told);
        }
    }

    proptest! {
        #[test]
        fn no_address_stays_in_a_text_of_others(before in ".{0,20}", local in "[a-z0-9.+'-]{1,10}", domain in "[a-z0-9-]{1,10}\\.[a-z]{2,5}", after in ".{0,20}") {
            let address = format!("{local}@{domain}");
            prop_assume!(local.chars().any(char::is_alphanumeric) && domain.starts_with(char::is_alphanumeric));
            let told = without_addresses(&format!("{before}{address}{after}"));
            prop_assert!(!told.contains(&address), "{}", told);
        }

        #[test]
        fn nothing_escaped_can_open_a_tag_or_end_an_attribute(value in ".*") {
            let escaped = html_escaped(&value);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'', '`']));
        }

        #[test]
        fn a_header_value_stays_on_its_line(value in ".*") {
            prop_assert!(on_one_line(&value).chars().all(|c| !c.is_control()));
        }
    }
}
