//! The tags for which SendGrid puts a recipient's values.
//!
//! SendGrid replaces text by text, in no order that it names, and escapes nothing ("Substitution Tags" of its developer
//! guide). So a tag must stand nowhere but where issei has put it, whatever the words are and whatever the values: not
//! in the words, not in a value, and not where a value meets the words beside it, before or after others were replaced.

use std::collections::BTreeMap;

use crate::words::Words;

/// A tag begins with this, a number that nothing else has, and `t`. The hyphen stands nowhere else in a tag, so no two
/// tags overlap, and none begins within another.
const BEGINS: &str = "-issei";
/// And ends with this, so that no tag begins with another.
const ENDS: char = '.';

/// The tag of each slot, by its name.
#[derive(Debug)]
pub(crate) struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Tags that stand nowhere in these words, nor in what anybody is to read.
    pub(crate) fn of(words: &Words, read: &[Words]) -> Self {
        let texts = || read.iter().chain([words]).flat_map(Words::parts);
        let is_free = |start: &String| !texts().any(|text| holds(text, start));
        // Each text holds finitely many, so there is one that is free.
        let start = (0..=u32::MAX).map(|number| format!("{BEGINS}{number}t")).find(is_free).unwrap_or_else(|| BEGINS.to_owned());
        Self(words.slots().into_iter().enumerate().map(|(at, slot)| (slot, format!("{start}{at}{ENDS}"))).collect())
    }

    /// The words with a tag in each slot.
    pub(crate) fn put_into(&self, words: &Words) -> Option<Words> {
        words.with(&self.0)
    }

    /// What SendGrid is to put for each tag; nothing where a slot has no value.
    pub(crate) fn values<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Option<BTreeMap<&'a str, &'a str>> {
        self.0.iter().map(|(slot, tag)| Some((tag.as_str(), values.get(slot)?.as_str()))).collect()
    }
}

/// Whether a text has another in it, in letters of either case: whether SendGrid tells these apart is not documented.
fn holds(text: &str, wanted: &str) -> bool {
    let text = text.as_bytes();
    let wanted = wanted.as_bytes();
    text.windows(wanted.len()).any(|part| part.first() == wanted.first() && part.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Words {
        Words { subject: "Terms".to_owned(), text: Some(text.to_owned()), html: None }
    }

    /// As SendGrid does, by the order that is given.
    fn replaced(text: &str, values: &BTreeMap<&str, &str>, backwards: bool) -> String {
        let mut values: Vec<_> = values.iter().collect();
        if backwards {
            values.reverse();
        }
        values.into_iter().fold(text.to_owned(), |text, (tag, value)| text.replace(tag, value))
    }

    #[test]
    fn nobody_can_choose_a_name_that_becomes_anothers_value() {
        let words = words("Dear {{t0}}, -issei0t1. {{t1}}");
        let values: BTreeMap<_, _> =
            [("t0", "-ISSEI1t1."), ("t1", "my secret")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let read = words.with(&values).unwrap();
        let tags = Tags::of(&words, std::slice::from_ref(&read));
        let (text, values) = (tags.put_into(&words).unwrap().text.unwrap(), tags.values(&values).unwrap());
        assert_eq!(values.keys().copied().collect::<Vec<_>>(), ["-issei2t0.", "-issei2t1."]);
        for backwards in [false, true] {
            assert_eq!(replaced(&text, &values, backwards), read.text.clone().unwrap());
        }
    }

    #[test]
    fn a_slot_without_a_value_is_found_out_before_anything_is_sent() {
        let words = words("{{t0}}");
        assert_eq!(words.with(&BTreeMap::new()), None);
        assert_eq!(Tags::of(&words, &[]).values(&BTreeMap::new()), None);
    }

    proptest! {
        /// Pieces of tags in words and values, which meet in every way.
        #[test]
        fn what_sendgrid_makes_of_it_is_what_was_rendered_here(
            pieces in prop::collection::vec("(-|-i|ssei|-issei|0|1|t|0t|1\\.|\\.|-issei0t0\\.|-issei0t1\\.|\\{\\{t0\\}\\}|\\{\\{t1\\}\\}|x){0,3}", 0..8),
            values in prop::array::uniform2("(-|-i|ssei|-issei|0|1|t|0t|1\\.|\\.|-issei0t0\\.|-issei0t1\\.|x){0,4}"),
        ) {
            let words = words(&pieces.concat());
            let values: BTreeMap<_, _> = ["t0", "t1"].map(str::to_owned).into_iter().zip(values).collect();
            let Some(read) = words.with(&values) else { return Ok(()) };
            let tags = Tags::of(&words, std::slice::from_ref(&read));
            let (text, values) = (tags.put_into(&words).unwrap().text.unwrap(), tags.values(&values).unwrap());
            for backwards in [false, true] {
                prop_assert_eq!(&replaced(&text, &values, backwards), read.text.as_ref().unwrap());
            }
        }
    }
}
