//! `issei test-send`: one real copy of a letter, through the services that run, to somebody who wants to see it as it
//! arrives. It is a broadcast of its own, so ledger and audit trail have it as they have any other.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use issei_assembly::{Parts, Settings, say};
use issei_ledger::{BroadcastState, EventLog, Ledger, Outcome};
use issei_producer::{check_command, check_copy};
use issei_schema::{Address, BroadcastCommand, BroadcastId, CanaryApproval, CommandVersion, Recipient, TestCopy};
use jiff::SignedDuration;
use serde_json::json;

use super::preview::{Which, read_in, rows};
use crate::args::TestSendOptions;
use crate::command_file;
use crate::commands::serve::on_signal;
use crate::commands::status::running_beside;
use crate::in_use::{self, Care};
use crate::operator::actor;
use crate::{Ended, Interrupted, Refused};

/// For so long the copy may be sent.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Between two looks at the ledger.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn run(settings: &Settings, options: &TestSendOptions, as_json: bool) -> anyhow::Result<Ended> {
    let settings = &settings.clone().with_audiences().await;
    let first = read_in(settings, command_file::read(&options.file)?).await?;
    let which = Which { rows: 1, key: options.key.as_deref(), data: options.data.as_deref() };
    let row = rows(settings, &first, &which).await?.recipients.into_iter().next();
    let Some((_, row)) = row else {
        bail!(Refused(format!("nobody in the audience `{}` can be written to, so there is no letter", first.audience)))
    };
    let (shutdown, parts) = (on_signal()?, in_use::open(settings, Care::MustKnow).await?);
    let (ledger, key) = (parts.ledger(), row.key.clone());
    let id = &enqueue(&parts, settings, first, row, options.to.clone()).await?;
    if !as_json {
        say(&format!("enqueued as {id}, written from the row with the key {key}; waiting for producer and consumer"));
    }
    let waited = shutdown.run_until_cancelled(tokio::time::timeout(Duration::from_secs(options.wait_s), sent(&ledger, id))).await;
    let ended = match waited {
        None => bail!(Interrupted(format!("interrupted; the copy may still be sent: `issei status {id}` shows it"))),
        Some(Err(_)) => bail!(
            "nothing came of it within {} s: {}; it may still be sent, and `issei status {id}` shows it",
            options.wait_s,
            awaited(&parts, id).await?
        ),
        Some(Ok(ended)) => ended?,
    };
    let (is_sent, told) = match &ended {
        Copied::Accepted(message_id) => {
            (true, format!("accepted by the provider as message {}", message_id.as_deref().unwrap_or("(not told)")))
        }
        Copied::InDoubt => (false, "in doubt: nobody knows whether the provider took it".to_owned()),
        Copied::Not(reason) => (false, format!("not sent: {reason}")),
    };
    if as_json {
        let message_id = if let Copied::Accepted(message_id) = &ended { message_id.as_deref() } else { None };
        say(&json!({ "broadcast_id": id, "sent": is_sent, "message_id": message_id, "told": told }).to_string());
    } else {
        say(&format!("{told}; `issei audit {id}` has who asked for it"));
    }
    Ok(match ended {
        Copied::Accepted(_) => Ended::Well,
        Copied::InDoubt => Ended::InDoubt,
        Copied::Not(_) => Ended::Refused,
    })
}

/// Puts a copy of what somebody's row makes of a letter on the queue, and says under which id. What the producer would refuse is
/// refused here.
pub(crate) async fn enqueue(
    parts: &Parts,
    settings: &Settings,
    first: BroadcastCommand,
    row: Recipient,
    to: Address,
) -> anyhow::Result<BroadcastId> {
    let command = copy_of(parts, first, parts.ledger().copied_from(row, to).await?).await?;
    check_copy(&command, &settings.test_recipients)?;
    check_command(&command, &settings.audiences, &settings.unsubscribe_key_names(), &settings.known_providers(), parts.clock.wall())?;
    parts.commands_queue().await?.send(&command.to_body(), Duration::ZERO).await?;
    Ok(command.broadcast_id)
}

/// The command of the copy, which is no broadcast to the audience whatever else the first one says.
async fn copy_of(parts: &Parts, first: BroadcastCommand, copy: TestCopy) -> anyhow::Result<BroadcastCommand> {
    // Room for the number, in an id of 64 bytes.
    let name: String = first.broadcast_id.as_str().chars().take(40).collect();
    let token = parts.dice.token();
    let id = format!("{name}-test-{}", token.get(..8).unwrap_or(&token));
    ensure!(copy.data.values().map(String::len).sum::<usize>() < 16 * 1024, "the row has more data than a letter may");
    Ok(BroadcastCommand {
        version: CommandVersion::V2,
        class: Some(first.class()),
        broadcast_id: BroadcastId::try_from(id).map_err(anyhow::Error::msg)?,
        test_copy: Some(copy),
        max_recipients: NonZeroU64::MIN,
        not_after: parts.clock.wall().checked_add(GOOD_FOR).context("the clock")?,
        // Whoever asks for a copy wants to see it now.
        not_before: None,
        send_window: None,
        effective_at: None,
        ramp: None,
        canary: None,
        canary_approval: CanaryApproval::default(),
        hold: false,
        again: None,
        requested_by: actor(parts).await?,
        ..first
    })
}

/// What is before a copy: consumers take the messages of all broadcasts in whichever order the queue gives them.
async fn awaited(parts: &Parts, id: &BroadcastId) -> anyhow::Result<String> {
    let ledger = parts.ledger();
    if ledger.find_broadcast(id).await?.is_none() {
        let (waiting, _) = parts.commands_queue().await?.counts().await?;
        return Ok(format!("no producer has taken it yet, and {} messages are in the commands queue", waiting.all()));
    }
    let (waiting, _) = parts.chunks_queue().await?.counts().await?;
    let running: Vec<String> = running_beside(&ledger, id).await?.iter().map(|other| format!("`{other}`")).collect();
    let running = if running.is_empty() { "no other broadcast runs".to_owned() } else { format!("{} run", running.join(", ")) };
    Ok(format!("it is among the {} messages of the chunks queue, its own with them, and {running}", waiting.all()))
}

/// What became of a copy.
enum Copied {
    Accepted(Option<String>),
    InDoubt,
    Not(String),
}

async fn sent(ledger: &Ledger, id: &BroadcastId) -> anyhow::Result<Copied> {
    loop {
        if let Some(refused) = ledger.refused(id).await? {
            return Ok(Copied::Not(refused.reason));
        }
        if let Some(broadcast) = ledger.find_broadcast(id).await? {
            let log = EventLog::default();
            let outcome = if broadcast.pages == 0 {
                None
            } else {
                ledger.page_outcomes(&broadcast.placed(), 0, &log).await?.first().and_then(|it| it.outcome)
            };
            match outcome {
                Some(Outcome::Accepted) => {
                    let chunk = ledger.chunks(&broadcast.placed(), &[0]).await?.into_values().next();
                    return Ok(Copied::Accepted(chunk.and_then(|chunk| chunk.message_id(0).map(str::to_owned))));
                }
                Some(Outcome::InDoubt) => return Ok(Copied::InDoubt),
                Some(Outcome::Rejected) => return Ok(Copied::Not("the provider refused the address".to_owned())),
                Some(Outcome::Open | Outcome::Retryable) | None => {}
            }
            if broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Paused {
                let reason = broadcast.decided().map_or_else(|| broadcast.broadcast_state.to_string(), |entry| entry.reason.clone());
                return Ok(Copied::Not(reason));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
