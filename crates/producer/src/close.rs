//! Looking after open broadcasts: ending those that are done or whose time is over, and carrying on
//! those that lost their command. A broadcast is complete only by an exact count of the ledger,
//! never because a queue looks empty.

use std::collections::HashMap;
use std::time::Duration;

use issei_aws::Timing;
use issei_clock::Instant;
use issei_ledger::{Broadcast, BroadcastState, LedgerError, ReasonCode, ServiceKind, Transition, phrases};
use issei_schema::{BroadcastId, InDoubtPolicy, Opening};
use tokio_util::sync::CancellationToken;

use crate::canary::Canary;
use crate::service::{Producer, ProducerError};

/// What was seen of each open broadcast, so that the exact count, which reads every chunk, is only
/// made where it may succeed.
#[derive(Default)]
pub(crate) struct Closer {
    seen: HashMap<BroadcastId, Seen>,
    measured_at: Option<Instant>,
}

/// How often it is measured whether a broadcast runs that nobody sends.
const MEASURE_EVERY: Duration = Duration::from_mins(1);

struct Seen {
    /// State, pages frozen, pages enqueued, chunks settled: what moves while somebody works on it.
    sight: (BroadcastState, u32, u32, u64),
    since: Instant,
    /// How many grants there were, and since when there has been none.
    grants: u64,
    no_grant_since: Instant,
    /// It might not be sent when it was last looked at.
    waited: bool,
    /// The widest timeouts of those who could send under one of these grants, read when a wait by our own is over.
    widest: Option<Timing>,
    /// When the exact count was made for this very sight and said no.
    counted_at: Option<Instant>,
}

/// Looking after a broadcast may be cut off anywhere, and is where it must end.
fn never() -> CancellationToken {
    CancellationToken::new()
}

impl Producer {
    /// Looks at every open broadcast once, and says whether there is any that does not wait for its time.
    pub(crate) async fn close(&self, closer: &mut Closer) -> Result<bool, ProducerError> {
        let open = self.ledger.open_broadcasts().await?;
        if let Err(error) = self.measure(closer, &open).await {
            tracing::warn!(%error, "who is alive can't be measured now");
        }
        closer.seen.retain(|id, _| open.contains(id));
        let mut any = false;
        for id in open {
            // One broadcast that can't be looked at must not keep the others from their end.
            any |= self.look_after_one(closer, &id).await.unwrap_or_else(|error| {
                tracing::warn!(%error, broadcast.id = %id, "this broadcast can't be looked after now; trying again");
                true
            });
        }
        Ok(any)
    }

    /// Says now and then whether a broadcast runs that nobody sends.
    async fn measure(&self, closer: &mut Closer, open: &[BroadcastId]) -> Result<(), ProducerError> {
        let now = self.clock.now();
        if closer.measured_at.is_some_and(|measured| now.saturating_duration_since(measured) < MEASURE_EVERY) {
            return Ok(());
        }
        closer.measured_at = Some(now);
        let (mut running, mut behind, wall) = (0_u64, 0_u64, self.clock.wall());
        for id in open {
            let broadcast = self.ledger.broadcast(id).await?;
            // One that waits for its time needs nobody yet.
            let waits = broadcast.waits_until(wall).is_some();
            running += u64::from(broadcast.broadcast_state == BroadcastState::Running && !waits);
            behind += u64::from(self.falls_behind(&broadcast).await?);
        }
        let alive =
            running > 0 && self.ledger.heartbeats(wall).await?.iter().any(|run| run.service == ServiceKind::Consumer && run.is_alive(wall));
        // A consumer that is called only when there are messages is silent while there are none.
        let waits = self.chunks.visible().await? > 0;
        let running_without_consumer = if waits && !alive { running } else { 0 };
        tracing::info!(target: "issei::metrics", running, running_without_consumer, behind_effective_at = behind);
        Ok(())
    }

    /// Whether some will be told after the day from which a broadcast binds.
    async fn falls_behind(&self, broadcast: &Broadcast) -> Result<bool, ProducerError> {
        if broadcast.effective_at.is_none() {
            return Ok(false);
        }
        let (id, wall) = (&broadcast.broadcast_id, self.clock.wall());
        let progress = self.ledger.progress(id).await?;
        let settled = progress.accepted + progress.rejected + progress.in_doubt;
        let account = self.rate_of(&broadcast.provider.clone().unwrap_or_default()).await;
        let rate = self.ledger.recipients_a_second(broadcast, wall, [account, self.options.rate_ceiling]).await?;
        let why = broadcast.falls_behind(wall, settled, rate);
        if let Some(why) = &why {
            tracing::error!(broadcast.id = %id, why = why.english, "a notice will reach some too late");
        }
        Ok(why.is_some())
    }

    /// Says whether there is anything to do for it before its time comes.
    async fn look_after_one(&self, closer: &mut Closer, id: &BroadcastId) -> Result<bool, ProducerError> {
        let broadcast = self.ledger.broadcast(id).await?;
        let is_due = broadcast.waits_until(self.clock.wall()).is_none();
        let settled = if broadcast.is_enqueued() { self.ledger.progress(id).await?.settled_chunks } else { 0 };
        let now = self.clock.now();
        let sight = (broadcast.broadcast_state, broadcast.pages, broadcast.enqueued_pages, settled);
        let grants = broadcast.grant_count;
        // Whoever begins to look enqueues once what may be sent by now: whether anybody has done so nobody knows.
        let waited = broadcast.schedule().is_given();
        let new = Seen { sight, since: now, grants, no_grant_since: now, waited, widest: None, counted_at: None };
        let seen = closer.seen.entry(id.clone()).or_insert(new);
        if seen.sight != sight {
            (seen.sight, seen.since, seen.counted_at) = (sight, now, None);
        }
        if seen.grants != grants {
            (seen.grants, seen.no_grant_since, seen.widest) = (grants, now, None);
        }
        let timing = self.widest(&broadcast, seen, now).await?;
        self.look_at(broadcast, seen, &timing, now).await?;
        Ok(is_due)
    }

    /// What waits for the end of permits and claims is counted with: the timeouts of whoever was granted them.
    /// They are read once a wait by our own is over, and so after the last grant.
    async fn widest(&self, broadcast: &Broadcast, seen: &mut Seen, now: Instant) -> Result<Timing, ProducerError> {
        let own = self.options.timing;
        let is_due = match broadcast.broadcast_state {
            BroadcastState::Stopping => now.saturating_duration_since(seen.since) > own.refused_after(),
            _ => broadcast.grant_count > 0 && now.saturating_duration_since(seen.no_grant_since) > own.claims_over_after(),
        };
        if is_due && seen.widest.is_none() {
            seen.widest = Some(self.ledger.widest(&own).await?.timing);
        }
        Ok(seen.widest.unwrap_or(own))
    }

    async fn look_at(&self, broadcast: Broadcast, seen: &mut Seen, timing: &Timing, now: Instant) -> Result<(), ProducerError> {
        let still_for = now.saturating_duration_since(seen.since);
        let wall = self.clock.wall();
        let opening = broadcast.schedule().at(wall);
        let (too_late, waits) = (opening == Opening::Over, matches!(opening, Opening::Waiting { .. }));
        let opened = broadcast.broadcast_state == BroadcastState::Running && seen.waited && !waits;
        seen.waited = match broadcast.broadcast_state {
            // Whoever freezes it enqueues it, where it may be sent by then.
            BroadcastState::Enumerating | BroadcastState::Running => waits,
            // One that is paused or holds when its time comes has still waited when it runs again.
            _ => seen.waited || waits,
        };
        let (expired, why_over) = (Some(ReasonCode::StoppedExpired), broadcast.schedule().why_over(wall));
        // By our own monotonic clock, whatever the wall clocks of those who claimed say.
        let open_are_over = now.saturating_duration_since(seen.no_grant_since) > timing.claims_over_after();
        match broadcast.broadcast_state {
            BroadcastState::Stopped | BroadcastState::Complete => {
                self.ledger.closed(broadcast).await?;
            }
            // Counted from when it was first seen here, on our own clock: never too early.
            BroadcastState::Stopping if still_for > timing.refused_after() => {
                self.step(&broadcast, BroadcastState::Stopped, None, &phrases::PERMITS_EXPIRED.with(&[])).await?;
            }
            BroadcastState::Enumerating if too_late => self.step(&broadcast, BroadcastState::Stopped, expired, why_over).await?,
            BroadcastState::Enumerating if still_for > timing.visibility && !self.is_freezing() => {
                // An audience that can't be read is not asked for at every look.
                seen.since = now;
                tracing::warn!(broadcast.id = %broadcast.broadcast_id, "nobody freezes this audience any more; carrying on from the ledger");
                let command = self.ledger.command_of(&broadcast).await?;
                let frozen = self.freeze(&command, broadcast, &never()).await?;
                self.enqueue(frozen, &never()).await?;
            }
            BroadcastState::Running if too_late && !broadcast.is_enqueued() => {
                self.step(&broadcast, BroadcastState::Stopping, expired, why_over).await?;
            }
            // Nothing of it was sent, and nothing is until it opens.
            BroadcastState::Running if waits && broadcast.grant_count == 0 => {}
            BroadcastState::Running if broadcast.withheld > 0 && self.canary_is_settled(&broadcast, open_are_over).await? => {
                let code = Some(ReasonCode::HoldingCanary);
                let told = self.canary(&broadcast).await?.told();
                self.step(&broadcast, BroadcastState::Holding, code, &told).await?;
            }
            BroadcastState::Running if opened && !broadcast.is_enqueued() => {
                self.enqueue(broadcast, &never()).await?;
            }
            // The canary was approved just now, or its first send, of which nothing is enqueued yet.
            BroadcastState::Running
                if !broadcast.is_enqueued()
                    && (broadcast.canary > 0 || broadcast.held_before_send)
                    && (broadcast.withheld == 0 || broadcast.held_before_send && broadcast.grant_count == 0 && still_for.is_zero()) =>
            {
                self.enqueue(broadcast, &never()).await?;
            }
            BroadcastState::Running if broadcast.is_enqueued() => {
                // Progress is approximate. Where it says done, count; where it stands still, a
                // consumer may have died with the last of it, so count then and now too.
                let looks_done = seen.sight.3 >= u64::from(broadcast.chunks);
                let due = seen.counted_at.is_none_or(|at| now.saturating_duration_since(at) > timing.lease);
                // While it waits, or its ramp allows no more, nothing moves, which is no reason to count.
                let rests = broadcast.rests_until(wall).is_some();
                if (looks_done || still_for > timing.lease && !waits && !rests) && due {
                    seen.counted_at = Some(now);
                    self.complete(&broadcast, open_are_over).await?;
                }
                if too_late && !looks_done {
                    self.step(&broadcast, BroadcastState::Stopping, expired, why_over).await?;
                }
            }
            BroadcastState::Paused | BroadcastState::Holding if too_late => {
                self.step(&broadcast, BroadcastState::Stopping, expired, why_over).await?;
            }
            BroadcastState::Running if still_for > timing.visibility && !waits => {
                tracing::warn!(broadcast.id = %broadcast.broadcast_id, "nobody enqueues these chunks any more; carrying on from the ledger");
                self.enqueue(broadcast, &never()).await?;
                seen.since = now;
            }
            _ => {}
        }
        Ok(())
    }

    async fn complete(&self, broadcast: &Broadcast, open_are_over: bool) -> Result<(), ProducerError> {
        let tally = self.ledger.tally(broadcast).await?;
        // Doubt that evidence may still end could cause a send; so that is not the end.
        let may_reopen =
            broadcast.in_doubt != InDoubtPolicy::Hold && tally.totals().in_doubt > 0 && self.clock.wall() < broadcast.not_after;
        // So could a repeat of a request whose answer may still end doubt.
        let now = self.clock.wall();
        let may_ask = tally.askable_until.is_some_and(|until| now < until) && now < broadcast.not_after;
        if !may_reopen
            && !may_ask
            && tally.is_settled(broadcast.chunks, open_are_over)
            && self.ledger.complete(broadcast, &tally, self.incarnation.actor()).await?
        {
            tracing::info!(broadcast.id = %broadcast.broadcast_id, totals = ?tally.totals(), "broadcast complete");
        }
        Ok(())
    }

    /// Every chunk of the canary is confirmed, or its claim is over, and none of its recipients is to be sent to again.
    async fn canary_is_settled(&self, broadcast: &Broadcast, open_are_over: bool) -> Result<bool, ProducerError> {
        let chunks: Vec<u32> = (0..broadcast.canary_chunks).collect();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in chunks.chunks(100) {
            let found = self.ledger.chunks(&broadcast.placed(), some).await?;
            if !found.values().all(|chunk| chunk.is_settled(open_are_over)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What became of a canary that is settled.
    async fn canary(&self, broadcast: &Broadcast) -> Result<Canary, LedgerError> {
        let (chunks, mut canary) = ((0..broadcast.canary_chunks).collect::<Vec<u32>>(), Canary::default());
        for some in chunks.chunks(100) {
            self.ledger.chunks(&broadcast.placed(), some).await?.values().for_each(|chunk| canary.add(chunk));
        }
        Ok(canary)
    }

    async fn step(&self, broadcast: &Broadcast, to: BroadcastState, code: Option<ReasonCode>, reason: &str) -> Result<(), ProducerError> {
        tracing::warn!(broadcast.id = %broadcast.broadcast_id, %to, reason, "changing the state of a broadcast");
        let (id, wanted) = (&broadcast.broadcast_id, Transition { to, actor: self.incarnation.actor(), reason });
        let taken = match code {
            Some(code) => self.ledger.transition_for(id, code, wanted).await,
            None => self.ledger.transition(id, wanted).await,
        };
        match taken {
            // Somebody else changed it first.
            Ok(_) | Err(LedgerError::Transition { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
