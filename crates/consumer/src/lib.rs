//! The consumer: drains the chunks queue and sends.
//!
//! One chunk takes one plain way, in [`chunk`](chunk.rs): read, or presumed, as claimable, rate, permit, claim,
//! send once, classify, confirm, delete. What this crate must never do: send without a claim of its
//! own and a permit in hand; send again what may have been accepted; await anything between the
//! claim and the send; delete a message whose chunk is not accounted for in the ledger.

mod after;
mod ask;
mod broadcasts;
mod carrier;
mod chunk;
mod envelope;
mod permits;
mod rate;
mod refusal;
mod repeat;
mod send;
mod service;

pub use broadcasts::letter_refused;
pub use envelope::Envelope;
pub use service::{Consumer, Options};
