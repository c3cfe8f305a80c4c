//! Stories: what goes wrong, and what the provider counted afterwards. Everything runs in this
//! process over the simulator, through the AWS SDK.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod commands;
mod databases;
mod freezing;
mod hostile;
mod operators;
mod sending;
