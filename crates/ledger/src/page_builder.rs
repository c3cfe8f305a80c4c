//! Filling a page: rows become recipients in chunks, or skipped rows, until the page is full.

use std::collections::BTreeMap;

use issei_schema::{Recipient, limits};

use crate::commitment::Salted;
use crate::page::{Body, Page, Place};
use crate::salts::{Salt, Salts};
use crate::{Broadcast, LastKey, Ledger, LedgerError, SkipReason, Skipped};

/// JSON in one page before compression. An item has 400 KB at most (DynamoDB developer guide,
/// "Quotas"), and data that does not compress must fit too.
const PAGE_BYTES_MAX: usize = 350_000;

/// Fills a page row by row and cuts it into chunks.
pub struct PageBuilder {
    page: Page,
    chunk_size: usize,
    /// Recipients before this page, for the chunk that ends with the canary.
    before: u64,
    canary: u64,
    bytes: usize,
    in_canary: bool,
    /// The chunk that is being filled for each letter, by its number: its place in the page, and its bytes.
    open: BTreeMap<usize, (usize, usize)>,
    frozen_by: String,
    salt: Salt,
}

impl Ledger {
    /// A page that goes on where the broadcast's last one ended, or with the first whom the canary does not choose.
    /// `frozen_by` is the mark of the run that does it.
    pub fn page_after(&self, broadcast: &Broadcast, in_canary: bool, frozen_by: String) -> Result<PageBuilder, LedgerError> {
        let secret = self.dice.secret().map_err(|error| LedgerError::corrupt("page", error))?;
        let mut salt = Salt::default();
        salt.iter_mut().zip(secret).for_each(|(to, from)| *to = from);
        Ok(PageBuilder::after(broadcast, in_canary, frozen_by, salt))
    }
}

impl PageBuilder {
    fn after(broadcast: &Broadcast, in_canary: bool, frozen_by: String, salt: Salt) -> Self {
        let page = Page {
            seq: broadcast.pages,
            previous: broadcast.chain.clone(),
            first_chunk: broadcast.chunks,
            body: Body::default(),
            last_key: match &broadcast.last_key {
                Some(LastKey::InBytes(key)) => Some(key.clone()),
                Some(LastKey::InDatabase) | None => None,
            },
        };
        let chunk_size = usize::try_from(broadcast.chunk_size).unwrap_or(1).clamp(1, limits::CHUNK_RECIPIENTS_MAX);
        Self {
            page,
            chunk_size,
            before: broadcast.recipients,
            canary: broadcast.canary,
            bytes: 0,
            open: BTreeMap::new(),
            in_canary,
            frozen_by,
            salt,
        }
    }

    /// Takes a recipient whose message size is `bytes`, who gets the letter of this number, and records that its
    /// key stands in `repeats` further rows; gives it back where the page is full without it. A chunk has one letter,
    /// since a call to the provider has one.
    pub fn push(&mut self, recipient: Recipient, bytes: usize, repeats: u64, letter: usize) -> Result<(), Recipient> {
        let repeated = (repeats > 0).then(|| recipient.key.as_str().chars().take(64).collect::<String>());
        let room = bytes + repeated.as_deref().map_or(0, skipped_bytes);
        if self.bytes + room > PAGE_BYTES_MAX {
            return Err(recipient);
        }
        if let Some(repeated) = repeated {
            self.skip(repeated, SkipReason::DuplicateKey, repeats);
        }
        // No chunk goes on beyond the canary, whose chunks are the first.
        if self.canary > 0 && self.before + self.page.recipients() as u64 == self.canary {
            self.open.clear();
        }
        let chunks = &mut self.page.body.chunks;
        let open = self.open.get(&letter).copied().filter(|(place, chunk_bytes)| {
            // The chunk's own JSON around its recipients takes less than a kilobyte.
            chunks.get(*place).is_some_and(|chunk| chunk.len() < self.chunk_size) && chunk_bytes + bytes + 1024 <= limits::CHUNK_BYTES_MAX
        });
        let (place, chunk_bytes) = open.unwrap_or_else(|| {
            chunks.push(Vec::with_capacity(self.chunk_size));
            (chunks.len() - 1, 0)
        });
        if let Some(chunk) = chunks.get_mut(place) {
            chunk.push(Some(recipient));
        }
        self.open.insert(letter, (place, chunk_bytes + bytes + 1));
        self.bytes += bytes + 1;
        Ok(())
    }

    /// Records somebody who can't be mailed; false where the page is full without them.
    pub fn skip(&mut self, key: String, reason: SkipReason, rows: u64) -> bool {
        let bytes = skipped_bytes(&key);
        if self.bytes + bytes > PAGE_BYTES_MAX {
            return false;
        }
        self.page.body.skipped.push(Some(Skipped { key, reason, rows, mailed: None }));
        self.bytes += bytes;
        true
    }

    /// Records a key whose address is mailed under the key `mailed`; false where the page is full without it.
    pub fn skip_address(&mut self, key: String, mailed: String, rows: u64) -> bool {
        let bytes = skipped_bytes(&key) + skipped_bytes(&mailed);
        if self.bytes + bytes > PAGE_BYTES_MAX {
            return false;
        }
        self.page.body.skipped.push(Some(Skipped { key, reason: SkipReason::DuplicateAddress, rows, mailed: Some(mailed) }));
        self.bytes += bytes;
        true
    }

    /// Moves the cursor: the next page begins after this key.
    pub fn advance(&mut self, key: String) {
        self.page.last_key = Some(key);
    }

    /// The page as it is now.
    #[must_use]
    pub fn build(mut self) -> Page {
        let Page { first_chunk, last_key, .. } = &self.page;
        let (in_canary, frozen_by) = (self.in_canary, self.frozen_by);
        self.page.body.place = Some(Place { first_chunk: *first_chunk, last_key: last_key.clone(), in_canary, frozen_by });
        self.page.body.salted = Some(Salted { salts: Salts::new(self.salt, self.page.body.entries()), forgotten: Vec::new(), seal: None });
        self.page
    }
}

/// The most JSON that an entry for a skipped row takes: every character of a key may be escaped.
fn skipped_bytes(key: &str) -> usize {
    key.len() * 2 + 80
}
