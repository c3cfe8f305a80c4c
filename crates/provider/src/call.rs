//! One request to a provider, in issei's own words. Whatever stands in here is ready to be sent: values are safe for
//! their places, and nothing is asked of the ledger any more.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use issei_letter::Letter;
use issei_schema::{Address, BroadcastId, Class, Mailbox};
use jiff::Timestamp;

/// The names under which each message carries whose it is, so that any event about it tells.
const TAGS: [&str; 3] = ["broadcast", "chunk", "recipient"];
/// And under this one by which registration of the broadcast: an account tells of the letters of all who share it.
pub(crate) const REGISTRATION: &str = "registration";

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub broadcast: &'a BroadcastId,
    pub chunk: u32,
    /// By what its letters name the registration of the broadcast; nothing where an older build made that.
    pub registration: Option<&'a str>,
    pub class: Class,
    pub from: &'a Mailbox,
    pub reply_to: Option<&'a Mailbox>,
    /// The words that all entries share, with a slot for whatever differs.
    pub letter: &'a Letter,
    /// Not more than the provider takes at once.
    pub entries: &'a [Entry],
    /// The moment at which the permit was granted, by the clock of the ledger's database. A provider that refuses what
    /// is old is told this moment and no later one ([decision 10](../../../docs/decisions/0010-a-paused-machine-is-refused-by-aws.md)).
    pub granted_at: Timestamp,
    /// The same for this request and for no other; where the provider knows replay keys.
    pub key: Option<&'a ReplayKey>,
}

/// One recipient of a request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The place in the chunk.
    pub at: usize,
    pub to: Address,
    /// What stands in the letter's slots, by their names; each value is safe for its place already.
    pub values: BTreeMap<String, String>,
    /// Headers beside those that every message has.
    pub headers: Vec<(&'static str, String)>,
}

/// What a provider knows a request by that it has seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayKey(pub String);

impl Call<'_> {
    /// The SHA-256 of whatever its body is made from, in base64. Another build may write the same otherwise; then this
    /// differs too soon rather than too late, and the provider is the last to compare. With the mark of the key that it is
    /// made with: to another account the same body is another request.
    #[must_use]
    pub fn digest(&self, key_mark: Option<&str>) -> String {
        let Self { broadcast, chunk, registration, class, from, reply_to, letter, entries, .. } = self;
        let entries: Vec<_> = entries.iter().map(|entry| (entry.at, entry.to.as_str(), &entry.values, &entry.headers)).collect();
        let text = format!("{:?}", (broadcast, chunk, class, from.to_string(), reply_to.map(ToString::to_string), letter, entries));
        // Without one it is the digest that an older build has written.
        let text = registration.map_or(text.clone(), |registration| format!("{text} of {registration}"));
        let text = key_mark.map_or(text.clone(), |mark| format!("{text} {mark}"));
        BASE64.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
    }

    /// What each message carries, so that any event about it tells whose it is.
    #[must_use]
    pub fn tags(&self, entry: &Entry) -> Vec<(&'static str, String)> {
        let [broadcast, chunk, recipient] = TAGS;
        let whose = [(broadcast, self.broadcast.to_string()), (chunk, self.chunk.to_string()), (recipient, entry.at.to_string())];
        let registration = self.registration.map(|registration| (REGISTRATION, registration.to_owned()));
        whose.into_iter().chain(registration).collect()
    }
}
