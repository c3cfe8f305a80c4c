//! What an approval is of, and that nothing else passes for it.

use std::collections::BTreeSet;

use issei_schema::{BroadcastCommand, MessageKey};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::Asked;

fn identity(name: &str) -> Identity {
    format!("AROADBQP57FF2AEXAMPLE:{name}").parse().unwrap()
}

#[test]
fn of_n_persons_whoever_asked_is_one_at_most_and_nobody_counts_twice() {
    let mut two = Agreement::of(2, 0, vec![identity("ann")], false);
    assert_eq!((two.others, two.missing()), (1, 1));
    assert!(two.objection(&identity("ann")).unwrap().english.contains("you (AROADBQP57FF2AEXAMPLE:ann) asked for it"));
    assert_eq!(two.objection(&identity("ben")), None);
    assert!(two.objection(&"111122223333:ben".parse().unwrap()).unwrap().english.contains("is a federated user"));
    two.approved_by.push(identity("ben"));
    assert_eq!(two.missing(), 0);
    // Whoever is not known may be one of those who approve.
    for unknown in
        [Agreement::of(2, 0, Vec::new(), true), Agreement::of(2, 0, Vec::new(), false), Agreement::of(2, 0, vec![identity("ann")], true)]
    {
        assert_eq!(unknown.others, 2, "{unknown}");
    }
    let mut three = Agreement::of(3, 0, vec![identity("ann"), identity("producer")], false);
    three.approved_by.push(identity("ben"));
    assert_eq!(three.missing(), 1);
    for nobody_else in ["ann", "producer", "ben"] {
        assert!(three.objection(&identity(nobody_else)).is_some(), "{nobody_else}");
    }
}

#[test]
fn an_entry_is_an_approval_of_the_very_same_alone() {
    let subject = |recipients| Subject {
        command_hash: "c0".repeat(32),
        recipients,
        skipped: 1,
        digest: format!("{recipients:064}"),
        earlier: format!("e{recipients:063}"),
    };
    let (by, actor) = (identity("ben"), "ben".parse().unwrap());
    let entry = |reason: &str| AuditEntry::new(Timestamp::UNIX_EPOCH, &actor, APPROVAL.to_owned(), reason);
    let agreed = subject(10).agreed_by(&by, &subject(10).digest);
    // As an earlier build has taken it down, too.
    for agreed in [&agreed, &subject(10).agreed_by(&by, &subject(10).earlier)] {
        assert_eq!(subject(10).approver(&entry(&format!("{agreed}; read and liked"))), Some(by.clone()));
    }
    for other in [format!("{agreed}0; read"), agreed.replace("ben", "b n") + "; read", "read and liked".to_owned(), agreed.clone()] {
        assert_eq!(subject(10).approver(&entry(&other)), None, "{other}");
    }
    assert_eq!(subject(11).approver(&entry(&format!("{agreed}; read"))), None);
}

/// A command with every field that there is, of which no parser would take all at once.
fn whole(content: &Value) -> Value {
    json!({
        "version": 2, "broadcast_id": "terms", "audience": "users", "class": "service", "content": content, "provider": "sendgrid",
        "from": "Example <a@example.com>", "reply_to": "b@example.com", "max_recipients": 10, "canary": { "share": 0.5 },
        "unsubscribe": { "url": "https://example.com/u?t={{token}}", "key": "2026" },
        "test_copy": { "to": "c@example.com", "data": { "name": "Ann" } },
        "not_before": "2026-11-24T00:00:00Z", "not_after": "2026-11-26T00:00:00Z", "effective_at": "2026-11-25T00:00:00Z",
        "send_window": { "days": ["mon", "tue"], "from": "09:00", "to": "18:00", "time_zone": "Asia/Tokyo" },
        "ramp": { "first_hour": 500 }, "canary_approval": "evidence", "in_doubt": "evidence_retry", "hold": true, "again": "a test",
        "requested_by": "terms-job",
    })
}

/// Every value within, by its path.
fn leaves(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| leaves(value, &format!("{path}/{name}"))).collect(),
        Value::Array(items) => (0..).zip(items).flat_map(|(at, value): (u32, _)| leaves(value, &format!("{path}/{at}"))).collect(),
        _ => vec![path.to_owned()],
    }
}

/// What else might stand there.
fn others(value: &Value) -> Vec<Value> {
    let words = "legal_notice operator at_least_once UTC sat 2026-11-24T12:00:00Z 10:00 x@example.com https://example.com/{{token}} other";
    match value {
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_f64().unwrap() / 2.0), json!(number.as_u64().map(|number| number - 1))],
        _ => words.split(' ').map(|word| json!(word)).chain([json!("0".repeat(64))]).collect(),
    }
}

#[test]
fn whatever_a_command_says_otherwise_is_something_else_to_agree_to() {
    let digest = |command: &Value| {
        let command: BroadcastCommand = serde_json::from_value(command.clone()).ok()?;
        let key = MessageKey::new([1; 32]);
        let asked = Asked::default();
        Some(Broadcast::of(&command, 50, &asked, key, Timestamp::UNIX_EPOCH, String::new()).subject().digest)
    };
    let schema: Value = serde_json::from_str(include_str!("../../../schema/json/broadcast-command.v2.schema.json")).unwrap();
    let words = json!({ "subject": "s", "text": "t", "html": "h" });
    for content in [
        json!({ "inline": words }),
        json!({ "variants": { "by": "locale", "of": { "ja": words }, "fallback": "ja" } }),
        json!({ "template": { "name": "terms", "sha256": "1".repeat(64) } }),
    ] {
        let command = whole(&content);
        let first = digest(&command).unwrap();
        // A field that there will be belongs here, too.
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(command.as_object().unwrap().keys().collect::<BTreeSet<_>>(), fields.into_iter().collect());
        for path in leaves(&command, "") {
            let tried: Vec<Option<String>> = others(command.pointer(&path).unwrap())
                .into_iter()
                .filter(|other| other != command.pointer(&path).unwrap())
                .map(|other| {
                    let mut changed = command.clone();
                    *changed.pointer_mut(&path).unwrap() = other;
                    digest(&changed)
                })
                .collect();
            assert!(tried.iter().any(Option::is_some), "nothing else can stand at {path}");
            assert!(tried.iter().flatten().all(|digest| *digest != first), "{path} may change");
        }
        for field in command.as_object().unwrap().keys() {
            let mut without = command.clone();
            without.as_object_mut().unwrap().remove(field);
            assert_ne!(digest(&without), Some(first.clone()), "{field} may go");
        }
    }
}

#[test]
fn what_a_broadcast_is_sent_by_is_agreed_to_and_not_only_what_its_command_says() {
    let command = whole(&json!({ "inline": { "subject": "s", "text": "t" } }));
    let command: BroadcastCommand = serde_json::from_value(command).unwrap();
    let (key, asked) = (MessageKey::new([1; 32]), Asked::default());
    let broadcast = Broadcast::of(&command, 50, &asked, key, Timestamp::UNIX_EPOCH, String::new());
    let mut item = serde_json::to_value(&broadcast).unwrap();
    item["canary"] = json!(5);
    let terms = |item: &Value| serde_json::from_value::<Broadcast>(item.clone()).unwrap().terms();
    let digest = |item: &Value| serde_json::from_value::<Broadcast>(item.clone()).unwrap().subject();
    let first = digest(&item);
    // The frozen audience was in it ever since.
    let later = json!("2026-11-24T12:00:00Z");
    let held = json!({ "repeated_addresses": 0, "forecast": { "recipients_a_second": 14.0, "done_at": "2026-11-24T09:00:00Z" } });
    for (field, other) in [
        ("not_before", later.clone()),
        ("not_after", later.clone()),
        ("effective_at", later),
        ("send_window", json!(null)),
        ("ramp", json!({ "first_hour": 501 })),
        ("canary", json!(7)),
        ("canary_chunks", json!(7)),
        ("canary_approval", json!("operator")),
        ("in_doubt", json!("at_least_once")),
        ("max_recipients", json!(11)),
        ("provider", json!("resend")),
        ("carried_by", json!({ "kind": "sendgrid" })),
        ("audience", json!("others")),
        ("chunks", json!(7)),
        ("pages", json!(7)),
        ("held_audience", held),
    ] {
        let mut changed = item.clone();
        changed[field] = other;
        assert_ne!(digest(&changed).digest, first.digest, "{field}");
        // How the frozen audience is laid out nobody decides by, and what was found of it is shown beside.
        let is_laid_out = ["canary_chunks", "chunks", "pages", "held_audience"].contains(&field);
        assert!(is_laid_out || terms(&changed) != terms(&item), "whoever agrees to it is not shown its {field}");
        let is_older = field == "held_audience" || digest(&changed).earlier == first.earlier;
        assert!(is_older, "what an earlier build took down is still found: {field}");
    }
    // What happens to it meanwhile is not agreed to.
    for (field, other) in [("broadcast_state", json!("holding")), ("epoch", json!(7)), ("granted", json!(7)), ("remaining", json!(7))] {
        let mut changed = item.clone();
        changed[field] = other;
        assert_eq!(digest(&changed).digest, first.digest, "{field}");
    }
}
