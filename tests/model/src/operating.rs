//! What operators do, and what befalls the ledger.

use crate::protocol::Protocol;
use crate::state::{CONSUMERS, Chunk, ChunkState, Consumer, Control, MESSAGES, Message, PRODUCERS, Producer, State, Stop};
use crate::step::fault;
use crate::variant::Variant as V;

impl Protocol {
    /// Whoever approves gives the budget free, and once.
    pub(crate) fn approve(&self, state: &mut State) -> Option<()> {
        (self.sizes.hold).then_some(())?;
        if self.is(V::ApprovedTwice) && state.control == Control::Running {
            fault(state)?;
            state.remaining += state.budget;
            return Some(());
        }
        (state.control == Control::Holding).then_some(())?;
        (state.control, state.remaining) = (Control::Running, state.budget);
        Some(())
    }

    pub(crate) fn stop(&self, state: &mut State) -> Option<()> {
        (self.sizes.stop && state.stop == Stop::No).then_some(())?;
        matches!(state.control, Control::Enumerating | Control::Holding | Control::Running | Control::Paused).then_some(())?;
        let senders = state.consumers.iter().filter(|consumer| consumer.outstanding() > 0).count();
        let leak = if self.is(V::V14BoundCountsConsumers) { u8::try_from(senders).ok()? } else { state.unbegun() };
        state.stop = Stop::Acknowledged { leak };
        if self.is(V::V8StopIsPurge) {
            state.queue = [Message::default(); MESSAGES];
        } else {
            state.control = if state.control == Control::Enumerating { Control::Stopped } else { Control::Stopping };
        }
        Some(())
    }

    /// A stop counts as proved when every sender is drained, not by a clean ledger alone.
    pub(crate) fn prove_stop(&self, state: &mut State) -> Option<()> {
        (state.control == Control::Stopped && matches!(state.stop, Stop::Acknowledged { .. })).then_some(())?;
        state.chunks.iter().all(|chunk| chunk.state != ChunkState::Claimed || chunk.lease_over).then_some(())?;
        if !self.is(V::V13EarlyReap) && !self.is(V::V15UnspentPermit) {
            (state.outstanding() == 0 && !state.has_requests()).then_some(())?;
        }
        state.stop = Stop::Proved;
        Some(())
    }

    pub(crate) fn repair(&self, state: &mut State) -> Option<()> {
        (state.control == Control::Running && !state.restored).then_some(())?;
        state.repairs_left = state.repairs_left.checked_sub(1)?;
        for seq in 0..state.frozen {
            let chunk = state.chunk(seq);
            let waits = chunk.retryable != 0 && chunk.state == ChunkState::Confirmed || self.askable(chunk) != 0;
            let may = self.may_enqueue(state, seq) || self.is(V::RepairedPastCanary);
            if may && (chunk.state == ChunkState::Absent || waits) {
                let _ = state.enqueue(seq, state.page(seq));
            }
        }
        Some(())
    }

    /// An item is gone and the rest is as before: a backup was restored, and every service was started
    /// again to use it. With the guard, none of them works before an operator opens a new epoch.
    pub(crate) fn restore(&self, state: &mut State, seq: u8) -> Option<()> {
        (self.sizes.restore && state.chunk(seq).state != ChunkState::Absent && !state.restored).then_some(())?;
        fault(state)?;
        for at in 0..CONSUMERS as u8 {
            state.forget(at);
        }
        state.consumers = [Consumer::default(); CONSUMERS];
        state.producers = [Producer::default(); PRODUCERS];
        state.change(seq, |chunk| *chunk = Chunk::default());
        state.restored = !self.is(V::V12RowVanishes);
        Some(())
    }
}
