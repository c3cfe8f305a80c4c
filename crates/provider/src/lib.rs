//! The room for providers: whoever carries a letter to its recipient.
//!
//! A provider is a folder here, and what is peculiar to it is nowhere else: how a request is written, which of its
//! answers prove acceptance, rejection or neither, what a repeated request does, and how its events are known to be
//! its own. What this crate must never do: send by itself, repeat a request, or call anything proved that the
//! provider's documents do not.
