//! Three recipients of an audience whose letters are worth a look before everybody gets one. Whoever they are,
//! no more than three are held.

use std::collections::BTreeSet;

use issei_ledger::Example;
use issei_schema::Recipient;

/// Recipients to look at, themselves or where they stand; none where nobody can be mailed. One may stand for more
/// than one thing. Who they are depends on who is looked at, and never on the order: whoever freezes an audience goes
/// through it by its chunks, and whoever says beforehand what will be frozen by its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples<T = Recipient> {
    first: Option<(Turn, T)>,
    longest: Option<(usize, Turn, T)>,
    oddest: Option<(u32, Turn, T)>,
}

/// Whose turn it is to be sent to, as far as keys say: those of the canary come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_past_canary: bool,
    key: String,
}

impl<T> Default for Samples<T> {
    fn default() -> Self {
        Self { first: None, longest: None, oddest: None }
    }
}

impl<T: PartialEq> Samples<T> {
    /// Looks at another recipient; `kept` makes what is kept of one.
    pub(crate) fn take(&mut self, recipient: &Recipient, in_canary: bool, kept: impl Fn() -> T) {
        let turn = || Turn { is_past_canary: !in_canary, key: recipient.key.as_str().to_owned() };
        let is_before = |other: &Turn| (!in_canary, recipient.key.as_str()) < (other.is_past_canary, other.key.as_str());
        if self.first.as_ref().is_none_or(|(first, _)| is_before(first)) {
            self.first = Some((turn(), kept()));
        }
        let bytes = recipient.checked_bytes().unwrap_or_default();
        if self.longest.as_ref().is_none_or(|(most, its, _)| bytes > *most || bytes == *most && is_before(its)) {
            self.longest = Some((bytes, turn(), kept()));
        }
        let oddness = recipient.data.values().map(|value| oddness(value)).sum();
        if self.oddest.as_ref().is_none_or(|(most, its, _)| oddness > *most || oddness == *most && is_before(its)) {
            self.oddest = Some((oddness, turn(), kept()));
        }
    }

    /// Each with what it is an example of, in the order of the first, the longest and the oddest.
    #[must_use]
    pub fn all(&self) -> Vec<(Vec<Example>, &T)> {
        let first = self.first.as_ref().map(|(_, it)| it);
        let (longest, oddest) = (self.longest.as_ref().map(|(_, _, it)| it), self.oddest.as_ref().map(|(_, _, it)| it));
        let mut all: Vec<(Vec<Example>, &T)> = Vec::new();
        for (of, one) in [(Example::First, first), (Example::LongestData, longest), (Example::OddestCharacters, oddest)] {
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
            samples.take(&recipient, false, || recipient.clone());
        }
        let words = |of: &[Example]| of.iter().map(Example::to_string).collect::<Vec<_>>().join(", ");
        let keys =
            |samples: &Samples| samples.all().iter().map(|(of, it)| format!("{}: {}", it.key.as_str(), words(of))).collect::<Vec<_>>();
        assert_eq!(keys(&samples), ["1: the first", "2: the longest data", "5: the oddest characters"]);
        let mut one = Samples::default();
        one.take(&recipient("1", "Ann"), false, || recipient("1", "Ann"));
        assert_eq!(keys(&one), ["1: the first, the longest data, the oddest characters"]);
    }
    #[test]
    fn they_are_the_same_in_whatever_order_people_are_looked_at() {
        let people: Vec<(Recipient, bool)> = [("1", "Ann"), ("2", "Bob"), ("3", "Zoe"), ("4", "B\u{f6}b"), ("5", "Z\u{f6}e")]
            .map(|(key, name)| (recipient(key, name), key == "3"))
            .to_vec();
        let samples = |people: &mut dyn Iterator<Item = &(Recipient, bool)>| {
            let mut samples = Samples::default();
            people.for_each(|(recipient, in_canary)| samples.take(recipient, *in_canary, || recipient.clone()));
            samples
        };
        let (one, other) = (samples(&mut people.iter()), samples(&mut people.iter().rev()));
        assert_eq!(one, other);
        assert_eq!(one.all().iter().map(|(_, it)| it.key.as_str()).collect::<Vec<_>>(), ["3", "4"]);
    }
}
