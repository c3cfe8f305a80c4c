//! Reading an audience in key order, one page at a time.

mod file;
#[cfg(feature = "simulation")]
mod memory;
mod rehearsal;
mod sql;

use std::time::Duration;

use tempfile::TempDir;

use crate::audience::{AudienceConfig, Place};
#[cfg(feature = "simulation")]
pub use memory::MemoryTable;
pub use rehearsal::REHEARSAL_PREFIX;
pub(crate) use rehearsal::size_of;
use sql::{Database, Statements};

/// How long one statement may take in the customer's database.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is wrong with a source of an audience.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("audience `{audience}`: {reason}")]
    Config { audience: String, reason: String },
    #[error("audience `{audience}`: {reason}; check the database, and the audience's table, key, address, columns and filter")]
    Database { audience: String, reason: String },
    #[error("audience `{audience}`, file {file}: {reason}")]
    File { audience: String, file: String, reason: String },
}

/// A row as the source gives it. Hostile until it becomes a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) address: Option<String>,
    /// In the order of the audience's columns.
    pub(crate) values: Vec<Option<String>>,
}

/// An open source of an audience.
pub struct Source {
    audience: String,
    rows: Rows,
    /// A file is read from a database of its own, which lives as long as this.
    _imported: Option<TempDir>,
}

enum Rows {
    Database(Database, Statements),
    /// So many recipients at the mailbox simulator.
    Rehearsal(u64),
    #[cfg(feature = "simulation")]
    Memory(MemoryTable),
}

impl Source {
    /// Connects to the database, or reads the file into one.
    pub async fn open(audience: &str, config: &AudienceConfig) -> Result<Self, SourceError> {
        #[cfg(feature = "simulation")]
        if let Some(table) = &config.memory {
            return Ok(Self { audience: audience.to_owned(), rows: Rows::Memory(table.clone()), _imported: None });
        }
        if let Some(size) = config.rehearsal {
            return Ok(Self { audience: audience.to_owned(), rows: Rows::Rehearsal(size), _imported: None });
        }
        match config.place(audience)? {
            Place::Database { url, from } => {
                let database = Database::connect(&url, STATEMENT_TIMEOUT).await.map_err(|error| Self::failed(audience, &error))?;
                let statements = database.statements(&from, config);
                Ok(Self { audience: audience.to_owned(), rows: Rows::Database(database, statements), _imported: None })
            }
            Place::File(file) => {
                let imported = file::import(audience, &file, config).await?;
                let database = Database::connect(&imported.url, STATEMENT_TIMEOUT).await.map_err(|error| Self::failed(audience, &error))?;
                let statements = database.statements(&crate::audience::From::Table(file::TABLE.to_owned()), &imported.config);
                Ok(Self { audience: audience.to_owned(), rows: Rows::Database(database, statements), _imported: Some(imported.directory) })
            }
        }
    }

    fn failed(audience: &str, error: &sqlx::Error) -> SourceError {
        SourceError::Database { audience: audience.to_owned(), reason: error.to_string() }
    }

    /// How many rows the audience has now.
    pub async fn count(&self) -> Result<u64, SourceError> {
        match &self.rows {
            Rows::Database(database, statements) => {
                database.count(&statements.count).await.map_err(|error| Self::failed(&self.audience, &error))
            }
            Rows::Rehearsal(size) => Ok(*size),
            #[cfg(feature = "simulation")]
            Rows::Memory(table) => Ok(table.count()),
        }
    }

    /// How many rows have no key.
    pub(crate) async fn count_without_key(&self) -> Result<u64, SourceError> {
        match &self.rows {
            Rows::Database(database, statements) => {
                database.count(&statements.count_without_key).await.map_err(|error| Self::failed(&self.audience, &error))
            }
            Rows::Rehearsal(_) => Ok(0),
            #[cfg(feature = "simulation")]
            Rows::Memory(_) => Ok(0),
        }
    }

    /// About `limit` rows after `key` in key order; nothing only where there is no more. All rows of
    /// one key come together.
    pub(crate) async fn rows_after(&self, key: Option<&str>, limit: usize) -> Result<Vec<Row>, SourceError> {
        let mut limit = limit.max(1);
        loop {
            // One more than wanted tells whether the last key has all of its rows here. Its other
            // rows would be passed over by `key > last`, so then it waits for the next page.
            let mut rows = match &self.rows {
                Rows::Database(database, statements) => {
                    database.rows(statements, key, limit + 1).await.map_err(|error| Self::failed(&self.audience, &error))?
                }
                Rows::Rehearsal(size) => rehearsal::rows(*size, key, limit + 1),
                #[cfg(feature = "simulation")]
                Rows::Memory(table) => table.rows(key, limit + 1),
            };
            if rows.len() <= limit {
                return Ok(rows);
            }
            let last = rows.last().map(|row| row.key.clone());
            let whole = rows.iter().take_while(|row| Some(&row.key) != last.as_ref()).count();
            if whole > 0 {
                rows.truncate(whole);
                return Ok(rows);
            }
            limit *= 2;
        }
    }
}
