//! `issei pause`, `resume` and `approve`: one conditional write each, with who and why.

use anyhow::bail;
use issei_assembly::{Parts, Settings, say};
use issei_ledger::{Broadcast, BroadcastState, Transition};
use serde_json::json;

use crate::Ended;
use crate::args::OperateOptions;
use crate::operator;

pub(crate) async fn pause(settings: &Settings, options: &OperateOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let broadcast = step(&parts, options, BroadcastState::Paused).await?;
    let text = if broadcast.broadcast_state == BroadcastState::Paused {
        // It is paused, whether this can be read or not.
        let bound = match operator::widest(&parts).await {
            Ok(widest) => format!("for {} s at most", widest.timing.refused_after().as_secs()),
            Err(error) => format!("and nobody knows for how long, since the timeouts of those who send can't be read ({error})"),
        };
        format!(
            "{} is paused. What consumers hold permits for may still be sent, {bound}; then nothing is until `issei resume`.",
            broadcast.broadcast_id
        )
    } else {
        overtaken(&broadcast, "pause")
    };
    say(&told(&broadcast, &text, as_json));
    Ok(Ended::Well)
}

pub(crate) async fn resume(settings: &Settings, options: &OperateOptions, as_json: bool) -> anyhow::Result<Ended> {
    from(settings, options, BroadcastState::Paused, "resume", as_json).await
}

pub(crate) async fn approve(settings: &Settings, options: &OperateOptions, as_json: bool) -> anyhow::Result<Ended> {
    from(settings, options, BroadcastState::Holding, "approve", as_json).await
}

/// `resume` is for paused broadcasts and `approve` for held ones, so that neither is done by mistake.
async fn from(settings: &Settings, options: &OperateOptions, from: BroadcastState, verb: &str, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let now = parts.ledger().broadcast(&options.id).await?.broadcast_state;
    if now != from {
        bail!("broadcast `{}` is {now}; `issei {verb}` is for one that is {from}", options.id);
    }
    let broadcast = step(&parts, options, BroadcastState::Running).await?;
    let text = if broadcast.broadcast_state == BroadcastState::Running {
        format!(
            "{} is running, with {} permits left to grant. Messages put back come again within a minute.",
            broadcast.broadcast_id, broadcast.remaining
        )
    } else {
        overtaken(&broadcast, verb)
    };
    say(&told(&broadcast, &text, as_json));
    Ok(Ended::Well)
}

/// The step was taken, its answer came late, and somebody has taken another since.
fn overtaken(broadcast: &Broadcast, verb: &str) -> String {
    let by = broadcast.decided().map_or(String::new(), |entry| format!(" by {}: {}", entry.actor, entry.reason));
    format!("{}: {verb} was done, and since then it is {}{by}", broadcast.broadcast_id, broadcast.broadcast_state)
}

async fn step(parts: &Parts, options: &OperateOptions, to: BroadcastState) -> anyhow::Result<Broadcast> {
    let actor = operator::actor(parts).await?;
    Ok(parts.ledger().transition(&options.id, Transition { to, actor: &actor, reason: &options.reason }).await?)
}

fn told(broadcast: &Broadcast, text: &str, as_json: bool) -> String {
    let Broadcast { broadcast_id, broadcast_state, remaining, .. } = broadcast;
    let json = json!({ "broadcast_id": broadcast_id, "state": broadcast_state, "permits_left": remaining });
    if as_json { json.to_string() } else { text.to_owned() }
}
