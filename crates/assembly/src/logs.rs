//! Logs on standard error: for people on a terminal, JSON elsewhere. Results go to standard output.
//!
//! What this must never do: show what others dump who know nothing of persons, whatever is asked for. An SDK that is asked for its
//! finest level shows whole requests, with each address and letter.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::{metrics, traces, visible};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Human,
    Json,
}

/// What the SDK has tried in vain on its way to region and credentials is told by the error, where it has found none.
const DEFAULT: &str = "info,aws_config=warn,aws_config::imds=off,aws_config::meta=off";

/// What issei says itself, at any level, has no address in it. Its crates' names begin so.
const OWN: &str = "issei";

/// Where the driver for PostgreSQL puts what the server says beside its answers.
const NOTICES: &str = "sqlx::postgres::notice";

/// The demo provokes every warning there is, so it shows none unless it is asked to.
///
/// # Errors
/// Says what is wrong with the endpoint for traces.
pub fn init(format: LogFormat, is_demo: bool, otlp_endpoint: &str) -> anyhow::Result<()> {
    let default = if is_demo { "off" } else { DEFAULT };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    // A second subscriber in one process is a test's doing, and the first one serves.
    let _ = subscriber(filter, json, otlp_endpoint)?.try_init();
    Ok(())
}

/// Each filter says beforehand what it will let through: one that has to be asked makes every call of the SDK build
/// its spans, down to the finest level, before anybody says no.
fn subscriber(filter: EnvFilter, json: bool, otlp_endpoint: &str) -> anyhow::Result<impl Subscriber + Send + Sync + use<>> {
    let layer = fmt::layer().with_writer(io::stderr).with_span_events(FmtSpan::NONE);
    let layer = if json { layer.json().flatten_event(true).boxed() } else { layer.with_ansi(io::stderr().is_terminal()).boxed() };
    let log = layer.with_filter(shown(filter));
    let metrics = metrics::Metrics.with_filter(Targets::new().with_target(metrics::TARGET, LevelFilter::INFO));
    Ok(tracing_subscriber::registry().with(traces::layer(otlp_endpoint)?).with(log).with(metrics))
}

/// What is asked for, less what nobody is shown.
fn shown<S: Subscriber + for<'span> LookupSpan<'span>>(asked: EnvFilter) -> impl Filter<S> + use<S> {
    // Metrics are for a machine that asked for them, and no log lines. What a function in the customer's database has to say
    // (`RAISE NOTICE`) can quote a row, whatever is asked for.
    let all_but = Targets::new().with_default(LevelFilter::INFO).with_target(OWN, LevelFilter::TRACE);
    asked.and(all_but.with_target(metrics::TARGET, LevelFilter::OFF).with_target(NOTICES, LevelFilter::OFF))
}

/// Whether standard output is for a document alone.
static IS_GIVEN_AWAY: AtomicBool = AtomicBool::new(false);

/// Keeps standard output for a document: every line that is said from now on goes to standard error.
pub fn keep_output_free() {
    IS_GIVEN_AWAY.store(true, Ordering::Relaxed);
}

/// What first kept something from being written to standard output.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// A reader that has gone away (a closed pipe) is no error. Anything else (a full disk) is, and whoever ends the process tells it.
fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        _ = UNWRITTEN.set(error.to_string());
    }
}

/// Why standard output does not have all that was said.
pub fn unwritten() -> Option<&'static str> {
    note(io::stdout().flush());
    UNWRITTEN.get().map(String::as_str)
}

/// A whole document on standard output. A reader that has gone away (a closed pipe) is no error.
pub fn give(document: &str) {
    note(writeln!(io::stdout(), "{}", document.trim_end_matches('\n')));
}

/// A line of the result, or several. A reader that has gone away (a closed pipe) is no error. What somebody else has written
/// steers no terminal.
pub fn say(line: &str) {
    let line = visible(line);
    if IS_GIVEN_AWAY.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{line}");
    } else {
        note(writeln!(io::stdout(), "{line}"));
    }
}

/// Clears the terminal for what is said next.
pub fn clear_screen() {
    // Home, and clear what is below (ECMA-48, CUP and ED).
    let _ = write!(io::stdout(), "\x1b[H\x1b[2J");
}

/// A question, whose answer comes on the same line.
pub fn ask(question: &str) {
    let question = visible(question);
    let _ = if IS_GIVEN_AWAY.load(Ordering::Relaxed) { write!(io::stderr(), "{question}") } else { write!(io::stdout(), "{question}") };
}

/// Whether a program reads what is said beside the result.
static IS_FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// Lets whatever is said beside the result be JSON from now on, one object a line.
pub fn warn_as_json() {
    IS_FOR_PROGRAMS.store(true, Ordering::Relaxed);
}

/// What is to be known beside the result, on standard error: the command goes on, or tells by its exit code that it did not.
pub fn say_warning(what: &str) {
    if IS_FOR_PROGRAMS.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{}", serde_json::json!({ "warning": what }));
    } else {
        say_error(what);
    }
}

/// Why the command failed.
pub fn say_error(reason: &str) {
    let _ = writeln!(io::stderr(), "issei: {}", visible(reason));
}

/// The same for a program that asked for JSON.
pub fn say_error_as_json(reason: &str) {
    let _ = writeln!(io::stderr(), "{}", serde_json::json!({ "error": reason }));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::Context;

    use super::*;

    #[test]
    fn what_nobody_will_see_is_not_built() {
        let finest = |directives| subscriber(EnvFilter::new(directives), true, "").unwrap().max_level_hint();
        assert_eq!(finest(DEFAULT), Some(LevelFilter::INFO));
        // Metrics are told whatever the log is.
        assert_eq!(finest("off"), Some(LevelFilter::INFO));
        assert_eq!(finest("info,issei=debug"), Some(LevelFilter::DEBUG));
    }

    /// Where what is said was said, as far as it is shown.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let of = event.metadata();
            self.0.lock().unwrap().push(format!("{} {}", of.level(), of.target()));
        }
    }

    #[test]
    fn others_say_no_more_than_what_is_for_people_whatever_is_asked_for() {
        for asked in ["trace", "trace,aws_smithy_runtime=trace,hyper=debug"] {
            let heard = Heard::default();
            let subscriber = tracing_subscriber::registry().with(heard.clone().with_filter(shown(EnvFilter::new(asked))));
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a whole request");
                tracing::debug!(target: "hyper::proto::h1", "a head");
                tracing::info!(target: "hyper", "for people");
                tracing::trace!(target: "issei_consumer::send", "its own");
                tracing::warn!(target: NOTICES, "a row");
            });
            assert_eq!(*heard.0.lock().unwrap(), ["INFO hyper", "TRACE issei_consumer::send"], "{asked}");
        }
    }
}
