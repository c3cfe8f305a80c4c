//! A table of users with rows as a small company has them.

use std::path::Path;

use anyhow::Context;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::Source;

const COLUMNS: &str = "(id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT, plan TEXT, street TEXT, joined TEXT)";

/// A table of users.
pub(crate) struct Users {
    source: Source,
    pub(crate) url: String,
    pub(crate) table: String,
}

impl Users {
    pub(crate) async fn new(source: Source, directory: &Path, users: u32) -> anyhow::Result<Self> {
        match source {
            Source::Sqlite => Self::in_file(directory, users).await,
            Source::Postgres => Self::in_postgres(users).await,
        }
    }

    async fn in_file(directory: &Path, users: u32) -> anyhow::Result<Self> {
        let path = directory.join(format!("users-{users}.db"));
        let mut connection: SqliteConnection = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await?;
        connection.execute(AssertSqlSafe(format!("CREATE TABLE users {COLUMNS}"))).await?;
        let rows = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {users})
             INSERT INTO users SELECT i, printf('user%07d@mail%d.example.com', i, i % 97), printf('Grace Hopper %d', i),
             CASE i % 3 WHEN 0 THEN 'free' WHEN 1 THEN 'team' ELSE 'business' END, 'Some Street ' || i, '2024-05-06' FROM n"
        );
        connection.execute(AssertSqlSafe(rows)).await?;
        connection.close().await?;
        Ok(Self { source: Source::Sqlite, url: format!("sqlite:{}", path.display()), table: "users".to_owned() })
    }

    /// In a table of its own name, beside whatever is there.
    async fn in_postgres(users: u32) -> anyhow::Result<Self> {
        let url = std::env::var("ISSEI_TEST_POSTGRES_URL").context("ISSEI_TEST_POSTGRES_URL names no PostgreSQL")?;
        let table = format!("issei_bench_{}_{users}", std::process::id());
        let mut connection = PgConnection::connect(&url).await.context("PostgreSQL can't be reached")?;
        connection.execute(AssertSqlSafe(format!("CREATE TABLE {table} {COLUMNS}"))).await?;
        let rows = format!(
            "INSERT INTO {table} SELECT i, 'user' || lpad(i::text, 7, '0') || '@mail' || i % 97 || '.example.com', 'Grace Hopper ' || i,
             (ARRAY['free', 'team', 'business'])[i % 3 + 1], 'Some Street ' || i, '2024-05-06' FROM generate_series(1, {users}) AS i"
        );
        connection.execute(AssertSqlSafe(rows)).await?;
        connection.execute(AssertSqlSafe(format!("ANALYZE {table}"))).await?;
        connection.close().await?;
        Ok(Self { source: Source::Postgres, url, table })
    }

    /// Takes a table out of PostgreSQL again; a file is gone with its directory.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        if self.source == Source::Postgres {
            let mut connection = PgConnection::connect(&self.url).await?;
            connection.execute(AssertSqlSafe(format!("DROP TABLE {}", self.table))).await?;
        }
        Ok(())
    }
}
