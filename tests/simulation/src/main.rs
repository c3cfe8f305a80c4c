//! `cargo run --release -p issei-simulation -- --seeds 1000000`: many schedules, and the seeds that
//! broke an invariant.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use issei_simulation::{DIRECTED, Keyed, has_keys, run};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Runs the real services under virtual time, one schedule for each seed.
///
/// With `RUST_LOG=issei_sim=trace` every call is shown, with its moment and its fault.
#[derive(Parser)]
struct Cli {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them. A failing seed is replayed with `--from SEED --seeds 1`.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Of these, the schedules alone in which a provider remembers keys.
    #[arg(long, conflicts_with = "directed")]
    keys_only: bool,
    /// Runs the chosen schedules instead of drawn ones.
    #[arg(long)]
    directed: bool,
    /// Of the chosen schedules, those alone that aim at this.
    #[arg(long, value_name = "NAME", requires = "directed")]
    only: Option<String>,
    /// Ends after so many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let shown = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(shown).with_writer(std::io::stderr).without_time().init();
    if cli.directed {
        return directed(cli.only.as_deref(), cli.failures);
    }
    let next = AtomicU64::new(cli.from);
    let end = cli.from + cli.seeds;
    let (ran_all, calls, accepted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let keyed: Mutex<Keyed> = Mutex::default();
    let failed: Mutex<Vec<String>> = Mutex::default();
    let bar = ProgressBar::new(cli.seeds).with_style(ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left")?);
    std::thread::scope(|scope| {
        for _ in 0..cli.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().unwrap_or_else(PoisonError::into_inner).len() >= cli.failures {
                        return;
                    }
                    if cli.keys_only && !has_keys(seed) {
                        bar.inc(1);
                        continue;
                    }
                    ran_all.fetch_add(1, Ordering::Relaxed);
                    let problem = match run(seed) {
                        Ok(ran) => {
                            keyed.lock().unwrap_or_else(PoisonError::into_inner).add(&ran.keyed);
                            calls.fetch_add(ran.calls, Ordering::Relaxed);
                            accepted.fetch_add(ran.accepted, Ordering::Relaxed);
                            ran.broken.map(|broken| broken.to_string())
                        }
                        Err(error) => Some(format!("{error:#}")),
                    };
                    if let Some(problem) = problem {
                        bar.println(format!("seed {seed}: {problem}"));
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("seed {seed}: {problem}"));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout();
    for problem in &failed {
        writeln!(out, "{problem}")?;
    }
    let (calls, accepted) = (calls.into_inner(), accepted.into_inner());
    writeln!(out, "{} schedules, {calls} calls to AWS, {accepted} sends accepted, {} broken", ran_all.into_inner(), failed.len())?;
    let Keyed { complete, asked_again, in_doubt } = keyed.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "under keys: {complete} broadcasts complete, {asked_again} requests asked again, {in_doubt} recipients in doubt")?;
    if failed.is_empty() { Ok(()) } else { anyhow::bail!("an invariant was broken; replay with --from SEED --seeds 1") }
}

fn directed(only: Option<&str>, failures: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let mut failed = 0;
    anyhow::ensure!(only.is_none_or(|only| DIRECTED.iter().any(|(name, _)| *name == only)), "no schedules have this name");
    for (name, schedules) in DIRECTED.iter().filter(|(name, _)| only.is_none_or(|only| *name == only)) {
        let ran = schedules()?;
        let broken = ran.iter().find_map(|ran| ran.broken.as_ref());
        failed += usize::from(broken.is_some());
        writeln!(out, "{name}: {} schedules: {}", ran.len(), broken.map_or_else(|| "hold".to_owned(), ToString::to_string))?;
        if failed >= failures {
            break;
        }
    }
    anyhow::ensure!(failed == 0, "an invariant was broken");
    Ok(())
}
