//! Where the document of a command goes: into a file, or with `-o -` to standard output. Everything else that the command
//! says goes to standard error then, so that what comes out of the pipe is the document and nothing else.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Asked before the work, for nobody wants to wait for what then can't be written: whether a document can stand there. What is there
/// stays as it is.
pub(crate) fn takes(path: &Path, what: &str) -> anyhow::Result<()> {
    if is_standard(path) {
        return Ok(());
    }
    let folder = || match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let tried = match std::fs::metadata(path) {
        Ok(there) if there.is_file() => File::options().write(true).open(path).map(drop),
        Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
        // A pipe or a terminal, which is not to be opened before there is something to say; or a link to what is not there yet.
        Ok(_) => Ok(()),
        Err(_) if path.is_symlink() => Ok(()),
        // Under a name that nobody has, so that whoever writes there meanwhile is not met.
        Err(error) if error.kind() == ErrorKind::NotFound => tempfile::tempfile_in(folder()).map(drop),
        Err(error) => Err(error),
    };
    tried.with_context(|| {
        format!(
            "{what} can't be written to {}, so nothing was done: name a file in a folder that is there and that you may write",
            path.display()
        )
    })
}

/// Refuses a place where something is: what is written is a record, and one that was given stands.
pub(crate) fn is_free(path: &Path, what: &str) -> anyhow::Result<()> {
    if is_there(path) {
        bail!(Refused(format!("{} is there, and {what} is never written over anything: give another name, or remove it", path.display())));
    }
    takes(path, what)
}

/// Writes into what is free, and over nothing that somebody else has put there meanwhile.
pub(crate) fn write_once(path: &Path, what: &str, document: &str) -> anyhow::Result<()> {
    is_free(path, what)?;
    // What is there and free is empty, a pipe or a terminal.
    if is_standard(path) || path.exists() {
        return write(path, what, document);
    }
    let written = || File::options().write(true).create_new(true).open(path)?.write_all(document.as_bytes());
    written().with_context(|| format!("{what} can't be written to {}", path.display()))
}

fn is_there(path: &Path) -> bool {
    !is_standard(path) && std::fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0)
}

/// Refuses to write over a file that is none of the kind that is to be written: it may be somebody's command, or an audience.
/// `is_one` judges by how the file begins.
pub(crate) fn spares_others(path: &Path, what: &str, is_one: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    /// What stands before a page's title.
    const BEGINNING: u64 = 2_048;
    takes(path, &format!("the {what}"))?;
    if !is_there(path) {
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
