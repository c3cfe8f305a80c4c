//! `issei status`: one look, or one each second until it is over.

use std::io::IsTerminal;
use std::time::Duration;

use issei_assembly::{Parts, Settings, clear_screen, say};
use issei_clock::Instant;
use issei_schema::BroadcastId;

use super::{LATELY, Status, is_absent, rate};
use crate::Ended;
use crate::args::StatusOptions;
use crate::commands::absent::Absent;
use crate::commands::dead_letters::DeadCommands;
use crate::commands::serve::on_signal;
use crate::in_use::{self, Care};
use crate::letters::{self, Letter};

/// How long a watcher waits from one look to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How often a watcher looks among the dead letters: whoever looks hides them from others for a moment.
const DEAD_EVERY: Duration = Duration::from_secs(15);

/// A line on a screen, and where what is said of a word begins.
const WIDTH: usize = 100;
const INDENT: usize = 14;

pub(crate) async fn run(settings: &Settings, options: &StatusOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Says).await?;
    let shutdown = on_signal()?;
    let clear = options.watch && !as_json && std::io::stdout().is_terminal();
    let mut dead: Option<(Instant, Option<DeadCommands>)> = None;
    loop {
        let read = Status::read(&parts, &options.id, options.exact).await;
        if clear {
            clear_screen();
        }
        let mut status = match read {
            Err(error) if is_absent(&error) => {
                let mut absent = Absent::read(&parts, &options.id).await?;
                let kept = dead.take().filter(|(at, _)| parts.clock.now().saturating_duration_since(*at) < DEAD_EVERY);
                let (looked_at, found) = match kept {
                    Some(kept) => kept,
                    None => (parts.clock.now(), absent.look_among_the_dead(&parts).await),
                };
                absent.dead = found;
                if absent.refused.is_none() && !options.watch {
                    return Err(absent.waiting().map_or(error, anyhow::Error::msg));
                }
                let may_come = absent.may_come();
                absent.print(as_json)?;
                dead = Some((looked_at, absent.dead));
                if !(options.watch && may_come) {
                    return Ok(Ended::Refused);
                }
                if shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
                    return Ok(Ended::Interrupted);
                }
                continue;
            }
            read => read?,
        };
        status.ledger_told = in_use::found();
        if !options.watch || status.state.is_over() {
            status.look_for_doubt_left(&parts, &options.id).await?;
        }
        // Whoever watches looks each second, and letters are for one look.
        let letters = if options.watch || status.held_audience.is_none() { Vec::new() } else { held_letters(&parts, &options.id).await };
        if as_json {
            let mut told = serde_json::to_value(&status)?;
            if let Some(told) = told.as_object_mut().filter(|_| !letters.is_empty()) {
                told.insert("letters".to_owned(), serde_json::to_value(&letters)?);
            }
            in_use::say_document(told)?;
        } else {
            let speed = if status.moves() { speed(&parts, &status, &options.id).await } else { None };
            let is_read = std::io::stdout().is_terminal();
            status.lines(speed).iter().for_each(|line| say(&if is_read { broken(line) } else { line.clone() }));
            letters::print_beside(&letters, &format!("`issei show {} --as KEY -o letter.html`", options.id));
        }
        if !options.watch || status.state.is_over() {
            return Ok(Ended::Well);
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
            return Ok(Ended::Interrupted);
        }
    }
}

/// A long line in several for whoever reads it on a screen, below its first word and the room after it. What goes into a pipe stays one
/// line for each thing.
fn broken(line: &str) -> String {
    let (mut told, mut width) = (String::new(), 0);
    for (at, word) in line.split(' ').enumerate() {
        let wide = word.chars().count();
        if width > INDENT && width + wide > WIDTH {
            told.push('\n');
            told.push_str(&" ".repeat(INDENT));
            width = INDENT;
        } else if at > 0 {
            told.push(' ');
            width += 1;
        }
        told.push_str(word);
        width += wide;
    }
    told
}

/// Nothing where it can't be read: how a broadcast stands is told all the same.
async fn speed(parts: &Parts, status: &Status, id: &BroadcastId) -> Option<u64> {
    let moments = parts.ledger().timeline_since(id, Some(status.at - LATELY)).await;
    let moments = moments.inspect_err(|error| tracing::debug!(%error, broadcast.id = %id, "the rate can't be told")).ok()?;
    rate(&moments, status.at, status.decided_at())
}

/// As they will be mailed once it is approved; none where their pages can't be read.
async fn held_letters(parts: &Parts, id: &BroadcastId) -> Vec<Letter> {
    let letters = async { letters::of_held(parts, &parts.ledger().broadcast(id).await?).await };
    letters.await.unwrap_or_else(|error| {
        tracing::warn!(%error, broadcast.id = %id, "the letters that it holds can't be shown");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_between_words_and_a_short_one_is_left_alone() {
        assert_eq!(broken("broadcast     terms"), "broadcast     terms");
        let long = format!("state         holding: {}", "many words of a reason ".repeat(20).trim());
        let told = broken(&long);
        assert!(told.lines().count() > 4 && told.lines().all(|line| line.chars().count() <= WIDTH), "{told}");
        assert!(told.lines().skip(1).all(|line| line.starts_with(&" ".repeat(INDENT)) && !line[INDENT..].starts_with(' ')), "{told}");
        assert_eq!(told.split_whitespace().collect::<Vec<_>>(), long.split_whitespace().collect::<Vec<_>>());
    }
}
