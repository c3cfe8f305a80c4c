//! Where in the HTML of a letter each value stands, told by a tokenizer that reads as browsers do (HTML, section
//! 13.2.5). A place where no value can be made safe is refused, and so is a condition that would leave a tag open; but for
//! whoever reads what was taken before there was such a rule.

use std::collections::HashMap;

use html5gum::{State, Token, Tokenizer};
use issei_schema::{Piece, Template};

use crate::attributes::{Holds, holds};
use crate::links;
use crate::part::Node;
use crate::references;
use crate::safe::Context;

/// Elements whose text is no markup, and runs or styles.
const RAW: [&str; 7] = ["script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext"];
/// Elements whose text is no markup, and is read as text.
const TEXT_ALONE: [&str; 2] = ["title", "textarea"];

/// HTML leaves such an element open, and SVG closes it: what comes after it is text for one and markup for the other.
const UNCLEAR: &str = "behind a <title/>, <style/> or the like, which browsers leave open; write its end tag";

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Between tags, in the element whose text is no markup where there is one.
    Text(Option<String>),
    /// The same in a conditional comment, which one mail program reads as markup and all others as a comment.
    Conditional(usize, Box<Place>),
    /// In the attribute of this name of this tag.
    Attribute(usize, String),
    /// In a link: where it begins, or after what.
    Link(usize, String, Context),
    /// Nothing new may stand there; and as what it was read before that was so.
    Refused(&'static str, Context),
}

/// By which rules a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// Whatever is to be sent.
    All,
    /// None: a build has taken it, perhaps an older one, which had fewer.
    AsTaken,
}

/// Marks that stand for the values while the text is read.
struct Marks {
    word: String,
}

impl Marks {
    /// A word that the text does not hold.
    fn new(source: &str) -> Self {
        let words = (0..).map(|number| format!("xissei{number}z"));
        Self { word: words.into_iter().find(|word| !source.to_ascii_lowercase().contains(word.as_str())).unwrap_or_default() }
    }

    /// The blank cuts it in an attribute without quotes, and nowhere else.
    fn mark(&self, number: usize) -> String {
        format!("{}{number} {}", self.word, self.word)
    }

    /// The numbers of the marks in a text, each with where it begins, and whether every piece of one is of a whole.
    fn found(&self, text: &str) -> (Vec<(usize, usize)>, bool) {
        let (mut found, mut words) = (Vec::new(), 0);
        for (at, _) in text.match_indices(&self.word) {
            words += 1;
            let rest = &text[at + self.word.len()..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if let Ok(number) = rest[..digits].parse()
                && rest[digits..].strip_prefix(' ').is_some_and(|rest| rest.starts_with(&self.word))
            {
                found.push((number, at));
            }
        }
        let is_whole = words == 2 * found.len();
        (found, is_whole)
    }

    /// What of a text is its author's, with what stands for each value.
    fn with(&self, text: &str, mut stands: impl FnMut(&str) -> &'static str) -> String {
        let (mut left, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once(&self.word) {
            left.push_str(before);
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            rest = after.strip_prefix(' ').and_then(|after| after.strip_prefix(&self.word)).unwrap_or(after);
            left.push_str(stands(&left));
        }
        left + rest
    }

    fn without(&self, text: &str) -> String {
        self.with(text, |_| "")
    }

    /// The beginning of a link, with what stands for the values in it.
    fn before(&self, text: &str) -> String {
        self.with(text, links::stand_in)
    }
}

/// The text with a mark for each value, and for each tag of a condition, in their order; and what reference to a character each of
/// them stands right behind.
fn marked(pieces: &[Piece], marks: &Marks, begun: &mut Vec<Option<String>>, into: &mut String) {
    fn mark(marks: &Marks, begun: &mut Vec<Option<String>>, into: &mut String) {
        let mark = marks.mark(begun.len());
        begun.push(references::begun(into).map(str::to_owned));
        into.push_str(&mark);
    }
    for piece in pieces {
        match piece {
            Piece::Text(text) => into.push_str(text),
            Piece::Value { .. } => mark(marks, begun, into),
            Piece::If { then, otherwise, .. } => {
                mark(marks, begun, into);
                marked(then, marks, begun, into);
                mark(marks, begun, into);
                marked(otherwise, marks, begun, into);
                mark(marks, begun, into);
            }
        }
    }
}

/// How the text of an element is read that is no markup; nothing of all others.
pub(crate) fn state_within(element: &str) -> Option<State> {
    match element {
        "script" => Some(State::ScriptData),
        "plaintext" => Some(State::PlainText),
        _ if RAW.contains(&element) => Some(State::RawText),
        _ if TEXT_ALONE.contains(&element) => Some(State::RcData),
        _ => None,
    }
}

/// The place of each mark.
fn places(text: &str, marks: &Marks) -> HashMap<usize, Place> {
    let mut places = HashMap::new();
    let (mut raw, mut is_unclear): (Option<String>, bool) = (None, false);
    // It leaves to whoever asks for the tokens which elements' text is no markup.
    let mut tokenizer = Tokenizer::new(text);
    for at in 0.. {
        let Some(Ok(token)) = tokenizer.next() else { break };
        let mut found = HashMap::new();
        let was_unclear = is_unclear;
        match token {
            Token::String(text) => {
                let text = String::from_utf8_lossy(&text);
                let place = text_place(raw.as_deref(), &text);
                found.extend(marks.found(&text).0.into_iter().map(|(number, _)| (number, place.clone())));
            }
            Token::Comment(text) => {
                let text = String::from_utf8_lossy(&text);
                if let Some(markup) = conditional(&text) {
                    let within = self::places(markup, marks).into_iter();
                    found.extend(within.map(|(number, place)| (number, Place::Conditional(at, Box::new(place)))));
                } else {
                    let unread = Place::Refused("in a comment, which nobody reads", Context::Html);
                    found.extend(marks.found(&text).0.into_iter().map(|(number, _)| (number, unread.clone())));
                }
            }
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                for (attribute, value) in &tag.attributes {
                    let value = String::from_utf8_lossy(value);
                    attribute_places(at, &name, &String::from_utf8_lossy(attribute), &value, marks, &mut found);
                }
                if let Some(state) = state_within(&name) {
                    is_unclear |= tag.self_closing;
                    tokenizer.set_state(if tag.self_closing { State::Data } else { state });
                    raw = (!tag.self_closing).then_some(name);
                }
            }
            Token::EndTag(tag) => {
                if raw.as_deref().is_some_and(|raw| raw.as_bytes() == tag.name.as_slice()) {
                    raw = None;
                }
            }
            Token::Doctype(_) | Token::Error(_) => {}
        }
        if was_unclear {
            found.values_mut().for_each(|place| *place = Place::Refused(UNCLEAR, context(place)));
        }
        places.extend(found);
    }
    places
}

/// A place between tags, or within an element whose text is no markup.
fn text_place(raw: Option<&str>, text: &str) -> Place {
    match raw {
        Some(element) if RAW.contains(&element) => {
            Place::Refused("in a script or a style, where no value is safe; put it between tags, or take it out", Context::Html)
        }
        // SVG and MathML have markup in theirs.
        Some(_) if text.contains('<') => {
            Place::Refused("in a <title> or a <textarea> that has a `<`, which begins a tag for some; take that out", Context::Html)
        }
        element => Place::Text(element.map(str::to_owned)),
    }
}

/// The markup in a conditional comment, `<!--[if mso]>…<![endif]-->`; nothing where it is a comment like others.
fn conditional(comment: &str) -> Option<&str> {
    let (condition, markup) = comment.split_once("]>")?;
    let is_condition = condition.trim_start().get(..3).is_some_and(|start| start.eq_ignore_ascii_case("[if"));
    is_condition.then(|| markup.rsplit_once("<![").map_or(markup, |(markup, _)| markup))
}

fn attribute_places(at: usize, tag: &str, name: &str, value: &str, marks: &Marks, places: &mut HashMap<usize, Place>) {
    let (found, is_whole) = marks.found(value);
    for (number, begins) in found {
        let place = if is_whole {
            match holds(tag, name) {
                Holds::Code => Place::Refused("in an attribute that runs, styles or lists, where no value is safe", Context::Html),
                Holds::Perhaps => Place::Refused("in an attribute that may hold a link, where no value is safe", Context::Html),
                Holds::Text => Place::Attribute(at, name.to_owned()),
                holds @ (Holds::Link | Holds::Links) => link_place(at, tag, name, (&value[..begins], &value[begins..]), marks, holds),
            }
        } else {
            Place::Refused("in an attribute without quotes; put quotes around it", Context::Html)
        };
        places.insert(number, place);
    }
}

/// Where a value stands in a link, between what is before it and what is from it on.
fn link_place(at: usize, tag: &str, name: &str, (before, from): (&str, &str), marks: &Marks, holds: Holds) -> Place {
    let (before, after) = (marks.before(before), marks.without(from));
    // Of a list, each link begins anew.
    let (link, after) = if holds == Holds::Links { (links::last(&before), links::first(&after)) } else { (&*before, &*after) };
    match links::context(link, after) {
        // By this one all others are read that have no host of their own.
        Ok(context @ (Context::Link | Context::LinkHost)) if tag == "base" => {
            Place::Refused("in <base>, so that it can choose the host of every link; write the host into it", context)
        }
        Ok(context) => Place::Link(at, name.to_owned(), context),
        Err(why) => Place::Refused(why, links::as_taken(&before)),
    }
}

/// How a value is made safe for its place.
fn context(place: &Place) -> Context {
    match place {
        Place::Link(_, _, context) | Place::Refused(_, context) => *context,
        // Two hyphens and a bracket would end the comment for everybody else.
        Place::Conditional(_, within) => match context(within) {
            Context::Html => Context::HtmlInComment,
            other => other,
        },
        Place::Text(_) | Place::Attribute(..) => Context::Html,
    }
}

/// Why nothing may stand there.
fn refused(place: &Place) -> Option<&'static str> {
    match place {
        Place::Refused(why, _) => Some(why),
        Place::Conditional(_, within) => refused(within),
        Place::Text(_) | Place::Attribute(..) | Place::Link(..) => None,
    }
}

/// Where a text that begins a reference to a character may be made another one by what follows it.
fn reads(place: &Place) -> references::Reads {
    match place {
        Place::Link(_, _, Context::LinkQuery) | Place::Attribute(..) => references::Reads::Attribute,
        Place::Link(..) => references::Reads::Host,
        Place::Conditional(_, within) => reads(within),
        Place::Text(_) | Place::Refused(..) => references::Reads::Text,
    }
}

fn is_link(place: &Place) -> bool {
    match place {
        Place::Link(..) => true,
        Place::Conditional(_, within) => is_link(within),
        Place::Text(_) | Place::Attribute(..) | Place::Refused(..) => false,
    }
}

/// Nodes for the pieces, each value with its place.
struct Placed<'a> {
    places: &'a HashMap<usize, Place>,
    /// By the number of a mark, what reference to a character it stands right behind.
    begun: &'a [Option<String>],
    next: usize,
    rules: Rules,
}

impl Placed<'_> {
    fn place(&mut self, tag: &str) -> Result<Place, String> {
        let (place, begun) = (self.places.get(&self.next).cloned(), self.begun.get(self.next).and_then(Option::as_deref));
        self.next += 1;
        if self.rules == Rules::AsTaken {
            return Ok(place.unwrap_or(Place::Text(None)));
        }
        match place {
            Some(place) => match refused(&place) {
                Some(why) => Err(format!("has `{tag}` {why}")),
                None => match begun.filter(|begun| references::may_change(begun, reads(&place))) {
                    Some(begun) => Err(format!(
                        "has `{tag}` right behind `{begun}`, which a value could make another character; end that with `;`, or write `&amp;` where an `&` is meant"
                    )),
                    None => Ok(place),
                },
            },
            None => Err(format!(
                "has `{tag}` in a tag's or an attribute's name, or in an attribute without quotes; put it between tags, or into quotes"
            )),
        }
    }

    fn nodes(&mut self, pieces: &[Piece]) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::with_capacity(pieces.len());
        for piece in pieces {
            nodes.push(match piece {
                Piece::Text(text) => Node::Text(text.clone()),
                Piece::Value { column, or } => {
                    let column = column.as_str().to_owned();
                    let context = context(&self.place(&format!("{{{{{column}}}}}"))?);
                    if let Some(or) = or.as_ref().filter(|or| self.rules == Rules::All && !context.takes(or)) {
                        return Err(format!("begins a link with `{{{{{column} | \"{or}\"}}}}`, whose default is none; begin it with https://"));
                    }
                    Node::Value { column, or: or.clone(), context }
                }
                Piece::If { column, then, otherwise } => {
                    let column = column.as_str().to_owned();
                    let tag = format!("{{{{#if {column}}}}}");
                    let opens = self.place(&tag)?;
                    if self.rules == Rules::All && is_link(&opens) {
                        return Err(format!("has `{tag}` in a link; put the condition around the whole tag"));
                    }
                    let then = self.nodes(then)?;
                    let turns = self.place(&tag)?;
                    let otherwise = self.nodes(otherwise)?;
                    let closes = self.place(&tag)?;
                    if self.rules == Rules::All && (opens != turns || opens != closes) {
                        return Err(format!(
                            "has `{tag}` that opens in one place and ends in another, so that a tag stays open; put the condition around whole tags, or within one text"
                        ));
                    }
                    Node::If { column, then, otherwise }
                }
            });
        }
        Ok(nodes)
    }
}

/// The nodes of an HTML part.
pub(crate) fn html(template: &Template) -> Result<Vec<Node>, String> {
    nodes(template, Rules::All)
}

/// The same of one that a build has taken, as it was written then, whatever is refused now.
pub(crate) fn html_as_taken(template: &Template) -> Result<Vec<Node>, String> {
    nodes(template, Rules::AsTaken)
}

fn nodes(template: &Template, rules: Rules) -> Result<Vec<Node>, String> {
    let marks = Marks::new(template.as_str());
    let mut text = String::new();
    let mut begun = Vec::new();
    marked(template.pieces(), &marks, &mut begun, &mut text);
    let places = places(&text, &marks);
    Placed { places: &places, begun: &begun, next: 0, rules }.nodes(template.pieces())
}
