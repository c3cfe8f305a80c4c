//! What untrusted input meets first: one function for each kind of it. Whatever the bytes are, none may
//! panic, and what is accepted must hold what the type promises.
//!
//! The fuzzer (`fuzz/`) calls them with what it invents, and the test command with the corpora that
//! it left in `fuzz/corpus`.

#![allow(clippy::panic, clippy::expect_used, clippy::missing_panics_doc, reason = "a broken promise is what the fuzzer looks for")]

use issei_producer::{AudienceConfig, judge_all};
use issei_provider::Told;
use issei_provider::ses::{parse_event, unwrapped};
use issei_schema::{BroadcastCommand, ChunkMessage, limits};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: [(&str, Target); 4] = [("command", command), ("chunk", chunk), ("event", event), ("csv", csv)];

/// A body on the commands queue.
pub fn command(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(command) = BroadcastCommand::parse(text) else { return };
    let again = BroadcastCommand::parse(&command.to_body()).expect("what was written is read");
    assert_eq!(again.to_body(), command.to_body(), "a command changes on its way");
    let from = command.from.to_string();
    assert!(!from.chars().any(char::is_control), "a header can be broken open: {from:?}");
}

/// A body on the chunks queue.
pub fn chunk(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(chunk) = ChunkMessage::parse(text) else { return };
    assert!((1..=limits::CHUNK_RECIPIENTS_MAX).contains(&chunk.recipients.len()));
    let again = ChunkMessage::parse(&chunk.to_body()).expect("what was written is read");
    assert_eq!(again.to_body(), chunk.to_body(), "a chunk changes on its way");
    for recipient in &chunk.recipients {
        let address = recipient.address.as_str();
        assert!(!address.chars().any(|c| c.is_control() || c.is_whitespace()), "{address:?}");
    }
}

/// A body on the feedback queue.
pub fn event(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(text) = unwrapped(text) else { return };
    if let Ok(Told::Event(event)) = parse_event(&text) {
        assert!(usize::try_from(event.at).is_ok_and(|at| at < limits::CHUNK_RECIPIENTS_MAX));
    }
}

/// A CSV file as an audience. The first byte says whether broken lines are skipped.
pub fn csv(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("audience.csv");
    std::fs::write(&file, [b"id,email,name\n", text].concat()).expect("the file can be written");
    let audience = AudienceConfig {
        file: Some(file.display().to_string()),
        key: "id".to_owned(),
        allow_broken_rows: kind % 2 == 0,
        address: "email".to_owned(),
        columns: vec!["name".to_owned()],
        ..AudienceConfig::default()
    };
    let command = serde_json::json!({
        "version": 1, "broadcast_id": "b", "audience": "fuzzed", "content": { "inline": { "subject": "Hi {{name}}", "text": "." } },
        "from": "a@example.com", "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "a fuzzer",
    });
    let command = BroadcastCommand::parse(&command.to_string()).expect("a good command");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rows = runtime.block_on(judge_all(&command, &audience));
    // A broken file is an error that names it, and the rows of a good one are all accounted for.
    if let Ok((rows, judged)) = rows {
        assert_eq!(rows, judged, "rows were lost");
    }
}
