//! What a producer has found of an audience that holds before its first send, for whoever approves it. The item
//! outlives the pages, so nothing of it may hold a key, an address or another value of a row: whose letters are
//! worth a look is told by where they stand in the frozen pages.

use std::fmt;

use issei_schema::Recipient;
use serde::{Deserialize, Serialize};

use crate::{Broadcast, Ledger, LedgerError};

/// What is not in the counts of the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAudience {
    /// Addresses that stand under several keys.
    pub repeated_addresses: u64,
    #[serde(default)]
    pub letters: Vec<Place>,
}

/// A recipient of the frozen audience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub of: Vec<Example>,
    pub page: u32,
    /// Among the page's recipients, from 0.
    pub at: u32,
}

/// What a recipient is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Example {
    First,
    LongestData,
    OddestCharacters,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the first",
            Self::LongestData => "the longest data",
            Self::OddestCharacters => "the oddest characters",
        })
    }
}

impl Ledger {
    /// The recipients whose letters are worth a look, from their frozen pages.
    pub async fn examples(&self, broadcast: &Broadcast) -> Result<Vec<(Vec<Example>, Recipient)>, LedgerError> {
        let mut examples = Vec::new();
        for Place { of, page, at } in broadcast.held_audience.iter().flat_map(|held| &held.letters) {
            let page = self.page(&broadcast.placed(), *page).await?;
            let recipient = page.chunks().flat_map(|(_, recipients)| recipients).nth(usize::try_from(*at).unwrap_or(usize::MAX));
            examples.extend(recipient.and_then(Option::as_ref).map(|recipient| (of.clone(), recipient.clone())));
        }
        Ok(examples)
    }
}
