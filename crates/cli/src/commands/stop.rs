//! `issei stop` and `issei open`.
//!
//! A stop is one conditional write for each broadcast, and then, with `--hard`, a switch of the provider's.
//! Whatever of this fails is told at once, with its reason, and the rest is done all the same: nobody who
//! wants something stopped must be kept from it by something else that is broken. What may still be sent
//! afterwards is told next, and [`prove`](super::prove) waits until it can't be.

use issei_assembly::{Parts, Settings, say, say_error};
use issei_ledger::{BroadcastState, Ledger, LedgerError};
use issei_schema::{Actor, BroadcastId, ProviderName};
use serde::Serialize;
use serde_json::json;

use super::prove::{Wait, prove};
use crate::args::{OpenOptions, StopOptions};
use crate::operator;
use crate::{Ended, Refused};

/// A broadcast of which nothing more is granted.
pub(crate) struct Stopping {
    pub(crate) id: BroadcastId,
    /// Recipients who may still be sent to, or whose request may still be accepted: never too few.
    pub(crate) outstanding: u64,
    /// Who carries it, where that is not SES: nobody refuses its requests for their age, and it can't be shut from here.
    pub(crate) provider: Option<ProviderName>,
}

impl Stopping {
    /// What may still come of it. `bound` says for how long by SES, which refuses what is older.
    pub(crate) fn told(&self, bound: &str) -> String {
        let Self { id, outstanding, provider } = self;
        let why = "their permits are out, or their requests without an answer";
        match provider {
            None => format!("{id}: at most {outstanding} recipients may still be sent to, {bound}: {why}"),
            Some(provider) => format!(
                "{id}: at most {outstanding} recipients may still be sent to: {why}. For how long no time tells, since {provider} refuses no request for its age: it is over once every consumer has said that it holds nothing of it and nobody is in doubt"
            ),
        }
    }
}

/// What could not be done, and why.
#[derive(Serialize)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) reason: String,
}

/// What could not be done so far. People are told at once, since the proof takes its time.
#[derive(Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(crate) fn note(&mut self, what: &str, reason: impl ToString) {
        let (what, reason) = (what.to_owned(), reason.to_string());
        if !self.0.iter().any(|failure| failure.what == what) {
            say_error(&format!("{what}: {reason}"));
            self.0.push(Failure { what, reason });
        }
    }
}

/// What became of an order to stop.
pub(crate) struct Order {
    /// New broadcasts are refused.
    pub(crate) closed: bool,
    pub(crate) stopping: Vec<Stopping>,
    /// Broadcasts that could not be stopped, by what the ledger calls them.
    pub(crate) failed: Vec<(String, LedgerError)>,
}

pub(crate) async fn stop(settings: &Settings, options: &StopOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let (ledger, actor) = (parts.ledger(), operator::actor(&parts).await?);
    let order = match &options.id {
        None => end_all(&ledger, &actor, &options.reason).await,
        Some(id) => end_one(&ledger, id, &actor, &options.reason).await,
    };
    if options.id.is_some() && !options.hard && order.failed.iter().any(|(_, error)| has_nothing_under_way(error)) {
        let told = order.failed.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ");
        let told = format!("{told}: there is nothing of it to stop; `issei list` shows what is under way");
        // One that is over was looked at, and the answer is no; one that is not there is a mistake.
        let is_over = order.failed.iter().all(|(_, error)| matches!(error, LedgerError::Transition { .. }));
        return Err(if is_over { Refused(told).into() } else { anyhow::anyhow!(told) });
    }
    let mut failures = Failures::default();
    for (what, error) in &order.failed {
        failures.note(what, error);
    }
    if order.closed {
        tell(as_json, "New broadcasts are refused until `issei open`.");
    }
    let mut sending_off = false;
    if options.hard {
        let set = &settings.configuration_set;
        match switch_sending(&parts, false).await {
            Ok(()) => {
                sending_off = true;
                tell(as_json, &format!("The configuration set `{set}` may not send until `issei open`."));
            }
            Err(error) => failures.note("the provider", error),
        }
    }
    for Stopping { id, provider, .. } in &order.stopping {
        if let Some(provider) = provider.as_ref().filter(|_| options.hard) {
            tell(as_json, &format!("{id} is carried by {provider}, which --hard does not shut: revoke its key to have it refused."));
        }
    }
    let all_by_ses = order.stopping.iter().all(|stopping| stopping.provider.is_none());
    let wait = Wait::after_stop(&parts, sending_off && all_by_ses, &mut failures).await;
    let bound = format!("for {} s at most", wait.longest().as_secs());
    order.stopping.iter().for_each(|stopping| tell(as_json, &format!("{}.", stopping.told(&bound))));
    for actor in wait.untold() {
        tell(as_json, &format!("{actor} does not say with which timeouts it sends, since its build is older: end it."));
    }
    let stopped = prove(&parts, &actor, order.stopping, &wait, &mut failures, as_json).await?;
    let Failures(failed) = failures;
    if as_json {
        say(&json!({ "stopped": stopped, "closed": order.closed, "sending_off": sending_off, "failed": failed }).to_string());
    }
    if !failed.is_empty() {
        let all = failed.iter().map(|failure| failure.what.as_str()).collect::<Vec<_>>().join(", ");
        let hint = if sending_off {
            "SES refuses what is not stopped, as long as the configuration set may not send"
        } else {
            "what is not stopped may go on sending: --hard makes SES refuse it, whatever the ledger says"
        };
        anyhow::bail!("not everything was done: {all} ({hint})");
    }
    Ok(if stopped.iter().all(|stopped| stopped.proved) { Ended::Well } else { Ended::Refused })
}

/// Ends one broadcast. One that is ending already is waited for again.
async fn end_one(ledger: &Ledger, id: &BroadcastId, actor: &Actor, reason: &str) -> Order {
    let mut order = Order { closed: false, stopping: Vec::new(), failed: Vec::new() };
    match end(ledger, id, actor, reason, |from| matches!(from, BroadcastState::Stopping | BroadcastState::Stopped)).await {
        Ok(stopping) => order.stopping.push(stopping),
        Err(error) => order.failed.push((format!("broadcast `{id}`"), error)),
    }
    order
}

/// Refuses new broadcasts and ends every one that is under way, whatever becomes of each.
pub(crate) async fn end_all(ledger: &Ledger, actor: &Actor, reason: &str) -> Order {
    let mut order = Order { closed: false, stopping: Vec::new(), failed: Vec::new() };
    // Closed first: whatever is registered before is among the open ones.
    match ledger.close(actor, reason).await {
        Ok(_) => order.closed = true,
        Err(error) => order.failed.push(("closing for new broadcasts".to_owned(), error)),
    }
    let entries = ledger.open_entries().await.unwrap_or_else(|error| {
        order.failed.push(("the list of open broadcasts".to_owned(), error));
        Vec::new()
    });
    for entry in entries {
        let id = match entry {
            Ok(id) => id,
            Err(error) => {
                order.failed.push(("an entry of the list of open broadcasts".to_owned(), error));
                continue;
            }
        };
        // One that has just ended by itself is no failure.
        match end(ledger, &id, actor, reason, |_| true).await {
            Ok(stopping) => order.stopping.push(stopping),
            Err(error) => order.failed.push((format!("broadcast `{id}`"), error)),
        }
    }
    order
}

/// The one write, and what may still come after it. Where the step is refused, `is_well` says of the
/// state whether that is as good.
pub(crate) async fn end(
    ledger: &Ledger,
    id: &BroadcastId,
    actor: &Actor,
    reason: &str,
    is_well: impl Fn(BroadcastState) -> bool,
) -> Result<Stopping, LedgerError> {
    // Read before the write and compared with what was granted by then: whatever is granted in between
    // counts. Where it can't be read, nobody counts as settled, and the bound is larger.
    let settled = ledger.surely_settled(id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, broadcast.id = %id, "progress can't be read; everybody who has a permit counts as not sent to");
        0
    });
    let broadcast = match ledger.end(id, actor, reason).await {
        Err(LedgerError::Transition { from, .. }) if is_well(from) => ledger.broadcast(id).await,
        other => other,
    }?;
    Ok(Stopping { id: id.clone(), outstanding: broadcast.granted.saturating_sub(settled), provider: broadcast.provider })
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

/// Whether what was to be stopped is over, or was never there: no cause to shut SES for everybody.
fn has_nothing_under_way(error: &LedgerError) -> bool {
    match error {
        LedgerError::Transition { from, .. } => from.is_over(),
        LedgerError::NoBroadcast { .. } => true,
        _ => false,
    }
}

async fn switch_sending(parts: &Parts, on: bool) -> anyhow::Result<()> {
    parts.ses().let_send(on).await.map_err(anyhow::Error::msg)
}

/// For people; programs get one object at the end.
pub(super) fn tell(as_json: bool, line: &str) {
    if !as_json {
        say(line);
    }
}
