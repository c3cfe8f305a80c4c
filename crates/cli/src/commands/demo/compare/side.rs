//! What a provider has counted: how many users were mailed how often. Both are counted by this.

use issei_sim::{Cloud, StoreError};
use serde::Serialize;

/// How many addresses are read of the provider's record at once.
const ROWS: u32 = 2_000;

/// Users by the mails that the provider accepted for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Side {
    pub(super) mails: u64,
    pub(super) once: u64,
    pub(super) twice: u64,
    pub(super) three_times: u64,
    pub(super) four_times: u64,
    pub(super) five_times_or_more: u64,
    /// Users for whom it accepted none.
    pub(super) missed: u64,
    /// Those of them whom the pipeline's own records do not name.
    pub(super) missed_unknown: u64,
}

/// A line of the table.
type Row = (&'static str, fn(&Side) -> u64);

impl Side {
    pub(super) const ROWS: [Row; 8] = [
        ("mails that the provider accepted", |side| side.mails),
        ("users mailed once", |side| side.once),
        ("users mailed twice", |side| side.twice),
        ("users mailed three times", |side| side.three_times),
        ("users mailed four times", |side| side.four_times),
        ("users mailed five times or more", |side| side.five_times_or_more),
        ("users not mailed", |side| side.missed),
        ("  of whom no record says that they were not", |side| side.missed_unknown),
    ];

    /// What the provider counted of a broadcast to so many users.
    pub(super) fn counted(cloud: &Cloud, broadcast: &str, users: u64) -> Result<Self, StoreError> {
        let (mut side, mut after) = (Self::default(), String::new());
        loop {
            let some = cloud.sent_to(broadcast, &after, ROWS)?;
            let Some(last) = some.last() else { break };
            after.clone_from(&last.address);
            for sent in &some {
                side.mails += sent.accepted;
                let users = match sent.accepted {
                    0 => continue,
                    1 => &mut side.once,
                    2 => &mut side.twice,
                    3 => &mut side.three_times,
                    4 => &mut side.four_times,
                    _ => &mut side.five_times_or_more,
                };
                *users += 1;
            }
        }
        side.missed = users.saturating_sub(side.once + side.several_times());
        side.missed_unknown = side.missed;
        Ok(side)
    }

    /// Users mailed more than once.
    pub(super) fn several_times(&self) -> u64 {
        self.twice + self.three_times + self.four_times + self.five_times_or_more
    }
}
