//! What a provider tells of a message that it accepted, whoever the provider is. It is evidence, and never an order.

use issei_schema::{Address, BroadcastId, EventKind, EventReason, ProbeToken};
use jiff::Timestamp;

/// The kinds that are told by a provider that renders nothing of ours.
pub(crate) const OF_WHAT_IS_READY: &[EventKind] = &[
    EventKind::Sent,
    EventKind::Delivered,
    EventKind::Bounced,
    EventKind::SoftBounced,
    EventKind::Complained,
    EventKind::Rejected,
    EventKind::Suppressed,
    EventKind::Delayed,
];

/// An event about one recipient of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub broadcast: BroadcastId,
    pub chunk: u32,
    /// The recipient's place in the chunk.
    pub at: u32,
    /// By what its letter names the registration of the broadcast, as the event tells; letters of older builds name none.
    pub registration: Option<String>,
    pub kind: EventKind,
    /// By which the answer to the send named the message; empty where the event does not tell.
    pub message_id: String,
    /// When the provider accepted the message.
    pub sent_at: Option<Timestamp>,
    /// When it came about what the event tells, as the provider says; of one that only proves that the message was accepted
    /// (an open, a click) when that was, where it says so.
    pub happened_at: Option<Timestamp>,
    /// Why it bounced, was reported, was not sent or is late.
    pub reason: Option<EventReason>,
    /// The addresses that bounced, complained or unsubscribed.
    pub addresses: Vec<Address>,
    /// Whoever has these addresses wants no more such mail. No kind of event of its own: it proves no more than that the
    /// message was accepted.
    pub unsubscribed: bool,
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
