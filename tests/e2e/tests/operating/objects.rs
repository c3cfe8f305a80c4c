//! Audiences that are objects of S3, read by the real binary from an emulator that others have written; and what S3 says
//! when it gives nothing, from a server that says only that.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::RangeInclusive;

use flate2::Compression;
use flate2::write::GzEncoder;
use issei_sim::Account;
use issei_test_support::{Emulator, Processes, command_body};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// So many that a producer is killed in the midst of them.
const USERS: u32 = 6_000;

fn csv(users: RangeInclusive<u32>, domain: &str) -> Vec<u8> {
    let rows: Vec<String> = users.map(|user| format!("{user},user{user}@{domain},N\n")).collect();
    format!("id,email,name\n{}", rows.concat()).into_bytes()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Packed in two pieces, one behind the other, as whoever appends to a file packs it.
fn packed_twice(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [packed(first), packed(second)].concat()
}

/// The configuration with its audience in S3.
fn config(world: &Processes, name: &str, url: &str) -> String {
    let config = world.read("issei.toml");
    let (before, _) = config.split_once("[audiences.users]").unwrap();
    let audience = format!("[audiences.users]\ns3 = \"{url}\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n");
    world.write(name, &format!("{before}{audience}"))
}

fn mailed(world: &Processes) -> Vec<String> {
    let mut mailed: Vec<String> = world.cloud.mails().unwrap().iter().map(|mail| mail.address.clone()).collect();
    mailed.sort();
    mailed
}

fn everybody(domain: &str) -> Vec<String> {
    let all: BTreeSet<String> = (1..=USERS).map(|user| format!("user{user}@{domain}")).collect();
    all.into_iter().collect()
}

/// A producer is killed in the midst of freezing, and the object is another when the next one starts.
async fn uploaded_anew_while_it_is_frozen(emulator: &Emulator, bucket: &str) -> Processes {
    let world = Processes::brisk(1, Account { keep_mails: true, ..Account::default() }).await;
    emulator.put_object(bucket, "exports/users.csv.gz", packed_twice(&csv(1..=USERS, "first.example.com"))).await;
    _ = config(&world, "issei.toml", &format!("s3://{bucket}/exports/users.csv.gz"));
    let command = world.write("command.json", &command_body("terms", |command| command["max_recipients"] = USERS.into()));
    let told: Value = serde_json::from_str(&world.run(&["--json", "send", "--dry-run", &command]).await).unwrap();
    assert_eq!(told["forecast"]["rows"], USERS, "{told}");
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    let status = world.wait_until("terms", |status| status["recipients"].as_u64() > Some(0)).await;
    drop(producer);
    assert_eq!(status["state"], "enumerating", "{status}");
    emulator.put_object(bucket, "exports/users.csv.gz", packed(&csv(1..=USERS, "second.example.com"))).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_starts_again_reads_the_version_that_the_first_one_read() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let bucket = Emulator::name();
    emulator.keep_versions(&bucket).await;
    let world = uploaded_anew_while_it_is_frozen(&emulator, &bucket).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    assert_eq!(mailed(&world), everybody("first.example.com"));
    let text = world.run(&["status", "terms"]).await;
    assert!(text.contains(&format!("read from     s3://{bucket}/exports/users.csv.gz, version ")), "{text}");
    producer.end().await;
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_versions_an_object_that_changed_is_refused_until_it_is_put_back() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let bucket = Emulator::name();
    let world = uploaded_anew_while_it_is_frozen(&emulator, &bucket).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let status = world.wait_until("terms", |status| !status["held_up"].is_null()).await;
    let reason = status["held_up"]["reason"].as_str().unwrap();
    assert!(reason.contains("it has changed since the first look at it") && reason.contains("stop this broadcast"), "{reason}");
    assert_eq!((mailed(&world), status["reason_code"].as_str()), (Vec::new(), Some("HELD_UP_SOURCE")));
    emulator.put_object(&bucket, "exports/users.csv.gz", packed_twice(&csv(1..=USERS, "first.example.com"))).await;
    world.wait_for("terms", "complete").await;
    assert_eq!(mailed(&world), everybody("first.example.com"));
    let text = world.run(&["status", "terms"]).await;
    assert!(text.contains("exports/users.csv.gz, ETag "), "{text}");
    producer.end().await;
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_objects_below_a_prefix_are_one_audience_or_none_is_read() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let bucket = Emulator::name();
    let world = Processes::new(1, Account::default()).await;
    let put = async |key: &str, body: Vec<u8>| emulator.put_object(&bucket, key, body).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let preview = async |url: &str, words: &[&str]| {
        _ = config(&world, "objects.toml", url);
        let (code, _, error) = world.try_run(&["--config", "objects.toml", "preview", &command]).await;
        assert!(code == Some(1) && words.iter().all(|word| error.contains(word)), "{url}: {code:?} {error}");
        assert!(!error.contains("user1@"), "{error}");
    };
    for (key, body) in [
        ("parts/part-1.csv", csv(1..=20, "example.com")),
        ("parts/part-2.csv.gz", packed_twice(&csv(21..=40, "example.com"))),
        // Without a name that says so.
        ("parts/part-3.csv", packed(&csv(41..=50, "example.com"))),
        // Names may hold anything, which XML may not; this path is encoded.
        ("parts/part%01%0D%20+.csv", csv(51..=60, "example.com")),
        // What a console makes of a folder.
        ("parts/", Vec::new()),
        ("parts/_SUCCESS", Vec::new()),
    ] {
        put(key, body).await;
    }
    let prefix = format!("s3://{bucket}/parts/");
    _ = config(&world, "objects.toml", &prefix);
    let told = world.run(&["--config", "objects.toml", "--json", "send", "--dry-run", &command]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["forecast"]["rows"], &told["forecast"]["mailable"]), (&60.into(), &60.into()), "{told}");
    // And whoever has no configuration yet is proposed one.
    let made = world.run(&["init", &prefix, "--output", &world.path("made.toml")]).await;
    assert!(made.contains("60 can be mailed") && world.read("made.toml").contains(&format!("s3 = \"{prefix}\"")), "{made}");

    // Somebody's rows under the name of a folder were meant for something.
    put("parts/more/", csv(61..=70, "example.com")).await;
    preview(&prefix, &["parts/more/ stands there, too, is called like a folder and holds", "ends with .csv"]).await;
    put("parts/more/", Vec::new()).await;
    put("parts/part%01%0D%20+.csv", b"id,email,name\n51\n".to_vec()).await;
    preview(&prefix, &["parts/part\\u{1}\\r +.csv: line 2: it has 1 fields"]).await;
    put("parts/part%01%0D%20+.csv", csv(51..=60, "example.com")).await;
    put("parts/part-4.csv", b"id,name,email\n51,N,user51@example.com\n".to_vec()).await;
    preview(&prefix, &["parts/part-4.csv: its header line is not that of the objects before it"]).await;
    put("parts/part-4.csv", b"id,email,name\n51,user51@example.com\n".to_vec()).await;
    preview(&prefix, &["parts/part-4.csv: line 2: it has 2 fields and the header 3"]).await;
    put("parts/part-0.csv", Vec::new()).await;
    preview(&prefix, &["parts/part-0.csv: it is empty; upload it again, or take it away"]).await;
    put("parts/part-0.csv", b"id,email,name\n".to_vec()).await;
    put("parts/notes.txt", b"x".to_vec()).await;
    preview(&prefix, &["parts/notes.txt stands there, too"]).await;
    preview(&format!("s3://{bucket}/nothing/"), &["no object begins so"]).await;
    preview(&format!("s3://{bucket}/users.csv"), &["there is no such object", "audience `users`"]).await;
    preview(&format!("s3://{bucket}-none/users.csv"), &["there is no bucket", "correct `s3`"]).await;
    put("empty.csv", Vec::new()).await;
    preview(&format!("s3://{bucket}/empty.csv"), &["it is empty"]).await;
    let whole = packed(&csv(1..=20, "example.com"));
    put("half.csv.gz", whole[..whole.len() / 2].to_vec()).await;
    preview(&format!("s3://{bucket}/half.csv.gz"), &["the gzip breaks off before its end"]).await;
    put("more.csv.gz", [whole.as_slice(), b"and more, which is longer than the header of a member"].concat()).await;
    preview(&format!("s3://{bucket}/more.csv.gz"), &["the gzip is broken"]).await;
    put("plain.csv.gz", csv(1..=20, "example.com")).await;
    preview(&format!("s3://{bucket}/plain.csv.gz"), &["its name ends with .gz, and it is no gzip"]).await;
}

/// A server that says the same to whatever it is asked, and then hangs up.
pub(crate) async fn saying(head: &'static str, length: usize, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            _ = stream.read(&mut [0; 8192]).await;
            _ = stream
                .write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").as_bytes())
                .await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_s3_does_not_give_is_told_with_the_cause_and_the_next_step() {
    let world = Processes::new(1, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    _ = config(&world, "objects.toml", "s3://exports/users.csv");
    let denied = "<Error><Code>AccessDenied</Code><Message>no identity-based policy allows it</Message></Error>";
    let moved = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
    let (header, part) = ("id,email,name\n", "206 Partial\r\netag: \"e\"\r\ncontent-range: bytes 0-0/40");
    for (head, length, body, words) in [
        (
            "403 Forbidden",
            denied.len(),
            denied,
            "S3 denies s3:GetObject: AccessDenied: no identity-based policy allows it; grant s3:GetObject",
        ),
        ("301 Moved\r\nx-amz-bucket-region: eu-west-1", moved.len(), moved, "the bucket is in eu-west-1"),
        // What says that it is whole and is not, and what is more than was asked for.
        (part, 30, header, "S3 GetObject"),
        (part, header.len(), header, "14 bytes came, and 1 were asked for"),
        ("200 OK\r\netag: \"e\"", 99_999_999, header, "99999999 bytes"),
        ("200 OK\r\netag: \"e\"", header.len(), header, "14 bytes came, and 1 were asked for"),
    ] {
        let url = saying(head, length, body).await;
        let environment = [("AWS_ENDPOINT_URL_S3", Some(url.as_str()))];
        let (code, _, error) = world.try_run_under(&environment, &["--config", "objects.toml", "preview", &command]).await;
        let words = [words, "audience `users`", "s3://exports/users.csv"];
        assert!(code == Some(1) && words.iter().all(|word| error.contains(word)), "{head}: {code:?} {error}");
    }
}

/// Who is mailed hangs on what the prefix meets, so it is named; and a folder that only begins so is nobody's intention.
#[tokio::test(flavor = "multi_thread")]
async fn the_objects_that_a_prefix_meets_are_named_and_one_that_ends_in_the_midst_of_a_name_is_refused() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let bucket = Emulator::name();
    let world = Processes::new(1, Account::default()).await;
    for (key, users) in [("users/a.csv", 1..=20), ("users/b.csv", 21..=40), ("users-old/a.csv", 41..=60), ("parts/part-1.csv", 61..=80)] {
        emulator.put_object(&bucket, key, csv(users, "example.com")).await;
    }
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let refused = async |prefix: &str, words: &[String]| {
        _ = config(&world, "objects.toml", &format!("s3://{bucket}/{prefix}"));
        for verb in [["preview"].as_slice(), &["send", "--dry-run"]] {
            let (code, _, error) = world.try_run(&[&["--config", "objects.toml"], verb, &[command.as_str()]].concat()).await;
            assert!(code != Some(0) && words.iter().all(|word| error.contains(word)), "{prefix}: {code:?} {error}");
        }
    };
    let folder = format!("s3://{bucket}/users/");
    refused("users", &["users-old/a.csv".to_owned(), "in the midst of a name".to_owned(), folder.clone()]).await;
    refused("us", &["users-old/a.csv".to_owned(), "in the midst of a name".to_owned()]).await;
    for (prefix, objects) in [("users/", 2), ("parts/part-", 1), ("parts", 1), ("users/a.csv", 1)] {
        _ = config(&world, "objects.toml", &format!("s3://{bucket}/{prefix}"));
        for verb in [["preview"].as_slice(), &["send", "--dry-run"]] {
            let shown = world.run(&[&["--config", "objects.toml"], verb, &[command.as_str()]].concat()).await;
            let first = if prefix.starts_with("users") { "users/a.csv" } else { "parts/part-1.csv" };
            assert!(shown.contains(&format!("read from      {objects} object")) && shown.contains(first), "{prefix}: {shown}");
            let told = world.run(&[&["--config", "objects.toml", "--json"], verb, &[command.as_str()]].concat()).await;
            let told: Value = serde_json::from_str(&told).unwrap();
            let read = if verb.len() > 1 { &told["forecast"]["objects"] } else { &told["objects"] };
            assert_eq!((&read["count"], &read["first"][0]), (&objects.into(), &first.into()), "{prefix}: {told}");
        }
    }
}
