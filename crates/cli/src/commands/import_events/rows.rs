//! The rows of a file of events: one row on each line, a JSON array, or one body of a webhook after another, each also over
//! many lines; or `SendGrid`'s export as CSV (`activity.rs`). What can't be read takes no other row with it.

use issei_schema::without_values;
use serde_json::Value;

use super::activity;

/// So many lines tell whether a file has a row on each.
const LINES_LOOKED_AT: usize = 100;

/// A row, by the line that it begins on, and its number among those of the same line.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) number: u64,
    pub(super) value: Result<Value, String>,
}

/// Reads rows from a text, whatever it is. Where lines are rows, none reaches over its line: a row that was left open would
/// swallow the next ones.
pub(super) fn rows(text: &str) -> Box<dyn Iterator<Item = Row> + '_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(rows) = activity::rows(text) {
        return rows;
    }
    let lines = || (1..).zip(text.split('\n'));
    let is_row = |(line, text)| {
        let rows: Vec<Row> = Scanner::of(text, line).collect();
        !rows.is_empty() && rows.iter().all(|row| row.value.as_ref().is_ok_and(Value::is_object))
    };
    if lines().filter(|(_, text)| !text.trim().is_empty()).take(LINES_LOOKED_AT).any(is_row) {
        Box::new(lines().flat_map(|(line, text)| Scanner::of(text, line)))
    } else {
        Box::new(Scanner::of(text, 1))
    }
}

/// Goes over a text, from row to row.
struct Scanner<'a> {
    rest: &'a str,
    line: u64,
    /// The line of the last row, and its number there.
    last: (u64, u64),
    /// What was broken there goes on: it is told once.
    broken: bool,
}

impl<'a> Scanner<'a> {
    fn of(text: &'a str, line: u64) -> Self {
        Self { rest: text, line, last: (line, 0), broken: false }
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.bytes().filter(|b| *b == b'\n').count() as u64;
        self.rest = rest;
    }
}

impl Iterator for Scanner<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let row = self.row()?;
            let goes_on = row.value.is_err() && self.broken && row.line == self.last.0;
            self.broken = row.value.is_err();
            if !goes_on {
                self.last = (row.line, row.number);
                return Some(row);
            }
        }
    }
}

impl Scanner<'_> {
    fn row(&mut self) -> Option<Row> {
        // What stands between rows, in a list or not.
        let between = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n', ',', '[', ']']).len();
        self.advance(between);
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let value = match values.next()? {
            Ok(value) => {
                self.advance(values.byte_offset());
                Ok(value)
            }
            Err(error) => {
                // The next one begins with a brace, where this one does not hold it.
                let next = self.rest.bytes().skip(1).position(|b| b == b'{').map_or(self.rest.len(), |at| at + 1);
                self.advance(next);
                Err(without_values(&error))
            }
        };
        let number = if line == self.last.0 { self.last.1 + 1 } else { 1 };
        Some(Row { line, number, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(u64, Option<Value>)> {
        rows(text).map(|row| (row.line, row.value.ok())).collect()
    }

    #[test]
    fn rows_are_the_same_in_a_list_on_lines_and_in_bodies_one_after_another() {
        let (a, b) = (serde_json::json!({ "event": "a" }), serde_json::json!({ "event": "b" }));
        let expected = |lines: [u64; 2]| vec![(lines[0], Some(a.clone())), (lines[1], Some(b.clone()))];
        for (text, lines) in [
            ("[{\"event\":\"a\"},{\"event\":\"b\"}]", [1, 1]),
            ("\u{feff}{\"event\":\"a\"}\r\n\r\n{\"event\":\"b\"}", [1, 3]),
            ("[{\"event\":\"a\"}]\n[{\"event\":\"b\"}]\n", [1, 2]),
            ("[\n{\"event\":\"a\"},\n{\"event\":\"b\"}\n]", [2, 3]),
            ("[\n  {\n    \"event\": \"a\"\n  },\n  {\n    \"event\": \"b\"\n  }\n]\n", [2, 5]),
            ("{\n  \"event\": \"a\"\n}\n{\n  \"event\": \"b\"\n}\n", [1, 4]),
        ] {
            assert_eq!(read(text), expected(lines), "{text}");
        }
        assert_eq!(read(" \n"), vec![]);
    }

    #[test]
    fn a_broken_row_takes_no_other_with_it() {
        let good = |text: &str| read(text).into_iter().filter_map(|(line, value)| value?.is_object().then_some(line)).collect::<Vec<_>>();
        assert_eq!(good("{\"event\":1}\n{\"event\":\n{\"event\":3}\n}\n"), [1, 3]);
        assert_eq!(good("[\n{\"a\":1},\n{\"a\":},\n{\"a\":3}\n]"), [2, 4]);
        assert_eq!(good("[{\"a\":1},{\"a\":},{\"a\":3}]"), [1, 1]);
        assert_eq!(good("{\n  \"a\": oops,\n  \"b\": 1\n}\n{\n\"a\":2\n}\n"), [5]);
        let deep = format!("{}\n{{\"a\":1}}", "{\"a\":".repeat(10_000));
        assert_eq!(good(&deep), [2]);
        assert_eq!(good("]]]]}}}}\n{\"a\":1}"), [2]);
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_comes_to_an_end(text in "[\\[\\]{}\"a:,0-9 \n\u{fffd}]{0,200}") {
            let lines: Vec<u64> = rows(&text).map(|row| row.line).collect();
            prop_assert!(lines.len() <= text.len());
            prop_assert!(lines.is_sorted());
        }

        #[test]
        fn every_good_line_is_read_whatever_stands_between(junk in proptest::collection::vec("[^\n]{0,40}", 0..6)) {
            let lines: Vec<String> = junk.iter().enumerate().map(|(at, junk)| format!("{{\"row\":{at}}}\n{junk}\n")).collect();
            let text = lines.concat();
            let read: Vec<u64> = rows(&text).filter_map(|row| row.value.ok()?["row"].as_u64()).collect();
            prop_assert!((0..junk.len() as u64).all(|row| read.contains(&row)), "{:?} of {}", read, text);
        }
    }
}
