//! The invariants, checked against the provider's own record.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use issei_clock::Instant;
use issei_ledger::{Broadcast, BroadcastState, Ledger, Outcome};
use issei_schema::BroadcastId;
use issei_sim::Cloud;
use jiff::Timestamp;

/// An invariant that does not hold, and how that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: &'static str,
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.invariant, self.how)
    }
}

pub(crate) fn broken<T>(invariant: &'static str, how: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, how: how.into() })
}

/// What was seen when a stop was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    pub(crate) at: Instant,
    pub(crate) accepted: u64,
    /// Permits granted and not given back at that moment.
    pub(crate) granted: u64,
    /// What was accepted before anything was asked, and how much more a person was told to expect.
    pub(crate) before: u64,
    pub(crate) bound: u64,
}

/// What must hold at any moment.
pub(crate) fn during(broadcast: &Broadcast, cloud: &Cloud) -> Result<(), Broken> {
    let budget = broadcast.recipients.saturating_sub(broadcast.withheld);
    if broadcast.granted > budget || broadcast.granted + broadcast.remaining > budget {
        return broken("I5", format!("{} permits granted and {} left of a budget of {budget}", broadcast.granted, broadcast.remaining));
    }
    if broadcast.recipients > broadcast.max_recipients {
        return broken("I5", format!("{} recipients frozen, {} allowed", broadcast.recipients, broadcast.max_recipients));
    }
    if broadcast.holds_before_first_send() && (cloud.accepted() > 0 || broadcast.remaining + broadcast.granted > 0) {
        return broken("I5", format!("it holds before its first send, and {} were accepted", cloud.accepted()));
    }
    if cloud.accepted() > broadcast.recipients {
        return broken("I5", format!("{} accepted of an audience of {}", cloud.accepted(), broadcast.recipients));
    }
    Ok(())
}

/// I4: what is sent after an acknowledged stop.
pub(crate) fn stopped(stop: &Stopped, cloud: &Cloud, permit_life: Duration) -> Result<(), Broken> {
    let leak = cloud.accepted() - stop.accepted;
    // Permits behind what is accepted already are used up.
    let outstanding = stop.granted.saturating_sub(stop.accepted);
    if leak > outstanding {
        return broken("I4", format!("{leak} were accepted after the stop, {outstanding} permits were outstanding"));
    }
    let (more, bound) = (cloud.accepted() - stop.before, stop.bound);
    if more > bound {
        return broken("I4", format!("{more} were accepted since the stop was asked for, and it said {bound}"));
    }
    match cloud.last_send_at() {
        Some(last) if last > stop.at + permit_life => broken(
            "I4",
            format!("a send began {:?} after the stop, and permits live {permit_life:?}", last.saturating_duration_since(stop.at)),
        ),
        _ => Ok(()),
    }
}

/// A certificate finds nothing wrong with a ledger that is over: whatever went wrong on the way, it raises no
/// false alarm, and the rules that it goes by are the ledger's own.
pub(crate) async fn certified(ledger: &Ledger, broadcast: &Broadcast, now: Timestamp) -> Result<(), Broken> {
    if !broadcast.broadcast_state.is_over() {
        return Ok(());
    }
    let findings = issei_certificate::what_the_ledger_holds(ledger, broadcast, Duration::ZERO, now).await;
    match findings.iter().find(|finding| !finding.holds()) {
        Some(finding) => broken("the certificate", format!("{}: {} (rule: {})", finding.what, finding.value, finding.rule)),
        None => Ok(()),
    }
}

/// What must hold at the end, when nothing goes wrong any more and every event has been read.
pub(crate) async fn at_the_end(ledger: &Ledger, cloud: &Cloud, broadcast: &Broadcast, all_events: bool) -> Result<(), Broken> {
    let id: &BroadcastId = &broadcast.broadcast_id;
    let mut seen = BTreeSet::new();
    // Those who had their permit. A claim that arrives when its permit is long over, from a consumer that
    // is gone, sends nothing and spends nothing, though it stands.
    let mut spent = 0;
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    for seq in 0..broadcast.pages {
        let outcomes = match ledger.page_outcomes(id, seq).await {
            Ok(outcomes) => outcomes,
            Err(error) => return broken("I6", format!("page {seq} can't be read: {error}")),
        };
        for recipient in outcomes {
            let key = recipient.recipient.key.as_str().to_owned();
            let address = recipient.recipient.address.as_str();
            let (asked, accepted) = cloud.sent_for(id.as_str(), address).map_or((0, 0), |sent| (sent.requests, sent.accepted));
            if asked > 0 && !matches!(recipient.outcome, Some(Outcome::Retryable) | None) {
                spent += 1;
            }
            if !seen.insert(key.clone()) {
                return broken("I6", format!("user {key} stands in two chunks"));
            }
            if accepted > 1 {
                return broken("I1", format!("user {key} was accepted {accepted} times, chunk {}", recipient.chunk));
            }
            let listed = matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open));
            match (accepted, recipient.outcome) {
                (1, Some(Outcome::Accepted)) => {}
                (1, _) if all_events => {
                    return broken("I2", format!("user {key} was accepted, its event was read, and it is {:?}", recipient.outcome));
                }
                (1, _) if listed => {}
                (1, outcome) => return broken("I2", format!("user {key} was accepted and is {outcome:?}")),
                (_, Some(Outcome::Accepted)) => return broken("I2", format!("user {key} was never accepted and is recorded as accepted")),
                (_, Some(Outcome::Retryable) | None) if is_complete => {
                    return broken("I7", format!("complete, and user {key} is {:?}", recipient.outcome));
                }
                _ => {}
            }
        }
    }
    if seen.len() as u64 != broadcast.recipients {
        return broken("I6", format!("{} recipients in the pages, {} in the broadcast", seen.len(), broadcast.recipients));
    }
    let totals = match ledger.tally(broadcast).await {
        Ok(tally) => tally.totals(),
        Err(error) => return broken("I2", format!("the outcomes can't be read: {error}")),
    };
    if is_complete && totals.accepted + totals.rejected + totals.in_doubt != broadcast.recipients {
        return broken("I2", format!("the outcomes don't add up to {} recipients: {totals:?}", broadcast.recipients));
    }
    // Nobody holds a permit any more, so what remains and what was spent are all that there was.
    if broadcast.remaining + spent > broadcast.recipients - broadcast.withheld {
        let (remaining, budget) = (broadcast.remaining, broadcast.recipients - broadcast.withheld);
        return broken("I5", format!("{remaining} permits remain of {budget}, and {spent} recipients were sent to"));
    }
    Ok(())
}
