//! What a seed decides: the size of the world, what goes wrong and when, and what the operator does.

use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Dice, Held};
use issei_producer::Approvals;
use issei_schema::{Canary, InDoubtPolicy};
use issei_sim::{EntryRule, Fault, Rule};
use jiff::SignedDuration;
use serde_json::json;

use crate::refusing;
use crate::remembering::WINDOW;
use crate::world::{PERSONS, TIMING};

/// What the operator, or the world around, does at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A service dies, wherever it is, and another is started a little later.
    Crash {
        service: usize,
        down_for: Duration,
    },
    Pause,
    Resume,
    Stop,
    /// Somebody approves the broadcast, by a number: whoever asked for it too, and whoever looks at something else.
    Approve {
        by: usize,
    },
    Repair,
    Redrive,
    Purge,
    /// Every visibility timeout ends at once.
    ShowAll,
    /// The same command once more.
    CommandAgain,
    /// Another command under the same id.
    OtherCommand,
    /// A user comes, goes, or changes the address.
    UserComes(i64),
    UserGoes(i64),
    UserMoves(i64),
    /// A user is to be forgotten, which is refused where the broadcast may still send.
    Forget(i64),
    /// Another broadcast is asked for, to the same users.
    Another,
    /// The app asks for the same under a fresh id, and may say why.
    UnderAnotherId {
        again: bool,
    },
    /// An event that no message caused.
    Forged {
        chunk: u32,
        recipient: usize,
    },
    /// The ledger is copied, and the copy put back in its place: under its name, or as a new table.
    BackUp,
    Restore {
        as_new: bool,
    },
    /// The machine of a service stands still, and with it these of its clocks.
    Suspend {
        service: usize,
        held: Held,
        lasting: Duration,
    },
    /// Somebody sets a service's wall clock.
    StepWall {
        service: usize,
        by: SignedDuration,
    },
}

/// What befalls the world in the moment in which a call first hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenHanging {
    /// Every service dies, and is started again. No call is faulty any more.
    KillEverything,
    /// The consumers alone die, and the faults go on.
    KillConsumers,
    /// The operator stops the broadcast.
    Stop,
}

/// A broadcast that is sent at its time alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheduled {
    pub(crate) not_before_s: Option<u64>,
    /// The minutes after which its window opens and closes, by the clocks of this place, which are so many minutes ahead.
    pub(crate) window: Option<(u64, u64, &'static str, u64)>,
}

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) users: i64,
    /// Rows without an address: so many that the broadcast holds before its first send.
    pub(crate) unmailable: i64,
    pub(crate) page_size: usize,
    pub(crate) chunk_size: u32,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) policy: InDoubtPolicy,
    pub(crate) canary: Option<Canary>,
    pub(crate) max_recipients: u64,
    /// When it may be sent, in seconds from the beginning; any time where it is not given.
    pub(crate) scheduled: Option<Scheduled>,
    /// Recipients of the first hour; in each further one twice as many.
    pub(crate) first_hour: Option<u64>,
    /// Recipients a second that the account allows; where it is not given, more than anybody sends. The clocks must
    /// agree for it to be kept.
    pub(crate) max_send_rate: Option<u32>,
    /// How far each service's wall clock is off.
    pub(crate) skews: Vec<SignedDuration>,
    pub(crate) latency_ms: u64,
    pub(crate) deliveries: u32,
    pub(crate) redelivery: f64,
    pub(crate) batch_entry_failure: f64,
    pub(crate) events_lost: f64,
    pub(crate) events_repeated: f64,
    pub(crate) events_late_s: u64,
    /// How probable it is that an event is on its way for up to twenty minutes, longer than evidence waits.
    pub(crate) events_away: f64,
    pub(crate) rules: Vec<Rule>,
    /// Whom the provider refuses until everything that goes wrong ends.
    pub(crate) refuses: Vec<EntryRule>,
    /// When everything that goes wrong ends.
    pub(crate) calm_after: Duration,
    pub(crate) deeds: Vec<(Duration, Deed)>,
    pub(crate) when_hanging: Option<WhenHanging>,
    /// Users who are forgotten in every broadcast once all are over.
    pub(crate) forgets: Vec<i64>,
    /// How often producers look after broadcasts.
    pub(crate) close_every: Duration,
    /// How often the judge looks while things go wrong.
    pub(crate) look_every: Duration,
    /// Nobody helps where nothing moves any more.
    pub(crate) unattended: bool,
    /// Consumers are called with messages, as functions are, and stand still in between, and with them
    /// these of their clocks.
    pub(crate) on_call: Option<Held>,
    /// The timeouts that the consumers work with, where they are wider than everybody else's.
    pub(crate) senders: Option<Timing>,
    /// Whoever stops a broadcast proves it by what consumers say that they hold, and does not wait for a producer.
    pub(crate) proves: bool,
    /// Who else must agree before the first send.
    pub(crate) approvals: Approvals,
    /// The provider remembers the keys of requests for so long.
    pub(crate) keys: Option<Duration>,
}

/// The calls that issei makes while it works. Each can meet with each fault; those that most depends on do so more
/// often.
pub(crate) const OPERATIONS: [&str; 28] = [
    "SendBulkEmail",
    "SendBulkEmail",
    "SendBulkEmail",
    "SendBulkEmail",
    "GetAccount",
    "PutSuppressedDestination",
    "UpdateItem",
    "UpdateItem",
    "UpdateItem",
    "UpdateItem",
    "TransactWriteItems",
    "TransactWriteItems",
    "PutItem",
    "DeleteItem",
    "GetItem",
    "GetItem",
    "BatchGetItem",
    "BatchGetItem",
    "Query",
    "DescribeTable",
    "ReceiveMessage",
    "SendMessage",
    "SendMessageBatch",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
    "GetQueueAttributes",
    "ListQueueTags",
    "TagQueue",
];

/// How late a send may still be accepted after its caller has gone: less than the request lifetime.
const SEND_LATE_MS: u64 = 4_000;

const CLOSE_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(3);

fn ms(dice: &Dice, bound: u64) -> Duration {
    Duration::from_millis(dice.below(bound))
}

fn fault(dice: &Dice, operation: &str) -> Fault {
    match dice.below(11) {
        0 => Fault::ResetBefore,
        1 | 2 => Fault::ResetAfter,
        3 => Fault::HangBefore,
        4 => Fault::HangAfter,
        5 => Fault::ErrorBefore,
        6 => Fault::ErrorAfter,
        7 => Fault::Throttle,
        8 => Fault::TruncateAfter,
        // What the calls to `DynamoDB` alone can meet with.
        9 => match operation {
            "UpdateItem" | "TransactWriteItems" | "PutItem" | "DeleteItem" => Fault::Conflict,
            "BatchGetItem" => Fault::Unprocessed,
            _ => Fault::AnswerMs(dice.below(1_000)),
        },
        _ if operation == "SendBulkEmail" => Fault::LateMs(dice.below(SEND_LATE_MS)),
        _ => Fault::LateMs(dice.below(60_000)),
    }
}

fn pick<'a, T>(dice: &Dice, from: &'a [T]) -> Option<&'a T> {
    from.get(usize::try_from(dice.below(from.len() as u64)).unwrap_or(0))
}

fn share(dice: &Dice, most_per_mille: u64) -> f64 {
    f64::from(u32::try_from(dice.below(most_per_mille + 1)).unwrap_or(0)) / 1_000.0
}

impl Plan {
    /// A world in which nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self {
            users: 10,
            unmailable: 0,
            page_size: 4,
            chunk_size: 2,
            producers: 1,
            consumers: 1,
            policy: InDoubtPolicy::Hold,
            canary: None,
            max_recipients: 1_000,
            scheduled: None,
            first_hour: None,
            max_send_rate: None,
            skews: Vec::new(),
            latency_ms: 0,
            deliveries: 1,
            redelivery: 0.0,
            batch_entry_failure: 0.0,
            events_lost: 0.0,
            events_repeated: 0.0,
            events_late_s: 0,
            events_away: 0.0,
            rules: Vec::new(),
            refuses: Vec::new(),
            calm_after: Duration::from_secs(4),
            deeds: Vec::new(),
            when_hanging: None,
            forgets: Vec::new(),
            close_every: CLOSE_EVERY,
            look_every: LOOK_EVERY,
            unattended: false,
            on_call: None,
            senders: None,
            proves: false,
            approvals: Approvals::default(),
            keys: None,
        }
    }

    pub(crate) fn of(seed: u64) -> Self {
        let dice = Dice::seeded(seed ^ 0x1557_e155_e155_e155);
        let small = |from: u64, to: u64| usize::try_from(from + dice.below(to - from + 1)).unwrap_or(1);
        let users = i64::try_from(small(2, 9)).unwrap_or(2);
        let (producers, consumers) = (small(1, 2), small(1, 3));
        let policy = if dice.chance(0.2) { InDoubtPolicy::EvidenceRetry } else { InDoubtPolicy::Hold };
        // Whoever calls AWS with a clock more than five minutes off is refused. Nothing here decides by
        // the wall clock but the wait for evidence, so the others are let go much further astray.
        let astray_s: i64 = if policy == InDoubtPolicy::Hold { 3_600 } else { 120 };
        let skews = (0..=producers + consumers)
            .map(|_| SignedDuration::from_secs(i64::try_from(dice.below(2 * astray_s.unsigned_abs() + 1)).unwrap_or(0) - astray_s))
            .map(|skew| if dice.chance(0.5) { SignedDuration::ZERO } else { skew })
            .collect();
        let mut rules: Vec<Rule> = (0..dice.below(6))
            .filter_map(|_| {
                let operation = pick(&dice, &OPERATIONS)?;
                let rule = Rule::every(operation, fault(&dice, operation));
                // Some strike a call now and then, and some a certain one.
                Some(if dice.chance(0.5) {
                    rule.with_probability(share(&dice, 300))
                } else {
                    rule.after(dice.below(12)).times(1 + dice.below(3))
                })
            })
            .collect();
        // Without a request that never arrived there is nothing for evidence to open.
        if policy == InDoubtPolicy::EvidenceRetry && dice.chance(0.3) {
            let lost = if dice.chance(0.5) { Fault::ResetBefore } else { Fault::HangBefore };
            rules.insert(0, Rule::every("SendBulkEmail", lost).after(dice.below(4)).times(1));
        }
        let calm_after = Duration::from_millis(500) + ms(&dice, if dice.chance(0.85) { 6_000 } else { 40_000 });
        let within = |dice: &Dice| {
            // Most of what matters happens in the first seconds.
            if dice.chance(0.8) { ms(dice, 4_000) } else { ms(dice, 40_000) }
        };
        let mut deeds = Vec::new();
        for _ in 0..dice.below(4) {
            let service = usize::try_from(dice.below((producers + consumers + 1) as u64)).unwrap_or(0);
            deeds.push((within(&dice), Deed::Crash { service, down_for: ms(&dice, 6_000) }));
        }
        for _ in 0..dice.below(4) {
            let user = i64::try_from(dice.below(11)).unwrap_or(0);
            let deed = match dice.below(20) {
                0..=2 => Deed::UserComes(user),
                3..=4 => Deed::UserGoes(user),
                5 => Deed::UserMoves(user),
                6..=7 => Deed::Pause,
                8..=9 => Deed::Resume,
                10..=11 => Deed::Stop,
                12 => Deed::Repair,
                13 => Deed::Redrive,
                14 => Deed::Purge,
                15..=16 => Deed::ShowAll,
                17..=18 => Deed::CommandAgain,
                _ => Deed::OtherCommand,
            };
            deeds.push((within(&dice), deed));
        }
        // What few schedules have. Each costs another broadcast's calls, or a sweep's wait.
        let rare = dice.below(100);
        match rare {
            0..4 => deeds.push((within(&dice), Deed::Another)),
            4..7 => {
                // Services that start between the two are what tells of a restore in place.
                let (first, second) = (ms(&dice, 2_000), ms(&dice, 3_000));
                deeds.push((first, Deed::BackUp));
                deeds.push((first + second / 2, Deed::Crash { service: 0, down_for: Duration::ZERO }));
                deeds.push((first + second + Duration::from_secs(1), Deed::Restore { as_new: dice.chance(0.5) }));
            }
            7..12 => {
                for _ in 0..=dice.below(3) {
                    let forged = Deed::Forged { chunk: u32::try_from(dice.below(4)).unwrap_or(0), recipient: small(0, 3) };
                    deeds.push((within(&dice), forged));
                }
            }
            _ => {}
        }
        if dice.chance(0.08) {
            deeds.extend(time_goes_wrong(&dice, producers + consumers, astray_s, within));
        }
        // Drawn apart, so that the other draws of a seed stay what they were.
        let (forgotten_before, forgets) = forgetting(&Dice::seeded(seed ^ 0xf063_e77e), within);
        deeds.extend(forgotten_before);
        let apart = Dice::seeded(!seed);
        let unmailable = if apart.chance(0.1) { 20 } else { 0 };
        if apart.chance(0.08) {
            let again = |dice: &Dice| Deed::UnderAnotherId { again: dice.chance(0.2) };
            deeds.extend((0..=apart.below(2)).map(|_| (within(&apart), again(&apart))));
        }
        let approvals = drawn_approvals(&Dice::seeded(seed ^ 0xa94e_ed00));
        deeds.extend(drawn_approvers(&Dice::seeded(seed ^ 0xa94e_ed01), &approvals, within));
        deeds.sort_by_key(|(at, _)| *at);
        let canary = dice.chance(0.2).then(|| 1 + dice.below(users.unsigned_abs()));
        let unreliable = policy == InDoubtPolicy::EvidenceRetry && dice.chance(0.2);
        let senders = wider(&Dice::seeded(seed ^ 0x7131_0075));
        // Looked at closely for as long as their permits may live.
        let calm_after = if senders.is_some() { calm_after.max(Duration::from_secs(30)) } else { calm_after };
        let plan = Self {
            users,
            unmailable,
            page_size: small(1, 5),
            chunk_size: u32::try_from(small(1, 4)).unwrap_or(1),
            producers,
            consumers,
            policy,
            canary: canary.and_then(|first| drawn_canary(&Dice::seeded(seed ^ 0xca9a_2717), first)),
            // More than are there; now and then fewer, though never than the canary.
            max_recipients: if dice.chance(0.03) { canary.unwrap_or(1).max(dice.below(users.unsigned_abs())) } else { 1_000 },
            skews,
            latency_ms: dice.below(3) * dice.below(150),
            deliveries: if dice.chance(0.2) { 3 } else { 1 },
            redelivery: if dice.chance(0.5) { share(&dice, 400) } else { 0.0 },
            batch_entry_failure: if dice.chance(0.3) { share(&dice, 400) } else { 0.0 },
            events_lost: if unreliable || policy == InDoubtPolicy::Hold && dice.chance(0.3) { share(&dice, 1_000) } else { 0.0 },
            events_repeated: share(&dice, 500),
            events_late_s: dice.below(10),
            events_away: if unreliable { share(&dice, 500) } else { 0.0 },
            rules,
            calm_after,
            deeds,
            forgets,
            on_call: dice.chance(0.03).then(|| held(&dice)),
            senders,
            proves: Dice::seeded(seed ^ 0xd4a1_4ed0).chance(0.5),
            approvals,
            ..Self::calm()
        };
        plan.at_its_time(&Dice::seeded(seed ^ 0x5c4e_d01e))
            .with_keys(&Dice::seeded(seed ^ 0x4b65_7973))
            .with_ramp(&Dice::seeded(seed ^ 0x7a3d_0001))
            .refusing(&Dice::seeded(seed ^ 0x4ef0_5a15))
    }

    /// Now and then the provider remembers keys, for longer than anything takes that is drawn. The clocks are right then:
    /// AWS, which refuses claims for their age, goes by them.
    fn with_keys(mut self, dice: &Dice) -> Self {
        if !dice.chance(0.25) {
            return self;
        }
        (self.keys, self.on_call) = (Some(WINDOW), None);
        self.skews = Vec::new();
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Suspend { .. } | Deed::StepWall { .. }));
        self
    }

    fn refusing(self, dice: &Dice) -> Self {
        Self { refuses: refusing::drawn(dice, self.keys.is_some()), ..self }
    }

    /// Now and then a broadcast has a ramp. Its hours are many calls, so few have one.
    fn with_ramp(mut self, dice: &Dice) -> Self {
        if self.scheduled.is_some() || !dice.chance(0.02) {
            return self;
        }
        self.first_hour = Some(2 + dice.below(4));
        self.skews = Vec::new();
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Suspend { .. } | Deed::StepWall { .. }));
        self
    }

    /// Now and then a broadcast has its time, most often one that comes, or goes, in the midst of what goes wrong.
    fn at_its_time(mut self, dice: &Dice) -> Self {
        if !dice.chance(0.1) {
            return self;
        }
        let not_before_s = dice.chance(0.5).then(|| dice.below(150));
        let window = (not_before_s.is_none() || dice.chance(0.5)).then(|| {
            let opens = dice.below(3);
            let closes = opens + if dice.chance(0.7) { 1 + dice.below(2) } else { 120 };
            let (place, ahead) = *pick(dice, &[("UTC", 0), ("Asia/Tokyo", 540), ("Asia/Kathmandu", 345)]).unwrap_or(&("UTC", 0));
            (opens, closes, place, ahead)
        });
        self.scheduled = Some(Scheduled { not_before_s, window });
        // No further off than such a window is long, or nobody would ever agree that it is open.
        self.skews = if dice.chance(0.5) { Vec::new() } else { self.skews.into_iter().map(|skew| skew / 40).collect() };
        // A function's wall clock is right again when it is called. What a machine asks for that is suspended in the midst
        // of a send is judged elsewhere (I4).
        self.on_call = self.on_call.map(|held| if held == Held::Everything { Held::AllButWall } else { held });
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Suspend { .. } | Deed::StepWall { .. }));
        self
    }

    /// What bounds whatever is sent: the widest of each timeout.
    pub(crate) fn timing(&self) -> Timing {
        self.senders.map_or(TIMING, |senders| TIMING.widest(&senders))
    }

    /// Whether every machine always has a clock that tells how long it was suspended. Where one has not,
    /// only the provider's clock is left.
    pub(crate) fn time_is_seen(&self) -> bool {
        let held = self.deeds.iter().filter_map(|(_, deed)| if let Deed::Suspend { held, .. } = deed { Some(*held) } else { None });
        let held: Vec<Held> = held.chain(self.on_call).collect();
        let is_set_back = self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::StepWall { by, .. } if by.is_negative()));
        !(held.contains(&Held::Everything) || is_set_back && held.contains(&Held::AllButWall))
    }
}

/// Users who ask to be forgotten: when that is tried meanwhile, and who is forgotten once all is over.
fn forgetting(dice: &Dice, within: impl Fn(&Dice) -> Duration) -> (Vec<(Duration, Deed)>, Vec<i64>) {
    if !dice.chance(0.2) {
        return (Vec::new(), Vec::new());
    }
    let user = || i64::try_from(dice.below(11)).unwrap_or(0);
    let before = (0..=dice.below(2)).map(|_| (within(dice), Deed::Forget(user()))).collect();
    (before, (0..=dice.below(3)).map(|_| user()).collect())
}

/// The first of the audience, a share of it, or some of its keys: of those who are there, come, go, or never were.
fn drawn_canary(dice: &Dice, first: u64) -> Option<Canary> {
    let drawn = match dice.below(5) {
        0..=1 => json!(first),
        2..=3 => json!({ "keys": (0..first).map(|_| dice.below(12).to_string()).collect::<Vec<_>>() }),
        _ => json!({ "share": f64::from(1 + u32::try_from(dice.below(9)).unwrap_or(0)) / 10.0 }),
    };
    serde_json::from_value(drawn).ok()
}

/// Now and then two or three must agree, seldom to large audiences alone.
fn drawn_approvals(dice: &Dice) -> Approvals {
    if !dice.chance(0.12) {
        return Approvals::default();
    }
    let persons = if dice.chance(0.7) { 2 } else { 3 };
    Approvals { persons, from_recipients: if dice.chance(0.2) { dice.below(12) } else { 0 }, ..Approvals::default() }
}

/// Who approves where others must agree, and when.
fn drawn_approvers(dice: &Dice, approvals: &Approvals, within: impl Fn(&Dice) -> Duration) -> Vec<(Duration, Deed)> {
    let most = if approvals.persons > 1 { dice.below(6) } else { 0 };
    (0..most).map(|_| (within(dice), Deed::Approve { by: usize::try_from(dice.below(PERSONS as u64 + 1)).unwrap_or(0) })).collect()
}

/// Some consumers were started with other settings than whoever stops, closes and recounts.
fn wider(dice: &Dice) -> Option<Timing> {
    dice.chance(0.05).then(|| {
        let longer = |by_ms| ms(dice, by_ms);
        let send = TIMING.send + longer(2_000);
        let permit_life = send + longer(20_000);
        let ledger = TIMING.ledger + longer(6_000);
        let lease = permit_life.max(send + ledger) + Duration::from_secs(1);
        let handler = lease + Duration::from_secs(1);
        Timing {
            send,
            permit_life,
            ledger,
            lease,
            handler,
            visibility: handler * 6,
            request_lifetime: TIMING.request_lifetime + longer(20_000),
        }
    })
}

fn held(dice: &Dice) -> Held {
    match dice.below(3) {
        0 => Held::Monotonic,
        1 => Held::AllButWall,
        _ => Held::Everything,
    }
}

/// Machines that are suspended for seconds, minutes and, seldom since they take long to run, hours; and wall
/// clocks that are set.
fn time_goes_wrong(dice: &Dice, last: usize, astray_s: i64, within: impl Fn(&Dice) -> Duration) -> Vec<(Duration, Deed)> {
    let service = |dice: &Dice| usize::try_from(dice.below(last as u64 + 1)).unwrap_or(0);
    let astray = astray_s.unsigned_abs();
    let one = |_| {
        let (at, service) = (within(dice), service(dice));
        if dice.chance(0.3) {
            let by = i64::try_from(dice.below(2 * astray + 1)).unwrap_or(0) - astray_s;
            return (at, Deed::StepWall { service, by: SignedDuration::from_secs(by) });
        }
        let most = match dice.below(100) {
            0 => Duration::from_hours(2),
            1..=10 => Duration::from_mins(3),
            _ => Duration::from_secs(15),
        };
        // A wall clock that is behind is set right before anybody waits for evidence by it.
        let most = most.min(Duration::from_secs(astray));
        (at, Deed::Suspend { service, held: held(dice), lasting: ms(dice, u64::try_from(most.as_millis()).unwrap_or(0)) })
    };
    (0..=dice.below(2)).map(one).collect()
}
