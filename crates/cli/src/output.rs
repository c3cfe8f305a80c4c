//! Where the document of a command goes: into a file, or with `-o -` to standard output. Everything else that the command
//! says goes to standard error then, so that what comes out of the pipe is the document and nothing else.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use issei_assembly::give;

use crate::Refused;
use crate::args::Command;

/// Whether it is standard output that is meant.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// `what` is the document's name in an error.
pub(crate) fn write(path: &Path, what: &str, document: &str) -> anyhow::Result<()> {
    if is_standard(path) {
        give(document);
        return Ok(());
    }
    std::fs::write(path, document).with_context(|| format!("{what} can't be written to {}", path.display()))
}

/// Refuses to write over a file that is none of the kind that is to be written: it may be somebody's command, or an audience.
/// `is_one` judges by how the file begins.
pub(crate) fn spares_others(path: &Path, what: &str, is_one: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    /// What stands before a page's title.
    const BEGINNING: u64 = 2_048;
    if is_standard(path) || !std::fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0) {
        return Ok(());
    }
    let mut begins = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut begins));
    read.with_context(|| format!("{} is there, and what it is can't be read", path.display()))?;
    if !is_one(&String::from_utf8_lossy(&begins)) {
        bail!(Refused(format!(
            "{} is there and is no {what} of issei's; it may be a command or an audience: give another name, or remove it",
            path.display()
        )));
    }
    Ok(())
}

/// Refuses a name that says another kind than that of a page, which is HTML whatever its file is called.
pub(crate) fn is_for_a_page(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let is_page = |ending: &str| ["html", "htm"].iter().any(|page| ending.eq_ignore_ascii_case(page));
    match path.extension().map(|ending| ending.to_string_lossy()) {
        Some(ending) if !is_page(&ending) => bail!(Refused(format!(
            "{} ends with .{ending}, and what is written is a page of HTML: give a name that ends with .html; a browser prints it as PDF",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// The same of a document that names people: a file of it is for whoever wrote it alone.
pub(crate) fn write_for_oneself(path: &Path, what: &str, document: &str) -> anyhow::Result<()> {
    if is_standard(path) {
        return write(path, what, document);
    }
    let written = || file_for_oneself(path)?.write_all(document.as_bytes());
    written().with_context(|| format!("{what} can't be written to {}", path.display()))
}

/// A file that nobody else may read, emptied where it was there.
pub(crate) fn file_for_oneself(path: &Path) -> std::io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that was there keeps its mode; a pipe or a terminal has none that matters.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

impl Command {
    /// Whether its document is to go to standard output.
    pub(crate) fn gives_its_document(&self) -> bool {
        let output = match self {
            Self::Demo(options) => options.output.as_deref(),
            Self::Preview(options) => options.output.as_deref(),
            Self::Send(options) => options.output.as_deref(),
            Self::Show(options) => options.output.as_deref(),
            Self::Export(options) => options.output.as_deref(),
            Self::Rehearse(options) => options.output.as_deref(),
            Self::Certify(options) => options.output.as_deref(),
            Self::Report(options) => Some(options.output.as_path()),
            Self::Init(options) => Some(options.output.as_path()),
            _ => None,
        };
        output.is_some_and(is_standard)
    }
}
