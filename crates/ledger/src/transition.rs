//! What takes a broadcast from one state to another: each step one conditional write, with its actor and its reason.
//!
//! What it must never do: take a step that is not in the table, or let one run that others must agree to.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::{Actor, BroadcastId};

use crate::item::{Item, Key, n};
use crate::step::Step;
use crate::{Broadcast, BroadcastState, HeldAudience, Ledger, LedgerError, Reading, ReasonCode, Tally, phrases};

/// What is of no use once enumeration is over. An older build could not read the key.
const ENUMERATED: &str = " REMOVE last_key, in_canary, held_up";

/// A condition, and that no chunk was reopened since. An older build writes no count of it.
pub(crate) fn as_reopened(and: &str) -> String {
    format!("{and} AND (attribute_not_exists(reopenings) OR reopenings = :reopenings)")
}

/// A step that somebody wants.
pub struct Transition<'a> {
    pub to: BroadcastState,
    pub actor: &'a Actor,
    pub reason: &'a str,
}

/// How an enumeration ended.
#[derive(Debug)]
pub enum Enumerated {
    /// The audience is frozen and the broadcast runs.
    Running(Broadcast),
    /// Something changed in between; look at it again.
    Changed(Broadcast),
}

impl Ledger {
    /// One conditional write that takes the broadcast from one state to another, with the actor
    /// and the reason in its audit trail. Refused where the step is not in the table.
    ///
    /// It is done once, however often it is asked for on the way. The broadcast that comes back may stand
    /// elsewhere by then, where somebody else has taken another step since.
    pub async fn transition(&self, id: &BroadcastId, wanted: Transition<'_>) -> Result<Broadcast, LedgerError> {
        let Transition { to, actor, reason } = wanted;
        self.take_step(id, None, actor, reason, None, |_| to).await
    }

    /// The same for whoever lets it go on from the hold or the pause that was looked at, by its epoch: whoever approves a canary by
    /// what was shown before it, or resumes what a colleague has paused since, has not looked at that.
    pub async fn let_go_on(&self, id: &BroadcastId, seen_epoch: u64, wanted: Transition<'_>) -> Result<Broadcast, LedgerError> {
        let Transition { to, actor, reason } = wanted;
        self.take_step(id, Some(seen_epoch), actor, reason, None, |_| to).await
    }

    /// The same for a reason of issei's own, which has a code.
    pub async fn transition_for(&self, id: &BroadcastId, code: ReasonCode, wanted: Transition<'_>) -> Result<Broadcast, LedgerError> {
        let Transition { to, actor, reason } = wanted;
        self.take_step(id, None, actor, reason, Some(code), |_| to).await
    }

    /// Ends a broadcast for ever, from whatever state it is in when the write comes to it. Before the
    /// first permit there is nothing to wait for. Refused where it is ending or over already.
    pub async fn end(&self, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<Broadcast, LedgerError> {
        let to = |from| if from == BroadcastState::Enumerating { BroadcastState::Stopped } else { BroadcastState::Stopping };
        self.take_step(id, None, actor, reason, None, to).await
    }

    async fn take_step(
        &self,
        id: &BroadcastId,
        seen_epoch: Option<u64>,
        actor: &Actor,
        reason: &str,
        code: Option<ReasonCode>,
        to: impl Fn(BroadcastState) -> BroadcastState,
    ) -> Result<Broadcast, LedgerError> {
        // One for all tries: whichever of them was written, the step is taken.
        let token = self.dice.token();
        let mut current = self.broadcast(id).await?;
        loop {
            let from = current.broadcast_state;
            let wanted = Step { to: to(from), actor, reason, code };
            // What makes an enumerating broadcast run is the end of its enumeration and no wish: a resume in the
            // midst of it would send to those who are frozen so far, and to nobody else ever.
            let is_too_early = from == BroadcastState::Enumerating && wanted.to != BroadcastState::Stopped;
            if is_too_early || !from.may_become(wanted.to) {
                return Err(LedgerError::Transition { id: id.to_string(), from, to: wanted.to });
            }
            if seen_epoch.is_some_and(|seen| seen != current.epoch) {
                return Err(LedgerError::WentOn { id: id.to_string(), state: from });
            }
            if let (BroadcastState::Holding, BroadcastState::Running, Some(awaited)) = (from, wanted.to, current.awaited()) {
                return Err(LedgerError::NotAgreed { id: id.to_string(), reason: awaited.told() });
            }
            let (more, values) = match (from, wanted.to) {
                (BroadcastState::Enumerating, _) => (ENUMERATED, Vec::new()),
                (BroadcastState::Paused, BroadcastState::Running) => (", epoch = epoch + :one", Vec::new()),
                // Its canary is still to come, and is not approved with this.
                (BroadcastState::Holding, BroadcastState::Running) if current.holds_before_first_send() => {
                    let (allowed, withheld) = current.first_permits();
                    let values = vec![(":allowed", n(allowed)), (":withheld", n(withheld))];
                    (", epoch = epoch + :one, remaining = :allowed, withheld = :withheld", values)
                }
                (BroadcastState::Holding, BroadcastState::Running) => {
                    (", epoch = epoch + :one, remaining = remaining + withheld, withheld = :zero", Vec::new())
                }
                _ => ("", Vec::new()),
            };
            match self.step(&current, &wanted, &token, more, "", values).await? {
                Ok(after) => return self.closed(after).await,
                Err(now) => current = now,
            }
        }
    }

    /// Ends enumeration: the frozen audience becomes the budget, less what a canary keeps back. `more` is what else is
    /// to be known of it.
    pub async fn finish_enumeration(
        &self,
        broadcast: &Broadcast,
        reading: &Reading,
        actor: &Actor,
        more: Option<&str>,
    ) -> Result<Enumerated, LedgerError> {
        let Broadcast { recipients, chunks, skipped, .. } = broadcast;
        let more = more.map(|more| format!("; {more}")).unwrap_or_default();
        let reason = phrases::FROZEN.with(&[recipients, chunks, skipped, &more]);
        let (allowed, withheld) = broadcast.first_permits();
        let values = vec![
            (":allowed", n(allowed)),
            (":withheld", n(withheld)),
            (":pages", n(broadcast.pages)),
            (":reading", reading.last_of(broadcast)?),
        ];
        let wanted = Step { to: BroadcastState::Running, actor, reason: &reason, code: None };
        // Where others must agree no permit is granted, whoever ends the enumeration and takes it for fine.
        let small = if broadcast.is_below_agreement() { ", awaits_agreement" } else { "" };
        let more = format!(", remaining = :allowed, withheld = :withheld, reading = :reading{ENUMERATED}{small}");
        Ok(match self.step(broadcast, &wanted, &self.dice.token(), &more, " AND pages = :pages", values).await? {
            Ok(after) => Enumerated::Running(after),
            Err(now) => Enumerated::Changed(now),
        })
    }

    /// Ends enumeration with every permit withheld, until an operator approves. Gives the broadcast as it is
    /// then, where something changed in between too.
    pub async fn hold_before_send(
        &self,
        broadcast: &Broadcast,
        reading: &Reading,
        held_audience: &HeldAudience,
        actor: &Actor,
        (code, reason): (ReasonCode, &str),
    ) -> Result<Broadcast, LedgerError> {
        let held_audience =
            serde_dynamo::to_attribute_value(held_audience).map_err(|error| LedgerError::corrupt("held_audience", error))?;
        let values = vec![
            (":held_audience", held_audience),
            (":withheld", n(broadcast.recipients)),
            (":true", AttributeValue::Bool(true)),
            (":pages", n(broadcast.pages)),
            (":reading", reading.last_of(broadcast)?),
        ];
        let wanted = Step { to: BroadcastState::Holding, actor, reason, code: Some(code) };
        let small = if broadcast.is_below_agreement() { ", awaits_agreement" } else { "" };
        let more = format!(
            ", withheld = :withheld, held_before_send = :true, held_audience = :held_audience, reading = :reading{ENUMERATED}{small}"
        );
        let (Ok(now) | Err(now)) = self.step(broadcast, &wanted, &self.dice.token(), &more, " AND pages = :pages", values).await?;
        Ok(now)
    }

    /// Ends a running broadcast in which nothing is left to do, with its exact totals.
    ///
    /// The caller has read the broadcast, then counted every chunk and found each settled or long past its
    /// lease; the condition makes sure that no permit was granted and no chunk reopened since.
    pub async fn complete(&self, broadcast: &Broadcast, tally: &Tally, actor: &Actor) -> Result<bool, LedgerError> {
        let totals = tally.totals();
        let (accepted, refused, in_doubt) = (totals.accepted, totals.refused(), totals.in_doubt);
        let reason = match totals.spared.filter(|spared| *spared > 0) {
            None => phrases::COUNTED.with(&[&accepted, &refused, &in_doubt]),
            Some(spared) => phrases::COUNTED_WITH_SPARED.with(&[&accepted, &refused, &spared, &in_doubt]),
        };
        let totals = serde_dynamo::to_attribute_value(totals).map_err(|error| LedgerError::corrupt("totals", error))?;
        let values = vec![(":totals", totals), (":grants", n(broadcast.grant_count)), (":reopenings", n(broadcast.reopenings))];
        let wanted = Step { to: BroadcastState::Complete, actor, reason: &reason, code: None };
        let as_counted = as_reopened(" AND grant_count = :grants");
        match self.step(broadcast, &wanted, &self.dice.token(), ", totals = :totals", &as_counted, values).await? {
            Ok(after) => self.closed(after).await.map(|_| true),
            Err(_) => Ok(false),
        }
    }

    /// Takes a broadcast that is over off the list of open ones. A crash before this leaves it
    /// there, and whoever finds it calls this again. A sweep is to count it once more: a stopped one has no
    /// totals yet, and what events told while a complete one was counted may not be in them.
    pub async fn closed(&self, broadcast: Broadcast) -> Result<Broadcast, LedgerError> {
        if broadcast.broadcast_state.is_over() {
            self.note_told(&broadcast.broadcast_id).await?;
            let key: Item = Key::open(&broadcast.broadcast_id).into_item();
            self.db.delete_item().table_name(&self.table).set_key(Some(key)).call().await.map_err(LedgerError::call("DeleteItem"))?;
        }
        Ok(broadcast)
    }
}
