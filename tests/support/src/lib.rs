//! A small world for tests: a simulated account, a user table, and services that can be killed.
//!
//! In a [`World`] everything runs in this process, over the simulator's SDK connector. A
//! [`Processes`] runs the real binary over HTTP. Both are judged by the provider's record alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]
#![allow(clippy::missing_panics_doc, reason = "all of this panics where a test fails")]

mod browser;
mod carriers;
mod collector;
mod functions;
mod judge;
mod names;
pub mod older;
mod patience;
mod processes;
pub mod sns;
mod stack;
mod terminal;
mod users;
mod victim;
mod world;

pub use browser::{Browser, free_port};
pub use carriers::Carrier;
pub use collector::{Collector, Span};
pub use functions::{Functions, Polled};
pub use judge::{Judged, judge};
pub use names::{Mood, NameServer};
pub use patience::{PATIENCE, seen, until};
pub use processes::{Process, Processes, aws_url, write_keys};
pub use stack::{Emulator, Stack};
pub use terminal::Terminal;
pub use users::{Users, command, command_body};
pub use victim::Victim;
pub use world::{World, WorldOptions};
