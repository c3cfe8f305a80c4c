//! A user table in memory, for simulations: a database's threads would bring real time into them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::row::{RawKey, RawRow, Row};
use super::spool::Memory;

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

    /// Everybody, as they are now.
    pub(super) fn spooled(&self) -> Memory {
        let mut spool = Memory::default();
        for (key, address) in self.table().iter() {
            let cells = vec![address.clone().map(String::into_bytes)];
            spool.add(Row::of(RawRow { key: RawKey::Bytes(key.to_string().into_bytes()), cells }));
        }
        spool
    }
}
