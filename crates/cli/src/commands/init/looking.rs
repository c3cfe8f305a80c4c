//! Which key can be proposed: each candidate is tried on the first rows, read as a producer reads them.
//!
//! What it must never do: propose a key that rows of different addresses have in common, since one of them alone is mailed; or
//! take what one kind of item of a table has for what all of them have.

use std::collections::BTreeMap;

use issei_producer::{AudienceConfig, ColumnOutline, FirstLook, Sample, SourceError, TellsApart, several_items};

use super::propose::{Addressed, Proposal, addresses, is_of_a_group, key_candidates, kind_of, propose, repeats};
use super::{attribute_exists, names};

/// Rows whose values are looked at: all of a database's page.
const SAMPLE: usize = super::PAGE;
/// A column is no key where more than one row of so many has none in it.
const BAD_OF: u64 = 10;

/// What is looked at.
pub(super) struct Looking<'a> {
    /// What the audience is to be called.
    pub(super) name: &'a str,
    /// Without key, address and columns.
    pub(super) whole: &'a AudienceConfig,
    pub(super) columns: &'a [ColumnOutline],
}

/// What the rows say of a column as the key.
enum Judged {
    /// It tells everything apart that was looked at: users, as far as each address stands under one of its values.
    Apart(Proposal),
    /// It tells users apart, of whom some have several rows.
    Person(Proposal),
    /// The same as the first, but for some rows that have none.
    Lacking(Proposal),
    Unfit(String),
    /// No column holds addresses, nor is called so.
    NoAddress,
}

impl Looking<'_> {
    /// Key, address and columns; or, where none can be proposed, what is wrong with each key that was tried.
    pub(super) async fn proposed(&self) -> (Option<Proposal>, Vec<String>) {
        let (mut rows_apart, mut lacking, mut reasons) = (None, None, Vec::new());
        for key in key_candidates(self.columns) {
            // A key that can't be one is refused by whoever reads it, in words of its own.
            let judged = self.judged(key).await.unwrap_or_else(|error| Judged::Unfit(format!("{}: {error}", key.name)));
            match judged {
                Judged::Apart(proposal) if !proposal.addressed.stand_several_times() => {
                    return (Some(proposal.without(reasons)), Vec::new());
                }
                Judged::Person(proposal) => return (Some(proposal.without(reasons)), Vec::new()),
                // Of rows that are no persons another column may know whose they are.
                Judged::Apart(proposal) => rows_apart = rows_apart.or(Some(proposal)),
                Judged::Lacking(proposal) => lacking = lacking.or(Some(proposal)),
                Judged::Unfit(reason) => reasons.push(reason),
                Judged::NoAddress => return (None, reasons),
            }
        }
        if let Some(proposal) = rows_apart.or(lacking) {
            return (Some(proposal.without(reasons)), Vec::new());
        }
        // Without an id the address has to do; but where items of several kinds stand side by side, which of them are users is
        // for people to say.
        if self.columns.iter().any(|column| column.tells_apart == TellsApart::WithAnother) {
            return (None, reasons);
        }
        match self.by_address().await {
            Ok(Some(proposal)) => (Some(proposal.without(reasons)), Vec::new()),
            Ok(None) => (None, reasons),
            Err(reason) => {
                // What is wrong with a file is wrong with each column.
                if !reasons.iter().any(|known| known.ends_with(&reason)) {
                    reasons.push(reason);
                }
                (None, reasons)
            }
        }
    }

    async fn judged(&self, key: &ColumnOutline) -> Result<Judged, SourceError> {
        let (mut look, sample) = self.looked(self.whole, &key.name).await?;
        if key.tells_apart == TellsApart::WithAnother && (sample.repeated > 0 || self.kinds(&sample).len() > 1) {
            return self.with_address(key, &sample).await;
        }
        if sample.repeated > 0 && self.refuses_repeats() {
            return Ok(Judged::Unfit(several_items(&key.name, sample.repeated)));
        }
        let Some(found) = addresses(self.columns, &sample) else { return Ok(Judged::NoAddress) };
        let addressed = Addressed { rows: sample.rows, counts: look.count_addresses(found.at).await? };
        let Some(proposal) = propose(key, self.columns, &sample) else { return Ok(Judged::NoAddress) };
        let proposal = Proposal { addressed, ..proposal };
        if sample.repeated > 0 {
            // Whoever has none would get nothing.
            if addressed.are_the_same_as_keys() && sample.without_key == 0 && !is_of_a_group(&key.name) {
                let reason = format!(
                    "by its name; {} of {} rows have another's, and each stands with one address, and each address with one of them, so these are the rows of one person",
                    sample.repeated, sample.rows
                );
                return Ok(Judged::Person(Proposal { key_reason: reason, ..proposal }));
            }
            return Ok(Judged::Unfit(format!("{}: {}, and of the rows of one key one alone is mailed", key.name, repeats(&sample))));
        }
        Ok(match sample.without_key {
            0 => Judged::Apart(proposal),
            none if none <= sample.rows / BAD_OF => Judged::Lacking(proposal),
            none => Judged::Unfit(format!("{}: {none} of {} rows have none", key.name, sample.rows)),
        })
    }

    /// With the partition key of a table in which users are one kind of item of several: the one that has the address.
    async fn with_address(&self, key: &ColumnOutline, sample: &Sample) -> Result<Judged, SourceError> {
        let several = || Ok(Judged::Unfit(several_items(&key.name, sample.repeated)));
        let Some(found) = addresses(self.columns, sample) else {
            return if sample.repeated > 0 { several() } else { Ok(Judged::NoAddress) };
        };
        // Any other name would be an expression.
        let address = self.columns.get(found.at).map(|found| &found.name);
        let Some(address) = address.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')) else { return several() };
        let some = AudienceConfig { filter: Some(attribute_exists(address)), ..self.whole.clone() };
        let (mut look, theirs) = self.looked(&some, &key.name).await?;
        if theirs.without_own_key() > 0 {
            return several();
        }
        // Something else may have an address, too, be it now and then.
        let kinds = self.kinds(&theirs);
        if kinds.len() > 1 {
            let kinds: Vec<String> = kinds.into_iter().map(|(kind, items)| format!("{items} of {kind:?}")).collect();
            return Ok(Judged::Unfit(format!(
                "{}: the items that have {address:?} are of several kinds ({}), and which of them are users is for you to say, by `filter`",
                key.name,
                kinds.join(", ")
            )));
        }
        // What another kind of item has is no column of these.
        let has = |at: usize| theirs.values.iter().any(|row| row.get(at).is_some_and(Option::is_some));
        let (columns, places): (Vec<ColumnOutline>, Vec<usize>) =
            self.columns.iter().zip(0..).filter(|(_, at)| has(*at)).map(|(column, at)| (column.clone(), at)).unzip();
        let row = |row: &Vec<Option<String>>| places.iter().map(|at| row.get(*at).cloned().flatten()).collect();
        let of_them = Sample { values: theirs.values.iter().map(row).collect(), ..theirs };
        let Some(proposal) = propose(key, &columns, &of_them).filter(|proposal| proposal.address == *address) else { return several() };
        let addressed = Addressed { rows: of_them.rows, counts: look.count_addresses(found.at).await? };
        Ok(Judged::Apart(Proposal { only_with: Some(address.clone()), addressed, ..proposal }))
    }

    /// Of how many kinds there are how many items, by what the table's keys say of each.
    fn kinds(&self, sample: &Sample) -> BTreeMap<String, u64> {
        let is_key = |column: &ColumnOutline| matches!(column.tells_apart, TellsApart::WithAnother | TellsApart::Sorts);
        let places: Vec<usize> = self.columns.iter().zip(0..).filter(|(column, _)| is_key(column)).map(|(_, at)| at).collect();
        let mut kinds = BTreeMap::new();
        for row in &sample.values {
            let words = places.iter().map(|at| row.get(*at).and_then(Option::as_deref).map_or("", kind_of));
            *kinds.entry(words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")).or_insert(0) += 1;
        }
        kinds
    }

    /// With the address as the key, where a column holds addresses; or what is wrong with the source.
    async fn by_address(&self) -> Result<Option<Proposal>, String> {
        let mut refused = None;
        for any in self.columns {
            let sample = match self.looked(self.whole, &any.name).await {
                Ok((_, sample)) => sample,
                // One whose type can't be a key is refused, and another will do to look at values.
                Err(error) => {
                    refused.get_or_insert(error.to_string());
                    continue;
                }
            };
            let key = addresses(self.columns, &sample).and_then(|found| Some((found.at, self.columns.get(found.at)?)));
            let Some((at, key)) = key else { return Ok(None) };
            let named = |error: SourceError| format!("{}: {error}", key.name);
            let (mut look, sample) = self.looked(self.whole, &key.name).await.map_err(named)?;
            if sample.repeated > 0 && self.refuses_repeats() {
                return Err(format!("{}: {}", key.name, several_items(&key.name, sample.repeated)));
            }
            let addressed = Addressed { rows: sample.rows, counts: look.count_addresses(at).await.map_err(named)? };
            return Ok(propose(key, self.columns, &sample).map(|proposal| Proposal { addressed, ..proposal }));
        }
        refused.map_or(Ok(None), Err)
    }

    /// Of a table of DynamoDB items with one key are likelier to be two things than one user, and whoever reads it refuses them.
    fn refuses_repeats(&self) -> bool {
        self.whole.dynamodb_table.is_some()
    }

    /// The first rows, with this column as the key.
    async fn looked(&self, whole: &AudienceConfig, key: &str) -> Result<(FirstLook, Sample), SourceError> {
        let read = AudienceConfig { key: key.to_owned(), address: key.to_owned(), columns: names(self.columns), ..whole.clone() };
        let look = FirstLook::at(self.name, &read, &std::env::temp_dir()).await?;
        let sample = look.sample(SAMPLE).await?;
        Ok((look, sample))
    }
}

#[cfg(test)]
mod tests;
