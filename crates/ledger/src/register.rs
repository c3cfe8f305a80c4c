//! Registering a command: the first of an id makes the broadcast, the same again finds it, and
//! another with that id is refused.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use issei_clock::Dice;
use issei_schema::{BroadcastCommand, BroadcastId, MessageKey};

use crate::item::{Item, Key, b, s};
use crate::page::{packed, unpacked};
use crate::{Broadcast, Ledger, LedgerError};

/// What the ledger made of a command.
#[derive(Debug)]
pub enum Registered {
    /// There was none of this id.
    New(Broadcast),
    /// This very command has been here before.
    Same(Broadcast),
    /// The id belongs to another command.
    Other(Broadcast),
}

impl Ledger {
    /// Registers a command, whose broadcast will be cut into chunks of `chunk_size`, with a key of its own:
    /// a message of an earlier registration of this id, which a restore made the ledger forget, proves nothing.
    pub async fn register(&self, command: &BroadcastCommand, chunk_size: u32, dice: &Dice) -> Result<Registered, LedgerError> {
        let id = &command.broadcast_id;
        if let Some(found) = self.find_broadcast(id).await? {
            return Ok(compared(found, command));
        }
        let secret = dice.secret().map_err(|error| LedgerError::Unavailable { operation: "getrandom", reason: error.to_string() })?;
        let key = MessageKey::new(secret);
        let broadcast = Broadcast::of(command, chunk_size, key, self.clock.wall(), self.dice.token());
        let mut item: Item = serde_dynamo::to_item(&broadcast).map_err(|error| LedgerError::corrupt("broadcast", error))?;
        item.extend(Key::broadcast(id).into_item());
        item.insert("message_key".to_owned(), b(key.as_bytes()));
        let mut stored = Key::command(id).into_item();
        stored.insert("body".to_owned(), packed(command.to_body().as_bytes())?);
        let mut open = Key::open(id).into_item();
        open.insert("command_hash".to_owned(), s(&broadcast.command_hash));
        let writes = [item, stored, open, Key::known(id).into_item()].map(|item| {
            let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
            put.build().map(|put| TransactWriteItem::builder().put(put).build())
        });
        let mut writes = writes.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| LedgerError::corrupt("broadcast", error))?;
        writes.push(self.unless_closed()?);
        match self.db.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => Ok(Registered::New(broadcast)),
            Err(error) if matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionCanceledException(_))) => {
                // Somebody registered this id in between, or it was us and the answer was lost.
                match self.find_broadcast(id).await? {
                    Some(found) => Ok(compared(found, command)),
                    None => match self.closing().await? {
                        Some(closing) => Err(LedgerError::Closed(closing)),
                        None => Err(LedgerError::call("TransactWriteItems")(error)),
                    },
                }
            }
            Err(error) => Err(LedgerError::call("TransactWriteItems")(error)),
        }
    }

    /// The command that a broadcast was made from.
    pub async fn command(&self, id: &BroadcastId) -> Result<BroadcastCommand, LedgerError> {
        let key = Key::command(id);
        let name = key.name();
        let item = self.get(key).await?.ok_or_else(|| LedgerError::corrupt(&name, "it is not there"))?;
        let body = unpacked(&name, item.get("body"))?;
        let body = String::from_utf8(body).map_err(|error| LedgerError::corrupt(&name, error))?;
        BroadcastCommand::stored(&body).map_err(|error| LedgerError::corrupt(&name, error))
    }
}

fn compared(found: Broadcast, command: &BroadcastCommand) -> Registered {
    if found.command_hash == command.hash().as_str() { Registered::Same(found) } else { Registered::Other(found) }
}
