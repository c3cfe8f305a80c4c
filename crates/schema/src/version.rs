//! The version field that every message carries.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{BroadcastId, ParseError, without_addresses, without_values};

/// Version 1 of a message that has no other. Reads and writes as the number 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(serde::de::Error::custom(format!("version {other} is not known here; this build reads 1"))),
        }
    }
}

impl JsonSchema for V1 {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1, "description": "Version of this message." })
    }
}

/// As much of a message as tells its version.
#[derive(Deserialize)]
struct Probe {
    version: Option<serde_json::Value>,
}

/// The broadcast that a body asks for or belongs to, as far as even a refused one tells: for a note of its
/// refusal, and for nothing else, since the rest of the body may be anything.
#[must_use]
pub fn broadcast_id_in(body: &str) -> Option<BroadcastId> {
    #[derive(Deserialize)]
    struct Named {
        broadcast_id: BroadcastId,
    }
    serde_json::from_str::<Named>(without_mark(body)).ok().map(|named| named.broadcast_id)
}

/// Editors and exports put a byte order mark before JSON, which RFC 8259 lets a parser ignore (section 8.1).
fn without_mark(body: &str) -> &str {
    body.strip_prefix('\u{feff}').unwrap_or(body)
}

/// Parses `body` as a message of version 1 to `newest`.
///
/// The version is looked at first and alone, so that a message from a newer producer is refused
/// for its version and not for a field that this build has never heard of.
pub(crate) fn parse_up_to<'a, T: Deserialize<'a>>(newest: u16, body: &'a str, bytes_max: usize) -> Result<T, ParseError> {
    let body = without_mark(body);
    if body.len() > bytes_max {
        return Err(ParseError::TooLarge { bytes: body.len(), bytes_max });
    }
    let probe: Probe = serde_json::from_str(body).map_err(|error| ParseError::NotJson { reason: without_values(&error) })?;
    match probe.version {
        None => return Err(ParseError::NoVersion { newest }),
        Some(version) if (1..=newest).any(|known| version == known) => {}
        Some(version) => return Err(ParseError::UnknownVersion { version: shortened(&version), newest }),
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        ParseError::Field { field: shortened(&field), reason: without_values(error.inner()) }
    })?;
    deserializer.end().map_err(|error| ParseError::NotJson { reason: without_values(&error) })?;
    Ok(value)
}

/// Hostile input may make a name or a version megabytes long; a reason quotes only its start.
fn shortened(value: &impl ToString) -> String {
    let text = without_addresses(&value.to_string());
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
