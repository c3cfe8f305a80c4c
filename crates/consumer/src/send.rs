//! The send: one provider request for each recipient, under a claim and a permit.

use aws_sdk_sesv2::types::BulkEmailEntry;
use issei_clock::Instant;
use issei_ledger::{Claim, Outcome, Permit};
use issei_schema::ChunkMessage;

use crate::classify::{Verdict, classify};
use crate::letter::Letter;
use crate::service::Consumer;

/// What the sends of one claim have come to.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) slow_down: bool,
    pub(crate) pause: Option<String>,
    /// Not one recipient of the claim is known to have been accepted or refused.
    pub(crate) all_in_doubt: bool,
}

/// The entries of a claim, ready before it is made.
pub(crate) struct Ready {
    pub(crate) entries: Vec<(usize, BulkEmailEntry)>,
}

impl Ready {
    pub(crate) fn of(letter: &Letter, message: &ChunkMessage, positions: impl Iterator<Item = usize>) -> Self {
        let entry = |at: usize| Some((at, letter.entry(message, at, message.recipients.get(at)?)));
        Self { entries: positions.filter_map(entry).collect() }
    }
}

impl Consumer {
    /// Sends to the claim's recipients and settles each in the claim. Consumes the permit.
    ///
    /// Where SES refuses a call as a whole for the sake of one entry, nothing of it was accepted,
    /// and its halves are sent by themselves until the one stands alone and is rejected.
    pub(crate) async fn send(&self, permit: Permit, claim: &mut Claim, letter: &Letter, ready: Ready) -> Sent {
        let mut sent = Sent { all_in_doubt: true, ..Sent::default() };
        let mut waiting = vec![ready.entries];
        while let Some(entries) = waiting.pop() {
            let now = self.clock.now();
            // A send that begins now must be over within the lease: afterwards others read the
            // claim as in doubt, and they must be right to.
            if !permit.is_valid(now) || !self.fits_lease(claim, now) || sent.pause.is_some() {
                sent.all_in_doubt = false;
                entries.iter().for_each(|(at, _)| claim.settle(*at, Outcome::Retryable, None));
                continue;
            }
            let verdict = self.send_once(letter, &entries).await;
            if verdict.split && entries.len() > 1 {
                let mut first = entries;
                let second = first.split_off(first.len() / 2);
                waiting.extend([second, first]);
                continue;
            }
            sent.slow_down |= verdict.slow_down;
            sent.all_in_doubt &= verdict.is_all_in_doubt();
            self.log(&verdict, &entries);
            for ((at, _), (outcome, message_id)) in entries.iter().zip(&verdict.entries) {
                claim.settle(*at, *outcome, message_id.as_deref());
            }
            sent.pause = sent.pause.or(verdict.pause);
        }
        sent
    }

    fn fits_lease(&self, claim: &Claim, now: Instant) -> bool {
        now + self.options.timing.send < claim.lease_ends()
    }

    /// The one place in issei that asks the provider to send anything.
    async fn send_once(&self, letter: &Letter, entries: &[(usize, BulkEmailEntry)]) -> Verdict {
        let request = self
            .ses
            .send_bulk_email()
            .from_email_address(&letter.from)
            .set_reply_to_addresses(letter.reply_to.clone().map(|reply_to| vec![reply_to]))
            .default_content(letter.content.clone())
            .configuration_set_name(&self.options.configuration_set)
            .set_bulk_email_entries(Some(entries.iter().map(|(_, entry)| entry.clone()).collect()));
        classify(request.send().await, entries.len())
    }

    fn log(&self, verdict: &Verdict, entries: &[(usize, BulkEmailEntry)]) {
        if let Some(error) = &verdict.error {
            tracing::warn!(error, recipients = entries.len(), "not everything was accepted");
        }
        for ((at, entry), (outcome, _)) in entries.iter().zip(&verdict.entries) {
            if *outcome != Outcome::Accepted {
                let address = entry.destination().and_then(|destination| destination.to_addresses().first()).map_or("", String::as_str);
                tracing::debug!(recipient = at, address.hash = self.options.address_hash.of(address), ?outcome, "recipient not accepted");
            }
        }
    }
}
