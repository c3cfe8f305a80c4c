//! `ChunkMessage`: up to fifty frozen recipients, one SQS message, one provider call.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{CHUNK_BYTES_MAX, CHUNK_RECIPIENTS_MAX, RECIPIENT_BYTES_MAX};
use crate::version::parse_v1;
use crate::{Address, BroadcastId, ParseError, RecipientKey, V1, carries_only_text};

/// Asks a consumer to send to one chunk. It carries no authority: whether anything is sent, the
/// ledger alone decides. It carries addresses: never log it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChunkMessage {
    pub version: V1,
    pub broadcast_id: BroadcastId,
    /// The frozen page that the chunk belongs to.
    pub page: u32,
    /// The chunk's number in the broadcast, from 0.
    pub chunk: u32,
    #[schemars(length(min = 1, max = 50))]
    pub recipients: Vec<Recipient>,
}

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
        if !self.data.values().all(|value| carries_only_text(value)) {
            return Err(RecipientError::ControlCharacter);
        }
        let bytes = serde_json::to_string(self).map_or(usize::MAX, |json| json.len());
        if bytes > RECIPIENT_BYTES_MAX { Err(RecipientError::TooLarge { bytes }) } else { Ok(bytes) }
    }
}

impl ChunkMessage {
    /// Reads a message body. Hostile until this returns.
    ///
    /// # Errors
    /// Names the field, what is wrong with it and what to do.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        let message: Self = parse_v1(body, CHUNK_BYTES_MAX)?;
        let recipients = message.recipients.len();
        if recipients == 0 || recipients > CHUNK_RECIPIENTS_MAX {
            return Err(ParseError::field("recipients", format!("has {recipients} entries; 1 to {CHUNK_RECIPIENTS_MAX} are allowed")));
        }
        for (index, recipient) in message.recipients.iter().enumerate() {
            recipient.checked_bytes().map_err(|error| ParseError::field(&format!("recipients[{index}]"), error))?;
        }
        Ok(message)
    }

    /// The message body.
    #[must_use]
    pub fn to_body(&self) -> String {
        // Only maps with keys that are no strings can fail here, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}
