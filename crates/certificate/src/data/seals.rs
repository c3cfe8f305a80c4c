//! The seals of chunks: each that stands there fits, and where none stands, a build that writes none took part.
//!
//! An older build leaves neither seals nor fingerprints, so that what it wrote can't be told from what a hand has
//! stripped. Whether one took part the heartbeats tell.

use issei_ledger::{Broadcast, Heartbeat, Inspected, RunMark, Seal, ServiceKind};

use super::data;
use super::odd::Odd;
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
            Seal::Broken => self.odd.note(|| format!("the seal of chunk {seq} does not fit what it says")),
            // A build that leaves its mark seals, wherever there is a key.
            Seal::Absent if broadcast.message_key.is_some() && RunMark::read(&marks.owner).is_some() => {
                self.odd.note(|| format!("chunk {seq} has no seal, and whoever wrote it writes one"));
            }
            Seal::Absent => {
                self.unsealed += 1;
                self.first_unsealed.get_or_insert(seq);
            }
        }
    }

    pub(super) fn into_finding(mut self, broadcast: &Broadcast, older: &Older) -> Finding {
        let finding = data("chunks: their seals", "ledger items `chunk`, `broadcast` and `services#DAY`").rule(
            "each fits the chunk under the broadcast's key; none is missing, unless a build took part that writes none",
            "what does not fit, or was taken away, was changed by something other than a service of issei",
        );
        let is_older = |services: &[ServiceKind]| older.took_part_as(services);
        self.odd.note_if(broadcast.message_key.is_none() && !is_older(&[ServiceKind::Producer]), || {
            "the broadcast has no key, and every producer that took part writes one".to_owned()
        });
        if let Some(seq) = self.first_unsealed.filter(|_| broadcast.message_key.is_some()) {
            self.odd.note_if(!is_older(&[ServiceKind::Consumer, ServiceKind::Feedback]), || {
                format!("chunk {seq} has no seal, and everybody who took part writes one")
            });
        }
        let unread = if self.unsealed == 0 { String::new() } else { format!(", {} unread, as an older build writes none", self.unsealed) };
        self.odd.into_finding(finding, format!("{} claims{unread}", self.claims))
    }
}
