//! The room for providers: whoever carries a letter to its recipient.
//!
//! A provider is a folder here, and what is peculiar to it is nowhere else: how a request is written, which of its
//! answers prove acceptance, rejection or neither, what a repeated request does, and how its events are known to be
//! its own. What this crate must never do: send by itself, repeat a request, or call anything proved that the
//! provider's documents do not.

#![allow(clippy::doc_markdown, reason = "SendGrid and OpenAPI are written so")]

mod answer;
mod api_key;
#[cfg(test)]
mod by_name;
mod call;
mod event;
mod exported;
mod facts;
mod providers;
mod resend;
#[cfg(test)]
mod sample;
mod sender;
mod sendgrid;
pub mod ses;
mod standing;
#[cfg(test)]
mod tests;
mod webhook;
mod words;

use futures_util::future::BoxFuture;
use issei_schema::{Address, CarriedBy, Mailbox, StoredTemplate, TemplateName};

pub use answer::{Allowance, Cause, Refusal, Said, SlowDown, Untold, Verdict};
pub use api_key::ApiKey;
pub use call::{Call, Entry, ReplayKey};
pub use event::{Event, Told};
pub use exported::Exported;
pub use facts::{Allowed, Facts, Plane, Proof, Rehearsed, Replay};
pub use providers::{Known, Providers};
pub use resend::{Resend, ResendOptions, ResendSecret};
pub use sender::{Identity, ReturnPath, Sender, Signs, above};
pub use sendgrid::{SendGrid, SendGridKey, SendGridOptions};
pub use ses::{Notice, Notices, Ses, SnsTrust, UNSIGNED_BY_SNS};
pub use standing::{Counted, Listed, Right, Span, Standing, Stated, Unsaid};
pub use webhook::{Events, NoEvent, NoWebhook, UNSIGNED, Unread, Unsigned, Webhook, WebhookKeys};

/// One provider, as one account of it is used.
pub trait Provider: Send + Sync {
    /// What holds for every account of it.
    fn facts(&self) -> &'static Facts;

    /// Which account it is, as far as that can be said without its key; nothing where nothing is known of it.
    fn carried_by(&self) -> Option<CarriedBy> {
        None
    }

    /// What tells its account's key from every other, and the key to nobody; nothing where there is none.
    fn key_mark(&self) -> Option<&str> {
        None
    }

    /// Makes one request, or none, and says what its answer proves. It is never repeated in here, and waits for nothing
    /// but the answer.
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Verdict>;

    /// How fast, and how much, the account may send now.
    fn allowance(&self) -> BoxFuture<'_, Result<Allowance, Untold>>;

    /// Whether the key may send, from this sender where one is given. Nothing is sent for it.
    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> BoxFuture<'a, Standing>;

    /// What the provider says of a sender, and of what proves to receivers that a mail is theirs; nothing where none is
    /// asked.
    fn sender<'a>(&'a self, _: &'a Mailbox) -> BoxFuture<'a, Option<Sender>> {
        Box::pin(async { None })
    }

    /// What it stores under a name; nothing where it stores nothing. Asked only of those whose facts say that they store templates.
    fn stored<'a>(&'a self, _: &'a TemplateName) -> BoxFuture<'a, Result<Option<StoredTemplate>, String>> {
        Box::pin(async { Ok(None) })
    }

    /// Puts an address on the list of those whom the provider itself sends nothing, where issei writes to one.
    fn list<'a>(&'a self, _: &'a Address, _: Listed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// What stands at the provider and a broadcast needs, each held against its rule; nothing where none of it is asked.
    fn deployed(&self) -> BoxFuture<'_, Vec<Stated>> {
        Box::pin(async { Vec::new() })
    }

    /// What the provider itself has counted in the time of a broadcast; nothing where none is documented to count.
    fn counted(&self, span: Span) -> BoxFuture<'_, Option<Counted>>;
}
