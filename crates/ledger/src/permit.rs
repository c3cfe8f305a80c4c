//! Permits: the budget and the kill switch in one conditional write.
//!
//! A consumer is granted a block of permits, which expires within seconds; each send consumes a
//! [`Permit`] cut from it. Once a broadcast is no longer running nothing more is granted, and what
//! is still sent is bounded by the blocks that are out.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::AnsweredAt;
use issei_clock::{Deadline, Reading};
use issei_schema::{RampHour, Ramped};
use jiff::Timestamp;

use crate::item::{Key, n, read, s};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError, Registration};

/// Permission to send to so many recipients until it expires. Made here alone, consumed by a send.
#[must_use = "a permit that is not used must be put back"]
#[derive(Debug)]
pub struct Permit {
    epoch: u64,
    recipients: u64,
    expires: Deadline,
    granted_at: Timestamp,
}

impl Permit {
    /// Says whether a send may still begin.
    #[must_use]
    pub fn is_valid(&self, now: Reading) -> bool {
        !self.expires.is_over(now)
    }

    /// Ends the permit, whose send never began, and tells how many permits of which epoch it was.
    #[must_use]
    pub fn into_unused(self) -> (u64, u64) {
        (self.epoch, self.recipients)
    }

    /// To ask again about recipients whose permits are spent already: it is worth none that could be put back.
    pub(crate) fn to_ask(epoch: u64, expires: Deadline, granted_at: Timestamp) -> Self {
        Self { epoch, recipients: 0, expires, granted_at }
    }

    /// When it was granted, by AWS's own clock: a send under it is signed with that moment, and refused by
    /// AWS once that is long ago.
    #[must_use]
    pub fn granted_at(&self) -> Timestamp {
        self.granted_at
    }

    /// The epoch in which it was granted, and in which alone it can be given back.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Permits that one consumer holds for one broadcast.
#[derive(Debug)]
pub struct Block {
    epoch: u64,
    left: u64,
    expires: Deadline,
    granted_at: Timestamp,
    /// What the broadcast had left after this grant, as the ledger said.
    remaining: u64,
    /// How far its ramp had come with this grant, where it has one.
    ramped: Option<Ramped>,
}

impl Block {
    /// Cuts off a permit; nothing where too few are left or the block has expired.
    pub fn take(&mut self, recipients: u64, now: Reading) -> Option<Permit> {
        if self.expires.is_over(now) || self.left < recipients {
            return None;
        }
        self.left -= recipients;
        Some(Permit { epoch: self.epoch, recipients, expires: self.expires, granted_at: self.granted_at })
    }

    /// Takes back a permit that was not used; one from another block is handed back.
    pub fn put_back(&mut self, permit: Permit) -> Result<(), Permit> {
        if permit.expires == self.expires {
            self.left += permit.recipients;
            return Ok(());
        }
        Err(permit)
    }

    /// Ends the block and tells how many permits were not used.
    #[must_use]
    pub fn into_unused(self) -> (u64, u64) {
        (self.epoch, self.left)
    }

    /// What the broadcast had left after this grant.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How far the broadcast's ramp had come with this grant.
    #[must_use]
    pub fn ramped(&self) -> Option<Ramped> {
        self.ramped
    }

    /// Says whether the block has expired.
    #[must_use]
    pub fn is_over(&self, now: Reading) -> bool {
        self.expires.is_over(now)
    }
}

/// What became of a request for permits.
#[derive(Debug)]
pub enum Granted {
    Block(Block),
    /// None, because of the broadcast's state, its epoch, what remains, an agreement that is missing, or since it is
    /// another registration.
    Denied(Broadcast),
}

const GRANT: &str = "SET remaining = remaining - :n, granted = granted + :n, grant_count = grant_count + :one";
/// With the first permit of a ramp's hour: it begins, and what stands there of `granted` is what was granted before it.
const BEGIN: &str = ", ramp_hour_began = :asked, ramp_hour_before = granted, ramp_doublings = :doublings";
/// Of a ramp's hour it must still be the last one, and enough of it must be left.
const SAME_HOUR: &str = "ramp_hour_began = :last";
const NO_HOUR: &str = "attribute_not_exists(ramp_hour_began)";
const IN_RAMP: &str = "granted <= :before";
/// Where the next hour allows more than the one before, that must have been used; and where it does not, not.
const USED: &str = "granted >= :enough";
const UNUSED: &str = "granted < :enough";

/// What a grant adds to the request of the ramp's hour that it is made in.
struct InRamp {
    ramped: Ramped,
    hour: RampHour,
}

impl InRamp {
    fn at(ramped: Ramped, now: Timestamp) -> Self {
        Self { ramped, hour: ramped.hour_at(now) }
    }

    fn begins(&self) -> bool {
        self.ramped.hour != Some(self.hour)
    }

    /// How many it leaves.
    fn leaves(&self) -> u64 {
        self.ramped.ramp.most_in(self.hour).saturating_sub(self.ramped.granted)
    }

    /// What stands in the condition, and the values that it and the update name.
    fn asks(&self, wanted: u64) -> (String, Vec<(&'static str, AttributeValue)>) {
        let Ramped { ramp, hour: last, .. } = self.ramped;
        let mut values = last.map(|last| (":last", s(last.began.to_string()))).into_iter().collect::<Vec<_>>();
        let mut condition = if last.is_some() { SAME_HOUR } else { NO_HOUR }.to_owned();
        if self.begins() {
            values.extend([(":asked", s(self.hour.began.to_string())), (":doublings", n(u64::from(self.hour.doublings)))]);
            if let Some(last) = last.filter(|last| last.doublings < u64::BITS) {
                let is_used = if self.hour.doublings > last.doublings { USED } else { UNUSED };
                condition = format!("{condition} AND {is_used}");
                values.push((":enough", n(ramp.enough_in(last))));
            }
        } else {
            condition = format!("{condition} AND {IN_RAMP}");
            values.push((":before", n(ramp.most_in(self.hour).saturating_sub(wanted))));
        }
        (condition, values)
    }
}

impl Ledger {
    /// Asks for `most` permits, or fewer where fewer remain, but at least `least`. Under a ramp, as far as it is known to have
    /// come, no more are granted than its hour allows.
    pub async fn grant(
        &self,
        of: &Registration,
        epoch: u64,
        (least, most): (u64, u64),
        ramped: Option<Ramped>,
        life: Duration,
    ) -> Result<Granted, LedgerError> {
        let id = &of.id;
        // Also where an older build, which knows of no agreement, has let it run.
        let may_grant =
            of.condition("broadcast_state = :running AND epoch = :epoch AND remaining >= :n AND attribute_not_exists(awaits_agreement)");
        let (mut most, mut ramped) = (most, ramped);
        loop {
            // Life is counted from before the request, so that no answer's delay lengthens it.
            let asked = self.clock.reading();
            let answered = AnsweredAt::default();
            let in_ramp = ramped.map(|ramped| InRamp::at(ramped, asked.wall()));
            let wanted = in_ramp.as_ref().map_or(most, |in_ramp| most.min(in_ramp.leaves())).max(least);
            let (ramp_allows, values) = in_ramp.as_ref().map(|in_ramp| in_ramp.asks(wanted)).unzip();
            let begins = in_ramp.as_ref().is_some_and(InRamp::begins);
            let mut request = self
                .db
                .update_item()
                .table_name(&self.table)
                .set_key(Some(Key::broadcast(id).into_item()))
                .update_expression(if begins { format!("{GRANT}{BEGIN}") } else { GRANT.to_owned() })
                .condition_expression(ramp_allows.map_or_else(|| may_grant.clone(), |allows| format!("{may_grant} AND {allows}")))
                .expression_attribute_values(":n", n(wanted))
                .expression_attribute_values(":one", n(1))
                .expression_attribute_values(":running", s(BroadcastState::Running.as_str()))
                .expression_attribute_values(":epoch", n(epoch))
                .return_values(ReturnValue::UpdatedNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            for (name, value) in of.values() {
                request = request.expression_attribute_values(name, value);
            }
            for (name, value) in values.unwrap_or_default() {
                request = request.expression_attribute_values(name, value);
            }
            match request.customize().interceptor(answered.clone()).send().await {
                Ok(answer) => {
                    let told = |name: &str| answer.attributes.as_ref().and_then(|item| item.get(name)?.as_n().ok()?.parse::<u64>().ok());
                    // By the local clock where the answer has no date. Then a wrong clock can make the signature
                    // look younger, by no more than AWS lets clocks differ.
                    let granted_at = answered.get().unwrap_or_else(|| asked.wall());
                    let expires = Deadline::after(asked, life);
                    let ramped = in_ramp.map(|InRamp { ramped, hour }| Ramped {
                        hour: Some(RampHour { before: told("ramp_hour_before").unwrap_or(hour.before), ..hour }),
                        granted: told("granted").unwrap_or(ramped.granted),
                        ..ramped
                    });
                    let remaining = told("remaining").unwrap_or(0);
                    return Ok(Granted::Block(Block { epoch, left: wanted, expires, granted_at, remaining, ramped }));
                }
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                        let now = self.refused_by(failed.item.clone(), Key::broadcast(id)).await?;
                        let now: Broadcast =
                            read(now.ok_or_else(|| LedgerError::NoBroadcast { id: id.to_string(), table: self.table.clone() })?)?;
                        let is_ours = now.epoch == epoch && now.registration() == *of;
                        let open = now.broadcast_state == BroadcastState::Running && is_ours && !now.awaits_agreement;
                        let known = ramped.and(now.ramped());
                        let leaves = known.map_or(u64::MAX, |known| InRamp::at(known, self.clock.wall()).leaves());
                        let left = now.remaining.min(leaves);
                        if !open || left < least || (left >= wanted && known == ramped) {
                            return Ok(Granted::Denied(now));
                        }
                        (most, ramped) = (most.min(left), known);
                    }
                    _ => return Err(LedgerError::call("UpdateItem")(error)),
                },
            }
        }
    }

    /// Gives unused permits back. The caller has destroyed them already.
    ///
    /// Sent once and never retried: adding the same permits twice would let the budget be passed,
    /// while losing them only waits for a recount.
    pub async fn give_back(&self, of: &Registration, epoch: u64, permits: u64) -> Result<(), LedgerError> {
        if permits == 0 {
            return Ok(());
        }
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(&of.id).into_item()))
            .update_expression("SET remaining = remaining + :n, granted = granted - :n")
            .condition_expression(of.condition("epoch = :epoch AND granted >= :n"))
            .expression_attribute_values(":n", n(permits))
            .expression_attribute_values(":epoch", n(epoch));
        for (name, value) in of.values() {
            request = request.expression_attribute_values(name, value);
        }
        let once = aws_sdk_dynamodb::config::Config::builder().retry_config(RetryConfig::disabled());
        match request.customize().config_override(once).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}
