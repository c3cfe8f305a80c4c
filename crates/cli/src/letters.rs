//! Letters as their recipients get them, by the code that writes what SES renders. They are shown where somebody
//! asks for them, and stand in no log.

use std::path::Path;

use askama::Template;
use issei_assembly::{Parts, say};
use issei_consumer::Envelope;
use issei_ledger::{Broadcast, Example};
use issei_letter::Rendered;
use issei_schema::{BroadcastCommand, Content, Recipient, StoredTemplate, WayOut};
use serde::Serialize;

use crate::checks::stored;
use crate::output;
use crate::pages::STYLE;

/// So much of a text is shown on a terminal; a page shows all of it.
const LINES: usize = 20;

/// A letter to one of the audience.
#[derive(Debug, Serialize)]
pub(crate) struct Letter {
    /// What it is an example of.
    of: Vec<String>,
    key: String,
    /// Nothing where the template has more than plain placeholders.
    pub(crate) rendered: Option<Rendered>,
}

/// The letters of these, each with what it is an example of; `stored` is what a template says that was not
/// read at a registration.
pub(crate) fn letters<'a>(
    command: &BroadcastCommand,
    recipients: impl IntoIterator<Item = (Vec<String>, &'a Recipient)>,
    stored: Option<&StoredTemplate>,
) -> anyhow::Result<Vec<Letter>> {
    let envelope = Envelope::of(command, WayOut::shown(command))?;
    let of = |(of, recipient): (Vec<String>, &Recipient)| Letter {
        of,
        key: recipient.key.as_str().to_owned(),
        rendered: envelope.rendered(recipient, stored),
    };
    Ok(recipients.into_iter().map(of).collect())
}

/// What somebody is an example of, in words.
pub(crate) fn told(of: &[Example]) -> Vec<String> {
    of.iter().map(Example::to_string).collect()
}

/// The letters of a broadcast that holds before its first send, as they are frozen.
pub(crate) async fn of_held(parts: &Parts, broadcast: &Broadcast) -> anyhow::Result<Vec<Letter>> {
    let ledger = parts.ledger();
    let (examples, command) = (ledger.examples(broadcast).await?, ledger.command_of(broadcast).await?);
    let stored = match &command.content {
        // Registered by a build that did not read it.
        Content::Template { name, frozen: None, .. } => stored(parts, name, None, &[]).await.content,
        Content::Template { .. } | Content::Inline(_) | Content::Variants(_) => None,
    };
    letters(&command, examples.iter().map(|(of, recipient)| (told(of), recipient)), stored.as_ref())
}

pub(crate) fn print(letters: &[Letter]) {
    print_beside(letters, "-o preview.html");
}

/// `page` is where all of the HTML is.
pub(crate) fn print_beside(letters: &[Letter], page: &str) {
    for Letter { of, key, rendered } in letters {
        say(&format!("\nletter         {}: key {key}", of.join(", ")));
        let Some(Rendered { subject, text, html }) = rendered else {
            say("               not shown: the template has more than plain placeholders");
            continue;
        };
        say(&format!("  subject      {subject}"));
        for (at, line) in text.iter().flat_map(|text| text.lines()).take(LINES).enumerate() {
            say(&format!("{}{line}", if at == 0 { "  text         " } else { "               " }));
        }
        if text.as_ref().is_some_and(|text| text.lines().count() > LINES) {
            say("               …");
        }
        if let Some(html) = html {
            say(&format!("  html         {} bytes; {page} shows it", html.len()));
        }
    }
}

/// The letters as a page of their own. What a letter holds is shown and never run.
#[derive(Template)]
#[template(path = "preview.html", escape = "letter")]
struct Preview<'a> {
    broadcast_id: &'a str,
    from: String,
    style: &'static str,
    letters: &'a [Letter],
}

pub(crate) fn page(command: &BroadcastCommand, letters: &[Letter]) -> anyhow::Result<String> {
    let (broadcast_id, from) = (command.broadcast_id.as_str(), command.from.to_header());
    Ok(Preview { broadcast_id, from, style: STYLE, letters }.render()?)
}

pub(crate) fn write(file: &Path, command: &BroadcastCommand, letters: &[Letter]) -> anyhow::Result<()> {
    output::write_for_oneself(file, "the preview", &page(command, letters)?)
}
