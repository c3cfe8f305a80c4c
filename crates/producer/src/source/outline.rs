//! What a source looks like, for whoever has no configuration yet: its tables, their columns, and some values.
//! It only reads, and nothing of it is logged.

use std::path::Path;

use issei_aws::Clients;

use super::spool::Counts;
use super::{
    Address, Cell, Objects, Progress, ReadAs, ReadError, Source, SourceError, Table, dynamodb, is_mysql, is_postgres, mysql,
    no_such_database, postgres, quotable, sqlite,
};
use crate::audience::AudienceConfig;

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

/// Reads an audience as the producer would, and gives up to `most` of its rows.
pub async fn sample(name: &str, audience: &AudienceConfig, spool_dir: &Path, most: usize) -> Result<Sample, SourceError> {
    let source = Source::read(name, audience, spool_dir, String::new(), &Progress::default()).await?;
    let Counts { rows, without_key, repeated, .. } = source.counts();
    let page = source.page(&mut source.beginning(), most).await?;
    let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
    let values = page.into_iter().map(|spooled| spooled.row.values.into_iter().map(text).collect()).collect();
    let (mut repeats, mut cursor) = (Vec::new(), source.beginning());
    while repeated > 0 && repeats.len() < EXAMPLES {
        let page = source.page(&mut cursor, PAGE).await?;
        let Some(last) = page.last() else { break };
        cursor.after = Some(last.row.key.clone());
        repeats.extend(page.iter().filter(|spooled| spooled.repeats > 0).map(|spooled| (quotable(&spooled.row.key), spooled.repeats + 1)));
    }
    repeats.truncate(EXAMPLES);
    Ok(Sample { rows, without_key, repeated, repeats, values })
}

/// The attributes of a table of DynamoDB that its first `most` items have; of those that have a text.
pub async fn attributes_of(clients: &Clients, table: &str, most: i32) -> Result<Vec<ColumnOutline>, SourceError> {
    let table = Table { client: clients.dynamodb.clone(), name: table.to_owned(), most: Some(most) };
    dynamodb::columns_of(&table).await.map_err(|error| told(&error))
}

/// The first line of the objects of S3 that `s3` names, and the name of the object that it stands in.
pub async fn first_line_in_s3(s3: &str, clients: &Clients, read_as: ReadAs) -> Result<(String, String), SourceError> {
    let file = |reason: String| SourceError::Outline(format!("{s3}: {reason}"));
    let address = Address::parse(s3).map_err(file)?;
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
