//! `issei pause`, `resume`, `approve` and `stop`: one conditional write each, with who and why.

use anyhow::bail;
use issei_ledger::{Broadcast, BroadcastState, Transition};

use crate::Ended;
use crate::args::OperateOptions;
use crate::logs::say;
use crate::parts::{Parts, operator};
use crate::settings::Settings;

pub(crate) async fn pause(settings: &Settings, options: &OperateOptions) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let broadcast = step(&parts, options, BroadcastState::Paused).await?;
    say(&format!("{} is paused. {}", broadcast.broadcast_id, leak(&parts)));
    Ok(Ended::Well)
}

pub(crate) async fn resume(settings: &Settings, options: &OperateOptions) -> anyhow::Result<Ended> {
    from(settings, options, BroadcastState::Paused, "resume").await
}

pub(crate) async fn approve(settings: &Settings, options: &OperateOptions) -> anyhow::Result<Ended> {
    from(settings, options, BroadcastState::Holding, "approve").await
}

pub(crate) async fn stop(settings: &Settings, options: &OperateOptions) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let ledger = parts.ledger();
    let enumerating = ledger.broadcast(&options.id).await?.broadcast_state == BroadcastState::Enumerating;
    let to = if enumerating { BroadcastState::Stopped } else { BroadcastState::Stopping };
    let broadcast = step(&parts, options, to).await?;
    if enumerating {
        say(&format!("{} is stopped. Nothing was sent.", broadcast.broadcast_id));
        return Ok(Ended::Well);
    }
    say(&format!("{} is stopping. {}", broadcast.broadcast_id, leak(&parts)));
    tokio::time::sleep(parts.settings.timing().longest_leak()).await;
    let actor = operator()?;
    let reason = "every permit granted before the stop has expired";
    match ledger.transition(&options.id, Transition { to: BroadcastState::Stopped, actor: &actor, reason }).await {
        // A producer that looks after broadcasts may have been first.
        Ok(_) | Err(issei_ledger::LedgerError::Transition { from: BroadcastState::Stopped, .. }) => {
            say(&format!("{} is stopped.", options.id));
            Ok(Ended::Well)
        }
        Err(error) => Err(error.into()),
    }
}

/// `resume` is for paused broadcasts and `approve` for held ones, so that neither is done by mistake.
async fn from(settings: &Settings, options: &OperateOptions, from: BroadcastState, verb: &str) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let now = parts.ledger().broadcast(&options.id).await?.broadcast_state;
    if now != from {
        bail!("broadcast `{}` is {now}; `issei {verb}` is for one that is {from}", options.id);
    }
    let broadcast = step(&parts, options, BroadcastState::Running).await?;
    say(&format!(
        "{} is running, with {} permits left to grant. Messages put back come again within a minute.",
        broadcast.broadcast_id, broadcast.remaining
    ));
    Ok(Ended::Well)
}

async fn step(parts: &Parts, options: &OperateOptions, to: BroadcastState) -> anyhow::Result<Broadcast> {
    let actor = operator()?;
    Ok(parts.ledger().transition(&options.id, Transition { to, actor: &actor, reason: &options.reason }).await?)
}

fn leak(parts: &Parts) -> String {
    format!(
        "What consumers hold permits for may still be sent for {} s; then nothing is.",
        parts.settings.timing().longest_leak().as_secs()
    )
}
