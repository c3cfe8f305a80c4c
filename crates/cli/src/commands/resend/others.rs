//! Who else mails whom a broadcast has missed: another that was made for them, or one that has said the same to the whole audience
//! since.
//!
//! What this must never do: let two go on of which each would mail the same people.

use anyhow::bail;
use issei_ledger::{Broadcast, Ledger};
use issei_schema::{BroadcastCommand, BroadcastId};

use crate::Refused;

/// Who asks for a broadcast that is for whom another has missed, before the other's id. Whoever writes that by hand is believed,
/// and can only have more refused.
pub(super) const REQUESTER: &str = "issei resend ";
/// So many broadcasts are followed, each of which was made for whom the one before had missed.
const LINE_MAX: usize = 20;

/// This broadcast, and those for whose missed it was made in turn, with their commands.
pub(super) async fn line_of(
    ledger: &Ledger,
    broadcast: &Broadcast,
    first: &BroadcastCommand,
) -> anyhow::Result<Vec<(Broadcast, BroadcastCommand)>> {
    let mut line = vec![(broadcast.clone(), first.clone())];
    while line.len() < LINE_MAX
        && let Some((_, last)) = line.last()
        && let Some(id) = last.requested_by.as_str().strip_prefix(REQUESTER).and_then(|id| id.parse().ok())
        && let Some(before) = ledger.find_broadcast(&id).await?
    {
        let command = ledger.command(&id).await?;
        line.push((before, command));
    }
    Ok(line)
}

/// Whom a broadcast has missed may have had the same from one that was sent to all of its audience since: an app that tried again
/// under another id.
pub(super) async fn nobody_else_says_it(ledger: &Ledger, line: &[(Broadcast, BroadcastCommand)]) -> anyhow::Result<()> {
    for (broadcast, command) in line {
        let id = &broadcast.broadcast_id;
        let Some(since) = ledger.repeated_since(command, broadcast.created_at).await? else { continue };
        bail!(Refused(format!(
            "the same was asked for since, for the whole audience of `{id}`, by {}: whoever was missed may have it from that, and would be mailed twice; once that one is over, `issei resend {} --as NEW_ID` is for whom it has missed",
            since.told(),
            since.broadcast_id
        )));
    }
    Ok(())
}

/// Of two broadcasts for the same people each would mail them.
pub(super) fn taken(broadcast: &Broadcast, other: &BroadcastId) -> Refused {
    let id = &broadcast.broadcast_id;
    Refused(format!(
        "`{other}` was made for those whom `{id}` has missed, and would mail them, too: send that one (`issei resend {id} --as {other}` makes its files again); once it is over, `issei resend {other} --as NEW_ID` is for whomever it has missed"
    ))
}
