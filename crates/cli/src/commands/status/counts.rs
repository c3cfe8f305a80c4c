//! What is shown of a broadcast's recipients: counted, or told by the services.
//!
//! What it must never do: end anybody's doubt by counts that were told, which may be too high.

use issei_ledger::{Progress, Totals};

/// What is shown of a broadcast's recipients and chunks.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) totals: Totals,
    pub(super) settled_chunks: u64,
    pub(super) exact: bool,
}

impl Counts {
    /// Counted, which ends doubt as soon as events do. Other events that have come since are in the progress first, where
    /// one that was told of twice may be counted twice; nobody has one who was not accepted.
    pub(super) fn exact(totals: Totals, settled_chunks: u64, progress: &Progress) -> Self {
        let since = |counted: u64, told: u64| counted.max(told.min(totals.accepted));
        let totals = Totals {
            delivered: since(totals.delivered, progress.delivered),
            bounced: since(totals.bounced, progress.bounced),
            complained: since(totals.complained, progress.complained),
            not_rendered: since(totals.not_rendered, progress.not_rendered),
            suppressed: since(totals.suppressed, progress.suppressed),
            delayed: since(totals.delayed, progress.delayed),
            turned_away: Some(since(totals.turned_away.unwrap_or(0), progress.turned_away)),
            ..totals
        };
        Self { totals, settled_chunks, exact: true }
    }

    /// Told by the services. One that was killed lost its last second.
    pub(super) fn told(progress: &Progress, chunks: u64, recipients: u64) -> Self {
        let Progress { accepted, rejected, spared, in_doubt, delivered, bounced, complained, not_rendered, suppressed, delayed, .. } =
            *progress;
        let retryable = 0;
        let totals = Totals {
            accepted,
            rejected,
            spared: Some(spared),
            retryable,
            // Whom an answer has settled since is among the accepted.
            in_doubt: in_doubt.saturating_sub(progress.answered),
            delivered,
            bounced,
            complained,
            not_rendered,
            suppressed,
            delayed,
            turned_away: Some(progress.turned_away),
            ..Totals::default()
        };
        let totals = not_below_events(totals, progress, recipients);
        Self { totals, settled_chunks: progress.settled_chunks.min(chunks), exact: false }
    }
}

/// Whomever events name was accepted, and is not in doubt any more. Where an event was told of twice they are not more for it
/// than there are recipients.
fn not_below_events(totals: Totals, progress: &Progress, recipients: u64) -> Totals {
    let accepted = totals.accepted.max(progress.proven.min(recipients));
    Totals { accepted, in_doubt: totals.in_doubt.saturating_sub(accepted - totals.accepted), ..totals }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_kill_no_fewer_are_shown_as_accepted_than_events_prove() {
        // A consumer was killed before it told of its last ten, whom events name since.
        let progress =
            Progress { permitted: 50, accepted: 40, settled_chunks: 4, in_doubt: 2, proven: 50, delivered: 49, ..Progress::default() };
        let told = Counts::told(&progress, 5, 50);
        assert_eq!((told.totals.accepted, told.totals.in_doubt, told.totals.delivered), (50, 0, 49));
        // An event that was told of twice makes nobody more of them.
        let twice = Counts::told(&Progress { proven: 70, ..progress }, 5, 50);
        assert_eq!((twice.totals.accepted, twice.totals.in_doubt), (50, 0));
        // Counted at its end with one in doubt, whose event came after that: it is counted again at once, and until then told
        // counts, which may be too high, end nobody's doubt.
        let totals = Totals { accepted: 49, in_doubt: 1, delivered: 48, ..Totals::default() };
        let exact = Counts::exact(totals, 5, &progress);
        assert_eq!((exact.totals.accepted, exact.totals.in_doubt, exact.totals.delivered, exact.settled_chunks), (49, 1, 49, 5));
    }
}
