//! What SendGrid's answer proves about each recipient.
//!
//! One answer is about the whole call: 202 takes all of it, and a refusal takes none ("Errors" of the mail send reference:
//! a request is validated as a whole), if it is in SendGrid's own form. Many gateways write `errors`, too: each of SendGrid's has a
//! message and says which field it is about, also where that is none. 5xx is documented as an error at SendGrid and says nothing of what had been done.

use http::Response;
use issei_aws::Unanswered;
use issei_schema::without_addresses;
use jiff::Timestamp;
use serde::Deserialize;

use crate::answer::header;
use crate::{Cause, Refusal, Said, SlowDown, Verdict};

/// For the id of what was looked at and not taken, which has none as far as is documented. A certificate wants to see one
/// with each acceptance, and whoever reads this one knows what it was.
const SANDBOX: &str = "sandbox-mode";

/// Words of a refusal are kept so far.
const WORDS_BYTES_MAX: usize = 300;

/// The members of a request ("Mail Send", its body).
const MEMBERS: [&str; 18] = [
    "personalizations",
    "from",
    "reply_to",
    "reply_to_list",
    "subject",
    "content",
    "attachments",
    "template_id",
    "headers",
    "categories",
    "custom_args",
    "send_at",
    "batch_id",
    "asm",
    "ip_pool_name",
    "mail_settings",
    "tracking_settings",
    "sections",
];

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Complaint>,
}

/// Each member is there in all of SendGrid's.
#[derive(Deserialize)]
struct Complaint {
    message: String,
    #[serde(deserialize_with = "Option::deserialize")]
    field: Option<String>,
}

/// Reads what came of a call of `entries` entries, made in sandbox mode or not.
pub(super) fn classify(answer: Result<Response<Vec<u8>>, Unanswered>, entries: usize, sandbox: bool) -> Verdict {
    match answer {
        Ok(answer) => answered(&answer, entries, sandbox),
        Err(unanswered) => Verdict::unanswered(entries, unanswered),
    }
}

fn answered(answer: &Response<Vec<u8>>, entries: usize, sandbox: bool) -> Verdict {
    let status = answer.status().as_u16();
    let complaints = Complaints::of(answer);
    // A 400 of SendGrid's names what is wrong, and any other may be anybody's.
    let is_own = match status {
        400 => complaints.0.iter().any(Complaint::names_a_field),
        _ => !complaints.0.is_empty(),
    };
    match status {
        // "Sandbox Mode" of the developer guide: 200 in place of 202, and nothing is delivered.
        202 => message_id(answer).map_or_else(|| unnamed(answer, entries), |id| accepted(entries, id)),
        200 if sandbox => accepted(entries, message_id(answer).unwrap_or(SANDBOX)),
        400..500 if !is_own => Verdict::not_its_own(entries, "SendGrid", false, answer),
        400 => refused(&complaints, entries),
        // 413: "Mail Send content too large response" (twilio/sendgrid-oai).
        413 => divided(entries, 413, &complaints, |_| Some(Cause::Unknown)),
        429 => {
            // In seconds of the epoch ("Rate Limits" of the v3 API).
            let reset = SlowDown::seconds(header(answer, "x-ratelimit-reset"));
            let reset = reset.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok());
            let told = reset.map_or_else(|| "no time that it tells".to_owned(), |at| at.to_string());
            let text = format!("{}; the limit is reset at {told}", complaints.text(status));
            let slow_down = Some(reset.map_or(SlowDown::Awhile, SlowDown::Until));
            Verdict { slow_down, ..Verdict::all(entries, Said::Retryable, text) }
        }
        // Refused at the door, for the account's sake: the key, its rights or credits, a sender that is not verified, a
        // block for bad requests, a wrong path, or where the data lies ("Errors" of "How to use the v3 API", and the
        // answers of `mail/send` in twilio/sendgrid-oai).
        401 | 403..=406 | 451 => paused(entries, complaints.text(status)),
        _ => Verdict::all(entries, Said::InDoubt, complaints.text(status)),
    }
}

/// SendGrid names each request that it takes. A filter's challenge is a 202, too (AWS WAF API reference,
/// `ChallengeAction`), and most likely the next request would get the same.
fn unnamed(answer: &Response<Vec<u8>>, entries: usize) -> Verdict {
    let verdict = Verdict::not_its_own(entries, "SendGrid", false, answer);
    Verdict { pause: verdict.error.clone(), ..verdict }
}

fn message_id(answer: &Response<Vec<u8>>) -> Option<&str> {
    header(answer, "x-message-id").filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()))
}

fn accepted(entries: usize, id: &str) -> Verdict {
    let mut verdict = Verdict::all(entries, Said::Accepted(Some(id.to_owned())), String::new());
    verdict.error = None;
    verdict
}

fn paused(entries: usize, text: String) -> Verdict {
    Verdict { pause: Some(text.clone()), ..Verdict::all(entries, Said::Retryable, text) }
}

/// A 400 names the fields that are wrong. Those of a personalization are one recipient's.
fn refused(complaints: &Complaints, entries: usize) -> Verdict {
    let whole = || complaints.0.iter().any(|complaint| matches!(place(complaint), Place::Sender));
    if whole() {
        return paused(entries, complaints.text(400));
    }
    let named = |at: usize| complaints.0.iter().map(place).find(|place| matches!(place, Place::Entry(of, _) if *of == at));
    if (0..entries).any(|at| named(at).is_some()) {
        return divided(entries, 400, complaints, |at| match named(at) {
            Some(Place::Entry(_, cause)) => Some(cause),
            _ => None,
        });
    }
    divided(entries, 400, complaints, |_| Some(Cause::Unknown))
}

/// Refused as a whole for the sake of those for whom there is a cause; the others were not accepted with them.
fn divided(entries: usize, status: u16, complaints: &Complaints, cause: impl Fn(usize) -> Option<Cause>) -> Verdict {
    let text = complaints.text(status);
    let said = |at| cause(at).map_or(Said::Retryable, |cause| Said::Refused(Refusal { text: text.clone(), cause }));
    Verdict { entries: (0..entries).map(said).collect(), split: true, ..Verdict::all(entries, Said::Retryable, text.clone()) }
}

/// What a complaint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One personalization, by its number in the call.
    Entry(usize, Cause),
    /// The sender, the words, or a setting: the same for everybody.
    Sender,
    /// It does not say.
    Nobody,
}

fn place(complaint: &Complaint) -> Place {
    let Some(field) = complaint.field.as_deref().filter(|_| complaint.names_a_field()) else { return Place::Nobody };
    let mut parts = field.split('.');
    if parts.next() != Some("personalizations") {
        return Place::Sender;
    }
    match parts.next().and_then(|number| number.parse().ok()) {
        Some(number) => Place::Entry(number, if parts.next() == Some("to") { Cause::Address } else { Cause::Unknown }),
        // Such as an address that two of them have.
        None => Place::Nobody,
    }
}

impl Complaint {
    /// One of a request's own: others have fields, too.
    fn names_a_field(&self) -> bool {
        self.field.as_deref().and_then(|field| field.split('.').next()).is_some_and(|first| MEMBERS.contains(&first))
    }
}

/// None where the answer is not in SendGrid's form.
struct Complaints(Vec<Complaint>);

impl Complaints {
    fn of(answer: &Response<Vec<u8>>) -> Self {
        let told = serde_json::from_slice::<Errors>(answer.body()).map(|told| told.errors).unwrap_or_default();
        let is_own = told.iter().all(|complaint| !complaint.message.trim().is_empty());
        Self(if is_own { told } else { Vec::new() })
    }

    /// In SendGrid's own words, less any address.
    fn text(&self, status: u16) -> String {
        let told = self.0.iter().map(|complaint| {
            let (field, message) = (complaint.field.as_deref().unwrap_or_default(), &complaint.message);
            if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") }
        });
        let mut words = without_addresses(&told.collect::<Vec<_>>().join("; "));
        if let Some((cut, _)) = words.char_indices().find(|(at, _)| *at >= WORDS_BYTES_MAX) {
            words.truncate(cut);
        }
        if words.is_empty() { format!("{status}") } else { format!("{status}: {words}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    type Answer = Result<Response<Vec<u8>>, Unanswered>;

    #[expect(clippy::unnecessary_wraps, reason = "as it comes from a call")]
    fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Ok(response.body(body.to_string().into_bytes()).unwrap())
    }

    fn complaint(field: Value, message: &str) -> Value {
        json!({ "errors": [{ "field": field, "message": message, "help": null }] })
    }

    #[test]
    fn one_202_takes_everybody_under_the_requests_id() {
        let verdict = classify(answer(202, &[("X-Message-Id", "evEK_IhZSlKus235aGfxIQ")], &json!("")), 3, false);
        assert_eq!(verdict.entries, vec![Said::Accepted(Some("evEK_IhZSlKus235aGfxIQ".to_owned())); 3]);
        assert_eq!((verdict.error, verdict.pause, verdict.split), (None, None, false));
        // Whoever answers in SendGrid's place names no request.
        for headers in [&[][..], &[("X-Message-Id", "")], &[("X-Message-Id", "two words")]] {
            let verdict = classify(answer(202, headers, &json!("")), 2, false);
            assert_eq!(verdict.entries, vec![Said::InDoubt; 2], "{headers:?}");
            assert!(verdict.pause.as_ref().is_some_and(|pause| pause.contains("no answer of SendGrid's own")), "{verdict:?}");
        }
        // Nothing of the kind is documented for a call that is meant.
        assert_eq!(classify(answer(200, &[], &json!("")), 1, false).entries, [Said::InDoubt]);
        assert_eq!(classify(answer(200, &[], &json!("")), 1, true).entries, [Said::Accepted(Some(SANDBOX.to_owned()))]);
    }

    #[test]
    fn an_address_that_sendgrid_cannot_read_is_charged_to_its_recipient_and_to_nobody_beside() {
        let verdict =
            classify(answer(400, &[], &complaint(json!("personalizations.1.to.0.email"), "Does not contain a valid address.")), 3, false);
        let [Said::Retryable, Said::Refused(Refusal { text, cause: Cause::Address }), Said::Retryable] = verdict.entries.as_slice() else {
            panic!("{verdict:?}")
        };
        assert_eq!(text, "400: personalizations.1.to.0.email: Does not contain a valid address.");
        assert!(verdict.split && verdict.pause.is_none());
        // The same address twice is no one's alone; apart, each is taken.
        let twice = "Each unique email address in the personalizations array should only be included once. You have included a@example.com more than once.";
        let verdict = classify(answer(400, &[], &complaint(json!("personalizations"), twice)), 2, false);
        assert!(verdict.split && verdict.entries.iter().all(|said| matches!(said, Said::Refused(Refusal { cause: Cause::Unknown, .. }))));
        assert!(!verdict.error.unwrap().contains("a@example.com"));
    }

    #[test]
    fn what_is_refused_for_the_senders_sake_pauses_and_is_nobodys() {
        for (status, body) in [
            (400, complaint(json!("from.email"), "The from email does not contain a valid address.")),
            (400, complaint(json!("content"), "Unless a valid template_id is provided, the content parameter is required.")),
            (400, complaint(json!("asm.group_id"), "The ASM group ID must be a valid Group ID on your account.")),
            (401, complaint(Value::Null, "The provided authorization grant is invalid, expired, or revoked")),
            (401, complaint(Value::Null, "Maximum credits exceeded")),
            (403, complaint(json!("from"), "The from address does not match a verified Sender Identity.")),
            (404, complaint(Value::Null, "Not found")),
            (451, complaint(Value::Null, "unavailable for legal reasons")),
        ] {
            let verdict = classify(answer(status, &[], &body), 2, false);
            assert_eq!(verdict.entries, vec![Said::Retryable; 2], "{status} {body}");
            assert!(verdict.pause.is_some() && !verdict.split, "{status} {body}");
        }
    }

    #[test]
    fn too_much_is_divided_and_too_fast_waits_until_the_limit_is_reset() {
        assert!(classify(answer(413, &[], &complaint(Value::Null, "too large")), 2, false).split);
        let verdict = classify(answer(429, &[("X-RateLimit-Reset", "1392815263")], &complaint(Value::Null, "too many requests")), 2, false);
        let reset = Timestamp::from_second(1_392_815_263).unwrap();
        assert_eq!((verdict.slow_down, &verdict.pause), (Some(SlowDown::Until(reset)), &None));
        assert_eq!(verdict.entries, vec![Said::Retryable; 2]);
        for header in ["soon", "-1", "99999999999999999999"] {
            let verdict = classify(answer(429, &[("X-RateLimit-Reset", header)], &complaint(Value::Null, "x")), 2, false);
            assert_eq!(verdict.slow_down, Some(SlowDown::Awhile), "{header}");
        }
        assert_eq!(verdict.error.as_deref(), Some("429: too many requests; the limit is reset at 2014-02-19T13:07:43Z"));
        let verdict = classify(answer(429, &[], &complaint(Value::Null, "too many requests")), 2, false);
        assert_eq!((verdict.slow_down, verdict.entries), (Some(SlowDown::Awhile), vec![Said::Retryable; 2]));
    }

    /// Letters were taken, and what stood in between did not like the answer.
    #[test]
    fn a_refusal_in_words_that_are_not_sendgrids_proves_nothing() {
        for status in [400, 401, 403, 404, 406, 409, 413, 451] {
            for body in [
                json!("<html>"),
                json!({}),
                json!({ "errors": [] }),
                json!({ "errors": [{}] }),
                json!({ "errors": ["Bad Request"] }),
                json!({ "errors": [{ "message": "Bad Request" }] }),
                json!({ "errors": [{ "message": " ", "field": null }] }),
                json!({ "errors": [{ "status": "400", "title": "Bad Request", "detail": "the answer was cut" }] }),
                json!({ "message": "Forbidden" }),
                json!({ "errorType": "Function.ResponseSizeTooLarge" }),
            ] {
                let verdict = classify(answer(status, &[("content-type", "text/html")], &body), 2, false);
                assert_eq!(verdict.entries, vec![Said::InDoubt; 2], "{status} {body}");
                assert!(verdict.pause.is_some() && !verdict.split, "the next would get the same: {status} {body}");
            }
        }
        for field in [Value::Null, json!(""), json!("body"), json!("null")] {
            let verdict = classify(answer(400, &[], &complaint(field.clone(), "Bad Request")), 2, false);
            assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.pause.is_some() && !verdict.split, "it names nothing: {field}");
        }
        // Nobody may be asked about, so that not one more is put in doubt.
        for status in [408, 425, 429] {
            let verdict = classify(answer(status, &[("x-ratelimit-reset", "1392815263")], &json!({})), 2, false);
            assert!(verdict.entries == vec![Said::InDoubt; 2] && verdict.pause.is_some() && verdict.slow_down.is_some(), "{status}");
        }
    }

    #[test]
    fn whatever_proves_nothing_leaves_everybody_in_doubt() {
        for answer in [
            answer(500, &[], &complaint(Value::Null, "internal server error")),
            answer(503, &[], &json!({})),
            answer(302, &[], &json!({})),
            answer(201, &[], &json!({})),
            Err(Unanswered::Lost("connection reset".to_owned())),
        ] {
            let told = format!("{answer:?}");
            let verdict = classify(answer, 2, false);
            assert_eq!(verdict.entries, vec![Said::InDoubt; 2], "{told}");
            assert_eq!(verdict.pause, None, "{told}");
        }
        let verdict = classify(Err(Unanswered::NeverLeft("refused".to_owned())), 2, false);
        assert!(verdict.slow_down.is_some() && verdict.entries == vec![Said::Retryable; 2]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_and_every_entry_is_told_of(
            status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200), field in ".{0,30}", entries in 1usize..5,
        ) {
            let raw = Ok(Response::builder().status(status).body(body).unwrap());
            prop_assert_eq!(classify(raw, entries, false).entries.len(), entries);
            prop_assert_eq!(classify(answer(status, &[], &complaint(json!(field), "x")), entries, false).entries.len(), entries);
        }

        /// A 202 that names its request, and nothing else, is acceptance.
        #[test]
        fn nobody_is_called_accepted_but_by_a_202_that_names_its_request(status in 100u16..600, is_named: bool) {
            let headers: &[_] = if is_named { &[("X-Message-Id", "evEK_IhZSlKus235aGfxIQ")] } else { &[] };
            prop_assert_eq!(classify(answer(status, headers, &json!({})), 1, false).accepts_anybody(), status == 202 && is_named);
        }
    }
}
