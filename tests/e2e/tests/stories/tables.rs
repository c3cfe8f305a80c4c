//! An audience that is a table of DynamoDB.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_producer::{AudienceConfig, JudgingError, Progress, Survey, count_rows, survey};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command};

const USERS: u32 = 40;

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: u32) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A table of users under its own keys, of whom each has a number.
async fn table() -> (World, AudienceConfig) {
    let world = World::new(WorldOptions { users: 0, ..WorldOptions::default() }).await;
    let db = world.clients.dynamodb.clone();
    world.create_table("people").await;
    for user in 0..USERS {
        put(&world, &format!("user{user}"), "profile", number(user)).await;
    }
    let audience =
        AudienceConfig { url: None, table: None, dynamodb_table: Some("people".to_owned()), dynamodb: Some(db), ..world.users.audience() };
    (world, audience)
}

async fn put(world: &World, pk: &str, sk: &str, id: AttributeValue) {
    let put = world.clients.dynamodb.put_item().table_name("people").item("pk", text(pk)).item("sk", text(sk)).item("id", id);
    put.item("email", text(format!("{pk}@example.com"))).item("name", text("N")).item("status", text("here")).call().await.unwrap();
}

async fn surveyed(world: &World, audience: &AudienceConfig) -> Result<Survey, JudgingError> {
    survey(&command("terms", |_| {}), audience, &world.ledger(), &std::env::temp_dir(), &Progress::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_throttled_is_waited_for_and_what_was_read_is_kept() {
    let (world, audience) = table().await;
    // As many answers as the SDK asks for of all four parts, and some more.
    world.cloud.inject(Rule::every("Scan", Fault::Throttle).times(18));
    let forecast = surveyed(&world, &audience).await.unwrap();
    assert_eq!((forecast.rows, forecast.mailable), (USERS.into(), USERS.into()));
    assert_eq!(count_rows("users", &audience).await.unwrap(), u64::from(USERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_items_of_one_key_are_refused_whatever_their_types_are() {
    let (world, audience) = table().await;
    let refused = async |world: &World| {
        let error = surveyed(world, &audience).await.unwrap_err().to_string();
        assert!(error.contains("1 items of the table have a value of \"id\" that another item has too"), "{error}");
        assert!(error.contains("`filter`") && !error.contains("example.com"), "{error}");
    };
    put(&world, "user5", "order", number(5)).await;
    refused(&world).await;
    let key = |sk: &str| [("pk".to_owned(), text("user5")), ("sk".to_owned(), text(sk))].into();
    world.clients.dynamodb.delete_item().table_name("people").set_key(Some(key("order"))).call().await.unwrap();
    assert_eq!(surveyed(&world, &audience).await.unwrap().mailable, u64::from(USERS));
    // The number 1 and the text "1" are one key: nobody could tell them apart where keys are told.
    put(&world, "one", "profile", text("1")).await;
    refused(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_filters_may_have_names_that_dynamodb_reserves() {
    let (world, audience) = table().await;
    put(&world, "new", "profile", number(USERS)).await;
    let key = [("pk".to_owned(), text("new")), ("sk".to_owned(), text("profile"))].into();
    let remove = world.clients.dynamodb.update_item().table_name("people").set_key(Some(key)).update_expression("REMOVE #status");
    remove.expression_attribute_names("#status", "status").call().await.unwrap();
    for (filter, rows) in [("attribute_exists(status)", USERS), ("attribute_not_exists(status) AND attribute_exists(name)", 1)] {
        let filtered = AudienceConfig { filter: Some(filter.to_owned()), ..audience.clone() };
        assert_eq!(surveyed(&world, &filtered).await.unwrap().rows, u64::from(rows), "{filter}");
        assert_eq!(count_rows("users", &filtered).await.unwrap(), u64::from(rows), "{filter}");
    }
}
