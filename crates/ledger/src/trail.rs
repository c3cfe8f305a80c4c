//! The audit trail: who did what to a broadcast, when and why, each entry chained to the one before.
//!
//! The broadcast item keeps the most recent entries, and each older one has an item of its own; so the
//! item stays far below the 400 KB that `DynamoDB` allows (developer guide, "Service quotas"), whatever is
//! written about a broadcast. What this must never do: keep a step from being taken, for want of room, of a
//! reason or of an entry.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use issei_aws::AwsCall;
use issei_schema::{Actor, BroadcastId, on_one_line};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{AUDIT, Item, Key, read, s};
use crate::step::ACCEPTED_TWICE;
use crate::{Broadcast, BroadcastState, Ledger, LedgerError, ReasonCode, phrases};

/// Written where somebody says that each key by which another provider than SES was asked for a broadcast is revoked.
pub const KEY_REVOKED: &str = phrases::KEY_REVOKED_STEP.english;

/// One step in a broadcast's life: who, when, what and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: String,
    pub step: String,
    pub reason: String,
    /// Of a reason that issei itself has. The chain is over the reason and not over this, which an older build leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "ReasonCode::leniently")]
    pub code: Option<ReasonCode>,
    /// Its place in the chain. Entries of earlier builds have none until a step is written after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
}

/// What ties an entry to the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in the trail, from 1.
    pub seq: u64,
    /// Tells the write that made it from every other. An entry of an earlier build has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// SHA-256 over the hash of the entry before and all that this one says, in hexadecimal.
    pub hash: String,
}

/// The whole trail, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct AuditTrail {
    pub entries: Vec<AuditEntry>,
    /// Where it does not hold against itself or against the broadcast; nothing where it does.
    pub broken: Vec<String>,
}

/// Entries that stay in the broadcast item, and their bytes. Together with everything else a few dozen KB.
const KEPT_MAX: usize = 16;
const KEPT_BYTES_MAX: usize = 24 * 1024;
/// Where older entries can't be moved the list grows; from this size on, reasons are cut short. Then there
/// is room for some five hundred steps still, and then for steps without entries.
const LIST_BYTES_TIGHT: usize = 128 * 1024;

/// Bytes of a reason that the trail keeps, and where it is tight.
pub(crate) const REASON_BYTES_MAX: usize = 1_000;
const REASON_BYTES_TIGHT: usize = 40;
/// Bytes of a name; an ARN has 2,048 at most (IAM user guide, "IAM and STS quotas"), and seldom 200.
const ACTOR_BYTES_MAX: usize = 512;
/// What an entry takes beside its texts: names of attributes, time, token and hash.
const ENTRY_BYTES: usize = 300;

/// The step of what is none.
const UNREADABLE: &str = phrases::UNREADABLE_STEP.english;

impl AuditEntry {
    /// Whatever is asked for can be written down: a reason that is too long is cut, one with control
    /// characters loses them, and one that is missing says so.
    pub(crate) fn new(at: Timestamp, actor: &Actor, step: String, reason: &str) -> Self {
        let reason = on_one_line(reason);
        let reason = match cut(reason.trim(), REASON_BYTES_MAX) {
            "" => phrases::NO_REASON.english,
            reason => reason,
        };
        Self { at, actor: cut(actor.as_str(), ACTOR_BYTES_MAX).to_owned(), step, reason: reason.to_owned(), code: None, link: None }
    }

    pub(crate) fn with_code(self, code: Option<ReasonCode>) -> Self {
        Self { code, ..self }
    }

    /// The states that it leads from and to; nothing where it is no step.
    fn states(&self) -> Option<(&str, &str)> {
        self.step.split_once(" -> ")
    }

    /// The state that it leads to, from another or as the first.
    fn leads_to(&self) -> Option<&str> {
        self.states().map(|(_, to)| to).or_else(|| self.is_decided().then_some(self.step.as_str()))
    }

    /// Whether it took the broadcast from one state to another.
    #[must_use]
    pub fn is_step(&self) -> bool {
        self.states().is_some()
    }

    /// Whether it is a step that somebody decided, and not what follows from one by itself.
    fn is_decided(&self) -> bool {
        self.states().map_or(self.step == BroadcastState::Enumerating.as_str(), |(from, _)| from != BroadcastState::Stopping.as_str())
    }

    /// Whether it says, without a step, that the provider took more than one message for somebody. An older build gives it no code.
    pub(crate) fn is_of_two(&self) -> bool {
        self.step == ACCEPTED_TWICE
    }

    /// Whether it says the same, by a step or without.
    fn tells_of_two(&self) -> bool {
        self.is_of_two() || self.code == Some(ReasonCode::StoppedDuplicate)
    }

    /// False for what stands in the list and is no entry.
    pub(crate) fn is_readable(&self) -> bool {
        self.step != UNREADABLE
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.link.as_ref()?.token.as_deref()
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.actor.len() + self.step.len() + self.reason.len()
    }

    /// Puts it at the end of a chain, and makes it the end.
    fn chained(mut self, end: &mut ChainEnd, token: Option<String>) -> Self {
        end.count += 1;
        let hash = self.hash(&end.head, end.count, token.as_deref());
        end.head.clone_from(&hash);
        self.link = Some(Link { seq: end.count, token, hash });
        self
    }

    fn hash(&self, before: &str, seq: u64, token: Option<&str>) -> String {
        let mut digest = Sha256::new();
        let (seq, at) = (seq.to_string(), self.at.to_string());
        for part in [before, &seq, token.unwrap_or_default(), &at, &self.actor, &self.step, &self.reason] {
            // With its length, so that no two entries read the same.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }
}

/// How long the chain is, and the hash of its last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChainEnd {
    pub(crate) count: u64,
    pub(crate) head: String,
}

/// What a write makes of the trail.
pub(crate) struct Appended {
    /// What the broadcast item keeps, the new entry last.
    pub(crate) list: Vec<AuditEntry>,
    /// What gets items of its own first, and is left out of the list.
    pub(crate) moved: Vec<AuditEntry>,
    pub(crate) end: ChainEnd,
    /// What tells how the broadcast stands, where that leaves the list.
    pub(crate) standing: Option<Vec<AuditEntry>>,
}

impl Appended {
    /// `kept` is the list as it was read, and `standing` what told before how the broadcast stands. What builds before this one have
    /// added to the list takes its place in the chain now, as it is found.
    pub(crate) fn of(kept: &[AuditEntry], standing: &[AuditEntry], mut end: ChainEnd, mut new: AuditEntry, token: String) -> Self {
        let tight = kept.iter().map(AuditEntry::bytes).sum::<usize>() > LIST_BYTES_TIGHT;
        if tight {
            new.reason.truncate(new.reason.floor_char_boundary(REASON_BYTES_TIGHT));
        }
        let chain = |entry: &AuditEntry| if entry.link.is_some() { entry.clone() } else { entry.clone().chained(&mut end, None) };
        let mut list: Vec<AuditEntry> = kept.iter().map(chain).collect();
        list.push(new.chained(&mut end, Some(token)));
        let mut bytes = 0;
        let fits = list.iter().rev().take(KEPT_MAX).take_while(|entry| {
            bytes += entry.bytes();
            bytes <= KEPT_BYTES_MAX
        });
        // The new one stays in any case.
        let stay = fits.count().max(1);
        let list_begins = list.len() - stay;
        let told = telling(standing.iter().chain(&list));
        let kept = list.split_off(list_begins);
        let is_left_behind = told.iter().any(|entry| !kept.contains(entry));
        Self { list: kept, moved: list, end, standing: (is_left_behind && told != standing).then_some(told) }
    }

    /// Nothing is moved, since that failed.
    pub(crate) fn unmoved(mut self) -> Self {
        self.moved.append(&mut self.list);
        Self { list: self.moved, moved: Vec::new(), standing: None, ..self }
    }

    /// The new entry.
    pub(crate) fn newest(&self) -> Option<&AuditEntry> {
        self.list.last()
    }
}

/// The few entries that tell how a broadcast stands: what was decided last, the last step, and the last finding of a second
/// acceptance.
fn telling<'a>(entries: impl DoubleEndedIterator<Item = &'a AuditEntry> + Clone) -> Vec<AuditEntry> {
    let last = |tells: fn(&AuditEntry) -> bool| entries.clone().rfind(|entry| tells(entry));
    let told = [AuditEntry::is_decided, AuditEntry::is_step, AuditEntry::tells_of_two].map(last);
    entries.clone().filter(|entry| told.contains(&Some(*entry))).cloned().collect()
}

/// As many bytes of it as `most`, and whole characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// A list in which somebody has written what is no entry is read all the same.
pub(crate) fn leniently<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AuditEntry>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Or<T> {
        Readable(T),
        Other(IgnoredAny),
    }
    let unreadable = || AuditEntry {
        at: Timestamp::UNIX_EPOCH,
        actor: "unknown".to_owned(),
        step: UNREADABLE.to_owned(),
        reason: phrases::CANT_BE_READ.english.to_owned(),
        code: None,
        link: None,
    };
    Ok(match Or::<Vec<Or<AuditEntry>>>::deserialize(deserializer)? {
        Or::Readable(list) => list.into_iter().map(|entry| if let Or::Readable(entry) = entry { entry } else { unreadable() }).collect(),
        Or::Other(IgnoredAny) => vec![unreadable()],
    })
}

impl Broadcast {
    /// Where the chain of the audit trail ends.
    pub(crate) fn chain_end(&self) -> ChainEnd {
        ChainEnd { count: self.audit_count, head: self.audit_head.clone() }
    }

    /// Who brought it to where it stands, and why. That every permit has expired since a stop is no reason
    /// of its own, and neither is a repair.
    #[must_use]
    pub fn decided(&self) -> Option<&AuditEntry> {
        self.known_entries().chain(&self.ending).rev().find(|entry| entry.is_decided())
    }

    /// What took it to where it stands.
    #[must_use]
    pub fn last_step(&self) -> Option<&AuditEntry> {
        self.ending.iter().chain(self.known_entries()).rfind(|entry| entry.is_step()).or(self.audit_trail.last())
    }

    /// Of a broadcast that is over, the entries from the one that decided its end to the one that brought it.
    pub(crate) fn ending_entries(&self) -> Vec<AuditEntry> {
        let entries: Vec<&AuditEntry> = self.known_entries().collect();
        let decided = entries.iter().rposition(|entry| entry.is_decided()).unwrap_or(0);
        let last = entries.iter().rposition(|entry| entry.is_step()).map_or(0, |last| last + 1);
        entries.get(decided..last).unwrap_or_default().iter().map(|entry| (*entry).clone()).collect()
    }

    /// The list of the most recent ones, after those that the list has left behind and that tell how it stands. A build before
    /// this one takes steps and leaves those as they are: then they tell of another state, and of nothing.
    fn known_entries(&self) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        let stood = self.standing.iter().rev().find_map(AuditEntry::leads_to);
        let tells = stood == Some(self.broadcast_state.as_str());
        self.standing.iter().filter(move |_| tells).chain(&self.audit_trail)
    }

    /// The last finding of recipients of whom the provider took more than one message, by which it was stopped or not.
    #[must_use]
    pub fn accepted_twice(&self) -> Option<&AuditEntry> {
        self.ending.iter().chain(&self.standing).chain(&self.audit_trail).rfind(|entry| entry.tells_of_two())
    }

    /// What came after it.
    pub fn since_decided(&self) -> impl Iterator<Item = &AuditEntry> {
        let after = self.audit_trail.iter().rposition(AuditEntry::is_decided).map_or(0, |at| at + 1);
        self.audit_trail.iter().skip(after)
    }
}

impl AuditTrail {
    /// The last finding of recipients of whom the provider took more than one message, however long ago.
    #[must_use]
    pub fn accepted_twice(&self) -> Option<&AuditEntry> {
        self.entries.iter().rfind(|entry| entry.tells_of_two())
    }

    /// `entries` in order. Each is held against the one before, and the last against the broadcast.
    fn of(entries: Vec<AuditEntry>, broadcast: &Broadcast) -> Self {
        let (mut broken, mut end, mut state) = (Vec::new(), ChainEnd::default(), None::<String>);
        for (at, entry) in entries.iter().enumerate() {
            let number = at + 1;
            match &entry.link {
                Some(link) if link.seq != end.count + 1 => {
                    broken.push(format!("entry {number} says that it is number {}, and {} came before", link.seq, end.count));
                }
                Some(link) if link.hash != entry.hash(&end.head, link.seq, link.token.as_deref()) => {
                    broken.push(format!("entry {number} ({}) is not what was written, or not after what stands before it", entry.step));
                }
                // One without a link is of a build before this one: it is chained with the next step.
                Some(_) | None => {}
            }
            if let Some(link) = &entry.link {
                end = ChainEnd { count: link.seq, head: link.hash.clone() };
            }
            if at == 0 && entry.step != BroadcastState::Enumerating.as_str() {
                broken.push(format!("it begins with {:?}", entry.step));
            }
            if let Some((from, to)) = entry.states() {
                if state.as_deref().unwrap_or(BroadcastState::Enumerating.as_str()) != from {
                    broken.push(format!("entry {number} leads from {from}, and the one before led elsewhere"));
                }
                if !BroadcastState::is_step(from, to) {
                    broken.push(format!("entry {number}: there is no step from {from} to {to}"));
                }
                state = Some(to.to_owned());
            }
        }
        let last = state.as_deref().unwrap_or(BroadcastState::Enumerating.as_str());
        if last != broadcast.broadcast_state.as_str() {
            broken.push(format!("it ends with {last}, and the broadcast is {}", broadcast.broadcast_state));
        }
        if end != broadcast.chain_end() {
            broken.push(format!(
                "it has {} chained entries, and the broadcast counts {}, or their hashes differ",
                end.count, broadcast.audit_count
            ));
        }
        Self { entries, broken }
    }

    /// Says whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

impl Ledger {
    /// The whole audit trail of a broadcast as it was read, in order. One call for each MB of what is older
    /// than the last entries.
    pub async fn audit_trail(&self, broadcast: &Broadcast) -> Result<AuditTrail, LedgerError> {
        let first_kept = broadcast.audit_trail.iter().find_map(|entry| Some(entry.link.as_ref()?.seq));
        let is_whole = first_kept.map_or(broadcast.audit_count == 0, |seq| seq == 1);
        let mut entries = if is_whole { Vec::new() } else { self.moved_entries(&broadcast.broadcast_id, 1).await? };
        // What was copied, and could then not be left out of the list, stands in both.
        entries.retain(|moved| {
            let copied = |kept: &AuditEntry| {
                kept.link.is_some() && kept.link.as_ref().map(|link| link.seq) == moved.link.as_ref().map(|link| link.seq)
            };
            let is_later = moved.link.as_ref().is_none_or(|link| link.seq > broadcast.audit_count);
            !is_later && !broadcast.audit_trail.iter().any(copied)
        });
        entries.extend(broadcast.audit_trail.iter().cloned());
        Ok(AuditTrail::of(entries, broadcast))
    }

    /// The entries that have items of their own, from a number on.
    pub(crate) async fn moved_entries(&self, id: &BroadcastId, from: u64) -> Result<Vec<AuditEntry>, LedgerError> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let query = self
                .db
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :last")
                .expression_attribute_values(":pk", s(Key::broadcast(id).pk))
                .expression_attribute_values(":from", s(Key::audit(id, from).sk))
                .expression_attribute_values(":last", s(format!("{AUDIT}~")));
            let answer = query.set_exclusive_start_key(after).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                entries.push(read(item)?);
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Gives entries items of their own. May be repeated; an item that is there and says something else is
    /// an error.
    pub(crate) async fn move_entries(&self, id: &BroadcastId, entries: &[AuditEntry]) -> Result<(), LedgerError> {
        for entry in entries {
            let Some(link) = &entry.link else { continue };
            let key = Key::audit(id, link.seq);
            let mut item: Item = serde_dynamo::to_item(entry).map_err(|error| LedgerError::corrupt(key.name(), error))?;
            item.extend(key.clone().into_item());
            let put = self.db.put_item().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
            let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match put.call().await {
                Ok(_) => {}
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        let found = self.refused_by(failed.item.clone(), key.clone()).await?;
                        if found.map(read::<AuditEntry>).transpose()?.as_ref() != Some(entry) {
                            return Err(LedgerError::corrupt(key.name(), "another entry stands there"));
                        }
                    }
                    _ => return Err(LedgerError::call("PutItem")(error)),
                },
            }
        }
        Ok(())
    }
}

pub(crate) fn list_of(entries: &[AuditEntry]) -> Result<AttributeValue, LedgerError> {
    serde_dynamo::to_attribute_value(entries).map_err(|error| LedgerError::corrupt("audit_trail", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(step: &str, reason: &str) -> AuditEntry {
        AuditEntry::new(Timestamp::UNIX_EPOCH, &"an operator".parse().unwrap(), step.to_owned(), reason)
    }

    proptest! {
        /// However many there are and whatever they say: the list stays small, nothing is lost between list and
        /// items, and every number comes once.
        #[test]
        fn a_list_stays_small_and_loses_nothing(reasons in proptest::collection::vec("\\PC{0,1500}", 1..60), bare in 0usize..5) {
            let (mut list, mut moved, mut end) = (vec![entry("enumerating", "by an older build"); bare], Vec::new(), ChainEnd::default());
            for reason in &reasons {
                let appended = Appended::of(&list, &[], end, entry("note", reason), "token".to_owned());
                moved.extend(appended.moved);
                (list, end) = (appended.list, appended.end);
                prop_assert!(list.len() <= KEPT_MAX && list.iter().map(AuditEntry::bytes).sum::<usize>() <= KEPT_BYTES_MAX + 2_000);
                let json = serde_json::to_string(&list).unwrap().len();
                prop_assert!(json <= 2 * KEPT_BYTES_MAX, "{}", json);
            }
            let whole: Vec<AuditEntry> = moved.into_iter().chain(list).collect();
            let numbers: Vec<u64> = whole.iter().filter_map(|entry| Some(entry.link.as_ref()?.seq)).collect();
            prop_assert_eq!(numbers, (1..=(reasons.len() + bare) as u64).collect::<Vec<_>>());
            let mut head = String::new();
            for entry in &whole {
                let link = entry.link.as_ref().unwrap();
                prop_assert_eq!(&link.hash, &entry.hash(&head, link.seq, link.token.as_deref()));
                head.clone_from(&link.hash);
            }
            prop_assert_eq!(head, end.head);
        }

        #[test]
        fn any_reason_can_be_written_down(reason in any::<String>()) {
            let entry = entry("note", &reason);
            prop_assert!((1..=REASON_BYTES_MAX).contains(&entry.reason.len()));
            prop_assert!(!entry.reason.contains(char::is_control));
        }
    }

    #[test]
    fn where_nothing_can_be_moved_the_list_grows_slowly_and_far_from_its_end() {
        let (mut list, mut end) = (Vec::new(), ChainEnd::default());
        for _ in 0..500 {
            let appended = Appended::of(&list, &[], end, entry("running -> paused", &"long ".repeat(500)), "token".repeat(6)).unmoved();
            (list, end) = (appended.list, appended.end);
        }
        let bytes: usize = list.iter().map(AuditEntry::bytes).sum();
        assert!(bytes < 350 * 1_024, "{bytes}");
    }
}
