//! What the services' calls cost in units of DynamoDB, and what AWS lets through. A unit of writing is a kilobyte of the
//! whole item, and in a transaction two (developer guide, "Read and write requests").

/// Of the item of a chunk that is claimed: an outcome for each recipient, owner, lease, seal.
pub const CLAIM: f64 = 1.0;
/// Of a confirmed chunk's, which has the provider's ids too, for so many recipients each.
pub const CONFIRMED_ENTRY: f64 = 0.027;
/// The same without the ids, in kilobytes.
pub const CONFIRMED: f64 = 0.55;
/// Of the broadcast's item, which every grant and every give-back writes.
pub const BROADCAST: f64 = 2.0;
/// Of what a consumer tells each second: its own counts, and a moment of the timeline.
pub const TELLING: f64 = 2.0;
/// Of the item that holds the rate.
pub const RATE: f64 = 1.0;
/// Of a frozen page, in kilobytes for each recipient, before it is doubled by its transaction.
pub const PAGE_ENTRY: f64 = 0.007;

/// Calls to SQS for each chunk, when batches are full: received, deleted and sent by ten.
pub const BATCH: u32 = 10;

/// A partition takes 1,000 writes and 3,000 reads a second (DynamoDB developer guide, "Partitions").
pub const PARTITION_WRITES: f64 = 1_000.0;
/// What a new on-demand table takes at once (the same, "Initial throughput for on-demand capacity mode").
pub const NEW_TABLE_WRITES: f64 = 4_000.0;
/// Messages of a standard queue that are received and not deleted (SQS developer guide, "Message quotas").
pub const IN_FLIGHT: u64 = 120_000;

/// Units of the confirmation of a chunk of so many recipients.
#[must_use]
pub fn confirm(recipients: u32) -> f64 {
    (CONFIRMED + CONFIRMED_ENTRY * f64::from(recipients)).ceil()
}

/// Units of the transaction that writes a page of so many recipients: of the page, and of the broadcast.
#[must_use]
pub fn page(recipients: u32) -> (f64, f64) {
    (2.0 * (PAGE_ENTRY * f64::from(recipients)).ceil().max(1.0), 2.0 * BROADCAST)
}
