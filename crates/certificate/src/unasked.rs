//! Whether somebody is in doubt of whom the provider could tell what became of them, and nobody asks it.

use issei_ledger::{Broadcast, DoubtLeft, Heartbeat, Ledger, NotAsked, Tally, key_revoked};
use issei_schema::both;
use jiff::{SignedDuration, Timestamp};

use crate::data::{data, items};
use crate::finding::Finding;

/// For so long after its last step somebody may be left in doubt whom a provider remembers: no window is longer.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What the consumers have met with of a broadcast that is not over, and whom nobody asks about by what became of it. Its chunks are
/// counted only where there may be any.
pub async fn requests_not_asked(ledger: &Ledger, broadcast: &Broadcast, runs: &[Heartbeat], now: Timestamp) -> Finding {
    let met = NotAsked::of(broadcast, runs, now);
    let tally = if broadcast.provider.is_some() { ledger.tally(broadcast).await } else { Ok(Tally::default()) };
    let what = || both!("broadcast {}: requests in doubt", "一斉送信 {}: 結果不明の要求", broadcast.broadcast_id);
    match tally {
        Ok(tally) => {
            let left = DoubtLeft::of(broadcast, &tally, now);
            let finding = judge(broadcast, met, &tally, now).about(what());
            // Here there is time to do something.
            match left {
                Some(left) if finding.holds() => finding.is(left.told(), false).mended_by(left.next_step),
                _ => finding,
            }
        }
        Err(error) => judge(broadcast, None, &Tally::default(), now).about(what()).failed(error),
    }
}

/// Of a broadcast that is over: whom its provider could still be asked about. Nothing where that was so long ago that nobody is
/// remembered, nobody is in doubt, or somebody has said that the key is revoked.
pub async fn doubt_left(ledger: &Ledger, broadcast: &Broadcast, now: Timestamp) -> Option<Finding> {
    let is_lately = broadcast.last_step().is_none_or(|step| now.duration_since(step.at) < REMEMBERED_FOR);
    let is_settled = broadcast.totals.is_some_and(|totals| totals.in_doubt == 0);
    if broadcast.provider.is_none() || is_settled || !is_lately || !broadcast.broadcast_state.is_over() {
        return None;
    }
    let finding = requests_not_asked(ledger, broadcast, &[], now).await;
    if finding.holds() {
        return None;
    }
    // Whoever has revoked the key can't be answered any more under it, and has settled what may come still. What can't be read
    // settles nothing.
    let trail = ledger.audit_trail(broadcast).await.map(|trail| trail.entries).unwrap_or_default();
    key_revoked(&trail).is_none().then_some(finding)
}

/// `tally` has those that the chunks have. Whom nobody asks about since the broadcast is over is told, and is as much in doubt as
/// whoever was asked about in vain.
pub(crate) fn judge(broadcast: &Broadcast, met: Option<NotAsked>, tally: &Tally, now: Timestamp) -> Finding {
    let finding = data(both!("claims: in doubt, and asked about", "送信処理: 結果不明の照会"), items(&["services#DAY", "chunk"])).must(
        both!(
            "each whose provider may still be asked, by a consumer with the key that the request was made with",
            "事業者にまだ照会できるものは、要求を送ったキーを持つコンシューマーがすべて照会している"
        ),
        "nothing else tells what became of a request whose answer was lost, and later the provider does not tell it either",
    );
    match met.filter(|_| tally.askable_until.is_some_and(|until| now < until)) {
        None => match DoubtLeft::of(broadcast, tally, now) {
            Some(left) => finding.is(both!("{}; {}", "{}。{}", left.told(), left.next_step), true),
            None => finding.is(
                both!("no consumer has met with one that it may not ask about", "照会できない要求に出会ったコンシューマーはありません"),
                true,
            ),
        },
        Some(met) => finding.is(met.told(), false).mended_by(met.next_step(&broadcast.broadcast_id)),
    }
}
