//! Judging a command before anything is made of it.

use std::collections::BTreeMap;

use issei_schema::{BroadcastCommand, ParseError, limits};
use jiff::{SignedDuration, Timestamp};

use crate::audience::AudienceConfig;
use crate::row::Needed;

/// Why a command is refused. It goes to the dead-letter queue with this as its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Body(#[from] ParseError),
    #[error("field `audience`: the producer's configuration has no audience `{name}`; it has {known}")]
    UnknownAudience { name: String, known: String },
    #[error(
        "field `content`: the placeholder {{{{{placeholder}}}}} is no column of the audience `{audience}`; add it to the audience's `columns` or correct it"
    )]
    UnknownPlaceholder { placeholder: String, audience: String },
    #[error(
        "field `not_after` is {not_after}, and now it is {now}: the command's time is over; send a new one with a new broadcast_id if the broadcast is still wanted"
    )]
    TooLate { not_after: Timestamp, now: Timestamp },
    #[error("field `not_after` is {not_after}, more than {} hours ahead of now ({now}); bring it nearer", limits::NOT_AFTER_HOURS_MAX)]
    TooFarAhead { not_after: Timestamp, now: Timestamp },
    #[error(
        "the command is older than epoch {epoch} of the ledger, opened at {opened_at} after a restore: whether it was carried out before nobody knows; send a new one if it was not"
    )]
    BeforeEpoch { epoch: u64, opened_at: Timestamp },
    #[error("{0}; send the command again then, or move it back with `issei redrive commands`")]
    Closed(String),
    #[error(
        "field `broadcast_id`: `{id}` belongs to another command (hash {first}, this one {second}); the first goes on untouched; choose a new id for new content"
    )]
    OtherContent { id: String, first: String, second: String },
}

/// Checks a command against the clock and the configured audiences.
///
/// # Errors
/// Names the field, what is wrong and what to do.
pub fn check_command(command: &BroadcastCommand, audiences: &BTreeMap<String, AudienceConfig>, now: Timestamp) -> Result<(), Refusal> {
    needed(command, audiences)?;
    let not_after = command.not_after;
    if now > not_after {
        return Err(Refusal::TooLate { not_after, now });
    }
    if not_after.duration_since(now) > SignedDuration::from_hours(limits::NOT_AFTER_HOURS_MAX) {
        return Err(Refusal::TooFarAhead { not_after, now });
    }
    Ok(())
}

/// The configured audience of a command and the columns that its content needs.
pub(crate) fn needed(
    command: &BroadcastCommand,
    audiences: &BTreeMap<String, AudienceConfig>,
) -> Result<(AudienceConfig, Needed), Refusal> {
    let name = command.audience.as_str();
    let audience = AudienceConfig::named(name, audiences).ok_or_else(|| Refusal::UnknownAudience {
        name: name.to_owned(),
        known: if audiences.is_empty() {
            "none".to_owned()
        } else {
            audiences.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        },
    })?;
    let needed = Needed::of(&command.content, &audience)
        .map_err(|placeholder| Refusal::UnknownPlaceholder { placeholder, audience: name.to_owned() })?;
    Ok((audience, needed))
}
