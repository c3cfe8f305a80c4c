//! How long a broadcast takes, and what holds it up: a model of queues and limits in virtual time.
//!
//! Every call that producer and consumers make for a broadcast is an event here, and what has a limit (a partition, the
//! table, the provider, a consumer's hands) lets it through when there is room. What a call costs stands in [`cost`], and a
//! test of `tests/simulation` holds these, and the times that come out, against the real services over the simulator. What this
//! crate must never do: ask anybody, read a clock, or know of anything that can fail; how long a broadcast takes to which
//! nothing happens is all that it says.

mod bound;
mod consumer;
pub mod cost;
pub mod price;
mod producer;
mod room;
mod run;
mod setup;

pub use bound::{Bound, Use};
pub use run::{Told, run};
pub use setup::{Cpu, Latency, Setup, Table};
