//! The files that a resend makes: the rows of its audience and its command, and the audience's section of the configuration.
//!
//! What this must never do: write over a file that is there, leave addresses behind where it ends early, or let others read them.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use issei_ledger::missed_by;
use issei_producer::AudienceConfig;
use issei_schema::{BroadcastCommand, Recipient};
use serde_json::{Map, Value};

use crate::Refused;

/// A file that was made here, and goes again unless it is kept.
pub(super) struct Made(Option<PathBuf>);

impl Made {
    /// Makes a file that nobody else may read, for it holds addresses, and that was not there.
    fn make(path: &Path) -> std::io::Result<(Self, File)> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok((Self(Some(path.to_owned())), file))
    }

    /// Makes the files of the rows and of the command, or neither.
    pub(super) fn both(rows: &Path, command: &Path) -> anyhow::Result<[(Self, File); 2]> {
        let made = |path: &Path| {
            Self::make(path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => anyhow::Error::new(Refused(lies_there(path, rows, command))),
                _ => anyhow::Error::new(error).context(format!("{} can't be made", path.display())),
            })
        };
        Ok([made(rows)?, made(command)?])
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

/// What lies where a file was to be made, and what to do.
fn lies_there(path: &Path, rows: &Path, command: &Path) -> String {
    let (there, both) = (path.display(), format!("{} and {}", rows.display(), command.display()));
    // The command is written last.
    let is_of = |command: &BroadcastCommand| missed_by(command).map(|missed_by| missed_by.of);
    let told = std::fs::read_to_string(command).unwrap_or_default();
    match BroadcastCommand::stored(&told).ok().as_ref().and_then(|found| Some((found, is_of(found)?))) {
        Some((found, of)) if path == rows => format!(
            "{there} is there already, and nothing is overwritten: {both} are the whole files of an earlier `issei resend {of} --as {}`, for {} recipients; `issei send {}` says whether they may still be sent, and sends them; for files made anew move these away, or take another folder by --output",
            found.broadcast_id,
            found.max_recipients,
            command.display()
        ),
        Some((found, of)) => format!(
            "{there} is there already, and nothing is overwritten: it is the command of an earlier `issei resend {of} --as {}`, and its list {} is gone; move it away, and repeat this",
            found.broadcast_id,
            rows.display()
        ),
        None if path == rows && told.is_empty() => format!(
            "{there} is there already, and nothing is overwritten: there is no whole command beside it ({}), so it is of an earlier `issei resend` that was killed or is still at it, or of something else; where none is at it remove it, with a command that is empty, or take another folder by --output",
            command.display()
        ),
        None => format!(
            "{there} is there already, and nothing is overwritten: it is not of an `issei resend` that came to its end; look what it is, move it away, or take another folder by --output"
        ),
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "a file that is of no use can't be removed");
        }
    }
}

/// The new audience's file, in JSON Lines, which keeps every value as it is.
pub(super) struct Rows {
    pub(super) file: BufWriter<File>,
    pub(super) key: String,
    pub(super) address: String,
    /// The column that says so of everybody whose consent was asked for here.
    pub(super) consent: Option<String>,
}

impl Rows {
    pub(super) fn write(&mut self, recipient: &Recipient) -> anyhow::Result<()> {
        let text = |text: &str| Value::String(text.to_owned());
        let mut row: Map<String, Value> = recipient.data.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        row.insert(self.key.clone(), text(recipient.key.as_str()));
        row.insert(self.address.clone(), text(recipient.address.as_str()));
        if let Some(consent) = &self.consent {
            row.insert(consent.clone(), text("true"));
        }
        Ok(writeln!(self.file, "{}", Value::Object(row))?)
    }
}

/// The new audience as the configuration has it.
pub(in crate::commands) fn section(name: &str, audience: &AudienceConfig) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let columns = audience.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let consent = audience.consent_column.as_ref().map(|column| format!("consent_column = {}\n", quoted(column))).unwrap_or_default();
    let unique = if audience.unique_by.is_some() { "unique_by = \"address\"\n" } else { "" };
    format!(
        "[audiences.{name}]\nfile = {}\nkey = {}\naddress = {}\ncolumns = [{columns}]\nlegacy_local_parts = \"quote\"\n{unique}{consent}",
        quoted(audience.file.as_deref().unwrap_or_default()),
        quoted(&audience.key),
        quoted(&audience.address)
    )
}
