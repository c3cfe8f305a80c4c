//! A spool in memory, for simulations: a disk's threads would bring real time into them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Counts, Mailed, OTHERS, Spooled, says};
use crate::source::row::Row;

/// The rows of a key by what they say, each with how often it says so.
type Rows = BTreeMap<Vec<u8>, (Row, u64)>;

#[derive(Default)]
pub(in crate::source) struct Memory {
    rows: BTreeMap<String, Rows>,
    counts: Counts,
    mailed: Mailed,
}

impl Memory {
    pub(in crate::source) fn add(&mut self, row: Option<Row>) {
        self.counts.take(row.as_ref());
        let Some(row) = row else { return };
        let rows = self.rows.entry(row.key.clone()).or_default();
        self.counts.repeated += u64::from(!rows.is_empty());
        let said = row.said().unwrap_or_default();
        rows.entry(said).or_insert((row, 0)).1 += 1;
    }

    pub(super) fn counts(&self) -> Counts {
        let differing = self.rows.values().filter(|rows| rows.len() > 1).count() as u64;
        Counts { differing, ..self.counts }
    }

    pub(super) fn page(&self, after: Option<&str>, limit: usize) -> Vec<Spooled> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.rows.range::<str, _>((after, Bound::Unbounded)).take(limit);
        let spooled = |rows: &Rows| {
            let mut first = rows.values().map(|(row, _)| row.clone());
            let times: u64 = rows.values().map(|(_, times)| times).sum();
            Some(Spooled::of(first.next()?, first.take(OTHERS + 1).collect(), times.saturating_sub(1)))
        };
        keys.filter_map(|(_, rows)| spooled(rows)).collect()
    }

    pub(super) fn rows_after(&self, row: &Row, limit: usize) -> Vec<Row> {
        let after = (Bound::Excluded(row.said().unwrap_or_default()), Bound::Unbounded);
        let rows = self.rows.get(&row.key).into_iter().flat_map(|rows| rows.range(after.clone()));
        rows.take(limit).map(|(_, (row, _))| row.clone()).collect()
    }

    pub(super) fn lacking(&self, known: &[(String, String)]) -> u64 {
        let is_there = |key: &str, address: &str| self.rows.get(key).is_some_and(|rows| rows.values().any(|(row, _)| says(row, address)));
        known.iter().filter(|(key, address)| !is_there(key, address)).count() as u64
    }

    pub(super) fn note_mailed(&mut self, mailed: Mailed) {
        self.mailed.extend(mailed);
    }

    pub(super) fn mailed(&self, addresses: &[String]) -> Mailed {
        addresses.iter().filter_map(|address| Some((address.clone(), self.mailed.get(address)?.clone()))).collect()
    }
}
