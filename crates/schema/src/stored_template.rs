//! What a template that SES stores says at the moment at which it is read. From then on the broadcast is sent with that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::handlebars::read;
use crate::{TemplateHash, Unjudged, Words};

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

    /// Its words, as far as issei can judge them for a row: values, conditions, comments.
    ///
    /// # Errors
    /// Names the part and what in it the provider alone can read.
    pub fn words(&self) -> Result<Words, (&'static str, Unjudged)> {
        let part = |name, part: &Option<String>| part.as_deref().map(|part| read(part).map_err(|why| (name, why))).transpose();
        let subject = read(&self.subject).map_err(|why| ("subject", why))?;
        Ok(Words { subject, text: part("text", &self.text)?, html: part("html", &self.html)? })
    }

    /// The names that it asks for, to show what stands there or by a condition; nothing where it has what issei can't judge.
    #[must_use]
    pub fn placeholders(&self) -> Option<BTreeSet<String>> {
        let words = self.words().ok()?;
        Some(words.parts().flat_map(|(_, part)| part.placeholders()).map(|name| name.as_str().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> StoredTemplate {
        StoredTemplate { subject: "Terms for {{name}}".to_owned(), text: Some(text.to_owned()), html: None }
    }

    #[test]
    fn values_conditions_and_comments_are_read_and_whatever_else_handlebars_has_is_not() {
        let names = |text: &str| stored(text).placeholders().map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        for (text, expected) in [
            ("Dear {{name}}, {{ html_car }}", "html_car name"),
            ("{{{name}}} {{&car}}", "car name"),
            ("{{#if car}}{{a}}{{else if b}}{{c}}{{^}}{{d}}{{/if}}", "a b c car d name"),
            ("{{~#unless car~}} {{a}} {{~else~}} x {{~/unless~}}", "a car name"),
            ("{{! {{x }} {{!-- {{y}} {{#each z}} --}} {{~!-- }} --~}} {{~! a ~}}", "name"),
        ] {
            assert_eq!(names(text).as_deref(), Some(expected), "{text}");
        }
        for (more, why) in [
            ("{{#each cars}}{{this}}{{/each}}", "`{{#each cars}}` at byte 0 is a block beside"),
            ("{{#with car}}{{a}}{{/with}}", "is a block beside"),
            ("{{#car}}x{{/car}}", "is a block beside"),
            ("{{^car}}x{{/car}}", "turns round"),
            ("{{#if car}}x{{ /if }}", "`{{ /if }}` at byte 12 has white space before the sign"),
            ("{{~ #if car}}x{{/if}}", "has white space before the sign"),
            ("{{#if car}}x{{ ^ }}y{{/if}}", "has white space before the sign"),
            ("{{ &name}}", "has white space before the sign"),
            ("Dear \\{{name}}", "`{{name}}` at byte 6 has a backslash before it"),
            ("{{this}}", "names no column"),
            ("{{@index}}", "is of a loop"),
            ("{{> part}}", "is a part that the provider puts in"),
            ("{{name | \"you\"}}", "calls a helper"),
            ("{{#if (eq a b)}}x{{/if}}", "calls a helper"),
            ("{{#if a includeZero=true}}x{{/if}}", "calls a helper"),
            ("{{formatDate a}}", "calls a helper"),
            ("{{a.b}}", "asks for a part of a value"),
            ("{{../a}}", "asks for a part of a value"),
            ("{{\u{540d}\u{524d}}}", "is no name of a column"),
            ("{{{{raw}}}}x{{{{/raw}}}}", "raw block"),
            ("{{~{a}~}}", "raw block"),
            ("{{a}}}", "more braces"),
            ("{{#if a}}x", "`{{#if a}}` at byte 0 is not closed"),
            ("{{#if a}}x{{/unless}}", "closes another condition"),
            ("{{#if a}}x{{else}}y{{else}}z{{/if}}", "belongs to no condition"),
            ("{{else}}", "belongs to no condition"),
            ("{{#if a}}x{{else each b}}y{{/if}}", "is nothing that issei reads"),
            ("x{{/if}}", "closes nothing"),
            ("{{a", "is not closed"),
            ("{{!-- a }}", "is not closed"),
        ] {
            let (part, found) = stored(more).words().unwrap_err();
            assert!(part == "text" && found.to_string().contains(why), "{more}: {found}");
        }
        let deep = ["{{#if a}}".repeat(33), "x".to_owned(), "{{/if}}".repeat(33)].concat();
        assert!(stored(&deep).words().unwrap_err().1.to_string().contains("too many others"));
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
