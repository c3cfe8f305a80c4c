//! Probes: `issei doctor` sends one mail to the mailbox simulator and waits until the feedback consumer has
//! noted here that it heard of it. Nothing else reads these items.

use std::time::Duration;

use issei_aws::AwsCall;
use issei_schema::ProbeToken;

use crate::item::{Key, n};
use crate::{Ledger, LedgerError};

/// Nobody waits longer for a probe.
const KEEP: Duration = Duration::from_hours(24);

impl Ledger {
    /// Notes that an event about this probe has come.
    pub async fn note_probe(&self, token: &ProbeToken) -> Result<(), LedgerError> {
        let mut item = Key::probe(token.as_str()).into_item();
        let keep = i64::try_from(KEEP.as_secs()).unwrap_or_default();
        item.insert("expires_at".to_owned(), n(self.clock.wall().as_second().saturating_add(keep)));
        self.db.put_item().table_name(&self.table).set_item(Some(item)).call().await.map_err(LedgerError::call("PutItem"))?;
        Ok(())
    }

    /// Says whether an event about this probe has come.
    pub async fn has_heard_of(&self, token: &ProbeToken) -> Result<bool, LedgerError> {
        Ok(self.get(Key::probe(token.as_str())).await?.is_some())
    }
}
