//! What a producer has found of an audience that holds before its first send, for whoever approves it. The item
//! outlives the pages, so nothing of it may hold a key, an address or another value of a row: whose letters are
//! worth a look is told by where they stand in the frozen pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use issei_schema::{Bilingual, Course, Pace, Recipient, VariantName, both};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Broadcast, Ledger, LedgerError};

/// What is not in the counts of the pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldAudience {
    /// Addresses that stand under several keys.
    pub repeated_addresses: u64,
    #[serde(default)]
    pub letters: Vec<Place>,
    /// One of each variant that anybody gets, and of some of those who get the fallback's. Some of them may be among the
    /// letters; none where an older build froze it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_variants: Vec<Place>,
    /// How many get the words of each variant; nothing where there are none, or too many to be kept here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<VariantName, u64>,
    /// How many of them get the fallback's, since no variant is named as their value is.
    #[serde(default, skip_serializing_if = "is_none")]
    pub fell_back: u64,
    /// How it would be sent; nothing where the provider does not tell its rate, or an older build froze it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<HeldForecast>,
}

impl HeldAudience {
    /// Letters that whoever approves it reads: one recipient may be an example of several things.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.letters.iter().chain(&self.of_variants).map(|place| (place.page, place.at)).collect::<BTreeSet<_>>().len()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How a broadcast would be sent if it were approved as soon as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldForecast {
    /// At most, as the provider's account allowed then.
    pub recipients_a_second: f64,
    /// When everybody would have been sent to; nothing where that is after `not_after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
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

impl Example {
    /// For people.
    #[must_use]
    pub fn told(self) -> Bilingual {
        match self {
            Self::First => both!("the first", "最初の宛先"),
            Self::LongestData => both!("the longest data", "差し込みデータが最も長い宛先"),
            Self::OddestCharacters => both!("the oddest characters", "文字が最も特殊な宛先"),
        }
    }
}

impl Broadcast {
    /// How it would be sent, beginning now, at a rate; its canary is approved as soon as it is over.
    #[must_use]
    pub fn forecast(&self, now: Timestamp, recipients_a_second: f64) -> HeldForecast {
        let pace = Pace { recipients_a_second, chunk: self.chunk_size };
        let Course { done_at, .. } = self.schedule().course(now, self.recipients, pace, self.ramped());
        HeldForecast { recipients_a_second, done_at }
    }

    /// What it means to let it go on now, before its first send; nothing where no forecast was kept.
    #[must_use]
    pub fn done_if_approved(&self, now: Timestamp) -> Option<IfApproved> {
        let recipients_a_second = self.held_audience.as_ref()?.forecast.as_ref()?.recipients_a_second;
        let (schedule, done) = (self.schedule(), self.forecast(now, recipients_a_second).done_at);
        let outlook = match (done, self.effective_at) {
            (None, _) => Outlook::TooLate { not_after: schedule.told(self.not_after) },
            (Some(done), Some(binds)) if done > binds => Outlook::AfterItBinds { done: schedule.told(done), binds: schedule.told(binds) },
            (Some(done), _) => Outlook::Done(schedule.told(done)),
        };
        Some(IfApproved { recipients_a_second, outlook })
    }
}

/// When a broadcast that holds would be done if it were approved at once.
#[derive(Clone, Debug, PartialEq)]
pub struct IfApproved {
    pub recipients_a_second: f64,
    pub outlook: Outlook,
}

/// Moments are in words already, which are no language's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    Done(String),
    TooLate { not_after: String },
    AfterItBinds { done: String, binds: String },
}

impl fmt::Display for IfApproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outlook {
            Outlook::Done(done) => write!(f, "approved now, it is done {done} at the earliest")?,
            Outlook::TooLate { not_after } => {
                write!(f, "NOT IN TIME: approved now, it is not done before its not_after ({not_after})")?;
            }
            Outlook::AfterItBinds { done, binds } => {
                write!(f, "NOT IN TIME: approved now, it is done {done} at the earliest, and binds from {binds}")?;
            }
        }
        write!(f, ", at {} recipients a second", self.recipients_a_second)
    }
}

impl Serialize for IfApproved {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Ledger {
    /// The recipients whose letters are worth a look, from their frozen pages.
    pub async fn examples(&self, broadcast: &Broadcast) -> Result<Vec<(Vec<Example>, Recipient)>, LedgerError> {
        let (mut examples, mut shown) = (Vec::new(), BTreeSet::new());
        // In a list of its own: a closure that borrows for any lifetime can't be awaited over.
        let held = broadcast.held_audience.as_ref();
        let places: Vec<&Place> = held.map(|held| held.letters.iter().chain(&held.of_variants).collect()).unwrap_or_default();
        for Place { of, page, at } in places {
            if !shown.insert((*page, *at)) {
                continue;
            }
            let page = self.page(&broadcast.placed(), *page).await?;
            let recipient = page.chunks().flat_map(|(_, recipients)| recipients).nth(usize::try_from(*at).unwrap_or(usize::MAX));
            examples.extend(recipient.and_then(Option::as_ref).map(|recipient| (of.clone(), recipient.clone())));
        }
        Ok(examples)
    }
}
