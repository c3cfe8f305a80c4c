//! Permits and cursors: the numbers of the broadcast item that follow from others.

use issei_ledger::{Broadcast, BroadcastState};

use issei_schema::{Bilingual, both};

use super::odd::Odd;
use super::trail::Steps;
use super::{data, item};
use crate::finding::Finding;

/// Every permit is granted, left or kept back; and each is spent at most once. `granted_since` is how many were granted once the
/// chunks had been read, of a broadcast that goes on.
pub(super) fn judge(broadcast: &Broadcast, steps: &Steps, sent: u64, granted_since: Option<u64>) -> Finding {
    let Broadcast { granted, remaining, withheld, recipients, max_recipients, canary, .. } = *broadcast;
    let finding = data(both!("permits: against the budget", "送信許可: 上限との関係"), item("broadcast")).must(
        both!(
            "sent <= granted; granted, remaining and withheld are the recipients; recipients <= budget",
            "送信数 <= 発行数。発行・残り・保留の合計が宛先数。宛先数 <= 上限"
        ),
        "no mail goes out without a permit, and no permit beyond the budget",
    );
    let mut odd = Odd::default();
    odd.note_if(sent > granted, || both!("{sent} sent, {granted} granted", "送信{sent}件、発行{granted}件"));
    odd.note_if(recipients > max_recipients && granted > 0, || {
        both!("{recipients} recipients, budget {max_recipients}", "宛先{recipients}件、上限{max_recipients}件")
    });
    let all = if steps.ran || steps.held_first { recipients } else { 0 };
    odd.note_if(granted.saturating_add(remaining).saturating_add(withheld) != all, || {
        both!(
            "{granted} granted, {remaining} remaining and {withheld} withheld, of {all} permits",
            "送信許可{all}件のうち、発行{granted}件、残り{remaining}件、保留{withheld}件"
        )
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
    odd.note_if(withheld != kept_back, || {
        both!("{withheld} withheld, where {kept_back} are kept back", "保留は{withheld}件ですが、{kept_back}件のはずです")
    });
    let is_behind = odd.is_one() && sent > granted && granted_since.is_some_and(|since| sent <= since);
    let finding = odd.into_finding(
        finding,
        both!(
            "{sent} sent, {granted} granted, {remaining} remaining, {withheld} withheld, budget {max_recipients}",
            "送信{sent}件、発行{granted}件、残り{remaining}件、保留{withheld}件、上限{max_recipients}件"
        ),
    );
    finding.only_so_far(is_behind)
}

/// Counters that only grow with something else.
pub(super) fn cursors(broadcast: &Broadcast, steps: &Steps) -> Finding {
    let Broadcast { epoch, grant_count, granted, asked_again, enqueued_pages, pages, .. } = *broadcast;
    let finding = data(both!("broadcast: counters", "一斉送信: カウンター"), item("broadcast")).must(
        both!(
            "an epoch for each resume, approval and recount; grants where permits are granted; every page enqueued where it is complete",
            "再開・承認・再計数ごとに epoch が進み、許可があれば発行回数があり、完了していれば全ページを投入済み"
        ),
        "a counter that does not follow from what was done was written by hand",
    );
    let mut odd = Odd::default();
    let least = 1 + steps.resumes + steps.approvals;
    // A recount leaves no entry, and counts as a grant.
    let most = least.saturating_add(grant_count);
    odd.note_if(epoch < least || epoch > most, || {
        both!(
            "epoch {epoch}, after {} resumes, {} approvals and {grant_count} grants and recounts",
            "epoch は {epoch}。再開{}回、承認{}回、発行と再計数{grant_count}回",
            steps.resumes,
            steps.approvals
        )
    });
    // So does each repeat of a request under its key.
    odd.note_if(asked_again > grant_count, || {
        both!("asked again {asked_again} times in {grant_count} grants", "発行{grant_count}回に対して再照会{asked_again}回")
    });
    odd.note_if(granted > 0 && grant_count == 0, || {
        both!("{granted} permits granted in no grant: grant_count is 0", "送信許可が{granted}件出ていますが、発行回数(grant_count)は0です")
    });
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    odd.note_if(enqueued_pages > pages || (is_complete && enqueued_pages < pages), || {
        both!("enqueued_pages is {enqueued_pages} of {pages}", "enqueued_pages は{pages}のうち{enqueued_pages}です")
    });
    let asked = match asked_again {
        0 => Bilingual::default(),
        times => both!(", asked again {times} times under the same keys", "、同じキーでの再照会{times}回"),
    };
    odd.into_finding(
        finding,
        both!(
            "epoch {epoch}, {grant_count} grants and recounts{}, {enqueued_pages} of {pages} pages enqueued",
            "epoch {epoch}、発行と再計数{grant_count}回{}、{pages}ページのうち{enqueued_pages}ページを投入",
            asked
        ),
    )
}
