//! A template that the provider stores is read once, when its broadcast is registered; what was read is kept with the command and
//! sent. So an edit in the midst changes nothing, and is in nobody's mail.

use issei_letter::shows;
use issei_schema::limits::{COMMAND_BYTES_MAX, CONTENT_BYTES_MAX};
use issei_schema::{BroadcastCommand, Content, Piece, StoredTemplate, Template, is_blank};

use crate::command::Refusal;
use crate::service::{Producer, ProducerError};

impl Producer {
    /// The command with what its template says: as the ledger keeps it where the broadcast is there, and else as the
    /// provider stores it now. `Err` is why it is refused.
    pub(crate) async fn with_template(&self, command: &BroadcastCommand) -> Result<Result<BroadcastCommand, Refusal>, ProducerError> {
        let Content::Template { name, .. } = &command.content else { return Ok(Ok(command.clone())) };
        if let Some(found) = self.ledger.find_broadcast(&command.broadcast_id).await? {
            let is_same = found.command_hash == command.hash().as_str();
            return Ok(Ok(if is_same { self.ledger.command_of(&found).await? } else { command.clone() }));
        }
        let refused = |why: String| Ok(Err(Refusal::Template { name: name.to_string(), why }));
        let carrier = command.provider();
        let Some(provider) = self.providers.get(&carrier) else {
            return refused(format!("`{carrier}` is not asked here for what it stores"));
        };
        let title = provider.facts().title;
        let told = provider.stored(name).await;
        match told.map_err(|reason| ProducerError::Template { title, name: name.to_string(), reason })? {
            Some(template) => Ok(judged(command, template, title)),
            None => refused(format!("{title} stores none of this name; make it, or correct the name")),
        }
    }
}

/// Why a command can't be sent with what its template says; nothing where it can. A producer refuses it for the same.
#[must_use]
pub fn unsendable(command: &BroadcastCommand, template: &StoredTemplate, title: &str) -> Option<Refusal> {
    judged(command, template.clone(), title).err()
}

/// The command with its template, where that may be sent. `title` is who stores it.
fn judged(command: &BroadcastCommand, template: StoredTemplate, title: &str) -> Result<BroadcastCommand, Refusal> {
    let Content::Template { name, sha256, .. } = &command.content else { return Ok(command.clone()) };
    let refused = |why: String| Err(Refusal::Template { name: name.to_string(), why });
    let hash = template.hash().map_err(|why| Refusal::Template { name: name.to_string(), why })?;
    if let Some(wanted) = sha256.as_ref().filter(|wanted| **wanted != hash) {
        return refused(format!(
            "the command is for the template with the hash {wanted}, and {title} stores one with {hash}; look at what it says, and send a new command with its hash"
        ));
    }
    let bytes: usize = template.parts().map(|(_, part)| part.len()).sum();
    // Each call carries it, and one item of the ledger holds it beside the command.
    let in_item = template.to_json().len() + command.to_body().len();
    if bytes > CONTENT_BYTES_MAX || in_item > COMMAND_BYTES_MAX {
        return refused(format!(
            "it has {bytes} bytes, and with the command {in_item}; at most {CONTENT_BYTES_MAX} and {COMMAND_BYTES_MAX} are allowed; shorten it"
        ));
    }
    if is_blank(&template.subject) || !template.parts().any(|(name, part)| name != "subject" && !is_blank(part)) {
        return refused(format!("it has no subject, or neither text nor HTML; correct it in {title}"));
    }
    let words = match template.words() {
        Ok(words) => words,
        Err((part, why)) => {
            return refused(format!(
                "in its {part} {why}, so which rows lack something nobody could say before they are sent to; write it with {{{{name}}}}, {{{{#if name}}}}…{{{{else}}}}…{{{{/if}}}}, {{{{#unless name}}}}…{{{{/unless}}}} and comments alone, or write the words into the command itself"
            ));
        }
    };
    let is_same = |part: &Template| part.pieces().iter().all(|piece| matches!(piece, Piece::Text(_)));
    if words.html.as_ref().is_some_and(|html| !html.as_str().is_empty() && is_same(html) && !shows(html.as_str())) {
        return refused(format!("its HTML has no text that is seen, and no picture; write it, or take it out in {title}"));
    }
    Ok(BroadcastCommand { content: command.content.clone().with_frozen(template), ..command.clone() })
}
