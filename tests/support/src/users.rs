//! User tables and commands.

use issei_clock::Clock;
use issei_producer::AudienceConfig;
use issei_schema::BroadcastCommand;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;

/// A user table in SQLite.
pub struct Users {
    pool: SqlitePool,
    url: String,
    _directory: TempDir,
}

impl Users {
    /// A table of `users` users, `user000001@example.com` and so on.
    pub async fn new(users: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let this = Self { pool, url: format!("sqlite:{}", path.display()), _directory: directory };
        this.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT)").await;
        if users > 0 {
            this.execute(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {users})
                 INSERT INTO users SELECT i, printf('user%06d@example.com', i), printf('User %d', i) FROM n"
            ))
            .await;
        }
        this
    }

    /// Any statement: rows changing underneath.
    pub async fn execute(&self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// Ids and addresses, in order.
    pub async fn all(&self) -> Vec<(i64, Option<String>)> {
        sqlx::query_as("SELECT id, email FROM users ORDER BY id").fetch_all(&self.pool).await.unwrap()
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub fn audience(&self) -> AudienceConfig {
        AudienceConfig {
            url: Some(self.url.clone()),
            table: Some("users".to_owned()),
            key: "id".to_owned(),
            address: "email".to_owned(),
            columns: vec!["name".to_owned()],
            ..AudienceConfig::default()
        }
    }
}

/// The body of a good command, changed by `change`. Another id has other words, since the same are said to an
/// audience once.
pub fn command_body(id: &str, change: impl FnOnce(&mut Value)) -> String {
    let not_after = Clock::system().wall().saturating_add(SignedDuration::from_hours(48)).unwrap();
    let subject = if id == "terms" { "Terms for {{name}}".to_owned() } else { format!("Terms of {id} for {{{{name}}}}") };
    let mut body = json!({
        "version": 1,
        "broadcast_id": id,
        "audience": "users",
        "content": { "inline": { "subject": subject, "text": "Dear {{name}}, new terms.", "html": "<p>Dear {{name}}</p>" } },
        "from": "Example <no-reply@example.com>",
        "max_recipients": 1_000_000,
        "not_after": not_after.to_string(),
        "requested_by": "a test",
    });
    change(&mut body);
    body.to_string()
}

/// A good command, changed by `change`.
pub fn command(id: &str, change: impl FnOnce(&mut Value)) -> BroadcastCommand {
    BroadcastCommand::parse(&command_body(id, change)).unwrap()
}
