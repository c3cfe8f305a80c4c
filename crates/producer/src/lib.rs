//! The producer: takes a command, freezes its audience page by page in the ledger, and enqueues
//! the frozen chunks.
//!
//! It may die anywhere and another may run beside it: every step is a conditional write, and what
//! is enqueued comes from the frozen pages alone. It never sends a message to a recipient and never
//! enqueues a chunk whose page is not in the ledger.

mod agreement;
mod aside;
mod audience;
mod blank;
mod canary;
mod chosen;
mod close;
mod command;
mod data;
mod enqueue;
mod freeze;
mod held_audience;
mod held_up;
mod judging;
mod line;
mod mailable;
mod missed;
mod repair;
mod repeated;
mod row;
mod rows;
mod samples;
mod service;
mod skipping;
mod slices;
mod source;
mod survey;
mod template;
mod wishes;

pub use agreement::Approvals;
pub use aside::Ended;
pub use audience::{AudienceConfig, KeyType, LegacyLocalParts, UniqueBy, has_password};
pub use blank::Blank;
pub use chosen::ChosenCanary;
pub use command::{Refusal, check_command, check_copy, check_time};
pub use data::mailable_data;
pub use judging::JudgingError;
pub use mailable::{JudgedAll, MailableError, each_by_the_list, each_judged, each_mailable};
pub use missed::SentBefore;
pub use repair::{Repair, RepairError, Repairer};
pub use samples::Samples;
pub use service::{Options, Producer, ProducerError, TRIED};
pub use skipping::{Counted, Mailable, canary_of_all, no_rows};
#[cfg(feature = "simulation")]
pub use source::MemoryTable;
pub use source::{
    AddressCounts, ColumnOutline, CsvList, CsvRow, FileKind, FirstLook, NoCsvRow, Progress, REHEARSAL_PREFIX, ReadAs, ReadObjects, Sample,
    SourceError, Stage, TellsApart, attributes_of, columns_of, count_rows, first_line, first_line_in_s3, several_items, tables,
};
#[cfg(feature = "simulation")]
pub use survey::judge_all;
pub use survey::{FellBack, Skips, Survey, survey};
pub use template::unsendable;
