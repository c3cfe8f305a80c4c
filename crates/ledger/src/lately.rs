//! Who has come on the list of those that are not mailed while a broadcast waits, holds or runs.
//!
//! A producer reads the list when it freezes an audience. Up to fourteen days may pass until the last of it is sent to, so
//! that whoever sends asks once more. For this each batch of entries is also written down by its time, 64 bits of each
//! digest, in one item: what came since is read with one query, however long the list is.
//!
//! What this must never do: decide anything by itself, or by a machine's clock. Whoever may be meant is looked up in the list, which
//! alone says whether somebody is on it, and why; and it is AWS's clock that says when something was entered, and up to when it
//! was read.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use issei_aws::{AnsweredAt, AwsCall};
use issei_clock::Deadline;
use issei_schema::{Address, Class, Prover};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::item::{Item, Key, b, n, s};
use crate::suppressed::{DOMAIN, Suppression, plain, shortened};
use crate::{Ledger, LedgerError};

/// So old, what was read is read on before anybody is sent to.
const FRESH: Duration = Duration::from_secs(10);
/// What was written before a read that did not see it is read once more: AWS tells its time to the second, and a write is
/// under way for a while.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// Longer than any broadcast lasts, and than clocks differ: whoever was entered before was on the list when it was frozen.
const READ: SignedDuration = SignedDuration::from_hours(24 * 16);
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Reads who came on the list lately.
pub struct Lately {
    ledger: Ledger,
    read: Mutex<Option<Read>>,
}

struct Read {
    /// Up to when, by AWS's clock.
    until: Timestamp,
    lasts: Deadline,
    /// 64 bits of each digest.
    entered: HashSet<u64>,
    prover: Option<Prover>,
}

impl Ledger {
    /// Writes down that entries of these digests were made just before this moment of AWS's clock.
    pub(crate) async fn note_entered(&self, digests: &[String], at: Timestamp) -> Result<(), LedgerError> {
        let keyed = digests.iter().filter_map(|digest| shortened(digest)).filter(|(_, is_plain)| !is_plain);
        let bits: Vec<u8> = keyed.flat_map(|(bits, _)| bits.to_be_bytes()).collect();
        if bits.is_empty() {
            return Ok(());
        }
        let mut item = Key::entered(at, &self.dice.token()).into_item();
        item.insert("digests".to_owned(), b(&bits));
        item.insert("expires_at".to_owned(), n(at.saturating_add(KEPT).unwrap_or(Timestamp::MAX).as_second()));
        self.db.put_item().table_name(&self.table).set_item(Some(item)).call().await.map_err(LedgerError::call("PutItem"))?;
        Ok(())
    }

    /// Nobody has been read of yet.
    #[must_use]
    pub fn lately(&self) -> Lately {
        Lately { ledger: self.clone(), read: Mutex::default() }
    }

    /// Adds who was entered since, and gives up to when that is known.
    async fn entered_since(&self, from: Timestamp, entered: &mut HashSet<u64>) -> Result<Timestamp, LedgerError> {
        let mut until = None;
        // This machine's clock may be behind, also before a month begins.
        let last = self.clock.wall().saturating_add(SignedDuration::from_hours(24)).unwrap_or(from);
        for month in Key::month(from)..=Key::month(last) {
            let mut after = None;
            loop {
                let answered = AnsweredAt::default();
                let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :month AND sk >= :from");
                let query = query.expression_attribute_values(":month", s(Key::entered_in(month))).consistent_read(true);
                let query = query.expression_attribute_values(":from", s(format!("{:013}", from.as_millisecond())));
                let query = query.set_exclusive_start_key(after).customize().interceptor(answered.clone());
                let answer = query.send().await.map_err(LedgerError::call("Query"))?;
                until = until.or(answered.get());
                entered.extend(answer.items.unwrap_or_default().iter().flat_map(bits_of));
                after = answer.last_evaluated_key.filter(|key| !key.is_empty());
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(until.unwrap_or(from))
    }
}

impl Lately {
    /// Which of these must not be mailed by a broadcast of this class, since they came on the list lately; whoever was
    /// entered up to ten seconds ago may be missed. No call more than once in that time, while nobody of them is.
    pub async fn bound<'a, T>(
        &self,
        class: Class,
        recipients: impl IntoIterator<Item = (T, &'a Address)>,
    ) -> Result<Vec<(T, Suppression)>, LedgerError> {
        let (perhaps, addresses): (Vec<T>, Vec<&Address>) = {
            let mut read = self.read.lock().await;
            let read = self.look(&mut read).await?;
            let Some(prover) = read.prover.as_ref().filter(|_| !read.entered.is_empty()) else { return Ok(Vec::new()) };
            let holds = |address: &Address| {
                let keyed = String::from(prover.clone().text(&plain(address)).prove());
                shortened(&keyed).is_none_or(|(bits, _)| read.entered.contains(&bits))
            };
            recipients.into_iter().filter(|(_, address)| holds(address)).unzip()
        };
        let mut found = self.ledger.suppressed(&addresses).await?;
        let why = |(at, who): (usize, T)| Some((who, found.remove(&at)?.binds(class)?));
        Ok(perhaps.into_iter().enumerate().filter_map(why).collect())
    }

    /// Forgets what was read, since the ledger may be another one.
    pub async fn forget(&self) {
        *self.read.lock().await = None;
    }

    async fn look<'a>(&self, read: &'a mut Option<Read>) -> Result<&'a Read, LedgerError> {
        let made = self.ledger.clock.reading();
        let mut kept = read.take().unwrap_or_else(|| {
            let until = made.wall().saturating_sub(READ).unwrap_or(Timestamp::UNIX_EPOCH);
            Read { until, lasts: Deadline::after(made, Duration::ZERO), entered: HashSet::new(), prover: None }
        });
        if kept.lasts.is_over(made) {
            let from = kept.until.saturating_sub(AGAIN).unwrap_or(kept.until);
            kept.until = self.ledger.entered_since(from, &mut kept.entered).await?;
            if kept.prover.is_none() && !kept.entered.is_empty() {
                kept.prover = self.ledger.digest_key().await?.map(|key| key.prover(DOMAIN));
            }
            kept.lasts = Deadline::after(made, FRESH);
        }
        Ok(read.insert(kept))
    }
}

fn bits_of(item: &Item) -> Vec<u64> {
    let digests = item.get("digests").and_then(|digests| digests.as_b().ok()).map(Blob::as_ref).unwrap_or_default();
    digests.as_chunks::<8>().0.iter().map(|bits| u64::from_be_bytes(*bits)).collect()
}
