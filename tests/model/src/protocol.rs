//! The protocol for certain sizes, as `stateright` checks it, and the invariants.

use stateright::{Expectation, Model, Property};

use crate::state::{Broken, ChunkState, Control, Key, Parts, Phase, State, USERS, Users, count};
use crate::step::Step;
use crate::variant::Variant;

/// How much of everything there is. The state space is finite, and all of it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Keys that a user may have, up to 4. All but `changes` many are there at the start.
    pub users: u8,
    /// Recipients in a chunk.
    pub chunk: u8,
    pub producers: u8,
    pub consumers: u8,
    /// Permits in a block.
    pub block: u8,
    /// Crashes, lost answers, lost requests, timeouts, throttled sends, redeliveries, restores.
    pub faults: u8,
    /// Rows that come or go at any moment.
    pub changes: u8,
    /// The budget, where it is not the audience.
    pub budget: Option<u8>,
    /// The command comes twice, and another under its id.
    pub commands: bool,
    /// Begins with the audience frozen and every chunk enqueued.
    pub frozen: bool,
    pub stop: bool,
    /// Begins held before its first send, with nothing enqueued.
    pub hold: bool,
    /// Machines may be paused with all of their clocks, each time for a fault.
    pub held: bool,
    pub pauses: u8,
    pub repairs: u8,
    pub purge: bool,
    pub redeliveries: bool,
    pub restore: bool,
    /// Events come, and doubt ends by evidence (`evidence_retry`). Without it, doubt is held.
    pub evidence: bool,
    /// Events may come when the wait for them is over.
    pub late: bool,
    /// The provider remembers the key of a request for a window.
    pub keys: bool,
    /// So often it refuses a request of several as a whole, for the sake of somebody whom it may let through later.
    pub refusals: u8,
    /// So many chunks are a canary, and the rest waits for its approval.
    pub canary: u8,
    /// How often the hour to send opens or closes.
    pub hours: u8,
    /// So many permits in the first hour of a ramp; none where there is no ramp.
    pub ramp: u8,
    /// Others must agree before the first send.
    pub agreement: bool,
    /// Users ask to be forgotten.
    pub forgetting: bool,
}

/// A model to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub sizes: Sizes,
    /// What is done naively; nothing in the protocol as it is.
    pub variant: Option<Variant>,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let sizes = &self.sizes;
        let all: Users = !(Users::MAX << sizes.users.min(USERS as u8));
        let mut start = State {
            // Rows that may come are not there yet: the one with the smallest key.
            rows: if sizes.changes > 0 { all & !1 } else { all },
            changes_left: sizes.changes,
            commands: if sizes.commands { [1, 2] } else { [0, 1] },
            faults_left: sizes.faults,
            pauses_left: sizes.pauses,
            repairs_left: sizes.repairs,
            refusals_left: sizes.refusals,
            ..State::default()
        };
        if sizes.frozen {
            let mut left = start.rows;
            while left != 0 && usize::from(start.frozen) < start.pages.len() {
                let mut page = 0;
                for _ in 0..sizes.chunk {
                    page |= left & left.wrapping_neg();
                    left &= left.wrapping_sub(1);
                }
                start.pages[usize::from(start.frozen)] = page;
                if sizes.canary == 0 || start.frozen < sizes.canary {
                    let _ = start.enqueue(start.frozen, page);
                    start.enqueued += 1;
                }
                start.frozen += 1;
            }
            (start.control, start.content, start.commands) = (Control::Running, 1, [0, 0]);
            start.budget = sizes.budget.unwrap_or(count(start.rows));
            start.remaining = start.budget;
            self.withhold(&mut start);
        }
        start.beside.turns_left = sizes.hours;
        if sizes.hold {
            (start.control, start.enqueued, start.queue) = (Control::Holding, 0, State::default().queue);
            start.remaining = if self.variant == Some(Variant::HoldIsAWord) { start.budget } else { 0 };
        }
        let outage = State { outage: true, ..start };
        if sizes.evidence { vec![start, outage] } else { vec![start] }
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        // What is broken is broken; nothing more is to be learned from there.
        if state.broken.is_none() {
            self.steps(state, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.after(state, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1 nobody is accepted twice", |model: &Self, state: &State| model.once(state)),
            Property::always("I2 nobody is lost", |model: &Self, state: &State| nobody_is_lost(model, state)),
            Property::always("I3 one id is one content", |_, state: &State| state.broken != Some(Broken::I3)),
            Property::always("I4 a stop holds", |_, state: &State| state.broken != Some(Broken::I4)),
            Property::always("I5 permits never pass the budget", |_, state: &State| {
                state.remaining + state.beside.withheld + state.permitted() + count(state.asked_for) <= state.budget || state.budget == 0
            }),
            Property::always("I6 pages partition the audience", |_, state: &State| {
                let mut before: Users = 0;
                state.pages.iter().take_while(|page| **page != 0).all(|page| {
                    let follows = before.leading_zeros() > page.leading_zeros()
                        && before & page == 0
                        && page.trailing_zeros() >= 8 - before.leading_zeros();
                    before |= page;
                    follows
                })
            }),
            Property::always("I7 complete is the end", |_, state: &State| state.broken != Some(Broken::I7)),
            Property::always("canary first", |_, state: &State| state.broken != Some(Broken::Canary)),
            Property::always("hours kept", |_, state: &State| state.broken != Some(Broken::Hours)),
            Property::always("ramp kept", |_, state: &State| state.broken != Some(Broken::Ramp)),
            Property::always("agreement first", |_, state: &State| state.broken != Some(Broken::Agreement)),
            Property::always("forgotten for good", |_, state: &State| state.broken != Some(Broken::Forgotten)),
            Property::always("late evidence heeded", |_, state: &State| state.broken != Some(Broken::Late)),
            // What a model never reaches it does not check.
            Property::sometimes("a broadcast completes", |_, state: &State| state.control == Control::Complete),
            Property::sometimes("somebody is in doubt", |_, state: &State| state.chunks.iter().any(|chunk| chunk.doubt != 0)),
            Property::sometimes("an answer ends doubt", |_, state: &State| {
                let is_answered = |phase| matches!(phase, Phase::Settled { accepted: 1.., .. });
                state.consumers.iter().any(|consumer| consumer.asks.is_some() && is_answered(consumer.phase))
            }),
            Property::sometimes("whoever waited behind a part is accepted", |_, state: &State| {
                state.chunks.iter().any(|chunk| chunk.parts == Parts::Freed && chunk.accepted & chunk.keyed == chunk.keyed)
            }),
            Property::sometimes("somebody is accepted after the hour has turned", |model: &Self, state: &State| {
                state.beside.turns_left < model.sizes.hours && state.was_accepted() != 0
            }),
            Property::sometimes("an hour of the ramp doubles", |_, state: &State| state.beside.ramp.has_doubled()),
            Property::sometimes("somebody is forgotten", |_, state: &State| state.beside.forgotten != 0),
            Property::sometimes("evidence comes late", |_, state: &State| {
                state.chunks.iter().zip(state.heard).any(|(chunk, heard)| chunk.reopened && chunk.accepted & heard != 0)
            }),
            Property::sometimes("what was asked is answered before what was sent", |_, state: &State| {
                let is_known = |seq: u8, (claim, part): Key| state.remembers[usize::from(seq)][usize::from(claim)][usize::from(part)] != 0;
                state.requests.iter().any(|late| late.recipients != 0 && late.key.is_some_and(|key| is_known(late.seq, key)))
            }),
        ]
    }
}

impl Protocol {
    /// The names of what must hold in every state.
    #[must_use]
    pub fn invariants(&self) -> Vec<&'static str> {
        let properties = self.properties().into_iter();
        properties.filter(|property| property.expectation == Expectation::Always).map(|property| property.name).collect()
    }
}

fn nobody_is_lost(model: &Protocol, state: &State) -> bool {
    if state.broken == Some(Broken::I2) {
        return false;
    }
    let accepted = state.was_accepted();
    (0..state.frozen).all(|seq| {
        let chunk = state.chunk(seq);
        let members = state.page(seq);
        let heard = state.heard[usize::from(seq)];
        // The record is true.
        if (chunk.accepted | heard) & !accepted != 0 {
            return false;
        }
        // Everybody of a complete broadcast has an outcome or is listed, and those recorded as not
        // accepted were not.
        if state.control == Control::Complete && !state.restored && (chunk.open | chunk.accepted | chunk.doubt) != members {
            return false;
        }
        if chunk.state == ChunkState::Confirmed && chunk.retryable & accepted != 0 && !model.sizes.evidence {
            return false;
        }
        // Whoever is still to be sent to has a message on its way, unless messages were lost outright.
        let waits = chunk.state == ChunkState::Absent || chunk.state == ChunkState::Confirmed && chunk.retryable != 0;
        let is_lost = waits
            && seq < state.enqueued
            && matches!(state.control, Control::Running | Control::Paused)
            && !state.purged
            && !state.restored
            && !chunk.reopened
            && !state.has_message(seq)
            && !state.consumers.iter().any(|consumer| matches!(consumer.phase, Phase::Holding { message, .. } if message.seq == seq));
        !is_lost
    })
}
