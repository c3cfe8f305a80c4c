//! What a provider tells of a message that it accepted, whoever the provider is. It is evidence, and never an order.

use issei_schema::{Address, BroadcastId, EventKind, ProbeToken};
use jiff::Timestamp;

/// An event about one recipient of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub broadcast: BroadcastId,
    pub chunk: u32,
    /// The recipient's place in the chunk.
    pub at: u32,
    pub kind: EventKind,
    pub message_id: String,
    /// When the provider accepted the message.
    pub sent_at: Option<Timestamp>,
    /// The addresses that bounced or complained.
    pub addresses: Vec<Address>,
}

/// What a body turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Event(Event),
    /// An event about the mail by which `issei doctor` tries the way that events take.
    Probe(ProbeToken),
    /// An event about somebody else's mail through the same account.
    NotOurs,
    /// What SES publishes once when an event destination to SNS is made.
    Greeting,
}
