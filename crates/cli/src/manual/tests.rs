use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands");

/// As it is on any machine: not as wide as this terminal, and without what the environment has.
fn anywhere(command: Command) -> Command {
    command.term_width(100).mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(anywhere)
}

fn page(command: &Command, name: &str, text: &mut String) {
    let help = command.clone().bin_name(name).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(text, "\n```text\n{}\n```", lines.join("\n").trim()).unwrap();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("{name} {}", subcommand.get_name());
        writeln!(text, "\n## {name}").unwrap();
        page(subcommand, &name, text);
    }
}

/// On a page that is the same everywhere.
fn default_of(name: &str) -> Option<String> {
    let (_, listed) = Settings::listed(Some(Path::new("/dev/null")), Layer::default()).unwrap();
    listed.iter().find(|listed| listed.name == name).map(|listed| format!("Default: {}", plain(&listed.default)))
}

/// Each page's name with its text.
fn documentation() -> BTreeMap<String, String> {
    let mut command = anywhere(command_line());
    command.build();
    let (mut index, mut pages) = (include_str!("head.md").to_owned(), BTreeMap::new());
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = subcommand.get_name();
        writeln!(index, "| [`{name}`]({name}.md) | {} |", subcommand.get_about().unwrap()).unwrap();
        let mut text = format!("# issei {name}\n");
        page(subcommand, &format!("issei {name}"), &mut text);
        if name == "settings" {
            let settings = settings_page(anywhere(Cli::command()), default_of);
            let lines: Vec<&str> = settings.lines().map(str::trim_end).collect();
            writeln!(text, "\n```text\n{}\n```", lines.join("\n").trim()).unwrap();
        }
        pages.insert(format!("{name}.md"), text);
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

/// With `ISSEI_UPDATE=1` it writes the pages instead.
#[test]
fn each_command_has_a_page_that_is_its_help() {
    let there: Vec<String> = std::fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for (name, text) in documentation() {
        let path = Path::new(DIRECTORY).join(&name);
        if std::env::var_os("ISSEI_UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "{name}: run the tests with ISSEI_UPDATE=1");
    }
    let pages = documentation();
    let gone: Vec<&String> = there.iter().filter(|name| !pages.contains_key(*name)).collect();
    assert!(gone.is_empty(), "there is no command of {gone:?}");
}

#[test]
fn the_command_line_is_sound() {
    command_line().debug_assert();
}

#[test]
fn no_help_is_longer_than_two_screens_and_all_name_the_settings() {
    fn each(command: &Command, name: &str) {
        let help = command.clone().render_long_help().to_string();
        assert!(help.lines().count() <= 60, "{name}: {}\n{help}", help.lines().count());
        assert!(help.contains("issei settings"), "{name}");
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            each(subcommand, &format!("{name} {}", subcommand.get_name()));
        }
    }
    let mut command = anywhere(command_line());
    command.build();
    each(&command, "issei");
}

/// At a width at which nothing has to be broken.
#[test]
fn short_help_has_every_command_by_what_it_is_for_and_fits_half_a_screen() {
    let mut command = anywhere(command_line());
    let (help, long) = (command.render_help().to_string(), command.render_long_help().to_string());
    assert!(help.lines().count() <= 24 && long.lines().count() < 60, "{help}{long}");
    insta::assert_snapshot!(help);
    let mut known: Vec<&str> = crate::args::JOBS.iter().flat_map(|(_, names)| *names).copied().collect();
    let mut there: Vec<&str> = command.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
    known.sort_unstable();
    there.sort_unstable();
    assert_eq!(known, there, "each command is for one job");
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let about = subcommand.get_about().unwrap().to_string();
        assert!(long.lines().any(|line| line.contains(subcommand.get_name()) && line.ends_with(&about)), "{about}: {long}");
    }
}

#[test]
fn the_page_of_settings_has_each_with_its_variable() {
    let page = settings_page(anywhere(Cli::command()), default_of);
    for word in ["--table", "ISSEI_TABLE", "--permit-life-ms", "ISSEI_DNS_RESOLVER", "--ledger-days"] {
        assert!(page.contains(word), "{word} is not in {page}");
    }
    assert!(page.contains("--region") && !page.contains("--config "), "{page}");
}

#[test]
fn every_shell_completes_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "issei", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("accept-restored-ledger") && script.contains("permit-life-ms"), "{shell}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    pages(&directory.path().join("man1"), false).unwrap();
    for name in ["issei.1", "issei-stop.1", "issei-suppress-import.1"] {
        let page = std::fs::read_to_string(directory.path().join("man1").join(name)).unwrap();
        assert!(page.contains("issei settings"), "{name}");
    }
}

/// Who stands before `<ID>` is told what it is.
#[test]
fn every_argument_of_every_command_says_what_it_is() {
    fn silent(command: &Command, of: &str, found: &mut Vec<String>) {
        let unsaid = command.get_arguments().filter(|argument| argument.get_help().is_none() && !argument.is_hide_set());
        found.extend(unsaid.map(|argument| format!("{of} {}", argument.get_id())));
        command.get_subcommands().for_each(|subcommand| silent(subcommand, &format!("{of} {}", subcommand.get_name()), found));
    }
    let mut found = Vec::new();
    silent(&command_line(), "issei", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// The table of exit codes and the help name the same.
#[test]
fn the_help_names_every_exit_code() {
    let in_table = include_str!("head.md").lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok());
    for code in in_table {
        assert!(EXIT_CODES.split(|c: char| !c.is_ascii_digit()).any(|word| word == code.to_string()), "{code}");
    }
}

/// Every command in backticks that names a broadcast, in what is said to people and in the docs.
fn hints() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md"), root.join("README.ja.md")];
    let mut directories = vec![root.join("crates"), root.join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
                files.push(path);
            }
        }
    }
    let mut hints = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let quoted = line.split('`').skip(1).step_by(2).filter(|hint| hint.starts_with("issei "));
            // The words of a hint that stands alone end with the text that it stands in.
            let bare = line.split("agree: ").nth(1).or_else(|| line.split("format!(\": ").nth(1)).filter(|hint| hint.starts_with("issei "));
            let bare = bare.map(|hint| hint.rsplit_once('"').map_or(hint, |(hint, _)| hint));
            hints.extend(quoted.chain(bare).map(|hint| (file.display().to_string(), hint.replace("\\\"", "\""))));
        }
    }
    hints
}

/// A shell's words, as far as hints go.
fn words(hint: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in hint.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whoever copies a hint must not be told that it lacks something.
#[test]
fn every_hint_that_names_a_broadcast_is_a_command_as_it_is_printed() {
    let mut tried = BTreeMap::new();
    let mut refused = Vec::new();
    for (file, hint) in hints() {
        let words = words(&hint);
        let names_one = |word: &String| matches!(word.as_str(), "ID" | "{}" | "{id}" | "{broadcast_id}");
        let is_approval = words.get(1).is_some_and(|word| word == "approve") && words.get(2).is_some_and(|word| !word.starts_with('-'));
        // Where the command itself is filled in, nobody knows which it is.
        if words.len() < 2 || words[1].starts_with('{') || !words.iter().any(names_one) && !is_approval {
            continue;
        }
        *tried.entry(words[1].clone()).or_insert(0) += 1;
        // What stands for something is something.
        let filled = words.iter().map(|word| match word.as_str() {
            "QUEUE" => "chunks",
            "DATE" => "2026-11-26",
            "ID" => "terms-2026-11",
            word if word.starts_with('{') => "terms-2026-11",
            word => word,
        });
        if let Err(error) = Cli::command().try_get_matches_from(filled) {
            refused.push(format!("{file}: {hint}: {error}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    // Where none is found, nothing was looked at.
    assert!(["approve", "status", "stop", "export"].iter().all(|command| tried.contains_key(*command)), "{tried:?}");
    assert!(tried["approve"] > 10, "{tried:?}");
}
