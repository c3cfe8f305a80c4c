//! Guards of claims: how long they last, what closes over them, and what a confirmation may change.

use std::time::Duration;

use issei_clock::Held;
use issei_schema::InDoubtPolicy;
use issei_sim::{Fault, Rule};

use super::{CLAIM, CONFIRM};
use crate::plan::{Deed, Plan, WhenHanging};
use crate::run::{Ran, run_plan};

pub(super) fn late_rejection() -> anyhow::Result<Vec<Ran>> {
    // The provider is too busy, the confirmation comes through when the lease is over, and another
    // consumer has the message in between.
    let of = |at_ms| {
        let plan = Plan {
            users: 1,
            consumers: 2,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).times(6),
            ],
            deeds: vec![(Duration::from_millis(at_ms), Deed::ShowAll)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    (2_900..3_500).step_by(25).map(of).collect()
}

pub(super) fn slow_claim() -> anyhow::Result<Vec<Ran>> {
    // As above, and the answer to the claim takes almost as long as a call may: in the last moments before the lease
    // as the claim's owner would count it, others read it as over.
    let of = |(hangs, at_ms)| {
        let plan = Plan {
            users: 1,
            consumers: 2,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).times(1),
                Rule::every("UpdateItem", Fault::AnswerMs(480)).holding(CLAIM),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).times(hangs),
            ],
            deeds: vec![(Duration::from_millis(at_ms), Deed::ShowAll)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    (3..=6).flat_map(|hangs| (2_900..4_300).step_by(100).map(move |at_ms| (hangs, at_ms))).map(of).collect()
}

pub(super) fn request_under_way() -> anyhow::Result<Vec<Ran>> {
    // The consumer dies with a request under way, which is accepted just within its lifetime.
    let of = |late| {
        let plan = Plan {
            users: 2,
            rules: vec![Rule::every("SendBulkEmail", Fault::LateMs(late)).times(1)],
            when_hanging: Some(WhenHanging::KillConsumers),
            close_every: Duration::from_millis(250),
            look_every: Duration::from_millis(100),
            calm_after: Duration::from_secs(8),
            ..Plan::calm()
        };
        run_plan(late, plan)
    };
    (3_000..5_000).step_by(100).map(of).collect()
}

pub(super) fn late_confirmation() -> anyhow::Result<Vec<Ran>> {
    // The provider was too busy; the confirmation of that hangs about until evidence has opened the
    // chunk and another consumer is in the midst of sending.
    let of = |late| {
        let plan = Plan {
            users: 4,
            chunk_size: 1,
            policy: InDoubtPolicy::EvidenceRetry,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).after(3).times(1),
                Rule::every("UpdateItem", Fault::LateMs(late)).holding(CONFIRM).after(3).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).after(3).times(3),
            ],
            when_hanging: Some(WhenHanging::KillConsumers),
            calm_after: Duration::from_mins(8),
            ..Plan::calm()
        };
        // One seed, so that evidence opens the chunk at the same moment each time: with the first sweep
        // after the wait, which the range covers.
        run_plan(1, plan)
    };
    (308_000..372_000).step_by(600).map(of).collect()
}

pub(super) fn two_confirmations() -> anyhow::Result<Vec<Ran>> {
    // The provider was too busy. The first confirmation says so and hangs about; the next, after the lease, says in
    // doubt, and the message goes. Then the first one arrives.
    let of = |late| {
        let plan = Plan {
            users: 1,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).times(1),
                Rule::every("UpdateItem", Fault::LateMs(late)).holding(CONFIRM).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).times(5),
            ],
            calm_after: Duration::from_secs(10),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(late, plan)
    };
    (3_000..8_000).step_by(250).map(of).collect()
}

pub(super) fn evidence_to_come() -> anyhow::Result<Vec<Ran>> {
    // One request never arrived, and everybody else's events are there: evidence opens it, if it is let.
    let of = |after| {
        let plan = Plan {
            users: 6,
            policy: InDoubtPolicy::EvidenceRetry,
            rules: vec![Rule::every("SendBulkEmail", Fault::ResetBefore).after(after).times(1)],
            unattended: true,
            ..Plan::calm()
        };
        run_plan(after, plan)
    };
    (0..3).map(of).collect()
}

pub(super) fn suspended(held: Held) -> anyhow::Result<Vec<Ran>> {
    // The only consumer is suspended anywhere between its first permit and its last send: before a claim,
    // after one, and in between. The operator stops, and all that was granted before is long over when it
    // wakes.
    let of = |at_ms| {
        let at = Duration::from_millis(at_ms);
        let plan = Plan {
            latency_ms: 60,
            rules: vec![Rule::every("UpdateItem", Fault::DelayMs(150)).holding(CLAIM)],
            deeds: vec![
                (at, Deed::Suspend { service: 2, held, lasting: Duration::from_secs(20) }),
                (at + Duration::from_millis(100), Deed::Stop),
            ],
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    (100..2_000).step_by(60).map(of).collect()
}
