//! The feedback consumer: what a provider tells about messages that it accepted, merged into the ledger.
//!
//! An event is evidence. It settles a recipient in doubt, and two acceptances for one recipient end
//! the broadcast. The absence of events is evidence only under the rules of [`Rules`]; that is the
//! one way by which issei ever sends to a recipient in doubt again. This crate never sends a
//! message to a recipient, and never makes anybody sendable because time has passed alone, unless
//! the broadcast's own policy asks for that.

mod answered;
mod batch;
mod breaker;
mod canary;
mod evidence;
mod of_others;
mod receiving;
mod second;
mod service;
mod sweep;
mod unsigned;

pub use batch::{Handled, of_another_registration};
pub use breaker::Limits;
pub use evidence::Rules;
pub use of_others::is_of_forgotten;
pub use service::{Feedback, Options};
