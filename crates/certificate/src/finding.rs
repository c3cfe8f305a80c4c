//! A finding: one value, where it was read, the rule for it, and whether the rule holds.

use std::fmt;

use issei_aws::mend_first;
use issei_schema::Bilingual;
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
    /// The same for whoever reads Japanese; nothing of a finding that no page shows, and in a certificate that an older build gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub japanese: Option<Box<InJapanese>>,
    /// It does not hold yet, and only since the broadcast goes on: a page says so. No verdict asks for it, and no certificate has it.
    #[serde(skip)]
    pub so_far: bool,
}

/// By which a page shows findings together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Settings,
    Services,
    Audience,
    Outcomes,
    Queues,
}

/// What a finding says, in Japanese. The reason of a rule no page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InJapanese {
    pub what: String,
    pub value: String,
    pub read_from: String,
    pub rule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// A finding of a certificate is said in both languages, word by word, by these.
impl Finding {
    /// Begins one: what is looked at, and where it is read.
    #[must_use]
    pub fn of(part: Part, what: Bilingual, read_from: Bilingual) -> Self {
        let japanese = InJapanese { what: what.japanese, read_from: read_from.japanese, ..InJapanese::default() };
        Self {
            part,
            what: what.english,
            value: String::new(),
            read_from: read_from.english,
            rule: String::new(),
            why: String::new(),
            judgement: Judgement::Unreadable,
            mend: None,
            japanese: Some(Box::new(japanese)),
            so_far: false,
        }
    }

    fn in_japanese(&mut self, say: impl FnOnce(&mut InJapanese)) {
        if let Some(japanese) = &mut self.japanese {
            say(japanese);
        }
    }

    /// The same of something else.
    #[must_use]
    pub fn about(mut self, what: Bilingual) -> Self {
        self.what = what.english;
        self.in_japanese(|japanese| japanese.what = what.japanese);
        self
    }

    /// The rule and its reason.
    #[must_use]
    pub fn must(mut self, rule: Bilingual, why: impl Into<String>) -> Self {
        (self.rule, self.why) = (rule.english, why.into());
        self.in_japanese(|japanese| japanese.rule = rule.japanese);
        self
    }

    /// What mends it. Kept only where there is something to mend, and nothing else that comes first.
    #[must_use]
    pub fn mended_by(mut self, mend: Bilingual) -> Self {
        if !self.holds() && self.mend.is_none() {
            self.mend = Some(mend.english);
            self.in_japanese(|japanese| japanese.mend = Some(mend.japanese));
        }
        self
    }

    /// The value, and whether the rule holds of it.
    #[must_use]
    pub fn is(mut self, value: Bilingual, holds: bool) -> Self {
        self.value = value.english;
        self.in_japanese(|japanese| japanese.value = value.japanese);
        self.judgement = if holds { Judgement::Holds } else { Judgement::Broken };
        self
    }

    /// The value could not be read.
    #[must_use]
    pub fn not_read(mut self, reason: Bilingual) -> Self {
        self = self.is(reason, false);
        self.judgement = Judgement::Unreadable;
        // Who asks nobody lacks none of what would have been asked for.
        self.mend = None;
        let first = mend_first(&self.value);
        self.in_japanese(|japanese| japanese.mend = None);
        match first {
            Some(mend) => self.mended_by(mend),
            None => self,
        }
    }

    /// The same, for what others say: AWS, a provider, or what is wrong with an item.
    #[must_use]
    pub fn failed(self, reason: impl ToString) -> Self {
        let english = reason.to_string();
        self.not_read(Bilingual { japanese: format!("原文: {english}"), english })
    }

    /// Says whether it could not be read since a glance watches no queue.
    #[must_use]
    pub fn is_not_watched(&self) -> bool {
        self.judgement == Judgement::Unreadable && self.value == GLANCE
    }

    /// Where it does not hold, that is only so far: what it is about still moves.
    #[must_use]
    pub fn only_so_far(mut self, moves: bool) -> Self {
        self.so_far = moves && !self.holds();
        self
    }

    /// Says whether something is wrong: not what is still under way, and not what a glance does not watch.
    #[must_use]
    pub fn is_against(&self) -> bool {
        !self.holds() && !self.so_far && !self.is_not_watched()
    }

    /// By its part, and by what it is about: a certificate of an older build says no more.
    #[must_use]
    pub fn topic(&self) -> Topic {
        let begins = |names: &[&str]| names.iter().any(|name| self.what.starts_with(name));
        match self.part {
            Part::Settings => Topic::Settings,
            Part::Source => Topic::Services,
            Part::Data if begins(&["messages in "]) => Topic::Queues,
            Part::Data if begins(&["agreement", "audience:", "audit trail", "broadcast:", "command:", "items:", "ledger:", "lists:"]) => {
                Topic::Audience
            }
            Part::Data => Topic::Outcomes,
        }
    }

    /// Says whether the rule holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.judgement == Judgement::Holds
    }
}
