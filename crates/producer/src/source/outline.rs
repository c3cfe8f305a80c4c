//! What a source looks like, for whoever has no configuration yet: its tables, their columns, and some values.
//! It only reads, and nothing of it is logged.

use std::path::Path;

use issei_aws::Clients;

use super::{
    Address, Cell, Objects, Progress, ReadError, Source, SourceError, is_mysql, is_postgres, mysql, no_such_database, postgres, sqlite,
};
use crate::audience::AudienceConfig;

/// What is told of a source before it has a name.
const NAMELESS: &str = "proposed";

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
    /// Rows whose key is null, or another row's, too.
    pub without_own_key: u64,
    /// Of the first rows in the order of their keys the values of the audience's columns; nothing for what is null
    /// or no text.
    pub values: Vec<Vec<Option<String>>>,
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
pub async fn sample(audience: &AudienceConfig, spool_dir: &Path, most: usize) -> Result<Sample, SourceError> {
    let source = Source::read(NAMELESS, audience, spool_dir, String::new(), &Progress::default()).await?;
    let counts = source.counts();
    let page = source.page(&mut source.beginning(), most).await?;
    let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
    let values = page.into_iter().map(|spooled| spooled.row.values.into_iter().map(text).collect());
    Ok(Sample { rows: counts.rows, without_own_key: counts.without_key + counts.repeated, values: values.collect() })
}

/// The first line of the objects of S3 that `s3` names, and the name of the object that it stands in.
pub async fn first_line_in_s3(s3: &str, clients: &Clients, encoding: Option<&str>) -> Result<(String, String), SourceError> {
    let file = |reason: String| SourceError::File { audience: NAMELESS.to_owned(), file: s3.to_owned(), reason };
    let address = Address::parse(s3).map_err(file)?;
    let objects = Objects { client: clients.s3.clone(), address, fixed: None };
    objects.first_line(encoding.map(str::to_owned)).await.map_err(|error| file(error.to_string()))
}

fn told(error: &ReadError) -> SourceError {
    SourceError::Database { audience: NAMELESS.to_owned(), reason: error.to_string() }
}

/// A text as a literal of SQL, where backslashes are characters like any other.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
