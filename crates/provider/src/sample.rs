//! A call for the tests of what providers make of one.

use std::collections::BTreeMap;

use issei_letter::{Letter, Letters};
use issei_schema::{BroadcastCommand, BroadcastId, Class, Mailbox};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Call, Entry, ReplayKey};

/// What a call borrows from.
pub(crate) struct Sample {
    broadcast: BroadcastId,
    pub(crate) class: Class,
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    letters: Letters,
    pub(crate) registration: Option<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) key: Option<ReplayKey>,
}

impl Sample {
    /// The entries are numbered from 10, as those of a later part of a chunk; each has a `name`.
    pub(crate) fn new(content: &Value, names: &[&str]) -> Self {
        let command = json!({
            "version": 1, "broadcast_id": "terms-2026", "audience": "users", "content": { "inline": content }, "from": "a@example.com",
            "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        let letters = Letters::of(&BroadcastCommand::parse(&command.to_string()).unwrap()).unwrap();
        let entry = |(at, name): (usize, &&str)| {
            let data = BTreeMap::from([("name".to_owned(), (*name).to_owned())]);
            let values = letters.letter(0).map(|letter: &Letter| letter.values(&data)).unwrap();
            Entry { at: 10 + at, to: format!("u{at}@example.com").parse().unwrap(), values, headers: Vec::new() }
        };
        Self {
            broadcast: "terms-2026".parse().unwrap(),
            class: Class::Service,
            from: "Example <no-reply@example.com>".parse().unwrap(),
            reply_to: None,
            entries: names.iter().enumerate().map(entry).collect(),
            letters,
            registration: None,
            key: Some(ReplayKey("issei/terms-2026/7/1".to_owned())),
        }
    }

    pub(crate) fn call(&self) -> Call<'_> {
        Call {
            broadcast: &self.broadcast,
            chunk: 7,
            registration: self.registration.as_deref(),
            class: self.class,
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            letter: self.letters.letter(0).unwrap(),
            entries: &self.entries,
            granted_at: Timestamp::UNIX_EPOCH,
            key: self.key.as_ref(),
        }
    }
}
