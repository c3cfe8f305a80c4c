//! The audit trail, against its own chain, the table of steps, the state and time.

use std::str::FromStr;

use issei_ledger::{AuditEntry, AuditTrail, Broadcast, BroadcastState, KEY_REVOKED, LedgerError, nothing_held_since};
use issei_schema::{Bilingual, both};
use jiff::Timestamp;

use super::odd::Odd;
use super::{CLOCKS, agreement, data, items};
use crate::finding::Finding;

/// What the trail says was done.
pub(super) struct Steps {
    /// The audience was frozen and permits could be granted.
    pub(super) ran: bool,
    /// It was held before its first send.
    pub(super) held_first: bool,
    pub(super) resumes: u64,
    pub(super) approvals: u64,
    /// When the last step was taken.
    pub(super) last_at: Option<Timestamp>,
    /// Who said after the last step that the provider's key is revoked.
    pub(super) revoked: Option<AuditEntry>,
    /// Whether it is known of a stopped one that nobody holds anything of it.
    pub(super) nothing_held: bool,
    /// What was altered in it.
    pub(super) odd: Odd,
}

/// Follows the trail step by step. `asked_by` is whom the command names.
pub(super) fn follow(broadcast: &Broadcast, trail: &[AuditEntry], asked_by: Option<&str>, now: Timestamp) -> Steps {
    let mut steps = Steps {
        ran: false,
        held_first: false,
        resumes: 0,
        approvals: 0,
        last_at: None,
        revoked: None,
        nothing_held: nothing_held_since(trail).is_some(),
        odd: Odd::default(),
    };
    match trail.first() {
        Some(first) => {
            let begins = first.step == "enumerating" && first.at == broadcast.created_at && asked_by.is_none_or(|by| by == first.actor);
            steps.odd.note_if(!begins, || {
                both!(
                    "it begins with `{}` by {} at {}, and created_at is {}",
                    "最初の記録は `{}`({}、{})で、created_at は {} です",
                    first.step,
                    first.actor,
                    first.at,
                    broadcast.created_at
                )
            });
        }
        None => steps.odd.note(|| both!("it is empty", "空です")),
    }
    let (mut state, mut latest) = (BroadcastState::Enumerating, broadcast.created_at);
    for (number, entry) in (1..).zip(trail) {
        let is_late = entry.at.saturating_add(CLOCKS).is_ok_and(|at| at < latest);
        steps.odd.note_if(is_late, || {
            both!(
                "entry {number} is of {}, after one of {latest}",
                "記録{number}の日時は{}ですが、その前に{latest}の記録があります",
                entry.at
            )
        });
        let is_early = now.saturating_add(CLOCKS).is_ok_and(|now| now < entry.at);
        steps.odd.note_if(is_early, || {
            both!("entry {number} is of {}, and now it is {now}", "記録{number}の日時は{}ですが、現在は{now}です", entry.at)
        });
        latest = latest.max(entry.at);
        let Some((from, to)) = entry.step.split_once(" -> ") else {
            steps.odd.note_if(number > 1 && entry.step == "enumerating", || {
                both!("entry {number} begins it once more", "記録{number}でもう一度始まっています")
            });
            if entry.step == KEY_REVOKED {
                steps.revoked = Some(entry.clone());
            }
            continue;
        };
        let (Ok(from), Ok(to)) = (BroadcastState::from_str(from), BroadcastState::from_str(to)) else {
            steps.odd.note(|| {
                both!("entry {number}, `{}`, names a state that there is not", "記録{number}の `{}` は存在しない状態です", entry.step)
            });
            continue;
        };
        steps.odd.note_if(from != state || !from.may_become(to), || {
            both!(
                "entry {number}, `{}`, is no step that leads on from {state}",
                "記録{number}の `{}` は、{state} から続く操作ではありません",
                entry.step
            )
        });
        steps.ran |= to == BroadcastState::Running;
        steps.held_first |= from == BroadcastState::Enumerating && to == BroadcastState::Holding;
        steps.resumes += u64::from(from == BroadcastState::Paused && to == BroadcastState::Running);
        steps.approvals += u64::from(from == BroadcastState::Holding && to == BroadcastState::Running);
        (state, steps.last_at, steps.revoked) = (to, Some(entry.at), None);
    }
    let (is, held, held_first) = (broadcast.broadcast_state, broadcast.held_before_send, steps.held_first);
    steps.odd.note_if(held != held_first, || {
        both!(
            "held_before_send is {held}, and by its steps it is {held_first}",
            "held_before_send は {held} ですが、記録では {held_first} です"
        )
    });
    steps.odd.note_if(state != is, || {
        both!("its last step leads to {state}, and the broadcast is {is}", "最後の記録の状態は {state} ですが、一斉送信の状態は {is} です")
    });
    agreement::judge(broadcast, trail, &mut steps.odd);
    steps
}

/// `odd` is what following it has found.
pub(super) fn finding(mut odd: Odd, trail: Result<AuditTrail, LedgerError>, chained: u64) -> Finding {
    let finding = data(both!("audit trail: leads to the state", "監査証跡: 現在の状態に至る"), items(&["broadcast", "audit"])).must(
        both!(
            "from its registration by the command's own author, by steps that there are, in the order of time, to the state, and each entry after the hash of the one before; where several persons must agree, with the approvals of as many to this content and audience",
            "指示の作成者による登録から、定められた操作を時刻順にたどって現在の状態に至り、各記録が直前の記録のハッシュに続く。複数人の承認が必要な場合は、この内容と対象者への必要な人数の承認がある"
        ),
        "a state that no step led to was written by hand",
    );
    match trail {
        Ok(AuditTrail { entries, broken }) => {
            broken.into_iter().for_each(|broken| odd.note(|| Bilingual { japanese: format!("原文: {broken}"), english: broken }));
            odd.into_finding(finding, both!("{} entries, {chained} of them chained", "記録{}件、うち{chained}件が連鎖", entries.len()))
        }
        Err(error) => finding.failed(error),
    }
}
