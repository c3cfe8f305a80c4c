//! `issei status`: one look, or one each second until it is over.

use std::io::IsTerminal;
use std::time::Duration;

use issei_assembly::{Parts, Settings, clear_screen, say};
use issei_clock::Instant;
use issei_schema::BroadcastId;

use super::lines::per_second;
use super::{Status, is_absent};
use crate::Ended;
use crate::args::StatusOptions;
use crate::commands::absent::Absent;
use crate::commands::serve::on_signal;
use crate::letters::{self, Letter};

/// How long a watcher waits from one look to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

pub(crate) async fn run(settings: &Settings, options: &StatusOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let shutdown = on_signal()?;
    let clear = options.watch && !as_json && std::io::stdout().is_terminal();
    let mut before: Option<(u64, Instant)> = None;
    loop {
        let read = Status::read(&parts, &options.id, options.exact).await;
        if clear {
            clear_screen();
        }
        let mut status = match read {
            Err(error) if is_absent(&error) => {
                let absent = Absent::read(&parts, &options.id).await?;
                if absent.refused.is_none() && !options.watch {
                    return Err(absent.waiting().map_or(error, anyhow::Error::msg));
                }
                absent.print(as_json)?;
                let waits = options.watch && absent.may_come();
                if !waits || shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
                    return Ok(Ended::Refused);
                }
                continue;
            }
            read => read?,
        };
        if !options.watch || status.state.is_over() {
            status.look_for_doubt_left(&parts, &options.id).await?;
        }
        let now = parts.clock.now();
        let speed = before.map(|(accepted, at)| per_second(status.accepted.saturating_sub(accepted), now.saturating_duration_since(at)));
        before = Some((status.accepted, now));
        // Whoever watches looks each second, and letters are for one look.
        let letters = if options.watch || status.held_audience.is_none() { Vec::new() } else { held_letters(&parts, &options.id).await };
        if as_json {
            let mut told = serde_json::to_value(&status)?;
            if let Some(told) = told.as_object_mut().filter(|_| !letters.is_empty()) {
                told.insert("letters".to_owned(), serde_json::to_value(&letters)?);
            }
            say(&told.to_string());
        } else {
            status.lines(speed).iter().for_each(|line| say(line));
            letters::print_beside(&letters, &format!("`issei show {} --as KEY -o letter.html`", options.id));
        }
        let watching = options.watch && !status.state.is_over();
        if !watching || shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
            return Ok(Ended::Well);
        }
    }
}

/// As they will be mailed once it is approved; none where their pages can't be read.
async fn held_letters(parts: &Parts, id: &BroadcastId) -> Vec<Letter> {
    let letters = async { letters::of_held(parts, &parts.ledger().broadcast(id).await?).await };
    letters.await.unwrap_or_else(|error| {
        tracing::warn!(%error, broadcast.id = %id, "the letters that it holds can't be shown");
        Vec::new()
    })
}
