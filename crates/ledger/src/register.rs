//! Registering a command: the first of an id makes the broadcast, the same again finds it, and
//! another with that id is refused. So is one that says under another id what was said already.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use issei_aws::AwsCall;
use issei_clock::Dice;
use issei_schema::{BroadcastCommand, BroadcastId, CarriedBy, MessageKey};

use crate::item::{Item, Key, b, s};
use crate::of_others::in_letters;
use crate::page::{packed, unpacked};
use crate::said::Sayings;
use crate::{Agreement, Broadcast, Ledger, LedgerError, Repeated};

/// What the command's template said, beside the command.
const TEMPLATE: &str = "template";

/// What the ledger made of a command.
#[derive(Debug)]
pub enum Registered {
    /// There was none of this id.
    New(Broadcast),
    /// This very command has been here before.
    Same(Broadcast),
    /// The id belongs to another command.
    Other(Broadcast),
    /// Another id says the same to the same audience. Nothing was written.
    Repeated(Repeated),
}

/// Who asked for a broadcast, how many must agree to it, and who is to carry it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// As SQS says of whoever put the command on the queue; in words, for the audit trail.
    pub by: Option<String>,
    /// Nothing where one person is enough.
    pub agreement: Option<Agreement>,
    /// Nothing where nothing is known of its account.
    pub carried_by: Option<CarriedBy>,
}

impl Ledger {
    /// Registers a command, whose broadcast will be cut into chunks of `chunk_size`, with a key of its own:
    /// a message of an earlier registration of this id, which a restore made the ledger forget, proves nothing.
    ///
    /// What another broadcast says to the audience is not said again, unless the command says why, or `may_repeat`.
    pub async fn register(
        &self,
        command: &BroadcastCommand,
        chunk_size: u32,
        may_repeat: bool,
        asked: &Asked,
        dice: &Dice,
    ) -> Result<Registered, LedgerError> {
        let id = &command.broadcast_id;
        let secret = dice.secret().map_err(|error| LedgerError::Unavailable { operation: "getrandom", reason: error.to_string() })?;
        let (key, token) = (MessageKey::new(secret), dice.token());
        // Before all else: what a restore makes it forget from here on, it may have forgotten of this one.
        let (ledger_epoch, letters_name) = self.registers_in(command).await?;
        // What was said when a transaction was refused, and how.
        let mut refused: Option<(Option<Vec<Option<String>>>, LedgerError)> = None;
        loop {
            // Somebody registered this id in between, or it was us and the answer was lost.
            if let Some(found) = self.find_broadcast(id).await? {
                return Ok(compared(found, command));
            }
            let said = if may_repeat { None } else { Some(self.said(command).await?) };
            let written_by = said.as_ref().map(Sayings::written_by);
            if let Some((before, error)) = refused.take() {
                if let Some(closing) = self.closing().await? {
                    return Err(LedgerError::Closed(closing));
                }
                if before == written_by {
                    return Err(error);
                }
            }
            if let Some(said) = &said
                && let Some(repeated) = self.against(said, command, ledger_epoch > Some(1)).await?
            {
                return Ok(Registered::Repeated(repeated));
            }
            let broadcast = Broadcast::of(command, chunk_size, asked, key, self.clock.wall(), token.clone());
            let broadcast = Broadcast { ledger_epoch, letters_name: letters_name.clone(), ..broadcast };
            let mut writes = self.registration(&broadcast, command, key)?;
            if let Some(said) = said {
                writes.extend(self.saying(said, command, broadcast.created_at, &token).await?);
            }
            match self.db.transact_write_items().set_transact_items(Some(writes)).call().await {
                Ok(_) => return Ok(Registered::New(broadcast)),
                Err(error) => {
                    let is_cancelled = matches!(error.as_service_error(), Some(TransactWriteItemsError::TransactionCanceledException(_)));
                    let error = LedgerError::call("TransactWriteItems")(error);
                    if !is_cancelled {
                        return Err(error);
                    }
                    refused = Some((written_by, error));
                }
            }
        }
    }

    /// The epoch of the ledger, and how letters are to name it. SES tells of the letters of a configuration set, and signs nothing.
    async fn registers_in(&self, command: &BroadcastCommand) -> Result<(Option<u64>, Option<String>), LedgerError> {
        let Some(lineage) = self.lineage().await? else { return Ok((None, None)) };
        let named = lineage.ledger_id.filter(|_| command.other_provider().is_some());
        Ok((Some(lineage.ledger_epoch), named.as_deref().map(in_letters)))
    }

    /// What is written for a new broadcast, none of which may be there.
    fn registration(
        &self,
        broadcast: &Broadcast,
        command: &BroadcastCommand,
        key: MessageKey,
    ) -> Result<Vec<TransactWriteItem>, LedgerError> {
        let id = &command.broadcast_id;
        let mut item: Item = serde_dynamo::to_item(broadcast).map_err(|error| LedgerError::corrupt("broadcast", error))?;
        item.extend(Key::broadcast(id).into_item());
        item.insert("message_key".to_owned(), b(key.as_bytes()));
        // A consumer that writes letters without their mark can't read it, so it sends none: nobody would believe their events.
        if broadcast.marks_letters
            && let Some(size) = item.remove("chunk_size")
        {
            // Nor can one that leaves out the name of the ledger.
            let name = if broadcast.letters_name.is_some() { "named_chunk_recipients" } else { "marked_chunk_recipients" };
            item.insert(name.to_owned(), size);
        }
        let mut stored = Key::command(id).into_item();
        stored.insert("body".to_owned(), packed(command.to_body().as_bytes())?);
        if let Some(template) = command.content.frozen() {
            stored.insert(TEMPLATE.to_owned(), packed(template.to_json().as_bytes())?);
        }
        let mut open = Key::open(id).into_item();
        open.insert("command_hash".to_owned(), s(&broadcast.command_hash));
        let writes = [item, stored, open, Key::known(id).into_item()].map(|item| {
            let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
            put.build().map(|put| TransactWriteItem::builder().put(put).build())
        });
        let mut writes = writes.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| LedgerError::corrupt("broadcast", error))?;
        writes.push(self.unless_closed()?);
        Ok(writes)
    }

    /// The command that a broadcast was made from.
    pub async fn command(&self, id: &BroadcastId) -> Result<BroadcastCommand, LedgerError> {
        let key = Key::command(id);
        let name = key.name();
        let item = self.get(key).await?.ok_or_else(|| LedgerError::corrupt(&name, "it is not there"))?;
        let body = unpacked(&name, item.get("body"))?;
        let body = String::from_utf8(body).map_err(|error| LedgerError::corrupt(&name, error))?;
        let mut command = BroadcastCommand::stored(&body).map_err(|error| LedgerError::corrupt(&name, error))?;
        if let Some(template) = item.get(TEMPLATE) {
            let template = serde_json::from_slice(&unpacked(&name, Some(template))?).map_err(|error| LedgerError::corrupt(&name, error))?;
            command.content = command.content.with_frozen(template);
        }
        Ok(command)
    }

    /// The command that this broadcast was made from, with the template that it was registered with: nothing is sent with
    /// another.
    pub async fn command_of(&self, broadcast: &Broadcast) -> Result<BroadcastCommand, LedgerError> {
        let command = self.command(&broadcast.broadcast_id).await?;
        let hash = command.content.frozen().and_then(|template| template.hash().ok());
        if hash != broadcast.template_hash {
            let name = Key::command(&broadcast.broadcast_id).name();
            return Err(LedgerError::corrupt(name, "its template is not the one that was read when the broadcast was registered"));
        }
        Ok(command)
    }
}

fn compared(found: Broadcast, command: &BroadcastCommand) -> Registered {
    if found.command_hash == command.hash().as_str() { Registered::Same(found) } else { Registered::Other(found) }
}
