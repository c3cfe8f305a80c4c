//! The repeat of a request under its key, where the provider remembers keys, to learn what became of the first.
//!
//! What this must never do: conclude anything from an answer that is no acceptance. That a repeat was refused, or never
//! begun, says nothing of the request that it repeats.

use std::time::Duration;

use issei_aws::Backoff;
use issei_ledger::{AskAgain, AskedAgain, Chunk, Claim, Keyed, LedgerError, Outcome, Part, ReasonCode, Repeatable};
use issei_provider::Replay;
use issei_schema::{BroadcastId, ChunkMessage};

use crate::after::After;
use crate::broadcasts::Known;
use crate::carrier::{Carrier, Made};
use crate::repeat::Repeating;
use crate::send::Ready;
use crate::service::Consumer;

/// How long a message stays away whose request this build would write otherwise. Another may still ask.
const OTHER_BODY: Duration = Duration::from_mins(15);

impl Consumer {
    /// How the request of a claim may be repeated; nothing where its provider remembers none for long enough.
    pub(crate) fn repeatable(&self, carrier: &Carrier, ready: &Ready<'_>, message: &ChunkMessage) -> Option<Repeatable> {
        let Replay::Key { window } = carrier.provider.facts().replay else { return None };
        let lasting = self.options.timing.askable_for(window)?;
        let places: Vec<usize> = ready.entries().iter().map(|entry| entry.at).collect();
        Some(Repeatable { lasting, body: ready.digest(message, &places, carrier.key_mark()) })
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
        let is_in_doubt = |at: usize| outcomes.get(at).is_some_and(|outcome| is_open(heard.settle(at, *outcome)));
        let parts: Vec<&Part> = seen.asked_with().into_iter().filter(|part| part.members().any(is_in_doubt)).collect();
        if parts.is_empty() {
            self.incarnation.note_settled(id, seq);
            return Ok(Some(After::Delete));
        }
        let (mut keys, mut unasked) = (Vec::new(), None);
        for part in parts {
            let Some(why_not) = self.why_not(carrier, known, message, &ready, part).await? else {
                keys.push(part.key().to_owned());
                continue;
            };
            tracing::error!(chunk = seq, "{why_not}");
            unasked = unasked.max(Some(part.until()));
        }
        if let Some(until) = unasked {
            self.incarnation.note_unasked(id, seq, until);
        }
        if keys.is_empty() {
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
                let repeating = Repeating { carrier, known, message, permit: &permit, ready: &ready };
                let pause = self.repeat(&repeating, &mut claim, keys).await;
                Self::still_in_doubt(&mut claim);
                let again = claim.request().map_or(0, Keyed::asked_again);
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
                // Nobody is asked about any more whose part was forgotten.
                let mut asked_about = claim.request().into_iter().flat_map(Keyed::parts).flat_map(Part::members);
                let is_over = !asked_about.any(|at| outcomes.iter().nth(at) == Some(Outcome::InDoubt));
                let wait = self.before_asking(again).max(if unasked.is_some() { OTHER_BODY } else { Duration::ZERO });
                Ok(Some(if is_over { After::Delete } else { After::PutBack(wait) }))
            }
        }
    }

    /// Why a part is not asked about by this consumer; nothing where it is.
    async fn why_not(
        &self,
        carrier: &Carrier,
        known: &Known,
        message: &ChunkMessage,
        ready: &Ready<'_>,
        part: &Part,
    ) -> Result<Option<&'static str>, LedgerError> {
        let places: Vec<usize> = part.positions().collect();
        Ok(match carrier.made(known, part.body(), |mark| ready.digest(message, &places, mark)) {
            Made::WithThisKey => None,
            Made::WithAnyKey if !self.may_be_of_another_key(carrier, &message.broadcast_id).await? => None,
            Made::WithAnyKey => Some(
                "an older consumer made the request and did not say with which key, and more than one has been in use; of the account of another this one may know nothing, so whoever is in doubt is not asked about",
            ),
            Made::Otherwise => Some(
                "this build would repeat the request with another body, or with another key, whose account knows nothing of the first; whoever is in doubt is not asked about: give it the key that the provider was first asked with",
            ),
        })
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

    /// Whom no answer has settled.
    fn still_in_doubt(claim: &mut Claim) {
        let open: Vec<usize> = claim.positions().collect();
        open.into_iter().for_each(|at| claim.settle(at, Outcome::InDoubt, None));
    }
}
