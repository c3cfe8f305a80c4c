//! A state of the model: small, without heap, and the same for consumers that have changed places.
//!
//! Time has no number here. That a permit, a lease or a request is over is a step that may come at any
//! moment that the chain of timeouts allows.

use crate::beside::Beside;

/// The most users, chunks, consumers, producers, messages and requests that a state has room for.
pub(crate) const USERS: usize = 4;
pub(crate) const CHUNKS: usize = 3;
pub(crate) const CONSUMERS: usize = 3;
pub(crate) const PRODUCERS: usize = 2;
pub(crate) const MESSAGES: usize = 4;
pub(crate) const REQUESTS: usize = 4;

/// Users, a bit each. The bit's place is the user's key.
pub(crate) type Users = u8;

pub(crate) fn count(users: Users) -> u8 {
    u8::try_from(users.count_ones()).unwrap_or(u8::MAX)
}

/// The broadcast item's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Control {
    #[default]
    Absent,
    Enumerating,
    /// Before its first send, until somebody approves it.
    Holding,
    Running,
    Paused,
    Stopping,
    Stopped,
    Complete,
}

impl Control {
    /// Nothing is sent any more, so a message of it may go.
    pub(crate) fn lets_go(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped | Self::Complete)
    }
}

/// Whose token stands in a claim or on a request. A token that no process knows any more is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    #[default]
    Nobody,
    Consumer(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum ChunkState {
    #[default]
    Absent,
    Claimed,
    Confirmed,
}

/// A chunk item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Chunk {
    pub(crate) state: ChunkState,
    pub(crate) owner: Owner,
    /// By everybody's clock: only then do others read the claim as in doubt.
    pub(crate) lease_over: bool,
    pub(crate) open: Users,
    pub(crate) accepted: Users,
    pub(crate) retryable: Users,
    pub(crate) doubt: Users,
    /// Evidence made some of its recipients retryable, and the sweep sees to their message.
    pub(crate) reopened: bool,
    /// Whom the request of the last claim was for, under a key that the provider remembers; nobody where it
    /// has none, or evidence has opened the chunk since.
    pub(crate) keyed: Users,
    /// Which key: each claim has another. Two are told apart, since no request under the last but one is about.
    pub(crate) key: bool,
    pub(crate) window: Window,
    pub(crate) parts: Parts,
}

/// What a claim's request was divided into. The first part is whoever has the smallest key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Parts {
    #[default]
    Whole,
    /// Each has a key of its own: the whole was made once, and refused.
    Halves,
    /// The first has the key of the whole, and the other waits until it is accepted under that.
    Behind,
    /// It was, and the other has a key of its own.
    Freed,
}

/// A key of a chunk: which claim's, and whether of its request, or of its first or second part by itself.
pub(crate) type Key = (bool, u8);

/// How long a claim's request may be repeated under its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Window {
    #[default]
    Open,
    /// All but the margin has passed: nobody may ask any more, and the provider may still remember.
    Closed,
    /// The provider has forgotten.
    Over,
}

impl Chunk {
    /// Whether the message may go: everybody has an outcome or reads as in doubt.
    pub(crate) fn is_accounted_for(&self) -> bool {
        match self.state {
            ChunkState::Absent => false,
            ChunkState::Claimed => self.lease_over,
            ChunkState::Confirmed => self.retryable == 0,
        }
    }

    /// Those in doubt of whom the request under the claim's key is known to be the last one.
    pub(crate) fn in_doubt_under_key(&self) -> Users {
        let settles = match self.state {
            ChunkState::Absent => false,
            ChunkState::Claimed => self.lease_over,
            ChunkState::Confirmed => self.keyed & self.retryable == 0,
        };
        if settles { self.keyed & (self.open | self.doubt) } else { 0 }
    }

    /// The first part, where there are parts.
    pub(crate) fn first(&self) -> Users {
        self.keyed & self.keyed.wrapping_neg()
    }

    /// The next request that tells of anybody in doubt, and its key.
    pub(crate) fn asked_with(&self) -> Option<(Users, Key)> {
        let (doubt, first) = (self.in_doubt_under_key(), self.first());
        let (whole, second) = (self.keyed, self.keyed & !first);
        let (users, part) = match self.parts {
            Parts::Whole => (whole, 0),
            Parts::Halves if doubt & first != 0 => (first, 1),
            Parts::Behind | Parts::Freed if doubt & first != 0 => (first, 0),
            Parts::Halves | Parts::Freed => (second, 2),
            // The first was settled without an acceptance, and nobody leaves behind it.
            Parts::Behind => return None,
        };
        (doubt & users != 0).then_some((users, (self.key, part)))
    }
}

/// A chunk message: its sequence number and whom it names. Copies of it are told apart, since a receipt
/// deletes one of them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) recipients: Users,
    pub(crate) seq: u8,
    pub(crate) copy: u8,
}

/// A request on its way to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) recipients: Users,
    pub(crate) seq: u8,
    pub(crate) content: u8,
    /// Its key, where it has one.
    pub(crate) key: Option<Key>,
    /// Who waits for the answer.
    pub(crate) owner: Owner,
    /// It is signed with the moment of a permit that is over, so the provider refuses it for its age.
    pub(crate) old: bool,
}

/// Where a consumer is on the way of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Idle,
    /// It has the message, and the chunk as it was read. `fresh` while nobody has changed it since. `asks`
    /// where it is to be asked about again under this key, and not sent.
    Holding {
        message: Message,
        want: Users,
        fresh: bool,
        asks: Option<Key>,
    },
    Claimed {
        message: Message,
        want: Users,
    },
    /// The provider has refused the whole, for somebody's sake.
    Refused {
        message: Message,
        want: Users,
    },
    Waiting {
        message: Message,
        want: Users,
    },
    Settled {
        message: Message,
        accepted: Users,
        retryable: Users,
        doubt: Users,
    },
    Done {
        message: Message,
        retryable: Users,
    },
}

impl Phase {
    pub(crate) fn message(self) -> Option<Message> {
        match self {
            Self::Idle => None,
            Self::Holding { message, .. }
            | Self::Claimed { message, .. }
            | Self::Refused { message, .. }
            | Self::Waiting { message, .. }
            | Self::Settled { message, .. }
            | Self::Done { message, .. } => Some(message),
        }
    }
}

/// A consumer, with its block of permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Consumer {
    pub(crate) phase: Phase,
    pub(crate) permits: u8,
    /// The block has not expired.
    pub(crate) valid: bool,
    /// It has, and the machine was paused with all of its clocks, which say that it has not.
    pub(crate) deceived: bool,
    /// The provider may refuse its request as a whole.
    pub(crate) divides: bool,
    /// The block is of the broadcast's epoch.
    pub(crate) current: bool,
    /// It asks again under this key. What allows it to is no permit of the budget, in which those whom it asks
    /// about are counted already.
    pub(crate) asks: Option<Key>,
    /// It sends the first part of what was refused.
    pub(crate) is_first: bool,
    /// The message in hand was deleted by another consumer that had it too.
    pub(crate) stale: bool,
}

impl Consumer {
    /// The block has not expired, as far as its own clocks tell.
    pub(crate) fn believes_to_be_permitted(&self) -> bool {
        self.valid || self.deceived
    }

    /// Recipients that it may still begin to send to, or to ask about.
    pub(crate) fn outstanding(&self) -> u8 {
        if self.valid { self.permits + count(self.claimed()) } else { 0 }
    }

    /// Those of its claim to whom it may still send.
    pub(crate) fn claimed(&self) -> Users {
        match self.phase {
            Phase::Claimed { want, .. } | Phase::Refused { want, .. } => want,
            // What is refused as a whole goes in parts.
            Phase::Waiting { want, .. } if self.divides && !self.is_first && self.asks.is_none() => want,
            _ => 0,
        }
    }

    /// The same, of those alone of whom no request is under way.
    pub(crate) fn unbegun(&self) -> u8 {
        if matches!(self.phase, Phase::Waiting { .. }) && self.valid { self.permits } else { self.outstanding() }
    }

    /// The same, of those alone whom the budget does not count yet.
    pub(crate) fn permitted(&self) -> u8 {
        if self.asks.is_some() { 0 } else { self.unbegun() }
    }
}

/// What a producer has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Producer {
    #[default]
    Idle,
    /// A page that was read and is not frozen.
    Read { seq: u8, recipients: Users },
    /// A chunk that was enqueued, and the cursor does not know yet.
    Enqueued { seq: u8, recipients: Users },
}

/// What the operator may rely on after a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Stop {
    #[default]
    No,
    /// So many recipients may still be sent to, as the operator was told.
    Acknowledged { leak: u8 },
    /// It was called proved that nothing is sent any more.
    Proved,
}

/// An invariant that a step has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    I2,
    I3,
    I4,
    I7,
    Canary,
    Hours,
    Ramp,
    Agreement,
    Forgotten,
    Late,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The customer's table.
    pub(crate) rows: Users,
    pub(crate) changes_left: u8,
    /// Commands on their queue, by content; 0 is an empty place.
    pub(crate) commands: [u8; 2],
    pub(crate) control: Control,
    pub(crate) content: u8,
    pub(crate) remaining: u8,
    pub(crate) budget: u8,
    pub(crate) pages: [Users; CHUNKS],
    pub(crate) frozen: u8,
    pub(crate) enqueued: u8,
    pub(crate) chunks: [Chunk; CHUNKS],
    /// Events on their way, and events merged, by chunk.
    pub(crate) events: [Users; CHUNKS],
    pub(crate) heard: [Users; CHUNKS],
    pub(crate) queue: [Message; MESSAGES],
    pub(crate) producers: [Producer; PRODUCERS],
    pub(crate) consumers: [Consumer; CONSUMERS],
    pub(crate) requests: [Request; REQUESTS],
    /// The provider's own record, by user: how often it accepted, and which contents.
    pub(crate) accepted: [u8; USERS],
    pub(crate) contents: u8,
    /// The keys that it remembers, by chunk and claim: the body that came under each, or 0.
    pub(crate) remembers: [[[u8; 3]; 2]; CHUNKS],
    /// So often it may refuse a request as a whole, for somebody's sake.
    pub(crate) refusals_left: u8,
    /// Whom a request was begun for, unless it is proved that it was not accepted.
    pub(crate) asked_for: Users,
    pub(crate) faults_left: u8,
    /// No event of this account arrives.
    pub(crate) outage: bool,
    pub(crate) stop: Stop,
    pub(crate) pauses_left: u8,
    pub(crate) repairs_left: u8,
    pub(crate) purged: bool,
    pub(crate) restored: bool,
    pub(crate) beside: Beside,
    pub(crate) broken: Option<Broken>,
}

impl State {
    pub(crate) fn chunk(&self, seq: u8) -> &Chunk {
        const NONE: &Chunk = &Chunk {
            state: ChunkState::Absent,
            owner: Owner::Nobody,
            lease_over: false,
            open: 0,
            accepted: 0,
            retryable: 0,
            doubt: 0,
            reopened: false,
            keyed: 0,
            key: false,
            window: Window::Open,
            parts: Parts::Whole,
        };
        self.chunks.get(usize::from(seq)).unwrap_or(NONE)
    }

    pub(crate) fn consumer(&self, at: u8) -> Consumer {
        self.consumers.get(usize::from(at)).copied().unwrap_or_default()
    }

    pub(crate) fn page(&self, seq: u8) -> Users {
        self.pages.get(usize::from(seq)).copied().unwrap_or_default()
    }

    pub(crate) fn was_accepted(&self) -> Users {
        (0..).zip(self.accepted).filter(|(_, times)| *times > 0).fold(0, |users, (user, _)| users | 1 << user)
    }

    /// Recipients that consumers may still begin to send to.
    pub(crate) fn outstanding(&self) -> u8 {
        self.consumers.iter().map(Consumer::outstanding).sum()
    }

    /// The same, of those alone of whom no request is under way.
    pub(crate) fn unbegun(&self) -> u8 {
        self.consumers.iter().map(Consumer::unbegun).sum()
    }

    /// The same, of those alone whom the budget does not count yet.
    pub(crate) fn permitted(&self) -> u8 {
        self.consumers.iter().map(Consumer::permitted).sum()
    }

    /// A request is on its way that may be accepted.
    pub(crate) fn has_requests(&self) -> bool {
        self.requests.iter().any(|request| request.recipients != 0 && !request.old)
    }

    pub(crate) fn has_requests_of(&self, seq: u8) -> bool {
        self.requests.iter().any(|request| request.recipients != 0 && !request.old && request.seq == seq)
    }

    /// Whether a message of this chunk is on the queue, or in somebody's hands.
    pub(crate) fn has_message(&self, seq: u8) -> bool {
        self.queue.iter().any(|message| message.recipients != 0 && message.seq == seq)
    }

    /// Changes a chunk. Whoever has read it before now holds an old copy.
    pub(crate) fn change(&mut self, seq: u8, change: impl FnOnce(&mut Chunk)) {
        if let Some(chunk) = self.chunks.get_mut(usize::from(seq)) {
            change(chunk);
        }
        for consumer in &mut self.consumers {
            if let Phase::Holding { message, fresh, .. } = &mut consumer.phase
                && message.seq == seq
            {
                *fresh = false;
            }
        }
    }

    /// Puts a copy on the queue; two show whatever three would.
    pub(crate) fn enqueue(&mut self, seq: u8, recipients: Users) -> Option<()> {
        let copies = [0, 1].map(|copy| Message { recipients, seq, copy });
        let message = copies.into_iter().find(|message| !self.queue.contains(message))?;
        *self.queue.iter_mut().find(|there| there.recipients == 0)? = message;
        self.queue.sort_unstable();
        Some(())
    }

    /// Deletes one copy, for whoever has received it.
    pub(crate) fn dequeue(&mut self, message: Message) {
        if let Some(there) = self.queue.iter_mut().find(|there| **there == message) {
            *there = Message::default();
        }
        self.queue.sort_unstable();
        for consumer in &mut self.consumers {
            consumer.stale |= consumer.phase.message() == Some(message);
        }
    }

    /// The consumer dies, or forgets what it did: its token is nobody's, and nobody waits for its answer.
    pub(crate) fn forget(&mut self, at: u8) {
        let me = Owner::Consumer(at);
        for owner in self.chunks.iter_mut().map(|chunk| &mut chunk.owner).chain(self.requests.iter_mut().map(|request| &mut request.owner))
        {
            if *owner == me {
                *owner = Owner::Nobody;
            }
        }
    }

    /// The one state that stands for all in which consumers, producers, messages and requests have
    /// changed places.
    pub(crate) fn normal(mut self) -> Self {
        let mut order: [u8; CONSUMERS] = [0, 1, 2];
        order.sort_by_key(|at| {
            let chunk = self.chunks.iter().position(|chunk| chunk.owner == Owner::Consumer(*at));
            // Backwards, so that places that the sizes leave out stay at the end.
            std::cmp::Reverse((self.consumer(*at), chunk))
        });
        if order != [0, 1, 2] {
            let renamed = |owner: Owner| match owner {
                Owner::Nobody => Owner::Nobody,
                Owner::Consumer(at) => (0..).zip(order).find(|(_, old)| *old == at).map_or(Owner::Nobody, |(new, _)| Owner::Consumer(new)),
            };
            self.chunks.iter_mut().for_each(|chunk| chunk.owner = renamed(chunk.owner));
            self.requests.iter_mut().for_each(|request| request.owner = renamed(request.owner));
            self.consumers = order.map(|at| self.consumer(at));
        }
        self.requests.sort_unstable();
        self.producers.sort_unstable_by(|a, b| b.cmp(a));
        self
    }
}
