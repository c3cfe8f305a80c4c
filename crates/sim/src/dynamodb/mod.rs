//! DynamoDB: tables with a string partition key `pk` and sort key `sk`, conditional writes with
//! the old item on failure, transactions with reasons, and queries in pages of 1 MB.

mod expression;
mod pages;
mod parser;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::answer::ApiError;
use crate::cloud::State;
use expression::{Condition, Update};
use parser::Parser;

/// Limits of the service (DynamoDB developer guide, "Quotas").
const ITEM_BYTES_MAX: usize = 400 * 1024;
const TRANSACTION_ITEMS_MAX: usize = 100;

pub(crate) type Item = Map<String, Value>;

#[derive(Default)]
pub(crate) struct Tables {
    tables: BTreeMap<String, Table>,
    made: u64,
}

#[derive(Default)]
struct Table {
    /// Changes with each table that is made, also under an old name.
    id: u64,
    time_to_live: Option<String>,
    point_in_time_recovery: bool,
    deletion_protection: bool,
    billing: String,
}

impl Tables {
    /// Gives a table a new identity, as one restored from a backup has.
    pub(crate) fn renew(&mut self, name: &str) {
        self.made += 1;
        if let Some(table) = self.tables.get_mut(name) {
            table.id = self.made;
        }
    }
}

struct Key {
    pk: String,
    sk: String,
}

fn key_of(item: &Value) -> Result<Key, ApiError> {
    let part = |name: &str| {
        let text = item[name]["S"].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| ApiError::validation("One or more parameter values are not valid: the key needs strings pk and sk"))
    };
    Ok(Key { pk: part("pk")?, sk: part("sk")? })
}

fn table_of(body: &Value) -> &str {
    body["TableName"].as_str().unwrap_or_default()
}

fn check_failed(old: Option<&Value>, body: &Value) -> ApiError {
    let error = ApiError::new("ConditionalCheckFailedException", "The conditional request failed");
    match old {
        Some(item) if body["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" => error.with("Item", item.clone()),
        _ => error,
    }
}

/// What a write hears while another transaction is at its items (developer guide, "Transaction conflict
/// handling in `DynamoDB`"); nothing for what is no write.
pub(crate) fn conflict(operation: &str, body: &Value) -> Option<ApiError> {
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" => {
            Some(ApiError::new("TransactionConflictException", "Transaction is ongoing for the item"))
        }
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array().map_or(0, Vec::len);
            let reason = |at| {
                if at == 0 {
                    json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" })
                } else {
                    json!({ "Code": "None" })
                }
            };
            let reasons: Vec<Value> = (0..items).map(reason).collect();
            let message = "Transaction cancelled, please refer cancellation reasons for specific reasons [TransactionConflict]";
            Some(ApiError::new("TransactionCanceledException", message).with("CancellationReasons", Value::Array(reasons)))
        }
        _ => None,
    }
}

/// A `BatchGetItem` of the first half of the keys, and what it leaves; nothing where there is only one.
pub(crate) fn halved(body: &Value) -> Option<(Value, Value)> {
    let (mut asked, mut left) = (body.clone(), body["RequestItems"].clone());
    let mut halved = false;
    for (table, request) in body["RequestItems"].as_object()? {
        let keys = request["Keys"].as_array()?;
        let (first, second) = keys.split_at(keys.len().div_ceil(2));
        halved |= !second.is_empty();
        asked["RequestItems"][table]["Keys"] = first.into();
        left[table]["Keys"] = second.into();
    }
    halved.then_some((asked, left))
}

/// Whether a whole item is asked for, which needs no look into it.
pub(crate) fn gets_all(operation: &str, body: &Value) -> bool {
    operation == "GetItem" && body["ProjectionExpression"].is_null()
}

/// A write that passed its condition and waits to be applied.
enum Write {
    Put(Key, Value),
    Delete(Key),
    Nothing,
}

impl State {
    pub(crate) fn dynamodb(&mut self, operation: &str, body: &Value) -> Result<Value, ApiError> {
        for values in [&body["ExpressionAttributeValues"], &body["Item"]] {
            if values.as_object().into_iter().flatten().any(|(_, value)| is_empty_set(value)) {
                return Err(ApiError::validation("One or more parameter values were invalid: An string set may not be empty"));
            }
        }
        match operation {
            "CreateTable" => self.create_table(body),
            "DescribeTable" => {
                let table = self.table(body)?;
                let (id, protected, billing) = (table.id, table.deletion_protection, table.billing.clone());
                let warm = self
                    .account
                    .warm_writes
                    .map(|writes| json!({ "WriteUnitsPerSecond": writes, "ReadUnitsPerSecond": 12_000, "Status": "ACTIVE" }));
                Ok(json!({ "Table": {
                    "TableName": table_of(body),
                    "TableStatus": "ACTIVE",
                    "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
                    "WarmThroughput": warm,
                    "DeletionProtectionEnabled": protected,
                    "BillingModeSummary": { "BillingMode": billing },
                    "TableId": format!("00000000-0000-4000-8000-{id:012x}"),
                    "TableArn": format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}", table_of(body)),
                } }))
            }
            "UpdateTimeToLive" => {
                let specification = &body["TimeToLiveSpecification"];
                let attribute = specification["AttributeName"].as_str().unwrap_or_default().to_owned();
                let table = self.table(body)?;
                if table.time_to_live.as_ref() == Some(&attribute) {
                    return Err(ApiError::validation("TimeToLive is already enabled"));
                }
                table.time_to_live = Some(attribute);
                Ok(json!({ "TimeToLiveSpecification": specification }))
            }
            "DescribeTimeToLive" => {
                let table = self.table(body)?;
                Ok(match &table.time_to_live {
                    Some(attribute) => json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "ENABLED", "AttributeName": attribute } }),
                    None => json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "DISABLED" } }),
                })
            }
            "UpdateContinuousBackups" => {
                self.table(body)?.point_in_time_recovery = body["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] == true;
                Ok(json!({}))
            }
            "DescribeContinuousBackups" => {
                let status = if self.table(body)?.point_in_time_recovery { "ENABLED" } else { "DISABLED" };
                Ok(json!({ "ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
                } }))
            }
            "GetItem" => {
                self.table(body)?;
                let key = key_of(&body["Key"])?;
                let item = self.store.item(table_of(body), &key.pk, &key.sk)?;
                self.units.read(item.as_ref().map_or(0, size_of), body["ConsistentRead"] == true);
                Ok(item.map_or_else(|| json!({}), |item| json!({ "Item": project(item, body) })))
            }
            "PutItem" => {
                let (write, _) = self.check_put(body, false)?;
                self.apply(table_of(body), write)?;
                Ok(json!({}))
            }
            "DeleteItem" => {
                let key = key_of(&body["Key"])?;
                self.check(body, &key, 0, false)?;
                self.apply(table_of(body), Write::Delete(key))?;
                Ok(json!({}))
            }
            "UpdateItem" => self.update_item(body),
            "BatchGetItem" => self.batch_get(body),
            "Query" => self.query(body),
            "Scan" => self.scan(body),
            "TransactWriteItems" => self.transact(body),
            other => Err(ApiError::not_simulated(other)),
        }
    }

    /// The answer to a call that [`gets_all`]. Items are the largest of all answers, and read more often than all else.
    pub(crate) fn get_all(&mut self, body: &Value) -> Result<String, ApiError> {
        self.table(body)?;
        let key = key_of(&body["Key"])?;
        let found = self.store.text(table_of(body), &key.pk, &key.sk)?;
        self.units.read(found.as_ref().map_or(0, |(_, size)| usize::try_from(*size).unwrap_or(usize::MAX)), body["ConsistentRead"] == true);
        Ok(found.map_or_else(|| "{}".to_owned(), |(item, _)| format!("{{\"Item\":{item}}}")))
    }

    fn create_table(&mut self, body: &Value) -> Result<Value, ApiError> {
        let name = table_of(body).to_owned();
        let keys = &body["KeySchema"];
        if keys[0]["AttributeName"] != "pk" || keys[1]["AttributeName"] != "sk" {
            return Err(ApiError::not_simulated("a table without the keys pk and sk"));
        }
        if self.tables.tables.contains_key(&name) {
            return Err(ApiError::new("ResourceInUseException", format!("Table already exists: {name}")));
        }
        let deletion_protection = body["DeletionProtectionEnabled"] == true;
        let billing = body["BillingMode"].as_str().unwrap_or("PROVISIONED").to_owned();
        self.tables.tables.insert(name.clone(), Table { deletion_protection, billing, ..Table::default() });
        self.tables.renew(&name);
        Ok(json!({ "TableDescription": { "TableName": name, "TableStatus": "ACTIVE" } }))
    }

    fn table(&mut self, body: &Value) -> Result<&mut Table, ApiError> {
        self.tables.tables.get_mut(table_of(body)).ok_or_else(|| ApiError::new("ResourceNotFoundException", "Requested resource not found"))
    }

    fn apply(&mut self, table: &str, write: Write) -> Result<(), ApiError> {
        match write {
            Write::Put(key, item) => {
                self.store.put_item(table, &key.pk, &key.sk, &item, u32::try_from(size_of(&item)).unwrap_or(u32::MAX))?;
            }
            Write::Delete(key) => self.store.delete_item(table, &key.pk, &key.sk)?,
            Write::Nothing => {}
        }
        Ok(())
    }

    /// Checks a condition against the item in place; gives that item back. The write that follows is of so many
    /// bytes.
    fn check(&mut self, body: &Value, key: &Key, bytes: usize, is_in_transaction: bool) -> Result<Option<Value>, ApiError> {
        self.table(body)?;
        let old = self.store.item(table_of(body), &key.pk, &key.sk)?;
        self.units.write(bytes.max(old.as_ref().map_or(0, size_of)), is_in_transaction);
        let holds = match body["ConditionExpression"].as_str() {
            None => true,
            Some(text) => {
                let condition: Condition = Parser::new(text, body)?.condition()?;
                condition.holds(old.as_ref().and_then(Value::as_object).unwrap_or(&Map::new()))
            }
        };
        if holds { Ok(old) } else { Err(check_failed(old.as_ref(), body)) }
    }

    fn check_put(&mut self, body: &Value, is_in_transaction: bool) -> Result<(Write, Option<Value>), ApiError> {
        let item = body["Item"].clone();
        let key = key_of(&item)?;
        check_size(&item)?;
        let old = self.check(body, &key, size_of(&item), is_in_transaction)?;
        Ok((Write::Put(key, item), old))
    }

    fn check_update(&mut self, body: &Value, is_in_transaction: bool) -> Result<(Write, Option<Value>, Update), ApiError> {
        let key = key_of(&body["Key"])?;
        let before = self.units;
        let old = self.check(body, &key, 0, is_in_transaction)?;
        let update: Update = Parser::new(body["UpdateExpression"].as_str().unwrap_or_default(), body)?.update()?;
        let mut item = match &old {
            Some(Value::Object(item)) => item.clone(),
            _ => body["Key"].as_object().cloned().unwrap_or_default(),
        };
        update.apply(&mut item)?;
        let item = Value::Object(item);
        check_size(&item)?;
        // How large it becomes is known only now.
        self.units = before;
        self.units.write(size_of(&item).max(old.as_ref().map_or(0, size_of)), is_in_transaction);
        Ok((Write::Put(key, item), old, update))
    }

    fn update_item(&mut self, body: &Value) -> Result<Value, ApiError> {
        let (write, old, update) = self.check_update(body, false)?;
        let Write::Put(_, new) = &write else { return Err(ApiError::validation("an update writes an item")) };
        let touched = |item: &Value| -> Value {
            let names: BTreeSet<&str> = update.names().collect();
            item.as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| names.contains(name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        let attributes = match body["ReturnValues"].as_str() {
            Some("ALL_NEW") => Some(new.clone()),
            Some("UPDATED_NEW") => Some(touched(new)),
            Some("ALL_OLD") => old,
            None | Some("NONE") => None,
            Some(other) => return Err(ApiError::not_simulated(other)),
        };
        self.apply(table_of(body), write)?;
        Ok(attributes.map_or_else(|| json!({}), |attributes| json!({ "Attributes": attributes })))
    }

    fn batch_get(&mut self, body: &Value) -> Result<Value, ApiError> {
        let mut responses = Map::new();
        for (table, request) in body["RequestItems"].as_object().into_iter().flatten() {
            let keys = request["Keys"].as_array().map(Vec::as_slice).unwrap_or_default();
            if keys.is_empty() || keys.len() > 100 {
                return Err(ApiError::validation("BatchGetItem takes 1 to 100 keys"));
            }
            let (mut seen, mut items) = (BTreeSet::new(), Vec::new());
            for key in keys {
                let key = key_of(key)?;
                if !seen.insert((key.pk.clone(), key.sk.clone())) {
                    return Err(ApiError::validation("Provided list of item keys contains duplicates"));
                }
                let item = self.store.item(table, &key.pk, &key.sk)?;
                self.units.read(item.as_ref().map_or(0, size_of), request["ConsistentRead"] == true);
                if let Some(item) = item {
                    items.push(project(item, request));
                }
            }
            responses.insert(table.clone(), Value::Array(items));
        }
        Ok(json!({ "Responses": responses, "UnprocessedKeys": {} }))
    }

    fn transact(&mut self, body: &Value) -> Result<Value, ApiError> {
        let actions = body["TransactItems"].as_array().map(Vec::as_slice).unwrap_or_default();
        if actions.is_empty() || actions.len() > TRANSACTION_ITEMS_MAX {
            return Err(ApiError::validation("a transaction has 1 to 100 actions"));
        }
        // A repeated token is the same transaction (API reference, `ClientRequestToken`).
        let token = body["ClientRequestToken"].as_str().unwrap_or_default().to_owned();
        if !token.is_empty() && self.transaction_tokens.contains(&token) {
            return Ok(json!({}));
        }
        let (mut writes, mut reasons, mut failed) = (Vec::new(), Vec::new(), false);
        for action in actions {
            let (kind, inner) =
                action.as_object().and_then(|action| action.iter().next()).ok_or_else(|| ApiError::validation("an empty action"))?;
            let checked = match kind.as_str() {
                "Put" => self.check_put(inner, true).map(|(write, _)| write),
                "Update" => self.check_update(inner, true).map(|(write, _, _)| write),
                "Delete" => key_of(&inner["Key"]).and_then(|key| self.check(inner, &key, 0, true).map(|_| Write::Delete(key))),
                "ConditionCheck" => key_of(&inner["Key"]).and_then(|key| self.check(inner, &key, 0, true).map(|_| Write::Nothing)),
                other => return Err(ApiError::not_simulated(other)),
            };
            match checked {
                Ok(write) => {
                    writes.push((table_of(inner).to_owned(), write));
                    reasons.push(json!({ "Code": "None" }));
                }
                Err(error) => {
                    failed = true;
                    reasons.push(error.into_cancellation_reason()?);
                }
            }
        }
        if failed {
            let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
            let message = format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
            return Err(ApiError::new("TransactionCanceledException", message).with("CancellationReasons", Value::Array(reasons)));
        }
        writes.into_iter().try_for_each(|(table, write)| self.apply(&table, write))?;
        if !token.is_empty() {
            self.transaction_tokens.insert(token);
        }
        Ok(json!({}))
    }
}

/// A set has a member at least (developer guide, "Sets").
fn is_empty_set(value: &Value) -> bool {
    ["SS", "NS", "BS"].iter().any(|kind| value[kind].as_array().is_some_and(Vec::is_empty))
}

fn check_size(item: &Value) -> Result<(), ApiError> {
    let is_too_large = size_of(item) > ITEM_BYTES_MAX;
    if is_too_large { Err(ApiError::validation("Item size has exceeded the maximum allowed size")) } else { Ok(()) }
}

/// Size as DynamoDB counts it: names and values, not the JSON around them.
fn size_of(item: &Value) -> usize {
    fn bytes(value: &Value) -> usize {
        let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else { return 0 };
        match (kind.as_str(), value) {
            ("B", Value::String(text)) => text.len() * 3 / 4,
            (_, Value::String(text)) => text.len(),
            ("L", Value::Array(values)) => 3 + values.iter().map(|value| 1 + bytes(value)).sum::<usize>(),
            (_, Value::Array(values)) => values.iter().map(|value| value.as_str().map_or(0, str::len)).sum(),
            (_, Value::Object(fields)) => 3 + fields.iter().map(|(name, value)| 1 + name.len() + bytes(value)).sum::<usize>(),
            _ => 1,
        }
    }
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + bytes(value)).sum()
}

fn project(item: Value, body: &Value) -> Value {
    let Some(projection) = body["ProjectionExpression"].as_str() else { return item };
    let names: BTreeSet<&str> = projection
        .split(',')
        .map(str::trim)
        .map(|name| if name.starts_with('#') { body["ExpressionAttributeNames"][name].as_str().unwrap_or(name) } else { name })
        .collect();
    match item {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(name, _)| names.contains(name.as_str())).collect()),
        other => other,
    }
}
