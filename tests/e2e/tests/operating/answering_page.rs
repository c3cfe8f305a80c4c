//! The page for whoever answers a user, played: each question's own command, as it stands there, in both languages.

use std::path::Path;

use issei_test_support::{Processes, command_body};

use crate::game_day::words;

const ADDRESS: &str = "user000003@example.com";

/// The first command of each question.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table = text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let first = |line: &str| line.split('`').skip(1).step_by(2).find_map(|code| code.strip_prefix("issei ").map(str::to_owned));
    table
        .filter_map(first)
        .map(|command| {
            let command = command.replace("\"…\"", "…").replace('…', "ticket-12");
            let filled = |word: String| match word.as_str() {
                "KEY_OR_ADDRESS" | "ADDRESS" | "キーまたはメールアドレス" | "メールアドレス" => ADDRESS.to_owned(),
                "ID" => "terms-2026-11".to_owned(),
                _ => word,
            };
            words(&command).into_iter().map(filled).collect()
        })
        .collect()
}

#[test]
fn both_languages_answer_the_same_questions_by_the_same_commands() {
    let (english, mut japanese) = (commands("answering.md"), commands("ja/answering.md"));
    // In which language a user is written to is said where it is not the default.
    japanese.iter_mut().for_each(|command| {
        if let Some(at) = command.iter().position(|word| word == "--lang") {
            command.drain(at..=at + 1);
        }
    });
    assert_eq!(english, japanese);
    let verbs: Vec<&str> = english.iter().map(|command| command[0].as_str()).collect();
    assert_eq!(verbs, ["who", "why", "show", "export", "suppress", "forget", "suppress"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_of_a_user_is_answered_by_the_command_that_the_page_has_for_it() {
    tokio::join!(play("answering.md", "We sent you"), play("ja/answering.md", "をお送りし"));
}

async fn play(page: &str, sentence: &str) {
    let world = Processes::simulated(20, Processes::account_with_events()).await;
    let services: Vec<_> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms-2026-11", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms-2026-11", "complete").await;
    world.carry_all_events().await;
    world.wait_until("terms-2026-11", |status| status["delivered"] == 20).await;
    for command in commands(page) {
        let asks = command[0] == "forget";
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(asks.then_some("--yes")).collect();
        let (code, told, error) = world.try_run(&arguments).await;
        assert_eq!(code, Some(0), "{page}: {arguments:?}: {told}{error}");
        let says = match (command[0].as_str(), command.get(1).map(String::as_str)) {
            ("who", _) => sentence,
            ("why", _) => "accepted",
            ("show", _) => "Terms of terms-2026-11 for User 3",
            ("export", _) => "id,email,outcome",
            ("suppress", Some("list")) => " since ",
            ("forget", _) => "entries forgotten",
            _ => "",
        };
        assert!(told.contains(says), "{page}: {arguments:?} says nothing of {says}: {told}{error}");
    }
    // Whoever was forgotten is found as that.
    let (_, told, _) = world.try_run(&["who", ADDRESS]).await;
    assert!(told.contains("forgotten") && !told.contains("Terms of terms-2026-11 for User 3"), "{told}");
    for service in services {
        service.end().await;
    }
}
