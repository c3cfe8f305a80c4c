//! Which registration of its id a broadcast is. After a restore the same id can be another one, with other words; so whatever is granted
//! or claimed is on the condition of this.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_schema::{BroadcastId, MessageKey};

use crate::item::{b, n, s};
use crate::{Broadcast, Placed, Shards};

/// Which registration of an id: after a restore the same id can be another broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub id: BroadcastId,
    pub command_hash: String,
    pub key: Option<MessageKey>,
    pub shards: Option<Shards>,
    pub packs_message_ids: bool,
    pub marks_letters: bool,
    pub letters_name: Option<String>,
}

impl Registration {
    /// By what each of its letters names it; nothing where an older build registered it.
    #[must_use]
    pub fn letter_mark(&self) -> Option<String> {
        let mark = self.key.filter(|_| self.marks_letters)?.letter_mark();
        Some(self.letters_name.as_ref().map_or_else(|| mark.clone(), |ledger| format!("{mark}-{ledger}")))
    }

    /// A condition, and that the broadcast item is still of this registration.
    pub(crate) fn condition(&self, and: &str) -> String {
        // An older build registers without a key.
        let key = if self.key.is_some() { "message_key = :message_key" } else { "attribute_not_exists(message_key)" };
        // Whoever looks for its chunks elsewhere finds none that was claimed.
        let shards = if self.shards.is_some() { "shards = :shards" } else { "attribute_not_exists(shards)" };
        format!("{and} AND command_hash = :command_hash AND {key} AND {shards}")
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = (&'static str, AttributeValue)> {
        let key = self.key.map(|key| (":message_key", b(key.as_bytes())));
        let shards = self.shards.map(|shards| (":shards", n(shards.get())));
        std::iter::once((":command_hash", s(&self.command_hash))).chain(key).chain(shards)
    }

    /// Where its items lie.
    #[must_use]
    pub fn placed(&self) -> Placed {
        Placed { id: self.id.clone(), shards: self.shards.unwrap_or_default(), packs_message_ids: self.packs_message_ids }
    }
}

impl Broadcast {
    /// Which registration of its id it is.
    #[must_use]
    pub fn registration(&self) -> Registration {
        Registration {
            id: self.broadcast_id.clone(),
            command_hash: self.command_hash.clone(),
            key: self.message_key,
            shards: self.shards,
            packs_message_ids: self.packs_message_ids,
            marks_letters: self.marks_letters,
            letters_name: self.letters_name.clone(),
        }
    }

    /// By what each of its letters names its registration; nothing where an older build registered it.
    #[must_use]
    pub fn letter_mark(&self) -> Option<String> {
        self.registration().letter_mark()
    }

    /// Where its pages and chunks lie.
    #[must_use]
    pub fn placed(&self) -> Placed {
        Placed { id: self.broadcast_id.clone(), shards: self.shards.unwrap_or_default(), packs_message_ids: self.packs_message_ids }
    }
}
