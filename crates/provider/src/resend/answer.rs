//! What Resend's answer proves about each recipient.

use std::time::Duration;

use http::Response;
use issei_aws::Unanswered;
use issei_schema::without_addresses;
use serde::Deserialize;

use crate::answer::header;
use crate::{Cause, Refusal, Said, SlowDown, Verdict};

/// Words of a refusal are kept so far.
const WORDS_BYTES_MAX: usize = 300;

#[derive(Deserialize)]
struct Taken {
    data: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    id: String,
}

/// "Errors" of the API reference, and their form in resend/resend-node and resend/resend-rust. Each has a name, and the status.
#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "statusCode")]
    status: u16,
    name: String,
    #[serde(default)]
    message: String,
}

/// The names that are documented, there or in resend/resend-node. One that comes to be tomorrow is taken for somebody else's
/// until it stands here: then whoever it is about is asked about under the key, and is in no doubt for long.
const NAMES: [&str; 22] = [
    "application_error",
    "concurrent_idempotent_requests",
    "daily_quota_exceeded",
    "internal_server_error",
    "invalid_access",
    "invalid_api_key",
    "invalid_attachment",
    "invalid_from_address",
    "invalid_idempotency_key",
    "invalid_idempotent_request",
    "invalid_parameter",
    "invalid_region",
    "method_not_allowed",
    "missing_api_key",
    "missing_required_field",
    "monthly_quota_exceeded",
    "not_found",
    "rate_limit_exceeded",
    "restricted_api_key",
    "security_error",
    "suspended_api_key",
    "validation_error",
];

/// Reads what came of a call of `entries` entries. What a repeat is refused says nothing of the request before it, which
/// may have been accepted: whoever asks again believes acceptance, and nothing else.
pub(super) fn classify(answer: Result<Response<Vec<u8>>, Unanswered>, entries: usize) -> Verdict {
    match answer {
        Ok(answer) if answer.status().as_u16() == 200 => taken(&answer, entries),
        Ok(answer) => refused(&answer, entries),
        Err(unanswered) => Verdict::unanswered(entries, unanswered),
    }
}

/// "Each entry in `data` corresponds to the email at the same index" ("Send Batch Emails", response format).
fn taken(answer: &Response<Vec<u8>>, entries: usize) -> Verdict {
    let told = serde_json::from_slice::<Taken>(answer.body());
    let ids = told.map(|taken| taken.data).unwrap_or_default();
    let mut verdict = Verdict::all(entries, Said::InDoubt, format!("200 with {} ids for {entries} letters", ids.len()));
    if ids.len() != entries {
        return verdict;
    }
    let usable = |id: &String| id.len() <= 100 && id.bytes().all(|b| b.is_ascii_graphic());
    let said = |id: String| if id.is_empty() { Said::InDoubt } else { Said::Accepted(Some(id).filter(usable)) };
    verdict.entries = ids.into_iter().map(|message| said(message.id)).collect();
    let without = verdict.entries.iter().filter(|said| **said == Said::InDoubt).count();
    verdict.error = (without > 0).then(|| format!("200 without an id for {without} of {entries} letters"));
    verdict
}

fn refused(answer: &Response<Vec<u8>>, entries: usize) -> Verdict {
    let status = answer.status().as_u16();
    let own = serde_json::from_slice::<Refused>(answer.body()).ok();
    let own = own.filter(|own| own.status == status && NAMES.contains(&own.name.as_str()));
    let Some(Refused { name, message, .. }) = own else {
        return Verdict::not_its_own(entries, "Resend", true, answer);
    };
    let text = text(status, &name, &message);
    let all = |said| Verdict::all(entries, said, text.clone());
    let paused = || Verdict { pause: Some(text.clone()), ..all(Said::Retryable) };
    match (status, name.as_str()) {
        // The key was used with another body. By whom, and what became of that, nobody here can tell.
        (409, "invalid_idempotent_request") => Verdict { pause: Some(text.clone()), unlike: true, ..all(Said::InDoubt) },
        // "It is safe to retry this request later": the first one is not finished.
        (409, "concurrent_idempotent_requests") => Verdict { slow_down: Some(SlowDown::Awhile), ..all(Said::InDoubt) },
        // A quota that is used up; the key, its rights, a domain that is not verified, a path that is none.
        (429, "daily_quota_exceeded" | "monthly_quota_exceeded") | (401 | 403..=405, _) | (400, "invalid_idempotency_key") => paused(),
        (429, _) => {
            let wait = SlowDown::seconds(header(answer, "retry-after"));
            let error = Some(wait.map_or_else(|| text.clone(), |wait| format!("{text}; wait {wait} s")));
            let slow_down = Some(wait.map_or(SlowDown::Awhile, |wait| SlowDown::For(Duration::from_secs(wait))));
            Verdict { slow_down, error, ..all(Said::Retryable) }
        }
        // Checked as a whole, and nothing is sent of a batch in which anything is wrong ("Batch Validation Modes").
        (400 | 422, _) => match cause(&message) {
            Cause::Sender => paused(),
            cause => Verdict { split: true, ..all(Said::Refused(Refusal { text: text.clone(), cause })) },
        },
        (413, _) => Verdict { split: true, ..all(Said::Refused(Refusal { text: text.clone(), cause: Cause::Unknown })) },
        _ => all(Said::InDoubt),
    }
}

/// A message names its field in backquotes ("Errors"; examples in resend/resend-node and resend/resend-python).
fn cause(message: &str) -> Cause {
    let message = message.to_lowercase();
    let names = |field: &str| message.contains(&format!("`{field}`"));
    if message.contains("api key") || ["from", "reply_to", "subject", "html", "text", "headers"].into_iter().any(names) {
        Cause::Sender
    } else if names("to") {
        Cause::Address
    } else {
        Cause::Unknown
    }
}

/// In Resend's own words, less any address.
fn text(status: u16, name: &str, message: &str) -> String {
    let mut words = without_addresses(&format!("{name}: {message}"));
    if let Some((cut, _)) = words.char_indices().find(|(at, _)| *at >= WORDS_BYTES_MAX) {
        words.truncate(cut);
    }
    format!("{status} {words}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as it comes from a call")]
    fn answer(status: u16, body: &Value) -> Result<Response<Vec<u8>>, Unanswered> {
        Ok(Response::builder().status(status).header("retry-after", "3").body(body.to_string().into_bytes()).unwrap())
    }

    fn error(status: u16, name: &str, message: &str) -> Verdict {
        classify(answer(status, &json!({ "statusCode": status, "name": name, "message": message })), 2)
    }

    #[test]
    fn a_batch_is_accepted_letter_by_letter_and_only_where_every_one_has_an_id() {
        let verdict = classify(answer(200, &json!({ "data": [{ "id": "ae2014de" }, { "id": "faccb7a5" }] })), 2);
        assert_eq!(verdict.entries, ["ae2014de", "faccb7a5"].map(|id| Said::Accepted(Some(id.to_owned()))));
        assert_eq!(verdict.error, None);
        // Without an id nothing shows that there is a letter.
        let verdict = classify(answer(200, &json!({ "data": [{ "id": "" }, { "id": "faccb7a5" }] })), 2);
        assert_eq!(verdict.entries, [Said::InDoubt, Said::Accepted(Some("faccb7a5".to_owned()))]);
        assert!(verdict.error.is_some());
        for body in [
            json!({ "data": [{ "id": "a" }] }),
            json!({ "data": [] }),
            json!({}),
            json!({ "data": [{ "id": "a" }, { "id": "b" }, { "id": "c" }] }),
        ] {
            let verdict = classify(answer(200, &body), 2);
            assert_eq!(verdict.entries, vec![Said::InDoubt; 2], "{body}");
            assert!(verdict.error.is_some());
        }
    }

    #[test]
    fn a_key_that_is_in_use_or_was_used_otherwise_leaves_everybody_in_doubt() {
        let verdict = error(409, "concurrent_idempotent_requests", "There is another request in progress with the same idempotency key.");
        assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.slow_down.is_some() && verdict.pause.is_none());
        assert!(!verdict.unlike, "the first one may be heard of later");
        let verdict = error(409, "invalid_idempotent_request", "This idempotency key has been used with another body.");
        assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.pause.is_some() && verdict.unlike);
        assert_eq!(error(409, "not_found", "x").entries, vec![Said::InDoubt; 2]);
    }

    #[test]
    fn what_is_refused_for_the_senders_sake_pauses_and_is_nobodys() {
        for (status, name, message) in [
            (401, "missing_api_key", "Missing API key in the authorization header."),
            (400, "validation_error", "API key is invalid"),
            (403, "validation_error", "The example.com domain is not verified. Please, add and verify your domain."),
            (403, "validation_error", "You can only send testing emails to your own email address (you@example.com)."),
            (403, "suspended_api_key", "This API key is suspended"),
            (422, "validation_error", "Invalid `from` field. The email address needs to follow the `email@example.com` format."),
            (400, "invalid_idempotency_key", "The key must be between 1-256 chars."),
            (404, "not_found", "The requested endpoint does not exist."),
            (429, "daily_quota_exceeded", "You have exceeded your daily email sending quota."),
            (429, "monthly_quota_exceeded", "You have exceeded your monthly email sending quota."),
        ] {
            let verdict = error(status, name, message);
            assert!(verdict.pause.is_some() && !verdict.split, "{status} {message}");
            assert_eq!(verdict.entries, vec![Said::Retryable; 2], "{status} {message}");
            assert!(!verdict.pause.unwrap().contains("you@example.com"));
        }
    }

    #[test]
    fn a_batch_in_which_one_address_is_wrong_is_divided_until_it_stands_alone() {
        let verdict =
            error(422, "validation_error", "Invalid `to` field. The email address needs to follow the `email@example.com` format.");
        assert!(verdict.split && verdict.pause.is_none());
        assert!(verdict.entries.iter().all(|said| matches!(said, Said::Refused(Refusal { cause: Cause::Address, .. }))));
        assert!(error(422, "missing_required_field", "x").split && error(413, "validation_error", "x").split);
    }

    /// Letters were taken, and what stood in between did not like the answer.
    #[test]
    fn a_refusal_in_words_that_are_not_resends_proves_nothing() {
        let page =
            |status: u16| Ok(Response::builder().status(status).header("content-type", "text/html").body(b"<html>".to_vec()).unwrap());
        for status in [400, 401, 403, 404, 405, 409, 413, 422, 451] {
            let json = |body: Value| classify(answer(status, &body), 2);
            for verdict in [
                classify(page(status), 2),
                error(status, "", "x"),
                error(status, "BadRequest", "x"),
                json(json!({ "message": "Forbidden" })),
                json(json!({ "name": "BadRequest", "message": "x", "code": status })),
                json(json!({ "name": "validation_error", "message": "x" })),
                json(json!({ "name": "validation_error", "message": "x", "statusCode": 418 })),
            ] {
                assert_eq!(verdict.entries, vec![Said::InDoubt; 2], "{status}");
                assert!(verdict.pause.is_some() && !verdict.split && !verdict.unlike, "the next would get the same: {status}");
            }
        }
        assert!(classify(page(403), 2).pause.unwrap().contains("403 with 6 bytes of text/html, which is no answer of Resend's own"));
        for status in [408, 429, 502] {
            let verdict = classify(page(status), 2);
            assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.pause.is_none(), "{status}");
        }
    }

    #[test]
    fn too_fast_is_slowed_down_and_what_proves_nothing_leaves_everybody_in_doubt() {
        let verdict = error(429, "rate_limit_exceeded", "Too many requests.");
        assert!(
            verdict.slow_down == Some(SlowDown::For(Duration::from_secs(3)))
                && verdict.pause.is_none()
                && verdict.entries == vec![Said::Retryable; 2]
        );
        assert_eq!(verdict.error.as_deref(), Some("429 rate_limit_exceeded: Too many requests.; wait 3 s"));
        for status in [500, 502, 503, 504, 302, 201, 408] {
            let verdict = error(status, "application_error", "An unexpected error occurred.");
            assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.pause.is_none(), "{status}");
        }
        assert_eq!(classify(Err(Unanswered::Lost("reset".to_owned())), 2).entries, vec![Said::InDoubt; 2]);
        assert_eq!(classify(Err(Unanswered::NeverLeft("refused".to_owned())), 2).entries, vec![Said::Retryable; 2]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_and_every_entry_is_told_of(
            status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,30}", entries in 1usize..5,
        ) {
            let raw = Ok(Response::builder().status(status).body(body).unwrap());
            prop_assert_eq!(classify(raw, entries).entries.len(), entries);
            let verdict = classify(answer(status, &json!({ "name": name, "message": "x" })), entries);
            prop_assert_eq!(verdict.entries.len(), entries);
            prop_assert!(!verdict.accepts_anybody());
        }
    }
}
