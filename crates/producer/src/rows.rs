//! The rows of one key, judged one after the other until one can be mailed. Which of them that is must never depend on the
//! order in which they were read, nor may one that can't be mailed hide one that can.

use std::collections::VecDeque;

use issei_ledger::{SkipReason, Suppression};
use issei_schema::Address;

use crate::SourceError;
use crate::judging::Candidate;
use crate::row::{Judged, Needed, judge};
use crate::source::{Row, Source, Spooled, quotable};

/// A key on its way to being a candidate.
pub(crate) struct Rows {
    key: String,
    in_canary: bool,
    repeats: u64,
    /// What the row that can be mailed comes to, or the least where none can.
    judged: Judged,
    /// What the least comes to, where another can be mailed.
    least: Option<Judged>,
    /// Nobody has asked the list about whoever can be mailed.
    is_unlisted: bool,
    /// Those that are not judged yet, in their order.
    others: VecDeque<Row>,
    /// The one after which there may be further ones, which were not read.
    further: Option<Row>,
}

impl Rows {
    /// With the least of them judged.
    pub(crate) fn of(Spooled { row, others, has_more, repeats }: Spooled, in_canary: bool, needed: &Needed) -> Self {
        let (key, further) = (row.key.clone(), others.last().filter(|_| has_more).cloned());
        let judged = judge(row, needed);
        let is_unlisted = judged.recipient().is_some();
        Self { key, in_canary, repeats, judged, least: None, is_unlisted, others: others.into(), further }
    }

    /// The address of whoever can be mailed unless the list says otherwise, which was not asked yet.
    pub(crate) fn unlisted(&self) -> Option<&Address> {
        self.judged.recipient().filter(|_| self.is_unlisted).map(|recipient| &recipient.address)
    }

    /// The list says otherwise.
    pub(crate) fn strike(&mut self, why: Suppression) {
        let reason = match why {
            Suppression::Bounced => SkipReason::Bounced,
            Suppression::Complained => SkipReason::Complained,
            Suppression::Unsubscribed => SkipReason::Unsubscribed,
            Suppression::Operator => SkipReason::Suppressed,
        };
        self.judged = self.least.take().unwrap_or_else(|| Judged::Skipped(quotable(&self.key), reason));
    }

    /// Whether another row must be judged. Reads the next ones where none is at hand.
    pub(crate) async fn have_another(&mut self, source: &Source) -> Result<bool, SourceError> {
        self.is_unlisted = false;
        if self.judged.recipient().is_some() {
            return Ok(false);
        }
        if self.others.is_empty()
            && let Some(last) = self.further.take()
        {
            self.others = source.rows_after(&last).await?.into();
            self.further = self.others.back().cloned();
        }
        Ok(!self.others.is_empty())
    }

    /// Goes through those at hand until one can be mailed.
    pub(crate) fn go_on(&mut self, needed: &Needed) {
        while self.judged.recipient().is_none()
            && let Some(row) = self.others.pop_front()
        {
            let judged = judge(row, needed);
            if judged.recipient().is_some() {
                self.least = Some(std::mem::replace(&mut self.judged, judged));
                self.is_unlisted = true;
            }
        }
    }

    pub(crate) fn ended(self) -> Candidate {
        let Self { key, in_canary, repeats, judged, .. } = self;
        Candidate { key, judged, repeats, in_canary }
    }
}
