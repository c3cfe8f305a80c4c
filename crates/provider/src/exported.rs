//! Events that somebody brings in a file, in the shape of their provider's webhook. Nobody has signed them: they say what
//! whoever brings them answers for, and that person and the file must be written down before any of them counts.

use serde_json::Value;

use crate::{Facts, Resend, SendGrid};

/// Whose shape a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exported {
    SendGrid,
    Resend,
}

impl Exported {
    pub const ALL: [Self; 2] = [Self::SendGrid, Self::Resend];

    /// By what each event of theirs has ("Event Webhook Reference"; "Event Types"); nothing for any other row.
    #[must_use]
    pub fn of(row: &Value) -> Option<Self> {
        if row["event"].is_string() && !row["email"].is_null() {
            Some(Self::SendGrid)
        } else if row["type"].is_string() && row["data"].is_object() {
            Some(Self::Resend)
        } else {
            None
        }
    }

    /// What is known of whoever told them.
    #[must_use]
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::SendGrid => SendGrid::FACTS,
            Self::Resend => Resend::FACTS,
        }
    }

    /// The row as a body of its webhook.
    #[must_use]
    pub fn body(self, row: &Value) -> Vec<u8> {
        match self {
            Self::SendGrid => format!("[{row}]").into_bytes(),
            Self::Resend => row.to_string().into_bytes(),
        }
    }
}
