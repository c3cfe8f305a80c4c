//! A simulator of SQS, DynamoDB and SES v2 (and of STS, which says who one is), and of two other providers, SendGrid and
//! Resend: just the operations that issei calls, with an injected clock, injected faults, and providers that count what
//! they accepted for each address.
//!
//! It is reached in two ways: [`connector`] makes an SDK HTTP client that never opens a socket, and
//! [`listen`] serves the same [`Cloud`] on loopback to real processes. It must never know anything
//! of issei's own: no ledger attribute, no message field (the SES tag `broadcast`, by which it counts,
//! is the one exception). One conformance suite (`tests/e2e`) runs
//! over it and over an independent emulator, so that it can't drift into what we would like AWS to be; the other two are
//! tried with their own official clients (`tests/clients`).

#![allow(clippy::doc_markdown, reason = "SendGrid is written so")]

mod account;
mod answer;
mod call;
mod cloud;
mod connector;
mod dynamodb;
mod events;
mod faults;
mod lambda;
mod letter_by_web;
mod listener;
mod resend;
mod sendgrid;
mod ses;
mod sqs;
mod store;
mod sts;
mod usage;

pub use account::{Account, EntryRule};
pub use cloud::{Backup, Calls, Cloud, Counts, Options, StoreKind};
pub use connector::connector;
pub use events::{Envelope, EventRule, Events};
pub use faults::{Fault, Rule};
pub use listener::{Listening, listen};
pub use resend::RESEND_WEBHOOK_SECRET;
pub use ses::KEY_HEADER;
pub use store::{Mail, SentTo, StoreError};
pub use usage::{Units, Usage};
