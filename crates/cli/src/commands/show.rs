//! `issei show`: what a broadcast says, as the ledger keeps it, and the letter of anybody in its frozen audience. It prints
//! what somebody was written, since that is what it is asked for.

use std::path::Path;

use anyhow::bail;
use issei_assembly::{Settings, say};
use issei_ledger::{Broadcast, BroadcastState, Forgotten, Ledger};
use issei_schema::{Bilingual, BroadcastCommand, Content, Recipient, both};
use serde_json::json;

use crate::args::ShowOptions;
use crate::commands::inspect::nobody;
use crate::in_use::{self, Care};
use crate::letters::{Letter, can_stand, letters, of_held, print, write};
use crate::{Ended, Refused, output, sendable};

pub(crate) async fn run(settings: &Settings, options: &ShowOptions, as_json: bool) -> anyhow::Result<Ended> {
    output::is_for_a_page(options.output.as_deref())?;
    can_stand(options.output.as_deref())?;
    let parts = in_use::open(settings, Care::Says).await?;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    let command = ledger.command_of(&broadcast).await?;
    let shown = match &options.recipient {
        // Whoever is to approve it looks here, too.
        None if broadcast.holds_before_first_send() => of_held(&parts, &broadcast).await?,
        None => Vec::new(),
        // An address may stand under several keys, each with data of its own.
        Some(who) => {
            let found = found(&ledger, &broadcast, who).await?;
            letters(&command, found.iter().map(|recipient| (vec![as_frozen()], recipient)), None)?
        }
    };
    let unsendable = match broadcast.broadcast_state {
        BroadcastState::Holding | BroadcastState::Paused if options.recipient.is_none() => sendable::found(&parts, &broadcast).await?,
        _ => None,
    };
    let unsendable = unsendable.map(|found| found.why);
    if let Some(file) = &options.output {
        write(file, &command, &shown)?;
    }
    let (content_hash, command_hash) = (command.content.digest(), &broadcast.command_hash);
    if as_json {
        let content = json!({
            "broadcast_id": options.id, "class": command.class(), "from": command.from, "content": command.content,
            "content_hash": content_hash, "command_hash": command_hash, "letters": shown,
            "template": command.content.frozen(), "template_hash": broadcast.template_hash, "terms": broadcast.terms(), "unsendable": unsendable,
        });
        in_use::say_document(content)?;
        return Ok(Ended::Well);
    }
    say(&format!("broadcast      {}", options.id));
    say(&format!("class          {}", command.class()));
    say(&format!("from           {}", command.from.to_header()));
    say(&format!("terms          {}", broadcast.terms()));
    say(&format!("content hash   {content_hash}"));
    say(&format!("command hash   {command_hash}"));
    if let Some(hash) = &broadcast.template_hash {
        say(&format!("template hash  {hash}"));
    }
    if options.recipient.is_some() {
        print(&shown);
    } else if let Content::Template { name, frozen, .. } = &command.content {
        match frozen {
            None => say(&format!("template       {name}, as SES stores it")),
            Some(template) => {
                say(&format!("template       {name}, as SES stored it when the broadcast was registered"));
                for (part, text) in template.parts() {
                    say(&format!("\ncontent.template.{part}\n{text}"));
                }
            }
        }
    } else {
        for (place, words) in command.content.words() {
            for (part, text) in words.parts() {
                say(&format!("\n{place}.{part}\n{}", text.as_str()));
            }
        }
    }
    if options.recipient.is_none() {
        print(&shown);
    }
    if let Some(why) = unsendable {
        say(&format!("\nNOT SENT: {}", why.english));
    }
    if let Some(file) = options.output.as_deref().filter(|file| !output::is_standard(file)).map(Path::display) {
        say(&format!("\n{file} shows all parts, wide and narrow"));
    }
    Ok(Ended::Well)
}

/// The letter of somebody in the frozen audience.
pub(crate) fn letter_of(command: &BroadcastCommand, recipient: &Recipient) -> anyhow::Result<Option<Letter>> {
    Ok(letters(command, vec![(vec![as_frozen()], recipient)], None)?.pop())
}

fn as_frozen() -> Bilingual {
    both!("as frozen", "確定時の内容")
}

/// All who have this key, or this address, in the frozen audience.
async fn found(ledger: &Ledger, broadcast: &Broadcast, who: &str) -> anyhow::Result<Vec<Recipient>> {
    let found = ledger.finder(who).await?.look(broadcast, |_| ()).await?;
    if !found.recipients.is_empty() {
        return Ok(found.recipients.into_iter().map(|standing| standing.recipient).collect());
    }
    if let Some((page, skipped)) = found.skipped.first() {
        let detail = skipped.detail().map_or(String::new(), |detail| format!(", {detail}"));
        bail!(Refused(format!(
            "{} was skipped as {}{detail} when page {page} was frozen, so there is no letter; `issei why {} KEY` says what is known, and whoever is mailable since is sent to by a new broadcast or by `issei resend`",
            skipped.name(),
            skipped.reason,
            broadcast.broadcast_id
        )));
    }
    if let Some(Forgotten { at, .. }) = found.forgotten.first() {
        bail!("whoever has that key or address was forgotten at {at:.0}, and with them what they were written");
    }
    Err(nobody(broadcast, &found, who))
}
