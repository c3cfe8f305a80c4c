//! Every name of an object once. A parser of JSON may take the last of two and forget the first without a word (RFC 8259
//! section 4), and whoever wrote both has meant both.
//!
//! What this must never do: read a body otherwise than its parser, which tells of whatever else is wrong with it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::ParseError;
use crate::version::{shortened, without_mark};

/// Refuses a body in which an object, however deep, has a name twice. What is no JSON is for its parser to tell.
///
/// # Errors
/// Names the field.
pub fn named_once(body: &str) -> Result<(), ParseError> {
    let mut twice = None;
    let within = Within { place: String::new(), twice: &mut twice };
    // What it says is that something stands twice, or what the parser has said or will say.
    _ = within.deserialize(&mut serde_json::Deserializer::from_str(without_mark(body)));
    twice.map_or(Ok(()), |place| {
        Err(ParseError::Field { field: shortened(&place), reason: "stands there twice; leave one of them".to_owned() })
    })
}

/// A value with its place, and where the first name was found that stands twice.
struct Within<'a> {
    place: String,
    twice: &'a mut Option<String>,
}

impl Within<'_> {
    fn named(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            let place = self.named(&name);
            if !names.insert(name) {
                *self.twice = Some(place);
                return Err(A::Error::custom("a name stands twice"));
            }
            object.next_value_seed(Within { place, twice: &mut *self.twice })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Within { place: self.place.clone(), twice: &mut *self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_found_wherever_it_is_and_however_it_is_written() {
        for (body, field) in [
            (r#"{"a": 1, "b": 2, "a": 1}"#, "a"),
            (r#"{"a": {"of": {"ja": 1, "\u006aa": 2}}}"#, "a.of.ja"),
            (r#"{"a": [true, null, -1, 1.5, "s", {"b": 1, "b": 1}]}"#, "a.b"),
            ("\u{feff}{\"a\": 1, \"a\": 1}", "a"),
        ] {
            let error = named_once(body).unwrap_err().to_string();
            assert!(error.contains(&format!("field `{field}`: stands there twice; leave one of them")), "{body}: {error}");
        }
        for body in [r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}], "c": {"a": 1}}"#, "{", "[1]", "", r#"{"a": 1} x"#] {
            assert!(named_once(body).is_ok(), "{body}");
        }
    }
}
