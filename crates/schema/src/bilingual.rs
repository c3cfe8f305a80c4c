//! What is said to people in English and in Japanese, written side by side where it is said: whoever changes one of the two has the
//! other before their eyes, and who says something new can't leave one out.
//!
//! What it must never hold: more in one language than in the other.

use std::fmt::Display;

use serde::{Serialize, Serializer};

/// The same in both languages. Programs read the English.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bilingual {
    pub english: String,
    pub japanese: String,
}

impl Bilingual {
    /// A name, a number, a code word, or the words of others: what no language says otherwise.
    #[must_use]
    pub fn verbatim(text: impl ToString) -> Self {
        let text = text.to_string();
        Self { japanese: text.clone(), english: text }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.english.is_empty()
    }

    /// Each on from the one before, with what separates them in each language.
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>, (english, japanese): (&str, &str)) -> Self {
        let (englishes, japaneses): (Vec<String>, Vec<String>) = parts.into_iter().map(|part| (part.english, part.japanese)).unzip();
        Self { english: englishes.join(english), japanese: japaneses.join(japanese) }
    }
}

impl Serialize for Bilingual {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.english)
    }
}

/// What can stand between the braces of [`both!`](crate::both): something of which each language says the same, or a part that is
/// said in both.
pub trait InBoth {
    type Said: Display + ?Sized;
    fn in_english(&self) -> &Self::Said;
    fn in_japanese(&self) -> &Self::Said;
}

impl<T: Display + ?Sized> InBoth for T {
    type Said = T;

    fn in_english(&self) -> &T {
        self
    }

    fn in_japanese(&self) -> &T {
        self
    }
}

impl InBoth for Bilingual {
    type Said = String;

    fn in_english(&self) -> &String {
        &self.english
    }

    fn in_japanese(&self) -> &String {
        &self.japanese
    }
}

impl InBoth for &Bilingual {
    type Said = String;

    fn in_english(&self) -> &String {
        &self.english
    }

    fn in_japanese(&self) -> &String {
        &self.japanese
    }
}

/// One sentence in both languages, with what stands between braces as `format!` has it.
#[macro_export]
macro_rules! both {
    ($english:literal, $japanese:literal $(, $part:expr)* $(,)?) => {
        $crate::Bilingual {
            english: format!($english $(, $crate::InBoth::in_english(&$part))*),
            japanese: format!($japanese $(, $crate::InBoth::in_japanese(&$part))*),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_said_in_both_stands_in_each_in_its_own_language() {
        let (count, inner) = (3, both!("nobody", "なし"));
        let said = both!("{count} of {}: {}", "{}のうち{count}: {}", 9, inner);
        assert_eq!((said.english.as_str(), said.japanese.as_str()), ("3 of 9: nobody", "9のうち3: なし"));
        let joined = Bilingual::join([Bilingual::verbatim(1), inner], ("; ", "、"));
        assert_eq!((joined.english.as_str(), joined.japanese.as_str()), ("1; nobody", "1、なし"));
    }
}
