//! `issei open`: new broadcasts are taken again, and SES sends for this configuration set.
//!
//! It ends the closing that it has read, and lets SES send only once that is done: whoever has closed everything meanwhile, or has
//! shut SES by force, is not undone. What was stopped by force alone may be sent once SES lets it, so it names every stop that is not proved yet.

use issei_assembly::{Parts, Settings, say};
use issei_ledger::{Broadcast, BroadcastState, Closing, Ledger, LedgerError, Opened, Opening, Shut, Widest};
use issei_schema::{BroadcastId, ProviderName, without_addresses};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::stop::switch_sending;
use crate::Ended;
use crate::args::OpenOptions;
use crate::in_use::{self, Care};
use crate::operator;
use crate::proof::{StopProof, Stopped};

/// For so long somebody counts of whom nobody knows with which timeouts they send.
const UNTOLD_FOR: SignedDuration = SignedDuration::from_hours(6);

/// A stop of which nobody knows yet that nothing of it is sent once SES lets it.
#[derive(Serialize)]
struct Unproved {
    broadcast_id: BroadcastId,
    /// Until then at the latest; nothing where no time tells.
    until: Option<Timestamp>,
    /// Why nothing better is known.
    reason: Option<String>,
}

pub(crate) async fn open(settings: &Settings, options: &OpenOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let (actor, ledger) = (operator::actor(&parts).await?, parts.ledger());
    let known = ledger.last_shut().await?;
    let Opening { ended, .. } = match ledger.open(&actor, &options.reason).await? {
        Opened::Done(opening) => opening,
        Opened::ClosedSince(closing) => {
            Since::Closed(closing).tell("Nothing was opened", as_json);
            return Ok(Ended::Refused);
        }
    };
    let unproved = unproved(&parts).await;
    // Whoever is known to have ordered otherwise by now needs no moment of SES that sends.
    if let Some(since) = Since::read(&ledger, known.as_ref()).await? {
        since.tell("SES was left as it is", as_json);
        return Ok(Ended::Refused);
    }
    // Whoever closes everything, or shuts SES by force, writes that down and shuts SES after that. So where it stands there by now, SES
    // may have been opened over their order, also by a request of which no answer came.
    let switched = switch_sending(&parts, true).await;
    let since = Since::read(&ledger, known.as_ref()).await;
    if !matches!(since, Ok(None)) {
        switch_sending(&parts, false).await?;
    }
    if let Some(since) = since? {
        since.tell("SES was shut again", as_json);
        return Ok(Ended::Refused);
    }
    switched?;
    tracing::info!(%actor, reason = without_addresses(&options.reason), "open for new broadcasts");
    let set = &settings.configuration_set;
    if as_json {
        say(&json!({ "opened": true, "ended": ended, "sending_on": set, "unproved": unproved }).to_string());
        return Ok(Ended::Well);
    }
    say(&match &ended {
        Some(closing) => {
            format!("Open for new broadcasts; closed since {} by {}: {}", closing.closed_at, closing.closed_by, closing.reason)
        }
        None => "It was open for new broadcasts already.".to_owned(),
    });
    say(&format!("The configuration set `{set}` may send."));
    for Unproved { broadcast_id: id, until, reason } in &unproved {
        let until = until.map_or("for how long nobody knows".to_owned(), |until| format!("until {until:.0} at the latest"));
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        say(&format!(
            "NOT PROVED    {id} was stopped, and what a consumer holds of it may be sent now, {until}{reason}; `issei stop {id}` waits for the proof."
        ));
    }
    say("What was stopped stays so; commands refused meanwhile are in the dead-letter queue.");
    Ok(Ended::Well)
}

/// Somebody else's order that came between, and stays in force.
enum Since {
    Closed(Closing),
    /// Of one broadcast alone: new ones are accepted.
    Shut(Shut),
}

impl Since {
    /// `known` is the order to shut SES that stood there when this one was given.
    async fn read(ledger: &Ledger, known: Option<&Shut>) -> Result<Option<Self>, LedgerError> {
        if let Some(closing) = ledger.closing().await? {
            return Ok(Some(Self::Closed(closing)));
        }
        let last = ledger.last_shut().await?;
        Ok(last.filter(|last| known != Some(last)).map(Self::Shut))
    }

    fn tell(&self, what: &str, as_json: bool) {
        let (at, by, reason, done, then) = match self {
            Self::Closed(closing) => {
                let (at, by, reason) = closing.last_order();
                (at, by, reason, "has closed everything", "repeat this to end that closing, too")
            }
            Self::Shut(Shut { shut_at, shut_by, reason, .. }) => {
                (*shut_at, shut_by.as_str(), reason.as_str(), "has shut SES by force", "repeat this to let SES send all the same")
            }
        };
        say(&match (as_json, self) {
            (true, Self::Closed(closing)) => json!({ "opened": false, "closed_since": closing }).to_string(),
            (true, Self::Shut(shut)) => json!({ "opened": false, "shut_since": shut }).to_string(),
            (false, _) => format!("{what}: {by} {done} since this was asked, at {at:.0}: {reason}. Ask them; {then}."),
        });
    }
}

/// Those by SES that were stopped so lately that SES alone may have kept them from being sent. What can't be read is named: nobody is
/// kept from opening by it.
async fn unproved(parts: &Parts) -> Vec<Unproved> {
    let (ledger, now) = (parts.ledger(), parts.clock.wall());
    let (widest, ids) = match (operator::widest(parts).await, ledger.known_broadcasts().await) {
        (Ok(widest), Ok(ids)) => (widest, ids),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "nobody knows which stops are not proved yet");
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    for id in ids {
        let found = match ledger.broadcast(&id).await {
            Ok(broadcast) => one(parts, &broadcast, &widest, now).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => all.extend(found),
            Err(error) => all.push(Unproved { broadcast_id: id, until: None, reason: Some(error.to_string()) }),
        }
    }
    all
}

async fn one(parts: &Parts, broadcast: &Broadcast, widest: &Widest, now: Timestamp) -> Result<Option<Unproved>, LedgerError> {
    let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
    let is_by_ses = broadcast.provider.as_ref().is_none_or(|provider| *provider == ProviderName::default());
    let longest = SignedDuration::try_from(widest.timing.claims_over_after()).unwrap_or(SignedDuration::MAX);
    let counts_for = if widest.untold.is_empty() { longest } else { longest.max(UNTOLD_FOR) };
    let is_lately = state == BroadcastState::Stopping || broadcast.last_step().is_none_or(|step| now.duration_since(step.at) < counts_for);
    if !is_by_ses || !is_lately || !matches!(state, BroadcastState::Stopping | BroadcastState::Stopped) {
        return Ok(None);
    }
    let ledger = parts.ledger();
    let (trail, totals) = (ledger.audit_trail(broadcast).await?, ledger.tally(broadcast).await?.totals());
    let stopped = Stopped { state, provider: None, trail: &trail, in_doubt: Some(totals.in_doubt) };
    let until = match stopped.judged_by_a_later_count(widest, now) {
        StopProof::Since(_) => return Ok(None),
        StopProof::NotBefore(at) => Some(at),
        StopProof::Unsaid => None,
    };
    Ok(Some(Unproved { broadcast_id: id.clone(), until, reason: None }))
}
