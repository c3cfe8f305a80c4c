//! The real binary in an operator's hands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod agreeing;
mod answering;
mod answering_page;
mod answers;
mod beginning;
mod carriers;
mod certifying;
mod comparing;
mod console;
mod events;
mod first_errors;
mod forecasting;
mod forgetting;
mod game_day;
mod importing;
mod in_japanese;
mod initializing;
mod judging;
mod letting_go_on;
mod newcomers;
mod not_in_use;
mod objects;
mod one_notice;
mod outside;
mod picturing;
mod proving;
mod reading;
mod rehearsing;
mod resending;
mod rights;
mod scanning;
mod secrets;
mod senders;
mod showing;
mod stopping;
mod suppressing;
mod trying;
mod unsigned;
mod unsubscribing;
mod writers;
mod writing;
