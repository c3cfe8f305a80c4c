//! JSON Lines: an object a line. Numbers are taken as they are written, however many digits they have.

use std::fmt;
use std::io;

use issei_schema::without_values;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Broken, RECORD_BYTES_MAX, Record, not_text};

pub(super) struct Json {
    lines: Lines,
    wanted: Vec<String>,
    /// Which of them some line has.
    seen: Vec<bool>,
}

impl Json {
    /// `seen` is what files before this one have had.
    pub(super) fn of(lines: Lines, wanted: Vec<String>, seen: Vec<bool>) -> Self {
        Self { lines, wanted, seen }
    }

    pub(super) fn seen(self) -> Vec<bool> {
        self.seen
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            let number = line.number;
            let (key, address) = (self.wanted.first(), self.wanted.get(1));
            let of = |broken: Broken, bytes: &[u8]| {
                Ok(Some(Record::Broken(broken.of_keys(named(bytes, key)).of_addresses(named(bytes, address)))))
            };
            let broken = |reason: String, bytes: &[u8]| of(Broken::new(number, reason), bytes);
            if line.is_too_long {
                return broken(format!("it is larger than {RECORD_BYTES_MAX} bytes; make it smaller"), &line.bytes);
            }
            let Ok(text) = std::str::from_utf8(line.bytes.trim_ascii()) else {
                return of(not_text(number), &line.bytes);
            };
            if text.is_empty() {
                continue;
            }
            return match values(text, &self.wanted) {
                Ok(values) => {
                    for (seen, value) in self.seen.iter_mut().zip(&values) {
                        *seen |= value.is_some();
                    }
                    Ok(Some(Record::Values(values.into_iter().map(|value| value.and_then(as_text)).collect())))
                }
                Err(reason) => broken(format!("{reason}; write one object a line"), &line.bytes),
            };
        }
    }
}

/// The wanted members of an object, or why it is none.
pub(super) fn values<'a>(text: &'a str, wanted: &[String]) -> Result<Vec<Option<&'a RawValue>>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Wanted(wanted).deserialize(&mut deserializer).and_then(|values| deserializer.end().map(|()| values));
    read.map_err(|error| {
        // Its own count of lines is that of this one object.
        let reason = without_values(&error);
        format!("it is no JSON object that can be read ({})", reason.split(" at line ").next().unwrap_or_default())
    })
}

/// Every value that a line has under a name, that of the key or of the address, up to where it can't be read.
fn named(line: &[u8], name: Option<&String>) -> Vec<Vec<u8>> {
    let (text, mut found) = (String::from_utf8_lossy(line), Vec::new());
    if let Some(name) = name {
        // That it can't be read to its end is known.
        let _ = Named(name, &mut found).deserialize(&mut serde_json::Deserializer::from_str(&text));
    }
    found
}

/// Takes the values of one name, each as it comes.
struct Named<'a>(&'a str, &'a mut Vec<Vec<u8>>);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                self.1.extend(as_text(map.next_value::<&RawValue>()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The text of a value; nothing for null. What has a value that is no text, as half a surrogate pair or an array, becomes bytes that
/// are none: whoever took it for nothing would take a letter with a gap in it for a good one.
pub(super) fn as_text(value: &RawValue) -> Option<Vec<u8>> {
    let text = value.get();
    let no_text = || Some([text.as_bytes(), &[NO_TEXT]].concat());
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).map_or_else(|_| no_text(), |text| Some(text.into_bytes())),
        b'n' => None,
        b'[' | b'{' => no_text(),
        _ => Some(text.as_bytes().to_vec()),
    }
}

/// A byte that stands in no UTF-8.
const NO_TEXT: u8 = 0xff;

/// Takes the wanted members of an object.
struct Wanted<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(name) = map.next_key::<String>()? {
            if !self.0.contains(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &RawValue = map.next_value()?;
            for (at, _) in self.0.iter().enumerate().filter(|(_, wanted)| **wanted == name) {
                if let Some(place) = values.get_mut(at)
                    && place.replace(value).is_some()
                {
                    return Err(A::Error::custom(format_args!("the column {name:?} stands in it twice")));
                }
            }
        }
        Ok(values)
    }
}
