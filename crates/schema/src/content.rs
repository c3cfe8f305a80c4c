//! What a broadcast says.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::{CONTENT_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::text::{check_body, check_line};
use crate::{ParseError, Placeholder, StoredTemplate, Template, TemplateHash, TemplateName, VariantName};

/// What a broadcast says: its own words, some for each kind of recipient, or the name of a template stored in SES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// The words themselves. At least one of `text` and `html`.
    Inline(Words),
    /// A template stored in SES. It gets every column `name` as it is and as `html_name`,
    /// escaped for HTML, since SES itself escapes nothing.
    Template {
        name: TemplateName,
        /// The SHA-256 that `issei preview` and `send` show of it: where the template says something else when the
        /// broadcast is registered, the command is refused. New in version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<TemplateHash>,
        /// What it said when the broadcast was registered, which is what is sent. No part of a command: nothing in a
        /// broadcast that a build before this one registered.
        #[serde(skip)]
        frozen: Option<Box<StoredTemplate>>,
    },
    /// Words by the value of one column, such as `locale` or `role`. New in version 2.
    Variants(Variants),
}

/// The words of a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Words {
    pub subject: Template,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<Template>,
}

/// Words by the value of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variants {
    /// The column that tells whom which words are for.
    pub by: Placeholder,
    /// The words for each value of the column, compared by its bytes.
    pub of: BTreeMap<VariantName, Words>,
    /// The variant for every other value, and for none. Without it, such a row is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<VariantName>,
}

impl Variants {
    /// The variant of a row with this value in the column; nothing where there are no words for it.
    #[must_use]
    pub fn chosen(&self, value: Option<&str>) -> Option<(&VariantName, &Words)> {
        let own = value.and_then(|value| self.of.iter().find(|(name, _)| name.as_str() == value));
        own.or_else(|| self.of.get_key_value(self.fallback.as_ref()?))
    }
}

impl Words {
    /// Subject, text and HTML, with the names of their fields.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let parts = [("subject", Some(&self.subject)), ("text", self.text.as_ref()), ("html", self.html.as_ref())];
        parts.into_iter().filter_map(|(name, part)| Some((name, part?)))
    }

    fn check(&self, place: &str) -> Result<(), ParseError> {
        let error = |part: &str, reason: String| ParseError::field(&format!("{place}.{part}"), reason);
        if self.text.is_none() && self.html.is_none() {
            return Err(ParseError::field(place, "has neither `text` nor `html`; give at least one"));
        }
        let mut bytes = 0;
        for (name, part) in self.parts() {
            let is_subject = name == "subject";
            let check = if is_subject { check_line } else { check_body };
            check(part.as_str()).map_err(|reason| error(name, reason))?;
            let size = part.as_str().len();
            if is_subject && (size == 0 || size > SUBJECT_BYTES_MAX) {
                return Err(error(name, format!("has {size} bytes; 1 to {SUBJECT_BYTES_MAX} are allowed")));
            }
            bytes += size;
        }
        if bytes > CONTENT_BYTES_MAX {
            return Err(ParseError::field(place, format!("has {bytes} bytes and at most {CONTENT_BYTES_MAX} are allowed; shorten it")));
        }
        Ok(())
    }

    /// Refuses what would be mailed as something else than its author meant.
    fn judge(&self, place: &str) -> Result<(), ParseError> {
        if self.text.as_ref().is_none_or(Template::is_blank) && self.html.as_ref().is_none_or(Template::is_blank) {
            let reason = "`text` and `html` are empty, so everybody would get an empty mail; check what the app rendered";
            return Err(ParseError::field(place, reason));
        }
        if self.subject.is_blank() {
            return Err(ParseError::field(&format!("{place}.subject"), "is blank, so that every mail would have no subject; write one"));
        }
        for (name, part) in self.parts() {
            part.check_backslashes().map_err(|reason| ParseError::field(&format!("{place}.{name}"), reason))?;
        }
        Ok(())
    }
}

impl Content {
    /// Every letter there is, with the place of its words in a command.
    #[must_use]
    pub fn words(&self) -> Vec<(String, &Words)> {
        match self {
            Self::Inline(words) => vec![("content.inline".to_owned(), words)],
            Self::Variants(variants) => variants.of.iter().map(|(name, words)| (format!("content.variants.of.{name}"), words)).collect(),
            Self::Template { .. } => Vec::new(),
        }
    }

    /// Each subject that it has, as far as it is known: a stored template's where it was read.
    #[must_use]
    pub fn subjects(&self) -> Vec<&str> {
        let of_words = self.words().into_iter().map(|(_, words)| words.subject.as_str());
        of_words.chain(self.frozen().map(|template| template.subject.as_str())).collect()
    }

    pub(crate) fn check(&self) -> Result<(), ParseError> {
        if let Self::Variants(Variants { of, fallback, .. }) = self {
            if of.is_empty() {
                return Err(ParseError::field("content.variants.of", "has no variant; give the words for each value of the column"));
            }
            if let Some(fallback) = fallback.as_ref().filter(|fallback| !of.contains_key(fallback)) {
                let reason = format!("is `{fallback}`, and `of` has no words for it; add them, or correct it");
                return Err(ParseError::field("content.variants.fallback", reason));
            }
        }
        self.words().into_iter().try_for_each(|(place, words)| words.check(&place))
    }

    /// Refuses what would be mailed as something else than its author meant. Commands that are in the ledger
    /// already are not judged again.
    pub(crate) fn judge(&self) -> Result<(), ParseError> {
        self.words().into_iter().try_for_each(|(place, words)| words.judge(&place))
    }

    /// What its template said when the broadcast was registered; nothing where it is none, or was not read.
    #[must_use]
    pub fn frozen(&self) -> Option<&StoredTemplate> {
        if let Self::Template { frozen, .. } = self { frozen.as_deref() } else { None }
    }

    /// The same, with what its template says.
    #[must_use]
    pub fn with_frozen(self, template: StoredTemplate) -> Self {
        match self {
            Self::Template { name, sha256, .. } => Self::Template { name, sha256, frozen: Some(Box::new(template)) },
            own => own,
        }
    }

    /// The same, asking for a template that says what it said.
    #[must_use]
    pub fn as_frozen(self) -> Self {
        match self {
            Self::Template { name, sha256, frozen: Some(template) } => {
                let sha256 = template.hash().ok().or(sha256);
                Self::Template { name, sha256, frozen: Some(template) }
            }
            other => other,
        }
    }

    /// Names what only version 2 has; nothing where there is none of it.
    pub(crate) fn newer_than_version_1(&self) -> Option<(String, &'static str)> {
        if let Self::Variants(_) = self {
            return Some(("content.variants".to_owned(), "are not of version 1; write version 2 with them"));
        }
        if let Self::Template { sha256: Some(_), .. } = self {
            return Some(("content.template.sha256".to_owned(), "is not of version 1; write version 2 with it"));
        }
        self.words().into_iter().find_map(|(place, words)| {
            let (name, _) = words.parts().find(|(_, part)| !part.is_plain())?;
            Some((format!("{place}.{name}"), "has a default or a condition, which are not of version 1; write version 2 with them"))
        })
    }

    /// The digest of all that it says, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        // Only maps with keys that are no strings can fail here, and there are none.
        hex::encode(Sha256::digest(serde_json::to_string(self).unwrap_or_default()))
    }

    /// The columns that the content names. Empty for a stored template, whose placeholders only SES knows.
    #[must_use]
    pub fn placeholders(&self) -> BTreeSet<&Placeholder> {
        let by = if let Self::Variants(variants) = self { Some(&variants.by) } else { None };
        let of_words = self.words().into_iter().flat_map(|(_, words)| words.parts().flat_map(|(_, part)| part.placeholders()));
        by.into_iter().chain(of_words).collect()
    }
}
