//! DynamoDB: conditions, the old item on failure, transactions, queries.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TransactWriteItem, Update,
};
use issei_aws::AwsCall;

use super::Subject;

type Item = HashMap<String, AttributeValue>;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn key(pk: &str, sk: &str) -> Item {
    [("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))].into()
}

pub(crate) async fn run(subject: &Subject) {
    let table = format!("{}-table", subject.prefix);
    let db = &subject.clients.dynamodb;
    create(db, &table).await;
    conditions_give_the_old_item(db, &table).await;
    updates_compute(db, &table).await;
    transactions_are_all_or_nothing(db, &table).await;
    queries_page_in_order(db, &table).await;
    batches_read_what_is_there(db, &table).await;
    items_have_a_limit(db, &table).await;
    sets_take_the_union(db, &table).await;
}

async fn create(db: &Client, table: &str) {
    let element = |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let text = |name: &str| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap();
    let create = db.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let create = create.key_schema(element("pk", KeyType::Hash)).key_schema(element("sk", KeyType::Range));
    create.attribute_definitions(text("pk")).attribute_definitions(text("sk")).call().await.unwrap();
    let again = db.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let again = again.key_schema(element("pk", KeyType::Hash)).key_schema(element("sk", KeyType::Range));
    let error = again.attribute_definitions(text("pk")).attribute_definitions(text("sk")).call().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_resource_in_use_exception(), "{error:?}");
}

async fn conditions_give_the_old_item(db: &Client, table: &str) {
    let claim = |owner: &str| {
        db.update_item()
            .table_name(table)
            .set_key(Some(key("claim", "1")))
            .update_expression("SET owner_token = :owner, attempt = :one")
            .condition_expression("attribute_not_exists(pk)")
            .expression_attribute_values(":owner", s(owner))
            .expression_attribute_values(":one", n(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    };
    claim("first").call().await.unwrap();
    let error = claim("second").call().await.unwrap_err();
    let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else { panic!("{error:?}") };
    assert_eq!(failed.item.as_ref().unwrap()["owner_token"], s("first"));
    for (condition, holds) in [
        ("owner_token = :first AND attempt = :one", true),
        ("owner_token = :first AND attempt > :one", false),
        ("attribute_not_exists(nothing) OR attempt > :one", true),
        ("(attribute_exists(nothing) OR attempt >= :one) AND NOT owner_token <> :first", true),
        ("nothing < :one", false),
        ("nothing <> :one", true),
    ] {
        let request = db
            .update_item()
            .table_name(table)
            .set_key(Some(key("claim", "1")))
            .update_expression("SET seen = :one")
            .condition_expression(condition);
        let request = request.expression_attribute_values(":one", n(1));
        let request = if condition.contains(":first") { request.expression_attribute_values(":first", s("first")) } else { request };
        assert_eq!(request.call().await.is_ok(), holds, "{condition}");
    }
}

async fn updates_compute(db: &Client, table: &str) {
    let update = |expression: &str| {
        db.update_item()
            .table_name(table)
            .set_key(Some(key("count", "1")))
            .update_expression(expression)
            .return_values(ReturnValue::UpdatedNew)
    };
    let answer = update("ADD granted :n").expression_attribute_values(":n", n(5)).call().await.unwrap();
    assert_eq!(answer.attributes.unwrap()["granted"], n(5));
    let answer = update("SET granted = granted - :n, remaining = if_not_exists(remaining, :ten) + :n");
    let answer = answer.expression_attribute_values(":n", n(2)).expression_attribute_values(":ten", n(10)).call().await.unwrap();
    let attributes = answer.attributes.unwrap();
    assert_eq!((&attributes["granted"], &attributes["remaining"], attributes.len()), (&n(3), &n(12), 2));
    for entry in ["a", "b"] {
        let list = |entries: Vec<AttributeValue>| AttributeValue::L(entries);
        let append = update("SET trail = list_append(if_not_exists(trail, :none), :entry)");
        let append = append.expression_attribute_values(":none", list(vec![])).expression_attribute_values(":entry", list(vec![s(entry)]));
        append.call().await.unwrap();
    }
    let item = db.get_item().table_name(table).set_key(Some(key("count", "1"))).consistent_read(true).call().await.unwrap().item.unwrap();
    assert_eq!(item["trail"], AttributeValue::L(vec![s("a"), s("b")]));
    let missing = update("SET granted = nothing + :n").expression_attribute_values(":n", n(1)).call().await;
    assert!(missing.is_err(), "an attribute that is not there can't be added to");
}

async fn transactions_are_all_or_nothing(db: &Client, table: &str) {
    let freeze = |seq: i64, pages: i64| {
        let put =
            Put::builder().table_name(table).set_item(Some(key("page", &seq.to_string()))).condition_expression("attribute_not_exists(pk)");
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key("broadcast", "1")))
            .update_expression("SET pages = :next")
            .condition_expression("attribute_not_exists(pages) OR pages = :seen")
            .expression_attribute_values(":next", n(pages + 1))
            .expression_attribute_values(":seen", n(pages));
        let writes = [
            TransactWriteItem::builder().put(put.build().unwrap()).build(),
            TransactWriteItem::builder().update(update.build().unwrap()).build(),
        ];
        db.transact_write_items().set_transact_items(Some(writes.to_vec()))
    };
    freeze(0, 0).call().await.unwrap();
    for (seq, pages, reasons) in [(0, 1, ["ConditionalCheckFailed", "None"]), (1, 7, ["None", "ConditionalCheckFailed"])] {
        let error = freeze(seq, pages).call().await.unwrap_err();
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else { panic!("{error:?}") };
        let codes: Vec<&str> = cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
        assert_eq!(codes, reasons);
    }
    let page = db.get_item().table_name(table).set_key(Some(key("page", "1"))).consistent_read(true).call().await.unwrap();
    assert!(page.item.is_none(), "half of a transaction was written");
}

async fn queries_page_in_order(db: &Client, table: &str) {
    for number in 0..25 {
        let mut item = key("shard", &format!("chunk#{number:03}"));
        item.insert("outcomes".to_owned(), s("aaaa"));
        item.insert("padding".to_owned(), s("x"));
        db.put_item().table_name(table).set_item(Some(item)).call().await.unwrap();
    }
    db.put_item().table_name(table).set_item(Some(key("shard", "page#000"))).call().await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = db
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :chunk)")
            .projection_expression("sk, outcomes")
            .limit(10);
        let query = query.expression_attribute_values(":pk", s("shard")).expression_attribute_values(":chunk", s("chunk#"));
        let answer = query.set_exclusive_start_key(after).call().await.unwrap();
        found.extend(answer.items.unwrap_or_default());
        after = answer.last_evaluated_key.filter(|key| !key.is_empty());
        if after.is_none() {
            break;
        }
    }
    let order: Vec<String> = found.iter().map(|item| item["sk"].as_s().unwrap().clone()).collect();
    assert_eq!(order, (0..25).map(|number| format!("chunk#{number:03}")).collect::<Vec<_>>());
    assert!(found.iter().all(|item| item.len() == 2), "only what was asked for");
}

async fn batches_read_what_is_there(db: &Client, table: &str) {
    let keys =
        KeysAndAttributes::builder().consistent_read(true).keys(key("shard", "chunk#003")).keys(key("shard", "nothing")).build().unwrap();
    let answer = db.batch_get_item().request_items(table, keys).call().await.unwrap();
    let items: Vec<Item> = answer.responses.unwrap().into_values().flatten().collect();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["sk"], s("chunk#003"));
    assert!(answer.unprocessed_keys.is_none_or(|keys| keys.is_empty()));
}

async fn items_have_a_limit(db: &Client, table: &str) {
    let put = |bytes: usize| {
        let mut item = key("large", "1");
        item.insert("body".to_owned(), s(&"x".repeat(bytes)));
        db.put_item().table_name(table).set_item(Some(item)).call()
    };
    put(399_000).await.unwrap();
    assert!(put(410_000).await.is_err(), "an item over 400 KB");
    db.delete_item().table_name(table).set_key(Some(key("large", "1"))).call().await.unwrap();
    let item = db.get_item().table_name(table).set_key(Some(key("large", "1"))).consistent_read(true).call().await.unwrap();
    assert!(item.item.is_none());
}

/// What feedback is merged by: repeated, in any order, and the old sets given back.
async fn sets_take_the_union(db: &Client, table: &str) {
    let add = async |numbers: &[&str], texts: &[&str]| {
        let of = |members: &[&str]| members.iter().map(|member| (*member).to_owned()).collect::<Vec<_>>();
        let request = db.update_item().table_name(table).set_key(Some(key("sets", "a")));
        let request = request.update_expression("SET expires_at = :expires ADD sent :sent, message_ids :ids");
        let request =
            request.expression_attribute_values(":expires", n(7)).expression_attribute_values(":sent", AttributeValue::Ns(of(numbers)));
        let request = request.expression_attribute_values(":ids", AttributeValue::Ss(of(texts))).return_values(ReturnValue::AllOld);
        request.call().await.unwrap().attributes.unwrap_or_default()
    };
    let sorted = |item: &Item| {
        let (mut numbers, mut texts) = (item["sent"].as_ns().unwrap().clone(), item["message_ids"].as_ss().unwrap().clone());
        numbers.sort();
        texts.sort();
        (numbers, texts)
    };
    // A set has a member at least.
    let empty = db.update_item().table_name(table).set_key(Some(key("sets", "a"))).update_expression("ADD message_ids :ids");
    let empty = empty.expression_attribute_values(":ids", AttributeValue::Ss(Vec::new())).call().await.unwrap_err();
    assert_eq!(empty.code(), Some("ValidationException"), "{empty:?}");
    assert!(add(&["3", "1"], &["3 x", "1 y"]).await.is_empty());
    let old = add(&["1", "2"], &["1 y", "2 z"]).await;
    assert_eq!(sorted(&old), (vec!["1".to_owned(), "3".to_owned()], vec!["1 y".to_owned(), "3 x".to_owned()]));
    let old = add(&["1"], &["1 y"]).await;
    assert_eq!(sorted(&old).0, ["1", "2", "3"]);
}
