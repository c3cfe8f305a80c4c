//! Doubt that its provider could still be asked to end, and that nobody ends: a request is made again only while its broadcast may be
//! sent. Whoever operates it is told how many are left so, until when their keys last, and what can be done meanwhile.
//!
//! What it must never do: call doubt ended, or have anybody asked. A request that is made again may be the first of its key that is
//! taken, so that made after the end it would mail somebody late.

use std::fmt::Display;

use issei_schema::{Opening, ProviderName};
use jiff::Timestamp;
use serde::Serialize;

use crate::walk::Tally;
use crate::{Broadcast, BroadcastState};

/// Recipients in doubt of whom nobody asks, though their provider remembers their requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoubtLeft {
    provider: ProviderName,
    pub recipients: u64,
    /// Until when the last of them could be asked about.
    pub until: Timestamp,
    #[serde(skip)]
    because: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// It has ended, or its time is over.
    Over(BroadcastState),
    /// It may be sent again only when the last key is forgotten.
    OpensTooLate(Timestamp),
    /// Somebody has to let it go on, by this moment.
    Stands(BroadcastState, Timestamp),
}

impl DoubtLeft {
    /// Nothing where nobody is left so, or where somebody asks, or will in time.
    #[must_use]
    pub fn of(broadcast: &Broadcast, tally: &Tally, now: Timestamp) -> Option<Self> {
        let (until, state) = (tally.askable_until.filter(|until| now < *until)?, broadcast.broadcast_state);
        let because = match state {
            BroadcastState::Stopping | BroadcastState::Stopped | BroadcastState::Complete => Because::Over(state),
            _ if now >= broadcast.not_after => Because::Over(state),
            BroadcastState::Paused | BroadcastState::Holding => Because::Stands(state, until.min(broadcast.not_after)),
            BroadcastState::Running => match broadcast.schedule().at(now) {
                Opening::Waiting { until: opens } if opens >= until => Because::OpensTooLate(opens),
                Opening::Over => Because::Over(state),
                Opening::Waiting { .. } | Opening::Open { .. } => return None,
            },
            BroadcastState::Enumerating => return None,
        };
        let (provider, recipients) = (broadcast.provider.clone().unwrap_or_default(), tally.askable_after(now));
        Some(Self { provider, recipients, until, because })
    }

    /// What is the matter, for people.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { provider, recipients, until, because } = self;
        let why = match because {
            Because::Over(state) => format!(
                "nobody asks any more: it is {state}, and its time or its end came first; a request made again may be the first that is taken, and would mail them late"
            ),
            Because::OpensTooLate(opens) => {
                format!("nobody asks before {opens:.0}, when it may be sent again, and by then {provider} has forgotten them")
            }
            Because::Stands(state, _) => format!("nobody asks while it is {state}"),
        };
        format!("{recipients} in doubt whose requests {provider} remembers until {until:.0} at the latest, and {why}")
    }

    /// What to do.
    #[must_use]
    pub fn next_step(&self, id: impl Display) -> String {
        let Self { provider, until, because, .. } = self;
        match because {
            Because::Stands(BroadcastState::Holding, by) => format!("issei approve {id} before {by:.0}, and they are asked about"),
            Because::Stands(_, by) => format!("issei resume {id} before {by:.0}, and they are asked about"),
            Because::Over(_) | Because::OpensTooLate(_) => format!(
                "its events end what they tell of: see that the webhook's come; look the others up at {provider} (`issei export {id} --outcome in-doubt` lists them), best before {until:.0}; whoever is found nowhere stays in doubt"
            ),
        }
    }
}
