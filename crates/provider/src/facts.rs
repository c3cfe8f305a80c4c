//! What holds for every account of a provider, as data: what issei may count on is decided by these and by no name.

use std::time::Duration;

use issei_schema::EventKind;

/// What a provider is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As people call it.
    pub title: &'static str,
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
    pub replay: Replay,
    /// How long after the moment that a request carries it is refused; nothing where a request carries none, so that
    /// whatever was on its way may be accepted however late it comes.
    pub refused_after: Option<Duration>,
    pub cancels: Cancels,
    pub plane: Plane,
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

/// What can be called back of what it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancels {
    Nothing,
    /// What it holds until a moment that the request named.
    Scheduled,
}

/// Whether the provider can be told to send nothing more, so that no request of anybody's is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// It can be shut for what names this: SES's configuration set.
    Shut { by: &'static str },
    /// It can't; a key can be revoked by hand.
    Open,
}
