use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use issei_aws::Clients;
use issei_producer::attributes_of;
use serde_json::{Value, json};

use super::*;

/// What is proposed for a file of these lines, which has these columns.
async fn proposed(columns: &str, lines: impl IntoIterator<Item = String>) -> Proposal {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    std::fs::write(&file, format!("{columns}\n{}", lines.into_iter().collect::<String>())).unwrap();
    let whole = AudienceConfig { file: Some(file.display().to_string()), ..AudienceConfig::default() };
    let column = |name: &str| ColumnOutline { name: name.to_owned(), kind: String::new(), tells_apart: TellsApart::Unsaid };
    let columns: Vec<ColumnOutline> = columns.split(',').map(column).collect();
    let looking = Looking { name: "users", whole: &whole, columns: &columns };
    let (proposal, reasons) = looking.proposed().await;
    proposal.unwrap_or_else(|| panic!("{reasons:?}"))
}

#[tokio::test]
async fn rows_that_are_no_persons_are_mailed_by_their_addresses_or_by_whoever_they_are_of() {
    let orders = |more: &'static str| (1..=200).map(move |order| format!("{order},{},u{}@example.com\n", order % 40, order % 40) + more);
    let by_address = proposed("order_id,times,email", orders("")).await;
    assert_eq!((by_address.key.as_str(), by_address.is_unique_by_address()), ("order_id", true));
    assert_eq!(by_address.addressed.told(), "40 different ones in 200 rows, 40 of them under several keys");
    let by_person = proposed("order_id,user_id,email", orders("")).await;
    assert_eq!((by_person.key.as_str(), by_person.is_unique_by_address()), ("user_id", false));
    assert!(by_person.key_reason.contains("160 of 200 rows have another's"), "{}", by_person.key_reason);
    // Whoever has had two addresses would lose one of them.
    let moved = orders("").chain(["201,7,elsewhere@example.com\n".to_owned()]);
    let moved = proposed("order_id,user_id,email", moved).await;
    assert_eq!((moved.key.as_str(), moved.is_unique_by_address()), ("order_id", true));
    assert!(moved.not_keys[0].starts_with("user_id: 161 of 201 rows have another's"), "{:?}", moved.not_keys);
    // Nor does it know whose the orders of guests are.
    let guests = orders("").chain(["201,,guest@example.com\n".to_owned()]);
    assert_eq!(proposed("order_id,user_id,email", guests).await.key, "order_id");
    // Each address once is not asked for where nobody has one twice.
    let users = proposed("id,email", (1..=200).map(|id| format!("{id},u{id}@example.com\n"))).await;
    assert_eq!((users.key.as_str(), users.is_unique_by_address(), users.not_keys), ("id", false, Vec::new()));
}

#[tokio::test]
async fn what_few_rows_have_in_common_is_no_key_and_is_named() {
    for name in ["family_id", "client_id", "company_id", "member_id", "id"] {
        // Of a hundred, six have somebody else's.
        let lines = (1..=100).map(|row: u32| format!("{},u{row}@example.com\n", if row <= 6 { row + 50 } else { row }));
        let proposal = proposed(&format!("{name},email"), lines).await;
        assert_eq!(proposal.key, "email", "{name}");
        let why =
            format!("{name}: 6 of 100 rows have another's (\"51\" in 2, \"52\" in 2, \"53\" in 2), and of the rows of one key one alone");
        assert!(proposal.not_keys[0].starts_with(&why), "{:?}", proposal.not_keys);
    }
    // Whoever lives together may have one address together, and is a user each.
    let lines = (1..=100).map(|row: u32| format!("{0},u{0}@example.com\n", row.min(96)));
    let proposal = proposed("family_id,email", lines).await;
    assert_eq!((proposal.key.as_str(), proposal.not_keys.len()), ("email", 1));
    // Another column that tells them apart is the key, and some rows without one change nothing of that.
    let lines = (1..=100).map(|row: u32| format!("{},{row},u{row}@example.com\n", row % 10));
    assert_eq!(proposed("id,member_id,email", lines).await.key, "member_id");
    let lines = (1..=100).map(|row: u32| if row == 9 { ",u9@example.com\n".to_owned() } else { format!("{row},u{row}@example.com\n") });
    let proposal = proposed("member_id,email", lines).await;
    assert_eq!(
        (proposal.key.as_str(), proposal.key_reason.as_str()),
        ("member_id", "by its name, but 1 of 100 rows have none, and are skipped")
    );
}

/// A table of DynamoDB with a sort key, as far as a first look asks: its keys, and a page of items, of which a filter leaves those
/// that have an attribute.
async fn table(items: Vec<Value>) -> Clients {
    async fn answer(State(items): State<Arc<Vec<Value>>>, headers: HeaderMap, body: String) -> String {
        let asked: Value = serde_json::from_str(&body).unwrap();
        if headers["x-amz-target"].to_str().unwrap().ends_with("DescribeTable") {
            let keys = json!([{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }]);
            return json!({ "Table": { "KeySchema": keys } }).to_string();
        }
        let name = |word: &str| asked["ExpressionAttributeNames"][word].as_str().unwrap_or(word).to_owned();
        let must = asked["FilterExpression"]
            .as_str()
            .map(|filter| name(filter.trim_start_matches("attribute_exists").trim().trim_matches(['(', ')', ' '])));
        let found: Vec<&Value> = items.iter().filter(|item| must.as_ref().is_none_or(|must| !item[must].is_null())).collect();
        json!({ "Items": found, "Count": found.len(), "ScannedCount": items.len() }).to_string()
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer)).with_state(Arc::new(items))).await });
    let settings = issei_assembly::Settings::defaults(|_| ()).unwrap();
    issei_aws::connect_to(&url, None, &settings.timing()).await
}

/// What is proposed for it, or why nothing is.
async fn proposed_of(items: Vec<Value>) -> Result<Proposal, String> {
    let clients = table(items).await;
    let columns = attributes_of(&clients, "things", 500).await.unwrap();
    let mut whole = AudienceConfig { dynamodb_table: Some("things".to_owned()), dynamodb_most: Some(500), ..AudienceConfig::default() };
    whole.read_by(&clients);
    let (proposal, reasons) = Looking { name: "users", whole: &whole, columns: &columns }.proposed().await;
    proposal.ok_or_else(|| reasons.join("; "))
}

fn item(pk: String, sk: &str, attributes: &[(&str, String)]) -> Value {
    let text = |text: &str| json!({ "S": text });
    let mut item = json!({ "pk": text(&pk), "sk": text(sk) });
    attributes.iter().for_each(|(name, value)| item[*name] = text(value));
    item
}

/// A design of one table: what one kind of item has, be it always or now and then, says nothing of another.
#[tokio::test]
async fn kinds_of_items_are_told_apart_whatever_attributes_only_some_of_them_have() {
    let mut items = Vec::new();
    for user in 1..=20 {
        let (pk, email) = (format!("USER#{user}"), ("email", format!("u{user}@example.com")));
        // Not everybody has told a name.
        let profile = if user % 4 == 0 { vec![email] } else { vec![email, ("first_name", "N".to_owned())] };
        items.push(item(pk.clone(), "PROFILE", &profile));
        for order in 1..=2 {
            // What no profile has, and the address of somebody else.
            let mut order_of = vec![("order_id", format!("o{user}-{order}")), ("title", "A hat".to_owned())];
            order_of.extend((user % 3 == 0).then(|| ("gift_email", format!("friend{user}@example.com"))));
            items.push(item(pk.clone(), &format!("ORDER#{order}"), &order_of));
        }
    }
    let proposal = proposed_of(items.clone()).await.unwrap();
    assert_eq!((proposal.key.as_str(), proposal.address.as_str(), proposal.only_with.as_deref()), ("pk", "email", Some("email")));
    assert_eq!((proposal.columns, proposal.addressed.counts.different), (vec!["first_name".to_owned()], 20));
    // The order of a guest has an address, and a key of its own.
    let mut with_guest = items.clone();
    with_guest.push(item("GUEST#1".to_owned(), "ORDER#1", &[("email", "guest@example.com".to_owned())]));
    let why = proposed_of(with_guest).await.unwrap_err();
    assert!(why.contains("are of several kinds (1 of \"GUEST ORDER\", 20 of \"USER PROFILE\")"), "{why}");
    // Where some orders have their user's, the address tells nothing.
    items.push(item("USER#1".to_owned(), "ORDER#3", &[("email", "u1@example.com".to_owned())]));
    let why = proposed_of(items).await.unwrap_err();
    assert!(why.contains("have a value of \"pk\" that another item has too"), "{why}");
}
