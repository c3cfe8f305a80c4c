//! How a broadcast stands, from the ledger. The cost of a look does not depend on the size
//! of the audience, unless it is asked to count.

mod around;
mod counted;
mod counts;
mod lines;
mod rate;
mod watch;

use std::collections::BTreeMap;

use issei_assembly::Parts;
use issei_ledger::{
    Agreement, AuditEntry, AuditTrail, Broadcast, BroadcastState, DoubtLeft, FixedObjects, HeldAudience, HeldUp, IfApproved, Ledger,
    LedgerError, NEVER_GRANTED, NotAsked, ReasonCode, Refused, ServiceKind, Subject, Terms,
};
use issei_schema::{Bilingual, BroadcastId, ProviderName, both};
use jiff::Timestamp;
use serde::Serialize;

use self::around::{Service, oldest_message_s};
use self::counts::Counts;
use crate::proof::{StopProof, Stopped};

pub(crate) use self::around::{Depths, Quota, quota, recipients_a_second, running_beside};
pub(crate) use self::counted::CountedSince;
pub(crate) use self::lines::{code_line, none_alive};
pub(crate) use self::rate::{LATELY, rate};
pub(crate) use self::watch::run;

/// How a broadcast stands.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) broadcast_id: String,
    #[serde(skip)]
    pub(crate) state: BroadcastState,
    /// Its state, or `waiting` where it runs and may not be sent now.
    #[serde(rename = "state")]
    pub(crate) shown: String,
    /// When it goes on, where it waits, and the same for people: by the clocks of its window's place, and in UTC.
    pub(crate) waits_until: Option<Timestamp>,
    pub(crate) waits: Option<String>,
    /// How far its ramp lets it go in this hour, where that is not to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ramp: Option<Bilingual>,
    /// Why some will be told after the day from which it binds, where that is so.
    pub(crate) falls_behind: Option<Bilingual>,
    /// Why it stands there, and who decided so.
    pub(crate) reason: String,
    #[serde(skip)]
    pub(crate) decided: Option<AuditEntry>,
    /// The code of a reason of issei's own; docs/reasons has a page for each.
    pub(crate) reason_code: Option<ReasonCode>,
    /// What has come of it since, by itself.
    pub(crate) since: Option<String>,
    #[serde(skip)]
    pub(crate) follows: Option<AuditEntry>,
    /// What keeps the audience from being frozen.
    pub(crate) held_up: Option<HeldUp>,
    /// What its audience was found to be, where it holds before its first send.
    pub(crate) held_audience: Option<HeldAudience>,
    /// When it would be done if it were approved now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) if_approved: Option<IfApproved>,
    /// What it is sent by, where whoever approves it agrees to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terms: Option<Terms>,
    /// Who must agree to it before its first send, who has, and to what.
    pub(crate) agreement: Option<Agreed>,
    /// Another command that asked for this id since.
    pub(crate) refused: Option<Refused>,
    pub(crate) at: Timestamp,
    /// Who carries it, where that is not SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<ProviderName>,
    pub(crate) audience: u64,
    pub(crate) skipped: u64,
    /// By reason; nothing where not all of them were counted so.
    pub(crate) skipped_by: BTreeMap<String, u64>,
    pub(crate) recipients: u64,
    /// Recipients and skipped entries who were forgotten since. They count where they did.
    pub(crate) forgotten: u64,
    /// Rows whose address had invisible white space around it, which was left out; nothing where that was not counted.
    pub(crate) trimmed_addresses: Option<u64>,
    /// Rows of those who were asked whether they want marketing and do not, which are none of the audience's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<u64>,
    /// The objects of S3 that the audience is read from, and in which states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_from: Option<FixedObjects>,
    pub(crate) chunks: u32,
    pub(crate) settled_chunks: u64,
    /// Recipients for whom a permit was in hand, told by the consumers: not more than permits are granted.
    pub(crate) permitted: u64,
    pub(crate) accepted: u64,
    /// By the provider.
    pub(crate) rejected: u64,
    /// To whom nothing was sent since they came on the suppression list after the audience was frozen.
    pub(crate) spared: u64,
    /// Sends that were surely not accepted and went back, ever.
    #[serde(skip)]
    pub(crate) went_back: u64,
    /// To be sent to again. Only an exact count knows.
    pub(crate) retryable: Option<u64>,
    pub(crate) in_doubt: u64,
    /// How often a request was made again under its key, to learn what became of those in doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked_again: Option<u64>,
    /// The requests in doubt that no consumer asks about which has met with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_asked: Option<NotAsked>,
    /// Those in doubt whom their provider remembers, and about whom nobody asks it, by what became of the broadcast; counted for one
    /// look, and not by whoever watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doubt_left: Option<DoubtLeft>,
    /// From here on by the provider's events, as far as they have come.
    pub(crate) delivered: u64,
    pub(crate) bounced: u64,
    pub(crate) complained: u64,
    pub(crate) not_rendered: u64,
    /// Accepted, and not sent by SES since the address is on its suppression list.
    pub(crate) suppressed: u64,
    /// Whose mail server did not take it at once; most are delivered later.
    pub(crate) delayed: u64,
    /// Accepted, and not sent by the provider for what it found in them (SES's `Reject`).
    pub(crate) turned_away: u64,
    /// What was found of recipients of whom the provider took more than one message; nothing where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_twice: Option<String>,
    pub(crate) permits_granted: u64,
    /// In which it stands: whoever lets it go on has seen this one.
    #[serde(skip)]
    pub(crate) epoch: u64,
    /// No permit of it was granted yet, not even one that was given back.
    #[serde(skip)]
    pub(crate) never_granted: bool,
    /// Of one that is on its way and was granted nothing yet: which others run, whose messages may be before its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) running_beside: Vec<BroadcastId>,
    pub(crate) permits_left: u64,
    pub(crate) permits_withheld: u64,
    /// Counted chunk by chunk, or told by the consumers.
    pub(crate) exact: bool,
    /// Of the chunks queue, over all broadcasts.
    pub(crate) waiting_messages: u64,
    pub(crate) messages_in_flight: u64,
    pub(crate) dead_letters: u64,
    pub(crate) queues: BTreeMap<&'static str, Depths>,
    /// How old the oldest chunk message is that consumers received within ten seconds.
    pub(crate) oldest_message_s: Option<i64>,
    pub(crate) services: Vec<Service>,
    /// The ledger was taken into use so lately that services that are there may not have seen it yet: until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seen_by: Option<Timestamp>,
    /// What the account allows, in recipients a second and in 24 hours; nothing where SES does not tell.
    pub(crate) quota: Option<Quota>,
    /// What is to be known of the ledger before anything of this is believed, where it is not in use.
    #[serde(skip)]
    pub(crate) ledger_told: Option<Bilingual>,
}

/// An agreement, and what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Agreed {
    #[serde(flatten)]
    pub(crate) agreement: Agreement,
    /// How many more must approve it; 0 where it has all, or needs none.
    pub(crate) missing: u32,
    pub(crate) subject: Subject,
}

impl Agreed {
    fn of(broadcast: &Broadcast) -> Option<Self> {
        let agreement = broadcast.agreement.clone()?;
        let missing = broadcast.awaited().map_or(0, Agreement::missing);
        // Before it is frozen there is nothing to agree to.
        let is_frozen = broadcast.broadcast_state != BroadcastState::Enumerating && !broadcast.is_below_agreement();
        is_frozen.then(|| Self { agreement, missing, subject: broadcast.subject() })
    }
}

/// The state of a broadcast as it is shown: one that runs and may not be sent now waits.
pub(crate) fn shown(broadcast: &Broadcast, now: Timestamp) -> String {
    if broadcast.waits_until(now).is_some() { "waiting".to_owned() } else { broadcast.broadcast_state.to_string() }
}

/// What a ramp allows in this hour, and when there is more; nothing where it holds nobody back any more.
fn ramp(broadcast: &Broadcast, now: Timestamp) -> Option<Bilingual> {
    let ramped = broadcast.ramped().filter(|_| broadcast.broadcast_state == BroadcastState::Running)?;
    let (last, next) = (ramped.hour?, ramped.hour_at(now));
    let more = |hour| ramped.ramp.in_hour(hour);
    if next != last {
        let until = last.ends();
        return (ramped.ramp.most_in(next) < broadcast.recipients).then(|| {
            both!(
                "{} are permitted; its last hour was over at {until:.0}, and {} more are in the one that the next permit begins",
                "{}件に許可を出しました。前の1時間は{until:.0}に終わり、次の許可から始まる1時間にはあと{}件です",
                broadcast.granted,
                more(next.doublings)
            )
        });
    }
    let (most, until) = (ramped.ramp.most_in(last), last.ends());
    (most < broadcast.recipients).then(|| {
        let then = more(ramped.hour_at(until).doublings);
        both!(
            "{} of the {most} that it allows until {until:.0} are permitted; then {then} more in an hour",
            "{}件に許可を出しました(上限は{until:.0}まで{most}件)。その後は1時間にあと{then}件です",
            broadcast.granted
        )
    })
}

/// The others that run, where it waits for nothing but its turn.
async fn before(ledger: &Ledger, broadcast: &Broadcast, now: Timestamp) -> Result<Vec<BroadcastId>, LedgerError> {
    let is_due = broadcast.broadcast_state == BroadcastState::Running && broadcast.waits_until(now).is_none();
    if is_due && broadcast.grant_count == 0 { running_beside(ledger, &broadcast.broadcast_id).await } else { Ok(Vec::new()) }
}

/// Says whether the ledger has no broadcast of that id.
pub(crate) fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::NoBroadcast { .. }))
}

async fn queues_of(parts: &Parts) -> anyhow::Result<BTreeMap<&'static str, Depths>> {
    let mut queues = BTreeMap::new();
    for (name, queue) in
        [("commands", parts.commands_queue().await?), ("chunks", parts.chunks_queue().await?), ("feedback", parts.feedback_queue().await?)]
    {
        queues.insert(name, Depths::of(&queue).await?);
    }
    Ok(queues)
}

impl Status {
    /// Whether somebody may be sent to now, so that a rate says something.
    pub(crate) fn moves(&self) -> bool {
        let is_served = self.services.iter().any(|run| run.alive && run.service == ServiceKind::Consumer);
        self.state == BroadcastState::Running && self.waits.is_none() && is_served
    }

    /// When it was decided that it stands as it does.
    pub(crate) fn decided_at(&self) -> Option<Timestamp> {
        self.decided.as_ref().map(|entry| entry.at)
    }

    pub(crate) async fn read(parts: &Parts, id: &BroadcastId, exact: bool) -> anyhow::Result<Self> {
        let ledger = parts.ledger();
        let (broadcast, progress) = (ledger.broadcast(id).await?, ledger.progress(id).await?);
        let refused = ledger.refused(id).await?.filter(|refused| refused.is_news(Some(&broadcast)));
        let queues = queues_of(parts).await?;
        let now = parts.clock.wall();
        let runs = ledger.heartbeats(now).await?;
        // What consumers tell may be settled since, and those who were killed have not told of all who are in doubt.
        let mut not_asked = NotAsked::of(&broadcast, &runs, now);
        if not_asked.is_some() && ledger.tally(&broadcast).await?.askable_until.is_none_or(|until| until <= now) {
            not_asked = None;
        }
        let counts = match (broadcast.totals, exact) {
            (Some(totals), _) => Counts::exact(totals, u64::from(broadcast.chunks), &progress),
            (None, true) => {
                let tally = ledger.tally(&broadcast).await?;
                Counts::exact(tally.totals(), tally.settled_chunks, &progress)
            }
            (None, false) => Counts::told(&progress, u64::from(broadcast.chunks), broadcast.recipients),
        };
        let said = |entry: &AuditEntry| format!("{} ({})", entry.reason, entry.actor);
        let (decided, follows) = (broadcast.decided().cloned(), broadcast.since_decided().last().cloned());
        let (reason, since) = (decided.as_ref().map(said).unwrap_or_default(), follows.as_ref().map(said));
        // Of what surely was never granted there is nothing to count.
        let is_said = broadcast.since_decided().last().is_some_and(|entry| entry.reason == NEVER_GRANTED);
        let exact = counts.exact || (is_said && broadcast.broadcast_state.is_over() && broadcast.is_never_granted());
        let (waits_until, reason_code) = (broadcast.waits_until(now), broadcast.reason_code(now));
        let (shown, waits) = (shown(&broadcast, now), waits_until.map(|until| broadcast.schedule().told(until)));
        // Of SES; no other provider tells.
        let quota = if broadcast.provider.is_none() { quota(parts).await } else { None };
        let settled = counts.totals.accepted + counts.totals.rejected + counts.totals.in_doubt;
        let falls_behind = broadcast.falls_behind(now, settled, recipients_a_second(parts, &broadcast, now, quota.as_ref()).await?);
        let (ramp, chunks_queue, running_beside) = (ramp(&broadcast, now), queues.get("chunks"), before(&ledger, &broadcast, now).await?);
        let (holds_before, is_holding) = (broadcast.holds_before_first_send(), broadcast.broadcast_state == BroadcastState::Holding);
        let (agreement, if_approved) = (Agreed::of(&broadcast), broadcast.done_if_approved(now).filter(|_| holds_before));
        let terms = (holds_before || broadcast.awaited().is_some()).then(|| broadcast.terms());
        let accepted_twice = broadcast.accepted_twice().map(|entry| entry.reason.clone());
        let held_audience = broadcast.held_audience.filter(|_| is_holding && broadcast.held_before_send && broadcast.grant_count == 0);
        let Broadcast {
            broadcast_id,
            broadcast_state,
            recipients,
            skipped,
            chunks,
            granted,
            remaining,
            withheld,
            held_up,
            grant_count,
            ..
        } = broadcast;
        Ok(Self {
            ledger_told: None,
            broadcast_id: broadcast_id.to_string(),
            state: broadcast_state,
            shown,
            waits_until,
            waits,
            ramp,
            falls_behind,
            reason,
            decided,
            reason_code,
            since,
            follows,
            held_up,
            held_audience,
            if_approved,
            terms,
            agreement,
            refused,
            at: now,
            provider: broadcast.provider,
            audience: recipients + skipped,
            skipped,
            skipped_by: Some(broadcast.skipped_by).filter(|by| by.values().sum::<u64>() == skipped).unwrap_or_default(),
            recipients,
            forgotten: broadcast.forgotten,
            left_out: broadcast.reading.as_ref().and_then(|reading| reading.left_out),
            trimmed_addresses: broadcast.reading.and_then(|reading| reading.trimmed),
            read_from: broadcast.read_from,
            chunks,
            settled_chunks: counts.settled_chunks,
            // Whoever went back and is permitted once more is told of twice; and nobody is sent to without a permit.
            permitted: progress.permitted.min(granted).max(settled),
            accepted: counts.totals.accepted,
            rejected: counts.totals.refused(),
            spared: counts.totals.spared.unwrap_or(0),
            went_back: progress.retried,
            retryable: counts.exact.then_some(counts.totals.retryable),
            in_doubt: counts.totals.in_doubt,
            asked_again: Some(broadcast.asked_again).filter(|asked| *asked > 0),
            not_asked,
            doubt_left: None,
            delivered: counts.totals.delivered,
            bounced: counts.totals.bounced,
            complained: counts.totals.complained,
            not_rendered: counts.totals.not_rendered,
            suppressed: counts.totals.suppressed,
            delayed: counts.totals.delayed,
            turned_away: counts.totals.turned_away.unwrap_or(0),
            accepted_twice,
            permits_granted: granted,
            epoch: broadcast.epoch,
            never_granted: granted == 0 && grant_count == 0,
            running_beside,
            permits_left: remaining,
            permits_withheld: withheld,
            exact,
            waiting_messages: chunks_queue.map_or(0, |depths| depths.visible + depths.delayed),
            messages_in_flight: chunks_queue.map_or(0, |depths| depths.in_flight),
            dead_letters: chunks_queue.map_or(0, |depths| depths.dead_letters),
            queues,
            oldest_message_s: oldest_message_s(&runs, now),
            services: runs.iter().filter_map(|run| Service::of(run, now)).collect(),
            seen_by: ledger.seen_by(now).await?,
            quota,
        })
    }

    /// Counts whom its provider could still be asked about. SES can't be, and of a broadcast that runs somebody asks.
    async fn look_for_doubt_left(&mut self, parts: &Parts, id: &BroadcastId) -> Result<(), LedgerError> {
        let is_asked = self.state == BroadcastState::Running && self.waits.is_none();
        let has_none = self.exact && self.in_doubt == 0;
        if self.provider.is_some() && !is_asked && !has_none {
            let ledger = parts.ledger();
            let broadcast = ledger.broadcast(id).await?;
            self.doubt_left = DoubtLeft::of(&broadcast, &ledger.tally(&broadcast).await?, self.at);
        }
        Ok(())
    }

    /// How it stands with the proof of its stop. Where nobody holds anything of it any more, as the trail has it, whoever is in doubt is
    /// counted after that, and so are the counts that are shown.
    pub(crate) async fn proof(
        &mut self,
        parts: &Parts,
        id: &BroadcastId,
        trail: &AuditTrail,
        counted: &CountedSince,
    ) -> Result<StopProof, LedgerError> {
        let in_doubt = self.exact.then_some(self.in_doubt);
        let stopped = Stopped { state: self.state, provider: self.provider.as_ref(), trail, in_doubt };
        let in_doubt = match stopped.nothing_held_since().filter(|_| in_doubt.is_none_or(|in_doubt| in_doubt == 0)) {
            Some(since) => Some(counted.in_doubt(parts, id, self, since).await?),
            None => in_doubt,
        };
        Stopped { state: self.state, provider: self.provider.as_ref(), trail, in_doubt }.proof(parts, self.at).await
    }
}
