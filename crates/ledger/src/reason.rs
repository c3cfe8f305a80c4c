//! Why a broadcast stands where it stands, as a code beside the words: for programs, for pages in another language, and for
//! a page of the docs with what to do ([`docs/reasons.md`](../../../docs/reasons.md) lists them).
//!
//! The words decide nothing and the code decides nothing either. A reason that a person gave has no code: it stays the
//! reason. What this must never do: keep an item from being read. A code that this build does not know reads as none.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)+) => {
        /// What issei itself pauses, stops, holds or refuses for, or waits for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ReasonCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As it stands in the ledger.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

codes! {
    /// The account's recipients of 24 hours are used up.
    PausedQuota = "PAUSED_QUOTA";
    /// The provider refuses for the sender's sake, or nobody knows for whose.
    PausedProvider = "PAUSED_PROVIDER";
    /// Of many chunks in a row nobody was accepted.
    PausedNobodyAccepted = "PAUSED_NOBODY_ACCEPTED";
    /// A consumer lacks the key that signs links to unsubscribe.
    PausedKeyMissing = "PAUSED_KEY_MISSING";
    /// An earlier build took what its letter has, and this one sends no such letter.
    PausedContent = "PAUSED_CONTENT";
    /// A consumer's configuration names another account than the broadcast was registered for.
    PausedOtherAccount = "PAUSED_OTHER_ACCOUNT";
    /// The canary is sent.
    HoldingCanary = "HOLDING_CANARY";
    /// The canary chooses nobody.
    HoldingNoCanary = "HOLDING_NO_CANARY";
    /// The canary is everybody.
    HoldingCanaryIsAll = "HOLDING_CANARY_IS_ALL";
    /// Too large a share of the audience is skipped.
    HoldingSkipped = "HOLDING_SKIPPED";
    /// The command asks for it.
    HoldingAsked = "HOLDING_ASKED";
    /// Others must agree.
    HoldingAgreement = "HOLDING_AGREEMENT";
    /// The provider accepted a second message for somebody.
    StoppedDuplicate = "STOPPED_DUPLICATE";
    /// The same, when there was nothing left to stop.
    AcceptedTwice = "ACCEPTED_TWICE";
    StoppedBounces = "STOPPED_BOUNCES";
    StoppedComplaints = "STOPPED_COMPLAINTS";
    /// Events tell of claims that the ledger has forgotten.
    StoppedRestored = "STOPPED_RESTORED";
    /// Its time was over first.
    StoppedExpired = "STOPPED_EXPIRED";
    /// The audience has more rows than the command allows.
    StoppedOverBudget = "STOPPED_OVER_BUDGET";
    /// The audience has nobody to mail.
    StoppedNobody = "STOPPED_NOBODY";
    /// Rehearsals are required, and none is good enough.
    StoppedNotRehearsed = "STOPPED_NOT_REHEARSED";
    /// An earlier version has frozen a part of it in another order.
    StoppedOtherOrder = "STOPPED_OTHER_ORDER";
    /// The audience can't be read.
    HeldUpSource = "HELD_UP_SOURCE";
    /// The audience is no longer configured.
    HeldUpNotConfigured = "HELD_UP_NOT_CONFIGURED";
    /// The audience is configured otherwise than when the command was taken, and not for it.
    HeldUpAudienceChanged = "HELD_UP_AUDIENCE_CHANGED";
    /// An earlier build took what its letter has, and this one freezes nobody for it.
    HeldUpContent = "HELD_UP_CONTENT";
    /// A function's time was over first.
    HeldUpCallTooShort = "HELD_UP_CALL_TOO_SHORT";
    /// It is before its moment, or out of its hours.
    WaitingForTime = "WAITING_FOR_TIME";
    /// A field of the command is wrong.
    RefusedCommand = "REFUSED_COMMAND";
    /// The audience is not configured, or not for such a command.
    RefusedAudience = "REFUSED_AUDIENCE";
    /// The content can't be written to this audience.
    RefusedContent = "REFUSED_CONTENT";
    /// Who is to carry it can't.
    RefusedProvider = "REFUSED_PROVIDER";
    /// There is no key of that name for links to unsubscribe.
    RefusedKeyMissing = "REFUSED_KEY_MISSING";
    /// A copy may not go to that address.
    RefusedCopy = "REFUSED_COPY";
    /// Its time is over, too far ahead, or never comes.
    RefusedTime = "REFUSED_TIME";
    /// The ledger was restored since.
    RefusedRestored = "REFUSED_RESTORED";
    /// The ledger is closed for new broadcasts.
    RefusedClosed = "REFUSED_CLOSED";
    /// The id is that of another command.
    RefusedOtherContent = "REFUSED_OTHER_CONTENT";
    /// Another broadcast has said the same to this audience.
    RefusedRepeated = "REFUSED_REPEATED";
}

impl ReasonCode {
    /// The page of the docs.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/reasons/{self}.md")
    }

    /// For an attribute that an older build does not write, and in which a newer one may write what this one does not know.
    pub(crate) fn leniently<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let code = Option::<String>::deserialize(deserializer)?;
        Ok(code.and_then(|code| Self::ALL.iter().copied().find(|known| known.as_str() == code)))
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuditEntry, HeldUp};

    #[test]
    fn what_another_build_wrote_is_read_with_the_code_with_none_and_with_one_that_is_not_known() {
        let entry = |code: &str| format!(r#"{{"at":"2026-11-26T09:00:00Z","actor":"a","step":"running -> paused","reason":"r"{code}}}"#);
        let read = |json: String| serde_json::from_str::<AuditEntry>(&json).unwrap();
        assert_eq!(read(entry("")).code, None);
        assert_eq!(read(entry(r#","code":"PAUSED_FOR_TEA""#)).code, None);
        let known = read(entry(r#","code":"PAUSED_QUOTA""#));
        assert_eq!(known.code, Some(ReasonCode::PausedQuota));
        assert!(serde_json::to_string(&known).unwrap().contains(r#""code":"PAUSED_QUOTA""#));
        assert!(!serde_json::to_string(&read(entry(""))).unwrap().contains("code"));
        let held_up: HeldUp = serde_json::from_str(r#"{"since":"2026-11-26T09:00:00Z","reason":"r"}"#).unwrap();
        assert_eq!(held_up.code, None);
    }

    #[test]
    fn a_code_in_the_ledger_is_the_code_of_the_docs() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
        }
    }
}
