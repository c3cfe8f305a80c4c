//! Metrics for `CloudWatch`, in embedded metric format: lines of JSON on standard output, from which
//! `CloudWatch` Logs makes metrics without a call (`CloudWatch` user guide, "Embedding metrics within logs").
//!
//! The services speak of them as events of the target `issei::metrics`, whose fields are counts. Whether
//! and how they are written is decided here alone.

use std::sync::OnceLock;

use issei_clock::Clock;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::logs::say;

/// The target of the events.
pub(crate) const TARGET: &str = "issei::metrics";

/// The value of the one dimension; nothing while metrics are not wanted.
static PREFIX: OnceLock<String> = OnceLock::new();

/// From now on metrics are written, under this value of the dimension `Prefix`.
pub fn enable(prefix: &str) {
    // The first one stays: a process has one configuration.
    let _ = PREFIX.set(prefix.to_owned());
}

/// Turns events into lines.
pub(crate) struct Metrics;

impl<S: Subscriber> Layer<S> for Metrics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(prefix) = PREFIX.get().filter(|_| event.metadata().target() == TARGET) else { return };
        let mut counts = Counts(Map::new());
        event.record(&mut counts);
        if !counts.0.is_empty() {
            say(&line(prefix, Clock::system().wall().as_millisecond(), counts.0).to_string());
        }
    }
}

struct Counts(Map<String, Value>);

impl Visit for Counts {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(metric_name(field.name()), value.into());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// `in_doubt` is `InDoubt` in `CloudWatch`.
fn metric_name(field: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    field.split('_').map(capital).collect()
}

fn line(prefix: &str, at_ms: i64, counts: Map<String, Value>) -> Value {
    let metrics: Vec<Value> = counts.keys().map(|name| json!({ "Name": name, "Unit": "Count" })).collect();
    let mut line = counts;
    line.insert("Prefix".to_owned(), prefix.into());
    line.insert(
        "_aws".to_owned(),
        json!({ "Timestamp": at_ms, "CloudWatchMetrics": [{ "Namespace": "issei", "Dimensions": [["Prefix"]], "Metrics": metrics }] }),
    );
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        assert_eq!([metric_name("accepted"), metric_name("running_without_consumer")], ["Accepted", "RunningWithoutConsumer"]);
        let counts = [("Accepted".to_owned(), 5.into())].into_iter().collect();
        assert_eq!(
            line("issei", 7, counts),
            json!({
                "_aws": { "Timestamp": 7, "CloudWatchMetrics": [
                    { "Namespace": "issei", "Dimensions": [["Prefix"]], "Metrics": [{ "Name": "Accepted", "Unit": "Count" }] }
                ] },
                "Prefix": "issei",
                "Accepted": 5,
            })
        );
    }
}
