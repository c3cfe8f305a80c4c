//! The repeat of a request under its key, where the provider remembers keys, to learn what became of the first.
//!
//! What this must never do: conclude anything from an answer that is no acceptance. That a repeat was refused, or never
//! begun, says nothing of the request that it repeats.

use std::time::Duration;

use issei_aws::Backoff;
use issei_ledger::{AskAgain, AskedAgain, Chunk, Claim, LedgerError, Outcome, Permit, ReasonCode, Repeatable};
use issei_provider::{Replay, ReplayKey, Said};
use issei_schema::{BroadcastId, ChunkMessage, Opening};

use crate::after::After;
use crate::broadcasts::Known;
use crate::carrier::{Carrier, Made};
use crate::send::Ready;
use crate::service::Consumer;

/// How long a message stays away whose request this build would write otherwise. Another may still ask.
const OTHER_BODY: Duration = Duration::from_mins(15);

impl Consumer {
    /// How the request of a claim may be repeated; nothing where its provider remembers none for long enough.
    pub(crate) fn repeatable(&self, carrier: &Carrier, ready: &Ready<'_>, message: &ChunkMessage) -> Option<Repeatable> {
        let Replay::Key { window } = carrier.provider.facts().replay else { return None };
        let lasting = self.options.timing.askable_for(window)?;
        Some(Repeatable { lasting, body: ready.digest(message, carrier.key_mark()) })
    }

    /// Asks about those of a chunk who are in doubt. Gives nothing where it is to be looked at again.
    pub(crate) async fn ask(
        &self,
        carrier: &Carrier,
        known: &Known,
        message: &ChunkMessage,
        seen: &Chunk,
        ready: Ready<'_>,
    ) -> Result<Option<After>, LedgerError> {
        let Some(request) = seen.request() else { return Ok(None) };
        let (id, seq) = (&message.broadcast_id, message.chunk);
        // Under the name of the one that carried it another may be configured by now, to which a repeat is a second mail.
        if !matches!(carrier.provider.facts().replay, Replay::Key { .. }) {
            let title = carrier.provider.facts().title;
            tracing::error!(
                chunk = seq,
                title,
                "its provider remembers no keys, and the one that was asked first did; whoever is in doubt is not asked about"
            );
            self.incarnation.note_unasked(id, seq, request.until());
            return Ok(Some(After::PutBack(OTHER_BODY)));
        }
        let heard = self.ledger.feedback(&known.registration.placed(), &[seq]).await?.remove(&seq).unwrap_or_default();
        let is_open = |outcome| matches!(outcome, Outcome::Open | Outcome::InDoubt);
        let outcomes: Vec<Outcome> = seen.outcomes().into_iter().flat_map(issei_ledger::Outcomes::iter).collect();
        if !request.positions().any(|at| outcomes.get(at).is_some_and(|outcome| is_open(heard.settle(at, *outcome)))) {
            self.incarnation.note_settled(id, seq);
            return Ok(Some(After::Delete));
        }
        let why_not = match carrier.made(known, request.body(), |mark| ready.digest(message, mark)) {
            Made::WithThisKey => None,
            Made::WithAnyKey if !self.may_be_of_another_key(carrier, id).await? => None,
            Made::WithAnyKey => Some(
                "an older consumer made the request and did not say with which key, and more than one has been in use; of the account of another this one may know nothing, so whoever is in doubt is not asked about",
            ),
            Made::Otherwise => Some(
                "this build would repeat the request with another body, or with another key, whose account knows nothing of the first; whoever is in doubt is not asked about: give it the key that the provider was first asked with",
            ),
        };
        if let Some(why_not) = why_not {
            tracing::error!(chunk = seq, "{why_not}");
            self.incarnation.note_unasked(id, seq, request.until());
            return Ok(Some(After::PutBack(OTHER_BODY)));
        }
        let wanted = AskAgain {
            of: &known.registration,
            epoch: known.epoch,
            message,
            seen,
            owner: self.incarnation.mark(&self.dice.token()),
            lease: self.options.timing.lease,
            life: self.options.timing.permit_life,
        };
        match self.ledger.ask_again(wanted).await? {
            AskedAgain::Refused => {
                self.broadcasts.note(&self.ledger.broadcast(id).await?);
                Ok(None)
            }
            AskedAgain::TooLate(mut claim) => {
                claim.forget_request();
                Self::still_in_doubt(&mut claim);
                self.confirm(&mut claim).await;
                Ok(Some(After::Delete))
            }
            AskedAgain::Ours(mut claim, permit) => {
                let asked: Vec<usize> = claim.positions().collect();
                let pause = self.repeat(carrier, known, message, &permit, &mut claim, ready).await;
                Self::still_in_doubt(&mut claim);
                let again = claim.request().map_or(0, issei_ledger::Keyed::asked_again);
                let Some(outcomes) = self.confirm(&mut claim).await else {
                    return Ok(Some(After::Hide(self.options.timing.lease)));
                };
                let was_confirmed = matches!(seen, Chunk::Confirmed { .. });
                let spared = seen.spared_untold();
                self.telling.note(id, |progress| progress.add_answer(&asked, &outcomes, was_confirmed, spared));
                tracing::info!(chunk = seq, recipients = asked.len(), in_doubt = outcomes.count(Outcome::InDoubt), "asked again");
                if let Some(reason) = pause {
                    self.pause(id, ReasonCode::PausedProvider, &reason).await?;
                }
                // Nobody is asked about any more whose request was forgotten.
                let is_over = claim.request().is_none() || !asked.iter().any(|at| outcomes.iter().nth(*at) == Some(Outcome::InDoubt));
                Ok(Some(if is_over { After::Delete } else { After::PutBack(self.before_asking(again)) }))
            }
        }
    }

    /// Whether a request that says nothing of its key may have been made with another than this one's.
    async fn may_be_of_another_key(&self, carrier: &Carrier, id: &BroadcastId) -> Result<bool, LedgerError> {
        let Some(key) = carrier.key_told() else { return Ok(false) };
        let broadcast = self.ledger.broadcast(id).await?;
        self.ledger.may_have_had_another_key(&broadcast, &key).await
    }

    /// How long to wait before it is asked again, after so many times.
    pub(crate) fn before_asking(&self, times: u32) -> Duration {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(15), self.dice.clone());
        backoff.delay_after(times).max(Duration::from_secs(1))
    }

    /// Makes the request again, or does not where its time is over. Says why the broadcast should be paused.
    async fn repeat(
        &self,
        carrier: &Carrier,
        known: &Known,
        message: &ChunkMessage,
        permit: &Permit,
        claim: &mut Claim,
        ready: Ready<'_>,
    ) -> Option<String> {
        let now = self.clock.reading();
        let schedule = known.schedule();
        let is_open = [now.wall(), permit.granted_at()].iter().all(|at| matches!(schedule.at(*at), Opening::Open { .. }));
        if !is_open || !permit.is_valid(now) || !self.fits_lease(claim, now) {
            return None;
        }
        let key = ReplayKey(claim.request()?.key().to_owned());
        let call = ready.call(message, permit.granted_at(), Some(&key));
        let verdict = self.send_once(carrier.provider.as_ref(), call).await;
        self.log(&verdict, ready.entries());
        if let Some(slow_down) = verdict.slow_down {
            carrier.rate.slow_down(self.peace(slow_down));
        }
        if verdict.unlike {
            // Asked again it would say the same, after each resume. What it refuses so is no repetition of the first, and of the
            // first it says nothing: whoever is in doubt stays so, and the broadcast goes on.
            tracing::error!(
                chunk = message.chunk,
                "the provider knows the key with another body; whoever is in doubt is not asked about any more"
            );
            claim.forget_request();
            return None;
        }
        for (entry, said) in ready.entries().iter().zip(verdict.entries) {
            if let Said::Accepted(message_id) = said {
                claim.settle(entry.at, Outcome::Accepted, message_id.as_deref());
            }
        }
        verdict.pause
    }

    /// Whom no answer has settled.
    fn still_in_doubt(claim: &mut Claim) {
        let open: Vec<usize> = claim.positions().collect();
        open.into_iter().for_each(|at| claim.settle(at, Outcome::InDoubt, None));
    }
}
