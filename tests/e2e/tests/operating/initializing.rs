//! `issei init`: a first configuration, from each kind of source.

use issei_sim::Account;
use issei_test_support::{Processes, command_body};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

/// Says so where no such server was named, since a test that does nothing must not look like one that passed.
pub(crate) fn server(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("SKIPPED: {variable} names no server; tests/run starts one");
    }
    url
}

fn says(file: &str, lines: &[&str]) {
    for line in lines {
        assert!(file.lines().any(|found| found == *line), "{line} is not in\n{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_configuration_is_proposed_tried_and_overwrites_nothing() {
    let world = Processes::new(30, Account::default()).await;
    world.users.execute("ALTER TABLE users ADD COLUMN password_hash TEXT DEFAULT 'x'").await;
    world.users.execute("ALTER TABLE users ADD COLUMN deleted_at TEXT").await;
    world.users.execute("UPDATE users SET email = 'broken' WHERE id = 7").await;
    // What no row has would keep everybody from being written to.
    world.users.execute("ALTER TABLE users ADD COLUMN locale TEXT").await;
    let before = world.read("issei.toml");
    let (code, _, error) = world.try_run(&["init", world.users.url()]).await;
    assert!(code == Some(3) && error.contains("issei.toml is there already; --force overwrites it"), "{error}");
    assert_eq!(world.read("issei.toml"), before);

    let told = world.run(&["init", world.users.url(), "--output", "first.toml"]).await;
    assert!(told.contains("the primary key") && told.contains("30 rows: 29 can be mailed, 1 can't"), "{told}");
    // The reason is said at once: to look for it would be the next thing to do.
    assert!(told.contains("skipped        1 bad_address, with the keys 7"), "{told}");
    let file = world.read("first.toml");
    says(&file, &["[audiences.users]", "table = \"users\"", "key = \"id\"", "address = \"email\"", "columns = [\"name\"]"]);
    says(&file, &[&format!("url = \"{}\"", world.users.url()), "# filter = \"deleted_at IS NULL\""]);
    assert!(!file.contains("password_hash"), "{file}");
    // It is good for what it is made for, and --force is taken at its word.
    let command = world.write("command.json", &command_body("terms", |_| {}));
    assert!(world.run(&["--config", "first.toml", "send", "--dry-run", &command]).await.contains("30 rows"));
    world.run(&["init", world.users.url(), "--force"]).await;
    assert_eq!(world.read("issei.toml"), file);

    // A file as it is at home in Japan, with a line that was cut short.
    let csv = b"id,mail,\x8e\x81\x96\xbc\n1,ann@example.com,\x8e\x52\x93\x63\n2,bob@example.com\n";
    std::fs::write(world.path("people.csv"), csv).unwrap();
    let (code, _, error) = world.try_run(&["init", "people.csv", "--output", "people.toml"]).await;
    assert!(code == Some(1) && error.contains("not in the encoding utf-8") && error.contains("--encoding shift_jis"), "{error}");
    let people = ["init", "people.csv", "--output", "people.toml", "--encoding", "shift_jis", "--allow-broken-rows"];
    let told = world.run(&people).await;
    assert!(
        told.contains("2 rows: 1 can be mailed, 1 can't") && told.contains("1 broken_row\n                 line 3: it has 2 fields"),
        "{told}"
    );
    says(&world.read("people.toml"), &["encoding = \"shift_jis\"", "allow_broken_rows = true"]);

    // Its first line says nothing of the encoding; nor does UTF-16 without a mark, whose letters are ASCII beside zeros.
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let names = "\u{5c71}\u{7530}\u{592a}\u{90ce}\u{69d8}";
    let (shift_jis, euc_jp) = (b"\x8e\x52\x93\x63\x91\xbe\x98\x59\x97\x6c", b"\xbb\xb3\xc5\xc4\xc2\xc0\xcf\xba\xcd\xcd");
    for (name, encoded, label) in [
        ("sjis.csv", [b"mail,name\nann@example.com,", &shift_jis[..], b"\n"].concat(), "shift_jis"),
        ("euc.csv", [b"id,mail,name\n1,ann@example.com,", &euc_jp[..], b"\n"].concat(), "euc-jp"),
        ("mark.csv", utf_16(&format!("\u{feff}id,mail,name\n1,ann@example.com,{names}\n")), "utf-16le"),
        ("none.csv", utf_16(&format!("id,mail,name\n1,ann@example.com,{names}\n")), "utf-16le"),
    ] {
        std::fs::write(world.path(name), encoded).unwrap();
        let (code, _, error) = world.try_run(&["init", name, "--output", "encoded.toml", "--force"]).await;
        assert!(code == Some(1) && error.contains(&format!("--encoding {label}")) && !error.contains("no column"), "{name}: {error}");
        let told = world.run(&["init", name, "--output", "encoded.toml", "--encoding", label, "--force"]).await;
        assert!(told.contains("1 rows: 1 can be mailed"), "{name}: {told}");
        says(&world.read("encoded.toml"), &[&format!("encoding = \"{label}\""), "columns = [\"name\"]"]);
    }

    // A column that is called so and holds no addresses: nobody would be mailed, which is no success.
    _ = world.write("erased.csv", "id,email\n1,\n2,\n");
    let (code, told, error) = world.try_run(&["init", "erased.csv", "--output", "erased.toml"]).await;
    assert!(code == Some(3) && told.contains("0 can be mailed, 2 can't"), "{code:?} {told}{error}");
    assert!(error.contains("nobody of the audience that is proposed can be mailed"), "{error}");

    // Several tables: which is for people to say.
    world.users.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)").await;
    let (code, _, error) = world.try_run(&["init", world.users.url(), "--output", "second.toml"]).await;
    assert!(code == Some(1) && error.contains("orders, users") && error.contains("--users-table"), "{error}");
    let (code, _, error) = world.try_run(&["init", world.users.url(), "--users-table", "orders", "--output", "second.toml"]).await;
    assert!(code == Some(1) && error.contains("no column holds addresses") && error.contains("total"), "{error}");
    assert!(!std::path::Path::new(&world.path("second.toml")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_configuration_comes_from_a_file_too() {
    let world = Processes::new(1, Account::default()).await;
    let csv = world.write("people.csv", "user_id,Mail,first_name\n1,ann@example.com,Ann\n2,,Bob\n3,a..b@docomo.ne.jp,\"C\n\"\n");
    world.run(&["init", &csv, "--output", "csv.toml", "--name", "people"]).await;
    says(&world.read("csv.toml"), &["[audiences.people]", "file = \"people.csv\"", "key = \"user_id\"", "address = \"Mail\""]);
    let lines = world
        .write("people.jsonl", "{\"id\": \"a\", \"contact\": \"ann@example.com\"}\n{\"id\": \"b\", \"contact\": \"bob@example.com\"}\n");
    world.run(&["init", &lines, "--output", "jsonl.toml"]).await;
    says(&world.read("jsonl.toml"), &["file = \"people.jsonl\"", "key = \"id\"", "address = \"contact\"", "columns = []"]);
    // As spreadsheets have it: no id, and a name for the address that is not English. The address is the key.
    let without =
        world.write("without.csv", "お名前,メールアドレス\nAnn,ann@example.com\nBob,bob@example.com\nAnn 2,Ann@example.com\nC,\n");
    let told = world.run(&["init", &without, "--output", "without.toml"]).await;
    assert!(told.contains("the address, since no column tells users apart; 1 of 4 rows"), "{told}");
    says(&world.read("without.toml"), &["key = \"メールアドレス\"", "address = \"メールアドレス\"", "unique_by = \"address\""]);
    assert!(world.read("without.toml").contains("# An address is a weak key."));
    // Nor can a letter name it, which is no reason to say nothing of it.
    let why = "A placeholder has the letters A to Z and a to z";
    assert!(told.contains(&format!("left out       お名前. {why}")), "{told}");
    let json = world.run(&["init", &without, "--output", "again.toml", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["left_out"], serde_json::json!(["お名前"]), "{json}");
    says(&world.read("without.toml"), &["columns = []"]);
    assert!(world.read("without.toml").contains(&format!("# Left out: \"お名前\". {why}")));
    // Somebody's row is no header, and nobody's business.
    let bare = world.write("bare.csv", "1,ann@example.com,Ann\n2,bob@example.com,Bob\n");
    let (code, output, error) = world.try_run(&["init", &bare, "--output", "bare.toml"]).await;
    assert!(code == Some(1) && error.contains("it is no header line; put one"), "{error}");
    assert!(!format!("{output}{error}").to_lowercase().contains("ann"), "{output}{error}");
    // A few rows without a key are bad rows.
    let rows = (1..=30).map(|user| format!("{user},user{user}@example.com,team{}\n", user % 3)).collect::<Vec<_>>().concat();
    let bad = world.write("bad.csv", &format!("member_id,email,team_id\n{rows},nobody@example.com,team1\n"));
    let told = world.run(&["init", &bad, "--output", "bad.toml"]).await;
    let reason = "by its name, but 1 of 31 rows have none, and are skipped";
    assert!(told.contains(&format!("key            member_id: {reason}")) && told.contains("30 can be mailed, 1 can't"), "{told}");
    says(&world.read("bad.toml"), &["key = \"member_id\"", &format!("# What tells one user from another, and never changes: {reason}.")]);
    // One that rows of two addresses have in common would leave one of them without a mail.
    let shared = world.write("shared.csv", &format!("member_id,email,team_id\n{rows}7,third@example.com,team1\n"));
    let told = world.run(&["init", &shared, "--output", "shared.toml"]).await;
    let why = "member_id: 1 of 31 rows have another's (\"7\" in 2), and of the rows of one key one alone is mailed";
    assert!(told.contains(&format!("no key         {why}")) && told.contains("31 can be mailed, 0 can't"), "{told}");
    says(&world.read("shared.toml"), &["key = \"email\"", &format!("# No key: {why}.")]);
    // What colleagues share is nobody's own, however few of them are in the table.
    let rows = (1..=32).map(|user| format!("{},user{user}@example.com\n", if user == 9 { 7 } else { user })).collect::<Vec<_>>().concat();
    let companies = world.write("companies.csv", &format!("company_id,email\n{rows}"));
    let told = world.run(&["init", &companies, "--output", "companies.toml"]).await;
    assert!(told.contains("key            email: the address, since no column tells users apart"), "{told}");
    // A variable of the shell that is not set, and a database that is named as a file.
    let (code, _, error) = world.try_run(&["init", "", "--output", "none.toml"]).await;
    assert!(code == Some(1) && error.contains("the source is empty, as a variable of the shell is that is not set; give a URL"), "{error}");
    let database = world.write("u.db", "SQLite format 3\0\u{10}\0\u{1}\u{1}\0@  \0\0");
    let (code, _, error) = world.try_run(&["init", &database, "--output", "none.toml"]).await;
    assert!(code == Some(1) && error.contains("is a database of SQLite; say so: issei init sqlite:"), "{error}");
    // Orders are no persons: whoever ordered five times gets one mail, by a column that knows whose they are, or by the address.
    let order = |order: u32, user: u32| format!("{order},{user},user{user}@example.com\n");
    let rows: String = (1..=200).map(|id| order(id, id % 40)).collect();
    let orders = world.write("orders.csv", &format!("order_id,buyer,email\n{rows}"));
    let told = world.run(&["init", &orders, "--output", "orders.toml"]).await;
    assert!(told.contains("addresses      40 different ones in 200 rows, 40 of them under several keys; each is mailed once"), "{told}");
    assert!(told.contains("200 rows: 40 can be mailed, 160 can't") && told.contains("160 duplicate_address"), "{told}");
    says(
        &world.read("orders.toml"),
        &["key = \"order_id\"", "unique_by = \"address\"", "# 40 different ones in 200 rows, 40 of them under several keys."],
    );
    let orders = world.write("owned.csv", &format!("order_id,user_id,email\n{rows}"));
    let told = world.run(&["init", &orders, "--output", "owned.toml"]).await;
    assert!(
        told.contains("key            user_id: by its name; 160 of 200 rows have another's, and each stands with one address"),
        "{told}"
    );
    assert!(told.contains("addresses      40 different ones in 200 rows\n") && told.contains("40 can be mailed"), "{told}");
    says(&world.read("owned.toml"), &["key = \"user_id\"", "# unique_by = \"address\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_never_stands_in_the_file() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP SCHEMA IF EXISTS first_look CASCADE",
        "CREATE SCHEMA first_look",
        "CREATE TABLE first_look.\"People\" (tenant int, uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), \"E-mail\" text NOT NULL UNIQUE,
             \"name\" text, UNIQUE (tenant, \"name\"))",
        "INSERT INTO first_look.\"People\" SELECT 1, gen_random_uuid(), 'u' || i || '@example.com', 'N' || i FROM generate_series(1, 5000) i",
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let world = Processes::new(1, Account::default()).await;
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, place) = rest.split_once('@').unwrap();
    let with_password = format!("{scheme}://{user}:hidden-word@{place}");
    let arguments = ["init", &with_password, "--users-table", "first_look.People", "--output", "given.toml"];
    let told = world.run(&arguments).await;
    assert!(told.contains("2000 rows: 2000 can be mailed") && told.contains("DATABASE_URL") && !told.contains("hidden-word"), "{told}");
    let file = world.read("given.toml");
    says(&file, &["url_env = \"DATABASE_URL\"", "table = \"first_look.People\"", "key = \"uuid\"", "address = \"E-mail\""]);
    assert!(!file.contains("hidden-word") && !file.contains("postgres://"), "{file}");
    // From a variable, it is the variable that is named.
    let environment = [("USERS_DB", Some(with_password.as_str()))];
    let arguments = ["init", "--url-env", "USERS_DB", "--users-table", "first_look.People", "--output", "taken.toml"];
    let (code, output, error) = world.try_run_under(&environment, &arguments).await;
    assert_eq!(code, Some(0), "{output}{error}");
    says(&world.read("taken.toml"), &["url_env = \"USERS_DB\""]);
    assert!(!world.read("taken.toml").contains("hidden-word"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_tells_its_tables_and_keys() {
    let Some(url) = server("ISSEI_TEST_MYSQL_URL") else { return };
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "DROP TABLE IF EXISTS first_look",
        "CREATE TABLE first_look (`a` int, `b` int, code varchar(20) NOT NULL UNIQUE, mailaddress varchar(200), nickname text, PRIMARY KEY (a, b))",
        "INSERT INTO first_look VALUES (1, 1, 'x', 'ann@example.com', 'Ann'), (1, 2, 'y', NULL, 'Bob')",
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let world = Processes::new(1, Account::default()).await;
    let told = world.run(&["init", &url, "--users-table", "first_look", "--output", "mysql.toml"]).await;
    assert!(told.contains("code: unique, and never null") && told.contains("2 rows: 1 can be mailed, 1 can't"), "{told}");
    says(&world.read("mysql.toml"), &["table = \"first_look\"", "key = \"code\"", "address = \"mailaddress\"", "columns = [\"nickname\"]"]);
}
