//! The same audience from every kind of source.

use std::io::Write;

use issei_ledger::{Broadcast, BroadcastState, SkipReason};
use issei_producer::AudienceConfig;
use issei_test_support::{World, WorldOptions, command, judge};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

const USERS: u32 = 137;

async fn broadcast_to(audience: AudienceConfig, addresses: Vec<String>) {
    let mut world = World::new(WorldOptions { users: 0, page_size: 20, ..WorldOptions::default() }).await;
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.broadcast_state, BroadcastState::Complete, "{:?}", broadcast.audit_trail);
    judge(&world.cloud, "terms").assert_each_once(addresses);
}

fn audience(url: String, key: &str, filter: Option<&str>) -> AudienceConfig {
    AudienceConfig {
        url: Some(url),
        table: Some("users".to_owned()),
        key: key.to_owned(),
        address: "Email".to_owned(),
        columns: vec!["name".to_owned()],
        filter: filter.map(str::to_owned),
        ..AudienceConfig::default()
    }
}

fn addresses(is: impl Fn(u32) -> bool) -> Vec<String> {
    (1..=USERS).filter(|i| is(*i)).map(|i| format!("user{i}@example.com")).collect()
}

/// A server of this kind was not named: says so, since a test that does nothing must not look like
/// one that passed.
pub(crate) fn server(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("SKIPPED: {variable} names no server; tests/run starts one");
    }
    url
}

/// Each test has the table in a database of its own.
pub(crate) fn in_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_by_integer_uuid_and_text_key() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("DROP DATABASE IF EXISTS keys").execute(&mut connection).await.unwrap();
    sqlx::query("CREATE DATABASE keys").execute(&mut connection).await.unwrap();
    let url = in_database(&url, "keys");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "CREATE TABLE users (id int PRIMARY KEY, uid uuid UNIQUE DEFAULT gen_random_uuid(), handle varchar UNIQUE, \"Email\" text, name text, deleted_at timestamptz)".to_owned(),
        format!(
            "INSERT INTO users SELECT i, gen_random_uuid(), 'Häns ' || chr(65 + i % 26) || i, 'user' || i || '@example.com', 'N', CASE WHEN i % 10 = 0 THEN now() END
             FROM generate_series(1, {USERS}) i"
        ),
        "CREATE VIEW active AS SELECT * FROM users WHERE deleted_at IS NULL".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    broadcast_to(audience(url.clone(), "id", None), addresses(|_| true)).await;
    broadcast_to(audience(url.clone(), "uid", Some("deleted_at IS NULL")), addresses(|i| i % 10 != 0)).await;
    broadcast_to(audience(url.clone(), "handle", Some("deleted_at IS NULL OR id = 10")), addresses(|i| i % 10 != 0 || i == 10)).await;
    let mut view = audience(url.clone(), "id", None);
    view.table = Some("public.active".to_owned());
    broadcast_to(view, addresses(|i| i % 10 != 0)).await;
    let mut query = audience(url, "id", None);
    (query.table, query.query) = (None, Some("SELECT id, \"Email\", upper(name) AS name FROM users WHERE id > 100;".to_owned()));
    broadcast_to(query, addresses(|i| i > 100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_by_integer_and_text_key() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP TABLE IF EXISTS users".to_owned(),
        "CREATE TABLE users (id bigint unsigned PRIMARY KEY, handle varchar(64) UNIQUE, Email varchar(255), name varchar(255)) CHARACTER SET utf8mb4".to_owned(),
        format!("INSERT INTO users SELECT seq, concat('Häns ', char(65 + seq % 26), seq), concat('user', seq, '@example.com'), '名前' FROM seq_1_to_{USERS}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    broadcast_to(audience(url.clone(), "id", Some("id <> 7")), addresses(|i| i != 7)).await;
    broadcast_to(audience(url, "handle", None), addresses(|_| true)).await;
}

/// Whoever comes from another database means the column. Here it is a text, which is 0, so that whoever has unsubscribed was mailed.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_in_double_quotes_mails_nobody_whom_the_filter_leaves_out_in_mariadb() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP TABLE IF EXISTS quoted",
        "CREATE TABLE quoted (id int PRIMARY KEY, Email varchar(255), name varchar(255), Unsubscribed int, plan varchar(9)) CHARACTER SET utf8mb4",
        "INSERT INTO quoted SELECT seq, concat('user', seq, '@example.com'), 'N', seq <= 6, if(seq > 8, 'gold', 'free') FROM seq_1_to_10",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let mut world = World::new(WorldOptions { users: 0, page_size: 20, ..WorldOptions::default() }).await;
    let filtered = |filter: &str| AudienceConfig { table: Some("quoted".to_owned()), ..audience(url.clone(), "id", Some(filter)) };
    world.audiences.insert("users".to_owned(), filtered("NOT \"unsubscribed\""));
    world.post_command(&command("terms", |_| {})).await;
    let is_so = |broadcast: &Broadcast| broadcast.held_up.is_some() || broadcast.broadcast_state.is_over();
    let held = world.run_until("terms", 1, is_so).await;
    let reason = held.held_up.expect("it is held up").reason;
    assert!(reason.contains("`filter` has \"unsubscribed\" in double quotes") && reason.contains("write `unsubscribed` for"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
    let count = async |filter: &str| issei_producer::count_rows("users", &filtered(filter)).await;
    for (filter, rows) in [
        ("NOT `unsubscribed`", 4),
        ("NOT unsubscribed AND plan = \"gold\"", 2),
        ("plan = 'unsubscribed'", 0),
        ("`unsubscribed` = \"1\" -- not \"plan\"", 6),
    ] {
        assert_eq!(count(filter).await.unwrap(), rows, "{filter}");
    }
    let mut query = audience(url.clone(), "id", None);
    let named = |condition: &str| Some(format!("SELECT id AS \"id\", Email, name FROM quoted WHERE {condition}"));
    (query.table, query.query) = (None, named("plan = \"gold\""));
    assert_eq!(issei_producer::count_rows("users", &query).await.unwrap(), 2);
    query.query = named("\"email\" IS NOT NULL");
    let error = issei_producer::count_rows("users", &query).await.unwrap_err().to_string();
    assert!(error.contains("`query` has \"email\" in double quotes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_producer_only_reads() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut world = World::new(WorldOptions { users: 0, ..WorldOptions::default() }).await;
    let mut writes = audience(url, "id", None);
    (writes.table, writes.query) = (
        None,
        Some("WITH made AS (SELECT nextval('only_reads') AS id) SELECT id, 'a@example.com' AS \"Email\", 'n' AS name FROM made".to_owned()),
    );
    let mut connection = PgConnection::connect(writes.url.as_ref().unwrap()).await.unwrap();
    sqlx::query("CREATE SEQUENCE IF NOT EXISTS only_reads").execute(&mut connection).await.unwrap();
    world.audiences.insert("users".to_owned(), writes.clone());
    let error = issei_producer::count_rows("users", &writes).await.unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, AudienceConfig) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let config = AudienceConfig {
        file: Some(path.display().to_string()),
        key: "id".to_owned(),
        address: "email".to_owned(),
        columns: vec!["name".to_owned()],
        ..AudienceConfig::default()
    };
    (directory, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_file_in_any_order() {
    use std::fmt::Write as _;
    let mut text = "\u{feff}name,email,id\r\n".to_owned();
    for i in (1..=USERS).rev() {
        write!(text, "\"Name, {i}\",user{i}@example.com,{i}\r\n").unwrap();
    }
    let (_directory, config) = file("users.csv", &text);
    broadcast_to(config, addresses(|_| true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_lines_file_with_bad_lines_and_a_key_that_stands_twice() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for i in 1..=USERS {
        writeln!(text, "{{\"id\": {i}, \"email\": \"user{i}@example.com\", \"name\": \"N\"}}").unwrap();
    }
    text.push_str("not JSON\n\n{\"id\": 5, \"email\": \"yet-another@example.com\", \"name\": \"N\"}\n{\"email\": \"nokey@example.com\", \"name\": \"N\"}\n");
    text.push_str("{\"id\": 6, \"email\": \"another@example.com\", \"email\": \"a@example.com\", \"name\": \"N\"}\n");
    let (_directory, config) = file("users.jsonl", &text);
    let config = AudienceConfig { allow_broken_rows: true, ..config };
    let mut world = World::new(WorldOptions { users: 0, page_size: 2, ..WorldOptions::default() }).await;
    world.audiences.insert("users".to_owned(), config);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.recipients, broadcast.skipped), (u64::from(USERS), 4));
    // Each line with what is wrong with it, whoever asks: by its number too.
    let mut broken = Vec::new();
    for seq in 0..broadcast.pages {
        let page = world.ledger().page(&broadcast.placed(), seq).await.unwrap();
        let lines = page.skipped().filter(|skipped| skipped.reason == SkipReason::BrokenRow);
        broken.extend(lines.map(|skipped| (skipped.name().to_owned(), skipped.detail().unwrap().to_owned())));
    }
    let (no_json, twice) = (format!("line {}", USERS + 1), format!("line {}", USERS + 5));
    assert_eq!(broken.iter().map(|(line, _)| line).collect::<Vec<_>>(), [&no_json, &twice]);
    assert!(broken[0].1.starts_with("it is no JSON object") && broken[1].1.contains("stands in it twice"), "{broken:?}");
    assert!(!broken[1].1.contains("example.com"), "{broken:?}");
    let found = world.ledger().finder(&twice).await.unwrap().look(&broadcast, |_| ()).await.unwrap();
    assert_eq!(found.skipped.len(), 1);
    judge(&world.cloud, "terms").assert_each_once(addresses(|_| true));
}
