//! Events that somebody brings in a file, where nobody has set up the webhook of their provider.

use std::cell::RefCell;

use issei_provider::Webhook;
use issei_sim::{Account, EventRule, Events, Fault, Rule};
use issei_test_support::{Carrier, Process, Processes, judge};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const USERS: u64 = 30;

/// A broadcast that is over, of which one answer was lost where the provider can't be asked again; and every event of it.
async fn over(carrier: Carrier) -> (Processes, Vec<Value>) {
    let rules = vec![EventRule { address: "user000007@".to_owned(), event: "Bounce".to_owned() }];
    let events = Events { rules, ..Processes::account_with_events().events };
    let mut world = Processes::simulated(u32::try_from(USERS).unwrap(), Account { events, ..Account::default() }).await;
    world.carried_by(carrier, 1_000.0);
    world.cloud.inject(Rule::every(carrier.call(), Fault::ResetAfter).after(1).times(1));
    let command = world.write("command.json", &carrier.command("terms"));
    world.run(&["send", "--yes", &command]).await;
    let services: Vec<Process> = ["producer", "consumer"].iter().map(|service| world.start(service)).collect();
    world.wait_for("terms", "complete").await;
    for service in services {
        service.end().await;
    }
    let told = RefCell::new(Vec::new());
    world
        .carry_events_by(async |line| {
            let body: Value = serde_json::from_slice(&Webhook::read(&line).unwrap().unwrap().body).unwrap();
            told.borrow_mut().extend(body.as_array().cloned().unwrap_or_else(|| vec![body]));
        })
        .await;
    (world, told.into_inner())
}

/// Rows that are no events of this broadcast, each with what is said of it.
fn hostile(carrier: Carrier, event: &Value) -> Vec<(String, &'static str)> {
    let changed = |name: &str, value: Value| {
        let mut event = event.clone();
        match carrier {
            Carrier::SendGrid => event[name] = value,
            Carrier::Resend => event["data"]["tags"][name] = value,
        }
        event.to_string()
    };
    let tags = json!({ "broadcast": "terms", "chunk": "0", "recipient": "0" });
    let stranger = match carrier {
        Carrier::SendGrid => json!({ "type": "email.bounced", "data": { "to": ["ann@example.com"], "tags": tags } }),
        Carrier::Resend => json!({ "event": "bounce", "email": "ann@example.com", "broadcast": "terms", "chunk": "0", "recipient": "0" }),
    };
    vec![
        ("{\"event\":\"bounce\",\"email\":\"ann@example.com".to_owned(), "EOF"),
        ("\"ann@example.com\"".to_owned(), "it is no event"),
        (changed("broadcast", json!("unknown")), "there is no broadcast `unknown` in the ledger"),
        (changed("broadcast", json!("ann@example.com")), "the event has `broadcast`"),
        // Of a ledger that names its broadcasts alike and sends through the same account, of this build and of an older one.
        (changed("registration", json!("0123456789abcdef0123")), "its letter was sent for another registration of `terms`"),
        (changed("registration", Value::Null), "its letter names no registration"),
        (changed("chunk", json!("999")), "the event names chunk 999"),
        (changed("recipient", json!("-1")), "its `recipient` is not one of issei's"),
        (changed("recipient", json!("50")), "a chunk has 50 at most"),
        (stranger.to_string(), "`terms` is carried by"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_a_file_end_doubt_under_the_name_of_whoever_brings_them_and_hostile_rows_are_named_and_skipped() {
    for carrier in [Carrier::SendGrid, Carrier::Resend] {
        let (world, events) = over(carrier).await;
        let before = world.wait_for("terms", "complete").await;
        let in_doubt = if carrier == Carrier::SendGrid { 10 } else { 0 };
        assert_eq!((&before["in_doubt"], &before["delivered"]), (&json!(in_doubt), &json!(0)), "{before}");
        let hostile = hostile(carrier, &events[0]);
        let mut lines: Vec<String> = hostile.iter().map(|(row, _)| row.clone()).collect();
        lines.extend(events.iter().map(Value::to_string));
        lines.push(json!({ "event": "delivered", "email": "bob@example.com", "sg_event_id": "x" }).to_string());
        let text = lines.join("\n");
        let file = world.write("events.jsonl", &text);
        let sha256 = hex(&text);

        // Looked at first, and nothing is taken.
        let (code, shown, errors) = world.try_run(&["import-events", &file]).await;
        assert!(code == Some(3) && shown.contains("nothing was taken") && shown.contains(&sha256), "{shown}{errors}");
        assert!(!shown.contains("@example") && !errors.contains("@example"), "{shown}{errors}");
        assert_eq!(world.wait_for("terms", "complete").await["in_doubt"], in_doubt);

        for times in [1, 2] {
            let (code, output, errors) = world.try_run(&["import-events", &file, "--yes", "--json"]).await;
            assert_eq!(code, Some(3), "{output}{errors}");
            assert!(!output.contains("@example"), "{output}");
            let told: Value = serde_json::from_str(&output).unwrap();
            assert_eq!(
                (&told["taken"], &told["failed"], &told["not_ours"], &told["sha256"]),
                (&json!(true), &json!(0), &json!(1), &json!(sha256))
            );
            assert_eq!(told["broadcasts"], json!([{ "broadcast_id": "terms", "events": 2 * USERS }]), "{told}");
            let refused = told["refused"].as_array().unwrap();
            assert_eq!(refused.len(), hostile.len(), "{told}");
            for (number, (found, (_, says))) in (1_u64..).zip(refused.iter().zip(&hostile)) {
                assert_eq!(found["line"], number, "{found}");
                assert!(found["reason"].as_str().unwrap().contains(says), "{found}: {says}");
            }
            let after = world.wait_until("terms", |status| status["in_doubt"] == 0 && status["bounced"] == 1).await;
            assert_eq!((&after["accepted"], &after["delivered"], &after["state"]), (&json!(USERS), &json!(USERS - 1), &json!("complete")));
            assert_eq!(world.try_run(&["suppress", "list", "user000007@example.com"]).await.0, Some(0));
            // Once, however often the same file is brought; by whom, from what, and what it is worth.
            let trail: Value = serde_json::from_str(&world.run(&["audit", "terms", "--json"]).await).unwrap();
            let entries: Vec<&Value> = entries(&trail).iter().filter(|entry| entry["step"] == "events imported").collect();
            assert_eq!(entries.len(), 1, "after {times}: {trail}");
            let reason = entries[0]["reason"].as_str().unwrap();
            assert!(reason.contains(&sha256) && reason.contains("nobody has signed") && reason.contains("events.jsonl"), "{reason}");
            assert!(entries[0]["actor"].as_str().unwrap().starts_with("arn:aws:"), "{trail}");
        }
        // Another file, as a list, is another entry, and nothing else.
        let list = world.write("events.json", &serde_json::to_string_pretty(&events).unwrap());
        let output = world.run(&["import-events", &list, "--yes"]).await;
        assert!(output.contains(&format!("{} events are in the ledger", 2 * USERS)), "{output}");
        let trail: Value = serde_json::from_str(&world.run(&["audit", "terms", "--json"]).await).unwrap();
        assert_eq!(entries(&trail).iter().filter(|entry| entry["step"] == "events imported").count(), 2, "{trail}");
        assert_eq!(world.wait_for("terms", "complete").await["delivered"], USERS - 1);
        // And as SendGrid's own site exports it.
        if carrier == Carrier::SendGrid {
            let export = world.write("activity.csv", &activity(&events));
            let output = world.run(&["import-events", &export, "--yes"]).await;
            assert!(output.contains(&format!("{} events are in the ledger", 2 * USERS)) && output.contains("1 events of mail"), "{output}");
            assert_eq!(world.wait_for("terms", "complete").await["delivered"], USERS - 1);
        }
        assert_eq!(judge(&world.cloud, "terms").total(), USERS);
    }
}

/// These events, and one of other mail, as a CSV of `SendGrid`'s activity feed.
fn activity(events: &[Value]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let row = |event: &Value| {
        let arguments: serde_json::Map<_, _> =
            ["broadcast", "chunk", "recipient", "registration"].into_iter().map(|name| (name.to_owned(), event[name].clone())).collect();
        let fields = [text(event, "sg_message_id"), text(event, "event"), text(event, "email"), text(event, "reason"), text(event, "type")];
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        format!("1764147600,{},{}\n", fields.join(","), quoted(&Value::Object(arguments).to_string()))
    };
    let rows: Vec<String> = events.iter().map(row).collect();
    let rows = rows.concat();
    format!("processed,message_id,event,email,reason,type,unique_args\n{rows}1764147600,x.filter1,delivered,bob@example.com,,,\n")
}

fn entries(trail: &Value) -> &[Value] {
    trail["audit_trail"].as_array().unwrap()
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
