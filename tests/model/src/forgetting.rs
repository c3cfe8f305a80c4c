//! Somebody asks to be forgotten: not before the broadcast is over, and what was counted of them stays counted.

use crate::protocol::Protocol;
use crate::state::{Broken, Control, Request, State};
use crate::variant::Variant as V;

impl Protocol {
    pub(crate) fn forget_user(&self, state: &mut State, user: u8) -> Option<()> {
        let user = 1 << user;
        (self.sizes.forgetting && state.beside.forgotten & user == 0 && !state.restored).then_some(())?;
        let is_over = matches!(state.control, Control::Stopped | Control::Complete);
        (is_over || self.is(V::ForgottenWhileSending)).then_some(())?;
        let page = state.pages.iter_mut().find(|page| **page & user != 0)?;
        if self.is(V::ForgottenWithoutTrace) {
            *page &= !user;
        }
        state.beside.forgotten |= user;
        Some(())
    }

    /// No send begins to somebody forgotten. One whose answer was lost may still arrive, as the limits say.
    pub(crate) fn leaves_alone(state: &mut State, request: Request) {
        if request.recipients & state.beside.forgotten != 0 {
            state.broken = state.broken.or(Some(Broken::Forgotten));
        }
    }
}
