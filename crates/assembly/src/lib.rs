//! What the binary and the Lambda functions are put together from: settings, logs, metrics and services,
//! the same way in both.
//!
//! Only this crate reads the environment and sets up a log. It decides nothing about sending.

mod endpoints;
mod explained;
mod logs;
mod metrics;
mod parts;
mod runtime;
mod settings;
mod traces;
mod visible;

pub use endpoints::no_secrets_in_endpoints;
pub use explained::explained;
pub use logs::{
    LogFormat, ask, clear_screen, give, init as init_logs, keep_output_free, say, say_error, say_error_as_json, say_warning, unwritten,
    warn_as_json,
};
pub use metrics::enable as enable_metrics;
pub use parts::{Parts, VERSION, connected, host};
pub use runtime::runtime;
pub use settings::{DEFAULT_FILE, Fetched, GivenBy, KeySource, Layer, Listed, Settings};
pub use traces::flush as flush_traces;
pub use visible::visible;
