//! `Query` and `Scan`: items in pages of a megabyte, or of as many as are asked for.

use serde_json::{Map, Value, json};

use super::parser::Parser;
use super::{key_of, project, size_of, table_of};
use crate::answer::ApiError;
use crate::cloud::State;
use crate::store::Stored;

/// DynamoDB developer guide, "Quotas".
const PAGE_BYTES_MAX: usize = 1024 * 1024;

impl State {
    pub(super) fn query(&mut self, body: &Value) -> Result<Value, ApiError> {
        self.table(body)?;
        let (pk, from, to) = Parser::new(body["KeyConditionExpression"].as_str().unwrap_or_default(), body)?.key_condition()?;
        if !body["FilterExpression"].is_null() {
            return Err(ApiError::not_simulated("FilterExpression"));
        }
        let after = body["ExclusiveStartKey"]["sk"]["S"].as_str();
        let rows_max = body["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let backwards = body["ScanIndexForward"] == false;
        let (rows, more) = self.store.range(table_of(body), &pk, (&from, &to), after, backwards, (rows_max, PAGE_BYTES_MAX))?;
        self.units.read(rows.iter().map(|row| size_of(&row.item)).sum(), body["ConsistentRead"] == true);
        tracing::trace!(rows = rows.len(), bytes = rows.iter().map(|row| row.bytes).sum::<usize>(), "query");
        let last = rows.last().filter(|_| more || rows.len() == rows_max).map(|row| json!({ "pk": row.item["pk"], "sk": row.item["sk"] }));
        let count = rows.len();
        let mut answer = json!({ "Count": count, "ScannedCount": count });
        if body["Select"] != "COUNT" {
            answer["Items"] = rows.into_iter().map(|row| project(row.item, body)).collect();
        }
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = last;
        }
        Ok(answer)
    }

    /// A part of a table is that of so many, by its partition keys.
    pub(super) fn scan(&mut self, body: &Value) -> Result<Value, ApiError> {
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
        for Stored { pk, sk, body: item, .. } in keys {
            if scanned == most || bytes >= PAGE_BYTES_MAX {
                break;
            }
            let item: Value = serde_json::from_str(&item).map_err(|error| ApiError::validation(error.to_string()))?;
            (scanned, bytes) = (scanned + 1, bytes + size_of(&item));
            last = Some(json!({ "pk": { "S": pk }, "sk": { "S": sk } }));
            if filter.as_ref().is_none_or(|filter| filter.holds(item.as_object().unwrap_or(&Map::new()))) {
                items.push(project(item, body));
            }
        }
        self.units.read(bytes, body["ConsistentRead"] == true);
        let mut answer = json!({ "Count": items.len(), "ScannedCount": scanned });
        if body["Select"] != "COUNT" {
            answer["Items"] = items.into();
        }
        // As with DynamoDB, there may be none after the last that is named.
        if let Some(last) = last.filter(|_| scanned == most || bytes >= PAGE_BYTES_MAX) {
            answer["LastEvaluatedKey"] = last;
        }
        Ok(answer)
    }
}
