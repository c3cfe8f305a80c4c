//! What few sizes have of a state: it is the same throughout in all others.

use crate::ramp::Ramp;
use crate::state::Users;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Beside {
    /// Of the budget, what is kept back until somebody approves the canary.
    pub(crate) withheld: u8,
    /// It is not the hour to send, and how often that may still change.
    pub(crate) shut: bool,
    pub(crate) turns_left: u8,
    /// Who has said that they agree, a bit for each person and content; and whose word the ledger counts, a bit each.
    pub(crate) agreed: u8,
    pub(crate) counted: u8,
    pub(crate) forgotten: Users,
    pub(crate) ramp: Ramp,
}
