//! What an address of the console may do.
//!
//! What it must never do: let a page hide what the server would do. Every way in says what it needs, and this alone judges.

use clap::ValueEnum;

/// What whoever comes by an address may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Right {
    /// Whatever whoever started the console may.
    Everything,
    /// See everything, people and letters too, and change nothing.
    Look,
    /// Stop, and see what that takes: no people, letters, keys or reasons.
    Stop,
}

/// What a page or a form needs of whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing but to have come in: states and numbers, and how they look.
    Entry,
    /// What somebody has written, and whom it is for.
    Look,
    /// To end broadcasts.
    Stop,
    /// To hold up, go on and approve.
    Steer,
}

impl Right {
    pub(super) fn may(self, needs: Needs) -> bool {
        match self {
            Self::Everything => true,
            Self::Look => matches!(needs, Needs::Entry | Needs::Look),
            Self::Stop => matches!(needs, Needs::Entry | Needs::Stop),
        }
    }

    /// As commands name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Look => "look",
            Self::Stop => "stop",
        }
    }
}
