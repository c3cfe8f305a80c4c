//! The exact counts: everybody has an outcome, and the broadcast's own totals are what is counted.

use issei_ledger::{Broadcast, BroadcastState, Fingerprint, ServiceKind, Tally, Totals};

use super::data;
use super::odd::Odd;
use super::seals::Older;
use crate::finding::Finding;

/// Everybody is accounted for. `open` are those who were not sent to.
pub(super) fn everybody(broadcast: &Broadcast, totals: Totals, open: u64) -> Finding {
    let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
    let (rule, why) = if is_complete {
        ("accepted, rejected and in doubt are all recipients", "whoever has no outcome was lost, or is still to be sent to")
    } else {
        ("accepted, rejected, in doubt and not sent are all recipients", "whoever is in none of them was lost")
    };
    let sent = totals.accepted + totals.rejected + totals.in_doubt;
    let holds = if is_complete { sent == broadcast.recipients && open == 0 } else { sent + open == broadcast.recipients };
    data("outcomes: of everybody", "ledger items `chunk`, counted").rule(rule, why).found(
        format!(
            "{} accepted, {} rejected, {} in doubt, {open} not sent, of {} recipients",
            totals.accepted, totals.rejected, totals.in_doubt, broadcast.recipients
        ),
        holds,
    )
}

/// From this one on the totals are those of events.
const EVENTS_FROM: usize = 5;

fn named(totals: &Totals) -> [(&'static str, u64); 12] {
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
        ("accepted", accepted),
        ("rejected", rejected),
        ("retryable", retryable),
        ("in_doubt", in_doubt),
        ("spared", spared.unwrap_or(0)),
        ("delivered", delivered),
        ("bounced", bounced),
        ("complained", complained),
        ("not_rendered", not_rendered),
        ("suppressed", suppressed),
        ("delayed", delayed),
        ("turned_away", turned_away.unwrap_or(0)),
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
    let finding = data("outcomes: the broadcast's own totals", "ledger item `broadcast`").rule(
        "as counted, but for events that have come since, and for what was under way when it was stopped",
        "a count that changed after the end was changed by something else",
    );
    let Some(own) = broadcast.totals else {
        // The first sweep after a stop writes them.
        let finding = if are_due && !is_complete { finding.found("not written yet", true) } else { finding.found("none", false) };
        return Some(finding.mend("wait for the feedback consumer's next sweep, and certify again"));
    };
    let mut odd = Odd::default();
    // An older build has not counted those.
    let (turned_away, spared) = (own.turned_away.or(counted.turned_away), own.spared.or(counted.spared));
    let (told, reckoned) = (named(&Totals { turned_away, spared, ..own }), named(&counted));
    for (number, ((name, own), (_, counted))) in told.into_iter().zip(reckoned).enumerate() {
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
        odd.note_if(is_odd, || format!("{name} is {own}, and {counted} are counted"));
    }
    let sent = |totals: &Totals| totals.accepted + totals.rejected + totals.in_doubt + totals.retryable;
    odd.note_if(sent(&counted) < sent(&own), || format!("{} had an outcome, and {} have one now", sent(&own), sent(&counted)));
    let is_older = older.took_part_as(&[ServiceKind::Producer, ServiceKind::Feedback]);
    odd.note_if(own.events_fingerprint.is_none() && !is_older, || {
        "events_fingerprint: there is none, and whoever counts writes one".to_owned()
    });
    odd.note_if(own.turned_away.is_none() && own.events_fingerprint.is_some() && !is_older, || {
        "turned_away: there is none, and whoever counts writes it".to_owned()
    });
    odd.note_if(!are_due && own.events_fingerprint.is_some_and(|own| !tally.has_events(own)), || {
        "events_fingerprint: the events are not those that were counted".to_owned()
    });
    if is_complete {
        odd.note_if(differs(own.chunks_fingerprint, counted.chunks_fingerprint), || {
            "chunks_fingerprint: the chunks are not those that were counted".to_owned()
        });
    }
    let mut text = told.map(|(name, count)| format!("{count} {name}")).join(", ");
    if own.events_fingerprint.is_none() {
        text.push_str("; an older build counted, and left no fingerprints");
    }
    let mend = "wait for the feedback consumer's next sweep, and certify again; where that changes nothing, somebody altered the ledger";
    Some(odd.into_finding(finding, text).mend(mend))
}

/// An older build has written none.
fn differs(own: Option<Fingerprint>, counted: Option<Fingerprint>) -> bool {
    own.is_some() && own != counted
}
