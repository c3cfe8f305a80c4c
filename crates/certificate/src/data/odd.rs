//! What is not as it must be, kept as a count and the first of it: memory stays flat, however much is wrong.

use issei_schema::{Bilingual, both};

use crate::finding::Finding;

/// Everything of one kind that is not as it must be.
#[derive(Default)]
pub(super) struct Odd {
    count: u64,
    first: Option<Bilingual>,
}

impl Odd {
    pub(super) fn note(&mut self, what: impl FnOnce() -> Bilingual) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }

    /// Notes it where it is so.
    pub(super) fn note_if(&mut self, is_odd: bool, what: impl FnOnce() -> Bilingual) {
        if is_odd {
            self.note(what);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Says whether there is one thing, and no other.
    pub(super) fn is_one(&self) -> bool {
        self.count == 1
    }

    pub(super) fn into_finding(self, finding: Finding, sound: Bilingual) -> Finding {
        match self.first {
            None => finding.is(sound, true),
            Some(first) if self.count == 1 => finding.is(first, false),
            Some(first) => finding.is(both!("{}, and {} more", "{}、ほか{}件", first, self.count - 1), false),
        }
    }
}
