//! A user table in memory, for simulations: a database's threads would bring real time into them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Row;

/// A user table with an integer key, an address and no further columns. It can change underneath.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable(Arc<Mutex<BTreeMap<i64, Option<String>>>>);

impl MemoryTable {
    fn table(&self) -> MutexGuard<'_, BTreeMap<i64, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or changes a user.
    pub fn put(&self, key: i64, address: Option<&str>) {
        self.table().insert(key, address.map(str::to_owned));
    }

    /// Deletes a user.
    pub fn delete(&self, key: i64) {
        self.table().remove(&key);
    }

    pub(super) fn count(&self) -> u64 {
        self.table().len() as u64
    }

    pub(super) fn rows(&self, after: Option<&str>, limit: usize) -> Vec<Row> {
        let after = after.and_then(|key| key.parse().ok()).unwrap_or(i64::MIN);
        let table = self.table();
        let rows = table.range(after..).filter(|(key, _)| **key > after).take(limit);
        rows.map(|(key, address)| Row { key: key.to_string(), address: address.clone(), values: Vec::new() }).collect()
    }
}
