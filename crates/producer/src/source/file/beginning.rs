//! What is kept of a file for whoever guesses its encoding: its first bytes, and wherever they stand the lines that tell of it,
//! since names in another encoding may come after millions of rows of ASCII. Memory stays flat.

use std::sync::{Arc, Mutex, PoisonError};

use super::RECORD_BYTES_MAX;
use super::guess::utf_16;

/// The first bytes, by which UTF-16 is known.
const HEAD_BYTES: usize = 64 * 1024;
/// So many bytes that are not ASCII tell an encoding.
const ENOUGH_BYTES: usize = 4 * 1024;
/// Lines that tell are kept up to so many bytes.
const TELLING_BYTES: usize = 256 * 1024;
/// What ISO-2022-JP begins each of its stretches with, all of which are ASCII.
const ESCAPE: u8 = 0x1b;

/// A file, as far as it has been read.
#[derive(Clone, Default)]
pub(super) struct Beginning(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    /// Whole lines that are no UTF-8, or hold an escape.
    telling: Vec<u8>,
    /// Bytes that are not ASCII, and those of lines with an escape.
    told: usize,
    /// The line that has not ended yet.
    line: Vec<u8>,
    is_too_long: bool,
}

impl Beginning {
    /// What to guess by.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.telling.is_empty() || utf_16(&kept.head).is_some() { kept.head.clone() } else { kept.telling.clone() }
    }

    /// Whether there is nothing to be learned from what comes.
    pub(super) fn is_enough(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_enough()
    }

    /// Takes the next bytes; none are its end.
    pub(super) fn take(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = HEAD_BYTES.saturating_sub(kept.head.len());
        kept.head.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        if !kept.is_enough() {
            kept.take(bytes);
        }
    }
}

impl Kept {
    fn is_enough(&self) -> bool {
        self.told >= ENOUGH_BYTES
    }

    fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.end_line();
        }
        // Most of most files, of which only the line that goes on says anything.
        if !tells(bytes) && !tells(&self.line) {
            if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
                self.begin_line();
                return self.go_on(bytes.get(last + 1..).unwrap_or_default());
            }
            return self.go_on(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.go_on(piece);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn go_on(&mut self, piece: &[u8]) {
        self.is_too_long |= self.line.len() + piece.len() > RECORD_BYTES_MAX;
        if self.is_too_long {
            // Cut somewhere it would be no text in any encoding.
            self.line.clear();
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self) {
        let has_escape = self.line.contains(&ESCAPE);
        self.told += if has_escape { self.line.len() } else { self.line.iter().filter(|byte| !byte.is_ascii()).count() };
        if (has_escape || std::str::from_utf8(&self.line).is_err()) && self.telling.len() + self.line.len() <= TELLING_BYTES {
            self.telling.extend_from_slice(&self.line);
        }
        self.begin_line();
    }

    fn begin_line(&mut self) {
        self.line.clear();
        self.is_too_long = false;
    }
}

fn tells(bytes: &[u8]) -> bool {
    !bytes.is_ascii() || bytes.contains(&ESCAPE)
}
