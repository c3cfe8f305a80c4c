//! An item as it lies in the store: text, of which only what somebody asks for is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::ApiError;
use crate::store::Text;

/// The attributes of an item by name, unread.
#[derive(Default)]
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    pub(super) fn of(item: Option<&'a Text>) -> Result<Self, ApiError> {
        item.map_or_else(|| Ok(Self::default()), |item| Self::read(&item.body))
    }

    fn read(text: &'a str) -> Result<Self, ApiError> {
        Ok(Self(serde_json::from_str(text)?))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Value>, ApiError> {
        Ok(self.0.get(name).map(|text| serde_json::from_str(text.get())).transpose()?)
    }

    /// The same with those of these names alone, in JSON.
    pub(super) fn only(&self, names: &BTreeSet<&str>) -> Result<String, ApiError> {
        let chosen: BTreeMap<_, _> = self.0.iter().filter(|(name, _)| names.contains(name.as_str())).collect();
        Ok(as_text(&chosen)?)
    }

    /// The same with other values for some of them, and without those that have none, in JSON.
    pub(super) fn with(&self, changed: &BTreeMap<&str, Option<Value>>) -> Result<String, ApiError> {
        let mut all: BTreeMap<&str, Cow<'_, RawValue>> = self.0.iter().map(|(name, text)| (name.as_str(), Cow::Borrowed(*text))).collect();
        for (name, value) in changed {
            match value {
                Some(value) => all.insert(name, Cow::Owned(serde_json::value::to_raw_value(value)?)),
                None => all.remove(name),
            };
        }
        Ok(as_text(&all)?)
    }
}

/// In JSON.
pub(super) fn as_text(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

/// What a projection leaves of an item; all of it where there is none.
pub(super) fn projected(item: String, body: &Value) -> Result<String, ApiError> {
    let Some(projection) = body["ProjectionExpression"].as_str() else { return Ok(item) };
    let names: BTreeSet<&str> = projection
        .split(',')
        .map(str::trim)
        .map(|name| if name.starts_with('#') { body["ExpressionAttributeNames"][name].as_str().unwrap_or(name) } else { name })
        .collect();
    Fields::read(&item)?.only(&names)
}

/// How large DynamoDB counts a value.
pub(super) fn bytes_of(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else { return 0 };
    match (kind.as_str(), value) {
        ("B", Value::String(text)) => text.len() * 3 / 4,
        (_, Value::String(text)) => text.len(),
        ("L", Value::Array(values)) => 3 + values.iter().map(|value| 1 + bytes_of(value)).sum::<usize>(),
        (_, Value::Array(values)) => values.iter().map(|value| value.as_str().map_or(0, str::len)).sum(),
        (_, Value::Object(fields)) => 3 + fields.iter().map(|(name, value)| 1 + name.len() + bytes_of(value)).sum::<usize>(),
        _ => 1,
    }
}
