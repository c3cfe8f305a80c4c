//! The sent-ledger: one DynamoDB table that alone decides what may be sent.
//!
//! | item | partition key | sort key | module |
//! |---|---|---|---|
//! | broadcast | `b#ID` | `broadcast` | [`broadcast`] |
//! | command | `b#ID` | `command` | [`broadcast`] |
//! | older audit entries | `b#ID` | `audit#SEQ` | [`trail`] |
//! | progress of a run of a service | `b#ID` | `progress#TOKEN` | [`progress`] |
//! | timeline | `b#ID` | `timeline#SECOND` | [`progress`] |
//! | page | `b#ID#SHARD` | `page#SEQ` | [`page`] |
//! | chunk | `b#ID#SHARD` | `chunk#SEQ` | [`chunk`] |
//! | feedback | `b#ID#SHARD` | `feedback#SEQ` | [`feedback`] |
//! | batches of the log of events | `b#ID#events` | `events#TOKEN` | [`event_log`] |
//! | open broadcasts | `open` | `ID` | [`broadcast`] |
//! | all broadcasts | `known` | `ID` | [`broadcast`] |
//! | what was said to an audience | `said#AUDIENCE` | `subject#HASH`, `template#NAME` | [`said`] |
//! | suppressed addresses | `suppressed#XX` | `hmac#DIGEST`, of older builds the digest | [`suppression`] |
//! | whether there are any, and the key of the digests | `suppressed` | `any`, `key` | [`suppression`] |
//! | who came on that list when | `entered#MONTH` | `TIME#TOKEN` | [`lately`] |
//! | over, and told more about | `told` | `ID` | [`told`] |
//! | the ledger's own epoch | `ledger` | `lineage` | [`lineage`] |
//! | closed for new broadcasts | `ledger` | `closing` | [`closing`] |
//! | who opened it again, and why | `ledger` | `opened#TIME#TOKEN` | [`closing`] |
//! | refused commands | `refused` | `ID` | [`refused`] |
//! | heartbeats of services | `services#DAY` | `SERVICE#TOKEN` | [`heartbeat`] |
//! | probes of `doctor` | `probe` | `TOKEN` | [`probe`] |
//! | rehearsals | `rehearsal` | `VERSION#SETTINGS` | [`rehearsal`] |
//! | the account's rate | `account` | `rate` | [`rate`] |
//!
//! What this crate must never do: write a page, chunk or broadcast without a condition; use
//! `BatchWriteItem`, which has none; or turn the lapse of time into a permission to send.

mod acknowledge;
mod agreement;
mod ask_again;
mod broadcast;
mod chunk;
mod claim;
mod closing;
mod commitment;
mod configured;
mod copied;
mod dead_event;
mod doubt_left;
mod drained;
mod error;
mod event_details;
mod event_log;
mod feedback;
mod fingerprint;
mod forget;
mod freezing;
mod heartbeat;
mod held_audience;
mod holding;
mod hours;
mod in_hex;
mod inspect;
mod item;
mod keyed;
mod late;
mod lately;
mod lineage;
mod mark;
mod message_ids;
mod nothing_held;
mod objects;
mod of_others;
mod on_call;
mod other_key;
mod outcome;
mod page;
mod page_builder;
mod permit;
pub mod phrases;
mod probe;
mod progress;
mod rate;
mod reading;
mod reason;
mod recount;
mod refused;
mod register;
mod registration;
mod rehearsal;
mod reopen;
mod repeated;
mod resent;
mod said;
mod salts;
mod seal;
mod shards;
mod shut;
mod skipped;
mod spared;
mod state;
mod step;
mod suppressed;
mod suppressing;
mod suppression;
mod suppressions;
mod table;
mod terms;
mod timings;
mod told;
mod totals;
mod trail;
mod transition;
mod unasked;
mod ungranted;
mod unread;
mod unsigned;
mod walk;
mod whereabouts;
mod whose;

pub use agreement::{Agreement, Approval, Subject};
pub use ask_again::{AskAgain, AskedAgain};
pub use broadcast::Broadcast;
pub use chunk::Chunk;
pub use claim::{Claim, Claimed, Confirmed};
pub use closing::{ClosedAgain, Closing, Opened, Opening};
pub use commitment::Tombstone;
pub use configured::Configured;
pub use dead_event::DeadEvents;
pub use doubt_left::DoubtLeft;
pub use drained::{Awaited, Draining, InHand};
pub use error::{LedgerError, NO_TABLE};
pub use event_details::{EventDetail, EventDetails, EventOf};
pub use event_log::{EventBatch, EventLog};
pub use feedback::{Feedback, Merged, MessageDigest, NamedMessage};
pub use fingerprint::Fingerprint;
pub use forget::{Forgotten, Found, Sought};
pub use freezing::{Frozen, PackedPage};
pub use heartbeat::{Heartbeat, Incarnation, ServiceKind};
pub use held_audience::{Example, HeldAudience, HeldForecast, IfApproved, Outlook, Place};
pub use holding::Holding;
pub use inspect::{ClaimMarks, Entry, Expiry, Inspected, Surroundings};
pub use keyed::{Divide, Keyed, Part, Repeatable, Under};
pub use lately::Lately;
pub use lineage::{Accepted, Beside, LedgerEpoch, SEEN_WITHIN};
pub use mark::RunMark;
pub use nothing_held::{NEVER_GRANTED, NOTHING_HELD, SAID, key_revoked, nothing_held_since};
pub use objects::{FixedObject, FixedObjects};
pub use of_others::{LetterOf, OfOthers, OwnNames};
pub use on_call::OnCall;
pub use outcome::{Outcome, Outcomes};
pub use page::{KeptPage, Page, UnreadPage};
pub use page_builder::PageBuilder;
pub use permit::{Block, Granted, Permit};
pub use progress::{Moment, Progress, Telling};
pub use rate::{Slot, SlotRequest};
pub use reading::{HeldUp, LastKey, Reading};
pub use reason::ReasonCode;
pub use refused::Refused;
pub use register::{Asked, Registered};
pub use registration::Registration;
pub use rehearsal::Rehearsal;
pub use repeated::{Repeated, SKEW};
pub use resent::{MissedBy, Noted, missed_by, reason_for};
pub use said::Looked;
pub use seal::{Seal, Written};
pub use shards::{Placed, Shards};
pub use shut::Shut;
pub use skipped::{SkipReason, Skipped, SkippedRows, kept_key, kept_with_digest};
pub use state::BroadcastState;
pub use suppressed::{Cause, Suppressed, Suppression};
pub use suppressing::{Entering, Migrated};
pub use suppression::Unsuppressed;
pub use suppressions::{Sieve, Suppressions};
pub use table::{TableReport, Throughput};
pub use terms::{Term, Terms};
pub use timings::{Timings, Widest, widest};
pub use told::Told;
pub use totals::Totals;
pub use trail::{AuditEntry, AuditTrail, KEY_REVOKED};
pub use transition::{Enumerated, Transition};
pub use unasked::{NotAsked, Unasked};
pub use ungranted::CLOCKS;
pub use unread::Unread;
pub use unsigned::OfNobody;
pub use walk::{RecipientOutcome, Tally, Walk, Walked};
pub use whereabouts::{Fate, Finder, Standing, Whereabouts};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use issei_clock::{Clock, Dice};

/// The ledger table and how to reach it.
#[derive(Clone, Debug)]
pub struct Ledger {
    db: aws_sdk_dynamodb::Client,
    table: String,
    clock: Clock,
    /// For the tokens of steps.
    dice: Dice,
    keep: Duration,
    /// Rows of an audience for each of its partitions.
    rows_a_shard: u64,
    /// The epoch in which this process found that the ledger had gone back; 0 where it has not.
    restored_in: Arc<AtomicU64>,
}

impl Ledger {
    /// `keep` is how long pages and chunks stay before DynamoDB may delete them. It must outlive
    /// every queue and backup that could bring a message back. Broadcast items stay for ever.
    #[must_use]
    pub fn new(db: aws_sdk_dynamodb::Client, table: String, clock: Clock, dice: Dice, keep: Duration) -> Self {
        Self { db, table, clock, dice, keep, rows_a_shard: shards::ROWS_EACH, restored_in: Arc::default() }
    }

    fn expires_at(&self) -> i64 {
        self.clock.wall().as_second().saturating_add(i64::try_from(self.keep.as_secs()).unwrap_or(i64::MAX))
    }
}
