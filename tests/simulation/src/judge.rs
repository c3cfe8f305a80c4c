//! The invariants, checked against the provider's own record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use issei_aws::Timing;
use issei_clock::Instant;
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError, Outcome};
use issei_schema::{BroadcastCommand, BroadcastId, Choice, InDoubtPolicy};
use issei_sim::{Cloud, EntryRule, SentTo};
use jiff::Timestamp;

use crate::letters::{Listed, user_of};
use crate::refusing;

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
    /// What was accepted when it was known who is settled, and how much more a person was told to expect.
    pub(crate) before: u64,
    pub(crate) bound: u64,
}

/// What must hold at any moment. `accepted` was counted before the broadcast was read.
pub(crate) fn during(broadcast: &Broadcast, accepted: u64, in_time: bool) -> Result<(), Broken> {
    let budget = broadcast.recipients.saturating_sub(broadcast.withheld);
    let (granted, remaining) = (broadcast.granted, broadcast.remaining);
    // Each permit is out, used or left: none is made and none is lost from the count, whatever happens to it.
    if broadcast.broadcast_state != BroadcastState::Enumerating && granted + remaining != budget && granted + remaining > 0 {
        return broken("I5", format!("{granted} permits granted and {remaining} left of a budget of {budget}"));
    }
    // Nobody is accepted without a permit that is still counted, but for those whom evidence took for unsent.
    if accepted > granted && (in_time || broadcast.in_doubt == InDoubtPolicy::Hold) {
        return broken("I5", format!("{accepted} accepted under {granted} permits"));
    }
    if broadcast.recipients > broadcast.max_recipients {
        return broken("I5", format!("{} recipients frozen, {} allowed", broadcast.recipients, broadcast.max_recipients));
    }
    if broadcast.holds_before_first_send() && accepted + granted + remaining > 0 {
        return broken("I5", format!("it holds before its first send, and {accepted} were accepted"));
    }
    Ok(())
}

/// Where several persons must agree, nobody is sent to before as many others than whoever asked, who is the number 0,
/// have said so. `accepted` was counted before the broadcast was read.
pub(crate) fn agreed(broadcast: &Broadcast, accepted: u64, approvals: &BTreeSet<usize>) -> Result<(), Broken> {
    let Some(agreement) = broadcast.agreement.as_ref().filter(|agreement| broadcast.recipients >= agreement.from_recipients) else {
        return Ok(());
    };
    let others = approvals.iter().filter(|person| **person > 0).count();
    let needed = usize::try_from(agreement.persons).unwrap_or(usize::MAX) - 1;
    let may_send = others >= needed && !broadcast.awaits_agreement;
    if broadcast.broadcast_state != BroadcastState::Enumerating && !may_send && accepted + broadcast.granted + broadcast.remaining > 0 {
        return broken("agreement", format!("{accepted} were accepted, {} permits granted, and {others} have approved", broadcast.granted));
    }
    Ok(())
}

/// No more is granted than the hour of its ramp allows; an hour begins when the one before is over, and
/// allows twice as many where half of that one's was used, and only there. `last` is how it was when it was looked at before.
pub(crate) fn ramp(broadcast: &Broadcast, last: Option<&Broadcast>) -> Result<(), Broken> {
    let Some((ramped, hour)) = broadcast.ramped().and_then(|ramped| Some((ramped, ramped.hour?))) else { return Ok(()) };
    let most = ramped.ramp.most_in(hour);
    if broadcast.granted > most {
        return broken("the ramp", format!("{} permits granted, and {most} are allowed until {}", broadcast.granted, hour.ends()));
    }
    // A ledger that was restored is another one.
    let Some(before) =
        last.filter(|last| last.epoch == broadcast.epoch).and_then(|last| last.ramped()?.hour).filter(|before| *before != hour)
    else {
        return Ok(());
    };
    let is_doubled = hour.doublings > before.doublings;
    if hour.began < before.ends() || is_doubled != (hour.before >= ramped.ramp.enough_in(before)) {
        return broken("the ramp", format!("{hour:?} came after {before:?}"));
    }
    Ok(())
}

/// While permits are withheld, nobody has been sent to but those whom the canary chooses.
pub(crate) fn canary(id: &BroadcastId, choice: &Choice, sent: &[SentTo]) -> Result<(), Broken> {
    let user = |address: &str| user_of(address).map_or_else(String::new, |user| user.to_string());
    match sent.iter().find(|sent| sent.requests > 0 && !choice.holds(id, &user(&sent.address))) {
        Some(sent) => broken("the canary", format!("user {} is not of it, and was sent to before its approval", user(&sent.address))),
        None => Ok(()),
    }
}

/// A broadcast whose canary a person is to approve is complete only once a person has let it go on, however few it goes to.
pub(crate) fn asked(broadcast: &Broadcast, has_canary: bool) -> Result<(), Broken> {
    let trail = &broadcast.audit_trail;
    // Older entries may stand in items of their own.
    let is_whole = trail.first().is_some_and(|entry| entry.link.as_ref().is_none_or(|link| link.seq == 1));
    let is_approved = trail.iter().any(|entry| entry.step.ends_with("holding -> running"));
    if has_canary && is_whole && broadcast.broadcast_state == BroadcastState::Complete && !is_approved {
        return broken("the canary", format!("complete with {} recipients, and nobody has approved it", broadcast.recipients));
    }
    Ok(())
}

/// The provider's record of a broadcast's sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sends {
    pub(crate) accepted: u64,
    pub(crate) last_asked: Option<Instant>,
    pub(crate) last_accepted: Option<Instant>,
}

/// I4: what is sent after an acknowledged stop. Where a machine may be paused without any clock of its own
/// that tells, what is asked for late must be refused.
pub(crate) fn stopped(stop: &Stopped, seen: &Sends, timing: &Timing, time_is_seen: bool) -> Result<(), Broken> {
    let accepted = seen.accepted;
    let leak = accepted - stop.accepted;
    // Permits behind what is accepted already are used up.
    let outstanding = stop.granted.saturating_sub(stop.accepted);
    if leak > outstanding {
        return broken("I4", format!("{leak} were accepted after the stop, {outstanding} permits were outstanding"));
    }
    let (more, bound) = (accepted - stop.before, stop.bound);
    if more > bound {
        return broken("I4", format!("{more} were accepted once it was known who is settled, and the stop said {bound}"));
    }
    let after = |last: Option<Instant>| last.map_or(Duration::ZERO, |last| last.saturating_duration_since(stop.at));
    let (began, taken) = (after(seen.last_asked), after(seen.last_accepted));
    let (permit_life, too_old) = (timing.permit_life, timing.refused_after());
    if time_is_seen && began > permit_life {
        return broken("I4", format!("a send began {began:?} after the stop, and permits live {permit_life:?}"));
    }
    if taken > too_old {
        return broken("I4", format!("something was accepted {taken:?} after the stop, and is to be refused after {too_old:?}"));
    }
    Ok(())
}

/// A certificate finds nothing wrong with a ledger that is over: whatever went wrong on the way, it raises no
/// false alarm, and the rules that it goes by are the ledger's own.
pub(crate) async fn certified(ledger: &Ledger, broadcast: &Broadcast, now: Timestamp, events_are_true: bool) -> Result<(), Broken> {
    if !broadcast.broadcast_state.is_over() {
        return Ok(());
    }
    let findings = issei_certificate::what_the_ledger_holds(ledger, broadcast, Duration::ZERO, now).await;
    // It is right to complain of events that were made up, and of a second acceptance where one may be.
    let is_false = |finding: &&issei_certificate::Finding| !finding.holds() && (events_are_true || !finding.what.starts_with("events"));
    match findings.iter().find(is_false) {
        Some(finding) => broken("the certificate", format!("{}: {} (rule: {})", finding.what, finding.value, finding.rule)),
        None => Ok(()),
    }
}

/// What is known of the events of a broadcast at its end.
pub(crate) struct Told<'a> {
    /// Every event of every message has come, and was read.
    pub(crate) all: bool,
    /// None was lost, none came after the wait for it was over: absence proves what it is taken for.
    pub(crate) in_time: bool,
    /// The provider remembers the key of each request for longer than anything took.
    pub(crate) by_keys: bool,
    /// Chunk and recipient of those about whom somebody made up an event.
    pub(crate) forged: &'a BTreeSet<(u32, usize)>,
    /// Whom the provider has refused.
    pub(crate) refuses: &'a [EntryRule],
    /// Who has come on the suppression list.
    pub(crate) listed: &'a [Listed],
}

/// What must hold at the end, when nothing goes wrong any more and every event that comes has been read.
///
/// Of somebody about whom an event was made up it is not demanded that the record agrees with the provider's: events
/// are believed. It is demanded that nobody is sent to for it. Where events are lost or late, `evidence_retry` may
/// send again to somebody in doubt, once for each claim, and to nobody else.
///
/// Gives how many are in doubt.
pub(crate) async fn at_the_end(ledger: &Ledger, cloud: &Cloud, broadcast: &Broadcast, told: Told<'_>) -> Result<u64, Broken> {
    let id: &BroadcastId = &broadcast.broadcast_id;
    let mut seen = BTreeSet::new();
    // Those who had their permit. A claim that arrives when its permit is long over, from a consumer that
    // is gone, sends nothing and spends nothing, though it stands.
    let mut spent = 0;
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut forgotten = 0;
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    let log = match ledger.event_log(broadcast).await {
        Ok(log) => log,
        Err(error) => return broken("I6", format!("the log of events can't be read: {error}")),
    };
    for seq in 0..broadcast.pages {
        let outcomes = match ledger.page_outcomes(&broadcast.placed(), seq, &log).await {
            Ok(outcomes) => outcomes,
            Err(error) => return broken("I6", format!("page {seq} can't be read: {error}")),
        };
        for recipient in outcomes {
            let place = places.entry(recipient.chunk).or_default();
            let is_forged = told.forged.contains(&(recipient.chunk, *place));
            *place += 1;
            let Some(who) = &recipient.recipient else {
                forgotten += 1;
                continue;
            };
            let (key, address) = (who.key.as_str().to_owned(), who.address.as_str());
            let (asked, accepted) = cloud.sent_for(id.as_str(), address).map_or((0, 0), |sent| (sent.requests, sent.accepted));
            // The permit of whoever was refused came back, whatever was made up about them afterwards.
            let is_made_up = is_forged && accepted == 0;
            if asked > 0 && !is_made_up && !matches!(recipient.outcome, Some(Outcome::Retryable) | None) {
                spent += 1;
            }
            if !seen.insert(key.clone()) {
                return broken("I6", format!("user {key} stands in two chunks"));
            }
            let may_be_again = !told.in_time && broadcast.in_doubt == InDoubtPolicy::EvidenceRetry;
            if accepted > 1 && !(may_be_again && accepted <= claims_of(ledger, broadcast, recipient.chunk).await) {
                return broken("I1", format!("user {key} was accepted {accepted} times, chunk {}", recipient.chunk));
            }
            let is_spared =
                recipient.spared.is_some_and(|why| told.listed.iter().any(|listed| listed.address == address && listed.why == why));
            if recipient.outcome == Some(Outcome::Rejected) && !is_forged && !is_spared && !refusing::may_be_charged(told.refuses, address)
            {
                return broken("rejection", format!("user {key} is rejected, and was never refused for its own sake"));
            }
            let listed = matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open));
            if listed && told.by_keys && is_complete {
                return broken("doubt ends by asking", format!("complete, and user {key} is in doubt, chunk {}", recipient.chunk));
            }
            match (accepted, recipient.outcome) {
                (1.., Some(Outcome::Accepted)) => {}
                (_, Some(Outcome::Retryable) | None) if is_complete => {
                    return broken("I7", format!("complete, and user {key} is {:?}", recipient.outcome));
                }
                _ if is_forged => {}
                (1.., _) if told.all => {
                    return broken("I2", format!("user {key} was accepted, its event was read, and it is {:?}", recipient.outcome));
                }
                (1.., _) if listed || may_be_again => {}
                (1.., outcome) => return broken("I2", format!("user {key} was accepted and is {outcome:?}")),
                (_, Some(Outcome::Accepted)) => return broken("I2", format!("user {key} was never accepted and is recorded as accepted")),
                _ => {}
            }
        }
    }
    if seen.len() as u64 + forgotten != broadcast.recipients {
        return broken("I6", format!("{} recipients in the pages, {} in the broadcast", seen.len(), broadcast.recipients));
    }
    let totals = match ledger.tally(broadcast).await {
        Ok(tally) => tally.totals(),
        Err(error) => return broken("I2", format!("the outcomes can't be read: {error}")),
    };
    if is_complete && totals.accepted + totals.rejected + totals.in_doubt != broadcast.recipients {
        return broken("I2", format!("the outcomes don't add up to {} recipients: {totals:?}", broadcast.recipients));
    }
    if is_complete && broadcast.in_doubt == InDoubtPolicy::EvidenceRetry && totals.in_doubt > 0 {
        return broken("I7", format!("complete, and evidence might still send to {} in doubt", totals.in_doubt));
    }
    // Nobody holds a permit any more, so what remains and what was spent are all that there was.
    if broadcast.remaining + spent > broadcast.recipients - broadcast.withheld {
        let (remaining, budget) = (broadcast.remaining, broadcast.recipients - broadcast.withheld);
        return broken("I5", format!("{remaining} permits remain of {budget}, and {spent} recipients were sent to"));
    }
    Ok(totals.in_doubt)
}

/// How often a chunk was claimed.
async fn claims_of(ledger: &Ledger, broadcast: &Broadcast, chunk: u32) -> u64 {
    let found = ledger.chunks(&broadcast.placed(), &[chunk]).await.unwrap_or_default();
    found.values().map(|chunk| u64::from(chunk.attempts())).sum()
}

/// I1 across ids: of broadcasts that say the same, and don't say why, one alone has mailed anybody.
pub(crate) fn said_once(said: &[(Result<BroadcastCommand, LedgerError>, u64)]) -> Result<(), Broken> {
    let mut mailed: BTreeMap<String, BroadcastId> = BTreeMap::new();
    for (command, accepted) in said {
        let command = match command {
            Ok(command) => command,
            Err(error) => return broken("I3", format!("a command can't be read: {error}")),
        };
        if *accepted == 0 || command.again.is_some() {
            continue;
        }
        let content = serde_json::to_string(&command.content).unwrap_or_default();
        if let Some(first) = mailed.insert(content, command.broadcast_id.clone()) {
            return broken("I1", format!("`{first}` and `{}` have mailed the same to the same audience", command.broadcast_id));
        }
    }
    Ok(())
}

/// I1 by the provider's record alone, of a broadcast that the ledger has forgotten.
pub(crate) fn nobody_twice(cloud: &Cloud, id: &BroadcastId) -> Result<(), Broken> {
    let sent = cloud.sent_to(id.as_str(), "", u32::MAX).unwrap_or_default();
    match sent.iter().find(|sent| sent.accepted > 1) {
        Some(sent) => broken("I1", format!("somebody was accepted {} times, and the ledger was restored in between", sent.accepted)),
        None => Ok(()),
    }
}

/// The account's rate, by the provider's own count.
pub(crate) fn rate(peak: u64, most: u64) -> Result<(), Broken> {
    if peak > most { broken("the rate", format!("{peak} were accepted in one second, {most} is the most")) } else { Ok(()) }
}
