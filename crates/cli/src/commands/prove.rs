//! The proof of a stop: the wait until no sender can be left, and until nothing that was sent can still be
//! accepted. A stop is never called proved before.

use std::collections::BTreeSet;
use std::time::Duration;

use issei_assembly::Parts;
use issei_aws::Timing;
use issei_clock::Instant;
use issei_ledger::{
    Awaited, Broadcast, BroadcastState, Draining, Heartbeat, Ledger, LedgerError, NEVER_GRANTED, NOTHING_HELD, SAID, SEEN_WITHIN,
    Transition, Widest, nothing_held_since, phrases, widest,
};
use issei_schema::{Actor, Bilingual, BroadcastId, ProviderName, both};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::stop::{Failures, Memory, Stopping, named, tell};
use crate::commands::serve::on_signal;
use crate::in_use::Standing;
use crate::proof::{self, StopProof, UnderWay, at_most};

/// How often people are told what is still waited for.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Why no stop is proved by a ledger that is not in use, or of which nobody can tell, and what comes first; nothing where it is in use.
pub(crate) fn unproved(standing: &Standing) -> Option<Bilingual> {
    match standing {
        Standing::InUse => None,
        Standing::NotInUse(_) => Some(both!(
            "this ledger was restored and is not in use yet, so services that go on with another table were not stopped, and how many they may still send to nobody knows here; `issei accept-restored-ledger` silences them and stops what is open here; `issei stop` with the table that they use stops them, too",
            "この台帳は復元されたもので、まだ使用を再開していません。別のテーブルで動いているサービスは止まっておらず、あと何件送信されるかはここでは分かりません。`issei accept-restored-ledger` を実行すると、それらのサービスも送信を止め、ここで終わっていないものも停止します。それらのサービスのテーブルを指定した `issei stop` でも止められます"
        )),
        Standing::Untold(_) => Some(both!(
            "whether this ledger was restored can't be told, and where it was, services that go on with another table were not stopped; give whoever stops the right to sqs:GetQueueUrl and sqs:ListQueueTags of the chunks queue and to dynamodb:DescribeTable of the ledger (`issei setup` makes a queue that is gone), and repeat the command, which goes on from there",
            "この台帳が復元されたものかどうかを確認できません。復元されたものであれば、別のテーブルで動いているサービスは止まっていません。chunksキューの sqs:GetQueueUrl と sqs:ListQueueTags、台帳の dynamodb:DescribeTable の権限を付けて(キューがない場合は `issei setup` で作成できます)、同じコマンドを繰り返すと、続きから確認します"
        )),
    }
}

/// What is known of a stop at its end.
#[derive(Serialize)]
pub(super) struct Stopped {
    broadcast_id: BroadcastId,
    /// Who carries it.
    provider: ProviderName,
    state: BroadcastState,
    /// Recipients whose permits were out, or whose requests had no answer, when it was stopped.
    permits_outstanding: u64,
    accepted: u64,
    in_doubt: u64,
    /// Nothing can be sent any more, and nothing that was sent can still be accepted.
    pub(super) proved: bool,
    /// It holds as long as SES may not send: once it may, what a paused machine holds may be sent.
    only_while_shut: bool,
    /// Why it is not proved, and what to do; nothing where it is.
    reason: Option<String>,
    /// What the ledger has forgotten of it, and so counts nowhere here.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

/// What a stop waits for.
pub(super) struct Wait {
    timing: Timing,
    untold: Vec<String>,
    /// Those who could have held something when it was stopped. Where they can't be read, nothing is proved.
    draining: Option<Draining>,
    /// Of each that was stopped, whose word is wanted.
    awaited: Vec<Awaited>,
    since: Instant,
    /// The same moment by the wall clock, for what was stopped before.
    since_wall: Timestamp,
    sending_off: bool,
    /// How long services may have been granted something still by a table from which the ledger was restored.
    beside: Duration,
}

impl Wait {
    /// By the timeouts of whoever could send. Read after the stop was written, when nobody is granted anything any
    /// more. A configuration set that is forbidden to send makes SES refuse at once.
    pub(super) async fn after_stop(parts: &Parts, stopping: &[Stopping], sending_off: bool, failures: &mut Failures) -> Self {
        let (own, now, since, ledger) = (parts.settings.timing(), parts.clock.wall(), parts.clock.now(), parts.ledger());
        let read: Result<(Vec<Awaited>, Vec<Heartbeat>), LedgerError> = async {
            let mut awaited = Vec::new();
            for Stopping { ended, .. } in stopping {
                awaited.push(ledger.awaited(ended).await?);
            }
            let runs = ledger.who_may_hold(&awaited, now).await?;
            Ok((awaited, runs))
        }
        .await;
        let beside = if stopping.iter().all(|stopping| stopping.memory == Memory::Whole) { Duration::ZERO } else { SEEN_WITHIN };
        let nothing_read =
            Self { timing: own, untold: Vec::new(), draining: None, awaited: Vec::new(), since, since_wall: now, sending_off, beside };
        match read {
            Ok((awaited, runs)) => {
                let Widest { timing, untold } = widest(&runs, &own, now);
                Self { timing, untold, draining: Some(Draining::after_stop(&runs, now)), awaited, ..nothing_read }
            }
            Err(error) => {
                failures.note("the heartbeats of those who send", error);
                nothing_read
            }
        }
    }

    /// Until each run has said that it holds nothing any more, or so much time is over that SES refuses whatever they hold. Gives those
    /// of which each has said so; nothing where it was cut short, or nothing could be read.
    ///
    /// `before` is how long ago they were stopped, where that was before this.
    async fn until_nobody_sends(
        &self,
        parts: &Parts,
        (stopping, before): (&[&Stopping], Duration),
        shutdown: &CancellationToken,
        as_json: bool,
    ) -> Option<BTreeSet<BroadcastId>> {
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        let (mut told, mut said) = (None, BTreeSet::new());
        let draining = self.draining.as_ref()?;
        let is_asked = |awaited: &&Awaited| stopping.iter().any(|stopping| stopping.id == awaited.id);
        let mut open: Vec<&Awaited> = self.awaited.iter().filter(is_asked).collect();
        loop {
            let passed = parts.clock.now().saturating_duration_since(self.since) + before;
            let left = self.longest().saturating_sub(passed);
            if left.is_zero() {
                return Some(said);
            }
            // What can't be read proves nothing; then the lapse of time does.
            let runs = parts.ledger().heartbeats(parts.clock.wall()).await.unwrap_or_default();
            let is_over = |awaited: &&Awaited| draining.is_over(awaited, &runs);
            if open.iter().any(&is_over) && is_whole(parts).await {
                let (over, left): (Vec<&Awaited>, _) = open.into_iter().partition(is_over);
                said.extend(over.into_iter().map(|awaited| awaited.id.clone()));
                open = left;
            }
            if open.is_empty() {
                return Some(said);
            }
            let mut waits_for: Vec<&Heartbeat> = Vec::new();
            for run in open.iter().flat_map(|awaited| draining.waits_for(awaited, &runs)) {
                if !waits_for.iter().any(|known| known.token == run.token) {
                    waits_for.push(run);
                }
            }
            // Whoever was silent for hours says nothing within minutes, and SES is not waited for on their account. What SES carries is
            // refused in time, whoever holds it.
            let is_refused_in_time = |awaited: &&Awaited| stopping.iter().any(|one| one.id == awaited.id && one.provider.is_none());
            if !open.iter().any(&is_over) && !open.iter().any(is_refused_in_time) && draining.are_lost(&waits_for) {
                return Some(said);
            }
            if told.is_none_or(|told| passed.saturating_sub(told) >= SAY_EVERY) {
                told = Some(passed);
                let now = parts.clock.wall();
                let actors: Vec<String> = waits_for.iter().map(|run| named_run(run, &runs, now)).collect();
                let actors = if actors.is_empty() { "whoever a restored ledger has forgotten".to_owned() } else { actors.join("; ") };
                // By another provider the lapse of time proves nothing, and no number of seconds is said to.
                tell(
                    as_json,
                    &if stopping.iter().all(|stopping| stopping.provider.is_none()) {
                        format!("Waiting for {} s more at most, or until nothing is held by: {actors}", left.as_secs())
                    } else {
                        format!("Waiting until nothing is held by: {actors}")
                    },
                );
            }
            shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY.min(left))).await?;
        }
    }

    /// Until nothing that was granted before the stop can be sent any more. A machine may be paused, and know
    /// nothing of the time between: then AWS refuses what it sends, once its permits are too old.
    fn longest(&self) -> Duration {
        self.beside + if self.sending_off { self.timing.longest_leak() } else { self.timing.refused_after() }
    }

    /// What whoever stops is told: the longest until nothing of it can be accepted any more, either.
    fn at_most(&self) -> Duration {
        if self.sending_off { self.longest() } else { self.beside + at_most(&self.timing) }
    }

    /// The same, less what is over where it was stopped before; nothing where it is known that nobody begins to send it any more.
    /// What can't be read is as if it had been stopped just now.
    pub(super) async fn left_of(&self, parts: &Parts, stopping: &Stopping) -> Option<Duration> {
        if !stopping.is_repeated {
            return Some(self.at_most());
        }
        match self.stood(parts, &stopping.id).await {
            Ok((BroadcastState::Stopped, (false, _))) => None,
            Ok((_, (_, ago))) if !self.sending_off => Some(self.at_most().saturating_sub(ago)),
            Ok(_) | Err(_) => Some(self.at_most()),
        }
    }

    /// Those who send with timeouts that nobody knows.
    pub(super) fn untold(&self) -> &[String] {
        &self.untold
    }
}

/// Who is waited for, and for how long they have been silent where that is longer than a few beats: whoever was killed says
/// nothing any more, and whoever waits for them should know.
fn named_run(then: &Heartbeat, now_says: &[Heartbeat], now: Timestamp) -> String {
    const FEW_BEATS: i64 = 30;
    let last = now_says.iter().find(|run| run.token == then.token).unwrap_or(then);
    match now.duration_since(last.seen_at).as_secs() {
        seconds if seconds <= FEW_BEATS => then.actor.clone(),
        seconds if seconds < 120 => format!("{} (silent for {seconds} s)", then.actor),
        seconds if seconds < 7_200 => format!("{} (silent for {} min)", then.actor, seconds / 60),
        seconds => format!("{} (silent for {} h)", then.actor, seconds / 3_600),
    }
}

/// A restored ledger has forgotten runs.
async fn is_whole(parts: &Parts) -> bool {
    matches!(Standing::of(parts).await, Standing::InUse)
}

/// Whether SES refuses what is sent still, after the wait: somebody may have opened it, at this very moment or since. What can't be
/// read proves nothing.
async fn is_shut(parts: &Parts) -> bool {
    matches!(parts.ses().configuration_set().await, Ok(set) if set.sends == Some(false))
}

/// Those of which no permit was ever granted: there is nobody to wait for. What can't be read proves nothing.
pub(super) async fn never_granted(parts: &Parts, stopping: &[Stopping]) -> BTreeSet<BroadcastId> {
    let mut never = BTreeSet::new();
    for Stopping { id, ended, .. } in stopping.iter().filter(|stopping| stopping.ended.is_never_granted()) {
        let Ok(mirror) = parts.chunks_queue().await else { break };
        if parts.ledger().was_never_granted(&mirror, ended).await.unwrap_or(false) {
            never.insert(id.clone());
        }
    }
    never
}

/// Ends those of which no permit was ever granted, for whoever does not wait for proofs: theirs is there at once. One whose end
/// can't be written is left out, and ended by a producer that looks after it.
pub(crate) async fn end_never_granted(parts: &Parts, actor: &Actor, stopping: &[Stopping]) -> BTreeSet<BroadcastId> {
    let mut ended = BTreeSet::new();
    for id in never_granted(parts, stopping).await {
        let step = Transition { to: BroadcastState::Stopped, actor, reason: NEVER_GRANTED };
        match parts.ledger().transition(&id, step).await {
            Ok(_) | Err(LedgerError::Transition { .. }) => drop(ended.insert(id)),
            Err(error) => tracing::warn!(%error, broadcast.id = %id, "its end can't be written; a producer writes it"),
        }
    }
    ended
}

/// Waits until every permit has expired or nobody holds any, and then, where something was under way, until it can no longer
/// be accepted. What can't be read or written counts as not proved, and keeps nothing else waiting.
pub(super) async fn prove(
    parts: &Parts,
    actor: &Actor,
    stopping: Vec<Stopping>,
    (until, never, standing): (&Wait, &BTreeSet<BroadcastId>, &Standing),
    failures: &mut Failures,
    as_json: bool,
) -> anyhow::Result<Vec<Stopped>> {
    let ledger = parts.ledger();
    let shutdown = on_signal()?;
    let (at_once, others): (Vec<&Stopping>, Vec<&Stopping>) = stopping.iter().partition(|stopping| never.contains(&stopping.id));
    for Stopping { id, .. } in at_once {
        end(&ledger, id, actor, NEVER_GRANTED, failures).await;
    }
    let Begun { is_waiting, before } = Begun::of(parts, &others, until).await;
    let unproved = unproved(standing);
    let said = match &until.draining {
        // There is nobody who would have to say anything.
        _ if others.is_empty() => Some(BTreeSet::new()),
        // Nothing that could be waited for proves anything.
        _ if unproved.is_some() => None,
        None => None,
        Some(_) if !is_waiting => Some(BTreeSet::new()),
        Some(_) => until.until_nobody_sends(parts, (&others, before), &shutdown, as_json).await,
    };
    let (mut is_over, said) = (said.is_some(), said.unwrap_or_default());
    let lapsed = if until.sending_off { phrases::SHUT_AND_EXPIRED } else { phrases::PERMITS_EXPIRED }.with(&[]);
    if is_over {
        for Stopping { id, .. } in &others {
            end(&ledger, id, actor, if said.contains(id) { SAID } else { &lapsed }, failures).await;
        }
    }
    // Nothing begins any more. What had begun is settled, or may be accepted until its signature is too
    // old for AWS; a configuration set that may not send refuses it. No time ends what another provider may accept.
    let unsettled = unsettled(&ledger, others.iter().copied().filter(|stopping| stopping.provider.is_none()), failures).await;
    let longest = until.beside + UnderWay::of(is_over, unsettled).over_after(&until.timing);
    let left = longest.saturating_sub(parts.clock.now().saturating_duration_since(until.since) + before);
    if is_over && !left.is_zero() && !until.sending_off {
        let seconds = left.as_secs();
        let who = unsettled.map_or("An unknown number of".to_owned(), |unsettled| unsettled.to_string());
        tell(
            as_json,
            &format!(
                "{who} recipients are in doubt: their requests may be accepted for {seconds} s more. Waiting; Ctrl-C ends the wait alone."
            ),
        );
        is_over = wait(&shutdown, left, as_json).await;
    }
    let mut all = Vec::new();
    for Stopping { id, outstanding, provider, memory, .. } in &stopping {
        let is_never = never.contains(id);
        let is_over = is_never || is_over;
        let found = at_the_end(&ledger, id, *outstanding, provider.as_ref()).await;
        let found = found.map(|(stopped, ends)| (stopped, Ends { is_said: ends.is_said || said.contains(id), ..ends }));
        match found.map(|(stopped, ends)| stopped.judged(is_over, until.draining.is_some(), ends)) {
            Ok(mut stopped) => {
                stopped.only_while_shut = stopped.proved && !is_never && until.is_proved_by_shutting(parts, &stopped).await;
                if stopped.only_while_shut && !is_shut(parts).await {
                    let reason = "SES was shut, and by now it may send again, or does not say: somebody has opened it meanwhile; repeat the command without --hard to wait for the proof, or ask them and shut it again";
                    stopped = Stopped { proved: false, only_while_shut: false, reason: Some(reason.to_owned()), ..stopped };
                }
                if let Some(why) = unproved.as_ref().filter(|_| !is_never) {
                    stopped = Stopped { proved: false, only_while_shut: false, reason: Some(why.english.clone()), ..stopped };
                }
                stopped.unknown = memory.lacks().filter(|_| !is_never).map(|lacks| lacks.english);
                let Stopped { state, accepted, in_doubt, reason, only_while_shut, unknown, .. } = &stopped;
                let proof = match reason {
                    Some(reason) => format!("not proved: {reason}"),
                    None if *only_while_shut => {
                        "nothing of it can be sent or accepted any more as long as the configuration set may not send; after `issei open` the same command waits for the rest of the proof".to_owned()
                    }
                    None => "nothing of it can be sent or accepted any more".to_owned(),
                };
                let unknown = unknown.as_ref().map_or_else(String::new, |unknown| format!(" But {unknown}."));
                tell(as_json, &format!("{id} is {state}: {accepted} accepted, {in_doubt} in doubt; {proof}.{unknown}"));
                all.push(stopped);
            }
            Err(error) => failures.note(&named(id), error),
        }
    }
    if all.is_empty() {
        tell(as_json, "No broadcast was stopped.");
    }
    Ok(all)
}

async fn end(ledger: &Ledger, id: &BroadcastId, actor: &Actor, reason: &str, failures: &mut Failures) {
    match ledger.transition(id, Transition { to: BroadcastState::Stopped, actor, reason }).await {
        // A producer that looks after broadcasts, or whoever stopped it before, did not know that each has said it.
        Err(LedgerError::Transition { from: BroadcastState::Stopped, .. }) if reason == SAID => {
            if let Err(error) = note_nothing_held(ledger, id, actor).await {
                failures.note(&named(id), error);
            }
        }
        Ok(_) | Err(LedgerError::Transition { .. }) => {}
        Err(error) => failures.note(&named(id), error),
    }
}

/// Writes down, once, what the step to `stopped` does not say: the console and the certificate ask no consumer.
async fn note_nothing_held(ledger: &Ledger, id: &BroadcastId, actor: &Actor) -> Result<(), LedgerError> {
    let broadcast = ledger.broadcast(id).await?;
    if nothing_held_since(&ledger.audit_trail(&broadcast).await?.entries).is_some() {
        return Ok(());
    }
    ledger.audit(id, actor, NOTHING_HELD, SAID).await?;
    // Totals that a sweep has written since the stop may lack what was sent after them.
    ledger.note_told(id).await
}

impl Stopped {
    /// Whether it is proved, and why not. `is_over` says that all waits were waited to their end, and `is_known` that it could be read
    /// who might send.
    fn judged(self, is_over: bool, is_known: bool, Ends { is_said, is_revoked }: Ends) -> Self {
        // Nothing but what was said, or a key that is none any more, proves that none of its requests comes late.
        let is_by_ses = self.provider == ProviderName::default();
        let is_answered = is_said && self.in_doubt == 0;
        let may_come_late = !(is_by_ses || is_revoked || is_answered);
        let reason = match (is_over, self.state.is_over()) {
            (false, _) if !is_known => Some("who may still send can't be read; repeat the command once it can"),
            (false, _) => Some("the wait was ended before its time; repeat the command to go on waiting"),
            (true, false) => Some("its end could not be written; repeat the command"),
            (true, true) if may_come_late => Some(
                "its provider refuses no request for its age, so what a paused machine holds, and a request without an answer, may be accepted yet",
            ),
            (true, true) => None,
        };
        let ends_by = |id: &BroadcastId| format!("; revoke its key, and record that with `issei repair {id} --key-revoked --reason …`");
        let ends = Some(&self.broadcast_id).filter(|_| may_come_late && is_over && self.state.is_over()).map(ends_by);
        let reason = reason.map(|reason| reason.to_owned() + &ends.unwrap_or_default());
        Self { proved: reason.is_none(), reason, ..self }
    }
}

/// What its audit trail says of a stop's end by another provider than SES, as the console and the certificate read it.
struct Ends {
    /// Nobody holds anything of it: each has said so, whenever that was.
    is_said: bool,
    is_revoked: bool,
}

async fn at_the_end(
    ledger: &Ledger,
    id: &BroadcastId,
    permits_outstanding: u64,
    provider: Option<&ProviderName>,
) -> Result<(Stopped, Ends), LedgerError> {
    let broadcast: Broadcast = ledger.broadcast(id).await?;
    let totals = ledger.tally(&broadcast).await?.totals();
    let trail = ledger.audit_trail(&broadcast).await?;
    let is_revoked = provider.is_some() && proof::revoked(&trail).is_some();
    let ends = Ends { is_said: nothing_held_since(&trail.entries).is_some(), is_revoked };
    let stopped = Stopped {
        broadcast_id: id.clone(),
        provider: provider.cloned().unwrap_or_default(),
        state: broadcast.broadcast_state,
        permits_outstanding,
        accepted: totals.accepted,
        in_doubt: totals.in_doubt,
        proved: false,
        only_while_shut: false,
        reason: None,
        unknown: None,
    };
    Ok((stopped, ends))
}

/// What is known before the wait of those that are to be stopped.
struct Begun {
    /// Somebody may begin to send still, of one of them at least.
    is_waiting: bool,
    /// How long ago all of them were stopped, where each was before.
    before: Duration,
}

impl Begun {
    /// One that was stopped by force may be in somebody's hands still: what is written says nothing of that. Nor does one that
    /// can't be read.
    async fn of(parts: &Parts, stopping: &[&Stopping], until: &Wait) -> Self {
        let (mut is_waiting, mut before) = (false, None::<Duration>);
        for Stopping { id, provider, is_repeated, .. } in stopping {
            let (begins, ago) = match until.stood(parts, id).await {
                Ok((BroadcastState::Stopped, stood)) => stood,
                // Whoever stopped it before did not wait to the end, and what is over of that is over. SES was shut just now: what
                // is on its way there is waited for from now on.
                Ok((BroadcastState::Stopping, (_, ago))) if *is_repeated && !until.sending_off => (true, ago),
                // SES takes nothing of those any more that came to their end by themselves.
                Ok((state, _)) if state.is_over() => (provider.is_some(), Duration::ZERO),
                Ok(_) | Err(_) => (true, Duration::ZERO),
            };
            is_waiting |= begins;
            before = Some(before.map_or(ago, |before| before.min(ago)));
        }
        Self { is_waiting, before: before.unwrap_or_default() }
    }
}

impl Wait {
    fn widest(&self) -> Widest {
        Widest { timing: self.timing, untold: self.untold.clone() }
    }

    /// The state of a broadcast; and of one that is stopped whether somebody may begin to send it still, and how long ago that was
    /// decided. SES that is shut refuses whoever begins, and so does a provider without the key.
    async fn stood(&self, parts: &Parts, id: &BroadcastId) -> Result<(BroadcastState, (bool, Duration)), LedgerError> {
        // What passes since is counted by the monotonic clock.
        let (ledger, now) = (parts.ledger(), self.since_wall);
        let broadcast = ledger.broadcast(id).await?;
        let (state, trail) = (broadcast.broadcast_state, ledger.audit_trail(&broadcast).await?);
        let stopped = proof::Stopped { state, provider: broadcast.provider.as_ref(), trail: &trail, in_doubt: None };
        let is_revoked = broadcast.provider.is_some() && proof::revoked(&trail).is_some();
        let mut begins = !self.sending_off && !is_revoked && !stopped.nobody_begins(&self.widest(), now);
        // No other provider refuses anything for its age: there the time proves nothing, and everybody is asked anew.
        let mut ago = if broadcast.provider.is_none() { stopped.decided_ago(now) } else { Duration::ZERO };
        // Whoever went on with another table was granted permits until they saw that this one was taken into use.
        if let Some(restored_at) = ledger.may_have_forgotten(&broadcast).await? {
            let since = Duration::try_from(now.duration_since(restored_at)).unwrap_or_default();
            let is_said = stopped.nothing_held_since().is_some();
            begins |= broadcast.provider.is_none() && !self.sending_off && !is_said && since < self.longest();
            ago = ago.min(since);
        }
        Ok((state, (begins, ago)))
    }

    /// Whether nothing but SES that is shut proves it. What can't be read proves nothing.
    async fn is_proved_by_shutting(&self, parts: &Parts, stopped: &Stopped) -> bool {
        let judged = async {
            let ledger = parts.ledger();
            let broadcast = ledger.broadcast(&stopped.broadcast_id).await?;
            let trail = ledger.audit_trail(&broadcast).await?;
            let (state, in_doubt) = (broadcast.broadcast_state, Some(stopped.in_doubt));
            let now = parts.clock.wall();
            Ok::<_, LedgerError>(proof::Stopped { state, provider: None, trail: &trail, in_doubt }.judged(&self.widest(), now))
        };
        self.sending_off && stopped.state == BroadcastState::Stopped && !matches!(judged.await, Ok(StopProof::Since(_)))
    }
}

/// How many of these are in doubt; nothing where that can't be counted.
async fn unsettled(ledger: &Ledger, stopping: impl Iterator<Item = &Stopping>, failures: &mut Failures) -> Option<u64> {
    let mut unsettled = Some(0);
    for Stopping { id, .. } in stopping {
        let counted: Result<u64, LedgerError> = async { Ok(ledger.tally(&ledger.broadcast(id).await?).await?.totals().in_doubt) }.await;
        match counted {
            Ok(in_doubt) => unsettled = unsettled.map(|sum: u64| sum.saturating_add(in_doubt)),
            Err(error) => {
                failures.note(&named(id), error);
                unsettled = None;
            }
        }
    }
    unsettled
}

/// Waits, and says now and then for how long still. False where it was cut short.
async fn wait(shutdown: &CancellationToken, mut left: Duration, as_json: bool) -> bool {
    while !left.is_zero() {
        let step = left.min(SAY_EVERY);
        if shutdown.run_until_cancelled(tokio::time::sleep(step)).await.is_none() {
            return false;
        }
        left -= step;
        if !left.is_zero() {
            tell(as_json, &format!("{} s more", left.as_secs()));
        }
    }
    true
}
