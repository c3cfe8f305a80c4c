//! Others must agree before the first send: somebody else than whoever asked, and to what is registered. What they have read
//! may have been another content. A build that knows of no agreement may let it run all the same, and permits wait for it.

use crate::protocol::Protocol;
use crate::state::{Broken, Control, State};
use crate::variant::Variant as V;

/// Who asked for the broadcast, by the number.
const ASKER: u8 = 0;

fn word(person: u8, content: u8) -> u8 {
    1 << (2 * person + content - 1)
}

impl Protocol {
    /// A person says yes to the content that they have read.
    pub(crate) fn agree(&self, state: &mut State, person: u8, content: u8) -> Option<()> {
        (self.sizes.agreement && state.beside.agreed & word(person, content) == 0).then_some(())?;
        matches!(state.control, Control::Holding | Control::Running | Control::Paused).then_some(())?;
        state.beside.agreed |= word(person, content);
        let is_this = content == state.content || self.is(V::AgreedToAnything);
        let is_another = person != ASKER || self.is(V::AskerAgrees);
        if is_this && is_another {
            state.beside.counted |= 1 << person;
        }
        Some(())
    }

    /// Whether permits may be granted.
    pub(crate) fn is_agreed(&self, state: &State) -> bool {
        !self.sizes.agreement || state.beside.counted != 0 || self.is(V::GrantWithoutAgreement)
    }

    pub(crate) fn follows_agreement(&self, state: &mut State) {
        let others = (0..2).filter(|person| *person != ASKER);
        let has_agreed = others.into_iter().any(|person| state.beside.agreed & word(person, state.content) != 0);
        if self.sizes.agreement && !has_agreed {
            state.broken = state.broken.or(Some(Broken::Agreement));
        }
    }
}
