//! Why mails of a broadcast bounced, were reported or were not sent: how many for which reason, and when. It names nobody.

use std::collections::BTreeMap;

use issei_ledger::EventDetails;
use issei_schema::EventKind;
use jiff::Timestamp;

use super::cause::Cause;
use super::{Words, grouped};

/// So many rows; what is rarer stands in the last.
const ROWS_MAX: usize = 20;

/// Of these a report says why.
pub(crate) fn is_told(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Sent | EventKind::Delivered)
}

type FirstAndLast = (Timestamp, Timestamp);

/// The most frequent first.
pub(crate) struct Bounces(pub(super) Vec<Row>);

/// Mails that met with the same.
pub(crate) struct Row {
    pub(super) event: &'static str,
    /// In plain words where there are any, else the provider's own word and the status.
    pub(super) why: String,
    pub(super) mails: String,
    /// The first and the last of them, as far as that was told.
    pub(super) times: Option<FirstAndLast>,
}

impl Bounces {
    pub(crate) fn of(words: &Words, details: &EventDetails) -> Self {
        let mut by: BTreeMap<(EventKind, String), (u64, Option<FirstAndLast>)> = BTreeMap::new();
        for ((kind, ..), detail) in details.iter().filter(|((kind, ..), _)| is_told(*kind)) {
            let cause = detail.reason.as_ref().and_then(|reason| Cause::of(*kind, reason)).map(|cause| cause.told(words.of()));
            let code = detail.reason.as_ref().map(|reason| [reason.status.as_str(), reason.kind.as_str()].join(" ").trim().to_owned());
            let why = match (cause, code.filter(|code| !code.is_empty())) {
                (Some(cause), Some(code)) => format!("{cause} ({code})"),
                (None, Some(code)) => code,
                (Some(cause), None) => cause.to_owned(),
                (None, None) => words.not_told.to_owned(),
            };
            let (mails, times) = by.entry((*kind, why)).or_default();
            *mails += 1;
            *times = match (*times, detail.at) {
                (Some((first, last)), Some(at)) => Some((first.min(at), last.max(at))),
                (None, Some(at)) => Some((at, at)),
                (known, None) => known,
            };
        }
        let mut all: Vec<_> = by.into_iter().collect();
        all.sort_by_key(|(_, (mails, _))| std::cmp::Reverse(*mails));
        let rest: u64 = all.iter().skip(ROWS_MAX).map(|(_, (mails, _))| mails).sum();
        all.truncate(ROWS_MAX);
        let row = |((kind, why), (mails, times))| Row { event: words.event(kind), why, mails: grouped(mails), times };
        let mut rows: Vec<Row> = all.into_iter().map(row).collect();
        if rest > 0 {
            rows.push(Row { event: words.rarer, why: String::new(), mails: grouped(rest), times: None });
        }
        Self(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Language;
    use issei_ledger::EventDetail;
    use issei_schema::EventReason;

    #[test]
    fn mails_are_counted_by_why_they_bounced_the_most_frequent_first_and_the_rare_ones_together() {
        let (mut details, words) = (EventDetails::default(), Language::En.words());
        let at = |second| Timestamp::from_second(1_800_000_000 + second).ok();
        for place in 0..3 {
            let reason = EventReason::told("Permanent/General", "5.1.1", &format!("550 5.1.1 unknown {place}"), []);
            details.add((EventKind::Bounced, 0, place), EventDetail { at: at(i64::from(place)), reason });
        }
        details.add((EventKind::Complained, 1, 0), EventDetail { at: None, reason: EventReason::told("abuse", "", "", []) });
        details.add((EventKind::Delivered, 1, 1), EventDetail { at: at(0), reason: None });
        let rows = |details: &EventDetails| Bounces::of(words, details).0;
        let first = &rows(&details)[0];
        assert_eq!(
            (first.event, first.why.as_str(), first.mails.as_str()),
            ("Bounced", "there is no such mailbox (5.1.1 Permanent/General)", "3")
        );
        assert_eq!(first.times, at(0).zip(at(2)));
        assert_eq!((rows(&details)[1].why.as_str(), rows(&details).len()), ("abuse", 2));
        for number in 0..30 {
            details.add(
                (EventKind::SoftBounced, 2, number),
                EventDetail { at: None, reason: EventReason::told(&format!("x{number}"), "", "", []) },
            );
        }
        let rows = rows(&details);
        assert_eq!((rows.len(), rows[ROWS_MAX].event, rows[ROWS_MAX].mails.as_str()), (ROWS_MAX + 1, words.rarer, "12"));
    }
}
