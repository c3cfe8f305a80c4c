//! A letter whose words a provider stores. It renders them itself, by the columns' own names; what is read of them here is what is
//! shown beforehand, and by what it is judged whether a row has all of it.
//!
//! What this must never do: judge a row by words that it can't read to their end.

use std::collections::BTreeMap;

use issei_schema::{StoredTemplate, Template, TemplateName, html_escaped, is_blank};

use crate::part::{Data, Part, Uses};
use crate::safe::Context;

/// Before a column's name, its value escaped for HTML. The author of the template chose the names; a command is refused where
/// they meet (`producer/src/command.rs`).
const HTML: &str = "html_";

/// What a provider stores under a name.
#[derive(Clone, Debug)]
pub struct Stored {
    name: TemplateName,
    words: Option<StoredTemplate>,
    judged: Option<Judged>,
}

/// The words, where all of them can be read. Values stand in them as they are.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    subject: Part,
    text: Option<Part>,
    html: Option<Part>,
}

/// The column that a placeholder asks for, unless there is one of its own name.
pub(crate) fn column_of(name: &str) -> &str {
    name.strip_prefix(HTML).unwrap_or(name)
}

impl Stored {
    /// With its words where they were read.
    #[must_use]
    pub fn of(name: TemplateName, words: Option<StoredTemplate>) -> Self {
        let part = |template: &Template, place| Part::plain(template, Context::Text, place);
        let judged = words.as_ref().and_then(|words| words.words().ok()).map(|words| Judged {
            subject: part(&words.subject, 'l'),
            text: words.text.as_ref().map(|text| part(text, 't')),
            html: words.html.as_ref().map(|html| part(html, 'h').into_html()),
        });
        Self { name, words, judged }
    }

    #[must_use]
    pub fn name(&self) -> &TemplateName {
        &self.name
    }

    /// What it says; nothing where that was not read when the broadcast was registered.
    #[must_use]
    pub fn words(&self) -> Option<&StoredTemplate> {
        self.words.as_ref()
    }

    pub(crate) fn judged(&self) -> Option<&Judged> {
        self.judged.as_ref()
    }

    /// Subject, text and HTML; none where the provider alone can read it.
    pub(crate) fn parts(&self) -> [Option<&Part>; 3] {
        self.judged.as_ref().map_or([None, None, None], |Judged { subject, text, html }| [Some(subject), text.as_ref(), html.as_ref()])
    }

    /// What the provider gets of a recipient's data: each column plain and escaped. What was escaped comes last, so that nothing takes
    /// its place.
    ///
    /// For conditions of a provider only what is empty is nothing, so what nobody would see is sent as that.
    pub(crate) fn values(data: &Data) -> BTreeMap<String, String> {
        let seen = |value: &String| if is_blank(value) { String::new() } else { value.clone() };
        let plain = data.iter().map(|(name, value)| (name.clone(), seen(value)));
        let escaped = data.iter().map(|(name, value)| (format!("{HTML}{name}"), html_escaped(&seen(value))));
        plain.chain(escaped).collect()
    }
}

/// The columns that a text names which the provider alone can read, by its conditions and otherwise.
pub(crate) fn note_all(text: &str, uses: &mut Uses) {
    for tag in text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
        let tag = tag.trim_matches(|c: char| matches!(c, '{' | '~' | ' '));
        let of_condition = ["#if ", "#unless ", "else if "].iter().find_map(|begins| tag.strip_prefix(begins));
        let names = of_condition.unwrap_or(tag).split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = names.filter(|name| !name.is_empty()).map(|name| column_of(name).to_owned());
        if of_condition.is_some() { uses.asked.extend(named) } else { uses.shown.extend(named) }
    }
}
