//! Stories: what goes wrong, and what the provider counted afterwards. Everything runs in this
//! process over the simulator, through the AWS SDK.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and one that is skipped says so"
)]

mod accounts;
mod again;
mod agreeing;
mod arbitrary_keys;
mod asking;
mod audiences;
mod canaries;
mod commands;
mod databases;
mod dividing;
mod event_details;
mod event_log;
mod feedback;
mod finding;
mod forgetting;
mod freezing;
mod guards;
mod held_up;
mod hostile;
mod on_call;
mod operators;
mod presuming;
mod providers;
mod reading;
mod refusing;
mod reopening;
mod repair;
mod restarting;
mod restored;
mod scaling;
mod scheduled;
mod sending;
mod shards;
mod sharing;
mod signatures;
mod sparing;
mod suppressing;
mod tables;
mod taken_before;
mod templates;
mod trail;
mod unsigned;
mod unsubscribing;
mod upgrading;
mod webhooks;
mod wording;

// Simulated calls make and drop as many small things here as in the schedules.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
