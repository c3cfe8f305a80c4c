//! What a broadcast says.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{CONTENT_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::text::{check_body, check_line};
use crate::{ParseError, Placeholder, Template, TemplateName};

/// What a broadcast says: its own words, or the name of a template stored in SES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// The words themselves. At least one of `text` and `html`.
    Inline {
        subject: Template,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Template>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<Template>,
    },
    /// A template stored in SES. It gets every column `name` as it is and as `html_name`,
    /// escaped for HTML, since SES itself escapes nothing.
    Template { name: TemplateName },
}

impl Content {
    pub(crate) fn check(&self) -> Result<(), ParseError> {
        let Self::Inline { subject, text, html } = self else { return Ok(()) };
        if text.is_none() && html.is_none() {
            return Err(ParseError::field("content.inline", "has neither `text` nor `html`; give at least one"));
        }
        subject.check_text(check_line).map_err(|reason| ParseError::field("content.inline.subject", reason))?;
        let size = |template: &Template| String::from(template.clone()).len();
        let subject_bytes = size(subject);
        if subject_bytes == 0 || subject_bytes > SUBJECT_BYTES_MAX {
            return Err(ParseError::field(
                "content.inline.subject",
                format!("has {subject_bytes} bytes; 1 to {SUBJECT_BYTES_MAX} are allowed"),
            ));
        }
        let mut bytes = subject_bytes;
        for (field, part) in [("content.inline.text", text), ("content.inline.html", html)] {
            let Some(part) = part else { continue };
            part.check_text(check_body).map_err(|reason| ParseError::field(field, reason))?;
            bytes += size(part);
        }
        if bytes > CONTENT_BYTES_MAX {
            return Err(ParseError::field(
                "content.inline",
                format!("has {bytes} bytes and at most {CONTENT_BYTES_MAX} are allowed; shorten it"),
            ));
        }
        Ok(())
    }

    /// Refuses what would be mailed as something else than its author meant. Commands that are in the ledger
    /// already are not judged again.
    pub(crate) fn judge(&self) -> Result<(), ParseError> {
        let Self::Inline { subject, text, html } = self else { return Ok(()) };
        if text.as_ref().is_none_or(Template::is_blank) && html.as_ref().is_none_or(Template::is_blank) {
            let reason = "`text` and `html` are empty, so everybody would get an empty mail; check what the app rendered";
            return Err(ParseError::field("content.inline", reason));
        }
        let parts =
            [("content.inline.subject", Some(subject)), ("content.inline.text", text.as_ref()), ("content.inline.html", html.as_ref())];
        for (field, part) in parts {
            part.map_or(Ok(()), Template::check_backslashes).map_err(|reason| ParseError::field(field, reason))?;
        }
        Ok(())
    }

    /// The names that the content needs from every recipient. Empty for a stored template, whose
    /// placeholders only SES knows.
    #[must_use]
    pub fn placeholders(&self) -> BTreeSet<&Placeholder> {
        match self {
            Self::Template { .. } => BTreeSet::new(),
            Self::Inline { subject, text, html } => {
                [Some(subject), text.as_ref(), html.as_ref()].into_iter().flatten().flat_map(Template::placeholders).collect()
            }
        }
    }
}
