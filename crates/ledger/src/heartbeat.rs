//! Heartbeats: every run of a service writes down that it lives, which build it is and with which
//! settings, so that a status can show who works and a certificate can name everybody who took part.
//!
//! A heartbeat gives no right to anything. But a run that finds its own last beat gone knows that the ledger was
//! restored under it; and one of which the ledger has heard nothing lately asks for no permits, so that whoever
//! reads the heartbeats knows of everybody who may hold any.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use issei_aws::{AwsCall, Timing};
use issei_clock::{Deadline, Reading};
use issei_schema::{Actor, BroadcastId, CarriedBy, ProviderName};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::configured::Configured;
use crate::holding::{Held, Holding};
use crate::item::{Item, Key, n, read, s};
use crate::unasked::{MetWith, Unasked};
use crate::{InHand, Ledger, LedgerError, RunMark, Timings};

/// How often a service writes that it lives.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Three beats missed: whoever has not been seen for so long is not counted as alive.
const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// For so long after a beat that the ledger has taken, a run may ask for permits.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// Nothing has been received since the last beat.
const NOTHING: i64 = i64::MAX;

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    Producer,
    Consumer,
    Feedback,
}

impl ServiceKind {
    /// The name in the ledger and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Feedback => "feedback",
        }
    }
}

/// One run of a service, from its start to its end.
#[derive(Clone, Debug)]
pub struct Incarnation {
    service: ServiceKind,
    actor: Actor,
    token: String,
    version: String,
    build: String,
    settings: String,
    configured: Option<Configured>,
    carries: Option<BTreeMap<ProviderName, CarriedBy>>,
    keys: BTreeMap<ProviderName, String>,
    timings: Timings,
    /// When the oldest message received since the last beat was sent, in milliseconds of the epoch.
    oldest_message: Arc<AtomicI64>,
    /// The number of the last beat that was tried.
    beats: Arc<AtomicU64>,
    /// The number of the last beat that the ledger has taken, and the day whose item holds it.
    taken: Arc<Mutex<Option<(i64, u64)>>>,
    held: Held,
    /// The providers that broadcasts asked for, and that this run is not configured for.
    lacks: Arc<Mutex<BTreeSet<ProviderName>>>,
    unasked: MetWith,
    /// Until when the ledger knows of this run.
    known: Arc<Mutex<Option<Deadline>>>,
}

impl Incarnation {
    /// `token` tells this run from every other; `build` tells the executable from every
    /// other, `settings` is the digest of the settings in force, and `timing` what it works with.
    #[must_use]
    pub fn new(
        service: ServiceKind,
        actor: Actor,
        token: String,
        version: String,
        build: String,
        settings: String,
        timing: &Timing,
    ) -> Self {
        Self {
            service,
            actor,
            token,
            version,
            build,
            settings,
            configured: None,
            carries: None,
            keys: BTreeMap::new(),
            timings: Timings::from(timing),
            oldest_message: Arc::new(AtomicI64::new(NOTHING)),
            beats: Arc::default(),
            taken: Arc::default(),
            held: Held::default(),
            lacks: Arc::default(),
            unasked: MetWith::default(),
            known: Arc::default(),
        }
    }

    /// The same run, which tells what it is configured with.
    #[must_use]
    pub fn telling(self, configured: Configured) -> Self {
        Self { configured: Some(configured), ..self }
    }

    /// The same run, which tells which providers it knows, and as which accounts.
    #[must_use]
    pub fn carrying(self, carries: BTreeMap<ProviderName, CarriedBy>) -> Self {
        Self { carries: Some(carries), ..self }
    }

    /// The same run, which tells what tells its keys of providers from others.
    #[must_use]
    pub fn asking_with(self, keys: BTreeMap<ProviderName, String>) -> Self {
        Self { keys, ..self }
    }

    /// Who this is, for the audit trail.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What tells this run from every other.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The version and the digest of the settings, which a rehearsal must have had too.
    #[must_use]
    pub fn version_and_settings(&self) -> (&str, &str) {
        (&self.version, &self.settings)
    }

    /// A token that names this run, for what it writes.
    #[must_use]
    pub fn mark(&self, token: &str) -> String {
        let Self { service, token: run, actor, version, build, settings, .. } = self;
        RunMark::new(*service, run, [actor.as_str(), version, build, settings]).with(token)
    }

    /// Says with every beat, until what this gives is dropped, that something is held of a broadcast: permits, a
    /// claim, a send, or only the question for permits.
    pub fn holding(&self, id: &BroadcastId) -> Holding {
        self.held.hold(id)
    }

    /// Says whether the ledger has taken a beat of this run so lately that it may ask for permits.
    #[must_use]
    pub fn is_known(&self, now: Reading) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|known| !known.is_over(now))
    }

    /// Says with every beat that a broadcast asked for a provider that this run is not configured for.
    pub fn note_lack(&self, provider: &ProviderName) {
        self.lacks.lock().unwrap_or_else(PoisonError::into_inner).insert(provider.clone());
    }

    /// Says with every beat, as long as its provider may be asked, that somebody of this chunk is in doubt under a request that
    /// this run does not make again.
    pub fn note_unasked(&self, id: &BroadcastId, chunk: u32, until: Timestamp) {
        self.unasked.note(id, chunk, until);
    }

    /// Nobody of this chunk is in doubt any more.
    pub fn note_settled(&self, id: &BroadcastId, chunk: u32) {
        self.unasked.settle(id, chunk);
    }

    /// Notes a message that was received.
    pub fn note_message(&self, sent_at_ms: i64) {
        self.oldest_message.fetch_min(sent_at_ms, Ordering::Relaxed);
    }
}

/// A heartbeat as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub service: ServiceKind,
    /// Tells this run from every other.
    pub token: String,
    pub actor: String,
    pub version: String,
    /// The executable's build id, or its digest.
    pub build: String,
    /// Digest of the settings in force.
    pub settings: String,
    /// The ledger's epoch in which it works.
    pub ledger_epoch: u64,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    /// When it ended in good order; nothing where it lives or was killed.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// When the oldest message that it received in the ten seconds before was sent.
    #[serde(default)]
    pub oldest_message_at: Option<Timestamp>,
    /// The timeouts that it works with; nothing where an older build wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// What it is configured with; nothing where an older build wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<Configured>,
    /// The providers that it knows: of a consumer as which account it sends, of a producer which account it would register.
    /// Nothing where an older build wrote this, or where it does neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carries: Option<BTreeMap<ProviderName, CarriedBy>>,
    /// What tells its keys of providers from others, and a key to nobody. Nothing where an older build wrote this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<ProviderName, String>,
    /// What it holds; nothing where an older build wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_hand: Option<InHand>,
    /// The providers that broadcasts asked for, and that it is not configured for: it sends nothing of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lacks: BTreeSet<ProviderName>,
    /// The requests that it has met with and does not make again, though somebody is in doubt under them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<Unasked>,
}

impl Heartbeat {
    /// The mark that this run leaves in what it writes, as far as the heartbeat says what it said then.
    #[must_use]
    pub fn mark(&self) -> RunMark {
        RunMark::new(self.service, &self.token, [&self.actor, &self.version, &self.build, &self.settings])
    }

    /// Says whether it was seen lately and has not said that it ended.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now.duration_since(self.seen_at) <= SILENT_AFTER
    }

    /// Which of two beats of a run is the later one. Its wall clock may have been set in between.
    fn order(&self) -> (u64, Timestamp) {
        (self.in_hand.as_ref().map_or(0, |in_hand| in_hand.beat), self.seen_at)
    }

    /// The moment after which it can have nothing under way: where it said that it ended, then; where it
    /// fell silent, `held` after the first beat that it missed.
    #[must_use]
    pub fn over_at(&self, held: Duration) -> Timestamp {
        self.ended_at.unwrap_or_else(|| self.seen_at.saturating_add(BEAT_EVERY + held).unwrap_or(Timestamp::MAX))
    }
}

impl Ledger {
    /// The first beat of a run, or of its work in another epoch of the ledger.
    pub(crate) async fn begin_heartbeat(&self, run: &Incarnation, ledger_epoch: u64) -> Result<Heartbeat, LedgerError> {
        let now = self.clock.wall();
        let mut heartbeat = Heartbeat {
            service: run.service,
            token: run.token.clone(),
            actor: run.actor.to_string(),
            version: run.version.clone(),
            build: run.build.clone(),
            settings: run.settings.clone(),
            ledger_epoch,
            started_at: now,
            seen_at: now,
            ended_at: None,
            oldest_message_at: None,
            timings: Some(run.timings),
            configured: run.configured.clone(),
            carries: run.carries.clone(),
            keys: run.keys.clone(),
            in_hand: None,
            lacks: BTreeSet::new(),
            unasked: Vec::new(),
        };
        // In another epoch of the ledger nothing is as it was.
        *run.taken.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.write_beat(run, &mut heartbeat).await?;
        Ok(heartbeat)
    }

    /// Writes that the run still lives.
    pub(crate) async fn beat(&self, run: &Incarnation, heartbeat: &mut Heartbeat) -> Result<(), LedgerError> {
        heartbeat.seen_at = self.clock.wall();
        heartbeat.oldest_message_at = Timestamp::from_millisecond(run.oldest_message.swap(NOTHING, Ordering::Relaxed)).ok();
        self.write_beat(run, heartbeat).await
    }

    /// A run that had ended is at work again.
    pub(crate) async fn resume_heartbeat(&self, run: &Incarnation, heartbeat: &mut Heartbeat) -> Result<(), LedgerError> {
        heartbeat.ended_at = None;
        self.beat(run, heartbeat).await
    }

    /// Writes that the run ended in good order: it has nothing under way and nothing in hand.
    pub(crate) async fn end_heartbeat(&self, run: &Incarnation, heartbeat: &mut Heartbeat) -> Result<(), LedgerError> {
        heartbeat.seen_at = self.clock.wall();
        heartbeat.ended_at = Some(heartbeat.seen_at);
        // It asks for nothing until it has said that it is at work again.
        *run.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.write_beat(run, heartbeat).await
    }

    /// Only the run itself writes this item, each beat with a higher number. So what stands there has at least
    /// the number that was last taken, or the ledger has gone back. A beat that lands late changes nothing.
    async fn write_beat(&self, run: &Incarnation, heartbeat: &mut Heartbeat) -> Result<(), LedgerError> {
        let (day, number) = (Key::day(heartbeat.seen_at), run.beats.fetch_add(1, Ordering::Relaxed) + 1);
        let taken = *run.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.clock.reading();
        let acknowledged = taken.map_or(0, |(_, number)| number);
        heartbeat.in_hand = Some(InHand { beat: number, acknowledged, broadcasts: run.held.broadcasts() });
        heartbeat.lacks.clone_from(&run.lacks.lock().unwrap_or_else(PoisonError::into_inner));
        heartbeat.unasked = run.unasked.told(made.wall());
        let heartbeat = &*heartbeat;
        let key = Key::service(day, heartbeat.service.as_str(), &heartbeat.token);
        let mut item: Item = serde_dynamo::to_item(heartbeat).map_err(|error| LedgerError::corrupt(key.name(), error))?;
        item.extend(key.clone().into_item());
        item.insert("expires_at".to_owned(), n(self.expires_at()));
        item.insert("beats".to_owned(), n(number));
        let taken = taken.filter(|(on, _)| *on == day).map(|(_, number)| number);
        let put = self.db.put_item().table_name(&self.table).set_item(Some(item)).expression_attribute_values(":number", n(number));
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match taken {
            Some(taken) => put.condition_expression("beats >= :taken AND beats < :number").expression_attribute_values(":taken", n(taken)),
            None => put.condition_expression("attribute_not_exists(pk) OR beats < :number"),
        };
        if let Err(error) = put.call().await {
            let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
                return Err(LedgerError::call("PutItem")(error));
            };
            let found = self.refused_by(failed.item.clone(), key).await?;
            let found: Option<u64> = found.and_then(|item| item.get("beats")?.as_n().ok()?.parse().ok());
            // The SDK's retry of a write whose answer was lost meets our own beat.
            if let Some(taken) = taken.filter(|taken| found.is_none_or(|found| found < *taken)) {
                self.restored_in.fetch_max(heartbeat.ledger_epoch, Ordering::Relaxed);
                let found = found.map_or("none".to_owned(), |found| format!("number {found}"));
                return Err(LedgerError::Restored { reason: format!("it had taken beat {taken} of this service, and holds {found}") });
            }
        }
        *run.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some((day, number));
        if heartbeat.ended_at.is_none() {
            *run.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Deadline::after(made, KNOWN_FOR));
        }
        Ok(())
    }

    /// Every run of a service that was seen since this moment, or not long before it, the longest seen
    /// last. A run has an item for each day on which it was seen, so that this is one call for each day, however many there were in
    /// the months before.
    pub async fn heartbeats(&self, since: Timestamp) -> Result<Vec<Heartbeat>, LedgerError> {
        let mut newest: HashMap<String, Heartbeat> = HashMap::new();
        // A day earlier, for the midnight just past and for clocks that differ.
        for day in Key::day(since) - 1..=Key::day(self.clock.wall()) + 1 {
            let mut after = None;
            loop {
                let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :services");
                let query = query.expression_attribute_values(":services", s(Key::services(day)));
                let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
                for item in answer.items.unwrap_or_default() {
                    let heartbeat: Heartbeat = read(item)?;
                    let known = newest.entry(heartbeat.token.clone()).or_insert_with(|| heartbeat.clone());
                    if known.order() < heartbeat.order() {
                        *known = heartbeat;
                    }
                }
                after = answer.last_evaluated_key.filter(|key| !key.is_empty());
                if after.is_none() {
                    break;
                }
            }
        }
        let mut all: Vec<Heartbeat> = newest.into_values().collect();
        all.sort_by(|one, other| (other.seen_at, &other.token).cmp(&(one.seen_at, &one.token)));
        Ok(all)
    }
}
