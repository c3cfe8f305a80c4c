//! Who was forgotten: tombstones as they were sealed, as many as the broadcast counts, and each of them by a step that
//! stands in the audit trail. What a tombstone stands for, the chain of pages proves.

use std::collections::BTreeMap;

use issei_ledger::{AuditEntry, Broadcast, KeptPage, Ledger, LedgerError, Seal};

use issei_schema::both;

use super::odd::Odd;
use super::{data, items};
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
            self.odd
                .note(|| both!("the tombstones of page {seq} are not as they were sealed", "ページ{seq}の消去の記録が封印と一致しません"));
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
        self.odd.note_if(found != says, || {
            both!(
                "the broadcast counts {says} forgotten, and its pages hold {found} tombstones",
                "一斉送信の記録では消去{says}件ですが、ページの消去の記録は{found}件です"
            )
        });
        for page in told.keys().chain(self.found.keys()) {
            let (told, found) = (told.get(page).copied().unwrap_or_default(), self.found.get(page).copied().unwrap_or_default());
            self.odd.note_if(told != found, || {
                both!(
                    "page {page} has {found} tombstones, and by the audit trail {told} were forgotten",
                    "ページ{page}の消去の記録は{found}件ですが、監査証跡では{told}件です"
                )
            });
        }
        let ending_is_told = broadcast.ending.iter().all(|entry| entries.contains(entry));
        self.odd.note_if(!ending_is_told, || {
            both!(
                "the broadcast's `ending` has entries that the audit trail has not",
                "一斉送信の `ending` に、監査証跡にない記録があります"
            )
        });
        self.odd.note_if((found == 0) != broadcast.ending.is_empty(), || {
            both!(
                "the broadcast's `ending` is there from when somebody was forgotten, and only then",
                "一斉送信の `ending` があるのは、誰かを消去した後だけです"
            )
        });
        let standing_is_told = broadcast.standing.iter().all(|entry| entries.contains(entry));
        self.odd.note_if(!standing_is_told, || {
            both!(
                "the broadcast's `standing` has entries that the audit trail has not",
                "一斉送信の `standing` に、監査証跡にない記録があります"
            )
        });
        if told.is_empty() && found == 0 && says == 0 && self.odd.is_empty() {
            return None;
        }
        let finding = data(both!("audience: who was forgotten", "対象者: 消去された方"), items(&["page", "broadcast", "audit"])).must(
            both!(
                "each tombstone under its page's seal, and counted in the broadcast and the audit trail",
                "消去の記録はすべてページの封印の下にあり、一斉送信と監査証跡の件数に含まれる"
            ),
            "whoever hides a recipient behind a tombstone hides who was mailed",
        );
        let steps = entries.iter().filter(|entry| entry.forgot().is_some()).count();
        Some(self.odd.into_finding(
            finding,
            both!("{found} entries of {} pages, in {steps} steps", "{}ページの{found}件、{steps}回の操作", self.found.len()),
        ))
    }
}
