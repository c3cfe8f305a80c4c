//! What a seed decides: the size of the world, what goes wrong and when, and what the operator does.

use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Dice, Held};
use issei_ledger::Suppression;
use issei_producer::Approvals;
use issei_schema::{Canary, InDoubtPolicy};
use issei_sim::{EntryRule, Fault, Rule};
use jiff::SignedDuration;

use crate::draws::{OPERATIONS, drawn_approvals, drawn_approvers, drawn_canary, fault, forgetting, held, time_goes_wrong, wider};
use crate::kinds::Kinds;
use crate::world::TIMING;

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
    /// Somebody wants to see the letter as it arrives, at the address of a user.
    TestCopy {
        user: i64,
    },
    /// A user's address comes on the suppression list.
    Suppress {
        user: i64,
        why: Suppression,
    },
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
    pub(crate) kinds: Kinds,
}

const CLOSE_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(3);

pub(crate) fn ms(dice: &Dice, bound: u64) -> Duration {
    Duration::from_millis(dice.below(bound))
}

pub(crate) fn pick<'a, T>(dice: &Dice, from: &'a [T]) -> Option<&'a T> {
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
            kinds: Kinds::PLAIN,
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
            .of_a_kind(&Dice::seeded(seed ^ 0x4a1d_0001))
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
