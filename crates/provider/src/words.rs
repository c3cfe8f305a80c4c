//! The words of a letter for providers that know no template: one skeleton for all, and what each recipient reads.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use issei_letter::{Letter, Part};
use issei_schema::{StoredTemplate, render};

/// Subject, text and HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) subject: String,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
}

impl Words {
    /// The letter with a plain placeholder for each slot; nothing where only another provider knows its words.
    pub(crate) fn of(letter: &Letter) -> Option<Self> {
        match letter {
            Letter::Own { subject, text, html } => {
                Some(Self { subject: subject.skeleton(), text: text.as_ref().map(Part::skeleton), html: html.as_ref().map(Part::skeleton) })
            }
            Letter::Stored(stored) => {
                let StoredTemplate { subject, text, html } = stored.words()?.clone();
                Some(Self { subject, text, html })
            }
        }
    }

    /// Every part that is there.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.subject), self.text.as_ref(), self.html.as_ref()].into_iter().flatten().map(String::as_str)
    }

    /// With a value in each slot; nothing where one has none, or where the text has what is no plain placeholder.
    pub(crate) fn with(&self, values: &BTreeMap<String, String>) -> Option<Self> {
        let fill = |text: &str| render(text, |name| values.get(name).map(String::as_str));
        let part = |text: &Option<String>| text.as_deref().map_or(Some(None), |text| fill(text).map(Some));
        Some(Self { subject: fill(&self.subject)?, text: part(&self.text)?, html: part(&self.html)? })
    }

    /// The names of its slots, in order.
    pub(crate) fn slots(&self) -> BTreeSet<String> {
        let names = RefCell::new(BTreeSet::new());
        for part in self.parts() {
            // What is no plain placeholder has no value either, and is refused when it is filled.
            let _ = render(part, |name| {
                names.borrow_mut().insert(name.to_owned());
                Some("")
            });
        }
        names.into_inner()
    }
}
