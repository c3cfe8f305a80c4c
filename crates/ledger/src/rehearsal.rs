//! Rehearsals: which version, with which settings, has carried how many recipients, and until when that
//! counts.

use issei_aws::AwsCall;
use issei_schema::ProviderName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, Key, n, read};
use crate::{Ledger, LedgerError};

/// A rehearsal that went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    pub broadcast_id: issei_schema::BroadcastId,
    pub version: String,
    /// Digest of the settings.
    pub settings: String,
    /// Who carried it; nothing for SES.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    pub recipients: u64,
    pub rehearsed_at: Timestamp,
    pub expires: Timestamp,
}

impl Rehearsal {
    /// Says why this is not enough for a broadcast of so many recipients, where it is not.
    #[must_use]
    pub fn falls_short(&self, recipients: u64, now: Timestamp) -> Option<String> {
        if now >= self.expires {
            return Some(format!("the rehearsal of {} expired at {}", self.rehearsed_at, self.expires));
        }
        (recipients > self.recipients).then(|| {
            format!("the rehearsal of {} had {} recipients, and this broadcast has {recipients}", self.rehearsed_at, self.recipients)
        })
    }
}

impl Ledger {
    /// Writes down a rehearsal. One that counts for more and for longer is not replaced.
    pub async fn note_rehearsal(&self, rehearsal: &Rehearsal) -> Result<(), LedgerError> {
        let now = self.clock.wall();
        let before = self.rehearsal(&rehearsal.version, &rehearsal.settings, rehearsal.provider.as_ref()).await?;
        if before.is_some_and(|before| before.expires >= rehearsal.expires && before.falls_short(rehearsal.recipients, now).is_none()) {
            return Ok(());
        }
        let key = Key::rehearsal(&rehearsal.version, &under(&rehearsal.settings, rehearsal.provider.as_ref()));
        let mut item: Item = serde_dynamo::to_item(rehearsal).map_err(|error| LedgerError::corrupt(key.name(), error))?;
        item.extend(key.into_item());
        item.insert("expires_at".to_owned(), n(rehearsal.expires.as_second()));
        self.db.put_item().table_name(&self.table).set_item(Some(item)).call().await.map_err(LedgerError::call("PutItem"))?;
        Ok(())
    }

    /// The rehearsal of this version with these settings, by this provider where it is another than SES.
    pub async fn rehearsal(
        &self,
        version: &str,
        settings: &str,
        provider: Option<&ProviderName>,
    ) -> Result<Option<Rehearsal>, LedgerError> {
        self.get(Key::rehearsal(version, &under(settings, provider))).await?.map(read).transpose()
    }

    /// Says why a broadcast of so many recipients may not begin where rehearsals are required; nothing
    /// where it may.
    pub async fn lacks_rehearsal(
        &self,
        version: &str,
        settings: &str,
        provider: Option<&ProviderName>,
        recipients: u64,
    ) -> Result<Option<String>, LedgerError> {
        let by = |word: &str| provider.map_or_else(String::new, |name| format!(" {word}{name}"));
        let short = match self.rehearsal(version, settings, provider).await? {
            Some(rehearsal) => rehearsal.falls_short(recipients, self.clock.wall()),
            None => Some(format!("this version with these settings was never rehearsed{}", by("by "))),
        };
        Ok(short.map(|why| format!("{why}; run `issei rehearse --recipients {recipients}{}`", by("--provider "))))
    }
}

/// A rehearsal by one provider says nothing of another.
fn under(settings: &str, provider: Option<&ProviderName>) -> String {
    provider.map_or_else(|| settings.to_owned(), |name| format!("{settings}#{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_counts_for_its_size_and_its_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let rehearsal = Rehearsal {
            broadcast_id: "rehearsal-1".parse().unwrap(),
            version: "1".to_owned(),
            settings: "s".to_owned(),
            provider: None,
            recipients: 1_000,
            rehearsed_at: at("2026-11-01T00:00:00Z"),
            expires: at("2026-12-01T00:00:00Z"),
        };
        let now = at("2026-11-24T00:00:00Z");
        assert_eq!(rehearsal.falls_short(1_000, now), None);
        assert!(rehearsal.falls_short(1_001, now).unwrap().contains("1000 recipients"));
        assert!(rehearsal.falls_short(1, rehearsal.expires).unwrap().contains("expired"));
    }
}
