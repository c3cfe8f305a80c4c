//! Who else has mailed whom a broadcast has missed, or may yet: whatever was made for them, and whatever has said the same to the
//! whole audience, whoever asked for it and in whatever order.
//!
//! What this must never do: go by what was asked for where what was sent is known. Whoever has it from another is left out by
//! that other's own outcomes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use issei_assembly::Parts;
use issei_ledger::{Broadcast, FirstOfLine, Ledger, missed_by};
use issei_schema::{AudienceName, BroadcastCommand, BroadcastId};
use jiff::{SignedDuration, Timestamp};

use super::{Sent, is_proved, is_sent, mark};
use crate::Refused;

/// So many broadcasts are read at once.
const READ_AT_ONCE: usize = 16;

/// How far the clocks of two producers that have registered broadcasts may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_hours(6);

/// Everybody who has the same from another broadcast, or may have.
///
/// Refused where another may still send it to them.
pub(super) async fn sent_by_others(
    parts: &Parts,
    broadcast: &Broadcast,
    first: &BroadcastCommand,
    unique: bool,
    now: Timestamp,
) -> anyhow::Result<Sent> {
    let (ledger, id, mut sent) = (parts.ledger(), &broadcast.broadcast_id, Sent::default());
    let relatives = relatives(&ledger, broadcast, first).await;
    for other in relatives.with_context(|| format!("who else has mailed whom `{id}` has missed can't be read"))? {
        if other.is_never_granted() {
            continue;
        }
        let (other_id, state) = (&other.broadcast_id, other.broadcast_state);
        if !state.is_over() {
            bail!(Refused(format!(
                "the broadcast `{other_id}`, which says the same to the audience of `{id}`, is {state}: whoever was missed may have it from that, and would be mailed twice; repeat this once it is over, or stop it (`issei stop {other_id}`)"
            )));
        }
        is_proved(parts, &other, now).await?;
        let log = ledger.event_log(&other).await?;
        for seq in 0..other.pages {
            for found in ledger.page_outcomes(&other.placed(), seq, &log).await? {
                if let Some(recipient) = found.recipient.as_ref().filter(|_| is_sent(found.outcome)) {
                    sent.keys.insert(mark(recipient.key.as_str()));
                    if unique {
                        sent.addresses.insert(mark(&recipient.address.identity()));
                    }
                }
            }
        }
    }
    Ok(sent)
}

/// What is asked of a broadcast that may have said the same.
struct Known {
    broadcast: Broadcast,
    missed_by: Option<BroadcastId>,
    content: String,
    subjects: BTreeSet<String>,
}

impl Known {
    fn of(broadcast: Broadcast, command: &BroadcastCommand) -> Self {
        Self {
            broadcast,
            missed_by: missed_by(command),
            content: command.content.digest(),
            subjects: command.content.subjects().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The other broadcasts of its line, and those that have said the same to the same audience: all of it at any time, or something
/// under one of its subjects since.
async fn relatives(ledger: &Ledger, broadcast: &Broadcast, first: &BroadcastCommand) -> anyhow::Result<Vec<Broadcast>> {
    let of = ledger.first_of_line(first).await?;
    let ids = ledger.known_broadcasts().await?;
    let read = stream::iter(ids).map(|id| known(ledger, id, &of.audience)).buffer_unordered(READ_AT_ONCE);
    let all: BTreeMap<BroadcastId, Known> =
        read.try_filter_map(async |known| Ok(known.map(|known| (known.broadcast.broadcast_id.clone(), known)))).try_collect().await?;
    let this = Known::of(broadcast.clone(), first);
    let is_relative = |other: &Known| {
        let since = other.broadcast.created_at.saturating_add(CLOCKS);
        let is_since = since.is_ok_and(|since| since >= broadcast.created_at);
        let says_the_same = other.content == this.content || is_since && !other.subjects.is_disjoint(&this.subjects);
        let theirs = first_of_line(&all, other);
        theirs.broadcast_id == of.broadcast_id || theirs.audience == of.audience && says_the_same
    };
    let others = all.values().filter(|other| other.broadcast.broadcast_id != broadcast.broadcast_id);
    Ok(others.filter(|other| is_relative(other)).map(|other| other.broadcast.clone()).collect())
}

/// A broadcast to this audience, or to one of its own, as each has that was made for whom another has missed.
async fn known(ledger: &Ledger, id: BroadcastId, audience: &AudienceName) -> anyhow::Result<Option<Known>> {
    let Some(broadcast) = ledger.find_broadcast(&id).await? else { return Ok(None) };
    if broadcast.audience != *audience && broadcast.audience.as_str() != id.as_str() {
        return Ok(None);
    }
    let command = ledger.command(&id).await?;
    Ok(Some(Known::of(broadcast, &command)))
}

/// As [`Ledger::first_of_line`], of what was read.
fn first_of_line(all: &BTreeMap<BroadcastId, Known>, of: &Known) -> FirstOfLine {
    let mut first = of;
    // Each is for whom one of before has missed, so that none comes twice, unless somebody made it up.
    for _ in 0..all.len() {
        let Some(before) = first.missed_by.as_ref().and_then(|id| all.get(id)) else { break };
        first = before;
    }
    FirstOfLine { broadcast_id: first.broadcast.broadcast_id.clone(), audience: first.broadcast.audience.clone() }
}

/// Of two broadcasts for the same people each would mail them.
pub(super) fn taken(broadcast: &Broadcast, other: &BroadcastId) -> Refused {
    let id = &broadcast.broadcast_id;
    Refused(format!(
        "`{other}` was made for those whom `{id}` has missed, and would mail them, too: send that one (`issei resend {id} --as {other}` makes its files again); once it is over, `issei resend {other} --as NEW_ID` is for whomever it has missed"
    ))
}
