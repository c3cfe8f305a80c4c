//! Why a message was refused. A refused message goes to the dead-letter queue with this as reason.

/// What is wrong with a message body. The text names the field, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Refused before it is read, so that hostile input costs nothing.
    #[error("the message has {bytes} bytes and at most {bytes_max} are allowed; shorten its content")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the message is not JSON ({reason}); send one JSON object")]
    NotJson { reason: String },
    #[error("field `version` is missing; this build reads version 1")]
    NoVersion,
    #[error("field `version` is {version}, which this build does not read; it reads 1, so upgrade it or send version 1")]
    UnknownVersion { version: String },
    #[error("field `{field}`: {reason}")]
    Field { field: String, reason: String },
}

impl ParseError {
    pub(crate) fn field(field: &str, reason: impl ToString) -> Self {
        Self::Field { field: field.to_owned(), reason: reason.to_string() }
    }
}
