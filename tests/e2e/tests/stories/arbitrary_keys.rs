//! Everybody once, whatever the keys say: drawn from characters that collations fold, ignore, expand or reorder,
//! with rows that come and go while the audience is frozen, and a producer that dies between two pages. What is
//! drawn follows from a seed, which a failure names.

use std::collections::{BTreeMap, BTreeSet};

use issei_clock::Dice;
use issei_ledger::BroadcastState;
use issei_producer::AudienceConfig;
use issei_test_support::{World, WorldOptions, command, judge};
use sqlx::{Connection, MySqlConnection, PgConnection, SqliteConnection};

use crate::audiences::{Connected, audience};
use crate::databases::{in_database, server};

/// Letters that are one for some collation and several bytes for all, and what no collation looks at.
const PIECES: [&str; 30] = [
    "a", "A", "b", "B", "z", "ä", "Ä", "a\u{308}", "ae", "ß", "ss", "SS", "I", "i", "İ", "ı", "ﬁ", "fi", "-", "_", ".", " ", "0", "9",
    "10", "渡", "邉", "邊", "\u{200d}", "👩",
];
const SEEDS: u64 = 3;

/// How keys of a column are drawn, and how one is written in SQL.
#[derive(Clone, Copy)]
enum Drawn {
    Text,
    /// So many bytes, or up to so many.
    Bytes(u64),
    UpTo(u64),
    /// Up to 64 bits without a sign.
    Unsigned,
    /// One of a list of labels, in no order of theirs.
    Label,
    /// A number, a text or bytes: what a column without affinity holds.
    Anything,
}

struct Column {
    kind: String,
    drawn: Drawn,
}

fn column(kind: &str, drawn: Drawn) -> Column {
    Column { kind: kind.to_owned(), drawn }
}

/// The labels of an enum, in an order that is no other's.
fn labels() -> Vec<String> {
    (0..300_u32).map(|label| format!("'{}{}'", if label % 2 == 0 { "l" } else { "L" }, label * 7919 % 1000)).collect()
}

fn text(dice: &Dice) -> String {
    (0..=dice.below(5)).map(|_| PIECES[usize::try_from(dice.below(PIECES.len() as u64)).unwrap()]).collect()
}

fn bytes(dice: &Dice, length: u64) -> Vec<u8> {
    (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A key in the SQL of this database, and its identity: no two that are drawn share one.
fn draw(database: &Connected, drawn: Drawn, dice: &Dice) -> (String, String) {
    let of_text = |text: &str| match database {
        Connected::Postgres(_) => format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex(text.as_bytes())),
        Connected::MySql(_) => format!("CONVERT(X'{}' USING utf8mb4)", hex(text.as_bytes())),
        Connected::Sqlite(_) => format!("CAST(X'{}' AS TEXT)", hex(text.as_bytes())),
    };
    let of_bytes = |bytes: &[u8]| match database {
        Connected::Postgres(_) => format!("decode('{}', 'hex')", hex(bytes)),
        Connected::MySql(_) | Connected::Sqlite(_) => format!("X'{}'", hex(bytes)),
    };
    match drawn {
        Drawn::Text => {
            let text = text(dice);
            (of_text(&text), text)
        }
        Drawn::Bytes(length) => {
            let bytes = bytes(dice, length);
            (of_bytes(&bytes), hex(&bytes))
        }
        Drawn::UpTo(length) => {
            let bytes = bytes(dice, 1 + dice.below(length));
            (of_bytes(&bytes), hex(&bytes))
        }
        Drawn::Unsigned => {
            // As many short ones as long ones.
            let number = dice.below(u64::MAX) >> dice.below(64);
            (number.to_string(), number.to_string())
        }
        Drawn::Label => {
            let labels = labels();
            let label = labels[usize::try_from(dice.below(labels.len() as u64)).unwrap()].clone();
            let cast = if matches!(database, Connected::Postgres(_)) { "::label" } else { "" };
            (format!("{label}{cast}"), label)
        }
        Drawn::Anything => match dice.below(3) {
            0 => draw(database, Drawn::Text, dice),
            // SQLite's own integers have 63 bits and a sign.
            1 => {
                let number = i64::try_from(dice.below(1 << 62)).unwrap() >> dice.below(62);
                ((-number).to_string(), (-number).to_string())
            }
            _ => draw(database, Drawn::UpTo(17), dice),
        },
    }
}

/// Rows of a drawn table by their numbers, each with its key in SQL.
fn rows(database: &Connected, drawn: Drawn, dice: &Dice) -> BTreeMap<u64, String> {
    let (mut keys, mut rows) = (BTreeSet::new(), BTreeMap::new());
    let wanted = 30 + dice.below(70);
    for number in 0..wanted {
        let (sql, key) = draw(database, drawn, dice);
        if keys.insert(key) {
            rows.insert(number, sql);
        }
    }
    rows
}

async fn add(connected: &mut Connected, table: &str, rows: &BTreeMap<u64, String>) {
    for (number, key) in rows {
        connected.execute(&format!("INSERT INTO {table} VALUES ({key}, 'user{number}@example.com', 'N', {number})")).await;
    }
}

async fn everybody_once(connected: &mut Connected, audience: AudienceConfig, column: &Column, table: &str, seed: u64) {
    let kind: String = column.kind.chars().take(60).collect();
    let (dice, which) = (Dice::seeded(seed), format!("{kind}, seed {seed}"));
    println!("{which}");
    let all = rows(connected, column.drawn, &dice);
    // Some go while the audience is frozen, and some come.
    let (mut there, mut later) = (all.clone(), all);
    there.retain(|_, _| !dice.chance(0.2));
    later.retain(|number, _| !there.contains_key(number) || !dice.chance(0.2));
    connected.execute(&format!("DROP TABLE IF EXISTS {table}")).await;
    connected.execute(&format!("CREATE TABLE {table} (k {}, email varchar(100), name varchar(100), n int)", column.kind)).await;
    add(connected, table, &there).await;
    let page_size = 3 + usize::try_from(dice.below(5)).unwrap();
    let mut world = World::new(WorldOptions { users: 0, page_size, ..WorldOptions::default() }).await;
    world.audiences.insert("users".to_owned(), audience);
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    // The first transaction registers the broadcast, and there is more than one page.
    let pages = 1 + dice.below(2);
    world.kill_a_producer_after(1 + pages).await;
    assert_eq!(u64::from(world.broadcast("terms").await.pages), pages, "{which}");
    for number in there.keys().filter(|number| !later.contains_key(number)) {
        connected.execute(&format!("DELETE FROM {table} WHERE n = {number}")).await;
    }
    let come: BTreeMap<u64, String> =
        later.iter().filter(|(number, _)| !there.contains_key(number)).map(|(n, key)| (*n, key.clone())).collect();
    add(connected, table, &come).await;
    world.post_command(&command).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.skipped), (BroadcastState::Complete, 0), "{which}: {:?}", broadcast.audit_trail);
    let reading = broadcast.reading.unwrap();
    let rows = later.len() as u64;
    assert_eq!((reading.rows, reading.counted, reading.repeated, reading.readings), (rows, rows, 0, 2), "{which}");
    let judged = judge(&world.cloud, "terms");
    assert_eq!(judged.duplicates(), Vec::<&str>::new(), "{which}");
    for number in there.keys().filter(|number| later.contains_key(number)) {
        assert_eq!(judged.accepted.get(&format!("user{number}@example.com")), Some(&1), "{which}: row {number}");
    }
    let outcomes = world.outcomes("terms").await;
    let frozen: Vec<&str> = outcomes.iter().flat_map(|outcome| &outcome.recipient).map(|recipient| recipient.key.as_str()).collect();
    assert!(frozen.is_sorted(), "{which}: {frozen:?}");
    assert_eq!(frozen.iter().collect::<BTreeSet<_>>().len(), frozen.len(), "{which}");
}

async fn by_each(connected: &mut Connected, url: &str, columns: &[Column]) {
    for (number, column) in columns.iter().enumerate() {
        // One that nobody has chosen, in every run; and a failure names it.
        let drawn = Dice::system().below(u64::MAX);
        for seed in (0..SEEDS).chain([drawn]) {
            let table = format!("drawn_{number}");
            everybody_once(connected, audience(url, &table), column, &table, seed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_arbitrary_keys_of_postgres() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP DATABASE IF EXISTS drawn_keys").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE drawn_keys").execute(&mut connection).await.unwrap();
    let url = in_database(&url, "drawn_keys");
    let mut connected = Connected::Postgres(PgConnection::connect(&url).await.unwrap());
    for statement in [
        "CREATE EXTENSION citext".to_owned(),
        // Neither case nor accents count, nor what has no width.
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)".to_owned(),
        "CREATE COLLATION by_number (provider = icu, locale = 'de-u-kn-true-kf-upper-ka-shifted')".to_owned(),
        format!("CREATE TYPE label AS ENUM ({})", labels().join(", ")),
    ] {
        connected.execute(&statement).await;
    }
    let columns = [
        column("text COLLATE \"C\"", Drawn::Text),
        column("text COLLATE \"und-x-icu\"", Drawn::Text),
        column("text COLLATE by_number", Drawn::Text),
        column("text COLLATE folded", Drawn::Text),
        column("citext", Drawn::Text),
        column("label", Drawn::Label),
        column("bytea", Drawn::UpTo(20)),
        column("numeric", Drawn::Unsigned),
    ];
    by_each(&mut connected, &url, &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_arbitrary_keys_of_mariadb() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connected = Connected::MySql(MySqlConnection::connect(&url).await.unwrap());
    let columns = [
        column("varchar(40) COLLATE utf8mb4_general_ci", Drawn::Text),
        column("varchar(40) COLLATE utf8mb4_unicode_520_ci", Drawn::Text),
        column("varchar(40) COLLATE utf8mb4_unicode_520_nopad_ci", Drawn::Text),
        column("varchar(40) COLLATE utf8mb4_bin", Drawn::Text),
        column(&format!("enum ({}) COLLATE utf8mb4_bin", labels().join(", ")), Drawn::Label),
        column("BINARY(16)", Drawn::Bytes(16)),
        column("VARBINARY(20)", Drawn::UpTo(20)),
        column("bigint unsigned", Drawn::Unsigned),
    ];
    by_each(&mut connected, &url, &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_once_by_arbitrary_keys_of_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", directory.path().join("users.db").display());
    let mut connected = Connected::Sqlite(SqliteConnection::connect(&url).await.unwrap());
    let columns = [
        column("TEXT", Drawn::Text),
        column("TEXT COLLATE NOCASE", Drawn::Text),
        column("TEXT COLLATE RTRIM", Drawn::Text),
        column("BLOB", Drawn::UpTo(20)),
        column("", Drawn::Anything),
    ];
    by_each(&mut connected, &url, &columns).await;
}
