//! Events: only of recipients who were sent to, whole, and never about a second acceptance.

use issei_ledger::{Broadcast, BroadcastState, Chunk, Feedback, Outcome, Outcomes, Walked};
use issei_schema::limits::CHUNK_RECIPIENTS_MAX;
use issei_schema::{EventKind, InDoubtPolicy, both};

use super::odd::Odd;

/// What is odd about the events of one chunk, and who was accepted twice.
pub(super) fn look_at(walked: &Walked, broadcast: &Broadcast, odd: &mut Odd, twice: &mut Odd) {
    let Walked { seq, chunk, feedback } = walked;
    whole(*seq, feedback, odd);
    if let Some(at) = feedback.answered().find(|at| chunk.message_id(*at).is_none()) {
        odd.note(|| {
            both!(
                "chunk {seq}, recipient {at} has an event in the log of those whose answer named a message, and no such answer",
                "チャンク{seq}の宛先{at}は、応答にメッセージIDがあった分のログにイベントがありますが、その応答がありません"
            )
        });
    }
    if *chunk == Chunk::Absent {
        odd.note_if(!feedback.is_empty(), || {
            both!("events of chunk {seq}, which nobody has claimed", "送信処理が始まっていないチャンク{seq}にイベントがあります")
        });
        return;
    }
    let outcomes = chunk.outcomes().map_or(0, Outcomes::len);
    if let Some(at) = (outcomes..CHUNK_RECIPIENTS_MAX).find(|at| feedback.proves(*at)) {
        odd.note(|| {
            both!(
                "chunk {seq} has {outcomes} recipients, and an event names recipient {at}",
                "チャンク{seq}の宛先は{outcomes}件ですが、宛先{at}のイベントがあります"
            )
        });
    }
    for (at, outcome) in chunk.outcomes().into_iter().flat_map(Outcomes::iter).enumerate() {
        // An event that came when its recipient was to be sent to again ends that, before the broadcast ends.
        let was_open = outcome == Outcome::Retryable && broadcast.broadcast_state != BroadcastState::Complete;
        let is_unsent = matches!(outcome, Outcome::Rejected | Outcome::Retryable) && !was_open;
        odd.note_if(is_unsent && feedback.proves(at), || {
            both!(
                "chunk {seq}, recipient {at} has an event, and the ledger says {outcome:?}",
                "チャンク{seq}の宛先{at}にはイベントがありますが、台帳では {outcome:?} です"
            )
        });
    }
    if let Some(first) = feedback.accepted_twice(chunk).first().filter(|_| broadcast.in_doubt != InDoubtPolicy::AtLeastOnce) {
        twice.note(|| both!("chunk {seq}, recipient {first}", "チャンク{seq}の宛先{first}"));
    }
}

/// Each event came with its message's id, and was written down with it in one write.
fn whole(seq: u32, feedback: &Feedback, odd: &mut Odd) {
    for kind in EventKind::ALL {
        if let Some(at) = feedback.positions(kind).find(|at| !feedback.names_message(*at)) {
            odd.note(|| {
                both!(
                    "chunk {seq}, recipient {at} has the event {}, and no message id of it",
                    "チャンク{seq}の宛先{at}に {} のイベントがありますが、そのメッセージIDがありません",
                    kind.as_str()
                )
            });
        }
    }
    if let Some(at) = feedback.named_positions().find(|at| !feedback.proves(*at)) {
        odd.note(|| {
            both!(
                "chunk {seq}, recipient {at} has the message id of an event, and no event",
                "チャンク{seq}の宛先{at}にイベントのメッセージIDがありますが、イベントがありません"
            )
        });
    }
}
