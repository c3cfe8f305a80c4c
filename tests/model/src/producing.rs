//! What producers do: register, freeze, enqueue, complete.

use crate::protocol::Protocol;
use crate::state::{ChunkState, Control, Producer, State, Users, count};
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn register(&self, state: &mut State, content: u8) -> Option<()> {
        if state.control == Control::Absent || (self.is(V::RegisterOverwrites) && state.content != content) {
            if state.control == Control::Absent {
                state.control = Control::Enumerating;
            }
            state.content = content;
            return Some(());
        }
        // Another content is refused to the dead-letter queue. The same has nothing left to do once the
        // audience is frozen.
        (state.content != content || state.control != Control::Enumerating).then_some(())?;
        *state.commands.iter_mut().find(|there| **there == content)? = 0;
        state.commands.sort_unstable();
        Some(())
    }

    pub(crate) fn read(&self, state: &mut State, at: u8) -> Option<()> {
        (*producer(state, at)? == Producer::Idle && state.control == Control::Enumerating && !state.restored).then_some(())?;
        let (seq, last) = if self.is(V::ChunksFromTheTable) {
            (state.enqueued, state.page(state.enqueued.wrapping_sub(1)))
        } else {
            (state.frozen, state.page(state.frozen.wrapping_sub(1)))
        };
        let after = last.checked_ilog2().map_or(0, |last| last + 1);
        let recipients = first(state.rows & (Users::MAX << after), self.sizes.chunk);
        *producer(state, at)? = Producer::Read { seq, recipients };
        Some(())
    }

    pub(crate) fn freeze(&self, state: &mut State, at: u8) -> Option<()> {
        let Producer::Read { seq, recipients } = *producer(state, at)? else { return None };
        *producer(state, at)? = Producer::Idle;
        if self.is(V::ChunksFromTheTable) {
            if recipients == 0 {
                (state.control, state.frozen) = (Control::Running, state.enqueued);
                self.set_budget(state);
            } else {
                state.enqueue(seq, recipients)?;
                *producer(state, at)? = Producer::Enqueued { seq, recipients };
            }
            return Some(());
        }
        // One transaction: the broadcast still enumerates, and the page follows the one before it.
        let unchained = self.is(V::PagesUnchained);
        if !unchained && (state.control != Control::Enumerating || state.frozen != seq) {
            return Some(());
        }
        if recipients == 0 {
            if state.control == Control::Enumerating {
                state.control = Control::Running;
                self.set_budget(state);
            }
        } else {
            *state.pages.get_mut(usize::from(seq))? = recipients;
            state.frozen = state.frozen.max(seq + 1);
        }
        Some(())
    }

    fn set_budget(&self, state: &mut State) {
        let audience: u8 = state.pages.iter().map(|page| count(*page)).sum();
        state.budget = self.sizes.budget.unwrap_or(audience);
        state.remaining = state.budget;
    }

    pub(crate) fn enqueue(&self, state: &mut State, at: u8) -> Option<()> {
        (*producer(state, at)? == Producer::Idle && self.runs(state) && state.enqueued < state.frozen).then_some(())?;
        (!state.restored && !self.is(V::ChunksFromTheTable)).then_some(())?;
        let (seq, recipients) = (state.enqueued, state.page(state.enqueued));
        (self.may_enqueue(state, seq) || self.is(V::EnqueuedPastCanary)).then_some(())?;
        state.enqueue(seq, recipients)?;
        *producer(state, at)? = Producer::Enqueued { seq, recipients };
        Some(())
    }

    pub(crate) fn complete(&self, state: &mut State) -> Option<()> {
        (state.control == Control::Running && state.enqueued == state.frozen && state.frozen > 0 && !state.restored).then_some(())?;
        let chunks = state.chunks.iter().take(usize::from(state.frozen));
        let mut is_open = false;
        for chunk in chunks {
            match chunk.state {
                ChunkState::Absent => return None,
                ChunkState::Claimed => is_open = true,
                ChunkState::Confirmed if chunk.retryable != 0 => return None,
                ChunkState::Confirmed => {}
            }
            // Doubt that evidence may end could cause a send.
            (!self.sizes.evidence || chunk.open | chunk.doubt == 0).then_some(())?;
            // So could a repeat.
            (self.askable(chunk) == 0).then_some(())?;
        }
        if is_open && !self.is(V::CloseOverOpenClaims) {
            let leases_over = state.chunks.iter().all(|chunk| chunk.state != ChunkState::Claimed || chunk.lease_over);
            (leases_over && state.outstanding() == 0 && !state.has_requests()).then_some(())?;
        }
        state.control = Control::Complete;
        Some(())
    }
}

pub(crate) fn producer(state: &mut State, at: u8) -> Option<&mut Producer> {
    state.producers.get_mut(usize::from(at))
}

/// The cursor moves on, unless another producer has moved it.
pub(crate) fn advance(state: &mut State, at: u8) -> Option<()> {
    let Producer::Enqueued { seq, recipients } = *producer(state, at)? else { return None };
    *producer(state, at)? = Producer::Idle;
    if state.enqueued == seq {
        *state.pages.get_mut(usize::from(seq))? = recipients;
        state.enqueued = seq + 1;
    }
    Some(())
}

/// The `n` users with the smallest keys.
fn first(mut users: Users, n: u8) -> Users {
    let all = users;
    for _ in 0..n {
        users &= users.wrapping_sub(1);
    }
    all & !users
}
