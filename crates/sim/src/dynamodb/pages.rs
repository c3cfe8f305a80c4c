//! `Query` and `Scan`: items in pages of a megabyte, or of as many as are asked for.

use serde_json::{Value, json};

use super::parser::Parser;
use super::stored::{Fields, projected};
use super::{key_of, table_of};
use crate::answer::ApiError;
use crate::cloud::State;
use crate::store::Stored;

/// DynamoDB developer guide, "Quotas".
const PAGE_BYTES_MAX: usize = 1024 * 1024;

impl State {
    pub(super) fn query(&mut self, body: &Value) -> Result<String, ApiError> {
        self.table(body)?;
        let (pk, from, to) = Parser::new(body["KeyConditionExpression"].as_str().unwrap_or_default(), body)?.key_condition()?;
        if !body["FilterExpression"].is_null() {
            return Err(ApiError::not_simulated("FilterExpression"));
        }
        let after = body["ExclusiveStartKey"]["sk"]["S"].as_str();
        let rows_max = body["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let backwards = body["ScanIndexForward"] == false;
        let (rows, more) = self.store.range(table_of(body), &pk, (&from, &to), after, backwards, (rows_max, PAGE_BYTES_MAX))?;
        self.units.read(rows.iter().map(|(_, item)| item.size).sum(), body["ConsistentRead"] == true);
        tracing::trace!(rows = rows.len(), bytes = rows.iter().map(|(_, item)| item.body.len()).sum::<usize>(), "query");
        let count = rows.len();
        let last = rows.last().filter(|_| more || count == rows_max);
        let last = last.map(|(sk, _)| json!({ "pk": { "S": pk }, "sk": { "S": sk } }));
        let items = rows.into_iter().map(|(_, item)| projected(item.body, body)).collect::<Result<Vec<_>, _>>()?;
        Ok(page(body, &items, count, last.as_ref()))
    }

    /// A part of a table is that of so many, by its partition keys.
    pub(super) fn scan(&mut self, body: &Value) -> Result<String, ApiError> {
        self.table(body)?;
        let filter = body["FilterExpression"].as_str().map(|text| Parser::new(text, body)?.condition()).transpose()?;
        if let Some(text) = body["ProjectionExpression"].as_str() {
            Parser::new(text, body)?.names()?;
        }
        let (segment, segments) = (body["Segment"].as_u64().unwrap_or(0), body["TotalSegments"].as_u64().unwrap_or(1).max(1));
        let most = body["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let after = if body["ExclusiveStartKey"].is_object() { Some(key_of(&body["ExclusiveStartKey"])?) } else { None };
        let mut keys = self.store.items(table_of(body))?;
        keys.retain(|Stored { pk, sk, .. }| {
            let part = pk.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % segments;
            part == segment && after.as_ref().is_none_or(|after| (pk, sk) > (&after.pk, &after.sk))
        });
        keys.sort_by(|a, b| (&a.pk, &a.sk).cmp(&(&b.pk, &b.sk)));
        let (mut items, mut scanned, mut bytes, mut last) = (Vec::new(), 0_usize, 0, None);
        for Stored { pk, sk, item } in keys {
            if scanned == most || bytes >= PAGE_BYTES_MAX {
                break;
            }
            (scanned, bytes) = (scanned + 1, bytes + item.size);
            last = Some(json!({ "pk": { "S": pk }, "sk": { "S": sk } }));
            if filter.as_ref().map_or(Ok(true), |filter| filter.holds(&Fields::of(Some(&item))?))? {
                items.push(projected(item.body, body)?);
            }
        }
        self.units.read(bytes, body["ConsistentRead"] == true);
        // As with DynamoDB, there may be none after the last that is named.
        let last = last.filter(|_| scanned == most || bytes >= PAGE_BYTES_MAX);
        Ok(page(body, &items, scanned, last.as_ref()))
    }
}

fn page(body: &Value, items: &[String], scanned: usize, last: Option<&Value>) -> String {
    let counts = format!("\"Count\":{},\"ScannedCount\":{scanned}", items.len());
    let found = if body["Select"] == "COUNT" { String::new() } else { format!(",\"Items\":[{}]", items.join(",")) };
    let last = last.map(|last| format!(",\"LastEvaluatedKey\":{last}")).unwrap_or_default();
    format!("{{{counts}{found}{last}}}")
}
