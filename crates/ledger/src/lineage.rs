//! Recognising a ledger that was restored from a backup. Such a ledger has forgotten claims, so
//! whoever believed it would send again to people who have had their message.
//!
//! Three things tell. `DynamoDB` restores into a new table, which has another id than the one that is
//! written in the ledger. Every start of a service is counted in the ledger and mirrored in tags of the
//! chunks queue: a ledger that knows of fewer starts than they has gone back in time. And a service that
//! runs finds its own last heartbeat gone, and tells the others by another tag.
//! Then nothing is sent until an operator accepts the ledger as it is, which begins a new epoch of it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use issei_aws::{AwsCall, Queue};
use issei_schema::Actor;
use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::heartbeat::{BEAT_EVERY, Heartbeat};
use crate::item::{Key, n, read, s};
use crate::whose::Whose;
use crate::{Broadcast, Incarnation, Ledger, LedgerError, phrases};

/// The tags of the chunks queue that mirror the ledger's count of starts. Start `n` writes the one of `n` modulo
/// this many, and the mirror is the highest of them all: a tag that lands late overwrites none of a newer start.
const TAG: &str = "issei-ledger";
const TAGS: u64 = 8;
/// How often a start writes its tag while the mirror is behind the ledger. Later on the watch does.
const MIRROR_TRIES: u32 = 3;
/// The epoch of the ledger in which a running service found that it had gone back.
const RESTORED: &str = "issei-ledger-restored";
/// How often a service that runs looks whether the ledger is still the one that it began with, and
/// one that may not run whether it may.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(30);
/// So long after a restored ledger was taken into use services that went on with another table have surely ceased, and those of this
/// one have begun again: a look, the beat that it waits for, and the call.
pub const SEEN_WITHIN: Duration = Duration::from_mins(1);

/// How far a ledger has come: its epoch, and the starts of services counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    epoch: u64,
    starts: u64,
}

/// What the tags of the chunks queue say.
struct Mirror {
    /// Nothing where no service has ever started.
    mark: Option<Mark>,
    restored_in: Option<u64>,
    whose: Option<Whose>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.starts)
    }
}

impl FromStr for Mark {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let parts = text.split_once('.').and_then(|(epoch, starts)| Some((epoch.parse().ok()?, starts.parse().ok()?)));
        let (epoch, starts) = parts.ok_or_else(|| LedgerError::corrupt(format!("tag {TAG}"), format!("it says {text:?}")))?;
        Ok(Self { epoch, starts })
    }
}

#[derive(Deserialize)]
pub(crate) struct LineageItem {
    pub(crate) ledger_epoch: u64,
    starts: u64,
    #[serde(default)]
    pub(crate) table_id: Option<String>,
    /// Which ledger it is, whatever was restored of it. Nothing where no build that writes it has started.
    #[serde(default)]
    pub(crate) ledger_id: Option<String>,
    /// Which ledgers it was before it was restored and used with other queues: its letters name those.
    #[serde(default)]
    pub(crate) former_ids: Vec<String>,
    opened_at: i64,
}

impl LineageItem {
    fn mark(&self) -> Mark {
        Mark { epoch: self.ledger_epoch, starts: self.starts }
    }
}

/// The epoch of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEpoch {
    pub epoch: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// A restored ledger that was accepted.
#[derive(Debug)]
pub struct Accepted {
    pub epoch: u64,
    /// Broadcasts that were not over and were ended: what the ledger forgot of them nobody knows.
    pub ended: Vec<Broadcast>,
}

/// The table that services go on with while this ledger is not in use, and which are alive there.
#[derive(Debug)]
pub struct Beside {
    pub table: String,
    /// Nothing where they can't be read, and why.
    pub alive: Result<Vec<Heartbeat>, LedgerError>,
}

impl Ledger {
    /// Whom taking this ledger into use would silence: the queues are used with another table. Nothing where no table is named, or
    /// this one.
    pub async fn beside(&self, mirror: &Queue) -> Result<Option<Beside>, LedgerError> {
        let Some(whose) = mirrored(mirror).await?.whose.filter(|whose| whose.table != self.table) else { return Ok(None) };
        let other = Self { table: whose.table.clone(), ..self.clone() };
        Ok(Some(Beside { table: whose.table, alive: other.alive().await }))
    }

    /// The services that live, by what this table says.
    pub async fn alive(&self) -> Result<Vec<Heartbeat>, LedgerError> {
        let now = self.clock.wall();
        Ok(self.heartbeats(now).await?.into_iter().filter(|run| run.is_alive(now)).collect())
    }

    /// Counts a start, or only looks; refused where the ledger is not the one that it claims to be. A mirror
    /// that lags behind is brought up to it.
    pub(crate) async fn check_in(&self, mirror: &Queue, count: bool) -> Result<LedgerEpoch, LedgerError> {
        let (item, mirrored) = self.whole(mirror).await?;
        let mut mark = item.mark();
        if count {
            let counted = self.count_start(&item, mirrored.whose.as_ref()).await?;
            mark.starts = counted.starts;
            self.mirror(mirror, mark, self.own(&counted).as_ref()).await?;
        } else if mirrored.mark < Some(mark)
            && let Err(error) = self.mirror(mirror, mark, self.own(&item).as_ref()).await
        {
            tracing::warn!(%error, "the mirror of starts can't be brought up to the ledger; trying again");
        }
        let opened_at = Timestamp::from_millisecond(item.opened_at).map_err(|error| LedgerError::corrupt("lineage", error))?;
        Ok(LedgerEpoch { epoch: item.ledger_epoch, opened_at })
    }

    /// Looks whether the ledger is the one that it claims to be.
    async fn whole(&self, mirror: &Queue) -> Result<(LineageItem, Mirror), LedgerError> {
        let Mirror { mark: mirrored, restored_in, whose } = mirrored(mirror).await?;
        let table_id = self.table_id().await?;
        let mut item = self.lineage().await?;
        self.check_queues_of(whose.as_ref(), item.as_ref(), table_id.as_deref())?;
        if item.is_none() {
            if let Some(mark) = mirrored {
                return Err(restored(format!(
                    "it knows of no start of any service, and the tags `{TAG}-…` of the chunks queue say {mark}"
                )));
            }
            self.begin(table_id.as_deref()).await?;
            item = self.lineage().await?;
        }
        let item = item.ok_or_else(|| LedgerError::corrupt(Key::lineage().name(), "it is gone"))?;
        if let (Some(written), Some(found)) = (&item.table_id, &table_id)
            && written != found
        {
            return Err(restored(format!("it was written in the table with the id {written}, and this one's is {found}")));
        }
        let mark = item.mark();
        if let Some(mirrored) = mirrored.filter(|mirrored| *mirrored > mark) {
            return Err(restored(format!("it stands at {mark} (epoch.starts), and the tags `{TAG}-…` of the chunks queue say {mirrored}")));
        }
        // What this process has found itself, it tells the others too.
        let found_in = self.restored_in.load(Ordering::Relaxed);
        if found_in >= mark.epoch
            && restored_in < Some(found_in)
            && let Err(error) = mirror.tag([(RESTORED, found_in.to_string().as_str())]).await
        {
            tracing::error!(%error, "other services can't be told that the ledger was restored; trying again");
        }
        if restored_in.max(Some(found_in)) >= Some(mark.epoch) {
            return Err(restored(format!("in epoch {} a service that ran found its own heartbeat gone", mark.epoch)));
        }
        Ok((item, Mirror { mark: mirrored, restored_in, whose }))
    }

    /// What the tag of the queues says of this ledger.
    fn own(&self, item: &LineageItem) -> Option<Whose> {
        item.ledger_id.clone().map(|id| Whose { id, table: self.table.clone() })
    }

    /// Writes into the mirror how far the ledger has come, until it says no less: other starts are counted
    /// meanwhile, and what an earlier one wrote may land after this.
    async fn mirror(&self, mirror: &Queue, mut mark: Mark, own: Option<&Whose>) -> Result<(), LedgerError> {
        for _ in 0..MIRROR_TRIES {
            tag(mirror, mark, own).await?;
            let Some(item) = self.lineage().await? else { break };
            mark = item.mark();
            if mirrored(mirror).await?.mark >= Some(mark) {
                break;
            }
        }
        Ok(())
    }

    /// Runs `work` for as long as the ledger is the one that it claims to be, until `shutdown`, and lets
    /// the ledger know meanwhile that `run` lives. The token that `work` gets ends it; what it has in
    /// flight it finishes.
    pub async fn while_whole<F, Fut>(&self, mirror: &Queue, run: &Incarnation, shutdown: &CancellationToken, work: F)
    where
        F: Fn(LedgerEpoch, CancellationToken) -> Fut,
        Fut: Future<Output = ()> + Send,
    {
        while !shutdown.is_cancelled() {
            let Some(started) = shutdown.run_until_cancelled(self.start(mirror, run)).await else { return };
            let pause = match started {
                Ok((epoch, mut heartbeat)) => {
                    let token = shutdown.child_token();
                    let work: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(work(epoch, token.clone()));
                    tokio::select! {
                        biased;
                        () = work => {}
                        _ = self.keep_watch(mirror, run, &mut heartbeat, &token) => {}
                    }
                    if let Err(error) = self.end_heartbeat(run, &mut heartbeat).await {
                        tracing::warn!(%error, "the ledger can't be told that this service has ended; it counts as silent");
                    }
                    continue;
                }
                Err(LedgerError::Restored { reason }) => {
                    tracing::error!(reason, "the ledger was restored from a backup; nothing is done until `issei accept-restored-ledger`");
                    LOOK_EVERY
                }
                Err(error @ LedgerError::Foreign { .. }) => {
                    tracing::error!(%error, "nothing is done with the queues of another ledger");
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, table = self.table, "the ledger can't be checked; trying again");
                    Duration::from_secs(1)
                }
            };
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Nothing is done by a service that the ledger does not know of.
    pub(crate) async fn start(&self, mirror: &Queue, run: &Incarnation) -> Result<(LedgerEpoch, Heartbeat), LedgerError> {
        let epoch = self.check_in(mirror, true).await?;
        Ok((epoch, self.begin_heartbeat(run, epoch.epoch).await?))
    }

    /// Beats, and looks now and then whether the ledger is still the one that the work began with. Never
    /// ends by itself.
    pub(crate) async fn keep_watch(
        &self,
        mirror: &Queue,
        run: &Incarnation,
        heartbeat: &mut Heartbeat,
        token: &CancellationToken,
    ) -> Infallible {
        let mut looked = self.clock.now();
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            match self.beat(run, heartbeat).await {
                Err(error @ LedgerError::Restored { .. }) if !token.is_cancelled() => {
                    tracing::error!(%error, "the ledger was restored under this service; it sends nothing more");
                    token.cancel();
                }
                Err(error) => {
                    tracing::warn!(%error, "the ledger can't be told that this service lives; it may count as silent, and asks for no permits");
                }
                Ok(()) => {}
            }
            if self.clock.now().saturating_duration_since(looked) < LOOK_EVERY || token.is_cancelled() {
                continue;
            }
            looked = self.clock.now();
            match self.check_in(mirror, false).await {
                Err(LedgerError::Restored { reason }) => {
                    tracing::error!(reason, "the ledger was restored under this service; it sends nothing more");
                    token.cancel();
                }
                Err(error @ LedgerError::Foreign { .. }) => {
                    tracing::error!(%error, "the queues were taken into use by another ledger; this service sends nothing more");
                    token.cancel();
                }
                Ok(found) if found.epoch != heartbeat.ledger_epoch => {
                    tracing::warn!(
                        epoch = found.epoch,
                        before = heartbeat.ledger_epoch,
                        "an operator opened a new epoch of the ledger; starting anew in it"
                    );
                    token.cancel();
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Looks whether the ledger is the one that it claims to be, and gives its epoch; nothing where no
    /// service has ever started with it.
    pub async fn check_whole(&self, mirror: &Queue) -> Result<Option<LedgerEpoch>, LedgerError> {
        // A first look would begin a lineage, which is for a service to do, as it is to write tags.
        if self.lineage().await?.is_none() && mirrored(mirror).await?.mark.is_none() {
            return Ok(None);
        }
        let (item, _) = self.whole(mirror).await?;
        let opened_at = Timestamp::from_millisecond(item.opened_at).map_err(|error| LedgerError::corrupt("lineage", error))?;
        Ok(Some(LedgerEpoch { epoch: item.ledger_epoch, opened_at }))
    }

    /// The ledger's epoch; nothing where no service has ever started.
    pub async fn epoch(&self) -> Result<Option<u64>, LedgerError> {
        Ok(self.lineage().await?.map(|lineage| lineage.ledger_epoch))
    }

    /// The epoch that was opened when the last ledger that was restored was taken into use; nothing where none was.
    pub(crate) async fn opened_after_restore(&self) -> Result<Option<LedgerEpoch>, LedgerError> {
        let Some(item) = self.lineage().await?.filter(|item| item.ledger_epoch > 1) else { return Ok(None) };
        let opened_at = Timestamp::from_millisecond(item.opened_at).map_err(|error| LedgerError::corrupt("lineage", error))?;
        Ok(Some(LedgerEpoch { epoch: item.ledger_epoch, opened_at }))
    }

    /// When that was. What there was between the backup and then the ledger has forgotten.
    pub async fn restored_at(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.opened_after_restore().await?.map(|opened| opened.opened_at))
    }

    /// Until when services may not have seen that the ledger was taken into use after a restore; nothing once they have.
    pub async fn seen_by(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let seen_by = self.restored_at().await?.and_then(|at| at.checked_add(SEEN_WITHIN).ok());
        Ok(seen_by.filter(|seen_by| now < *seen_by))
    }

    /// Says how it shows that the ledger was restored; nothing where it was not.
    pub async fn restored(&self, mirror: &Queue) -> Result<Option<String>, LedgerError> {
        match self.check_whole(mirror).await {
            Ok(_) => Ok(None),
            Err(LedgerError::Restored { reason }) => Ok(Some(reason)),
            Err(error @ LedgerError::Foreign { .. }) => {
                // An empty table in the place of a ledger that is gone knows of nothing that it sent.
                let whose = mirrored(mirror).await?.whose;
                match whose {
                    Some(whose) if self.lineage().await?.is_none() && self.is_lost(&whose).await? => Ok(Some(format!(
                        "it knows of no start of any service, and the tags of the chunks queue are those of {whose}, which is gone"
                    ))),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a new epoch of a ledger that was restored: ends every broadcast that is not over, takes
    /// the table as it is now, and lets services work again. Does nothing where nothing was restored.
    pub async fn accept_restored(&self, mirror: &Queue, actor: &Actor, reason: &str) -> Result<Option<Accepted>, LedgerError> {
        if self.restored(mirror).await?.is_none() {
            return Ok(None);
        }
        let table_id = self.table_id().await?;
        let Mirror { mark: mirrored, whose, .. } = mirrored(mirror).await?;
        let found = self.lineage().await?;
        let mut ended = Vec::new();
        for id in self.open_broadcasts().await? {
            let why = phrases::FORGOTTEN_BY_LEDGER.with(&[&reason]);
            match self.end(&id, actor, &why).await {
                Ok(broadcast) => ended.push(broadcast),
                Err(LedgerError::Transition { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let before = found.as_ref().map(LineageItem::mark);
        let last = mirrored.max(before).unwrap_or(Mark { epoch: 0, starts: 0 });
        let next = Mark { epoch: last.epoch + 1, starts: last.starts };
        // With queues that no ledger was used with it is a copy, and another goes on with what it is a copy of.
        let (was, mut former_ids) = found.map(|found| (found.ledger_id, found.former_ids)).unwrap_or_default();
        let kept = was.clone().filter(|_| whose.is_some());
        let id = kept.map_or_else(|| self.named(whose.as_ref()), s);
        former_ids.extend(was.filter(|was| id.as_s() != Ok(was)));
        let own = id.as_s().ok().map(|id| Whose { id: id.clone(), table: self.table.clone() });
        let mut item = Key::lineage().into_item();
        item.insert("ledger_id".to_owned(), id);
        item.insert("ledger_epoch".to_owned(), n(next.epoch));
        item.insert("starts".to_owned(), n(next.starts));
        item.insert("opened_at".to_owned(), n(self.clock.wall().as_millisecond()));
        item.insert("opened_by".to_owned(), s(actor.as_str()));
        item.insert("opening_reason".to_owned(), s(reason));
        if !former_ids.is_empty() {
            item.insert("former_ids".to_owned(), AttributeValue::L(former_ids.into_iter().map(s).collect()));
        }
        if let Some(table_id) = table_id {
            item.insert("table_id".to_owned(), s(table_id));
        }
        // Unless somebody opens one at the same time.
        let mut put = self.db.put_item().table_name(&self.table).set_item(Some(item));
        put = match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(before) => put.condition_expression("ledger_epoch = :before").expression_attribute_values(":before", n(before.epoch)),
        };
        put.call().await.map_err(LedgerError::call("PutItem"))?;
        tag(mirror, next, own.as_ref()).await?;
        Ok(Some(Accepted { epoch: next.epoch, ended }))
    }

    pub(crate) async fn lineage(&self) -> Result<Option<LineageItem>, LedgerError> {
        self.get(Key::lineage()).await?.map(read).transpose()
    }

    /// The first start of all.
    async fn begin(&self, table_id: Option<&str>) -> Result<(), LedgerError> {
        let mut item = Key::lineage().into_item();
        item.insert("ledger_epoch".to_owned(), n(1));
        item.insert("starts".to_owned(), n(0));
        item.insert("opened_at".to_owned(), n(self.clock.wall().as_millisecond()));
        if let Some(table_id) = table_id {
            item.insert("table_id".to_owned(), s(table_id));
        }
        let put = self.db.put_item().table_name(&self.table).set_item(Some(item)).condition_expression("attribute_not_exists(pk)");
        match put.call().await {
            Ok(_) => Ok(()),
            // Another service, or a first try of this call, was first.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_dynamodb::operation::put_item::PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(LedgerError::call("PutItem")(error)),
        }
    }

    async fn count_start(&self, found: &LineageItem, whose: Option<&Whose>) -> Result<LineageItem, LedgerError> {
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::lineage().into_item()))
            .update_expression("SET starts = starts + :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew);
        if found.ledger_id.is_none() {
            // Of two that name it, the first stays.
            request = request
                .update_expression("SET starts = starts + :one, ledger_id = if_not_exists(ledger_id, :id)")
                .expression_attribute_values(":id", self.named(whose));
        }
        let answer = request.call().await.map_err(LedgerError::call("UpdateItem"))?;
        read(answer.attributes.unwrap_or_default())
    }

    /// The table's id, where the endpoint tells it.
    pub(crate) async fn table_id(&self) -> Result<Option<String>, LedgerError> {
        let answer = self.db.describe_table().table_name(&self.table).call().await.map_err(LedgerError::call("DescribeTable"))?;
        Ok(answer.table.and_then(|table| table.table_id))
    }
}

async fn mirrored(mirror: &Queue) -> Result<Mirror, LedgerError> {
    let tags = mirror.tags().await.map_err(|error| LedgerError::Unavailable { operation: "ListQueueTags", reason: error.to_string() })?;
    // An older build writes one tag alone.
    let names = std::iter::once(TAG.to_owned()).chain((0..TAGS).map(|slot| format!("{TAG}-{slot}")));
    let marks = names.filter_map(|name| tags.get(&name)).map(|mark| mark.parse()).collect::<Result<Vec<Mark>, _>>()?;
    let restored_in = tags.get(RESTORED).map(|epoch| epoch.parse());
    let restored_in = restored_in.transpose().map_err(|error| LedgerError::corrupt(format!("tag {RESTORED}"), error))?;
    Ok(Mirror { mark: marks.into_iter().max(), restored_in, whose: Whose::of(&tags) })
}

async fn tag(mirror: &Queue, mark: Mark, own: Option<&Whose>) -> Result<(), LedgerError> {
    let (slot, mark) = (format!("{TAG}-{}", mark.starts % TAGS), mark.to_string());
    let own = own.map(Whose::tag);
    let own = own.as_ref().map(|(name, value)| (*name, value.as_str()));
    let tagged = mirror.tag([(slot.as_str(), mark.as_str())].into_iter().chain(own)).await;
    tagged.map_err(|error| LedgerError::Unavailable { operation: "TagQueue", reason: error.to_string() })
}

fn restored(reason: String) -> LedgerError {
    LedgerError::Restored { reason }
}
