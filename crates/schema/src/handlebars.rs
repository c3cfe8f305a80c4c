//! Reading the Handlebars of a template that a provider stores, as far as it can be judged for a row beforehand: values,
//! conditions, comments and the control of white space. What this must never do: pass over a construct that it does not know, for
//! then nobody would find out which value is missing but the provider, after the send.

use crate::render::RESERVED;
use crate::template::without_lines;
use crate::{Piece, Placeholder, Template};

/// Conditions within each other, and conditions of one chain.
const DEPTH_MAX: usize = 32;

/// Something of which it can't be said beforehand what a provider makes of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` at byte {at} {why}")]
pub struct Unjudged {
    found: String,
    at: usize,
    why: &'static str,
}

const UNKNOWN: &str = "is nothing that issei reads";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    If,
    Unless,
}

enum Tag {
    Value(Placeholder),
    Open(Kind, Placeholder),
    Else,
    ElseIf(Placeholder),
    Close(Kind),
    Comment,
}

/// A tag with its place, and whether it takes the white space away on its left and on its right.
struct Found<'a> {
    tag: Tag,
    at: usize,
    written: &'a str,
    strips: (bool, bool),
}

fn name(text: &str) -> Result<Placeholder, &'static str> {
    if text.contains(['.', '/', '[']) {
        return Err("asks for a part of a value, and each value of a row is a text");
    }
    if text.starts_with('@') {
        return Err("is of a loop, and no value of a row is a list");
    }
    if RESERVED.contains(&text) || ["if", "unless", "each", "with"].contains(&text) {
        return Err("is a word of Handlebars' own and names no column");
    }
    if text.contains(|c: char| c.is_whitespace() || matches!(c, '(' | '=' | '"' | '\'')) {
        return Err("calls a helper, and what that makes of a value the provider alone knows");
    }
    Placeholder::try_from(text.to_owned()).map_err(|_| "is no name of a column with the letters A to Z and a to z, digits and `_`")
}

fn read_tag(inner: &str) -> Result<Tag, &'static str> {
    let inner = inner.trim();
    let after = |word: &str| inner.strip_prefix(word).filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim);
    for (word, kind) in [("#if", Kind::If), ("#unless", Kind::Unless)] {
        if let Some(rest) = after(word) {
            return Ok(Tag::Open(kind, name(rest)?));
        }
    }
    match inner {
        "/if" => return Ok(Tag::Close(Kind::If)),
        "/unless" => return Ok(Tag::Close(Kind::Unless)),
        "else" | "^" => return Ok(Tag::Else),
        _ => {}
    }
    if let Some(rest) = after("else") {
        let rest = rest.strip_prefix("if").filter(|rest| rest.starts_with(char::is_whitespace)).ok_or(UNKNOWN)?;
        return Ok(Tag::ElseIf(name(rest.trim())?));
    }
    match inner.chars().next() {
        Some('#') => Err("is a block beside `#if` and `#unless`, such as a loop, and no value of a row is a list or an object"),
        Some('>') => Err("is a part that the provider puts in, and what that asks for is not known"),
        Some('/' | '^') => Err("closes or turns round what is no condition"),
        // The provider escapes nothing, so raw is what every value is.
        Some('&') => Ok(Tag::Value(name(inner[1..].trim())?)),
        _ => Ok(Tag::Value(name(inner)?)),
    }
}

/// The texts, and the tags between them: one fewer.
fn cut(text: &str) -> Result<(Vec<&str>, Vec<Found<'_>>), Unjudged> {
    let (mut texts, mut tags) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let at = text.len() - rest.len() + open;
        let (before, tag) = rest.split_at(open);
        let refused = |why| Unjudged { found: tag.chars().take(40).take_while(|c| !matches!(c, '\n' | '\r')).collect(), at, why };
        if before.ends_with('\\') {
            return Err(refused("has a backslash before it, by which a letter would show the tag itself"));
        }
        let is_raw = tag.starts_with("{{{");
        let begins = if is_raw { 3 } else { 2 };
        let (left, inner) = tag[begins..].strip_prefix('~').map_or((false, &tag[begins..]), |inner| (true, inner));
        if inner.starts_with('{') || is_raw && left {
            return Err(refused("is a raw block, or has more braces than a value"));
        }
        // Handlebars reads neither, and the provider would send nothing of such a letter to anybody.
        if inner.starts_with(char::is_whitespace) && inner.trim_start().starts_with(['#', '/', '^', '&', '!', '>']) {
            return Err(refused("has white space before the sign that it begins with, which Handlebars does not read"));
        }
        let is_comment = !is_raw && inner.starts_with('!');
        let is_long = is_comment && inner.starts_with("!--");
        // With `--` a comment may have tags in it.
        let ends = match (is_raw, is_long) {
            (true, _) => inner.find("}}}").map(|end| (end, 3, false)),
            (false, true) => {
                let ends = [("--}}", false), ("--~}}", true)].map(|(end, strips)| Some((inner[1..].find(end)? + 1, end.len(), strips)));
                ends.into_iter().flatten().min()
            }
            (false, false) => inner.find("}}").map(|end| (end, 2, false)),
        };
        let Some((end, length, strips)) = ends else { return Err(refused("is not closed")) };
        let (within, after) = (&inner[..end], &inner[end + length..]);
        let (within, right) = match within.strip_suffix('~') {
            Some(within) if !is_long && !is_raw => (within, true),
            _ => (within, strips),
        };
        if after.starts_with('}') {
            return Err(refused("is closed by more braces than it is opened by"));
        }
        let read = if is_comment {
            Ok(Tag::Comment)
        } else if is_raw {
            name(within.trim()).map(Tag::Value)
        } else {
            read_tag(within)
        };
        let written = &tag[..tag.len() - after.len()];
        let read = read.map_err(|why| Unjudged { found: written.chars().take(60).collect(), at, why })?;
        texts.push(before);
        tags.push(Found { tag: read, at, written, strips: (left, right) });
        rest = after;
    }
    texts.push(rest);
    Ok((texts, tags))
}

/// A condition that is not closed yet.
struct Open<'a> {
    kind: Kind,
    column: Placeholder,
    at: usize,
    written: &'a str,
    then: Vec<Piece>,
    otherwise: Option<Vec<Piece>>,
    /// It stands behind the `else` of the one before it, and ends with that.
    is_chained: bool,
}

impl Open<'_> {
    fn ended(self) -> Piece {
        let (then, otherwise) = (self.then, self.otherwise.unwrap_or_default());
        match self.kind {
            Kind::If => Piece::If { column: self.column, then, otherwise },
            Kind::Unless => Piece::If { column: self.column, then: otherwise, otherwise: then },
        }
    }
}

/// Puts a piece where the text is at.
fn put(piece: Piece, open: &mut [Open], root: &mut Vec<Piece>) {
    match open.last_mut() {
        Some(Open { then, otherwise, .. }) => otherwise.as_mut().unwrap_or(then).push(piece),
        None => root.push(piece),
    }
}

fn tree(texts: &[&str], tags: Vec<Found<'_>>) -> Result<Vec<Piece>, Unjudged> {
    let (mut root, mut open): (Vec<Piece>, Vec<Open>) = (Vec::new(), Vec::new());
    let mut texts = texts.iter();
    if let Some(first) = texts.next().filter(|text| !text.is_empty()) {
        put(Piece::Text((*first).to_owned()), &mut open, &mut root);
    }
    for Found { tag, at, written, .. } in tags {
        let refused = |why| Unjudged { found: written.to_owned(), at, why };
        match tag {
            Tag::Comment => {}
            Tag::Value(column) => put(Piece::Value { column, or: None }, &mut open, &mut root),
            Tag::Open(kind, column) => {
                open.push(Open { kind, column, at, written, then: Vec::new(), otherwise: None, is_chained: false });
            }
            Tag::Else | Tag::ElseIf(_) => {
                let last = open.last_mut().filter(|last| last.otherwise.is_none());
                last.ok_or_else(|| refused("belongs to no condition"))?.otherwise = Some(Vec::new());
                if let Tag::ElseIf(column) = tag {
                    open.push(Open { kind: Kind::If, column, at, written, then: Vec::new(), otherwise: None, is_chained: true });
                }
            }
            Tag::Close(kind) => loop {
                let Some(last) = open.pop() else { return Err(refused("closes nothing")) };
                let (is_chained, its_kind) = (last.is_chained, last.kind);
                put(last.ended(), &mut open, &mut root);
                if !is_chained {
                    if its_kind != kind {
                        return Err(refused("closes another condition than the last that is open"));
                    }
                    break;
                }
            },
        }
        if open.len() > DEPTH_MAX {
            return Err(refused("stands in too many others"));
        }
        if let Some(text) = texts.next().filter(|text| !text.is_empty()) {
            put(Piece::Text((*text).to_owned()), &mut open, &mut root);
        }
    }
    match open.first() {
        Some(Open { at, written, .. }) => Err(Unjudged { found: (*written).to_owned(), at: *at, why: "is not closed" }),
        None => Ok(root),
    }
}

/// A text of a provider's Handlebars, as a text of ours.
pub(crate) fn read(text: &str) -> Result<Template, Unjudged> {
    let (mut texts, tags) = cut(text)?;
    let may_stand_alone: Vec<bool> = tags.iter().map(|found| !matches!(found.tag, Tag::Value(_))).collect();
    without_lines(&mut texts, &may_stand_alone);
    for (at, found) in tags.iter().enumerate() {
        if let (true, Some(before)) = (found.strips.0, texts.get_mut(at)) {
            *before = before.trim_end();
        }
        if let (true, Some(after)) = (found.strips.1, texts.get_mut(at + 1)) {
            *after = after.trim_start();
        }
    }
    Ok(Template::of_pieces(text.to_owned(), tree(&texts, tags)?))
}
