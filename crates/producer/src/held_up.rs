//! Why a broadcast that is registered is not frozen now, for whoever waits for it: they look into the ledger and not into
//! this log. A cause is never told as another one: each has its own words, with what ends it.

use issei_ledger::ReasonCode;
use issei_schema::{BroadcastCommand, BroadcastId, UNSUBSCRIBE_PLACEHOLDER};

use crate::command::Refusal;
use crate::service::ProducerError;

/// What kind of cause it is, as the ledger notes it; nothing where the broadcast does not wait for a person.
pub(crate) fn code(error: &ProducerError) -> Option<ReasonCode> {
    match error {
        ProducerError::Source(_) => Some(ReasonCode::HeldUpSource),
        ProducerError::AudienceGone { .. } => Some(ReasonCode::HeldUpNotConfigured),
        ProducerError::AudienceChanged { .. } => Some(ReasonCode::HeldUpAudienceChanged),
        ProducerError::Letter { .. } => Some(ReasonCode::HeldUpContent),
        ProducerError::CallTooShort { .. } => Some(ReasonCode::HeldUpCallTooShort),
        ProducerError::Ledger(_) | ProducerError::Queue(_) | ProducerError::Ended(_) | ProducerError::Template { .. } => None,
    }
}

/// Why a command that was taken can't be carried out as this producer is configured.
pub(crate) fn since(command: &BroadcastCommand, refusal: Refusal) -> ProducerError {
    let id = command.broadcast_id.clone();
    match refusal {
        Refusal::UnknownAudience { name, .. } => ProducerError::AudienceGone { audience: name, id },
        // Registered by an earlier build, which had fewer rules.
        Refusal::Content(error) => ProducerError::Letter { id, error },
        refusal => changed(id, command.audience.to_string(), refusal),
    }
}

fn changed(id: BroadcastId, audience: String, refusal: Refusal) -> ProducerError {
    let why = match refusal {
        Refusal::UnknownPlaceholder { placeholder, known, .. } => {
            format!("it has no column `{placeholder}`, which the content needs (it has {known}); put that back into its `columns`")
        }
        Refusal::UnknownVariantColumn { column, .. } => {
            format!("it has no column `{column}`, whose value chooses the words; put that back into its `columns`")
        }
        Refusal::UnknownUnsubscribeColumn { column, .. } => {
            format!("it has no column `{column}`, in which the command has the URLs to unsubscribe; put that back into its `columns`")
        }
        Refusal::ReservedColumn { .. } => format!(
            "it has a column `{UNSUBSCRIBE_PLACEHOLDER}`, which is also the name by which the content has the URL to unsubscribe; take it out of its `columns`, or rename it in its `query`"
        ),
        Refusal::NobodyAsked { .. } => {
            "it does not say who wants marketing, and the command is `marketing`; put its `marketing_filter` back, or for a file its `consent_column`".to_owned()
        }
        refusal => refusal.to_string(),
    };
    ProducerError::AudienceChanged { audience, id, why }
}
