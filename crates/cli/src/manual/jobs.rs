//! The help of `issei` itself: the commands by what somebody wants to do, since forty in a row are read by nobody. `-h` has their
//! names, and `--help` what each does.
//!
//! What it must never do: say of a command what its own help does not.

use clap::Command;

use super::{EXIT_CODES, SHARED};
use crate::args::JOBS;

/// On a line each job, with the names alone.
pub(super) fn by_name(command: &Command) -> String {
    let widest = JOBS.iter().map(|(job, _)| job.len()).max().unwrap_or_default();
    let jobs: Vec<String> = JOBS.iter().map(|(job, names)| format!("  {job:<widest$}  {}", names.join(", "))).collect();
    format!(
        "{}\n\nCommands; `issei --help` says what each does:\n{}\n\nOptions:\n{}\n\n{SHARED}",
        head(command),
        jobs.join("\n"),
        options(command)
    )
}

/// On a line each command.
pub(super) fn one_by_one(command: &Command) -> String {
    let jobs: Vec<String> = JOBS.iter().map(|(job, names)| format!("{job}:\n{}", list(command, names))).collect();
    format!(
        "{}\n\n{}\n\nOptions, and those that every command shares, see `issei settings`:\n{}\n{EXIT_CODES}",
        head(command),
        jobs.join("\n"),
        options(command)
    )
}

fn head(command: &Command) -> String {
    rendered(command.clone(), "{about}\n\n{usage-heading} {usage}")
}

/// As clap lays them out.
fn list(command: &Command, names: &[&str]) -> String {
    let placed = |subcommand: Command| {
        let place = names.iter().position(|name| *name == subcommand.get_name());
        subcommand.hide(place.is_none()).display_order(place.unwrap_or_default())
    };
    rendered(command.clone().disable_help_subcommand(true).mut_subcommands(placed), "{subcommands}")
}

fn options(command: &Command) -> String {
    rendered(command.clone(), "{options}")
}

/// Where a line is too long for a terminal, clap breaks it where it belongs.
fn rendered(command: Command, template: &'static str) -> String {
    let mut command = command.help_template(template);
    let lines: Vec<String> = command.render_help().to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}
