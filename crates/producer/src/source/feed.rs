//! The way of rows from whoever reads them into the spool, which has a thread of its own: a few batches
//! lie between the two, so that memory stays flat.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Progress;
use super::row::{RawKey, RawRow, Row, identity};
use super::spool::{Disk, Spool, SpoolError};

/// Rows in a batch, and bytes of them: enough to make the handing over cheap, whatever a row's size.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 256 * 1024;
const BATCHES_BETWEEN: usize = 4;

/// The spool takes no more rows: it has failed, which its own end tells, or nobody wants it.
#[derive(Debug)]
pub(super) struct Closed;

/// Takes rows.
pub(super) struct Feed {
    sender: mpsc::Sender<Vec<RawRow>>,
    batch: Vec<RawRow>,
    bytes: usize,
    cancelled: CancellationToken,
    progress: Progress,
}

impl Feed {
    /// How many rows the source counts, where it knows before it gives them.
    pub(super) fn expects(&self, rows: u64) {
        self.progress.has_counted(rows);
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) async fn push(&mut self, row: RawRow) -> Result<(), Closed> {
        if !self.is_full_with(row) {
            return Ok(());
        }
        let batch = self.take();
        self.sender.send(batch).await.map_err(|_| Closed)
    }

    /// The same on a thread that may wait.
    pub(super) fn push_blocking(&mut self, row: RawRow) -> Result<(), Closed> {
        if !self.is_full_with(row) {
            return Ok(());
        }
        if self.cancelled.is_cancelled() {
            return Err(Closed);
        }
        let batch = self.take();
        self.sender.blocking_send(batch).map_err(|_| Closed)
    }

    fn is_full_with(&mut self, row: RawRow) -> bool {
        self.bytes += row.cells.iter().flatten().map(Vec::len).sum::<usize>();
        self.batch.push(row);
        self.batch.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self) -> Vec<RawRow> {
        self.bytes = 0;
        std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ROWS))
    }

    pub(super) async fn end(mut self) {
        let batch = self.take();
        // Where the spool has failed, its own end tells.
        let _ = self.sender.send(batch).await;
    }

    pub(super) fn end_blocking(mut self) {
        let batch = self.take();
        let _ = self.sender.blocking_send(batch);
    }
}

/// A spool that is being filled. Dropped before it is whole, it ends whoever reads for it.
pub(super) struct Filling {
    writer: tokio::task::JoinHandle<Result<Disk, SpoolError>>,
    _reader: DropGuard,
}

impl Filling {
    /// Begins a spool in `directory` for rows with so many columns beside key and address. Where `address_is_user`, who has not
    /// agreed by one row of an address has not by the others.
    pub(super) fn begin(directory: PathBuf, columns: usize, address_is_user: bool, progress: Progress) -> (Feed, Self) {
        let (sender, mut receiver) = mpsc::channel::<Vec<RawRow>>(BATCHES_BETWEEN);
        let (cancelled, read) = (CancellationToken::new(), progress.clone());
        let token = cancelled.clone();
        let writer = tokio::task::spawn_blocking(move || {
            let mut disk = Disk::create(&directory, columns)?;
            while let Some(batch) = receiver.blocking_recv() {
                read.has_read(batch.iter().filter(|row| !matches!(row.key, RawKey::Refusal(_))).count());
                for row in batch {
                    match row.key {
                        RawKey::Refusal(key) => {
                            if let Some(key) = key {
                                disk.refuse(&identity(key).0)?;
                            }
                            if address_is_user && let Some(Some(address)) = row.cells.first() {
                                disk.refuse_address(&String::from_utf8_lossy(address))?;
                            }
                        }
                        RawKey::Null | RawKey::Bytes(_) | RawKey::Broken { .. } => disk.add(Row::of(row).as_ref())?,
                    }
                }
                if token.is_cancelled() {
                    return Err(SpoolError::Ended);
                }
            }
            disk.finish()?;
            Ok(disk)
        });
        let feed = Feed { sender, batch: Vec::with_capacity(BATCH_ROWS), bytes: 0, cancelled: cancelled.clone(), progress };
        (feed, Self { writer, _reader: cancelled.drop_guard() })
    }

    /// The spool, once its feed has ended.
    pub(super) async fn whole(self) -> Result<Spool, SpoolError> {
        let disk = self.writer.await.map_err(|_| SpoolError::Ended)??;
        Ok(Spool::Disk(Arc::new(Mutex::new(disk))))
    }
}
