//! Who else mails whom a broadcast has missed: another that was made for them, or one that has said the same to the whole audience
//! since.
//!
//! What this must never do: let two go on of which each would mail the same people.

use anyhow::bail;
use issei_ledger::{Broadcast, Ledger};
use issei_schema::{BroadcastCommand, BroadcastId, Reason};

use crate::Refused;

/// Why a broadcast says what was said: it is for whom another has missed, whose id stands in the middle.
const FOR: [&str; 2] = ["for those whom ", " has missed"];
/// So many broadcasts are followed, each of which was made for whom the one before had missed.
const LINE_MAX: usize = 20;

/// What a command says that is for whom this one has missed.
pub(super) fn reason_for(id: &BroadcastId) -> anyhow::Result<Reason> {
    let [before, behind] = FOR;
    Reason::try_from(format!("{before}{id}{behind}")).map_err(anyhow::Error::msg)
}

/// The broadcast for whose missed this command is, by its own word.
fn missed_by(command: &BroadcastCommand) -> Option<BroadcastId> {
    let [before, behind] = FOR;
    command.again.as_ref()?.as_str().strip_prefix(before)?.strip_suffix(behind)?.parse().ok()
}

/// This broadcast, and those for whose missed it was made in turn, with their commands.
pub(super) async fn line_of(
    ledger: &Ledger,
    broadcast: &Broadcast,
    first: &BroadcastCommand,
) -> anyhow::Result<Vec<(Broadcast, BroadcastCommand)>> {
    let mut line = vec![(broadcast.clone(), first.clone())];
    while line.len() < LINE_MAX
        && let Some((last, command)) = line.last()
        && let Some(id) = missed_by(command)
        && let Some(before) = ledger.find_broadcast(&id).await?
        // Anybody can give such a reason; the other one names whom it was noted for.
        && before.resent_as.as_ref() == Some(&last.broadcast_id)
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
