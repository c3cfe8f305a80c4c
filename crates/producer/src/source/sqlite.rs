//! SQLite: a connection that can't write, and one read transaction. It waits for the disk, so it has a
//! thread of its own.

use std::str::FromStr;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::SqliteConnectOptions;

use super::ReadError;
use super::feed::{Closed, Feed};
use super::row::{RawKey, RawRow};
use super::select::Select;
use super::words::CONNECT;
use crate::audience::{AudienceConfig, From};

pub(super) fn read(url: &str, from: &From, config: &AudienceConfig, feed: &mut Feed) -> Result<u64, ReadError> {
    let select = Select::of(from, config, '"');
    let connection = open(url)?;
    let counted = count(&connection, &select)?;
    // The key as it is stored, whatever affinity it has by here; the rest in SQLite's own text.
    let mut expressions = select.expressions(|column| format!("CAST({} AS text)", column.expression));
    if let (Some(key), Some(first)) = (select.columns.first(), expressions.first_mut()) {
        first.clone_from(&key.expression);
    }
    let mut statement = connection.prepare(&select.rows(&expressions))?;
    let columns = expressions.len();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = match row.get_ref(0)? {
            ValueRef::Null => RawKey::Null,
            ValueRef::Integer(number) => RawKey::Bytes(number.to_string().into_bytes()),
            // In as many digits as tell it from every other.
            ValueRef::Real(number) => RawKey::Bytes(format!("{number:?}").into_bytes()),
            ValueRef::Text(text) => RawKey::Bytes(text.to_vec()),
            ValueRef::Blob(bytes) => RawKey::binary(bytes),
        };
        let cell = |at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
            })
        };
        let cells = (1..columns).map(cell).collect::<rusqlite::Result<_>>()?;
        feed.push_blocking(RawRow { key, cells }).map_err(|Closed| ReadError::Closed)?;
    }
    Ok(counted)
}

pub(super) fn count_rows(url: &str, from: &From, config: &AudienceConfig) -> Result<u64, ReadError> {
    count(&open(url)?, &Select::of(from, config, '"'))
}

fn open(url: &str) -> Result<Connection, ReadError> {
    let options = SqliteConnectOptions::from_str(url).map_err(ReadError::url)?;
    let file = options.get_filename();
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(CONNECT)?;
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

fn count(connection: &Connection, select: &Select) -> Result<u64, ReadError> {
    let counted: i64 = connection.query_row(&select.count(), [], |row| row.get(0))?;
    Ok(counted.max(0).unsigned_abs())
}
