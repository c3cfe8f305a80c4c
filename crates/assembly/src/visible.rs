//! Text from outside, as a terminal or a page may show it.
//!
//! What it must never do: let a character through that moves, hides or turns round what stands beside it.

use std::borrow::Cow;
use std::fmt::Write;

/// A text with each character that steers a terminal, or turns the reading direction of what follows, as its escape
/// (`\u202e`): in a line of JSON, too, that is the same text. New lines and tabs stay.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut told = String::with_capacity(text.len() + 8);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let ends_a_line = c == '\r' && characters.peek() == Some(&'\n');
        if steers(c) && !ends_a_line {
            // Into a string nothing fails.
            let _ = write!(told, "\\u{:04x}", u32::from(c));
        } else {
            told.push(c);
        }
    }
    Cow::Owned(told)
}

/// Control characters, separators of lines, the overrides and isolates of Unicode's bidirectional algorithm (UAX #9), the byte
/// order mark, and the marks of interlinear annotation.
fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_or_turn_round_other_text_is_shown_as_its_escape() {
        for (text, shown) in [
            ("Ann مرحبا 規約\n\ttwo", "Ann مرحبا 規約\n\ttwo"),
            ("\u{1b}[2J\u{7}", "\\u001b[2J\\u0007"),
            ("paid \u{202e}000,1", "paid \\u202e000,1"),
            ("a\rb\r\nc", "a\\u000db\r\nc"),
            ("\u{9b}31m\u{2067}x\u{2069}\u{feff}", "\\u009b31m\\u2067x\\u2069\\ufeff"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_line_of_json_stays_the_same_value_and_nothing_that_steers_is_left() {
        let all: String = (0..=0xffff_u32).filter_map(char::from_u32).collect();
        let json = serde_json::json!({ "reason": all });
        let shown = visible(&json.to_string()).into_owned();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(json));
        assert!(!shown.contains(steers));
    }
}
