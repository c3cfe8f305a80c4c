//! What the provider does with a request, what its events prove, and what time ends.

use crate::consuming::consumer;
use crate::protocol::Protocol;
use crate::state::{Broken, ChunkState, Control, Owner, Parts, Phase, Request, State, Stop, Users, Window, count};
use crate::step::fault;
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn accept(&self, state: &mut State, place: u8, answered: bool) -> Option<()> {
        let request = take_request(state, place)?;
        (!request.old || self.is(V::NoRefusalByAge)).then_some(())?;
        if !answered {
            fault(state)?;
        }
        match remembered(state, request)? {
            0 => self.take_in(state, request)?,
            body if body != body_of(request) => {
                // Another body under the same key: nobody is accepted, and nothing is said of the first.
                let Owner::Consumer(at) = request.owner else { return answered.then_some(()) };
                return if answered { self.refused(state, at) } else { self.answer_lost(state, at, request) };
            }
            // The same again is answered as the first was, and nobody is accepted once more.
            _ => {}
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

    fn take_in(&self, state: &mut State, request: Request) -> Option<()> {
        if let Some(key) = request.key {
            state.remembers.get_mut(usize::from(request.seq))?[usize::from(key.0)][usize::from(key.1)] = body_of(request);
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
        if state.contents.count_ones() > 1 || request.content != state.content {
            state.broken = state.broken.or(Some(Broken::I3));
        }
        if self.sizes.evidence && !state.outage {
            *state.events.get_mut(usize::from(request.seq))? |= request.recipients;
        }
        Some(())
    }

    /// Throttled, or refused for its age: surely not accepted.
    pub(crate) fn reject(&self, state: &mut State, place: u8) -> Option<()> {
        let request = take_request(state, place)?;
        if !request.old {
            fault(state)?;
            // One that is repeated may be on its way still.
            if !state.has_requests_of(request.seq) {
                self.not_asked_for(state, request.recipients);
            }
        }
        let Owner::Consumer(at) = request.owner else { return request.old.then_some(()) };
        self.refused(state, at)
    }

    /// Checked as a whole, and nobody of it is accepted, for the sake of somebody who may be let through later.
    pub(crate) fn refuse_whole(&self, state: &mut State, place: u8) -> Option<()> {
        let request = take_request(state, place)?;
        // A key that was used is looked up first.
        (count(request.recipients) > 1 && !request.old && remembered(state, request)? == 0).then_some(())?;
        state.refusals_left = state.refusals_left.checked_sub(1)?;
        // Nobody of it was sent to, so its parts may be.
        if let Stop::Acknowledged { leak } = &mut state.stop {
            *leak += count(request.recipients);
        }
        if !state.has_requests_of(request.seq) {
            self.not_asked_for(state, request.recipients);
        }
        let Owner::Consumer(at) = request.owner else { return Some(()) };
        let me = consumer(state, at)?;
        if let Phase::Waiting { message, want } = me.phase {
            me.phase = Phase::Refused { message, want };
        }
        Some(())
    }

    /// That this request was not accepted says nothing of the one that it repeats.
    fn refused(&self, state: &mut State, at: u8) -> Option<()> {
        let me = consumer(state, at)?;
        if let Phase::Waiting { message, want } = me.phase {
            let (retryable, doubt) = if me.asks.is_some() && !self.is(V::AskedAndRefused) { (0, want) } else { (want, 0) };
            me.phase = Phase::Settled { message, accepted: 0, retryable, doubt };
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

    /// What an event says of a message that its answer has settled goes into the log, which nobody who decides reads; all
    /// else is evidence.
    pub(crate) fn hear(&self, state: &mut State, seq: u8, user: Users) -> Option<()> {
        let chunk = *state.chunk(seq);
        let events = state.events.get_mut(usize::from(seq))?;
        (*events & user != 0).then_some(())?;
        *events &= !user;
        let is_confirmed = chunk.state == ChunkState::Confirmed;
        if !(is_confirmed && (chunk.accepted & user != 0 || self.is(V::LoggedWhateverTheAnswer))) {
            *state.heard.get_mut(usize::from(seq))? |= user;
        }
        Some(())
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
        let vouched = !state.outage && (self.sizes.late || state.events.iter().all(|events| *events == 0));
        (vouched || timed).then_some(())?;
        state.change(seq, |chunk| {
            chunk.state = ChunkState::Confirmed;
            chunk.owner = Owner::Nobody;
            chunk.retryable |= unheard;
            chunk.doubt = (chunk.doubt | chunk.open) & !unheard;
            (chunk.open, chunk.reopened, chunk.keyed, chunk.parts) = (0, true, 0, Parts::Whole);
        });
        state.remaining += count(unheard);
        self.not_asked_for(state, unheard);
        Some(())
    }

    /// A claim is made within its permit's life, and a permit's life is shorter than a lease: no lease
    /// ends while a send may still begin under it.
    pub(crate) fn lease_ends(&self, state: &mut State, seq: u8) -> Option<()> {
        let chunk = *state.chunk(seq);
        (chunk.state == ChunkState::Claimed && !chunk.lease_over).then_some(())?;
        if let Owner::Consumer(at) = chunk.owner {
            let me = state.consumer(at);
            let may_send = me.valid && me.claimed() != 0;
            (!may_send || self.is(V::V13EarlyReap)).then_some(())?;
        }
        state.change(seq, |chunk| chunk.lease_over = true);
        Some(())
    }

    /// From now on the ledger lets nobody ask.
    pub(crate) fn window_closes(&self, state: &mut State, seq: u8) -> Option<()> {
        let chunk = state.chunks.get_mut(usize::from(seq))?;
        (self.sizes.keys && chunk.keyed != 0 && chunk.window == Window::Open).then_some(())?;
        chunk.window = Window::Closed;
        Some(())
    }

    /// The margin is longer than whoever was let to ask may take to begin, also a machine that was paused, and than
    /// a request may be on its way: so long is the first of a key remembered.
    pub(crate) fn key_forgotten(&self, state: &mut State, seq: u8) -> Option<()> {
        (state.chunk(seq).window == Window::Closed && !state.has_requests_of(seq)).then_some(())?;
        let may_begin = |phase| matches!(phase, Phase::Claimed { message, .. } | Phase::Refused { message, .. } if message.seq == seq);
        let mut senders = state.consumers.iter().filter(|consumer| consumer.believes_to_be_permitted());
        (!senders.any(|consumer| may_begin(consumer.phase))).then_some(())?;
        state.chunks.get_mut(usize::from(seq))?.window = Window::Over;
        let chunk = *state.chunk(seq);
        state.remembers.get_mut(usize::from(seq))?[usize::from(chunk.key)] = [0; 3];
        Some(())
    }
}

/// The body that came under the request's key, or 0.
fn remembered(state: &State, request: Request) -> Option<u8> {
    let keys = state.remembers.get(usize::from(request.seq))?;
    Some(request.key.map_or(0, |(claim, part)| keys[usize::from(claim)][usize::from(part)]))
}

/// What tells its body from another.
fn body_of(request: Request) -> u8 {
    request.content << 4 | request.recipients
}

fn begin(state: &mut State, request: Request) -> Option<()> {
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

/// What must hold of it beside, in the moment in which it begins.
pub(crate) fn begin_send(protocol: &Protocol, state: &mut State, request: Request) -> Option<()> {
    begin(state, request)?;
    if !request.old {
        protocol.goes_first(state, request);
        Protocol::keeps_hours(state);
        protocol.follows_agreement(state);
        Protocol::leaves_alone(state, request);
    }
    Some(())
}

fn take_request(state: &mut State, place: u8) -> Option<Request> {
    let place = state.requests.get_mut(usize::from(place))?;
    let request = std::mem::take(place);
    (request.recipients != 0).then_some(request)
}
