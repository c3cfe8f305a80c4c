//! Draws of a plan, each apart from the others: which call fails and how, what a provider remembers and refuses, when a broadcast may be sent, who
//! must agree and who is forgotten, and how time goes wrong.

use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Dice, Held};
use issei_producer::Approvals;
use issei_schema::Canary;
use issei_sim::Fault;
use jiff::SignedDuration;
use serde_json::json;

use crate::plan::{Deed, Plan, Scheduled, ms, pick};
use crate::refusing;
use crate::remembering::WINDOW;
use crate::world::{PERSONS, TIMING};

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

pub(crate) fn fault(dice: &Dice, operation: &str) -> Fault {
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

impl Plan {
    /// Now and then the provider remembers keys, for longer than anything takes that is drawn. The clocks are right then:
    /// AWS, which refuses claims for their age, goes by them.
    pub(crate) fn with_keys(mut self, dice: &Dice) -> Self {
        if !dice.chance(0.25) {
            return self;
        }
        (self.keys, self.on_call) = (Some(WINDOW), None);
        self.skews = Vec::new();
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Suspend { .. } | Deed::StepWall { .. }));
        self
    }

    pub(crate) fn refusing(self, dice: &Dice) -> Self {
        Self { refuses: refusing::drawn(dice, self.keys.is_some()), ..self }
    }

    /// Now and then a broadcast has a ramp. Its hours are many calls, so few have one.
    pub(crate) fn with_ramp(mut self, dice: &Dice) -> Self {
        if self.scheduled.is_some() || !dice.chance(0.01) {
            return self;
        }
        self.first_hour = Some(2 + dice.below(4));
        self.close_every = Duration::from_secs(15);
        self.on_call = self.on_call.map(called_in_time);
        self
    }

    /// Now and then a broadcast has its time, most often one that comes, or goes, in the midst of what goes wrong.
    pub(crate) fn at_its_time(mut self, dice: &Dice) -> Self {
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
        // What a machine asks for that is suspended in the midst of a send is judged elsewhere (I4).
        self.on_call = self.on_call.map(called_in_time);
        self.deeds.retain(|(_, deed)| !matches!(deed, Deed::Suspend { .. } | Deed::StepWall { .. }));
        self
    }
}

/// A function's wall clock is right again when it is called: with one that stood still AWS refuses whatever it signs, and with
/// every clock held no hour would ever be over for it.
fn called_in_time(held: Held) -> Held {
    if held == Held::Everything { Held::AllButWall } else { held }
}

/// Users who ask to be forgotten: when that is tried meanwhile, and who is forgotten once all is over.
pub(crate) fn forgetting(dice: &Dice, within: impl Fn(&Dice) -> Duration) -> (Vec<(Duration, Deed)>, Vec<i64>) {
    if !dice.chance(0.2) {
        return (Vec::new(), Vec::new());
    }
    let user = || i64::try_from(dice.below(11)).unwrap_or(0);
    let before = (0..=dice.below(2)).map(|_| (within(dice), Deed::Forget(user()))).collect();
    (before, (0..=dice.below(3)).map(|_| user()).collect())
}

/// The first of the audience, a share of it, or some of its keys: of those who are there, come, go, or never were.
pub(crate) fn drawn_canary(dice: &Dice, first: u64) -> Option<Canary> {
    let drawn = match dice.below(5) {
        0..=1 => json!(first),
        2..=3 => json!({ "keys": (0..first).map(|_| dice.below(12).to_string()).collect::<Vec<_>>() }),
        _ => json!({ "share": f64::from(1 + u32::try_from(dice.below(9)).unwrap_or(0)) / 10.0 }),
    };
    serde_json::from_value(drawn).ok()
}

/// Now and then two or three must agree, seldom to large audiences alone.
pub(crate) fn drawn_approvals(dice: &Dice) -> Approvals {
    if !dice.chance(0.12) {
        return Approvals::default();
    }
    let persons = if dice.chance(0.7) { 2 } else { 3 };
    Approvals { persons, from_recipients: if dice.chance(0.2) { dice.below(12) } else { 0 }, ..Approvals::default() }
}

/// Who approves where others must agree, and when.
pub(crate) fn drawn_approvers(dice: &Dice, approvals: &Approvals, within: impl Fn(&Dice) -> Duration) -> Vec<(Duration, Deed)> {
    let most = if approvals.persons > 1 { dice.below(6) } else { 0 };
    (0..most).map(|_| (within(dice), Deed::Approve { by: usize::try_from(dice.below(PERSONS as u64 + 1)).unwrap_or(0) })).collect()
}

/// Some consumers were started with other settings than whoever stops, closes and recounts.
pub(crate) fn wider(dice: &Dice) -> Option<Timing> {
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

pub(crate) fn held(dice: &Dice) -> Held {
    match dice.below(3) {
        0 => Held::Monotonic,
        1 => Held::AllButWall,
        _ => Held::Everything,
    }
}

/// Machines that are suspended for seconds, minutes and, seldom since they take long to run, hours; and wall
/// clocks that are set.
pub(crate) fn time_goes_wrong(dice: &Dice, last: usize, astray_s: i64, within: impl Fn(&Dice) -> Duration) -> Vec<(Duration, Deed)> {
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
