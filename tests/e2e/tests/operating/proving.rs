//! When the console calls a stop proved that no time proves: by what the ledger has, and not before.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Carrier, Processes};
use serde_json::{Value, json};

use crate::console::Door;

/// How a console has a stopped broadcast: whether it is green, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Proved,
    Unproved,
}

pub(crate) async fn shown(door: &Door) -> Shown {
    let page = door.get("/b/terms?lang=en").await;
    let is_green = page.contains("<p class=\"state good\"") && page.contains("id=\"proved\"");
    let (over, open) =
        ("It is over: nothing of it can be sent or accepted any more. `issei certify` signs that.", "No new request begins.");
    match (is_green, page.contains(over), page.contains(open)) {
        (true, true, false) => Shown::Proved,
        (false, false, true) => Shown::Unproved,
        _ => panic!("{page}"),
    }
}

/// Totals as a sweep may have written them before a machine woke up that slept, and sent.
async fn write_totals(world: &Processes, accepted: u64, in_doubt: u64) {
    let (db, table) = world.table().await;
    let counts = [("accepted", accepted), ("rejected", 0), ("retryable", 0), ("in_doubt", in_doubt)];
    let totals = counts.map(|(name, count)| (name.to_owned(), AttributeValue::N(count.to_string()))).into_iter().collect();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = db.update_item().table_name(&table).key("pk", text("b#terms")).key("sk", text("broadcast"));
    let update = update.update_expression("SET totals = :totals").expression_attribute_values(":totals", AttributeValue::M(totals));
    update.call().await.unwrap();
}

/// Each consumer has said that it holds nothing. Whether the requests that it had made were accepted nobody knows, whatever older
/// counts say.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_is_in_doubt_is_called_settled_by_counts_that_are_of_before() {
    let mut world = Processes::simulated(30, Account::default()).await;
    world.carried_by(Carrier::SendGrid, 100.0);
    world.cloud.inject(Rule::every("MailSend", Fault::ResetAfter));
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let mut body: Value = serde_json::from_str(&Carrier::SendGrid.command("terms")).unwrap();
    body["canary"] = json!(10);
    world.post("ISSEI_COMMANDS_QUEUE", &body.to_string()).await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["in_doubt"] == 10).await;
    // So long that a consumer can say that it holds nothing.
    world.set("ISSEI_REQUEST_LIFETIME_S", "40");
    let (code, told, errors) = world.try_run(&["stop", "terms", "--reason", "wrong text"]).await;
    assert!(code == Some(3) && told.contains("10 in doubt; not proved: its provider refuses no request for its age"), "{told}{errors}");
    assert!(world.run(&["audit", "terms"]).await.contains("every consumer has said that it holds nothing of it any more"));
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    assert_eq!(shown(&door).await, Shown::Unproved, "nobody has counted, and ten are in doubt");
    write_totals(&world, 10, 0).await;
    assert_eq!(shown(&door).await, Shown::Unproved, "ten are in doubt, whatever was counted before");
    console.end().await;
    for service in services {
        service.end().await;
    }
}
