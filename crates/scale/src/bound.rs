//! What can hold a broadcast up, and how much of it is in use.

use serde::Serialize;

/// Something of which there is only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// What the provider takes in a second.
    Rate,
    /// The places of all consumers for chunks at work, for as long as a chunk's calls take.
    Places,
    /// The consumers' cores.
    Cores,
    /// The busiest of the partitions that the broadcast's chunks lie in.
    Chunks,
    /// The partition of the broadcast's own item, of its progress and its timeline.
    Broadcast,
    /// The partition of the rate's item.
    RateItem,
    /// The consumers' patience: who was refused a share of the rate waits before it asks again.
    Sharing,
    /// The table as a whole.
    Table,
    /// Messages received and not deleted.
    InFlight,
    /// The producer's putting of chunks on the queue.
    Enqueuing,
}

/// How much of it was in use while the broadcast was sent, as a share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Use {
    pub of: Bound,
    pub share: f64,
}

impl Bound {
    /// What it is, for people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Rate => "the provider's rate",
            Self::Places => "chunks in flight, each of which takes three calls",
            Self::Cores => "the consumers' CPU",
            Self::Chunks => "the partitions of the broadcast's chunks",
            Self::Broadcast => "the partition of the broadcast's own item, where permits are granted and progress is told",
            Self::RateItem => "the item that shares the rate out",
            Self::Sharing => "the sharing of the rate: consumers that were refused a share wait before they ask again",
            Self::Table => "what the table takes at once",
            Self::InFlight => "messages in flight",
            Self::Enqueuing => "the producer's putting of chunks on the queue",
        }
    }

    /// What to turn where it holds a broadcast up.
    #[must_use]
    pub fn turn(self) -> &'static str {
        match self {
            Self::Rate => "ask the provider for a higher rate; nothing here makes it faster",
            Self::Places => "raise chunks_in_flight, or start more consumers",
            Self::Cores => "start more consumers, each with a core of its own",
            Self::Chunks => "nothing: an audience of this size has no more partitions",
            Self::Broadcast => {
                "run fewer consumers with more chunks_in_flight each: each asks for permits and tells its progress once a second"
            }
            Self::RateItem => "run fewer consumers with more chunks_in_flight each: each asks for a share of the rate once a second",
            Self::Sharing => "run fewer consumers, or fewer chunks_in_flight: together they book the rate further ahead than a second",
            Self::Table => "warm the table's throughput before the broadcast (aws dynamodb update-table --warm-throughput)",
            Self::InFlight => "ask AWS for more messages in flight, or run fewer consumers",
            Self::Enqueuing => "run the producer nearer to AWS, where a call takes less: a page's chunks are enqueued for each call",
        }
    }
}
