//! Who else has mailed whom a broadcast has missed, or may yet: whatever was made for them, and whatever has said the same to the
//! whole audience, whoever asked for it and in whatever order.
//!
//! What this must never do: go by what was asked for where what was sent is known. Whoever has it from another is left out by
//! that other's own outcomes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use issei_assembly::Parts;
use issei_ledger::{Broadcast, CLOCKS, Ledger, SKEW, missed_by};
use issei_schema::{BroadcastCommand, BroadcastId};
use jiff::{SignedDuration, Timestamp};

use super::{Sent, is_proved, mark};
use crate::Refused;

/// So many broadcasts are read at once.
const READ_AT_ONCE: usize = 16;

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
                if let Some(recipient) = found.recipient.as_ref().filter(|_| found.is_sent()) {
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
            missed_by: missed_by(command).map(|missed_by| missed_by.of),
            content: command.content.digest(),
            subjects: command.content.subjects().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The other broadcasts of its line, and those that have said the same to the same audience: all of it, unless they were over when
/// this one was asked for, which then says it again and means it; or something under one of its subjects since.
async fn relatives(ledger: &Ledger, broadcast: &Broadcast, first: &BroadcastCommand) -> anyhow::Result<Vec<Broadcast>> {
    let ids = ledger.known_broadcasts().await?;
    let read = stream::iter(ids).map(|id| known(ledger, id)).buffer_unordered(READ_AT_ONCE);
    let all: BTreeMap<BroadcastId, Known> =
        read.try_filter_map(async |known| Ok(known.map(|known| (known.broadcast.broadcast_id.clone(), known)))).try_collect().await?;
    let this = Known::of(broadcast.clone(), first);
    let ours = &first_of_line(&all, &this).broadcast;
    let is_relative = |other: &Known| {
        let theirs = &first_of_line(&all, other).broadcast;
        let was_over = other.broadcast.broadcast_state.is_over()
            && other.broadcast.last_step().is_some_and(|step| is_before(step.at, broadcast.created_at, SKEW));
        let says_the_same = other.content == this.content && !was_over;
        let is_since = !is_before(theirs.created_at, broadcast.created_at, CLOCKS);
        let says_something_since = is_since && !other.subjects.is_disjoint(&this.subjects);
        theirs.broadcast_id == ours.broadcast_id || theirs.audience == ours.audience && (says_the_same || says_something_since)
    };
    let others = all.values().filter(|other| other.broadcast.broadcast_id != broadcast.broadcast_id);
    Ok(others.filter(|other| is_relative(other)).map(|other| other.broadcast.clone()).collect())
}

/// Whether this was surely before that, by clocks that may be so far apart.
fn is_before(this: Timestamp, that: Timestamp, apart: SignedDuration) -> bool {
    this.saturating_add(apart).is_ok_and(|surely_after| surely_after < that)
}

async fn known(ledger: &Ledger, id: BroadcastId) -> anyhow::Result<Option<Known>> {
    let Some(broadcast) = ledger.find_broadcast(&id).await? else { return Ok(None) };
    let command = ledger.command(&id).await?;
    Ok(Some(Known::of(broadcast, &command)))
}

/// The first of its line.
fn first_of_line<'a>(all: &'a BTreeMap<BroadcastId, Known>, of: &'a Known) -> &'a Known {
    let mut first = of;
    // Each is for whom one of before has missed, so that none comes twice, unless somebody made it up.
    for _ in 0..all.len() {
        let Some(before) = first.missed_by.as_ref().and_then(|id| all.get(id)) else { break };
        first = before;
    }
    first
}

/// Of two broadcasts for the same people each would mail them.
pub(super) fn taken(broadcast: &Broadcast, other: &BroadcastId) -> Refused {
    let id = &broadcast.broadcast_id;
    Refused(format!(
        "`{other}` was made for those whom `{id}` has missed, and would mail them, too: send that one (`issei resend {id} --as {other}` makes its files again); once it is over, `issei resend {other} --as NEW_ID` is for whomever it has missed"
    ))
}
