//! What SES's answer proves about each recipient.

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::types::BulkEmailStatus;
use issei_aws::{chain, never_left};
use issei_schema::without_addresses;

use crate::ses::words::cause;
use crate::{Cause, Refusal, Said, SlowDown, Verdict};

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
                    Verdict { slow_down: Some(SlowDown::Awhile), ..Verdict::all(entries, Said::Retryable, text) }
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
            Some(BulkEmailStatus::MessageRejected | BulkEmailStatus::InvalidParameter) => match cause(words) {
                Cause::Sender => (Said::Retryable, true),
                cause => (Said::Refused(Refusal { text: text.clone(), cause }), false),
            },
            Some(BulkEmailStatus::AccountThrottled) => {
                verdict.slow_down = Some(SlowDown::Awhile);
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
        SendBulkEmailError::TooManyRequestsException(_) => Verdict { slow_down: Some(SlowDown::Awhile), ..refused(Said::Retryable) },
        SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
            match cause(error.message().unwrap_or_default()) {
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
            Some("ThrottlingException" | "Throttling") => Verdict { slow_down: Some(SlowDown::Awhile), ..refused(Said::Retryable) },
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
