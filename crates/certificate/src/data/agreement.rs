//! The agreement of several persons: as many as were needed, each another than whoever asked, to this and nothing else.

use std::collections::BTreeSet;

use issei_ledger::{AuditEntry, Broadcast, BroadcastState};
use issei_schema::{Identity, both};

use super::odd::Odd;
use super::{data, item};
use crate::finding::Finding;

/// Who else had to agree. Any answer is sound: what must hold of it is held against the audit trail.
pub(super) fn told(broadcast: &Broadcast) -> Finding {
    let value = match &broadcast.agreement {
        Some(_) if broadcast.is_below_agreement() => {
            both!(
                "nobody else was asked: the audience is smaller than those that several agree to",
                "ほかの人の承認は不要です。対象者数が、複数人の承認が必要な数に達していません"
            )
        }
        Some(agreement) => agreement.told(),
        None => both!("nobody else was asked", "ほかの人の承認は求められていません"),
    };
    data(both!("agreement of others", "ほかの人の承認"), item("broadcast"))
        .must(both!("told", "記録がある"), "the producer that took the command has decided, by its own settings, whether others must agree")
        .is(value, true)
}

/// Holds what the broadcast says of it against the entries of its audit trail.
pub(super) fn judge(broadcast: &Broadcast, trail: &[AuditEntry], odd: &mut Odd) {
    let subject = broadcast.subject();
    let approvers: Vec<Identity> = trail.iter().filter_map(|entry| subject.approver(entry)).collect();
    // In what a person wrote anything may stand. That it holds for others' sake the producer writes.
    let holds = |entry: &AuditEntry| entry.step.ends_with(&format!("-> {}", BroadcastState::Holding));
    let tells = |entry: &AuditEntry| entry.step == "approval" || holds(entry) && entry.reason.contains(" persons must agree to it: ");
    let Some(agreement) = &broadcast.agreement else {
        let is_told = trail.iter().any(tells) || !approvers.is_empty() || broadcast.awaits_agreement;
        odd.note_if(is_told, || {
            both!("its steps tell of an agreement, and the broadcast needs none", "承認の記録がありますが、この一斉送信に承認は不要です")
        });
        return;
    };
    let received = trail.first().map_or("", |entry| entry.reason.as_str());
    for requester in &agreement.requesters {
        odd.note_if(!received.contains(requester.as_str()), || {
            both!(
                "{requester} is said to have asked for it, and the first entry names them not",
                "依頼者は {requester} とされていますが、最初の記録にその名前がありません"
            )
        });
    }
    let is_known = !agreement.requesters.is_empty() && !received.contains("somebody unknown");
    let others = agreement.persons.saturating_sub(u32::from(is_known));
    odd.note_if(agreement.others != others, || {
        both!(
            "{} others must approve it, where {} persons must agree",
            "ほかに{}人の承認が必要とされていますが、必要な合意は{}人です",
            agreement.others,
            agreement.persons
        )
    });
    let words = format!("{} persons must agree to it: ", agreement.persons);
    odd.note_if(trail.iter().any(|entry| tells(entry) && entry.step != "approval" && !entry.reason.contains(&words)), || {
        both!(
            "{} persons must agree, and its steps tell of another number",
            "{}人の合意が必要ですが、監査証跡では別の人数です",
            agreement.persons
        )
    });
    odd.note_if(trail.iter().filter(|entry| entry.step == "approval").any(|entry| subject.approver(entry).is_none()), || {
        both!("somebody has approved something else than what the ledger holds", "台帳の内容とは別のものが承認されています")
    });
    odd.note_if(approvers != agreement.approved_by, || {
        both!(
            "{} have approved it by its steps, and others by the broadcast",
            "監査証跡では{}人が承認していますが、一斉送信の記録と一致しません",
            approvers.len()
        )
    });
    let distinct: BTreeSet<&Identity> = approvers.iter().collect();
    odd.note_if(distinct.len() < approvers.len() || agreement.requesters.iter().any(|requester| distinct.contains(requester)), || {
        both!(
            "somebody has approved it twice, or what they have asked for themselves",
            "同じ人が二度承認したか、自分で依頼したものを承認しています"
        )
    });
    let has_sent = broadcast.grant_count > 0;
    odd.note_if(broadcast.awaits_agreement && has_sent, || {
        both!("permits were granted, and it still waits for its agreement", "送信許可が出ていますが、まだ承認を待っています")
    });
    let is_needed = !broadcast.awaits_agreement && !broadcast.is_below_agreement();
    odd.note_if(is_needed && distinct.len() < usize::try_from(others).unwrap_or(usize::MAX), || {
        both!(
            "{} have approved it, and {others} others must have before its first send",
            "承認したのは{}人ですが、最初の送信前にほかの{others}人の承認が必要です",
            distinct.len()
        )
    });
}
