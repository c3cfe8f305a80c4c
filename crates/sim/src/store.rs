//! Where the simulator keeps what could grow with the audience: items, message bodies and the
//! provider's record. A private SQLite database, in memory or in a temporary file that SQLite
//! deletes itself, so that a million recipients need no more memory than a hundred thousand.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

/// The simulator's own storage failed: a full disk, say. Never part of what is simulated.
#[derive(Debug, thiserror::Error)]
#[error("the simulator's store failed: {0}")]
pub struct StoreError(String);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// How often the provider was asked for one address, and how often it accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    pub address: String,
    pub requests: u64,
    pub accepted: u64,
}

/// A mail as the provider rendered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub address: String,
    pub from: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub tags: String,
    /// Those of its own, in their order.
    pub headers: Vec<(String, String)>,
    pub reply_to: Vec<String>,
    pub message_id: String,
    pub accepted_at: Timestamp,
}

pub(crate) struct Store(Connection);

/// An item as it is stored.
pub(crate) struct Stored {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) item: Text,
}

/// The text of an item, and how large DynamoDB counts it.
pub(crate) struct Text {
    pub(crate) body: String,
    pub(crate) size: usize,
}

impl Text {
    /// From two columns of a row, the first of which is that one.
    fn of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let size = usize::try_from(row.get::<_, u32>(first + 1)?).unwrap_or(usize::MAX);
        Ok(Self { body: row.get(first)?, size })
    }

    fn stored_size(&self) -> u32 {
        u32::try_from(self.size).unwrap_or(u32::MAX)
    }
}

impl Store {
    pub(crate) fn open(on_disk: bool) -> Result<Self, StoreError> {
        // An empty name asks SQLite for a private temporary file (sqlite.org/inmemorydb.html).
        let db = Connection::open(if on_disk { "" } else { ":memory:" })?;
        db.execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -4000;
             CREATE TABLE item (tbl TEXT, pk TEXT, sk TEXT, body TEXT, size INTEGER, PRIMARY KEY (tbl, pk, sk)) WITHOUT ROWID;
             CREATE TABLE message (seq INTEGER PRIMARY KEY, body TEXT, attributes TEXT);
             CREATE TABLE sent (address TEXT, broadcast TEXT, requests INTEGER, accepted INTEGER, PRIMARY KEY (address, broadcast)) WITHOUT ROWID;
             CREATE TABLE mail (seq INTEGER PRIMARY KEY, body TEXT);",
        )?;
        db.set_prepared_statement_cache_capacity(32);
        Ok(Self(db))
    }

    pub(crate) fn item(&self, table: &str, pk: &str, sk: &str) -> Result<Option<Text>, StoreError> {
        Ok(self
            .0
            .prepare_cached("SELECT body, size FROM item WHERE tbl = ?1 AND pk = ?2 AND sk = ?3")?
            .query_row(params![table, pk, sk], |row| Text::of(row, 0))
            .optional()?)
    }

    pub(crate) fn put_item(&self, table: &str, pk: &str, sk: &str, item: &Text) -> Result<(), StoreError> {
        self.0.prepare_cached("INSERT OR REPLACE INTO item (tbl, pk, sk, body, size) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            table,
            pk,
            sk,
            item.body,
            item.stored_size()
        ])?;
        Ok(())
    }

    pub(crate) fn delete_item(&self, table: &str, pk: &str, sk: &str) -> Result<(), StoreError> {
        self.0.prepare_cached("DELETE FROM item WHERE tbl = ?1 AND pk = ?2 AND sk = ?3")?.execute(params![table, pk, sk])?;
        Ok(())
    }

    /// Every item of a table.
    pub(crate) fn items(&self, table: &str) -> Result<Vec<Stored>, StoreError> {
        let mut statement = self.0.prepare("SELECT pk, sk, body, size FROM item WHERE tbl = ?1")?;
        let of = |row: &rusqlite::Row<'_>| Ok(Stored { pk: row.get(0)?, sk: row.get(1)?, item: Text::of(row, 2)? });
        let rows = statement.query_map([table], of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn replace_items(&self, table: &str, items: &[Stored]) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM item WHERE tbl = ?1", [table])?;
        for Stored { pk, sk, item } in items {
            self.put_item(table, pk, sk, item)?;
        }
        Ok(())
    }

    /// Items of one partition by sort key, in its order, `after` excluded, up to `bytes_max` of items.
    pub(crate) fn range(
        &self,
        table: &str,
        pk: &str,
        (from, to): (&str, &str),
        after: Option<&str>,
        backwards: bool,
        (rows_max, bytes_max): (usize, usize),
    ) -> Result<(Vec<(String, Text)>, bool), StoreError> {
        let sql = if backwards {
            "SELECT sk, body, size FROM item WHERE tbl = ?1 AND pk = ?2 AND sk >= ?3 AND sk <= ?4 AND (?5 IS NULL OR sk < ?5) ORDER BY sk DESC"
        } else {
            "SELECT sk, body, size FROM item WHERE tbl = ?1 AND pk = ?2 AND sk >= ?3 AND sk <= ?4 AND (?5 IS NULL OR sk > ?5) ORDER BY sk"
        };
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![table, pk, from, to, after])?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            if found.len() == rows_max || bytes >= bytes_max {
                return Ok((found, true));
            }
            let item = Text::of(row, 1)?;
            bytes += item.body.len();
            found.push((row.get(0)?, item));
        }
        Ok((found, false))
    }

    pub(crate) fn put_message(&self, seq: u64, body: &str, attributes: &str) -> Result<(), StoreError> {
        self.0.prepare_cached("INSERT INTO message (seq, body, attributes) VALUES (?1, ?2, ?3)")?.execute(params![
            seq.cast_signed(),
            body,
            attributes
        ])?;
        Ok(())
    }

    pub(crate) fn message(&self, seq: u64) -> Result<(String, String), StoreError> {
        Ok(self
            .0
            .prepare_cached("SELECT body, attributes FROM message WHERE seq = ?1")?
            .query_row(params![seq.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    pub(crate) fn delete_message(&self, seq: u64) -> Result<(), StoreError> {
        self.0.prepare_cached("DELETE FROM message WHERE seq = ?1")?.execute(params![seq.cast_signed()])?;
        Ok(())
    }

    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        self.0.prepare_cached("BEGIN")?.execute([])?;
        Ok(())
    }

    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    pub(crate) fn count_send(&self, address: &str, broadcast: &str, accepted: bool) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO sent (address, broadcast, requests, accepted) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT DO UPDATE SET requests = requests + 1, accepted = accepted + excluded.accepted",
            )?
            .execute(params![address, broadcast, i64::from(accepted)])?;
        Ok(())
    }

    pub(crate) fn keep_mail(&self, mail: &Mail) -> Result<(), StoreError> {
        self.0.prepare_cached("INSERT INTO mail (body) VALUES (?1)")?.execute(params![serde_json::to_string(mail)?])?;
        Ok(())
    }

    pub(crate) fn mails(&self) -> Result<Vec<Mail>, StoreError> {
        let mut statement = self.0.prepare("SELECT body FROM mail ORDER BY seq")?;
        let bodies = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        bodies.iter().map(|body| Ok(serde_json::from_str(body)?)).collect()
    }

    pub(crate) fn sent_for(&self, broadcast: &str, address: &str) -> Result<SentTo, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT requests, accepted FROM sent WHERE address = ?1 AND broadcast = ?2")?;
        let counts =
            statement.query_row(params![address, broadcast], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        let (requests, accepted) = counts.unwrap_or((0, 0));
        Ok(SentTo { address: address.to_owned(), requests: requests.cast_unsigned(), accepted: accepted.cast_unsigned() })
    }

    pub(crate) fn sent_to(&self, broadcast: &str, after: &str, limit: u32) -> Result<Vec<SentTo>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT address, requests, accepted FROM sent WHERE broadcast = ?1 AND address > ?2 ORDER BY address LIMIT ?3",
        )?;
        let rows = statement.query_map(params![broadcast, after, limit], |row| {
            Ok(SentTo {
                address: row.get(0)?,
                requests: row.get::<_, i64>(1)?.cast_unsigned(),
                accepted: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
