//! Probes: `issei doctor` sends one mail to the mailbox simulator and waits until the feedback consumer has
//! noted here that it heard of it. Nothing else reads these items.

use std::time::Duration;

use crate::item::{Key, n};
use crate::{Ledger, LedgerError};

/// The SES tag of a probe's mail.
pub const PROBE_TAG: &str = "issei-probe";
/// Nobody waits longer for a probe.
const KEEP: Duration = Duration::from_hours(24);

/// What tells one probe from another: 8 to 64 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeToken(String);

impl ProbeToken {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProbeToken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text))
        } else {
            Err("it is not 8 to 64 letters and digits".to_owned())
        }
    }
}

impl Ledger {
    /// Notes that an event about this probe has come.
    pub async fn note_probe(&self, token: &ProbeToken) -> Result<(), LedgerError> {
        let mut item = Key::probe(token.as_str()).into_item();
        let keep = i64::try_from(KEEP.as_secs()).unwrap_or_default();
        item.insert("expires_at".to_owned(), n(self.clock.wall().as_second().saturating_add(keep)));
        self.db.put_item().table_name(&self.table).set_item(Some(item)).send().await.map_err(LedgerError::call("PutItem"))?;
        Ok(())
    }

    /// Says whether an event about this probe has come.
    pub async fn has_heard_of(&self, token: &ProbeToken) -> Result<bool, LedgerError> {
        Ok(self.get(Key::probe(token.as_str())).await?.is_some())
    }
}
