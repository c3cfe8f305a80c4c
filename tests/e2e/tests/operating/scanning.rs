//! An audience that is a table of DynamoDB, read by the real binary from an emulator that others have written.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest, ScalarAttributeType, WriteRequest,
};
use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Processes, aws_url, command_body};
use serde_json::{Value, json};

/// More than a page of each segment has.
const ITEMS: u32 = 6_000;

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A table whose every fiftieth item is somebody who is there still.
async fn users(db: &Client, table: &str) {
    let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::N).build().unwrap();
    let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let create = db.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(key).key_schema(schema).call().await.unwrap();
    let ids: Vec<u32> = (1..=ITEMS).collect();
    for batch in ids.chunks(25) {
        let put = |id: &u32| {
            // `name` is a word of DynamoDB's own.
            let put =
                PutRequest::builder().item("id", number(id)).item("email", text(format!("user{id}@example.com"))).item("name", text("N"));
            let put = if id.is_multiple_of(50) { put } else { put.item("deleted_at", text("2026-01-01")) };
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        };
        db.batch_write_item().request_items(table, batch.iter().map(put).collect()).call().await.unwrap();
    }
    let with = |id: AttributeValue| db.put_item().table_name(table).item("id", id);
    // More digits than a number of a machine has; a flag and a number where a letter wants words.
    let large = with(number("12345678901234567890123456789")).item("email", text("large@example.com"));
    large.item("name", AttributeValue::Bool(true)).call().await.unwrap();
    with(number("0.5")).item("email", text("half@example.com")).item("name", number(7)).call().await.unwrap();
    // Nobody's address, and a list of them.
    with(number(-1)).item("name", text("N")).call().await.unwrap();
    with(number(-2)).item("name", text("N")).item("email", AttributeValue::L(vec![text("a@example.com")])).call().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_in_a_table_of_dynamodb_is_sent_to_once() {
    if aws_url().is_none() {
        println!("SKIPPED: ISSEI_TEST_AWS_URL names no emulator, and the simulator scans nothing; tests/run starts one");
        return;
    }
    let world = Processes::new(1, Account { keep_mails: true, ..Account::default() }).await;
    let (db, ledger) = world.table().await;
    let table = format!("{ledger}-users");
    users(&db, &table).await;
    let config = world.read("issei.toml");
    let (before, _) = config.split_once("[audiences.users]").unwrap();
    let audience = |more: &str| {
        format!("{before}[audiences.users]\ndynamodb_table = \"{table}\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n{more}")
    };
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let dry = async |world: &Processes| -> Value {
        let told: Value = serde_json::from_str(&world.run(&["--json", "send", "--dry-run", &command]).await).unwrap();
        told["forecast"].clone()
    };
    _ = world.write("issei.toml", &audience(""));
    assert_eq!(dry(&world).await["rows"], ITEMS + 4);
    _ = world.write("issei.toml", &audience("filter = \"attribute_not_exists(deleted_at)\"\n"));
    let told = dry(&world).await;
    assert_eq!((&told["rows"], &told["mailable"]), (&(ITEMS / 50 + 4).into(), &(ITEMS / 50 + 2).into()), "{told}");
    assert_eq!(told["skipped"], json!([{ "reason": "no_address", "rows": 2, "examples": ["-1", "-2"] }]));
    // Whoever writes looks at letters of it, and what is misspelt is nobody's.
    let shown = world.run(&["preview", &command, "--as", "12345678901234567890123456789"]).await;
    assert!(shown.contains("true") && shown.contains("2 no_address, with the keys -1, -2"), "{shown}");
    let (code, _, error) = {
        _ = world.write("misspelt.toml", &audience("").replace("\"email\"", "\"e-mail\""));
        world.try_run(&["--config", "misspelt.toml", "preview", &command]).await
    };
    assert!(code == Some(1) && error.contains("no item of the table has the attribute \"e-mail\""), "{error}");
    _ = world.write("elsewhere.toml", &audience("").replace(&table, "nowhere"));
    let (code, _, error) = world.try_run(&["--config", "elsewhere.toml", "preview", &command]).await;
    assert!(code == Some(1) && error.contains("table nowhere of DynamoDB") && error.contains("ResourceNotFound"), "{error}");

    // Whoever has no configuration yet is proposed one, by a page of it; and it is as good as one that was written by hand.
    let source = format!("dynamodb://{table}");
    let told = world.run(&["init", &source, "--output", "first.toml"]).await;
    for words in ["id: the primary key", "one page of the table, 500 items at most", "tried          500 rows"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let first = world.read("first.toml");
    for line in [&format!("dynamodb_table = \"{table}\""), "key = \"id\"", "address = \"email\"", "columns = [\"name\"]"] {
        assert!(first.lines().any(|found| found == line), "{line}: {first}");
    }
    assert!(first.contains("# filter = \"attribute_not_exists(deleted_at)\"") && first.contains("of 500 items at most"), "{first}");
    let filtered = first.replace("# filter = ", "filter = ");
    let settings = before.to_owned() + filtered.split_once("[audiences.users]").map(|(_, audience)| audience).unwrap();
    _ = world.write("first.toml", &settings.replacen("dynamodb_table", "[audiences.users]\ndynamodb_table", 1));
    let told: Value = serde_json::from_str(&world.run(&["--config", "first.toml", "--json", "send", "--dry-run", &command]).await).unwrap();
    assert_eq!(told["forecast"]["mailable"], ITEMS / 50 + 2, "{told}");
    let (code, _, error) = world.try_run(&["init", "dynamodb://nowhere", "--output", "none.toml"]).await;
    assert!(code == Some(1) && error.contains("table nowhere of DynamoDB") && error.contains("ResourceNotFound"), "{error}");
    assert!(error.contains("looked in us-east-1") && error.contains("--region") && !error.contains("audience"), "{error}");

    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mut mailed: Vec<String> = world.cloud.mails().unwrap().iter().map(|mail| mail.address.clone()).collect();
    mailed.sort();
    let mut wanted: Vec<String> = (1..=ITEMS / 50).map(|id| format!("user{}@example.com", id * 50)).collect();
    wanted.extend(["half@example.com", "large@example.com"].map(str::to_owned));
    wanted.sort();
    assert_eq!(mailed, wanted);
    db.delete_table().table_name(&table).call().await.unwrap();
}

/// A sort key says what an item is, so the other key tells no users apart, and neither is proposed unasked.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_with_a_sort_key_no_key_is_proposed_that_several_items_have() {
    if aws_url().is_none() {
        println!("SKIPPED: ISSEI_TEST_AWS_URL names no emulator, and the simulator scans nothing; tests/run starts one");
        return;
    }
    let world = Processes::new(1, Account::default()).await;
    let (db, ledger) = world.table().await;
    let table = format!("{ledger}-things");
    let of = |name: &str, kind| {
        let schema = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
        (AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap(), schema)
    };
    let ((id, of_id), (kind, of_kind)) = (of("user_id", KeyType::Hash), of("kind", KeyType::Range));
    let create = db.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(id).attribute_definitions(kind).key_schema(of_id).key_schema(of_kind).call().await.unwrap();
    for user in 1..=20 {
        for kind in ["profile", "order"] {
            let put = db.put_item().table_name(&table).item("user_id", text(user.to_string())).item("kind", text(kind));
            put.item("email", text(format!("user{user}@example.com"))).call().await.unwrap();
        }
    }
    let (code, _, error) = world.try_run(&["init", &format!("dynamodb://{table}"), "--output", "things.toml"]).await;
    assert!(code == Some(1) && error.contains("20 items of the table have a value of \"user_id\" that another item has too"), "{error}");
    assert!(error.contains("by `filter`") && error.contains("the columns are user_id, kind, email"), "{error}");
    // Where the address stands in one item of each user alone, that one is the user's; whatever else the others have, and be it the
    // address of somebody else.
    for user in 1..=20 {
        let put = db.put_item().table_name(&table).item("user_id", text(user.to_string())).item("kind", text("order"));
        let put = put.item("order_id", text(format!("o{user}"))).item("title", text("A hat"));
        let put = if user % 3 == 0 { put.item("gift_email", text(format!("friend{user}@example.com"))) } else { put };
        put.call().await.unwrap();
        let name = db.update_item().table_name(&table).key("user_id", text(user.to_string())).key("kind", text("profile"));
        let name = name.update_expression("SET first_name = :n").expression_attribute_values(":n", text("N"));
        // Not everybody has told it.
        if user % 4 != 0 {
            name.call().await.unwrap();
        }
    }
    let told = world.run(&["init", &format!("dynamodb://{table}"), "--output", "things.toml"]).await;
    assert!(told.contains("key            user_id: the partition key") && told.contains("15 can be mailed, 5 can't"), "{told}");
    let written = world.read("things.toml");
    for line in ["key = \"user_id\"", "address = \"email\"", "columns = [\"first_name\"]", "filter = \"attribute_exists(email)\""] {
        assert!(written.lines().any(|found| found == line), "{line}: {written}");
    }
    // An order of somebody who is no user has an address now and then, and the user's own key.
    let guest = db.put_item().table_name(&table).item("user_id", text("900")).item("kind", text("order"));
    guest.item("email", text("guest@example.com")).call().await.unwrap();
    let (code, _, error) = world.try_run(&["init", &format!("dynamodb://{table}"), "--output", "guests.toml"]).await;
    let says = "the items that have \"email\" are of several kinds (1 of \"order\", 20 of \"profile\")";
    assert!(code == Some(1) && error.contains(says), "{error}");
    db.delete_table().table_name(&table).call().await.unwrap();
}
