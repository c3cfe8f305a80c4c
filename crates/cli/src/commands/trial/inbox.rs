//! The local inbox: a folder of letters as `.eml` files (RFC 5322), and a page that shows them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use askama::Template;
use issei_schema::BroadcastCommand;
use issei_sim::{Cloud, Mail};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

use super::folder;
use super::outlook::Written;
use crate::output::file_for_oneself;
use crate::pages::STYLE;

const PAGE: &str = "index.html";

pub(super) struct Inbox {
    directory: PathBuf,
    /// It was not there before.
    is_made: bool,
}

/// The letters as a page. What a letter holds is shown and never run.
#[derive(Template)]
#[template(path = "inbox.html", escape = "letter")]
struct Page<'a> {
    broadcast_id: &'a str,
    style: &'static str,
    letters: Vec<(String, &'a Mail)>,
    accepted: u64,
}

impl Inbox {
    pub(super) fn at(wanted: Option<&Path>) -> anyhow::Result<Self> {
        let is_made = wanted.is_none_or(|directory| !directory.exists());
        let inbox = Self { directory: folder(wanted)?, is_made };
        let directory = &inbox.directory;
        // Addresses and what is written to them are nobody else's. Whose folder was there decides who looks into it, and each letter
        // is kept from others by itself.
        if is_made {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
                .with_context(|| format!("the folder {} can't be kept from others", directory.display()))?;
        }
        Ok(inbox)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn write(&self, cloud: &Cloud, command: &BroadcastCommand) -> anyhow::Result<Written> {
        let mails = cloud.mails()?;
        let mut letters = Vec::with_capacity(mails.len());
        for (mail, number) in mails.iter().zip(1..) {
            let name = format!("{number:04}.eml");
            let path = self.directory.join(&name);
            let bytes = letter(mail)?;
            let written = || file_for_oneself(&path)?.write_all(&bytes);
            written().with_context(|| format!("the letter {} can't be written", path.display()))?;
            letters.push((name, mail));
        }
        let (count, page) = (letters.len(), self.directory.join(PAGE));
        let broadcast_id = command.broadcast_id.as_str();
        let html = Page { broadcast_id, style: STYLE, letters, accepted: cloud.accepted_of(broadcast_id) }.render()?;
        let written = || file_for_oneself(&page)?.write_all(html.as_bytes());
        written().with_context(|| format!("the page {} can't be written", page.display()))?;
        Ok(Written { directory: self.directory.clone(), page, letters: count })
    }
}

impl Drop for Inbox {
    /// Whatever kept letters from being written, an empty folder says nothing. One with letters is not removed.
    fn drop(&mut self) {
        if self.is_made {
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// A letter as its recipient gets it. SES adds a few headers of its own, such as its signature.
fn letter(mail: &Mail) -> anyhow::Result<Vec<u8>> {
    let raw = |text: &str| Raw::new(text.to_owned());
    let mut message = MessageBuilder::new()
        .date(mail.accepted_at.as_second())
        .header("From", raw(&mail.from))
        .header("To", raw(&mail.address))
        .subject(mail.subject.as_str())
        .message_id(format!("{}@email.amazonses.com", mail.message_id));
    if !mail.reply_to.is_empty() {
        message = message.header("Reply-To", raw(&mail.reply_to.join(", ")));
    }
    for (name, value) in &mail.headers {
        message = message.header(name.as_str(), raw(value));
    }
    if !mail.text.is_empty() {
        message = message.text_body(mail.text.as_str());
    }
    if !mail.html.is_empty() {
        message = message.html_body(mail.html.as_str());
    }
    Ok(message.write_to_vec()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_that_was_there_keeps_its_mode_and_one_that_was_made_is_ones_own() {
        let directory = tempfile::tempdir().unwrap();
        let (there, made) = (directory.path().join("there"), directory.path().join("made"));
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
        let inboxes = [&there, &made].map(|folder| Inbox::at(Some(folder)).unwrap());
        assert_eq!((mode(&there), mode(&made)), (0o755, 0o700));
        // What was made goes again where nothing was written.
        drop(inboxes);
        assert!(there.exists() && !made.exists());
    }
}
