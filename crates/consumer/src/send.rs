//! The send: one provider request for each recipient, under a claim and a permit.

use std::ops::Range;
use std::time::Duration;

use issei_clock::Reading;
use issei_ledger::{
    BroadcastState, Chunk, Claim, Divide, Keyed, LedgerError, Outcome, Part, Permit, Placed, ReasonCode, Registration, Suppression,
};
use issei_provider::{Call, Cause, Entry, Provider, Refusal, Replay, ReplayKey, Said, SlowDown, Verdict};
use issei_schema::{ChunkMessage, Class};
use jiff::Timestamp;
use tracing::Instrument;

use crate::carrier::Carrier;
use crate::envelope::{Enclosed, Envelope, Unready};
use crate::refusal::Charge;
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
    /// The provider was too busy, and is left in peace for so long.
    pub(crate) slow_down: Option<Duration>,
    /// The permit was too old for the provider, or the window closed before all of it was sent.
    pub(crate) stale: bool,
    pub(crate) pause: Option<String>,
    /// The provider was asked, it was not just too busy, and it accepted nobody.
    pub(crate) in_vain: bool,
    /// Somebody was accepted.
    pub(crate) accepted: bool,
}

/// A recipient whom the provider refused. What refuses everybody may begin or end between two calls of one claim.
pub(crate) struct Refused {
    pub(crate) at: usize,
    pub(crate) refusal: Refusal,
    /// Others were accepted by the same call, or since it was refused before.
    pub(crate) is_its_own: bool,
    /// Others of the claim were accepted by earlier calls, and by later ones.
    pub(crate) accepted_before: bool,
    pub(crate) accepted_after: bool,
}

/// Those whom one call of a claim is for, by their places among what is ready, and the key that the ledger has for it.
type Waiting = (Range<usize>, Option<ReplayKey>);

impl Refused {
    /// Whether the sender is not to blame. It may be, where several are refused after the last who was accepted.
    fn is_charged(&self, is_last_alone: bool) -> bool {
        self.is_its_own || (self.accepted_before && (self.accepted_after || is_last_alone))
    }

    /// Whether it may have been the sender's, which is let through by now.
    pub(crate) fn may_have_ended(&self) -> bool {
        self.accepted_after && !self.accepted_before && !self.is_its_own
    }
}

/// What a claim is to send, ready before it is made.
pub(crate) struct Ready<'a> {
    envelope: &'a Envelope,
    enclosed: Enclosed<'a>,
    entries: Vec<Entry>,
    /// By what its letters name the registration.
    mark: Option<String>,
}

impl<'a> Ready<'a> {
    /// Or why the chunk must not be sent to.
    pub(crate) fn of(
        envelope: &'a Envelope,
        registration: &Registration,
        message: &ChunkMessage,
        positions: impl Iterator<Item = usize>,
    ) -> Result<Self, Unready> {
        let none = || Unready::Odd("its recipients are to get different letters, or none; no producer makes such a chunk".to_owned());
        let enclosed = envelope.enclosed(message).ok_or_else(none)?;
        let entry = |at: usize| Some(enclosed.entry(at, message.recipients.get(at)?));
        let entries = positions.filter_map(entry).collect::<Result<_, _>>()?;
        Ok(Self { envelope, enclosed, entries, mark: registration.letter_mark() })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn class(&self) -> Class {
        self.envelope.class
    }

    /// Nothing where nobody is left.
    pub(crate) fn without(mut self, spared: &[(usize, Suppression)]) -> Option<Self> {
        self.entries.retain(|entry| spared.iter().all(|(at, _)| *at != entry.at));
        (!self.entries.is_empty()).then_some(self)
    }

    /// Those at these places.
    pub(crate) fn entries_at(&self, places: &[usize]) -> Vec<Entry> {
        self.entries.iter().filter(|entry| places.contains(&entry.at)).cloned().collect()
    }

    pub(crate) fn call_of<'b>(
        &'b self,
        message: &'b ChunkMessage,
        entries: &'b [Entry],
        granted_at: Timestamp,
        key: Option<&'b ReplayKey>,
    ) -> Call<'b> {
        let Self { envelope, enclosed, .. } = self;
        Call {
            broadcast: &message.broadcast_id,
            chunk: message.chunk,
            registration: self.mark.as_deref(),
            class: envelope.class,
            from: &envelope.from,
            reply_to: envelope.reply_to.as_ref(),
            letter: enclosed.letter,
            entries,
            granted_at,
            key,
        }
    }

    /// What tells whether two requests are the same to whoever gets them: their bodies, and the keys that they are made with.
    pub(crate) fn digest(&self, message: &ChunkMessage, places: &[usize], key_mark: Option<&str>) -> String {
        self.call_of(message, &self.entries_at(places), Timestamp::UNIX_EPOCH, None).digest(key_mark)
    }
}

impl Consumer {
    /// Sends to the claim's recipients and settles each in the claim; nothing is ready where all of them are settled. Consumes the
    /// permit. Once the window has closed, no send begins.
    ///
    /// Where the provider refuses a call as a whole for the sake of one entry, nothing of it was accepted,
    /// and its halves are sent by themselves until the one stands alone.
    pub(crate) async fn send(
        &self,
        carrier: &Carrier,
        allowed: Allowed,
        claim: &mut Claim,
        message: &ChunkMessage,
        ready: Option<Ready<'_>>,
    ) -> Sent {
        let Some(ready) = ready else { return Sent::default() };
        let provider = carrier.provider.as_ref();
        let Allowed { permit, until } = allowed;
        let mut sent = Sent { in_vain: true, ..Sent::default() };
        let mut refused: Vec<Refused> = Vec::new();
        let (of, all) = (claim.placed().clone(), ready.entries.len());
        let (mut accepts_anybody, mut once_more) = (false, Vec::new());
        let mut waiting = vec![keyed(claim, &ready, 0..all)];
        loop {
            let Some((those, key)) = waiting.pop() else {
                once_more = refused.extract_if(.., |one| one.may_have_ended()).map(|one| one.at).collect();
                if once_more.is_empty() {
                    break;
                }
                let again = (0..all).filter(|place| once_more.contains(&ready.entries[*place].at));
                waiting.extend(again.map(|place| keyed(claim, &ready, place..place + 1)));
                continue;
            };
            let entries = &ready.entries[those.clone()];
            let now = self.clock.reading();
            // A send that begins now must be over within the lease: afterwards others read the
            // claim as in doubt, and they must be right to.
            let is_closed = now.wall() >= until;
            sent.stale |= is_closed;
            if is_closed || !permit.is_valid(now) || !self.fits_lease(claim, now) || sent.pause.is_some() {
                sent.in_vain = false;
                entries.iter().for_each(|entry| claim.settle(entry.at, Outcome::Retryable, None));
                continue;
            }
            // Where the ledger has none nobody asks; where the provider wants one, it gets one.
            let own = (key.is_none() && provider.facts().replay != Replay::None).then(|| ReplayKey(self.dice.token()));
            let call = ready.call_of(message, entries, permit.granted_at(), key.as_ref().or(own.as_ref()));
            let verdict = self.send_once(provider, call).await;
            self.log(&verdict, entries);
            if verdict.split && entries.len() > 1 {
                match self.halves(carrier, claim, message, &ready, (those, key)).await {
                    Ok(halves) => waiting.extend(halves),
                    Err(error) => {
                        tracing::warn!(%error, "what a request is divided into can't be written down, so its halves are not sent");
                        sent.in_vain = false;
                        entries.iter().for_each(|entry| claim.settle(entry.at, Outcome::Retryable, None));
                    }
                }
                continue;
            }
            sent.slow_down = sent.slow_down.max(verdict.slow_down.map(|told| self.peace(told)));
            sent.stale |= verdict.stale;
            let (accepted_before, accepted_beside) = (accepts_anybody, verdict.accepts_anybody());
            accepts_anybody |= accepted_beside;
            refused.iter_mut().for_each(|one| one.accepted_after |= accepted_beside);
            // A provider that is busy says so of what it did not take; whoever leaves people in doubt is not just busy.
            let is_busy = verdict.slow_down.is_some() && !verdict.entries.contains(&Said::InDoubt);
            sent.in_vain &= !is_busy && !verdict.stale && !verdict.accepts_anybody();
            for (Entry { at, .. }, said) in entries.iter().zip(verdict.entries) {
                match said {
                    Said::Refused(refusal) => {
                        let (at, is_its_own) = (*at, accepted_beside || once_more.contains(at));
                        refused.push(Refused { at, refusal, is_its_own, accepted_before, accepted_after: false });
                    }
                    Said::Accepted(message_id) => claim.settle(*at, Outcome::Accepted, message_id.as_deref()),
                    Said::Retryable | Said::InDoubt => claim.settle(*at, outcome(&said), None),
                }
            }
            if verdict.unlike {
                // Whoever used the key for something else will be told of that.
                key.iter().for_each(|key| claim.forget_part(&key.0));
            }
            sent.pause = sent.pause.or(verdict.pause);
        }
        sent.accepted = accepts_anybody;
        if accepts_anybody {
            self.refusals.accepted(&of.id);
        }
        // Those who are left of a chunk may well be refused for their own sake, all of them.
        let refuses_all = all > 1 && refused.len() == all && !claim.has_accepted();
        let is_last_alone = refused.iter().filter(|one| !one.accepted_after).count() == 1;
        for one in refused {
            let charge = self.charge(&of, message.chunk, &one, refuses_all, is_last_alone).await;
            let Refused { at, refusal, .. } = one;
            let outcome = if charge == Charge::Rejected { Outcome::Rejected } else { Outcome::Retryable };
            claim.settle(at, outcome, None);
            if charge == Charge::Pause {
                sent.pause.get_or_insert_with(|| refuses(provider, refuses_all, &refusal));
            }
        }
        sent
    }

    /// The halves of a call that was refused as a whole, the second first, under the keys that the ledger has for them from then on.
    async fn halves(
        &self,
        carrier: &Carrier,
        claim: &mut Claim,
        message: &ChunkMessage,
        ready: &Ready<'_>,
        (those, key): Waiting,
    ) -> Result<Vec<Waiting>, LedgerError> {
        if let Some(ReplayKey(key)) = key {
            // It was made once, under a key that nobody else has asked with: the ledger refuses this where somebody has.
            self.divide(carrier, claim, message, ready, (&key, Divide::Proven)).await?;
        }
        let middle = those.start + those.len() / 2;
        Ok([middle..those.end, those.start..middle].map(|half| keyed(claim, ready, half)).into())
    }

    /// Divides a part of a claim's request, and gives the keys of what may leave then.
    pub(crate) async fn divide(
        &self,
        carrier: &Carrier,
        claim: &mut Claim,
        message: &ChunkMessage,
        ready: &Ready<'_>,
        (key, how): (&str, Divide),
    ) -> Result<Vec<String>, LedgerError> {
        let owner = self.incarnation.mark(&self.dice.token());
        self.ledger.divide(claim, owner, key, how, |places| ready.digest(message, places, carrier.key_mark())).await
    }

    /// How long a provider is left in peace that says that it was too fast: as long as it says, and not all at once then.
    pub(crate) fn peace(&self, told: SlowDown) -> Duration {
        told.told(self.clock.wall()).saturating_add(self.dice.jitter(Duration::from_secs(1)))
    }

    /// Decides about a recipient whom the provider refused where no answer shows that the sender was not to blame.
    pub(crate) async fn charge(&self, of: &Placed, chunk: u32, refused: &Refused, refuses_all: bool, is_last_alone: bool) -> Charge {
        if refused.is_charged(is_last_alone) {
            return Charge::Rejected;
        }
        // From and Reply-To are the same for the whole broadcast, so once anybody was accepted, an
        // address that the provider can't read is the recipient's.
        let is_of_address =
            refused.refusal.cause == Cause::Address && (self.refusals.has_accepted(&of.id) || self.was_anybody_accepted(of).await);
        if refuses_all {
            // That it is everybody's at once an operator has to look at first. Whoever has resumed since found nothing to mend.
            return if is_of_address && self.was_resumed(of).await { Charge::Rejected } else { Charge::Pause };
        }
        if is_of_address {
            return Charge::Rejected;
        }
        self.refusals.refused(&of.id, chunk, refused.at)
    }

    /// Looks in the ledger, at the first chunks, for what this run of the consumer has not seen itself.
    async fn was_anybody_accepted(&self, of: &Placed) -> bool {
        // `BatchGetItem` takes a hundred keys (API reference).
        let first: Vec<u32> = (0..100).collect();
        match self.ledger.chunks(of, &first).await {
            Ok(found) => found.values().filter_map(Chunk::outcomes).any(|outcomes| outcomes.count(Outcome::Accepted) > 0),
            Err(error) => {
                tracing::warn!(%error, "chunks can't be read; the recipient is charged with nothing");
                false
            }
        }
    }

    /// Says whether somebody has let it go on after a provider's refusals had paused it.
    async fn was_resumed(&self, of: &Placed) -> bool {
        match self.ledger.broadcast(&of.id).await {
            Ok(broadcast) => {
                let resumed = format!("{} -> {}", BroadcastState::Paused, BroadcastState::Running);
                let mut since = broadcast.audit_trail.iter().skip_while(|entry| entry.code != Some(ReasonCode::PausedProvider));
                since.any(|entry| entry.step == resumed)
            }
            Err(error) => {
                tracing::warn!(%error, "the audit trail can't be read; the recipient is charged with nothing");
                false
            }
        }
    }

    pub(crate) fn fits_lease(&self, claim: &Claim, now: Reading) -> bool {
        self.options.timing.send < claim.lease().left(now)
    }

    /// The one place in issei that asks a provider to send anything.
    pub(crate) async fn send_once(&self, provider: &dyn Provider, call: Call<'_>) -> Verdict {
        let span = tracing::info_span!("send", recipients = call.entries.len());
        provider.send(call).instrument(span).await
    }

    pub(crate) fn log(&self, verdict: &Verdict, entries: &[Entry]) {
        if let Some(error) = &verdict.error {
            tracing::warn!(error, recipients = entries.len(), "not everything was accepted");
        }
        for (Entry { at, to, .. }, said) in entries.iter().zip(&verdict.entries) {
            if !matches!(said, Said::Accepted(_)) {
                tracing::debug!(recipient = at, address.hash = self.options.address_hash.of(to.as_str()), outcome = ?outcome(said), "recipient not accepted");
            }
        }
    }
}

/// A call, with the key that the ledger has for it.
fn keyed(claim: &Claim, ready: &Ready<'_>, those: Range<usize>) -> Waiting {
    let is_of_these = |part: &&Part| part.positions().eq(ready.entries[those.clone()].iter().map(|entry| entry.at));
    let part = claim.request().into_iter().flat_map(Keyed::parts).find(is_of_these);
    let key = part.map(|part| ReplayKey(part.key().to_owned()));
    (those, key)
}

/// Why a broadcast should pause of which somebody is refused.
pub(crate) fn refuses(provider: &dyn Provider, refuses_all: bool, refusal: &Refusal) -> String {
    let whom =
        if refuses_all { "every recipient of a chunk by itself" } else { "a recipient, and nobody else is known to be accepted since" };
    format!("{} refuses {whom}: {}", provider.facts().title, refusal.text)
}

/// As the ledger has it; a refusal that nobody has charged to its recipient is to be tried again.
fn outcome(said: &Said) -> Outcome {
    match said {
        Said::Accepted(_) => Outcome::Accepted,
        Said::Retryable | Said::Refused(_) => Outcome::Retryable,
        Said::InDoubt => Outcome::InDoubt,
    }
}
