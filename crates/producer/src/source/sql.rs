//! PostgreSQL, MySQL or MariaDB, and SQLite, read by keyset pagination.
//!
//! Only reads: PostgreSQL and MySQL in read-only transactions with a statement timeout, SQLite
//! through a read-only connection. Names from the configuration are quoted, keys are bound.

use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, Row as _, SqlitePool};

use super::Row;
use crate::audience::{AudienceConfig, From, KeyType};

/// One connection reads; a second is there for a count meanwhile.
const CONNECTIONS_MAX: u32 = 2;

pub(super) enum Database {
    Postgres { pool: PgPool, statement_timeout: Duration },
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// The statements of one audience.
pub(super) struct Statements {
    pub(super) count: String,
    pub(super) count_without_key: String,
    first: String,
    after: String,
    key_type: KeyType,
}

impl Database {
    pub(super) async fn connect(url: &str, statement_timeout: Duration) -> Result<Self, sqlx::Error> {
        let scheme = url.split(':').next().unwrap_or_default();
        match scheme {
            "postgres" | "postgresql" => {
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(statement_timeout).connect(url).await?;
                Ok(Self::Postgres { pool, statement_timeout })
            }
            "mysql" | "mariadb" => {
                let url = format!("mysql{}", &url[scheme.len()..]);
                let options = MySqlPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(statement_timeout).after_connect(
                    move |connection, _| {
                        Box::pin(async move {
                            let seconds = statement_timeout.as_secs();
                            // MariaDB has the one, MySQL the other, each in its own unit.
                            let mariadb = format!("SET SESSION max_statement_time = {seconds}");
                            if sqlx::query(AssertSqlSafe(mariadb)).execute(&mut *connection).await.is_err() {
                                let mysql = format!("SET SESSION max_execution_time = {}", seconds * 1000);
                                sqlx::query(AssertSqlSafe(mysql)).execute(&mut *connection).await?;
                            }
                            Ok(())
                        })
                    },
                );
                Ok(Self::MySql(options.connect(&url).await?))
            }
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url)?.read_only(true).busy_timeout(statement_timeout);
                Ok(Self::Sqlite(SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?))
            }
            _ => Err(sqlx::Error::Configuration("the URL begins with none of postgres:, mysql: and sqlite:".into())),
        }
    }

    pub(super) fn statements(&self, from: &From, config: &AudienceConfig) -> Statements {
        let (quote, text, bound) = match self {
            Self::Postgres { .. } => ('"', "text", "$1"),
            Self::MySql(_) => ('`', "char", "?"),
            Self::Sqlite(_) => ('"', "text", "?"),
        };
        let quoted = |name: &str| {
            let doubled = name.replace(quote, &format!("{quote}{quote}"));
            format!("{quote}{doubled}{quote}")
        };
        let source = match from {
            From::Table(table) => format!("{} AS audience", table.split('.').map(quoted).collect::<Vec<_>>().join(".")),
            From::Query(query) => format!("({}) AS audience", query.trim().trim_end_matches(';')),
        };
        let filter = config.filter.as_ref().map_or(String::new(), |filter| format!(" AND ({filter})"));
        // Qualified, since PostgreSQL would take a bare name in ORDER BY for the output column,
        // which is text, and order 10 before 2.
        let column = |name: &str| format!("audience.{}", quoted(name));
        let key = column(&config.key);
        let columns: Vec<String> = [&config.key, &config.address]
            .into_iter()
            .chain(&config.columns)
            .map(|name| format!("CAST({} AS {text})", column(name)))
            .collect();
        let select = format!("SELECT {} FROM {source} WHERE {key} IS NOT NULL{filter}", columns.join(", "));
        Statements {
            count: format!("SELECT COUNT(*) FROM {source} WHERE 1 = 1{filter}"),
            count_without_key: format!("SELECT COUNT(*) FROM {source} WHERE {key} IS NULL{filter}"),
            first: format!("{select} ORDER BY {key} LIMIT "),
            after: format!("{select} AND {key} > {bound} ORDER BY {key} LIMIT "),
            key_type: config.key_type,
        }
    }

    pub(super) async fn count(&self, statement: &str) -> Result<u64, sqlx::Error> {
        let count: i64 = match self {
            Self::Postgres { pool, statement_timeout } => {
                let mut transaction = begin_postgres(pool, *statement_timeout).await?;
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *transaction).await?
            }
            Self::MySql(pool) => {
                let mut transaction = pool.begin_with("START TRANSACTION READ ONLY").await?;
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *transaction).await?
            }
            Self::Sqlite(pool) => sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await?,
        };
        Ok(count.max(0).unsigned_abs())
    }

    pub(super) async fn rows(&self, statements: &Statements, after: Option<&str>, limit: usize) -> Result<Vec<Row>, sqlx::Error> {
        let statement = format!("{}{limit}", if after.is_some() { &statements.after } else { &statements.first });
        // The three drivers share no type to write this once for.
        macro_rules! fetch {
            ($connection:expr, $with_uuid:expr) => {{
                let query = sqlx::query(AssertSqlSafe(statement));
                let query = match after {
                    None => query,
                    Some(key) => match statements.key_type {
                        KeyType::Integer => query.bind(
                            key.parse::<i64>()
                                .map_err(|error| sqlx::Error::Configuration(format!("the key {key:?} is no integer ({error})").into()))?,
                        ),
                        KeyType::Uuid if $with_uuid => query.bind(uuid(key)?),
                        KeyType::Text | KeyType::Uuid => query.bind(key.to_owned()),
                    },
                };
                let rows = query.fetch_all($connection).await?;
                rows.iter()
                    .map(|row| {
                        let column = |at: usize| row.try_get::<Option<String>, _>(at);
                        Ok(Row {
                            key: column(0)?.unwrap_or_default(),
                            address: column(1)?,
                            values: (2..row.len()).map(column).collect::<Result<_, _>>()?,
                        })
                    })
                    .collect()
            }};
        }
        match self {
            Self::Postgres { pool, statement_timeout } => {
                let mut transaction = begin_postgres(pool, *statement_timeout).await?;
                fetch!(&mut *transaction, true)
            }
            Self::MySql(pool) => {
                let mut transaction = pool.begin_with("START TRANSACTION READ ONLY").await?;
                fetch!(&mut *transaction, false)
            }
            Self::Sqlite(pool) => fetch!(pool, false),
        }
    }
}

async fn begin_postgres(pool: &PgPool, statement_timeout: Duration) -> Result<sqlx::PgTransaction<'static>, sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN READ ONLY").await?;
    // For this transaction alone, so that it works behind a connection pooler too.
    let set = format!("SET LOCAL statement_timeout = {}", statement_timeout.as_millis());
    sqlx::query(AssertSqlSafe(set)).execute(&mut *transaction).await?;
    Ok(transaction)
}

fn uuid(key: &str) -> Result<uuid::Uuid, sqlx::Error> {
    key.parse().map_err(|error| sqlx::Error::Configuration(format!("the key {key:?} is no UUID ({error})").into()))
}
