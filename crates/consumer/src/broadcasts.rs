//! What a consumer remembers of broadcasts. The command of a registration never changes; the state is asked
//! for again every second while it is not running, and permits tell of any change while it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use issei_clock::{Clock, Deadline};
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError, ReasonCode, Registration};
use issei_letter::ContentError;
use issei_schema::{BroadcastId, CarriedBy, ChunkMessage, MissingKey, Ramped, Schedule, SendWindow, UnsubscribeKeys, WayOut};
use jiff::Timestamp;

use crate::envelope::Envelope;

/// How old a remembered state may be. It is a hint that saves reads: only a granted permit counts.
const STATE_LASTS: Duration = Duration::from_secs(1);
/// A consumer seldom sees more than a few broadcasts; this bounds what a flood of ids may take.
const REMEMBERED_MAX: usize = 64;

/// Why nothing of a broadcast may be sent by this consumer. It should be paused.
#[derive(Clone)]
pub(crate) enum Unsendable {
    Key(MissingKey),
    /// An earlier build took it, which had fewer rules.
    Letter(BroadcastId, ContentError),
}

impl Unsendable {
    pub(crate) fn told(&self) -> (ReasonCode, String) {
        match self {
            Self::Key(missing) => (ReasonCode::PausedKeyMissing, missing.to_string()),
            Self::Letter(id, error) => (ReasonCode::PausedContent, letter_refused(id, error)),
        }
    }
}

/// Why nothing of a broadcast is sent whose letter a consumer of this build refuses, and what to do.
#[must_use]
pub fn letter_refused(id: &BroadcastId, error: &ContentError) -> String {
    format!(
        "an earlier build of issei took this letter, and no consumer of this one sends it: {error}; `issei stop {id}`, and send whoever is missing a mended one: `issei resend {id} --as NEW_ID` makes the command"
    )
}

/// A broadcast as a consumer knows it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) envelope: Result<Arc<Envelope>, Unsendable>,
    /// Which account it was registered for; nothing where an older build registered it.
    pub(crate) carried_by: Option<Arc<CarriedBy>>,
    pub(crate) state: BroadcastState,
    pub(crate) epoch: u64,
    not_after: Timestamp,
    not_before: Option<Timestamp>,
    window: Option<Arc<SendWindow>>,
    pub(crate) ramped: Option<Ramped>,
    /// With the key that messages are proved under; nothing where an older build registered the broadcast.
    pub(crate) registration: Registration,
    pages: u32,
    chunks: u32,
    /// While it is not running, it need not be asked for again.
    state_lasts: Deadline,
}

impl Known {
    /// Says whether what is remembered is of the registration that the ledger has now. After a restore the
    /// same id can be another broadcast, with other words.
    pub(crate) fn is_of(&self, broadcast: &Broadcast) -> bool {
        self.registration == broadcast.registration()
    }

    /// When it may be sent.
    pub(crate) fn schedule(&self) -> Schedule<'_> {
        Schedule { not_before: self.not_before, window: self.window.as_deref(), not_after: self.not_after }
    }

    /// Why a message is not of this registration; nothing where it is, as far as that can be told without
    /// the frozen page.
    fn objection(&self, message: &ChunkMessage) -> Option<String> {
        // While it is enumerated nobody knows how many chunks there will be, and none is enqueued.
        let is_frozen = self.state != BroadcastState::Enumerating;
        if self.registration.key.is_some_and(|key| !message.is_proved(&key)) {
            return Some(match message.version() {
                3.. => "its proof is not of this registration of the broadcast: it was altered, made by somebody who has no right to, or outlived a restore".to_owned(),
                old => format!("it is of version {old} and proves nothing, and this broadcast has a key; `issei repair` enqueues its chunk properly"),
            });
        }
        if is_frozen && (message.page >= self.pages || message.chunk >= self.chunks) {
            return Some(format!(
                "it names chunk {} of page {}, and the broadcast has {} chunks in {} pages",
                message.chunk, message.page, self.chunks, self.pages
            ));
        }
        None
    }
}

/// The broadcasts that a consumer has met.
pub(crate) struct Broadcasts {
    ledger: Ledger,
    clock: Clock,
    unsubscribe_keys: UnsubscribeKeys,
    known: Mutex<HashMap<BroadcastId, Known>>,
}

impl Broadcasts {
    pub(crate) fn new(ledger: Ledger, clock: Clock, unsubscribe_keys: UnsubscribeKeys) -> Self {
        Self { ledger, clock, unsubscribe_keys, known: Mutex::new(HashMap::new()) }
    }

    /// The broadcast; nothing where the ledger has none of that id.
    pub(crate) async fn get(&self, id: &BroadcastId) -> Result<Option<Known>, LedgerError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(known) = &known
            && (known.state == BroadcastState::Running || !known.state_lasts.is_over(self.clock.reading()))
        {
            return Ok(Some(known.clone()));
        }
        self.read(id, known).await
    }

    async fn read(&self, id: &BroadcastId, known: Option<Known>) -> Result<Option<Known>, LedgerError> {
        let Some(broadcast) = self.ledger.find_broadcast(id).await? else { return Ok(None) };
        let envelope = if let Some(known) = known.filter(|known| known.is_of(&broadcast)) {
            known.envelope
        } else {
            let command = self.ledger.command_of(&broadcast).await?;
            let way_out = WayOut::of(&command, &self.unsubscribe_keys).map_err(Unsendable::Key);
            way_out.and_then(|way_out| Envelope::of(&command, way_out).map(Arc::new).map_err(|error| Unsendable::Letter(id.clone(), error)))
        };
        Ok(Some(self.remember(&broadcast, envelope)))
    }

    /// Why a message orders nothing, however well it looks; nothing where it may be acted on. What is
    /// remembered can be of an earlier registration, so nobody is refused without a fresh look.
    pub(crate) async fn objection(&self, known: &mut Known, message: &ChunkMessage) -> Result<Option<String>, LedgerError> {
        if known.objection(message).is_none() {
            return Ok(None);
        }
        let id = &message.broadcast_id;
        let Some(fresh) = self.read(id, Some(known.clone())).await? else {
            return Ok(Some(format!("there is no broadcast `{id}` in the ledger, and a message alone orders nothing")));
        };
        *known = fresh;
        Ok(known.objection(message))
    }

    /// Why a message of a broadcast that has no key is not the frozen chunk; nothing where it is. One read of
    /// its page, which is what a key saves.
    pub(crate) async fn unlike_its_page(&self, known: &Known, message: &ChunkMessage) -> Result<Option<String>, LedgerError> {
        if known.registration.key.is_some() {
            return Ok(None);
        }
        let page = self.ledger.page(&known.registration.placed(), message.page).await?;
        let is_frozen = page.chunks().any(|(chunk, recipients)| {
            chunk == message.chunk && recipients.iter().map(Option::as_ref).eq(message.recipients.iter().map(Some))
        });
        Ok((!is_frozen).then(|| format!("page {} of the ledger holds no such chunk {}", message.page, message.chunk)))
    }

    fn remember(&self, broadcast: &Broadcast, envelope: Result<Arc<Envelope>, Unsendable>) -> Known {
        let known = Known {
            envelope,
            carried_by: broadcast.carried_by.clone().map(Arc::new),
            state: broadcast.broadcast_state,
            epoch: broadcast.epoch,
            not_after: broadcast.not_after,
            not_before: broadcast.not_before,
            window: broadcast.send_window.clone().map(Arc::new),
            ramped: broadcast.ramped(),
            registration: broadcast.registration(),
            pages: broadcast.pages,
            chunks: broadcast.chunks,
            state_lasts: Deadline::after(self.clock.reading(), STATE_LASTS),
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(broadcast.broadcast_id.clone(), known.clone());
        known
    }

    /// Forgets those that were not running. A function may stand still between two calls, and every clock of its
    /// machine with it, so what it knew in its last call may be hours old.
    pub(crate) fn ask_again(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.state == BroadcastState::Running);
    }

    /// Forgets all of them, since the ledger may be another one.
    pub(crate) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes note of a broadcast that was read on another occasion, and forgets it where the ledger has
    /// another under its id.
    pub(crate) fn note(&self, broadcast: &Broadcast) {
        let id = &broadcast.broadcast_id;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(known) = known.filter(|known| known.is_of(broadcast)) {
            self.remember(broadcast, known.envelope);
        }
    }
}
