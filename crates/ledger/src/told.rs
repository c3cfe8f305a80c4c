//! Which broadcasts that are over have been told more about since their totals were written. Whoever
//! merges events counts them here, and whoever sweeps writes the totals anew; they need not be one process.

use issei_aws::AwsCall;
use issei_schema::BroadcastId;
use serde::Deserialize;

use crate::item::{Key, TOLD, n, read, s};
use crate::{Ledger, LedgerError};

/// A broadcast whose totals are older than what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub id: BroadcastId,
    /// How often it was told about.
    times: u64,
}

#[derive(Deserialize)]
struct ToldItem {
    sk: String,
    told: u64,
    #[serde(default)]
    totalled: u64,
}

impl Ledger {
    /// Notes that a broadcast that is over was told more about.
    pub async fn note_told(&self, id: &BroadcastId) -> Result<(), LedgerError> {
        let update = self.db.update_item().table_name(&self.table).set_key(Some(Key::told(id).into_item()));
        let update = update.update_expression("SET expires_at = :expires ADD told :one");
        let update = update.expression_attribute_values(":expires", n(self.expires_at())).expression_attribute_values(":one", n(1));
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// Every broadcast whose totals are to be written anew.
    pub async fn told(&self) -> Result<Vec<Told>, LedgerError> {
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :list");
            let query = query.expression_attribute_values(":list", s(TOLD));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let item: ToldItem = read(item)?;
                if item.told > item.totalled {
                    let id = BroadcastId::try_from(item.sk).map_err(|reason| LedgerError::corrupt(TOLD, reason))?;
                    told.push(Told { id, times: item.told });
                }
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(told);
            }
        }
    }

    /// Notes that the totals hold what was known when `told` was read. What was told since is still due.
    pub async fn note_totalled(&self, told: &Told) -> Result<(), LedgerError> {
        let update = self.db.update_item().table_name(&self.table).set_key(Some(Key::told(&told.id).into_item()));
        let update = update.update_expression("SET totalled = :times").expression_attribute_values(":times", n(told.times));
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }
}
