//! The one place where AWS clients, their timeouts and their retries are made.
//!
//! Calls that may be repeated (SQS, DynamoDB) are retried by the SDK. A send must never be: with
//! the SDK's default retries, two lost answers become three accepted mails and one `Ok`. So the
//! SES client made here retries nothing, and `clippy.toml` refuses to make one elsewhere.

mod backoff;
mod batch;
mod call;
mod clients;
mod endpoint;
mod evidence;
mod lambda;
mod poll;
mod queue;
mod s3;
mod secrets;
mod signed;
mod signing;
mod sns;
mod timing;
mod unsigned;
mod web;

pub use backoff::Backoff;
pub use call::AwsCall;
pub use clients::{Account, Caller, Clients, connect, connect_to};
pub use evidence::{NOT_CONNECTED, chain, mend_first, never_left};
pub use lambda::{EventSource, Lambda};
pub use poll::Poll;
pub use queue::{Counts, DeadBy, Message, Queue, QueueError, REASON_PROOF, Redriven, SENDERS, SENT_AT, Senders, is_no_queue};
pub use s3::{Listed, Only, PIECE_BYTES, Piece, S3};
pub use secrets::{SecretName, SecretValue, Secrets};
pub use signed::CallError;
pub use signing::{AnsweredAt, written_at};
pub use sns::{Delivery, Sns};
pub use timing::{Timing, TimingError};
pub use web::{Unanswered, Web};
