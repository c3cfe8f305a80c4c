//! What consumers do: receive, be granted permits, claim, send, confirm, finish.

use crate::protocol::Protocol;
use crate::providing::begin_send;
use crate::state::{Broken, Chunk, ChunkState, Consumer, Control, Key, Message, Owner, Parts, Phase, Request, State, Users, Window, count};
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
            Some((want, asks)) => {
                consumer(state, at)?.phase = Phase::Holding { message, want, fresh: true, asks };
                Some(())
            }
            // Looked at and left alone changes nothing.
            None => self.let_go(state, message, false).then_some(()),
        }
    }

    /// Whether it is sent to whom it has frozen.
    pub(crate) fn runs(&self, state: &State) -> bool {
        state.control == Control::Running || (state.control == Control::Holding && self.is(V::HoldIsAWord))
    }

    /// Who of a message may be sent to, or asked about again under a key, as the ledger has it.
    fn readiness(&self, state: &State, message: Message) -> Option<(Users, Option<Key>)> {
        let chunk = state.chunk(message.seq);
        (self.runs(state) || (self.is(V::V8StopIsPurge) && state.control != Control::Complete)).then_some(())?;
        (!state.beside.shut).then_some(())?;
        let send = |users| Some((users, None));
        match chunk.state {
            ChunkState::Absent => send(message.recipients),
            ChunkState::Confirmed if chunk.retryable != 0 => send(chunk.retryable),
            ChunkState::Claimed if self.takes_over() && chunk.lease_over => send(message.recipients),
            // The whole of the request, of which those in doubt may be a part: another would be another body.
            _ if self.askable(chunk) != 0 => chunk.asked_with().map(|(users, key)| (users, Some(key))),
            ChunkState::Claimed | ChunkState::Confirmed => None,
        }
    }

    /// Those in doubt of whom the provider may still be asked.
    pub(crate) fn askable(&self, chunk: &Chunk) -> Users {
        let may_ask = self.sizes.keys && (chunk.window == Window::Open || self.is(V::AskedAfterTheWindow));
        if may_ask && chunk.asked_with().is_some() { chunk.in_doubt_under_key() } else { 0 }
    }

    /// Deletes a message that has nothing left to do. Says whether it did.
    fn let_go(&self, state: &mut State, message: Message, stale: bool) -> bool {
        let chunk = *state.chunk(message.seq);
        let has_nothing_to_do = chunk.is_accounted_for() && self.askable(&chunk) == 0;
        let is_taken_for_over = state.beside.shut && self.is(V::ShutIsOver);
        if !stale && (state.control.lets_go() || has_nothing_to_do || is_taken_for_over) {
            state.dequeue(message);
            return true;
        }
        false
    }

    pub(crate) fn grant(&self, state: &mut State, at: u8, answered: bool) -> Option<()> {
        let Phase::Holding { want, asks: None, .. } = state.consumer(at).phase else { return None };
        let me = state.consumer(at);
        // The old block is given back before a new one is asked for.
        (me.permits == 0 && !state.restored).then_some(())?;
        let granted = self.sizes.block.max(count(want)).min(state.remaining).min(self.left_in_hour(state));
        let runs = self.runs(state) || self.is(V::V7StopAtReceive) || self.is(V::V8StopIsPurge);
        (runs && granted >= count(want) && self.is_agreed(state)).then_some(())?;
        if !answered {
            fault(state)?;
        }
        self.begins_hour(state);
        if !self.is(V::BudgetAfterSend) {
            state.remaining -= granted;
        }
        self.keeps_ramp(state);
        if answered {
            let me = consumer(state, at)?;
            (me.permits, me.valid, me.deceived, me.current) = (granted, true, false, true);
        }
        Some(())
    }

    /// No permit that was ever granted is still valid, so what the claims leave of the budget is free.
    pub(crate) fn recount(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Holding { want, asks: None, .. } = state.consumer(at).phase else { return None };
        (state.control == Control::Running && state.remaining < count(want) && !state.restored).then_some(())?;
        state.consumers.iter().all(|consumer| !consumer.valid).then_some(())?;
        let spent: u8 = state.chunks.iter().map(|chunk| count(chunk.open | chunk.accepted | chunk.doubt)).sum();
        let remaining = state.budget.saturating_sub(spent + self.withheld(state));
        (remaining != state.remaining).then_some(())?;
        state.remaining = remaining;
        for consumer in &mut state.consumers {
            consumer.current = false;
            // A claim is signed with its permit's moment, and refused once that is as long ago as a recount waits.
            if matches!(consumer.phase, Phase::Idle | Phase::Holding { .. }) && !self.is(V::OldClaimsLand) {
                (consumer.permits, consumer.deceived) = (0, false);
            }
        }
        Some(())
    }

    /// The broadcast no longer runs: the message is let go, or comes again.
    pub(crate) fn put_down(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Holding { message, .. } = state.consumer(at).phase else { return None };
        (state.control != Control::Running && !self.is(V::V7StopAtReceive) && !self.is(V::V8StopIsPurge)).then_some(())?;
        let stale = put_down(state, at)?;
        self.let_go(state, message, stale);
        Some(())
    }

    pub(crate) fn claim(&self, state: &mut State, at: u8, answered: bool) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Holding { message, want, fresh, asks: None } = me.phase else { return None };
        let permits = count(want);
        (me.believes_to_be_permitted() && me.permits >= permits && !state.restored).then_some(())?;
        self.heeds_evidence(state, message.seq, want).then_some(())?;
        if !answered {
            fault(state)?;
        }
        let begin = |state: &mut State| {
            let me = consumer(state, at)?;
            me.permits -= permits;
            (me.divides, me.is_first) = (self.sizes.refusals > 0, false);
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
                if self.sizes.keys {
                    (chunk.keyed, chunk.key, chunk.window, chunk.parts) = (want, !chunk.key, Window::Open, Parts::Whole);
                }
            });
            if let Some(keys) = state.remembers.get_mut(usize::from(message.seq)).filter(|_| self.sizes.keys) {
                // The key is a new one.
                keys[usize::from(state.chunks[usize::from(message.seq)].key)] = [0; 3];
            }
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
        self.look_again(state, at, message)
    }

    /// Refused: what stands there is looked at as if it had just been read.
    pub(crate) fn look_again(&self, state: &mut State, at: u8, message: Message) -> Option<()> {
        if let Some((want, asks)) = self.readiness(state, message) {
            consumer(state, at)?.phase = Phase::Holding { message, want, fresh: true, asks };
        } else {
            let stale = put_down(state, at)?;
            self.let_go(state, message, stale);
        }
        Some(())
    }

    /// One transaction: the chunk is as it was seen, and the broadcast runs. It is claim and permission in one, and
    /// the budget stays as it is.
    pub(crate) fn ask_again(&self, state: &mut State, at: u8) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Holding { message, want, fresh, asks: Some(key) } = me.phase else { return None };
        (me.permits == 0 && !state.restored && (self.runs(state) || self.is(V::AskedInAnyState))).then_some(())?;
        let chunk = state.chunk(message.seq);
        let as_seen = fresh && self.askable(chunk) != 0 || self.is(V::AskedOfTheReopened) && chunk.window == Window::Open;
        if !as_seen {
            return self.look_again(state, at, message);
        }
        state.change(message.seq, |chunk| {
            chunk.state = ChunkState::Claimed;
            chunk.owner = Owner::Consumer(at);
            chunk.lease_over = false;
            chunk.open |= want & chunk.doubt;
            chunk.doubt &= !want;
        });
        let me = consumer(state, at)?;
        (me.valid, me.deceived, me.current, me.asks) = (true, false, false, Some(key));
        me.phase = Phase::Claimed { message, want };
        Some(())
    }

    pub(crate) fn send(&self, state: &mut State, at: u8) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Claimed { message, want } = me.phase else { return None };
        if (me.believes_to_be_permitted() || self.is(V::NoDeadline)) && self.is_open(state) {
            let owner = Owner::Consumer(at);
            let content = if me.asks.is_some() && self.is(V::AskedWithOtherContent) { 2 } else { state.content };
            let key = match me.asks {
                Some((claim, part)) if self.is(V::AskedUnderAnotherKey) => Some((!claim, part)),
                None if self.sizes.keys => Some((state.chunk(message.seq).key, u8::from(me.is_first))),
                asked => asked,
            };
            begin_send(self, state, Request { recipients: want, seq: message.seq, content, key, owner, old: me.deceived })?;
            let me = consumer(state, at)?;
            me.phase = Phase::Waiting { message, want };
            me.deceived &= me.permits > 0;
            // What lets it ask lets it ask once.
            me.valid &= me.asks.is_none();
        } else {
            // That nothing is asked proves nothing of what was sent before.
            let (retryable, doubt) = if me.asks.is_some() && !self.is(V::NotAskedIsNotSent) { (0, want) } else { (want, 0) };
            consumer(state, at)?.phase = Phase::Settled { message, accepted: 0, retryable, doubt };
        }
        Some(())
    }

    /// One write, under the owner's token, before anything of it leaves: whoever has read the chunk before asks about nothing any
    /// more. What a claim sends once has keys of its own then; what is asked again may be on its way still.
    pub(crate) fn divide(&self, state: &mut State, at: u8) -> Option<()> {
        let me = state.consumer(at);
        let Phase::Refused { message, want } = me.phase else { return None };
        let chunk = *state.chunk(message.seq);
        let is_ours = chunk.owner == Owner::Consumer(at) && chunk.state == ChunkState::Claimed || self.is(V::DividedByAnybody);
        let is_proven = me.asks.is_none() || self.is(V::RefusedAsProof);
        if is_ours && !self.is(V::PartsUnwritten) {
            state.change(message.seq, |chunk| chunk.parts = if is_proven { Parts::Halves } else { Parts::Behind });
        }
        let me = consumer(state, at)?;
        me.phase = if me.asks.is_some() {
            Phase::Settled { message, accepted: 0, retryable: 0, doubt: want }
        } else if is_ours {
            // Its second part is left to whoever asks.
            me.is_first = true;
            Phase::Claimed { message, want: want & want.wrapping_neg() }
        } else {
            Phase::Settled { message, accepted: 0, retryable: want, doubt: 0 }
        };
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
            return begin_send(self, state, Request { owner: Owner::Consumer(at), ..request });
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
            doubt |= chunk.open & !(accepted | retryable | chunk.accepted);
            chunk.state = ChunkState::Confirmed;
            chunk.owner = Owner::Nobody;
            chunk.open = 0;
            chunk.accepted |= accepted;
            // The provider has taken something else under the key than the whole.
            if chunk.parts == Parts::Behind && accepted & chunk.first() != 0 {
                chunk.parts = Parts::Freed;
            }
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
        let asked = state.consumer(at).asks.is_some();
        let doubt = self.askable(state.chunk(message.seq));
        let stale = put_down(state, at)?;
        if asked && self.is(V::AskedAndGivenBack) {
            state.remaining += count(doubt);
        }
        if retryable == 0 {
            // What evidence has reopened in between has a message of its own coming. Whoever may be asked about
            // again has this one.
            if !stale && doubt == 0 {
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
    (me.divides, me.is_first) = (false, false);
    if me.asks.take().is_some() {
        // The permission to ask ends with it.
        (me.valid, me.deceived) = (false, false);
    }
    Some(std::mem::take(&mut me.stale))
}

/// A message is deleted while somebody in it has no outcome yet.
fn delete_unaccounted(state: &mut State, message: Message) {
    if !state.control.lets_go() && !state.chunk(message.seq).is_accounted_for() {
        state.broken = state.broken.or(Some(Broken::I2));
    }
    state.dequeue(message);
}
