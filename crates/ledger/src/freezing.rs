//! Writing a page: in one transaction, which also checks that the broadcast may still enumerate and that this page comes
//! next. What only computes, the page's bytes and its hash, is done before and may be done on any thread, also for a page
//! whose predecessor is not written yet: the chain names it, so the page is written after that very one or never.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use issei_aws::AwsCall;

use crate::item::{Item, Key, n, s};
use crate::page::{Page, SALTED_BODY, packed};
use crate::{Broadcast, BroadcastState, LastKey, Ledger, LedgerError, Reading, Shards};

/// What became of a try at freezing a page.
#[derive(Debug)]
pub enum Frozen {
    /// The page is in the ledger.
    Written(Broadcast),
    /// Another producer was first, or the broadcast was stopped. Go on from here.
    Changed(Broadcast),
}

/// A page with its bytes and its hash.
pub struct PackedPage {
    page: Page,
    body: AttributeValue,
    hash: String,
}

impl Page {
    /// The page as it is written.
    pub fn pack(self) -> Result<PackedPage, LedgerError> {
        let body = serde_json::to_vec(&self.body).map_err(|error| LedgerError::corrupt("page", error))?;
        let hash = self.body.hash(&self.previous, self.seq).map_err(|error| LedgerError::corrupt("page", error))?;
        Ok(PackedPage { body: packed(&body)?, page: self, hash })
    }

    /// How many of its recipients the canary chooses.
    fn chosen(&self) -> u64 {
        if self.is_in_canary() { self.recipients() as u64 } else { 0 }
    }
}

impl PackedPage {
    #[must_use]
    pub fn page(&self) -> &Page {
        &self.page
    }
}

impl Broadcast {
    /// The broadcast as it is once this page of `reading` is written, which says over how many partitions it is spread
    /// where it is the first.
    #[must_use]
    pub fn with_page(&self, packed: &PackedPage, reading: &Reading, shards: Shards) -> Self {
        let page = &packed.page;
        let chosen = page.chosen();
        let mut after = self.clone();
        after.pages = page.seq + 1;
        if self.pages == 0 {
            after.shards = Some(shards);
        }
        after.chain.clone_from(&packed.hash);
        after.chunks += u32::try_from(page.body.chunks.len()).unwrap_or(u32::MAX);
        after.canary += chosen;
        after.canary_chunks += page.canary_chunks(self.recipients, self.canary + chosen);
        after.in_canary = page.is_in_canary();
        after.recipients += page.recipients() as u64;
        after.skipped += page.skipped_rows();
        for skipped in page.skipped() {
            *after.skipped_by.entry(skipped.reason.to_string()).or_default() += skipped.rows;
        }
        after.last_key = page.last_key.clone().map(LastKey::InBytes);
        after.reading = Some(reading.following(self));
        after.held_up = None;
        after
    }
}

impl Ledger {
    /// Writes a page that was built after `broadcast` from `reading`, unless that is no longer the state of things.
    pub async fn freeze_page(&self, broadcast: &Broadcast, packed: &PackedPage, reading: &Reading) -> Result<Frozen, LedgerError> {
        let (after, read_value) = (broadcast.with_page(packed, reading, self.shards_for(reading.rows)), reading.last_of(broadcast)?);
        let PackedPage { page, body, hash } = packed;
        let (id, chosen) = (&broadcast.broadcast_id, page.chosen());
        let key = Key::page(&after.placed(), page.seq);
        let mut item: Item = key.clone().into_item();
        item.extend([
            (SALTED_BODY.to_owned(), body.clone()),
            ("page_hash".to_owned(), s(hash)),
            ("previous_hash".to_owned(), s(&page.previous)),
            ("expires_at".to_owned(), n(self.expires_at())),
        ]);
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(id).into_item()))
            .condition_expression("broadcast_state = :enumerating AND pages = :seq AND chain = :previous")
            .expression_attribute_values(":enumerating", s(BroadcastState::Enumerating.as_str()))
            .expression_attribute_values(":seq", n(page.seq))
            .expression_attribute_values(":previous", s(&page.previous))
            .expression_attribute_values(":pages", n(page.seq + 1))
            .expression_attribute_values(":hash", s(hash))
            .expression_attribute_values(":chunks", n(page.body.chunks.len()))
            .expression_attribute_values(":canary_chunks", n(after.canary_chunks - broadcast.canary_chunks))
            .expression_attribute_values(":recipients", n(page.recipients()))
            .expression_attribute_values(":skipped", n(page.skipped_rows()))
            .expression_attribute_values(":reading", read_value);
        let mut set = "SET pages = :pages, chain = :hash, chunks = chunks + :chunks, recipients = recipients + :recipients, skipped = skipped + :skipped, canary_chunks = canary_chunks + :canary_chunks, reading = :reading"
            .to_owned();
        if let Some(last_key) = &page.last_key {
            set.push_str(", last_key = :last_key");
            update = update.expression_attribute_values(":last_key", AttributeValue::B(Blob::new(last_key.as_bytes())));
        }
        if !page.body.skipped.is_empty() {
            // Whole: the page follows the state that this was added to, or is not written.
            let value = serde_dynamo::to_attribute_value(&after.skipped_by).map_err(|error| LedgerError::corrupt("skipped_by", error))?;
            set.push_str(", skipped_by = :skipped_by");
            update = update.expression_attribute_values(":skipped_by", value);
        }
        if let Some(shards) = after.shards.filter(|_| broadcast.shards.is_none()) {
            set.push_str(", shards = :shards");
            update = update.expression_attribute_values(":shards", n(shards.get()));
            // One that marks its letters has it under a name that no such build reads.
            if !broadcast.marks_letters {
                set.push_str(", chunk_recipients = :chunk_recipients");
                update = update.expression_attribute_values(":chunk_recipients", n(broadcast.chunk_size));
            }
        }
        if page.is_in_canary() {
            set.push_str(", canary = canary + :chosen REMOVE held_up");
            update = update.expression_attribute_values(":chosen", n(chosen));
        } else {
            set.push_str(" REMOVE held_up, in_canary");
        }
        // Under its old name an older build would read it, and look for chunks where they are not.
        if after.shards != broadcast.shards {
            set.push_str(", chunk_size");
        }
        let built = put.build().and_then(|put| Ok((put, update.update_expression(set).build()?)));
        let (put, update) = built.map_err(|error| LedgerError::corrupt(key.name(), error))?;
        let writes = [TransactWriteItem::builder().put(put).build(), TransactWriteItem::builder().update(update).build()];
        match self.db.transact_write_items().set_transact_items(Some(writes.to_vec())).call().await {
            Ok(_) => Ok(Frozen::Written(after)),
            Err(error) if matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionCanceledException(_))) => {
                let now = self.broadcast(id).await?;
                // Where the chain has not moved, another transaction was only in the way.
                if now.pages == page.seq && now.broadcast_state == BroadcastState::Enumerating {
                    return Err(LedgerError::call("TransactWriteItems")(error));
                }
                Ok(Frozen::Changed(now))
            }
            Err(error) => Err(LedgerError::call("TransactWriteItems")(error)),
        }
    }
}
