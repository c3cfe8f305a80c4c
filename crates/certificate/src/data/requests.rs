//! Requests without an answer: what may still be accepted, until when, and what ends it.
//!
//! What it must never do: call over by the time alone what a provider may accept however late, which is the rule that
//! `issei stop` goes by, too.

use issei_ledger::AuditEntry;
use issei_provider::{Facts, Replay};
use issei_schema::BroadcastId;

use super::data;
use super::odd::Odd;
use crate::finding::Finding;

/// Of a provider that refuses no request for its age, or of which nobody here knows whether it does.
pub(crate) struct Endless {
    why: String,
    /// For how many hours after a request it can be asked about again under its key, which ends doubt.
    asked_for: Option<u64>,
}

impl Endless {
    /// Nothing where requests are refused for their age.
    pub(crate) fn of(facts: Option<&Facts>) -> Option<Self> {
        let Some(facts) = facts else {
            let why = "its provider is not configured here, so that nobody knows whether it refuses requests for their age".to_owned();
            return Some(Self { why, asked_for: None });
        };
        let asked_for = match facts.replay {
            Replay::Key { window } => Some(window.as_secs() / 3_600),
            Replay::None => None,
        };
        facts.refused_after.is_none().then(|| Self { why: format!("{} refuses no request for its age", facts.title), asked_for })
    }

    fn mend(&self, id: &BroadcastId) -> String {
        let asking = self.asked_for.map_or(String::new(), |hours| {
            format!(", and for {hours} h after a request asking again under its key (`issei repair {id} --reason …` enqueues that as long as it runs)")
        });
        format!(
            "events end doubt{asking}; no time does. What remains ends with the key: revoke each that it was sent with, record it with `issei repair {id} --key-revoked --reason …`, and certify again"
        )
    }
}

/// What has no answer.
pub(super) struct Open {
    /// Chunks whose requests are not too old yet.
    pub(super) chunks: Odd,
    pub(super) claims: u64,
    /// Recipients.
    pub(super) in_doubt: u64,
    /// It was stopped while somebody was silent who may hold permits of it.
    pub(super) may_be_held: bool,
}

/// `revoked` is the entry of whoever has said, after the broadcast's end, that its keys are revoked.
pub(super) fn judge(id: &BroadcastId, endless: Option<&Endless>, open: Open, revoked: Option<&AuditEntry>) -> Finding {
    let finding = data("claims: open ones", "ledger items `chunk` and `audit`")
        .rule("none whose request could still be accepted", "its recipients may get the message yet");
    let Open { chunks, claims, in_doubt, may_be_held } = open;
    match (endless, revoked) {
        (Some(endless), None) if in_doubt > 0 => {
            let value = format!("{in_doubt} recipients in doubt: {}, so theirs may be accepted yet, however late it comes", endless.why);
            finding.found(value, false).mend(endless.mend(id))
        }
        (Some(_), Some(AuditEntry { at, actor, .. })) if in_doubt > 0 => {
            let value =
                format!("{in_doubt} recipients in doubt, and nothing more is accepted: by {at} its keys were revoked, says {actor}");
            chunks.into_finding(finding, value).mend("wait until that time, and certify again")
        }
        (Some(endless), None) if may_be_held => {
            let value = format!(
                "nobody in doubt, and it was stopped while a consumer was silent: {}, so what that one holds may be sent yet",
                endless.why
            );
            let mend = format!(
                "`issei stop {id}` asks every consumer, and writes down once each has said that it holds nothing; or revoke the key, and record it with `issei repair {id} --key-revoked --reason …`"
            );
            finding.found(value, false).mend(mend)
        }
        _ => chunks.into_finding(finding, format!("{claims} claims, all over")).mend("wait until that time, and certify again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_provider::{Known, Resend, SendGrid};

    /// Stands for nobody in doubt, and somebody who may hold permits.
    const HELD: u64 = u64::MAX;

    fn judged(facts: Option<&Facts>, in_doubt: u64, revoked: Option<&AuditEntry>) -> Finding {
        let may_be_held = in_doubt == HELD;
        let in_doubt = if may_be_held { 0 } else { in_doubt };
        let open = Open { chunks: Odd::default(), claims: 1, in_doubt, may_be_held };
        judge(&"terms".parse().unwrap(), Endless::of(facts).as_ref(), open, revoked)
    }

    #[test]
    fn doubt_that_no_time_ends_is_over_once_somebody_has_said_that_the_keys_are_revoked() {
        let entry: AuditEntry = serde_json::from_value(serde_json::json!({
            "at": "2027-01-01T00:00:00Z", "actor": "an operator", "step": issei_ledger::KEY_REVOKED, "reason": "deleted in the dashboard",
        }))
        .unwrap();
        let ses = Known::ses().into_values().next().map(|known| known.facts);
        for (facts, asks_again) in [(Some(SendGrid::FACTS), false), (Some(Resend::FACTS), true), (None, false)] {
            let finding = judged(facts, 3, None);
            assert!(!finding.holds() && finding.value.contains("3 recipients in doubt"), "{finding:?}");
            let mend = finding.mend.unwrap();
            assert!(mend.contains("issei repair terms --key-revoked"), "{mend}");
            assert_eq!(mend.contains("for 24 h after a request asking again"), asks_again, "{mend}");
            let finding = judged(facts, 3, Some(&entry));
            assert!(finding.holds() && finding.value.ends_with("its keys were revoked, says an operator"), "{finding:?}");
            assert!(judged(facts, 0, None).holds());
            let finding = judged(facts, HELD, None);
            assert!(!finding.holds() && finding.value.contains("what that one holds may be sent yet"), "{finding:?}");
            assert!(judged(facts, HELD, Some(&entry)).holds());
        }
        assert!(judged(ses, HELD, None).holds(), "SES refuses what it signs");
        assert_eq!(judged(ses, 3, None).value, "1 claims, all over");
    }
}
