//! The certificate: what is deployed, who took part and what the ledger holds, each with where it was
//! read and the rule that it is held against; and the verdict that follows.
//!
//! It fails closed. What this crate must never do: call a broadcast converged while anything could not
//! be read, or while any message, claim or event could still cause a send.

mod accounts;
mod certificate;
mod data;
mod deployed;
mod expected;
mod finding;
mod of_others;
mod provider;
mod queues;
mod services;
mod signed;
mod unasked;
mod unsigned;

pub use accounts::accounts_of_senders;
pub use certificate::{Certificate, Certifier, Kind, Notice, Outcomes, Verdict};
pub use data::{told_in_time, what_the_ledger_holds};
pub use deployed::{Deployed, Wanted, stated};
pub use expected::{Expected, NotBefore};
pub use finding::{Finding, InJapanese, Judgement, Part, Topic};
pub use of_others::events_of_others;
pub use provider::Carriers;
pub use services::timeouts;
pub use signed::{Keys, PublicKey, SignatureError, Signed};
pub use unasked::{doubt_left, requests_not_asked};
pub use unsigned::{calls_that_nobody_signed, kept_unsigned};
