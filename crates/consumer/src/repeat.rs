//! The walk over the parts of a request, each made once more under its key, by one permission to ask.
//!
//! A part that is refused as a whole, for one recipient's sake, is divided. It may have been made before, by whoever died or lost
//! the answer, and may be on its way still; so its first half goes under the same key, and the others leave when the provider
//! has accepted something else under it than the whole, and not before.
//!
//! What this must never do: open anybody again whom the provider refuses. That a repeat is refused says nothing of what it repeats:
//! it may be charged to its recipient, and else they stay in doubt.

use std::collections::VecDeque;

use issei_ledger::{Claim, Divide, Outcome, Permit};
use issei_provider::{ReplayKey, Said, Verdict};
use issei_schema::{ChunkMessage, Opening};

use crate::broadcasts::Known;
use crate::carrier::Carrier;
use crate::refusal::Charge;
use crate::send::{Ready, Refused, refuses};
use crate::service::Consumer;

/// By what the parts of a claim are made again.
pub(crate) struct Repeating<'a> {
    pub(crate) carrier: &'a Carrier,
    pub(crate) known: &'a Known,
    pub(crate) message: &'a ChunkMessage,
    pub(crate) permit: &'a Permit,
    pub(crate) ready: &'a Ready<'a>,
}

/// What the walk has come to.
#[derive(Default)]
struct Walk {
    refused: Vec<Refused>,
    /// Who was refused before anybody was accepted, and is asked about once more.
    once_more: Vec<usize>,
    accepts_anybody: bool,
    pause: Option<String>,
    is_busy: bool,
}

impl Walk {
    fn has_refused(&self, places: &[usize]) -> bool {
        matches!(places, [at] if self.refused.iter().any(|one| one.at == *at))
    }

    /// The parts of those whom the sender's refusal may have met, which is over by now.
    fn keys_once_more(&mut self, claim: &Claim) -> Vec<String> {
        let own = |at: usize| claim.request()?.parts().iter().find(|part| part.positions().eq([at])).map(|part| part.key().to_owned());
        let again: Vec<(usize, String)> =
            self.refused.iter().filter(|one| one.may_have_ended()).filter_map(|one| Some((one.at, own(one.at)?))).collect();
        self.once_more.extend(again.iter().map(|(at, _)| *at));
        self.refused.retain(|one| again.iter().all(|(at, _)| *at != one.at));
        again.into_iter().map(|(_, key)| key).collect()
    }
}

impl Consumer {
    /// Makes the parts of these keys again, or does not where their time is over. Says why the broadcast should be paused.
    pub(crate) async fn repeat(&self, repeating: &Repeating<'_>, claim: &mut Claim, keys: Vec<String>) -> Option<String> {
        let (mut walk, mut keys) = (Walk::default(), VecDeque::from(keys));
        // Another part goes first each time, so that none waits for ever behind one that is never answered.
        let times = claim.request().map_or(0, issei_ledger::Keyed::asked_again) as usize;
        keys.rotate_left(times.checked_rem(keys.len()).unwrap_or(0));
        loop {
            let Some(key) = keys.pop_front() else {
                keys.extend(walk.keys_once_more(claim));
                if keys.is_empty() {
                    break;
                }
                continue;
            };
            let Some(part) = claim.request().and_then(|request| request.part(&key)) else { continue };
            let places: Vec<usize> = part.positions().collect();
            // Everybody whom the key is for was refused.
            if walk.has_refused(&places) || repeating.permit.granted_at() >= part.until() {
                continue;
            }
            if !self.may_repeat(repeating, claim) || walk.is_busy || walk.pause.is_some() {
                break;
            }
            let has_behind = part.has_behind();
            let Some(how) = self.repeat_part(repeating, claim, &key, &places, &mut walk).await else { continue };
            if !has_behind && matches!(how, Divide::Next | Divide::Accepted) {
                continue;
            }
            match self.divide(repeating.carrier, claim, repeating.message, repeating.ready, (&key, how)).await {
                Ok(next) => next.into_iter().rev().for_each(|key| keys.push_front(key)),
                Err(error) => {
                    tracing::warn!(%error, "what a request is divided into can't be written down, so nothing more of it is asked");
                    break;
                }
            }
        }
        self.charge_refused(repeating, claim, walk).await
    }

    fn may_repeat(&self, repeating: &Repeating<'_>, claim: &Claim) -> bool {
        let (now, permit, schedule) = (self.clock.reading(), repeating.permit, repeating.known.schedule());
        let is_open = [now.wall(), permit.granted_at()].iter().all(|at| matches!(schedule.at(*at), Opening::Open { .. }));
        is_open && permit.is_valid(now) && self.fits_lease(claim, now)
    }

    /// One call. Says how the part is to be divided, where its answer says so.
    async fn repeat_part(
        &self,
        repeating: &Repeating<'_>,
        claim: &mut Claim,
        key: &str,
        places: &[usize],
        walk: &mut Walk,
    ) -> Option<Divide> {
        let Repeating { carrier, message, permit, ready, .. } = repeating;
        let entries = ready.entries_at(places);
        let replay_key = ReplayKey(key.to_owned());
        let call = ready.call_of(message, &entries, permit.granted_at(), Some(&replay_key));
        let verdict = self.send_once(carrier.provider.as_ref(), call).await;
        self.log(&verdict, &entries);
        if let Some(slow_down) = verdict.slow_down {
            carrier.rate.slow_down(self.peace(slow_down));
            walk.is_busy = true;
        }
        if verdict.unlike {
            // Asked again it would say the same, after each resume. What it refuses so is no repetition of the first, and of the
            // first it says nothing: whoever is in doubt stays so, and the broadcast goes on.
            tracing::error!(
                chunk = message.chunk,
                "the provider knows the key with another body; whoever is in doubt is not asked about any more"
            );
            claim.forget_part(key);
            return None;
        }
        let accepts = verdict.accepts_anybody();
        let Verdict { entries: said, split, pause, .. } = verdict;
        let accepted_before = walk.accepts_anybody;
        walk.accepts_anybody |= accepts;
        walk.refused.iter_mut().for_each(|one| one.accepted_after |= accepts);
        walk.pause = pause;
        let is_alone = entries.len() == 1;
        let mut is_refused = false;
        for (entry, said) in entries.iter().zip(said) {
            match said {
                Said::Accepted(message_id) => claim.settle(entry.at, Outcome::Accepted, message_id.as_deref()),
                Said::Refused(refusal) if is_alone => {
                    is_refused = true;
                    let (at, is_its_own) = (entry.at, walk.once_more.contains(&entry.at));
                    walk.refused.push(Refused { at, refusal, is_its_own, accepted_before, accepted_after: false });
                }
                Said::Refused(_) | Said::Retryable | Said::InDoubt => {}
            }
        }
        match () {
            () if accepts => Some(Divide::Accepted),
            () if split && !is_alone => Some(Divide::Unproven),
            () if is_refused => Some(Divide::Next),
            () => None,
        }
    }

    /// Decides about those who were refused by themselves. Says why the broadcast should be paused.
    async fn charge_refused(&self, repeating: &Repeating<'_>, claim: &mut Claim, walk: Walk) -> Option<String> {
        let (of, message) = (claim.placed().clone(), repeating.message);
        let Walk { refused, accepts_anybody, mut pause, .. } = walk;
        if accepts_anybody {
            self.refusals.accepted(&of.id);
        }
        let all = repeating.ready.entries().len();
        // Who is asked about are often those alone whom the provider refuses: the others have their answer.
        let refuses_all = all > 1 && refused.len() == all && !claim.has_accepted();
        let is_last_alone = refused.iter().filter(|one| !one.accepted_after).count() == 1;
        for one in refused {
            match self.charge(&of, message.chunk, &one, refuses_all, is_last_alone).await {
                Charge::Rejected => claim.settle(one.at, Outcome::Rejected, None),
                Charge::Again => {}
                Charge::Pause => {
                    pause.get_or_insert_with(|| refuses(repeating.carrier.provider.as_ref(), refuses_all, &one.refusal));
                }
            }
        }
        pause
    }
}
