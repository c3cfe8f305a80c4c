//! What stands around the pages and chunks: the lists of broadcasts, and how long items are kept.

use issei_ledger::{Entry, Expiry, LedgerError, Surroundings};
use jiff::{SignedDuration, Timestamp};

use super::odd::Odd;
use super::{CLOCKS, data};
use crate::deployed::RECOVERY_DAYS;
use crate::finding::Finding;

/// The lists name the broadcast as its state asks for.
pub(super) fn lists(found: &Result<Surroundings, LedgerError>, is_over: bool) -> Finding {
    let finding = data("lists: of broadcasts", "ledger items `known` and `open`").rule(
        "known; open only until it is over; no page beyond the last",
        "what is in the wrong list is looked after by nobody, or for ever",
    );
    let found = match found {
        Ok(found) => found,
        Err(error) => return finding.unreadable(error),
    };
    let mut odd = Odd::default();
    odd.note_if(found.known == Entry::Absent, || "it is not in the list `known`".to_owned());
    odd.note_if(is_over && found.open != Entry::Absent, || "it is over, and in the list `open`".to_owned());
    odd.note_if(found.page_beyond != Entry::Absent, || "there is a page beyond the last".to_owned());
    odd.into_finding(finding, "as its state asks for").mend("wait for the producer's next look, and certify again")
}

/// What would be deleted before its time, or was to be kept for ever.
#[derive(Default)]
pub(super) struct Kept {
    odd: Odd,
    items: u64,
}

impl Kept {
    /// An item with a time to live, which was written at this time or after it.
    pub(super) fn look_at(&mut self, name: impl Fn() -> String, expires: Expiry, written_at: Timestamp, now: Timestamp) {
        self.items += 1;
        let days = i64::try_from(RECOVERY_DAYS).unwrap_or(i64::MAX);
        let least = written_at.saturating_add(SignedDuration::from_hours(days * 24)).and_then(|at| at.saturating_sub(CLOCKS));
        let least = least.unwrap_or(Timestamp::MAX);
        match expires {
            Expiry::Never => self.odd.note(|| format!("{} has no expires_at", name())),
            Expiry::At(at) => self.odd.note_if(at <= now || at < least, || format!("{} may be deleted at {at} (expires_at)", name())),
        }
    }

    /// Items that stay for ever.
    pub(super) fn look_around(&mut self, found: &Surroundings) {
        for (name, entry) in [("broadcast", found.broadcast), ("command", found.command), ("known", found.known)] {
            self.items += 1;
            if let Entry::There(Expiry::At(at)) = entry {
                self.odd.note(|| format!("the item `{name}` may be deleted at {at} (expires_at), and stays for ever"));
            }
        }
    }

    pub(super) fn into_finding(self) -> Finding {
        let finding = data("items: how long they are kept", "ledger attribute `expires_at`").rule(
            format!("pages, chunks and events: {RECOVERY_DAYS} days or more from when they were written; broadcast, command and its place in `known`: for ever"),
            "DynamoDB deletes what has expired, and then nobody can tell that it was there",
        );
        self.odd.into_finding(finding, format!("{} items", self.items))
    }
}
