//! `ChunkMessage`: up to fifty frozen recipients, one SQS message, one provider call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits::{CHUNK_BYTES_MAX, CHUNK_RECIPIENTS_MAX, RECIPIENT_BYTES_MAX};
use crate::version::parse_up_to;
use crate::{Address, BroadcastId, MessageKey, ParseError, Proof, Prover, RecipientKey, TraceParent, carries_only_text};

/// A version of chunk messages. A build reads every version. It writes version 3 for a broadcast that has a
/// key, and for one that an older build registered, which has none, the oldest that can say what it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum ChunkVersion {
    V1 = 1,
    /// With the trace that the message belongs to.
    V2 = 2,
    /// With the proof that it comes from this registration of the broadcast, and with a trace or without.
    V3 = 3,
}

impl ChunkVersion {
    pub const NEWEST: Self = Self::V3;
}

impl TryFrom<u16> for ChunkVersion {
    type Error = String;

    fn try_from(value: u16) -> Result<Self, String> {
        match value {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            other => Err(format!("version {other} is not known here")),
        }
    }
}

impl From<ChunkVersion> for u16 {
    fn from(value: ChunkVersion) -> Self {
        value as Self
    }
}

impl JsonSchema for ChunkVersion {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "enum": [1, 2, 3],
            "description": "Version of this message: 3 with a proof, 2 with a trace and no proof, 1 with neither.",
        })
    }
}

/// Asks a consumer to send to one chunk. It carries no authority: whether anything is sent, the
/// ledger alone decides, and whom it names counts only under the key that lies there. It carries addresses:
/// never log it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChunkMessage {
    version: ChunkVersion,
    pub broadcast_id: BroadcastId,
    /// The frozen page that the chunk belongs to.
    pub page: u32,
    /// The chunk's number in the broadcast, from 0.
    pub chunk: u32,
    #[schemars(length(min = 1, max = 50))]
    pub recipients: Vec<Recipient>,
    /// New in version 2. It orders nothing, and nothing proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceParent>,
    /// New in version 3: over id, page, number and recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
}

/// What a recipient's JSON may be longer than the text that it was read from: a body may leave `data` out where it is
/// empty. Nothing that JSON lets one escape is written longer than it was.
const DATA_LEFT_OUT: usize = ",\"data\":{}".len();

/// What a chunk's proof is made for, and nothing else.
const DOMAIN: &str = "issei chunk message 3";

/// One recipient, frozen with the data that the content's placeholders need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    pub key: RecipientKey,
    pub address: Address,
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

/// Why a recipient's data can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    #[error("its template data holds a control character")]
    ControlCharacter,
    #[error("it has {bytes} bytes with its template data and at most {RECIPIENT_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
}

impl Recipient {
    /// The size of the recipient in a message, checked against the limits.
    ///
    /// # Errors
    /// Says which limit the recipient breaks.
    pub fn checked_bytes(&self) -> Result<usize, RecipientError> {
        self.check_text()?;
        let bytes = serde_json::to_string(self).map_or(usize::MAX, |json| json.len());
        if bytes > RECIPIENT_BYTES_MAX { Err(RecipientError::TooLarge { bytes }) } else { Ok(bytes) }
    }

    fn check_text(&self) -> Result<(), RecipientError> {
        let is_text = self.data.values().all(|value| carries_only_text(value));
        if is_text { Ok(()) } else { Err(RecipientError::ControlCharacter) }
    }
}

impl ChunkMessage {
    /// A message of a broadcast, proved under its key; of one that has none, as older builds write it.
    #[must_use]
    pub fn new(
        key: Option<&MessageKey>,
        broadcast_id: BroadcastId,
        page: u32,
        chunk: u32,
        recipients: Vec<Recipient>,
        trace: Option<TraceParent>,
    ) -> Self {
        let version = match (key, &trace) {
            (Some(_), _) => ChunkVersion::V3,
            (None, Some(_)) => ChunkVersion::V2,
            (None, None) => ChunkVersion::V1,
        };
        let mut message = Self { version, broadcast_id, page, chunk, recipients, trace, proof: None };
        message.proof = key.map(|key| message.prover(key).prove());
        message
    }

    /// Takes in what is used of a message, as it will be used.
    fn prover(&self, key: &MessageKey) -> Prover {
        let mut prover = key.prover(DOMAIN).text(self.broadcast_id.as_str()).number(self.page.into()).number(self.chunk.into());
        prover = prover.number(self.recipients.len() as u64);
        for Recipient { key, address, data } in &self.recipients {
            prover = prover.text(key.as_str()).text(address.as_str()).number(data.len() as u64);
            for (name, value) in data {
                prover = prover.text(name).text(value);
            }
        }
        prover
    }

    /// Says whether the message comes from the registration that has this key.
    #[must_use]
    pub fn is_proved(&self, key: &MessageKey) -> bool {
        self.proof.as_ref().is_some_and(|proof| self.prover(key).accepts(proof))
    }

    /// The version that it is written in.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version.into()
    }

    /// Reads a message body of any version that this build knows. Hostile until this returns.
    ///
    /// # Errors
    /// Names the field, what is wrong with it and what to do.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        Self::parse_up_to(ChunkVersion::NEWEST, body)
    }

    /// Reads a message body of this version or an older one, as a build does for which it is the newest.
    ///
    /// # Errors
    /// Names the field, what is wrong with it and what to do.
    pub fn parse_up_to(newest: ChunkVersion, body: &str) -> Result<Self, ParseError> {
        let message: Self = parse_up_to(newest.into(), body, CHUNK_BYTES_MAX, |message: &Self| message.version())?;
        match (message.version, &message.trace) {
            (ChunkVersion::V1, Some(_)) => return Err(ParseError::field("trace", "is not of version 1; write version 2 with it")),
            (ChunkVersion::V2, None) => return Err(ParseError::field("trace", "is missing; without it, write version 1")),
            (ChunkVersion::V1, None) | (ChunkVersion::V2, Some(_)) | (ChunkVersion::V3, _) => {}
        }
        match (message.version, &message.proof) {
            (ChunkVersion::V3, None) => return Err(ParseError::field("proof", "is missing, and version 3 has one")),
            (ChunkVersion::V1 | ChunkVersion::V2, Some(_)) => {
                return Err(ParseError::field("proof", "is new in version 3; write that version with it"));
            }
            (ChunkVersion::V3, Some(_)) | (ChunkVersion::V1 | ChunkVersion::V2, None) => {}
        }
        let recipients = message.recipients.len();
        if recipients == 0 || recipients > CHUNK_RECIPIENTS_MAX {
            return Err(ParseError::field("recipients", format!("has {recipients} entries; 1 to {CHUNK_RECIPIENTS_MAX} are allowed")));
        }
        // Nobody in a small body can be too large by himself, and there is no need to write everybody down to see it.
        let all_fit = body.len() + DATA_LEFT_OUT <= RECIPIENT_BYTES_MAX;
        for (index, recipient) in message.recipients.iter().enumerate() {
            let checked = if all_fit { recipient.check_text() } else { recipient.checked_bytes().map(|_| ()) };
            checked.map_err(|error| ParseError::field(&format!("recipients[{index}]"), error))?;
        }
        Ok(message)
    }

    /// The trace that it belongs to, where there is one.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// The message body.
    #[must_use]
    pub fn to_body(&self) -> String {
        // Only maps with keys that are no strings can fail here, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}
