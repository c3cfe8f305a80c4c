//! Three letters as their recipients will get them, by the code that writes what SES renders. They are shown
//! where somebody asks for them, and stand in no log.

use std::path::Path;

use anyhow::Context;
use askama::Template;
use aws_sdk_sesv2::types::EmailTemplateContent;
use issei_assembly::say;
use issei_consumer::Envelope;
use issei_letter::Rendered;
use issei_producer::Samples;
use issei_schema::{BroadcastCommand, WayOut};
use serde::Serialize;

use crate::pages::STYLE;

/// So much of a text is shown on a terminal; a page shows all of it.
const LINES: usize = 20;

/// A letter to one of the audience.
#[derive(Debug, Serialize)]
pub(super) struct Letter {
    /// What it is an example of.
    of: Vec<&'static str>,
    key: String,
    /// Nothing where the template has more than plain placeholders.
    pub(super) rendered: Option<Rendered>,
}

/// The samples' letters; `stored` is the content of the template where SES stores it.
pub(super) fn letters(command: &BroadcastCommand, samples: &Samples, stored: Option<&EmailTemplateContent>) -> anyhow::Result<Vec<Letter>> {
    let envelope = Envelope::of(command, WayOut::shown(command))?;
    let of = |(of, recipient): (Vec<&'static str>, &issei_schema::Recipient)| Letter {
        of,
        key: recipient.key.as_str().to_owned(),
        rendered: envelope.rendered(recipient, stored),
    };
    Ok(samples.all().into_iter().map(of).collect())
}

pub(super) fn print(letters: &[Letter]) {
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
            say(&format!("  html         {} bytes; -o preview.html shows it", html.len()));
        }
    }
}

/// The letters as a page of their own. What a letter holds is shown and never run.
#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    broadcast_id: &'a str,
    from: String,
    style: &'static str,
    letters: &'a [Letter],
}

pub(super) fn write(file: &Path, command: &BroadcastCommand, letters: &[Letter]) -> anyhow::Result<()> {
    let (broadcast_id, from) = (command.broadcast_id.as_str(), command.from.to_header());
    let html = Preview { broadcast_id, from, style: STYLE, letters }.render()?;
    std::fs::write(file, html).with_context(|| format!("the preview can't be written to {}", file.display()))
}
