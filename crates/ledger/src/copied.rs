//! The row that a copy of a letter was written from: whoever it is of is found by digests of key and address in the copy's
//! command, and the values of the row go out of the command when they are forgotten.
//!
//! What this must never do: change a command that may still be sent, or anything of one that is no copy's.

use issei_aws::AwsCall;
use issei_schema::{Address, BroadcastCommand, BroadcastId, Recipient, TestCopy};

use crate::commitment::Digests;
use crate::item::Key;
use crate::page::{packed, unpacked};
use crate::{Ledger, LedgerError, Sought};

impl Ledger {
    /// A copy to somebody, written from a row.
    pub async fn copied_from(&self, row: Recipient, to: Address) -> Result<TestCopy, LedgerError> {
        let secret = self.digest_key_or_new().await?;
        let digests = Digests(&secret);
        let (row_key, row_address) = (Some(digests.key(row.key.as_str())), Some(digests.address(row.address.as_str())));
        Ok(TestCopy { to, data: row.data, row_key, row_address })
    }

    /// Says whether a command is a copy's that was written from the row of somebody.
    pub async fn is_copied_from(&self, command: &BroadcastCommand, sought: &Sought) -> Result<bool, LedgerError> {
        let Some(copy) = command.test_copy.as_ref().filter(|copy| copy.row_key.is_some() || copy.row_address.is_some()) else {
            return Ok(false);
        };
        Ok(self.digest_key().await?.is_some_and(|secret| sought.is_row_of(copy, &Digests(&secret))))
    }

    /// Takes the values of the row out of the command of a copy that is over, and says whether there were any. Its hash stays
    /// in the broadcast.
    pub async fn forget_copied(&self, id: &BroadcastId) -> Result<bool, LedgerError> {
        let broadcast = self.broadcast(id).await?;
        if !broadcast.broadcast_state.is_over() {
            return Err(LedgerError::MayStillSend { id: id.to_string(), state: broadcast.broadcast_state });
        }
        let key = Key::command(id);
        let name = key.name();
        let corrupt = |reason: &dyn std::fmt::Display| LedgerError::corrupt(&name, reason);
        let item = self.get(key.clone()).await?.ok_or_else(|| corrupt(&"it is not there"))?;
        let body = String::from_utf8(unpacked(&name, item.get("body"))?).map_err(|error| corrupt(&error))?;
        let mut command = BroadcastCommand::stored(&body).map_err(|error| corrupt(&error))?;
        let Some(copy) = command.test_copy.as_mut().filter(|copy| !copy.data.is_empty()) else { return Ok(false) };
        copy.data.clear();
        let update = self.db.update_item().table_name(&self.table).set_key(Some(key.into_item()));
        let update = update.update_expression("SET body = :body").condition_expression("attribute_exists(pk)");
        let update = update.expression_attribute_values(":body", packed(command.to_body().as_bytes())?);
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(true)
    }
}
