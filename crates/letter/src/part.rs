//! One part of a letter, cut into the text that is the same for everybody and the slots that are not. A slot is whatever
//! a placeholder, a default or a condition comes to; a provider sees a plain placeholder in its place.

use std::collections::{BTreeMap, BTreeSet};

use issei_schema::{Piece, Template, is_blank};

use crate::letter::Unwritable;
use crate::safe::Context;
use crate::seen::{may_hide, shows};

/// A piece of a text, with the place where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Value { column: String, or: Option<String>, context: Context },
    If { column: String, then: Vec<Node>, otherwise: Vec<Node> },
}

impl Node {
    /// The nodes of a text in which all values stand in places of one kind.
    pub(crate) fn all(pieces: &[Piece], context: Context) -> Vec<Self> {
        let node = |piece: &Piece| match piece {
            Piece::Text(text) => Self::Text(text.clone()),
            Piece::Value { column, or } => Self::Value { column: column.as_str().to_owned(), or: or.clone(), context },
            Piece::If { column, then, otherwise } => {
                Self::If { column: column.as_str().to_owned(), then: Self::all(then, context), otherwise: Self::all(otherwise, context) }
            }
        };
        pieces.iter().map(node).collect()
    }
}

/// A recipient's data, by column.
pub(crate) type Data = BTreeMap<String, String>;

/// Neither null nor blank: what nobody would see is nothing, wherever it is asked for.
pub(crate) fn is_there(data: &Data, column: &str) -> bool {
    data.get(column).is_some_and(|value| !is_blank(value))
}

fn render(nodes: &[Node], data: &Data, into: &mut String) -> Result<(), Unwritable> {
    for node in nodes {
        match node {
            Node::Text(text) => into.push_str(text),
            Node::Value { column, or, context } => {
                let value = match or {
                    Some(or) if !is_there(data, column) => or,
                    _ => data.get(column).ok_or_else(|| Unwritable::Missing(column.clone()))?,
                };
                if !context.takes(value) {
                    return Err(Unwritable::UnsafeLink(column.clone()));
                }
                into.push_str(&context.made_safe(value));
            }
            Node::If { column, then, otherwise } => render(if is_there(data, column) { then } else { otherwise }, data, into)?,
        }
    }
    Ok(())
}

/// What keeps these from being rendered, without rendering them.
fn judge(nodes: &[Node], data: &Data) -> Result<(), Unwritable> {
    nodes.iter().try_for_each(|node| match node {
        Node::Text(_) => Ok(()),
        Node::Value { column, or, context } => {
            let value = match or {
                Some(or) if !is_there(data, column) => or,
                _ => data.get(column).ok_or_else(|| Unwritable::Missing(column.clone()))?,
            };
            if context.takes(value) { Ok(()) } else { Err(Unwritable::UnsafeLink(column.clone())) }
        }
        Node::If { column, then, otherwise } => judge(if is_there(data, column) { then } else { otherwise }, data),
    })
}

/// Whether a part that a row may have, or not, may hide what stands around it.
fn hides(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Value { .. } => false,
        Node::If { then, otherwise, .. } => [then, otherwise]
            .into_iter()
            .any(|nodes| hides(nodes) || nodes.iter().any(|node| matches!(node, Node::Text(text) if may_hide(text)))),
    })
}

/// The columns that a letter asks for: by conditions, and to show them.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    pub(crate) asked: BTreeSet<String>,
    pub(crate) shown: BTreeSet<String>,
}

impl Uses {
    /// What is asked for where these conditions hold.
    fn note(&mut self, nodes: &[Node], holds: &impl Fn(&str) -> bool) {
        for node in nodes {
            match node {
                Node::Text(_) => {}
                Node::Value { column, .. } => _ = self.shown.insert(column.clone()),
                Node::If { column, then, otherwise } => {
                    self.asked.insert(column.clone());
                    self.note(if holds(column) { then } else { otherwise }, holds);
                }
            }
        }
    }
}

fn begin_links(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Value { context, .. } => matches!(context, Context::Link | Context::LinkHost),
        Node::If { then, otherwise, .. } => begin_links(then) || begin_links(otherwise),
    })
}

/// Text that is the same for everybody, or a slot by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stretch {
    Text(String),
    Slot(usize),
}

/// A part of a letter.
#[derive(Clone, Debug)]
pub struct Part {
    stretches: Vec<Stretch>,
    slots: Vec<Vec<Node>>,
    /// The letter that its slots' names begin with.
    place: char,
    is_html: bool,
    /// Whatever the row: of its own text somebody sees something.
    is_always_seen: bool,
}

impl Part {
    /// A part without markup, in which all values stand in places of one kind.
    pub(crate) fn plain(template: &Template, context: Context, place: char) -> Self {
        Self::of(Node::all(template.pieces(), context), place)
    }

    pub(crate) fn of(nodes: Vec<Node>, place: char) -> Self {
        let (mut stretches, mut slots): (Vec<Stretch>, Vec<Vec<Node>>) = (Vec::new(), Vec::new());
        for node in nodes {
            match (node, stretches.last_mut()) {
                // A brace beside a slot's own would make it another tag, so it goes into the slot.
                (Node::Text(text), Some(Stretch::Slot(last))) if text.starts_with('}') => {
                    if let Some(slot) = slots.get_mut(*last) {
                        slot.push(Node::Text(text));
                    }
                }
                (Node::Text(text), _) => stretches.push(Stretch::Text(text)),
                (node, last) => {
                    let braces = match last {
                        Some(Stretch::Text(before)) => {
                            let rest = before.trim_end_matches(['{', '\\']).len();
                            before.split_off(rest)
                        }
                        _ => String::new(),
                    };
                    slots.push(if braces.is_empty() { vec![node] } else { vec![Node::Text(braces), node] });
                    stretches.push(Stretch::Slot(slots.len() - 1));
                }
            }
        }
        let is_always_seen = stretches.iter().any(|stretch| matches!(stretch, Stretch::Text(text) if !is_blank(text)));
        Self { stretches, slots, place, is_html: false, is_always_seen }.without_repeats()
    }

    /// The part, read as HTML.
    pub(crate) fn into_html(self) -> Self {
        let text = self.with_placeholders(|_| String::new());
        let is_always_seen = shows(&text) && !self.slots.iter().any(|slot| hides(slot));
        Self { is_html: true, is_always_seen, ..self }
    }

    /// The part after a text that is the same for everybody.
    pub(crate) fn after(mut self, text: &str) -> Self {
        if !text.is_empty() {
            self.is_always_seen |= !is_blank(text);
            self.stretches.insert(0, Stretch::Text(text.to_owned()));
        }
        self
    }

    /// What stands in two places is one slot.
    fn without_repeats(self) -> Self {
        let mut slots: Vec<Vec<Node>> = Vec::new();
        let Self { stretches, slots: all, .. } = self;
        let numbers: Vec<usize> = all
            .into_iter()
            .map(|slot| {
                slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
                    slots.push(slot);
                    slots.len() - 1
                })
            })
            .collect();
        let renumbered = |stretch| match stretch {
            Stretch::Slot(slot) => Stretch::Slot(numbers.get(slot).copied().unwrap_or(slot)),
            text @ Stretch::Text(_) => text,
        };
        Self { stretches: stretches.into_iter().map(renumbered).collect(), slots, ..self }
    }

    fn name(&self, slot: usize) -> String {
        format!("{}{slot}", self.place)
    }

    /// Says whether nobody would see anything of it, as this recipient gets it; rendered only where its own text does not say so.
    pub(crate) fn is_blank(&self, data: &Data) -> Result<bool, Unwritable> {
        if self.is_always_seen {
            return Ok(false);
        }
        let rendered = self.rendered(data)?;
        Ok(if self.is_html { !shows(&rendered) } else { is_blank(&rendered) })
    }

    /// Whether it depends on a row what it says.
    pub(crate) fn varies(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The text with a plain `{{t0}}` for each slot, as a provider wants it that renders Handlebars.
    #[must_use]
    pub fn skeleton(&self) -> String {
        self.with_placeholders(|name| format!("{{{{{name}}}}}"))
    }

    /// The text with a provider's own placeholder for each slot, made of the slot's name.
    #[must_use]
    pub fn with_placeholders(&self, placeholder: impl Fn(&str) -> String) -> String {
        let told = |stretch: &Stretch| match stretch {
            Stretch::Text(text) => text.clone(),
            Stretch::Slot(slot) => placeholder(&self.name(*slot)),
        };
        self.stretches.iter().map(told).collect()
    }

    /// The text with these values in its slots, by their names, for a provider that puts nothing in place itself; nothing
    /// where a slot has none.
    #[must_use]
    pub fn filled(&self, values: &BTreeMap<String, String>) -> Option<String> {
        let told = |stretch: &Stretch| match stretch {
            Stretch::Text(text) => Some(text.clone()),
            Stretch::Slot(slot) => values.get(&self.name(*slot)).cloned(),
        };
        self.stretches.iter().map(told).collect()
    }

    /// What a provider puts into each slot for a recipient. What a recipient lacks is left out.
    pub fn values<'a>(&'a self, data: &'a BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + 'a {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let mut value = String::new();
            render(slot, data, &mut value).ok()?;
            Some((self.name(at), value))
        })
    }

    /// What the recipient reads.
    pub(crate) fn rendered(&self, data: &Data) -> Result<String, Unwritable> {
        let mut text = String::new();
        for stretch in &self.stretches {
            match stretch {
                Stretch::Text(same) => text.push_str(same),
                Stretch::Slot(slot) => render(self.slots.get(*slot).map_or(&[], Vec::as_slice), data, &mut text)?,
            }
        }
        Ok(text)
    }

    /// Whether a value stands in it that its place may not take.
    pub(crate) fn begins_links(&self) -> bool {
        self.slots.iter().any(|slot| begin_links(slot))
    }

    /// What it asks for where a column's condition holds as `holds` says.
    pub(crate) fn note_uses(&self, uses: &mut Uses, holds: &impl Fn(&str) -> bool) {
        self.slots.iter().for_each(|slot| uses.note(slot, holds));
    }

    pub(crate) fn judge(&self, data: &Data) -> Result<(), Unwritable> {
        self.slots.iter().try_for_each(|slot| judge(slot, data))
    }
}
