//! The send: one provider request for each recipient, under a claim and a permit.

use aws_sdk_sesv2::types::BulkEmailEntry;
use issei_clock::Instant;
use issei_ledger::{Claim, Outcome, Permit};
use issei_schema::ChunkMessage;
use tracing::Instrument;

use crate::classify::{Verdict, classify};
use crate::letter::Letter;
use crate::service::Consumer;

/// What the sends of one claim have come to.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) slow_down: bool,
    pub(crate) pause: Option<String>,
    /// The provider was asked, it was not too busy, and it accepted nobody.
    pub(crate) in_vain: bool,
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
    /// and its halves are sent by themselves until the one stands alone and is rejected. Where in
    /// the end it has refused everybody, the cause is not in them, and nobody is rejected.
    pub(crate) async fn send(&self, permit: Permit, claim: &mut Claim, letter: &Letter, ready: Ready) -> Sent {
        let all = ready.entries.len();
        let mut sent = Sent { in_vain: true, ..Sent::default() };
        let mut refused_alone: Vec<usize> = Vec::new();
        let mut refusal = None;
        let mut waiting = vec![ready.entries];
        while let Some(entries) = waiting.pop() {
            let now = self.clock.now();
            // A send that begins now must be over within the lease: afterwards others read the
            // claim as in doubt, and they must be right to.
            if !permit.is_valid(now) || !self.fits_lease(claim, now) || sent.pause.is_some() {
                sent.in_vain = false;
                entries.iter().for_each(|(at, _)| claim.settle(*at, Outcome::Retryable, None));
                continue;
            }
            let verdict = self.send_once(letter, &entries).await;
            self.log(&verdict, &entries);
            if verdict.split {
                if entries.len() > 1 {
                    let mut first = entries;
                    let second = first.split_off(first.len() / 2);
                    waiting.extend([second, first]);
                } else {
                    refused_alone.extend(entries.iter().map(|(at, _)| at));
                    refusal = verdict.error;
                }
                continue;
            }
            sent.slow_down |= verdict.slow_down;
            sent.in_vain &= !verdict.slow_down && !verdict.accepts_anybody();
            for ((at, _), (outcome, message_id)) in entries.iter().zip(&verdict.entries) {
                claim.settle(*at, *outcome, message_id.as_deref());
            }
            sent.pause = sent.pause.or(verdict.pause);
        }
        let refuses_all = all > 1 && refused_alone.len() == all;
        if refuses_all {
            sent.pause = Some(format!("SES refuses every recipient of a chunk by itself: {}", refusal.unwrap_or_default()));
        }
        let outcome = if refuses_all { Outcome::Retryable } else { Outcome::Rejected };
        refused_alone.into_iter().for_each(|at| claim.settle(at, outcome, None));
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
        let span = tracing::info_span!("send", recipients = entries.len());
        classify(request.send().instrument(span).await, entries.len())
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
