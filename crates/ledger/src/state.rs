//! The states of a broadcast, and the one table of steps between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a broadcast stands. `Stopped` and `Complete` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastState {
    /// Its audience is being frozen. Nothing is sent.
    Enumerating,
    /// Permits are granted.
    Running,
    /// No permits are granted until an operator resumes it.
    Paused,
    /// Its canary is sent, or too many are skipped for its first send, and no permits are granted until an
    /// operator approves.
    Holding,
    /// No permits are granted ever again; those already granted may still be used until they expire.
    Stopping,
    /// Over, before its end.
    Stopped,
    /// Over: every recipient has an outcome or is listed in doubt.
    Complete,
}

/// Every step there is, with its reason. A step that is not here is refused.
const STEPS: &[(BroadcastState, BroadcastState, &str)] = {
    use BroadcastState::{Complete, Enumerating, Holding, Paused, Running, Stopped, Stopping};
    &[
        (Enumerating, Running, "the audience is frozen and within the budget"),
        (Enumerating, Holding, "the audience is frozen, and too large a share of it is skipped: nothing was permitted yet"),
        (Enumerating, Stopped, "refused or stopped before the first permit, so nothing can be outstanding"),
        (Running, Paused, "an operator, or the provider refuses everything for a reason that will not pass by itself"),
        (Running, Holding, "the canary is sent"),
        (Running, Stopping, "an operator, or its time is over"),
        (Running, Complete, "every chunk is settled and no claim is open"),
        (Paused, Running, "an operator resumes"),
        (Paused, Stopping, "an operator"),
        (Holding, Running, "an operator approves"),
        (Holding, Stopping, "an operator"),
        (Stopping, Stopped, "every permit has expired"),
    ]
};

impl BroadcastState {
    /// Says whether the step to `next` is in the table.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        STEPS.iter().any(|(from, to, _)| *from == self && *to == next)
    }

    /// Says whether the step is in the table, by the names in the ledger.
    pub(crate) fn is_step(from: &str, to: &str) -> bool {
        STEPS.iter().any(|(one, other, _)| one.as_str() == from && other.as_str() == to)
    }

    /// Final: nothing is ever sent again.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Complete)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enumerating => "enumerating",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Holding => "holding",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Complete => "complete",
        }
    }
}

impl FromStr for BroadcastState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        use BroadcastState::{Complete, Enumerating, Holding, Paused, Running, Stopped, Stopping};
        let all = [Enumerating, Running, Paused, Holding, Stopping, Stopped, Complete];
        all.into_iter().find(|state| state.as_str() == name).ok_or_else(|| format!("there is no state `{name}`"))
    }
}

impl fmt::Display for BroadcastState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With the width that a table asks for.
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_final_state() {
        assert!(STEPS.iter().all(|(from, _, _)| !from.is_over()));
    }

    #[test]
    fn permits_are_never_granted_again_once_stopping() {
        assert!(STEPS.iter().filter(|(from, _, _)| *from == BroadcastState::Stopping).all(|(_, to, _)| *to == BroadcastState::Stopped));
    }

    #[test]
    fn the_name_in_the_ledger_is_the_name_in_code() {
        for (from, to, _) in STEPS {
            for state in [from, to] {
                assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
                assert_eq!(state.as_str().parse(), Ok(*state));
            }
        }
    }
}
