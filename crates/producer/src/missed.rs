//! Whether the audience of a resend has somebody whom the broadcast has sent to for whose missed it is: its list is a file, and files
//! are edited.
//!
//! What this must never do: hold more of either than a page in memory, or name anybody where it is logged.

use std::collections::BTreeMap;
use std::fmt;

use issei_ledger::{Broadcast, Ledger, MissedBy, missed_by};
use issei_schema::{BroadcastCommand, BroadcastId};

use crate::judging::JudgingError;
use crate::source::{Cell, Mailed, Source, identity_of, quotable};
use crate::survey::{Skips, skip_to};

/// Before a key, and before an address, of somebody who was sent to, in the spool. No key and no address holds a control character.
const KEY: char = '\u{2}';
const ADDRESS: char = '\u{3}';
const PAGE: usize = 2_000;

/// Of whom a resend's audience has some that were sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBefore {
    /// Whose missed it is for.
    pub of: BroadcastId,
    /// How many, with three keys.
    pub keys: Skips,
}

impl fmt::Display for SentBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, keys: Skips { rows, examples } } = self;
        write!(
            f,
            "{rows} rows of this audience are of users whom `{of}`, for whose missed it is, has accepted or in doubt (keys {}), so its list was edited since `issei resend` wrote it; they would be mailed twice, and the producer freezes nobody: take their rows out of the list, or make another with `issei resend {of} --as NEW_ID`; whoever shall have it once more needs a command of its own that says why (`again`), to an audience of its own",
            examples.join(", ")
        )
    }
}

/// Those of a resend's audience whom the broadcasts of its line have accepted, or have in doubt; nothing where there are none, or it
/// is no resend. Where each address is one user, by the address as well.
pub(crate) async fn sent_before(
    ledger: &Ledger,
    command: &BroadcastCommand,
    source: &mut Source,
    by_address: bool,
) -> Result<Option<SentBefore>, JudgingError> {
    let Some(MissedBy { of, .. }) = missed_by(command) else { return Ok(None) };
    for broadcast in ledger.line_before(command).await? {
        note_sent(ledger, &broadcast, source, by_address).await?;
    }
    let (mut keys, mut after) = (Skips::default(), None);
    loop {
        let page = source.spooled(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.row.key.clone());
        let marks = page.iter().map(|spooled| (mark(KEY, &spooled.row.key), address(&spooled.row.address).filter(|_| by_address)));
        let marks: Vec<(String, Option<String>)> = marks.collect();
        let known: Mailed =
            source.mailed(marks.iter().flat_map(|(key, address)| [Some(key), address.as_ref()]).flatten().cloned().collect()).await?;
        for (spooled, (key, address)) in page.iter().zip(&marks) {
            if known.contains_key(key) || address.as_ref().is_some_and(|address| known.contains_key(address)) {
                skip_to(&mut keys, 1, Some(quotable(&spooled.row.key)));
            }
        }
    }
    Ok((keys.rows > 0).then_some(SentBefore { of, keys }))
}

fn mark(kind: char, of: &str) -> String {
    format!("{kind}{of}")
}

fn address(cell: &Cell) -> Option<String> {
    if let Cell::Text(text) = cell { identity_of(text).map(|identity| mark(ADDRESS, &identity)) } else { None }
}

/// Notes in the spool whom a broadcast has sent to.
async fn note_sent(ledger: &Ledger, broadcast: &Broadcast, source: &mut Source, by_address: bool) -> Result<(), JudgingError> {
    let log = ledger.event_log(broadcast).await?;
    for seq in 0..broadcast.pages {
        let mut sent = BTreeMap::new();
        for found in ledger.page_outcomes(&broadcast.placed(), seq, &log).await? {
            let is_sent = found.is_sent();
            let Some(recipient) = found.recipient.filter(|_| is_sent) else { continue };
            sent.insert(mark(KEY, recipient.key.as_str()), String::new());
            if by_address {
                sent.insert(mark(ADDRESS, &recipient.address.identity()), String::new());
            }
        }
        source.note(sent).await?;
    }
    Ok(())
}
