//! What a consumer remembers of broadcasts. The command never changes; the state is asked for again
//! every second while it is not running, and permits tell of any change while it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use issei_clock::{Clock, Instant};
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError};
use issei_schema::BroadcastId;
use jiff::Timestamp;

use crate::letter::Letter;

/// How old a remembered state may be. It is a hint that saves reads: only a granted permit counts.
const STATE_LASTS: Duration = Duration::from_secs(1);
/// A consumer seldom sees more than a few broadcasts; this bounds what a flood of ids may take.
const REMEMBERED_MAX: usize = 64;

/// A broadcast as a consumer knows it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) letter: Arc<Letter>,
    pub(crate) state: BroadcastState,
    pub(crate) epoch: u64,
    pub(crate) not_after: Timestamp,
    read_at: Instant,
}

/// The broadcasts that a consumer has met.
pub(crate) struct Broadcasts {
    ledger: Ledger,
    clock: Clock,
    known: Mutex<HashMap<BroadcastId, Known>>,
}

impl Broadcasts {
    pub(crate) fn new(ledger: Ledger, clock: Clock) -> Self {
        Self { ledger, clock, known: Mutex::new(HashMap::new()) }
    }

    /// The broadcast; nothing where the ledger has none of that id.
    pub(crate) async fn get(&self, id: &BroadcastId) -> Result<Option<Known>, LedgerError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(known) = &known
            && (known.state == BroadcastState::Running || self.clock.now().saturating_duration_since(known.read_at) < STATE_LASTS)
        {
            return Ok(Some(known.clone()));
        }
        let Some(broadcast) = self.ledger.find_broadcast(id).await? else { return Ok(None) };
        let letter = match known {
            Some(known) => known.letter,
            None => Arc::new(Letter::of(&self.ledger.command(id).await?)),
        };
        Ok(Some(self.remember(&broadcast, letter)))
    }

    fn remember(&self, broadcast: &Broadcast, letter: Arc<Letter>) -> Known {
        let known = Known {
            letter,
            state: broadcast.broadcast_state,
            epoch: broadcast.epoch,
            not_after: broadcast.not_after,
            read_at: self.clock.now(),
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(broadcast.broadcast_id.clone(), known.clone());
        known
    }

    /// Takes note of a broadcast that was read on another occasion.
    pub(crate) fn note(&self, broadcast: &Broadcast) {
        let letter =
            self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&broadcast.broadcast_id).map(|known| known.letter.clone());
        if let Some(letter) = letter {
            self.remember(broadcast, letter);
        }
    }
}
