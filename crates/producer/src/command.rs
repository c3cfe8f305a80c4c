//! Judging a command before anything is made of it.

use std::collections::{BTreeMap, BTreeSet};

use issei_ledger::{ReasonCode, Repeated};
use issei_letter::{ContentError, Letters};
use issei_provider::Known;
use issei_schema::{
    BroadcastCommand, Content, InDoubtPolicy, Opening, ParseError, ProviderName, UNSUBSCRIBE_PLACEHOLDER, Unsubscribe, UnsubscribeKeyId,
    limits,
};
use jiff::{SignedDuration, Timestamp};

use crate::audience::AudienceConfig;
use crate::row::{Lack, Needed, ReadLetters};

/// Why a command is refused. It goes to the dead-letter queue with this as its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Body(#[from] ParseError),
    #[error("field `audience`: the producer's configuration has no audience `{name}`; it has {known}")]
    UnknownAudience { name: String, known: String },
    #[error(
        "field `content`: the placeholder {{{{{placeholder}}}}} is no column of the audience `{audience}`, which has {known}; add it to the audience's `columns` or correct it"
    )]
    UnknownPlaceholder { placeholder: String, audience: String, known: String },
    #[error(
        "field `content.variants.by`: `{column}`, whose value chooses the words, is no column of the audience `{audience}`; add it to the audience's `columns` or correct it"
    )]
    UnknownVariantColumn { column: String, audience: String },
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(
        "field `test_copy.to`: the address is neither in the sender's domain nor among the producer's `test_recipients`; add it, or its domain, there"
    )]
    ForeignCopy,
    #[error(
        "field `content.template`: the audience `{audience}` has the columns `{column}` and `html_{column}`, and `html_{column}` is also the name by which a stored template gets `{column}` escaped for HTML; rename one of the two in a `query` of the audience, or take it out of `columns`"
    )]
    NamesMeet { column: String, audience: String },
    #[error(
        "field `class`: is `marketing`, and the audience `{audience}` does not say who wants such mail; give it `marketing_filter`, a condition in SQL, or for a file `consent_column` in the producer's configuration"
    )]
    NobodyAsked { audience: String },
    #[error(
        "field `unsubscribe.column`: `{column}` is no column of the audience `{audience}`; add it to the audience's `columns` or correct it"
    )]
    UnknownUnsubscribeColumn { column: String, audience: String },
    #[error(
        "field `unsubscribe`: the audience `{audience}` has a column `{UNSUBSCRIBE_PLACEHOLDER}`, which is also the name by which the content has the URL to unsubscribe; name the column in `unsubscribe.column`, rename it in a `query` of the audience, or take it out of `columns`"
    )]
    ReservedColumn { audience: String },
    #[error(
        "field `unsubscribe.key`: the producer's configuration has no key `{key}` in [unsubscribe_keys]; name it there and in the consumers' configuration, or correct it"
    )]
    UnknownUnsubscribeKey { key: UnsubscribeKeyId },
    #[error(
        "field `provider`: the producer's configuration has no provider `{name}`; it has {known}; add it under [providers] there and in the consumers' configuration, or correct it"
    )]
    UnknownProvider { name: ProviderName, known: String },
    #[error("field `content.template`: {provider} stores no templates that issei could send; write the content `inline`, or as `variants`")]
    NoTemplates { provider: &'static str },
    #[error(
        "field `in_doubt`: is `evidence_retry`, and {provider} refuses no request for its age: whatever is on its way may be accepted later, so the absence of events proves nothing; take it out, or say `at_least_once`"
    )]
    NothingProved { provider: &'static str },
    #[error("field `content.template`: the template `{name}`: {why}")]
    Template { name: String, why: String },
    #[error(
        "field `not_after` is {not_after}, and now it is {now:.0}: the command's time is over; send a new one with a new broadcast_id if the broadcast is still wanted"
    )]
    TooLate { not_after: Timestamp, now: Timestamp },
    #[error(
        "field `not_after` is {not_after}, more than {hours} hours ahead of now ({now:.0}): {latest:.0} is the latest moment; bring it nearer{}",
        further(*hours)
    )]
    TooFarAhead { not_after: Timestamp, hours: i64, now: Timestamp, latest: Timestamp },
    #[error(
        "field `send_window`: it does not open from now ({now:.0}) or not_before on until not_after ({not_after}), so nothing could ever be sent; set a later not_after, or another window"
    )]
    NeverOpens { not_after: Timestamp, now: Timestamp },
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
    #[error("{0}")]
    Repeated(Box<Repeated>),
}

impl Refusal {
    /// What kind of refusal it is, as the ledger notes it.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Body(_) => ReasonCode::RefusedCommand,
            Self::UnknownAudience { .. }
            | Self::NamesMeet { .. }
            | Self::NobodyAsked { .. }
            | Self::UnknownUnsubscribeColumn { .. }
            | Self::ReservedColumn { .. } => ReasonCode::RefusedAudience,
            Self::UnknownPlaceholder { .. } | Self::UnknownVariantColumn { .. } | Self::Content(_) | Self::Template { .. } => {
                ReasonCode::RefusedContent
            }
            Self::UnknownProvider { .. } | Self::NoTemplates { .. } | Self::NothingProved { .. } => ReasonCode::RefusedProvider,
            Self::UnknownUnsubscribeKey { .. } => ReasonCode::RefusedKeyMissing,
            Self::ForeignCopy => ReasonCode::RefusedCopy,
            Self::TooLate { .. } | Self::TooFarAhead { .. } | Self::NeverOpens { .. } => ReasonCode::RefusedTime,
            Self::BeforeEpoch { .. } => ReasonCode::RefusedRestored,
            Self::Repeated(repeated) if matches!(**repeated, Repeated::OlderThanRestore { .. }) => ReasonCode::RefusedRestored,
            Self::Closed(_) => ReasonCode::RefusedClosed,
            Self::OtherContent { .. } => ReasonCode::RefusedOtherContent,
            Self::Repeated(_) => ReasonCode::RefusedRepeated,
        }
    }
}

/// Checks a command against the clock, the configured audiences and providers, and the names of the configured keys.
///
/// # Errors
/// Names the field, what is wrong and what to do.
pub fn check_command(
    command: &BroadcastCommand,
    audiences: &BTreeMap<String, AudienceConfig>,
    unsubscribe_keys: &BTreeSet<UnsubscribeKeyId>,
    providers: &BTreeMap<ProviderName, Known>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (audience, _) = needed(command, audiences, Letters::of)?;
    Letters::check_seen(command)?;
    check_provider(command, providers)?;
    if let Some(key) = command.unsubscribe.as_ref().and_then(|unsubscribe| Unsubscribe::lacks_key(unsubscribe, unsubscribe_keys)) {
        return Err(Refusal::UnknownUnsubscribeKey { key: key.clone() });
    }
    if matches!(command.content, Content::Template { .. })
        && let Some(column) = audience.columns.iter().find(|column| audience.columns.contains(&format!("html_{column}")))
    {
        return Err(Refusal::NamesMeet { column: column.clone(), audience: command.audience.to_string() });
    }
    check_time(command, now)
}

/// Checks whether anything of a command may be sent from now on.
///
/// # Errors
/// Names the field, what is wrong and what to do.
pub fn check_time(command: &BroadcastCommand, now: Timestamp) -> Result<(), Refusal> {
    let not_after = command.not_after;
    if now > not_after {
        return Err(Refusal::TooLate { not_after, now });
    }
    let hours = if command.schedule().is_given() { limits::SCHEDULED_HOURS_MAX } else { limits::NOT_AFTER_HOURS_MAX };
    let ahead = SignedDuration::from_hours(hours);
    if not_after.duration_since(now) > ahead {
        return Err(Refusal::TooFarAhead { not_after, hours, now, latest: now.saturating_add(ahead).unwrap_or(Timestamp::MAX) });
    }
    if command.schedule().at(now) == Opening::Over {
        return Err(Refusal::NeverOpens { not_after, now });
    }
    Ok(())
}

/// How a command may lie further ahead that says nothing of when it is to be sent.
fn further(hours: i64) -> String {
    match hours {
        limits::NOT_AFTER_HOURS_MAX => {
            format!("; with `not_before` or `send_window`, {} days ahead are allowed", limits::SCHEDULED_HOURS_MAX / 24)
        }
        _ => String::new(),
    }
}

/// What a provider lacks is refused before anybody is mailed: none takes over from it.
fn check_provider(command: &BroadcastCommand, providers: &BTreeMap<ProviderName, Known>) -> Result<(), Refusal> {
    let name = command.provider();
    let Some(Known { facts, .. }) = providers.get(&name) else {
        let known = providers.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Refusal::UnknownProvider { name, known });
    };
    if matches!(command.content, Content::Template { .. }) && !facts.stores_templates {
        return Err(Refusal::NoTemplates { provider: facts.title });
    }
    if command.in_doubt == InDoubtPolicy::EvidenceRetry && facts.refused_after.is_none() {
        return Err(Refusal::NothingProved { provider: facts.title });
    }
    Ok(())
}

/// Checks that a copy goes to the sender's own people: whoever may put a command on the queue, such as the app, may
/// write to the audiences, and by a copy to nobody else. `allowed` are addresses and domains, with commas between them.
///
/// # Errors
/// Says where the address must be.
pub fn check_copy(command: &BroadcastCommand, allowed: &str) -> Result<(), Refusal> {
    let Some(copy) = &command.test_copy else { return Ok(()) };
    let to = copy.to.identity();
    let domain_of = |address: &str| address.rsplit_once('@').map_or(String::new(), |(_, domain)| domain.to_ascii_lowercase());
    let domain = domain_of(&to);
    let is_meant = |allowed: &str| match allowed.split_once('@') {
        Some(("", allowed)) => allowed.eq_ignore_ascii_case(&domain),
        Some(_) => allowed.eq_ignore_ascii_case(&to),
        None => allowed.eq_ignore_ascii_case(&domain),
    };
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).filter(|allowed| !allowed.is_empty()).collect();
    if domain == domain_of(&command.from.address().identity()) || allowed.iter().any(|allowed| is_meant(allowed)) {
        return Ok(());
    }
    Err(Refusal::ForeignCopy)
}

/// The configured audience of a command, as it is read for its class, and the columns that its content needs.
pub(crate) fn needed(
    command: &BroadcastCommand,
    audiences: &BTreeMap<String, AudienceConfig>,
    letters: ReadLetters,
) -> Result<(AudienceConfig, Needed), Refusal> {
    let name = command.audience.as_str();
    let copied = command.test_copy.as_ref().map(|copy| AudienceConfig::of_copy(copy, command));
    #[cfg(feature = "simulation")]
    let copied = copied.map(|copied| AudienceConfig { memory: audiences.get(name).and_then(|whole| whole.memory.clone()), ..copied });
    let audience = copied
        .or_else(|| AudienceConfig::named(name, audiences))
        .ok_or_else(|| Refusal::UnknownAudience { name: name.to_owned(), known: listed(audiences.keys()) })?;
    let audience = audience.for_class(command.class()).ok_or_else(|| Refusal::NobodyAsked { audience: name.to_owned() })?;
    let needed = Needed::by(command, &audience, letters).map_err(|lack| lacking(lack, command, &audience))?;
    Ok((audience, needed))
}

/// What there is, for whoever has named something else.
fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Why a command is refused for what its audience lacks.
pub(crate) fn lacking(lack: Lack, command: &BroadcastCommand, read: &AudienceConfig) -> Refusal {
    let audience = command.audience.to_string();
    match lack {
        Lack::Placeholder(placeholder) => Refusal::UnknownPlaceholder { placeholder, audience, known: listed(&read.columns) },
        Lack::VariantColumn(column) => Refusal::UnknownVariantColumn { column, audience },
        Lack::UnsubscribeColumn(column) => Refusal::UnknownUnsubscribeColumn { column, audience },
        Lack::ReservedColumn => Refusal::ReservedColumn { audience },
        Lack::Content(error) => Refusal::Content(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_that_is_no_column_is_refused_with_the_columns_that_there_are() {
        for (columns, has) in [(&["name", "shop"][..], "which has `name`, `shop`; add"), (&[], "which has none; add")] {
            let columns = columns.iter().copied().map(str::to_owned).collect();
            let audience = AudienceConfig { columns, ..AudienceConfig::default() };
            let command = serde_json::json!({
                "version": 1, "broadcast_id": "b", "audience": "users", "content": { "inline": { "subject": "{{nmae}}", "text": "x" } },
                "from": "a@example.com", "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
            });
            let command = BroadcastCommand::parse(&command.to_string()).unwrap();
            let refused = needed(&command, &[("users".to_owned(), audience)].into(), Letters::of).err().unwrap().to_string();
            assert!(refused.starts_with("field `content`: the placeholder {{nmae}} is no column") && refused.contains(has), "{refused}");
        }
    }

    #[test]
    fn columns_whose_names_meet_in_a_stored_template_are_refused_and_nowhere_else() {
        let columns = ["name", "html_name"].map(str::to_owned).to_vec();
        let audiences = [("users".to_owned(), AudienceConfig { columns, ..AudienceConfig::default() })].into();
        let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let check = |content: serde_json::Value| {
            let command = serde_json::json!({
                "version": 1, "broadcast_id": "b", "audience": "users", "content": content, "from": "a@example.com",
                "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
            });
            check_command(&BroadcastCommand::parse(&command.to_string()).unwrap(), &audiences, &BTreeSet::new(), &Known::ses(), now)
        };
        let refused = check(serde_json::json!({ "template": { "name": "terms" } })).unwrap_err().to_string();
        assert!(refused.starts_with("field `content.template`: the audience `users` has the columns `name` and `html_name`"), "{refused}");
        assert_eq!(check(serde_json::json!({ "inline": { "subject": "{{name}}", "html": "{{html_name}}" } })), Ok(()));
    }
}
