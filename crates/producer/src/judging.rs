//! Judging a part of an audience: what each of its keys comes to, by its rows, by the suppression list and by
//! whom else is mailed. Whoever freezes an audience asks here, and so does whoever says beforehand what will
//! be frozen, so that the two can't differ.

use std::sync::Arc;

use issei_ledger::{LedgerError, Sieve, Suppressions};
use issei_schema::{Address, Class};

use crate::SourceError;
use crate::aside::{Aside, Ended};
use crate::row::{Judged, Needed};
use crate::rows::Rows;
use crate::source::{Cursor, Mailed, Source, quotable};
use crate::wishes;

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

/// A key of the audience with what its rows come to, and in how many more than one it stands.
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
        self.judged.recipient().map(|recipient| &recipient.address)
    }
}

/// The next `limit` keys after the cursor, which is left behind them, judged by themselves and by the list, where there is
/// one, as it was at its last look; none only where there is no more.
///
/// Of the rows of one key the least that can be mailed is the recipient, whichever was read first, and the others are
/// recorded as duplicates. Where none can, all have the reason of the least; where somebody has said by any of them that
/// they don't want such mail, all have that.
pub(crate) async fn candidates(
    list: Option<&Suppressions>,
    source: &Source,
    cursor: &mut Cursor,
    limit: usize,
    needed: &Arc<Needed>,
    aside: Aside,
) -> Result<Vec<Candidate>, JudgingError> {
    let page = source.page(cursor, limit).await?;
    if let Some(last) = page.last() {
        cursor.after = Some(last.row.key.clone());
    }
    let (in_canary, class) = (cursor.in_canary, needed.class);
    let sieve = list.map_or(Sieve::Empty, Suppressions::sieve);
    let (by, through) = (needed.clone(), sieve.clone());
    let judging = aside.compute(move || {
        let keys: Vec<Rows> = page.into_iter().map(|spooled| Rows::of(spooled, in_canary, &by)).collect();
        let asked = may_be_listed(&keys, &through);
        (keys, asked)
    });
    let (mut keys, mut asked) = judging.await?;
    loop {
        if let Some(list) = list {
            strike(list, &mut keys, &asked, class).await?;
        }
        let mut is_done = true;
        for rows in &mut keys {
            is_done &= !rows.have_another(source).await?;
        }
        if is_done {
            if let Some(list) = list {
                wishes::heed(list, &sieve, source, &mut keys, class).await?;
            }
            return Ok(keys.into_iter().map(Rows::ended).collect());
        }
        let (by, through) = (needed.clone(), sieve.clone());
        let judging = aside.compute(move || {
            keys.iter_mut().for_each(|rows| rows.go_on(&by));
            let asked = may_be_listed(&keys, &through);
            (keys, asked)
        });
        (keys, asked) = judging.await?;
    }
}

/// Those who have come out mailable by themselves and may be on the list, by their places.
fn may_be_listed(keys: &[Rows], sieve: &Sieve) -> Vec<(usize, Address)> {
    let of = |(at, rows): (usize, &Rows)| {
        let address = rows.unlisted().filter(|address| sieve.may_hold(address))?;
        Some((at, address.clone()))
    };
    keys.iter().enumerate().filter_map(of).collect()
}

/// An address that bounced for good is not mailed again; nor is whoever does not want to be, unless the law wants it.
async fn strike(list: &Suppressions, keys: &mut [Rows], asked: &[(usize, Address)], class: Class) -> Result<(), LedgerError> {
    let addresses: Vec<&Address> = asked.iter().map(|(_, address)| address).collect();
    for (place, entry) in list.suppressed(&addresses).await? {
        if let Some(rows) = asked.get(place).and_then(|(at, _)| keys.get_mut(*at)) {
            rows.strike(&entry, class);
        }
    }
    Ok(())
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
