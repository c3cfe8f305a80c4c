//! Judging a part of an audience: what each of its keys comes to, by its row, by the suppression list and by
//! whom else is mailed. Whoever freezes an audience asks here, and so does whoever says beforehand what will
//! be frozen, so that the two can't differ.

use std::sync::Arc;

use issei_ledger::{LedgerError, SkipReason, Suppression, Suppressions};
use issei_schema::Address;

use crate::SourceError;
use crate::aside::{Aside, Ended};
use crate::row::{Judged, Needed, judge};
use crate::source::{Cursor, Mailed, Source, Spooled, quotable};

/// What kept an audience from being judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgingError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// A key of the audience with what its first row comes to, and in how many more rows it stands.
pub(crate) struct Candidate {
    pub(crate) key: String,
    pub(crate) judged: Judged,
    pub(crate) repeats: u64,
    /// Whether the canary chooses it.
    pub(crate) in_canary: bool,
}

impl Candidate {
    /// Its address, as it is compared, where it is mailed.
    pub(crate) fn identity(&self) -> Option<String> {
        self.recipient().map(Address::identity)
    }

    fn recipient(&self) -> Option<&Address> {
        match &self.judged {
            Judged::Recipient(recipient, _) => Some(&recipient.address),
            Judged::Skipped(..) | Judged::SkippedFor { .. } => None,
        }
    }
}

/// The next `limit` keys after the cursor, which is left behind them, judged by themselves and by the list as it was at its
/// last look; none only where there is no more.
pub(crate) async fn candidates(
    list: &Suppressions,
    source: &Source,
    cursor: &mut Cursor,
    limit: usize,
    needed: &Arc<Needed>,
    aside: Aside,
) -> Result<Vec<Candidate>, JudgingError> {
    let rows = source.page(cursor, limit).await?;
    let (in_canary, needed, sieve) = (cursor.in_canary, needed.clone(), list.sieve());
    let class = needed.class;
    let judging = aside.compute(move || {
        // Of the rows of one key the first is the recipient, and the others are recorded as duplicates.
        let judged = |Spooled { row, repeats }: Spooled| {
            let key = row.key.clone();
            Candidate { key, judged: judge(row, &needed), repeats, in_canary }
        };
        let candidates: Vec<Candidate> = rows.into_iter().map(judged).collect();
        let may_be_listed = |(at, candidate): (usize, &Candidate)| {
            let address = candidate.recipient().filter(|address| sieve.may_hold(address))?;
            Some((at, address.clone()))
        };
        let asked: Vec<(usize, Address)> = candidates.iter().enumerate().filter_map(may_be_listed).collect();
        (candidates, asked)
    });
    let (mut candidates, asked) = judging.await?;
    if let Some(last) = candidates.last() {
        cursor.after = Some(last.key.clone());
    }
    // Whoever bounced for good is not mailed again; nor is whoever does not want to be, unless the law wants it.
    let addresses: Vec<&Address> = asked.iter().map(|(_, address)| address).collect();
    for (place, entry) in list.suppressed(&addresses).await? {
        let Some(why) = entry.binds(class) else { continue };
        let reason = match why {
            Suppression::Bounced => SkipReason::Bounced,
            Suppression::Complained => SkipReason::Complained,
            Suppression::Unsubscribed => SkipReason::Unsubscribed,
            Suppression::Operator => SkipReason::Suppressed,
        };
        if let Some(candidate) = asked.get(place).and_then(|(at, _)| candidates.get_mut(*at)) {
            candidate.judged = Judged::Skipped(quotable(&candidate.key), reason);
        }
    }
    Ok(candidates)
}

/// Leaves of each address the first key that can be mailed. The spool must know whom the pages before them mail, but for
/// those in `before`.
pub(crate) async fn skip_mailed(candidates: &mut [Candidate], source: &Source, before: &Mailed) -> Result<(), SourceError> {
    let mut mailed: Mailed = source.mailed(candidates.iter().filter_map(Candidate::identity).collect()).await?;
    for candidate in candidates {
        let Some(address) = candidate.identity() else { continue };
        let first = match before.get(&address) {
            Some(first) => first,
            None => mailed.entry(address.clone()).or_insert_with(|| candidate.key.clone()),
        };
        if *first != candidate.key {
            candidate.judged = Judged::SkippedFor { key: quotable(&candidate.key), mailed: quotable(first), address };
        }
    }
    Ok(())
}
