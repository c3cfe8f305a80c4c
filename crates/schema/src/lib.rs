//! The messages on issei's queues: their types, their limits and their JSON Schemas.
//!
//! This is the bottom of the dependency order and knows nothing of AWS. Whatever has one of these
//! types has been parsed: a [`BroadcastId`] is fit for an SES tag, an [`Address`] can't carry a
//! header, a [`Template`] holds no
//! syntax but a placeholder, its default and a condition. Bytes from a queue become
//! values only through [`BroadcastCommand::parse`] and [`ChunkMessage::parse`].

mod address;
mod address_hash;
mod bilingual;
mod canary;
mod carried_by;
mod chunk;
mod class;
mod command;
mod content;
mod error;
mod event;
mod event_reason;
mod handlebars;
mod id;
mod key;
pub mod limits;
mod mailbox;
mod named_once;
mod ramp;
mod render;
mod schedule;
mod stored_template;
mod template;
mod test_copy;
mod text;
mod topic;
mod trace;
mod unsubscribe;
mod version;
mod window;

pub use address::{Address, AddressError};
pub use address_hash::AddressHash;
pub use bilingual::{Bilingual, InBoth};
pub use canary::{Canary, CanaryKeys, Choice, Share};
pub use carried_by::CarriedBy;
pub use chunk::{ChunkMessage, ChunkVersion, Recipient, RecipientError};
pub use class::Class;
pub use command::{BroadcastCommand, CanaryApproval, CommandHash, InDoubtPolicy};
pub use content::{Content, Variants, Words};
pub use error::ParseError;
pub use event::{EventKind, PROBE_TAG, ProbeToken};
pub use event_reason::EventReason;
pub use handlebars::Unjudged;
pub use id::{
    Actor, AudienceName, BroadcastId, Identity, ProviderName, Reason, RecipientKey, TemplateHash, TemplateName, UnsubscribeKeyId,
    VariantName,
};
pub use key::{MessageKey, Proof, Prover};
pub use mailbox::Mailbox;
pub use named_once::named_once;
pub use ramp::{Ramp, RampHour, Ramped};
pub use render::render;
pub use schedule::{Course, Opening, Pace, Schedule};
pub use stored_template::StoredTemplate;
pub use template::{Piece, Placeholder, Template, TemplateError};
pub use test_copy::TestCopy;
pub use text::{carries_only_text, html_escaped, is_blank, is_no, on_one_line, without_addresses, without_values};
pub use topic::TopicArn;
pub use trace::{TraceParent, Traces};
pub use unsubscribe::{
    MissingKey, TokenError, UNSUBSCRIBE_PLACEHOLDER, Unsubscribe, UnsubscribeKey, UnsubscribeKeys, UnsubscribeLink, UnsubscribeToken,
    UnsubscribeUrl, WayOut,
};
pub use version::{CommandVersion, broadcast_id_in};
pub use window::{SendWindow, ZoneName};
