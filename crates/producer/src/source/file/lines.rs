//! The lines of a file, with their numbers, and none of them too long for memory.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use super::{RECORD_BYTES_MAX, Reader};

/// A line with what ends it.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    /// There is more of it, which was passed over.
    pub(super) is_too_long: bool,
}

pub(super) struct Lines {
    reader: Reader,
    read: u64,
    /// Lines that were read for a record which turned out to be none.
    again: VecDeque<Line>,
}

impl Lines {
    pub(super) fn of(reader: Reader) -> Self {
        Self { reader, read: 0, again: VecDeque::new() }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let limit = RECORD_BYTES_MAX as u64 + 1;
        (&mut self.reader).take(limit).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        let is_too_long = bytes.len() > RECORD_BYTES_MAX;
        if is_too_long && bytes.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
        }
        Ok(Some(Line { number: self.read, bytes, is_too_long }))
    }

    /// What no line was made of yet.
    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// Gives lines back, in their order.
    pub(super) fn give_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }
}
