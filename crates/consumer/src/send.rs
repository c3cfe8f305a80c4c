//! The send: one provider request for each recipient, under a claim and a permit.

use aws_sdk_sesv2::types::BulkEmailEntry;
use issei_aws::signed_at;
use issei_clock::Reading;
use issei_ledger::{Chunk, Claim, Outcome, Permit};
use issei_schema::{BroadcastId, ChunkMessage};
use jiff::Timestamp;
use tracing::Instrument;

use crate::classify::{Refusal, Said, Verdict, classify};
use crate::envelope::{Enclosed, Envelope};
use crate::refusal::{Cause, Charge};
use crate::service::Consumer;

/// What a send is allowed by.
pub(crate) struct Allowed {
    pub(crate) permit: Permit,
    /// When the broadcast's window closes, or its time is over.
    pub(crate) until: Timestamp,
}

/// What the sends of one claim have come to.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) slow_down: bool,
    /// The permit was too old for AWS, or the window closed before all of it was sent.
    pub(crate) stale: bool,
    pub(crate) pause: Option<String>,
    /// The provider was asked, it was not too busy, and it accepted nobody.
    pub(crate) in_vain: bool,
}

/// What a claim is to send, ready before it is made.
pub(crate) struct Ready<'a> {
    envelope: &'a Envelope,
    enclosed: Enclosed<'a>,
    entries: Vec<(usize, BulkEmailEntry)>,
}

impl<'a> Ready<'a> {
    /// Or why the chunk must not be sent to.
    pub(crate) fn of(envelope: &'a Envelope, message: &ChunkMessage, positions: impl Iterator<Item = usize>) -> Result<Self, String> {
        let enclosed =
            envelope.enclosed(message).ok_or("its recipients are to get different letters, or none; no producer makes such a chunk")?;
        let entry = |at: usize| Some(enclosed.entry(message, at, message.recipients.get(at)?).map(|entry| (at, entry)));
        Ok(Self { envelope, enclosed, entries: positions.filter_map(entry).collect::<Result<_, _>>()? })
    }
}

impl Consumer {
    /// Sends to the claim's recipients and settles each in the claim. Consumes the permit. Once the window has closed,
    /// no send begins.
    ///
    /// Where SES refuses a call as a whole for the sake of one entry, nothing of it was accepted,
    /// and its halves are sent by themselves until the one stands alone.
    pub(crate) async fn send(&self, allowed: Allowed, claim: &mut Claim, message: &ChunkMessage, ready: Ready<'_>) -> Sent {
        let Allowed { permit, until } = allowed;
        let mut sent = Sent { in_vain: true, ..Sent::default() };
        let mut refused: Vec<(usize, Refusal)> = Vec::new();
        let Ready { envelope, enclosed, entries } = ready;
        let (mut accepts_anybody, all) = (false, entries.len());
        let mut waiting = vec![entries];
        while let Some(entries) = waiting.pop() {
            let now = self.clock.reading();
            // A send that begins now must be over within the lease: afterwards others read the
            // claim as in doubt, and they must be right to.
            let is_closed = now.wall() >= until;
            sent.stale |= is_closed;
            if is_closed || !permit.is_valid(now) || !self.fits_lease(claim, now) || sent.pause.is_some() {
                sent.in_vain = false;
                entries.iter().for_each(|(at, _)| claim.settle(*at, Outcome::Retryable, None));
                continue;
            }
            let verdict = self.send_once(&permit, envelope, enclosed, &entries).await;
            self.log(&verdict, &entries);
            if verdict.split && entries.len() > 1 {
                let mut first = entries;
                let second = first.split_off(first.len() / 2);
                waiting.extend([second, first]);
                continue;
            }
            sent.slow_down |= verdict.slow_down;
            sent.stale |= verdict.stale;
            accepts_anybody |= verdict.accepts_anybody();
            sent.in_vain &= !verdict.slow_down && !verdict.stale && !verdict.accepts_anybody();
            for ((at, _), said) in entries.iter().zip(verdict.entries) {
                match said {
                    Said::Refused(refusal) => refused.push((*at, refusal)),
                    Said::Accepted(message_id) => claim.settle(*at, Outcome::Accepted, message_id.as_deref()),
                    Said::Retryable | Said::InDoubt => claim.settle(*at, said.outcome(), None),
                }
            }
            sent.pause = sent.pause.or(verdict.pause);
        }
        let id = &message.broadcast_id;
        if accepts_anybody {
            self.refusals.accepted(id);
        }
        let refuses_all = all > 1 && refused.len() == all;
        for (at, refusal) in refused {
            let charge = if accepts_anybody { Charge::Rejected } else { self.charge(id, message.chunk, at, &refusal, refuses_all).await };
            let outcome = if charge == Charge::Rejected { Outcome::Rejected } else { Outcome::Retryable };
            claim.settle(at, outcome, None);
            if charge == Charge::Pause {
                let whom = if refuses_all {
                    "every recipient of a chunk by itself"
                } else {
                    "a recipient, and nobody else is known to be accepted since"
                };
                sent.pause.get_or_insert_with(|| format!("SES refuses {whom}: {}", refusal.text));
            }
        }
        sent
    }

    /// Decides about a recipient whom SES refused in a claim of which it accepted nobody.
    async fn charge(&self, id: &BroadcastId, chunk: u32, at: usize, refusal: &Refusal, refuses_all: bool) -> Charge {
        if refuses_all {
            return Charge::Pause;
        }
        // From and Reply-To are the same for the whole broadcast, so once anybody was accepted, an
        // address that SES can't read is the recipient's.
        if refusal.cause == Cause::Address && (self.refusals.has_accepted(id) || self.was_anybody_accepted(id).await) {
            return Charge::Rejected;
        }
        self.refusals.refused(id, chunk, at)
    }

    /// Looks in the ledger, at the first chunks, for what this run of the consumer has not seen itself.
    async fn was_anybody_accepted(&self, id: &BroadcastId) -> bool {
        // `BatchGetItem` takes a hundred keys (API reference).
        let keys: Vec<_> = (0..100).map(|chunk| (id.clone(), chunk)).collect();
        match self.ledger.chunks(&keys).await {
            Ok(found) => found.values().filter_map(Chunk::outcomes).any(|outcomes| outcomes.count(Outcome::Accepted) > 0),
            Err(error) => {
                tracing::warn!(%error, "chunks can't be read; the recipient is charged with nothing");
                false
            }
        }
    }

    fn fits_lease(&self, claim: &Claim, now: Reading) -> bool {
        self.options.timing.send < claim.lease().left(now)
    }

    /// The one place in issei that asks the provider to send anything.
    ///
    /// It is signed with the moment of the permit, so that AWS refuses what is sent long after it, though
    /// this process knows nothing of the time between: a machine may be paused anywhere, and with it all
    /// of its clocks.
    async fn send_once(
        &self,
        permit: &Permit,
        envelope: &Envelope,
        enclosed: Enclosed<'_>,
        entries: &[(usize, BulkEmailEntry)],
    ) -> Verdict {
        let request = self
            .ses
            .send_bulk_email()
            .from_email_address(&envelope.from)
            .set_reply_to_addresses(envelope.reply_to.clone().map(|reply_to| vec![reply_to]))
            .default_content(enclosed.content.clone())
            .configuration_set_name(&self.options.configuration_set)
            .set_bulk_email_entries(Some(entries.iter().map(|(_, entry)| entry.clone()).collect()));
        let span = tracing::info_span!("send", recipients = entries.len());
        let request = request.customize().config_override(signed_at(permit.granted_at()));
        classify(request.send().instrument(span).await, entries.len())
    }

    fn log(&self, verdict: &Verdict, entries: &[(usize, BulkEmailEntry)]) {
        if let Some(error) = &verdict.error {
            tracing::warn!(error, recipients = entries.len(), "not everything was accepted");
        }
        for ((at, entry), said) in entries.iter().zip(&verdict.entries) {
            if !matches!(said, Said::Accepted(_)) {
                let address = entry.destination().and_then(|destination| destination.to_addresses().first()).map_or("", String::as_str);
                tracing::debug!(recipient = at, address.hash = self.options.address_hash.of(address), outcome = ?said.outcome(), "recipient not accepted");
            }
        }
    }
}
