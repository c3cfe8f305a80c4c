//! What a broadcast is like beside its size: whom which words are for, its class, whether it holds, and who carries it; and
//! what is done beside it that few schedules have: copies for whoever wants to see the letter, and addresses that come on the
//! suppression list. Drawn apart from all else, so that a seed's other draws stay what they are.

use std::time::Duration;

use issei_clock::Dice;
use issei_ledger::Suppression;
use issei_sim::{Fault, Rule};
use serde_json::{Value, json};

use crate::plan::{Deed, Plan};

/// By the name of the one that remembers keys, where it stands beside SES.
pub(crate) const KEYED: &str = "keyed";
/// The column that tells the kind of a user.
pub(crate) const KIND: &str = "kind";
/// There are no words for the last of them.
const KINDS: [&str; 3] = ["ja", "en", "fr"];

/// The kind of a user, which is by the number and by nothing that changes.
pub(crate) fn kind(user: i64) -> &'static str {
    KINDS.get(usize::try_from(user).unwrap_or(0) % KINDS.len()).copied().unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    /// The same for everybody.
    One,
    /// By the kind. For whom there are no words they are those of English, or nobody's.
    ByKind { fallback: bool },
}

/// Who carries broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriers {
    One,
    /// SES and the provider that remembers keys, in turn.
    Both {
        keyed_first: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinds {
    pub(crate) wording: Wording,
    /// Of version 2 of the command; nothing where version 1 does.
    pub(crate) class: Option<&'static str>,
    /// The command holds before its first send.
    pub(crate) hold: bool,
    pub(crate) carriers: Carriers,
}

impl Kinds {
    pub(crate) const PLAIN: Self = Self { wording: Wording::One, class: None, hold: false, carriers: Carriers::One };

    /// Whether version 1 of a command can't say it.
    pub(crate) fn is_new(&self) -> bool {
        self.class.is_some() || self.wording != Wording::One || self.carriers != Carriers::One
    }

    /// What a broadcast says under this subject.
    pub(crate) fn content(&self, subject: &str) -> Value {
        let words = |subject: String| json!({ "subject": subject, "text": "New terms." });
        let Wording::ByKind { fallback } = self.wording else { return json!({ "inline": words(subject.to_owned()) }) };
        let of: serde_json::Map<String, Value> =
            ["ja", "en"].into_iter().map(|kind| (kind.to_owned(), words(self.subject(subject, kind)))).collect();
        json!({ "variants": { "by": KIND, "of": of, "fallback": fallback.then_some("en") } })
    }

    /// The subject of a user's letter; nothing where no words are for the user.
    pub(crate) fn subject_for(&self, subject: &str, user: i64) -> Option<String> {
        let fallback = match self.wording {
            Wording::One => return Some(subject.to_owned()),
            Wording::ByKind { fallback } => fallback,
        };
        match kind(user) {
            "fr" if fallback => Some(self.subject(subject, "en")),
            "fr" => None,
            kind => Some(self.subject(subject, kind)),
        }
    }

    #[expect(clippy::unused_self, reason = "only where the words differ")]
    fn subject(&self, subject: &str, kind: &str) -> String {
        format!("{subject} [{kind}]")
    }

    /// Whether the broadcast of this number goes by the provider that remembers keys, where there is one.
    pub(crate) fn is_keyed(&self, number: usize) -> bool {
        match self.carriers {
            Carriers::One => true,
            Carriers::Both { keyed_first } => keyed_first == number.is_multiple_of(2),
        }
    }
}

impl Plan {
    /// Now and then a broadcast is of another kind.
    pub(crate) fn of_a_kind(mut self, dice: &Dice) -> Self {
        let user = || i64::try_from(dice.below(9)).unwrap_or(0);
        let at = |below_ms| Duration::from_millis(dice.below(below_ms));
        if dice.chance(0.1) {
            self.kinds.wording = Wording::ByKind { fallback: dice.chance(0.7) };
        }
        self.kinds.hold = dice.chance(0.03);
        // Without an answer that is lost there is nobody to ask about.
        if self.keys.is_some() && dice.chance(0.4) {
            let lost = [Fault::ResetAfter, Fault::HangAfter, Fault::HangBefore, Fault::LateMs(1 + dice.below(4_000))];
            let lost = lost.get(usize::try_from(dice.below(4)).unwrap_or(0)).copied().unwrap_or(Fault::ResetAfter);
            self.rules.insert(0, Rule::every("SendBulkEmail", lost).after(dice.below(3)).times(1));
        }
        if self.keys.is_some() && dice.chance(0.3) {
            self.kinds.carriers = Carriers::Both { keyed_first: dice.chance(0.5) };
            if dice.chance(0.5) && !self.deeds.iter().any(|(_, deed)| *deed == Deed::Another) {
                self.deeds.push((at(2_000), Deed::Another));
            }
        }
        // What a restored ledger has forgotten of these is judged nowhere.
        let is_restored = self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Restore { .. }));
        if dice.chance(0.06) && !is_restored {
            self.deeds.push((at(4_000), Deed::TestCopy { user: user() }));
        }
        if dice.chance(0.08) && !is_restored {
            self.kinds.class = Some(if dice.chance(0.4) { "legal_notice" } else { "service" });
            for _ in 0..=dice.below(2) {
                let why = Suppression::ALL.get(usize::try_from(dice.below(4)).unwrap_or(0)).copied().unwrap_or(Suppression::Bounced);
                self.deeds.push((at(1_500), Deed::Suppress { user: user(), why }));
            }
        }
        self.deeds.sort_by_key(|(at, _)| *at);
        self
    }

    /// Whether what mails say is to be looked at.
    pub(crate) fn keeps_mails(&self) -> bool {
        self.kinds.wording != Wording::One
            || self.kinds.carriers != Carriers::One
            || self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::TestCopy { .. }))
    }
}
