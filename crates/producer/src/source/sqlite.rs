//! SQLite: a connection that can't write, and one read transaction. It waits for the disk, so it has a
//! thread of its own.

use std::str::FromStr;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::SqliteConnectOptions;

use super::feed::{Closed, Feed};
use super::outline::{ColumnOutline, TellsApart};
use super::row::{RawKey, RawRow};
use super::select::Select;
use super::words::CONNECT;
use super::{ReadError, Told};
use crate::audience::{AudienceConfig, From};

pub(super) fn read(url: &str, from: &From, config: &AudienceConfig, feed: &mut Feed) -> Result<Told, ReadError> {
    let select = Select::of(from, config, '"');
    let connection = open(url)?;
    let counted = count(&connection, &select.count())?;
    feed.expects(counted);
    // The key as it is stored, whatever affinity it has by here; the rest in SQLite's own text. A BLOB is taken as it is, for a
    // cast reads its bytes by the encoding of the database, which may be UTF-16.
    let text = |name: &str| format!("CASE typeof({name}) WHEN 'blob' THEN {name} ELSE CAST({name} AS text) END");
    let mut expressions = select.expressions(|column| text(&column.expression));
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
    let asked = select.count_asked().map(|asked| count(&connection, &asked));
    Ok(Told::of_asked(counted, asked))
}

pub(super) fn count_rows(url: &str, from: &From, config: &AudienceConfig) -> Result<u64, ReadError> {
    count(&open(url)?, &Select::of(from, config, '"').count())
}

fn open(url: &str) -> Result<Connection, ReadError> {
    let options = SqliteConnectOptions::from_str(url).map_err(ReadError::url)?;
    let file = options.get_filename();
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(CONNECT)?;
    // Else a name in quotes that no column has is taken for a text, and a condition about it is true of everybody (SQLite,
    // "Double-quoted String Literals Are Accepted").
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

fn count(connection: &Connection, statement: &str) -> Result<u64, ReadError> {
    let counted: i64 = connection.query_row(statement, [], |row| row.get(0))?;
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
    // A primary key of more than one column tells nobody apart by one of them. Of what is hidden, 1 is a column that `SELECT *`
    // does not give, 2 and 3 are generated ones, which it does (SQLite, "PRAGMA table_xinfo").
    let statement = "SELECT name, type, CASE
             WHEN pk > 0 AND (SELECT COUNT(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1 THEN 'primary'
             WHEN \"notnull\" AND EXISTS (SELECT 1 FROM pragma_index_list(?1) l WHERE l.\"unique\" AND NOT l.partial
                 AND (SELECT GROUP_CONCAT(i.name, char(0)) FROM pragma_index_info(l.name) i) = c.name) THEN 'unique' ELSE '' END
         FROM pragma_table_xinfo(?1) c WHERE hidden <> 1 ORDER BY cid";
    let connection = open(url)?;
    let mut statement = connection.prepare(statement)?;
    let columns = statement.query_map([table], |row| {
        Ok(ColumnOutline { name: row.get(0)?, kind: row.get(1)?, tells_apart: TellsApart::of(&row.get::<_, String>(2)?) })
    })?;
    Ok(columns.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Cell, Progress, Source};

    /// SQLite takes a name in quotes that no column has for a text, which is not null for anybody.
    #[test]
    fn a_condition_about_a_column_that_is_not_there_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users.db");
        Connection::open(&file)
            .unwrap()
            .execute_batch("CREATE TABLE users (id, email); INSERT INTO users VALUES (1, 'a@example.com')")
            .unwrap();
        let url = format!("sqlite:{}", file.display());
        let count = |filter: &str| {
            let config = AudienceConfig {
                key: "id".to_owned(),
                address: "email".to_owned(),
                filter: Some(filter.to_owned()),
                ..AudienceConfig::default()
            };
            count_rows(&url, &From::Table("users".to_owned()), &config)
        };
        assert_eq!(count("\"email\" is not null").unwrap(), 1);
        assert!(count("\"news\" is not null").is_err());
    }

    #[test]
    fn a_generated_column_is_a_column() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users.db");
        let table = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT, full TEXT GENERATED ALWAYS AS (name || '!'),
             kept TEXT GENERATED ALWAYS AS (name) STORED)";
        Connection::open(&file).unwrap().execute_batch(table).unwrap();
        let columns = columns_of(&format!("sqlite:{}", file.display()), "users").unwrap();
        assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "email", "name", "full", "kept"]);
    }

    /// A BLOB's bytes are a text where they are UTF-8, whatever the database keeps its own texts in; and a query is read to its end.
    #[tokio::test]
    async fn text_in_a_blob_is_read_as_utf_8_in_whatever_encoding_the_database_is() {
        for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("users.db");
            let connection = Connection::open(&file).unwrap();
            let statements = format!(
                "PRAGMA encoding = '{encoding}'; CREATE TABLE users (id, email, name);
                 INSERT INTO users VALUES ('k\u{e9}y', CAST(x'6140622E6A70' AS blob), x'4AC3BC7267'), (2, 'b@example.com', 1.5), (3, 'c', x'FF')"
            );
            connection.execute_batch(&statements).unwrap();
            let config = AudienceConfig {
                url: Some(format!("sqlite:{}", file.display())),
                query: Some("SELECT * FROM users -- all of them".to_owned()),
                key: "id".to_owned(),
                address: "email".to_owned(),
                columns: vec!["name".to_owned()],
                ..AudienceConfig::default()
            };
            let source = Source::read("users", &config, directory.path(), String::new(), &Progress::default()).await.unwrap();
            let page = source.page(&mut source.beginning(), 10).await.unwrap();
            let rows: Vec<_> = page.into_iter().map(|spooled| (spooled.row.key, spooled.row.address, spooled.row.values)).collect();
            let text = |text: &str| Cell::Text(text.to_owned());
            let expected = [
                ("2".to_owned(), text("b@example.com"), vec![text("1.5")]),
                ("3".to_owned(), text("c"), vec![Cell::NotText]),
                ("k\u{e9}y".to_owned(), text("a@b.jp"), vec![text("J\u{fc}rg")]),
            ];
            assert_eq!(rows, expected, "{encoding}");
        }
    }
}
