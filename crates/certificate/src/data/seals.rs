//! The seals of chunks: each that stands there fits, and where none stands, a build that writes none took part.
//!
//! An older build leaves neither seals nor fingerprints, so that what it wrote can't be told from what a hand has
//! stripped. Whether one took part the heartbeats tell.

use issei_ledger::{Broadcast, Heartbeat, Inspected, RunMark, Seal, ServiceKind};

use issei_schema::{Bilingual, both};

use super::odd::Odd;
use super::{data, items};
use crate::finding::Finding;

/// Of which services builds took part that write neither seals nor fingerprints.
#[derive(Default)]
pub(super) struct Older(Vec<ServiceKind>);

impl Older {
    pub(super) fn of(heartbeats: &[Heartbeat]) -> Self {
        Self(heartbeats.iter().filter(|run| run.timings.is_none()).map(|run| run.service).collect())
    }

    pub(super) fn took_part_as(&self, services: &[ServiceKind]) -> bool {
        services.iter().any(|service| self.0.contains(service))
    }
}

/// What the seals have been seen to say.
#[derive(Default)]
pub(super) struct Seals {
    odd: Odd,
    claims: u64,
    /// Chunks without one, which nobody's mark says to have one.
    unsealed: u64,
    first_unsealed: Option<u32>,
}

impl Seals {
    pub(super) fn look_at(&mut self, looked: &Inspected, broadcast: &Broadcast) {
        let (seq, Some(marks)) = (looked.walked.seq, &looked.claim) else { return };
        self.claims += 1;
        match looked.walked.chunk.seal(broadcast, seq) {
            Seal::Holds => {}
            Seal::Broken => {
                self.odd.note(|| both!("the seal of chunk {seq} does not fit what it says", "チャンク{seq}の封印が内容と一致しません"));
            }
            // A build that leaves its mark seals, wherever there is a key.
            Seal::Absent if broadcast.message_key.is_some() && RunMark::read(&marks.owner).is_some() => {
                self.odd.note(|| {
                    both!(
                        "chunk {seq} has no seal, and whoever wrote it writes one",
                        "チャンク{seq}に封印がありません。書いた版は封印を付けます"
                    )
                });
            }
            Seal::Absent => {
                self.unsealed += 1;
                self.first_unsealed.get_or_insert(seq);
            }
        }
    }

    pub(super) fn into_finding(mut self, broadcast: &Broadcast, older: &Older) -> Finding {
        let finding = data(both!("chunks: their seals", "チャンク: 封印"), items(&["chunk", "broadcast", "services#DAY"])).must(
            both!(
                "each fits the chunk under the broadcast's key; none is missing, unless a build took part that writes none",
                "すべて一斉送信の鍵でチャンクと一致し、封印を書かない版が関わっていない限り欠けているものはない"
            ),
            "what does not fit, or was taken away, was changed by something other than a service of issei",
        );
        let is_older = |services: &[ServiceKind]| older.took_part_as(services);
        self.odd.note_if(broadcast.message_key.is_none() && !is_older(&[ServiceKind::Producer]), || {
            both!(
                "the broadcast has no key, and every producer that took part writes one",
                "一斉送信に鍵がありません。関わったプロデューサーはすべて鍵を書く版です"
            )
        });
        if let Some(seq) = self.first_unsealed.filter(|_| broadcast.message_key.is_some()) {
            self.odd.note_if(!is_older(&[ServiceKind::Consumer, ServiceKind::Feedback]), || {
                both!(
                    "chunk {seq} has no seal, and everybody who took part writes one",
                    "チャンク{seq}に封印がありません。関わったサービスはすべて封印を付ける版です"
                )
            });
        }
        let unread = match self.unsealed {
            0 => Bilingual::default(),
            unsealed => both!(", {unsealed} unread, as an older build writes none", "(うち{unsealed}件は封印を書かない旧版のもの)"),
        };
        self.odd.into_finding(finding, both!("{} claims{}", "送信処理{}件{}", self.claims, unread))
    }
}
