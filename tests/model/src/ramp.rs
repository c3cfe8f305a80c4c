//! A ramp: so many permits in the first hour, and in each further one twice as many as in the one before, where half of that
//! one's were used. An hour begins with its first permit, and is over at any moment after that.
//!
//! As in the code what is counted is what was granted and not given back, so that what comes back in a later hour (returned, lost
//! with a consumer and recounted) may be granted in that one beside its share.

use crate::protocol::Protocol;
use crate::state::{Broken, State};
use crate::variant::Variant as V;

/// So many doublings are told apart.
const DOUBLINGS: u8 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hour {
    /// How many had been granted before it.
    before: u8,
    doublings: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ramp {
    /// The last hour as the broadcast item has it; nothing where it has none.
    written: Option<Hour>,
    /// The last hour as it was: the same, unless a variant writes it otherwise.
    real: Option<Hour>,
    is_over: bool,
}

impl Ramp {
    pub(crate) fn has_doubled(self) -> bool {
        self.real.is_some_and(|hour| hour.doublings > 0)
    }
}

impl Protocol {
    fn share(&self, hour: Hour) -> u8 {
        self.sizes.ramp << hour.doublings
    }

    /// The hour that a grant of this moment begins, after the last.
    fn next(&self, last: Option<Hour>, granted: u8, doubles_unused: bool) -> Hour {
        let doublings = last.map_or(0, |last| {
            let is_used = granted >= last.before + self.share(last).div_ceil(2);
            (last.doublings + u8::from(is_used || doubles_unused)).min(DOUBLINGS)
        });
        Hour { before: granted, doublings }
    }

    /// The hour that a grant would be made in, as it would be written, and how many that leaves.
    fn hour_of(&self, state: &State) -> (Hour, u8) {
        let (ramp, granted) = (state.beside.ramp, granted(state));
        let hour = match ramp.written {
            Some(hour) if !ramp.is_over && !self.is(V::RampHourTwice) => hour,
            last => self.next(last, granted, self.is(V::RampDoublesUnused)),
        };
        (hour, (hour.before + self.share(hour)).saturating_sub(granted))
    }

    /// How many may be granted at this moment.
    pub(crate) fn left_in_hour(&self, state: &State) -> u8 {
        if self.sizes.ramp == 0 || self.is(V::RampBeyond) { u8::MAX } else { self.hour_of(state).1 }
    }

    /// With the first permit of an hour it begins. Before the permit is granted.
    pub(crate) fn begins_hour(&self, state: &mut State) {
        if self.sizes.ramp == 0 {
            return;
        }
        let (written, _) = self.hour_of(state);
        let (ramp, granted) = (state.beside.ramp, granted(state));
        let real = match ramp.real {
            Some(hour) if !ramp.is_over => hour,
            last => self.next(last, granted, false),
        };
        let written = (!self.is(V::RampUncounted)).then_some(written);
        state.beside.ramp = Ramp { written, real: Some(real), is_over: false };
    }

    /// No more is out of an hour than its share.
    pub(crate) fn keeps_ramp(&self, state: &mut State) {
        let most = state.beside.ramp.real.map_or(u8::MAX, |hour| hour.before + self.share(hour));
        if self.sizes.ramp > 0 && granted(state) > most {
            state.broken = state.broken.or(Some(Broken::Ramp));
        }
    }

    pub(crate) fn ramp_hour_ends(&self, state: &mut State) -> Option<()> {
        let ramp = &mut state.beside.ramp;
        (self.sizes.ramp > 0 && ramp.real.is_some() && !ramp.is_over).then_some(())?;
        ramp.is_over = true;
        Some(())
    }
}

/// How many were granted and not given back.
fn granted(state: &State) -> u8 {
    state.budget.saturating_sub(state.remaining + state.beside.withheld)
}
