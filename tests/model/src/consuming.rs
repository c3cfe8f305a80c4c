//! What consumers do: receive, be granted permits, claim, send, confirm, finish.

use crate::protocol::Protocol;
use crate::providing::begin_send;
use crate::state::{Broken, ChunkState, Consumer, Control, Message, Owner, Phase, Request, State, Users, count};
use crate::step::fault;
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn receive(&self, state: &mut State, at: u8, place: u8) -> Option<()> {
        let message = *state.queue.get(usize::from(place))?;
        (message.recipients != 0 && state.consumer(at).phase == Phase::Idle && !state.restored).then_some(())?;
        if self.is(V::V11AckFirst) {
            delete_unaccounted(state, message);
        }
        match self.readiness(state, message) {
            Some(want) => {
                consumer(state, at)?.phase = Phase::Holding { message, want, fresh: true };
                Some(())
            }
            // Looked at and left alone changes nothing.
            None => Self::let_go(state, message, false).then_some(()),
        }
    }

    /// Whether it is sent to whom it has frozen.
    pub(crate) fn runs(&self, state: &State) -> bool {
        state.control == Control::Running || (state.control == Control::Holding && self.is(V::HoldIsAWord))
    }

    /// Who of a message may be sent to, as the ledger has it.
    fn readiness(&self, state: &State, message: Message) -> Option<Users> {
        let chunk = state.chunk(message.seq);
        (self.runs(state) || (self.is(V::V8StopIsPurge) && state.control != Control::Complete)).then_some(())?;
        match chunk.state {
            ChunkState::Absent => Some(message.recipients),
            ChunkState::Confirmed => Some(chunk.retryable).filter(|retryable| *retryable != 0),
            ChunkState::Claimed if self.takes_over() && chunk.lease_over => Some(message.recipients),
            ChunkState::Claimed => None,
        }
    }

    /// Deletes a message that has nothing left to do. Says whether it did.
    fn let_go(state: &mut State, message: Message, stale: bool) -> bool {
        let chunk = *state.chunk(message.seq);
        if !stale && (state.control.lets_go() || chunk.is_accounted_for()) {
            state.dequeue(message);
            return true;
        }
        false
    }

    pub(crate) fn grant(&self, state: &mut State, at: u8, answered: bool) -> Option<()> {
        let Phase::Holding { want, .. } = state.consumer(at).phase else { return None };
        let me = state.consumer(at);
        // The old block is given back before a new one is asked for.
        (me.permits == 0 && !state.restored).then_some(())?;
        let granted = self.sizes.block.max(count(want)).min(state.remaining);
        let runs = self.runs(state) || self.is(V::V7StopAtReceive) || self.is(V::V8StopIsPurge);
        (runs && granted >= count(want)).then_some(())?;
        if !answered {
            fault(state)?;
        }
        if !self.is(V::BudgetAfterSend) {
            state.remaining -= granted;
        }
        if answered {
            let me = consumer(state, at)?;
            (me.permits, me.valid, me.deceived, me.current) = (granted, true, false, true);
        }
        Some(())
    }

    /// No permit that was ever granted is still valid, so what the claims leave of the budget is free.
    pub(crate) fn recount(state: &mut State, at: u8) -> Option<()> {
        let Phase::Holding { want, .. } = state.consumer(at).phase else { return None };
        (state.control == Control::Running && state.remaining < count(want) && !state.restored).then_some(())?;
        state.consumers.iter().all(|consumer| !consumer.valid).then_some(())?;
        let spent: u8 = state.chunks.iter().map(|chunk| count(chunk.open | chunk.accepted | chunk.doubt)).sum();
        let remaining = state.budget.saturating_sub(spent);
        (remaining != state.remaining).then_some(())?;
        state.remaining = remaining;
        state.consumers.iter_mut().for_each(|consumer| consumer.current = false);
        Some(())
    }

    /// The broadcast no longer runs: the message is let go, or comes again.
    pub(crate) fn put_down(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Holding { message, .. } = state.consumer(at).phase else { return None };
        (state.control != Control::Running && !self.is(V::V7StopAtReceive) && !self.is(V::V8StopIsPurge)).then_some(())?;
        let stale = put_down(state, at)?;
        Self::let_go(state, message, stale);
        Some(())
    }

    pub(crate) fn claim(&self, state: &mut State, at: u8, answered: bool) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Holding { message, want, fresh } = me.phase else { return None };
        let permits = count(want);
        (me.believes_to_be_permitted() && me.permits >= permits && !state.restored).then_some(())?;
        if !answered {
            fault(state)?;
        }
        let begin = |state: &mut State| {
            let me = consumer(state, at)?;
            me.permits -= permits;
            me.phase = Phase::Claimed { message, want };
            Some(())
        };
        if self.is(V::V1RecordAfterSend) {
            return answered.then_some(()).and_then(|()| begin(state));
        }
        if fresh {
            state.change(message.seq, |chunk| {
                chunk.state = ChunkState::Claimed;
                chunk.owner = Owner::Consumer(at);
                chunk.lease_over = false;
                chunk.open = want;
                chunk.retryable &= !want;
            });
            // The SDK asks again, and is refused by our own row: the token says whose it is.
            if !answered && self.is(V::V2RefusedIsTheirs) {
                state.forget(at);
                put_down(state, at)?;
                delete_unaccounted(state, message);
                return Some(());
            }
            return begin(state);
        }
        answered.then_some(())?;
        if self.is(V::V3RefusedIsMine) {
            return begin(state);
        }
        // Refused: what stands there is looked at as if it had just been read.
        if let Some(want) = self.readiness(state, message) {
            consumer(state, at)?.phase = Phase::Holding { message, want, fresh: true };
        } else {
            let stale = put_down(state, at)?;
            Self::let_go(state, message, stale);
        }
        Some(())
    }

    pub(crate) fn send(&self, state: &mut State, at: u8) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Claimed { message, want } = me.phase else { return None };
        if me.believes_to_be_permitted() || self.is(V::NoDeadline) {
            let (content, owner) = (state.content, Owner::Consumer(at));
            begin_send(state, Request { recipients: want, seq: message.seq, content, owner, old: me.deceived })?;
            let me = consumer(state, at)?;
            me.phase = Phase::Waiting { message, want };
            me.deceived &= me.permits > 0;
        } else {
            consumer(state, at)?.phase = Phase::Settled { message, accepted: 0, retryable: want, doubt: 0 };
        }
        Some(())
    }

    /// The answer does not come in time. The request may still arrive.
    pub(crate) fn time_out(&self, state: &mut State, at: u8) -> Option<()> {
        let request = *state.requests.iter().find(|request| request.recipients != 0 && request.owner == Owner::Consumer(at))?;
        fault(state)?;
        state.requests.iter_mut().find(|there| **there == request)?.owner = Owner::Nobody;
        self.answer_lost(state, at, request)
    }

    /// Nobody knows what became of the request.
    pub(crate) fn answer_lost(&self, state: &mut State, at: u8, request: Request) -> Option<()> {
        let Phase::Waiting { message, want } = state.consumer(at).phase else { return Some(()) };
        if self.is(V::V9SendRetry) {
            return begin_send(state, Request { owner: Owner::Consumer(at), ..request });
        }
        consumer(state, at)?.phase = Phase::Settled { message, accepted: 0, retryable: 0, doubt: want };
        Some(())
    }

    pub(crate) fn confirm(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Settled { message, accepted, mut retryable, mut doubt } = state.consumer(at).phase else { return None };
        let chunk = *state.chunk(message.seq);
        let unfenced = self.is(V::V1RecordAfterSend) || self.is(V::V5ChunkLease);
        if !unfenced && (chunk.owner != Owner::Consumer(at) || chunk.state != ChunkState::Claimed) {
            // Not in our name: reported, and the message comes again.
            put_down(state, at)?;
            state.forget(at);
            return Some(());
        }
        if chunk.lease_over && !self.is(V::V16LateRejection) && !self.is(V::V1RecordAfterSend) {
            (retryable, doubt) = (0, doubt | retryable);
        }
        state.change(message.seq, |chunk| {
            chunk.state = ChunkState::Confirmed;
            chunk.owner = Owner::Nobody;
            chunk.open = 0;
            chunk.accepted |= accepted;
            chunk.retryable = retryable & !chunk.accepted;
            chunk.doubt = (chunk.doubt | doubt) & !chunk.accepted;
        });
        if self.is(V::BudgetAfterSend) {
            state.remaining = state.remaining.saturating_sub(count(accepted | doubt));
        }
        consumer(state, at)?.phase = Phase::Done { message, retryable };
        Some(())
    }

    /// Deletes the message of a chunk that is accounted for; of another, permits go back and the
    /// message comes again.
    pub(crate) fn finish(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Done { message, retryable } = state.consumer(at).phase else { return None };
        let current = state.consumer(at).current || self.is(V::GiveBackAnyEpoch);
        let stale = put_down(state, at)?;
        if retryable == 0 {
            // What evidence has reopened in between has a message of its own coming.
            if !stale {
                state.dequeue(message);
            }
        } else if current && !self.is(V::BudgetAfterSend) {
            state.remaining += count(retryable);
        }
        Some(())
    }

    pub(crate) fn return_permits(&self, state: &mut State, at: u8) -> Option<()> {
        let me = consumer(state, at)?;
        let idle = matches!(me.phase, Phase::Idle | Phase::Holding { .. });
        (idle && me.permits > 0).then_some(())?;
        let (permits, current) = (me.permits, me.current);
        (me.permits, me.valid, me.deceived) = (0, false, false);
        if (current || self.is(V::GiveBackAnyEpoch)) && !self.is(V::BudgetAfterSend) {
            state.remaining += permits;
        }
        Some(())
    }
}

pub(crate) fn consumer(state: &mut State, at: u8) -> Option<&mut Consumer> {
    state.consumers.get_mut(usize::from(at))
}

/// The message leaves the consumer's hands. Says whether its receipt was worth anything still.
fn put_down(state: &mut State, at: u8) -> Option<bool> {
    let me = consumer(state, at)?;
    me.phase = Phase::Idle;
    Some(std::mem::take(&mut me.stale))
}

/// A message is deleted while somebody in it has no outcome yet.
fn delete_unaccounted(state: &mut State, message: Message) {
    if !state.control.lets_go() && !state.chunk(message.seq).is_accounted_for() {
        state.broken = state.broken.or(Some(Broken::I2));
    }
    state.dequeue(message);
}
