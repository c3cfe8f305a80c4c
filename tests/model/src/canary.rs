//! A canary: the first chunks are sent to, and the permits of all others are kept back until somebody approves.

use crate::protocol::Protocol;
use crate::state::{Broken, Control, Request, State, Users, count};
use crate::variant::Variant as V;

impl Protocol {
    /// Of the budget at the start, what is kept back.
    pub(crate) fn withhold(&self, state: &mut State) {
        if self.sizes.canary > 0 {
            let first: Users = state.pages.iter().take(usize::from(self.sizes.canary)).fold(0, |users, page| users | page);
            state.beside.withheld = state.budget - count(first);
            state.remaining = count(first);
        }
    }

    /// Whether a chunk may be on the queue yet.
    pub(crate) fn may_enqueue(&self, state: &State, seq: u8) -> bool {
        state.beside.withheld == 0 || seq < self.sizes.canary
    }

    /// Gives the rest free, whatever has become of the canary: that is for a person to judge.
    pub(crate) fn approve_canary(&self, state: &mut State) -> Option<()> {
        (state.beside.withheld > 0 && state.control == Control::Running && !state.restored).then_some(())?;
        state.remaining += std::mem::take(&mut state.beside.withheld);
        Some(())
    }

    /// What a recount has to leave alone.
    pub(crate) fn withheld(&self, state: &State) -> u8 {
        if self.is(V::RecountedWithTheRest) { 0 } else { state.beside.withheld }
    }

    pub(crate) fn goes_first(&self, state: &mut State, request: Request) {
        if state.beside.withheld > 0 && request.seq >= self.sizes.canary {
            state.broken = state.broken.or(Some(Broken::Canary));
        }
    }
}
