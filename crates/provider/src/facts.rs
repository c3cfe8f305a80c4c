//! What holds for every account of a provider, as data: what issei may count on is decided by these and by no name.

use std::time::Duration;

use issei_schema::{Address, EventKind};

/// What a provider is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As people call it.
    pub title: &'static str,
    /// As the configuration and the ledger call it.
    pub kind: &'static str,
    /// Recipients in one call at most.
    pub recipients_max: usize,
    /// Bytes of one call at most.
    pub bytes_max: usize,
    /// Whether it stores templates that a command may name.
    pub stores_templates: bool,
    pub allowed: Allowed,
    /// The kinds of events that it publishes.
    pub events: &'static [EventKind],
    pub proof: Proof,
    /// Whether its answer names each recipient's message; if not, all of a call have the same id.
    pub id_for_each: bool,
    pub replay: Replay,
    /// How long after the moment that a request carries it is refused; nothing where a request carries none, so that
    /// whatever was on its way may be accepted however late it comes.
    pub refused_after: Option<Duration>,
    pub plane: Plane,
    /// To whom a rehearsal goes.
    pub rehearsed: Rehearsed,
    /// Whether it tells how much it has sent itself.
    pub counts: bool,
}

/// How a rehearsal reaches nobody: addresses that the provider has for it, or that can be nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// What stands before the recipient's number, and behind it.
    pub(crate) local: &'static str,
    pub(crate) domain: &'static str,
    /// In words.
    pub by: &'static str,
    /// Whether events are told of such mail.
    pub tells: bool,
}

impl Rehearsed {
    /// Of the recipient with this number. Labels make the addresses differ, as real ones do.
    #[must_use]
    pub fn address(&self, number: u64) -> String {
        format!("{}+{number}@{}", self.local, self.domain)
    }

    /// Whether an address is one of these.
    pub(crate) fn is(&self, address: &Address) -> bool {
        address.as_str().rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(self.domain))
    }
}

/// Where an account's rate and quota are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// It answers when it is asked.
    Asked,
    /// Nowhere beforehand: the operator says how fast, and answers say when that was too fast.
    Configured,
}

/// How its events are known to be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// SNS signs its notifications by RSA, with a certificate that AWS publishes.
    Sns,
    /// ECDSA over P-256, of a moment and the raw body, with a key of the account.
    Ecdsa,
    /// HMAC-SHA256 over an id, a moment and the raw body, with a secret that both know.
    Hmac,
}

/// What becomes of a request that is made a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is another request: where the answer to the first was lost, only evidence can end the doubt.
    None,
    /// Under the same key, and with the same body, it is answered as the first was, for so long.
    Key { window: Duration },
}

/// Whether the provider can be told to send nothing more, so that no request of anybody's is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// It can be shut for what names this: SES's configuration set.
    Shut { by: &'static str },
    /// It can't; a key can be revoked by hand.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Resend, SendGrid, ses};

    fn minutes(duration: Duration) -> String {
        match duration.as_secs() / 60 {
            minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
            minutes => format!("{minutes} minutes"),
        }
    }

    fn row(facts: &Facts) -> String {
        let allowed = if facts.allowed == Allowed::Asked { "told by it" } else { "`rate`" };
        let templates = if facts.stores_templates { "yes" } else { "no" };
        let replay = match facts.replay {
            Replay::None => "another request".to_owned(),
            Replay::Key { window } => format!("the same request, for {}", minutes(window)),
        };
        let refused = facts.refused_after.map_or("never".to_owned(), |after| format!("after {}", minutes(after)));
        let proof = match facts.proof {
            Proof::Sns => "RSA, by SNS",
            Proof::Ecdsa => "ECDSA, by a key of the account",
            Proof::Hmac => "HMAC, by a shared secret",
        };
        let plane = match facts.plane {
            Plane::Shut { by } => by,
            Plane::Open => "revoke the key",
        };
        let (title, recipients, megabytes) = (facts.title, facts.recipients_max, facts.bytes_max / 1_000_000);
        format!("| {title} | {recipients} | {megabytes} MB | {templates} | {allowed} | {replay} | {refused} | {proof} | {plane} |")
    }

    #[test]
    fn the_page_about_providers_says_what_the_code_goes_by() {
        let page = include_str!("../../../docs/providers.md");
        for facts in [&ses::FACTS, SendGrid::FACTS, Resend::FACTS] {
            assert!(page.contains(&row(facts)), "docs/providers.md lacks this row:\n{}", row(facts));
        }
    }

    /// The ledger has it in the one form, and whoever reads it in the other.
    #[test]
    fn what_the_ledger_calls_a_provider_is_shown_as_people_call_it() {
        for facts in [&ses::FACTS, SendGrid::FACTS, Resend::FACTS] {
            assert_eq!(issei_schema::CarriedBy::new(facts.kind, None, None).to_string(), facts.title);
        }
    }

    /// A chunk is one call, so each must take the largest.
    #[test]
    fn each_provider_takes_a_whole_chunk_at_once() {
        for facts in [&ses::FACTS, SendGrid::FACTS, Resend::FACTS] {
            assert!(facts.recipients_max >= issei_schema::limits::CHUNK_RECIPIENTS_MAX, "{}", facts.title);
        }
    }
}
