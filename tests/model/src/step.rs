//! What can happen next, and what it makes of a state. Each step is one thing that the real system does
//! at once: one conditional write, one message, one call, or one loss.
//!
//! The table in the crate's docs says which code each step stands for.

use crate::consuming::consumer;
use crate::producing::{advance, producer};
use crate::protocol::Protocol;
use crate::state::{
    CHUNKS, CONSUMERS, ChunkState, Consumer, Control, MESSAGES, Message, PRODUCERS, Phase, Producer, REQUESTS, State, USERS,
};
use crate::variant::Variant as V;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    // A producer, by its number.
    Register { content: u8 },
    Read(u8),
    Freeze(u8),
    Enqueue(u8),
    Advance(u8),
    ProducerDies(u8),
    Complete,
    // A consumer, by its number.
    Receive { consumer: u8, message: u8 },
    Grant(u8),
    GrantAnswerLost(u8),
    Recount(u8),
    PutDown(u8),
    Claim(u8),
    AskAgain(u8),
    Acknowledge(u8),
    ClaimAnswerLost(u8),
    Send(u8),
    TimeOut(u8),
    Divide(u8),
    Confirm(u8),
    Finish(u8),
    ReturnPermits(u8),
    ConsumerDies(u8),
    // The provider, by the request's place.
    Accept(u8),
    AcceptAndLoseAnswer(u8),
    Reject(u8),
    RefuseWhole(u8),
    LoseRequest(u8),
    // Feedback, by chunk.
    Hear { seq: u8, user: u8 },
    Reopen(u8),
    EnqueueReopened(u8),
    // Time.
    PermitsExpire(u8),
    ClocksHeld(u8),
    LeaseEnds(u8),
    WindowCloses(u8),
    KeyForgotten(u8),
    HourTurns,
    RampHourEnds,
    // The operator.
    Approve,
    ApproveCanary,
    Agree { person: u8, content: u8 },
    Forget(u8),
    Stop,
    Stopped,
    ProveStop,
    Pause,
    Resume,
    Repair,
    AcceptRestored,
    // The world.
    Purge,
    Redeliver(u8),
    Restore(u8),
    RowComes(u8),
    RowGoes(u8),
}

impl Protocol {
    pub(crate) fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let consumers = 0..self.sizes.consumers.min(CONSUMERS as u8);
        let (chunks, users) = (0..CHUNKS as u8, 0..USERS as u8);
        for content in state.commands.into_iter().filter(|content| *content != 0) {
            steps.push(Step::Register { content });
        }
        for producer in 0..self.sizes.producers.min(PRODUCERS as u8) {
            steps.extend([Step::Read, Step::Freeze, Step::Enqueue, Step::Advance, Step::ProducerDies].map(|step| step(producer)));
        }
        for consumer in consumers {
            let idle = state.consumer(consumer).phase == Phase::Idle;
            steps.extend((0..MESSAGES as u8).filter(|_| idle).map(|message| Step::Receive { consumer, message }));
            steps.extend(
                [
                    Step::Grant,
                    Step::GrantAnswerLost,
                    Step::Recount,
                    Step::PutDown,
                    Step::Claim,
                    Step::AskAgain,
                    Step::Acknowledge,
                    Step::ClaimAnswerLost,
                    Step::Send,
                    Step::TimeOut,
                    Step::Divide,
                    Step::Confirm,
                    Step::Finish,
                    Step::ReturnPermits,
                    Step::ConsumerDies,
                    Step::PermitsExpire,
                    Step::ClocksHeld,
                ]
                .map(|step| step(consumer)),
            );
        }
        for request in (0..REQUESTS as u8).filter(|at| state.requests[usize::from(*at)].recipients != 0) {
            steps.extend(
                [Step::Accept, Step::AcceptAndLoseAnswer, Step::Reject, Step::RefuseWhole, Step::LoseRequest].map(|step| step(request)),
            );
        }
        for seq in chunks {
            steps.extend([Step::Reopen, Step::EnqueueReopened, Step::LeaseEnds, Step::Redeliver, Step::Restore].map(|step| step(seq)));
            steps.extend([Step::WindowCloses, Step::KeyForgotten].map(|step| step(seq)));
            steps.extend(users.clone().map(|user| Step::Hear { seq, user }));
        }
        steps.extend([Step::Complete, Step::Approve, Step::Stop, Step::Stopped, Step::ProveStop, Step::Pause, Step::Resume]);
        steps.extend([Step::Repair, Step::AcceptRestored, Step::Purge, Step::ApproveCanary, Step::HourTurns]);
        if self.sizes.ramp > 0 {
            steps.push(Step::RampHourEnds);
        }
        if self.sizes.agreement {
            steps.extend([0, 1].into_iter().flat_map(|person| [1, 2].map(|content| Step::Agree { person, content })));
        }
        if self.sizes.forgetting {
            steps.extend(users.clone().map(Step::Forget));
        }
        steps.extend(users.clone().map(Step::RowComes).chain(users.map(Step::RowGoes)));
    }

    /// The state after a step; nothing where it can't be made.
    pub(crate) fn after(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        match step {
            Step::Register { content } => self.register(&mut next, content)?,
            Step::Read(at) => self.read(&mut next, at)?,
            Step::Freeze(at) => self.freeze(&mut next, at)?,
            Step::Enqueue(at) => self.enqueue(&mut next, at)?,
            Step::Advance(at) => advance(&mut next, at)?,
            Step::ProducerDies(at) => {
                fault(&mut next)?;
                (*producer(&mut next, at)? != Producer::Idle).then_some(())?;
                *producer(&mut next, at)? = Producer::Idle;
            }
            Step::Complete => self.complete(&mut next)?,
            Step::Receive { consumer, message } => self.receive(&mut next, consumer, message)?,
            Step::Grant(at) => self.grant(&mut next, at, true)?,
            Step::GrantAnswerLost(at) => self.grant(&mut next, at, false)?,
            Step::Recount(at) => self.recount(&mut next, at)?,
            Step::PutDown(at) => self.put_down(&mut next, at)?,
            Step::Claim(at) => self.claim(&mut next, at, true)?,
            Step::AskAgain(at) => self.ask_again(&mut next, at)?,
            Step::Acknowledge(at) => self.acknowledge(&mut next, at)?,
            Step::ClaimAnswerLost(at) => self.claim(&mut next, at, false)?,
            Step::Send(at) => self.send(&mut next, at)?,
            Step::TimeOut(at) => self.time_out(&mut next, at)?,
            Step::Confirm(at) => self.confirm(&mut next, at)?,
            Step::Finish(at) => self.finish(&mut next, at)?,
            Step::ReturnPermits(at) => self.return_permits(&mut next, at)?,
            Step::ConsumerDies(at) => {
                fault(&mut next)?;
                next.forget(at);
                let me = consumer(&mut next, at)?;
                (*me != Consumer::default()).then_some(())?;
                *me = Consumer::default();
            }
            Step::Accept(at) => self.accept(&mut next, at, true)?,
            Step::AcceptAndLoseAnswer(at) => self.accept(&mut next, at, false)?,
            Step::Reject(at) => self.reject(&mut next, at)?,
            Step::RefuseWhole(at) => self.refuse_whole(&mut next, at)?,
            Step::Divide(at) => self.divide(&mut next, at)?,
            Step::LoseRequest(at) => self.lose(&mut next, at)?,
            Step::Hear { seq, user } => self.hear(&mut next, seq, 1 << user)?,
            Step::Reopen(seq) => self.reopen(&mut next, seq)?,
            Step::EnqueueReopened(seq) => {
                let chunk = state.chunk(seq);
                (chunk.reopened && chunk.state == ChunkState::Confirmed && chunk.retryable != 0).then_some(())?;
                next.enqueue(seq, state.page(seq))?;
            }
            Step::PermitsExpire(at) => {
                let me = consumer(&mut next, at)?;
                (me.valid).then_some(())?;
                me.valid = false;
            }
            Step::ClocksHeld(at) => {
                (self.sizes.held && consumer(&mut next, at)?.valid).then_some(())?;
                fault(&mut next)?;
                let me = consumer(&mut next, at)?;
                (me.valid, me.deceived) = (false, true);
            }
            Step::LeaseEnds(seq) => self.lease_ends(&mut next, seq)?,
            Step::WindowCloses(seq) => self.window_closes(&mut next, seq)?,
            Step::KeyForgotten(seq) => self.key_forgotten(&mut next, seq)?,
            Step::HourTurns => self.hour_turns(&mut next)?,
            Step::RampHourEnds => self.ramp_hour_ends(&mut next)?,
            Step::Approve => self.approve(&mut next)?,
            Step::ApproveCanary => self.approve_canary(&mut next)?,
            Step::Agree { person, content } => self.agree(&mut next, person, content)?,
            Step::Forget(user) => self.forget_user(&mut next, user)?,
            Step::Stop => self.stop(&mut next)?,
            Step::Stopped => {
                let drained = next.outstanding() == 0 || self.is(V::V13EarlyReap) || self.is(V::V15UnspentPermit);
                (next.control == Control::Stopping && drained).then_some(())?;
                next.control = Control::Stopped;
            }
            Step::ProveStop => self.prove_stop(&mut next)?,
            Step::Pause => {
                (next.pauses_left > 0 && next.control == Control::Running).then_some(())?;
                next.pauses_left -= 1;
                next.control = Control::Paused;
            }
            Step::Resume => {
                let stopped = self.is(V::StopIsAPause) && next.control == Control::Stopped;
                (next.control == Control::Paused || stopped).then_some(())?;
                next.control = Control::Running;
                next.consumers.iter_mut().for_each(|consumer| consumer.current = false);
            }
            Step::Repair => self.repair(&mut next)?,
            Step::AcceptRestored => {
                next.restored.then_some(())?;
                (next.restored, next.control) = (false, Control::Stopped);
            }
            Step::Purge => {
                (self.sizes.purge && !next.purged && next.queue.iter().any(|message| message.recipients != 0)).then_some(())?;
                next.purged = true;
                next.queue = [Message::default(); MESSAGES];
            }
            Step::Redeliver(seq) => {
                (seq < next.enqueued && self.sizes.redeliveries && !next.has_message(seq)).then_some(())?;
                fault(&mut next)?;
                next.enqueue(seq, state.page(seq))?;
            }
            Step::Restore(seq) => self.restore(&mut next, seq)?,
            Step::RowComes(user) => {
                (user < self.sizes.users && next.rows & 1 << user == 0).then_some(())?;
                next.changes_left = next.changes_left.checked_sub(1)?;
                next.rows |= 1 << user;
            }
            Step::RowGoes(user) => {
                (next.rows & 1 << user != 0).then_some(())?;
                next.changes_left = next.changes_left.checked_sub(1)?;
                next.rows &= !(1 << user);
            }
        }
        Some(next.normal())
    }

    pub(crate) fn is(&self, variant: V) -> bool {
        self.variant == Some(variant)
    }

    pub(crate) fn takes_over(&self) -> bool {
        self.is(V::V4RecipientLease) || self.is(V::V5ChunkLease) || self.is(V::V6FencedChunkLease)
    }
}

/// One of the faults that this run has left.
pub(crate) fn fault(state: &mut State) -> Option<()> {
    state.faults_left = state.faults_left.checked_sub(1)?;
    Some(())
}
