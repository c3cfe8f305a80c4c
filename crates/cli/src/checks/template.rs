//! A template that SES stores: whether it is there, and whether the audience has what it asks for.

use issei_assembly::Parts;
use issei_certificate::Finding;
use issei_producer::{Refusal, unsendable};
use issei_provider::Ses;
use issei_schema::{BroadcastCommand, Content, StoredTemplate};

use super::InEnglish;
use super::setting;

pub(crate) struct Stored {
    pub(crate) finding: Finding,
    /// Nothing where it is not there or can't be read.
    pub(crate) content: Option<StoredTemplate>,
}

impl Stored {
    /// The command with what its template says, where a producer would take that: a row is judged by it as the producer will.
    pub(crate) fn in_command(&self, command: &BroadcastCommand) -> BroadcastCommand {
        let mut command = command.clone();
        if let Some(content) = self.content.clone().filter(|_| self.finding.holds()) {
            command.content = command.content.with_frozen(content);
        }
        command
    }
}

/// Why no producer would take the command with this template.
pub(crate) fn refused(command: &BroadcastCommand, content: &StoredTemplate) -> Option<Refusal> {
    unsendable(command, content, Ses::FACTS.title)
}

/// The template of a command, for an audience with these columns; nothing where its content is its own.
pub(crate) async fn stored(parts: &Parts, command: &BroadcastCommand, columns: &[String]) -> Option<Stored> {
    let Content::Template { name, .. } = &command.content else { return None };
    let finding = setting(&format!("template {}", name.as_str()), "SES GetEmailTemplate").rule(
        "there, with a subject and a body, nothing in it that can't be judged for a row, no placeholder that the audience lacks, and the hash that the command names where it names one",
        "SES takes a message whose data lacks a placeholder, and mails nothing",
    );
    let mend = "correct content.template.name, the template's placeholders, or the audience's columns";
    Some(match parts.ses().template(name).await {
        Ok(Some(content)) => Stored { finding: judged(finding, command, &content, columns).mend(mend), content: Some(content) },
        Ok(None) => Stored { finding: finding.found("SES stores none of this name", false).mend(mend), content: None },
        Err(error) => Stored { finding: finding.unreadable(error).mend("grant ses:GetEmailTemplate"), content: None },
    })
}

fn judged(finding: Finding, command: &BroadcastCommand, content: &StoredTemplate, columns: &[String]) -> Finding {
    let hash = content.hash().map_or_else(|reason| reason, |hash| hash.to_string());
    match refused(command, content) {
        Some(Refusal::Template { why, .. }) => return finding.found(why, false),
        Some(refusal) => return finding.found(refusal.to_string(), false),
        None => {}
    }
    let asked = content.placeholders().unwrap_or_default();
    // Each column comes plain, and as `html_NAME` with its value escaped.
    let has = |name: &str| columns.iter().any(|column| column == name || name.strip_prefix("html_") == Some(column));
    let lacks: Vec<&str> = asked.iter().map(String::as_str).filter(|name| !has(name)).collect();
    let names = asked.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let asked = if names.is_empty() { "no placeholders".to_owned() } else { names };
    if lacks.is_empty() {
        finding.found(format!("{asked}; sha256 {hash}"), true)
    } else {
        finding.found(format!("{asked}; the audience lacks {}", lacks.join(", ")), false)
    }
}
