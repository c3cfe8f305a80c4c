//! The templates: what they allow, what they set, and a broadcast through what they make.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod functions;
mod numbers;
mod policies;
mod stack;
mod template;
