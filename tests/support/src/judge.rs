//! What the provider accepted for whom.

use std::collections::BTreeMap;

use issei_sim::Cloud;

/// The provider's record of one broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Accepted requests by address, for every address that was asked for.
    pub accepted: BTreeMap<String, u64>,
}

/// Reads the provider's record.
pub fn judge(cloud: &Cloud, broadcast: &str) -> Judged {
    let mut accepted = BTreeMap::new();
    let mut after = String::new();
    loop {
        let some = cloud.sent_to(broadcast, &after, 1000).unwrap();
        let Some(last) = some.last() else { return Judged { accepted } };
        after.clone_from(&last.address);
        accepted.extend(some.into_iter().map(|sent| (sent.address, sent.accepted)));
    }
}

impl Judged {
    /// Addresses with more than one accepted request.
    #[must_use]
    pub fn duplicates(&self) -> Vec<&str> {
        self.with(|accepted| accepted > 1)
    }

    /// Addresses with at least one accepted request.
    #[must_use]
    pub fn reached(&self) -> Vec<&str> {
        self.with(|accepted| accepted > 0)
    }

    /// How many requests were accepted in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted.values().sum()
    }

    fn with(&self, is: impl Fn(u64) -> bool) -> Vec<&str> {
        self.accepted.iter().filter(|(_, accepted)| is(**accepted)).map(|(address, _)| address.as_str()).collect()
    }

    /// Everybody exactly once.
    pub fn assert_each_once(&self, addresses: impl IntoIterator<Item = String>) {
        assert_eq!(self.duplicates(), Vec::<&str>::new(), "mailed more than once");
        let wanted: Vec<String> = addresses.into_iter().collect();
        let missing: Vec<&String> = wanted.iter().filter(|address| self.accepted.get(*address).copied().unwrap_or(0) == 0).collect();
        assert_eq!(missing, Vec::<&String>::new(), "never mailed");
        assert_eq!(self.reached().len(), wanted.len(), "mailed somebody who is not in the audience");
    }
}
