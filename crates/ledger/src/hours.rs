//! When a broadcast may be sent, by its command and a clock, and how far the hour of its ramp lets it go.
//!
//! Nothing of it is written down: nobody can come too late to.

use issei_schema::{Opening, RampHour, Ramped, Schedule};
use jiff::Timestamp;

use crate::{Broadcast, BroadcastState};

impl Broadcast {
    /// When it may be sent.
    #[must_use]
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { not_before: self.not_before, window: self.send_window.as_ref(), not_after: self.not_after }
    }

    /// The moment before which nothing of it is sent.
    #[must_use]
    pub fn begins_at(&self) -> Timestamp {
        match self.schedule().at(self.created_at) {
            Opening::Waiting { until } => until,
            Opening::Open { .. } | Opening::Over => self.created_at,
        }
    }

    /// Its ramp, as far as it has come.
    #[must_use]
    pub fn ramped(&self) -> Option<Ramped> {
        let hour = self.ramp_hour_began.map(|began| RampHour {
            began,
            before: self.ramp_hour_before.unwrap_or(0),
            doublings: self.ramp_doublings.unwrap_or(0),
        });
        self.ramp.map(|ramp| Ramped { ramp, hour, granted: self.granted })
    }

    /// The moment for which it waits, where it runs and may not be sent now. That is no state of its own: it follows from
    /// the command and the clock, so nobody has to write it, and nobody can come too late to.
    #[must_use]
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.schedule().at(now) {
            Opening::Waiting { until } if self.broadcast_state == BroadcastState::Running => Some(until),
            Opening::Waiting { .. } | Opening::Open { .. } | Opening::Over => None,
        }
    }

    /// Until when nothing of it moves, since the hour of its ramp is used up.
    #[must_use]
    pub fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ramped = self.ramped().filter(|_| self.broadcast_state == BroadcastState::Running)?;
        ramped.rests_until(now, self.recipients, self.chunk_size)
    }
}
