//! What a broadcast runs on.

use std::time::Duration;

use serde::Serialize;

use crate::cost;

/// A broadcast, the services that carry it, and the account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setup {
    pub recipients: u64,
    pub chunk_recipients: u32,
    pub page_recipients: u32,
    /// Over how many partitions of the ledger it is spread.
    pub shards: u32,
    pub consumers: u32,
    /// Of each consumer.
    pub chunks_in_flight: u32,
    pub latency: Latency,
    pub cpu: Cpu,
    /// Recipients a second that the provider takes.
    pub rate: f64,
    pub table: Table,
}

/// How long a call takes, there and back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub ledger_ms: f64,
    pub queue_ms: f64,
    pub provider_ms: f64,
}

/// Microseconds of one core that a recipient takes. A consumer has a core of its own, and the producer too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cpu {
    /// From the row to its frozen page. A source that is slower than the producer is not in it.
    pub freeze_us: f64,
    pub enqueue_us: f64,
    pub send_us: f64,
}

/// What the ledger's table takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Write units a second, of the table as a whole.
    pub writes: f64,
}

impl Table {
    /// One that was never used, in on-demand mode.
    pub const NEW: Self = Self { writes: cost::NEW_TABLE_WRITES };
}

impl Cpu {
    /// By `docs/performance.md`, of the development profile, and so no less than it is: the producer's 9.8, of which
    /// freezing takes three fifths, and the consumer's.
    pub const MEASURED: Self = Self { freeze_us: 6.0, enqueue_us: 3.8, send_us: 24.7 };
    /// Nothing takes any, as under the simulation's clock.
    pub const NONE: Self = Self { freeze_us: 0.0, enqueue_us: 0.0, send_us: 0.0 };
}

impl Latency {
    /// Every call takes the same.
    #[must_use]
    pub fn all(latency: Duration) -> Self {
        let ms = latency.as_secs_f64() * 1e3;
        Self { ledger_ms: ms, queue_ms: ms, provider_ms: ms }
    }
}
