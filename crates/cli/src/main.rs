//! `issei`: one binary for the services and the operators.
//!
//! Only here is the environment read, a log set up and an error printed.

mod args;
mod checks;
mod command_file;
mod commands;
mod confirm;
mod console;
mod in_use;
mod input;
mod letters;
mod manual;
mod mjml;
mod operator;
mod output;
mod pages;
mod proof;
mod sendable;
mod shortened;
mod time_left;

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches as _;

use anyhow::{anyhow, bail};
use args::{Cli, Command};
use commands::{
    certify, dead_letters, demo, doctor, export, forget, import_events, init, inspect, open, operate, preview, rehearse, repair, report,
    resend, restored, send, serve, setup, show, status, stop, suppress, test_send, trial, unsubscribe, who,
};
use issei_assembly::{
    Settings, enable_metrics, explained, flush_traces, init_logs, keep_output_free, no_secrets_in_endpoints, runtime, say_error,
    say_error_as_json, unwritten, warn_as_json,
};
use issei_aws::Account;
use issei_ledger::LedgerError;
use issei_letter::ContentError;
use issei_producer::{MailableError, Refusal, RepairError};
use issei_schema::ParseError;

/// How a command ends, as an exit code. Anything unexpected is 1, and wrong usage is 2 (clap's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    /// The thing was looked at and the answer is no: a refused command, a demo that failed.
    Refused,
    /// It is over, and recipients are in doubt.
    InDoubt,
    /// Everything was looked through, and nobody is there.
    Nobody,
    /// By Ctrl-C, before everything was looked through.
    Interrupted,
}

/// A reason for which the answer is no.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Ended by Ctrl-C or SIGTERM before its end, with what stays.
#[derive(Debug)]
struct Interrupted(String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// What somebody gave was looked at, and is refused for this.
fn refused(error: anyhow::Error) -> anyhow::Error {
    Refused(format!("{error:#}")).into()
}

/// Says whether a command was looked at and refused, by a rule that the producer has too, or by one of our own. Everything
/// else that went wrong has failed.
fn is_refusal(error: &anyhow::Error) -> bool {
    let by_state =
        matches!(error.downcast_ref(), Some(LedgerError::Transition { .. } | LedgerError::WentOn { .. } | LedgerError::NotAgreed { .. }));
    let by_end = matches!(error.downcast_ref(), Some(RepairError::Over { .. }));
    let by_audience = matches!(error.downcast_ref(), Some(MailableError::Refused(_)));
    by_state
        || by_end
        || by_audience
        || error.is::<Refused>()
        || error.is::<Refusal>()
        || error.is::<ParseError>()
        || error.is::<ContentError>()
}

/// As a shell says of whoever SIGINT has ended.
const INTERRUPTED: u8 = 130;

/// How long the end of the process waits for a collector of traces.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// How long the end of the process waits for threads that still read a file or a database.
const LAST_WORK: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(started());
            // A query that nobody waits for any more may run on for long.
            runtime.shutdown_timeout(LAST_WORK);
            code
        }
        Err(error) => {
            say_error(&format!("no threads can be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn started() -> ExitCode {
    let given = manual::command_line().try_get_matches_from(manual::meant(std::env::args_os()));
    let cli = match given.and_then(|given| Cli::from_arg_matches(&given)) {
        Ok(cli) => cli,
        Err(told) => return answered(&manual::as_typed(told)),
    };
    let as_json = cli.json;
    if as_json {
        warn_as_json();
    }
    if cli.command.gives_its_document() {
        keep_output_free();
    }
    let ended = run(cli).await;
    flush_traces(LAST_SPANS).await;
    // An answer that nobody can have read was not given, whatever it was.
    let ended = match unwritten() {
        Some(error) if ended.is_ok() => Err(anyhow!(
            "standard output can't be written: {error}; the result is not whole there, and whatever the command had to change is changed"
        )),
        _ => ended,
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Refused) => ExitCode::from(3),
        Ok(Ended::InDoubt) => ExitCode::from(4),
        Ok(Ended::Nobody) => ExitCode::from(5),
        Ok(Ended::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            let reason = format!("{error:#}");
            if as_json {
                say_error_as_json(&reason);
            } else {
                say_error(&reason);
            }
            match () {
                () if error.is::<Interrupted>() => ExitCode::from(INTERRUPTED),
                () if is_refusal(&error) => ExitCode::from(3),
                () => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints help, the version, or what is wrong with the command line. A reader that has seen enough, such as `head`, is no error.
fn answered(told: &clap::Error) -> ExitCode {
    let printed = told.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !told.use_stderr() => {
            say_error(&format!("standard output can't be written: {error}"));
            ExitCode::FAILURE
        }
        // 0 for help, 2 for what is wrong.
        _ => u8::try_from(told.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

async fn run(mut cli: Cli) -> anyhow::Result<Ended> {
    no_secrets_in_endpoints(cli.endpoint_url.as_deref())?;
    // A variable that is empty is one that is not set. An empty flag is a mistake.
    if cli.config.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
        if std::env::var_os("ISSEI_CONFIG").is_none_or(|file| !file.is_empty()) {
            bail!("--config is empty; name the file, or leave it out");
        }
        cli.config = None;
    }
    if let Command::Demo(options) = cli.command {
        init_logs(cli.log_format, true, "")?;
        return demo::run(&options, cli.json).await;
    }
    if let Command::Init(options) = &cli.command {
        init_logs(cli.log_format, true, "")?;
        let account = Account { region: cli.region, profile: cli.profile, endpoint_url: cli.endpoint_url };
        return init::run(options, &account, cli.json).await;
    }
    if let Command::Verify(options) = &cli.command {
        return certify::verify(options, cli.json);
    }
    match &cli.command {
        Command::Settings => return manual::settings(cli.config.as_deref(), cli.settings, cli.json),
        Command::Completions(options) => return manual::completions(options.shell),
        Command::Man(options) => return manual::pages(&options.directory, cli.json),
        _ => {}
    }
    let account = Account { region: cli.region, profile: cli.profile, endpoint_url: cli.endpoint_url };
    let settings = Settings::load(cli.config.as_deref(), cli.settings)?.in_account(account);
    if let Command::UnsubscribeToken(options) = &cli.command {
        init_logs(cli.log_format, true, "")?;
        return unsubscribe::run(&settings, options, cli.json).await;
    }
    let told = |error: anyhow::Error| {
        let (is_refused, explained) = (is_refusal(&error), explained(error, &settings));
        // In words alone it would be a failure.
        if is_refused { Refused(format!("{explained:#}")).into() } else { explained }
    };
    if let Command::Try(options) = &cli.command {
        // Nor are spans sent anywhere.
        init_logs(cli.log_format, true, "")?;
        return trial::run(&settings, options, cli.json).await.map_err(told);
    }
    init_logs(cli.log_format, false, &settings.otlp_endpoint)?;
    if settings.metrics {
        enable_metrics(&settings.metrics_prefix);
    }
    carry_out(cli.command, &settings, cli.json).await.map_err(told)
}

async fn carry_out(command: Command, settings: &Settings, as_json: bool) -> anyhow::Result<Ended> {
    match command {
        Command::Demo(_)
        | Command::Init(_)
        | Command::Try(_)
        | Command::Verify(_)
        | Command::UnsubscribeToken(_)
        | Command::Settings
        | Command::Completions(_)
        | Command::Man(_) => Ok(Ended::Well),
        Command::Setup(options) => setup::run(settings, &options, as_json).await,
        Command::Send(options) => send::run(settings, &options, as_json).await,
        Command::Preview(options) => preview::run(settings, &options, as_json).await,
        Command::TestSend(options) => test_send::run(settings, &options, as_json).await,
        Command::Producer => serve::producer(settings).await,
        Command::Consumer => serve::consumer(settings).await,
        Command::Feedback => serve::feedback(settings).await,
        Command::Status(options) => status::run(settings, &options, as_json).await,
        Command::Pause(options) => operate::pause(settings, &options, as_json).await,
        Command::Resume(options) => operate::resume(settings, &options, as_json).await,
        Command::Approve(options) => operate::approve(settings, &options, as_json).await,
        Command::Stop(options) => stop::stop(settings, &options, as_json).await,
        Command::Open(options) => open::open(settings, &options, as_json).await,
        Command::List(options) => inspect::list(settings, &options, as_json).await,
        Command::Audit(options) => inspect::audit(settings, &options, as_json).await,
        Command::Why(options) => inspect::why(settings, &options, as_json).await,
        Command::Who(options) => who::run(settings, &options, as_json).await,
        Command::Show(options) => show::run(settings, &options, as_json).await,
        Command::Export(options) => export::run(settings, &options, as_json).await,
        Command::Resend(options) => resend::run(settings, &options, as_json).await,
        Command::Doctor(options) => doctor::run(settings, &options, as_json).await,
        Command::Rehearse(options) => rehearse::run(settings, &options, as_json).await,
        Command::Report(options) => report::run(settings, &options, as_json).await,
        Command::Console(options) => console::run(settings, &options, as_json).await,
        Command::Certify(options) => certify::certify(settings, &options, as_json).await,
        Command::Suppress(options) => suppress::run(settings, &options, as_json).await,
        Command::ImportEvents(options) => import_events::run(settings, &options, as_json).await,
        Command::Forget(options) => forget::run(settings, &options, as_json).await,
        Command::Repair(options) => repair::repair(settings, &options, as_json).await,
        Command::DeadLetters(options) => dead_letters::run(settings, &options, as_json).await,
        Command::Redrive(options) => repair::redrive(settings, &options, as_json).await,
        Command::AcceptRestoredLedger(options) => restored::accept(settings, &options, as_json).await,
    }
}
