//! When bounces or complaints end a broadcast.
//!
//! SES reviews an account at 5 % bounces or 0.1 % complaints and may pause it at 10 % and 0.5 % (SES
//! developer guide, "Reputation metrics"). A broadcast to a bad list must end long before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use issei_ledger::{Progress, ReasonCode, Totals};
use issei_schema::BroadcastId;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Permanent bounces as a share of the recipients of whom events are known.
    pub bounce_rate_max: f64,
    /// Complaints as such a share.
    pub complaint_rate_max: f64,
    /// Recipients of whom events must be known before a rate means anything.
    pub recipients_min: u64,
    /// Bounces, or complaints, that there must be at least: one complaint alone is no rate.
    pub events_min: u64,
}

/// What the limits are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Recipients of whom any event is known, without those to whom SES sent nothing since they are on its
    /// list: SES counts them in no rate either (developer guide, "account-level suppression list").
    pub(crate) sent: u64,
    pub(crate) bounced: u64,
    pub(crate) complained: u64,
    /// Accepted, and not sent by the provider for what it found in them: so it is with the others, too.
    pub(crate) turned_away: u64,
}

impl Rates {
    /// By what services tell, which may be too high and too low.
    pub(crate) fn told(progress: &Progress) -> Self {
        let Progress { proven, delivered, suppressed, bounced, complained, turned_away, .. } = *progress;
        // Not every provider tells what it sends, and what became of it says as much.
        let proven = proven.max(delivered.saturating_add(bounced).saturating_add(suppressed).saturating_add(turned_away));
        Self { sent: proven.saturating_sub(suppressed), bounced, complained, turned_away }
    }

    pub(crate) fn counted(totals: &Totals, proven: u64) -> Self {
        let Totals { suppressed, bounced, complained, turned_away, .. } = *totals;
        Self { sent: proven.saturating_sub(suppressed), bounced, complained, turned_away: turned_away.unwrap_or(0) }
    }
}

/// Says why the broadcast must end, where it must.
pub(crate) fn verdict(limits: &Limits, Rates { sent, bounced, complained, turned_away }: Rates) -> Option<(ReasonCode, String)> {
    if sent < limits.recipients_min {
        return None;
    }
    let over = |code, what: &str, count: u64, max: f64| {
        let rate = ratio(count, sent);
        (count >= limits.events_min && rate > max).then(|| {
            let reason = format!(
                "{count} {what} among {sent} recipients are {:.3} %, and {:.3} % is the limit; find out why before you send more",
                rate * 100.0,
                max * 100.0
            );
            (code, reason)
        })
    };
    over(ReasonCode::StoppedBounces, "bounces", bounced, limits.bounce_rate_max)
        .or_else(|| over(ReasonCode::StoppedComplaints, "complaints", complained, limits.complaint_rate_max))
        .or_else(|| {
            let what = "messages that the provider took and then did not send for what it found in them (`Reject`)";
            over(ReasonCode::StoppedBounces, what, turned_away, limits.bounce_rate_max)
        })
}

/// Broadcasts that a feedback consumer remembers; this bounds what a flood of ids may take.
const REMEMBERED_MAX: usize = 64;

/// When an exact count was in vain, and from which told counts on another may not be.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<BTreeMap<BroadcastId, Rates>>);

impl Breaker {
    /// Says whether told counts call for an exact count.
    pub(crate) fn asks(&self, limits: &Limits, id: &BroadcastId, told: Rates) -> bool {
        let again = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or_default();
        verdict(limits, told).is_some()
            && (told.bounced >= again.bounced || told.complained >= again.complained || told.turned_away >= again.turned_away)
    }

    /// Notes that nothing was over its limit when it was counted. Another count can only end otherwise when
    /// as many more events have come as were missing.
    pub(crate) fn denied(&self, limits: &Limits, id: &BroadcastId, told: Rates, exact: Rates) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX && !all.contains_key(id) {
            all.clear();
        }
        let again = Rates {
            sent: 0,
            bounced: told.bounced + missing(limits, exact.sent, exact.bounced, limits.bounce_rate_max),
            complained: told.complained + missing(limits, exact.sent, exact.complained, limits.complaint_rate_max),
            turned_away: told.turned_away + missing(limits, exact.sent, exact.turned_away, limits.bounce_rate_max),
        };
        all.insert(id.clone(), again);
    }
}

/// How many more events of a kind it takes to be over a limit. One at least, and no more where there are
/// too few recipients for a rate: then it depends on them, and counting is cheap.
fn missing(limits: &Limits, sent: u64, count: u64, max: f64) -> u64 {
    if sent < limits.recipients_min {
        return 1;
    }
    let is_over = |count: u64| count >= limits.events_min && ratio(count, sent) > max;
    // By halves: the rate grows with the count, and a rate of one is over any limit that is one.
    let (mut low, mut high) = (count, sent.max(limits.events_min).saturating_add(1));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if is_over(middle) { high = middle } else { low = middle }
    }
    (high - count.min(high)).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^52")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bounce_rate_max: 0.02, complaint_rate_max: 0.0005, recipients_min: 1_000, events_min: 5 };

    #[test]
    fn a_rate_ends_the_broadcast_only_over_its_limit_and_with_enough_to_go_by() {
        for (proven, bounced, complained, ends) in [
            (999, 999, 999, false),
            (1_000, 20, 0, false),
            (1_000, 21, 0, true),
            (1_000, 0, 4, false),
            (10_000, 0, 5, false),
            (10_000, 0, 6, true),
            (0, 0, 0, false),
        ] {
            let rates = Rates { sent: proven, bounced, complained, turned_away: 0 };
            assert_eq!(verdict(&LIMITS, rates).is_some(), ends, "{rates:?}");
        }
        let turned_away = |turned_away| verdict(&LIMITS, Rates { sent: 1_000, bounced: 0, complained: 0, turned_away });
        assert!(turned_away(20).is_none() && turned_away(21).is_some_and(|(_, reason)| reason.contains("`Reject`")));
    }

    #[test]
    fn after_a_count_in_vain_it_is_counted_again_when_what_was_missing_has_come_and_not_before() {
        let (breaker, id): (_, BroadcastId) = (Breaker::default(), "terms".parse().unwrap());
        let told = |bounced| Rates { sent: 1_000, bounced, complained: 0, turned_away: 0 };
        assert!(!breaker.asks(&LIMITS, &id, told(20)));
        assert!(breaker.asks(&LIMITS, &id, told(40)));
        // Counted, there are ten of 1,000, and eleven more would be over the limit.
        breaker.denied(&LIMITS, &id, told(40), told(10));
        assert!(!breaker.asks(&LIMITS, &id, told(50)));
        assert!(breaker.asks(&LIMITS, &id, told(51)));
        assert!(breaker.asks(&LIMITS, &"another".parse().unwrap(), told(40)));
    }
}
