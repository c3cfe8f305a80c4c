//! A finding: one value, where it was read, the rule for it, and whether the rule holds.

use std::fmt;

use issei_aws::mend_first;
use serde::{Deserialize, Serialize};

use crate::queues::GLANCE;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What is deployed.
    Settings,
    /// Who took part.
    Source,
    /// What the ledger, the queues and the provider hold.
    Data,
}

/// Whether the rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Holds,
    Broken,
    /// The value can't be read. For a verdict that is as bad as a broken rule.
    Unreadable,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds => "holds",
            Self::Broken => "BROKEN",
            Self::Unreadable => "UNREADABLE",
        })
    }
}

/// One value, held against its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub part: Part,
    /// What was looked at.
    pub what: String,
    /// What was found; where nothing was, why.
    pub value: String,
    /// Where it was read.
    pub read_from: String,
    /// What must hold.
    pub rule: String,
    /// Why it must.
    pub why: String,
    pub judgement: Judgement,
    /// What to do where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// Begins one: what is looked at, and where it is read.
    #[must_use]
    pub fn new(part: Part, what: impl Into<String>, read_from: impl Into<String>) -> Self {
        Self {
            part,
            what: what.into(),
            value: String::new(),
            read_from: read_from.into(),
            rule: String::new(),
            why: String::new(),
            judgement: Judgement::Unreadable,
            mend: None,
        }
    }

    /// The rule and its reason.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>, why: impl Into<String>) -> Self {
        (self.rule, self.why) = (rule.into(), why.into());
        self
    }

    /// What mends it. Kept only where there is something to mend, and nothing else that comes first.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        if !self.holds() && self.mend.is_none() {
            self.mend = Some(mend.into());
        }
        self
    }

    /// The value, and whether the rule holds of it.
    #[must_use]
    pub fn found(mut self, value: impl ToString, holds: bool) -> Self {
        self.value = value.to_string();
        self.judgement = if holds { Judgement::Holds } else { Judgement::Broken };
        self
    }

    /// The value could not be read.
    #[must_use]
    pub fn unreadable(mut self, reason: impl ToString) -> Self {
        self.value = reason.to_string();
        self.judgement = Judgement::Unreadable;
        // Who asks nobody lacks none of what would have been asked for.
        self.mend = mend_first(&self.value).map(str::to_owned);
        self
    }

    /// Says whether it could not be read since a glance watches no queue.
    #[must_use]
    pub fn is_not_watched(&self) -> bool {
        self.judgement == Judgement::Unreadable && self.value == GLANCE
    }

    /// Says whether the rule holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.judgement == Judgement::Holds
    }
}
