//! Letters with a hole: a placeholder that has neither a default nor a condition, and a recipient of whom nothing is to be read
//! there. CSV knows no null, so a cell that is empty is text.
//!
//! What this must never do: keep anybody from being mailed. They are counted, and one of them is shown.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use issei_letter::Letters;
use issei_schema::{BroadcastCommand, Piece, Recipient, Template, Words, is_blank};

use crate::survey::{Skips, skip_to};

/// Recipients whose letter has such a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blank {
    /// How many, by the column, with the keys of three.
    pub columns: BTreeMap<String, Skips>,
    /// The first of them all, and the columns of which their letter shows nothing.
    pub first: Option<(Recipient, Vec<String>)>,
}

/// The words of a command, in the order of its letters.
pub(crate) struct Holes<'a>(Vec<Cow<'a, Words>>);

impl<'a> Holes<'a> {
    /// None in a template that the provider alone can read.
    pub(crate) fn of(command: &'a BroadcastCommand) -> Self {
        let stored = command.content.frozen().and_then(|template| template.words().ok());
        let own = command.content.words().into_iter().map(|(_, words)| Cow::Borrowed(words));
        Self(own.chain(stored.map(Cow::Owned)).collect())
    }

    /// Looks at another recipient.
    pub(crate) fn note(&self, blank: &mut Blank, recipient: &Recipient, letters: &Letters, quoted: impl Fn() -> String) {
        // Hardly anybody's row has a blank value, and no letter needs to be looked through where none is.
        if !recipient.data.values().any(|value| is_blank(value)) {
            return;
        }
        let Some(words) = letters.number(&recipient.data).and_then(|number| self.0.get(number)) else { return };
        let mut found = BTreeSet::new();
        for part in [Some(&words.subject), words.text.as_ref(), words.html.as_ref()].into_iter().flatten() {
            look(Template::pieces(part), &recipient.data, &mut found);
        }
        for column in &found {
            skip_to(blank.columns.entry((*column).to_owned()).or_default(), 1, Some(quoted()));
        }
        if blank.first.is_none() && !found.is_empty() {
            blank.first = Some((recipient.clone(), found.into_iter().map(str::to_owned).collect()));
        }
    }
}

/// The value that stands at a placeholder, with its column: in a stored template each has two names.
fn value_of<'a, 'd>(name: &'a str, data: &'d BTreeMap<String, String>) -> Option<(&'a str, &'d str)> {
    let plain = name.strip_prefix("html_").unwrap_or(name);
    [name, plain].into_iter().find_map(|name| Some((name, data.get(name)?.as_str())))
}

fn look<'a>(pieces: &'a [Piece], data: &BTreeMap<String, String>, found: &mut BTreeSet<&'a str>) {
    for piece in pieces {
        match piece {
            Piece::Text(_) | Piece::Value { or: Some(_), .. } => {}
            Piece::Value { column, or: None } => {
                if let Some((column, value)) = value_of(column.as_str(), data)
                    && is_blank(value)
                {
                    found.insert(column);
                }
            }
            Piece::If { column, then, otherwise } => {
                let is_there = value_of(column.as_str(), data).is_some_and(|(_, value)| !is_blank(value));
                look(if is_there { then } else { otherwise }, data, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str, data: &[(&str, &str)]) -> Vec<String> {
        let body = serde_json::json!({
            "version": 2, "broadcast_id": "terms", "audience": "users", "class": "legal_notice", "max_recipients": 10,
            "requested_by": "a test", "not_after": "2099-01-01T00:00:00Z", "from": "no-reply@example.com",
            "content": { "inline": { "subject": "Terms", "text": text } },
        });
        let command = BroadcastCommand::parse(&body.to_string()).unwrap();
        let data = data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let recipient = Recipient { key: "7".parse().unwrap(), address: "a@example.com".parse().unwrap(), data };
        let mut blank = Blank::default();
        Holes::of(&command).note(&mut blank, &recipient, &Letters::of(&command).unwrap(), || "7".to_owned());
        blank.first.map(|(_, columns)| columns).unwrap_or_default()
    }

    #[test]
    fn a_hole_is_what_the_letter_would_show_nothing_of() {
        let unseen = "\u{200b} ";
        for (text, holes) in [
            ("Dear {{name}}, {{plan}}", &["name"][..]),
            ("Dear {{name | \"Customer\"}}", &[]),
            ("{{#if name}}Dear {{name}}{{else}}Hello {{plan}}{{/if}}", &[]),
            ("{{#if plan}}Dear {{name}}{{/if}}", &["name"]),
            ("{{#if name}}x{{else}}Dear {{name}}, {{name}}{{/if}}", &["name"]),
        ] {
            for blank in ["", " ", unseen] {
                assert_eq!(columns(text, &[("name", blank), ("plan", "x")]), holes, "{text}: {blank:?}");
            }
            assert!(columns(text, &[("name", "Ann"), ("plan", "x")]).is_empty(), "{text}");
        }
    }
}
