//! What tells whether two readings were of the same file: SHA-256 of its bytes as they are once gzip is taken off, so that the
//! same rows packed anew are the same.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// Of all that was read so far.
#[derive(Clone, Default)]
pub(super) struct Digest(Arc<Mutex<Sha256>>);

impl Digest {
    /// The same bytes, which count as they are read.
    pub(super) fn of<R: Read>(&self, reader: R) -> Digested<R> {
        Digested { reader, digest: self.clone() }
    }

    pub(super) fn hex(&self) -> String {
        hex::encode(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize())
    }
}

pub(super) struct Digested<R> {
    reader: R,
    digest: Digest,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.digest.0.lock().unwrap_or_else(PoisonError::into_inner).update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
