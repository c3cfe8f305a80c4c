//! The way of one chunk: is it claimable, is it our turn, have we a permit; claim, send, confirm.

use std::time::Duration;

use issei_aws::{Backoff, Message};
use issei_ledger::{
    self as ledger, Broadcast, BroadcastState, Chunk, Claim, Claimed, Confirmed, Keyed, LedgerError, Outcome, Outcomes, Part, ReasonCode,
    Registration, Suppression, Transition,
};
use issei_letter::Unwritable;
use issei_schema::{BroadcastId, ChunkMessage, Opening, Schedule};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::after::After;
use crate::broadcasts::Known;
use crate::carrier::{Carrier, Carrying};
use crate::envelope::{Envelope, Unready};
use crate::permits::Permission;
use crate::rate::Turn;
use crate::send::{Allowed, Ready, Sent};
use crate::service::Consumer;

/// How long a message of a broadcast that does not run stays away, until it is looked at again.
const PUT_BACK: Duration = Duration::from_mins(1);

/// The longest that SQS keeps a message away (API reference, `SendMessage`, `DelaySeconds`).
const AWAY_MAX: Duration = Duration::from_mins(15);

/// A message, parsed, with its chunk as the ledger had it, or as it is presumed to be.
pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) chunk: ChunkMessage,
    pub(crate) seen: Chunk,
}

/// What a claim was made under.
struct Under<'a> {
    registration: &'a Registration,
    epoch: u64,
    attempt: u32,
}

/// What a chunk is ready for.
enum Readiness {
    /// To be sent to these positions.
    Claimable(Vec<usize>),
    /// To be asked about once more, by the request to these positions.
    Askable(Vec<usize>),
    /// Not by us, for this reason.
    Not(After),
}

/// As `run_until_cancelled`, but looks at the time first: whoever has waited behind another until the end asks for no permit
/// that it can't use any more. Else each call of a function ends with a grant, and a budget that never stands still is never
/// recounted.
async fn in_time<T>(shutdown: &CancellationToken, asked: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        permission = asked => Some(permission),
    }
}

impl Consumer {
    /// Handles one delivery. Until the claim it may be cut off anywhere; from the claim to the
    /// confirmation it must not be.
    pub(crate) async fn handle(&self, delivery: &Delivery, shutdown: &CancellationToken) -> Result<After, LedgerError> {
        let Delivery { chunk, seen, .. } = delivery;
        let (id, mut seen, mut presumes) = (&chunk.broadcast_id, seen.clone(), *seen == Chunk::Absent);
        loop {
            let Some(mut known) = self.broadcasts.get(id).await? else {
                return Ok(After::Bury(format!("there is no broadcast `{id}` in the ledger, and a message alone orders nothing")));
            };
            // Nothing else that it says is believed before this.
            if let Some(objection) = self.broadcasts.objection(&mut known, chunk).await? {
                return Ok(After::Bury(objection));
            }
            if let Some(after) = self.unless_running(id, &known).await? {
                return Ok(after);
            }
            let (positions, asks) = match readiness(&seen, chunk, self.clock.wall()) {
                Readiness::Claimable(positions) => (positions, false),
                Readiness::Askable(positions) => (positions, true),
                Readiness::Not(after) => return Ok(after),
            };
            if let Some(objection) = self.broadcasts.unlike_its_page(&known, chunk).await? {
                return Ok(After::Bury(objection));
            }
            let (envelope, carrier) = match self.carrying(id, &known) {
                Carrying::By(envelope, carrier) => (envelope, carrier),
                Carrying::Elsewhere => return Ok(After::PutBack(PUT_BACK)),
                // Another consumer may have what this one lacks; but whoever watches must hear of it, and nobody gets a mail so.
                Carrying::Not(code, reason) => {
                    self.pause_unless_changed(&known, chunk, &mut seen, code, &reason).await?;
                    continue;
                }
            };
            let ready = match self.ready_or_look(&envelope, &known, chunk, &mut seen, &positions).await? {
                Some(Ok(ready)) => ready,
                Some(Err(after)) => return Ok(after),
                None => continue,
            };
            let recipients = positions.len() as u64;
            // Whoever can have no permit takes no turn from others.
            if let Some(until) = self.permits.later(&known.registration).filter(|_| !asks) {
                let Some(after) = self.later_or_look(until, &known, chunk, &mut seen).await? else { continue };
                return Ok(after);
            }
            // Waiting for a turn or a permit is what a shutdown cuts short; the message goes back.
            let Some(turn) = shutdown.run_until_cancelled(carrier.rate.turn(recipients)).await else { return Ok(After::GiveBack) };
            let rate = match turn? {
                Turn::Now { rate } => rate,
                Turn::QuotaSpent { quota } => {
                    let reason = quota_is_spent(carrier.provider.facts().title, quota);
                    self.pause_unless_changed(&known, chunk, &mut seen, ReasonCode::PausedQuota, &reason).await?;
                    continue;
                }
            };
            // From the question for a permit to the confirmation of what was sent under it.
            let _held = self.incarnation.holding(id);
            if asks {
                if let Some(after) = self.ask_or_look(carrier, &known, chunk, &mut seen, ready).await? {
                    return Ok(after);
                }
                continue;
            }
            let asked = self.permits.take(&known.registration, known.epoch, recipients, rate, presumes, known.ramped);
            let Some(permission) = in_time(shutdown, asked).await else { return Ok(After::GiveBack) };
            let permit = match permission? {
                Permission::Permit(permit) => permit,
                Permission::Later(until) => {
                    let Some(after) = self.later_or_look(until, &known, chunk, &mut seen).await? else { continue };
                    return Ok(after);
                }
                Permission::Spent => {
                    self.has_changed(&known, chunk, &mut seen).await?;
                    presumes = false;
                    continue;
                }
                Permission::Denied(broadcast) => {
                    let Some(after) = self.denied(&broadcast, &known) else { continue };
                    return Ok(after);
                }
            };
            // The wait may have been none, and then nothing has looked yet whether there is time left.
            if shutdown.is_cancelled() {
                self.permits.put_back(&known.registration, permit).await;
                return Ok(After::GiveBack);
            }
            // Waiting for a turn and a permit may have taken it past the end of its window. And this machine's clock may be
            // wrong, so that of the ledger is asked too, which has just told its time with the grant.
            let (granted_at, schedule) = (permit.granted_at(), known.schedule());
            let until = match self.open_until(id, &schedule, granted_at) {
                Ok(until) => until,
                Err(after) => {
                    self.permits.put_back(&known.registration, permit).await;
                    let Some(after) = after else { continue };
                    return Ok(after);
                }
            };
            let lease = self.options.timing.lease;
            let proven = self.proven_since(&known, chunk, &seen).await?;
            if !proven.is_empty() {
                // Their own permits may be among those that were just granted here.
                self.permits.put_back(&known.registration, permit).await;
                self.permits.return_of(&known.registration).await;
                let Some(found) = self.acknowledge(chunk, &seen, &proven).await? else { return Ok(After::PutBack(lease)) };
                seen = found;
                continue;
            }
            let (ready, spared) = match self.unless_listed(chunk, ready).await {
                Ok(left) => left,
                Err(error) => {
                    self.permits.put_back(&known.registration, permit).await;
                    return Err(error);
                }
            };
            let repeatable = ready.as_ref().and_then(|ready| self.repeatable(carrier, ready, chunk));
            match self.claim(chunk, &known, &seen, ledger::Under { granted_at: Some(granted_at), repeatable, spared }).await? {
                Claimed::Refused(found) => {
                    self.permits.put_back(&known.registration, permit).await;
                    if seen == Chunk::Absent {
                        self.presumption.was_wrong();
                    }
                    seen = found;
                }
                Claimed::Ours(mut claim) => {
                    let under = Under { registration: &known.registration, epoch: permit.epoch(), attempt: seen.attempts() + 1 };
                    self.telling.note(id, |progress| progress.permitted += recipients);
                    let sent = self.send(carrier, Allowed { permit, until }, &mut claim, chunk, ready).await;
                    return Ok(self.settle(delivery, carrier, &under, &mut claim, &positions, sent).await);
                }
            }
        }
    }

    /// What is to be sent of a chunk, or what becomes of its message; nothing where it is to be looked at afresh.
    async fn ready_or_look<'a>(
        &self,
        envelope: &'a Envelope,
        known: &Known,
        chunk: &ChunkMessage,
        seen: &mut Chunk,
        positions: &[usize],
    ) -> Result<Option<Result<Ready<'a>, After>>, LedgerError> {
        match Ready::of(envelope, &known.registration, chunk, positions.iter().copied()) {
            Ok(ready) => Ok(Some(Ok(ready))),
            Err(Unready::Odd(objection)) => Ok(Some(Err(After::Bury(objection)))),
            Err(Unready::Frozen(why)) => {
                let reason = frozen_before(&chunk.broadcast_id, chunk.chunk, &why);
                self.pause_unless_changed(known, chunk, seen, ReasonCode::PausedContent, &reason).await?;
                Ok(None)
            }
        }
    }

    /// What becomes of a message whose broadcast grants nothing; nothing where it is to be looked at afresh.
    fn denied(&self, broadcast: &Broadcast, known: &Known) -> Option<After> {
        self.broadcasts.note(broadcast);
        // Budget spent and recounted: whatever this chunk still lacks, its permits are in claims that are open. It is looked at
        // again when those are over.
        let is_spent = broadcast.broadcast_state == BroadcastState::Running && known.is_of(broadcast);
        is_spent.then_some(After::PutBack(self.options.timing.lease))
    }

    /// Until when it may be sent, by this machine's clock and by that of the ledger. Where it may not be, what becomes of the
    /// message; nothing where the broadcast is to be looked at afresh.
    fn open_until(&self, id: &BroadcastId, schedule: &Schedule<'_>, granted_at: Timestamp) -> Result<Timestamp, Option<After>> {
        match (schedule.at(self.clock.wall()), schedule.at(granted_at)) {
            (Opening::Open { until }, Opening::Open { .. }) => Ok(until),
            (Opening::Open { .. }, theirs) => {
                tracing::warn!(broadcast.id = %id, %granted_at, "by AWS's clock this is not to be sent now, and by this machine's it is");
                let away = if let Opening::Waiting { until } = theirs { away(until, granted_at) } else { PUT_BACK };
                Err(Some(After::PutBack(away)))
            }
            _ => Err(None),
        }
    }

    /// Puts the message of a chunk back until its ramp allows more. Where the chunk has changed meanwhile, `seen` is
    /// what it has become, and nothing is given.
    async fn later_or_look(
        &self,
        until: Timestamp,
        known: &Known,
        chunk: &ChunkMessage,
        seen: &mut Chunk,
    ) -> Result<Option<After>, LedgerError> {
        let has_changed = self.has_changed(known, chunk, seen).await?;
        Ok((!has_changed).then(|| After::PutBack(away(until, self.clock.wall()))))
    }

    /// Asks about those in doubt. Where that may not be, `seen` is what the chunk has become, and nothing is given.
    async fn ask_or_look(
        &self,
        carrier: &Carrier,
        known: &Known,
        chunk: &ChunkMessage,
        seen: &mut Chunk,
        ready: Ready<'_>,
    ) -> Result<Option<After>, LedgerError> {
        if let Some(after) = self.ask(carrier, known, chunk, seen, ready).await? {
            return Ok(Some(after));
        }
        if self.has_changed(known, chunk, seen).await? {
            return Ok(None);
        }
        // It is the broadcast that has changed: it is looked at afresh.
        Ok(Some(After::PutBack(self.options.timing.lease)))
    }

    /// Looks whether a chunk is still as it was seen, or presumed to be, before anything is concluded from what it would
    /// need: a copy of the message of a chunk that is settled needs neither permits nor quota, and waiting for a turn takes time.
    async fn has_changed(&self, known: &Known, chunk: &ChunkMessage, seen: &mut Chunk) -> Result<bool, LedgerError> {
        let found = self.ledger.chunks(&known.registration.placed(), &[chunk.chunk]).await?.into_values().next();
        let Some(found) = found.filter(|found| *found != Chunk::Absent && found != seen) else { return Ok(false) };
        if *seen == Chunk::Absent {
            self.presumption.was_wrong();
        }
        *seen = found;
        Ok(true)
    }

    /// Pauses the broadcast for what its chunk would need, where the chunk is still as it was seen.
    async fn pause_unless_changed(
        &self,
        known: &Known,
        chunk: &ChunkMessage,
        seen: &mut Chunk,
        code: ReasonCode,
        reason: &str,
    ) -> Result<(), LedgerError> {
        if self.has_changed(known, chunk, seen).await? { Ok(()) } else { self.pause(&chunk.broadcast_id, code, reason).await }
    }

    /// What is left of a request once whoever has come on the list of those that are not mailed is left out of it, and whom that
    /// spares: up to fourteen days may have passed since the audience was frozen. Nothing is left where it is everybody. They
    /// keep their part of the permit, which is spent on nothing.
    async fn unless_listed<'a>(
        &self,
        message: &ChunkMessage,
        ready: Ready<'a>,
    ) -> Result<(Option<Ready<'a>>, Vec<(usize, Suppression)>), LedgerError> {
        let recipients = ready.entries().iter().filter_map(|entry| Some((entry.at, &message.recipients.get(entry.at)?.address)));
        let spared = self.lately.bound(ready.class(), recipients).await?;
        if spared.is_empty() {
            return Ok((Some(ready), spared));
        }
        tracing::info!(
            chunk = message.chunk,
            recipients = spared.len(),
            "on the suppression list since the audience was frozen, and not sent to"
        );
        Ok((ready.without(&spared), spared))
    }

    async fn claim(&self, chunk: &ChunkMessage, known: &Known, seen: &Chunk, under: ledger::Under) -> Result<Claimed, LedgerError> {
        let (owner, lease) = (self.incarnation.mark(&self.dice.token()), self.options.timing.lease);
        self.ledger.claim(chunk, &known.registration, seen, owner, lease, &under).await
    }

    /// Before a claim that is not the chunk's first, whoever acts on the absence of evidence looks whether it is
    /// still absent: these are to be sent to again, and there are events of them.
    async fn proven_since(&self, known: &Known, message: &ChunkMessage, seen: &Chunk) -> Result<Vec<usize>, LedgerError> {
        if *seen == Chunk::Absent {
            return Ok(Vec::new());
        }
        let heard = self.ledger.feedback(&known.registration.placed(), &[message.chunk]).await?;
        Ok(heard.values().flat_map(|heard| heard.proven_since(seen)).collect())
    }

    /// Records as accepted whom events prove, and gives the chunk as it is then; nothing where it can't be
    /// recorded now, since their permits are in others' hands.
    async fn acknowledge(&self, message: &ChunkMessage, seen: &Chunk, proven: &[usize]) -> Result<Option<Chunk>, LedgerError> {
        let (id, seq) = (&message.broadcast_id, message.chunk);
        let broadcast = self.ledger.broadcast(id).await?;
        let is_recorded = self.ledger.acknowledge(&broadcast, seq, seen, proven, &self.dice.token()).await?;
        tracing::warn!(recipients = proven.len(), is_recorded, "accepted after all, by events that came since");
        Ok(self.ledger.chunks(&broadcast.placed(), &[seq]).await?.into_values().find(|found| found != seen))
    }

    /// What to do with a message of a broadcast that does not run; nothing where it does.
    async fn unless_running(&self, id: &BroadcastId, known: &Known) -> Result<Option<After>, LedgerError> {
        Ok(match known.state {
            BroadcastState::Stopping | BroadcastState::Stopped | BroadcastState::Complete => Some(After::Delete),
            BroadcastState::Enumerating | BroadcastState::Paused | BroadcastState::Holding => Some(After::PutBack(PUT_BACK)),
            BroadcastState::Running => {
                let now = self.clock.wall();
                match known.schedule().at(now) {
                    Opening::Open { .. } => None,
                    // A copy with a delay spends no receive, and is a new message as far as its retention goes.
                    Opening::Waiting { until } => Some(After::PutBack(away(until, now))),
                    Opening::Over => {
                        self.change(id, BroadcastState::Stopping, ReasonCode::StoppedExpired, known.schedule().why_over(now)).await?;
                        Some(After::Delete)
                    }
                }
            }
        })
    }

    /// From the send to the end of the message: confirm, then draw the conclusions.
    async fn settle(
        &self,
        delivery: &Delivery,
        carrier: &Carrier,
        under: &Under<'_>,
        claim: &mut Claim,
        positions: &[usize],
        sent: Sent,
    ) -> After {
        let id = &delivery.chunk.broadcast_id;
        let Some(outcomes) = self.confirm(claim).await else {
            // The claim stands unconfirmed and will read as in doubt; the message finds that out.
            return After::Hide(self.options.timing.lease);
        };
        let spared = claim.spared(positions);
        self.telling.note(id, |progress| progress.add(positions, &outcomes, spared));
        if let Some(delay) = sent.slow_down {
            carrier.rate.slow_down(delay);
        }
        let streak = carrier.failures.count(id, sent.in_vain, sent.accepted);
        let pause = sent.pause.map(|reason| (ReasonCode::PausedProvider, reason)).or_else(|| {
            let is_too_long = streak >= self.options.max_failures_in_a_row;
            let why = "the provider does not answer, what stands in between answers in its place, or it rejects everybody";
            is_too_long.then(|| (ReasonCode::PausedNobodyAccepted, format!("of {streak} chunks in a row nobody was accepted: {why}")))
        });
        if let Some((code, reason)) = pause
            && let Err(error) = self.pause(id, code, &reason).await
        {
            tracing::error!(%error, reason, "the broadcast should be paused and can't be");
        }
        let retryable = outcomes.count(Outcome::Retryable);
        if retryable == 0 {
            // Where the provider remembers the request, this message comes again to ask about it.
            let mut asked_about = claim.request().into_iter().flat_map(Keyed::parts).flat_map(Part::members);
            let askable = asked_about.any(|at| outcomes.iter().nth(at) == Some(Outcome::InDoubt));
            return if askable { After::PutBack(self.before_asking(0)) } else { After::Delete };
        }
        self.permits.give_back(under.registration, under.epoch, retryable as u64).await;
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(15), self.dice.clone());
        let at_least = Duration::from_secs(1);
        if sent.slow_down.is_some() || sent.stale {
            // A busy provider, a window that closed, or a paused machine, is no fault of the message, however often it
            // meets with one. And after a pause the message may be gone: somebody may have read the claim as in doubt.
            return After::PutBack(backoff.delay_after(under.attempt).max(at_least));
        }
        After::Hide(backoff.delay_after(delivery.message.receives).max(at_least))
    }

    /// Confirms, and tries again for as long as the handler may take: a confirmation that is lost
    /// leaves recipients in doubt who were in fact accepted.
    pub(crate) async fn confirm(&self, claim: &mut Claim) -> Option<Outcomes> {
        let gives_up = self.clock.now() + self.options.timing.handler;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), self.dice.clone());
        loop {
            match self.ledger.confirm(claim).await {
                Ok(Confirmed::Written(outcomes)) => return Some(outcomes),
                Ok(Confirmed::NotOurs(found)) => {
                    tracing::error!(?found, "a claim is no longer in our name: the ledger was changed from outside, or restored");
                    return None;
                }
                Err(error) if self.clock.now() < gives_up => {
                    tracing::warn!(%error, "a confirmation failed; trying again");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "a confirmation failed for good; the chunk will read as in doubt");
                    return None;
                }
            }
        }
    }

    pub(crate) async fn pause(&self, id: &BroadcastId, code: ReasonCode, reason: &str) -> Result<(), LedgerError> {
        self.change(id, BroadcastState::Paused, code, reason).await
    }

    async fn change(&self, id: &BroadcastId, to: BroadcastState, code: ReasonCode, reason: &str) -> Result<(), LedgerError> {
        match self.ledger.transition_for(id, code, Transition { to, actor: self.incarnation.actor(), reason }).await {
            Ok(broadcast) => {
                tracing::error!(broadcast.id = %id, %to, %code, reason, "the broadcast's state was changed");
                self.broadcasts.note(&broadcast);
                Ok(())
            }
            // Somebody else was first, and that is as well.
            Err(LedgerError::Transition { .. }) => {
                self.broadcasts.note(&self.ledger.broadcast(id).await?);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn frozen_before(id: &BroadcastId, chunk: u32, why: &Unwritable) -> String {
    format!(
        "an earlier build of issei froze somebody in chunk {chunk} to whom this one does not write: {why}; `issei stop {id}`, and send whoever is missing a new one: `issei resend {id} --as NEW_ID` makes command and audience, in whose file the value is to be corrected"
    )
}

fn quota_is_spent(title: &str, quota: u64) -> String {
    format!("{title}'s quota of {quota} recipients in 24 hours is used up; resume when it shows room again")
}

/// How long a message stays away that may not be sent before a moment.
fn away(until: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    (left + Duration::from_secs(1)).min(AWAY_MAX)
}

fn readiness(seen: &Chunk, message: &ChunkMessage, now: Timestamp) -> Readiness {
    let recipients = message.recipients.len();
    if let Some(outcomes) = seen.outcomes().filter(|outcomes| outcomes.len() != recipients) {
        return Readiness::Not(After::Bury(format!(
            "the message has {recipients} recipients and the ledger's chunk {} has {}; it is not the frozen chunk",
            message.chunk,
            outcomes.len()
        )));
    }
    let asked: Vec<usize> = seen.askable(now).into_iter().flat_map(Part::members).collect();
    let asked = (!asked.is_empty()).then_some(Readiness::Askable(asked));
    match seen {
        Chunk::Absent => Readiness::Claimable((0..recipients).collect()),
        Chunk::Confirmed { outcomes, .. } => {
            let retryable: Vec<usize> = outcomes.positions(Outcome::Retryable).collect();
            if retryable.is_empty() { asked.unwrap_or(Readiness::Not(After::Delete)) } else { Readiness::Claimable(retryable) }
        }
        Chunk::Claimed { lease_until, .. } => {
            let left = Duration::try_from(lease_until.duration_since(now)).unwrap_or(Duration::ZERO);
            // A claim whose lease is over is in doubt, and listed so by being there. Its message has
            // nothing left to do, but to ask.
            if left.is_zero() {
                asked.unwrap_or(Readiness::Not(After::Delete))
            } else {
                Readiness::Not(After::Hide(left + Duration::from_secs(1)))
            }
        }
    }
}
