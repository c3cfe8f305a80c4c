//! Why a message was refused. A refused message goes to the dead-letter queue with this as reason.

use crate::text::without_addresses;

/// What is wrong with a message body. The text names the field, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Refused before it is read, so that hostile input costs nothing.
    #[error("the message has {bytes} bytes and at most {bytes_max} are allowed; shorten its content")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the message is not JSON ({reason}); send one JSON object")]
    NotJson { reason: String },
    #[error("field `version` is missing; this build reads {}", versions(*newest))]
    NoVersion { newest: u16 },
    /// Whoever wrote it is newer. After an upgrade the message can be redriven.
    #[error("field `version` is {version}, which this build does not read; it reads {}, so upgrade it and redrive the message", versions(*newest))]
    UnknownVersion { version: String, newest: u16 },
    #[error("field `{field}`: {reason}")]
    Field { field: String, reason: String },
}

impl ParseError {
    pub(crate) fn field(field: &str, reason: impl ToString) -> Self {
        Self::Field { field: field.to_owned(), reason: without_addresses(&reason.to_string()) }
    }
}

fn versions(newest: u16) -> String {
    if newest == 1 { "version 1".to_owned() } else { format!("versions 1 to {newest}") }
}
