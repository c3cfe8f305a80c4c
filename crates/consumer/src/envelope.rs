//! From the letters of a command to the parts of a `SendBulkEmail` call.
//!
//! SES renders values as they are, each by its name. Those of our own words are the slots of a letter
//! (`issei_letter`), whose names come from places alone: whatever a column is called, it can't meet another's value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageHeader, MessageTag, ReplacementEmailContent,
    ReplacementTemplate, Template,
};
use issei_letter::{ContentError, Letter, Letters, Rendered};
use issei_schema::{
    BroadcastCommand, ChunkMessage, Mailbox, Recipient, StoredTemplate, UNSUBSCRIBE_PLACEHOLDER, UnsubscribeUrl, WayOut, html_escaped,
};

/// Before a column's name, its value escaped for HTML, in a template stored in SES. Its author chose the
/// names; a command is refused where they meet (`producer/src/command.rs`).
const HTML: &str = "html_";

/// The header of a copy for somebody who wants to see the letter.
const TEST_COPY_HEADER: &str = "X-Issei-Test-Copy";

/// What all recipients of a broadcast share.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub(crate) from: String,
    pub(crate) reply_to: Option<String>,
    letters: Letters,
    way_out: WayOut,
    is_copy: bool,
    /// Of each letter, by its number.
    contents: Vec<BulkEmailContent>,
}

/// One letter of a broadcast, for those of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Enclosed<'a> {
    letter: &'a Letter,
    way_out: &'a WayOut,
    is_copy: bool,
    pub(crate) content: &'a BulkEmailContent,
}

impl Envelope {
    /// The envelope of a command.
    ///
    /// # Errors
    /// Names the part in which a value stands where none can be made safe.
    pub fn of(command: &BroadcastCommand, way_out: WayOut) -> Result<Self, ContentError> {
        let letters = Letters::of(command)?;
        Ok(Self {
            from: command.from.to_header(),
            reply_to: command.reply_to.as_ref().map(Mailbox::to_header),
            contents: letters.all().map(|(_, letter)| content(letter)).collect(),
            letters,
            way_out,
            is_copy: command.test_copy.is_some(),
        })
    }

    /// The one letter of a chunk; nothing where its recipients are to get different ones, or none.
    pub(crate) fn enclosed(&self, message: &ChunkMessage) -> Option<Enclosed<'_>> {
        let mut numbers = message.recipients.iter().map(|recipient| self.letters.number(&recipient.data));
        let number = numbers.next()??;
        let is_one = numbers.all(|other| other == Some(number));
        let (letter, content) = (self.letters.letter(number)?, self.contents.get(number)?);
        is_one.then_some(Enclosed { letter, way_out: &self.way_out, is_copy: self.is_copy, content })
    }

    /// What SES makes of it for one recipient; `stored` is what a template says that was not read at the
    /// registration; it is rendered as far as plain placeholders go. Nothing where SES would make something else of it, or nothing at all.
    #[must_use]
    pub fn rendered(&self, recipient: &Recipient, stored: Option<&StoredTemplate>) -> Option<Rendered> {
        let letter = self.letters.letter(self.letters.number(&recipient.data)?)?;
        let known = known(recipient, self.way_out.of_recipient(recipient).ok().flatten().as_ref());
        if let Some(rendered) = letter.rendered(&known).ok()? {
            return Some(rendered);
        }
        let frozen = if let Letter::Stored { words, .. } = letter { words.as_ref() } else { None };
        let (content, data) = (frozen.or(stored)?, values(letter, &known));
        let render = |text: &String| issei_schema::render(text, |name| data.get(name).map(String::as_str));
        Some(Rendered {
            subject: render(&content.subject)?,
            text: match &content.text {
                Some(text) => Some(render(text)?),
                None => None,
            },
            html: match &content.html {
                Some(html) => Some(render(html)?),
                None => None,
            },
        })
    }
}

impl Enclosed<'_> {
    /// The entry of one recipient, tagged so that any event about it tells whose it is.
    ///
    /// # Errors
    /// The recipient has no way to unsubscribe where the command wants one for everybody.
    pub(crate) fn entry(&self, message: &ChunkMessage, at: usize, recipient: &Recipient) -> Result<BulkEmailEntry, String> {
        let way_out = self.way_out.of_recipient(recipient)?;
        let data = ReplacementTemplate::builder().replacement_template_data(self.data(recipient, way_out.as_ref())).build();
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
            .set_replacement_headers(headers(way_out.as_ref(), self.is_copy))
            .build())
    }

    fn data(&self, recipient: &Recipient, way_out: Option<&UnsubscribeUrl>) -> String {
        serde_json::to_string(&values(self.letter, &known(recipient, way_out))).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// A recipient's data, with the URL to unsubscribe where there is one.
fn known<'a>(recipient: &'a Recipient, way_out: Option<&UnsubscribeUrl>) -> Cow<'a, BTreeMap<String, String>> {
    let Some(url) = way_out else { return Cow::Borrowed(&recipient.data) };
    let mut known = recipient.data.clone();
    known.insert(UNSUBSCRIBE_PLACEHOLDER.to_owned(), url.as_str().to_owned());
    Cow::Owned(known)
}

/// The headers of one click (RFC 8058 section 3.1), of which both stand there, or neither; and the mark of a copy.
fn headers(way_out: Option<&UnsubscribeUrl>, is_copy: bool) -> Option<Vec<MessageHeader>> {
    let one_click =
        |url: &UnsubscribeUrl| [("List-Unsubscribe", url.to_header()), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned())];
    let copy = is_copy.then(|| (TEST_COPY_HEADER, "yes".to_owned()));
    let headers: Vec<MessageHeader> = way_out
        .into_iter()
        .flat_map(one_click)
        .chain(copy)
        // Names and values are all there, so each header can be built.
        .filter_map(|(name, value)| MessageHeader::builder().name(name).value(value).build().ok())
        .collect();
    (!headers.is_empty()).then_some(headers)
}

fn content(letter: &Letter) -> BulkEmailContent {
    // SES wants default data where a template has placeholders; every entry brings its own.
    let template = Template::builder().template_data("{}");
    let template = match letter {
        // An edit in the midst changes nothing.
        Letter::Stored { words: Some(StoredTemplate { subject, text, html }), .. } => {
            let content = EmailTemplateContent::builder().subject(subject).set_text(text.clone()).set_html(html.clone());
            template.template_content(content.build())
        }
        Letter::Stored { name, words: None } => template.template_name(name.as_str()),
        Letter::Own { subject, text, html } => {
            let content = EmailTemplateContent::builder().subject(subject.skeleton());
            let content = content.set_text(text.as_ref().map(issei_letter::Part::skeleton));
            template.template_content(content.set_html(html.as_ref().map(issei_letter::Part::skeleton)).build())
        }
    };
    BulkEmailContent::builder().template(template.build()).build()
}

/// The template's data, by its names.
fn values(letter: &Letter, data: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    match letter {
        Letter::Own { .. } => letter.values(data).collect(),
        // Every column, plain and escaped: only SES knows the template's placeholders. What was escaped comes last, so
        // that nothing takes its place.
        Letter::Stored { .. } => {
            let escaped = data.iter().map(|(name, value)| (format!("{HTML}{name}"), html_escaped(value)));
            data.clone().into_iter().chain(escaped).collect()
        }
    }
}

#[cfg(test)]
mod tests;
