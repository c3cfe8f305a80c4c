//! The messages as they stand on the wire: schemas and examples are checked in, and a change shows.
//!
//! With `ISSEI_UPDATE=1` the schemas are written instead of compared. The examples never are: an
//! old message must stay readable.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::PathBuf;

use issei_schema::{BroadcastCommand, ChunkMessage, ChunkVersion, Class, InDoubtPolicy, MessageKey, ParseError};
use schemars::{JsonSchema, schema_for};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "json", name].iter().collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

fn check_schema<T: JsonSchema>(name: &str) {
    let mut text = serde_json::to_string_pretty(&schema_for!(T)).unwrap();
    text.push('\n');
    if std::env::var_os("ISSEI_UPDATE").is_some() {
        std::fs::write(file(name), &text).unwrap();
    }
    assert_eq!(read(name), text, "run the tests with ISSEI_UPDATE=1");
}

#[test]
fn the_schemas_are_those_of_the_types() {
    check_schema::<BroadcastCommand>("broadcast-command.v2.schema.json");
    check_schema::<ChunkMessage>("chunk-message.v3.schema.json");
}

#[test]
fn the_examples_are_read_and_written_as_they_stand() {
    let text = read("broadcast-command.v1.example.json");
    let command = BroadcastCommand::parse(&text).unwrap();
    assert_eq!(command.in_doubt, InDoubtPolicy::Hold);
    let again: serde_json::Value = serde_json::from_str(&command.to_body()).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    // The clients in `clients` are held against the same.
    for name in ["", ".variants", ".template", ".test-copy", ".full"] {
        let text = read(&format!("broadcast-command.v2{name}.example.json"));
        let again: serde_json::Value = serde_json::from_str(&BroadcastCommand::parse(&text).unwrap().to_body()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
    for name in ["chunk-message.v1.example.json", "chunk-message.v2.example.json", "chunk-message.v3.example.json"] {
        let text = read(name);
        let chunk = ChunkMessage::parse(&text).unwrap();
        let again: serde_json::Value = serde_json::from_str(&chunk.to_body()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
}

/// What was published of a version stays as it is. Version 2 adds a trace to the first, and version 3 a proof.
#[test]
fn a_version_of_chunk_messages_is_the_one_before_and_one_field() {
    let schema = |version: u8| serde_json::from_str::<serde_json::Value>(&read(&format!("chunk-message.v{version}.schema.json"))).unwrap();
    for (version, field, kind) in [(2, "trace", "TraceParent"), (3, "proof", "Proof")] {
        let (mut old, mut new) = (schema(version - 1), schema(version));
        assert!(new["properties"].as_object_mut().unwrap().remove(field).is_some());
        assert!(new["$defs"].as_object_mut().unwrap().remove(kind).is_some());
        new["$defs"]["Version"] = old["$defs"]["Version"].clone();
        without_descriptions(&mut old);
        without_descriptions(&mut new);
        assert_eq!(new, old, "version {version}");
    }
}

/// Version 1 of commands stays as it was published. What version 2 adds stands here, kinds and fields.
#[test]
fn version_2_of_commands_is_version_1_and_what_is_named_here() {
    let schema =
        |version: u8| serde_json::from_str::<serde_json::Value>(&read(&format!("broadcast-command.v{version}.schema.json"))).unwrap();
    let (mut old, mut new) = (schema(1), schema(2));
    let fields = vec!["class", "provider", "test_copy", "unsubscribe", "not_before", "send_window", "effective_at", "ramp"];
    let kinds = vec![
        "Address",
        "Class",
        "Column",
        "ProviderName",
        "TestCopy",
        "Unsubscribe",
        "UnsubscribeKeyId",
        "VariantName",
        "Variants",
        "Canary",
        "RecipientKey",
        "SendWindow",
        "Days",
        "Day",
        "TimeOfDay",
        "ZoneName",
        "TemplateHash",
        "Ramp",
    ];
    // What it may be besides what it could in version 1, its own kind says.
    new["properties"]["canary"] = old["properties"]["canary"].clone();
    for (place, names) in [("properties", fields), ("$defs", kinds)] {
        for name in names {
            assert!(new[place].as_object_mut().unwrap().remove(name).is_some(), "{name}");
        }
    }
    new["$defs"]["Version"] = old["$defs"]["Version"].clone();
    let content = new["$defs"]["Content"]["oneOf"].as_array_mut().unwrap();
    assert_eq!(content.pop().unwrap()["required"], serde_json::json!(["variants"]));
    let template = content.iter_mut().find(|kind| kind["required"] == serde_json::json!(["template"])).unwrap();
    assert!(template["properties"]["template"]["properties"].as_object_mut().unwrap().remove("sha256").is_some());
    without_descriptions(&mut old);
    without_descriptions(&mut new);
    assert_eq!(new, old);
}

#[test]
fn a_command_says_its_class_from_version_2_on_and_is_about_the_service_before() {
    let command = |version: u8, class: Option<&str>| {
        BroadcastCommand::parse(&command_with(|command| {
            command["version"] = version.into();
            command["class"] = class.map_or(serde_json::Value::Null, Into::into);
        }))
    };
    assert_eq!(command(1, None).unwrap().class(), Class::Service);
    assert_eq!(command(2, Some("legal_notice")).unwrap().class(), Class::LegalNotice);
    for (version, class, says) in [
        (1, Some("service"), "field `class`: is not of version 1"),
        (2, None, "field `class`: is missing"),
        (2, Some("newsletter"), "field `class`"),
    ] {
        let error = command(version, class).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

/// A command without a way to unsubscribe keeps the hash that it had before there was any.
#[test]
fn a_way_to_unsubscribe_has_one_of_two_forms_and_is_new_in_version_2() {
    let parsed = |version: u8, unsubscribe: serde_json::Value| {
        BroadcastCommand::parse(&command_with(|command| {
            command["version"] = version.into();
            command["class"] = if version == 1 { serde_json::Value::Null } else { "service".into() };
            command["unsubscribe"] = unsubscribe;
        }))
    };
    let plain = parsed(2, serde_json::Value::Null).unwrap();
    assert!(!plain.to_body().contains("unsubscribe"));
    for good in [
        serde_json::json!({ "column": "unsubscribe_url" }),
        serde_json::json!({ "url": "https://app.example.com/u?t={{token}}", "key": "2026-11" }),
    ] {
        let command = parsed(2, good.clone()).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&command.to_body()).unwrap()["unsubscribe"], good);
        assert_ne!(command.hash(), plain.hash());
        assert!(parsed(1, good).unwrap_err().to_string().starts_with("field `unsubscribe`: is not of version 1"));
    }
    for (bad, field, says) in [
        (serde_json::json!({}), "unsubscribe", "neither of its two forms"),
        (serde_json::json!({ "column": "" }), "unsubscribe", "neither of its two forms"),
        (serde_json::json!({ "url": "https://app.example.com/{{token}}" }), "unsubscribe", "neither of its two forms"),
        (serde_json::json!({ "column": "u", "url": "https://app.example.com/{{token}}", "key": "k" }), "unsubscribe", "neither of its"),
        (serde_json::json!({ "url": "http://app.example.com/{{token}}", "key": "k" }), "unsubscribe.url", "https://"),
        (serde_json::json!({ "url": "https:/app.example.com/?to=a://b/{{token}}", "key": "k" }), "unsubscribe.url", "https:// and a host"),
        (serde_json::json!({ "url": "https://app.example.com/u", "key": "k" }), "unsubscribe.url", "has no {{token}}"),
        (serde_json::json!({ "url": "https://app.example.com/{{token}}", "key": "a.b" }), "unsubscribe.key", "only letters"),
        (serde_json::json!({ "link": "https://app.example.com" }), "unsubscribe", "unknown field"),
    ] {
        let error = parsed(2, bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("field `{field}")) && error.contains(says), "{error}");
    }
}

#[test]
fn marketing_without_a_way_to_unsubscribe_is_refused_and_one_that_has_begun_is_read() {
    let body = |unsubscribe: serde_json::Value| {
        command_with(|command| {
            command["version"] = 2.into();
            command["class"] = "marketing".into();
            command["unsubscribe"] = unsubscribe;
        })
    };
    let error = BroadcastCommand::parse(&body(serde_json::Value::Null)).unwrap_err().to_string();
    assert!(error.starts_with("field `class`: is `marketing`") && error.ends_with("add `unsubscribe`"), "{error}");
    assert!(BroadcastCommand::parse(&body(serde_json::json!({ "column": "out" }))).is_ok());
    assert!(BroadcastCommand::stored(&body(serde_json::Value::Null)).is_ok());
}

#[test]
fn a_canary_may_be_chosen_from_version_2_on_and_its_count_keeps_the_hash() {
    let command = |version: u8, canary: serde_json::Value| {
        BroadcastCommand::parse(&command_with(|command| {
            (command["version"], command["canary"]) = (version.into(), canary);
            if version > 1 {
                command["class"] = "service".into();
            }
        }))
    };
    for canary in [serde_json::json!(7), serde_json::json!({ "share": 0.01 }), serde_json::json!({ "keys": ["17", "18"] })] {
        let body: serde_json::Value = serde_json::from_str(&command(2, canary.clone()).unwrap().to_body()).unwrap();
        assert_eq!(body["canary"], canary);
    }
    for (version, canary, says) in [
        (1, serde_json::json!({ "share": 0.01 }), "field `canary`: is a number of recipients in version 1"),
        (1, serde_json::json!({ "keys": ["17"] }), "field `canary`: is a number of recipients in version 1"),
        (2, serde_json::json!({ "share": 2 }), "field `canary.share`: is not a share"),
        (2, serde_json::json!({ "keys": [17] }), "field `canary.keys[0]`: it is the number 17, and a string is wanted"),
        (2, serde_json::json!({ "keys": [] }), "field `canary.keys`: names nobody"),
    ] {
        let error = command(version, canary).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn a_command_says_when_it_may_be_sent_and_what_never_may_be_is_refused_with_its_field() {
    let window = |from: &str, to: &str, zone: &str| serde_json::json!({ "days": ["mon"], "from": from, "to": to, "time_zone": zone });
    let parsed = |version: u8, field: &str, value: serde_json::Value| {
        BroadcastCommand::parse(&command_with(|command| {
            (command["version"], command[field]) = (version.into(), value);
            if version > 1 {
                command["class"] = "service".into();
            }
        }))
    };
    assert!(parsed(2, "send_window", window("09:00", "18:00", "Asia/Tokyo")).is_ok());
    for (version, field, value, says) in [
        (1, "send_window", window("09:00", "18:00", "UTC"), "field `send_window`: is not of version 1"),
        (1, "ramp", serde_json::json!({ "first_hour": 500 }), "field `ramp`: is not of version 1"),
        (2, "ramp", serde_json::json!({ "first_hour": 0 }), "field `ramp.first_hour`: it is the number 0, and "),
        (1, "effective_at", "2027-01-01T00:00:00Z".into(), "field `effective_at`: is not of version 1"),
        (1, "not_before", "2026-01-01T00:00:00Z".into(), "field `not_before`: is not of version 1"),
        (2, "not_before", "2099-01-01T00:00:00Z".into(), "field `not_before`: is 2099-01-01T00:00:00Z, not before not_after"),
        (
            2,
            "send_window",
            window("18:00", "09:00", "UTC"),
            "field `send_window.to`: is 09:00, not after `from` (18:00), so the window never opens",
        ),
        (
            2,
            "send_window",
            window("09:00", "18:00", "Mars/Olympus"),
            "field `send_window.time_zone`: `Mars/Olympus` is no time zone; name one of",
        ),
        (2, "not_after", "tomorrow".into(), "field `not_after`: is no moment; write date, time and offset"),
        (2, "from", "nobody".into(), "field `from`: the address is not a name, one `@` and a domain with a dot; write an address alone"),
        (2, "send_window", window("nine", "18:00", "UTC"), "field `send_window.from`: is no time of day"),
    ] {
        let error = parsed(version, field, value).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

/// A list of values in the order of the fields is nothing that anybody means as a command.
#[test]
fn what_is_no_object_and_what_says_something_twice_is_refused_by_its_name() {
    let body = BroadcastCommand::parse(&read("broadcast-command.v2.example.json")).unwrap().to_body();
    let error = |body: &str| BroadcastCommand::parse(body).unwrap_err().to_string();
    let no_object = "the message is not JSON (no object, but a list or a single value); send one JSON object";
    for list in [format!("[{body}]"), "[2, \"terms\"]".to_owned(), "\"terms\"".to_owned(), " 2 ".to_owned()] {
        assert_eq!(error(&list), no_object);
    }
    let twice = |name: &str, value: &str| error(&body.replacen('{', &format!("{{\"{name}\":{value},"), 1));
    assert_eq!(twice("class", "\"service\""), "field `class`: stands there twice; leave one of them");
    assert!(twice("version", "2").contains("duplicate field `version`"), "{}", twice("version", "2"));
    let inner = body.replacen("\"subject\":", "\"subject\":\"Other\",\"subject\":", 1);
    assert!(error(&inner).ends_with(".subject`: stands there twice; leave one of them"), "{}", error(&inner));
    assert_eq!(issei_schema::broadcast_id_in("[\"terms\"]"), None);
}

fn without_descriptions(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(fields) => {
            fields.remove("description");
            fields.values_mut().for_each(without_descriptions);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}

/// The key of the example of version 3.
const KEY: [u8; 32] = *b"the key of an example, 32 bytes.";

/// Whoever reads version 1 or 2 alone reads what is written for a broadcast that has no key.
#[test]
fn a_chunk_message_without_a_proof_is_written_in_the_oldest_version_that_can_say_it() {
    let traced = ChunkMessage::parse(&read("chunk-message.v2.example.json")).unwrap();
    let error = ChunkMessage::parse_up_to(ChunkVersion::V1, &traced.to_body()).unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "2".to_owned(), newest: 1 });
    let written = |key: Option<&MessageKey>, trace| {
        ChunkMessage::new(key, traced.broadcast_id.clone(), traced.page, traced.chunk, traced.recipients.clone(), trace)
    };
    let untraced = written(None, None);
    assert_eq!(ChunkMessage::parse_up_to(ChunkVersion::V1, &untraced.to_body()), Ok(untraced));
    assert_eq!(written(None, traced.trace().cloned()), traced);
    let proved = written(Some(&MessageKey::new(KEY)), None);
    let error = ChunkMessage::parse_up_to(ChunkVersion::V2, &proved.to_body()).unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "3".to_owned(), newest: 2 });
}

/// What a proof covers must not change from one build to the next, or their messages prove nothing to each
/// other: the example's was computed by `openssl` over the bytes that decision 9 describes.
#[test]
fn the_example_is_proved_under_its_key_and_nothing_that_is_used_of_it_can_be_changed() {
    let (text, key) = (read("chunk-message.v3.example.json"), MessageKey::new(KEY));
    let message = ChunkMessage::parse(&text).unwrap();
    let proved = ChunkMessage::new(Some(&key), message.broadcast_id.clone(), 0, 0, message.recipients.clone(), message.trace().cloned());
    assert!(message.is_proved(&key), "{}", proved.to_body());
    assert!(!message.is_proved(&MessageKey::new([0; 32])));
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (pointer, value) in [
        ("/broadcast_id", serde_json::json!("terms-2026-12")),
        ("/page", 1.into()),
        ("/chunk", 1.into()),
        ("/recipients/0/key", "19".into()),
        ("/recipients/1/address", "eve@example.com".into()),
        ("/recipients/0/data/name", "Eve".into()),
        ("/recipients/0/data", serde_json::json!({ "nam": "eAnn" })),
        ("/recipients/1/data", serde_json::json!({})),
        ("/proof", "0".repeat(64).into()),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!ChunkMessage::parse(&bad.to_string()).unwrap().is_proved(&key), "{pointer}");
    }
    for (pointer, value, reason) in [
        ("/version", 2.into(), "field `proof`: is new in version 3"),
        ("/proof", serde_json::Value::Null, "field `proof`: is missing"),
        ("/proof", "00".into(), "field `proof`: is not 64"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = ChunkMessage::parse(&bad.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn a_trace_that_does_not_belong_there_is_refused() {
    let traced: serde_json::Value = serde_json::from_str(&read("chunk-message.v2.example.json")).unwrap();
    for (field, value) in [
        ("version", 1.into()),
        ("trace", serde_json::Value::Null),
        ("trace", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".into()),
        ("trace", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01".into()),
        ("trace", "ann@example.com".into()),
    ] {
        let mut bad = traced.clone();
        bad[field] = value;
        let error = ChunkMessage::parse(&bad.to_string()).unwrap_err();
        assert!(error.to_string().starts_with("field `trace`") && !error.to_string().contains("ann"), "{error}");
    }
}

#[test]
fn the_hash_of_a_command_does_not_hang_on_how_its_json_is_laid_out() {
    let text = read("broadcast-command.v1.example.json");
    let compact = serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string();
    assert_eq!(BroadcastCommand::parse(&text).unwrap().hash(), BroadcastCommand::parse(&compact).unwrap().hash());
    // What "the same command" means must not change from one version of issei to the next.
    for name in ["v1", "v2", "v2.variants", "v2.template", "v2.test-copy", "v2.full"] {
        let hash = BroadcastCommand::parse(&read(&format!("broadcast-command.{name}.example.json"))).unwrap().hash().to_string();
        assert_eq!(hash, read(&format!("broadcast-command.{name}.example.sha256")).trim(), "{name}: as the first version computed it");
    }
    // Whatever a command may say is in one of them.
    let full: serde_json::Value = serde_json::from_str(&read("broadcast-command.v2.full.example.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&read("broadcast-command.v2.schema.json")).unwrap();
    let missing: Vec<&String> = schema["properties"].as_object().unwrap().keys().filter(|field| full.get(field).is_none()).collect();
    assert_eq!(missing, ["test_copy"], "a copy has an example of its own");
}

/// A command that does not say why keeps the hash that it had before it could.
#[test]
fn why_a_command_says_the_same_again_is_a_part_of_it_where_it_is_given() {
    let hash = |change: fn(&mut serde_json::Value)| BroadcastCommand::parse(&command_with(change)).unwrap().hash();
    let plain = hash(|_| {});
    assert_eq!(hash(|command| command["again"] = serde_json::Value::Null), plain);
    let one = hash(|command| command["again"] = "the link was broken".into());
    assert!(one != plain && one != hash(|command| command["again"] = "they asked for it".into()));
    for bad in [String::new(), " ".to_owned(), "two\nlines".to_owned(), "x".repeat(513)] {
        let body = command_with(|command| command["again"] = bad.into());
        assert!(BroadcastCommand::parse(&body).unwrap_err().to_string().starts_with("field `again`"));
    }
}

#[test]
fn a_message_of_another_version_is_refused_for_its_version_alone() {
    let error = BroadcastCommand::parse("{\"version\": 3, \"anything\": \"new\"}").unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "3".to_owned(), newest: 2 });
    let error = ChunkMessage::parse("{\"version\": 4}").unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "4".to_owned(), newest: 3 });
    // Which one it means is plain, and what is to be done, too.
    for error in [BroadcastCommand::parse("{\"version\": \"1\"}").unwrap_err(), ChunkMessage::parse("{\"version\": \"1\"}").unwrap_err()] {
        assert_eq!(error.to_string(), "field `version`: is a text in quotes and must be a number; write 1 without quotes");
    }
}

fn command_with(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut command: serde_json::Value = serde_json::from_str(&read("broadcast-command.v1.example.json")).unwrap();
    change(&mut command);
    command.to_string()
}

/// The last of them would be sent, and the other forgotten without a word. What an earlier build has begun with goes on.
#[test]
fn two_variants_of_one_name_are_refused_with_the_name() {
    let command = |second: &str| {
        command_with(|command| {
            (command["version"], command["class"]) = (2.into(), "service".into());
            command["content"] = serde_json::json!({ "variants": { "by": "locale", "of": "OF" } });
        })
        .replace("\"OF\"", &format!(r#"{{ "ja": {{ "subject": "s", "text": "one" }}, "{second}": {{ "subject": "s", "text": "two" }} }}"#))
    };
    assert!(BroadcastCommand::parse(&command("en")).is_ok());
    for twice in ["ja", "\\u006aa"] {
        let error = BroadcastCommand::parse(&command(twice)).unwrap_err().to_string();
        assert_eq!(error, "field `content.variants.of.ja`: stands there twice; leave one of them");
        assert!(BroadcastCommand::stored(&command(twice)).is_ok());
    }
    // So is what a copy is filled with.
    let copy = command_with(|command| {
        (command["version"], command["class"], command["max_recipients"]) = (2.into(), "service".into(), 1.into());
        command["test_copy"] = serde_json::json!({ "to": "me@example.com", "data": "DATA" });
        command.as_object_mut().unwrap().remove("canary");
    })
    .replace("\"DATA\"", r#"{ "name": "Ann", "name": "Bea" }"#);
    let error = BroadcastCommand::parse(&copy).unwrap_err().to_string();
    assert_eq!(error, "field `test_copy.data.name`: stands there twice; leave one of them");
}

#[test]
fn a_byte_order_mark_before_a_message_is_no_part_of_it() {
    let plain = command_with(|_| {});
    let marked = BroadcastCommand::parse(&format!("\u{feff}{plain}")).unwrap();
    assert_eq!(marked.hash(), BroadcastCommand::parse(&plain).unwrap().hash());
    let chunk = read("chunk-message.v1.example.json");
    assert_eq!(ChunkMessage::parse(&format!("\u{feff}{chunk}")), ChunkMessage::parse(&chunk));
}

#[test]
fn content_that_would_be_mailed_as_something_else_is_refused_and_one_that_is_kept_already_is_read() {
    for (content, field, says) in [
        (serde_json::json!({ "subject": "x", "text": "", "html": "" }), "content.inline", "are empty"),
        (serde_json::json!({ "subject": "x", "text": " \n", "html": "\u{3000}" }), "content.inline", "are empty"),
        (serde_json::json!({ "subject": "x", "html": "\r\n" }), "content.inline", "are empty"),
        (serde_json::json!({ "subject": "x", "text": "\u{200b}\u{feff} \u{3164}" }), "content.inline", "are empty"),
        (serde_json::json!({ "subject": "\u{2060}\u{200b}", "text": "x" }), "content.inline.subject", "is blank"),
        (serde_json::json!({ "subject": "x", "text": "home: \\\\server\\{{name}}" }), "content.inline.text", "at byte 15"),
        (serde_json::json!({ "subject": "\\{{name}}", "text": "x" }), "content.inline.subject", "a backslash before `{{name}}`"),
        (serde_json::json!({ "subject": "x", "html": "{{a}}\\{{name}}" }), "content.inline.html", "put a blank between"),
    ] {
        let body = command_with(|command| command["content"] = serde_json::json!({ "inline": content }));
        let error = BroadcastCommand::parse(&body).unwrap_err().to_string();
        assert!(error.starts_with(&format!("field `{field}`:")) && error.contains(says), "{error}");
        assert!(BroadcastCommand::stored(&body).is_ok(), "{body}");
    }
    for content in [
        serde_json::json!({ "subject": "x", "text": "", "html": "<p>y</p>" }),
        serde_json::json!({ "subject": "x", "text": "{{body}}" }),
        serde_json::json!({ "subject": "x", "text": "C:\\ {{name}} \\ end\\" }),
    ] {
        let body = command_with(|command| command["content"] = serde_json::json!({ "inline": content }));
        assert!(BroadcastCommand::parse(&body).is_ok(), "{body}");
    }
}

#[test]
fn a_sender_that_nobody_can_decode_is_refused_with_its_field() {
    for field in ["from", "reply_to"] {
        let body = command_with(|command| command[field] = "=?UTF-8?B?!!?= <a@example.com>".into());
        let error = BroadcastCommand::parse(&body).unwrap_err().to_string();
        assert!(error.starts_with(&format!("field `{field}`: the display name")), "{error}");
        assert!(BroadcastCommand::stored(&body).is_ok());
    }
}

/// The same command is the same in every version of issei, however its sender is written: older ones left quotes out.
#[test]
fn how_a_sender_is_written_stays_part_of_the_hash_as_it_was() {
    for (from, kept, hashed) in [
        ("Ann <a@example.com>", "Ann <a@example.com>", "Ann <a@example.com>"),
        ("\"Ann\" <a@example.com>", "Ann <a@example.com>", "Ann <a@example.com>"),
        ("\"Ann, Inc.\" <a@example.com>", "\"Ann, Inc.\" <a@example.com>", "Ann, Inc. <a@example.com>"),
        ("一斉 <a@example.com>", "一斉 <a@example.com>", "一斉 <a@example.com>"),
        (r#""Ann \"Nan\"" <a@example.com>"#, r#""Ann \"Nan\"" <a@example.com>"#, r#"Ann \"Nan\ <a@example.com>"#),
        ("=?UTF-8?B?5LiA5paJ?= <a@example.com>", "=?UTF-8?B?5LiA5paJ?= <a@example.com>", "=?UTF-8?B?5LiA5paJ?= <a@example.com>"),
    ] {
        for field in ["from", "reply_to"] {
            let with = |sender: &str| command_with(|command| command[field] = sender.into());
            let sender = |command: &BroadcastCommand| -> String {
                let body: serde_json::Value = serde_json::from_str(&command.to_body()).unwrap();
                body[field].as_str().unwrap().to_owned()
            };
            let command = BroadcastCommand::parse(&with(from)).unwrap();
            assert_eq!(sender(&command), kept);
            assert_eq!(BroadcastCommand::parse(&command.to_body()).unwrap(), command);
            let older = BroadcastCommand::stored(&with(hashed)).unwrap();
            assert_eq!((sender(&older).as_str(), older.hash()), (hashed, command.hash()));
        }
    }
}

/// Decision 9 tells what a recipient costs. No time is asserted: a busy machine would be wrong.
#[test]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "this measures, and tells")]
fn a_full_chunk_is_proved_and_what_that_costs_is_told() {
    let recipient = |number: u32| {
        let (key, address) = (number.to_string(), format!("user{number:06}@example.com"));
        let data = serde_json::json!({ "name": format!("User {number}") });
        serde_json::from_value(serde_json::json!({ "key": key, "address": address, "data": data })).unwrap()
    };
    let (key, id, rounds) = (MessageKey::new(KEY), "terms-2026-11".parse().unwrap(), 2_000_u32);
    let message = ChunkMessage::new(Some(&key), id, 0, 7, (0..50).map(recipient).collect(), None);
    let began = std::time::Instant::now();
    assert!((0..rounds).all(|_| std::hint::black_box(&message).is_proved(&key)));
    let each = began.elapsed() / rounds;
    println!("{} ns a recipient, {} us a chunk of 50", each.as_nanos() / 50, each.as_micros());
}
