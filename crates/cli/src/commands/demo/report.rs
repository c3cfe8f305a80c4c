//! What the demo found, as a table and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use issei_assembly::say;
use issei_sim::{Cloud, Counts, Fault};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;

use super::judge::Judged;

/// The figures of a demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    audience: u64,
    accepted: u64,
    duplicates: u64,
    missing: u64,
    in_doubt: u64,
    skipped: u64,
    messages_left: u64,
    faults: Faults,
    requests: BTreeMap<&'static str, u64>,
    requests_per_recipient: f64,
    elapsed_s: f64,
    peak_rss_bytes: u64,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub(super) struct Faults {
    /// Consumers, in the midst of their work.
    killed: u64,
    /// Messages that were handed out and stayed in their queue, to be handed out once more.
    messages_doubled: u64,
    /// Sends that the provider accepted, and whose answer was lost or an error.
    answers_lost: u64,
    /// Sends that it put off, since there were too many.
    throttled: u64,
    /// Writes to the ledger that happened, and whose answer was lost.
    ledger_answers_lost: u64,
    /// Requests that were made again under their keys, where the provider knows them by these.
    asked_again: u64,
}

impl Faults {
    pub(super) fn of(cloud: &Cloud, send: &str, asked_again: u64, killed: u64) -> Self {
        Self {
            killed,
            messages_doubled: cloud.messages_doubled(),
            answers_lost: cloud.befallen(send, Fault::ResetAfter) + cloud.befallen(send, Fault::ErrorAfter),
            throttled: cloud.befallen(send, Fault::Throttle),
            ledger_answers_lost: cloud.befallen("UpdateItem", Fault::ResetAfter),
            asked_again,
        }
    }

    fn told(&self) -> String {
        let Self { killed, messages_doubled, answers_lost, throttled, ledger_answers_lost, asked_again } = self;
        let killed = if *killed == 1 { "a consumer was killed".to_owned() } else { format!("{killed} consumers were killed") };
        let again = if *asked_again > 0 { format!(" ({asked_again} requests made again under their keys)") } else { String::new() };
        format!(
            "{killed}, {messages_doubled} messages handed out twice, {answers_lost} answers of the provider lost{again}, {throttled} calls throttled, {ledger_answers_lost} of the ledger's lost"
        )
    }
}

/// Calls by service since `before`.
pub(super) fn requests(before: &Counts, after: &Counts) -> BTreeMap<&'static str, u64> {
    let mut requests = BTreeMap::new();
    for ((service, operation), calls) in after {
        let calls = calls - before.get(&(*service, operation.clone())).copied().unwrap_or(0);
        tracing::info!(service, operation, calls, "calls");
        *requests.entry(*service).or_default() += calls;
    }
    requests
}

impl Report {
    pub(super) fn of(
        judged: Judged,
        accepted: u64,
        requests: BTreeMap<&'static str, u64>,
        faults: Faults,
        messages_left: u64,
        elapsed: Duration,
    ) -> Self {
        let all: u64 = requests.values().sum();
        Self {
            audience: judged.audience,
            accepted,
            duplicates: judged.duplicates,
            missing: judged.missing,
            in_doubt: judged.in_doubt,
            skipped: judged.skipped,
            messages_left,
            faults,
            requests,
            requests_per_recipient: ratio(all, judged.audience),
            elapsed_s: elapsed.as_secs_f64(),
            peak_rss_bytes: peak_rss_bytes(),
        }
    }

    /// Nobody twice and nobody left out.
    pub(super) fn is_good(&self) -> bool {
        self.duplicates == 0 && self.missing == 0
    }

    pub(super) fn print(&self, as_json: bool) {
        if !as_json {
            let requests = self.requests.iter().map(|(service, calls)| format!("{service} {calls}")).collect::<Vec<_>>().join(", ");
            for (what, value) in [
                ("users in the table", self.audience.to_string()),
                ("requests that the provider accepted, as it counts", self.accepted.to_string()),
                ("users with more than one", self.duplicates.to_string()),
                ("users with none, and no reason on record", self.missing.to_string()),
                ("users listed in doubt, never sent again", self.in_doubt.to_string()),
                ("users skipped, each with its reason", self.skipped.to_string()),
                ("messages left in queues and dead-letter queues", self.messages_left.to_string()),
                ("what went wrong", self.faults.told()),
                ("calls to AWS and to the provider", format!("{requests} ({:.4} a user)", self.requests_per_recipient)),
                ("seconds", format!("{:.1}", self.elapsed_s)),
                ("most memory", format!("{} MiB", self.peak_rss_bytes / 1024 / 1024)),
            ] {
                say(&format!("{what:<52} {value}"));
            }
            say(if self.is_good() {
                "Every user has exactly one request, or a reason on record why not."
            } else {
                "FAILED: some users were mailed twice or left out."
            });
            return;
        }
        say(&serde_json::to_string(self).unwrap_or_default());
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    let number = |count: u64| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    number(part) / number(whole).max(1.0)
}

/// The most memory that this process has had. Linux counts it in KiB, macOS in bytes.
fn peak_rss_bytes() -> u64 {
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * unit)
}
