//! The letters of a broadcast: one, or one for each variant.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use issei_schema::{
    BroadcastCommand, CommandVersion, Content, Piece, Placeholder, Template, VariantName, Variants, Words, is_blank, is_no,
};
use serde::Serialize;

use crate::contexts::{html, html_as_taken};
use crate::part::{Data, Node, Part, Uses, is_there};
use crate::safe::Context;
use crate::seen::shows;
use crate::stored::{Stored, column_of, note_all};

/// What the subject of a copy begins with, so that nobody takes it for the letter itself.
const COPY: &str = "[Test] ";

/// What is wrong with a content, whatever the row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {reason}")]
pub struct ContentError {
    pub field: String,
    pub reason: String,
}

/// Why a recipient can't be written to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("the column `{0}` is null, and the content needs it")]
    Missing(String),
    #[error("the column `{0}` begins a link, or its host, and has none that may stand there")]
    UnsafeLink(String),
    #[error("the content has no variant for it")]
    NoVariant,
    #[error("its subject, its text or its HTML would be blank")]
    Blank,
}

/// A letter as its recipient gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rendered {
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// Tells of an HTML part where each value stands, or what is wrong with it.
type ReadHtml = fn(&Template) -> Result<Vec<Node>, String>;

/// What all recipients of one variant share.
#[derive(Clone, Debug)]
pub enum Letter {
    Own {
        subject: Part,
        text: Option<Part>,
        html: Option<Part>,
    },
    /// What the provider stores under this name.
    Stored(Stored),
}

impl Letter {
    fn of(words: &Words, place: &str, command: &BroadcastCommand, html: ReadHtml) -> Result<Self, ContentError> {
        let version = command.version;
        let html = words.html.as_ref().map(|template| match version {
            // As its places were made safe before they were looked at.
            CommandVersion::V1 => Ok(Part::plain(template, Context::Html, 'h').into_html()),
            CommandVersion::V2 => html(template)
                .map_err(|reason| ContentError { field: format!("{place}.html"), reason })
                .map(|nodes| Part::of(nodes, 'h').into_html()),
        });
        Ok(Self::Own {
            subject: Part::plain(&words.subject, Context::Line, 'l').after(if command.test_copy.is_some() { COPY } else { "" }),
            text: words.text.as_ref().map(|text| Part::plain(text, Context::Text, 't')),
            html: html.transpose()?,
        })
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let parts = match self {
            Self::Own { subject, text, html } => [Some(subject), text.as_ref(), html.as_ref()],
            Self::Stored(stored) => stored.parts(),
        };
        parts.into_iter().flatten()
    }

    /// Says whether nothing would be read in it, or in a part of it that this row makes so: what a condition leaves out, or a value
    /// that is blank, may be all there is. Whose program shows that part would see a blank letter.
    fn is_blank(&self, data: &Data) -> Result<bool, Unwritable> {
        let (subject, text, html) = match self {
            Self::Own { subject, text, html } => (Some(subject), text.as_ref(), html.as_ref()),
            Self::Stored(stored) => stored.parts().into(),
        };
        let data = &*self.seen_by_it(data);
        let mut is_seen = false;
        for body in [text, html].into_iter().flatten() {
            let is_blank = body.is_blank(data)?;
            if is_blank && body.varies() {
                return Ok(true);
            }
            is_seen |= !is_blank;
        }
        // Of what the provider alone can read nothing is known.
        let Some(subject) = subject else { return Ok(false) };
        Ok(!is_seen || subject.is_blank(data)?)
    }

    /// A recipient's data by the names that the letter has for it.
    fn seen_by_it<'a>(&self, data: &'a Data) -> Cow<'a, Data> {
        match self {
            Self::Own { .. } => Cow::Borrowed(data),
            Self::Stored(_) => Cow::Owned(Stored::values(data)),
        }
    }

    /// Which columns it asks for where conditions hold as `holds` says. Of a stored template that the provider alone can read
    /// whichever it names at all.
    fn uses(&self, holds: &impl Fn(&str) -> bool) -> Uses {
        let mut uses = Uses::default();
        let Self::Stored(stored) = self else {
            self.parts().for_each(|part| part.note_uses(&mut uses, holds));
            return uses;
        };
        let of_column = |name: &str| holds(name) || holds(column_of(name));
        self.parts().for_each(|part| part.note_uses(&mut uses, &of_column));
        if let (None, Some(words)) = (stored.judged(), stored.words()) {
            words.parts().for_each(|(_, part)| note_all(part, &mut uses));
        }
        for names in [&mut uses.asked, &mut uses.shown] {
            let columns: Vec<String> = names.iter().map(|name| column_of(name).to_owned()).collect();
            names.extend(columns);
        }
        uses
    }

    /// Whether it can be written with this data.
    ///
    /// # Errors
    /// Says what the recipient lacks.
    pub fn judge(&self, data: &BTreeMap<String, String>) -> Result<(), Unwritable> {
        let data = &*self.seen_by_it(data);
        self.parts().try_for_each(|part| part.judge(data))
    }

    /// What a provider puts in place for a recipient, by the names that it has there: of our own words the slots of all parts.
    #[must_use]
    pub fn values(&self, data: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        match self {
            Self::Own { .. } => self.parts().flat_map(|part| part.values(data)).collect(),
            Self::Stored(_) => Stored::values(data),
        }
    }

    /// What the recipient reads; nothing where only the provider knows.
    ///
    /// # Errors
    /// Says what the recipient lacks.
    pub fn rendered(&self, data: &BTreeMap<String, String>) -> Result<Option<Rendered>, Unwritable> {
        let (subject, text, html) = match self {
            Self::Own { subject, text, html } => (Some(subject), text.as_ref(), html.as_ref()),
            Self::Stored(stored) => stored.parts().into(),
        };
        let (Some(subject), data) = (subject, &*self.seen_by_it(data)) else { return Ok(None) };
        let of = |part: Option<&Part>| part.map(|part| part.rendered(data)).transpose();
        Ok(Some(Rendered { subject: subject.rendered(data)?, text: of(text)?, html: of(html)? }))
    }
}

/// The letters of a broadcast.
#[derive(Clone, Debug)]
pub struct Letters {
    /// The variants, where there are any.
    variants: Option<Variants>,
    /// In the order of the variants' names; one where there are none.
    letters: Vec<Letter>,
}

impl Letters {
    /// The letters of a command.
    ///
    /// # Errors
    /// Names the part in which a value stands where none can be made safe.
    pub fn of(command: &BroadcastCommand) -> Result<Self, ContentError> {
        Self::by(command, html)
    }

    /// The letters of a command that is in the ledger, as the build wrote them that took it, perhaps one with fewer rules: for
    /// whoever looks at what was sent. Nothing may be sent by these.
    ///
    /// # Errors
    /// There is none: whatever is refused in a new command is read over.
    pub fn as_taken(command: &BroadcastCommand) -> Result<Self, ContentError> {
        Self::by(command, html_as_taken)
    }

    /// Refuses a part of which nobody would see anything, whatever the row. For a command that nothing has begun with: what has goes
    /// on.
    ///
    /// # Errors
    /// Names the part.
    pub fn check_seen(command: &BroadcastCommand) -> Result<(), ContentError> {
        for (place, words) in command.content.words() {
            let bodies = [("text", words.text.as_ref()), ("html", words.html.as_ref())];
            for (name, part) in bodies.into_iter().filter_map(|(name, part)| Some((name, part?))) {
                let is_same = part.pieces().iter().all(|piece| matches!(piece, Piece::Text(_)));
                let is_seen = if name == "html" { shows(part.as_str()) } else { !is_blank(part.as_str()) };
                if is_same && !is_seen {
                    let what = if name == "html" { "no text that is seen, and no picture" } else { "nothing that is seen" };
                    let reason = format!(
                        "has {what}, so that whoever's mail program shows this part would get a blank letter; write it, or take `{name}` out"
                    );
                    return Err(ContentError { field: format!("{place}.{name}"), reason });
                }
            }
        }
        Ok(())
    }

    fn by(command: &BroadcastCommand, html: ReadHtml) -> Result<Self, ContentError> {
        let words = command.content.words();
        let letters = words.into_iter().map(|(place, words)| Letter::of(words, &place, command, html));
        let letters = letters.collect::<Result<Vec<_>, _>>()?;
        Ok(match &command.content {
            Content::Template { name, frozen, .. } => {
                let mut words = frozen.as_deref().cloned();
                if let Some(words) = words.as_mut().filter(|_| command.test_copy.is_some()) {
                    words.subject.insert_str(0, COPY);
                }
                Self { variants: None, letters: vec![Letter::Stored(Stored::of(name.clone(), words))] }
            }
            Content::Inline(_) => Self { variants: None, letters },
            Content::Variants(variants) => Self { variants: Some(variants.clone()), letters },
        })
    }

    /// The number of a recipient's letter; nothing where there are no words for it.
    #[must_use]
    pub fn number(&self, data: &BTreeMap<String, String>) -> Option<usize> {
        let Some(variants) = &self.variants else { return Some(0) };
        let (name, _) = variants.chosen(data.get(variants.by.as_str()).map(String::as_str))?;
        variants.of.keys().position(|known| known == name)
    }

    /// The variant whose words a recipient gets; nothing where there are no variants, or no words for it.
    #[must_use]
    pub fn variant(&self, data: &BTreeMap<String, String>) -> Option<&VariantName> {
        let variants = self.variants.as_ref()?;
        Some(variants.chosen(data.get(variants.by.as_str()).map(String::as_str))?.0)
    }

    /// What stands in the column that tells whose words are whose, of a recipient who gets the fallback's since no variant is
    /// named so; it is empty where nothing stands there.
    #[must_use]
    pub fn fell_back<'a>(&self, data: &'a BTreeMap<String, String>) -> Option<(&Placeholder, &'a str)> {
        let variants = self.variants.as_ref().filter(|variants| variants.fallback.is_some())?;
        let value = data.get(variants.by.as_str()).map_or("", String::as_str);
        variants.of.keys().all(|name| name.as_str() != value).then_some((&variants.by, value))
    }

    #[must_use]
    pub fn letter(&self, number: usize) -> Option<&Letter> {
        self.letters.get(number)
    }

    /// Whether a value begins a link in any of them, or names its host, so that it may be one that can't stand there.
    #[must_use]
    pub fn begin_links(&self) -> bool {
        self.letters.iter().flat_map(Letter::parts).any(Part::begins_links)
    }

    /// The letters, each with the name of its variant where there are variants.
    pub fn all(&self) -> impl Iterator<Item = (Option<&VariantName>, &Letter)> {
        let names = self.variants.iter().flat_map(|variants| variants.of.keys()).map(Some).chain(std::iter::repeat(None));
        names.zip(&self.letters)
    }

    /// Makes each no (`false`, `0`) blank by which a condition of this recipient's letter is decided, so that the condition does not
    /// hold for whoever renders it, older builds and a provider among them. One that the letter shows as well stays as it is.
    pub fn make_noes_blank(&self, data: &mut BTreeMap<String, String>) {
        let by = self.variants.as_ref().map(|variants| variants.by.as_str());
        let mut noes: BTreeSet<String> =
            data.iter().filter(|(name, value)| Some(name.as_str()) != by && is_no(value)).map(|(name, _)| name.clone()).collect();
        if noes.is_empty() {
            return;
        }
        let Some(letter) = self.number(data).and_then(|number| self.letter(number)) else { return };
        // What is shown depends on which conditions hold, and those on what stays.
        let uses = loop {
            let uses = letter.uses(&|column| !noes.contains(column) && is_there(data, column));
            let before = noes.len();
            noes.retain(|column| !uses.shown.contains(column));
            if noes.len() == before {
                break uses;
            }
        };
        for (_, value) in data.iter_mut().filter(|(name, _)| noes.contains(*name) && uses.asked.contains(*name)) {
            value.clear();
        }
    }

    /// Whether a recipient with this data can be written to, and by which letter.
    ///
    /// # Errors
    /// Says what the recipient lacks.
    pub fn judge(&self, data: &Data) -> Result<usize, Unwritable> {
        let number = self.number(data).ok_or(Unwritable::NoVariant)?;
        let letter = self.letter(number).ok_or(Unwritable::NoVariant)?;
        letter.judge(data)?;
        if letter.is_blank(data)? { Err(Unwritable::Blank) } else { Ok(number) }
    }
}

#[cfg(test)]
mod tests;
