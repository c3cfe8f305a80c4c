//! From a command and its recipients to the parts of a `SendBulkEmail` call.
//!
//! Values of a user's row stand in three places that differ in what they can do harm with: the
//! subject is a header, the HTML is markup, the text is neither. SES renders values as they are, so
//! each place has values of its own. Their names are made from places alone, `t0` for the first
//! placeholder in the text, `h0` in the HTML and `l0` in the subject line, and never from a column's
//! name: whatever a column is called, it can't meet another's value.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageHeader, MessageTag, ReplacementEmailContent,
    ReplacementTemplate, Template,
};
use issei_schema::{
    BroadcastCommand, ChunkMessage, Content, Placeholder, Recipient, UNSUBSCRIBE_PLACEHOLDER, UnsubscribeUrl, WayOut, html_escaped,
    on_one_line,
};
use serde::Serialize;

/// Before a column's name, its value escaped for HTML, in a template stored in SES. Its author chose the
/// names; a command is refused where they meet (`producer/src/command.rs`).
const HTML: &str = "html_";

/// What all recipients of a broadcast share.
#[derive(Clone, Debug)]
pub struct Letter {
    pub(crate) from: String,
    pub(crate) reply_to: Option<String>,
    pub(crate) content: BulkEmailContent,
    values: Values,
    way_out: WayOut,
}

/// A letter as its recipient gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rendered {
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// What the content needs of a recipient.
#[derive(Clone, Debug)]
enum Values {
    /// Every column, plain and escaped: only SES knows the template's placeholders.
    Stored,
    Inline(Vec<Value>),
}

/// One value of the template's data.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    column: String,
    made_safe: fn(&str) -> String,
}

impl Letter {
    #[must_use]
    pub fn of(command: &BroadcastCommand, way_out: WayOut) -> Self {
        // SES wants default data where a template has placeholders; every entry brings its own.
        let template = Template::builder().template_data("{}");
        let (template, values) = match &command.content {
            Content::Template { name } => (template.template_name(name.as_str()), Values::Stored),
            Content::Inline { subject, text, html } => {
                let columns: Vec<&Placeholder> = command.content.placeholders().into_iter().collect();
                let mut values = Vec::new();
                let mut part = |part: &issei_schema::Template, place: char, made_safe: fn(&str) -> String| {
                    let name_of = |placeholder: &Placeholder| format!("{place}{}", columns.binary_search(&placeholder).unwrap_or_default());
                    let asked: BTreeSet<&Placeholder> = part.placeholders().collect();
                    values.extend(asked.into_iter().map(|placeholder| Value {
                        name: name_of(placeholder),
                        column: placeholder.as_str().to_owned(),
                        made_safe,
                    }));
                    part.replaced(|placeholder| format!("{{{{{}}}}}", name_of(placeholder)))
                };
                let content = EmailTemplateContent::builder()
                    .subject(part(subject, 'l', on_one_line))
                    .set_text(text.as_ref().map(|text| part(text, 't', str::to_owned)))
                    .set_html(html.as_ref().map(|html| part(html, 'h', html_escaped)))
                    .build();
                (template.template_content(content), Values::Inline(values))
            }
        };
        Self {
            from: command.from.to_header(),
            reply_to: command.reply_to.as_ref().map(issei_schema::Mailbox::to_header),
            content: BulkEmailContent::builder().template(template.build()).build(),
            values,
            way_out,
        }
    }

    /// The entry of one recipient, tagged so that any event about it tells whose it is.
    ///
    /// # Errors
    /// The recipient has no way to unsubscribe where the command wants one for everybody.
    pub(crate) fn entry(&self, message: &ChunkMessage, at: usize, recipient: &Recipient) -> Result<BulkEmailEntry, String> {
        let way_out = self.way_out.of_recipient(recipient)?;
        let data = ReplacementTemplate::builder().replacement_template_data(self.data(recipient)).build();
        Ok(BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(recipient.address.as_str()).build())
            .replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build())
            .set_replacement_tags(Some(
                [("broadcast", message.broadcast_id.to_string()), ("chunk", message.chunk.to_string()), ("recipient", at.to_string())]
                    .into_iter()
                    // Names and values are all there, so every tag can be built.
                    .filter_map(|(name, value)| MessageTag::builder().name(name).value(value).build().ok())
                    .collect(),
            ))
            .set_replacement_headers(way_out.map(|url| headers(&url)))
            .build())
    }

    /// What SES makes of it for one recipient, as far as plain placeholders go; `stored` is the content of the
    /// template where SES stores it. Nothing where SES would make something else of it, or nothing at all.
    #[must_use]
    pub fn rendered(&self, recipient: &Recipient, stored: Option<&EmailTemplateContent>) -> Option<Rendered> {
        let template = self.content.template.as_ref()?;
        let content = template.template_content.as_ref().or(stored)?;
        let data = self.values_of(recipient);
        let render = |part: &Option<String>| match part {
            Some(text) => issei_schema::render(text, |name| data.get(name).map(String::as_str)).map(Some),
            None => Some(None),
        };
        Some(Rendered {
            subject: render(&content.subject)?.unwrap_or_default(),
            text: render(&content.text)?,
            html: render(&content.html)?,
        })
    }

    fn data(&self, recipient: &Recipient) -> String {
        serde_json::to_string(&self.values_of(recipient)).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The template's data, by its names.
    fn values_of(&self, recipient: &Recipient) -> BTreeMap<String, String> {
        let (mut data, mut known) = (BTreeMap::new(), recipient.data.clone());
        // Who has none is not sent to.
        if let Ok(Some(url)) = self.way_out.of_recipient(recipient) {
            known.insert(UNSUBSCRIBE_PLACEHOLDER.to_owned(), url.as_str().to_owned());
        }
        match &self.values {
            Values::Stored => {
                data.extend(known.clone());
                // Last, so that nothing takes the place of what was escaped.
                data.extend(known.iter().map(|(name, value)| (format!("{HTML}{name}"), html_escaped(value))));
            }
            Values::Inline(values) => {
                for Value { name, column, made_safe } in values {
                    data.extend(known.get(column).map(|value| (name.clone(), made_safe(value))));
                }
            }
        }
        data
    }
}

/// The headers of one click (RFC 8058 section 3.1). Both stand there, or neither.
fn headers(url: &UnsubscribeUrl) -> Vec<MessageHeader> {
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build();
    // Names and values are all there, so each header can be built.
    [header("List-Unsubscribe", &url.to_header()), header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]
        .into_iter()
        .filter_map(Result::ok)
        .collect()
}

#[cfg(test)]
mod tests;
