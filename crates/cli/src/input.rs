//! A file that the command line names. One rule for every command: where it is not there, or can't be read, the command has
//! failed, since nobody knows what it says; what was read and can't be taken is refused.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::Refused;

pub(crate) fn text(file: &Path) -> anyhow::Result<String> {
    let bytes = bytes(file)?;
    String::from_utf8(bytes).map_err(|_| Refused(format!("{} holds bytes that are not UTF-8; save it as UTF-8", file.display())).into())
}

pub(crate) fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("{error}; correct the name, which is beside the working directory"),
            _ => error.into(),
        })
        .with_context(|| format!("{} can't be read", file.display()))
}
