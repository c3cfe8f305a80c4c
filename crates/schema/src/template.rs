//! Text with `{{placeholders}}`, and of logic what a notice needs: a default, `{{name | "Customer"}}`, and a condition,
//! `{{#if car}}…{{else}}…{{/if}}`. No other template syntax gets past the parser, so nothing that a command carries
//! can call a helper or leave a block open, whoever renders it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::text::is_blank;

/// Conditions within each other.
const DEPTH_MAX: usize = 8;

/// The name in `{{name}}`: a letter of ASCII or `_`, then such letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placeholder(String);

impl Placeholder {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Placeholder {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if is_name(&name) {
            Ok(Self(name))
        } else {
            Err("is no column's name; the letters A to Z and a to z, digits and `_` are allowed, 64 at most".to_owned())
        }
    }
}

impl From<Placeholder> for String {
    fn from(placeholder: Placeholder) -> Self {
        placeholder.0
    }
}

impl JsonSchema for Placeholder {
    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$", "description": "A column of the audience." })
    }
}

/// A text, cut at its placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    /// As it is written, but for blanks within the braces: the hash of a command is over this.
    source: String,
    pieces: Vec<Piece>,
}

/// A part of a text. A line that holds nothing but a tag of a condition is in none, as Handlebars has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Value {
        column: Placeholder,
        /// What stands there where the column is null or blank. Without it, the column is needed.
        or: Option<String>,
    },
    If {
        /// It holds where this is neither null nor blank; a no was made blank when the audience was frozen.
        column: Placeholder,
        then: Vec<Piece>,
        otherwise: Vec<Piece>,
    },
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{{` at byte {at} has no `}}}}`; close it")]
    Open { at: usize },
    #[error(
        "`{{{{{found}}}}}` at byte {at} is no placeholder; write {{{{name}}}} with the letters A to Z and a to z, digits and `_`, {{{{name | \"default\"}}}}, or {{{{#if name}}}}…{{{{else}}}}…{{{{/if}}}}"
    )]
    NotAName { found: String, at: usize },
    #[error("`{{{{#if {column}}}}}` at byte {at} has no `{{{{/if}}}}`; close it")]
    OpenIf { column: String, at: usize },
    #[error("`{{{{{found}}}}}` at byte {at} belongs to no `{{{{#if …}}}}`; take it out, or open one before it")]
    Stray { found: &'static str, at: usize },
    #[error("`{{{{#if …}}}}` at byte {at} stands in {DEPTH_MAX} others; write it with fewer")]
    TooDeep { at: usize },
}

impl TemplateError {
    /// The byte at which it stands.
    #[must_use]
    pub fn at(&self) -> usize {
        match self {
            Self::Open { at } | Self::NotAName { at, .. } | Self::OpenIf { at, .. } | Self::Stray { at, .. } | Self::TooDeep { at } => *at,
        }
    }

    /// What is wrong, for whoever is told the place in other words.
    #[must_use]
    pub fn in_words(&self) -> String {
        self.to_string().replacen(&format!(" at byte {}", self.at()), "", 1)
    }
}

/// What stands between two texts.
#[derive(Clone, Debug)]
enum Tag {
    Value { column: Placeholder, or: Option<String> },
    If(Placeholder),
    Else,
    End,
}

impl Tag {
    fn read(inner: &str) -> Option<Self> {
        let inner = inner.trim_matches(' ');
        if inner == "/if" {
            return Some(Self::End);
        }
        if let Some(name) = inner.strip_prefix("#if ") {
            return Placeholder::try_from(name.trim_matches(' ').to_owned()).ok().map(Self::If);
        }
        let (name, or) = match inner.split_once('|') {
            None => (inner, None),
            Some((name, or)) => (name.trim_matches(' '), Some(or.trim_matches(' ').strip_prefix('"')?.strip_suffix('"')?)),
        };
        if or.is_some_and(|or| or.contains(['"', '{', '}'])) {
            return None;
        }
        // As a name it can be asked for outside of conditions, where it was one before there were any.
        if name == "else" && or.is_none() {
            return Some(Self::Else);
        }
        Some(Self::Value { column: Placeholder::try_from(name.to_owned()).ok()?, or: or.map(str::to_owned) })
    }

    /// Tags of conditions take their line with them where they stand alone in it.
    fn is_of_condition(&self) -> bool {
        !matches!(self, Self::Value { .. })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { column: Placeholder(name), or: None } => write!(f, "{{{{{name}}}}}"),
            Self::Value { column: Placeholder(name), or: Some(or) } => write!(f, "{{{{{name} | \"{or}\"}}}}"),
            Self::If(Placeholder(name)) => write!(f, "{{{{#if {name}}}}}"),
            Self::Else => f.write_str("{{else}}"),
            Self::End => f.write_str("{{/if}}"),
        }
    }
}

/// A text, and the tag after it with its place; the last text has none.
struct Stretch<'a> {
    text: &'a str,
    tag: Option<(Tag, usize)>,
}

fn stretches(text: &str) -> Result<Vec<Stretch<'_>>, TemplateError> {
    let (mut found, mut rest, mut depth): (Vec<Stretch>, _, usize) = (Vec::new(), text, 0);
    while let Some(open) = rest.find("{{") {
        let at = text.len() - rest.len() + open;
        let inner = &rest[open + 2..];
        let close = inner.find("}}").ok_or(TemplateError::Open { at })?;
        // A third brace would ask a Handlebars for the raw value.
        let tag = if inner[close + 2..].starts_with('}') { None } else { Tag::read(&inner[..close]) };
        let Some(mut tag) = tag else {
            return Err(TemplateError::NotAName { found: inner[..close].chars().take(40).collect(), at });
        };
        match tag {
            Tag::If(_) => depth += 1,
            Tag::End => depth = depth.checked_sub(1).ok_or(TemplateError::Stray { found: "/if", at })?,
            Tag::Else if depth == 0 => tag = Tag::Value { column: Placeholder("else".to_owned()), or: None },
            Tag::Value { .. } | Tag::Else => {}
        }
        if depth > DEPTH_MAX {
            return Err(TemplateError::TooDeep { at });
        }
        found.push(Stretch { text: &rest[..open], tag: Some((tag, at)) });
        rest = &inner[close + 2..];
    }
    found.push(Stretch { text: rest, tag: None });
    Ok(found)
}

/// Takes the lines out that hold nothing but one tag that may stand alone in its line. There is one text more than there are tags.
pub(crate) fn without_lines(texts: &mut [&str], may_stand_alone: &[bool]) {
    let is_blank = |text: &str| text.chars().all(|c| matches!(c, ' ' | '\t'));
    let lines_end = |text: &str| text.rfind('\n').map_or(0, |at| at + 1);
    let alone: Vec<bool> = may_stand_alone
        .iter()
        .zip(texts.windows(2))
        .enumerate()
        .map(|(at, (may, around))| {
            let (before, after) = (around.first().copied().unwrap_or(""), around.last().copied().unwrap_or(""));
            let begins = is_blank(&before[lines_end(before)..]) && (at == 0 || before.contains('\n'));
            let line = after.find('\n').map(|end| after[..end].trim_end_matches('\r'));
            let ends = line.map_or(at + 2 == texts.len() && is_blank(after), is_blank);
            *may && begins && ends
        })
        .collect();
    for (at, _) in alone.into_iter().enumerate().filter(|(_, alone)| *alone) {
        if let Some(before) = texts.get_mut(at) {
            // Nothing but blanks are after the last line's end; where the text was cut before, none are.
            *before = &before[..lines_end(before)];
        }
        if let Some(after) = texts.get_mut(at + 1) {
            *after = after.find('\n').map_or("", |end| &after[end + 1..]);
        }
    }
}

/// A condition that is not closed yet.
struct OpenIf {
    column: Placeholder,
    at: usize,
    then: Vec<Piece>,
    otherwise: Option<Vec<Piece>>,
}

fn tree(stretches: Vec<Stretch<'_>>) -> Result<Vec<Piece>, TemplateError> {
    fn current<'a>(root: &'a mut Vec<Piece>, open: &'a mut [OpenIf]) -> &'a mut Vec<Piece> {
        match open.last_mut() {
            Some(OpenIf { then, otherwise, .. }) => otherwise.as_mut().unwrap_or(then),
            None => root,
        }
    }
    let (mut root, mut open): (Vec<Piece>, Vec<OpenIf>) = (Vec::new(), Vec::new());
    for Stretch { text, tag } in stretches {
        if !text.is_empty() {
            current(&mut root, &mut open).push(Piece::Text(text.to_owned()));
        }
        match tag {
            None => {}
            Some((Tag::Value { column, or }, _)) => current(&mut root, &mut open).push(Piece::Value { column, or }),
            Some((Tag::If(column), at)) => open.push(OpenIf { column, at, then: Vec::new(), otherwise: None }),
            Some((Tag::Else, at)) => match open.last_mut() {
                Some(OpenIf { otherwise: otherwise @ None, .. }) => *otherwise = Some(Vec::new()),
                _ => return Err(TemplateError::Stray { found: "else", at }),
            },
            Some((Tag::End, at)) => {
                let Some(OpenIf { column, then, otherwise, .. }) = open.pop() else {
                    return Err(TemplateError::Stray { found: "/if", at });
                };
                let otherwise = otherwise.unwrap_or_default();
                current(&mut root, &mut open).push(Piece::If { column, then, otherwise });
            }
        }
    }
    match open.pop() {
        Some(OpenIf { column, at, .. }) => Err(TemplateError::OpenIf { column: column.0, at }),
        None => Ok(root),
    }
}

/// Every column that the pieces name, in order, with repeats.
fn columns<'a>(pieces: &'a [Piece], found: &mut Vec<&'a Placeholder>) {
    for piece in pieces {
        match piece {
            Piece::Text(_) => {}
            Piece::Value { column, .. } => found.push(column),
            Piece::If { column, then, otherwise } => {
                found.push(column);
                columns(then, found);
                columns(otherwise, found);
            }
        }
    }
}

impl Template {
    /// What somebody else's way of writing comes to.
    pub(crate) fn of_pieces(source: String, pieces: Vec<Piece>) -> Self {
        Self { source, pieces }
    }

    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Every column that the text names, in order, with repeats.
    #[must_use]
    pub fn placeholders(&self) -> Vec<&Placeholder> {
        let mut found = Vec::new();
        columns(&self.pieces, &mut found);
        found
    }

    /// Nothing but texts and plain placeholders, which is all that version 1 of commands knows.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Value { or: None, .. }))
    }

    /// Says where a backslash stands before a tag. Handlebars, and so SES, would render the tag itself
    /// instead of a value.
    pub(crate) fn check_backslashes(&self) -> Result<(), String> {
        match self.source.find("\\{{") {
            None => Ok(()),
            Some(at) => {
                let tag = self.source.get(at + 1..).and_then(|rest| rest.get(..rest.find("}}")? + 2)).unwrap_or("{{");
                Err(format!(
                    "has a backslash before `{tag}` at byte {}, by which a letter would show `{tag}` itself; put a blank between them, or write a slash",
                    at + 1
                ))
            }
        }
    }

    /// Nothing that anybody would see, whatever the row.
    pub(crate) fn is_blank(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(text) if is_blank(text)))
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
        let mut stretches = stretches(&text)?;
        let source = stretches
            .iter()
            .map(|Stretch { text, tag }| tag.as_ref().map_or_else(|| (*text).to_owned(), |(tag, _)| format!("{text}{tag}")))
            .collect();
        let of_conditions: Vec<bool> = stretches.iter().filter_map(|stretch| Some(stretch.tag.as_ref()?.0.is_of_condition())).collect();
        let mut texts: Vec<&str> = stretches.iter().map(|stretch| stretch.text).collect();
        without_lines(&mut texts, &of_conditions);
        stretches.iter_mut().zip(texts).for_each(|(stretch, text)| stretch.text = text);
        Ok(Self { source, pieces: tree(stretches)? })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text with {{placeholders}}, each the name of a column of the audience. From version 2 on also {{name | \"default\"}} and {{#if name}}…{{else}}…{{/if}}.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::try_from(text.to_owned())
    }

    /// The pieces, told in another way of writing.
    fn told(pieces: &[Piece]) -> String {
        let one = |piece: &Piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Value { column, or: None } => column.0.clone(),
            Piece::Value { column, or: Some(or) } => format!("{}|{or}", column.0),
            Piece::If { column, then, otherwise } => format!("{}?({}):({})", column.0, told(then), told(otherwise)),
        };
        pieces.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn placeholders_are_found_in_their_order() {
        let template = parse("Dear {{name}}, your {{ car }} is ready, {{name}}").unwrap();
        let names: Vec<_> = template.placeholders().into_iter().map(Placeholder::as_str).collect();
        assert_eq!(names, ["name", "car", "name"]);
        assert_eq!(template.as_str(), "Dear {{name}}, your {{car}} is ready, {{name}}");
        let template = parse("{{#if shop}}{{role | \"you\"}}{{else}}{{name}}{{/if}}").unwrap();
        assert_eq!(template.placeholders().into_iter().map(Placeholder::as_str).collect::<Vec<_>>(), ["shop", "role", "name"]);
    }

    #[test]
    fn a_default_and_a_condition_are_all_the_logic_there_is() {
        for (text, expected) in [
            ("Dear {{name | \"Customer\"}}!", r#""Dear " name|Customer "!""#),
            ("{{name|\"\"}}", "name|"),
            ("{{ name  |  \"お客様 \" }}", "name|お客様 "),
            ("{{#if car}}Your {{car}}{{/if}}.", r#"car?("Your " car):() ".""#),
            ("{{#if a}}x{{else}}y{{#if b}}{{b}}{{/if}}{{/if}}", r#"a?("x"):("y" b?(b):())"#),
            ("{{else}} {{if}} {{this}}", r#"else " " if " " this"#),
        ] {
            assert_eq!(told(parse(text).unwrap().pieces()), expected, "{text}");
        }
        for (bad, says) in [
            ("{{#if a}}x", "`{{#if a}}` at byte 0 has no `{{/if}}`"),
            ("x{{/if}}", "`{{/if}}` at byte 1 belongs to no"),
            ("{{#if a}}{{else}}{{else}}{{/if}}", "`{{else}}` at byte 17 belongs to no"),
            ("{{#if a b}}x{{/if}}", "is no placeholder"),
            ("{{#if}}x{{/if}}", "is no placeholder"),
            ("{{name | Customer}}", "is no placeholder"),
            ("{{name | \"a\"b\"}}", "is no placeholder"),
            ("{{name | \"{{a}}\"}}", "is no placeholder"),
            ("{{name || \"a\"}}", "is no placeholder"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
        assert!(parse(&("{{#if a}}".repeat(8) + &"{{/if}}".repeat(8))).is_ok());
        assert!(parse(&("{{#if a}}".repeat(9) + &"{{/if}}".repeat(9))).unwrap_err().to_string().contains("fewer"));
    }

    #[test]
    fn a_line_with_nothing_but_a_tag_of_a_condition_is_no_line_of_the_letter() {
        for (text, expected) in [
            ("Hi\n{{#if a}}\nyes\n{{else}}\nno\n{{/if}}\nBye", r#""Hi\n" a?("yes\n"):("no\n") "Bye""#),
            ("Hi\r\n  {{#if a}} \r\nyes\r\n\t{{/if}}", r#""Hi\r\n" a?("yes\r\n"):()"#),
            ("{{#if a}}\n{{#if b}}\nx\n{{/if}}\n{{/if}}\n", r#"a?(b?("x\n"):()):()"#),
            ("Hi {{#if a}}\nyes{{/if}}\n", r#""Hi " a?("\nyes"):() "\n""#),
            ("{{#if a}}{{/if}}\nx", r#"a?():() "\nx""#),
            ("x\n{{name}}\ny", r#""x\n" name "\ny""#),
        ] {
            let template = parse(text).unwrap();
            assert_eq!(told(template.pieces()), expected, "{text:?}");
            assert_eq!(template.as_str(), text);
        }
    }

    #[test]
    fn nothing_else_is_a_placeholder() {
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
            "{{#each a}}",
            "{{#unless a}}{{/unless}}",
            "{{#if a}}}x{{/if}}",
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
        fn an_accepted_text_reads_the_same_again(text in "([a-z \n]|\\{\\{|\\}\\}|\\{|\\}|\\{\\{#if a\\}\\}|\\{\\{else\\}\\}|\\{\\{/if\\}\\}|\\{\\{ a \\| \"b\" \\}\\}){0,20}") {
            if let Ok(template) = parse(&text) {
                prop_assert_eq!(parse(template.as_str()).unwrap(), template);
            }
        }
    }
}
