//! `cargo run --release -p issei-model`: the suites with their counts of states, or one naive variant
//! with its way to failure.

use std::io::Write;

use clap::Parser;
use issei_clock::Clock;
use issei_model::{LARGE, Protocol, SUITES, Suite, Variant, counterexample_of};
use stateright::{Checker, HasDiscoveries, Model};

/// Checks the protocol of issei over its whole state space.
#[derive(Parser)]
struct Cli {
    /// The large suites, which take minutes and gigabytes.
    #[arg(long)]
    large: bool,
    /// Those suites alone in whose name this stands.
    #[arg(long, default_value = "")]
    suite: String,
    /// A naive protocol: shows a way to what it breaks.
    #[arg(long)]
    variant: Option<Variant>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut out = std::io::stdout();
    if let Some(variant) = cli.variant {
        let (sizes, invariant) = counterexample_of(variant);
        let model = Protocol { sizes, variant: Some(variant) };
        let checker = model.checker().threads(1).finish_when(HasDiscoveries::AllOf([name_of(invariant)].into())).spawn_bfs().join();
        for (name, path) in checker.discoveries().into_iter().filter(|(name, _)| name.starts_with(invariant)) {
            writeln!(out, "{name}: broken after {} states, by", checker.unique_state_count())?;
            for step in path.into_actions() {
                writeln!(out, "  {step:?}")?;
            }
        }
        return Ok(());
    }
    let (clock, mut broken) = (Clock::system(), false);
    for Suite { name, sizes } in if cli.large { LARGE } else { SUITES }.iter().filter(|suite| suite.name.contains(&cli.suite)) {
        let began = clock.now();
        let checker = Protocol { sizes: *sizes, variant: None }.checker().threads(cli.threads).spawn_bfs().join();
        writeln!(out, "{name}: {} states, {} steps deep ({:.0?})", checker.unique_state_count(), checker.max_depth(), clock.now() - began)?;
        let invariants = checker.model().invariants();
        for (name, path) in checker.discoveries().into_iter().filter(|(name, _)| invariants.contains(name)) {
            broken = true;
            writeln!(out, "  {name}: broken by {:?}", path.into_actions())?;
        }
    }
    anyhow::ensure!(!broken, "an invariant does not hold");
    Ok(())
}

/// The property of an invariant.
fn name_of(invariant: &str) -> &'static str {
    let model = Protocol { sizes: SUITES.first().map(|suite| suite.sizes).unwrap_or_default(), variant: None };
    model.properties().into_iter().map(|property| property.name).find(|name| name.starts_with(invariant)).unwrap_or("")
}
