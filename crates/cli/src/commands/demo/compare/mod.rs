//! `issei demo --compare`: the pipeline that most apps have, and issei, under the same faults and before providers that
//! count in the same way.
//!
//! What each does depends on the seed alone, and not on how fast the machine is: each request meets a throw of its own, and
//! a job of the naive pipeline knows its hours by itself.

mod issei;
mod misfortune;
mod naive;
mod picture;
mod side;

use std::path::Path;

use anyhow::bail;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use issei_assembly::say;
use issei_clock::Clock;
use serde::Serialize;

use self::misfortune::Misfortune;
use self::side::Side;
use crate::args::DemoOptions;
use crate::commands::serve::on_signal;
use crate::output;
use crate::{Ended, Interrupted};

/// Fewer than the demo's, since the naive pipeline makes a request for each.
const USERS: u64 = 10_000;

/// Both, as their providers counted.
#[derive(Debug, Serialize)]
struct Comparison {
    seed: u64,
    users: u64,
    naive: Side,
    issei: Side,
}

pub(super) async fn run(options: &DemoOptions, as_json: bool) -> anyhow::Result<Ended> {
    let is_picture = |begins: &str| begins.starts_with("<svg") && begins.contains(picture::ASKS);
    options.output.as_deref().map_or(Ok(()), |file| output::spares_others(file, "picture", is_picture))?;
    let (clock, shutdown, users) = (Clock::system(), on_signal()?, options.recipients.unwrap_or(USERS));
    let misfortune = Misfortune { seed: options.seed, users, calm: options.calm };
    let bars = MultiProgress::new();
    let bar = |name: &'static str| {
        let bar = if as_json { ProgressBar::hidden() } else { bars.add(ProgressBar::new(users)) };
        if let Ok(style) = ProgressStyle::with_template("{prefix:6} [{bar:30}] {pos} mails to {len} users  {msg}") {
            bar.set_style(style);
        }
        bar.with_prefix(name)
    };
    let (of_naive, of_issei) = (bar("naive"), bar("issei"));
    let both = async { tokio::try_join!(naive::run(&clock, &misfortune, &of_naive), issei::run(&clock, &misfortune, &of_issei)) };
    let Some((naive, issei)) = shutdown.run_until_cancelled(both).await.transpose()? else {
        bail!(Interrupted("interrupted before the end".to_owned()))
    };
    let comparison = Comparison { seed: options.seed, users, naive, issei };
    if let Some(file) = &options.output {
        write(file, &comparison)?;
    }
    if as_json {
        say(&serde_json::to_string(&comparison)?);
    } else {
        comparison.print();
    }
    let issei = &comparison.issei;
    Ok(if issei.several_times() == 0 && issei.missed_unknown == 0 { Ended::Well } else { Ended::Refused })
}

fn write(file: &Path, comparison: &Comparison) -> anyhow::Result<()> {
    let picture = picture::svg(comparison).map_err(|error| anyhow::anyhow!("the picture can't be drawn: {error}"))?;
    output::write(file, "the picture", &picture)
}

impl Comparison {
    fn print(&self) {
        let Self { seed, users, naive, issei } = self;
        say(&format!("{:<44} {:>10} {:>10}", format!("{users} users, seed {seed}"), "naive", "issei"));
        for (what, of) in Side::ROWS {
            say(&format!("{what:<44} {:>10} {:>10}", of(naive), of(issei)));
        }
    }
}
