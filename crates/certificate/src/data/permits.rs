//! Permits and cursors: the numbers of the broadcast item that follow from others.

use issei_ledger::{Broadcast, BroadcastState};

use super::data;
use super::odd::Odd;
use super::trail::Steps;
use crate::finding::Finding;

/// Every permit is granted, left or kept back; and each is spent at most once.
pub(super) fn judge(broadcast: &Broadcast, steps: &Steps, sent: u64) -> Finding {
    let Broadcast { granted, remaining, withheld, recipients, max_recipients, canary, .. } = *broadcast;
    let finding = data("permits: against the budget", "ledger item `broadcast`").rule(
        "sent <= granted; granted, remaining and withheld are the recipients; recipients <= budget",
        "no mail goes out without a permit, and no permit beyond the budget",
    );
    let mut odd = Odd::default();
    odd.note_if(sent > granted, || format!("{sent} sent, {granted} granted"));
    odd.note_if(recipients > max_recipients && granted > 0, || format!("{recipients} recipients, budget {max_recipients}"));
    let all = if steps.ran || steps.held_first { recipients } else { 0 };
    odd.note_if(granted.saturating_add(remaining).saturating_add(withheld) != all, || {
        format!("{granted} granted, {remaining} remaining and {withheld} withheld, of {all} permits")
    });
    let kept_back = match (steps.held_first, steps.approvals) {
        (true, 0) => all,
        (true, 2..) | (false, 1..) => 0,
        (true, 1) | (false, 0) => {
            if canary == 0 {
                0
            } else {
                all.saturating_sub(canary)
            }
        }
    };
    odd.note_if(withheld != kept_back, || format!("{withheld} withheld, where {kept_back} are kept back"));
    odd.into_finding(
        finding,
        format!("{sent} sent, {granted} granted, {remaining} remaining, {withheld} withheld, budget {max_recipients}"),
    )
}

/// Counters that only grow with something else.
pub(super) fn cursors(broadcast: &Broadcast, steps: &Steps) -> Finding {
    let Broadcast { epoch, grant_count, granted, asked_again, enqueued_pages, pages, .. } = *broadcast;
    let finding = data("broadcast: counters", "ledger item `broadcast`").rule(
        "an epoch for each resume, approval and recount; grants where permits are granted; every page enqueued where it is complete",
        "a counter that does not follow from what was done was written by hand",
    );
    let mut odd = Odd::default();
    let least = 1 + steps.resumes + steps.approvals;
    // A recount leaves no entry, and counts as a grant.
    let most = least.saturating_add(grant_count);
    odd.note_if(epoch < least || epoch > most, || {
        format!("epoch {epoch}, after {} resumes, {} approvals and {grant_count} grants and recounts", steps.resumes, steps.approvals)
    });
    // So does each repeat of a request under its key.
    odd.note_if(asked_again > grant_count, || format!("asked again {asked_again} times in {grant_count} grants"));
    odd.note_if(granted > 0 && grant_count == 0, || format!("{granted} permits granted in no grant: grant_count is 0"));
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    odd.note_if(enqueued_pages > pages || (is_complete && enqueued_pages < pages), || {
        format!("enqueued_pages is {enqueued_pages} of {pages}")
    });
    let asked = if asked_again == 0 { String::new() } else { format!(", asked again {asked_again} times under the same keys") };
    odd.into_finding(
        finding,
        format!("epoch {epoch}, {grant_count} grants and recounts{asked}, {enqueued_pages} of {pages} pages enqueued"),
    )
}
