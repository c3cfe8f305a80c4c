//! One broadcast, as whoever watches a schedule sees it: what was seen of it, and what must hold of it.

use issei_aws::Timing;
use issei_clock::Instant;
use issei_ledger::{Broadcast, BroadcastState, Draining, Ledger, LedgerError, Outcome, Transition};
use issei_schema::{Actor, BroadcastCommand, BroadcastId, Canary, InDoubtPolicy, Opening};
use issei_sim::Cloud;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::judge::{self, Broken, Sends, Stopped, broken};
use crate::kinds::{Carriers, KEYED, KIND, Kinds, Wording, kind};
use crate::letters::Listed;
use crate::plan::{Plan, Scheduled};
use crate::world::address;

/// When every schedule begins.
pub(crate) const ORIGIN: &str = "2026-11-24T00:00:00Z";

/// Whether another id asks for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    None,
    /// One does, so that either may be refused.
    Asked,
    /// One does, and this one is not registered and would be refused.
    Refused,
}

/// A broadcast that was asked for, and what was seen of it.
pub(crate) struct Watched {
    pub(crate) id: BroadcastId,
    pub(crate) subject: String,
    /// Why it says the same once more.
    pub(crate) again: Option<&'static str>,
    pub(crate) rival: Rival,
    pub(crate) kinds: Kinds,
    /// For how long the provider that carries it remembers keys.
    pub(crate) keys: Option<Duration>,
    /// It is a copy, and goes to this user alone.
    pub(crate) copy_to: Option<i64>,
    /// Who has come on the suppression list.
    pub(crate) listed: Vec<Listed>,
    policy: InDoubtPolicy,
    canary: Option<Canary>,
    max_recipients: u64,
    scheduled: Option<Scheduled>,
    /// Its command was taken up when its time was over, by the clock of whoever did.
    pub(crate) too_late: bool,
    first_hour: Option<u64>,
    /// Every event comes, and before the wait for it is over.
    pub(crate) in_time: bool,
    pub(crate) stop: Option<Stopped>,
    /// Where its operator proves the stop by what consumers say that they hold.
    pub(crate) draining: Option<Draining>,
    pub(crate) last: Option<Broadcast>,
    /// How many were accepted when it was first seen complete.
    complete_at: Option<u64>,
    /// When it was first seen stopped.
    stopped_at: Option<Instant>,
    pub(crate) other_sent: bool,
    /// Chunk and recipient of each event that nobody's message caused.
    pub(crate) forged: BTreeSet<(u32, usize)>,
    /// The numbers of those who have said that they approve it, as it is.
    pub(crate) approvals: BTreeSet<usize>,
    /// Addresses of users who were forgotten, and how many messages to each were accepted by then.
    pub(crate) forgotten: Vec<(String, u64)>,
    /// When the ledger forgot of it what it knew.
    pub(crate) forgotten_at: Option<Instant>,
}

impl Watched {
    /// The broadcast of this number, from 0 on.
    pub(crate) fn new(id: &str, number: usize, plan: &Plan) -> anyhow::Result<Self> {
        Ok(Self {
            id: id.parse().map_err(anyhow::Error::msg)?,
            subject: format!("Terms of {id}"),
            again: None,
            rival: Rival::None,
            kinds: plan.kinds,
            keys: plan.keys.filter(|_| plan.kinds.is_keyed(number)),
            copy_to: None,
            listed: Vec::new(),
            policy: plan.policy,
            canary: plan.canary.clone(),
            max_recipients: plan.max_recipients,
            scheduled: plan.scheduled,
            too_late: false,
            first_hour: plan.first_hour,
            in_time: plan.events_lost <= 0.0 && plan.events_away <= 0.0,
            stop: None,
            draining: None,
            last: None,
            complete_at: None,
            stopped_at: None,
            other_sent: false,
            forged: BTreeSet::new(),
            approvals: BTreeSet::new(),
            forgotten: Vec::new(),
            forgotten_at: None,
        })
    }

    /// A copy of what it says, for somebody who reads at this user's address, and under an id of its own.
    pub(crate) fn copied(&self, id: &str, user: i64, plan: &Plan) -> anyhow::Result<Self> {
        let kinds = Kinds { hold: false, ..self.kinds };
        let copy = Self::new(id, 0, plan)?;
        let (subject, keys, copy_to) = (self.subject.clone(), self.keys, Some(user));
        Ok(Self { subject, keys, copy_to, kinds, max_recipients: 1, canary: None, scheduled: None, first_hour: None, ..copy })
    }

    /// Asked for when these addresses are on the suppression list.
    pub(crate) fn with_listed(self, listed: &[Listed]) -> Self {
        Self { listed: listed.to_vec(), ..self }
    }

    /// Its command, or another under its id.
    pub(crate) fn command(&self, other: bool) -> anyhow::Result<BroadcastCommand> {
        let subject = if other { format!("Other {}", self.subject) } else { self.subject.clone() };
        let is_new = self.kinds.is_new()
            || self.copy_to.is_some()
            || self.scheduled.is_some()
            || self.first_hour.is_some()
            || self.canary.as_ref().is_some_and(|canary| canary.choice().is_some());
        let class = is_new.then(|| self.kinds.class.unwrap_or("service"));
        let by_kind = self.kinds.wording != Wording::One;
        let row = |user| if by_kind { json!({ KIND: kind(user) }) } else { json!({}) };
        let origin: Timestamp = ORIGIN.parse()?;
        let not_before =
            self.scheduled.and_then(|at| at.not_before_s).map(|s| origin.saturating_add(SignedDuration::from_secs(s.cast_signed())));
        let time = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let window = self.scheduled.and_then(|at| at.window).map(|(opens, closes, place, ahead)| {
            json!({ "days": ["mon", "tue", "wed"], "from": time(opens + ahead), "to": time(closes + ahead), "time_zone": place })
        });
        let body = json!({
            "version": if class.is_some() { 2 } else { 1 },
            "class": class,
            "broadcast_id": self.id,
            "audience": "users",
            "content": self.kinds.content(&subject),
            "provider": (self.kinds.carriers != Carriers::One && self.keys.is_some()).then_some(KEYED),
            "test_copy": self.copy_to.map(|user| json!({ "to": address(user), "data": row(user) })),
            "hold": self.kinds.hold,
            "from": "no-reply@example.com",
            "max_recipients": self.max_recipients,
            "not_after": if self.scheduled.is_some() { "2026-11-24T00:20:00Z" } else { "2026-11-25T12:00:00Z" },
            "not_before": not_before.transpose()?,
            "send_window": window,
            "ramp": self.first_hour.map(|first_hour| json!({ "first_hour": first_hour })),
            "canary": self.canary,
            "in_doubt": self.policy,
            "again": self.again,
            "requested_by": "a simulation",
        });
        Ok(BroadcastCommand::parse(&body.to_string())?)
    }

    pub(crate) fn state(&self) -> Option<BroadcastState> {
        self.last.as_ref().map(|broadcast| broadcast.broadcast_state)
    }

    /// What moves while somebody works on it.
    pub(crate) fn sight(&self) -> (Option<BroadcastState>, Option<u32>) {
        (self.state(), self.last.as_ref().map(|broadcast| broadcast.pages))
    }

    /// Nothing of it will be done any more, whatever is done.
    pub(crate) fn is_over(&self) -> bool {
        self.state().map_or(self.forgotten_at.is_some() || self.rival == Rival::Refused || self.too_late, BroadcastState::is_over)
    }

    /// Looks, and checks what must hold at any moment.
    pub(crate) async fn look(&mut self, ledger: &Ledger, cloud: &Cloud, now: Instant) -> Result<(), Broken> {
        // Before the ledger is read, so that whatever is accepted while its answer is under way is not held against it.
        let accepted = cloud.accepted_of(self.id.as_str());
        let choice = self.canary.as_ref().and_then(Canary::choice).filter(|_| self.forgotten_at.is_none());
        let sent = choice.map(|choice| (choice, cloud.sent_to(self.id.as_str(), "", u32::MAX).unwrap_or_default()));
        let broadcast = match ledger.find_broadcast(&self.id).await {
            Ok(Some(broadcast)) => broadcast,
            Err(error @ LedgerError::Corrupt { .. }) => return broken("I6", error.to_string()),
            Ok(None) if self.scheduled.is_some() && ledger.refused(&self.id).await.is_ok_and(|refused| refused.is_some()) => {
                self.too_late = true;
                return Ok(());
            }
            Ok(None) if self.rival != Rival::None => {
                if let Ok(command) = self.command(false)
                    && let Ok(repeated) = ledger.repeats(&command).await
                {
                    self.rival = if repeated.is_some() { Rival::Refused } else { Rival::Asked };
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        for listed in self.listed.iter_mut().filter(|listed| listed.accepted.is_none() && now >= listed.heeded_at) {
            let accepted = cloud.sent_for(self.id.as_str(), &listed.address).map_or(0, |sent| sent.accepted);
            // A repeat of a request is for whom the provider has accepted nothing, and nobody else is excused.
            if self.keys.is_some() && accepted == 0 {
                let Ok(in_doubt) = is_in_doubt(ledger, &broadcast, &listed.address).await else { continue };
                listed.is_asked_about = in_doubt;
            }
            listed.accepted = Some(accepted);
        }
        if self.forgotten_at.is_none() {
            judge::during(&broadcast, accepted, self.in_time)?;
            judge::agreed(&broadcast, accepted, &self.approvals)?;
            judge::asked(&broadcast, self.canary.is_some())?;
            // Whom events prove accepted after all has a permit taken for it, whatever the hour.
            if self.policy == InDoubtPolicy::Hold && self.forged.is_empty() {
                judge::ramp(&broadcast, self.last.as_ref())?;
            }
        }
        // The canary is read after the record, so that an approval in between is no fault.
        if let Some((choice, sent)) = sent.filter(|_| broadcast.withheld > 0) {
            judge::canary(&self.id, choice, &sent)?;
        }
        if self.state().is_some_and(BroadcastState::is_over) && !broadcast.broadcast_state.is_over() {
            return broken("I7", format!("it was over, and is {}", broadcast.broadcast_state));
        }
        match broadcast.broadcast_state {
            BroadcastState::Complete if self.complete_at.is_none() => self.complete_at = Some(cloud.accepted_of(self.id.as_str())),
            BroadcastState::Stopped if self.stopped_at.is_none() => self.stopped_at = Some(now),
            _ => {}
        }
        self.last = Some(broadcast);
        Ok(())
    }

    /// No send begins outside of its time. Where clocks are wrong, whoever sends goes by the moment of the grant.
    pub(crate) fn in_its_time(&self, cloud: &Cloud, now: Instant, wall: Timestamp, plan: &Plan) -> Result<(), Broken> {
        let (Some(broadcast), Some(last)) = (&self.last, cloud.last_send_of(self.id.as_str())) else { return Ok(()) };
        let ago = |by| SignedDuration::try_from(by).unwrap_or_default();
        let at = wall.saturating_sub(ago(now.saturating_duration_since(last))).unwrap_or(wall);
        let late = if plan.skews.iter().all(SignedDuration::is_zero) { Duration::ZERO } else { plan.timing().permit_life };
        let earlier = at.saturating_sub(ago(late)).unwrap_or(at);
        let is_open = |moment| matches!(broadcast.schedule().at(moment), Opening::Open { .. });
        if self.scheduled.is_none() || is_open(at) || is_open(earlier) {
            return Ok(());
        }
        broken("its time", format!("a send of {} was asked for at {at}, and {:?} holds then", self.id, broadcast.schedule().at(at)))
    }

    /// The operator's proof of a stop, before time proves it. From here on no send may begin.
    pub(crate) async fn drain(&mut self, ledger: &Ledger, now: Instant, wall: Timestamp, actor: &Actor) {
        let Some(draining) = self.draining.as_ref().filter(|_| self.forgotten_at.is_none()) else { return };
        let (Ok(runs), Some(broadcast)) = (ledger.heartbeats(wall).await, &self.last) else { return };
        let Ok(awaited) = ledger.awaited(broadcast).await else { return };
        if draining.is_over(&awaited, &runs) {
            self.draining = None;
            self.stopped_at.get_or_insert(now);
            let _ = ledger.transition(&self.id, Transition { to: BroadcastState::Stopped, actor, reason: "nobody holds any" }).await;
        }
    }

    /// Whether what is left waits for evidence, which may never come.
    pub(crate) async fn waits_for_evidence(&self, ledger: &Ledger) -> bool {
        let Some(broadcast) = self.last.as_ref().filter(|_| self.policy == InDoubtPolicy::EvidenceRetry) else { return false };
        ledger.tally(broadcast).await.is_ok_and(|tally| {
            let totals = tally.totals();
            totals.in_doubt > 0 && totals.retryable == 0 && totals.accepted + totals.rejected + totals.in_doubt == broadcast.recipients
        })
    }

    /// I4 and I7: what may still be accepted after an end, and when the last send may begin.
    pub(crate) fn ended(&self, cloud: &Cloud, timing: &Timing, time_is_seen: bool) -> Result<(), Broken> {
        let id = self.id.as_str();
        let sends =
            Sends { accepted: cloud.accepted_of(id), last_asked: cloud.last_send_of(id), last_accepted: cloud.last_accepted_of(id) };
        let accepted = sends.accepted;
        // What a machine asks for that does not know how long it was paused is refused. What it asked for in time may come late.
        let last_send = if time_is_seen { sends.last_asked } else { cloud.last_taken_of(id) };
        if let Some(stop) = self.stop.filter(|_| self.forgotten_at.is_none()) {
            judge::stopped(&stop, &sends, timing, time_is_seen)?;
        }
        if let Some(before) = self.complete_at.filter(|before| accepted != *before) {
            return broken("I7", format!("{} were accepted after {} was complete", accepted - before, self.id));
        }
        for (address, before) in &self.forgotten {
            let now = cloud.sent_for(id, address).map_or(0, |sent| sent.accepted);
            if now != *before {
                return broken("I1", format!("somebody was forgotten in {}, and {} were accepted afterwards", self.id, now - before));
            }
        }
        // A machine that does not know how long it was paused is refused by SES alone.
        let is_bound = |listed: &&Listed| listed.binds(self.kinds.class) && (time_is_seen || self.keys.is_none()) && !listed.is_asked_about;
        for (address, before) in self.listed.iter().filter(is_bound).filter_map(|listed| Some((&listed.address, listed.accepted?))) {
            let now = cloud.sent_for(id, address).map_or(0, |sent| sent.accepted);
            if now != before {
                return broken("suppression", format!("{address} was on the list for long when {} sent to it", self.id));
            }
        }
        for (what, at) in [("was stopped", self.stopped_at), ("was forgotten by the ledger", self.forgotten_at)] {
            if let Some((at, last)) = at.zip(last_send).filter(|(at, last)| last > at) {
                return broken("I4", format!("a send of {} began {:?} after it {what}", self.id, last.saturating_duration_since(at)));
            }
        }
        Ok(())
    }
}

/// Whether a request that names the address was begun, and nobody knows what became of it.
async fn is_in_doubt(ledger: &Ledger, broadcast: &Broadcast, address: &str) -> Result<bool, LedgerError> {
    let found = ledger.finder(address).await?.look(broadcast, |_| ()).await?;
    for standing in &found.recipients {
        let outcome = ledger.fate(broadcast, standing).await?.outcome.outcome;
        if matches!(outcome, Some(Outcome::Open | Outcome::InDoubt)) {
            return Ok(true);
        }
    }
    Ok(false)
}
