//! What stands in double quotes in a condition for MySQL or MariaDB. There it is a text, where every other database has a column,
//! so that `"active" = 1` is true of nobody and `"active" IS NOT NULL` of everybody.

use crate::audience::{AudienceConfig, From};

/// After these words something is compared or given, and no name is made up for it.
const BEFORE_A_VALUE: [&str; 26] = [
    "select", "distinct", "all", "where", "and", "or", "xor", "not", "on", "having", "by", "when", "then", "else", "case", "between",
    "like", "rlike", "regexp", "is", "in", "div", "mod", "binary", "interval", "limit",
];

/// One of them, and in which setting it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DoubleQuoted {
    pub(super) setting: &'static str,
    pub(super) text: String,
}

impl DoubleQuoted {
    /// All that the statement for this audience has.
    pub(super) fn all(from: &From, config: &AudienceConfig, has_backslashes: bool) -> Vec<Self> {
        let query = if let From::Query(query) = from { Some(query) } else { None };
        let settings = [("query", query), ("filter", config.filter.as_ref()), ("marketing_filter", config.wanting.as_ref())];
        let texts = |(setting, sql): (&'static str, Option<&String>)| {
            let texts = sql.map(|sql| texts(sql, has_backslashes)).unwrap_or_default();
            texts.into_iter().map(move |text| Self { setting, text })
        };
        settings.into_iter().flat_map(texts).collect()
    }

    /// Why it is refused, where a column has that name.
    pub(super) fn refused(&self) -> String {
        let Self { setting, text } = self;
        format!(
            "`{setting}` has \"{text}\" in double quotes, which MySQL and MariaDB take for a text and not for the column of that name, so that the condition can be true of everybody or of nobody; write `{text}` for the column, or '{text}' for the text"
        )
    }
}

/// What stands in double quotes outside of comments, other quotes and names that are made up (`AS "x"`).
fn texts(sql: &str, has_backslashes: bool) -> Vec<String> {
    let (mut texts, mut rest, mut before) = (Vec::new(), sql, String::new());
    while let Some(next) = rest.chars().next() {
        let after = |at: usize| rest.get(at..).unwrap_or_default();
        let is_line_comment = next == '#' || (rest.starts_with("--") && after(2).chars().next().is_none_or(char::is_whitespace));
        if is_line_comment {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("/*") {
            rest = after(2).split_once("*/").map_or("", |(_, rest)| rest);
        } else if matches!(next, '\'' | '"' | '`') {
            let (text, behind) = quoted(after(1), next, has_backslashes && next != '`');
            if next == '"' && is_value_after(&before) {
                texts.push(text);
            }
            (rest, before) = (behind, next.to_string());
        } else if next.is_alphanumeric() || matches!(next, '_' | '$') {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(rest.len());
            before = rest.get(..end).unwrap_or_default().to_lowercase();
            rest = after(end);
        } else {
            if !next.is_whitespace() {
                before = next.to_string();
            }
            rest = after(next.len_utf8());
        }
    }
    texts
}

/// Up to the quote that closes, and what comes behind it.
fn quoted(from: &str, quote: char, has_backslashes: bool) -> (String, &str) {
    let (mut text, mut chars) = (String::new(), from.char_indices());
    while let Some((at, c)) = chars.next() {
        let behind = from.get(at + c.len_utf8()..).unwrap_or_default();
        if c == '\\' && has_backslashes {
            text.extend(chars.next().map(|(_, escaped)| escaped));
        } else if c != quote {
            text.push(c);
        } else if behind.starts_with(quote) {
            text.push(quote);
            chars.next();
        } else {
            return (text, behind);
        }
    }
    (text, "")
}

/// Whether a text may follow: behind a name, a number, a bracket or another text it is the name that is made up for that.
fn is_value_after(before: &str) -> bool {
    let is_word = before.chars().next().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    if is_word { BEFORE_A_VALUE.contains(&before) } else { !matches!(before, ")" | "`" | "'" | "\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is_compared_and_no_name_is_taken_for_one() {
        for (sql, found) in [
            ("\"active\" = 1", vec!["active"]),
            ("id > 3 AND NOT(\"a\" IS NULL or x IN (\"b\", 'c'))", vec!["a", "b"]),
            ("SELECT id AS \"id\", email \"mail\", f(x) \"y\" FROM users WHERE \"active\" = 1", vec!["active"]),
            ("SELECT \"id\", `\"email\"` FROM users", vec!["id"]),
            ("name = 'it''s \"x\"' AND name <> 'it\\'s \"y\"' AND z = \"q\"\"r\\\"s\"", vec!["q\"r\"s"]),
            ("a = 1 -- \"b\"\n# \"c\"\n/* \"d\" */ AND \"e\" = 1 --\"f\"", vec!["e", "f"]),
            ("\"never closed", vec!["never closed"]),
            ("漢 = \"字\"", vec!["字"]),
        ] {
            assert_eq!(texts(sql, true), found, "{sql}");
        }
        // Where the server takes a backslash for what it is, the quote behind it closes.
        assert_eq!(texts("a = 'x\\' AND \"b\" = 1", false), ["b"]);
    }
}
