//! Putting addresses on the list of those that are not mailed, and rewriting entries of builds from before its key.
//!
//! Each entry is counted in the list's marker, under its part of the list, before anybody is told that it is there: whoever
//! keeps a part in memory learns so that it is to be read again ([`crate::Suppressions`]). And it is noted by its time, for
//! broadcasts that were frozen before ([`crate::Lately`]). The marker itself is there before
//! the first entry.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use futures_util::{StreamExt, TryStreamExt, stream};
use issei_aws::{AnsweredAt, AwsCall};
use issei_schema::{Actor, Address, BroadcastId, MessageKey};
use jiff::Timestamp;
use serde::Serialize;

use crate::item::{Key, n, s};
use crate::suppressed::{CAUSE, Cause, REMOVED, Suppressed, Suppression, keyed, keyed_key, part_of, plain_key};
use crate::suppression::{ENTERED, List};
use crate::{Ledger, LedgerError};

/// Entries that are written at once.
const AT_ONCE: usize = 16;
/// Entries that are counted at once.
const COUNTED: usize = 1_000;

/// An address that is to be on the list, why, and who says so.
pub type Entering = (Address, Suppression, Cause);

/// What a migration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Migrated {
    /// So many entries are kept by the ledger's key now, and no plain digest is left.
    Done { entries: u64 },
    /// A plain entry was written so many seconds ago, or meanwhile: who wrote it may not be done.
    TooSoon { seconds: i64 },
}

/// So long nobody may have written a plain digest before they are taken away: a writer has made its mark by then, and
/// its entry too.
const QUIET_S: i64 = 600;

impl Ledger {
    /// Puts an address on the list for what an event about a broadcast told.
    pub async fn suppress(&self, address: &Address, why: Suppression, id: &BroadcastId, actor: &Actor) -> Result<(), LedgerError> {
        let now = self.clock.wall();
        let (source, entered_by) = (format!("broadcast {id}"), actor.to_string());
        let cause = Cause { since: now, entered_at: now, source, entered_by, reason: None };
        // Whoever mails what can't arrive once more, while a broadcast waits, does no harm; and there are many of these.
        self.enter_each([(address.clone(), why, cause)], why != Suppression::Bounced).await
    }

    /// Puts addresses on the list. Each stays there until somebody takes it away; a cause that is known keeps its date.
    /// Where it fails, some may be on it; the same again enters the rest.
    pub async fn enter_suppressed(&self, entries: impl IntoIterator<Item = Entering>) -> Result<(), LedgerError> {
        self.enter_each(entries, true).await
    }

    /// `noted` says whether broadcasts that are under way already heed them, too.
    async fn enter_each(&self, entries: impl IntoIterator<Item = Entering>, noted: bool) -> Result<(), LedgerError> {
        let mut list = self.suppression_list().await?;
        let key = self.suppression_key(&list).await?;
        list.key = Some(key);
        self.make_marker(&list).await?;
        let mut entries = entries.into_iter();
        loop {
            let some: Vec<Entering> = entries.by_ref().take(COUNTED).collect();
            if some.is_empty() {
                return Ok(());
            }
            let writes = |(address, why, cause): Entering| list.keys(&address).into_iter().map(move |key| (key, why, cause.clone()));
            let writes: Vec<(Key, Suppression, Cause)> = some.into_iter().flat_map(writes).collect();
            let parts: Vec<u8> = writes.iter().filter_map(|(key, ..)| part_of(&key.sk)).collect();
            let digests: Vec<String> = writes.iter().filter(|_| noted).map(|(key, ..)| key.sk.clone()).collect();
            let entering = stream::iter(writes).map(|(key, why, cause)| self.enter(key, why, cause)).buffer_unordered(AT_ONCE);
            let entered = entering.try_collect::<()>().await;
            // Noted and counted where some failed, too: the others are on the list.
            let counted_at = self.count_entered(&parts).await?;
            self.note_entered(&digests, counted_at).await.and(entered)?;
        }
    }

    /// The marker before any entry: whoever doesn't see it doesn't look for entries.
    async fn make_marker(&self, list: &List) -> Result<(), LedgerError> {
        if !list.is_empty && !list.has_plain {
            return Ok(());
        }
        let update = if list.has_plain {
            "SET suppressed_at = :now, keyed_since = if_not_exists(keyed_since, :now)"
        } else {
            "SET keyed_since = if_not_exists(keyed_since, :now)"
        };
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppressions().into_item()));
        let request = request.update_expression(update).expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
        request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    async fn enter(&self, key: Key, why: Suppression, cause: Cause) -> Result<(), LedgerError> {
        let record = serde_json::to_string(&cause).map_err(|error| LedgerError::corrupt(key.name(), error))?;
        // For builds that read one word: a bounce, which keeps everything away, is never overwritten.
        let word = if why == Suppression::Bounced { ":why" } else { "if_not_exists(suppression, :why)" };
        let update = format!("SET {CAUSE}{0} = if_not_exists({CAUSE}{0}, :cause), suppression = {word} REMOVE {REMOVED}", why.as_str());
        let request = self.db.update_item().table_name(&self.table).set_key(Some(key.into_item()));
        let request = request.update_expression(update).expression_attribute_values(":why", s(why.as_str()));
        let request = request.expression_attribute_values(":cause", s(record));
        request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// Tells whoever keeps one of these parts in memory that it has changed. A count that is told twice is harmless. Gives when
    /// that was, by AWS's clock where it tells.
    async fn count_entered(&self, parts: &[u8]) -> Result<Timestamp, LedgerError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        parts.iter().for_each(|part| *counts.entry(format!("{ENTERED}{part:02x}")).or_default() += 1);
        if counts.is_empty() {
            return Ok(self.clock.wall());
        }
        let (adds, answered) = (counts.keys().map(|name| format!("{name} :{name}")).collect::<Vec<_>>().join(", "), AnsweredAt::default());
        let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppressions().into_item()));
        let mut request = request.update_expression(format!("ADD {adds}"));
        for (name, count) in counts {
            request = request.expression_attribute_values(format!(":{name}"), n(count));
        }
        request.customize().interceptor(answered.clone()).send().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(answered.get().unwrap_or_else(|| self.clock.wall()))
    }

    /// Rewrites plain entries under the ledger's key, and takes the plain ones away. Only where no build from before the
    /// key runs any more: one that reads plain digests alone would find nobody. One that writes them all the same is
    /// heeded again.
    pub async fn migrate_suppressions(&self) -> Result<Migrated, LedgerError> {
        let list = self.suppression_list().await?;
        let key = self.suppression_key(&list).await?;
        let now = self.clock.wall().as_second();
        if let Some(seconds) = list.plain_since.map(|at| now - at / 1_000).filter(|seconds| *seconds < QUIET_S) {
            return Ok(Migrated::TooSoon { seconds });
        }
        let mut entries = 0;
        for part in 0..=u8::MAX {
            let plain: Vec<Suppressed> = self.suppressed_part(part).await?.into_iter().filter(|entry| !entry.keyed).collect();
            entries += plain.len() as u64;
            self.rewrite(&key, plain).await?;
        }
        if !list.is_empty {
            let request = self.db.update_item().table_name(&self.table).set_key(Some(Key::suppressions().into_item()));
            let request = request.update_expression("SET keyed_since = if_not_exists(keyed_since, :now) REMOVE suppressed_at");
            let request = request.expression_attribute_values(":now", n(self.clock.wall().as_millisecond()));
            let request = match list.plain_since {
                Some(seen) => request.condition_expression("suppressed_at = :seen").expression_attribute_values(":seen", n(seen)),
                None => request.condition_expression("attribute_not_exists(suppressed_at)"),
            };
            if let Err(error) = request.call().await {
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) {
                    return Ok(Migrated::TooSoon { seconds: 0 });
                }
                return Err(LedgerError::call("UpdateItem")(error));
            }
        }
        self.keep_digests_keyed_alone().await?;
        Ok(Migrated::Done { entries })
    }

    /// The keyed entries first: whoever is interrupted here has both, and whoever keeps the list in memory knows of them.
    async fn rewrite(&self, key: &MessageKey, entries: Vec<Suppressed>) -> Result<(), LedgerError> {
        let to = |entry: &Suppressed| keyed_key(&keyed(key, &entry.digest));
        for entry in &entries {
            self.copy(&to(entry), entry).await?;
        }
        self.count_entered(&entries.iter().filter_map(|entry| part_of(&to(entry).sk)).collect::<Vec<_>>()).await?;
        for entry in entries {
            let delete = self.db.delete_item().table_name(&self.table).set_key(Some(plain_key(&entry.digest).into_item()));
            delete.call().await.map_err(LedgerError::call("DeleteItem"))?;
        }
        Ok(())
    }

    /// Gives the keyed entry every cause that the plain one has.
    async fn copy(&self, key: &Key, plain: &Suppressed) -> Result<(), LedgerError> {
        for (why, cause) in &plain.causes {
            let record = serde_json::to_string(cause).map_err(|error| LedgerError::corrupt(key.name(), error))?;
            let update = format!("SET {CAUSE}{0} = if_not_exists({CAUSE}{0}, :cause)", why.as_str());
            let request = self.db.update_item().table_name(&self.table).set_key(Some(key.clone().into_item()));
            let request = request.update_expression(update).expression_attribute_values(":cause", s(record));
            request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        }
        Ok(())
    }
}
