//! The messages as they stand on the wire: schemas and examples are checked in, and a change shows.
//!
//! With `ISSEI_UPDATE=1` the schemas are written instead of compared. The examples never are: an
//! old message must stay readable.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::PathBuf;

use issei_schema::{BroadcastCommand, ChunkMessage, ChunkVersion, InDoubtPolicy, ParseError};
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
    check_schema::<BroadcastCommand>("broadcast-command.v1.schema.json");
    check_schema::<ChunkMessage>("chunk-message.v2.schema.json");
}

#[test]
fn the_examples_are_read_and_written_as_they_stand() {
    let text = read("broadcast-command.v1.example.json");
    let command = BroadcastCommand::parse(&text).unwrap();
    assert_eq!(command.in_doubt, InDoubtPolicy::Hold);
    let again: serde_json::Value = serde_json::from_str(&command.to_body()).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    for name in ["chunk-message.v1.example.json", "chunk-message.v2.example.json"] {
        let text = read(name);
        let chunk = ChunkMessage::parse(&text).unwrap();
        let again: serde_json::Value = serde_json::from_str(&chunk.to_body()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
}

/// What was published of version 1 stays as it is, and version 2 adds one field to it.
#[test]
fn version_2_of_chunk_messages_is_version_1_and_a_trace() {
    let schema = |version: u8| serde_json::from_str::<serde_json::Value>(&read(&format!("chunk-message.v{version}.schema.json"))).unwrap();
    let (old, mut new) = (schema(1), schema(2));
    assert!(new["properties"].as_object_mut().unwrap().remove("trace").is_some());
    assert!(new["$defs"].as_object_mut().unwrap().remove("TraceParent").is_some());
    new["$defs"]["Version"] = old["$defs"]["Version"].clone();
    assert_eq!(new, old);
}

/// A build for which version 1 was the newest reads what a newer one writes, as long as it traces nothing.
#[test]
fn a_chunk_message_is_written_in_the_oldest_version_that_can_say_it() {
    let traced = ChunkMessage::parse(&read("chunk-message.v2.example.json")).unwrap();
    let error = ChunkMessage::parse_up_to(ChunkVersion::V1, &traced.to_body()).unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "2".to_owned(), newest: 1 });
    let untraced = ChunkMessage::new(traced.broadcast_id.clone(), traced.page, traced.chunk, traced.recipients.clone(), None);
    assert_eq!(ChunkMessage::parse_up_to(ChunkVersion::V1, &untraced.to_body()), Ok(untraced));
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
    let expected = "the hash of the example, as the first version computed it";
    let hash = BroadcastCommand::parse(&text).unwrap().hash().to_string();
    assert_eq!(hash, read("broadcast-command.v1.example.sha256").trim(), "{expected}");
}

#[test]
fn a_message_of_another_version_is_refused_for_its_version_alone() {
    let error = BroadcastCommand::parse("{\"version\": 2, \"anything\": \"new\"}").unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "2".to_owned(), newest: 1 });
    let error = ChunkMessage::parse("{\"version\": \"1\"}").unwrap_err();
    assert_eq!(error, ParseError::UnknownVersion { version: "\"1\"".to_owned(), newest: 2 });
}

fn command_with(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut command: serde_json::Value = serde_json::from_str(&read("broadcast-command.v1.example.json")).unwrap();
    change(&mut command);
    command.to_string()
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

/// The same command is the same in every version of issei, however its sender is written.
#[test]
fn how_a_sender_is_written_stays_part_of_the_hash_as_it_was() {
    for (from, kept) in [
        ("Ann <a@example.com>", "Ann <a@example.com>"),
        ("\"Ann, Inc.\" <a@example.com>", "Ann, Inc. <a@example.com>"),
        ("一斉 <a@example.com>", "一斉 <a@example.com>"),
        (r#""Ann \"Nan\"" <a@example.com>"#, r#"Ann \"Nan\ <a@example.com>"#),
        ("=?UTF-8?B?5LiA5paJ?= <a@example.com>", "=?UTF-8?B?5LiA5paJ?= <a@example.com>"),
    ] {
        let command = BroadcastCommand::parse(&command_with(|command| command["from"] = from.into())).unwrap();
        let body: serde_json::Value = serde_json::from_str(&command.to_body()).unwrap();
        assert_eq!(body["from"], kept);
    }
}
