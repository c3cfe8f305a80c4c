//! What the provider's answer proves about each recipient. Only what is documented as not accepted
//! counts as not accepted; everything else is in doubt and is not sent again. That somebody was not
//! accepted is no rejection yet: whose fault it was is another question (`refusal.rs`).

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::types::BulkEmailStatus;
use issei_aws::{chain, never_left};
use issei_ledger::Outcome;
use issei_schema::without_addresses;

use crate::refusal::Cause;

/// What one answer says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Accepted(Option<String>),
    /// Surely not accepted, for a cause that will pass, or that is everybody's.
    Retryable,
    InDoubt,
    /// Surely not accepted, for this reason, which may be the recipient's or not.
    Refused(Refusal),
}

/// A refusal by the provider's own words, less any address that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) text: String,
    pub(crate) cause: Cause,
}

impl Said {
    /// As the ledger has it; a refusal that nobody has charged to its recipient is to be tried again.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted(_) => Outcome::Accepted,
            Self::Retryable | Self::Refused(_) => Outcome::Retryable,
            Self::InDoubt => Outcome::InDoubt,
        }
    }
}

/// What one answer says.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// One for each entry that was sent, in order.
    pub(crate) entries: Vec<Said>,
    /// The provider asks for fewer requests.
    pub(crate) slow_down: bool,
    /// The provider refuses for a reason that will not pass by itself: sending on is pointless.
    pub(crate) pause: Option<String>,
    /// The call as a whole was refused for the sake of some entry.
    pub(crate) split: bool,
    /// The permit is so old that AWS refuses what is signed with its moment: this machine was paused, and
    /// did not see it.
    pub(crate) stale: bool,
    /// For the log.
    pub(crate) error: Option<String>,
}

impl Verdict {
    fn all(entries: usize, said: Said, error: String) -> Self {
        Self { entries: vec![said; entries], slow_down: false, pause: None, split: false, stale: false, error: Some(error) }
    }

    /// Says whether at least one entry was accepted.
    pub(crate) fn accepts_anybody(&self) -> bool {
        self.entries.iter().any(|said| matches!(said, Said::Accepted(_)))
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
                SdkError::ConstructionFailure(_) => Verdict::all(entries, Said::Retryable, text),
                SdkError::DispatchFailure(_) if never_left(&error) => {
                    Verdict { slow_down: true, ..Verdict::all(entries, Said::Retryable, text) }
                }
                SdkError::ServiceError(service) => refused_call(service.err(), entries, text),
                _ => Verdict::all(entries, Said::InDoubt, text),
            }
        }
    }
}

fn accepted_call(output: &SendBulkEmailOutput, entries: usize) -> Verdict {
    let mut verdict = Verdict::all(entries, Said::InDoubt, String::new());
    verdict.error = None;
    for (place, result) in verdict.entries.iter_mut().zip(output.bulk_email_entry_results()) {
        let status = result.status();
        let words = result.error().unwrap_or("no reason given");
        let text = format!("{}: {}", status.map_or("no status", BulkEmailStatus::as_str), without_addresses(words));
        let (said, pause) = match status {
            Some(BulkEmailStatus::Success) => (Said::Accepted(result.message_id().map(str::to_owned)), false),
            Some(BulkEmailStatus::MessageRejected | BulkEmailStatus::InvalidParameter) => match Cause::of(words) {
                Cause::Sender => (Said::Retryable, true),
                cause => (Said::Refused(Refusal { text: text.clone(), cause }), false),
            },
            Some(BulkEmailStatus::AccountThrottled) => {
                verdict.slow_down = true;
                (Said::Retryable, false)
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
            ) => (Said::Retryable, true),
            // `TRANSIENT_FAILURE`, `FAILED`, and whatever SES learns to say later: none of them
            // says that the message was not accepted.
            _ => (Said::InDoubt, false),
        };
        if !matches!(said, Said::Accepted(_)) {
            verdict.error.get_or_insert_with(|| text.clone());
        }
        if pause {
            verdict.pause.get_or_insert(text);
        }
        *place = said;
    }
    if output.bulk_email_entry_results().len() < entries {
        verdict.error = Some(format!("the answer has {} results for {entries} entries", output.bulk_email_entry_results().len()));
    }
    verdict
}

fn refused_call(error: &SendBulkEmailError, entries: usize, text: String) -> Verdict {
    let refused = |said| Verdict::all(entries, said, text.clone());
    match error {
        SendBulkEmailError::TooManyRequestsException(_) => Verdict { slow_down: true, ..refused(Said::Retryable) },
        SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
            match Cause::of(error.message().unwrap_or_default()) {
                Cause::Sender => Verdict { pause: Some(text.clone()), ..refused(Said::Retryable) },
                cause => Verdict { split: true, ..refused(Said::Refused(Refusal { text: text.clone(), cause })) },
            }
        }
        SendBulkEmailError::AccountSuspendedException(_)
        | SendBulkEmailError::LimitExceededException(_)
        | SendBulkEmailError::MailFromDomainNotVerifiedException(_)
        | SendBulkEmailError::NotFoundException(_)
        | SendBulkEmailError::SendingPausedException(_) => Verdict { pause: Some(text.clone()), ..refused(Said::Retryable) },
        other => match other.code() {
            // Its words are in the SigV4 guide, "Troubleshoot signed requests"; the code alone may be about the key.
            Some("RequestExpired" | "RequestTimeTooSkewed") => Verdict { stale: true, ..refused(Said::Retryable) },
            Some("InvalidSignatureException" | "SignatureDoesNotMatch")
                if other.message().is_some_and(|message| message.contains("Signature expired")) =>
            {
                Verdict { stale: true, ..refused(Said::Retryable) }
            }
            Some("ThrottlingException" | "Throttling") => Verdict { slow_down: true, ..refused(Said::Retryable) },
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
            ) => Verdict { pause: Some(text.clone()), ..refused(Said::Retryable) },
            _ => refused(Said::InDoubt),
        },
    }
}
