//! What others have written, on a page: subjects, reasons, names, addresses, the words of mail servers.
//!
//! What it must never do: let such a text become part of the page, turn round or hide what stands beside it, or push everything
//! else off the screen.

use std::fmt::{self, Display, Write};

use askama::filters::{Escaper, Html};
use issei_assembly::visible;
use jiff::Timestamp;

use super::{Language, Words, to_second};

/// Longer texts are folded: so many characters are to be seen before.
const SEEN_CHARS: usize = 300;

/// Escapes as HTML wants it, with every character as its own escape that would steer what stands beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Page;

impl Escaper for Page {
    fn write_escaped_str<W: Write>(&self, page: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(page, &visible(text))
    }
}

/// As HTML: a text by itself, whatever direction it is written in.
pub(super) fn outside(text: &(impl Display + ?Sized)) -> String {
    format!("<bdi>{}</bdi>", escaped(&text.to_string()))
}

/// The same, folded where it is long.
pub(super) fn folded(text: &(impl Display + ?Sized)) -> String {
    fold(&text.to_string(), outside)
}

/// The same of what issei says itself, with its moments by the reader's clocks.
pub(super) fn dated(text: &(impl Display + ?Sized)) -> String {
    fold(&text.to_string(), timed)
}

fn fold(text: &str, whole: impl Fn(&str) -> String) -> String {
    if text.chars().count() <= SEEN_CHARS {
        return whole(text);
    }
    let begin: String = text.chars().take(SEEN_CHARS).collect();
    format!("<details class=\"folded\"><summary><bdi>{}…</bdi></summary>{}</details>", escaped(&begin), whole(text))
}

/// What stands in a ledger or comes from a service in words that are not the page's: in Japanese it is folded away, since what it means
/// is said beside it.
pub(super) fn as_written(words: &Words, text: &(impl Display + ?Sized)) -> String {
    match words.of() {
        Language::En => folded(text),
        Language::Ja => {
            format!("<details class=\"folded as-written\"><summary>{}</summary>{}</details>", words.as_written, outside(text))
        }
    }
}

/// Behind this stand the words of others, which stay as they are.
const QUOTED: &str = "原文: ";

/// The same, with each moment of UTC in it as a time, which a page shows by its reader's clocks.
pub(super) fn timed(text: &(impl Display + ?Sized)) -> String {
    let (text, mut page) = (outside(text), String::new());
    let (own, quoted) = text.split_at(text.find(QUOTED).unwrap_or(text.len()));
    let mut rest = own;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        page.push_str(before);
        let run = from.find(|c: char| !(c.is_ascii_alphanumeric() || "-:.".contains(c))).unwrap_or(from.len());
        let run = from.split_at(run).0.trim_end_matches(['.', ':', '-']);
        let after = from.strip_prefix(run).unwrap_or_default();
        match run.parse::<Timestamp>() {
            Ok(moment) => {
                // Into a string nothing fails.
                let _ = write!(page, "<time datetime=\"{moment}\">{}</time>", to_second(&moment));
            }
            Err(_) => page.push_str(run),
        }
        rest = after;
    }
    page + rest + quoted
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Into a string nothing fails.
    let _ = Page.write_escaped_str(&mut escaped, text);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_written_stands_by_itself_and_a_long_text_is_folded() {
        assert_eq!(outside("a <b> \u{202e}c"), "<bdi>a &#60;b&#62; \\u202ec</bdi>");
        assert_eq!(folded("short"), "<bdi>short</bdi>");
        assert_eq!(
            timed("送信は2026-11-29T09:00:00Zまで <10:00, 12>."),
            "<bdi>送信は<time datetime=\"2026-11-29T09:00:00Z\">2026-11-29 09:00:00 UTC</time>まで &#60;10:00, 12&#62;.</bdi>"
        );
        assert_eq!(timed("失敗(原文: at 2026-11-29T09:00:00Z)"), "<bdi>失敗(原文: at 2026-11-29T09:00:00Z)</bdi>");
        assert!(timed("done at 2026-11-29T09:00:00Z.").ends_with(" UTC</time>.</bdi>"));
        let (long, page) = ("<script>".repeat(500), folded(&"<script>".repeat(500)));
        assert!(page.starts_with("<details class=\"folded\"><summary><bdi>&#60;script&#62;") && !page.contains("<script>"), "{page}");
        assert!(page.contains(&long.replace('<', "&#60;").replace('>', "&#62;")), "all of it is there");
    }
}
