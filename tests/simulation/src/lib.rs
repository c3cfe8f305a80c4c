//! The real producer, consumer and feedback code, with the AWS SDK in the loop, against the simulated
//! account, in one thread under virtual time. One seed decides the world, every fault, every crash
//! and every deed of the operator; the same seed goes the same way, call for call.
//!
//! After each run the invariants I1 to I7 are checked against the provider's own record.

mod deeds;
mod directed;
mod draws;
mod ending;
mod judge;
mod kinds;
mod letters;
mod machines;
mod matrix;
mod plan;
mod refusing;
mod remembering;
mod run;
mod watched;
mod world;

pub use directed::{Aimed, DIRECTED};
pub use judge::Broken;
pub use matrix::{FAULTS, operations, run_with};
pub use run::{Keyed, Ran, has_keys, run, run_killed_at};

/// The SDK's calls are small allocations, and little else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
