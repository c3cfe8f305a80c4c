//! Three recipients of an audience whose letters are worth a look before everybody gets one. Whoever they are,
//! no more than three are held.

use std::collections::BTreeSet;

use issei_ledger::Example;
use issei_schema::Recipient;

/// Recipients to look at, themselves or where they stand; none where nobody can be mailed. One may stand for more
/// than one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples<T = Recipient> {
    first: Option<T>,
    longest: Option<(usize, T)>,
    oddest: Option<(u32, T)>,
}

impl<T> Default for Samples<T> {
    fn default() -> Self {
        Self { first: None, longest: None, oddest: None }
    }
}

impl<T: PartialEq> Samples<T> {
    /// Looks at the next recipient, whose data has so many bytes; `kept` makes what is kept of one.
    pub(crate) fn take(&mut self, recipient: &Recipient, bytes: usize, kept: impl Fn() -> T) {
        if self.first.is_none() {
            self.first = Some(kept());
        }
        if self.longest.as_ref().is_none_or(|(most, _)| bytes > *most) {
            self.longest = Some((bytes, kept()));
        }
        let oddness = recipient.data.values().map(|value| oddness(value)).sum();
        if self.oddest.as_ref().is_none_or(|(most, _)| oddness > *most) {
            self.oddest = Some((oddness, kept()));
        }
    }

    /// Each with what it is an example of, in the order of the first, the longest and the oddest.
    #[must_use]
    pub fn all(&self) -> Vec<(Vec<Example>, &T)> {
        let (longest, oddest) = (self.longest.as_ref().map(|(_, it)| it), self.oddest.as_ref().map(|(_, it)| it));
        let mut all: Vec<(Vec<Example>, &T)> = Vec::new();
        for (of, one) in [(Example::First, self.first.as_ref()), (Example::LongestData, longest), (Example::OddestCharacters, oddest)] {
            let Some(one) = one else { continue };
            match all.iter_mut().find(|(_, known)| *known == one) {
                Some((ofs, _)) => ofs.push(of),
                None => all.push((vec![of], one)),
            }
        }
        all
    }
}

/// How likely the characters of a value are to come out otherwise than meant, each counted once: what markup
/// and templates read, letters of other scripts, and above all what has no width, turns the direction around
/// or joins with its neighbours.
fn oddness(value: &str) -> u32 {
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') {
        return 0;
    }
    let characters: BTreeSet<char> = value.chars().collect();
    let weight = |c: char| match c {
        ' ' => 0,
        '<' | '>' | '&' | '"' | '\'' | '`' | '{' | '}' | '\\' => 8,
        c if c.is_ascii_alphanumeric() => 0,
        c if c.is_ascii_graphic() => 1,
        c if c.is_alphanumeric() => 2,
        _ => 16,
    };
    characters.into_iter().map(weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(key: &str, name: &str) -> Recipient {
        Recipient {
            key: key.parse().unwrap(),
            address: "a@example.com".parse().unwrap(),
            data: [("name".to_owned(), name.to_owned())].into(),
        }
    }

    #[test]
    fn the_first_the_longest_and_the_oddest_are_kept_and_nobody_twice() {
        let mut samples = Samples::default();
        assert!(samples.all().is_empty());
        for (key, name) in [
            ("1", "Ann"),
            ("2", "Hubert Blaine Wolfeschlegelsteinhausen"),
            ("3", "渡邉"),
            ("4", "<b>O'Hara"),
            ("5", "Zoë 👩‍👩‍👧"),
            ("6", "Bob"),
        ] {
            let recipient = recipient(key, name);
            samples.take(&recipient, name.len(), || recipient.clone());
        }
        let words = |of: &[Example]| of.iter().map(Example::to_string).collect::<Vec<_>>().join(", ");
        let keys =
            |samples: &Samples| samples.all().iter().map(|(of, it)| format!("{}: {}", it.key.as_str(), words(of))).collect::<Vec<_>>();
        assert_eq!(keys(&samples), ["1: the first", "2: the longest data", "5: the oddest characters"]);
        let mut one = Samples::default();
        one.take(&recipient("1", "Ann"), 3, || recipient("1", "Ann"));
        assert_eq!(keys(&one), ["1: the first, the longest data, the oddest characters"]);
    }
}
