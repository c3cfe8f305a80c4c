//! What the provider does with a request, what its events prove, and what time ends.

use crate::consuming::consumer;
use crate::protocol::Protocol;
use crate::state::{Broken, ChunkState, Control, Owner, Phase, Request, State, Stop, Users, count};
use crate::step::fault;
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn accept(&self, state: &mut State, place: u8, answered: bool) -> Option<()> {
        let request = take_request(state, place)?;
        (!request.old || self.is(V::NoRefusalByAge)).then_some(())?;
        if !answered {
            fault(state)?;
        }
        if state.stop == Stop::Proved {
            state.broken = state.broken.or(Some(Broken::I4));
        }
        for (user, accepted) in (0..).zip(&mut state.accepted) {
            if request.recipients & 1 << user != 0 {
                *accepted = (*accepted + 1).min(2);
            }
        }
        state.contents |= 1 << request.content;
        if state.contents.count_ones() > 1 {
            state.broken = state.broken.or(Some(Broken::I3));
        }
        if self.sizes.evidence && !state.outage {
            *state.events.get_mut(usize::from(request.seq))? |= request.recipients;
        }
        let Owner::Consumer(at) = request.owner else { return answered.then_some(()) };
        if !answered {
            return self.answer_lost(state, at, request);
        }
        if let Phase::Waiting { message, want } = state.consumer(at).phase {
            consumer(state, at)?.phase = Phase::Settled { message, accepted: want, retryable: 0, doubt: 0 };
        }
        Some(())
    }

    /// Throttled, or refused for its age: surely not accepted.
    pub(crate) fn reject(&self, state: &mut State, place: u8) -> Option<()> {
        let request = take_request(state, place)?;
        if !request.old {
            fault(state)?;
            state.asked_for &= !request.recipients | state.was_accepted();
        }
        let Owner::Consumer(at) = request.owner else { return request.old.then_some(()) };
        if let Phase::Waiting { message, want } = state.consumer(at).phase {
            consumer(state, at)?.phase = Phase::Settled { message, accepted: 0, retryable: want, doubt: 0 };
        }
        Some(())
    }

    pub(crate) fn lose(&self, state: &mut State, place: u8) -> Option<()> {
        let request = take_request(state, place)?;
        // What a dead consumer had on its way may be lost with it.
        let Owner::Consumer(at) = request.owner else { return Some(()) };
        fault(state)?;
        self.answer_lost(state, at, request)
    }

    /// Absence of events as evidence: every request under the claim is over, every event has arrived,
    /// and the neighbours' did arrive.
    pub(crate) fn reopen(&self, state: &mut State, seq: u8) -> Option<()> {
        let timed = self.is(V::V10TimedResend);
        ((self.sizes.evidence || timed) && state.control == Control::Running && !state.restored).then_some(())?;
        let chunk = *state.chunk(seq);
        let over = chunk.state == ChunkState::Claimed && chunk.lease_over;
        (over || chunk.state == ChunkState::Confirmed).then_some(())?;
        let heard = state.heard.get(usize::from(seq)).copied().unwrap_or_default();
        let unheard = (chunk.open | chunk.doubt) & !heard;
        (unheard != 0 && !state.has_requests_of(seq)).then_some(())?;
        let vouched = !state.outage && state.events.iter().all(|events| *events == 0);
        (vouched || timed).then_some(())?;
        state.change(seq, |chunk| {
            chunk.state = ChunkState::Confirmed;
            chunk.owner = Owner::Nobody;
            chunk.retryable |= unheard;
            chunk.doubt = (chunk.doubt | chunk.open) & !unheard;
            (chunk.open, chunk.reopened) = (0, true);
        });
        state.remaining += count(unheard);
        state.asked_for &= !unheard | state.was_accepted();
        Some(())
    }

    /// A claim is made within its permit's life, and a permit's life is shorter than a lease: no lease
    /// ends while a send may still begin under it.
    pub(crate) fn lease_ends(&self, state: &mut State, seq: u8) -> Option<()> {
        let chunk = *state.chunk(seq);
        (chunk.state == ChunkState::Claimed && !chunk.lease_over).then_some(())?;
        if let Owner::Consumer(at) = chunk.owner {
            let me = state.consumer(at);
            let may_send = me.valid && matches!(me.phase, Phase::Claimed { .. });
            (!may_send || self.is(V::V13EarlyReap)).then_some(())?;
        }
        state.change(seq, |chunk| chunk.lease_over = true);
        Some(())
    }
}

pub(crate) fn begin_send(state: &mut State, request: Request) -> Option<()> {
    *state.requests.iter_mut().find(|place| place.recipients == 0)? = request;
    // What the provider refuses is no send.
    if request.old {
        return Some(());
    }
    let recipients = count(request.recipients);
    match &mut state.stop {
        Stop::No => {}
        Stop::Acknowledged { leak } if *leak >= recipients => *leak -= recipients,
        Stop::Acknowledged { .. } | Stop::Proved => state.broken = state.broken.or(Some(Broken::I4)),
    }
    if state.control == Control::Complete {
        state.broken = state.broken.or(Some(Broken::I7));
    }
    if state.control == Control::Holding {
        state.broken = state.broken.or(Some(Broken::I4));
    }
    state.asked_for |= request.recipients;
    Some(())
}

fn take_request(state: &mut State, place: u8) -> Option<Request> {
    let place = state.requests.get_mut(usize::from(place))?;
    let request = std::mem::take(place);
    (request.recipients != 0).then_some(request)
}

pub(crate) fn hear(state: &mut State, seq: u8, user: Users) -> Option<()> {
    let events = state.events.get_mut(usize::from(seq))?;
    (*events & user != 0).then_some(())?;
    *events &= !user;
    *state.heard.get_mut(usize::from(seq))? |= user;
    Some(())
}
