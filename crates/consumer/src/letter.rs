//! From a command and its recipients to the parts of a `SendBulkEmail` call.
//!
//! Values of a user's row stand in three places that differ in what they can do harm with: the
//! subject is a header, the HTML is markup, the text is neither. SES renders values as they are, so
//! each place has its own name for them: `{{name}}` in the text, `{{html_name}}` in the HTML and
//! `{{line_name}}` in the subject.

use std::collections::BTreeMap;

use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageTag, ReplacementEmailContent, ReplacementTemplate, Template,
};
use issei_schema::{BroadcastCommand, ChunkMessage, Content, Recipient, html_escaped, on_one_line};

const HTML: &str = "html_";
const LINE: &str = "line_";

/// What all recipients of a broadcast share.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) from: String,
    pub(crate) reply_to: Option<String>,
    pub(crate) content: BulkEmailContent,
    /// Which forms of a value the content asks for.
    forms: Forms,
}

#[derive(Clone, Copy, Debug)]
struct Forms {
    plain: bool,
    html: bool,
    line: bool,
}

impl Letter {
    pub(crate) fn of(command: &BroadcastCommand) -> Self {
        // SES wants default data where a template has placeholders; every entry brings its own.
        let template = Template::builder().template_data("{}");
        let (template, forms) = match &command.content {
            Content::Template { name } => (template.template_name(name.as_str()), Forms { plain: true, html: true, line: false }),
            Content::Inline { subject, text, html } => {
                let content = EmailTemplateContent::builder()
                    .subject(subject.with_prefix(LINE))
                    .set_text(text.as_ref().map(|text| text.with_prefix("")))
                    .set_html(html.as_ref().map(|html| html.with_prefix(HTML)))
                    .build();
                let asks = |part: Option<&issei_schema::Template>| part.is_some_and(|part| part.placeholders().next().is_some());
                let forms = Forms { plain: asks(text.as_ref()), html: asks(html.as_ref()), line: asks(Some(subject)) };
                (template.template_content(content), forms)
            }
        };
        Self {
            from: command.from.to_header(),
            reply_to: command.reply_to.as_ref().map(issei_schema::Mailbox::to_header),
            content: BulkEmailContent::builder().template(template.build()).build(),
            forms,
        }
    }

    /// The entry of one recipient, tagged so that any event about it tells whose it is.
    pub(crate) fn entry(&self, message: &ChunkMessage, at: usize, recipient: &Recipient) -> BulkEmailEntry {
        let data = ReplacementTemplate::builder().replacement_template_data(self.data(recipient)).build();
        BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(recipient.address.as_str()).build())
            .replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build())
            .set_replacement_tags(Some(
                [("broadcast", message.broadcast_id.to_string()), ("chunk", message.chunk.to_string()), ("recipient", at.to_string())]
                    .into_iter()
                    // Names and values are all there, so every tag can be built.
                    .filter_map(|(name, value)| MessageTag::builder().name(name).value(value).build().ok())
                    .collect(),
            ))
            .build()
    }

    fn data(&self, recipient: &Recipient) -> String {
        let mut data: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &recipient.data {
            if self.forms.plain {
                data.insert(name.clone(), value.clone());
            }
            if self.forms.html {
                data.insert(format!("{HTML}{name}"), html_escaped(value));
            }
            if self.forms.line {
                data.insert(format!("{LINE}{name}"), on_one_line(value));
            }
        }
        serde_json::to_string(&data).unwrap_or_else(|_| "{}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(content: &serde_json::Value) -> BroadcastCommand {
        let command = serde_json::json!({
            "version": 1, "broadcast_id": "b", "audience": "users", "content": content, "from": "a@example.com",
            "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        BroadcastCommand::parse(&command.to_string()).unwrap()
    }

    fn recipient(name: &str) -> Recipient {
        Recipient {
            key: "1".parse().unwrap(),
            address: "u@example.com".parse().unwrap(),
            data: [("name".to_owned(), name.to_owned())].into(),
        }
    }

    #[test]
    fn a_value_is_made_safe_for_each_place_it_stands_in() {
        let letter = Letter::of(&command(&serde_json::json!({
            "inline": { "subject": "Hi {{name}}", "text": "Hi {{name}}", "html": "<p title=\"{{name}}\">" },
        })));
        let data: serde_json::Value = serde_json::from_str(&letter.data(&recipient("<b>\"Ann\"\r\nBcc: x@example.com"))).unwrap();
        assert_eq!(data["name"], "<b>\"Ann\"\r\nBcc: x@example.com");
        assert_eq!(data["html_name"], "&lt;b&gt;&quot;Ann&quot;\r\nBcc: x@example.com");
        assert_eq!(data["line_name"], "<b>\"Ann\"  Bcc: x@example.com");
        let template = letter.content.template().unwrap().template_content().unwrap();
        assert_eq!(template.subject(), Some("Hi {{line_name}}"));
        assert_eq!(template.text(), Some("Hi {{name}}"));
        assert_eq!(template.html(), Some("<p title=\"{{html_name}}\">"));
    }

    #[test]
    fn what_the_content_does_not_ask_for_is_not_sent() {
        let letter = Letter::of(&command(&serde_json::json!({ "inline": { "subject": "Hi", "text": "Hi {{name}}" } })));
        assert_eq!(letter.data(&recipient("Ann")), r#"{"name":"Ann"}"#);
    }
}
