//! From a call to the parts of `SendBulkEmail`.
//!
//! SES renders values as they are, each by its name. Those of our own words are the slots of a letter
//! (`issei_letter`), whose names come from places alone: whatever a column is called, it can't meet another's value.

use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageHeader, MessageTag, ReplacementEmailContent,
    ReplacementTemplate, Template,
};
use aws_smithy_async::time::StaticTimeSource;
use issei_letter::Letter;
use issei_schema::StoredTemplate;
use jiff::Timestamp;

use crate::{Call, Entry};

/// Signs one call with this moment, in whole seconds as signatures have it, for `customize().config_override(…)`.
///
/// AWS refuses a request whose signature is more than five minutes old (IAM user guide, "Elements of an AWS API request
/// signature"). The SDK corrects what it takes for a wrong clock by adding what the last answer's clock was ahead: that
/// would make every signature a fresh one.
pub(super) fn signed_at(moment: Timestamp) -> aws_sdk_sesv2::config::Builder {
    aws_sdk_sesv2::config::Builder::new()
        .time_source(StaticTimeSource::from_secs(u64::try_from(moment.as_second()).unwrap_or(0)))
        .disable_clock_skew_correction(true)
}

/// The entry of one recipient, tagged so that any event about it tells whose it is.
pub(super) fn entry(call: &Call<'_>, entry: &Entry) -> BulkEmailEntry {
    let data = serde_json::to_string(&entry.values).unwrap_or_else(|_| "{}".to_owned());
    let data = ReplacementTemplate::builder().replacement_template_data(data).build();
    BulkEmailEntry::builder()
        .destination(Destination::builder().to_addresses(entry.to.as_str()).build())
        .replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build())
        .set_replacement_tags(Some(
            call.tags(entry)
                .into_iter()
                // Names and values are all there, so every tag can be built.
                .filter_map(|(name, value)| MessageTag::builder().name(name).value(value).build().ok())
                .collect(),
        ))
        .set_replacement_headers(headers(entry))
        .build()
}

fn headers(entry: &Entry) -> Option<Vec<MessageHeader>> {
    let header = |(name, value): &(&'static str, String)| MessageHeader::builder().name(*name).value(value).build();
    // Names and values are all there, so each header can be built.
    let headers: Vec<MessageHeader> = entry.headers.iter().filter_map(|given| header(given).ok()).collect();
    (!headers.is_empty()).then_some(headers)
}

pub(super) fn content(letter: &Letter) -> BulkEmailContent {
    // SES wants default data where a template has placeholders; every entry brings its own.
    let template = Template::builder().template_data("{}");
    let template = match letter {
        // What was read: an edit in the midst changes nothing.
        Letter::Stored(stored) => match stored.words() {
            Some(StoredTemplate { subject, text, html }) => {
                let content = EmailTemplateContent::builder().subject(subject).set_text(text.clone()).set_html(html.clone());
                template.template_content(content.build())
            }
            None => template.template_name(stored.name().as_str()),
        },
        Letter::Own { subject, text, html } => {
            let content = EmailTemplateContent::builder().subject(subject.skeleton());
            let content = content.set_text(text.as_ref().map(issei_letter::Part::skeleton));
            template.template_content(content.set_html(html.as_ref().map(issei_letter::Part::skeleton)).build())
        }
    };
    BulkEmailContent::builder().template(template.build()).build()
}
