//! A spool in memory, for simulations: a disk's threads would bring real time into them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Counts, Mailed, Spooled};
use crate::source::row::Row;

#[derive(Default)]
pub(in crate::source) struct Memory {
    rows: BTreeMap<String, (Row, u64)>,
    counts: Counts,
    mailed: Mailed,
}

impl Memory {
    pub(in crate::source) fn add(&mut self, row: Option<Row>) {
        self.counts.take(row.as_ref());
        let Some(row) = row else { return };
        if let Some((_, repeats)) = self.rows.get_mut(&row.key) {
            (*repeats, self.counts.repeated) = (*repeats + 1, self.counts.repeated + 1);
        } else {
            self.rows.insert(row.key.clone(), (row, 0));
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn page(&self, after: Option<&str>, limit: usize) -> Vec<Spooled> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range::<str, _>((after, Bound::Unbounded)).take(limit);
        rows.map(|(_, (row, repeats))| Spooled { row: row.clone(), repeats: *repeats }).collect()
    }

    pub(super) fn note_mailed(&mut self, mailed: Mailed) {
        self.mailed.extend(mailed);
    }

    pub(super) fn mailed(&self, addresses: &[String]) -> Mailed {
        addresses.iter().filter_map(|address| Some((address.clone(), self.mailed.get(address)?.clone()))).collect()
    }
}
