//! How fast a broadcast is sent: one rule for the shell and for the pages.
//!
//! What it must never do: count the time in which it was held or paused, or make a rate of less than ten seconds, which a burst
//! would make any number.

use issei_ledger::Moment;
use jiff::{SignedDuration, Timestamp};

/// How far back it looks.
pub(crate) const LATELY: SignedDuration = SignedDuration::from_mins(1);
/// What a moment of the timeline covers.
const MOMENT_S: i64 = 10;

/// Accepted a second over the last minute, or since somebody let it go on (`decided`), or since the first moment where either is less;
/// nothing where that is less than ten seconds, or nothing was told.
pub(crate) fn rate(timeline: &[Moment], now: Timestamp, decided: Option<Timestamp>) -> Option<u64> {
    // The moment in which it went on has what was accepted before.
    let whole = |at: Timestamp| Timestamp::from_second(at.as_second().saturating_add(MOMENT_S - 1) / MOMENT_S * MOMENT_S).ok();
    let begins = (now - LATELY).max(timeline.first()?.at).max(decided.and_then(whole).unwrap_or(Timestamp::MIN));
    let seconds = u64::try_from(now.duration_since(begins).as_secs()).ok().filter(|seconds| *seconds >= MOMENT_S.unsigned_abs())?;
    let accepted: u64 = timeline.iter().filter(|moment| moment.at >= begins).map(|moment| moment.told.accepted).sum();
    Some(accepted.div_ceil(seconds))
}

#[cfg(test)]
mod tests {
    use issei_ledger::Progress;

    use super::*;

    #[test]
    fn a_rate_is_of_the_last_minute_and_of_no_time_in_which_it_was_held() {
        let now: Timestamp = "2026-11-26T10:10:00Z".parse().unwrap();
        let ago = |seconds: i64| now - SignedDuration::from_secs(seconds);
        let moment = |seconds_ago, accepted| Moment { at: ago(seconds_ago), told: Progress { accepted, ..Progress::default() } };
        assert_eq!(rate(&[], now, None), None);
        // A burst is no rate.
        assert_eq!(rate(&[moment(9, 260)], now, None), None);
        assert_eq!(rate(&[moment(10, 260)], now, None), Some(26));
        assert_eq!(rate(&[moment(300, 100_000), moment(50, 300), moment(10, 300)], now, None), Some(10));
        assert_eq!(rate(&[moment(300, 100_000)], now, None), Some(0));
        // The canary of 50, held, and approved 25 seconds ago.
        let approved = [moment(50, 50), moment(30, 7), moment(20, 140), moment(10, 140)];
        assert_eq!(rate(&approved, now, Some(ago(25))), Some(14));
        assert_eq!(rate(&approved, now, Some(ago(5))), None);
        assert_eq!(rate(&approved, now, Some(ago(600))), Some(7));
    }
}
