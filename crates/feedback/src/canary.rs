//! When a canary's evidence lets a broadcast go on without a person.
//!
//! A canary is small, so one bad thing in it is much: what does not look well leaves the decision to a
//! person, and never ends anything.

use std::time::Duration;

use issei_ledger::{Totals, phrases};

use crate::breaker::{Limits, ratio};

/// So large a share of the canary must have been delivered, have bounced or be on SES's list: "sent" alone says only that SES
/// will try.
const FINAL_MIN: f64 = 0.95;

/// What is known of a canary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) totals: Totals,
    /// Recipients of whom any event is known.
    pub(crate) proven: u64,
    pub(crate) held_for: Duration,
}

/// The reason to go on, or the reason not to.
pub(crate) fn verdict(limits: &Limits, wait: Duration, Sight { totals, proven, held_for }: Sight) -> Result<String, String> {
    let Totals { accepted, in_doubt, retryable, delivered, bounced, complained, not_rendered, suppressed, turned_away, .. } = totals;
    if held_for < wait {
        return Err(format!("held for {} s, and {} s is the least", held_for.as_secs(), wait.as_secs()));
    }
    if accepted == 0 || in_doubt + retryable > 0 {
        let (refused, spared) = (totals.refused(), totals.spared.unwrap_or(0));
        return Err(format!(
            "{accepted} accepted, {refused} refused, {spared} on the suppression list since the audience was frozen, {in_doubt} in doubt, {retryable} to be sent to again"
        ));
    }
    if proven < accepted {
        return Err(format!("events of {proven} of {accepted} recipients have come"));
    }
    if not_rendered > 0 {
        return Err(format!("the template could not be rendered for {not_rendered} recipients"));
    }
    if let Some(turned_away) = turned_away.filter(|turned_away| *turned_away > 0) {
        return Err(format!("the provider took {turned_away} messages and did not send them, for what it found in them (`Reject`)"));
    }
    if ratio(delivered + bounced + suppressed, accepted) < FINAL_MIN {
        return Err(format!("{delivered} delivered, {bounced} bounced and {suppressed} suppressed of {accepted}: too few have ended"));
    }
    for (what, count, max) in [("bounced", bounced, limits.bounce_rate_max), ("complained", complained, limits.complaint_rate_max)] {
        if ratio(count, accepted) > max {
            return Err(format!("{count} of {accepted} {what}, and {:.3} % is the limit", max * 100.0));
        }
    }
    Ok(phrases::CANARY_WENT_WELL.with(&[&accepted, &delivered, &bounced, &suppressed, &complained]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bounce_rate_max: 0.02, complaint_rate_max: 0.0005, recipients_min: 1_000, events_min: 5 };
    const WAIT: Duration = Duration::from_mins(15);

    fn good() -> Sight {
        let totals = Totals { accepted: 100, delivered: 97, bounced: 1, ..Totals::default() };
        Sight { totals, proven: 100, held_for: WAIT }
    }

    #[test]
    fn a_canary_goes_on_only_where_everything_looks_well() {
        assert!(verdict(&LIMITS, WAIT, good()).is_ok());
        let with = |change: fn(&mut Sight)| {
            let mut sight = good();
            change(&mut sight);
            verdict(&LIMITS, WAIT, sight)
        };
        // Whom SES did not send to has ended, too.
        assert!(with(|sight| (sight.totals.delivered, sight.totals.suppressed) = (90, 7)).is_ok());
        for bad in [
            with(|sight| sight.held_for -= Duration::from_secs(1)),
            with(|sight| sight.proven = 99),
            with(|sight| sight.totals.in_doubt = 1),
            with(|sight| sight.totals.retryable = 1),
            with(|sight| sight.totals.delivered = 93),
            with(|sight| sight.totals.bounced = 3),
            with(|sight| sight.totals.complained = 1),
            with(|sight| sight.totals.not_rendered = 1),
            with(|sight| sight.totals.turned_away = Some(1)),
            with(|sight| (sight.totals, sight.proven) = (Totals::default(), 0)),
        ] {
            assert!(bad.is_err(), "{bad:?}");
        }
    }
}
