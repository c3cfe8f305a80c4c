//! The spool on disk: a SQLite database whose file has no name, so that nothing of it is left however the
//! process ends. Keys are stored as BLOBs, which SQLite compares by their bytes (sqlite.org, "Datatypes",
//! section 4.1), and are unique as such.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::{Counts, Mailed, OTHERS, Spooled, identity_of, says};
use crate::source::row::{Cell, Flaw, Row};

/// Pages of the database in memory: 16 MiB (sqlite.org, `PRAGMA cache_size`: negative means KiB).
const CACHE_KIB: i32 = 16 * 1024;

/// What went wrong with the spool.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum SpoolError {
    #[error("the directory {} can't be written to ({error}); set spool_dir to one that can", directory.display())]
    Directory { directory: PathBuf, error: std::io::Error },
    #[error(
        "the disk under {} is full after {rows} rows; give it more room (a Lambda function: EphemeralStorage), or set spool_dir to a directory that has it (twice the size of the wanted columns is enough)",
        directory.display()
    )]
    Full { directory: PathBuf, rows: u64 },
    #[error("the spool in {} failed: {error}", directory.display())]
    Sqlite { directory: PathBuf, error: rusqlite::Error },
    /// Whoever wanted it is gone.
    #[error("the reading was given up")]
    Ended,
}

pub(in crate::source) struct Disk {
    connection: Connection,
    directory: PathBuf,
    columns: usize,
    insert: String,
    counts: Counts,
    /// Some keys are of somebody who has not agreed, by another row of the key or of an address.
    has_refused: bool,
}

impl Disk {
    /// An empty spool for rows with so many columns beside key and address.
    pub(in crate::source) fn create(directory: &Path, columns: usize) -> Result<Self, SpoolError> {
        let failed = |error| SpoolError::Directory { directory: directory.to_owned(), error };
        let file = tempfile::Builder::new().prefix("issei-spool-").tempfile_in(directory).map_err(failed)?;
        let on_sqlite = |error| of_sqlite(directory, 0, error);
        let connection = Connection::open(file.path()).map_err(on_sqlite)?;
        let names: Vec<String> = (0..columns).map(|at| format!(", c{at}")).collect();
        let names = names.concat();
        // A throw-away file needs neither journal nor sync, and nobody else can open it.
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB};
                 CREATE TABLE audience (key BLOB PRIMARY KEY, flaw INTEGER, address{names}) WITHOUT ROWID;
                 CREATE TABLE repeats (key BLOB, said BLOB, rows INTEGER NOT NULL, PRIMARY KEY (key, said)) WITHOUT ROWID;
                 CREATE TABLE refused (key BLOB PRIMARY KEY) WITHOUT ROWID;
                 CREATE TABLE refused_addresses (address TEXT PRIMARY KEY) WITHOUT ROWID;
                 CREATE TABLE mailed (address TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
                 BEGIN"
            ))
            .map_err(on_sqlite)?;
        // From here on the file has no name, and its room is given back when the process ends.
        file.close().map_err(failed)?;
        let insert = format!("INSERT OR IGNORE INTO audience VALUES (?, ?, ?{})", ", ?".repeat(columns));
        Ok(Self { connection, directory: directory.to_owned(), columns, insert, counts: Counts::default(), has_refused: false })
    }

    /// Takes a row; `None` is one without a key.
    pub(in crate::source) fn add(&mut self, row: Option<&Row>) -> Result<(), SpoolError> {
        self.counts.take(row);
        let Some(row) = row else { return Ok(()) };
        let is_new = self.insert(row).map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))?;
        self.counts.repeated += u64::from(!is_new);
        Ok(())
    }

    /// Takes down that a row of this key, which is none of the audience's, is of somebody who has not agreed.
    pub(in crate::source) fn refuse(&mut self, key: &str) -> Result<(), SpoolError> {
        let note = || self.connection.prepare_cached("INSERT OR IGNORE INTO refused VALUES (?)")?.execute([key.as_bytes()]);
        note().map(drop).map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    /// The same for an address, whatever the key of the row was.
    pub(in crate::source) fn refuse_address(&mut self, address: &str) -> Result<(), SpoolError> {
        let Some(address) = identity_of(address) else { return Ok(()) };
        let note = || self.connection.prepare_cached("INSERT OR IGNORE INTO refused_addresses VALUES (?)")?.execute([address]);
        note().map(drop).map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    /// Makes each address that was refused one of all keys that it stands under, by whichever of their rows.
    fn refuse_keys_of_addresses(&self) -> rusqlite::Result<()> {
        if !self.connection.prepare("SELECT 1 FROM refused_addresses")?.exists([])? {
            return Ok(());
        }
        let mut is_refused = self.connection.prepare("SELECT 1 FROM refused_addresses WHERE address = ?")?;
        let mut refuse = self.connection.prepare("INSERT OR IGNORE INTO refused VALUES (?)")?;
        let mut look = |key: &[u8], address: &Cell| {
            if let Cell::Text(text) = address
                && let Some(address) = identity_of(text)
                && is_refused.exists([address])?
            {
                refuse.execute([key])?;
            }
            Ok::<(), rusqlite::Error>(())
        };
        let mut statement = self.connection.prepare("SELECT key, address FROM audience")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            look(row.get_ref(0)?.as_bytes()?, &cell(row.get_ref(1)?))?;
        }
        let mut statement = self.connection.prepare("SELECT key, said FROM repeats")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_bytes()?;
            let row = Row::saying("", row.get_ref(1)?.as_bytes()?)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, error.into()))?;
            look(key, &row.address)?;
        }
        Ok(())
    }

    fn insert(&self, row: &Row) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached(&self.insert)?;
        statement.raw_bind_parameter(1, row.key.as_bytes())?;
        statement.raw_bind_parameter(2, &row.flaw)?;
        statement.raw_bind_parameter(3, &row.address)?;
        for (value, at) in row.values.iter().zip(4..) {
            statement.raw_bind_parameter(at, value)?;
        }
        if statement.raw_execute()? > 0 {
            return Ok(true);
        }
        // Which of them came first says nothing, so it is noted like the others, with no further row.
        let mut first = self.connection.prepare_cached("SELECT * FROM audience WHERE key = ?")?;
        let first = first.query_row([row.key.as_bytes()], |row| self.row(row))?;
        self.note_repeat(&first, 0)?;
        self.note_repeat(row, 1)?;
        Ok(false)
    }

    fn note_repeat(&self, row: &Row, rows: i64) -> rusqlite::Result<()> {
        let note = "INSERT INTO repeats VALUES (?1, ?2, ?3) ON CONFLICT (key, said) DO UPDATE SET rows = rows + ?3";
        self.connection.prepare_cached(note)?.execute((row.key.as_bytes(), said(row)?, rows)).map(drop)
    }

    /// The end of the reading.
    pub(in crate::source) fn finish(&mut self) -> Result<(), SpoolError> {
        let finish = || {
            self.connection.execute_batch("COMMIT")?;
            let differing = "SELECT COUNT(*) FROM (SELECT 1 FROM repeats GROUP BY key HAVING COUNT(*) > 1)";
            let refused = "SELECT COUNT(*) FROM refused JOIN audience USING (key)";
            let count = |query| self.connection.query_row(query, [], |row| row.get::<_, i64>(0));
            // What addresses say of keys is no second row of a key.
            let counted = [count(differing)?, count(refused)?];
            self.refuse_keys_of_addresses()?;
            Ok((counted, count(refused)? > 0))
        };
        let (counted, has_refused) = finish().map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))?;
        [self.counts.differing, self.counts.refused] = counted.map(|keys| keys.max(0).unsigned_abs());
        self.has_refused = has_refused;
        Ok(())
    }

    pub(in crate::source) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn page(&mut self, after: Option<&str>, limit: usize) -> Result<Vec<Spooled>, SpoolError> {
        self.read_page(after, limit).map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    fn read_page(&self, after: Option<&str>, limit: usize) -> rusqlite::Result<Vec<Spooled>> {
        let from = if after.is_some() { "WHERE key > ?1" } else { "WHERE ?1 IS NULL" };
        let mut statement = self.connection.prepare_cached(&format!("SELECT * FROM audience {from} ORDER BY key LIMIT ?2"))?;
        let mut repeats = self.connection.prepare_cached("SELECT SUM(rows) FROM repeats WHERE key = ?")?;
        let mut refused = self.connection.prepare_cached("SELECT 1 FROM refused WHERE key = ?")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((after.map(str::as_bytes), limit))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let row = self.row(row)?;
            let is_refused = self.has_refused && refused.exists([row.key.as_bytes()])?;
            let repeats: Option<i64> =
                if self.counts.repeated == 0 { None } else { repeats.query_row([row.key.as_bytes()], |row| row.get(0))? };
            let Some(repeats) = repeats else {
                page.push(Spooled { is_refused, ..Spooled::of(row, Vec::new(), 0) });
                continue;
            };
            let mut rows = self.read_rows(&row.key, &[], OTHERS + 2)?.into_iter();
            let least = rows.next().unwrap_or(row);
            let spooled = Spooled::of(least, rows.collect(), repeats.max(0).unsigned_abs());
            page.push(Spooled { is_refused, ..spooled });
        }
        Ok(page)
    }

    pub(super) fn rows_after(&mut self, row: &Row, limit: usize) -> Result<Vec<Row>, SpoolError> {
        let read = || self.read_rows(&row.key, &said(row)?, limit);
        read().map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    /// Rows of a key that has several, from the least or after one of them.
    fn read_rows(&self, key: &str, after: &[u8], limit: usize) -> rusqlite::Result<Vec<Row>> {
        let next = "SELECT said FROM repeats WHERE key = ?1 AND said > ?2 ORDER BY said LIMIT ?3";
        let mut statement = self.connection.prepare_cached(next)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((key.as_bytes(), after, limit), |row| {
            Row::saying(key, row.get_ref(0)?.as_bytes()?)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, error.into()))
        })?;
        rows.collect()
    }

    fn row(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        Ok(Row {
            key: String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned(),
            flaw: flaw(row.get_ref(1)?),
            address: cell(row.get_ref(2)?),
            values: (3..3 + self.columns).map(|at| Ok(cell(row.get_ref(at)?))).collect::<rusqlite::Result<_>>()?,
        })
    }

    pub(super) fn lacking(&mut self, known: &[(String, String)]) -> Result<u64, SpoolError> {
        let count = || {
            let mut statement = self.connection.prepare_cached("SELECT * FROM audience WHERE key = ?")?;
            let mut lacking = 0;
            for (key, address) in known {
                let row = statement.query_row([key.as_bytes()], |row| self.row(row)).optional()?;
                let is_there = match row {
                    None => false,
                    Some(row) if says(&row, address) => true,
                    Some(_) if self.counts.repeated == 0 => false,
                    Some(_) => self.read_rows(key, &[], usize::MAX)?.iter().any(|row| says(row, address)),
                };
                lacking += u64::from(!is_there);
            }
            Ok(lacking)
        };
        count().map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    pub(super) fn note_mailed(&mut self, mailed: &Mailed) -> Result<(), SpoolError> {
        let note = || {
            self.connection.execute_batch("BEGIN")?;
            let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO mailed VALUES (?, ?)")?;
            for (address, key) in mailed {
                statement.execute([address, key])?;
            }
            self.connection.execute_batch("COMMIT")
        };
        note().map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }

    pub(super) fn mailed(&mut self, addresses: &[String]) -> Result<Mailed, SpoolError> {
        let find = || {
            let mut statement = self.connection.prepare_cached("SELECT key FROM mailed WHERE address = ?")?;
            let mut mailed = Mailed::new();
            for address in addresses {
                if let Some(key) = statement.query_row([address], |row| row.get(0)).optional()? {
                    mailed.insert(address.clone(), key);
                }
            }
            Ok(mailed)
        };
        find().map_err(|error| of_sqlite(&self.directory, self.counts.rows, error))
    }
}

fn of_sqlite(directory: &Path, rows: u64, error: rusqlite::Error) -> SpoolError {
    let directory = directory.to_owned();
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        SpoolError::Full { directory, rows }
    } else {
        SpoolError::Sqlite { directory, error }
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::NotText => ValueRef::Blob(b""),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(_) => Cell::NotText,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Cell::Null,
    }
}

impl ToSql for Flaw {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::KeyNotText => ValueRef::Integer(1),
            Self::BrokenLine(reason) => ValueRef::Text(reason.as_bytes()),
        }))
    }
}

fn flaw(stored: ValueRef<'_>) -> Option<Flaw> {
    match stored {
        ValueRef::Integer(_) => Some(Flaw::KeyNotText),
        ValueRef::Text(reason) => Some(Flaw::BrokenLine(String::from_utf8_lossy(reason).into_owned())),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

/// What a row says, as it is kept beside others of its key.
fn said(row: &Row) -> rusqlite::Result<Vec<u8>> {
    row.said().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(key: &str, address: &str) -> Row {
        Row { key: key.to_owned(), flaw: None, address: Cell::Text(address.to_owned()), values: vec![Cell::NotText, Cell::Null] }
    }

    fn spooled(keys: &[String]) -> Disk {
        let mut disk = Disk::create(&std::env::temp_dir(), 2).unwrap();
        for (number, key) in keys.iter().enumerate() {
            disk.add(Some(&row(key, &number.to_string()))).unwrap();
        }
        disk.finish().unwrap();
        disk
    }

    #[test]
    fn a_full_disk_is_named_with_its_directory_and_what_to_do() {
        let mut disk = Disk::create(&std::env::temp_dir(), 2).unwrap();
        disk.connection.execute_batch("PRAGMA max_page_count = 20").unwrap();
        let long = "x".repeat(4_000);
        let error = (0..1_000).find_map(|key| disk.add(Some(&row(&key.to_string(), &long))).err()).unwrap().to_string();
        assert!(["is full after", "spool_dir", "EphemeralStorage"].iter().all(|words| error.contains(words)), "{error}");
        let error = Disk::create(Path::new("/there/is/no/such"), 0).err().unwrap().to_string();
        assert!(error.contains("/there/is/no/such") && error.contains("spool_dir"), "{error}");
    }

    #[test]
    fn nothing_of_it_has_a_name_while_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::create(directory.path(), 2).unwrap();
        disk.add(Some(&row("1", "a"))).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        disk.finish().unwrap();
        assert_eq!(disk.page(None, 5).unwrap(), [Spooled::of(row("1", "a"), Vec::new(), 0)]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_refusal_is_no_row_and_binds_its_key_whichever_was_read_first() {
        let mut disk = Disk::create(&std::env::temp_dir(), 2).unwrap();
        disk.refuse("1").unwrap();
        for (key, address) in [("1", "a"), ("2", "b"), ("3", "c"), ("3", "d"), ("4", "e")] {
            disk.add(Some(&row(key, address))).unwrap();
        }
        // The last has no row that agrees.
        for key in ["3", "3", "5"] {
            disk.refuse(key).unwrap();
        }
        disk.finish().unwrap();
        let page = disk.page(None, 10).unwrap();
        let told: Vec<(&str, bool)> = page.iter().map(|spooled| (spooled.row.key.as_str(), spooled.is_refused)).collect();
        assert_eq!(told, [("1", true), ("2", false), ("3", true), ("4", false)]);
        assert_eq!((disk.counts().rows, disk.counts().repeated, disk.counts().refused), (5, 1, 2));
    }

    #[test]
    fn a_refusal_binds_all_keys_of_its_address_where_addresses_are_the_users() {
        let mut disk = Disk::create(&std::env::temp_dir(), 2).unwrap();
        disk.refuse_address("Ann@Example.com").unwrap();
        for (key, address) in [("1", "Ann@example.com"), ("2", "bob@example.com"), ("3", "c@example.com"), ("3", "Ann@EXAMPLE.com ")] {
            disk.add(Some(&row(key, address))).unwrap();
        }
        for address in ["nobody", "gone@example.com"] {
            disk.refuse_address(address).unwrap();
        }
        disk.finish().unwrap();
        let page = disk.page(None, 10).unwrap();
        let told: Vec<(&str, bool)> = page.iter().map(|spooled| (spooled.row.key.as_str(), spooled.is_refused)).collect();
        assert_eq!(told, [("1", true), ("2", false), ("3", true)]);
        // Its keys stand in no other row.
        assert_eq!(disk.counts().refused, 0);
    }

    proptest! {
        /// Whatever the keys are and however they come: each once, by its bytes, with its rows in one order.
        #[test]
        fn pages_hold_each_key_once_in_the_order_of_bytes(keys in prop::collection::vec("[a-cA-C0-2äÄ\u{1}ß]{0,2}", 0..60), limit in 1_usize..7) {
            let mut disk = spooled(&keys);
            let (mut found, mut last): (Vec<Spooled>, Option<String>) = (Vec::new(), None);
            loop {
                let page = disk.page(last.as_deref(), limit).unwrap();
                let Some(spooled) = page.last() else { break };
                last = Some(spooled.row.key.clone());
                prop_assert!(page.len() <= limit);
                found.extend(page);
            }
            let mut sorted: Vec<&String> = keys.iter().collect();
            sorted.sort_by_key(|key| key.as_bytes());
            sorted.dedup();
            prop_assert_eq!(found.iter().map(|spooled| &spooled.row.key).collect::<Vec<_>>(), sorted);
            let mut differing = 0;
            for Spooled { row: least, others, has_more, repeats, .. } in &found {
                let mut places: Vec<String> = (0..keys.len()).filter(|at| keys[*at] == least.key).map(|at| at.to_string()).collect();
                places.sort();
                prop_assert_eq!(*repeats + 1, places.len() as u64);
                differing += u64::from(places.len() > 1);
                let mut rows: Vec<Row> = std::iter::once(least).chain(others).cloned().collect();
                while *has_more && rows.len() < places.len() {
                    rows.extend(disk.rows_after(rows.last().unwrap(), limit).unwrap());
                }
                prop_assert_eq!(rows, places.iter().map(|place| row(&least.key, place)).collect::<Vec<_>>());
            }
            prop_assert_eq!((disk.counts().repeated, disk.counts().differing), ((keys.len() - found.len()) as u64, differing));
        }
    }
}
