//! One consumer: its hands and places, its share of the rate (`crates/consumer/src/rate.rs`), its permits
//! (`crates/consumer/src/permits.rs`). By the same rules, since what they ask for decides where many of them bend.

use crate::room::{Room, SECOND, Time, float, whole};
use crate::run::SPENT;

const RECEIVE_MAX: u32 = 10;
const CHUNKS_A_RECEIVE: u32 = 20;
const TICK: Time = 2_000;
const LATE: Time = 1_000_000;
const SLOT: f64 = 0.2;
const USE: f64 = 1.0;
const CATCH_UP: Time = 50_000;
const PATIENCE: Time = 100_000;
const PATIENCE_MAX: Time = 60_000_000;
/// Before a consumer knows its own speed, it asks for permits for so many chunks.
const FIRST: u64 = 20;

#[expect(clippy::struct_excessive_bools, reason = "each is a thing that it does, or knows, by itself")]
pub(crate) struct Consumer {
    /// Messages that it may still take into its hands, chunks that may still be at work, and messages that wait for a place.
    pub(crate) hands: u32,
    pub(crate) places: u32,
    pub(crate) backlog: u32,
    /// Receives that are not under way, and how many messages one asks for.
    pub(crate) receives: u32,
    pub(crate) batch: u32,
    /// Chunks that wait for their turn, and for a permit.
    pub(crate) to_turn: u32,
    pub(crate) to_permit: u32,
    pub(crate) asks_turn: bool,
    pub(crate) asks_permit: bool,
    pub(crate) is_shared: bool,
    pub(crate) patience: Time,
    slot_left: u64,
    slot_ends: Time,
    next: Option<Time>,
    spent: u64,
    asked: Option<Time>,
    pub(crate) block: u64,
    pub(crate) block_ends: Time,
    granted: Option<Time>,
    taken: u64,
    taken_before: u64,
    remaining: u64,
    /// How long it waits that finds the budget spent.
    pub(crate) pause: Time,
    pub(crate) core: Room,
    /// It has something to tell.
    pub(crate) progressed: bool,
    /// It knows the broadcast.
    pub(crate) knows: bool,
}

impl Consumer {
    pub(crate) fn new(in_flight: u32) -> Self {
        let (receives, batch) = (in_flight.div_ceil(CHUNKS_A_RECEIVE), RECEIVE_MAX.min(in_flight));
        Self {
            hands: in_flight + receives * batch,
            places: in_flight,
            backlog: 0,
            receives,
            batch,
            to_turn: 0,
            to_permit: 0,
            asks_turn: false,
            asks_permit: false,
            is_shared: false,
            patience: 0,
            slot_left: 0,
            slot_ends: 0,
            next: None,
            spent: 0,
            asked: None,
            block: 0,
            block_ends: 0,
            granted: None,
            taken: 0,
            taken_before: 0,
            remaining: 0,
            pause: SPENT,
            core: Room::new(SECOND),
            progressed: false,
            knows: false,
        }
    }

    /// When the next chunk of so many recipients may be sent within the slot in hand; nothing where another is needed.
    pub(crate) fn turn(&mut self, now: Time, recipients: u64, rate: f64) -> Option<Time> {
        if self.slot_left < recipients {
            return None;
        }
        let at = self.next?.max(now.saturating_sub(CATCH_UP));
        if at >= self.slot_ends + LATE {
            return None;
        }
        self.next = Some(at + whole(float(recipients) / rate * SECOND));
        self.slot_left -= recipients;
        self.spent += recipients;
        Some(at.max(now))
    }

    /// What the next slot should hold.
    pub(crate) fn slot_wanted(&mut self, now: Time, recipients: u64, rate: f64) -> u64 {
        let elapsed = self.asked.map_or(0, |asked| now - asked).max(TICK);
        let lately = float(self.spent) / float(elapsed) * SECOND * USE;
        self.asked = Some(now);
        (u64::from(self.to_turn) * recipients).max(whole(lately.min(rate * SLOT))).min(whole(rate)).max(recipients)
    }

    pub(crate) fn given(&mut self, now: Time, recipients: u64, starts: Time, ends: Time) {
        self.is_shared = starts > now + TICK;
        self.patience = if self.is_shared { self.patience / 2 } else { 0 };
        self.next = self.next.max(Some(starts));
        (self.slot_left, self.slot_ends, self.spent) = (recipients, ends, 0);
    }

    /// How long it waits that was refused, and told after how long to come again. `dice` is between 0.5 and 1.
    pub(crate) fn refused(&mut self, told: Time, dice: f64) -> Time {
        self.is_shared = true;
        self.patience = (self.patience * 2).clamp(PATIENCE, PATIENCE_MAX);
        told.max(TICK) + whole(float(self.patience) * dice)
    }

    /// Cuts a permit from the block in hand.
    pub(crate) fn permit(&mut self, now: Time, recipients: u64) -> bool {
        let has = self.block >= recipients && now < self.block_ends;
        if has {
            self.block -= recipients;
            self.taken += recipients;
        }
        has
    }

    /// How many permits to ask for.
    pub(crate) fn permits_wanted(&self, now: Time, recipients: u64, rate: f64) -> u64 {
        let ms = self.granted.map_or(0, |granted| (now - granted) / 1_000).max(1);
        let second = if self.taken == 0 { recipients * FIRST } else { self.taken * 1_000 / ms };
        second.max(u64::from(self.to_permit) * recipients).min(whole(rate)).min(self.remaining / 4).max(recipients)
    }

    pub(crate) fn granted(&mut self, asked: Time, permits: u64, remaining: u64, life: Time) {
        (self.block, self.block_ends, self.granted) = (permits, asked + life, Some(asked));
        (self.taken, self.taken_before, self.remaining, self.pause) = (0, 0, remaining, SPENT);
    }

    /// The permits that it gives back since it has used none since it was last looked at.
    pub(crate) fn idle(&mut self, now: Time) -> u64 {
        let is_idle = self.taken == self.taken_before || now >= self.block_ends;
        self.taken_before = self.taken;
        if is_idle && !self.asks_permit { std::mem::take(&mut self.block) } else { 0 }
    }
}
