//! The version field that every message carries.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{BroadcastId, ParseError, without_addresses, without_values};

/// A version of commands. A build reads every version; which fields one may have, `command.rs` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum CommandVersion {
    V1 = 1,
    /// With a class, and all that is said by it.
    V2 = 2,
}

impl CommandVersion {
    pub const NEWEST: Self = Self::V2;
}

impl TryFrom<u16> for CommandVersion {
    type Error = String;

    fn try_from(value: u16) -> Result<Self, String> {
        match value {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            other => Err(format!("version {other} is not known here")),
        }
    }
}

impl From<CommandVersion> for u16 {
    fn from(value: CommandVersion) -> Self {
        value as Self
    }
}

impl JsonSchema for CommandVersion {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "enum": [1, 2],
            "description": "Version of this message: 2 with a class and the fields that are new with it, 1 without.",
        })
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
    let body = without_mark(body);
    serde_json::from_str::<Named>(body).ok().filter(|_| is_object(body)).map(|named| named.broadcast_id)
}

/// Editors and exports put a byte order mark before JSON, which RFC 8259 lets a parser ignore (section 8.1).
pub(crate) fn without_mark(body: &str) -> &str {
    body.strip_prefix('\u{feff}').unwrap_or(body)
}

/// Parses `body` as a message of version 1 to `newest`; `version` says which it has.
///
/// Nearly every message is a good one, so it is first read as if it were. Of what is none the version is looked at
/// first and alone, so that a message from a newer producer is refused for its version and not for a field that this
/// build has never heard of.
pub(crate) fn parse_up_to<'a, T: Deserialize<'a>>(
    newest: u16,
    body: &'a str,
    bytes_max: usize,
    version: impl Fn(&T) -> u16,
) -> Result<T, ParseError> {
    let body = without_mark(body);
    if body.len() > bytes_max {
        return Err(ParseError::TooLarge { bytes: body.len(), bytes_max });
    }
    match serde_json::from_str(body) {
        Ok(message) if version(&message) <= newest && is_object(body) => Ok(message),
        Ok(_) | Err(_) => explained(newest, body),
    }
}

fn explained<'a, T: Deserialize<'a>>(newest: u16, body: &'a str) -> Result<T, ParseError> {
    // A list of the fields' values in their order would be read, too.
    if !is_object(body) {
        let error = serde_json::from_str::<serde::de::IgnoredAny>(body).err();
        let reason = error.map_or_else(|| "no object, but a list or a single value".to_owned(), |error| without_values(&error));
        return Err(ParseError::NotJson { reason });
    }
    let probe: Probe = serde_json::from_str(body).map_err(|error| ParseError::NotJson { reason: without_values(&error) })?;
    match probe.version {
        None => return Err(ParseError::NoVersion { newest }),
        Some(version) if (1..=newest).any(|known| version == known) => {}
        Some(serde_json::Value::String(text)) => {
            let meant = (1..=newest).find(|known| text.trim() == known.to_string()).unwrap_or(newest);
            return Err(ParseError::field("version", format!("is a text in quotes and must be a number; write {meant} without quotes")));
        }
        Some(version) => return Err(ParseError::UnknownVersion { version: shortened(&version), newest }),
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let reason = told(&error.path().to_string(), error.inner());
        // The path ends where a name stands twice.
        let twice = reason.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`'));
        let field = match (error.path().to_string().as_str(), twice) {
            (".", Some(name)) => name.to_owned(),
            (path, Some(name)) => format!("{path}.{name}"),
            (path, None) => path.to_owned(),
        };
        let reason = if twice.is_some() { "stands there twice; leave one of them".to_owned() } else { reason };
        ParseError::Field { reason, field: shortened(&field) }
    })?;
    deserializer.end().map_err(|error| ParseError::NotJson { reason: without_values(&error) })?;
    Ok(value)
}

fn is_object(body: &str) -> bool {
    body.trim_start().starts_with('{')
}

/// What is wrong with a field, and the next step where the parser names none. Without the line and column: they are of
/// the JSON that a command's file has become, and the field says more.
fn told(field: &str, error: &serde_json::Error) -> String {
    let text = without_values(error);
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
    let is_moment = ["not_after", "not_before", "effective_at"].contains(&field);
    if text.starts_with("missing field") {
        format!("{text}; add it")
    } else if is_moment {
        "is no moment; write date, time and offset from UTC, as in `2026-12-01T09:00:00+09:00` (RFC 3339; at most nine digits after a second's point)".to_owned()
    } else {
        text.to_owned()
    }
}

/// Hostile input may make a name or a version megabytes long; a reason quotes only its start.
pub(crate) fn shortened(value: &impl ToString) -> String {
    let text = without_addresses(&value.to_string());
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
