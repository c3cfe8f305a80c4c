//! What a hand writes into an attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A number, so much larger.
pub(crate) fn plus(value: Option<&AttributeValue>, by: i64) -> AttributeValue {
    let number: i64 = value.map_or(0, |value| value.as_n().unwrap().parse().unwrap());
    n(number + by)
}

/// One number of a map, so much larger.
pub(crate) fn within(value: Option<&AttributeValue>, name: &str, by: i64) -> AttributeValue {
    let mut map = value.unwrap().as_m().unwrap().clone();
    let number = plus(map.get(name), by);
    map.insert(name.to_owned(), number);
    AttributeValue::M(map)
}

/// One value of a map.
pub(crate) fn named(value: Option<&AttributeValue>, name: &str, to: AttributeValue) -> AttributeValue {
    let mut map = value.unwrap().as_m().unwrap().clone();
    map.insert(name.to_owned(), to);
    AttributeValue::M(map)
}

/// A map without one of its values.
pub(crate) fn without(value: Option<&AttributeValue>, name: &str) -> AttributeValue {
    let mut map = value.unwrap().as_m().unwrap().clone();
    map.remove(name).unwrap();
    AttributeValue::M(map)
}

/// What is packed in a page.
pub(crate) fn packed(value: Option<&AttributeValue>, change: fn(&mut Value)) -> AttributeValue {
    let bytes = zstd::stream::decode_all(value.unwrap().as_b().unwrap().as_ref()).unwrap();
    let mut body: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut body);
    AttributeValue::B(Blob::new(zstd::encode_all(body.to_string().as_bytes(), 1).unwrap()))
}

/// A text, packed or not. Whoever reads it takes either.
fn text(value: Option<&AttributeValue>) -> String {
    match value.unwrap() {
        AttributeValue::B(packed) => String::from_utf8(zstd::stream::decode_all(packed.as_ref()).unwrap()).unwrap(),
        other => other.as_s().unwrap().clone(),
    }
}

/// One letter of a text.
pub(crate) fn letter(value: Option<&AttributeValue>, at: usize, to: &str) -> AttributeValue {
    let mut text = text(value);
    text.replace_range(at..=at, to);
    s(&text)
}

/// Ends the text with another letter, whatever it ends with.
pub(crate) fn another_ending(text: &mut String) {
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
}

/// The first who is in doubt.
pub(crate) fn doubt(value: Option<&AttributeValue>, to: &str) -> AttributeValue {
    letter(value, value.unwrap().as_s().unwrap().find('d').unwrap(), to)
}

/// The words of a text.
pub(crate) fn words(value: Option<&AttributeValue>, change: fn(&mut Vec<String>)) -> AttributeValue {
    let mut words: Vec<String> = text(value).split(' ').map(str::to_owned).collect();
    change(&mut words);
    s(&words.join(" "))
}

pub(crate) fn numbers_in(value: Option<&AttributeValue>, change: fn(&mut Vec<String>)) -> AttributeValue {
    let mut numbers = value.unwrap().as_ns().unwrap().clone();
    change(&mut numbers);
    AttributeValue::Ns(numbers)
}

pub(crate) fn texts_in(value: Option<&AttributeValue>, change: fn(&mut Vec<String>)) -> AttributeValue {
    let mut texts = value.unwrap().as_ss().unwrap().clone();
    change(&mut texts);
    AttributeValue::Ss(texts)
}

/// The entries of an audit trail.
pub(crate) fn entries(value: Option<&AttributeValue>, change: fn(&mut Vec<AttributeValue>)) -> AttributeValue {
    let mut entries = value.unwrap().as_l().unwrap().clone();
    change(&mut entries);
    AttributeValue::L(entries)
}

/// One text of an entry.
pub(crate) fn put(entry: &mut AttributeValue, name: &str, to: &str) {
    let mut map: HashMap<String, AttributeValue> = entry.as_m().unwrap().clone();
    map.insert(name.to_owned(), s(to));
    *entry = AttributeValue::M(map);
}

/// A copy of the entry that stands there, with another step, before it.
pub(crate) fn insert_step(entries: &mut Vec<AttributeValue>, at: usize, step: &str) {
    let mut entry = entries[at].clone();
    put(&mut entry, "step", step);
    entries.insert(at, entry);
}
