//! What a run of a service is configured with, as its heartbeat tells it: in which settings two differ, and which
//! audiences it can read.
//!
//! It is told for people and for whoever is about to send. Nothing in the ledger is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The settings that are not at their defaults, and the audiences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// By key. A value that may name a person is a digest.
    pub changed: BTreeMap<String, String>,
    /// The names of the audiences that are configured.
    pub audiences: BTreeSet<String>,
}

impl Configured {
    /// The settings in which another differs: the key, its value there and here.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let value = |of: &Self, key: &str| of.changed.get(key).map_or_else(|| "at its default".to_owned(), |value| format!("`{value}`"));
        let keys: BTreeSet<&String> = self.changed.keys().chain(other.changed.keys()).collect();
        let differ = keys.into_iter().filter(|key| self.changed.get(*key) != other.changed.get(*key));
        differ.map(|key| format!("{key} is {} there and {} here", value(other, key), value(self, key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let of = |changed: &[(&str, &str)]| Configured {
            changed: changed.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            audiences: BTreeSet::new(),
        };
        let (here, there) = (of(&[("approvals", "2"), ("table", "a")]), of(&[("lease_ms", "25000"), ("table", "a")]));
        assert_eq!(
            here.differences(&there),
            ["approvals is at its default there and `2` here", "lease_ms is `25000` there and at its default here"]
        );
        assert!(here.differences(&here.clone()).is_empty());
    }
}
