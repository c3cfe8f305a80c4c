//! A provider's send rate, as an account has it: shared by all consumers and all broadcasts that it carries.
//!
//! One item for each provider holds the moment up to which the rate is given away. A consumer that wants to send to n
//! recipients moves it forward by n divided by the rate, and what it moved over is its slot of
//! time, in which it sends evenly. Slots don't overlap, so the sum of all consumers does not pass
//! the rate. The moment is wall time: consumers whose clocks differ by some seconds can pass the
//! rate for that long, once.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::AwsCall;
use issei_clock::Instant;
use issei_schema::ProviderName;

use crate::item::{Item, Key, n};
use crate::{Ledger, LedgerError};

/// Slots are given away at most this far ahead: a consumer asks again rather than sleeping on one.
const AHEAD: Duration = Duration::from_secs(1);

/// A moment further ahead than this was written by a machine whose clock is wrong.
const ABSURD: Duration = Duration::from_mins(2);

/// A stretch of time in which so many recipients may be sent to, evenly.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub starts: Instant,
    pub ends: Instant,
    pub recipients: u64,
}

/// What became of a request for a slot.
#[derive(Clone, Copy, Debug)]
pub enum SlotRequest {
    Given(Slot),
    /// The rate is given away for now; ask again after this.
    AskAgainIn(Duration),
}

impl Ledger {
    /// Asks for a slot for `recipients` of a provider at `rate` recipients a second. `is_shared` says whether somebody
    /// else is expected to be ahead, which decides what is tried first and nothing else: where that is right, one
    /// write is enough.
    pub async fn rate_slot(
        &self,
        provider: &ProviderName,
        recipients: u64,
        rate: f64,
        mut is_shared: bool,
    ) -> Result<SlotRequest, LedgerError> {
        let length = Duration::try_from_secs_f64(as_f64(recipients) / rate).unwrap_or(ABSURD);
        loop {
            let (now, wall) = (self.clock.now(), self.clock.wall().as_microsecond());
            let slot = |ends: i64| {
                let ends = now + Duration::from_micros((ends - wall).max(0).unsigned_abs());
                SlotRequest::Given(Slot { starts: ends.checked_sub(length).unwrap_or(now), ends, recipients })
            };
            let found = if is_shared {
                // Somebody is ahead: the slot begins where theirs ends, wherever that is by now.
                let busy = "given_until >= :now AND given_until <= :ahead";
                let values = [(":to", micros(length)), (":now", wall), (":ahead", wall + micros(AHEAD))];
                self.move_rate(provider, "SET given_until = given_until + :to", busy, &values).await?
            } else {
                // Nobody is: the slot begins now.
                let idle = "attribute_not_exists(given_until) OR given_until < :now OR given_until > :absurd";
                let values = [(":to", wall + micros(length)), (":now", wall), (":absurd", wall + micros(ABSURD))];
                self.move_rate(provider, "SET given_until = :to", idle, &values).await?
            };
            let found = match found {
                Ok(ends) => return Ok(slot(ends)),
                Err(found) => found,
            };
            let ahead = found.map_or(-1, |until| until - wall);
            if (micros(AHEAD) + 1..=micros(ABSURD)).contains(&ahead) {
                return Ok(SlotRequest::AskAgainIn(Duration::from_micros((ahead - micros(AHEAD)).unsigned_abs()).min(AHEAD)));
            }
            if ahead > micros(ABSURD) {
                tracing::error!(ahead_s = ahead / 1_000_000, "the rate was given away far into the future: some machine's clock is wrong");
            }
            is_shared = (0..=micros(AHEAD)).contains(&ahead);
        }
    }

    /// Moves the moment and tells where it is then; `Err` tells where it is where it was not moved.
    async fn move_rate(
        &self,
        provider: &ProviderName,
        update: &str,
        condition: &str,
        values: &[(&str, i64)],
    ) -> Result<Result<i64, Option<i64>>, LedgerError> {
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::rate(provider).into_item()))
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in values {
            request = request.expression_attribute_values(*name, n(value));
        }
        match request.call().await {
            Ok(answer) => given_until(answer.attributes.as_ref())
                .map(Ok)
                .ok_or_else(|| LedgerError::corrupt(Key::rate(provider).name(), "the update gave nothing back")),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let item = self.refused_by(failed.item.clone(), Key::rate(provider)).await?;
                    Ok(Err(given_until(item.as_ref())))
                }
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }
}

fn given_until(item: Option<&Item>) -> Option<i64> {
    item?.get("given_until")?.as_n().ok()?.parse().ok()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn as_f64(recipients: u64) -> f64 {
    recipients as f64
}
