//! Resend: all that is Resend's alone. What it promises is in its public documents, named where they are relied on; none
//! of it was tried against a real account.

mod answer;
mod request;
mod standing;
mod webhook;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use issei_aws::Web;
use issei_schema::{CarriedBy, Mailbox};

use crate::event::OF_WHAT_IS_READY;
use crate::{Allowance, Allowed, ApiKey, Call, Counted, Facts, Plane, Proof, Provider, Rehearsed, Replay, Span, Standing, Untold, Verdict};
use request::Draft;

pub use webhook::ResendSecret;
pub(crate) use webhook::events;

/// Without one Resend answers 403 ("Introduction" of the API reference).
const USER_AGENT: &str = concat!("issei/", env!("CARGO_PKG_VERSION"));

/// Letters of one call ("Send Batch Emails" of the API reference).
const LETTERS_MAX: usize = 100;

/// What Resend is like (API reference, "Send Batch Emails" and "Errors"; "Idempotency Keys").
const FACTS: Facts = Facts {
    title: "Resend",
    kind: "resend",
    recipients_max: LETTERS_MAX,
    // Of one letter, attachments included; no bound of a whole batch is documented.
    bytes_max: 40_000_000,
    // Its templates are in a language of their own, and can't be read once and kept.
    stores_templates: false,
    allowed: Allowed::Configured,
    events: OF_WHAT_IS_READY,
    proof: Proof::Hmac,
    id_for_each: true,
    replay: Replay::Key { window: Duration::from_hours(24) },
    // A request carries no moment.
    refused_after: None,
    plane: Plane::Open,
    // "Send Test Emails": the address takes labels, and events are told.
    rehearsed: Rehearsed { local: "delivered", domain: "resend.dev", by: "Resend's test address for mail that is delivered", tells: true },
    // What was sent can be listed, page by page, and nothing counts it ("List Sent Emails").
    counts: false,
};

/// How one account of Resend is used.
#[derive(Clone, Debug)]
pub struct ResendOptions {
    /// `https://api.resend.com`.
    pub base_url: String,
    pub key: ApiKey,
    /// Recipients a second: as many as a chunk has, which is 50 at most, for each of the requests a second that the account is
    /// allowed ("Usage Limits"). One call carries one chunk, however many more letters it may take.
    pub rate: f64,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// Resend, as one account is used.
#[derive(Clone, Debug)]
pub struct Resend {
    web: Web,
    options: ResendOptions,
}

impl Resend {
    /// What holds for every account of it.
    pub const FACTS: &'static Facts = &FACTS;

    #[must_use]
    pub fn new(web: Web, options: ResendOptions) -> Self {
        Self { web, options }
    }
}

impl Provider for Resend {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn carried_by(&self) -> Option<CarriedBy> {
        let (base_url, key) = (&self.options.base_url, &self.options.key);
        Some(key.carried_by(&FACTS, base_url))
    }

    fn key_mark(&self) -> Option<&str> {
        Some(self.options.key.mark())
    }

    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Verdict> {
        let (drafted, entries) = (request::draft(&self.options, &call), call.entries.len());
        async move {
            match drafted {
                Draft::Ready(request) => answer::classify(self.web.call(request, self.options.timeout).await, entries),
                Draft::Impossible(why) => Verdict::impossible(entries, why),
            }
        }
        .boxed()
    }

    fn allowance(&self) -> BoxFuture<'_, Result<Allowance, Untold>> {
        let rate = self.options.rate;
        async move { Ok(Allowance { rate, a_day: None, left_today: u64::MAX }) }.boxed()
    }

    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> BoxFuture<'a, Standing> {
        async move { standing::read(&self.web, &self.options, from).await }.boxed()
    }

    fn counted(&self, _: Span) -> BoxFuture<'_, Option<Counted>> {
        async { None }.boxed()
    }
}
