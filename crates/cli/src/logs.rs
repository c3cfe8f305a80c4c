//! Logs on standard error: for people on a terminal, JSON elsewhere. Results go to standard output.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::args::LogFormat;

/// The demo provokes every warning there is, so it shows none unless it is asked to.
pub(crate) fn init(format: LogFormat, is_demo: bool) {
    let default = if is_demo { "off" } else { "info,aws_config=warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    // A second subscriber in one process is a test's doing, and the first one serves.
    let _ =
        if json { builder.json().flatten_event(true).try_init() } else { builder.with_ansi(std::io::stderr().is_terminal()).try_init() };
}

/// A line of the result. A reader that has gone away (a closed pipe) is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A question, whose answer comes on the same line.
pub(crate) fn ask(question: &str) {
    let _ = write!(std::io::stdout(), "{question}");
}

/// Why the command failed.
pub(crate) fn say_error(reason: &str) {
    let _ = writeln!(std::io::stderr(), "issei: {reason}");
}
