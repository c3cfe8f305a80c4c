//! Chunks: their outcomes, ids, times and claims, each against the page and against each other.

use std::collections::BTreeSet;

use issei_ledger::{Broadcast, Chunk, ClaimMarks, Inspected, Outcome, Outcomes, Walked};
use issei_schema::{Bilingual, InDoubtPolicy, both};
use jiff::{SignedDuration, Timestamp};

use super::odd::Odd;
use super::{CLOCKS, none};

/// No lease is longer: the visibility timeout of SQS has twelve hours at most, and is six times the handler's.
const LEASE_MAX: SignedDuration = SignedDuration::from_hours(2);

/// The chunk has as many outcomes as recipients, names its page, and only an acceptance has a message id.
pub(super) fn content(looked: &Inspected, page: u32, recipients: usize, id_for_each: bool, odd: &mut Odd) {
    let (Walked { seq, chunk, feedback }, Some(marks)) = (&looked.walked, &looked.claim) else { return };
    let outcomes: Vec<Outcome> = chunk.outcomes().into_iter().flat_map(Outcomes::iter).collect();
    odd.note_if(outcomes.len() != recipients, || {
        both!(
            "chunk {seq} has {} outcomes, and its page {recipients} recipients",
            "チャンク{seq}の結果は{}件ですが、ページの宛先は{recipients}件です",
            outcomes.len()
        )
    });
    odd.note_if(chunk.page() != Some(page), || {
        let named = chunk.page().map_or_else(none, Bilingual::verbatim);
        both!(
            "chunk {seq} names page {}, and stands in page {page}",
            "チャンク{seq}はページ {} を名乗りますが、ページ{page}にあります",
            named
        )
    });
    odd.note_if(chunk.attempts() == 0, || {
        both!("chunk {seq} was claimed, and its attempt is 0", "チャンク{seq}は送信処理が始まっていますが、attempt が0です")
    });
    let is_confirmed = matches!(chunk, Chunk::Confirmed { .. });
    let ids = &marks.message_ids;
    for (at, outcome) in outcomes.iter().enumerate() {
        // Only an acceptance has a message id, and each that an answer told has one. A claim keeps what was
        // confirmed before it.
        let is_spared = chunk.spared(at).is_some();
        let has_id = ids.get(at).is_some_and(|word| chunk.has_for_id(at, word));
        // Events prove an acceptance whose answer never came.
        let is_odd = if *outcome == Outcome::Accepted { !has_id && !feedback.proves(at) } else { has_id };
        if is_odd {
            odd.note(|| {
                if has_id {
                    both!(
                        "chunk {seq}, recipient {at} is {outcome:?} with a message id",
                        "チャンク{seq}の宛先{at}は {outcome:?} ですが、メッセージIDがあります"
                    )
                } else {
                    both!(
                        "chunk {seq}, recipient {at} is {outcome:?} with no message id",
                        "チャンク{seq}の宛先{at}は {outcome:?} ですが、メッセージIDがありません"
                    )
                }
            });
        }
        odd.note_if(is_confirmed && *outcome == Outcome::Open, || {
            both!("chunk {seq} is confirmed, and recipient {at} is open", "チャンク{seq}は確定していますが、宛先{at}の結果がありません")
        });
        let is_claimed_first = !is_confirmed && chunk.attempts() == 1;
        odd.note_if(is_claimed_first && *outcome != Outcome::Open && !is_spared, || {
            both!(
                "chunk {seq} was never confirmed, and recipient {at} is {outcome:?}",
                "チャンク{seq}は一度も確定していませんが、宛先{at}は {outcome:?} です"
            )
        });
    }
    // One that was reopened before it was ever confirmed has none at all.
    odd.note_if(!ids.is_empty() && ids.len() != outcomes.len(), || {
        both!(
            "chunk {seq} has {} message ids (or places of them), and {} outcomes",
            "チャンク{seq}のメッセージID(またはその欄)は{}件、結果は{}件です",
            ids.len(),
            outcomes.len()
        )
    });
    let is_real = |(at, word): &(usize, &String)| chunk.has_for_id(*at, word);
    let real: Vec<&String> = ids.iter().enumerate().filter(is_real).map(|(_, id)| id).collect();
    let is_twice = real.iter().collect::<BTreeSet<_>>().len() != real.len();
    // Where a provider names the request alone, all of it have the same.
    odd.note_if(is_twice && id_for_each, || {
        both!("chunk {seq} has one message id for two recipients", "チャンク{seq}では2件の宛先が同じメッセージIDです")
    });
}

/// The times of a claim lie within the broadcast's, and only evidence under a policy that allows it reopens.
pub(super) fn times(looked: &Inspected, broadcast: &Broadcast, ended: Timestamp, odd: &mut Odd) {
    let (Walked { seq, chunk, .. }, Some(marks)) = (&looked.walked, &looked.claim) else { return };
    let (Some(claimed_at), ClaimMarks { lease_until, reopened_at, .. }) = (chunk.claimed_at(), marks) else { return };
    let earliest = broadcast.created_at.saturating_sub(CLOCKS).unwrap_or(Timestamp::MIN);
    let latest = ended.saturating_add(CLOCKS).unwrap_or(Timestamp::MAX);
    let is_within = |at: Timestamp| at >= earliest && at <= latest;
    odd.note_if(!is_within(claimed_at), || {
        both!("chunk {seq} was claimed at {claimed_at} (claimed_at)", "チャンク{seq}の送信処理の開始が{claimed_at}です(claimed_at)")
    });
    let lease = lease_until.duration_since(claimed_at);
    odd.note_if(!lease.is_positive() || lease > LEASE_MAX, || {
        both!(
            "chunk {seq} was claimed at {claimed_at}, and its lease_until is {lease_until}",
            "チャンク{seq}の送信処理の開始は{claimed_at}で、lease_until は{lease_until}です"
        )
    });
    if let Some(at) = reopened_at {
        odd.note_if(!is_within(*at), || {
            both!("chunk {seq} was reopened at {at} (reopened_at)", "チャンク{seq}の再開が{at}です(reopened_at)")
        });
        odd.note_if(broadcast.in_doubt == InDoubtPolicy::Hold, || {
            both!(
                "chunk {seq} was reopened at {at} (reopened_at), and the policy is hold",
                "チャンク{seq}が{at}に再開されていますが(reopened_at)、方針は hold です"
            )
        });
    }
}
