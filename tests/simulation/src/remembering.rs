//! A provider that remembers the keys of requests, as the simulated SES does where its account says so: what SES lacks
//! and others have. It tells SES the key in a header of each mail, and is SES in all else.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use issei_provider::{Allowance, Call, Counted, Entry, Facts, Provider, Replay, Ses, Span, Standing, Untold, Verdict};
use issei_schema::Mailbox;
use issei_sim::KEY_HEADER;

/// As long as Resend's.
pub(crate) const WINDOW: Duration = Duration::from_hours(24);
/// For schedules in which it passes.
pub(crate) const SHORT_WINDOW: Duration = Duration::from_mins(4);

pub(crate) struct Remembering {
    ses: Ses,
    facts: &'static Facts,
}

impl Remembering {
    pub(crate) fn new(ses: Ses, window: Duration) -> Self {
        // Two windows are known here, and a provider's facts are the same for ever.
        static LONG: std::sync::OnceLock<Facts> = std::sync::OnceLock::new();
        static SHORT: std::sync::OnceLock<Facts> = std::sync::OnceLock::new();
        let place = if window == WINDOW { &LONG } else { &SHORT };
        let facts = place.get_or_init(|| Facts { replay: Replay::Key { window }, ..*ses.facts() });
        Self { ses, facts }
    }
}

impl Provider for Remembering {
    fn facts(&self) -> &'static Facts {
        self.facts
    }

    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Verdict> {
        async move {
            let key = call.key.map(|key| (KEY_HEADER, key.0.clone()));
            let with_key = |entry: &Entry| Entry { headers: entry.headers.iter().cloned().chain(key.clone()).collect(), ..entry.clone() };
            let entries: Vec<Entry> = call.entries.iter().map(with_key).collect();
            self.ses.send(Call { entries: &entries, ..call }).await
        }
        .boxed()
    }

    fn allowance(&self) -> BoxFuture<'_, Result<Allowance, Untold>> {
        self.ses.allowance()
    }

    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> BoxFuture<'a, Standing> {
        self.ses.standing(from)
    }

    fn counted(&self, span: Span) -> BoxFuture<'_, Option<Counted>> {
        self.ses.counted(span)
    }
}
