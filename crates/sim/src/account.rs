//! How the simulated account is set up: SES's quota and moods, SQS's at-least-once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::Events;

/// Settings of the simulated account. All can change while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Recipients a second, as `GetAccount` tells.
    pub max_send_rate: f64,
    /// Recipients in 24 hours, as `GetAccount` tells.
    pub max_24_hour_send: f64,
    /// The event source mapping that Lambda tells of every queue, as its API has it.
    pub event_source: Option<serde_json::Value>,
    /// SES refuses sends that were signed longer ago than this, or that much later than now, in seconds; none
    /// means that it does not look. AWS's own bound is five minutes.
    pub signature_lifetime_s: Option<u32>,
    /// So does DynamoDB refuse calls in whose body this stands.
    pub database_looks_at: Option<String>,
    /// A send under a key (the header [`crate::KEY_HEADER`] of its mails) that was accepted is remembered for so many
    /// seconds: the same again is answered as the first was, and another body under the key is refused. No SES does this.
    pub remembers_keys_s: Option<u32>,
    /// Write units a second that its tables are warm for; none means that DynamoDB does not tell.
    pub warm_writes: Option<u64>,
    /// SES takes verified addresses only.
    pub sandbox: bool,
    /// Verified identities by their name, as `GetEmailIdentity` tells of them; none means that every one is
    /// verified.
    pub identities: Option<BTreeMap<String, serde_json::Value>>,
    /// Stored templates by their name, each with `Subject`, `Text` and `Html`.
    pub templates: BTreeMap<String, serde_json::Value>,
    /// The API key that SendGrid and Resend take; none means that any is one.
    pub api_key: Option<String>,
    /// What that key may do, by SendGrid's names of scopes; of Resend's key, whether `full_access` is among them. None
    /// means all of it.
    pub api_scopes: Option<Vec<String>>,
    /// How long Resend remembers a key, in seconds.
    pub replay_window_s: u64,
    /// Refuse what goes over the rate within a second, entry by entry.
    pub enforce_rate: bool,
    /// Entries of a bulk send that meet with a status of their own.
    pub entry_rules: Vec<EntryRule>,
    /// Keep every mail as rendered (tests of content; memory grows with it).
    pub keep_mails: bool,
    /// So many of them at most, the first; none means no end.
    pub mails_max: Option<u64>,
    /// How many copies of each message arrive.
    pub deliveries: u32,
    /// How probable it is that a received message can be received again at once (0 to 1).
    pub redelivery: f64,
    /// How probable it is that an entry of `SendMessageBatch` fails (0 to 1).
    pub batch_entry_failure: f64,
    /// What the provider tells afterwards.
    pub events: Events,
    /// Each call takes up to so long before its effect, and up to so long after it.
    pub latency_ms: u64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            max_send_rate: 100_000.0,
            max_24_hour_send: 10_000_000.0,
            event_source: None,
            signature_lifetime_s: None,
            database_looks_at: None,
            remembers_keys_s: None,
            warm_writes: None,
            sandbox: false,
            identities: None,
            templates: BTreeMap::new(),
            api_key: None,
            api_scopes: None,
            replay_window_s: 24 * 60 * 60,
            enforce_rate: false,
            entry_rules: Vec::new(),
            keep_mails: false,
            mails_max: None,
            deliveries: 1,
            redelivery: 0.0,
            batch_entry_failure: 0.0,
            events: Events::default(),
            latency_ms: 0,
        }
    }
}

/// Entries whose address contains `address` get `status` instead of being accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryRule {
    pub address: String,
    /// A status of `BulkEmailEntryResult`, such as `MESSAGE_REJECTED`; or `BAD_REQUEST` or
    /// `CALL_REJECTED`, which refuse the whole call for this entry's sake. The provider's words may
    /// follow: `MESSAGE_REJECTED: Illegal address`. SendGrid and Resend refuse the whole call, whatever the status.
    pub status: String,
    /// This many entries at most; none means no end.
    #[serde(default)]
    pub times: Option<u64>,
}

impl EntryRule {
    /// The status, and the provider's words.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.status.split_once(": ").unwrap_or((&self.status, "injected"))
    }
}
