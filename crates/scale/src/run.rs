//! A broadcast in virtual time, from the command to the last confirmation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use serde::Serialize;

use crate::consumer::Consumer;
use crate::producer::{Produced, produce};
use crate::room::{Room, SECOND, Time, float, whole};
use crate::{Bound, Setup, Use, cost};

/// How often a consumer tells how far it is, and looks for permits that it does not use.
const TELLS_EVERY: Time = 1_000_000;
/// A permit's life (`permit_life_ms`), and the pause of whoever finds the budget spent, at first and at most.
const PERMIT_LIFE: Time = 8_000_000;
pub(crate) const SPENT: Time = 250_000;
const SPENT_MAX: Time = 1_000_000;
/// The rate is given away no further ahead.
const AHEAD: Time = 1_000_000;
/// A receive that finds too many messages in flight comes again after so long.
const RECEIVE_AGAIN: Time = 200_000;
/// Whatever is set up, a broadcast that takes longer is not waited for.
const LONGEST: Time = 400 * 3_600 * 1_000_000;

/// How a broadcast went. Times are seconds since the command was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub frozen_s: f64,
    pub enqueued_s: f64,
    /// The last confirmation.
    pub sent_s: f64,
    /// From the first chunk on the queue to the last confirmation, and to that of 99 of a hundred.
    pub sending_s: f64,
    pub most_s: f64,
    /// Recipients a second until those. The last few may wait for a consumer's patience.
    pub a_second: f64,
    /// What holds it up, and what of everything is in use.
    pub bound: Bound,
    pub uses: Vec<Use>,
    /// Write units of the ledger, and calls to it while it is sent.
    pub write_units: f64,
    pub ledger_calls: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Messages(u32),
    Moved,
    Received { by: usize, messages: u32, asked: u32 },
    AskTurn { by: usize },
    Slot { by: usize, recipients: u64, starts: Time, ends: Time },
    Turned { by: usize },
    AskPermit { by: usize },
    Granted { by: usize, asked: Time, permits: u64, remaining: u64 },
    Claimed { by: usize, chunk: u64 },
    Sent { by: usize, chunk: u64 },
    Confirmed { by: usize },
    Deleted,
    Tick { by: usize },
}

struct World<'a> {
    setup: &'a Setup,
    now: Time,
    order: u64,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    consumers: Vec<Consumer>,
    /// Receives that wait for messages, by whose they are.
    waiting: VecDeque<usize>,
    visible: u64,
    in_flight: u64,
    in_flight_most: u64,
    received: u64,
    confirmed: u64,
    permits: u64,
    /// Up to when the rate is given away.
    given_until: Time,
    shards: Vec<Room>,
    broadcast: Room,
    rate_item: Room,
    table: Room,
    place_time: f64,
    /// How long consumers have waited that were refused a share of the rate.
    waited: f64,
    last: Time,
    /// How many chunks are most of them, and when they were confirmed.
    most: u64,
    most_at: Time,
    /// What was in use until then.
    uses: Vec<Use>,
    /// When the first and the last chunk were on the queue.
    enqueued: (Time, Time),
    units: f64,
    calls: u64,
    dice: u64,
}

/// Runs it.
#[must_use]
pub fn run(setup: &Setup) -> Told {
    let Produced { frozen, batches, moves, units } = produce(setup);
    let chunks: u64 = batches.iter().map(|(_, messages)| u64::from(*messages)).sum();
    let (first, enqueued) = (batches.first().map_or(frozen, |(at, _)| *at), batches.last().map_or(frozen, |(at, _)| *at));
    let mut world = World::new(setup, chunks, units, (first, enqueued));
    batches.into_iter().for_each(|(at, messages)| world.at(at, Event::Messages(messages)));
    moves.into_iter().for_each(|at| world.at(at, Event::Moved));
    for by in 0..world.consumers.len() {
        // They were not started at once, and look at different moments.
        let tick = TELLS_EVERY * by as u64 / world.consumers.len() as u64;
        world.at(first + tick, Event::Tick { by });
        world.receive(by);
    }
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        if world.confirmed == chunks || at > LONGEST {
            break;
        }
        world.now = at;
        world.happens(event);
    }
    world.told(frozen)
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup, chunks: u64, units: f64, enqueued: (Time, Time)) -> Self {
        let partition = || Room::new(cost::PARTITION_WRITES);
        Self {
            setup,
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            consumers: (0..setup.consumers).map(|_| Consumer::new(setup.chunks_in_flight.max(1))).collect(),
            waiting: VecDeque::new(),
            visible: 0,
            in_flight: 0,
            in_flight_most: 0,
            received: 0,
            confirmed: 0,
            permits: chunks * u64::from(setup.chunk_recipients),
            given_until: 0,
            shards: (0..setup.shards.max(1)).map(|_| partition()).collect(),
            broadcast: partition(),
            rate_item: partition(),
            table: Room::new(setup.table.writes),
            place_time: 0.0,
            waited: 0.0,
            last: 0,
            most: (chunks * 99).div_ceil(100),
            most_at: 0,
            uses: Vec::new(),
            enqueued,
            units,
            calls: 0,
            dice: 1,
        }
    }

    fn at(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn of_chunk(&self) -> u64 {
        u64::from(self.setup.chunk_recipients)
    }

    fn ledger(&self) -> Time {
        whole(self.setup.latency.ledger_ms * 1e3)
    }

    /// Between 0.5 and 1, and the same in every run.
    fn dice(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        0.5 + f64::from(u32::try_from(self.dice >> 32).unwrap_or_default()) / f64::from(u32::MAX) / 2.0
    }

    /// A write of so many units through a partition, and when its answer is there.
    fn write(&mut self, of: impl Fn(&mut Self) -> &mut Room, units: f64) -> Time {
        let now = self.now;
        let through = of(self).pass(now, units).max(self.table.pass(now, units));
        self.units += units;
        self.calls += 1;
        through + self.ledger()
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Messages(messages) => {
                self.visible += u64::from(messages);
                for _ in 0..self.waiting.len() {
                    let Some(by) = self.waiting.pop_front() else { break };
                    self.give_messages(by);
                }
            }
            Event::Received { by, messages, asked } => {
                let one = &mut self.consumers[by];
                one.receives += 1;
                one.hands += asked - messages;
                one.backlog += messages;
                if !one.knows && messages > 0 {
                    one.knows = true;
                    // The broadcast, its command, and what the account may send.
                    let knows = self.now + 2 * self.ledger() + whole(self.setup.latency.provider_ms * 1e3);
                    let begins = Event::AskTurn { by };
                    self.consumers[by].asks_turn = true;
                    self.at(knows, begins);
                }
                self.begin_chunks(by);
                self.receive(by);
            }
            Event::Moved => _ = self.write(|world| &mut world.broadcast, cost::BROADCAST),
            Event::AskTurn { by } => self.ask_turn(by),
            Event::Slot { by, recipients, starts, ends } => {
                let one = &mut self.consumers[by];
                one.given(self.now, recipients, starts, ends);
                one.asks_turn = false;
                self.turns(by);
            }
            Event::Turned { by } => {
                self.consumers[by].to_permit += 1;
                self.take_permits(by);
            }
            Event::AskPermit { by } => self.ask_permit(by),
            Event::Granted { by, asked, permits, remaining } => {
                let one = &mut self.consumers[by];
                one.granted(asked, permits, remaining, PERMIT_LIFE);
                one.asks_permit = false;
                self.take_permits(by);
            }
            Event::Claimed { by, chunk } => {
                let sent = self.now + whole(self.setup.latency.provider_ms * 1e3);
                self.at(sent, Event::Sent { by, chunk });
            }
            Event::Sent { by, chunk } => {
                let confirmed = self.write_chunk(chunk, cost::confirm(self.setup.chunk_recipients));
                self.at(confirmed, Event::Confirmed { by });
            }
            Event::Confirmed { by } => self.end_chunk(by),
            Event::Deleted => self.in_flight -= 1,
            Event::Tick { by } => self.tick(by),
        }
    }

    /// Begins receives for as long as a consumer has hands for a whole batch.
    fn receive(&mut self, by: usize) {
        while self.consumers[by].receives > 0 && self.consumers[by].hands >= self.consumers[by].batch {
            let one = &mut self.consumers[by];
            one.receives -= 1;
            one.hands -= one.batch;
            self.give_messages(by);
        }
    }

    /// A receive takes what is there, or waits for it.
    fn give_messages(&mut self, by: usize) {
        let asked = self.consumers[by].batch;
        let room = cost::IN_FLIGHT.saturating_sub(self.in_flight);
        let messages = u32::try_from(self.visible.min(room).min(u64::from(asked))).unwrap_or(asked);
        let queue = whole(self.setup.latency.queue_ms * 1e3);
        if messages > 0 {
            self.visible -= u64::from(messages);
            self.in_flight += u64::from(messages);
            self.in_flight_most = self.in_flight_most.max(self.in_flight);
            self.at(self.now + queue, Event::Received { by, messages, asked });
        } else if self.visible > 0 {
            self.at(self.now + queue + RECEIVE_AGAIN, Event::Received { by, messages: 0, asked });
        } else {
            self.waiting.push_back(by);
        }
    }

    fn begin_chunks(&mut self, by: usize) {
        let one = &mut self.consumers[by];
        let begin = one.backlog.min(one.places);
        one.backlog -= begin;
        one.places -= begin;
        one.to_turn += begin;
        self.place_time -= f64::from(begin) * float(self.now);
        self.turns(by);
    }

    fn turns(&mut self, by: usize) {
        let (recipients, rate) = (self.of_chunk(), self.setup.rate);
        while self.consumers[by].to_turn > 0 && !self.consumers[by].asks_turn {
            let one = &mut self.consumers[by];
            if let Some(at) = one.turn(self.now, recipients, rate) {
                one.to_turn -= 1;
                self.at(at, Event::Turned { by });
            } else {
                one.asks_turn = true;
                self.ask_turn(by);
            }
        }
    }

    /// As `Ledger::rate_slot` does, by the item as it is now.
    fn ask_turn(&mut self, by: usize) {
        let (now, rate) = (self.now, self.setup.rate);
        let recipients = self.of_chunk();
        let wanted = self.consumers[by].slot_wanted(now, recipients, rate);
        let length = whole(float(wanted) / rate * SECOND);
        let mut answer = now;
        loop {
            answer = answer.max(self.write(|world| &mut world.rate_item, cost::RATE));
            let is_ahead = self.given_until >= now;
            let is_far = self.given_until > now + AHEAD;
            let ends = match (self.consumers[by].is_shared, is_ahead) {
                (true, true) if !is_far => Some(self.given_until + length),
                (false, false) => Some(now + length),
                _ => None,
            };
            if let Some(ends) = ends {
                self.given_until = ends;
                let starts = ends.saturating_sub(length);
                return self.at(answer, Event::Slot { by, recipients: wanted, starts, ends });
            }
            if is_far {
                let (told, dice) = ((self.given_until - now - AHEAD).min(AHEAD), self.dice());
                let wait = self.consumers[by].refused(told, dice);
                self.waited += float(wait);
                return self.at(answer + wait, Event::AskTurn { by });
            }
            self.consumers[by].is_shared = is_ahead;
            answer += self.ledger();
        }
    }

    fn take_permits(&mut self, by: usize) {
        let recipients = self.of_chunk();
        while self.consumers[by].to_permit > 0 && self.consumers[by].permit(self.now, recipients) {
            self.consumers[by].to_permit -= 1;
            self.claim(by);
        }
        let one = &mut self.consumers[by];
        if one.to_permit > 0 && !one.asks_permit {
            one.asks_permit = true;
            let left = std::mem::take(&mut one.block);
            let at = if left > 0 { self.give_back(left) } else { self.now };
            self.at(at, Event::AskPermit { by });
        }
    }

    fn give_back(&mut self, permits: u64) -> Time {
        self.permits += permits;
        self.write(|world| &mut world.broadcast, cost::BROADCAST)
    }

    fn ask_permit(&mut self, by: usize) {
        let recipients = self.of_chunk();
        let wanted = self.consumers[by].permits_wanted(self.now, recipients, self.setup.rate);
        let mut answer = self.write(|world| &mut world.broadcast, cost::BROADCAST);
        if self.permits < recipients {
            let dice = self.dice();
            let pause = &mut self.consumers[by].pause;
            let wait = whole(float(*pause) * dice);
            *pause = (*pause * 2).min(SPENT_MAX);
            return self.at(answer + wait, Event::AskPermit { by });
        }
        if self.permits < wanted {
            // It was refused, and asks for what is left.
            answer = self.write(|world| &mut world.broadcast, cost::BROADCAST) + self.ledger();
        }
        let permits = wanted.min(self.permits);
        self.permits -= permits;
        let (asked, remaining) = (self.now, self.permits);
        self.at(answer, Event::Granted { by, asked, permits, remaining });
    }

    fn claim(&mut self, by: usize) {
        let (now, took) = (self.now, float(self.of_chunk()) * self.setup.cpu.send_us);
        // Its place counts from when it was begun; from here on, its own work.
        let begins = self.consumers[by].core.pass(now, took) + whole(took);
        let chunk = self.received;
        self.received += 1;
        let claimed = self.write_chunk(chunk, cost::CLAIM) + begins.saturating_sub(now);
        self.at(claimed, Event::Claimed { by, chunk });
    }

    fn write_chunk(&mut self, chunk: u64, units: f64) -> Time {
        let shard = usize::try_from(chunk % self.shards.len() as u64).unwrap_or_default();
        self.write(|world| &mut world.shards[shard], units)
    }

    fn end_chunk(&mut self, by: usize) {
        self.confirmed += 1;
        self.last = self.now;
        if self.confirmed == self.most {
            self.most_at = self.now;
            self.uses = self.used();
        }
        self.place_time += float(self.now);
        let one = &mut self.consumers[by];
        one.places += 1;
        one.hands += 1;
        one.progressed = true;
        self.at(self.now + whole(self.setup.latency.queue_ms * 1e3), Event::Deleted);
        self.begin_chunks(by);
        self.receive(by);
    }

    fn tick(&mut self, by: usize) {
        let mut over = self.now;
        if std::mem::take(&mut self.consumers[by].progressed) {
            // Two calls, one after the other.
            over = self.write(|world| &mut world.broadcast, cost::TELLING) + self.ledger();
        }
        let idle = self.consumers[by].idle(self.now);
        if idle > 0 {
            over = over.max(self.give_back(idle));
        }
        self.at(over + TELLS_EVERY, Event::Tick { by });
    }

    /// How much of everything was in use since the first chunk was on the queue.
    fn used(&self) -> Vec<Use> {
        let (first, last) = self.enqueued;
        let setup = self.setup;
        let span = float(self.now.saturating_sub(first)).max(1.0);
        let (consumers, sent) = (f64::from(setup.consumers.max(1)), float(self.confirmed * self.of_chunk()));
        let busy: u64 = self.consumers.iter().map(|one| u64::from(setup.chunks_in_flight.max(1) - one.places)).sum();
        let place_time = self.place_time + float(busy) * float(self.now);
        let shares = [
            (Bound::Rate, sent / setup.rate / span * SECOND),
            (Bound::Places, place_time / span / consumers / f64::from(setup.chunks_in_flight.max(1))),
            (Bound::Cores, self.consumers.iter().map(|one| one.core.share(span)).sum::<f64>() / consumers),
            (Bound::Chunks, self.shards.iter().map(|shard| shard.share(span)).fold(0.0, f64::max)),
            (Bound::Broadcast, self.broadcast.share(span)),
            (Bound::RateItem, self.rate_item.share(span)),
            (Bound::Sharing, self.waited / span / consumers),
            (Bound::Table, self.table.share(span)),
            (Bound::InFlight, float(self.in_flight_most) / float(cost::IN_FLIGHT)),
            (Bound::Enqueuing, float(last.min(self.now).saturating_sub(first)) / span),
        ];
        shares.map(|(of, share)| Use { of, share }).into()
    }

    fn told(&self, frozen: Time) -> Told {
        let (first, enqueued) = self.enqueued;
        let since = |at: Time| float(at.saturating_sub(first)).max(1.0) / SECOND;
        let most = float(self.most * self.of_chunk()).min(float(self.setup.recipients));
        Told {
            frozen_s: float(frozen) / SECOND,
            enqueued_s: float(enqueued) / SECOND,
            sent_s: float(self.last) / SECOND,
            sending_s: since(self.last),
            most_s: since(self.most_at),
            a_second: most / since(self.most_at),
            bound: bound(&self.uses),
            uses: self.uses.clone(),
            write_units: self.units,
            ledger_calls: self.calls,
        }
    }
}

/// The fullest of what has a limit of its own. Places are full whatever chunks wait for, so they are it where nothing else is;
/// and where nothing is full at all, those who wait have been refused.
fn bound(uses: &[Use]) -> Bound {
    let share = |of: Bound| uses.iter().find(|one| one.of == of).map_or(0.0, |one| one.share);
    let limits = uses.iter().filter(|one| !matches!(one.of, Bound::Places | Bound::Sharing));
    let fullest = limits.max_by(|one, other| one.share.total_cmp(&other.share));
    match fullest.filter(|one| one.share >= 0.85) {
        Some(fullest) => fullest.of,
        None if share(Bound::Sharing) >= 0.2 => Bound::Sharing,
        None => Bound::Places,
    }
}
