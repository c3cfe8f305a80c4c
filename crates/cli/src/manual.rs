//! What the command line says of itself: help, the shared settings on a page of their own, completions, manual pages and
//! `docs/commands`.
//!
//! It must never say more than `args.rs` and the list of settings do: everything here is made from these.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _};
use clap_complete::Shell;
use issei_assembly::{DEFAULT_FILE, GivenBy, Layer, Listed, Settings, say};
use serde_json::{Value, json};

use crate::Ended;
use crate::args::Cli;

mod jobs;

/// The end of every help, since the settings would be longer than what a command does.
const SHARED: &str = "Every command takes the shared settings, such as --table and --region: see `issei settings`";

/// What a command's end says to a script; `docs/commands/README.md` says more.
const EXIT_CODES: &str = "Exit codes: 0 well, 1 failed, 2 wrong usage, 3 the answer is no, 4 over with recipients in doubt,\n\
    5 nobody of that name (who), 130 interrupted";

/// The command line, which names the shared settings and does not list them.
pub(crate) fn command_line() -> Command {
    let command = in_full();
    let (short, long) = (jobs::by_name(&command), jobs::one_by_one(&command));
    command.help_template("{before-help}").before_help(short).before_long_help(long)
}

/// The same with each command in clap's own list, as a manual page wants it.
fn in_full() -> Command {
    with_shared(Cli::command()).after_help(format!("{SHARED}\n\n{EXIT_CODES}"))
}

fn with_shared(command: Command) -> Command {
    command.after_help(SHARED).mut_subcommands(with_shared)
}

/// What somebody means: to clap `issei help settings` is the help of `issei settings`, which says less than that does.
pub(crate) fn meant(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if matches!(arguments.as_slice(), [_, help, settings] if help == "help" && settings == "settings") {
        arguments.remove(1);
    }
    arguments
}

/// What is wrong with a command line, without what variables add to it: clap shows whatever they give as if it had to be typed.
pub(crate) fn as_typed(told: clap::Error) -> clap::Error {
    fn without_variables(command: Command) -> Command {
        command.mut_args(|argument| argument.env(None::<&'static str>)).mut_subcommands(without_variables)
    }
    if !told.use_stderr() || told.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return told;
    }
    match without_variables(command_line()).try_get_matches_from(meant(std::env::args_os())) {
        Err(typed) if typed.kind() == told.kind() => typed,
        // It is a variable that is wrong.
        _ => told,
    }
}

/// Prints the shared settings: what is in force, which source says so, and the default.
pub(crate) fn settings(file: Option<&Path>, over: Layer, as_json: bool) -> anyhow::Result<Ended> {
    let (Settings { file, .. }, listed) = Settings::listed(file, over)?;
    let given = command_line().try_get_matches_from(meant(std::env::args_os()))?;
    let in_force: Vec<InForce> = listed.into_iter().map(|listed| InForce::of(listed, &given)).collect();
    if as_json {
        let flags: Vec<_> = Cli::command().get_arguments().filter_map(|argument| in_json(argument, &in_force)).collect();
        return print((json!({ "file": file, "settings": flags }).to_string() + "\n").as_bytes());
    }
    let file = file.map_or_else(|| format!("none: there is no {DEFAULT_FILE} here or above"), |file| file.display().to_string());
    let told = |name: &str| in_force.iter().find(|of| of.listed.name == name).map(InForce::told);
    print(format!("Configuration file: {file}\n\n{}", settings_page(Cli::command(), told)).as_bytes())
}

/// A setting, and the source that has said it, as whoever looks for it names that.
struct InForce {
    listed: Listed,
    source: &'static str,
}

impl InForce {
    fn of(listed: Listed, given: &ArgMatches) -> Self {
        let source = match (listed.from, given.value_source(listed.name)) {
            (GivenBy::Caller, Some(ValueSource::CommandLine)) => "flag",
            (GivenBy::Caller, _) => "variable",
            (GivenBy::File, _) => "file",
            (GivenBy::Default, _) => "default",
        };
        Self { listed, source }
    }

    fn told(&self) -> String {
        let Listed { value, default, .. } = &self.listed;
        match self.source {
            "default" => format!("In force: {}, the default", plain(value)),
            source => format!("In force: {}, by the {source}; default: {}", plain(value), plain(default)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A shared setting for programs; nothing of what is none.
fn in_json(argument: &clap::Arg, in_force: &[InForce]) -> Option<Value> {
    argument.get_help_heading()?;
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string);
    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
    let mut told = json!({ "flag": format!("--{}", argument.get_long()?), "variable": variable, "meaning": help });
    // Of what AWS's own configuration may say, nothing is known here.
    if let Some(InForce { listed: Listed { value, default, .. }, source }) = in_force.iter().find(|of| argument.get_id() == of.listed.name)
    {
        (told["value"], told["from"], told["default"]) = (value.clone(), json!(source), default.clone());
    }
    Some(told)
}

/// `told` has what is said of a setting, by its name, beside what it is.
fn settings_page(command: Command, told: impl Fn(&str) -> Option<String>) -> String {
    let only_settings = |argument: clap::Arg| {
        let is_setting = argument.get_help_heading().is_some();
        let argument = argument.hide_short_help(!is_setting).hide_long_help(!is_setting).hide_env_values(true);
        let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
        match told(argument.get_id().as_str()) {
            Some(told) => argument.long_help(format!("{help}\n\n{told}")),
            None => argument,
        }
    };
    let command = command.disable_help_flag(true).disable_version_flag(true).mut_args(only_settings).help_template("{all-args}\n");
    let command = command.mut_subcommands(|subcommand| subcommand.hide(true)).disable_help_subcommand(true);
    let head = "Each is a flag of every command. Settings are environment variables as well, and keys of the\n\
        configuration file with `_` for `-`. A flag goes before a variable, a variable before the file, the\n\
        file before the default; docs/configuration.md has what stands in the file alone.\n\n";
    format!("{head}{}", { command }.render_long_help())
}

/// Prints what completes the command line in a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "issei", &mut script);
    print(&script)
}

/// Writes a manual page for each command.
pub(crate) fn pages(directory: &Path, as_json: bool) -> anyhow::Result<Ended> {
    let write = || {
        std::fs::create_dir_all(directory)?;
        clap_mangen::generate_to(in_full(), directory)
    };
    write().with_context(|| format!("the manual pages can't be written into {}", directory.display()))?;
    say(&if as_json { json!({ "written": directory }).to_string() } else { format!("the manual pages are in {}", directory.display()) });
    Ok(Ended::Well)
}

/// A reader that has seen enough, such as `head`, is no error.
fn print(bytes: &[u8]) -> anyhow::Result<Ended> {
    match std::io::Write::write_all(&mut std::io::stdout(), bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("it can't be printed"),
        _ => Ok(Ended::Well),
    }
}

#[cfg(test)]
mod tests;
