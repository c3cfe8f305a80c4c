//! Second acceptances: what issei exists to prevent ends a broadcast, as soon as an event tells of it.

use std::collections::{BTreeSet, HashMap};

use issei_ledger::{Broadcast, BroadcastState, Chunk, LedgerError, Merged, NamedMessage, ReasonCode, Transition};
use issei_schema::InDoubtPolicy;

use crate::service::Feedback;

/// What a batch told of one chunk, merged.
pub(crate) struct Heard {
    pub(crate) seq: u32,
    pub(crate) merged: Merged,
    pub(crate) named: Vec<NamedMessage>,
}

impl Feedback {
    /// Looks for recipients of whom a second message was accepted, by the ids in events and by that in the
    /// consumer's answer, and keeps what is known of both. One call for a hundred chunks.
    pub(crate) async fn look_for_second(&self, broadcast: &Broadcast, heard: &[Heard]) {
        let (id, placed) = (&broadcast.broadcast_id, broadcast.placed());
        let may_be = |heard: &&Heard| heard.merged.names_new_messages() || !heard.merged.after.accepted_twice(&Chunk::Absent).is_empty();
        let absent = Chunk::Absent;
        let heard: Vec<&Heard> = heard.iter().filter(may_be).collect();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in heard.chunks(100) {
            let numbers: Vec<_> = some.iter().map(|heard| heard.seq).collect();
            let found = self.ledger.chunks(&placed, &numbers).await.unwrap_or_else(|error| {
                tracing::warn!(%error, broadcast.id = %id, "chunks can't be read now; a sweep compares their answers with the events");
                HashMap::new()
            });
            for Heard { seq, merged, named } in some {
                let chunk = found.get(seq).unwrap_or(&absent);
                let twice = merged.after.accepted_twice(chunk);
                let named: Vec<_> = named.iter().filter(|message| twice.contains(&place(message.at))).cloned().collect();
                if let Err(error) = self.ledger.note_messages(&placed, *seq, &merged.before, &named).await {
                    tracing::warn!(%error, broadcast.id = %id, chunk.seq = seq, messages = named.len(), "messages can't be written down");
                }
                self.end_if_accepted_twice(broadcast, *seq, chunk, &twice).await;
            }
        }
    }

    /// A recipient as a reason may name it: by its key, or where that can't be read by its place.
    async fn name(&self, broadcast: &Broadcast, seq: u32, chunk: &Chunk, at: usize) -> String {
        let id = &broadcast.broadcast_id;
        let Some(page) = chunk.page() else { return format!("in place {at}") };
        match self.ledger.page(&broadcast.placed(), page).await {
            Ok(page) => {
                let recipient = page.chunks().find(|(chunk, _)| *chunk == seq).and_then(|(_, recipients)| recipients.get(at)?.as_ref());
                recipient.map_or(format!("in place {at}"), |recipient| self.options.address_hash.key(&recipient.key))
            }
            Err(error) => {
                tracing::warn!(%error, broadcast.id = %id, "a page can't be read, so a recipient is named by its place");
                format!("in place {at}")
            }
        }
    }

    /// A second acceptance is what issei exists to prevent, so nothing more is sent until somebody
    /// has understood it; except where the broadcast asked for at least once.
    pub(crate) async fn end_if_accepted_twice(&self, broadcast: &Broadcast, seq: u32, chunk: &Chunk, twice: &BTreeSet<usize>) {
        let Some(first) = twice.first() else { return };
        tracing::info!(target: "issei::metrics", accepted_twice = twice.len() as u64);
        if broadcast.in_doubt == InDoubtPolicy::AtLeastOnce {
            tracing::warn!(broadcast.id = %broadcast.broadcast_id, chunk.seq = seq, recipients = twice.len(), "accepted twice, as the policy at_least_once allows");
            return;
        }
        let reason = format!(
            "the provider accepted {} of chunk {seq} more than once, first the recipient {}; `issei why` shows the messages; find out what else sends under these tags before you send more",
            twice.len(),
            self.name(broadcast, seq, chunk, *first).await
        );
        if !self.step(broadcast, BroadcastState::Stopping, Some(ReasonCode::StoppedDuplicate), &reason).await {
            self.note_accepted_twice(broadcast, &reason).await;
        }
    }

    /// Where there is nothing left to stop it stands in the audit trail all the same: nobody would hear of it otherwise.
    async fn note_accepted_twice(&self, broadcast: &Broadcast, reason: &str) {
        let id = &broadcast.broadcast_id;
        if let Err(error) = self.ledger.note_accepted_twice(id, self.incarnation.actor(), reason).await {
            tracing::error!(%error, broadcast.id = %id, reason, "a second acceptance can't be written down; the next sweep tries again");
        }
    }

    pub(crate) async fn end(&self, broadcast: &Broadcast, code: ReasonCode, reason: &str) {
        self.step(broadcast, BroadcastState::Stopping, Some(code), reason).await;
    }

    /// False where its state does not allow the step.
    pub(crate) async fn step(&self, broadcast: &Broadcast, to: BroadcastState, code: Option<ReasonCode>, reason: &str) -> bool {
        let id = &broadcast.broadcast_id;
        let wanted = Transition { to, actor: self.incarnation.actor(), reason };
        let taken = match code {
            Some(code) => self.ledger.transition_for(id, code, wanted).await,
            None => self.ledger.transition(id, wanted).await,
        };
        match taken {
            Ok(_) => tracing::error!(broadcast.id = %id, %to, reason, "the broadcast's state was changed"),
            Err(LedgerError::Transition { from, .. }) => {
                tracing::error!(broadcast.id = %id, state = %from, %to, reason, "the broadcast's state would be changed, and is another already");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, broadcast.id = %id, %to, reason, "the broadcast's state should be changed and can't be; the next sweep tries again");
            }
        }
        true
    }
}

fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
