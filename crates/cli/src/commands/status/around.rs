//! What stands around a broadcast: the queues, who is alive, and what the account allows.

use std::collections::BTreeSet;

use issei_assembly::Parts;
use issei_aws::{Queue, QueueError};
use issei_ledger::{Broadcast, BroadcastState, Heartbeat, Ledger, LedgerError, ServiceKind};
use issei_schema::{BroadcastId, ProviderName};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// A service that has not ended and was not seen for less than this is shown, as silent.
const SILENT_SHOWN: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Serialize)]
pub(crate) struct Depths {
    pub(crate) visible: u64,
    pub(crate) in_flight: u64,
    pub(crate) delayed: u64,
    pub(crate) dead_letters: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) service: ServiceKind,
    pub(crate) actor: String,
    pub(crate) version: String,
    pub(crate) seen_s_ago: i64,
    pub(crate) alive: bool,
    /// The providers that broadcasts asked it for in vain: it is not configured for them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) lacks: BTreeSet<ProviderName>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Quota {
    pub(crate) recipients_a_second: f64,
    pub(crate) recipients_a_day: f64,
    pub(crate) sent_in_24_hours: f64,
}

impl Depths {
    pub(crate) async fn of(queue: &Queue) -> Result<Self, QueueError> {
        let (live, dead) = queue.counts().await?;
        let (visible, in_flight, delayed) = (live.visible, live.in_flight, live.delayed);
        Ok(Self { visible, in_flight, delayed, dead_letters: dead.all() })
    }

    /// For people.
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { visible, in_flight, delayed, dead_letters } = self;
        format!("{:<14}{name}: {visible} waiting, {in_flight} in flight, {delayed} delayed, {dead_letters} dead letters", "queue")
    }
}

/// By what those who are alive tell.
pub(super) fn oldest_message_s(runs: &[Heartbeat], now: Timestamp) -> Option<i64> {
    let told = runs.iter().filter(|run| run.is_alive(now)).filter_map(|run| run.oldest_message_at);
    told.min().map(|at| now.duration_since(at).as_secs().max(0))
}

impl Service {
    pub(super) fn of(run: &Heartbeat, now: Timestamp) -> Option<Self> {
        let (alive, silent_for) = (run.is_alive(now), now.duration_since(run.seen_at));
        let is_shown = alive || (run.ended_at.is_none() && silent_for < SILENT_SHOWN);
        is_shown.then(|| Self {
            service: run.service,
            actor: run.actor.clone(),
            version: run.version.clone(),
            seen_s_ago: silent_for.as_secs().max(0),
            alive,
            lacks: run.lacks.clone(),
        })
    }
}

/// The other broadcasts that run: consumers take the messages of all in whichever order the queue gives them.
pub(crate) async fn running_beside(ledger: &Ledger, id: &BroadcastId) -> Result<Vec<BroadcastId>, LedgerError> {
    let mut running = Vec::new();
    for other in ledger.open_broadcasts().await?.into_iter().filter(|other| other != id) {
        if ledger.find_broadcast(&other).await?.is_some_and(|it| it.broadcast_state == BroadcastState::Running) {
            running.push(other);
        }
    }
    Ok(running)
}

/// How fast a broadcast is sent at most, by the account's quota or its provider's rate, by this configuration's ceiling, and by
/// its speed; of one without a day from which it binds nobody asks that.
pub(crate) async fn recipients_a_second(
    parts: &Parts,
    broadcast: &Broadcast,
    now: Timestamp,
    quota: Option<&Quota>,
) -> Result<Option<f64>, LedgerError> {
    let provider = broadcast.provider.clone().unwrap_or_default();
    let told = parts.known_providers().get(&provider).and_then(|known| known.rate);
    let allowed = told.or_else(|| quota.filter(|_| broadcast.provider.is_none()).map(|quota| quota.recipients_a_second));
    parts.ledger().recipients_a_second(broadcast, now, [allowed, parts.rate_ceiling()]).await
}

/// Nothing where SES does not tell.
pub(crate) async fn quota(parts: &Parts) -> Option<Quota> {
    let account = parts.ses().account().await;
    let quota = account.inspect_err(|error| tracing::debug!(error, "the quota can't be read")).ok()?.quota?;
    Some(Quota { recipients_a_second: quota.a_second, recipients_a_day: quota.a_day, sent_in_24_hours: quota.sent_in_24_hours })
}
