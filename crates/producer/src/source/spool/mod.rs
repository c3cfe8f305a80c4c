//! The spool: the whole audience, read once, sorted and unique by the bytes of its keys. Pages are frozen
//! from here and from nowhere else.

mod disk;
#[cfg(feature = "simulation")]
mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use disk::{Disk, SpoolError};
#[cfg(feature = "simulation")]
pub(super) use memory::Memory;

use issei_schema::Address;

use super::row::{Cell, Row};

/// What was read, as the reader counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    /// Rows whose key is null.
    pub(crate) without_key: u64,
    /// Rows whose key another row had before them.
    pub(crate) repeated: u64,
    /// Keys whose rows do not all say the same.
    pub(crate) differing: u64,
    /// Keys of which one row agrees, and another does not.
    pub(crate) refused: u64,
    /// Rows with a key whose address had invisible white space around it, which is left out.
    pub(crate) trimmed: u64,
}

impl Counts {
    /// Counts a row; `None` is one without a key.
    fn take(&mut self, row: Option<&Row>) {
        self.rows += 1;
        match row {
            None => self.without_key += 1,
            Some(row) => self.trimmed += u64::from(matches!(&row.address, Cell::Text(text) if Address::is_trimmed(text))),
        }
    }
}

/// A key with its rows, in an order that is the same however they were read: by the bytes of what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spooled {
    /// The least of them.
    pub(crate) row: Row,
    /// The next ones that say something else.
    pub(crate) others: Vec<Row>,
    /// There are further ones.
    pub(crate) has_more: bool,
    /// In how many rows it stands beside the first.
    pub(crate) repeats: u64,
    /// Somebody has not agreed by another row, which is none of the audience's.
    pub(crate) is_refused: bool,
}

/// Rows of one key that are read at once, beside the least. More of them are rare.
pub(super) const OTHERS: usize = 7;

impl Spooled {
    /// Of the first rows of a key, one more than there is room for where there are further ones.
    fn of(row: Row, mut others: Vec<Row>, repeats: u64) -> Self {
        let has_more = others.len() > OTHERS;
        others.truncate(OTHERS);
        Self { row, others, has_more, repeats, is_refused: false }
    }
}

/// An address as it is compared, whether the audience mails such local parts or not.
pub(crate) fn identity_of(text: &str) -> Option<String> {
    Address::quoting_legacy(text).ok().map(|address| address.identity())
}

/// Whether a row says this address.
fn says(row: &Row, address: &str) -> bool {
    matches!(&row.address, Cell::Text(text) if identity_of(text).is_some_and(|identity| identity == address))
}

/// Addresses that are mailed, each with its key.
pub(crate) type Mailed = BTreeMap<String, String>;

/// A spool that is filled.
pub(super) enum Spool {
    Disk(Arc<Mutex<Disk>>),
    #[cfg(feature = "simulation")]
    Memory(Memory),
}

impl Spool {
    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Disk(disk) => disk.lock().unwrap_or_else(PoisonError::into_inner).counts(),
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => memory.counts(),
        }
    }

    /// The next `limit` keys after `key`, in the order of their bytes; nothing only where there is none.
    pub(super) async fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Spooled>, SpoolError> {
        match self {
            Self::Disk(disk) => {
                let after = after.map(str::to_owned);
                on_disk(disk, move |disk| disk.page(after.as_deref(), limit)).await
            }
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => Ok(memory.page(after, limit)),
        }
    }

    /// The rows of a key that come after this one, in their order.
    pub(super) async fn rows_after(&self, row: &Row, limit: usize) -> Result<Vec<Row>, SpoolError> {
        match self {
            Self::Disk(disk) => {
                let row = row.clone();
                on_disk(disk, move |disk| disk.rows_after(&row, limit)).await
            }
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => Ok(memory.rows_after(row, limit)),
        }
    }

    /// How many of these keys have no row with this address.
    pub(super) async fn lacking(&self, known: Vec<(String, String)>) -> Result<u64, SpoolError> {
        match self {
            Self::Disk(disk) => on_disk(disk, move |disk| disk.lacking(&known)).await,
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => Ok(memory.lacking(&known)),
        }
    }

    /// Notes whom frozen pages mail.
    pub(super) async fn note_mailed(&mut self, mailed: Mailed) -> Result<(), SpoolError> {
        match self {
            Self::Disk(disk) => on_disk(disk, move |disk| disk.note_mailed(&mailed)).await,
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => {
                memory.note_mailed(mailed);
                Ok(())
            }
        }
    }

    /// Which of these addresses frozen pages mail, and under which key.
    pub(super) async fn mailed(&self, addresses: Vec<String>) -> Result<Mailed, SpoolError> {
        match self {
            Self::Disk(disk) => on_disk(disk, move |disk| disk.mailed(&addresses)).await,
            #[cfg(feature = "simulation")]
            Self::Memory(memory) => Ok(memory.mailed(&addresses)),
        }
    }
}

/// SQLite waits for the disk, so it does that on a thread of its own.
async fn on_disk<T: Send + 'static>(
    disk: &Arc<Mutex<Disk>>,
    work: impl FnOnce(&mut Disk) -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    let disk = Arc::clone(disk);
    let done = tokio::task::spawn_blocking(move || work(&mut disk.lock().unwrap_or_else(PoisonError::into_inner)));
    done.await.map_err(|_| SpoolError::Ended)?
}
