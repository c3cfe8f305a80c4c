//! A user table in memory, for simulations: a database's threads would bring real time into them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::row::{RawKey, RawRow, Row};
use super::spool::Memory;

/// A user table by key: the address, and further columns. It can change underneath.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable(Arc<Mutex<BTreeMap<i64, Vec<Option<String>>>>>);

impl MemoryTable {
    fn table(&self) -> MutexGuard<'_, BTreeMap<i64, Vec<Option<String>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or changes a user, with the values of the audience's columns.
    pub fn put(&self, key: i64, address: Option<&str>, columns: &[&str]) {
        let columns = columns.iter().map(|value| Some((*value).to_owned()));
        self.table().insert(key, std::iter::once(address.map(str::to_owned)).chain(columns).collect());
    }

    /// Deletes a user.
    pub fn delete(&self, key: i64) {
        self.table().remove(&key);
    }

    /// Everybody, as they are now.
    pub(super) fn spooled(&self) -> Memory {
        let row = |(key, cells): (&i64, &Vec<Option<String>>)| RawRow {
            key: RawKey::Bytes(key.to_string().into_bytes()),
            cells: cells.iter().map(|cell| cell.clone().map(String::into_bytes)).collect(),
        };
        holding(self.table().iter().map(row))
    }
}

/// A spool of these rows.
pub(super) fn holding(rows: impl Iterator<Item = RawRow>) -> Memory {
    let mut spool = Memory::default();
    rows.for_each(|row| spool.add(Row::of(row)));
    spool
}
