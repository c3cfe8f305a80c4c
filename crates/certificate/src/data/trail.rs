//! The audit trail, against its own chain, the table of steps, the state and time.

use std::str::FromStr;

use issei_ledger::{AuditEntry, AuditTrail, Broadcast, BroadcastState, KEY_REVOKED, LedgerError, nothing_held_since};
use jiff::Timestamp;

use super::odd::Odd;
use super::{CLOCKS, agreement, data};
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
                format!("it begins with `{}` by {} at {}, and created_at is {}", first.step, first.actor, first.at, broadcast.created_at)
            });
        }
        None => steps.odd.note(|| "it is empty".to_owned()),
    }
    let (mut state, mut latest) = (BroadcastState::Enumerating, broadcast.created_at);
    for (number, entry) in (1..).zip(trail) {
        let is_late = entry.at.saturating_add(CLOCKS).is_ok_and(|at| at < latest);
        steps.odd.note_if(is_late, || format!("entry {number} is of {}, after one of {latest}", entry.at));
        let is_early = now.saturating_add(CLOCKS).is_ok_and(|now| now < entry.at);
        steps.odd.note_if(is_early, || format!("entry {number} is of {}, and now it is {now}", entry.at));
        latest = latest.max(entry.at);
        let Some((from, to)) = entry.step.split_once(" -> ") else {
            steps.odd.note_if(number > 1 && entry.step == "enumerating", || format!("entry {number} begins it once more"));
            if entry.step == KEY_REVOKED {
                steps.revoked = Some(entry.clone());
            }
            continue;
        };
        let (Ok(from), Ok(to)) = (BroadcastState::from_str(from), BroadcastState::from_str(to)) else {
            steps.odd.note(|| format!("entry {number}, `{}`, names a state that there is not", entry.step));
            continue;
        };
        steps.odd.note_if(from != state || !from.may_become(to), || {
            format!("entry {number}, `{}`, is no step that leads on from {state}", entry.step)
        });
        steps.ran |= to == BroadcastState::Running;
        steps.held_first |= from == BroadcastState::Enumerating && to == BroadcastState::Holding;
        steps.resumes += u64::from(from == BroadcastState::Paused && to == BroadcastState::Running);
        steps.approvals += u64::from(from == BroadcastState::Holding && to == BroadcastState::Running);
        (state, steps.last_at, steps.revoked) = (to, Some(entry.at), None);
    }
    let (is, held, held_first) = (broadcast.broadcast_state, broadcast.held_before_send, steps.held_first);
    steps.odd.note_if(held != held_first, || format!("held_before_send is {held}, and by its steps it is {held_first}"));
    steps.odd.note_if(state != is, || format!("its last step leads to {state}, and the broadcast is {is}"));
    agreement::judge(broadcast, trail, &mut steps.odd);
    steps
}

/// `odd` is what following it has found.
pub(super) fn finding(mut odd: Odd, trail: Result<AuditTrail, LedgerError>, chained: u64) -> Finding {
    let finding = data("audit trail: leads to the state", "ledger items `broadcast` and `audit`").rule(
        "from its registration by the command's own author, by steps that there are, in the order of time, to the state, and each entry \
         after the hash of the one before; where several persons must agree, with the approvals of as many to this content and audience",
        "a state that no step led to was written by hand",
    );
    match trail {
        Ok(AuditTrail { entries, broken }) => {
            broken.into_iter().for_each(|broken| odd.note(|| broken));
            odd.into_finding(finding, format!("{} entries, {chained} of them chained", entries.len()))
        }
        Err(error) => finding.unreadable(error),
    }
}
