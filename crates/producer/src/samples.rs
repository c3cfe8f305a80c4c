//! Recipients of an audience whose letters are worth a look before everybody gets one: three whoever they are, the first of
//! each variant, and the first of each value for which there is none. No more are held than there are variants, and a few.

use std::collections::{BTreeMap, BTreeSet};

use issei_ledger::Example;
use issei_letter::Letters;
use issei_schema::Recipient;

/// Values for which there is no variant, of which one letter each is shown: the least of them.
const VALUES_MAX: usize = 5;

/// Recipients to look at, themselves or where they stand; none where nobody can be mailed. One may stand for more
/// than one thing. Who they are depends on who is looked at, and never on the order: whoever freezes an audience goes
/// through it by its chunks, and whoever says beforehand what will be frozen by its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples<T = Recipient> {
    first: Option<(Turn, T)>,
    longest: Option<(usize, Turn, T)>,
    oddest: Option<(u32, Turn, T)>,
    /// By the number of the variant.
    variants: BTreeMap<usize, (Turn, T)>,
    /// By the value for which there is no variant.
    fell_back: BTreeMap<String, (Turn, T)>,
}

/// Whose turn it is to be sent to, as far as keys say: those of the canary come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_past_canary: bool,
    key: String,
}

impl<T> Default for Samples<T> {
    fn default() -> Self {
        Self { first: None, longest: None, oddest: None, variants: BTreeMap::new(), fell_back: BTreeMap::new() }
    }
}

impl<T: PartialEq> Samples<T> {
    /// Looks at another recipient; `kept` makes what is kept of one.
    pub(crate) fn take(&mut self, recipient: &Recipient, in_canary: bool, letters: &Letters, kept: impl Fn() -> T) {
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
        if letters.variant(&recipient.data).is_none() {
            return;
        }
        if let Some(number) = letters.number(&recipient.data)
            && self.variants.get(&number).is_none_or(|(its, _)| is_before(its))
        {
            self.variants.insert(number, (turn(), kept()));
        }
        if let Some((_, value)) = letters.fell_back(&recipient.data)
            && self.fell_back.get(value).is_none_or(|(its, _)| is_before(its))
        {
            self.fell_back.insert(value.to_owned(), (turn(), kept()));
            while self.fell_back.len() > VALUES_MAX {
                self.fell_back.pop_last();
            }
        }
    }

    /// The first of each variant that anybody gets, and of some values for which there is none. They may be among the others.
    pub(crate) fn of_variants(&self) -> Vec<&T> {
        let mut all: Vec<&T> = Vec::new();
        for (_, it) in self.variants.values().chain(self.fell_back.values()) {
            if !all.contains(&it) {
                all.push(it);
            }
        }
        all
    }

    /// All of them, nobody twice.
    #[must_use]
    pub fn with_variants(&self) -> Vec<(Vec<Example>, &T)> {
        let mut all = self.all();
        for it in self.of_variants() {
            if all.iter().all(|(_, known)| *known != it) {
                all.push((Vec::new(), it));
            }
        }
        all
    }

    /// Each with what it is an example of, in the order of the first, the longest and the oddest.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<(Vec<Example>, &T)> {
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

    /// Of a broadcast that says the same to everybody, or of one with a variant for each of these.
    fn letters(variants: &[&str]) -> Letters {
        let words = serde_json::json!({ "subject": "Terms", "text": "Dear {{name}}" });
        let of: BTreeMap<&str, &serde_json::Value> = variants.iter().map(|name| (*name, &words)).collect();
        let content = match variants.first() {
            Some(first) => serde_json::json!({ "variants": { "by": "role", "of": of, "fallback": first } }),
            None => serde_json::json!({ "inline": words }),
        };
        let command = serde_json::json!({
            "version": 2, "broadcast_id": "terms", "audience": "users", "class": "legal_notice", "max_recipients": 10,
            "requested_by": "a test", "not_after": "2099-01-01T00:00:00Z", "from": "no-reply@example.com", "content": content,
        });
        Letters::of(&issei_schema::BroadcastCommand::parse(&command.to_string()).unwrap()).unwrap()
    }

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
            samples.take(&recipient, false, &letters(&[]), || recipient.clone());
        }
        let words = |of: &[Example]| of.iter().map(|one| one.told().english).collect::<Vec<_>>().join(", ");
        let keys =
            |samples: &Samples| samples.all().iter().map(|(of, it)| format!("{}: {}", it.key.as_str(), words(of))).collect::<Vec<_>>();
        assert_eq!(keys(&samples), ["1: the first", "2: the longest data", "5: the oddest characters"]);
        let mut one = Samples::default();
        one.take(&recipient("1", "Ann"), false, &letters(&[]), || recipient("1", "Ann"));
        assert_eq!(keys(&one), ["1: the first, the longest data, the oddest characters"]);
    }

    #[test]
    fn of_each_variant_that_anybody_gets_there_is_one_and_of_values_that_have_none() {
        let letters = letters(&["customer", "mechanic", "nobody"]);
        let people: Vec<Recipient> = [
            ("1", "Zoe 👩", "customer"),
            ("2", "Ann", "customer"),
            ("3", "Bob", "admin"),
            ("4", "Al", "mechanic"),
            ("5", "Cy", "admin"),
            ("6", "Di", ""),
        ]
        .map(|(key, name, role)| {
            let mut recipient = recipient(key, name);
            recipient.data.insert("role".to_owned(), role.to_owned());
            recipient
        })
        .to_vec();
        let of = |people: &mut dyn Iterator<Item = &Recipient>| {
            let mut samples = Samples::default();
            people.for_each(|recipient| samples.take(recipient, false, &letters, || recipient.clone()));
            samples
        };
        let samples = of(&mut people.iter());
        // Without these the three would all be of one variant.
        assert_eq!(samples.all().len(), 1);
        let keys: BTreeSet<&str> = samples.with_variants().iter().map(|(_, it)| it.key.as_str()).collect();
        assert_eq!(keys, ["1", "3", "4", "6"].into());
        assert_eq!(of(&mut people.iter().rev()), samples);
    }

    #[test]
    fn they_are_the_same_in_whatever_order_people_are_looked_at() {
        let people: Vec<(Recipient, bool)> = [("1", "Ann"), ("2", "Bob"), ("3", "Zoe"), ("4", "B\u{f6}b"), ("5", "Z\u{f6}e")]
            .map(|(key, name)| (recipient(key, name), key == "3"))
            .to_vec();
        let samples = |people: &mut dyn Iterator<Item = &(Recipient, bool)>| {
            let mut samples = Samples::default();
            people.for_each(|(recipient, in_canary)| samples.take(recipient, *in_canary, &letters(&[]), || recipient.clone()));
            samples
        };
        let (one, other) = (samples(&mut people.iter()), samples(&mut people.iter().rev()));
        assert_eq!(one, other);
        assert_eq!(one.all().iter().map(|(_, it)| it.key.as_str()).collect::<Vec<_>>(), ["3", "4"]);
    }
}
