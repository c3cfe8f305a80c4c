//! Writing a step: the state, and the entry that says who and why, in one conditional write.
//!
//! A step is taken once. Where its answer is lost, the SDK's repetition or our own finds the step's own
//! entry in the trail by its token, wherever the broadcast stands by then.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use issei_aws::AwsCall;
use issei_schema::{Actor, BroadcastId};

use crate::item::{Item, Key, n, read, s};
use crate::trail::{Appended, list_of};
use crate::{AuditEntry, Broadcast, BroadcastState, Ledger, LedgerError, ReasonCode};

/// What an entry is called that tells of a second acceptance and is no step.
pub(crate) const ACCEPTED_TWICE: &str = crate::phrases::ACCEPTED_TWICE_STEP.english;
/// How often an entry that could not be written into the broadcast item is tried on its own.
const ENTRY_TRIES: u32 = 3;

/// A step that is to be taken, and why.
pub(crate) struct Step<'a> {
    pub(crate) to: BroadcastState,
    pub(crate) actor: &'a Actor,
    pub(crate) reason: &'a str,
    /// Of a reason that issei itself has.
    pub(crate) code: Option<ReasonCode>,
}

/// What a write changes beside the trail, and under which condition.
pub(crate) struct Change<'a> {
    pub(crate) sets: String,
    pub(crate) conditions: String,
    pub(crate) values: Vec<(&'a str, AttributeValue)>,
    /// What is written with it, or neither.
    pub(crate) beside: Option<TransactWriteItem>,
}

/// How the trail is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trail {
    /// As it should be.
    Listed,
    /// Every entry has an item of its own, and the list is empty.
    Outside,
    /// Not at all.
    Left,
}

/// What became of one write.
enum Written {
    Done(Item),
    /// By its condition; with what it was checked against.
    Refused(Option<Item>),
    /// `DynamoDB` says that the request is wrong, and all that can be wrong with ours is its size.
    NoRoom(LedgerError),
}

impl Ledger {
    /// Writes one step. `Err` gives the broadcast as it is where the condition did not hold.
    pub(crate) async fn step(
        &self,
        from: &Broadcast,
        wanted: &Step<'_>,
        token: &str,
        more_sets: &str,
        more_conditions: &str,
        more_values: Vec<(&str, AttributeValue)>,
    ) -> Result<Result<Broadcast, Broadcast>, LedgerError> {
        let step = format!("{} -> {}", from.broadcast_state, wanted.to);
        let entry = AuditEntry::new(self.clock.wall(), wanted.actor, step, wanted.reason).with_code(wanted.code);
        let mut values = vec![(":to", s(wanted.to.as_str())), (":from", s(from.broadcast_state.as_str())), (":epoch", n(from.epoch))];
        if more_sets.contains(":one") {
            values.push((":one", n(1)));
        }
        if more_sets.contains(":zero") {
            values.push((":zero", n(0)));
        }
        values.extend(more_values);
        let change = Change {
            sets: format!("broadcast_state = :to{more_sets}"),
            conditions: format!("broadcast_state = :from AND epoch = :epoch{more_conditions}"),
            values,
            beside: None,
        };
        self.append(from, entry, token, &change).await
    }

    /// Adds an entry to the audit trail, without a step.
    pub async fn audit(&self, id: &BroadcastId, actor: &Actor, what: &str, reason: &str) -> Result<(), LedgerError> {
        self.audit_for(id, actor, (what, None), reason).await
    }

    /// The same with the code of a reason of issei's own.
    async fn audit_for(
        &self,
        id: &BroadcastId,
        actor: &Actor,
        (what, code): (&str, Option<ReasonCode>),
        reason: &str,
    ) -> Result<(), LedgerError> {
        let token = self.dice.token();
        let mut current = self.broadcast(id).await?;
        loop {
            let entry = AuditEntry::new(self.clock.wall(), actor, what.to_owned(), reason).with_code(code);
            let change = Change { sets: String::new(), conditions: "attribute_exists(pk)".to_owned(), values: Vec::new(), beside: None };
            match self.append(&current, entry, &token, &change).await? {
                Ok(_) => return Ok(()),
                Err(now) => current = now,
            }
        }
    }

    /// Writes down, without a step, that a broadcast which takes none any more has recipients of whom the provider took more than one
    /// message. Once for the same finding, however often it is made.
    pub async fn note_accepted_twice(&self, id: &BroadcastId, actor: &Actor, reason: &str) -> Result<(), LedgerError> {
        let broadcast = self.broadcast(id).await?;
        let said = AuditEntry::new(self.clock.wall(), actor, ACCEPTED_TWICE.to_owned(), reason).reason;
        if self.audit_trail(&broadcast).await?.entries.iter().any(|entry| entry.reason == said) {
            return Ok(());
        }
        self.audit_for(id, actor, (ACCEPTED_TWICE, Some(ReasonCode::AcceptedTwice)), reason).await
    }

    pub(crate) async fn append(
        &self,
        from: &Broadcast,
        entry: AuditEntry,
        token: &str,
        change: &Change<'_>,
    ) -> Result<Result<Broadcast, Broadcast>, LedgerError> {
        let id = &from.broadcast_id;
        let mut appended = Appended::of(&from.audit_trail, &from.standing, from.chain_end(), entry, token.to_owned());
        if let Err(error) = self.move_entries(id, &appended.moved).await {
            tracing::error!(%error, broadcast.id = %id, "older entries of the audit trail can't be moved; they stay in the broadcast's item");
            appended = appended.unmoved();
        }
        let written = match self.write(from, &appended, Trail::Listed, change).await {
            Ok(Written::NoRoom(error)) => self.write_without_room(from, &appended, change, error).await,
            other => other,
        };
        let now = match written {
            Ok(Written::Done(item)) => return Ok(Ok(read(item)?)),
            Ok(Written::Refused(item)) => self.refused_by(item, Key::broadcast(id)).await?,
            Ok(Written::NoRoom(error)) => return Err(error),
            // It may have been written all the same.
            Err(error) => match self.find_broadcast(id).await {
                Ok(Some(now)) if self.is_written(&now, from, token, &appended).await.unwrap_or(false) => return Ok(Ok(now)),
                _ => return Err(error),
            },
        };
        let now: Broadcast = read(now.ok_or_else(|| LedgerError::corrupt(Key::broadcast(id).name(), "it is gone"))?)?;
        if self.is_written(&now, from, token, &appended).await? { Ok(Ok(now)) } else { Ok(Err(now)) }
    }

    /// Says whether our own entry stands in the trail, however many came after it.
    async fn is_written(&self, now: &Broadcast, from: &Broadcast, token: &str, appended: &Appended) -> Result<bool, LedgerError> {
        let is_ours = |entry: &AuditEntry| entry.token() == Some(token);
        if now.chain_end() == appended.end || now.audit_trail.iter().any(is_ours) {
            return Ok(true);
        }
        // It would be the next after those that we saw, and may have been moved since.
        let first_kept = now.audit_trail.iter().find_map(|entry| Some(entry.link.as_ref()?.seq)).unwrap_or(now.audit_count + 1);
        if now.audit_count <= from.audit_count || first_kept <= from.audit_count + 1 {
            return Ok(false);
        }
        Ok(self.moved_entries(&now.broadcast_id, from.audit_count + 1).await?.iter().any(is_ours))
    }

    /// The last resort, where somebody has filled the item: the step goes through with the smallest write
    /// that there is.
    async fn write_without_room(
        &self,
        from: &Broadcast,
        appended: &Appended,
        change: &Change<'_>,
        error: LedgerError,
    ) -> Result<Written, LedgerError> {
        let id = &from.broadcast_id;
        tracing::error!(%error, broadcast.id = %id, "the broadcast's item has no room for an entry of the audit trail; writing the step without it");
        let (before, new) = (&appended.list[..appended.list.len().saturating_sub(1)], appended.newest());
        if self.move_entries(id, &appended.moved).await.is_ok() && self.move_entries(id, before).await.is_ok() {
            let written = self.write(from, appended, Trail::Outside, change).await?;
            if let (Written::Done(_), Some(new)) = (&written, new) {
                self.write_alone(id, new).await;
            }
            if !matches!(written, Written::NoRoom(_)) {
                return Ok(written);
            }
        }
        let written = self.write(from, appended, Trail::Left, change).await?;
        if let (Written::Done(_), Some(new)) = (&written, new) {
            tracing::error!(broadcast.id = %id, new.actor, new.step, new.reason, "a step was taken whose entry stands in no audit trail");
        }
        Ok(written)
    }

    /// The chain counts it already, so only the entry itself is missing where this fails.
    async fn write_alone(&self, id: &BroadcastId, new: &AuditEntry) {
        for _ in 0..ENTRY_TRIES {
            match self.move_entries(id, std::slice::from_ref(new)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, broadcast.id = %id, "an entry of the audit trail can't be written; trying again"),
            }
        }
        tracing::error!(broadcast.id = %id, new.actor, new.step, new.reason, "an entry of the audit trail could not be written, and is missing there");
    }

    async fn write(&self, from: &Broadcast, appended: &Appended, trail: Trail, change: &Change<'_>) -> Result<Written, LedgerError> {
        let trail_sets = match trail {
            Trail::Listed | Trail::Outside => "audit_trail = :trail, audit_count = :chained, audit_head = :head",
            Trail::Left => "",
        };
        // The trail first: a change may end with what it removes.
        let sets: Vec<&str> = [trail_sets, change.sets.as_str()].into_iter().filter(|sets| !sets.is_empty()).collect();
        if sets.is_empty() {
            return Ok(Written::NoRoom(LedgerError::corrupt(Key::broadcast(&from.broadcast_id).name(), "it has no room for an entry")));
        }
        // The count, so that chain and steps agree; and how long the list is, since builds before this one
        // add to it and don't count.
        let mut conditions = change.conditions.clone();
        conditions.push_str(if from.audit_count == 0 { " AND attribute_not_exists(audit_count)" } else { " AND audit_count = :counted" });
        let is_list = from.audit_trail.iter().all(AuditEntry::is_readable);
        if is_list {
            conditions.push_str(" AND (attribute_not_exists(audit_trail) OR size(audit_trail) = :listed)");
        }
        let mut values: HashMap<String, AttributeValue> =
            change.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if from.audit_count > 0 {
            values.insert(":counted".to_owned(), n(from.audit_count));
        }
        if is_list {
            values.insert(":listed".to_owned(), n(from.audit_trail.len()));
        }
        if trail != Trail::Left {
            let list = if trail == Trail::Listed { appended.list.as_slice() } else { &[] };
            values.insert(":trail".to_owned(), list_of(list)?);
            values.insert(":chained".to_owned(), n(appended.end.count));
            values.insert(":head".to_owned(), s(&appended.end.head));
        }
        let mut update = format!("SET {}", sets.join(", "));
        if let (Some(standing), true) = (&appended.standing, trail != Trail::Left) {
            update = update.replacen("SET ", "SET standing = :standing, ", 1);
            values.insert(":standing".to_owned(), list_of(standing)?);
        }
        let key = Key::broadcast(&from.broadcast_id);
        if let Some(beside) = &change.beside {
            return self.write_beside(key, update, conditions, values, beside).await;
        }
        let request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.into_item()))
            .update_expression(update)
            .condition_expression(conditions)
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.call().await {
            Ok(answer) => Ok(Written::Done(answer.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(Written::Refused(failed.item.clone())),
                Some(other) if other.code() == Some("ValidationException") => Ok(Written::NoRoom(LedgerError::call("UpdateItem")(error))),
                _ => Err(LedgerError::call("UpdateItem")(error)),
            },
        }
    }

    /// The same with what is written beside it, in one transaction, which gives no item back.
    async fn write_beside(
        &self,
        key: Key,
        update: String,
        conditions: String,
        values: HashMap<String, AttributeValue>,
        beside: &TransactWriteItem,
    ) -> Result<Written, LedgerError> {
        let built = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_item()))
            .update_expression(update)
            .condition_expression(conditions)
            .set_expression_attribute_values(Some(values))
            .build();
        let built = built.map_err(|error| LedgerError::corrupt(key.name(), error))?;
        let writes = vec![TransactWriteItem::builder().update(built).build(), beside.clone()];
        match self.db.transact_write_items().set_transact_items(Some(writes)).call().await {
            Ok(_) => Ok(Written::Done(self.get(key).await?.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(_)) => Ok(Written::Refused(None)),
                Some(other) if other.code() == Some("ValidationException") => {
                    Ok(Written::NoRoom(LedgerError::call("TransactWriteItems")(error)))
                }
                _ => Err(LedgerError::call("TransactWriteItems")(error)),
            },
        }
    }
}
