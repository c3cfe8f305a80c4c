//! The page for whoever has a notice to send: its own files and its own commands, played from the first word to the proof.

use std::collections::BTreeMap;

use issei_sim::Account;
use issei_test_support::{Process, Processes, judge, write_keys};

const PAGE: &str = include_str!("../../../../docs/notice.md");

/// The files that the page has, by their names: each stands under its name in a line of its own.
fn files() -> BTreeMap<&'static str, &'static str> {
    let mut files = BTreeMap::new();
    for (before, after) in PAGE.match_indices("\n```").step_by(2).map(|(at, _)| (&PAGE[..at], &PAGE[at + 4..])) {
        let line = before.trim_end().lines().next_back().unwrap();
        let named = line.split('`').nth(1).filter(|name| line.ends_with(':') && name.contains('.'));
        if let Some(name) = named {
            let (_, text) = after.split_once('\n').unwrap();
            files.insert(name, text.split_once("```").unwrap().0);
        }
    }
    files
}

fn commands() -> Vec<Vec<&'static str>> {
    let words = |line: &'static str| {
        let quoted = line.split('"').enumerate();
        quoted.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
    };
    PAGE.lines().filter_map(|line| line.strip_prefix("$ issei ")).map(words).collect()
}

/// The dates of the page are of its own year.
fn in_days(days: i64) -> String {
    (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(24 * days)).round(jiff::Unit::Second).unwrap().to_string()
}

const SUBJECTS: [&str; 4] =
    ["利用規約の変更のお知らせ", "Our terms change", "整備士の皆様へ：利用規約の変更", "For our mechanics: our terms change"];

/// The hours of the page are not those of whoever runs this: a moment that is soon, in a zone where no midnight is near.
fn opens_soon() -> (jiff::Timestamp, String, &'static str) {
    let soon = issei_clock::Clock::system().wall().as_second() + 100;
    let opens = soon / 60 * 60 + 60;
    let day_minute = |hours_ahead: i64| (opens / 60 + hours_ahead * 60) % 1_440;
    let (minute, zone) = if (60..1_380).contains(&day_minute(9)) { (day_minute(9), "Asia/Tokyo") } else { (day_minute(0), "UTC") };
    (jiff::Timestamp::from_second(opens).unwrap(), format!("{:02}:{:02}", minute / 60, minute % 60), zone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_in_two_languages_to_two_kinds_of_users_goes_from_the_first_word_to_the_proof() {
    let (opens, from, zone) = opens_soon();
    let mut world = Processes::simulated(40, Account { keep_mails: true, ..Processes::account_with_events() }).await;
    for statement in [
        "ALTER TABLE users ADD COLUMN role TEXT DEFAULT 'customer'",
        "ALTER TABLE users ADD COLUMN locale TEXT DEFAULT 'ja'",
        "UPDATE users SET role = 'mechanic' WHERE id > 30",
        "UPDATE users SET locale = 'en' WHERE id % 2 = 0",
        "UPDATE users SET name = NULL WHERE id = 7",
    ] {
        world.users.execute(statement).await;
    }
    let url = world.users.url().to_owned();
    world.set("DATABASE_URL", &url);
    _ = write_keys(&world, "ops", 1);
    for (name, text) in files() {
        let text = match name {
            "issei.toml" => {
                let (of_all, audience) = text.split_once('[').unwrap();
                format!("{of_all}{}\n[{audience}", world.read(name))
            }
            "terms.toml" => text
                .replace("[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]", "[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]")
                .replace("from = \"09:00\"", &format!("from = \"{from}\""))
                .replace("\"18:00\"", "\"24:00\"")
                .replace("Asia/Tokyo", zone)
                .replace("BINDING_MOMENT", &in_days(19))
                .replace("MOMENT", &in_days(3)),
            _ => text.to_owned(),
        };
        _ = world.write(name, &text);
    }
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let mut digest = String::new();
    let mut copies = 0;
    for arguments in commands() {
        let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "DIGEST" { digest.as_str() } else { word }).collect();
        let who = if arguments[0] == "approve" {
            // Whoever asked can't agree for another.
            let (code, output, error) = world.try_run(&arguments).await;
            assert!(code == Some(3) || code == Some(1), "{output}{error}");
            "second"
        } else {
            "test"
        };
        if arguments[0] == "certify" {
            world.carry_events().await;
            world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
        }
        let (code, output, error) = world.try_run_as(who, &arguments).await;
        assert_eq!(code, Some(0), "issei {arguments:?}: {output}{error}");
        match arguments[0] {
            "preview" => {
                let letters = world.read("letters.html");
                assert!(SUBJECTS.iter().all(|subject| letters.contains(subject)), "{letters}");
            }
            "test-send" => {
                copies = world.cloud.accepted();
                let mails = world.cloud.mails().unwrap();
                let [copy] = mails.as_slice() else { panic!("{} copies", mails.len()) };
                assert_eq!((copy.address.as_str(), copy.subject.as_str()), ("mika@example.com", &*format!("[Test] {}", SUBJECTS[0])));
                assert_eq!(copy.headers, [("X-Issei-Test-Copy".to_owned(), "yes".to_owned())]);
            }
            "approve" => {
                let waits = world.wait_for("terms-2027-01", "waiting").await;
                assert_eq!(waits["waits_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), opens, "{waits}");
                assert!(issei_clock::Clock::system().wall() < opens && world.cloud.accepted() == copies, "sent before its hours");
            }
            // It has watched to the end, which is after the hours began.
            "status" if arguments.contains(&"--watch") => {
                assert!(issei_clock::Clock::system().wall() >= opens, "{output}");
                assert_eq!(world.cloud.accepted(), copies + 40);
            }
            "send" if arguments.contains(&"--yes") => {
                let held = world.wait_until("terms-2027-01", |status| status["agreement"].is_object()).await;
                digest = held["agreement"]["subject"]["digest"].as_str().unwrap()[..16].to_owned();
                assert_eq!(world.cloud.accepted(), copies, "sent before anybody has agreed");
            }
            "show" if arguments.contains(&"--as") => assert!(output.contains("Our terms change"), "{output}"),
            "export" => assert!(!output.contains("user000005@") && output.contains("user000006@"), "{output}"),
            "certify" => assert!(output.starts_with("CONVERGED  terms-2027-01\n"), "{output}"),
            _ => {}
        }
    }
    let (_, output, error) = world.try_run(&["why", "terms-2027-01", "5"]).await;
    assert!(output.contains("forgotten"), "{output}{error}");
    for service in services {
        service.end().await;
    }
    let judged = judge(&world.cloud, "terms-2027-01");
    assert_eq!((judged.total(), judged.duplicates()), (40, Vec::new()));
    let mails = world.cloud.mails().unwrap();
    let to = |id: u32| mails.iter().find(|mail| mail.address == format!("user{id:06}@example.com")).unwrap();
    for (id, subject, words) in [
        (1, "利用規約の変更のお知らせ", "User 1様"),
        (2, "Our terms change", "Dear User 2,"),
        (7, "利用規約の変更のお知らせ", "お客様"),
        (33, "整備士の皆様へ：利用規約の変更", "User 33様"),
        (34, "For our mechanics: our terms change", "the terms for mechanics"),
    ] {
        let mail = to(id);
        assert!(mail.subject == subject && mail.text.contains(words), "{id}: {mail:?}");
    }
}
