//! Medians of the runs, as a table that can stand in a page.

use std::collections::BTreeSet;
use std::io::Write;

use crate::run::{Cost, Run};
use crate::{Options, Order};

/// List prices in us-east-1, in dollars a million: of requests to SQS, and of on-demand write and read units.
const SQS: f64 = 0.40;
const WRITE_UNIT: f64 = 0.625;
const READ_UNIT: f64 = 0.125;

pub(crate) fn progress(line: &str) {
    // Whoever does not look misses nothing.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(upper, middle.checked_sub(1).and_then(|lower| sorted.get(lower)).copied().unwrap_or(upper))
    }
}

/// What a million recipients cost, without the provider.
fn dollars(cost: &Cost) -> f64 {
    cost.sqs_requests * SQS + cost.written_units * WRITE_UNIT + cost.read_units * READ_UNIT
}

pub(crate) fn print(options: &Options, runs: &[Run]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let profile = if cfg!(debug_assertions) { "development" } else { "release" };
    writeln!(
        out,
        "Medians of {} runs; {profile} profile; {} consumers; {} ms a call; events {}; {:?}.",
        options.runs.max(1),
        options.consumers,
        options.latency,
        match options.events {
            Order::AsSent => "in order",
            Order::Random => "in random order",
            Order::None => "none",
        },
        options.source,
    )?;
    let sizes: BTreeSet<u32> = runs.iter().map(|run| run.recipients).collect();
    for size in sizes {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.recipients == size).collect();
        table(&mut out, size, &runs)?;
    }
    Ok(())
}

/// One row of the table: what a part of a run has used.
type Row = (&'static str, fn(&Run) -> Option<&Cost>);

fn table(out: &mut impl Write, size: u32, runs: &[&Run]) -> anyhow::Result<()> {
    writeln!(
        out,
        "\n| {size} recipients | CPU, us each | of the bare loop | requests each | write units each | read units each | $ a million | recipients/s | peak MiB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let parts: [Row; 5] = [
        ("producer", |run| Some(&run.producer)),
        ("consumer", |run| Some(&run.consumer)),
        ("feedback", |run| run.feedback.as_ref()),
        ("bare loop", |run| Some(&run.bare)),
        ("usual way", |run| Some(&run.usual)),
    ];
    for (name, part) in parts {
        let costs: Vec<&Cost> = runs.iter().filter_map(|run| part(run)).collect();
        if costs.is_empty() {
            continue;
        }
        let of = |number: fn(&Cost) -> f64| median(costs.iter().map(|cost| number(cost)));
        // Run by run, so that what slows a whole run down does not count.
        let ratio = median(runs.iter().filter_map(|run| Some(part(run)?.cpu_us / run.bare.cpu_us)));
        writeln!(
            out,
            "| {name} | {:.1} | {ratio:.2} | {:.4} | {:.4} | {:.4} | {:.3} | {:.0} | {:.0} |",
            of(|cost| cost.cpu_us),
            of(|cost| cost.requests),
            of(|cost| cost.written_units),
            of(|cost| cost.read_units),
            of(dollars),
            of(|cost| cost.recipients_a_second),
            of(|cost| cost.peak_mib.unwrap_or_default()),
        )?;
    }
    let both = median(runs.iter().map(|run| run.producer.requests + run.consumer.requests));
    let cpu = median(runs.iter().map(|run| run.producer.cpu_us + run.consumer.cpu_us));
    let cost = median(runs.iter().map(|run| dollars(&run.producer) + dollars(&run.consumer)));
    writeln!(out, "\nProducer and consumer together: {cpu:.1} us, {both:.4} requests, $ {cost:.3} a million.\n")?;
    writeln!(out, "| requests each | calls |\n|---|---|")?;
    for (name, part) in parts {
        let Some(cost) = runs.last().and_then(|run| part(run)) else { continue };
        let mut calls = cost.calls.clone();
        calls.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let calls: Vec<String> = calls.iter().map(|(call, each)| format!("{call} {each:.5}")).collect();
        writeln!(out, "| {name} | {} |", calls.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |numbers: &[f64]| median(numbers.iter().copied());
        let all = [of(&[3.0, 1.0, 2.0]), of(&[4.0, 1.0, 2.0, 3.0]), of(&[7.0]), of(&[])];
        assert_eq!(all.map(|median| median.to_string()), ["2", "2.5", "7", "0"]);
    }
}
