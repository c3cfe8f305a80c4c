//! What a template that SES stores says at the moment at which it is read. From then on the broadcast is sent with that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Template, TemplateHash, render};

/// The words of a template, in the Handlebars of SES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTemplate {
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

impl StoredTemplate {
    /// SHA-256, in hexadecimal, over its JSON: an object of `subject`, `text` and `html` in this order, without blanks and
    /// without what it has not.
    ///
    /// # Errors
    /// There is none, but for a text that no JSON can hold.
    pub fn hash(&self) -> Result<TemplateHash, String> {
        TemplateHash::try_from(hex::encode(Sha256::digest(self.to_json())))
    }

    /// As the ledger keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Only maps with keys that are no strings can fail here, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Subject, text and HTML.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = [("subject", Some(&self.subject)), ("text", self.text.as_ref()), ("html", self.html.as_ref())];
        parts.into_iter().filter_map(|(name, part)| Some((name, part?.as_str())))
    }

    /// The names that it asks for; nothing where it has more than plain placeholders, of which SES alone knows what it
    /// makes.
    #[must_use]
    pub fn placeholders(&self) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (_, part) in self.parts() {
            let template = Template::try_from(part.to_owned()).ok().filter(Template::is_plain)?;
            // What our own parser takes for a name can be something else to Handlebars.
            render(part, |_| Some(""))?;
            names.extend(template.placeholders().into_iter().map(|name| name.as_str().to_owned()));
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> StoredTemplate {
        StoredTemplate { subject: "Terms for {{name}}".to_owned(), text: Some(text.to_owned()), html: None }
    }

    #[test]
    fn plain_placeholders_are_read_and_whatever_else_handlebars_has_is_not() {
        let names = |text: &str| stored(text).placeholders().map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(names("Dear {{name}}, {{ html_car }}").as_deref(), Some("html_car name"));
        for more in [
            "{{#if car}}x{{/if}}",
            "{{#each cars}}{{this}}{{/each}}",
            "{{{name}}}",
            "\\{{name}}",
            "{{this}}",
            "{{> part}}",
            "{{name | \"you\"}}",
            "{{a.b}}",
        ] {
            assert_eq!(names(more), None, "{more}");
        }
    }

    #[test]
    fn every_change_of_a_part_is_another_template() {
        let hash = |template: &StoredTemplate| template.hash().unwrap();
        let one = stored("Dear {{name}}");
        assert_eq!(hash(&one), hash(&one.clone()));
        for other in [
            stored("Dear  {{name}}"),
            StoredTemplate { html: Some(String::new()), ..one.clone() },
            StoredTemplate { text: None, html: one.text.clone(), ..one.clone() },
        ] {
            assert_ne!(hash(&one), hash(&other), "{other:?}");
        }
    }
}
