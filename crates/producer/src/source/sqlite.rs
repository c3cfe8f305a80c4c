//! SQLite: a connection that can't write, and one read transaction. It waits for the disk, so it has a
//! thread of its own.

use std::str::FromStr;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::SqliteConnectOptions;

use super::ReadError;
use super::feed::{Closed, Feed};
use super::outline::{ColumnOutline, TellsApart};
use super::row::{RawKey, RawRow};
use super::select::Select;
use super::words::CONNECT;
use crate::audience::{AudienceConfig, From};

pub(super) fn read(url: &str, from: &From, config: &AudienceConfig, feed: &mut Feed) -> Result<u64, ReadError> {
    let select = Select::of(from, config, '"');
    let connection = open(url)?;
    let counted = count(&connection, &select)?;
    feed.expects(counted);
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

pub(super) fn tables(url: &str) -> Result<Vec<String>, ReadError> {
    let statement = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY 1";
    let connection = open(url)?;
    let mut statement = connection.prepare(statement)?;
    let tables = statement.query_map([], |row| row.get(0))?;
    Ok(tables.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn columns_of(url: &str, table: &str) -> Result<Vec<ColumnOutline>, ReadError> {
    // A primary key of more than one column tells nobody apart by one of them.
    let statement = "SELECT name, type, CASE
             WHEN pk > 0 AND (SELECT COUNT(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1 THEN 'primary'
             WHEN \"notnull\" AND EXISTS (SELECT 1 FROM pragma_index_list(?1) l WHERE l.\"unique\" AND NOT l.partial
                 AND (SELECT GROUP_CONCAT(i.name, char(0)) FROM pragma_index_info(l.name) i) = c.name) THEN 'unique' ELSE '' END
         FROM pragma_table_info(?1) c ORDER BY cid";
    let connection = open(url)?;
    let mut statement = connection.prepare(statement)?;
    let columns = statement.query_map([table], |row| {
        Ok(ColumnOutline { name: row.get(0)?, kind: row.get(1)?, tells_apart: TellsApart::of(&row.get::<_, String>(2)?) })
    })?;
    Ok(columns.collect::<rusqlite::Result<_>>()?)
}
