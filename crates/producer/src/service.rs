//! The producer as a long-running service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as BlockingMutex, PoisonError};
use std::time::Duration;

use issei_aws::{Backoff, Message, Poll, Queue, QueueError, Senders, Timing};
use issei_clock::{Clock, Dice};
use issei_ledger::{Broadcast, BroadcastState, Incarnation, Ledger, LedgerEpoch, LedgerError, ReasonCode, Registered};
use issei_letter::ContentError;
use issei_provider::{Allowed, Known, Providers};
use issei_schema::{BroadcastCommand, BroadcastId, CarriedBy, Content, ProviderName, Traces, UnsubscribeKeyId, broadcast_id_in};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::SourceError;
use crate::agreement::Approvals;
use crate::aside::{Aside, Ended};
use crate::audience::AudienceConfig;
use crate::close::Closer;
use crate::command::{Refusal, check_command, check_copy};
use crate::judging::JudgingError;
use crate::source::{Source, size_of};

/// Long polls of the commands queue: half of what SQS allows, so that the producer looks after
/// running broadcasts in between.
const POLL: Duration = Duration::from_secs(10);

/// How the producer works.
#[derive(Clone, Debug)]
pub struct Options {
    pub audiences: BTreeMap<String, AudienceConfig>,
    /// The names of the keys that consumers sign links to unsubscribe with.
    pub unsubscribe_keys: BTreeSet<UnsubscribeKeyId>,
    /// Who may carry a broadcast, by the names that commands have for them.
    pub providers: BTreeMap<ProviderName, Known>,
    /// Rows read from the source and frozen at once.
    pub page_size: usize,
    /// Recipients a second that consumers send to at most, as far as the producer is told; for what is said beforehand alone.
    pub rate_ceiling: Option<f64>,
    /// Recipients in a chunk, 50 at most; fewer where the account's rate is lower.
    pub chunk_size: u32,
    pub timing: Timing,
    /// As often as the commands queue hands a message out before SQS moves it to the dead-letter queue.
    pub max_receives: u32,
    /// Only what was rehearsed at least at its size may begin.
    pub require_rehearsal: bool,
    /// A larger share of skipped rows holds a broadcast before its first send.
    pub skipped_share_max: f64,
    /// Who else than whoever asks must agree before the first send.
    pub approvals: Approvals,
    /// How often running broadcasts are looked at, to end those that are done.
    pub close_every: Duration,
    pub traces: Traces,
    /// Addresses and domains that copies may go to, beside the sender's own domain; with commas between them.
    pub test_recipients: String,
    /// Where the audience is kept while it is read and frozen.
    pub spool_dir: PathBuf,
}

/// The producer.
pub struct Producer {
    pub(crate) ledger: Ledger,
    pub(crate) commands: Queue,
    pub(crate) chunks: Queue,
    /// Those that are asked for what is known of them nowhere else.
    pub(crate) providers: Providers,
    pub(crate) clock: Clock,
    pub(crate) aside: Aside,
    pub(crate) dice: Dice,
    pub(crate) options: Options,
    pub(crate) incarnation: Incarnation,
    /// What was seen of open broadcasts, for as long as this process lives.
    closer: Mutex<Closer>,
    /// Held while an audience is read and frozen, so that this process has one spool at a time.
    pub(crate) freezing: Mutex<()>,
    /// How often this process has read an audience.
    readings: AtomicU64,
    /// An audience that was read by a call whose time was over before all of it was frozen.
    kept: BlockingMutex<Option<(BroadcastId, Source)>>,
}

/// What kept a command from being carried out for now. It stays in the queue.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error(
        "the audience `{audience}` is no longer in the producer's configuration, but a broadcast that began with it is not frozen yet; put it back and start the producer again, or `issei stop {id}`"
    )]
    AudienceGone { audience: String, id: BroadcastId },
    #[error(
        "the audience `{audience}` is configured otherwise than when the command was taken: {why}, and start the producer again, or `issei stop {id}`; nothing was sent"
    )]
    AudienceChanged { audience: String, id: BroadcastId, why: String },
    #[error(
        "an earlier build of issei took this letter, and this one freezes nobody for it: {error}; nothing was sent: `issei stop {id}`, and send it mended in a new command, with a new broadcast_id"
    )]
    Letter { id: BroadcastId, error: ContentError },
    #[error("{title} does not tell what the template `{name}` says: {reason}")]
    Template { title: &'static str, name: String, reason: String },
    #[error(
        "audience `{audience}`: the call's time was over before everybody was read; give the function more time (HandlerTimeout), a database that answers faster, or run `issei producer` as a service, which has the time that it takes"
    )]
    CallTooShort { audience: String },
}

impl From<JudgingError> for ProducerError {
    fn from(error: JudgingError) -> Self {
        match error {
            JudgingError::Ledger(error) => Self::Ledger(error),
            JudgingError::Source(error) => Self::Source(error),
            JudgingError::Ended(error) => Self::Ended(error),
        }
    }
}

/// What the reason of a command begins with that was given up.
pub const TRIED: &str = "tried ";

/// What is to be done with a command's message.
pub(crate) enum Done {
    Delete,
    Bury(Refusal),
    /// The time was over first. Whether anything was frozen or enqueued meanwhile.
    Unfinished {
        moved: bool,
    },
}

impl Producer {
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a part made elsewhere")]
    pub fn new(
        ledger: Ledger,
        commands: Queue,
        chunks: Queue,
        providers: Providers,
        clock: Clock,
        dice: Dice,
        incarnation: Incarnation,
        options: Options,
    ) -> Self {
        let account = |known: &Known| {
            let carried_by = known.carried_by.clone().unwrap_or_else(|| CarriedBy::new(known.facts.kind, None, None));
            carried_by.or_in(commands.account())
        };
        let incarnation = incarnation.carrying(options.providers.iter().map(|(name, known)| (name.clone(), account(known))).collect());
        Self {
            ledger,
            commands,
            chunks,
            providers,
            aside: Aside::of(&clock),
            clock,
            dice,
            options,
            incarnation,
            closer: Mutex::default(),
            freezing: Mutex::default(),
            readings: AtomicU64::new(0),
            kept: BlockingMutex::default(),
        }
    }

    /// Keeps an audience for the next slice of the same command.
    pub(crate) fn keep(&self, command: &BroadcastCommand, source: Source) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((command.broadcast_id.clone(), source));
    }

    /// The audience that was kept, where it is that of this command. Any other makes room.
    pub(crate) fn kept(&self, command: &BroadcastCommand) -> Option<Source> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|(id, _)| *id == command.broadcast_id).map(|(_, source)| source)
    }

    /// Says whether this process is reading or freezing an audience, which may take long before a page shows it.
    pub(crate) fn is_freezing(&self) -> bool {
        self.freezing.try_lock().is_err()
    }

    /// What tells a reading of an audience from every other.
    pub(crate) fn reading_id(&self) -> String {
        format!("{}/{}", self.incarnation.token(), self.readings.fetch_add(1, Ordering::Relaxed))
    }

    /// This run of the service.
    #[must_use]
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Works until `shutdown`. A command that is being carried out then stays in the queue and goes
    /// on from the ledger, here or elsewhere.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.ledger.while_whole(&self.chunks, &self.incarnation, &shutdown, |epoch, token| self.work(epoch, token)).await;
    }

    async fn work(&self, epoch: LedgerEpoch, shutdown: CancellationToken) {
        tokio::join!(self.take_commands(epoch, &shutdown), self.look_after(&shutdown));
    }

    async fn take_commands(&self, epoch: LedgerEpoch, shutdown: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20), self.dice.clone());
        let poll = Poll::new(self.commands.clone(), 1, self.options.timing.visibility);
        while let Some(received) = poll.next(POLL, shutdown).await {
            match received {
                Ok(messages) => {
                    backoff.reset();
                    for message in messages {
                        // Every step of a command is durable, so it may be cut off anywhere. It is large, and moved with what
                        // awaits it.
                        shutdown.run_until_cancelled(Box::pin(self.take(epoch, &message))).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "no commands can be received; trying again");
                    shutdown.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                }
            }
        }
    }

    async fn look_after(&self, shutdown: &CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(self.dice.jitter(self.options.close_every))).await.is_some() {
            self.look_once(shutdown).await;
        }
    }

    /// Whether there is anything to look after still.
    pub(crate) async fn look_once(&self, stop: &CancellationToken) -> bool {
        let mut closer = self.closer.lock().await;
        match stop.run_until_cancelled(Box::pin(self.close(&mut closer))).await {
            Some(Ok(any)) => any,
            Some(Err(error)) => {
                tracing::warn!(%error, "running broadcasts can't be looked at; trying again");
                true
            }
            None => false,
        }
    }

    /// Notes the refusal in the ledger, puts a copy on the dead-letter queue, and says whether the message may be
    /// deleted. Without a note the dead letter has the reason all the same.
    pub(crate) async fn refuse_message(&self, message: &Message, refusal: &Refusal) -> bool {
        tracing::error!(message.id, reason = %refusal, "command refused; it goes to the dead-letter queue");
        let again = BroadcastCommand::parse(&message.body).ok().and_then(|command| command.again);
        let said = (refusal.code(), refusal.to_string());
        if let Some(id) = broadcast_id_in(&message.body)
            && let Err(error) = self.ledger.note_refused(&id, self.incarnation.actor(), (said.0, &said.1), again.as_ref()).await
        {
            tracing::warn!(%error, broadcast.id = %id, "the refusal can't be noted in the ledger; only its dead letter has the reason");
        }
        let copied = self.commands.copy_to_dead_letters(message, &refusal.to_string(), None).await;
        if let Err(error) = &copied {
            tracing::warn!(%error, message.id, "a refused command can't be moved; it comes again");
        }
        copied.is_ok()
    }

    async fn delete(&self, message: &Message) {
        if let Err(error) = self.commands.delete_batch(vec![message.receipt.clone()]).await {
            tracing::warn!(%error, message.id, "the command's message was left in the queue and will come again, which is harmless");
        }
    }

    /// Lets the message come again; after as many receives as there may be, puts a copy with the reason on the
    /// dead-letter queue, since SQS's own redrive says none. Says whether the message may be deleted.
    pub(crate) async fn try_again_later(&self, message: &Message, error: &ProducerError) -> bool {
        if message.receives >= self.options.max_receives {
            let reason = format!("{TRIED}{} times, the last time in vain because of this: {error}", message.receives);
            tracing::error!(message.id, reason, "command not carried out; it goes to the dead-letter queue");
            match self.commands.copy_to_dead_letters(message, &reason, None).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, message.id, "the command can't be moved; SQS moves it, without the reason"),
            }
        }
        let backoff = Backoff::new(Duration::from_secs(2), self.options.timing.visibility, self.dice.clone());
        let delay = backoff.delay_after(message.receives);
        tracing::warn!(%error, receives = message.receives, retry_s = delay.as_secs(), "command not carried out; it will be tried again");
        if let Err(error) = self.commands.hide_batch(std::slice::from_ref(&message.receipt), delay).await {
            tracing::warn!(%error, message.id, "the command's message was left in the queue and will come again, which is harmless");
        }
        false
    }

    /// Carries out one message, and keeps it hidden meanwhile.
    async fn take(&self, epoch: LedgerEpoch, message: &Message) {
        let never = CancellationToken::new();
        let done = tokio::select! {
            biased;
            done = self.carry_out(epoch, message, &never) => done,
            () = self.keep_hidden(message) => return,
        };
        match done {
            Ok(Done::Delete) => self.delete(message).await,
            Ok(Done::Bury(refusal)) => {
                if self.refuse_message(message, &refusal).await {
                    self.delete(message).await;
                }
            }
            // Never told to stop, it ends only when it is done.
            Ok(Done::Unfinished { .. }) => {}
            Err(error) => {
                if self.try_again_later(message, &error).await {
                    self.delete(message).await;
                }
            }
        }
    }

    async fn keep_hidden(&self, message: &Message) {
        let visibility = self.options.timing.visibility;
        loop {
            tokio::time::sleep(visibility / 3).await;
            if let Err(error) = self.commands.hide_batch(std::slice::from_ref(&message.receipt), visibility).await {
                tracing::warn!(%error, "a long command can't be kept hidden; another producer may begin it too, which is harmless");
            }
        }
    }

    pub(crate) async fn carry_out(&self, epoch: LedgerEpoch, message: &Message, stop: &CancellationToken) -> Result<Done, ProducerError> {
        let command = match BroadcastCommand::parse(&message.body) {
            Ok(command) => command,
            Err(error) => return Ok(Done::Bury(error.into())),
        };
        if let Some(refusal) = self.older_than_epoch(epoch, message, &command).await? {
            return Ok(Done::Bury(refusal));
        }
        let span = tracing::info_span!("broadcast", broadcast.id = %command.broadcast_id);
        self.carry_out_command(&command, &message.senders, stop).instrument(span).await
    }

    /// A ledger that was restored may have forgotten the whole broadcast of an old command.
    async fn older_than_epoch(
        &self,
        epoch: LedgerEpoch,
        message: &Message,
        command: &BroadcastCommand,
    ) -> Result<Option<Refusal>, LedgerError> {
        let opened_at = epoch.opened_at;
        if epoch.epoch == 1 || message.sent_at_ms >= opened_at.as_millisecond() {
            return Ok(None);
        }
        let is_known = self.ledger.find_broadcast(&command.broadcast_id).await?.is_some();
        Ok((!is_known).then_some(Refusal::BeforeEpoch { epoch: epoch.epoch, opened_at }))
    }

    fn check(&self, command: &BroadcastCommand) -> Result<(), Refusal> {
        let Options { audiences, unsubscribe_keys, providers, .. } = &self.options;
        check_command(command, audiences, unsubscribe_keys, providers, self.clock.wall())
    }

    async fn carry_out_command(
        &self,
        command: &BroadcastCommand,
        senders: &Senders,
        stop: &CancellationToken,
    ) -> Result<Done, ProducerError> {
        if let Err(refusal) = self.check(command) {
            return self.bury_unless_taken(command, refusal, stop).await;
        }
        if let Err(refusal) = check_copy(command, &self.options.test_recipients) {
            return Ok(Done::Bury(refusal));
        }
        let command = match self.with_template(command).await? {
            Ok(command) => command,
            Err(refusal) => return Ok(Done::Bury(refusal)),
        };
        // Once more, by what the template asks for.
        if let Err(refusal) = self.check(&command) {
            return self.bury_unless_taken(&command, refusal, stop).await;
        }
        // A rehearsal reaches nobody, and says the same each time; a copy says it to somebody who wants to see it.
        let may_repeat = size_of(command.audience.as_str()).is_some() || command.test_copy.is_some();
        let asked = self.options.approvals.asked(&command, senders, self.carried_by(&command.provider()));
        let registered = match self.ledger.register(&command, self.chunk_size(&command).await, may_repeat, &asked, &self.dice).await {
            Err(error @ LedgerError::Closed(_)) => return Ok(Done::Bury(Refusal::Closed(error.to_string()))),
            other => other?,
        };
        let broadcast = match registered {
            Registered::New(broadcast) => {
                tracing::info!(command.hash = %command.hash(), requested_by = %command.requested_by, "broadcast registered");
                broadcast
            }
            Registered::Same(broadcast) => {
                tracing::info!(state = %broadcast.broadcast_state, "this command has been here before; it is the same broadcast");
                broadcast
            }
            Registered::Other(broadcast) => {
                return Ok(Done::Bury(Refusal::OtherContent {
                    id: command.broadcast_id.to_string(),
                    first: broadcast.command_hash,
                    second: command.hash().to_string(),
                }));
            }
            Registered::Repeated(repeated) => return Ok(Done::Bury(Refusal::Repeated(Box::new(repeated)))),
        };
        self.go_on(&command, broadcast, stop).await
    }

    /// A command that was taken before is not refused for what was configured since: its broadcast goes on, and says itself
    /// what keeps it.
    async fn bury_unless_taken(
        &self,
        command: &BroadcastCommand,
        refusal: Refusal,
        stop: &CancellationToken,
    ) -> Result<Done, ProducerError> {
        let found = self.ledger.find_broadcast(&command.broadcast_id).await?;
        match found.filter(|found| found.command_hash == command.hash().as_str()) {
            Some(broadcast) if refusal.code() != ReasonCode::RefusedTime => Box::pin(self.go_on(command, broadcast, stop)).await,
            _ => Ok(Done::Bury(refusal)),
        }
    }

    /// Goes on with a broadcast that is registered.
    async fn go_on(&self, command: &BroadcastCommand, broadcast: Broadcast, stop: &CancellationToken) -> Result<Done, ProducerError> {
        // Somebody else may have been faster, and have read another template.
        let stored =
            if matches!(command.content, Content::Template { .. }) { Some(self.ledger.command_of(&broadcast).await?) } else { None };
        let command = stored.as_ref().unwrap_or(command);
        let before = far(&broadcast);
        let broadcast = self.freeze(command, broadcast, stop).await?;
        let broadcast = self.enqueue(broadcast, stop).await?;
        if stop.is_cancelled() && !broadcast.broadcast_state.is_over() && !broadcast.is_enqueued() && !self.waits(&broadcast) {
            tracing::info!(pages = broadcast.pages, enqueued = broadcast.enqueued_pages, "the call's time is over");
            return Ok(Done::Unfinished { moved: far(&broadcast) != before });
        }
        tracing::info!(state = %broadcast.broadcast_state, pages = broadcast.pages, chunks = broadcast.chunks, "command carried out");
        Ok(Done::Delete)
    }

    /// Whether it runs and may not be sent now: its message has nothing left to do, and it is gone on with from the ledger.
    fn waits(&self, broadcast: &Broadcast) -> bool {
        broadcast.waits_until(self.clock.wall()).is_some()
    }

    /// Which account a name means here. Consumers take chunks from a queue of this account, and send by SES as the same.
    fn carried_by(&self, provider: &ProviderName) -> Option<CarriedBy> {
        let carried_by = self.options.providers.get(provider)?.carried_by.clone()?;
        Some(carried_by.or_in(self.commands.account()))
    }

    /// A chunk is never more than a second of the account's rate, or one chunk would pass it, nor than the first hour of a
    /// ramp, or none would ever be sent.
    async fn chunk_size(&self, command: &BroadcastCommand) -> u32 {
        let first_hour = command.ramp.map_or(u32::MAX, |ramp| u32::try_from(ramp.first_hour.get()).unwrap_or(u32::MAX));
        self.account_chunk_size(&command.provider()).await.min(first_hour)
    }

    async fn account_chunk_size(&self, provider: &ProviderName) -> u32 {
        let Some(rate) = self.rate_of(provider).await else { return self.options.chunk_size };
        (1..=self.options.chunk_size).rev().find(|size| f64::from(*size) <= rate).unwrap_or(1)
    }

    /// Recipients a second that a provider's account may send to; nothing where that can't be told now.
    pub(crate) async fn rate_of(&self, provider: &ProviderName) -> Option<f64> {
        let known = self.options.providers.get(provider)?;
        if known.rate.is_some() || known.facts.allowed == Allowed::Configured {
            return known.rate;
        }
        match self.providers.get(provider)?.allowance().await {
            Ok(allowance) => Some(allowance.rate),
            Err(error) => {
                tracing::warn!(error = error.reason, "the account's send rate can't be read");
                None
            }
        }
    }
}

/// How far a command has been carried out.
fn far(broadcast: &Broadcast) -> (BroadcastState, u32, u32) {
    (broadcast.broadcast_state, broadcast.pages, broadcast.enqueued_pages)
}
