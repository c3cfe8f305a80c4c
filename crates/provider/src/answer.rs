//! What a provider's answer proves about each recipient. Only what is documented as not accepted counts as not
//! accepted; everything else is in doubt. That somebody was not accepted is no rejection yet: whose fault it was is
//! another question, which the words of one answer never settle (`consumer/src/refusal.rs`).

use std::time::Duration;

use http::{Response, StatusCode};
use issei_aws::Unanswered;
use issei_schema::without_addresses;
use jiff::Timestamp;

/// What one answer says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// With the id by which the provider calls the message, where it tells one.
    Accepted(Option<String>),
    /// Surely not accepted, for a cause that will pass, or that is everybody's.
    Retryable,
    InDoubt,
    /// Surely not accepted, for this reason, which may be the recipient's or not.
    Refused(Refusal),
}

/// A refusal by the provider's own words, less any address that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub cause: Cause,
}

/// What a refusal's own words point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The sender, the account or the configuration: the same for every recipient.
    Sender,
    /// The form of an address. The recipient's, where the same sender's mail to others was accepted.
    Address,
    /// The words tell nothing that is known.
    Unknown,
}

/// For how long a provider wants to be left in peace, by its own clock or word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowDown {
    /// It does not tell.
    Awhile,
    For(Duration),
    Until(Timestamp),
}

impl SlowDown {
    /// Nobody waits longer for a header's sake; who is asked too soon says so again.
    const LONGEST: Duration = Duration::from_mins(1);

    /// How long that is from now on, as far as it tells.
    #[must_use]
    pub fn told(self, now: Timestamp) -> Duration {
        let told = match self {
            Self::Awhile => Duration::ZERO,
            Self::For(told) => told,
            Self::Until(moment) => moment.duration_since(now).try_into().unwrap_or_default(),
        };
        told.min(Self::LONGEST)
    }

    /// Whole seconds, as a header has them.
    pub(crate) fn seconds(text: Option<&str>) -> Option<u64> {
        text.filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok())
    }
}

/// What one answer says.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One for each entry that was sent, in order.
    pub entries: Vec<Said>,
    /// The provider asks for fewer requests.
    pub slow_down: Option<SlowDown>,
    /// The provider refuses for a reason that will not pass by itself: sending on is pointless.
    pub pause: Option<String>,
    /// The call as a whole was refused for the sake of some entry.
    pub split: bool,
    /// The permit is so old that the provider refuses what carries its moment: this machine was paused, and did not
    /// see it.
    pub stale: bool,
    /// Its key was used with another body, so to the provider it is no repetition of anything: whoever asks under that key
    /// will never hear of the first.
    pub unlike: bool,
    /// For the log.
    pub error: Option<String>,
}

impl Verdict {
    /// The same of all entries, for this reason.
    #[must_use]
    pub fn all(entries: usize, said: Said, error: String) -> Self {
        Self { entries: vec![said; entries], slow_down: None, pause: None, split: false, stale: false, unlike: false, error: Some(error) }
    }

    /// What it proves that a call over HTTP has no answer.
    pub(crate) fn unanswered(entries: usize, unanswered: Unanswered) -> Self {
        let all = |said, why| Self::all(entries, said, why);
        match unanswered {
            Unanswered::NotMade(why) => Self { pause: Some(why.clone()), ..all(Said::Retryable, why) },
            Unanswered::NeverLeft(why) => Self { slow_down: Some(SlowDown::Awhile), ..all(Said::Retryable, why) },
            Unanswered::Lost(why) => all(Said::InDoubt, why),
        }
    }

    /// What an answer proves that is not in `provider`'s words: nothing. A proxy or a filter
    /// may give it to a request that the provider has taken, because of what the provider answered. The next one would
    /// most likely get the same, so no further one is made; one that may pass by itself is tried again where `is_askable`: where
    /// the provider can be asked what became of the first.
    pub(crate) fn not_its_own(entries: usize, provider: &str, is_askable: bool, answer: &Response<Vec<u8>>) -> Self {
        let kind = header(answer, "content-type").unwrap_or("no type that it names");
        let text = format!(
            "{} with {} bytes of {}, which is no answer of {provider}'s own: what stands in between may have answered in its place",
            answer.status().as_u16(),
            answer.body().len(),
            without_addresses(kind).chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(60).collect::<String>(),
        );
        let passes = matches!(answer.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
        let slow_down = passes.then_some(SlowDown::Awhile);
        let pause = (answer.status().is_client_error() && !(passes && is_askable)).then(|| text.clone());
        Self { slow_down, pause, ..Self::all(entries, Said::InDoubt, text) }
    }

    /// What can't be sent as it is, for a reason that is nobody's among the recipients.
    pub(crate) fn impossible(entries: usize, why: &str) -> Self {
        Self { pause: Some(why.to_owned()), ..Self::all(entries, Said::Retryable, why.to_owned()) }
    }

    /// Says whether at least one entry was accepted.
    #[must_use]
    pub fn accepts_anybody(&self) -> bool {
        self.entries.iter().any(|said| matches!(said, Said::Accepted(_)))
    }
}

/// How fast, and how much, an account may send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Recipients a second.
    pub rate: f64,
    /// Recipients in 24 hours; nothing where there is no such limit, or nobody tells.
    pub a_day: Option<u64>,
    /// How many of these are left.
    pub left_today: u64,
}

/// An allowance that could not be learned now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {reason}")]
pub struct Untold {
    /// The provider's own name of what was asked.
    pub operation: &'static str,
    pub reason: String,
}

/// A header of an answer, where it is text.
pub(crate) fn header<'a>(answer: &'a Response<Vec<u8>>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever stands in between may know who is being mailed.
    #[test]
    fn what_an_answer_says_of_its_type_names_nobody() {
        for kind in ["text/user1@example.com", "text/html; for=\"user1@example.com\"", "text/html; to=<user1 @ example.com>"] {
            let answer = Response::builder().status(502).header("content-type", kind).body(b"no".to_vec()).unwrap();
            let verdict = Verdict::not_its_own(1, "Resend", false, &answer);
            let said = format!("{:?} {:?}", verdict.error, verdict.pause);
            assert!(said.contains("502 with 2 bytes of text/") || said.contains("(an address)"), "{said}");
            assert!(!said.contains("user1") && !said.contains('@'), "{said}");
        }
    }

    #[test]
    fn who_was_too_fast_waits_as_long_as_he_is_told_and_never_long_for_a_headers_sake() {
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |second| SlowDown::Until(Timestamp::from_second(second).unwrap()).told(now);
        assert_eq!(
            (at(1_020), at(1_000), at(980), at(90_000)),
            (Duration::from_secs(20), Duration::ZERO, Duration::ZERO, SlowDown::LONGEST)
        );
        assert_eq!(SlowDown::For(Duration::from_secs(3)).told(now), Duration::from_secs(3));
        assert_eq!(SlowDown::For(Duration::MAX).told(now), SlowDown::LONGEST);
        assert_eq!(SlowDown::Awhile.told(now), Duration::ZERO);
        for text in [None, Some(""), Some("x"), Some("+1"), Some("-1"), Some("1.5"), Some("99999999999999999999")] {
            assert_eq!(SlowDown::seconds(text), None, "{text:?}");
        }
        assert_eq!(SlowDown::seconds(Some("60")), Some(60));
    }
}
