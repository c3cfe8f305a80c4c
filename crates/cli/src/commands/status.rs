//! `issei status`: how a broadcast stands, from the ledger.

use std::io::IsTerminal;
use std::time::Duration;

use issei_clock::Instant;
use issei_ledger::{Broadcast, Totals};
use serde::Serialize;

use crate::Ended;
use crate::args::StatusOptions;
use crate::commands::serve::on_signal;
use crate::logs::say;
use crate::parts::Parts;
use crate::settings::Settings;

/// How a broadcast stands.
#[derive(Debug, Serialize)]
struct Status {
    broadcast_id: String,
    state: String,
    reason: String,
    audience: u64,
    skipped: u64,
    recipients: u64,
    chunks: u32,
    settled_chunks: u64,
    accepted: u64,
    rejected: u64,
    retryable: u64,
    in_doubt: u64,
    /// From here on by the provider's events, as far as they have come.
    delivered: u64,
    bounced: u64,
    complained: u64,
    not_rendered: u64,
    permits_granted: u64,
    permits_left: u64,
    permits_withheld: u64,
    /// Counted chunk by chunk, or told by the consumers.
    exact: bool,
    waiting_messages: u64,
    messages_in_flight: u64,
    dead_letters: u64,
}

pub(crate) async fn run(settings: &Settings, options: &StatusOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let shutdown = on_signal()?;
    let clear = options.watch && !as_json && std::io::stdout().is_terminal();
    let mut before: Option<(u64, Instant)> = None;
    loop {
        let (status, is_over) = read(&parts, options).await?;
        if clear {
            // Home, and clear what is below (ECMA-48, CUP and ED).
            say("\x1b[H\x1b[2J");
        }
        let now = parts.clock.now();
        let speed = before.map(|(accepted, at)| per_second(status.accepted.saturating_sub(accepted), now.saturating_duration_since(at)));
        before = Some((status.accepted, now));
        if as_json {
            say(&serde_json::to_string(&status)?);
        } else {
            print(&status, speed);
        }
        let watching = options.watch && !is_over;
        if !watching || shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
            return Ok(Ended::Well);
        }
    }
}

async fn read(parts: &Parts, options: &StatusOptions) -> anyhow::Result<(Status, bool)> {
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    let progress = ledger.progress(&options.id).await?;
    let [waiting_messages, messages_in_flight, dead_letters] = parts.chunks_queue().await?.depths().await?;
    let (totals, exact) = match broadcast.totals {
        Some(totals) => (totals, true),
        None if options.exact => (ledger.tally(&broadcast).await?.totals(), true),
        None => (
            Totals {
                accepted: progress.accepted,
                rejected: progress.rejected,
                retryable: 0,
                in_doubt: progress.in_doubt,
                delivered: progress.delivered,
                bounced: progress.bounced,
                complained: progress.complained,
                not_rendered: progress.not_rendered,
            },
            false,
        ),
    };
    let is_over = broadcast.broadcast_state.is_over();
    let reason = broadcast.audit_trail.last().map_or(String::new(), |entry| format!("{} ({})", entry.reason, entry.actor));
    let Broadcast { broadcast_id, broadcast_state, recipients, skipped, chunks, granted, remaining, withheld, .. } = broadcast;
    let status = Status {
        broadcast_id: broadcast_id.to_string(),
        state: broadcast_state.to_string(),
        reason,
        audience: recipients + skipped,
        skipped,
        recipients,
        chunks,
        settled_chunks: progress.settled_chunks.min(u64::from(chunks)),
        accepted: totals.accepted,
        rejected: totals.rejected,
        retryable: totals.retryable,
        in_doubt: totals.in_doubt,
        delivered: totals.delivered.max(progress.delivered),
        bounced: totals.bounced.max(progress.bounced),
        complained: totals.complained.max(progress.complained),
        not_rendered: totals.not_rendered.max(progress.not_rendered),
        permits_granted: granted,
        permits_left: remaining,
        permits_withheld: withheld,
        exact,
        waiting_messages,
        messages_in_flight,
        dead_letters,
    };
    Ok((status, is_over))
}

fn print(status: &Status, speed: Option<u64>) {
    let counted = if status.exact { "counted" } else { "told by the consumers, a second old" };
    say(&format!("broadcast     {}", status.broadcast_id));
    say(&format!("state         {}: {}", status.state, status.reason));
    say(&format!("audience      {} ({} recipients, {} skipped)", status.audience, status.recipients, status.skipped));
    say(&format!("accepted      {} ({counted})", status.accepted));
    say(&format!("rejected      {}", status.rejected));
    say(&format!("in doubt      {}", status.in_doubt));
    say(&format!(
        "events        {} delivered, {} bounced, {} complained, {} not rendered",
        status.delivered, status.bounced, status.complained, status.not_rendered
    ));
    say(&format!("chunks        {} of {} settled", status.settled_chunks, status.chunks));
    say(&format!("permits       {} granted, {} left, {} withheld", status.permits_granted, status.permits_left, status.permits_withheld));
    say(&format!(
        "chunks queue  {} waiting, {} in flight, {} dead letters (all broadcasts)",
        status.waiting_messages, status.messages_in_flight, status.dead_letters
    ));
    if let Some(speed) = speed.filter(|speed| *speed > 0) {
        let left = status.recipients.saturating_sub(status.accepted + status.rejected + status.in_doubt);
        say(&format!("rate          {speed} a second, {} s left", left / speed));
    }
}

fn per_second(recipients: u64, elapsed: Duration) -> u64 {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    recipients.saturating_mul(1000) / ms
}
