//! What the provider's answer proves about each recipient. Only what is documented as not accepted
//! counts as not accepted; everything else is in doubt and is not sent again.

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::types::BulkEmailStatus;
use issei_aws::{chain, never_left};
use issei_ledger::Outcome;

/// What one answer says.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// One for each entry that was sent, in order, with the provider's message id.
    pub(crate) entries: Vec<(Outcome, Option<String>)>,
    /// The provider asks for fewer requests.
    pub(crate) slow_down: bool,
    /// The provider refuses for a reason that will not pass by itself: sending on is pointless.
    pub(crate) pause: Option<String>,
    /// The call as a whole was refused for the sake of some entry.
    pub(crate) split: bool,
    /// For the log.
    pub(crate) error: Option<String>,
}

impl Verdict {
    fn all(entries: usize, outcome: Outcome, error: String) -> Self {
        Self { entries: vec![(outcome, None); entries], slow_down: false, pause: None, split: false, error: Some(error) }
    }

    /// Says whether at least one entry was accepted.
    pub(crate) fn accepts_anybody(&self) -> bool {
        self.entries.iter().any(|(outcome, _)| *outcome == Outcome::Accepted)
    }
}

/// Reads the answer to a send of `entries` entries.
pub(crate) fn classify<R: std::fmt::Debug + 'static>(
    answer: Result<SendBulkEmailOutput, SdkError<SendBulkEmailError, R>>,
    entries: usize,
) -> Verdict {
    match answer {
        Ok(output) => accepted_call(&output, entries),
        Err(error) => {
            let text = chain(&error);
            match &error {
                SdkError::ConstructionFailure(_) => Verdict::all(entries, Outcome::Retryable, text),
                SdkError::DispatchFailure(_) if never_left(&error) => {
                    Verdict { slow_down: true, ..Verdict::all(entries, Outcome::Retryable, text) }
                }
                SdkError::ServiceError(service) => refused_call(service.err(), entries, text),
                _ => Verdict::all(entries, Outcome::InDoubt, text),
            }
        }
    }
}

fn accepted_call(output: &SendBulkEmailOutput, entries: usize) -> Verdict {
    let mut verdict = Verdict::all(entries, Outcome::InDoubt, String::new());
    verdict.error = None;
    for (place, result) in verdict.entries.iter_mut().zip(output.bulk_email_entry_results()) {
        let status = result.status();
        let reason = || format!("{}: {}", status.map_or("no status", BulkEmailStatus::as_str), result.error().unwrap_or("no reason given"));
        let (outcome, pause) = match status {
            Some(BulkEmailStatus::Success) => (Outcome::Accepted, false),
            Some(BulkEmailStatus::MessageRejected | BulkEmailStatus::InvalidParameter) => (Outcome::Rejected, false),
            Some(BulkEmailStatus::AccountThrottled) => {
                verdict.slow_down = true;
                (Outcome::Retryable, false)
            }
            Some(
                BulkEmailStatus::AccountDailyQuotaExceeded
                | BulkEmailStatus::AccountSendingPaused
                | BulkEmailStatus::AccountSuspended
                | BulkEmailStatus::ConfigurationSetNotFound
                | BulkEmailStatus::ConfigurationSetSendingPaused
                | BulkEmailStatus::InvalidSendingPoolName
                | BulkEmailStatus::MailFromDomainNotVerified
                | BulkEmailStatus::TemplateNotFound,
            ) => (Outcome::Retryable, true),
            // `TRANSIENT_FAILURE`, `FAILED`, and whatever SES learns to say later: none of them
            // says that the message was not accepted.
            _ => (Outcome::InDoubt, false),
        };
        if outcome != Outcome::Accepted {
            verdict.error.get_or_insert_with(reason);
        }
        if pause {
            verdict.pause.get_or_insert_with(reason);
        }
        *place = (outcome, result.message_id().map(str::to_owned));
    }
    if output.bulk_email_entry_results().len() < entries {
        verdict.error = Some(format!("the answer has {} results for {entries} entries", output.bulk_email_entry_results().len()));
    }
    verdict
}

fn refused_call(error: &SendBulkEmailError, entries: usize, text: String) -> Verdict {
    let refused = |outcome| Verdict::all(entries, outcome, text.clone());
    match error {
        SendBulkEmailError::TooManyRequestsException(_) => Verdict { slow_down: true, ..refused(Outcome::Retryable) },
        SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
            Verdict { split: true, ..refused(Outcome::Rejected) }
        }
        SendBulkEmailError::AccountSuspendedException(_)
        | SendBulkEmailError::LimitExceededException(_)
        | SendBulkEmailError::MailFromDomainNotVerifiedException(_)
        | SendBulkEmailError::NotFoundException(_)
        | SendBulkEmailError::SendingPausedException(_) => Verdict { pause: Some(text.clone()), ..refused(Outcome::Retryable) },
        other => match other.code() {
            Some("ThrottlingException" | "Throttling") => Verdict { slow_down: true, ..refused(Outcome::Retryable) },
            // Refused at the door, before SES saw the message (IAM user guide, "Common errors").
            Some(
                "AccessDeniedException"
                | "ExpiredTokenException"
                | "IncompleteSignature"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "MissingAuthenticationToken"
                | "MissingAuthenticationTokenException"
                | "OptInRequired"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException",
            ) => Verdict { pause: Some(text.clone()), ..refused(Outcome::Retryable) },
            _ => refused(Outcome::InDoubt),
        },
    }
}
