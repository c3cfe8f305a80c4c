//! The real binary in an operator's hands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod beginning;
mod certifying;
mod console;
mod game_day;
mod judging;
mod rehearsing;
mod stopping;
