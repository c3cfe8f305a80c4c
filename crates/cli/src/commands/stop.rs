//! `issei stop` and `issei open`.
//!
//! A stop is one conditional write. The rest of the command is about what may still be sent after it:
//! it says so before it acts, and calls the stop proved only once no sender can be left.

use std::time::Duration;

use issei_assembly::{Parts, Settings, say};
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError, Transition};
use issei_schema::{Actor, BroadcastId};
use serde::Serialize;
use serde_json::json;

use crate::Ended;
use crate::args::{OpenOptions, StopOptions};
use crate::commands::serve::on_signal;
use crate::operator;

/// What is known of a stop at its end.
#[derive(Serialize)]
struct Stopped {
    broadcast_id: BroadcastId,
    state: BroadcastState,
    /// Recipients whose permits were out when the stop was asked for.
    permits_outstanding: u64,
    accepted: u64,
    in_doubt: u64,
    /// Nothing can be sent any more, and nothing that was sent can still be accepted.
    proved: bool,
}

pub(crate) async fn stop(settings: &Settings, options: &StopOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let (ledger, actor) = (parts.ledger(), operator::actor(&parts).await?);
    let ids = if let Some(id) = &options.id {
        vec![ledger.broadcast(id).await?.broadcast_id]
    } else {
        // Closed first: whatever is registered before is among the open ones.
        ledger.close(&actor, &options.reason).await?;
        tell(as_json, "New broadcasts are refused until `issei open`.");
        ledger.open_broadcasts().await?
    };
    if options.hard {
        switch_sending(&parts, false).await?;
        tell(as_json, &format!("The configuration set `{}` may not send until `issei open`.", settings.configuration_set));
    }
    let mut outstanding = Vec::new();
    for id in ids {
        let out = permits_outstanding(&ledger, &id).await?;
        let leak = settings.timing().longest_leak().as_secs();
        tell(as_json, &format!("{id}: at most {out} recipients whose permits are out may still be sent to, for {leak} s at most."));
        // With everything to be stopped, one that has just ended by itself is no failure.
        match end(&ledger, &id, &actor, &options.reason).await {
            Ok(()) => outstanding.push((id, out)),
            Err(LedgerError::Transition { from, .. }) if options.all || is_ending(from) => outstanding.push((id, out)),
            Err(error) => return Err(error.into()),
        }
    }
    let stopped = prove(&parts, &actor, outstanding, options.hard, as_json).await?;
    if as_json {
        say(&json!({ "stopped": stopped, "closed": options.all, "sending_off": options.hard }).to_string());
    }
    Ok(if stopped.iter().all(|stopped| stopped.proved) { Ended::Well } else { Ended::Refused })
}

/// The one write. Before the first permit there is nothing to wait for.
pub(crate) async fn end(ledger: &Ledger, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<(), LedgerError> {
    let now = ledger.broadcast(id).await?.broadcast_state;
    let to = if now == BroadcastState::Enumerating { BroadcastState::Stopped } else { BroadcastState::Stopping };
    ledger.transition(id, Transition { to, actor, reason }).await?;
    Ok(())
}

/// Stopped before, by somebody else or by this command, whose wait was cut short.
fn is_ending(state: BroadcastState) -> bool {
    matches!(state, BroadcastState::Stopping | BroadcastState::Stopped)
}

/// Permits granted and not yet used up, as far as the consumers have told: never too few.
async fn permits_outstanding(ledger: &Ledger, id: &BroadcastId) -> anyhow::Result<u64> {
    let (broadcast, progress) = (ledger.broadcast(id).await?, ledger.progress(id).await?);
    Ok(broadcast.granted.saturating_sub(progress.accepted + progress.rejected + progress.in_doubt))
}

/// Waits until every permit has expired, and then, where something was under way, until it can no longer
/// be accepted.
async fn prove(parts: &Parts, actor: &Actor, stopping: Vec<(BroadcastId, u64)>, hard: bool, as_json: bool) -> anyhow::Result<Vec<Stopped>> {
    let (ledger, timing) = (parts.ledger(), parts.settings.timing());
    let shutdown = on_signal()?;
    let is_waiting = any_stopping(&ledger, &stopping).await?;
    let mut is_over = !is_waiting || shutdown.run_until_cancelled(tokio::time::sleep(timing.longest_leak())).await.is_some();
    let reason = "every permit granted before the stop has expired";
    if is_over {
        for (id, _) in &stopping {
            match ledger.transition(id, Transition { to: BroadcastState::Stopped, actor, reason }).await {
                // A producer that looks after broadcasts may have been first.
                Ok(_) | Err(LedgerError::Transition { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    // Nothing begins any more. What had begun is settled, or may be accepted until its signature is too
    // old for AWS; a configuration set that may not send refuses it.
    let unsettled = unsettled(&ledger, &stopping).await?;
    if is_over && unsettled > 0 && !hard {
        let left = timing.claims_over_after().saturating_sub(timing.longest_leak());
        let seconds = left.as_secs();
        tell(
            as_json,
            &format!(
                "{unsettled} recipients are in doubt: their requests may be accepted for {seconds} s more. Waiting; Ctrl-C ends the wait alone."
            ),
        );
        is_over = wait(&shutdown, left, as_json).await;
    }
    let mut all = Vec::new();
    for (id, permits_outstanding) in stopping {
        let broadcast: Broadcast = ledger.broadcast(&id).await?;
        let totals = ledger.tally(&broadcast).await?.totals();
        let proved = is_over && broadcast.broadcast_state.is_over();
        let (state, accepted, in_doubt) = (broadcast.broadcast_state, totals.accepted, totals.in_doubt);
        let proof =
            if proved { "nothing of it can be sent or accepted any more" } else { "not proved: repeat the command to go on waiting" };
        tell(as_json, &format!("{id} is {state}: {accepted} accepted, {in_doubt} in doubt; {proof}."));
        all.push(Stopped { broadcast_id: id, state, permits_outstanding, accepted, in_doubt, proved });
    }
    if all.is_empty() {
        tell(as_json, "No broadcast was under way.");
    }
    Ok(all)
}

async fn any_stopping(ledger: &Ledger, stopping: &[(BroadcastId, u64)]) -> anyhow::Result<bool> {
    for (id, _) in stopping {
        if ledger.broadcast(id).await?.broadcast_state == BroadcastState::Stopping {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn unsettled(ledger: &Ledger, stopping: &[(BroadcastId, u64)]) -> anyhow::Result<u64> {
    let mut unsettled = 0;
    for (id, _) in stopping {
        unsettled += ledger.tally(&ledger.broadcast(id).await?).await?.totals().in_doubt;
    }
    Ok(unsettled)
}

/// Waits, and says now and then for how long still. False where it was cut short.
async fn wait(shutdown: &tokio_util::sync::CancellationToken, mut left: Duration, as_json: bool) -> bool {
    const STEP: Duration = Duration::from_secs(30);
    while !left.is_zero() {
        let step = left.min(STEP);
        if shutdown.run_until_cancelled(tokio::time::sleep(step)).await.is_none() {
            return false;
        }
        left -= step;
        if !left.is_zero() {
            tell(as_json, &format!("{} s more", left.as_secs()));
        }
    }
    true
}

pub(crate) async fn open(settings: &Settings, options: &OpenOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let actor = operator::actor(&parts).await?;
    let closing = parts.ledger().open().await?;
    switch_sending(&parts, true).await?;
    tracing::info!(%actor, options.reason, "open for new broadcasts");
    let text = match &closing {
        Some(closing) => {
            format!("Open for new broadcasts; closed since {} by {}: {}", closing.closed_at, closing.closed_by, closing.reason)
        }
        None => "It was open for new broadcasts already.".to_owned(),
    };
    let set = &settings.configuration_set;
    say(&if as_json {
        json!({ "ended": closing, "sending_on": set }).to_string()
    } else {
        format!(
            "{text}\nThe configuration set `{set}` may send.\nWhat was stopped stays so; commands refused meanwhile are in the dead-letter queue."
        )
    });
    Ok(Ended::Well)
}

async fn switch_sending(parts: &Parts, on: bool) -> anyhow::Result<()> {
    let set = &parts.settings.configuration_set;
    let request = parts.clients.ses.put_configuration_set_sending_options().configuration_set_name(set).sending_enabled(on);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => anyhow::bail!(
            "the configuration set `{set}` can't be switched: {}; check its name and the permission ses:PutConfigurationSetSendingOptions",
            issei_aws::chain(&error)
        ),
    }
}

/// For people; programs get one object at the end.
fn tell(as_json: bool, line: &str) {
    if !as_json {
        say(line);
    }
}
