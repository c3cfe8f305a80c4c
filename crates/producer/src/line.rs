//! Pages of one audience, made ahead of their writing: while one is written, the next is filled and packed, and the rows
//! of the one after it are read and judged. At most two pages are held beside the one that is written.
//!
//! What was made ahead counts only as long as it follows what is in the ledger: it is forgotten (`restart`) where another
//! page was written, or somebody has come on the suppression list.

use std::collections::VecDeque;
use std::sync::Arc;

use issei_ledger::{Broadcast, LastKey, PackedPage, Page, PageBuilder, SkipReason, Suppressions};

use crate::audience::UniqueBy;
use crate::judging::{Candidate, JudgingError, candidates, skip_mailed};
use crate::row::{Judged, Needed};
use crate::service::Producer;
use crate::source::{Cursor, Mailed, Source};

/// A page with what it says of the source.
pub(crate) struct Built {
    pub(crate) packed: PackedPage,
    /// The source had no further row.
    pub(crate) is_last: bool,
}

/// An audience on its way into pages.
pub(crate) struct Line<'a> {
    producer: &'a Producer,
    pub(crate) source: Source,
    pub(crate) list: Suppressions,
    needed: Arc<Needed>,
    unique_by: Option<UniqueBy>,
    /// Judged, and in no page yet, in their order.
    judged: VecDeque<Candidate>,
    /// Behind the last who was judged.
    cursor: Cursor,
    is_read: bool,
}

impl<'a> Line<'a> {
    /// The rest of an audience; it begins with `restart`.
    pub(crate) fn new(
        producer: &'a Producer,
        broadcast: &Broadcast,
        source: Source,
        needed: Arc<Needed>,
        unique_by: Option<UniqueBy>,
    ) -> Self {
        let left = source.counts().rows.saturating_sub(broadcast.audience_size());
        let list = producer.ledger.suppressions(left);
        let judged = VecDeque::new();
        Self { producer, source, list, needed, unique_by, judged, cursor: Cursor::default(), is_read: false }
    }

    /// Goes on where the broadcast's last page ended, whatever was made ahead.
    pub(crate) fn restart(&mut self, broadcast: &Broadcast) {
        let after = match &broadcast.last_key {
            Some(LastKey::InBytes(key)) => Some(key.clone()),
            Some(LastKey::InDatabase) | None => None,
        };
        self.cursor = Cursor { in_canary: broadcast.in_canary, after };
        self.judged.clear();
        self.is_read = false;
    }

    /// The page after the broadcast's last one, or after `before`, which is not written yet.
    pub(crate) async fn next(&mut self, broadcast: &Broadcast, before: Option<&Page>) -> Result<Built, JudgingError> {
        let limit = self.producer.options.page_size.max(1);
        if self.judged.is_empty() && !self.is_read {
            self.read(limit).await?;
        }
        let in_canary = self.judged.front().is_some_and(|first| first.in_canary);
        let here = self.judged.iter().take(limit).take_while(|candidate| candidate.in_canary == in_canary).count();
        let some: Vec<Candidate> = self.judged.drain(..here).collect();
        let (is_last, is_short) = (some.is_empty(), self.judged.len() < limit && !self.is_read);
        let mut cursor = self.cursor.clone();
        let reading = async {
            let Self { producer, source, list, needed, .. } = &*self;
            if is_short { candidates(Some(list), source, &mut cursor, limit, needed, producer.aside).await.map(Some) } else { Ok(None) }
        };
        let (packed, read) = tokio::join!(self.packed(broadcast, before, some, in_canary), reading);
        let (packed, left) = packed?;
        left.into_iter().rev().for_each(|candidate| self.judged.push_front(candidate));
        self.take(read?, cursor);
        Ok(Built { packed, is_last })
    }

    async fn read(&mut self, limit: usize) -> Result<(), JudgingError> {
        let mut cursor = self.cursor.clone();
        let read = candidates(Some(&self.list), &self.source, &mut cursor, limit, &self.needed, self.producer.aside).await?;
        self.take(Some(read), cursor);
        Ok(())
    }

    fn take(&mut self, read: Option<Vec<Candidate>>, cursor: Cursor) {
        let Some(read) = read else { return };
        self.is_read = read.is_empty();
        self.judged.extend(read);
        self.cursor = cursor;
    }

    /// A page with as many of these as it holds, and those who are left.
    async fn packed(
        &self,
        broadcast: &Broadcast,
        before: Option<&Page>,
        mut some: Vec<Candidate>,
        in_canary: bool,
    ) -> Result<(PackedPage, Vec<Candidate>), JudgingError> {
        if self.unique_by == Some(UniqueBy::Address) {
            skip_mailed(&mut some, &self.source, &before.map_or_else(Mailed::new, Source::mailed_by)).await?;
        }
        let producer = self.producer;
        let mut builder = producer.ledger.page_after(broadcast, in_canary, producer.incarnation.mark(""))?;
        let without_key = self.source.counts().without_key;
        if broadcast.pages == 0 && without_key > 0 {
            builder.skip("(null)".to_owned(), SkipReason::NoKey, without_key);
        }
        let needed = self.needed.clone();
        let packing = producer.aside.compute(move || {
            let left = fill(&mut builder, some, &needed);
            Ok((builder.build().pack()?, left))
        });
        packing.await?
    }
}

/// Puts candidates into the page until it is full, and gives those who are left.
fn fill(builder: &mut PageBuilder, candidates: Vec<Candidate>, needed: &Needed) -> Vec<Candidate> {
    let mut candidates = candidates.into_iter();
    while let Some(candidate) = candidates.next() {
        let Candidate { key, judged, repeats, in_canary } = candidate;
        let left = match judged {
            Judged::Recipient(recipient, bytes) => {
                // Whoever was judged mailable has a letter.
                let letter = needed.letters.number(&recipient.data).unwrap_or_default();
                builder.push(recipient, bytes, repeats, letter).err().map(|recipient| Judged::Recipient(recipient, bytes))
            }
            Judged::Skipped(key, reason) => {
                if builder.skip(key.clone(), reason, 1 + repeats) {
                    None
                } else {
                    Some(Judged::Skipped(key, reason))
                }
            }
            Judged::SkippedFor { key, mailed, address } => {
                let fits = builder.skip_address(key.clone(), mailed.clone(), 1 + repeats);
                if fits { None } else { Some(Judged::SkippedFor { key, mailed, address }) }
            }
        };
        if let Some(judged) = left {
            return std::iter::once(Candidate { key, judged, repeats, in_canary }).chain(candidates).collect();
        }
        builder.advance(key);
    }
    Vec::new()
}
