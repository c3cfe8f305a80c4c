//! What went wrong with the ledger, by what the caller must do.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use issei_schema::without_addresses;

/// The reason where there is no ledger.
pub const NO_TABLE: &str = "the table does not exist; `issei setup` makes it";

/// A ledger call that did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again later. Whether a write took effect is not known; every write here is safe to repeat.
    #[error("ledger {operation}: {reason}")]
    Unavailable { operation: &'static str, reason: String },
    /// Stop and look: an item says what no issei writes.
    #[error("ledger item {item} can't be read: {reason}; do not send for this broadcast until it is understood")]
    Corrupt { item: String, reason: String },
    /// The ledger is not the one that it says it is.
    #[error(
        "the ledger was restored from a backup: {reason}; it has forgotten sends, so nothing is sent until `issei accept-restored-ledger`"
    )]
    Restored { reason: String },
    /// What another ledger's services wait for is nothing for this one's.
    #[error(
        "the chunks queue is that of {whose}, and not of table `{table}`: two ledgers on the same queues send twice; give this one queues of its own (--commands-queue, --chunks-queue, --feedback-queue), or name that table (--table, ISSEI_TABLE); where this is that very ledger, which an older build took into use after a restore, take the tag `issei-ledger-id` off the queue (aws sqs untag-queue)"
    )]
    Foreign { table: String, whose: String },
    /// A table that holds something else.
    #[error(
        "table `{table}` is no ledger: {reason}; nothing in it was changed; name another (--table, ISSEI_TABLE), and `issei setup` makes it"
    )]
    NoLedger { table: String, reason: String },
    /// An operator has stopped everything.
    #[error("closed for new broadcasts since {} by {}: {}; `issei open` opens it again", .0.closed_at, .0.closed_by, .0.reason)]
    Closed(crate::Closing),
    /// The caller named a broadcast that the ledger does not hold.
    #[error(
        "there is no broadcast `{id}` in the ledger table `{table}`; check the id with the app's log, and the table with `issei doctor`"
    )]
    NoBroadcast { id: String, table: String },
    /// The caller asked for a step that the state does not allow.
    #[error("broadcast `{id}` is {from}{}", cannot_become(*.from, *.to))]
    Transition { id: String, from: crate::BroadcastState, to: crate::BroadcastState },
    /// Others must want it, or something else was agreed to.
    #[error("broadcast `{id}` is not approved: {reason}")]
    NotAgreed { id: String, reason: String },
    /// Nobody is forgotten in a broadcast that may still send to them.
    #[error(
        "broadcast `{id}` is {state}, and may still send: nobody of it is forgotten before it is over; wait for that, or `issei stop {id}`, and repeat"
    )]
    MayStillSend { id: String, state: crate::BroadcastState },
    /// An item has 400 KB at most.
    #[error("ledger item {item} has no room for another tombstone beside its {tombstones}; what it holds goes when it expires")]
    PageIsFull { item: String, tombstones: usize },
}

/// Whoever takes a step that a colleague has just taken is told of that, and not of rules.
fn cannot_become(from: crate::BroadcastState, to: crate::BroadcastState) -> String {
    if from == to {
        " already: somebody else has just done this (`issei audit` says who)".to_owned()
    } else {
        format!(", and from there it can't become {to}")
    }
}

impl LedgerError {
    pub(crate) fn call<E>(operation: &'static str) -> impl Fn(SdkError<E>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        move |error| {
            // Of items that are not there DynamoDB says nothing, so it is the table.
            let is_missing = error.code() == Some("ResourceNotFoundException");
            Self::Unavailable { operation, reason: if is_missing { NO_TABLE.to_owned() } else { issei_aws::chain(&error) } }
        }
    }

    /// A chunk says that it belongs to a page that does not hold it.
    #[must_use]
    pub fn corrupt_chunk(id: &issei_schema::BroadcastId, chunk: u32, page: u32) -> Self {
        Self::corrupt(format!("chunk {chunk} of `{id}`"), format!("it names page {page}, which does not hold it"))
    }

    pub(crate) fn corrupt(item: impl Into<String>, reason: impl ToString) -> Self {
        Self::Corrupt { item: item.into(), reason: without_addresses(&reason.to_string()) }
    }
}
