//! The consumer as a long-running service.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use issei_aws::{Backoff, Message, Poll, Queue, Timing};
use issei_clock::{Clock, Dice};
use issei_ledger::{Chunk, Incarnation, Lately, Ledger, LedgerError, Telling};
use issei_provider::{Provider, Providers};
use issei_schema::{AddressHash, BroadcastId, ChunkMessage, ChunkVersion, ProviderName, Traces, UnsubscribeKeys};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::after::{self, After};
use crate::broadcasts::Broadcasts;
use crate::carrier::Carrier;
use crate::chunk::Delivery;
use crate::permits::Permits;
use crate::rate::Rate;
use crate::refusal::Refusals;

/// The longest that SQS allows: an idle consumer costs three requests a minute.
const POLL: Duration = Duration::from_secs(20);
/// What one receive gives at most (SQS API reference, `ReceiveMessage`).
const RECEIVE_MAX: usize = 10;
/// Chunks at work for each receive that is under way at once: a chunk takes three calls of the same length and more,
/// and a receive brings ten.
const CHUNKS_A_RECEIVE: usize = 20;
/// Chunks that are read with one call: `BatchGetItem` takes a hundred keys (API reference).
const READ_MAX: usize = 100;

/// How often the ledger is told how far this consumer has come: often enough for people who watch, and a
/// small share of the requests.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How the consumer works.
#[derive(Clone)]
pub struct Options {
    /// Chunks that are handled at once.
    pub chunks_in_flight: usize,
    /// Recipients a second at most, whatever the account allows.
    pub rate_ceiling: Option<f64>,
    /// So many chunks in a row of which nobody was accepted pause the broadcast.
    pub max_failures_in_a_row: u32,
    pub timing: Timing,
    pub address_hash: AddressHash,
    /// The keys that sign links to unsubscribe. A broadcast whose key is not among them is paused.
    pub unsubscribe_keys: UnsubscribeKeys,
    /// The newest version of chunk messages that is read. Newer ones are buried, and can be redriven after
    /// an upgrade.
    pub reads: ChunkVersion,
    pub traces: Traces,
}

/// The consumer.
pub struct Consumer {
    pub(crate) queue: Queue,
    pub(crate) ledger: Ledger,
    /// Who carries broadcasts, by the names that their commands have for it.
    pub(crate) carriers: BTreeMap<ProviderName, Carrier>,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) options: Options,
    pub(crate) incarnation: Incarnation,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) permits: Permits,
    pub(crate) telling: Telling,
    pub(crate) refusals: Refusals,
    pub(crate) presumption: Presumption,
    pub(crate) lately: Lately,
}

/// That a chunk whose message comes for the first time was never claimed, so that nothing of it need be read: the claim
/// is refused where that is wrong, and brings what stands there.
#[derive(Default)]
pub(crate) struct Presumption(AtomicU32);

impl Presumption {
    /// After a wrong one so many chunks are read before their turn. A refused claim has used up time of the account's
    /// rate, and copies seldom come alone.
    const SUSPENDED_FOR: u32 = 100;

    fn holds(&self, message: &Message) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        message.receives <= 1 && self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    pub(crate) fn was_wrong(&self) {
        self.0.store(Self::SUSPENDED_FOR, Ordering::Relaxed);
    }
}

/// How a message is kept hidden while somebody is at it.
#[derive(Clone, Copy)]
enum Keeping<'a> {
    /// With others, ten at a time.
    With(&'a mpsc::Sender<(Message, After)>),
    Alone,
}

/// What the receives of one consumer share.
struct Receiving<'a> {
    decide: mpsc::Sender<(Message, After)>,
    shutdown: &'a CancellationToken,
    poll: Poll,
    /// Messages in hand: a place at work for each, and a batch more for each receive, so that no place stands
    /// empty for as long as a receive takes.
    hands: Arc<Semaphore>,
    /// Chunks at work.
    places: Arc<Semaphore>,
    /// Whether the last receive brought anything.
    is_busy: watch::Sender<bool>,
}

impl Consumer {
    #[must_use]
    pub fn new(
        ledger: Ledger,
        queue: Queue,
        providers: &Providers,
        clock: Clock,
        dice: Dice,
        incarnation: Incarnation,
        options: Options,
    ) -> Arc<Self> {
        let carrier = |name: &ProviderName, provider: &Arc<dyn Provider>| {
            let rate = Rate::new(ledger.clone(), name.clone(), provider.clone(), clock.clone(), dice.clone(), options.rate_ceiling);
            Carrier::new(provider.clone(), rate, queue.account())
        };
        let carriers: BTreeMap<ProviderName, Carrier> =
            providers.iter().map(|(name, provider)| (name.clone(), carrier(name, provider))).collect();
        let keys = carriers.iter().filter_map(|(name, carrier)| Some((name.clone(), carrier.key_told()?))).collect();
        let accounts = carriers.iter().map(|(name, carrier)| (name.clone(), carrier.account())).collect();
        let incarnation = incarnation.carrying(accounts).asking_with(keys);
        Arc::new(Self {
            carriers,
            broadcasts: Broadcasts::new(ledger.clone(), clock.clone(), options.unsubscribe_keys.clone()),
            permits: Permits::new(ledger.clone(), clock.clone(), dice.clone(), options.timing, incarnation.clone()),
            telling: Telling::new(ledger.clone(), &incarnation),
            refusals: Refusals::default(),
            presumption: Presumption::default(),
            lately: ledger.lately(),
            queue,
            ledger,
            clock,
            dice,
            options,
            incarnation,
        })
    }

    /// This run of the service.
    #[must_use]
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Works until `shutdown`: then it receives nothing more, finishes what is claimed, gives the
    /// rest back, and returns. Dropping this future instead is a crash, and as safe as one.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        self.ledger.while_whole(&self.queue, &self.incarnation, &shutdown, |_, token| self.clone().work(token)).await;
    }

    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        self.broadcasts.forget();
        self.lately.forget().await;
        let (decide, decided) = mpsc::channel(64);
        let consumer = self.clone();
        let mut aside = JoinSet::new();
        aside.spawn(self.clock.clone().awake(async move { after::carry_out(&consumer.queue, decided).await }));
        let consumer = self.clone();
        let telling = aside.spawn(self.clock.clone().awake(async move {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                consumer.telling.tell().await;
                consumer.permits.return_idle().await;
            }
        }));
        self.receive(&shutdown, decide).await;
        telling.abort();
        // The last deletions go out before the end.
        while aside.join_next().await.is_some() {}
        self.permits.return_all().await;
        self.telling.tell().await;
    }

    async fn receive(self: &Arc<Self>, shutdown: &CancellationToken, decide: mpsc::Sender<(Message, After)>) {
        let in_flight = self.options.chunks_in_flight;
        let receives = in_flight.div_ceil(CHUNKS_A_RECEIVE);
        let batch = RECEIVE_MAX.min(in_flight);
        let shared = Receiving {
            decide,
            shutdown,
            poll: Poll::new(self.queue.clone(), batch, self.options.timing.visibility),
            hands: Arc::new(Semaphore::new(in_flight + receives * batch)),
            places: Arc::new(Semaphore::new(in_flight)),
            is_busy: watch::Sender::new(false),
        };
        join_all((0..receives).map(|number| self.receive_on(number > 0, &shared))).await;
    }

    /// Receives one batch after another. Whoever only helps does so while there is something to receive: an idle
    /// consumer polls once at a time.
    async fn receive_on(self: &Arc<Self>, helps: bool, shared: &Receiving<'_>) {
        let shutdown = shared.shutdown;
        let batch = RECEIVE_MAX.min(self.options.chunks_in_flight);
        let mut is_busy = shared.is_busy.subscribe();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20), self.dice.clone());
        let mut work = JoinSet::new();
        loop {
            if helps && shutdown.run_until_cancelled(is_busy.wait_for(|is_busy| *is_busy)).await.is_none() {
                break;
            }
            // Room for a whole batch first, so that receives are full ones.
            let room = shared.hands.clone().acquire_many_owned(u32::try_from(batch).unwrap_or(1));
            let Some(Ok(room)) = shutdown.run_until_cancelled(room).await else { break };
            while work.try_join_next().is_some() {}
            let wait = if *shared.is_busy.borrow() { Poll::SHORT } else { POLL };
            match shared.poll.next(wait, shutdown).await {
                None => break,
                Some(Ok(messages)) => {
                    backoff.reset();
                    shared.is_busy.send_replace(!messages.is_empty());
                    messages.iter().for_each(|message| self.incarnation.note_message(message.sent_at_ms));
                    if !messages.is_empty() {
                        self.spawn(&mut work, messages, room, shared).await;
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "no messages can be received; trying again");
                    shutdown.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                }
            }
        }
        while work.join_next().await.is_some() {}
    }

    async fn spawn(
        self: &Arc<Self>,
        work: &mut JoinSet<()>,
        messages: Vec<Message>,
        mut room: OwnedSemaphorePermit,
        shared: &Receiving<'_>,
    ) {
        let (deliveries, decided) = self.parse(messages).await;
        for decided in decided {
            // The receiver outlives every sender, unless everything is being dropped.
            let _ = shared.decide.send(decided).await;
        }
        for delivery in deliveries {
            let Some(hand) = room.split(1) else { return };
            let (consumer, decide, shutdown) = (self.clone(), shared.decide.clone(), shared.shutdown.clone());
            let places = shared.places.clone();
            work.spawn(self.clock.clone().awake(async move {
                let at_work = async {
                    let Some(Ok(_place)) = shutdown.run_until_cancelled(places.acquire()).await else { return Ok(After::GiveBack) };
                    // What is spawned is moved some times before it begins.
                    Box::pin(consumer.handle(&delivery, &shutdown)).await
                };
                let after = consumer.while_kept(&delivery, at_work, Keeping::With(&decide)).await;
                let _ = decide.send((delivery.message, after)).await;
                drop(hand);
            }));
        }
    }

    /// Handles messages that an event source has received, and gives the ids of those that must come
    /// again; the source deletes the others. Nothing is claimed once `stop` is cancelled, and nothing is
    /// kept for the next call.
    pub async fn handle_for_source(&self, messages: Vec<Message>, stop: &CancellationToken) -> Vec<String> {
        messages.iter().for_each(|message| self.incarnation.note_message(message.sent_at_ms));
        self.broadcasts.ask_again();
        let mut decided = Vec::with_capacity(messages.len());
        let mut rest = messages.into_iter();
        loop {
            let some: Vec<Message> = rest.by_ref().take(READ_MAX).collect();
            if some.is_empty() {
                break;
            }
            let (deliveries, more) = self.parse(some).await;
            decided.extend(more);
            let handled = stream::iter(deliveries).map(async |delivery| {
                let after = self.while_kept(&delivery, self.handle(&delivery, stop), Keeping::Alone).await;
                (delivery.message, after)
            });
            decided.extend(handled.buffer_unordered(self.options.chunks_in_flight).collect::<Vec<_>>().await);
        }
        let again = after::carry_out_for_source(&self.queue, decided).await;
        self.permits.return_all().await;
        self.telling.tell().await;
        again
    }

    /// Parses messages, and reads with one call the chunks that may have been claimed before. What can't be parsed is
    /// buried; what can't be read stays in the queue.
    async fn parse(&self, messages: Vec<Message>) -> (Vec<Delivery>, Vec<(Message, After)>) {
        let (mut parsed, mut decided) = (Vec::with_capacity(messages.len()), Vec::new());
        for message in messages {
            match ChunkMessage::parse_up_to(self.options.reads, &message.body) {
                Ok(chunk) => parsed.push((message, chunk)),
                Err(error) => decided.push((message, After::Bury(error.to_string()))),
            }
        }
        let (first, again): (Vec<_>, Vec<_>) = parsed.into_iter().partition(|(message, _)| self.presumption.holds(message));
        let mut deliveries: Vec<_> = first.into_iter().map(|(message, chunk)| Delivery { message, chunk, seen: Chunk::Absent }).collect();
        if again.is_empty() {
            return (deliveries, decided);
        }
        let mut by_broadcast: BTreeMap<BroadcastId, Vec<(Message, ChunkMessage)>> = BTreeMap::new();
        again.into_iter().for_each(|one| by_broadcast.entry(one.1.broadcast_id.clone()).or_default().push(one));
        for (id, again) in by_broadcast {
            let numbers: Vec<u32> = again.iter().map(|(_, chunk)| chunk.chunk).collect();
            match self.look_at(&id, &numbers).await {
                Ok(mut found) => deliveries.extend(again.into_iter().map(|(message, chunk)| {
                    let seen = found.remove(&chunk.chunk).unwrap_or(Chunk::Absent);
                    Delivery { message, chunk, seen }
                })),
                Err(error) => {
                    tracing::warn!(%error, "chunks can't be read; their messages come again");
                    decided.extend(again.into_iter().map(|(message, _)| {
                        let after = self.later(&message);
                        (message, after)
                    }));
                }
            }
        }
        (deliveries, decided)
    }

    /// Chunks as they are; none where there is no such broadcast, of whose messages nothing is believed.
    async fn look_at(&self, id: &BroadcastId, chunks: &[u32]) -> Result<HashMap<u32, Chunk>, LedgerError> {
        match self.broadcasts.get(id).await? {
            Some(known) => self.ledger.chunks(&known.registration.placed(), chunks).await,
            None => Ok(HashMap::new()),
        }
    }

    /// Waits for the handling of a delivery, and has its message kept hidden meanwhile.
    async fn while_kept(
        &self,
        delivery: &Delivery,
        handled: impl Future<Output = Result<After, LedgerError>>,
        keeping: Keeping<'_>,
    ) -> After {
        let visibility = self.options.timing.visibility;
        let span = tracing::info_span!("chunk", broadcast.id = %delivery.chunk.broadcast_id, chunk.seq = delivery.chunk.chunk);
        if let Some(trace) = delivery.chunk.trace() {
            (self.options.traces.follow)(&span, trace);
        }
        let handled = handled.instrument(span);
        tokio::pin!(handled);
        loop {
            tokio::select! {
                biased;
                handled = &mut handled => return handled.unwrap_or_else(|error| {
                    tracing::warn!(%error, receives = delivery.message.receives, "a chunk can't be handled now; its message comes again");
                    self.later(&delivery.message)
                }),
                () = tokio::time::sleep(visibility / 3) => match keeping {
                    // Where so much is to be decided that there is no room, it is kept the next time, or handed out
                    // again, which is harmless.
                    Keeping::With(decide) => drop(decide.try_send((delivery.message.clone(), After::Keep(visibility)))),
                    Keeping::Alone => after::keep(&self.queue, std::slice::from_ref(&delivery.message.receipt), visibility).await,
                },
            }
        }
    }

    /// Failures come again by visibility, each time later, and end in the dead-letter queue.
    fn later(&self, message: &Message) -> After {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(15), self.dice.clone());
        After::Hide(backoff.delay_after(message.receives))
    }
}
