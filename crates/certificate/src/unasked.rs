//! Whether somebody is in doubt of whom the provider could tell what became of them, and nobody asks it.

use issei_ledger::{Broadcast, Heartbeat, Ledger, NotAsked};
use jiff::Timestamp;

use crate::data::data;
use crate::finding::Finding;

/// What the consumers have met with of a broadcast that is not over. Its chunks are counted only where one has.
pub async fn requests_not_asked(ledger: &Ledger, broadcast: &Broadcast, runs: &[Heartbeat], now: Timestamp) -> Finding {
    let met = NotAsked::of(broadcast, runs, now);
    let tally = if met.is_some() { ledger.tally(broadcast).await.map(|tally| tally.askable_until) } else { Ok(None) };
    let what = format!("broadcast {}: requests in doubt", broadcast.broadcast_id);
    match tally {
        Ok(askable_until) => Finding { what, ..judge(broadcast, met, askable_until, now) },
        Err(error) => Finding { what, ..judge(broadcast, None, None, now) }.unreadable(error),
    }
}

/// `askable_until` is when the last is over of those that the chunks have.
pub(crate) fn judge(broadcast: &Broadcast, met: Option<NotAsked>, askable_until: Option<Timestamp>, now: Timestamp) -> Finding {
    let finding = data("claims: in doubt, and asked about", "ledger items `services#DAY` and `chunk`").rule(
        "each whose provider may still be asked, by a consumer with the key that the request was made with",
        "nothing else tells what became of a request whose answer was lost, and later the provider does not tell it either",
    );
    match met.filter(|_| askable_until.is_some_and(|until| now < until)) {
        None => finding.found("no consumer has met with one that it may not ask about", true),
        Some(met) => finding.found(met.told(), false).mend(met.next_step(&broadcast.broadcast_id)),
    }
}
