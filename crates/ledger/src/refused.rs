//! Commands that were refused, by the id that they asked for, so that whoever waits for a broadcast finds why
//! there is none. They lie in a partition of their own: a refusal never stands in the way of a broadcast of its
//! id, and nothing is decided by it, but for one that was refused since a restore may have made the ledger forget
//! its broadcast: the same id is not taken without a reason, whatever it was refused for since.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_schema::{Actor, BroadcastCommand, BroadcastId, Reason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Item, Key, REFUSED, n, read, s};
use crate::trail::{REASON_BYTES_MAX, cut};
use crate::{Broadcast, Ledger, LedgerError, ReasonCode};

/// How many are read for a list. Whoever may enqueue can have as many made as there is patience for.
const LISTED_MAX: usize = 1_000;

/// The last refusal of a command that asked for this id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub broadcast_id: BroadcastId,
    pub refused_at: Timestamp,
    pub refused_by: String,
    /// It names no address, like the dead letter's.
    pub reason: String,
    /// Nothing where an older build noted it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ReasonCode::leniently")]
    pub code: Option<ReasonCode>,
    /// A command of this id was sent before the ledger was taken into use after a restore, which may have made it forget its
    /// broadcast.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older_than_restore: bool,
    /// Why such commands were to say the same again, as digests: what an app writes into each of its commands is no reason to take
    /// one of them that may have been carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older_agains: Vec<String>,
}

impl Refused {
    /// Whether a command of this id may have been carried out before a restore, and this one says no other reason than that did.
    #[must_use]
    pub fn speaks_against(&self, command: &BroadcastCommand) -> bool {
        self.older_than_restore && command.again.as_ref().is_none_or(|again| self.older_agains.contains(&digest(again)))
    }

    /// Says whether it is news to whoever knows the broadcast of this id: the command of that broadcast may
    /// have been refused before it was taken, which is over then.
    #[must_use]
    pub fn is_news(&self, broadcast: Option<&Broadcast>) -> bool {
        broadcast.is_none_or(|broadcast| self.refused_at >= broadcast.created_at)
    }
}

fn digest(again: &Reason) -> String {
    hex::encode(Sha256::digest(again.as_str()))
}

impl Ledger {
    /// Notes that a command was refused, which said `again` why it was to be taken. A later refusal of the same id takes its place, but
    /// that it was older than a restore stays.
    pub async fn note_refused(
        &self,
        id: &BroadcastId,
        actor: &Actor,
        (code, reason): (ReasonCode, &str),
        again: Option<&Reason>,
    ) -> Result<(), LedgerError> {
        let refused = Refused {
            broadcast_id: id.clone(),
            refused_at: self.clock.wall(),
            refused_by: actor.to_string(),
            reason: cut(reason, REASON_BYTES_MAX).to_owned(),
            code: Some(code),
            older_than_restore: code == ReasonCode::RefusedRestored,
            older_agains: Vec::new(),
        };
        let mut item: Item = serde_dynamo::to_item(refused).map_err(|error| LedgerError::corrupt("refused", error))?;
        item.insert("expires_at".to_owned(), n(self.expires_at()));
        let mut update = self.db.update_item().table_name(&self.table).set_key(Some(Key::refused(id).into_item()));
        let mut sets = Vec::with_capacity(item.len());
        for (name, value) in item {
            sets.push(format!("#{name} = :{name}"));
            update = update.expression_attribute_names(format!("#{name}"), &name).expression_attribute_values(format!(":{name}"), value);
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if let Some(again) = again.filter(|_| code == ReasonCode::RefusedRestored) {
            expression.push_str(" ADD older_agains :again");
            update = update.expression_attribute_values(":again", AttributeValue::Ss(vec![digest(again)]));
        }
        let update = update.update_expression(expression);
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// The last refusal of a command that asked for this id.
    pub async fn refused(&self, id: &BroadcastId) -> Result<Option<Refused>, LedgerError> {
        self.get(Key::refused(id)).await?.map(read).transpose()
    }

    /// The refused commands by id, a thousand at most. One that can't be read is left out.
    pub async fn all_refused(&self) -> Result<Vec<Refused>, LedgerError> {
        let (mut refused, mut after) = (Vec::new(), None);
        loop {
            let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :list");
            let query = query.expression_attribute_values(":list", s(REFUSED));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
            refused.extend(answer.items.unwrap_or_default().into_iter().filter_map(|item| read::<Refused>(item).ok()));
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() || refused.len() >= LISTED_MAX {
                refused.truncate(LISTED_MAX);
                return Ok(refused);
            }
        }
    }
}
