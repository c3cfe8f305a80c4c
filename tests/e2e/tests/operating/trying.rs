//! `issei try`: a newcomer's own table and words, read as letters, before anybody has an account.

use std::collections::BTreeMap;
use std::path::Path;

use issei_sim::Account;
use issei_test_support::{Carrier, Processes, command_body};
use mailparse::{MailHeaderMap, ParsedMail, parse_mail};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::console::{Door, csrf_of};

const PAGE: &str = include_str!("../../../../docs/try.md");

/// The files that the page has, by their names: each stands under its name.
fn files() -> BTreeMap<&'static str, &'static str> {
    let mut files = BTreeMap::new();
    for (before, after) in PAGE.match_indices("\n```").step_by(2).map(|(at, _)| (&PAGE[..at], &PAGE[at + 4..])) {
        let line = before.trim_end().lines().next_back().unwrap();
        if let Some(name) = line.strip_prefix('`').and_then(|line| line.split('`').next()).filter(|_| line.ends_with(':')) {
            files.insert(name, after.split_once('\n').unwrap().1.split_once("```").unwrap().0);
        }
    }
    files
}

fn commands() -> Vec<Vec<&'static str>> {
    PAGE.lines().filter_map(|line| line.strip_prefix("$ issei ")).map(|line| line.split_whitespace().collect()).collect()
}

/// The letters of an inbox, each as bytes.
fn letters(inbox: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn to<'a>(letters: &'a [ParsedMail<'a>], address: &str) -> &'a ParsedMail<'a> {
    letters.iter().find(|letter| letter.headers.get_first_value("To").as_deref() == Some(address)).unwrap()
}

/// Without any credentials, and in a place where whoever asks AWS or DNS is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_reads_the_letters_to_an_own_file_and_nothing_leaves_the_machine() {
    let mut world = Processes::simulated(1, Account::default()).await;
    let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    world.set("ISSEI_DNS_RESOLVER", &dns.local_addr().unwrap().to_string());
    std::fs::remove_file(world.path("issei.toml")).unwrap();
    for (name, text) in files() {
        let in_a_day = (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(24)).to_string();
        _ = world.write(name, &text.replace("MOMENT", &in_a_day));
    }
    let before = world.cloud.counts();
    let nobody = [("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None), ("HOME", Some("/nonexistent"))];
    let mut told = String::new();
    for arguments in commands() {
        let (code, output, error) = world.try_run_under(&nobody, &arguments).await;
        assert_eq!(code, Some(0), "issei {arguments:?}: {output}{error}");
        told = output;
    }
    for words in [
        "Nothing leaves this machine",
        "This is what it would be:",
        "audience       users (3 rows)\nto be mailed   2 (100 at most, by max_recipients)\nskipped        1 no_address, with the keys 2\n",
        "time           1 s at least, at 14 recipients a second; done at ",
        "cost           about 0.00 USD",
        "twice          0\nmissed         0\n",
        "text         Dear Ann,",
        "inbox: 2 of 2 letters as .eml",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(world.cloud.counts(), before, "AWS was asked");
    assert!(dns.try_recv(&mut [0; 1]).is_err(), "DNS was asked");

    let bodies = letters(&world.path("inbox"));
    let parsed: Vec<ParsedMail<'_>> = bodies.iter().map(|body| parse_mail(body).unwrap()).collect();
    assert_eq!(parsed.len(), 2);
    let zoe = to(&parsed, "zoe@example.com");
    let header = |name: &str| zoe.headers.get_first_value(name).unwrap();
    assert_eq!((header("From").as_str(), header("Subject").as_str()), ("\"Example\" <no-reply@example.com>", "Zoë <Z>, our terms change"));
    assert!(header("Message-ID").ends_with("@email.amazonses.com>"), "{}", header("Message-ID"));
    assert_eq!((zoe.ctype.mimetype.as_str(), zoe.subparts.len()), ("multipart/alternative", 2));
    let [text, html] = zoe.subparts.as_slice() else { panic!("{zoe:?}") };
    assert_eq!(text.get_body().unwrap().replace("\r\n", "\n").trim_end(), "Dear Zoë <Z>,\n\nnew terms apply from 1 February 2027.");
    assert!(html.get_body().unwrap().contains("<p>Dear Zoë &lt;Z&gt;,</p>"), "{}", html.get_body().unwrap());
    assert!(to(&parsed, "ann@example.com").headers.get_first_value("Subject").unwrap().starts_with("Ann, "));
    let page = world.read("inbox/index.html");
    for words in ["2 of 2 letters", "<iframe sandbox", "Zoë &#60;Z&#62;, our terms change", "href=\"0001.eml\""] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path("inbox")).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others can read the inbox");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_keeps_some_of_many_letters_counts_all_of_them_and_says_what_it_passed_over() {
    let world = Processes::simulated(300, Account::default()).await;
    world.users.execute("UPDATE users SET email = 'nobody' WHERE id IN (5, 6)").await;
    world.users.execute("UPDATE users SET email = 'user000007@example.com' WHERE id = 8").await;
    world.users.execute("UPDATE users SET name = 'Maximiliana of the very long name' WHERE id = 9").await;
    world.users.execute("UPDATE users SET name = '<Zoë>' WHERE id = 11").await;
    let command = world.write(
        "command.json",
        &command_body("terms", |command| {
            command["version"] = 2.into();
            command["class"] = "legal_notice".into();
            command["max_recipients"] = 300.into();
            command["reply_to"] = "Help <help@example.com>".into();
            command["canary"] = json!({ "share": 0.1 });
            command["hold"] = true.into();
            command["ramp"] = json!({ "first_hour": 50 });
            command["effective_at"] = (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(9)).to_string().into();
            command["not_before"] = (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(2)).to_string().into();
        }),
    );
    world.users.execute("UPDATE users SET email = ' user000012@example.com' WHERE id = 12").await;
    // The first hours of its ramp allow 50, 100 and 200, so that the last are told four hours from now.
    let (code, output, error) = world.try_run(&["--json", "try", &command, "--letters", "20", "--rate", "100"]).await;
    assert_eq!(code, Some(0), "{output}{error}");
    let told: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&told["repeated_addresses"], &told["trimmed_addresses"], &told["refused"]), (&1.into(), &1.into(), &json!([])), "{told}");
    assert_eq!((&told["rows"], &told["mailable"], &told["seconds_at_least"]), (&300.into(), &298.into(), &3.into()), "{told}");
    assert_eq!(told["skipped"], json!([{ "reason": "bad_address", "rows": 2, "examples": ["5", "6"] }]));
    let simulated = &told["simulated"];
    assert_eq!((&simulated["twice"], &simulated["missed"], &simulated["frozen"]), (&0.into(), &0.into(), &298.into()), "{told}");
    assert!(simulated["accepted"].as_u64() > Some(250), "{told}");
    let passed_over = told["passed_over"].to_string();
    for what in ["hold: ", "canary: ", "ramp: really it sends to 50 in its first hour", "not_before and send_window: really it begins "] {
        assert!(passed_over.contains(what), "{what}: {passed_over}");
    }
    assert_eq!(told["letters"].as_array().unwrap().len(), 3, "{told}");
    // A temporary folder, which stays.
    let inbox = simulated["inbox"]["directory"].as_str().unwrap();
    let bodies = letters(inbox);
    assert_eq!((bodies.len(), &simulated["inbox"]["letters"]), (20, &20.into()));
    let first = parse_mail(&bodies[0]).unwrap();
    assert_eq!(first.headers.get_first_value("Reply-To").as_deref(), Some("\"Help\" <help@example.com>"));
    std::fs::remove_dir_all(inbox).unwrap();

    // What `send` would refuse is not called fine: it binds before the last are told.
    let earlier = world.write(
        "earlier.json",
        &command_body("terms", |command| {
            (command["version"], command["class"]) = (2.into(), "legal_notice".into());
            command["max_recipients"] = 300.into();
            command["ramp"] = json!({ "first_hour": 50 });
            command["effective_at"] = (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_mins(90)).to_string().into();
        }),
    );
    let (_, forecast, _) = world.try_run(&["--json", "send", "--dry-run", &earlier]).await;
    let (code, text, error) = world.try_run(&["try", &earlier, "-o", "late", "--letters", "1"]).await;
    assert_eq!(code, Some(3), "{text}{error}");
    let forecast = &serde_json::from_str::<Value>(&forecast).unwrap()["forecast"];
    for name in ["repeated_keys", "differing_keys", "repeated_addresses", "trimmed_addresses", "unique_addresses"] {
        assert!(!forecast[name].is_null() && told[name] == forecast[name], "{name}: {told}{forecast}");
    }
    let refused = forecast["refused"].to_string();
    for says in ["not everybody can be told before effective_at (", "the last of them is told "] {
        assert!(error.contains(says) && refused.contains(says), "{says}: {error}{refused}");
    }
    assert!(text.contains("\nrepeated       1 address stands under several keys: each key is mailed"), "{text}");
    assert!(text.contains("\ntrimmed        1 address has invisible white space around"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_tried_is_refused_before_anything_is_written() {
    let world = Processes::simulated(30, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |command| command["max_recipients"] = 10.into()));
    let (code, output, error) = world.try_run(&["try", &command, "-o", "inbox"]).await;
    assert!(code == Some(3) && error.contains("30 rows can be mailed, more than max_recipients (10)"), "{output}{error}");
    assert!(!Path::new(&world.path("inbox")).exists(), "an empty folder stays");

    // Nor where its audience can't be read; one that was there before stays.
    let nowhere =
        world.write("nowhere.toml", "[audiences.users]\nfile = \"nowhere.csv\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n");
    std::fs::create_dir(world.path("mine")).unwrap();
    for folder in ["inbox", "mine"] {
        let (code, _, error) = world.try_run(&["--config", &nowhere, "try", &command, "-o", folder]).await;
        assert!(code == Some(1) && error.contains("nowhere.csv"), "{error}");
    }
    assert!(!Path::new(&world.path("inbox")).exists() && Path::new(&world.path("mine")).exists());
    // What is missing is told with where it was looked for, as everywhere.
    let (code, _, error) = world.try_run(&["--config", "/dev/null", "try", &command, "-o", "inbox"]).await;
    assert!(code == Some(3) && error.contains("has no audience `users`"), "{error}");

    std::fs::create_dir(world.path("full")).unwrap();
    _ = world.write("full/kept.txt", "mine");
    let (code, _, error) = world.try_run(&["try", &command, "-o", "full"]).await;
    assert!(code == Some(3) && error.contains("is not empty") && world.read("full/kept.txt") == "mine", "{error}");

    let stored = command_body("terms", |command| command["content"] = json!({ "template": { "name": "terms" } }));
    _ = world.write("command.json", &stored);
    let (code, _, error) = world.try_run(&["try", &command, "-o", "inbox"]).await;
    assert!(code == Some(3) && error.contains("field `content.template`: what `terms` says is stored in SES"), "{error}");
    let by_another = command_body("terms", |command| {
        (command["version"], command["class"], command["provider"]) = (2.into(), "service".into(), "resend".into());
    });
    _ = world.write("command.json", &by_another);
    let (code, _, error) = world.try_run(&["try", &command, "-o", "inbox"]).await;
    assert!(code == Some(3) && error.contains("field `provider`") && error.contains("has no provider `resend`; it has `ses`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_without_its_key_of_links_names_the_key_and_where_it_looked() {
    let world = Processes::simulated(3, Account::default()).await;
    let config = world.read("issei.toml") + "\n[unsubscribe_keys]\n\"2026-11\" = { env = \"LINKS_KEY\" }\n";
    _ = world.write("issei.toml", &config);
    let body = command_body("terms", |command| {
        (command["version"], command["class"]) = (2.into(), "service".into());
        command["unsubscribe"] = json!({ "url": "https://app.example.com/u?t={{token}}", "key": "2026-11" });
    });
    let command = world.write("command.json", &body);
    let (code, output, error) = world.try_run(&["try", &command, "-o", "inbox"]).await;
    let says = "[unsubscribe_keys] looks for the key `2026-11` in the environment variable LINKS_KEY, which is not set";
    assert!(code == Some(3) && error.contains(says), "{output}{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_at_a_terminal_has_the_console_beside_it_until_ctrl_c() {
    let world = Processes::simulated(30, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let mut terminal = world.at_terminal(&["try", &command, "-o", "inbox", "--calm"]);
    terminal.wait_for("Ctrl-C ends it.").await;
    let address = terminal.seen().split_whitespace().find(|word| word.contains("/?token=")).unwrap().to_owned();
    let door = Door::at(&address);
    let page = door.get("/b/terms").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("complete"), "{page}");
    for path in ["/", "/b/terms", "/b/terms/evidence", "/who"] {
        let page = door.get(path).await;
        assert!(page.contains("id=\"simulated\"") && page.contains("Nothing leaves the machine"), "{path}: {page}");
    }
    assert!(door.get("/b/another").await.starts_with("HTTP/1.1 404"));
    // Nothing is held against a good one that only an account could have.
    let evidence = door.get("/b/terms/evidence").await;
    assert!(evidence.contains("Nothing speaks against it so far."), "{evidence}");
    terminal.interrupt();
    let (code, seen) = terminal.end().await;
    assert_eq!((code, letters(&world.path("inbox")).len()), (Some(0), 30), "{seen}");
    // The same seed throws the same dice, and none of them makes a token.
    let mut again = world.at_terminal(&["try", &command, "-o", "again", "--calm"]);
    again.wait_for("Ctrl-C ends it.").await;
    let next = again.seen().split_whitespace().find(|word| word.contains("/?token=")).unwrap().to_owned();
    let (first, second) = (address.split_once("/s/").unwrap().1, next.split_once("/s/").unwrap().1);
    let ((path, token), (other_path, other_token)) = (first.split_once("/?token=").unwrap(), second.split_once("/?token=").unwrap());
    assert!(path != other_path && token != other_token && path != token, "{address} {next}");
    again.interrupt();
    assert_eq!(again.end().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_it_in_its_console_ends_the_broadcast_and_not_the_try() {
    let world = Processes::simulated(20_000, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |command| command["max_recipients"] = 20_000.into()));
    // A folder of one's own stays as it was, and what is written into it is for oneself.
    std::fs::create_dir(world.path("inbox")).unwrap();
    let mode = |name: &str| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path(name)).unwrap().permissions()) & 0o777;
    std::fs::set_permissions(world.path("inbox"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut terminal = world.at_terminal(&["try", &command, "-o", "inbox", "--calm"]);
    terminal.wait_for("/?token=").await;
    terminal.wait_for("accepted").await;
    let address = terminal.seen().split_whitespace().find(|word| word.contains("/?token=")).unwrap().to_owned();
    let door = Door::at(&address);
    let page = loop {
        let page = door.get("/b/terms").await;
        if page.starts_with("HTTP/1.1 200") {
            break page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let stopped = door.post("/b/terms/stop", &format!("csrf={}&reason=a+wrong+word&confirm=terms", csrf_of(&page))).await;
    assert!(stopped.starts_with("HTTP/1.1 200"), "{stopped}");
    terminal.wait_for("Ctrl-C ends it.").await;
    // The console is there still, and so are the letters of those who were sent to.
    assert!(door.get("/b/terms").await.contains("stopped"));
    terminal.interrupt();
    let (code, seen) = terminal.end().await;
    assert_eq!(code, Some(3), "{seen}");
    for words in ["stopped        by ", "a wrong word", ", since it was stopped", "twice          0"] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    assert_eq!((mode("inbox"), mode("inbox/index.html")), (0o755, 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_by_another_provider_is_tried_by_a_simulated_one_of_its_kind() {
    for carrier in [Carrier::Resend, Carrier::SendGrid] {
        let mut world = Processes::simulated(20, Account::default()).await;
        world.carried_by(carrier, 50.0);
        let before = world.cloud.counts();
        let command = world.write("command.json", &carrier.command("terms"));
        let told = world.run(&["try", &command, "--calm", "--yes", "-o", "inbox"]).await;
        for words in ["letters        20 accepted", "twice          0", "missed         0"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        // What another provider costs is not known here.
        assert!(!told.contains(" USD"), "{told}");
        assert_eq!((letters(&world.path("inbox")).len(), world.cloud.counts() == before), (20, true));
    }
}
