//! The first errors that anybody meets: each on one line, with the thing, the cause and the next step.

use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Processes, command_body, free_port, until, write_keys};
use serde_json::Value;

use crate::objects::saying;

/// Whose surroundings name no credentials, wherever the SDK looks.
const NOBODY: [(&str, Option<&str>); 3] = [("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None), ("HOME", Some("/nonexistent"))];

async fn fails(world: &Processes, environment: &[(&str, Option<&str>)], arguments: &[&str]) -> String {
    let (code, output, error) = world.try_run_under(environment, arguments).await;
    assert_eq!((code, output.as_str()), (Some(1), ""), "issei {arguments:?}: {error}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.len() == 1 && error.len() < 700 && error.starts_with("issei: "), "issei {arguments:?}: {error}");
    error
}

/// The SDK writes the address at which it asks into a warning.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_an_endpoint_is_refused_before_it_stands_in_a_log() {
    let world = Processes::simulated(1, Account::default()).await;
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"] {
        let error = fails(&world, &[(variable, Some("https://user:hush@127.0.0.1:1"))], &["consumer"]).await;
        assert!(error.contains(variable) && error.contains("before the `@`") && !error.contains("hush"), "{error}");
    }
    let error = fails(&world, &[], &["--endpoint-url", "https://user:hush@127.0.0.1:1", "list"]).await;
    assert!(error.contains("--endpoint-url has") && !error.contains("hush"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_a_broadcast_that_is_over_has_not_sent() {
    let world = Processes::simulated(1, Account::default()).await;
    let producer = world.start("producer");
    let body = command_body("terms", |body| (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into()));
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    world.wait_for("terms", "holding").await;
    let (_, why, _) = world.try_run(&["why", "terms", "1"]).await;
    assert!(why.contains("outcome   none yet"), "{why}");
    world.try_run(&["stop", "terms", "--reason", "wrong text"]).await;
    let (_, why, error) = world.try_run(&["why", "terms", "1"]).await;
    assert!(why.contains("outcome   none: nothing was sent, and nothing will be"), "{why}{error}");
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_ends_alike_whoever_reads_it() {
    let world = Processes::simulated(1, Account::default()).await;
    let (other, nowhere) = (world.write("other.csv", "a,b\n1,2\n"), world.path("nowhere.csv"));
    let (bytes, (_, key)) = (world.path("bytes.csv"), write_keys(&world, "ours", 1));
    std::fs::write(&bytes, b"a,\xff\n").unwrap();
    for arguments in [
        &["send", &other][..],
        &["send", &bytes],
        &["preview", &bytes],
        &["suppress", "import", "--yes", &other],
        &["suppress", "import", "--yes", &bytes],
        &["verify", &other, "--public-key", &other],
        &["verify", &bytes, "--public-key", &bytes],
        &["certify", "terms", "--signing-key", &other],
        &["report", "terms", "--certificate", &other, "--public-key", &other, "--output", "report.html"],
        &["forget", "ann@example.com", "--reason", "ann@example.com asked", "--yes"],
    ] {
        let (code, output, error) = world.try_run(arguments).await;
        assert_eq!((code, output.as_str()), (Some(3), ""), "issei {arguments:?}: {error}");
        assert!(error.lines().count() == 1 && error.starts_with("issei: "), "issei {arguments:?}: {error}");
    }
    // Of one that is not there nobody knows what it says.
    for arguments in [
        &["send", &nowhere][..],
        &["preview", &nowhere],
        &["test-send", &nowhere, "--to", "ann@example.com"],
        &["try", &nowhere],
        &["suppress", "import", "--yes", &nowhere],
        &["import-events", "--yes", &nowhere],
        &["verify", &nowhere, "--public-key", &key],
        &["verify", &other, "--public-key", &nowhere],
        &["certify", "terms", "--signing-key", &nowhere],
        &["report", "terms", "--certificate", &nowhere, "--public-key", &nowhere, "--output", "report.html"],
        &["init", &nowhere, "--output", "other.toml"],
        &["--config", &nowhere, "list"],
    ] {
        let error = fails(&world, &[], arguments).await;
        assert!(error.contains("nowhere.csv") && error.contains("No such file"), "issei {arguments:?}: {error}");
    }
}

/// A page is one whatever its name says, and whoever opens it by that finds it broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_written_under_no_name_that_says_something_else() {
    let world = Processes::simulated(5, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    for name in ["x.pdf", "x.html.png", "X.DOCX", "x.json"] {
        for arguments in [
            &["preview", &command, "-o", name][..],
            &["send", &command, "--dry-run", "-o", name],
            &["show", "terms", "--as", "1", "-o", name],
        ] {
            let (code, output, error) = world.try_run(arguments).await;
            assert_eq!((code, output.as_str()), (Some(3), ""), "issei {arguments:?}: {error}");
            assert!(error.contains("a page of HTML: give a name that ends with .html"), "issei {arguments:?}: {error}");
        }
        let (code, _, error) = world.try_run(&["report", "terms", "--output", name]).await;
        assert!(code == Some(3) && error.contains("a page of HTML"), "{error}");
        assert!(!std::path::Path::new(&world.path(name)).exists(), "{name}");
    }
    for name in ["x.HTML", "x.htm", "page"] {
        world.run(&["preview", &command, "-o", name]).await;
        assert!(world.read(name).contains("<title>"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_a_workbook_is_told_how_to_save_it_and_an_ending_in_capitals_is_one() {
    let world = Processes::simulated(5, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let audience = |file: &str| format!("[audiences.users]\nfile = \"{file}\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n");
    let config = world.path("issei.toml");
    let rows = "id,email,name\n1,ann@example.com,Ann\n";
    for (name, bytes) in [
        ("users.xlsx", &b"PK\x03\x04\x14\0\x06\0"[..]),
        ("USERS.XLS", &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]),
        ("users.ods", b"PK\x03\x04"),
        // Renamed it is still no text.
        ("users.csv", b"PK\x03\x04\x14\0\x06\0"),
    ] {
        std::fs::write(world.path(name), bytes).unwrap();
        let init = fails(&world, &[], &["init", name, "--output", "other.toml"]).await;
        std::fs::write(&config, audience(name)).unwrap();
        let (_, _, preview) = world.try_run(&["preview", &command]).await;
        for told in [init, preview] {
            assert!(told.contains(name) && told.contains("save the sheet with the users as \"CSV UTF-8\""), "{name}: {told}");
        }
    }
    std::fs::write(world.path("USERS.CSV"), rows).unwrap();
    std::fs::write(&config, audience("USERS.CSV")).unwrap();
    let told = world.run(&["preview", &command]).await;
    assert!(told.contains("Terms for Ann"), "{told}");
    let told = world.run(&["init", "USERS.CSV", "--output", "other.toml"]).await;
    assert!(told.contains("1 rows: 1 can be mailed") || told.contains("1 can be mailed"), "{told}");
}

/// Its producer has ended since, or none was ever there: that is no reason to look for a slip in the id.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_broadcast_whose_command_waits_is_told_so() {
    let world = Processes::simulated(5, Account::default()).await;
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    let error = fails(&world, &[], &["status", "terms"]).await;
    for part in ["no broadcast `terms` yet", "1 visible, 0 in flight", "no producer is alive", "`issei status terms --watch` waits for it"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    let (sqs, url) = world.queue_url("ISSEI_COMMANDS_QUEUE", "").await;
    sqs.receive_message().queue_url(url).call().await.unwrap();
    let error = fails(&world, &[], &["status", "terms"]).await;
    assert!(error.contains("0 visible, 1 in flight") && error.contains("it is taken again by itself"), "{error}");
}

/// No service: it has nothing in flight.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_a_watch_is_told_nothing_of_services() {
    let world = Processes::simulated(5, Account::default()).await;
    let producer = world.start("producer");
    let body = command_body("terms", |body| (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into()));
    world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    world.wait_for("terms", "holding").await;
    let watch = world.start_with("status", &["terms", "--watch"]);
    until("it watches", async || world.printed("status").contains("holding")).await;
    assert_eq!(watch.interrupt().await, Some(130));
    assert_eq!(world.log("status"), "");
    producer.end().await;
    assert!(world.log("producer").contains("told to end: receiving nothing more"), "{}", world.log("producer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_errors_name_the_thing_the_cause_and_the_next_step() {
    let world = Processes::simulated(5, Account::default()).await;
    let dead = format!("http://127.0.0.1:{}", free_port());
    let queue = world.named("ISSEI_COMMANDS_QUEUE").to_owned();

    for arguments in [&["setup"][..], &["status", "terms"], &["list"], &["producer"]] {
        let error = fails(&world, &NOBODY, arguments).await;
        assert!(error.contains("no AWS credentials were found") && error.contains("set AWS_PROFILE"), "{error}");
        assert!(!error.contains("Attempted") && !error.contains("provider"), "{error}");
    }
    // And whoever asks what is lacking is sent to log in first, and not to make what may be there.
    let (code, told, _) = world.try_run_under(&NOBODY, &["doctor"]).await;
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("do:   log in to AWS") && !told.contains("issei setup") && !told.contains("grant "), "{told}");
    assert!(told.lines().all(|line| !line.trim_start().starts_with("rule: ;")), "{told}");
    // So it is on a machine whose service for instances' roles refuses to answer.
    let denied = saying("403 Forbidden", 2, "no").await;
    let on_instance = [("AWS_EC2_METADATA_DISABLED", None), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Some(denied.as_str()))];
    let error = fails(&world, &[&NOBODY[..], &on_instance].concat(), &["status", "terms"]).await;
    assert!(error.contains("no AWS credentials were found") && !error.contains("IMDS"), "{error}");
    let error = fails(&world, &[("AWS_REGION", None), ("HOME", Some("/nonexistent"))], &["status", "terms"]).await;
    assert!(error.contains("no AWS region is set; set AWS_REGION"), "{error}");
    // Whoever fills in a template leaves some variables empty: that says nothing.
    let empty = [("AWS_REGION", Some("")), ("AWS_DEFAULT_REGION", Some("")), ("HOME", Some("/nonexistent"))];
    let error = fails(&world, &empty, &["status", "terms"]).await;
    assert!(error.contains("no AWS region is set; set AWS_REGION"), "{error}");
    let empty = [("AWS_ENDPOINT_URL", Some("")), ("AWS_ENDPOINT_URL_STS", Some("")), ("AWS_ENDPOINT_URL_S3", Some(""))];
    let (_, _, error) = world.try_run_under(&empty, &["--endpoint-url", "", "status", "terms"]).await;
    assert!(error.contains("issei: there is no broadcast `terms`"), "{error}");

    let error = fails(&world, &[], &["--table", "nowhere", "status", "terms"]).await;
    for word in ["the table does not exist", "`issei setup` makes it", "`nowhere`", "us-east-1 (AWS_REGION)", "(AWS_ENDPOINT_URL_DYNAMODB)"]
    {
        assert!(error.contains(word), "{word}: {error}");
    }
    let error = fails(&world, &[], &["--table", "", "status", "terms"]).await;
    assert!(error.contains("table is empty; name it"), "{error}");
    for service in ["consumer", "feedback", "producer"] {
        let error = fails(&world, &[("ISSEI_CHUNKS_QUEUE", Some("nowhere"))], &[service]).await;
        assert!(error.contains("queue `nowhere` does not exist; `issei setup` makes the queues"), "{error}");
        assert!(error.contains("us-east-1 (AWS_REGION)") && error.contains("(AWS_ENDPOINT_URL_SQS)"), "{error}");
    }

    let error = fails(&world, &[("AWS_ENDPOINT_URL_DYNAMODB", Some(&dead))], &["status", "terms"]).await;
    assert!(error.contains("no connection could be made: Connection refused") && error.contains(&dead), "{error}");
    assert!(error.contains("(AWS_ENDPOINT_URL_DYNAMODB)") && !error.contains("issei setup"), "{error}");
    let error = fails(&world, &[("AWS_ENDPOINT_URL_SQS", Some(&dead))], &["setup"]).await;
    assert!(error.contains(&queue) && error.contains(&format!("{dead} (AWS_ENDPOINT_URL_SQS)")), "{error}");

    let error = fails(&world, &[], &["--config", "nowhere.toml", "status", "terms"]).await;
    assert!(error.contains(&world.path("nowhere.toml")) && error.contains("No such file"), "{error}");
    let command = world.write("command.json", &command_body("terms", |_| {}));
    std::fs::remove_file(world.path("issei.toml")).unwrap();
    let (code, output, error) = world.try_run(&["send", &command]).await;
    assert_eq!((code, output.as_str()), (Some(3), ""), "{error}");
    for word in ["no audience `users`", &world.path("issei.toml"), "--config", "ISSEI_CONFIG"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_say_where_aws_is_and_a_program_gets_the_error_as_json() {
    let world = Processes::simulated(5, Account::default()).await;
    let dead = format!("http://127.0.0.1:{}", free_port());
    // Flags go before the variables that lead to the simulator.
    let arguments = ["--endpoint-url", &dead, "--region", "eu-west-1", "--json", "list"];
    let (code, output, error) = world.try_run_under(&[], &arguments).await;
    assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
    let told: Value = serde_json::from_str(&error).unwrap();
    let reason = told["error"].as_str().unwrap();
    assert!(reason.contains(&format!("{dead} (--endpoint-url)")) && reason.contains("eu-west-1 (--region)"), "{reason}");
    // A profile that is named goes before the credentials of the environment.
    let credentials = world.write("credentials", "[ops]\naws_access_key_id = second\naws_secret_access_key = test\n");
    let environment = [("AWS_SHARED_CREDENTIALS_FILE", Some(credentials.as_str()))];
    for (profile, who) in [(&["--profile", "ops"][..], "role/second"), (&[], "user/operator")] {
        let address = format!("{}@example.com", who.replace('/', "-"));
        let arguments = [profile, &["suppress", "add", &address, "--reason", "asked for it"]].concat();
        let (code, output, error) = world.try_run_under(&environment, &arguments).await;
        assert_eq!(code, Some(0), "{output}{error}");
        let told = world.run(&["suppress", "list", &address]).await;
        assert!(told.contains(who), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_found_where_help_is_looked_for_and_a_document_can_go_through_a_pipe() {
    let world = Processes::simulated(5, Account::default()).await;
    assert_eq!(world.run(&["help", "settings"]).await, world.run(&["settings"]).await);
    let command = world.write("command.json", &command_body("terms", |_| {}));
    // What comes out is the document and nothing else; the rest is said beside it.
    let (code, output, beside) = world.try_run(&["preview", &command, "-o", "-"]).await;
    assert!(code == Some(0) && output.starts_with("<!doctype html>") && output.trim_end().ends_with("</html>"), "{output}{beside}");
    assert!(beside.contains("subject      Terms for User 1") && !std::path::Path::new(&world.path("-")).exists(), "{beside}");
    let users = world.write("users.csv", "id,email,name\n1,ann@example.com,Ann\n2,ben@example.com,Ben\n");
    let (code, output, beside) = world.try_run(&["init", &users, "-o", "-"]).await;
    assert!(code == Some(0) && output.contains("[audiences.users]") && beside.contains("tried          2 rows"), "{output}{beside}");
    _ = world.write("proposed.toml", &output);
    world.run(&["--config", "proposed.toml", "preview", &command]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_fails_half_way_says_what_it_made_and_the_same_again_makes_the_rest() {
    let mut world = Processes::simulated(1, Account::default()).await;
    let names: Vec<(String, String)> = ["ISSEI_COMMANDS_QUEUE", "ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE", "ISSEI_TABLE"]
        .map(|name| (name.to_owned(), format!("{}-2", world.named(name))))
        .into();
    names.iter().for_each(|(name, value)| world.set(name, value));
    let nowhere = [("AWS_ENDPOINT_URL_SESV2", Some("http://127.0.0.1:1"))];
    let (code, output, error) = world.try_run_under(&nowhere, &["setup"]).await;
    assert_eq!(code, Some(1), "{output}{error}");
    assert!(names.iter().all(|(_, name)| output.contains(name.as_str())) && output.contains("made"), "{output}");
    assert!(error.contains("not everything was made"), "{error}");
    let (code, output, _) = world.try_run_under(&nowhere, &["--json", "setup"]).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &told["complete"], told["setup"].as_array().map(Vec::len)), (Some(1), &Value::Bool(false), Some(7)), "{told}");
    let output = world.run(&["setup"]).await;
    assert!(output.contains("was there") && output.contains("configuration set"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_can_not_be_reached_has_denied_nothing() {
    let world = Processes::simulated(1, Account::default()).await;
    let nowhere = [("AWS_ENDPOINT_URL_LAMBDA", Some("http://nowhere.invalid"))];
    let (_, output, _) = world.try_run_under(&nowhere, &["doctor", "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    let of = |finding: &&Value| finding["what"].as_str().is_some_and(|what| what.contains("event source"));
    let found: Vec<&Value> = told["findings"].as_array().unwrap().iter().filter(of).collect();
    assert!(!found.is_empty(), "{told}");
    for finding in found {
        let mend = finding["mend"].as_str().unwrap();
        assert!(mend.contains("can be reached") && !mend.contains("grant"), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_json_gets_it_from_reports_exports_and_settings_too() {
    let world = Processes::simulated(3, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    let json = async |arguments: &[&str]| -> Vec<Value> {
        let output = world.run(arguments).await;
        output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    };
    let report = world.path("report.html");
    let told = json(&["--json", "report", "terms", "--output", &report]).await;
    assert_eq!((told.len(), &told[0]["broadcast_id"], &told[0]["written"]), (1, &"terms".into(), &report.clone().into()));
    // Another day's report, or one in another language, takes its place; a command does not make way for it.
    assert_eq!(json(&["--json", "report", "terms", "--lang", "ja", "--output", &report]).await.len(), 1);
    assert_eq!(json(&["--json", "report", "terms", "--output", &report]).await.len(), 1);
    let before = world.read("command.json");
    let (private, _) = write_keys(&world, "ours", 1);
    for page in [
        &["certify", "terms", "--signing-key", &private, "--output", "command.json"][..],
        &["rehearse", "--from", "no-reply@example.com", "--recipients", "10", "--signing-key", &private, "--output", "command.json"],
        &["demo", "--compare", "--recipients", "10", "--output", "command.json"],
    ] {
        let (code, _, error) = world.try_run(page).await;
        assert!(code == Some(3) && error.contains("command.json is there"), "{code:?} {error}");
    }
    assert_eq!(world.read("command.json"), before);
    _ = world.write("words.html", "<p>Dear {{name}}</p>");
    for page in [&["report", "terms", "--output", "words.html"][..], &["preview", "command.json", "--output", "words.html"]] {
        let (code, _, error) = world.try_run(page).await;
        assert!(code == Some(3) && error.contains("words.html is there and is no "), "{code:?} {error}");
    }
    for _ in 0..2 {
        let picture = world.try_run(&["demo", "--compare", "--recipients", "10", "--output", "picture.svg"]).await;
        assert_eq!(picture.0, Some(0), "{picture:?}");
    }
    assert_eq!(json(&["--json", "export", "terms", "--outcome", "accepted"]).await.len(), 3);
    // Nobody waits for what then can't be kept.
    for page in [
        &["report", "terms", "--output", "/nope/a.html"][..],
        &["export", "terms", "--outcome", "accepted", "--output", "/nope/a.csv"],
        &["preview", "command.json", "--output", "/nope/a.html"],
        &["send", "command.json", "--dry-run", "--output", "/nope/a.html"],
        &["show", "terms", "--as", "1", "--output", "/nope/a.html"],
        &["certify", "terms", "--signing-key", &private, "--output", "/nope/a.json"],
        &["rehearse", "--from", "no-reply@example.com", "--recipients", "10", "--signing-key", &private, "--output", "/nope/a.json"],
        &["demo", "--compare", "--output", "/nope/a.svg"],
        &["init", "users.csv", "--output", "/nope/a.toml"],
    ] {
        let (code, output, error) = world.try_run(page).await;
        assert!(code == Some(1) && output.is_empty(), "{page:?}: {code:?} {output}{error}");
        assert!(error.contains("can't be written to /nope/a.") && error.contains("so nothing was done"), "{page:?}: {error}");
    }
    let (code, output, error) = world.try_run(&["certify", "terms", "--signing-key", &private]).await;
    assert!(code == Some(3) && output.is_empty() && error.contains("name a file with -o, or give --json"), "{output}{error}");
    let told = json(&["--json", "settings"]).await;
    assert!(told[0]["file"].as_str().is_some_and(|file| file.ends_with("issei.toml")), "{told:?}");
    assert!(told[0]["settings"].as_array().unwrap().iter().any(|setting| setting["variable"] == "ISSEI_TABLE"), "{told:?}");
    let text = world.run(&["settings"]).await;
    assert!(text.starts_with("Configuration file: ") && text.contains("issei.toml\n"), "{text}");
    let of = |name: &str| told[0]["settings"].as_array().unwrap().iter().find(|setting| setting["flag"] == name).unwrap().clone();
    let (table, pages) = (of("--table"), of("--page-size"));
    assert_eq!(
        (&table["value"], &table["from"], &table["default"]),
        (&world.table_name().into(), &"variable".into(), &"issei-ledger".into())
    );
    assert_eq!(pages["default"], 2000);
    let text = world.run(&["settings", "--page-size", "77"]).await;
    assert!(text.contains("In force: 77, by the flag; default: 2000") && text.contains("In force: 0.02, the default"), "{text}");
    // A file that nothing else can read is no configuration.
    let broken = world.write("broken.toml", "tabel = \"x\"\n");
    for (file, says) in [("nowhere.toml", "can't be read"), (&broken, "unknown field `tabel`")] {
        for form in [&[][..], &["--json"]] {
            let (code, output, error) = world.try_run(&[form, &["--config", file, "settings"]].concat()).await;
            assert!(code == Some(1) && output.is_empty() && error.contains(says), "{output}{error}");
        }
    }
    let written = json(&["--json", "man", "manual"]).await;
    assert_eq!((written.len(), &written[0]["written"]), (1, &"manual".into()));
    // What variables give has not to be typed, and so is not asked for.
    let (code, _, error) = world.try_run(&["report", "terms"]).await;
    assert!(code == Some(2) && error.contains("--output <FILE>") && !error.contains("--table"), "{error}");
    // A script takes exit code 0 for an answer, and there is none in a file of a disk that is full.
    for arguments in [
        &["status", "terms"][..],
        &["list"],
        &["show", "terms"],
        &["audit", "terms"],
        &["who", "user000001@example.com"],
        &["why", "terms", "1"],
        &["preview", "command.json"],
        &["report", "terms", "--output", "-"],
        &["export", "terms", "--outcome", "accepted"],
        &["settings"],
        &["--help"],
        &["--version"],
        &["help"],
        &["send", "-h"],
    ] {
        for form in [&[][..], &["--json"]] {
            let (code, error) = world.try_run_into("/dev/full", &[form, arguments].concat()).await;
            assert!(code == Some(1) && error.contains("No space left on device"), "{arguments:?}: {code:?} {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_command_is_said_in_the_words_of_json() {
    let world = Processes::simulated(1, Account::default()).await;
    for (field, value, says) in [
        ("subject", serde_json::json!({}), "it is an object, and a string is wanted"),
        ("max_recipients", serde_json::json!("ten"), "it is a string, and "),
    ] {
        let command = world.write(
            "command.json",
            &command_body("terms", |body| match field {
                "subject" => body["content"]["inline"]["subject"] = value.clone(),
                _ => body[field] = value.clone(),
            }),
        );
        let (code, output, error) = world.try_run(&["send", "--dry-run", &command]).await;
        let told = output + &error;
        assert!(code != Some(0) && told.contains(says) && !told.contains("expected"), "{told}");
    }
}
