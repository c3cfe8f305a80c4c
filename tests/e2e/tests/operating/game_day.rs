//! The game day, as the runbooks tell it: their own commands, line by line, in both languages.

use std::path::Path;

use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Process, Processes, judge, write_keys};

/// The commands of a runbook: lines of its `console` blocks that begin with `$ issei`. A comment at the end
/// says where one must be refused.
struct Step {
    arguments: Vec<String>,
    refused: bool,
}

fn page(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks").join(language).join("game-day.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn runbook(language: &str) -> Vec<Step> {
    let text = page(language);
    let commands = text.lines().filter_map(|line| line.strip_prefix("$ issei "));
    commands
        .map(|line| {
            let (command, comment) = line.split_once('#').unwrap_or((line, ""));
            Step { arguments: words(command), refused: !comment.is_empty() }
        })
        .collect()
}

/// Words as a shell reads them, as far as the runbooks go: blanks, and double quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.trim().chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    words
}

#[test]
fn both_languages_run_the_same_commands() {
    let (english, japanese) = (runbook("en"), runbook("ja"));
    // Reasons are in the language of whoever writes them.
    let commands = |steps: &[Step]| {
        let without_reason = |step: &Step| {
            let mut arguments = step.arguments.clone();
            if let Some(at) = arguments.iter().position(|argument| argument == "--reason") {
                arguments.drain(at..=at + 1);
            }
            (arguments, step.refused)
        };
        steps.iter().map(without_reason).collect::<Vec<_>>()
    };
    assert_eq!(commands(&english), commands(&japanese));
    assert!(english.len() >= 8, "{}", english.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_day_stops_a_runaway_broadcast_and_a_second_person_verifies_it_offline() {
    tokio::join!(play("en"), play("ja"));
}

async fn play(language: &str) {
    let account = Account { max_send_rate: 100.0, ..Processes::account_with_events() };
    let world = Processes::brisk(10, account).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(50)));
    let _ = write_keys(&world, "ops", 1);
    // The page's own command, at a moment of the day on which it is played.
    let in_a_day = (issei_clock::Clock::system().wall() + jiff::SignedDuration::from_hours(24)).to_string();
    let body = page(language).split("```json\n").nth(1).unwrap().split("```").next().unwrap().replace("MOMENT", &in_a_day);
    let _ = world.write("game-day.json", &body);
    let services: Vec<Process> = ["producer", "consumer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let mut after_stop = None;
    for step in runbook(language) {
        let arguments: Vec<&str> = step.arguments.iter().map(String::as_str).collect();
        let verb = arguments[0];
        if verb == "certify" {
            world.carry_events().await;
            world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
        }
        let (code, output, errors) = world.try_run(&arguments).await;
        match (verb, step.refused) {
            ("certify" | "verify", _) => {
                assert_eq!(code, Some(0), "{arguments:?}: {output}{errors}");
                assert!(output.starts_with("CONVERGED  game-day\n"), "{output}");
            }
            (_, true) => assert!(code == Some(1) || code == Some(3), "{arguments:?} is not refused: {output}"),
            (_, false) => assert_eq!(code, Some(0), "{arguments:?}: {output}{errors}"),
        }
        if verb == "send" && after_stop.is_none() {
            // It runs away.
            world.wait_for_accepted(100).await;
        }
        if verb == "send" && after_stop.is_some() {
            // The app's job asks nobody first.
            world.post("ISSEI_COMMANDS_QUEUE", &body).await;
        }
        if verb == "stop" {
            let stopped = world.cloud.accepted();
            let bound: u64 = output.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            // When the stop took effect nobody outside can tell, so what is compared is what the ledger had granted
            // by then. How tight the bound itself is, `kills` and the simulation check.
            let status = world.wait_for("game-day", "stopped").await;
            // What was granted and not used has come back since, so the bound may be more than that.
            let (granted, recipients) = (status["permits_granted"].as_u64().unwrap(), status["recipients"].as_u64().unwrap());
            let told = format!("{stopped} accepted, {bound} at most after the stop, {granted} granted of {recipients}");
            assert!(stopped <= granted && bound <= recipients, "{told}");
            assert!(output.contains("nothing of it can be sent or accepted any more"), "{output}");
            after_stop = Some(stopped);
        }
        if let Some(stopped) = after_stop {
            assert_eq!(world.cloud.accepted(), stopped, "sent after the stop was proved, at {arguments:?}");
        }
    }
    let stopped = after_stop.unwrap();
    for service in services {
        service.end().await;
    }
    let judged = judge(&world.cloud, "game-day");
    assert_eq!((judged.total(), judged.duplicates()), (stopped, Vec::new()));
    assert!(stopped < 20_000);
}

/// Every command that a runbook names is one that there is.
#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_name_no_command_that_does_not_exist() {
    let world = Processes::new(1, Account::default()).await;
    let help = world.run(&["--help"]).await;
    let known: Vec<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|word| !word.is_empty()).collect();
    for language in ["en", "ja"] {
        let (mut named, mut headings) = (0, 0);
        for page in ["incidents.md", "game-day.md"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks").join(language).join(page);
            let text = std::fs::read_to_string(path).unwrap();
            headings += text.lines().filter(|line| line.starts_with("## ")).count();
            for rest in text.split("issei ").skip(1) {
                let verb: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                // Prose may go on with any word; a command begins in code.
                if text.contains(&format!("`issei {verb}")) || text.contains(&format!("$ issei {verb}")) {
                    assert!(verb.is_empty() || known.contains(&verb.as_str()), "{language}/{page}: issei {verb}");
                    named += 1;
                }
            }
        }
        assert!(named > 30 && headings == 14, "{language}: {named} commands, {headings} headings");
    }
}
