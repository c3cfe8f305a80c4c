//! Twilio SendGrid's v3 API: all that is SendGrid's alone. What it promises is in its public documents, named where they
//! are relied on; none of it was tried against a real account.

mod answer;
mod request;
mod standing;
mod tags;
mod webhook;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use issei_aws::Web;
use issei_schema::{CarriedBy, Mailbox};

use crate::event::OF_WHAT_IS_READY;
use crate::{
    Allowance, Allowed, ApiKey, Call, Counted, Facts, Plane, Proof, Provider, Rehearsed, Replay, Said, Span, Standing, Untold, Verdict,
};
use request::Draft;

pub use webhook::SendGridKey;
pub(crate) use webhook::events;

/// Recipients of one call: "Limits the individual personalizations objects per request to 1,000" ("Errors" of the mail
/// send reference, `personalizations`).
const PERSONALIZATIONS_MAX: usize = 1_000;

/// What SendGrid is like ("Mail Send API overview" and the reference of `mail/send`).
const FACTS: Facts = Facts {
    title: "SendGrid",
    kind: "sendgrid",
    recipients_max: PERSONALIZATIONS_MAX,
    bytes_max: 30_000_000,
    // Its templates are in a language of their own, and can't be read once and kept.
    stores_templates: false,
    allowed: Allowed::Configured,
    events: OF_WHAT_IS_READY,
    proof: Proof::Ecdsa,
    // `X-Message-Id` names the request.
    id_for_each: false,
    // No field or header of `mail/send` is documented to make a repetition known.
    replay: Replay::None,
    // A request carries no moment.
    refused_after: None,
    plane: Plane::Open,
    // "Sandbox Mode": what names such an address alone is looked at and answered, and neither sent nor told of. A name
    // below `invalid` is nobody's (RFC 6761 section 6.4), so no real letter can be taken for a rehearsal.
    rehearsed: Rehearsed { local: "rehearsal", domain: "sandbox.invalid", by: "SendGrid's sandbox mode", tells: false },
    counts: true,
};

/// How one account of SendGrid is used.
#[derive(Clone, Debug)]
pub struct SendGridOptions {
    /// `https://api.sendgrid.com`, or `https://api.eu.sendgrid.com` for a subuser in the EU ("Mail Send API overview").
    pub base_url: String,
    pub key: ApiKey,
    /// Recipients a second; SendGrid documents no limit of its own ("Rate Limits").
    pub rate: f64,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The unsubscribe groups of classes that heed objections; none where whoever unsubscribes does so elsewhere.
    pub service_group: Option<u64>,
    pub marketing_group: Option<u64>,
}

/// SendGrid, as one account is used.
#[derive(Clone, Debug)]
pub struct SendGrid {
    web: Web,
    options: SendGridOptions,
}

impl SendGrid {
    /// What holds for every account of it.
    pub const FACTS: &'static Facts = &FACTS;

    #[must_use]
    pub fn new(web: Web, options: SendGridOptions) -> Self {
        Self { web, options }
    }
}

impl Provider for SendGrid {
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
        let (drafted, entries, sandbox) = (request::draft(&self.options, &call), call.entries.len(), is_rehearsal(&call));
        async move {
            match drafted {
                Draft::Ready(request) => answer::classify(self.web.call(request, self.options.timeout).await, entries, sandbox),
                Draft::Divide => {
                    Verdict { split: true, ..Verdict::all(entries, Said::Retryable, "values of more than 10,000 bytes".to_owned()) }
                }
                Draft::Impossible(why) => Verdict::impossible(entries, why),
            }
        }
        .boxed()
    }

    fn allowance(&self) -> BoxFuture<'_, Result<Allowance, Untold>> {
        let rate = self.options.rate;
        async move { Ok(Allowance { rate, a_day: None, left_today: u64::MAX }) }.boxed()
    }

    /// A key that may send need not be able to read senders, so none is asked about.
    fn standing<'a>(&'a self, _: Option<&'a Mailbox>) -> BoxFuture<'a, Standing> {
        async move { standing::read(&self.web, &self.options).await }.boxed()
    }

    fn counted(&self, span: Span) -> BoxFuture<'_, Option<Counted>> {
        async move { Some(standing::count(&self.web, &self.options, span).await) }.boxed()
    }
}

/// Whether nobody among its recipients is anybody.
fn is_rehearsal(call: &Call<'_>) -> bool {
    call.entries.iter().all(|entry| FACTS.rehearsed.is(&entry.to))
}
