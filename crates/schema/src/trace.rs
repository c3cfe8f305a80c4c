//! The context of a trace, as the W3C writes it (Trace Context, section 3.2, "traceparent header").

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tracing::Span;

/// Which trace and which span something was done for. It says nothing about what, or for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

impl TryFrom<String> for TraceParent {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        let parts: Vec<&str> = value.split('-').collect();
        let is_hex =
            |part: &str, digits: usize| part.len() == digits && part.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        let is_some = |part: &str| part.bytes().any(|c| c != b'0');
        match parts.as_slice() {
            ["00", trace, span, flags] if is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2) && is_some(trace) && is_some(span) => {
                Ok(Self(value))
            }
            _ => Err("is no traceparent of version 00 (W3C Trace Context)".to_owned()),
        }
    }
}

impl From<TraceParent> for String {
    fn from(value: TraceParent) -> Self {
        value.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl JsonSchema for TraceParent {
    fn schema_name() -> Cow<'static, str> {
        "TraceParent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "A traceparent (W3C Trace Context)."
        })
    }
}

/// How a trace goes on from the producer's process to a consumer's. Only a build with OpenTelemetry knows.
#[derive(Clone, Copy, Debug)]
pub struct Traces {
    /// The context of the current span, for others to follow; none where it is not traced.
    pub current: fn() -> Option<TraceParent>,
    /// Makes a span that has not begun part of another's trace.
    pub follow: fn(&Span, &TraceParent),
}

impl Traces {
    /// In a build that knows nothing of traces, and where none are wanted.
    pub const NONE: Self = Self { current: || None, follow: |_, _| {} };
}
