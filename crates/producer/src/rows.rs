//! The rows of one key, judged one after the other until one can be mailed. Which of them that is must never depend on the
//! order in which they were read, nor may one that can't be mailed hide one that can; unless somebody said by its address
//! that they don't want such mail (`wishes.rs`), or by a row of theirs that they have not agreed to it.

use std::collections::VecDeque;

use issei_ledger::{SkipReason, Suppressed, Suppression};
use issei_schema::{Address, Class};

use crate::SourceError;
use crate::judging::Candidate;
use crate::row::{Judged, Needed, judge};
use crate::source::{Row, Source, Spooled, quotable};
use crate::wishes::Others;

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
    /// By whose addresses somebody may have said a wish, where there are several and wishes are heeded.
    wishing: Option<Others>,
    /// Somebody has: it holds for the key, whatever else its rows say.
    wish: Option<Suppression>,
}

impl Rows {
    /// With the least of them judged.
    pub(crate) fn of(Spooled { row, others, has_more, repeats, is_refused }: Spooled, in_canary: bool, needed: &Needed) -> Self {
        if is_refused {
            return Self::refused(row.key, in_canary, repeats);
        }
        let (key, further) = (row.key.clone(), others.last().filter(|_| has_more).cloned());
        let may_wish = !others.is_empty() && needed.class.heeds_objections();
        let wishing = may_wish.then(|| Others::of(std::iter::once(&row).chain(&others), further.clone()));
        let judged = judge(row, needed);
        let is_unlisted = judged.recipient().is_some();
        Self { key, in_canary, repeats, judged, least: None, is_unlisted, others: others.into(), further, wishing, wish: None }
    }

    /// Of somebody who has agreed by one row and not by another: who is not sure to want it gets none.
    fn refused(key: String, in_canary: bool, repeats: u64) -> Self {
        let judged = Judged::Skipped(quotable(&key), SkipReason::NoConsent);
        let (others, is_unlisted) = (VecDeque::new(), false);
        Self { key, in_canary, repeats, judged, least: None, is_unlisted, others, further: None, wishing: None, wish: None }
    }

    /// The address of whoever can be mailed unless the list says otherwise, which was not asked yet.
    pub(crate) fn unlisted(&self) -> Option<&Address> {
        self.judged.recipient().filter(|_| self.is_unlisted).map(|recipient| &recipient.address)
    }

    /// What the list says of whoever can be mailed.
    pub(crate) fn strike(&mut self, entry: &Suppressed, class: Class) {
        let Some(why) = entry.binds(class) else { return };
        match entry.wish(class) {
            Some(wish) if self.wishing.is_some() => self.bind(wish),
            _ => self.judged = self.least.take().unwrap_or_else(|| Judged::Skipped(quotable(&self.key), why.into())),
        }
    }

    /// Somebody does not want such mail. Of several wishes the first in their own order is told, whichever was found first.
    pub(crate) fn bind(&mut self, wish: Suppression) {
        self.wish = Some(self.wish.map_or(wish, |known| known.min(wish)));
    }

    /// The addresses by which a wish may have been said, where one of its rows is to be mailed, with that row's.
    pub(crate) fn others(&mut self) -> Option<(Others, Address)> {
        let mailed = self.judged.recipient().filter(|_| self.wish.is_none())?.address.clone();
        Some((self.wishing.take()?, mailed))
    }

    /// Whether another row must be judged. Reads the next ones where none is at hand.
    pub(crate) async fn have_another(&mut self, source: &Source) -> Result<bool, SourceError> {
        self.is_unlisted = false;
        if self.wish.is_some() || self.judged.recipient().is_some() {
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
        while self.wish.is_none()
            && self.judged.recipient().is_none()
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
        let Self { key, in_canary, repeats, judged, wish, .. } = self;
        let judged = wish.map_or(judged, |wish| Judged::Skipped(quotable(&key), wish.into()));
        Candidate { key, judged, repeats, in_canary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_ledger::Cause;
    use issei_schema::BroadcastCommand;

    use crate::audience::AudienceConfig;
    use crate::source::Cell;

    fn listed(causes: &[Suppression]) -> Suppressed {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let cause = Cause { since: at, entered_at: at, source: String::new(), entered_by: String::new(), reason: None };
        Suppressed { causes: causes.iter().map(|why| (*why, cause.clone())).collect(), ..Suppressed::default() }
    }

    /// What a key with these rows comes to, where the list says this of the first that could be mailed.
    fn ended(class: &str, addresses: &[&str], causes: &[Suppression]) -> String {
        let command = serde_json::json!({
            "version": 2, "broadcast_id": "b", "audience": "users", "content": { "inline": { "subject": "Hi", "text": "." } },
            "class": class, "from": "a@example.com", "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        let command = BroadcastCommand::parse(&command.to_string()).unwrap();
        let needed = Needed::of(&command, &AudienceConfig::default()).unwrap();
        let row = |address: &&str| Row {
            key: "1".to_owned(),
            flaw: None,
            address: Cell::Text(format!("{address}@example.com")),
            values: Vec::new(),
        };
        let mut read = addresses.iter().map(row);
        let (row, others) = (read.next().unwrap(), read.collect::<Vec<_>>());
        let repeats = others.len() as u64;
        let mut rows = Rows::of(Spooled { row, others, has_more: false, repeats, is_refused: false }, false, &needed);
        assert!(rows.unlisted().is_some());
        rows.strike(&listed(causes), command.class());
        rows.go_on(&needed);
        match rows.ended().judged {
            Judged::Recipient(recipient, _) => recipient.address.as_str().to_owned(),
            Judged::Skipped(_, reason) => reason.to_string(),
            Judged::SkippedFor { .. } => unreachable!("nobody else is mailed"),
        }
    }

    #[test]
    fn a_bounce_is_of_a_row_and_a_wish_of_all_rows() {
        use Suppression::{Bounced, Complained, Operator, Unsubscribed};
        let two = &["a", "b"];
        for (class, addresses, causes, expected) in [
            ("service", two.as_slice(), [Bounced].as_slice(), "b@example.com"),
            ("service", two, &[Unsubscribed], "unsubscribed"),
            ("service", two, &[Bounced, Complained], "complained"),
            ("service", two, &[Operator, Unsubscribed], "unsubscribed"),
            ("legal_notice", two, &[Unsubscribed], "a@example.com"),
            ("legal_notice", two, &[Bounced, Unsubscribed], "b@example.com"),
            ("service", &["a"], &[Bounced, Complained], "bounced"),
            ("service", &["a"], &[Operator], "suppressed"),
            ("service", &["a"], &[], "a@example.com"),
        ] {
            assert_eq!(ended(class, addresses, causes), expected, "{class} {addresses:?} {causes:?}");
        }
    }
}
