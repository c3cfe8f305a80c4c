//! Hours in which alone it is sent: they open and close at any moment.

use crate::protocol::Protocol;
use crate::state::{Broken, State};
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn hour_turns(&self, state: &mut State) -> Option<()> {
        state.beside.turns_left = state.beside.turns_left.checked_sub(1)?;
        state.beside.shut = !state.beside.shut;
        Some(())
    }

    /// Whether a send may begin. Asked in the moment in which it would.
    pub(crate) fn is_open(&self, state: &State) -> bool {
        !state.beside.shut || self.is(V::HoursAtReceive)
    }

    pub(crate) fn keeps_hours(state: &mut State) {
        if state.beside.shut {
            state.broken = state.broken.or(Some(Broken::Hours));
        }
    }
}
