//! What a broadcast is sent by beside its words and its audience, for people: by whom, to how many at most, to whom first, when and
//! how fast. Whoever approves it agrees to this, so whoever shows it shows this very list.
//!
//! What this must never do: leave out what the digest of an approval covers and somebody would decide by.

use std::fmt;

use issei_schema::{Bilingual, CanaryApproval, CarriedBy, InDoubtPolicy, SendWindow};
use serde::{Serialize, Serializer};

use crate::{Broadcast, BroadcastState};

/// One of them. Moments are in words already, as [`Schedule::told`](issei_schema::Schedule::told) has them, which are no language's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// By the provider's name, where that is not SES, and the account that was registered, where one was.
    CarriedBy {
        name: Option<String>,
        account: Option<Bilingual>,
    },
    To {
        audience: String,
        at_most: u64,
    },
    First {
        recipients: u64,
        approval: CanaryApproval,
    },
    /// The canary is all of the frozen audience.
    AllAtOnce,
    NotBefore(String),
    Within(SendWindow),
    /// So many in the first hour.
    Ramp(u64),
    NotAfter(String),
    Binds(String),
    Doubt(InDoubtPolicy),
}

/// All of them, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(pub Vec<Term>);

impl Broadcast {
    /// What it is sent by.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let Self {
            audience, provider, carried_by, max_recipients, canary, canary_approval, in_doubt, ramp, effective_at, not_before, ..
        } = self;
        let schedule = self.schedule();
        let told = |moment| schedule.told(moment);
        let all = [
            Some(Term::CarriedBy { name: provider.as_ref().map(ToString::to_string), account: carried_by.as_ref().map(CarriedBy::told) }),
            Some(Term::To { audience: audience.to_string(), at_most: *max_recipients }),
            // Until all are frozen there may be others.
            (*canary > 0).then(|| {
                let is_all = self.broadcast_state != BroadcastState::Enumerating && self.canary_is_everybody();
                if is_all { Term::AllAtOnce } else { Term::First { recipients: *canary, approval: *canary_approval } }
            }),
            not_before.map(|not_before| Term::NotBefore(told(not_before))),
            self.send_window.clone().map(Term::Within),
            ramp.map(|ramp| Term::Ramp(ramp.first_hour.get())),
            Some(Term::NotAfter(told(self.not_after))),
            effective_at.map(|effective_at| Term::Binds(told(effective_at))),
            (*in_doubt != InDoubtPolicy::default()).then_some(Term::Doubt(*in_doubt)),
        ];
        Terms(all.into_iter().flatten().collect())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CarriedBy { name: Some(name), account: Some(account) } => write!(f, "carried by {name}, which is {}", account.english),
            Self::CarriedBy { name, account } => {
                let account = account.as_ref().map(|account| account.english.as_str());
                write!(f, "carried by {}", account.or(name.as_deref()).unwrap_or("SES"))
            }
            Self::To { audience, at_most } => write!(f, "to the audience {audience}, {at_most} recipients at most"),
            Self::First { recipients, approval: CanaryApproval::Operator } => {
                write!(f, "to {recipients} first, and to the others once somebody approves that")
            }
            Self::First { recipients, approval: CanaryApproval::Evidence } => {
                write!(f, "to {recipients} first, and to the others by itself once the events of these are well")
            }
            Self::AllAtOnce => f.write_str("to all at once, since its canary is everybody"),
            Self::NotBefore(moment) => write!(f, "not before {moment}"),
            Self::Within(window) => write!(f, "within {window}"),
            Self::Ramp(recipients) => write!(f, "to {recipients} in its first hour, and to twice as many in each further one"),
            Self::NotAfter(moment) => write!(f, "not after {moment}"),
            Self::Binds(moment) => write!(f, "it binds from {moment}"),
            Self::Doubt(InDoubtPolicy::Hold) => f.write_str("who is in doubt is sent to no more"),
            Self::Doubt(InDoubtPolicy::EvidenceRetry) => f.write_str("who is in doubt is sent to again where events prove that it may be"),
            Self::Doubt(InDoubtPolicy::AtLeastOnce) => f.write_str("who is in doubt is sent to again"),
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// For programs as for people: what it covers is for them to read, and not to compute with.
impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
