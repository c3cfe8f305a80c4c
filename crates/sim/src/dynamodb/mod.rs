//! DynamoDB: tables with a string partition key `pk` and sort key `sk`, conditional writes with
//! the old item on failure, transactions with reasons, and queries in pages of 1 MB.

mod expression;
mod pages;
mod parser;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::answer::ApiError;
use crate::cloud::State;
use crate::store::Text;
use expression::Update;
use parser::Parser;
use stored::{Fields, as_text, bytes_of, projected};

/// Limits of the service (DynamoDB developer guide, "Quotas").
const ITEM_BYTES_MAX: usize = 400 * 1024;
const TRANSACTION_ITEMS_MAX: usize = 100;

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

fn check_failed(old: Option<&Text>, body: &Value) -> ApiError {
    let error = ApiError::new("ConditionalCheckFailedException", "The conditional request failed");
    match old {
        Some(item) if body["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" => match serde_json::from_str(&item.body) {
            Ok(item) => error.with("Item", item),
            Err(error) => ApiError::from(error),
        },
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

/// A write that passed its condition and waits to be applied.
enum Write {
    Put(Key, Text),
    Delete(Key),
    Nothing,
}

impl State {
    /// Answers in JSON. Items are the largest of all answers, and go as they are stored wherever nothing of them is chosen.
    pub(crate) fn dynamodb(&mut self, operation: &str, body: &Value) -> Result<String, ApiError> {
        for values in [&body["ExpressionAttributeValues"], &body["Item"]] {
            if values.as_object().into_iter().flatten().any(|(_, value)| is_empty_set(value)) {
                return Err(ApiError::validation("One or more parameter values were invalid: An string set may not be empty"));
            }
        }
        match operation {
            "GetItem" => return self.get(body),
            "UpdateItem" => return self.update_item(body),
            "BatchGetItem" => return self.batch_get(body, &json!({})),
            "Query" => return self.query(body),
            "Scan" => return self.scan(body),
            _ => {}
        }
        Ok(as_text(&self.otherwise(operation, body)?)?)
    }

    fn otherwise(&mut self, operation: &str, body: &Value) -> Result<Value, ApiError> {
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
            "PutItem" => {
                let write = self.check_put(body, false)?;
                self.apply(table_of(body), write)?;
                Ok(json!({}))
            }
            "DeleteItem" => {
                let key = key_of(&body["Key"])?;
                self.check(body, &key, 0, false)?;
                self.apply(table_of(body), Write::Delete(key))?;
                Ok(json!({}))
            }
            "TransactWriteItems" => self.transact(body),
            other => Err(ApiError::not_simulated(other)),
        }
    }

    fn get(&mut self, body: &Value) -> Result<String, ApiError> {
        self.table(body)?;
        let key = key_of(&body["Key"])?;
        let found = self.store.item(table_of(body), &key.pk, &key.sk)?;
        self.units.read(found.as_ref().map_or(0, |item| item.size), body["ConsistentRead"] == true);
        let Some(item) = found else { return Ok("{}".to_owned()) };
        Ok(format!("{{\"Item\":{}}}", projected(item.body, body)?))
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
            Write::Put(key, item) => self.store.put_item(table, &key.pk, &key.sk, &item)?,
            Write::Delete(key) => self.store.delete_item(table, &key.pk, &key.sk)?,
            Write::Nothing => {}
        }
        Ok(())
    }

    /// Checks a condition against the item in place; gives that item back. The write that follows is of so many
    /// bytes.
    fn check(&mut self, body: &Value, key: &Key, bytes: usize, is_in_transaction: bool) -> Result<Option<Text>, ApiError> {
        self.table(body)?;
        let old = self.store.item(table_of(body), &key.pk, &key.sk)?;
        self.units.write(bytes.max(old.as_ref().map_or(0, |old| old.size)), is_in_transaction);
        let holds = match body["ConditionExpression"].as_str() {
            None => true,
            Some(text) => {
                let condition = Parser::new(text, body)?.condition()?;
                condition.holds(&Fields::of(old.as_ref())?)?
            }
        };
        if holds { Ok(old) } else { Err(check_failed(old.as_ref(), body)) }
    }

    fn check_put(&mut self, body: &Value, is_in_transaction: bool) -> Result<Write, ApiError> {
        let item = &body["Item"];
        let key = key_of(item)?;
        let size = size_of(item);
        check_size(size)?;
        self.check(body, &key, size, is_in_transaction)?;
        Ok(Write::Put(key, Text { body: as_text(item)?, size }))
    }

    /// What an update makes of an item, and what there was.
    fn check_update(&mut self, body: &Value, is_in_transaction: bool) -> Result<(Key, Text, Option<Text>, Update), ApiError> {
        let key = key_of(&body["Key"])?;
        let before = self.units;
        let old = self.check(body, &key, 0, is_in_transaction)?;
        let update: Update = Parser::new(body["UpdateExpression"].as_str().unwrap_or_default(), body)?.update()?;
        let new = match &old {
            Some(old) => update.apply(old)?,
            None => update.apply(&Text { body: as_text(&body["Key"])?, size: size_of(&body["Key"]) })?,
        };
        check_size(new.size)?;
        // How large it becomes is known only now.
        self.units = before;
        self.units.write(new.size.max(old.as_ref().map_or(0, |old| old.size)), is_in_transaction);
        Ok((key, new, old, update))
    }

    fn update_item(&mut self, body: &Value) -> Result<String, ApiError> {
        let (key, new, old, update) = self.check_update(body, false)?;
        let attributes = match body["ReturnValues"].as_str() {
            Some("ALL_NEW") => Some(new.body.clone()),
            Some("UPDATED_NEW") => Some(Fields::of(Some(&new))?.only(&update.names().collect())?),
            Some("ALL_OLD") => old.map(|old| old.body),
            None | Some("NONE") => None,
            Some(other) => return Err(ApiError::not_simulated(other)),
        };
        self.apply(table_of(body), Write::Put(key, new))?;
        Ok(attributes.map_or_else(|| "{}".to_owned(), |attributes| format!("{{\"Attributes\":{attributes}}}")))
    }

    /// Says besides what it has not looked at.
    pub(crate) fn batch_get(&mut self, body: &Value, left: &Value) -> Result<String, ApiError> {
        let mut responses = Vec::new();
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
                self.units.read(item.as_ref().map_or(0, |item| item.size), request["ConsistentRead"] == true);
                if let Some(item) = item {
                    items.push(projected(item.body, request)?);
                }
            }
            responses.push(format!("{}:[{}]", Value::from(table.as_str()), items.join(",")));
        }
        Ok(format!("{{\"Responses\":{{{}}},\"UnprocessedKeys\":{left}}}", responses.join(",")))
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
                "Put" => self.check_put(inner, true),
                "Update" => self.check_update(inner, true).map(|(key, new, ..)| Write::Put(key, new)),
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

fn check_size(size: usize) -> Result<(), ApiError> {
    if size > ITEM_BYTES_MAX { Err(ApiError::validation("Item size has exceeded the maximum allowed size")) } else { Ok(()) }
}

/// Size as DynamoDB counts it: names and values, not the JSON around them.
fn size_of(item: &Value) -> usize {
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + bytes_of(value)).sum()
}
