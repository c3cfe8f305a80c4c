//! Who was forgotten: tombstones as they were sealed, as many as the broadcast counts, and each of them by a step that
//! stands in the audit trail. What a tombstone stands for, the chain of pages proves.

use std::collections::BTreeMap;

use issei_ledger::{AuditEntry, Broadcast, KeptPage, Ledger, LedgerError, Seal};

use super::data;
use super::odd::Odd;
use crate::finding::Finding;

#[derive(Default)]
pub(super) struct Forgotten {
    /// By page.
    found: BTreeMap<u32, u64>,
    odd: Odd,
}

impl Forgotten {
    pub(super) async fn look_at(&mut self, ledger: &Ledger, kept: &KeptPage) -> Result<(), LedgerError> {
        let (seq, count) = (kept.page.seq, kept.page.forgotten());
        if ledger.tombstones(kept).await? == Seal::Broken {
            self.odd.note(|| format!("the tombstones of page {seq} are not as they were sealed"));
        }
        if count > 0 {
            self.found.insert(seq, count);
        }
        Ok(())
    }

    /// Nothing where nobody was forgotten, and nothing says so.
    pub(super) fn into_finding(mut self, broadcast: &Broadcast, entries: &[AuditEntry]) -> Option<Finding> {
        let mut told: BTreeMap<u32, u64> = BTreeMap::new();
        for (count, page) in entries.iter().filter_map(AuditEntry::forgot) {
            *told.entry(page).or_default() += count;
        }
        let (found, says) = (self.found.values().sum::<u64>(), broadcast.forgotten);
        self.odd.note_if(found != says, || format!("the broadcast counts {says} forgotten, and its pages hold {found} tombstones"));
        for page in told.keys().chain(self.found.keys()) {
            let (told, found) = (told.get(page).copied().unwrap_or_default(), self.found.get(page).copied().unwrap_or_default());
            self.odd.note_if(told != found, || format!("page {page} has {found} tombstones, and by the audit trail {told} were forgotten"));
        }
        let ending_is_told = broadcast.ending.iter().all(|entry| entries.contains(entry));
        self.odd.note_if(!ending_is_told, || "the broadcast's `ending` has entries that the audit trail has not".to_owned());
        self.odd.note_if((found == 0) != broadcast.ending.is_empty(), || {
            "the broadcast's `ending` is there from when somebody was forgotten, and only then".to_owned()
        });
        if told.is_empty() && found == 0 && says == 0 && self.odd.is_empty() {
            return None;
        }
        let finding = data("audience: who was forgotten", "ledger items `page`, `broadcast` and `audit`").rule(
            "each tombstone under its page's seal, and counted in the broadcast and the audit trail",
            "whoever hides a recipient behind a tombstone hides who was mailed",
        );
        let steps = entries.iter().filter(|entry| entry.forgot().is_some()).count();
        Some(self.odd.into_finding(finding, format!("{found} entries of {} pages, in {steps} steps", self.found.len())))
    }
}
