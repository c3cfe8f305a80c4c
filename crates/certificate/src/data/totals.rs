//! The exact counts: everybody has an outcome, and the broadcast's own totals are what is counted.

use issei_ledger::{Broadcast, BroadcastState, Fingerprint, ServiceKind, Tally, Totals};

use issei_schema::{Bilingual, both};

use super::odd::Odd;
use super::seals::Older;
use super::{data, item, none};
use crate::finding::Finding;

/// Everybody is accounted for. `open` are those who were not sent to.
pub(super) fn everybody(broadcast: &Broadcast, totals: Totals, open: u64) -> Finding {
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    let (rule, why) = if is_complete {
        (
            both!("accepted, rejected and in doubt are all recipients", "受理・拒否・不明の合計が全宛先"),
            "whoever has no outcome was lost, or is still to be sent to",
        )
    } else {
        (
            both!("accepted, rejected, in doubt and not sent are all recipients", "受理・拒否・不明・未送信の合計が全宛先"),
            "whoever is in none of them was lost",
        )
    };
    let sent = totals.accepted + totals.rejected + totals.in_doubt;
    let holds = if is_complete { sent == broadcast.recipients && open == 0 } else { sent + open == broadcast.recipients };
    let from = both!("ledger items `chunk`, counted", "台帳の項目 `chunk` の集計");
    data(both!("outcomes: of everybody", "結果: 全員分"), from).must(rule, why).is(
        both!(
            "{0} accepted, {1} rejected, {2} in doubt, {open} not sent, of {3} recipients",
            "宛先{3}件のうち、受理{0}件、拒否{1}件、不明{2}件、未送信{open}件",
            totals.accepted,
            totals.rejected,
            totals.in_doubt,
            broadcast.recipients
        ),
        holds,
    )
}

/// From this one on the totals are those of events.
const EVENTS_FROM: usize = 5;

/// By the name of the attribute, and for people.
fn named(totals: &Totals) -> [(&'static str, &'static str, u64); 12] {
    let Totals {
        accepted,
        rejected,
        retryable,
        in_doubt,
        delivered,
        bounced,
        complained,
        not_rendered,
        suppressed,
        delayed,
        turned_away,
        spared,
        ..
    } = *totals;
    [
        ("accepted", "受理", accepted),
        ("rejected", "拒否", rejected),
        ("retryable", "再送待ち", retryable),
        ("in_doubt", "不明", in_doubt),
        ("spared", "抑制リストにより未送信", spared.unwrap_or(0)),
        ("delivered", "配信", delivered),
        ("bounced", "不達", bounced),
        ("complained", "苦情", complained),
        ("not_rendered", "描画失敗", not_rendered),
        ("suppressed", "事業者の抑制リスト", suppressed),
        ("delayed", "配信遅延", delayed),
        ("turned_away", "受理後に中止", turned_away.unwrap_or(0)),
    ]
}

/// The broadcast's own totals, against the count. While events have come since they were written, they can
/// only be too small; and what was on its way when a broadcast was stopped may have come to its end since.
pub(super) fn own(broadcast: &Broadcast, tally: &Tally, ran: bool, are_due: bool, older: &Older) -> Option<Finding> {
    let counted = tally.totals();
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    if !is_complete && !ran {
        return None;
    }
    let finding = data(both!("outcomes: the broadcast's own totals", "結果: 一斉送信に記録された合計"), item("broadcast")).must(
        both!(
            "as counted, but for events that have come since, and for what was under way when it was stopped",
            "集計と一致(その後に届いたイベントと、停止時に送信途中だったものを除く)"
        ),
        "a count that changed after the end was changed by something else",
    );
    let Some(own) = broadcast.totals else {
        // The first sweep after a stop writes them.
        let finding = if are_due && !is_complete {
            finding.is(both!("not written yet", "まだ書き込まれていません"), true)
        } else {
            finding.is(none(), false)
        };
        let mend = both!(
            "wait for the feedback consumer's next sweep, and certify again",
            "フィードバックコンシューマーの次の確認を待って、もう一度 `issei certify` を実行してください"
        );
        return Some(finding.mended_by(mend).only_so_far(!broadcast.broadcast_state.is_over()));
    };
    let mut odd = Odd::default();
    // An older build has not counted those.
    let (turned_away, spared) = (own.turned_away.or(counted.turned_away), own.spared.or(counted.spared));
    let (told, reckoned) = (named(&Totals { turned_away, spared, ..own }), named(&counted));
    for (number, ((name, in_japanese, own), (.., counted))) in told.into_iter().zip(reckoned).enumerate() {
        let is_of_events = number >= EVENTS_FROM;
        let is_settled_later = !is_complete && matches!(name, "in_doubt" | "retryable");
        let may_grow = if is_of_events { are_due } else { !is_complete };
        let is_odd = if is_settled_later {
            false
        } else if may_grow {
            counted < own
        } else {
            counted != own
        };
        odd.note_if(is_odd, || {
            both!("{name} is {own}, and {counted} are counted", "{in_japanese}は{own}件ですが、集計では{counted}件です")
        });
    }
    let sent = |totals: &Totals| totals.accepted + totals.rejected + totals.in_doubt + totals.retryable;
    odd.note_if(sent(&counted) < sent(&own), || {
        both!("{} had an outcome, and {} have one now", "結果があったのは{}件ですが、今は{}件です", sent(&own), sent(&counted))
    });
    let is_older = older.took_part_as(&[ServiceKind::Producer, ServiceKind::Feedback]);
    odd.note_if(own.events_fingerprint.is_none() && !is_older, || {
        both!(
            "events_fingerprint: there is none, and whoever counts writes one",
            "events_fingerprint がありません。集計した版はこれを書きます"
        )
    });
    odd.note_if(own.turned_away.is_none() && own.events_fingerprint.is_some() && !is_older, || {
        both!("turned_away: there is none, and whoever counts writes it", "turned_away がありません。集計した版はこれを書きます")
    });
    odd.note_if(!are_due && own.events_fingerprint.is_some_and(|own| !tally.has_events(own)), || {
        both!("events_fingerprint: the events are not those that were counted", "events_fingerprint: イベントが集計されたものと違います")
    });
    if is_complete {
        odd.note_if(differs(own.chunks_fingerprint, counted.chunks_fingerprint), || {
            both!(
                "chunks_fingerprint: the chunks are not those that were counted",
                "chunks_fingerprint: チャンクが集計されたものと違います"
            )
        });
    }
    let counts = Bilingual::join(told.map(|(name, in_japanese, count)| both!("{count} {name}", "{in_japanese}{count}件")), (", ", "、"));
    let older = if own.events_fingerprint.is_none() {
        both!("; an older build counted, and left no fingerprints", "。集計したのは旧版で、フィンガープリントがありません")
    } else {
        Bilingual::default()
    };
    let mend = both!(
        "wait for the feedback consumer's next sweep, and certify again; where that changes nothing, somebody altered the ledger",
        "フィードバックコンシューマーの次の確認を待って、もう一度 `issei certify` を実行してください。変わらない場合は、誰かが台帳を変更しています"
    );
    Some(odd.into_finding(finding, both!("{}{}", "{}{}", counts, older)).mended_by(mend))
}

/// An older build has written none.
fn differs(own: Option<Fingerprint>, counted: Option<Fingerprint>) -> bool {
    own.is_some() && own != counted
}
