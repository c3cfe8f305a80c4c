//! Findings that a shell alone shows, in English alone: those of `issei doctor` and of a forecast. Those of a certificate are shown by
//! pages, too, and say both (`Finding::of`).

use issei_certificate::{Finding, Part};
use issei_schema::Bilingual;

pub(crate) trait InEnglish: Sized {
    /// Begins one: what is looked at, and where it is read.
    fn new(part: Part, what: impl Into<String>, read_from: impl Into<String>) -> Self;
    /// The rule and its reason.
    fn rule(self, rule: impl Into<String>, why: impl Into<String>) -> Self;
    /// What mends it, as `Finding::mended_by`.
    fn mend(self, mend: impl Into<String>) -> Self;
    /// The value, and whether the rule holds of it.
    fn found(self, value: impl ToString, holds: bool) -> Self;
    /// The value could not be read.
    fn unreadable(self, reason: impl ToString) -> Self;
}

fn english(text: impl Into<String>) -> Bilingual {
    Bilingual { english: text.into(), japanese: String::new() }
}

impl InEnglish for Finding {
    fn new(part: Part, what: impl Into<String>, read_from: impl Into<String>) -> Self {
        Self { japanese: None, ..Self::of(part, english(what), english(read_from)) }
    }

    fn rule(self, rule: impl Into<String>, why: impl Into<String>) -> Self {
        Self { japanese: None, ..self.must(english(rule), why) }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self { japanese: None, ..self.mended_by(english(mend)) }
    }

    fn found(self, value: impl ToString, holds: bool) -> Self {
        Self { japanese: None, ..self.is(english(value.to_string()), holds) }
    }

    fn unreadable(self, reason: impl ToString) -> Self {
        Self { japanese: None, ..self.not_read(english(reason.to_string())) }
    }
}
