//! Requests without an answer: what may still be accepted, until when, and what ends it.
//!
//! What it must never do: call over by the time alone what a provider may accept however late, which is the rule that
//! `issei stop` goes by, too.

use issei_ledger::AuditEntry;
use issei_provider::{Facts, Replay};
use issei_schema::{Bilingual, BroadcastId, both};

use super::odd::Odd;
use super::{data, items};
use crate::finding::Finding;

/// Of a provider that refuses no request for its age, or of which nobody here knows whether it does.
pub(crate) struct Endless {
    why: Bilingual,
    /// For how many hours after a request it can be asked about again under its key, which ends doubt.
    asked_for: Option<u64>,
}

impl Endless {
    /// Nothing where requests are refused for their age.
    pub(crate) fn of(facts: Option<&Facts>) -> Option<Self> {
        let Some(facts) = facts else {
            let why = both!(
                "its provider is not configured here, so that nobody knows whether it refuses requests for their age",
                "この送信事業者はここで設定されておらず、古い要求を拒否するかどうか分かりません"
            );
            return Some(Self { why, asked_for: None });
        };
        let asked_for = match facts.replay {
            Replay::Key { window } => Some(window.as_secs() / 3_600),
            Replay::None => None,
        };
        facts
            .refused_after
            .is_none()
            .then(|| Self {
                why: both!("{} refuses no request for its age", "{} は古い要求を拒否しません", facts.title), asked_for
            })
    }

    fn mend(&self, id: &BroadcastId) -> Bilingual {
        let asking = self.asked_for.map_or_else(Bilingual::default, |hours| {
            both!(
                ", and for {hours} h after a request asking again under its key (`issei repair {id} --reason …` enqueues that as long as it runs)",
                "か、要求から{hours}時間以内に同じキーで照会すれば"
            )
        });
        both!(
            "events end doubt{}; no time does. What remains ends with the key: revoke each that it was sent with, record it with `issei repair {id} --key-revoked --reason …`, and certify again",
            "結果不明の分は、イベントが届く{}解消します。時間の経過では解消しません。残りは、送信に使ったAPIキーをすべて失効させ、`issei repair {id} --key-revoked --reason …` で記録してから、もう一度 `issei certify` を実行してください",
            asking
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
    let finding = data(both!("claims: open ones", "送信処理: 未完了のもの"), items(&["chunk", "audit"])).must(
        both!("none whose request could still be accepted", "これから受理されうる要求がない"),
        "its recipients may get the message yet",
    );
    let Open { chunks, claims, in_doubt, may_be_held } = open;
    match (endless, revoked) {
        (Some(endless), None) if in_doubt > 0 => {
            let value = both!(
                "{in_doubt} recipients in doubt: {}, so theirs may be accepted yet, however late it comes",
                "結果不明の宛先が{in_doubt}件あります。{}。そのため、どれほど遅れても受理される可能性があります",
                endless.why
            );
            finding.is(value, false).mended_by(endless.mend(id))
        }
        (Some(_), Some(AuditEntry { at, actor, .. })) if in_doubt > 0 => {
            let value = both!(
                "{in_doubt} recipients in doubt, and nothing more is accepted: by {at:.0} its keys were revoked, says {actor}",
                "結果不明の宛先が{in_doubt}件ありますが、これ以上は受理されません。{at:.0}までにAPIキーが失効したと {actor} が記録しています"
            );
            chunks.into_finding(finding, value).mended_by(wait_until())
        }
        (Some(endless), None) if may_be_held => {
            let value = both!(
                "nobody in doubt, and it was stopped while a consumer was silent: {}, so what that one holds may be sent yet",
                "結果不明の宛先はありませんが、応答のないコンシューマーがある間に停止されました。{}。そのコンシューマーの手元のものは、これから送信される可能性があります",
                endless.why
            );
            let mend = both!(
                "`issei stop {id}` asks every consumer, and writes down once each has said that it holds nothing; or revoke the key, and record it with `issei repair {id} --key-revoked --reason …`",
                "`issei stop {id}` はすべてのコンシューマーに確認し、手元に何も残っていないと全員が報告した時点で記録します。または、APIキーを失効させ、`issei repair {id} --key-revoked --reason …` で記録してください"
            );
            finding.is(value, false).mended_by(mend)
        }
        _ => chunks.into_finding(finding, both!("{claims} claims, all over", "送信処理{claims}件、すべて終了")).mended_by(wait_until()),
    }
}

fn wait_until() -> Bilingual {
    both!("wait until that time, and certify again", "その時刻まで待って、もう一度 `issei certify` を実行してください")
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
