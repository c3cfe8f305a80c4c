//! How far the reading and judging of an audience is, for whoever waits for it. Nothing is decided by it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts that one thread adds to while another looks.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// Rows that have come from the source.
    read: AtomicU64,
    /// Rows that the source counts in the same snapshot; 0 while it has not.
    counted: AtomicU64,
    /// Bytes of a file, and how many of them have been read: its rows are known only at its end.
    bytes: AtomicU64,
    bytes_read: AtomicU64,
    is_read: AtomicBool,
    judged: AtomicU64,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `done` of `all`, in rows or in a file's bytes; `all` is nothing where that is not known.
    Reading {
        rows: u64,
        counted: Option<u64>,
        done: u64,
        all: Option<u64>,
    },
    Judging {
        rows: u64,
        counted: u64,
    },
}

impl Progress {
    #[must_use]
    pub fn stage(&self) -> Stage {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let known = |count: &AtomicU64| Some(of(count)).filter(|count| *count > 0);
        let Counters { read, counted, bytes, bytes_read, is_read, judged } = &*self.0;
        if is_read.load(Ordering::Acquire) {
            return Stage::Judging { rows: of(judged), counted: of(read) };
        }
        let (rows, counted) = (of(read), known(counted));
        let (done, all) = if counted.is_some() { (rows, counted) } else { (of(bytes_read), known(bytes)) };
        Stage::Reading { rows, counted, done, all }
    }

    pub(super) fn has_counted(&self, rows: u64) {
        self.0.counted.store(rows, Ordering::Relaxed);
    }

    pub(super) fn has_read(&self, rows: usize) {
        self.0.read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The source has no further row.
    pub(super) fn is_read(&self) {
        self.0.is_read.store(true, Ordering::Release);
    }

    pub(crate) fn has_judged(&self, rows: u64) {
        self.0.judged.fetch_add(rows, Ordering::Relaxed);
    }

    /// A file of so many bytes, each of which counts as it is read.
    pub(super) fn reading<R: Read>(&self, file: R, bytes: u64) -> Watched<R> {
        self.0.bytes.store(bytes, Ordering::Relaxed);
        Watched { file, progress: self.clone() }
    }
}

pub(super) struct Watched<R> {
    file: R,
    progress: Progress,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(into)?;
        self.progress.0.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_an_end_where_the_source_counts_or_has_a_size_and_then_everybody_is_judged() {
        let progress = Progress::default();
        progress.has_read(3);
        assert_eq!(progress.stage(), Stage::Reading { rows: 3, counted: None, done: 0, all: None });
        let mut file = progress.reading(&b"id,email\n1,a@example.com\n"[..], 25);
        file.read_exact(&mut [0; 9]).unwrap();
        assert_eq!(progress.stage(), Stage::Reading { rows: 3, counted: None, done: 9, all: Some(25) });
        progress.has_counted(4);
        assert_eq!(progress.stage(), Stage::Reading { rows: 3, counted: Some(4), done: 3, all: Some(4) });
        progress.has_read(1);
        progress.is_read();
        progress.has_judged(2);
        assert_eq!(progress.stage(), Stage::Judging { rows: 2, counted: 4 });
    }
}
