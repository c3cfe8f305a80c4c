//! CSV and JSON Lines. A file has no key order, so it is read into a temporary SQLite database once
//! and paged from there like any other audience.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;

use super::SourceError;
use crate::audience::{AudienceConfig, KeyType};

pub(super) const TABLE: &str = "audience";

/// Rows in one transaction: enough to make the commits cheap, few enough to keep memory flat.
const ROWS_PER_COMMIT: usize = 5_000;
/// A line longer than this is no row. Nothing of a recipient may be larger than 16 KiB.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A file, read into a database.
pub(super) struct Imported {
    pub(super) directory: TempDir,
    pub(super) url: String,
    pub(super) config: AudienceConfig,
}

pub(super) async fn import(audience: &str, file: &str, config: &AudienceConfig) -> Result<Imported, SourceError> {
    let failed = |reason: String| SourceError::File { audience: audience.to_owned(), file: file.to_owned(), reason };
    let reader = File::open(file).map_err(|error| failed(format!("{error}; check the path")))?;
    let wanted: Vec<&str> = [&config.key, &config.address].into_iter().chain(&config.columns).map(String::as_str).collect();
    let records: Box<dyn Iterator<Item = Result<Record, String>> + Send> = match file.rsplit('.').next() {
        Some("csv") => csv_records(reader, &wanted).map_err(failed)?,
        Some("jsonl" | "ndjson") => Box::new(json_records(reader, &wanted)),
        _ => return Err(failed("its name ends with neither .csv nor .jsonl".to_owned())),
    };
    let directory = tempfile::tempdir().map_err(|error| failed(format!("no temporary directory: {error}")))?;
    let path = directory.path().join("audience.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(|error| failed(error.to_string()))?;
    fill(&pool, config, wanted.len(), records).await.map_err(|error| match error {
        Failure::Record(reason) => failed(reason),
        Failure::Database(error) => failed(error.to_string()),
    })?;
    pool.close().await;
    let url = format!("sqlite:{}", path.display());
    let columns: Vec<String> = (0..config.columns.len()).map(|at| format!("c{}", at + 2)).collect();
    let config =
        AudienceConfig { key: "c0".to_owned(), address: "c1".to_owned(), columns, key_type: config.key_type, ..AudienceConfig::default() };
    Ok(Imported { directory, url, config })
}

enum Failure {
    Record(String),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// The wanted values of one row, with the number of its line.
struct Record {
    line: u64,
    values: Vec<Option<String>>,
}

async fn fill(
    pool: &SqlitePool,
    config: &AudienceConfig,
    columns: usize,
    records: Box<dyn Iterator<Item = Result<Record, String>> + Send>,
) -> Result<(), Failure> {
    let key_kind = if config.key_type == KeyType::Integer { "INTEGER" } else { "TEXT" };
    let rest: Vec<String> = (1..columns).map(|at| format!("c{at} TEXT")).collect();
    // Not unique on purpose: a key that stands twice must be seen and recorded, not refused here.
    sqlx::query(AssertSqlSafe(format!("CREATE TABLE {TABLE} (c0 {key_kind}, {})", rest.join(", ")))).execute(pool).await?;
    let places = vec!["?"; columns].join(", ");
    let insert = format!("INSERT INTO {TABLE} VALUES ({places})");
    let mut transaction: Transaction<'_, Sqlite> = pool.begin().await?;
    for (number, record) in records.enumerate() {
        let mut record = record.map_err(Failure::Record)?;
        let mut values = record.values.iter_mut();
        let key = values.next().and_then(Option::take);
        let mut query = sqlx::query(AssertSqlSafe(insert.as_str()));
        query = if config.key_type == KeyType::Integer {
            let integer = key.as_ref().and_then(|key| key.trim().parse::<i64>().ok());
            if integer.is_none() {
                tracing::warn!(line = record.line, "this row's key is no integer; it is skipped as `no_key`");
            }
            query.bind(integer)
        } else {
            query.bind(key.filter(|key| !key.is_empty()))
        };
        for value in values {
            query = query.bind(value.take());
        }
        query.execute(&mut *transaction).await?;
        if (number + 1) % ROWS_PER_COMMIT == 0 {
            transaction.commit().await?;
            transaction = pool.begin().await?;
        }
    }
    sqlx::query(AssertSqlSafe(format!("CREATE INDEX by_key ON {TABLE} (c0)"))).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

fn csv_records(file: File, wanted: &[&str]) -> Result<Box<dyn Iterator<Item = Result<Record, String>> + Send>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(BufReader::new(file));
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let places: Vec<usize> = wanted
        .iter()
        .map(|name| {
            // Spreadsheets put a byte order mark before the first name.
            let place = headers.iter().position(|header| header.trim_start_matches('\u{feff}').trim() == *name);
            // Without a header line these are somebody's row.
            let names: Vec<&str> = headers.iter().filter(|header| !header.contains('@')).collect();
            place.ok_or_else(|| format!("its header line has no column {name:?}; it has {names:?}"))
        })
        .collect::<Result<_, _>>()?;
    Ok(Box::new(reader.into_byte_records().enumerate().map(move |(number, record)| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(number as u64 + 2, csv::Position::line);
        // A row that is too short, or not UTF-8, lacks values, and is skipped for that later.
        let value = |place: &usize| record.get(*place).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
        Ok(Record { line, values: places.iter().map(value).collect() })
    })))
}

fn json_records(file: File, wanted: &[&str]) -> impl Iterator<Item = Result<Record, String>> + Send + use<> {
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let lines = BufReader::new(file).split(b'\n').enumerate();
    lines.filter(|(_, line)| line.as_ref().map_or(true, |line| !line.trim_ascii().is_empty())).map(move |(number, line)| {
        let line = line.map_err(|error| error.to_string())?;
        let number = number as u64 + 1;
        let object: Option<Map<String, Value>> =
            Some(&line).filter(|line| line.len() <= LINE_BYTES_MAX).and_then(|line| serde_json::from_slice(line).ok());
        if object.is_none() {
            tracing::warn!(line = number, "this line is no JSON object; it is skipped as `no_key`");
        }
        let values = wanted.iter().map(|name| match object.as_ref()?.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        Ok(Record { line: number, values: values.collect() })
    })
}
