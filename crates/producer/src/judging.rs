//! Judging a part of an audience: what each of its keys comes to, by its row, by the suppression list and by
//! whom else is mailed. Whoever freezes an audience asks here, and so does whoever says beforehand what will
//! be frozen, so that the two can't differ.

use issei_ledger::{LedgerError, SkipReason, Suppression, Suppressions};
use issei_schema::{Address, Class};

use crate::SourceError;
use crate::audience::UniqueBy;
use crate::row::{Judged, Needed, judge};
use crate::source::{Cursor, Mailed, Source, Spooled, quotable};

/// What kept an audience from being judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgingError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// A key of the audience with what its first row comes to, and in how many more rows it stands.
pub(crate) struct Candidate {
    pub(crate) key: String,
    pub(crate) judged: Judged,
    pub(crate) repeats: u64,
}

/// The next `limit` keys after the cursor, which is left in their part of the audience, judged; none only where there is no
/// more. Whoever was on the list at its last look is left out. With `unique_by`, the spool must know whom those before them
/// mail.
pub(crate) async fn candidates(
    list: &Suppressions,
    source: &Source,
    cursor: &mut Cursor,
    limit: usize,
    needed: &Needed,
    unique_by: Option<UniqueBy>,
) -> Result<Vec<Candidate>, JudgingError> {
    let rows = source.page(cursor, limit).await?;
    // Of the rows of one key the first is the recipient, and the others are recorded as duplicates.
    let judged = |Spooled { row, repeats }| Candidate { key: row.key.clone(), judged: judge(row, needed), repeats };
    let mut candidates: Vec<Candidate> = rows.into_iter().map(judged).collect();
    skip_suppressed(list, &mut candidates, needed.class).await?;
    if unique_by == Some(UniqueBy::Address) {
        skip_mailed(&mut candidates, source).await?;
    }
    Ok(candidates)
}

/// Whoever bounced for good is not mailed again; nor is whoever does not want to be, unless the law wants it.
async fn skip_suppressed(list: &Suppressions, candidates: &mut [Candidate], class: Class) -> Result<(), LedgerError> {
    let sieve = list.sieve();
    let address = |candidate: &Candidate| match &candidate.judged {
        Judged::Recipient(recipient, _) => Some(recipient.address.clone()),
        Judged::Skipped(..) | Judged::SkippedFor { .. } => None,
    };
    let asked: Vec<(usize, Address)> =
        candidates.iter().enumerate().filter_map(|(at, candidate)| Some((at, address(candidate)?))).collect();
    let asked: Vec<(usize, Address)> = asked.into_iter().filter(|(_, address)| sieve.may_hold(address)).collect();
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
    Ok(())
}

/// Leaves of each address the first key that can be mailed.
async fn skip_mailed(candidates: &mut [Candidate], source: &Source) -> Result<(), SourceError> {
    let identity = |candidate: &Candidate| match &candidate.judged {
        Judged::Recipient(recipient, _) => Some(recipient.address.identity()),
        Judged::Skipped(..) | Judged::SkippedFor { .. } => None,
    };
    let mut mailed: Mailed = source.mailed(candidates.iter().filter_map(identity).collect()).await?;
    for candidate in candidates {
        let Some(address) = identity(candidate) else { continue };
        let first = mailed.entry(address.clone()).or_insert_with(|| candidate.key.clone());
        if *first != candidate.key {
            candidate.judged = Judged::SkippedFor { key: quotable(&candidate.key), mailed: quotable(first), address };
        }
    }
    Ok(())
}
