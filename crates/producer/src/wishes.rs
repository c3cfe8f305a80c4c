//! Wishes not to be mailed, of a key that has several rows. Whoever unsubscribed or complained, or was entered by an
//! operator, is one user, whatever other addresses their key has; a bounce is an address's alone.
//!
//! What this must never do: let a key be mailed by one of its rows while another's address is on the list for such a wish,
//! wherever that row stands; nor hold more of an audience than a few thousand addresses.

use issei_ledger::{LedgerError, Sieve, Suppressions};
use issei_schema::{Address, Class};

use crate::SourceError;
use crate::judging::JudgingError;
use crate::rows::Rows;
use crate::source::{Cell, Row, Source};

/// Addresses that the list is asked about at once.
const ASKED: usize = 2_000;

/// The addresses of a key's rows beside the one that is mailed.
pub(crate) struct Others {
    at_hand: Vec<Address>,
    /// The row after which there may be further ones, which were not read.
    further: Option<Row>,
}

impl Others {
    /// Of rows in their order, and the one after which there are further ones.
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a Row>, further: Option<Row>) -> Self {
        Self { at_hand: addresses(rows), further }
    }

    /// The next of them; none where there are no more.
    async fn next(&mut self, source: &Source) -> Result<Vec<Address>, SourceError> {
        let mut addresses_of = std::mem::take(&mut self.at_hand);
        while addresses_of.is_empty()
            && let Some(last) = self.further.take()
        {
            let rows = source.rows_after(&last).await?;
            addresses_of = addresses(&rows);
            self.further = rows.into_iter().next_back();
        }
        Ok(addresses_of)
    }
}

/// Each once that comes after itself, as rows do that differ in a column alone.
fn addresses<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Address> {
    let address = |row: &Row| match &row.address {
        // Whether the audience mails such local parts or not: it is a user's address.
        Cell::Text(text) => Address::quoting_legacy(text).ok(),
        Cell::Null | Cell::NotText => None,
    };
    let mut addresses: Vec<Address> = rows.into_iter().filter_map(address).collect();
    addresses.dedup();
    addresses
}

/// Leaves nobody mailed who has said, by the address of any of their rows, that they don't want such mail.
pub(crate) async fn heed(list: &Suppressions, sieve: &Sieve, source: &Source, keys: &mut [Rows], class: Class) -> Result<(), JudgingError> {
    let mut asked: Vec<(usize, Address)> = Vec::new();
    for at in 0..keys.len() {
        let Some((mut others, mailed)) = keys.get_mut(at).and_then(Rows::others) else { continue };
        loop {
            let addresses = others.next(source).await?;
            if addresses.is_empty() {
                break;
            }
            let unasked = addresses.into_iter().filter(|address| *address != mailed && sieve.may_hold(address));
            asked.extend(unasked.map(|address| (at, address)));
            if asked.len() >= ASKED {
                bind(list, keys, &std::mem::take(&mut asked), class).await?;
            }
        }
    }
    Ok(bind(list, keys, &asked, class).await?)
}

async fn bind(list: &Suppressions, keys: &mut [Rows], asked: &[(usize, Address)], class: Class) -> Result<(), LedgerError> {
    let addresses: Vec<&Address> = asked.iter().map(|(_, address)| address).collect();
    for (place, entry) in list.suppressed(&addresses).await? {
        if let Some((wish, (at, _))) = entry.wish(class).zip(asked.get(place))
            && let Some(rows) = keys.get_mut(*at)
        {
            rows.bind(wish);
        }
    }
    Ok(())
}
