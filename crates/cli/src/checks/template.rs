//! A template that SES stores: whether it is there, and whether the audience has what it asks for.

use std::collections::BTreeSet;

use aws_sdk_sesv2::operation::get_email_template::GetEmailTemplateError;
use aws_sdk_sesv2::types::EmailTemplateContent;
use issei_assembly::Parts;
use issei_aws::chain;
use issei_certificate::Finding;
use issei_schema::{Template, TemplateName};

use super::setting;

pub(crate) struct Stored {
    pub(crate) finding: Finding,
    /// Nothing where it is not there or can't be read.
    pub(crate) content: Option<EmailTemplateContent>,
}

/// The template of this name, for an audience with these columns.
pub(crate) async fn stored(parts: &Parts, name: &TemplateName, columns: &[String]) -> Stored {
    let finding = setting(&format!("template {}", name.as_str()), "SES GetEmailTemplate").rule(
        "there, with no placeholder that the audience lacks",
        "SES takes a message whose data lacks a placeholder, and mails nothing",
    );
    let mend = "correct content.template.name, the template's placeholders, or the audience's columns";
    match parts.clients.ses.get_email_template().template_name(name.as_str()).send().await {
        Ok(told) => {
            let finding = judged(finding, told.template_content.as_ref(), columns).mend(mend);
            Stored { finding, content: told.template_content }
        }
        Err(error) if error.as_service_error().is_some_and(GetEmailTemplateError::is_not_found_exception) => {
            Stored { finding: finding.found("SES stores none of this name", false).mend(mend), content: None }
        }
        Err(error) => Stored { finding: finding.unreadable(chain(&error)).mend("grant ses:GetEmailTemplate"), content: None },
    }
}

fn judged(finding: Finding, content: Option<&EmailTemplateContent>, columns: &[String]) -> Finding {
    let Some(content) = content else { return finding.unreadable("SES did not tell what it says") };
    let parts = [&content.subject, &content.text, &content.html].into_iter().flatten();
    let parts: Result<Vec<Template>, _> = parts.map(|part| Template::try_from(part.clone())).collect();
    let Some(parts) = parts.ok().filter(|parts| parts.iter().all(Template::is_plain)) else {
        return finding.unreadable("it is there, and has more than plain placeholders: which data it needs is not checked");
    };
    let asked: BTreeSet<&str> = parts.iter().flat_map(Template::placeholders).map(issei_schema::Placeholder::as_str).collect();
    // Each column comes plain, and as `html_NAME` with its value escaped.
    let has = |name: &str| columns.iter().any(|column| column == name || name.strip_prefix("html_") == Some(column));
    let lacks: Vec<&str> = asked.iter().copied().filter(|name| !has(name)).collect();
    let asked = if asked.is_empty() { "no placeholders".to_owned() } else { asked.into_iter().collect::<Vec<_>>().join(", ") };
    if lacks.is_empty() {
        finding.found(asked, true)
    } else {
        finding.found(format!("{asked}; the audience lacks {}", lacks.join(", ")), false)
    }
}
