//! The agreement of several persons: as many as were needed, each another than whoever asked, to this and nothing else.

use std::collections::BTreeSet;

use issei_ledger::{AuditEntry, Broadcast, BroadcastState};
use issei_schema::Identity;

use super::data;
use super::odd::Odd;
use crate::finding::Finding;

/// Who else had to agree. Any answer is sound: what must hold of it is held against the audit trail.
pub(super) fn told(broadcast: &Broadcast) -> Finding {
    let value = match &broadcast.agreement {
        Some(_) if broadcast.is_below_agreement() => {
            "nobody else was asked: the audience is smaller than those that several agree to".to_owned()
        }
        Some(agreement) => agreement.to_string(),
        None => "nobody else was asked".to_owned(),
    };
    data("agreement of others", "ledger item `broadcast`")
        .rule("told", "the producer that took the command has decided, by its own settings, whether others must agree")
        .found(value, true)
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
        odd.note_if(is_told, || "its steps tell of an agreement, and the broadcast needs none".to_owned());
        return;
    };
    let received = trail.first().map_or("", |entry| entry.reason.as_str());
    for requester in &agreement.requesters {
        odd.note_if(!received.contains(requester.as_str()), || {
            format!("{requester} is said to have asked for it, and the first entry names them not")
        });
    }
    let is_known = !agreement.requesters.is_empty() && !received.contains("somebody unknown");
    let others = agreement.persons.saturating_sub(u32::from(is_known));
    odd.note_if(agreement.others != others, || {
        format!("{} others must approve it, where {} persons must agree", agreement.others, agreement.persons)
    });
    let words = format!("{} persons must agree to it: ", agreement.persons);
    odd.note_if(trail.iter().any(|entry| tells(entry) && entry.step != "approval" && !entry.reason.contains(&words)), || {
        format!("{} persons must agree, and its steps tell of another number", agreement.persons)
    });
    odd.note_if(trail.iter().filter(|entry| entry.step == "approval").any(|entry| subject.approver(entry).is_none()), || {
        "somebody has approved something else than what the ledger holds".to_owned()
    });
    odd.note_if(approvers != agreement.approved_by, || {
        format!("{} have approved it by its steps, and others by the broadcast", approvers.len())
    });
    let distinct: BTreeSet<&Identity> = approvers.iter().collect();
    odd.note_if(distinct.len() < approvers.len() || agreement.requesters.iter().any(|requester| distinct.contains(requester)), || {
        "somebody has approved it twice, or what they have asked for themselves".to_owned()
    });
    let has_sent = broadcast.grant_count > 0;
    odd.note_if(broadcast.awaits_agreement && has_sent, || "permits were granted, and it still waits for its agreement".to_owned());
    let is_needed = !broadcast.awaits_agreement && !broadcast.is_below_agreement();
    odd.note_if(is_needed && distinct.len() < usize::try_from(others).unwrap_or(usize::MAX), || {
        format!("{} have approved it, and {others} others must have before its first send", distinct.len())
    });
}
