//! What a source looks like, for whoever has no configuration yet: its tables, their columns, and some values.
//! It only reads, and nothing of it is logged.

use std::collections::BTreeSet;
use std::path::Path;

use issei_aws::Clients;
use issei_schema::Address;

use super::spool::{Counts, Spooled};
use super::{
    Cell, Cursor, Objects, Progress, ReadAs, ReadError, Row, Source, SourceError, Table, dynamodb, is_mysql, is_postgres, mysql,
    no_such_database, postgres, quotable, s3, sqlite,
};
use crate::audience::AudienceConfig;
use crate::repeated::{Noted, note_addresses};

/// Keys that several rows have, and that are named.
const EXAMPLES: usize = 3;
/// Keys that are looked at at once.
const PAGE: usize = 2_000;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnOutline {
    pub name: String,
    /// As the database calls its type; empty where it has none.
    pub kind: String,
    pub tells_apart: TellsApart,
}

/// Whether a column alone tells one row from another, as the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TellsApart {
    PrimaryKey,
    Unique,
    /// Together with another alone: the partition key of a table that has a sort key.
    WithAnother,
    Unsaid,
    /// That other one: the sort key, which often says of which kind an item is.
    Sorts,
}

impl TellsApart {
    pub(super) fn of(word: &str) -> Self {
        match word {
            "primary" => Self::PrimaryKey,
            "unique" => Self::Unique,
            _ => Self::Unsaid,
        }
    }
}

/// Some rows of an audience, and what its whole came to.
#[derive(Debug)]
pub struct Sample {
    pub rows: u64,
    /// Rows whose key is null, or empty in a file.
    pub without_key: u64,
    /// Rows whose key another row had before them.
    pub repeated: u64,
    /// Some keys that several rows have, and how many.
    pub repeats: Vec<(String, u64)>,
    /// Of the first rows in the order of their keys the values of the audience's columns; nothing for what is null
    /// or no text.
    pub values: Vec<Vec<Option<String>>>,
}

impl Sample {
    /// Rows whose key does not tell them from others.
    #[must_use]
    pub fn without_own_key(&self) -> u64 {
        self.without_key + self.repeated
    }
}

/// The tables and views that a database shows to whoever the URL names.
pub async fn tables(url: &str) -> Result<Vec<String>, SourceError> {
    let tables = if is_postgres(url) {
        postgres::tables(url).await
    } else if is_mysql(url) {
        mysql::tables(url).await
    } else if url.starts_with("sqlite:") {
        sqlite::tables(url)
    } else {
        Err(no_such_database())
    };
    tables.map_err(|error| told(&error))
}

/// The columns of a table, in its order.
pub async fn columns_of(url: &str, table: &str) -> Result<Vec<ColumnOutline>, SourceError> {
    let columns = if is_postgres(url) {
        postgres::columns_of(url, table).await
    } else if is_mysql(url) {
        mysql::columns_of(url, table).await
    } else if url.starts_with("sqlite:") {
        sqlite::columns_of(url, table)
    } else {
        Err(no_such_database())
    };
    columns.map_err(|error| told(&error))
}

/// An audience that was read as the producer would read it, for whoever has no key for it yet: nothing is refused that another
/// key would mend.
pub struct FirstLook(Source);

/// How many addresses stand in what was looked at, and whether a key and an address are the same people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Those that are not the same, each counted once.
    pub different: u64,
    /// Addresses that stand under several keys.
    pub under_several_keys: u64,
    /// Keys with more than one address.
    pub keys_with_several: u64,
}

impl FirstLook {
    pub async fn at(name: &str, audience: &AudienceConfig, spool_dir: &Path) -> Result<Self, SourceError> {
        let lenient = AudienceConfig { is_first_look: true, ..audience.clone() };
        Ok(Self(Source::read(name, &lenient, spool_dir, String::new(), &Progress::default()).await?))
    }

    /// Up to `most` of its rows, in the order of their keys.
    pub async fn sample(&self, most: usize) -> Result<Sample, SourceError> {
        let Counts { rows, without_key, repeated, .. } = self.0.counts();
        let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
        let (mut values, mut repeats, mut cursor) = (Vec::new(), Vec::new(), self.0.beginning());
        while values.len() < most || (repeated > 0 && repeats.len() < EXAMPLES) {
            let page = self.page(&mut cursor).await?;
            if page.is_empty() {
                break;
            }
            for Keyed { key, rows, times } in page {
                if times > 1 {
                    repeats.push((quotable(&key), times));
                }
                let room = most.saturating_sub(values.len());
                values.extend(rows.into_iter().take(room).map(|row| row.values.into_iter().map(text).collect()));
            }
        }
        repeats.truncate(EXAMPLES);
        Ok(Sample { rows, without_key, repeated, repeats, values })
    }

    /// Counts the addresses in the column at this place, over everything that was read; once, for what was counted is noted.
    pub async fn count_addresses(&mut self, column: usize) -> Result<AddressCounts, SourceError> {
        let identity = |row: &Row| match row.values.get(column)? {
            Cell::Text(text) => Some(Address::quoting_legacy(text).ok()?.identity()),
            Cell::Null | Cell::NotText => None,
        };
        let (mut counts, mut cursor) = (AddressCounts::default(), self.0.beginning());
        loop {
            let page = self.page(&mut cursor).await?;
            if page.is_empty() {
                return Ok(counts);
            }
            let mut addresses = Vec::new();
            for Keyed { key, rows, .. } in &page {
                let different: BTreeSet<String> = rows.iter().filter_map(identity).collect();
                counts.keys_with_several += u64::from(different.len() > 1);
                addresses.extend(different.into_iter().map(|address| (address, key.as_str())));
            }
            let Noted { new, repeated } = note_addresses(&mut self.0, addresses).await?;
            counts.different += new;
            counts.under_several_keys += repeated;
        }
    }

    /// The next keys, each with its rows that differ.
    async fn page(&self, cursor: &mut Cursor) -> Result<Vec<Keyed>, SourceError> {
        let page = self.0.page(cursor, PAGE).await?;
        let mut keyed = Vec::with_capacity(page.len());
        for Spooled { row, others, mut has_more, repeats, .. } in page {
            cursor.after = Some(row.key.clone());
            let (key, mut rows) = (row.key.clone(), vec![row]);
            rows.extend(others);
            while has_more && let Some(last) = rows.last() {
                let further = self.0.rows_after(last).await?;
                has_more = !further.is_empty();
                rows.extend(further);
            }
            keyed.push(Keyed { key, rows, times: repeats + 1 });
        }
        Ok(keyed)
    }
}

/// A key and what its rows say.
struct Keyed {
    key: String,
    rows: Vec<Row>,
    times: u64,
}

/// The attributes of a table of DynamoDB that its first `most` items have; of those that have a text.
pub async fn attributes_of(clients: &Clients, table: &str, most: i32) -> Result<Vec<ColumnOutline>, SourceError> {
    let table = Table { client: clients.dynamodb.clone(), name: table.to_owned(), most: Some(most) };
    dynamodb::columns_of(&table).await.map_err(|error| told(&error))
}

/// The first line of the objects of S3 that `url` names, and the name of the object that it stands in.
pub async fn first_line_in_s3(url: &str, clients: &Clients, read_as: ReadAs) -> Result<(String, String), SourceError> {
    let file = |reason: String| SourceError::Outline(format!("{url}: {reason}"));
    let address = s3::Address::parse(url).map_err(file)?;
    let objects = Objects { client: clients.s3.clone(), address, fixed: None };
    objects.first_line(read_as).await.map_err(|error| file(error.to_string()))
}

fn told(error: &ReadError) -> SourceError {
    SourceError::Outline(error.to_string())
}

/// A text as a literal of SQL, where backslashes are characters like any other.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
