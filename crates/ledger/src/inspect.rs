//! Items as a certificate looks at them: with what stands in them beside their content, so that what was
//! altered by hand shows. Nothing on the way of a send is decided by any of it.

use jiff::Timestamp;
use serde::Deserialize;

use crate::item::{Item, Key, read};
use crate::{Broadcast, Chunk, EventLog, Feedback, Ledger, LedgerError, Placed, Walked};

/// A chunk and its events, with what else their items say.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub walked: Walked,
    /// Nothing where nobody has claimed it.
    pub claim: Option<ClaimMarks>,
    /// When its events may be deleted; nothing where there is no item of them.
    pub events_expire: Option<Expiry>,
}

/// What a chunk's item says beside its outcomes.
#[derive(Clone, Debug)]
pub struct ClaimMarks {
    /// The token of whoever claimed it last, or reopened it.
    pub owner: String,
    pub lease_until: Timestamp,
    /// The provider's ids by recipient, `-` for none. A claim keeps those of the attempts before it.
    pub message_ids: Vec<String>,
    pub reopened_at: Option<Timestamp>,
    pub expires: Expiry,
}

/// When `DynamoDB` may delete an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    At(Timestamp),
}

/// An item that is looked for by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Absent,
    There(Expiry),
}

/// What stands around a broadcast's pages and chunks.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    pub broadcast: Entry,
    pub command: Entry,
    /// In the list of all broadcasts.
    pub known: Entry,
    /// In the list of those that are not over.
    pub open: Entry,
    /// The page after the last.
    pub page_beyond: Entry,
    /// It was told about after its end, and the totals have not been written anew since.
    pub totals_are_due: bool,
}

#[derive(Deserialize)]
struct MarksItem {
    #[serde(default)]
    owner_token: String,
    lease_until: i64,
    #[serde(default, deserialize_with = "crate::message_ids::read")]
    message_ids: String,
    #[serde(default)]
    reopened_at: Option<i64>,
}

#[derive(Deserialize)]
struct ToldItem {
    #[serde(default)]
    told: u64,
    #[serde(default)]
    totalled: u64,
}

pub(crate) fn expiry(item: &Item) -> Expiry {
    let second = item.get("expires_at").and_then(|second| second.as_n().ok()).and_then(|second| second.parse().ok());
    second.and_then(|second| Timestamp::from_second(second).ok()).map_or(Expiry::Never, Expiry::At)
}

fn marks(item: &Item) -> Result<ClaimMarks, LedgerError> {
    let time = |ms| Timestamp::from_millisecond(ms).map_err(|error| LedgerError::corrupt("chunk", error));
    let MarksItem { owner_token, lease_until, message_ids, reopened_at } = read(item.clone())?;
    Ok(ClaimMarks {
        owner: owner_token,
        lease_until: time(lease_until)?,
        message_ids: message_ids.split_whitespace().map(str::to_owned).collect(),
        reopened_at: reopened_at.map(time).transpose()?,
        expires: expiry(item),
    })
}

impl Ledger {
    /// Up to a hundred chunks and their events with two calls, in the order of their numbers as given. `log` is what the
    /// broadcast's log of events says.
    pub async fn inspect(&self, of: &Placed, chunks: &[u32], log: &EventLog) -> Result<Vec<Inspected>, LedgerError> {
        let keys = |key: fn(&Placed, u32) -> Key| chunks.iter().map(|seq| key(of, *seq)).collect();
        let (mut found, mut events) = (self.batch_get(keys(Key::chunk)).await?, self.batch_get(keys(Key::feedback)).await?);
        let inspected = chunks.iter().map(|seq| {
            let (item, events) = (found.remove(&Key::chunk(of, *seq)), events.remove(&Key::feedback(of, *seq)));
            let claim = item.as_ref().map(marks).transpose()?;
            let feedback = Feedback::read(events.as_ref()).union(&log.of(*seq));
            let walked = Walked { seq: *seq, chunk: Chunk::read(item)?, feedback };
            Ok(Inspected { walked, claim, events_expire: events.as_ref().map(expiry) })
        });
        inspected.collect()
    }

    /// What stands around a broadcast, with one call.
    pub async fn surroundings(&self, broadcast: &Broadcast) -> Result<Surroundings, LedgerError> {
        let id = &broadcast.broadcast_id;
        let page = Key::page(&broadcast.placed(), broadcast.pages);
        let keys = [Key::broadcast(id), Key::command(id), Key::known(id), Key::open(id), Key::told(id), page.clone()];
        let mut found = self.batch_get(keys.to_vec()).await?;
        let told = found.remove(&Key::told(id)).map(read::<ToldItem>).transpose()?;
        let entry = |key: &Key| found.get(key).map_or(Entry::Absent, |item| Entry::There(expiry(item)));
        Ok(Surroundings {
            broadcast: entry(&Key::broadcast(id)),
            command: entry(&Key::command(id)),
            known: entry(&Key::known(id)),
            open: entry(&Key::open(id)),
            page_beyond: entry(&page),
            totals_are_due: told.is_some_and(|told| told.told > told.totalled),
        })
    }
}
