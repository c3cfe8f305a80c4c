//! What a provider's events say, whoever the provider is, and the probes by which the way that events take is tried.

use serde::{Deserialize, Serialize};

/// The tag of a probe's mail.
pub const PROBE_TAG: &str = "issei-probe";

/// What an event says of one message. The names are those of the ledger's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The provider took it; also what opens, clicks, delays and every kind unknown today prove.
    Sent,
    /// The recipient's mail server took it.
    Delivered,
    /// The recipient's mail server refused it for good.
    Bounced,
    /// It bounced for a reason that may pass, or for one that the provider could not tell.
    SoftBounced,
    /// The recipient called it spam.
    Complained,
    /// The provider found malware in it and did not send it.
    Rejected,
    /// The provider accepted the call and could not render the template: nothing was sent.
    RenderFailed,
    /// The provider accepted it and did not send it, since the address is on its suppression list. No bounce, and
    /// no complaint: nobody was asked.
    Suppressed,
    /// The recipient's mail server did not take it yet, and the provider goes on trying. It ends nothing.
    Delayed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Delivered,
        Self::Bounced,
        Self::SoftBounced,
        Self::Complained,
        Self::Rejected,
        Self::RenderFailed,
        Self::Suppressed,
        Self::Delayed,
    ];

    /// The attribute that holds the positions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::SoftBounced => "soft_bounced",
            Self::Complained => "complained",
            Self::Rejected => "rejected",
            Self::RenderFailed => "render_failed",
            Self::Suppressed => "suppressed",
            Self::Delayed => "delayed",
        }
    }
}

/// What tells one probe from another: 8 to 64 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeToken(String);

impl ProbeToken {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProbeToken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text))
        } else {
            Err("it is not 8 to 64 letters and digits".to_owned())
        }
    }
}
