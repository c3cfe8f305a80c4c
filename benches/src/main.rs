//! `issei-bench`: what a recipient costs, in CPU, requests and time, from the row to the last event.
//!
//! The real binary sends to an in-memory server of AWS's protocols, which is a process of its own, and so
//! are the two that it is compared with: a bare loop of the same SDK calls over the same messages, which claims and
//! proves nothing, and the usual way, a message and a call for each user. Runs are interleaved and
//! medians are told, since a machine has neighbours; what is to be compared is compared by ratios of one run.
//! What this crate must never do: be faster than issei by leaving out a call that it is compared by.

mod audience;
mod bare;
mod events;
mod process;
mod report;
mod run;
mod scale;
mod server;
mod usual;
mod world;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures issei beside a bare loop of the same SDK calls and beside the usual way.
///
/// Build both in one profile, since the ratios are of one profile, and best in release:
/// `cargo build --release --locked --workspace --exclude issei-e2e --bin issei --bin issei-bench`, then
/// `target/release/issei-bench`. On a busy machine more runs help; CPU is told without waiting, and
/// recipients a second are not.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

/// The processes that a run consists of beside the real binary.
#[derive(Subcommand)]
enum Part {
    /// The in-memory server; it is asked through its standard input.
    #[command(hide = true)]
    Server(server::Setup),
    /// The bare loop.
    #[command(hide = true)]
    Bare(bare::Work),
    /// The usual way.
    #[command(hide = true)]
    Usual(usual::Work),
    /// Recipients a second by consumers, by a model in virtual time: no process is started, and nothing is measured.
    Scale(scale::Scale),
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The binary to measure; none means the one beside this.
    #[arg(long)]
    issei: Option<PathBuf>,
    /// Sizes of audiences, such as 10k,100k,1m.
    #[arg(long, value_delimiter = ',', default_value = "10k", value_parser = recipients)]
    recipients: Vec<u32>,
    /// Consumers at once.
    #[arg(long, default_value_t = 1)]
    consumers: u32,
    /// Milliseconds that a call takes on average, half of them before its effect.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Two events for each recipient, read by the feedback consumer once all was sent.
    #[arg(long, value_enum, default_value_t)]
    events: Order,
    /// How often each is run; medians are told.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The account's recipients a second.
    #[arg(long, default_value_t = 1e7)]
    rate: f64,
    /// Recipients of the usual way, whose cost does not depend on how many there are.
    #[arg(long, default_value = "5k", value_parser = recipients)]
    usual: u32,
    /// Where the users are; PostgreSQL is reached by `ISSEI_TEST_POSTGRES_URL`.
    #[arg(long, value_enum, default_value_t)]
    source: Source,
    /// More settings for issei, as they stand in its configuration file.
    #[arg(long, value_name = "KEY = VALUE")]
    setting: Vec<String>,
    /// Where the figures of each run go, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The order in which events arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Order {
    #[value(name = "in-order")]
    AsSent,
    Random,
    #[default]
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Source {
    #[default]
    Sqlite,
    Postgres,
}

/// A number with `k` or `m` behind it, or without.
fn recipients(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'm']) {
        Some(digits) => (digits, if text.ends_with('k') { 1_000 } else { 1_000_000 }),
        None => (text, 1),
    };
    let number = digits.parse::<u32>().map_err(|error| error.to_string())?;
    number.checked_mul(factor).filter(|number| *number > 0).ok_or_else(|| "1 to 4,294,967,295 recipients".to_owned())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Server(setup)) => server::serve(setup).await,
        Some(Part::Bare(work)) => bare::work(work).await,
        Some(Part::Usual(work)) => usual::work(work).await,
        Some(Part::Scale(scale)) => scale::tell(&scale),
        None => run::all(&cli.options).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_recipients_are_read_as_people_write_them() {
        let read = |text| recipients(text).ok();
        assert_eq!([read("10k"), read("1m"), read("7")], [Some(10_000), Some(1_000_000), Some(7)]);
        assert_eq!([read("k"), read("0"), read("5g"), read("5000m")], [None; 4]);
    }
}
