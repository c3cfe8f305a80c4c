//! The files that a resend makes: the rows of its audience and its command, and the audience's section of the configuration.
//!
//! What this must never do: write over a file that is there, leave addresses behind where it ends early, or let others read them.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use issei_producer::AudienceConfig;
use issei_schema::Recipient;
use serde_json::{Map, Value};

use crate::Refused;

/// A file that was made here, and goes again unless it is kept.
pub(super) struct Made(Option<PathBuf>);

impl Made {
    /// Makes a file that nobody else may read, for it holds addresses, and that was not there.
    pub(super) fn make(path: &Path) -> anyhow::Result<(Self, File)> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            let left = "if an earlier `issei resend` that was killed has left it, remove it; else take another folder by --output";
            bail!(Refused(format!("{} is there; nothing is overwritten: {left}", path.display())));
        }
        let file = file.with_context(|| format!("{} can't be made", path.display()))?;
        Ok((Self(Some(path.to_owned())), file))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
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
