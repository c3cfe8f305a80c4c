//! The sweep: now and then, every chunk of each open broadcast is looked at with its events. It finds
//! what single events don't tell: an answer and an event that name different messages, and sends of
//! which nothing was ever heard.

use std::time::Duration;

use issei_ledger::{Broadcast, BroadcastState, Chunk, LedgerError, Outcome, ReasonCode, Tally, Told, Walked, nothing_held_since};
use issei_schema::{BroadcastId, CanaryApproval, InDoubtPolicy};
use jiff::{SignedDuration, Timestamp};

use crate::breaker::Rates;
use crate::canary::{self, Sight};
use crate::evidence::Neighbours;
use crate::service::Feedback;

/// A chunk made retryable that nobody has claimed for this long is enqueued again: its message was lost
/// with a crash, or an old copy of it was claimed and deleted under another receipt. Longer than a
/// message is ever hidden.
const ENQUEUE_AGAIN: Duration = Duration::from_mins(20);

impl Feedback {
    /// Sweeps every open broadcast, and writes the totals anew of those that are over and were told
    /// more about.
    pub async fn sweep(&self) -> Result<(), LedgerError> {
        for id in self.ledger.open_broadcasts().await? {
            // One broadcast that can't be read must not keep the others from being looked at.
            if let Err(error) = self.sweep_one(&id).await {
                tracing::warn!(%error, broadcast.id = %id, "this broadcast can't be swept now; trying again");
            }
        }
        for told in self.ledger.told().await? {
            if let Err(error) = self.total_anew(&told).await {
                tracing::warn!(%error, broadcast.id = %told.id, "the totals can't be written anew now; trying again");
            }
        }
        Ok(())
    }

    async fn total_anew(&self, told: &Told) -> Result<(), LedgerError> {
        let broadcast = self.ledger.broadcast(&told.id).await?;
        if self.may_be_claimed(&broadcast).await? {
            return Ok(());
        }
        let tally = self.ledger.tally(&broadcast).await?;
        self.ledger.retotal(&told.id, &tally).await?;
        // What was under way when it was stopped may still be written down; the next sweep counts that too.
        let ended = broadcast.last_step().map(|entry| entry.at);
        let over = async || {
            let timing = self.ledger.widest(&self.options.timing).await?.timing;
            Ok::<_, LedgerError>(ended.is_some_and(|at| is_past(at, timing.claims_over_after(), self.clock.wall())))
        };
        if tally.open_claims > 0 && !over().await? {
            return Ok(());
        }
        self.ledger.note_totalled(told).await
    }

    /// Whether whoever holds a permit of a stopped broadcast may claim something of it yet. By force it is stopped sooner than every
    /// permit is too old, and totals that lack such a claim would call nobody in doubt.
    async fn may_be_claimed(&self, broadcast: &Broadcast) -> Result<bool, LedgerError> {
        if broadcast.broadcast_state != BroadcastState::Stopped || broadcast.grant_count == 0 {
            return Ok(false);
        }
        let trail = self.ledger.audit_trail(broadcast).await?.entries;
        let decided = trail.iter().rfind(|entry| entry.step.ends_with(" -> stopping"));
        let Some(decided) = decided.filter(|_| nothing_held_since(&trail).is_none()) else { return Ok(false) };
        let timing = self.ledger.widest(&self.options.timing).await?.timing;
        Ok(!is_past(decided.at, timing.refused_after(), self.clock.wall()))
    }

    async fn sweep_one(&self, id: &BroadcastId) -> Result<(), LedgerError> {
        let broadcast = self.ledger.broadcast(id).await?;
        if broadcast.broadcast_state == BroadcastState::Enumerating || broadcast.broadcast_state.is_over() {
            return Ok(());
        }
        let (mut tally, mut neighbours, mut forgotten, mut late) = (Tally::default(), Neighbours::default(), None, false);
        let (mut walk, mut proven) = (self.ledger.walk(&broadcast), 0);
        while let Some(walked) = walk.next().await? {
            let twice = walked.feedback.accepted_twice(&walked.chunk);
            self.end_if_accepted_twice(&broadcast, walked.seq, &walked.chunk, &twice).await;
            if walked.chunk == Chunk::Absent {
                forgotten = Some(walked.seq);
            }
            proven += walked.feedback.proven();
            late |= !self.acknowledge(&broadcast, &walked).await?;
            neighbours.add(&walked);
            tally.add(&walked);
        }
        let totals = tally.totals();
        let beyond = totals.accepted.max(broadcast.granted).saturating_sub(broadcast.recipients);
        tracing::info!(target: "issei::metrics", in_doubt = totals.in_doubt, accepted_beyond_audience = beyond);
        self.end_if_over_limits(&broadcast, Rates::counted(&totals, proven)).await;
        let is_canary = broadcast.broadcast_state == BroadcastState::Holding && !broadcast.holds_before_first_send();
        if is_canary && broadcast.canary_approval == CanaryApproval::Evidence {
            self.approve_if_evident(&broadcast, &tally, proven).await;
        }
        if let Some(seq) = forgotten {
            self.end_if_forgotten(&broadcast, seq).await?;
        }
        // Only where somebody may still be sent to: in a broadcast that has ended, in doubt stays what it is.
        let now = self.ledger.broadcast(id).await?;
        let may_send = now.broadcast_state == BroadcastState::Running;
        if may_send && now.in_doubt != InDoubtPolicy::Hold && self.clock.wall() < now.not_after {
            self.settle_by_absence(&now, &neighbours).await?;
        }
        if may_send && late {
            self.recount(&now).await?;
        }
        Ok(())
    }

    /// Records those as accepted whose events came when they were to be sent to again already. Says whether
    /// there is nothing left of it to do.
    async fn acknowledge(&self, broadcast: &Broadcast, walked: &Walked) -> Result<bool, LedgerError> {
        let proven = walked.feedback.proven_since(&walked.chunk);
        if proven.is_empty() {
            return Ok(true);
        }
        tracing::warn!(broadcast.id = %broadcast.broadcast_id, chunk.seq = walked.seq, recipients = proven.len(), "accepted after all, by events that came late");
        self.ledger.acknowledge(broadcast, walked.seq, &walked.chunk, &proven, &self.dice.token()).await
    }

    /// The permits of those who were accepted after all don't remain: they are in somebody's hands, or went
    /// down with a consumer. Where nobody is granted any for as long as one lives, it was the latter.
    async fn recount(&self, broadcast: &Broadcast) -> Result<(), LedgerError> {
        // Of whoever was granted anything before this broadcast was read.
        let timing = self.ledger.widest(&self.options.timing).await?.timing;
        tokio::time::sleep(timing.recount_after()).await;
        self.ledger.recount(broadcast).await.map(|_| ())
    }

    /// Lets a broadcast go on whose canary went well. Where it did not, or not yet, it goes on holding.
    async fn approve_if_evident(&self, broadcast: &Broadcast, tally: &Tally, proven: u64) {
        let id = &broadcast.broadcast_id;
        let held_for = broadcast
            .audit_trail
            .last()
            .map_or(Duration::ZERO, |entry| Duration::try_from(self.clock.wall().duration_since(entry.at)).unwrap_or(Duration::ZERO));
        let sight = Sight { totals: tally.totals(), proven, held_for };
        match canary::verdict(&self.options.limits, self.options.canary_wait, sight) {
            Ok(reason) => {
                self.step(broadcast, BroadcastState::Running, None, &reason).await;
            }
            Err(reason) => {
                tracing::info!(broadcast.id = %id, reason, "the canary's evidence is not good enough; the broadcast goes on holding");
            }
        }
    }

    /// An event about a chunk that the ledger has no claim of: claims come before sends, so the
    /// ledger has gone back in time.
    async fn end_if_forgotten(&self, broadcast: &Broadcast, seq: u32) -> Result<(), LedgerError> {
        // The walk reads chunks and events one after the other, and a claim may fall in between.
        let found = self.ledger.chunks(&broadcast.placed(), &[seq]).await?;
        if found.values().all(|chunk| *chunk == Chunk::Absent) {
            let reason = format!("there are events about chunk {seq}, which the ledger knows no claim of: it was restored");
            self.end(broadcast, ReasonCode::StoppedRestored, &reason).await;
        }
        Ok(())
    }

    /// Makes those retryable whom the provider is proved, or by the policy supposed, not to have
    /// accepted, and puts their chunks on the queue again.
    async fn settle_by_absence(&self, broadcast: &Broadcast, neighbours: &Neighbours) -> Result<(), LedgerError> {
        let id = &broadcast.broadcast_id;
        let by_evidence = broadcast.in_doubt == InDoubtPolicy::EvidenceRetry;
        // What lies in our own queues may be the very event that is missing.
        if by_evidence && !self.is_drained().await {
            return Ok(());
        }
        let mut walk = self.ledger.walk(broadcast);
        while let Some(walked) = walk.next().await? {
            let Some(claimed_at) = walked.chunk.claimed_at() else { continue };
            let unheard = if self.is_due(claimed_at) { unheard(&walked) } else { Vec::new() };
            if !unheard.is_empty() && (!by_evidence || neighbours.vouch(&self.options.rules, claimed_at)) {
                if self.ledger.reopen(broadcast, walked.seq, &walked.chunk, &unheard, &self.incarnation.mark(&self.dice.token())).await? {
                    tracing::warn!(broadcast.id = %id, chunk.seq = walked.seq, recipients = unheard.len(), by_evidence, "not accepted, so to be sent again");
                    self.enqueue(broadcast, &walked).await?;
                }
            } else if walked.chunk.reopened_since().is_some_and(|at| is_past(at, ENQUEUE_AGAIN, self.clock.wall())) {
                self.enqueue(broadcast, &walked).await?;
            }
        }
        Ok(())
    }

    /// Long enough after the last moment at which the claim's send could be accepted.
    fn is_due(&self, claimed_at: Timestamp) -> bool {
        let timing = &self.options.timing;
        is_past(claimed_at, timing.lease + timing.request_lifetime + self.options.rules.wait, self.clock.wall())
    }

    async fn is_drained(&self) -> bool {
        match self.events.depths().await {
            Ok(depths) => depths == [0; 3],
            Err(error) => {
                tracing::warn!(%error, "the feedback queue's depth can't be read; nothing is concluded from absence");
                false
            }
        }
    }

    async fn enqueue(&self, broadcast: &Broadcast, walked: &Walked) -> Result<(), LedgerError> {
        let id = &broadcast.broadcast_id;
        let Some(page) = walked.chunk.page() else { return Ok(()) };
        let page = self.ledger.page(&broadcast.placed(), page).await?;
        let message = page.messages(broadcast, None).find(|message| message.chunk == walked.seq);
        let Some(message) = message else { return Err(LedgerError::corrupt_chunk(id, walked.seq, page.seq)) };
        if let Err(error) = self.chunks.send(&message.to_body(), Duration::ZERO).await {
            tracing::warn!(%error, broadcast.id = %id, chunk.seq = walked.seq, "a chunk can't be enqueued; a later sweep does it");
        }
        Ok(())
    }
}

/// The positions in doubt, or in a claim that was never confirmed, of which no event is known.
fn unheard(walked: &Walked) -> Vec<usize> {
    let outcomes = walked.chunk.outcomes().into_iter().flat_map(issei_ledger::Outcomes::iter).enumerate();
    outcomes
        .filter(|(at, outcome)| matches!(walked.feedback.settle(*at, *outcome), Outcome::Open | Outcome::InDoubt))
        .map(|(at, _)| at)
        .collect()
}

fn is_past(at: Timestamp, by: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(by).is_ok_and(|by| at.saturating_add(by).is_ok_and(|due| now >= due))
}
