//! Over how many partitions a broadcast's pages, chunks and feedback items are spread: by how many rows were read, told in
//! the transaction that writes its first page. Nothing of it lies anywhere before, and no other number ever stands there
//! after, for whoever looked in another partition would find a chunk that nobody has claimed.

use issei_schema::BroadcastId;
use serde::{Deserialize, Serialize};

use crate::Ledger;

/// What every broadcast had before there was a choice, and what holds where nothing stands in it.
const BEFORE: u32 = 16;
/// A partition takes 1,000 writes a second (DynamoDB developer guide, "Partitions"), which claims and confirmations of
/// 9,800 recipients use up: so this many carry 980,000 a second.
const MOST: u32 = 100;
/// As many as a partition carries in some five seconds: few partitions for few, who are all walked through for each count,
/// and enough for 4,000,000 within five seconds of the first.
pub(crate) const ROWS_EACH: u64 = 50_000;

/// A number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Shards(u32);

impl Shards {
    /// So many there are at most.
    pub(crate) const MOST: u32 = MOST;

    /// For an audience of so many rows, of whom all may be mailed.
    #[must_use]
    pub fn for_rows(rows: u64) -> Self {
        Self::with(rows, ROWS_EACH)
    }

    /// With so many rows in each.
    fn with(rows: u64, each: u64) -> Self {
        Self(u32::try_from(rows.div_ceil(each.max(1))).unwrap_or(MOST).clamp(1, MOST))
    }

    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// In which of them the item of this number lies.
    pub(crate) fn of(self, seq: u32) -> u32 {
        seq.checked_rem(self.0).unwrap_or_default()
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self(BEFORE)
    }
}

impl TryFrom<u32> for Shards {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if (1..=MOST).contains(&number) { Ok(Self(number)) } else { Err(format!("{number} shards; 1 to {MOST} are possible")) }
    }
}

impl From<Shards> for u32 {
    fn from(shards: Shards) -> Self {
        shards.0
    }
}

/// A broadcast by its id, with what tells where its items lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: BroadcastId,
    pub shards: Shards,
    /// Whether its chunks' message ids are packed, where they are written.
    pub packs_message_ids: bool,
}

impl Ledger {
    /// Over how many partitions an audience of so many rows is spread.
    #[must_use]
    pub fn shards_for(&self, rows: u64) -> Shards {
        Shards::with(rows, self.rows_a_shard)
    }

    /// The same ledger for whoever has few rows and wants many partitions.
    #[must_use]
    pub fn with_rows_a_shard(self, rows: u64) -> Self {
        Self { rows_a_shard: rows, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_lie_in_few_partitions_and_many_in_as_many_as_the_highest_rate_needs() {
        for (rows, shards) in
            [(0, 1), (1, 1), (50_000, 1), (50_001, 2), (1_000_000, 20), (4_000_000, 80), (10_000_000, 100), (u64::MAX, 100)]
        {
            assert_eq!(Shards::for_rows(rows).get(), shards, "{rows}");
        }
    }

    #[test]
    fn a_number_that_no_build_writes_is_refused() {
        let read = |number: u32| serde_json::from_str::<Shards>(&number.to_string());
        assert!(read(0).is_err() && read(101).is_err());
        assert_eq!(read(100).unwrap().of(199), 99);
        assert_eq!(Shards::default().get(), 16);
    }
}
