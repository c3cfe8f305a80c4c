//! Reading the audience: what can't be read is told where people look, and what is read is accounted for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use issei_aws::AwsCall;
use issei_ledger::{Broadcast, BroadcastState, SkipReason, Skipped, Suppression, Transition};
use issei_producer::{AudienceConfig, JudgingError, Mailable, Progress, Survey, UniqueBy, survey};
use issei_test_support::{World, WorldOptions, command, judge};
use sqlx::{Connection, MySqlConnection, PgConnection};

use crate::databases::{in_database, server};

fn small() -> WorldOptions {
    WorldOptions { users: 50, page_size: 15, chunk_size: 5, skipped_share_max: 1.0, ..WorldOptions::default() }
}

async fn skipped(world: &World) -> Vec<Skipped> {
    let broadcast = world.broadcast("terms").await;
    let mut skipped = Vec::new();
    for seq in 0..broadcast.pages {
        skipped.extend(world.ledger().page(&broadcast.placed(), seq).await.unwrap().skipped().cloned());
    }
    skipped
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_that_cannot_be_read_says_so_in_the_ledger_until_it_can() {
    let mut world = World::new(small()).await;
    let good = world.audiences.clone();
    for (url, words) in [
        ("postgres://issei@127.0.0.1:1/none".to_owned(), vec!["127.0.0.1:1 can't be reached", "start the database"]),
        ("mysql://issei@127.0.0.1:1/none".to_owned(), vec!["127.0.0.1:1 can't be reached", "start the database"]),
        (world.users.url().to_owned(), vec!["no such table: userz", "table, key, address"]),
    ] {
        let audience = AudienceConfig { url: Some(url), table: Some("userz".to_owned()), ..world.users.audience() };
        world.audiences.insert("users".to_owned(), audience);
        world.post_command(&command("terms", |_| {})).await;
        let held_up = world.run_until("terms", 0, |broadcast| {
            broadcast.held_up.as_ref().is_some_and(|held_up| words.iter().all(|words| held_up.reason.contains(words)))
        });
        assert_eq!(held_up.await.broadcast_state, BroadcastState::Enumerating);
    }
    world.audiences = good;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.held_up), (BroadcastState::Complete, None));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_quotes_a_row_is_not_quoted() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut world = World::new(small()).await;
    let query = "SELECT 1 AS id, 'a@example.com' AS email, CAST(CAST(name AS int) AS text) AS name FROM (VALUES ('ann@example.com')) AS users(name)";
    let audience = AudienceConfig { url: Some(url), table: None, query: Some(query.to_owned()), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, |broadcast| broadcast.held_up.is_some()).await;
    let reason = broadcast.held_up.unwrap().reason;
    assert!(reason.contains("22P02") && !reason.contains("ann"), "{reason}");
}

/// What a broadcast to the rows of a query says, since it can't be read.
async fn refusal_of(url: &str, query: &str) -> String {
    let mut world = World::new(small()).await;
    let audience = AudienceConfig { url: Some(url.to_owned()), table: None, query: Some(query.to_owned()), ..world.users.audience() };
    let counted = issei_producer::count_rows("users", &audience).await.err().map(|error| error.to_string());
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, |broadcast| broadcast.held_up.is_some()).await;
    format!("{} / {}", counted.unwrap_or_default(), broadcast.held_up.unwrap().reason)
}

/// A function of the customer's speaks with whatever code it likes, and built-in ones take a value for a name.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_in_the_database_that_quotes_a_row_is_not_quoted_whatever_its_code() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION tells(code text, email text) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'no user %', email USING ERRCODE = code; END $$;
         CREATE OR REPLACE FUNCTION looks_up(email text) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN EXECUTE format('SELECT %I', email); RETURN email; END $$",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let of = |value: &str| {
        format!("SELECT 1 AS id, email, {value} AS name FROM (VALUES ('ann@example.com')) AS users(email) WHERE {value} <> ''")
    };
    for value in [
        "tells('42P01', email)",
        "tells('57014', email)",
        "tells('42501', email)",
        "tells('08006', email)",
        "looks_up(email)",
        "CAST(CAST(email AS regclass) AS text)",
        "CAST(to_tsquery(email || ' &') AS text)",
        "CAST(query_to_xml('SELECT \"' || email || '\"', true, true, '') AS text)",
    ] {
        let said = refusal_of(&url, &of(value)).await;
        assert!(said.matches("its words are left out").count() == 2 && !said.contains("ann"), "{value}: {said}");
    }
    for (query, says) in [
        ("SELECT id, email, name FROM userz", "relation \"userz\" does not exist (SQLSTATE 42P01)"),
        ("SELECT 1 AS id, emial AS email, '' AS name", "column \"emial\" does not exist (SQLSTATE 42703)"),
        ("SELECT 1 AS id FROM", "(SQLSTATE 42601)"),
    ] {
        let said = refusal_of(&url, query).await;
        assert_eq!(said.matches(says).count(), 2, "{said}");
    }
}

/// A migration holds the table for longer than anybody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_table_that_a_migration_holds_is_told_what_it_waits_for() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP TABLE IF EXISTS held_by_a_migration; CREATE TABLE held_by_a_migration (id int, email text, name text)",
        "BEGIN; LOCK TABLE held_by_a_migration IN ACCESS EXCLUSIVE MODE",
    ] {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    let said = refusal_of(&url, "SELECT id, email, name FROM held_by_a_migration").await;
    assert!(said.matches("SQLSTATE 55P03").count() == 2, "{said}");
    assert!(said.matches("; somebody holds a lock on what is read, as a migration does").count() == 2, "{said}");
    sqlx::raw_sql("ROLLBACK; DROP TABLE held_by_a_migration").execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_in_mysql() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP FUNCTION IF EXISTS tells",
        "CREATE FUNCTION tells(email text) RETURNS text CONTAINS SQL
         BEGIN SIGNAL SQLSTATE '42S02' SET MESSAGE_TEXT = email, MYSQL_ERRNO = 1146; RETURN email; END",
    ] {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    let said =
        refusal_of(&url, "SELECT 1 AS id, email, 'x' AS name FROM (SELECT 'ann@example.com' AS email) u WHERE tells(email) <> ''").await;
    assert!(said.matches("error 1146; its words are left out").count() == 2 && !said.contains("ann"), "{said}");
    let said = refusal_of(&url, "SELECT id, email, name FROM userz").await;
    assert!(said.matches("userz' doesn't exist (1146)").count() == 2, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_in_postgres_say_beside_their_results_is_not_asked_for() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut world = World::new(small()).await;
    let query = "SELECT 1 AS id, current_setting('client_min_messages') || '@example.com' AS email, 'Ann' AS name";
    let audience = AudienceConfig { url: Some(url), table: None, query: Some(query.to_owned()), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(["error@example.com".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_text_is_skipped_with_its_key_and_holds_nobody_up() {
    let world = World::new(small()).await;
    world.users.execute("UPDATE users SET name = CAST(X'4AFC7267' AS TEXT) WHERE id = 7").await;
    world.users.execute("UPDATE users SET email = CAST(X'4AFC7267' AS TEXT) WHERE id = 9").await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.recipients), (BroadcastState::Complete, 48));
    let reasons: Vec<(String, SkipReason)> = skipped(&world).await.into_iter().map(|skipped| (skipped.key, skipped.reason)).collect();
    assert_eq!(reasons, [("7".to_owned(), SkipReason::NotText), ("9".to_owned(), SkipReason::NotText)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_stand_far_apart_in_the_source_are_found_to_be_the_same() {
    let mut world = World::new(small()).await;
    world.users.execute("CREATE TABLE log AS SELECT id, email, name FROM users UNION ALL SELECT id, 'x' || email, name FROM users").await;
    let audience = AudienceConfig { table: Some("log".to_owned()), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_to_the_end("terms").await;
    let reading = broadcast.reading.unwrap();
    assert_eq!((broadcast.recipients, broadcast.skipped, reading.rows, reading.repeated), (50, 50, 100, 50));
    assert!(skipped(&world).await.iter().all(|skipped| skipped.reason == SkipReason::DuplicateKey));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// A join, a log, a file that was put together: of whom no row at all can be mailed is skipped, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_row_that_can_be_mailed_is_mailed_whichever_of_their_rows_comes_first() {
    let mut mailed = Vec::new();
    for order in ["ASC", "DESC"] {
        let mut world = World::new(small()).await;
        for statement in [
            "CREATE TABLE log (place INTEGER, id INTEGER, email TEXT, name TEXT)",
            "INSERT INTO log SELECT 2, id, email, name FROM users",
            "INSERT INTO log SELECT 1, id, 'broken', name FROM users WHERE id % 5 = 1",
            "INSERT INTO log SELECT 3, id, NULL, name FROM users WHERE id % 5 = 2",
            "INSERT INTO log SELECT 3, id, 'zed' || id || '@example.com', name FROM users WHERE id % 5 = 3",
            "INSERT INTO log SELECT 1, id, email, name FROM users WHERE id % 5 = 4",
            // Whose addresses are many, of which the last alone can be mailed; and whose are none.
            "INSERT INTO log SELECT id, 5, 'broken' || id, name FROM users",
            "INSERT INTO log SELECT id, -1, 'broken' || id, name FROM users",
        ] {
            world.users.execute(statement).await;
        }
        // Of user 3 the address that would be mailed bounced for good; the other is as good as anybody's.
        let bounced = "user000003@example.com".parse().unwrap();
        world.ledger().suppress(&bounced, Suppression::Bounced, &"older".parse().unwrap(), &"a test".parse().unwrap()).await.unwrap();
        let query = format!("SELECT id, email, name FROM log ORDER BY place {order}, id {order}");
        let audience = AudienceConfig { table: None, query: Some(query), ..world.users.audience() };
        let forecast = surveyed(&world, &audience).await.unwrap();
        world.audiences.insert("users".to_owned(), audience);
        world.post_command(&command("terms", |_| {})).await;
        let broadcast = world.run_to_the_end("terms").await;
        let (reading, skipped) = (broadcast.reading.clone().unwrap(), skipped(&world).await);
        let unmailable: Vec<(&str, SkipReason)> = skipped
            .iter()
            .filter(|skipped| skipped.reason != SkipReason::DuplicateKey)
            .map(|skipped| (skipped.key.as_str(), skipped.reason))
            .collect();
        assert_eq!(unmailable, [("-1", SkipReason::BadAddress)], "{order}");
        assert_eq!((broadcast.recipients, broadcast.recipients + broadcast.skipped), (50, reading.rows), "{order}");
        // Ten each of those whose rows are broken, empty or other addresses, user 5 and nobody's.
        assert_eq!((reading.differing, forecast.differing_keys), (Some(32), 32), "{order}");
        assert_eq!((forecast.mailable, forecast.skipped_rows()), (broadcast.recipients, broadcast.skipped), "{order}");
        let everybody = world.addresses().await.into_iter().filter(|address| address != bounced.as_str());
        judge(&world.cloud, "terms").assert_each_once(everybody.chain(["zed3@example.com".to_owned()]));
        mailed.push(world.outcomes("terms").await.into_iter().map(|outcome| outcome.recipient.unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(mailed[0], mailed[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_database_counts_otherwise_freeze_nobody() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP TABLE IF EXISTS counted",
        "CREATE TABLE counted AS SELECT seq AS id, concat('u', seq, '@example.com') AS email, 'N' AS name FROM seq_1_to_137",
    ] {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    let mut world = World::new(small()).await;
    // Gives a hundred rows to whoever asks first, and none to whoever asks again.
    let query = "SELECT * FROM counted WHERE (@asked := coalesce(@asked, 0) + 1) <= 100";
    let audience = AudienceConfig { url: Some(url), table: None, query: Some(query.to_owned()), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, |broadcast| broadcast.held_up.is_some()).await;
    let reason = broadcast.held_up.unwrap().reason;
    assert!(reason.contains("0 rows were read, and the database counts 100"), "{reason}");
    assert_eq!((broadcast.pages, world.cloud.accepted()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_tell_users_apart_is_refused_with_its_type() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let world = World::new(small()).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    // What a domain is made of can be a domain, too.
    for (domain, of) in [("moment", "timestamptz"), ("moment_of_birth", "moment"), ("flags", "integer[]")] {
        let made = format!("DROP DOMAIN IF EXISTS {domain} CASCADE; CREATE DOMAIN {domain} AS {of}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(made)).execute(&mut connection).await.unwrap();
    }
    for (expression, kind) in [
        ("true", "boolean"),
        ("now()", "timestamp with time zone"),
        ("ARRAY[1]", "integer[]"),
        ("1.5::float8", "double precision"),
        ("12::money", "money"),
        ("now()::moment", "timestamp with time zone"),
        ("now()::moment_of_birth", "timestamp with time zone"),
        ("ARRAY[1]::flags", "integer[]"),
    ] {
        let query = format!("SELECT {expression} AS id, 'a@example.com' AS email, 'N' AS name");
        let audience = AudienceConfig {
            url: Some(url.clone()),
            query: Some(query),
            key: "id".to_owned(),
            address: "email".to_owned(),
            columns: vec!["name".to_owned()],
            ..AudienceConfig::default()
        };
        let error = surveyed(&world, &audience).await.unwrap_err().to_string();
        assert!(error.contains(&format!("the key column \"id\" is of type {kind}")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_any_type_are_text() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut world = World::new(small()).await;
    let columns = [
        ("timestamptz '2026-11-25 10:00:00+09'", "2026-11-25 01:00:00+00"),
        ("date '2026-11-25'", "2026-11-25"),
        ("true", "true"),
        ("jsonb '{\"a\": [1]}'", "{\"a\": [1]}"),
        ("ARRAY['a', 'b']", "{a,b}"),
        ("0.1::float8", "0.1"),
        ("interval '1 day'", "1 day"),
        ("'\\x00ff'::bytea", "\\x00ff"),
    ];
    let rows: Vec<String> = columns.iter().zip(1..).map(|((value, _), id)| format!("SELECT {id} AS id, {value} AS name")).collect();
    for (row, (_, text)) in rows.iter().zip(columns) {
        let query = format!("SELECT id, 'u' || id || '@example.com' AS email, name FROM ({row}) AS typed");
        let audience = AudienceConfig { url: Some(url.clone()), table: None, query: Some(query), ..world.users.audience() };
        world.audiences.insert("users".to_owned(), audience);
        let id = format!("terms-{}", world.cloud.accepted());
        world.post_command(&command(&id, |_| {})).await;
        world.run_to_the_end(&id).await;
        let outcomes = world.outcomes(&id).await;
        let name = outcomes.first().and_then(|outcome| outcome.recipient.as_ref().unwrap().data.get("name"));
        assert_eq!(name.map(String::as_str), Some(text), "{row}");
    }
}

/// The audience as it would be frozen now.
async fn surveyed(world: &World, audience: &AudienceConfig) -> Result<Survey, JudgingError> {
    survey(&command("terms", |_| {}), audience, &world.ledger(), &std::env::temp_dir(), &Progress::default()).await
}

/// The law wants it told to everybody; only where an address is dead is a letter posted instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_legal_notice_reaches_whoever_complained_and_nothing_else_does() {
    let world = World::new(WorldOptions { users: 20, ..small() }).await;
    for (address, why) in [("user000005@example.com", Suppression::Bounced), ("user000006@example.com", Suppression::Complained)] {
        world.ledger().suppress(&address.parse().unwrap(), why, &"older".parse().unwrap(), &"a test".parse().unwrap()).await.unwrap();
    }
    for (id, class, skipped) in [("offer", "service", "bounced complained"), ("terms", "legal_notice", "bounced")] {
        let command = command(id, |command| {
            command["version"] = 2.into();
            command["class"] = class.into();
        });
        let (audience, ledger) = (world.users.audience(), world.ledger());
        let forecast = survey(&command, &audience, &ledger, &std::env::temp_dir(), &Progress::default()).await.unwrap();
        let reasons = |reasons: Vec<&SkipReason>| reasons.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(reasons(forecast.skipped.keys().collect()), skipped);
        world.post_command(&command).await;
        let done = world.run_to_the_end(id).await;
        assert_eq!(reasons(ledger.skipped_by_reason(&done).await.unwrap().keys().collect()), skipped);
        assert_eq!(done.recipients + done.skipped, 20);
    }
}

fn each_address_once(world: &World) -> AudienceConfig {
    AudienceConfig { unique_by: Some(UniqueBy::Address), ..world.users.audience() }
}

/// Whatever is wrong with a row, what is said beforehand is what is then frozen.
#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_says_of_everybody_what_a_producer_then_freezes() {
    let query = "SELECT CASE WHEN id > 95 THEN 1 WHEN id = 94 THEN NULL ELSE id END AS id, email, name FROM users";
    for unique_by in [None, Some(UniqueBy::Address)] {
        let mut world = World::new(WorldOptions { users: 100, skipped_share_max: 0.05, ..small() }).await;
        for statement in [
            "UPDATE users SET email = NULL WHERE id IN (2, 3)",
            "UPDATE users SET email = 'nobody' WHERE id IN (10, 11, 12, 13)",
            "UPDATE users SET name = NULL WHERE id = 20",
            "UPDATE users SET name = 'A' || char(0) WHERE id = 21",
            "UPDATE users SET email = 'Ann@EXAMPLE.com' WHERE id IN (30, 31)",
            "UPDATE users SET email = 'Ann@example.com' WHERE id IN (32, 60)",
            "UPDATE users SET email = 'bob@example.com' WHERE id IN (40, 41)",
            // A no-break space, and one without width. A blank alone is no address.
            "UPDATE users SET email = char(160) || email || char(8203) WHERE id IN (70, 71)",
            "UPDATE users SET email = ' ' WHERE id = 3",
            "UPDATE users SET name = 'Hubert Blaine Wolfeschlegelsteinhausenbergerdorff' WHERE id = 80",
            "UPDATE users SET name = '<b>O''Hara' WHERE id = 81",
        ] {
            world.users.execute(statement).await;
        }
        for (address, why) in [("user000050@example.com", Suppression::Bounced), ("user000051@example.com", Suppression::Complained)] {
            world.ledger().suppress(&address.parse().unwrap(), why, &"older".parse().unwrap(), &"a test".parse().unwrap()).await.unwrap();
        }
        let audience = AudienceConfig { table: None, query: Some(query.to_owned()), unique_by, ..world.users.audience() };
        let forecast = surveyed(&world, &audience).await.unwrap();
        world.audiences.insert("users".to_owned(), audience);
        world.post_command(&command("terms", |_| {})).await;
        let frozen = world.run_until("terms", 0, |broadcast| broadcast.broadcast_state != BroadcastState::Enumerating).await;
        assert_eq!((forecast.rows, forecast.mailable, forecast.skipped_rows()), (100, frozen.recipients, frozen.skipped));
        let by_reason = forecast.skipped.iter().map(|(reason, skips)| (*reason, skips.rows)).collect();
        let found = world.ledger().skipped_by_reason(&frozen).await.unwrap();
        let found: BTreeMap<_, _> = found.into_iter().map(|(reason, skipped)| (reason, skipped.rows)).collect();
        assert_eq!(found, by_reason);
        // More than a twentieth is skipped.
        assert_eq!((frozen.broadcast_state, forecast.enough(0.05)), (BroadcastState::Holding, Mailable::TooFew));
        assert_eq!((forecast.repeated_keys, forecast.repeated_addresses), (5, 2));
        // What a broadcast that holds says of itself is what was said beforehand.
        let held = frozen.held_audience.clone().unwrap();
        assert_eq!((held.repeated_addresses, held.letters.len()), (2, 3));
        assert_eq!((frozen.reading.as_ref().unwrap().trimmed, forecast.trimmed_addresses), (Some(2), 2));
        let examples = world.ledger().examples(&frozen).await.unwrap();
        let examples: Vec<_> = examples.iter().map(|(of, recipient)| (of.clone(), recipient)).collect();
        assert_eq!(examples, forecast.samples.with_variants());
        assert_eq!(examples.iter().map(|(_, recipient)| recipient.key.as_str()).collect::<Vec<_>>(), ["1", "80", "81"]);
        let by_word: BTreeMap<String, u64> = forecast.skipped.iter().map(|(reason, skips)| (reason.to_string(), skips.rows)).collect();
        assert_eq!(frozen.skipped_by, by_word);
        let bad = &forecast.skipped[&SkipReason::BadAddress];
        assert_eq!((bad.rows, bad.examples.join(" ")), (4, "10 11 12".to_owned()));
        assert!(forecast.skipped[&SkipReason::NoKey].examples.is_empty());
        let repeated = forecast.skipped.get(&SkipReason::DuplicateAddress).map_or(0, |skips| skips.rows);
        assert_eq!(repeated, if unique_by.is_some() { 4 } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_address_is_mailed_once_where_the_audience_says_so_whoever_freezes_it() {
    // Two of 42 may be skipped: whoever is mailed by another row is none of these.
    let mut world = World::new(WorldOptions { users: 0, skipped_share_max: 0.05, ..small() }).await;
    // Forty addresses, each under three keys, and each domain written otherwise.
    for id in 1..=120 {
        let domain = ["example.com", "EXAMPLE.com", "example.COM "][id % 3];
        world.users.execute(&format!("INSERT INTO users VALUES ({id}, 'user{}@{domain}', 'N')", id % 40)).await;
    }
    // The smallest key of user 5 can't be mailed, so the next one is.
    world.users.execute("UPDATE users SET name = NULL WHERE id = 125 OR id = 5").await;
    world.users.execute("UPDATE users SET name = NULL WHERE id = 45").await;
    let forecast = surveyed(&world, &world.users.audience()).await.unwrap();
    // Of user 5 one key alone can be mailed.
    assert_eq!((forecast.rows, forecast.repeated_addresses, forecast.repeated_keys), (120, 39, 0));
    world.audiences.insert("users".to_owned(), each_address_once(&world));
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.kill_a_producer_after(4).await;
    world.post_command(&command).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.reading.map(|reading| reading.readings), Some(2));
    assert_eq!((broadcast.recipients, broadcast.skipped), (40, 80));
    judge(&world.cloud, "terms").assert_each_once((0..40).map(|user| format!("user{user}@example.com")));
    let skipped = skipped(&world).await;
    let instead = |key: &str| skipped.iter().find(|skipped| skipped.key == key).map(|skipped| (skipped.reason, skipped.mailed.as_deref()));
    // In the order of bytes 101 comes before 21 and 61.
    assert_eq!(instead("21"), Some((SkipReason::DuplicateAddress, Some("101"))));
    assert_eq!(instead("61"), Some((SkipReason::DuplicateAddress, Some("101"))));
    assert_eq!(instead("45"), Some((SkipReason::DataMissing, None)));
    assert_eq!(instead("85"), None);
}

/// A producer is killed after four pages, and whoever goes on reads other keys, or other people under the same ones. After the
/// last key come people whom the first has frozen, and before it others whom nobody ever would.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_where_a_second_reading_has_other_keys_for_the_same_people() {
    for key in ["lower(hex(randomblob(8)))", "row_number() OVER (ORDER BY random())"] {
        let mut world = World::new(WorldOptions { users: 120, ..small() }).await;
        world.users.execute(&format!("CREATE VIEW anew AS SELECT {key} AS id, email, name FROM users")).await;
        world.audiences.insert("users".to_owned(), AudienceConfig { table: Some("anew".to_owned()), ..world.users.audience() });
        let command = command("terms", |_| {});
        world.post_command(&command).await;
        world.kill_a_producer_after(5).await;
        assert_eq!(world.broadcast("terms").await.pages, 4);
        world.post_command(&command).await;
        let is_over = |broadcast: &Broadcast| broadcast.held_up.is_some() || broadcast.broadcast_state == BroadcastState::Complete;
        let broadcast = world.run_until("terms", 1, is_over).await;
        assert_eq!((broadcast.broadcast_state, broadcast.pages, world.cloud.accepted()), (BroadcastState::Enumerating, 4, 0), "{key}");
        let reason = broadcast.held_up.unwrap().reason;
        let words =
            ["of 60 users whom an earlier reading of it has frozen", "a key that is the same whenever it is read", "new broadcast_id"];
        assert!(words.iter().all(|words| reason.contains(words)) && !reason.contains('@'), "{reason}");
    }
}

/// A machine that was left out of a change goes on with what another has begun: under its section each address would be mailed
/// under each of its keys.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_with_another_section_of_the_audience_and_the_same_section_does() {
    let mut world = World::new(WorldOptions { users: 0, ..small() }).await;
    for id in 1..=120 {
        world.users.execute(&format!("INSERT INTO users VALUES ({id}, 'user{}@example.com', 'N')", id % 60)).await;
    }
    let (once, each) = (each_address_once(&world), world.users.audience());
    world.audiences.insert("users".to_owned(), once.clone());
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.kill_a_producer_after(3).await;
    for (other, named) in [
        (each, "its setting unique_by is not"),
        (AudienceConfig { filter: Some("id < 60".to_owned()), ..once.clone() }, "its setting filter is not"),
        (AudienceConfig { key: "email".to_owned(), unique_by: None, ..once.clone() }, "its setting key, unique_by is not"),
    ] {
        world.audiences.insert("users".to_owned(), other);
        world.post_command(&command).await;
        let held =
            world.run_until("terms", 1, |broadcast| broadcast.held_up.as_ref().is_some_and(|held| held.reason.contains(named))).await;
        assert_eq!((held.broadcast_state, world.cloud.accepted()), (BroadcastState::Enumerating, 0), "{named}");
    }
    // Read elsewhere, and with a column more.
    let columns = [once.columns.clone(), vec!["id".to_owned()]].concat();
    world.audiences.insert("users".to_owned(), AudienceConfig { columns, ..once });
    world.cloud.show_all_messages();
    world.post_command(&command).await;
    assert_eq!(world.run_to_the_end("terms").await.recipients, 60);
    judge(&world.cloud, "terms").assert_each_once((0..60).map(|user| format!("user{user}@example.com")));
}

/// Users of a file, in the order of their keys.
fn csv(users: &[u32]) -> Vec<u8> {
    let rows: Vec<String> = users.iter().map(|user| format!("{user:03},user{user}@example.com,N\n")).collect();
    format!("id,email,name\n{}", rows.concat()).into_bytes()
}

/// A nightly export is written while a producer is dead, with somebody new whose key comes before the last that is frozen: whoever
/// goes on would never come to them, and would say that everybody was mailed.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_with_another_file_and_the_same_one_packed_or_elsewhere_does() {
    let directory = tempfile::tempdir().unwrap();
    let (file, elsewhere) = (directory.path().join("users.csv"), directory.path().join("of-before.csv.gz"));
    let mut world = World::new(WorldOptions { users: 0, ..small() }).await;
    let read_from =
        |file: &Path| AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
    let (here, there) = (read_from(&file), read_from(&elsewhere));
    let (before, command): (Vec<u32>, _) = ((1..=60).collect(), command("terms", |_| {}));
    std::fs::write(&file, csv(&before)).unwrap();
    world.audiences.insert("users".to_owned(), here);
    world.post_command(&command).await;
    world.kill_a_producer_after(3).await;
    std::fs::write(&file, csv(&(0..=60).collect::<Vec<_>>())).unwrap();
    world.cloud.show_all_messages();
    let is_held = |broadcast: &Broadcast| {
        broadcast.held_up.as_ref().is_some_and(|held| held.reason.contains("its file is not what it was when the first page was frozen"))
    };
    let held = world.run_until("terms", 1, |broadcast| is_held(broadcast) || broadcast.broadcast_state.is_over()).await;
    assert_eq!((is_held(&held), held.broadcast_state, world.cloud.accepted()), (true, BroadcastState::Enumerating, 0));
    // As it was, under another name and packed.
    let mut packer = GzEncoder::new(std::fs::File::create(&elsewhere).unwrap(), Compression::fast());
    packer.write_all(&csv(&before)).unwrap();
    packer.finish().unwrap();
    world.audiences.insert("users".to_owned(), there);
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.recipients, 60);
    judge(&world.cloud, "terms").assert_each_once((1..=60).map(|user| format!("user{user}@example.com")));
}

/// What an older build has begun says nothing of its file.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_older_build_has_begun_with_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    std::fs::write(&file, csv(&(1..=60).collect::<Vec<_>>())).unwrap();
    let mut world = World::new(WorldOptions { users: 0, ..small() }).await;
    let audience = AudienceConfig { file: Some(file.display().to_string()), url: None, table: None, ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    world.post_command(&command("terms", |_| {})).await;
    world.kill_a_producer_after(3).await;
    let (db, s) = (&world.clients.dynamodb, |text: &str| AttributeValue::S(text.to_owned()));
    let get = db.get_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
    let mut item = get.call().await.unwrap().item.unwrap();
    let Some(AttributeValue::M(reading)) = item.get_mut("reading") else { panic!("{item:?}") };
    assert!(reading.remove("digest").is_some());
    db.put_item().table_name("ledger").set_item(Some(item)).call().await.unwrap();
    // With a blank line more, which changes nobody.
    std::fs::write(&file, [csv(&(1..=60).collect::<Vec<_>>()), b"\n".to_vec()].concat()).unwrap();
    world.cloud.show_all_messages();
    let done = world.run_to_the_end("terms").await;
    assert_eq!((done.recipients, done.reading.unwrap().digest.is_some()), (60, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_in_the_midst_of_freezing_is_refused_and_everybody_is_frozen() {
    let world = World::new(small()).await;
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.kill_a_producer_after(2).await;
    let wanted = Transition { to: BroadcastState::Running, actor: &"ann".parse().unwrap(), reason: "on with it" };
    let refused = world.ledger().transition(&"terms".parse().unwrap(), wanted).await.unwrap_err().to_string();
    assert!(refused.contains("is enumerating, and from there it can't become running"), "{refused}");
    world.post_command(&command).await;
    assert_eq!(world.run_to_the_end("terms").await.recipients, 50);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_that_an_earlier_version_froze_half_is_ended_and_not_guessed_at() {
    let world = World::new(small()).await;
    let command = command("terms", |_| {});
    world.post_command(&command).await;
    world.kill_a_producer_after(2).await;
    // As an earlier version writes it.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", text("b#terms")).key("sk", text("broadcast"));
    update.update_expression("SET last_key = :key").expression_attribute_values(":key", text("15")).call().await.unwrap();
    world.post_command(&command).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, world.cloud.accepted()), (BroadcastState::Stopped, 0));
    let reason = &broadcast.audit_trail.last().unwrap().reason;
    assert!(reason.contains("an earlier version") && reason.contains("new broadcast_id"), "{reason}");
}

/// A pooler of its own, which ends with the test.
struct PgBouncer(std::process::Child, #[expect(dead_code, reason = "it holds the configuration")] tempfile::TempDir);

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_that_hands_connections_on_everybody_is_read() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;

    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let Some(pooler) = server("ISSEI_TEST_PGBOUNCER") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP DATABASE IF EXISTS pooled").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE pooled").execute(&mut connection).await.unwrap();
    let mut connection = PgConnection::connect(&in_database(&url, "pooled")).await.unwrap();
    sqlx::raw_sql("CREATE TABLE users AS SELECT id, 'user' || id || '@example.com' AS email, 'N' AS name FROM generate_series(1, 137) id")
        .execute(&mut connection)
        .await
        .unwrap();
    let options = url.parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let configuration = format!(
        "[databases]\napp = host={} port={} dbname=pooled user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 1\nunix_socket_dir =\n",
        options.get_host(),
        options.get_port(),
        options.get_username()
    );
    let file = directory.path().join("pgbouncer.ini");
    std::fs::write(&file, configuration).unwrap();
    let mut start = std::process::Command::new(pooler);
    start.arg("-q").arg(&file).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    // It refuses to run as root.
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        start.uid(65534).gid(65534);
    }
    let _pooler = PgBouncer(start.spawn().unwrap(), directory);
    let mut waited = 0;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        waited += 1;
        assert!(waited < 600, "the pooler does not listen");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut world = World::new(small()).await;
    let audience = AudienceConfig { url: Some(format!("postgres://issei@127.0.0.1:{port}/app")), ..world.users.audience() };
    world.audiences.insert("users".to_owned(), audience);
    // Several times over one connection of the server, on which what one of them left would meet the next.
    for round in 0..3 {
        let id = format!("terms-{round}");
        world.post_command(&command(&id, |_| {})).await;
        let broadcast = world.run_to_the_end(&id).await;
        assert_eq!((broadcast.broadcast_state, broadcast.recipients), (BroadcastState::Complete, 137), "{:?}", broadcast.audit_trail);
    }
}
