//! Everybody once, whatever the key is and however its database orders it: rows come and go while the
//! audience is frozen, and the producer dies between two pages.

use std::collections::BTreeSet;

use issei_ledger::BroadcastState;
use issei_producer::AudienceConfig;
use issei_test_support::{World, WorldOptions, command, judge};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};

use crate::databases::{in_database, server};

const USERS: u32 = 137;
/// Who goes while the audience is frozen, and who comes.
const GONE: [u32; 4] = [1, 40, 77, 137];
const COME: std::ops::RangeInclusive<u32> = 201..=212;

/// A column with its values: an expression in SQL over the number `i` of a user.
struct Keys {
    name: &'static str,
    kind: &'static str,
    value: &'static str,
}

const fn keys(name: &'static str, kind: &'static str, value: &'static str) -> Keys {
    Keys { name, kind, value }
}

pub(crate) enum Connected {
    Postgres(PgConnection),
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Connected {
    pub(crate) async fn execute(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
            Self::MySql(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
        }
        .unwrap();
    }

    async fn add(&mut self, table: &str, value: &str, users: std::ops::RangeInclusive<u32>) {
        let (first, last) = (users.start(), users.end());
        let rows = match self {
            Self::Postgres(_) => format!("SELECT {value}, 'user' || i || '@example.com', 'N', i FROM generate_series({first}, {last}) i"),
            Self::MySql(_) => format!(
                "SELECT {value}, concat('user', i, '@example.com'), 'N', i FROM (SELECT seq AS i FROM seq_{first}_to_{last}) AS users"
            ),
            Self::Sqlite(_) => format!(
                "WITH RECURSIVE users(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM users WHERE i < {last}) SELECT {value}, 'user' || i || '@example.com', 'N', i FROM users"
            ),
        };
        // Not in the order of the keys.
        self.execute(&format!("INSERT INTO {table} {rows} ORDER BY i % 7, i")).await;
    }
}

/// Freezes the table with a producer that dies after two pages, changes the table, and lets another go on.
async fn everybody_once(connected: &mut Connected, audience: AudienceConfig, keys: &Keys, table: &str) {
    println!("{} {}", keys.name, keys.kind);
    connected.execute(&format!("CREATE TABLE {table} (k {}, email varchar(100), name varchar(100), n int)", keys.kind)).await;
    connected.add(table, keys.value, 1..=USERS).await;
    let mut world = World::new(WorldOptions { users: 0, page_size: 20, ..WorldOptions::default() }).await;
    world.audiences.insert("users".to_owned(), audience);
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    // The first transaction registers the broadcast.
    world.kill_a_producer_after(3).await;
    assert_eq!(world.broadcast("terms").await.pages, 2, "{}", keys.name);
    for gone in GONE {
        connected.execute(&format!("DELETE FROM {table} WHERE n = {gone}")).await;
    }
    connected.add(table, keys.value, COME).await;
    world.post_command(&command).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete, "{}: {:?}", keys.name, broadcast.audit_trail);
    assert_eq!(broadcast.skipped, 0, "{}", keys.name);
    let reading = broadcast.reading.unwrap();
    assert_eq!((reading.rows, reading.counted, reading.readings), (145, 145, 2), "{}", keys.name);
    let judged = judge(&world.cloud, "terms");
    assert_eq!(judged.duplicates(), Vec::<&str>::new(), "{}", keys.name);
    for user in (1..=USERS).filter(|user| !GONE.contains(user)) {
        let address = format!("user{user}@example.com");
        assert_eq!(judged.accepted.get(&address), Some(&1), "{}: {address}", keys.name);
    }
    let outcomes = world.outcomes("terms").await;
    let frozen: Vec<&str> = outcomes.iter().flat_map(|outcome| &outcome.recipient).map(|recipient| recipient.key.as_str()).collect();
    assert!(frozen.is_sorted(), "{}: {frozen:?}", keys.name);
    assert_eq!(frozen.iter().collect::<BTreeSet<_>>().len(), frozen.len(), "{}", keys.name);
}

pub(crate) fn audience(url: &str, table: &str) -> AudienceConfig {
    AudienceConfig {
        url: Some(url.to_owned()),
        table: Some(table.to_owned()),
        key: "k".to_owned(),
        address: "email".to_owned(),
        columns: vec!["name".to_owned()],
        ..AudienceConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_any_key_of_postgres() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP DATABASE IF EXISTS any_key").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE any_key").execute(&mut connection).await.unwrap();
    let url = in_database(&url, "any_key");
    let mut connected = Connected::Postgres(PgConnection::connect(&url).await.unwrap());
    let labels: Vec<String> = (1..=300).map(|label| format!("'{}'", 1_000 - label)).collect();
    for statement in [
        "CREATE EXTENSION citext".to_owned(),
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)".to_owned(),
        format!("CREATE TYPE label AS ENUM ({})", labels.join(", ")),
    ] {
        connected.execute(&statement).await;
    }
    let mixed = "CASE WHEN i % 2 = 0 THEN 'user' ELSE 'User' END || i";
    for (number, keys) in [
        keys("C", "text COLLATE \"C\" UNIQUE", mixed),
        keys("ICU", "text COLLATE \"en-x-icu\" UNIQUE", mixed),
        keys("an ICU collation for which A is a", "text COLLATE any_case", "CASE WHEN i % 2 = 0 THEN 'u' ELSE 'U' END || (i / 2)"),
        keys("citext", "citext UNIQUE", mixed),
        keys("enum", "label UNIQUE", "(1000 - i)::text::label"),
        keys("uuid", "uuid UNIQUE", "md5(i::text)::uuid"),
        keys("numeric", "numeric UNIQUE", "123456789012345678901234567890 - i"),
        keys("bigint", "bigint UNIQUE", "(i - 70) * 1000000007::bigint"),
        keys("char", "char(20) UNIQUE", mixed),
        keys("bytea", "bytea UNIQUE", "decode(md5(i::text), 'hex')"),
    ]
    .iter()
    .enumerate()
    {
        let table = format!("t{number}");
        everybody_once(&mut connected, audience(&url, &table), keys, &table).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_any_key_of_mariadb() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connected = Connected::MySql(MySqlConnection::connect(&url).await.unwrap());
    let mixed = "concat(if(i % 2 = 0, 'user', 'User'), i)";
    for (number, keys) in [
        keys("numbers in text", "varchar(20) CHARACTER SET utf8mb4 UNIQUE", "concat(i)"),
        keys("_general_ci", "varchar(20) COLLATE utf8mb4_general_ci UNIQUE", mixed),
        keys("_ci, for which A is a", "varchar(20) COLLATE utf8mb4_unicode_ci", "concat(if(i % 2 = 0, 'u', 'U'), i div 2)"),
        keys("_bin", "varchar(20) COLLATE utf8mb4_bin UNIQUE", mixed),
        keys("latin1", "varchar(20) CHARACTER SET latin1 UNIQUE", "concat('Häns', i)"),
        keys("BINARY(16)", "BINARY(16) UNIQUE", "unhex(md5(i))"),
        keys("VARBINARY", "VARBINARY(20) UNIQUE", "unhex(sha1(i))"),
        keys("unsigned", "bigint unsigned UNIQUE", "18446744073709551615 - i * 1000003"),
        keys("decimal", "decimal(30, 0) UNIQUE", "123456789012345678901234567890 - i"),
    ]
    .iter()
    .enumerate()
    {
        let table = format!("any_key_{number}");
        connected.execute(&format!("DROP TABLE IF EXISTS {table}")).await;
        everybody_once(&mut connected, audience(&url, &table), keys, &table).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_any_key_of_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", directory.path().join("users.db").display());
    let mut connected = Connected::Sqlite(SqliteConnection::connect(&url).await.unwrap());
    for (number, keys) in [
        keys("integers", "INTEGER PRIMARY KEY", "i * 1000003 - 70000000"),
        keys("text", "TEXT UNIQUE", "CASE WHEN i % 2 = 0 THEN 'user' ELSE 'User' END || i"),
        keys("NOCASE", "TEXT COLLATE NOCASE", "CASE WHEN i % 2 = 0 THEN 'u' ELSE 'U' END || (i / 2)"),
        keys("no affinity", "", "CASE i % 3 WHEN 0 THEN i WHEN 1 THEN 'k' || i ELSE CAST('k' || i AS blob) END"),
        keys("reals", "REAL", "0.1 + i * 1e-16"),
    ]
    .iter()
    .enumerate()
    {
        let table = format!("t{number}");
        everybody_once(&mut connected, audience(&url, &table), keys, &table).await;
        // An expression has no affinity.
        let other = format!("q{number}");
        let query = format!("SELECT max(k) AS k, email, max(name) AS name FROM {other} GROUP BY email");
        let audience = AudienceConfig { table: None, query: Some(query), ..audience(&url, &other) };
        everybody_once(&mut connected, audience, keys, &other).await;
    }
}
