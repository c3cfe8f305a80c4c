//! When bounces or complaints end a broadcast.
//!
//! SES reviews an account at 5 % bounces or 0.1 % complaints and may pause it at 10 % and 0.5 % (SES
//! developer guide, "Reputation metrics"). A broadcast to a bad list must end long before.

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

/// Says why the broadcast must end, where it must.
pub(crate) fn verdict(limits: &Limits, proven: u64, bounced: u64, complained: u64) -> Option<String> {
    if proven < limits.recipients_min {
        return None;
    }
    let over = |what: &str, count: u64, max: f64| {
        let rate = ratio(count, proven);
        (count >= limits.events_min && rate > max).then(|| {
            format!(
                "{count} {what} among {proven} recipients are {:.3} %, and {:.3} % is the limit; find out why before you send more",
                rate * 100.0,
                max * 100.0
            )
        })
    };
    over("bounces", bounced, limits.bounce_rate_max).or_else(|| over("complaints", complained, limits.complaint_rate_max))
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
            assert_eq!(verdict(&LIMITS, proven, bounced, complained).is_some(), ends, "{proven} {bounced} {complained}");
        }
    }
}
