//! Which key can be proposed: each candidate is tried on the first rows, read as a producer reads them.

use issei_producer::{AudienceConfig, ColumnOutline, Sample, SourceError, TellsApart, sample};

use super::propose::{Proposal, addresses, is_of_a_group, key_candidates, propose};
use super::{attribute_exists, names};

/// Rows whose values are looked at.
const SAMPLE: usize = 200;
/// A column is no key where more than one row of so many has none of its own in it.
const BAD_OF: u64 = 10;

/// What is looked at.
pub(super) struct Looking<'a> {
    /// What the audience is to be called.
    pub(super) name: &'a str,
    /// Without key, address and columns.
    pub(super) whole: &'a AudienceConfig,
    pub(super) columns: &'a [ColumnOutline],
}

impl Looking<'_> {
    /// Key, address and columns; or, where none can be proposed, what is wrong with each key that was tried.
    pub(super) async fn proposed(&self) -> (Option<Proposal>, Vec<String>) {
        let (mut with_few, mut reasons, mut are_groups) = (None, Vec::new(), true);
        for key in key_candidates(self.columns) {
            // A key that can't be one is refused by whoever reads it, in words of its own.
            match self.looked(self.whole, &key.name).await {
                Ok(sample) if sample.without_own_key() > 0 && key.tells_apart == TellsApart::Unsaid => {
                    let (bad, rows) = (sample.without_own_key(), sample.rows);
                    let is_group = is_of_a_group(&key.name) && sample.repeated > 0;
                    are_groups &= is_group;
                    // Some rows are bad in most tables. Where many are, the column says something else.
                    if bad <= rows / BAD_OF && !is_group {
                        with_few = with_few.or_else(|| propose(key, self.columns, &sample));
                    }
                    reasons.push(format!("{}: {bad} of {rows} rows have no value, or another's", key.name));
                }
                Ok(sample) => return (propose(key, self.columns, &sample), reasons),
                Err(error) => {
                    if key.tells_apart == TellsApart::WithAnother
                        && let Some(proposal) = self.with_address(key).await
                    {
                        return (Some(proposal), reasons);
                    }
                    are_groups = false;
                    reasons.push(format!("{}: {error}", key.name));
                }
            }
        }
        // Without an id the address has to do.
        if with_few.is_none() && are_groups {
            return self.by_address().await;
        }
        (with_few, reasons)
    }

    /// With the partition key of a table in which users have several items, of which one has the address.
    async fn with_address(&self, key: &ColumnOutline) -> Option<Proposal> {
        let mut found = None;
        for any in self.columns {
            if let Ok(sample) = self.looked(self.whole, &any.name).await {
                found = addresses(self.columns, &sample).and_then(|found| self.columns.get(found.at));
                break;
            }
        }
        // Any other name would be an expression.
        let address = &found?.name;
        if !address.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let some = AudienceConfig { filter: Some(attribute_exists(address)), ..self.whole.clone() };
        let sample = self.looked(&some, &key.name).await.ok().filter(|sample| sample.without_own_key() == 0)?;
        let proposal = propose(key, self.columns, &sample).filter(|proposal| proposal.address == *address)?;
        Some(Proposal { only_with: Some(address.clone()), ..proposal })
    }

    /// With the address as the key, where a column holds addresses.
    async fn by_address(&self) -> (Option<Proposal>, Vec<String>) {
        let mut refused = None;
        for any in self.columns {
            let sample = match self.looked(self.whole, &any.name).await {
                Ok(sample) => sample,
                // One whose type can't be a key is refused, and another will do to look at values. What is wrong with a file
                // is wrong with each column.
                Err(error) => {
                    refused.get_or_insert(error.to_string());
                    continue;
                }
            };
            let key = addresses(self.columns, &sample).and_then(|found| self.columns.get(found.at));
            let Some(key) = key else { return (None, Vec::new()) };
            return match self.looked(self.whole, &key.name).await {
                Ok(sample) => (propose(key, self.columns, &sample), Vec::new()),
                Err(error) => (None, vec![format!("{}: {error}", key.name)]),
            };
        }
        (None, refused.into_iter().collect())
    }

    /// The first rows, with this column as the key.
    async fn looked(&self, whole: &AudienceConfig, key: &str) -> Result<Sample, SourceError> {
        let read = AudienceConfig { key: key.to_owned(), address: key.to_owned(), columns: names(self.columns), ..whole.clone() };
        sample(self.name, &read, &std::env::temp_dir(), SAMPLE).await
    }
}
