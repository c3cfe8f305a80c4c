//! The made-up user table.

use std::path::Path;

use anyhow::Context;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row, SqlitePool};

/// Makes a SQLite database with so many users and gives its URL. In a table with blemishes one in a
/// thousand has no address, and one a broken one.
pub(super) async fn make(path: &Path, users: u64, with_blemishes: bool) -> anyhow::Result<String> {
    let options =
        SqliteConnectOptions::new().filename(path).create_if_missing(true).pragma("synchronous", "OFF").pragma("journal_mode", "OFF");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.context("the demo's user table can't be made")?;
    sqlx::query("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT NOT NULL)").execute(&pool).await?;
    let email = if with_blemishes {
        "CASE i % 1000 WHEN 500 THEN NULL WHEN 501 THEN printf('user%09d at example.com', i) ELSE printf('user%09d@example.com', i) END"
    } else {
        "printf('user%09d@example.com', i)"
    };
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {users})
         INSERT INTO users SELECT i, {email}, printf('User %d <b>&</b>', i) FROM n"
    );
    sqlx::query(AssertSqlSafe(insert)).execute(&pool).await?;
    pool.close().await;
    Ok(format!("sqlite:{}", path.display()))
}

/// The table, read again for judging: ids with their addresses, page by page.
pub(super) struct Users {
    pool: SqlitePool,
    after: i64,
}

impl Users {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self { pool: SqlitePoolOptions::new().max_connections(1).connect(url).await?, after: 0 })
    }

    /// The next users; empty at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<(i64, Option<String>)>> {
        let rows =
            sqlx::query("SELECT id, email FROM users WHERE id > ? ORDER BY id LIMIT 2000").bind(self.after).fetch_all(&self.pool).await?;
        let users: Vec<(i64, Option<String>)> =
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
        self.after = users.last().map_or(self.after, |(id, _)| *id);
        Ok(users)
    }
}
