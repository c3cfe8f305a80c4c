//! Evidence that comes when the wait for it was over: once a chunk was opened for its absence, once it was sent to again, or
//! after the end. What has come is heeded before the chunk is claimed again.

use crate::protocol::Protocol;
use crate::state::{Broken, ChunkState, Control, Phase, State, Users, count};
use crate::variant::Variant as V;

impl Protocol {
    /// Of those whom a consumer would send to again, whom events prove accepted.
    pub(crate) fn proven(&self, state: &State, seq: u8, want: Users) -> Users {
        let is_again = state.chunk(seq).state == ChunkState::Confirmed;
        if self.sizes.late && is_again { want & state.heard[usize::from(seq)] } else { 0 }
    }

    /// One transaction: the chunk is as it was seen, and their permits are taken from what remains.
    pub(crate) fn acknowledge(&self, state: &mut State, at: u8) -> Option<()> {
        let Phase::Holding { message, want, fresh, asks: None } = state.consumer(at).phase else { return None };
        let proven = self.proven(state, message.seq, want);
        (proven != 0 && state.control == Control::Running && !state.restored).then_some(())?;
        if !fresh {
            return self.look_again(state, at, message);
        }
        state.remaining = state.remaining.checked_sub(count(proven))?;
        state.asked_for |= proven;
        state.change(message.seq, |chunk| {
            chunk.accepted |= proven;
            chunk.retryable &= !proven;
        });
        self.look_again(state, at, message)
    }

    /// Whether the claim of a chunk may be made, as far as events tell. Between this look and the claim no event comes here.
    pub(crate) fn heeds_evidence(&self, state: &mut State, seq: u8, want: Users) -> bool {
        let is_proven = self.proven(state, seq, want) != 0;
        if is_proven && self.is(V::EvidenceUnread) {
            state.broken = state.broken.or(Some(Broken::Late));
            return true;
        }
        !is_proven
    }

    /// Of these it is proved that they were not accepted; or, where evidence may be late, it is taken for proved.
    pub(crate) fn not_asked_for(&self, state: &mut State, users: Users) {
        state.asked_for &= if self.sizes.late { !users } else { !users | state.was_accepted() };
    }

    /// Nobody is accepted twice but where evidence has opened the chunk and is late.
    pub(crate) fn once(&self, state: &State) -> bool {
        let may_be_twice = |user: usize| {
            let seq = state.pages.iter().position(|page| page & 1 << user != 0);
            self.sizes.late && seq.is_some_and(|seq| state.chunks[seq].reopened)
        };
        state.accepted.iter().enumerate().all(|(user, times)| *times <= 1 || may_be_twice(user))
    }
}
