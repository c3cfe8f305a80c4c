//! Text with `{{placeholders}}`. No other template syntax gets past the parser, so nothing that a
//! command carries can call a helper or leave a block open when SES renders it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name in `{{name}}`: a letter or `_`, then letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placeholder(String);

impl Placeholder {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text, cut at its placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(Placeholder),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{{` at byte {at} has no `}}}}`; close it")]
    Open { at: usize },
    #[error("`{{{{{found}}}}}` at byte {at} is no placeholder; write {{{{name}}}} with letters, digits and `_`")]
    NotAName { found: String, at: usize },
}

impl Template {
    /// Every placeholder that the text names, in order, with repeats.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Text(_) => None,
        })
    }

    /// The text with something else in each placeholder's place.
    #[must_use]
    pub fn replaced(&self, with: impl Fn(&Placeholder) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Placeholder(placeholder) => with(placeholder),
            })
            .collect()
    }

    /// Says where a backslash stands before a placeholder. Handlebars, and so SES, would render the
    /// placeholder itself instead of a value.
    pub(crate) fn check_backslashes(&self) -> Result<(), String> {
        let mut at = 0;
        for pair in self.0.windows(2) {
            if let [piece, next] = pair {
                at += piece.to_string().len();
                if let (Piece::Text(text), Piece::Placeholder(_)) = (piece, next)
                    && text.ends_with('\\')
                {
                    return Err(format!(
                        "has a backslash before `{next}` at byte {at}, so that SES would mail `{next}` itself; put a blank between them, or write a slash"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing but white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(text) if text.trim().is_empty()))
    }

    /// Says what is wrong with the text between the placeholders.
    pub(crate) fn check_text(&self, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
        check(&String::from(self.clone()))
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Placeholder(Placeholder(name)) => write!(f, "{{{{{name}}}}}"),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(open) = rest.find("{{") {
            let at = text.len() - rest.len() + open;
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or(TemplateError::Open { at })?;
            let name = inner[..close].trim_matches(' ');
            // A third brace would ask SES's Handlebars for the raw value.
            if !is_name(name) || inner[close + 2..].starts_with('}') {
                let found = inner[..close].chars().take(40).collect();
                return Err(TemplateError::NotAName { found, at });
            }
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            pieces.push(Piece::Placeholder(Placeholder(name.to_owned())));
            rest = &inner[close + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0.iter().map(ToString::to_string).collect()
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Text with {{placeholders}}, each the name of a column of the audience." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::try_from(text.to_owned())
    }

    #[test]
    fn placeholders_are_found_and_renamed() {
        let template = parse("Dear {{name}}, your {{ car }} is ready, {{name}}").unwrap();
        let names: Vec<_> = template.placeholders().map(Placeholder::as_str).collect();
        assert_eq!(names, ["name", "car", "name"]);
        let replaced = template.replaced(|name| format!("<{}>", name.as_str()));
        assert_eq!(replaced, "Dear <name>, your <car> is ready, <name>");
    }

    #[test]
    fn nothing_but_a_plain_name_is_a_placeholder() {
        for bad in [
            "{{",
            "{{a",
            "{{}}",
            "{{#if a}}",
            "{{{a}}}",
            "{{a}}}",
            "{{a.b}}",
            "{{> partial}}",
            "{{1a}}",
            "{{a{{b}}",
            "{{&a}}",
            "{{!a}}",
            "{{!-- a --}}",
            "{{~a}}",
            "{{a~}}",
            "{{/if}}",
            "{{^a}}",
            "{{else if a}}",
            "{{lookup a b}}",
            "{{../a}}",
            "{{@index}}",
            "{{[a]}}",
            "{{{{a}}}}",
            "{{*a}}",
            "{{\"a\"}}",
            "{{a\n}}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("a { b } }} c").is_ok());
    }

    proptest! {
        #[test]
        fn an_accepted_text_reads_the_same_again(text in "([a-z ]|\\{\\{|\\}\\}|\\{|\\}){0,20}") {
            if let Ok(template) = parse(&text) {
                prop_assert_eq!(parse(&String::from(template.clone())).unwrap(), template);
            }
        }
    }
}
