//! PostgreSQL: one read-only transaction, one snapshot, one statement that streams.
//!
//! Nothing outlives the transaction, and no statement has a name, so it is the same behind a pooler that
//! hands connections on after each transaction (`PgBouncer`, `pool_mode`).

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row as _};

use super::feed::Feed;
use super::outline::{ColumnOutline, TellsApart, literal};
use super::row::{RawKey, RawRow};
use super::select::{Select, refused_key};
use super::words::{CONNECT, SILENCE, STATEMENT, beforehand, in_time, within};
use super::{ReadError, Told};
use crate::audience::{AudienceConfig, From};

/// How long it waits for somebody's lock on the table, and how long it may idle in the transaction.
const LOCK: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(1);

/// The names of types whose text is no identity: it depends on settings, or two texts are one value.
const NO_KEYS: [&str; 13] = [
    "boolean",
    "money",
    "real",
    "double precision",
    "date",
    "time without time zone",
    "time with time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
    "json",
    "jsonb",
    "xml",
];

pub(super) async fn read(url: &str, from: &From, config: &AudienceConfig, feed: &mut Feed) -> Result<Told, ReadError> {
    let select = Select::of(from, config, '"');
    let mut connection = connect(url).await?;
    let kind = match select.columns.first() {
        Some(key) => shown(&one_row(&mut connection, base_type(&select.no_value(key))).await?, 0)?,
        None => String::new(),
    };
    if let Some(key) = select.columns.first()
        && (NO_KEYS.contains(&kind.as_str()) || kind.ends_with("[]"))
    {
        return Err(ReadError::Refused(refused_key(key, &kind)));
    }
    let counted = count(&mut connection, select.count()).await?;
    feed.expects(counted);
    let rows = select.rows(&select.expressions(|column| format!("CAST({} AS text)", column.expression)));
    let mut rows = sqlx::query(AssertSqlSafe(rows)).persistent(false).fetch(&mut connection);
    while let Some(row) = in_time(SILENCE, rows.try_next()).await? {
        let key = match text(&row, 0)? {
            // With `bytea_output = hex`, `\x` and the digits.
            Some(shown) if kind == "bytea" => match hex::decode(shown.get(2..).unwrap_or_default()) {
                Ok(bytes) => RawKey::binary(&bytes),
                Err(_) => RawKey::Bytes(shown),
            },
            key => RawKey::text(key),
        };
        let cells = (1..row.len()).map(|at| text(&row, at)).collect::<Result<_, _>>()?;
        feed.push(RawRow { key, cells }).await?;
    }
    drop(rows);
    let asked = match select.count_asked() {
        Some(asked) => Some(count(&mut connection, asked).await),
        None => None,
    };
    // One that is still at it is not waited for: it ends with the connection.
    if asked.as_ref().is_none_or(Result::is_ok) {
        end(connection).await;
    }
    Ok(Told::of_asked(counted, asked))
}

/// A statement that says of which type a value is: of a domain the type that it is made of, by whatever further domains.
fn base_type(value: &str) -> String {
    format!(
        "WITH RECURSIVE made_of (type) AS (
             SELECT CAST(pg_typeof({value}) AS oid)
             UNION ALL SELECT t.typbasetype FROM made_of JOIN pg_catalog.pg_type t ON t.oid = made_of.type WHERE t.typtype = 'd'
         )
         SELECT CAST(format_type(t.oid, NULL) AS text) FROM made_of JOIN pg_catalog.pg_type t ON t.oid = made_of.type WHERE t.typtype <> 'd'"
    )
}

pub(super) async fn count_rows(url: &str, from: &From, config: &AudienceConfig) -> Result<u64, ReadError> {
    let mut connection = connect(url).await?;
    let counted = count(&mut connection, Select::of(from, config, '"').count()).await?;
    end(connection).await;
    Ok(counted)
}

async fn connect(url: &str) -> Result<PgConnection, ReadError> {
    // Poolers refuse start parameters that they don't know; it is set in the transaction instead.
    let options: PgConnectOptions = url.parse::<PgConnectOptions>().map_err(ReadError::url)?;
    let options = options.statement_cache_capacity(0).extra_float_digits(None).application_name("issei producer");
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let mut connection = within(CONNECT, &place, PgConnection::connect_with(&options)).await?;
    // What functions say beside their results could quote a row.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {};
         SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 2;
         SET LOCAL client_min_messages = error",
        STATEMENT.as_millis(),
        LOCK.as_millis(),
        IDLE.as_millis()
    );
    beforehand(CONNECT, async { sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await.map(drop) }).await?;
    Ok(connection)
}

async fn count(connection: &mut PgConnection, statement: String) -> Result<u64, ReadError> {
    let counted: i64 = one_row(connection, statement).await?.try_get(0)?;
    Ok(counted.max(0).unsigned_abs())
}

async fn one_row(connection: &mut PgConnection, statement: String) -> Result<PgRow, ReadError> {
    in_time(SILENCE, sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch_one(connection)).await
}

/// The bytes of a value of type `text`, whatever the encoding of the database lets them be.
fn text(row: &PgRow, at: usize) -> Result<Option<Vec<u8>>, ReadError> {
    Ok(row.try_get_unchecked::<Option<&[u8]>, _>(at)?.map(<[u8]>::to_vec))
}

/// The snapshot is given up at once, and not when somebody notices that nobody is there.
async fn end(mut connection: PgConnection) {
    let ended = async {
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        connection.close().await
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "the database's connection did not end well, which harms nothing");
    }
}

pub(super) async fn tables(url: &str) -> Result<Vec<String>, ReadError> {
    let statement = "SELECT CAST(CASE WHEN table_schema = 'public' THEN table_name ELSE table_schema || '.' || table_name END AS text)
         FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let mut connection = connect(url).await?;
    let rows = all_rows(&mut connection, statement.to_owned()).await?;
    end(connection).await;
    rows.iter().map(|row| shown(row, 0)).collect()
}

pub(super) async fn columns_of(url: &str, table: &str) -> Result<Vec<ColumnOutline>, ReadError> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let table = literal(&table.split('.').map(quoted).collect::<Vec<_>>().join("."));
    let index = "EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND";
    let statement = format!(
        "SELECT CAST(a.attname AS text), CAST(format_type(a.atttypid, a.atttypmod) AS text), CASE
             WHEN {index} i.indisprimary) THEN 'primary'
             WHEN a.attnotnull AND {index} i.indisunique AND i.indpred IS NULL) THEN 'unique' ELSE '' END
         FROM pg_attribute a WHERE a.attrelid = CAST({table} AS regclass) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let mut connection = connect(url).await?;
    let rows = all_rows(&mut connection, statement).await?;
    end(connection).await;
    let column = |row| Ok(ColumnOutline { name: shown(row, 0)?, kind: shown(row, 1)?, tells_apart: TellsApart::of(&shown(row, 2)?) });
    rows.iter().map(column).collect()
}

async fn all_rows(connection: &mut PgConnection, statement: String) -> Result<Vec<PgRow>, ReadError> {
    in_time(SILENCE, sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch_all(connection)).await
}

fn shown(row: &PgRow, at: usize) -> Result<String, ReadError> {
    Ok(text(row, at)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
}
