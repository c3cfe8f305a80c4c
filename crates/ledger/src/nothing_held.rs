//! By which entries of its audit trail it is known that nobody holds anything of a stopped broadcast: one rule for `issei stop`, the
//! console and the certificate.
//!
//! It goes by words, since the chain of the trail is over the words: a code beside them can be changed by hand without a trace. What it
//! must never do: take a person's reason for it. Theirs stands with the step to `stopping`, and these with what follows by itself.

use jiff::Timestamp;

use crate::{AuditEntry, BroadcastState, KEY_REVOKED, phrases};

/// Where every consumer has said it. Nothing else is proved by it: with `--hard` the step to `stopped` is taken sooner, and
/// `issei open` lets SES send again.
pub const SAID: &str = phrases::NOBODY_HOLDS_ANY.english;

/// Where nothing was ever granted of it, so that there is nobody to say anything.
pub const NEVER_GRANTED: &str = phrases::NONE_GRANTED.english;

/// Written where it was stopped before, and each has said it only since.
pub const NOTHING_HELD: &str = phrases::NOTHING_HELD_STEP.english;

/// Since when it is known; nothing where it is not, or the broadcast is not stopped.
#[must_use]
pub fn nothing_held_since(trail: &[AuditEntry]) -> Option<Timestamp> {
    let after = trail.get(trail.iter().rposition(AuditEntry::is_step)?..)?;
    let (last, notes) = after.split_first()?;
    let stopped_from = |from: BroadcastState| last.step == format!("{from} -> {}", BroadcastState::Stopped);
    // Nothing of it was frozen to its end, let alone sent.
    let never_sent = stopped_from(BroadcastState::Enumerating);
    let by_itself = stopped_from(BroadcastState::Stopping);
    if never_sent || by_itself && [SAID, NEVER_GRANTED].contains(&last.reason.as_str()) {
        return Some(last.at);
    }
    let said = notes.iter().find(|note| by_itself && note.step == NOTHING_HELD && note.reason == SAID);
    said.map(|note| note.at)
}

/// Who said last, after the last step, that each key by which another provider than SES was asked for it is revoked. No service
/// says it, so it is as true as that person's word.
#[must_use]
pub fn key_revoked(trail: &[AuditEntry]) -> Option<&AuditEntry> {
    let mut after_the_last_step = trail.iter().rev().take_while(|entry| !entry.is_step());
    after_the_last_step.find(|entry| entry.step == KEY_REVOKED)
}
