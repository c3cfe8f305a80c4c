//! What the command line says of itself: help, the shared settings on a page of their own, completions, manual pages and
//! `docs/commands`.
//!
//! It must never say more than `args.rs` and the list of settings do: everything here is made from these.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use issei_assembly::{DEFAULT_FILE, Settings};
use serde_json::json;

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

/// Prints the shared settings, and which file gives them here.
pub(crate) fn settings(named: Option<PathBuf>, as_json: bool) -> anyhow::Result<Ended> {
    let file = match named {
        Some(file) => Some(file),
        None => Settings::nearest_file()?,
    };
    if as_json {
        let flags: Vec<_> = Cli::command().get_arguments().filter_map(in_json).collect();
        return print((json!({ "file": file, "settings": flags }).to_string() + "\n").as_bytes());
    }
    let file = file.map_or_else(|| format!("none: there is no {DEFAULT_FILE} here or above"), |file| file.display().to_string());
    print(format!("Configuration file: {file}\n\n{}", settings_page(Cli::command())).as_bytes())
}

/// A shared setting for programs; nothing of what is none.
fn in_json(argument: &clap::Arg) -> Option<serde_json::Value> {
    argument.get_help_heading()?;
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string);
    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
    Some(json!({ "flag": format!("--{}", argument.get_long()?), "variable": variable, "meaning": help }))
}

fn settings_page(command: Command) -> String {
    let only_settings = |argument: clap::Arg| {
        let is_setting = argument.get_help_heading().is_some();
        argument.hide_short_help(!is_setting).hide_long_help(!is_setting)
    };
    let command = command.disable_help_flag(true).disable_version_flag(true).mut_args(only_settings).help_template("{all-args}\n");
    let command = command.mut_subcommands(|subcommand| subcommand.hide(true)).disable_help_subcommand(true);
    let head = "Each is a flag of every command. Settings are environment variables as well, and keys of the\n\
        configuration file with `_` for `-`. A flag goes before a variable, a variable before the file, the\n\
        file before the default; docs/configuration.md has the defaults, and what stands in the file alone.\n\n";
    format!("{head}{}", { command }.render_long_help())
}

/// Prints what completes the command line in a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "issei", &mut script);
    print(&script)
}

/// Writes a manual page for each command.
pub(crate) fn pages(directory: &Path) -> anyhow::Result<Ended> {
    let write = || {
        std::fs::create_dir_all(directory)?;
        clap_mangen::generate_to(in_full(), directory)
    };
    write().with_context(|| format!("the manual pages can't be written into {}", directory.display()))?;
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
