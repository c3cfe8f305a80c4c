//! Why a mail bounced, in plain words: what a provider's word and a mail server's status mean to whoever has the mailbox.
//!
//! What it must never do: claim more than those say. What is not known by its code is no cause.

use issei_schema::{EventKind, EventReason};

use super::Language;

/// What is behind a bounce or a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    NoMailbox,
    NoDomain,
    Disabled,
    Full,
    TooLarge,
    Unwanted,
    Unreachable,
}

impl Cause {
    #[cfg(test)]
    const ALL: [Self; 7] = [Self::NoMailbox, Self::NoDomain, Self::Disabled, Self::Full, Self::TooLarge, Self::Unwanted, Self::Unreachable];

    /// By the provider's own word where it is one for a cause (SES developer guide, "Bounce types"), else by the status: the
    /// last two numbers of an enhanced one (RFC 3463, section 3).
    pub(crate) fn of(kind: EventKind, reason: &EventReason) -> Option<Self> {
        if !matches!(kind, EventKind::Bounced | EventKind::SoftBounced | EventKind::Delayed) {
            return None;
        }
        match reason.kind.rsplit('/').next().unwrap_or_default() {
            "NoEmail" => return Some(Self::NoMailbox),
            "MailboxFull" => return Some(Self::Full),
            "MessageTooLarge" => return Some(Self::TooLarge),
            "ContentRejected" | "AttachmentRejected" => return Some(Self::Unwanted),
            _ => {}
        }
        let (_, detail) = reason.status.split_once('.')?;
        match detail {
            "1.1" | "1.6" | "1.10" => Some(Self::NoMailbox),
            "1.2" | "4.4" => Some(Self::NoDomain),
            "2.1" => Some(Self::Disabled),
            "2.2" => Some(Self::Full),
            "2.3" | "3.4" => Some(Self::TooLarge),
            "4.1" | "4.2" | "4.7" => Some(Self::Unreachable),
            _ if detail.starts_with("7.") => Some(Self::Unwanted),
            _ => None,
        }
    }

    /// As the end of a sentence about a mail server.
    pub(crate) fn told(self, language: Language) -> &'static str {
        let (english, japanese) = match self {
            Self::NoMailbox => ("there is no such mailbox", "このメールアドレスは存在しません"),
            Self::NoDomain => ("the address\u{2019}s domain takes no mail", "宛先のドメインがメールを受け付けていません"),
            Self::Disabled => ("the mailbox is not in use", "メールボックスが使われていません"),
            Self::Full => ("the mailbox is full", "メールボックスの容量がいっぱいです"),
            Self::TooLarge => ("the mail was too large for it", "メールの容量が受信の上限を超えています"),
            Self::Unwanted => ("its rules do not let this mail in", "受信側の規則により受け入れられませんでした"),
            Self::Unreachable => ("it could not be reached", "メールサーバーに接続できませんでした"),
        };
        match language {
            Language::En => english,
            Language::Ja => japanese,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_known_by_the_providers_word_or_by_the_status_and_no_other_is_guessed() {
        let reason = |kind: &str, status: &str| EventReason { kind: kind.to_owned(), status: status.to_owned(), diagnostic: String::new() };
        for (kind, status, cause) in [
            ("Permanent/General", "5.1.1", Some(Cause::NoMailbox)),
            ("Permanent/NoEmail", "", Some(Cause::NoMailbox)),
            ("Transient/MailboxFull", "4.2.1", Some(Cause::Full)),
            ("bounce", "5.2.2", Some(Cause::Full)),
            ("blocked", "5.7.26", Some(Cause::Unwanted)),
            ("", "4.4.7", Some(Cause::Unreachable)),
            ("", "5.4.4", Some(Cause::NoDomain)),
            ("Permanent/General", "5.0.0", None),
            ("Permanent/General", "550", None),
            ("", "", None),
        ] {
            assert_eq!(Cause::of(EventKind::Bounced, &reason(kind, status)), cause, "{kind} {status}");
        }
        assert_eq!(Cause::of(EventKind::Suppressed, &reason("", "5.1.1")), None, "nobody was asked");
        let told: std::collections::BTreeSet<_> =
            Cause::ALL.iter().flat_map(|cause| [Language::En, Language::Ja].map(|language| cause.told(language))).collect();
        assert_eq!(told.len(), 2 * Cause::ALL.len());
    }
}
